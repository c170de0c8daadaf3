// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Integer tensors known at compile time: exporters compute shapes with ordinary
// operators (Shape, Gather, Concat, Mul, ...), here these are done on extents.
#include "lib/Import/Operators/Families.h"

using namespace mlir;
using namespace gatecc;

/// a / b rounded to zero where both are sizes; none where that is not known.
static std::optional<Extent> quotient(GraphBuilder &g, const Extent &a,
                                      const Extent &b) {
  if (auto exact = a.dividedBy(b))
    return exact;
  if (!b.isConstant() || b.getConstant() <= 0)
    return std::nullopt;
  if (a.isConstant())
    return Extent(a.getConstant() / b.getConstant());
  if (!g.isKnownSize(a)) // ONNX rounds to zero.
    return std::nullopt;
  return g.floorDivide(a, b.getConstant());
}

/// One element of an elementwise operator; none where it is not known.
static std::optional<Extent> element(GraphBuilder &g, StringRef op,
                                     ArrayRef<Extent> x) {
  bool constant =
      llvm::all_of(x, [](const Extent &e) { return e.isConstant(); });
  if (op == "Add")
    return g.add(x[0], x[1]);
  if (op == "Sub")
    return g.subtract(x[0], x[1]);
  if (op == "Mul")
    return constant || (x[0].getCoefficient() > 0 && x[1].getCoefficient() > 0)
               ? std::optional(x[0] * x[1])
               : std::nullopt;
  if (op == "Div")
    return quotient(g, x[0], x[1]);
  if (op == "Min")
    return g.minimum(x[0], x[1]);
  if (op == "Max")
    return g.maximum(x[0], x[1]);
  if (op == "Equal") {
    if (x[0] == x[1])
      return Extent(1);
    if (constant ||
        (x[0].isConstant() && x[0].getConstant() < 0 && g.isKnownSize(x[1])) ||
        (x[1].isConstant() && x[1].getConstant() < 0 && g.isKnownSize(x[0])))
      return Extent(0);
    return std::nullopt;
  }
  if (op == "Where")
    return x[0].isConstant() ? std::optional(x[0].getConstant() ? x[1] : x[2])
                             : std::nullopt;
  if (op == "And" || op == "Or") {
    for (const Extent &e : x) // One of them may decide.
      if (e.isConstant((op == "Or") ? 1 : 0))
        return e;
    return constant ? std::optional(x[0]) : std::nullopt;
  }
  if (op == "Neg")
    return constant && x[0].getConstant() != std::numeric_limits<int64_t>::min()
               ? std::optional(Extent(-x[0].getConstant()))
               : std::nullopt;
  if (op == "Mod") { // The sign of the divisor.
    if (x[0].dividedBy(x[1]) && !x[1].isConstant(0))
      return Extent(0);
    if (!constant || x[1].getConstant() < 1)
      return std::nullopt;
    int64_t rest = x[0].getConstant() % x[1].getConstant();
    return Extent(rest < 0 ? rest + x[1].getConstant() : rest);
  }
  if (constant && x.size() == 2) {
    int64_t a = x[0].getConstant(), b = x[1].getConstant();
    if (op == "Less")
      return Extent(a < b);
    if (op == "LessOrEqual")
      return Extent(a <= b);
    if (op == "Greater")
      return Extent(a > b);
    if (op == "GreaterOrEqual")
      return Extent(a >= b);
  }
  if (op == "Not")
    return x[0].isConstant() ? std::optional(Extent(x[0].getConstant() ? 0 : 1))
                             : std::nullopt;
  return std::nullopt;
}

std::optional<SmallVector<Value>> gatecc::foldKnown(GraphBuilder &g,
                                                    const OperatorCall &call) {
  if ((call.domain != "" && call.domain != "ai.onnx") || call.operands.empty())
    return std::nullopt;
  StringRef op = call.op;
  bool compares = llvm::is_contained(
      {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}, op);
  bool elementwise =
      compares ||
      llvm::is_contained({"Add", "Sub", "Mul", "Div", "Min", "Max", "Where",
                          "Not", "And", "Or", "Neg", "Mod"},
                         op);
  if (!elementwise &&
      !llvm::is_contained({"Gather", "Concat", "Slice", "Squeeze", "Unsqueeze",
                           "Reshape", "Cast", "ReduceProd", "Expand", "OneHot",
                           "ScatterElements"},
                          op))
    return std::nullopt;
  // The first operand at least; the others are checked where they are read.
  SmallVector<std::optional<Extents>> known;
  for (Value operand : call.operands)
    known.push_back(operand ? g.knownInts(operand) : std::nullopt);
  // Of a shape, some extents may be data: they are read from their tensors.
  if (op == "Concat" && llvm::any_of(known, [](auto &k) { return bool(k); }))
    for (auto [operand, values] : llvm::zip(call.operands, known))
      if (operand && !values && g.rankOf(operand) == 1)
        values = g.runTimeInts(operand);
  if (!known.front())
    return std::nullopt;
  Value first = call.operand(0);
  unsigned rank = g.rankOf(first);
  Type type = elementOf(first);
  auto made = [&](const Extents &values, Type element, bool scalar) {
    return SmallVector<Value>{g.knownTensor(values, element, scalar)};
  };
  auto usable = [&](Type element) { return element.isSignlessInteger(); };
  if (!usable(type))
    return std::nullopt;

  if (elementwise) {
    unsigned length = 1, resultRank = 0;
    for (auto [operand, values] : llvm::zip(call.operands, known)) {
      if (!values)
        return std::nullopt;
      resultRank = std::max(resultRank, g.rankOf(operand));
      if (values->size() != 1) {
        if (length != 1 && values->size() != length)
          return std::nullopt;
        length = values->size();
      }
    }
    if ((op == "Min" || op == "Max") && known.size() != 2)
      return std::nullopt;
    if (op == "Mod" && call.integer("fmod", 0) != 0)
      return std::nullopt;
    Extents result;
    for (unsigned i = 0; i < length; ++i) {
      Extents x;
      for (const std::optional<Extents> &values : known)
        x.push_back((*values)[values->size() == 1 ? 0 : i]);
      std::optional<Extent> value = element(g, op, x);
      if (!value)
        return std::nullopt;
      result.push_back(*value);
    }
    Type to = compares        ? Type(g.getBuilder().getI1Type())
              : op == "Where" ? elementOf(call.operand(1))
                              : type;
    return made(result, to, resultRank == 0);
  }

  const Extents &values = *known.front();
  // Exporters set one element of a short list so; a Reshape follows.
  if (op == "OneHot") {
    auto constant = [&](unsigned i) {
      return call.operand(i) ? g.knownConstants(call.operand(i)) : std::nullopt;
    };
    auto index = constant(0), depth = constant(1), choices = constant(2);
    if (!index || index->size() != 1 || rank != 1 || !depth ||
        depth->size() != 1 || depth->front() < 1 || depth->front() > 64 ||
        !choices || choices->size() != 2 || call.integer("axis", -1) != -1 ||
        !usable(elementOf(call.operand(2))))
      return std::nullopt;
    Type to = elementOf(call.operand(2));
    int64_t place =
        index->front() < 0 ? index->front() + depth->front() : index->front();
    SmallVector<Attribute> elements;
    for (int64_t i = 0; i < depth->front(); ++i)
      elements.push_back(
          g.getBuilder().getIntegerAttr(to, (*choices)[i == place]));
    return SmallVector<Value>{g.denseConstant(
        call.nodeName,
        DenseElementsAttr::get(RankedTensorType::get({1, depth->front()}, to),
                               elements))};
  }
  if (op == "Cast") {
    int64_t to = call.integer("to", 0);
    if (to == 7 || to == 6)
      return made(values, g.getBuilder().getIntegerType(to == 7 ? 64 : 32),
                  rank == 0);
    return std::nullopt;
  }
  if (op == "Concat") {
    Extents result;
    for (const std::optional<Extents> &each : known) {
      if (!each)
        return std::nullopt;
      result.append(each->begin(), each->end());
    }
    return rank == 1 && result.size() <= 64
               ? std::optional(made(result, type, false))
               : std::nullopt;
  }
  if (op == "ReduceProd") {
    if (call.operands.size() > 1 || rank != 1 ||
        call.integer("keepdims", 1) != 0)
      return std::nullopt;
    return made({productOf(values)}, type, true);
  }
  if (op == "Gather") {
    auto indices =
        call.operand(1) ? g.knownConstants(call.operand(1)) : std::nullopt;
    if (!indices || rank != 1 || g.rankOf(call.operand(1)) > 1)
      return std::nullopt;
    Extents result;
    for (int64_t index : *indices) {
      if (index < 0)
        index += values.size();
      if (index < 0 || index >= int64_t(values.size()))
        return std::nullopt; // The operator itself reports it.
      result.push_back(values[index]);
    }
    return made(result, type, g.rankOf(call.operand(1)) == 0);
  }
  if (op == "Slice") {
    if (rank != 1 || call.version < 10)
      return std::nullopt;
    int64_t n = values.size(), bounds[] = {0, n, 0, 1};
    for (unsigned i = 1; i < call.operands.size(); ++i)
      if (call.operand(i)) {
        auto constant = g.knownConstants(call.operand(i));
        if (!constant || constant->size() != 1)
          return std::nullopt;
        bounds[i - 1] = constant->front();
      }
    if (bounds[3] < 1)
      return std::nullopt;
    for (int64_t &bound : MutableArrayRef(bounds).take_front(2))
      bound = std::clamp<int64_t>(bound < 0 ? std::max(bound, -n) + n : bound,
                                  0, n);
    Extents result;
    for (int64_t i = bounds[0]; i < bounds[1]; i += std::min(bounds[3], n + 1))
      result.push_back(values[i]);
    return made(result, type, false);
  }
  // A shape but for some of its extents.
  if (op == "ScatterElements") {
    auto places = g.knownConstants(call.operand(1));
    if (rank != 1 || !places || !known[2] ||
        known[2]->size() != places->size() ||
        call.string("reduction", "none") != "none")
      return std::nullopt;
    Extents result = values;
    for (auto [place, value] : llvm::zip_equal(*places, *known[2])) {
      int64_t at = place < 0 ? place + int64_t(values.size()) : place;
      if (at < 0 || at >= int64_t(values.size()))
        return std::nullopt; // The operator itself reports it.
      result[at] = value;
    }
    return made(result, type, false);
  }
  // Squeeze, Unsqueeze, Reshape, Expand: to rank 0 or 1 with the same elements.
  if (op == "Squeeze" && values.size() == 1)
    return made(values, type, true);
  if (op == "Unsqueeze" && rank == 0) {
    auto axes = call.operand(1) ? g.knownConstants(call.operand(1))
                                : call.integers("axes");
    if (axes && axes->size() == 1)
      return made(values, type, false);
  }
  if (op == "Reshape" && known.size() == 2 && known[1]) {
    const Extents &shape = *known[1];
    if (shape.empty() && values.size() == 1)
      return made(values, type, true);
    if (shape.size() == 1 && (shape[0].isConstant(-1) ||
                              shape[0].isConstant(int64_t(values.size()))))
      return made(values, type, false);
  }
  return std::nullopt;
}
