// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Einsum: operands are joined from left to right, two at a time, each pair as a
// (batched) matrix product of what their labels make rows, columns and sums.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// A label: a letter, or the dimension of an ellipsis counted from its end, as
/// -1, -2, ...
using Labels = SmallVector<int>;

struct Term {
  Value value;
  Labels labels;
};

class Einsum {
public:
  Einsum(GraphBuilder &g, const OperatorCall &call) : g(g), call(call) {}
  FailureOr<Value> run();

private:
  LogicalResult parse();
  FailureOr<Labels> parseTerm(StringRef text, int64_t rank);
  /// Sums over labels that are not `kept`, takes diagonals of repeated ones,
  /// and orders what is left like `kept`. Absent labels become extents of 1.
  FailureOr<Value> arranged(const Term &term, ArrayRef<int> kept);
  FailureOr<Term> joined(const Term &a, const Term &b,
                         const DenseSet<int> &needed);
  Extent extentOf(const Term &term, int label);

  GraphBuilder &g;
  const OperatorCall &call;
  SmallVector<Term> terms;
  Labels output;
};
} // namespace

FailureOr<Labels> Einsum::parseTerm(StringRef text, int64_t rank) {
  Labels labels;
  size_t dots = text.find("...");
  int64_t letters = text.size() - (dots == StringRef::npos ? 0 : 3);
  if (rank >= 0 &&
      (letters > rank || (dots == StringRef::npos && letters != rank)))
    return g.fail("the term '" + text + "' does not fit to an input of rank " +
                  Twine(rank));
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == dots) {
      // In the output, as many dimensions as the widest ellipsis has.
      int64_t count = rank - letters;
      if (rank < 0) {
        count = 0;
        for (const Term &term : terms)
          for (int label : term.labels)
            count = std::max<int64_t>(count, -label);
      }
      for (int64_t dim = count; dim > 0; --dim)
        labels.push_back(-dim);
      i += 2;
    } else if (llvm::isAlpha(text[i])) {
      labels.push_back(text[i]);
    } else {
      return g.fail("the equation holds '" + text.substr(i, 1) +
                    "', which is neither a letter nor an ellipsis");
    }
  }
  return labels;
}

LogicalResult Einsum::parse() {
  std::string equation;
  for (char c : call.string("equation", ""))
    if (c != ' ')
      equation += c;
  auto [left, right] = StringRef(equation).split("->");
  SmallVector<StringRef> inputs;
  left.split(inputs, ',');
  if (inputs.size() != call.operands.size())
    return g.fail("the equation has " + Twine(inputs.size()) + " terms for " +
                  Twine(call.operands.size()) + " inputs");
  for (auto [text, operand] : llvm::zip(inputs, call.operands)) {
    FailureOr<Labels> labels = parseTerm(text, g.rankOf(operand));
    if (failed(labels))
      return failure();
    terms.push_back({operand, *labels});
  }
  if (StringRef(equation).contains("->")) {
    FailureOr<Labels> labels = parseTerm(right, -1);
    if (failed(labels))
      return failure();
    output = *labels;
  } else { // Ellipses, then the letters that occur once, sorted.
    std::map<int, unsigned> count;
    for (const Term &term : terms)
      for (int label : term.labels)
        ++count[label];
    for (auto [label, times] : count)
      if (label < 0 || times == 1)
        output.push_back(label);
  }
  DenseSet<int> seen;
  for (int label : output) {
    bool given = llvm::any_of(terms, [&](const Term &term) {
      return llvm::is_contained(term.labels, label);
    });
    if (!given || !seen.insert(label).second)
      return g.fail("the output of the equation repeats a label, or has one "
                    "that no input has");
  }
  return success();
}

Extent Einsum::extentOf(const Term &term, int label) {
  auto *found = llvm::find(term.labels, label);
  return found == term.labels.end()
             ? Extent(1)
             : g.shapeOf(term.value)[found - term.labels.begin()];
}

FailureOr<Value> Einsum::arranged(const Term &term, ArrayRef<int> kept) {
  Extents shape = g.shapeOf(term.value), result, present;
  Labels loops;
  for (int label : kept) {
    result.push_back(extentOf(term, label));
    if (llvm::is_contained(term.labels, label)) {
      loops.push_back(label);
      present.push_back(result.back());
    }
  }
  unsigned parallel = loops.size();
  for (int label : term.labels)
    if (!llvm::is_contained(loops, label))
      loops.push_back(label);
  for (auto [dim, label] : llvm::enumerate(term.labels))
    if (shape[dim] != extentOf(term, label))
      return g.fail("a label that is repeated in a term stands for " +
                    g.text(shape[dim]) + " and " +
                    g.text(extentOf(term, label)));
  if (loops.size() == term.labels.size() && parallel == loops.size()) {
    SmallVector<int64_t> permutation;
    for (int label : loops)
      permutation.push_back(llvm::find(term.labels, label) -
                            term.labels.begin());
    return g.reshape(g.transpose(term.value, permutation), result);
  }
  SmallVector<utils::IteratorType> iterators(parallel,
                                             utils::IteratorType::parallel);
  iterators.append(loops.size() - parallel, utils::IteratorType::reduction);
  SmallVector<AffineExpr> from, to;
  for (int label : term.labels)
    from.push_back(g.getBuilder().getAffineDimExpr(llvm::find(loops, label) -
                                                   loops.begin()));
  for (unsigned loop = 0; loop < parallel; ++loop)
    to.push_back(g.getBuilder().getAffineDimExpr(loop));
  AffineMap maps[] = {AffineMap::get(loops.size(), 0, from, g.getContext()),
                      AffineMap::get(loops.size(), 0, to, g.getContext())};
  FailureOr<Value> addend = widened(g, term.value);
  if (failed(addend))
    return failure();
  Value sum =
      g.generic(*addend, g.filled(present, g.scalar(elementOf(*addend), 0)),
                maps, iterators,
                [](OpBuilder &at, Location loc, ValueRange x) {
                  return SmallVector<Value>{Scalars(at, loc).add(x[1], x[0])};
                })
          .front();
  FailureOr<Value> rounded = g.cast(sum, elementOf(term.value));
  return succeeded(rounded) ? g.reshape(*rounded, result) : rounded;
}

FailureOr<Term> Einsum::joined(const Term &a, const Term &b,
                               const DenseSet<int> &needed) {
  Labels batch, rows, columns, sums;
  auto sort = [&](int label) {
    bool inA = llvm::is_contained(a.labels, label),
         inB = llvm::is_contained(b.labels, label);
    if (inA && inB)
      (needed.contains(label) ? batch : sums).push_back(label);
    else if (needed.contains(label))
      (inA ? rows : columns).push_back(label);
    // Others are summed before the product.
  };
  DenseSet<int> seen;
  for (const Term *term : {&a, &b})
    for (int label : term->labels)
      if (seen.insert(label).second)
        sort(label);
  // An extent of 1 that meets another is broadcast: it is summed by itself.
  for (int label : sums)
    if (failed(g.requireEqual(extentOf(a, label), extentOf(b, label),
                              "a label stands for two sizes")))
      return failure();
  auto list = [](std::initializer_list<ArrayRef<int>> parts) {
    Labels result;
    for (ArrayRef<int> part : parts)
      result.append(part.begin(), part.end());
    return result;
  };
  auto product = [&](const Term &term, ArrayRef<int> labels) {
    Extent result(1);
    for (int label : labels)
      result *= extentOf(term, label);
    return result;
  };
  FailureOr<Value> left = arranged(a, list({batch, rows, sums}));
  FailureOr<Value> right = arranged(b, list({batch, sums, columns}));
  if (failed(left) || failed(right))
    return failure();
  Extents leftShape, rightShape;
  for (int label : batch) {
    leftShape.push_back(extentOf(a, label));
    rightShape.push_back(extentOf(b, label));
  }
  leftShape.append({product(a, rows), product(a, sums)});
  rightShape.append({product(b, sums), product(b, columns)});
  left = g.reshape(*left, leftShape);
  right = g.reshape(*right, rightShape);
  if (failed(left) || failed(right))
    return failure();
  FailureOr<Value> result = g.matmul(*left, *right);
  if (failed(result))
    return failure();
  Extents shape = g.shapeOf(*result);
  shape.resize(batch.size());
  for (int label : rows)
    shape.push_back(extentOf(a, label));
  for (int label : columns)
    shape.push_back(extentOf(b, label));
  result = g.reshape(*result, shape);
  if (failed(result))
    return failure();
  return Term{*result, list({batch, rows, columns})};
}

FailureOr<Value> Einsum::run() {
  if (failed(parse()))
    return failure();
  Term whole = terms.front();
  for (unsigned next = 1; next < terms.size(); ++next) {
    DenseSet<int> needed(output.begin(), output.end());
    for (const Term &later : ArrayRef(terms).drop_front(next + 1))
      needed.insert(later.labels.begin(), later.labels.end());
    FailureOr<Term> term = joined(whole, terms[next], needed);
    if (failed(term))
      return failure();
    whole = *term;
  }
  return arranged(whole, output);
}

OperatorResults gatecc::lowerEinsum(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkNumbers(g, call.operands)))
    return failure();
  return one(Einsum(g, call).run());
}
