// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The Reduce* operators: elements are folded in order, f16 and bf16 in f32.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

/// The axes of a Reduce operator, sorted; none where the operator does nothing.
static FailureOr<SmallVector<int64_t>> reducedAxes(GraphBuilder &g,
                                                   const OperatorCall &call) {
  int64_t rank = g.rankOf(call.operand(0));
  std::optional<SmallVector<int64_t>> given = call.integers("axes");
  if (Value operand = call.operand(1)) {
    given = g.knownConstants(operand);
    if (!given)
      return g.fail("expects axes that are constant");
  }
  if (!given || given->empty()) {
    if (call.integer("noop_with_empty_axes", 0))
      return SmallVector<int64_t>();
    return llvm::to_vector(llvm::seq<int64_t>(0, rank));
  }
  SmallVector<int64_t> axes;
  for (int64_t axis : *given) {
    FailureOr<int64_t> positive = axisOf(g, axis, rank);
    if (failed(positive))
      return failure();
    axes.push_back(*positive);
  }
  llvm::sort(axes);
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

static FailureOr<Value>
unary(GraphBuilder &g, Value input,
      function_ref<Value(Scalars &, OpBuilder &, Location, Value)> f) {
  return g.elementwise(input, elementOf(input),
                       [&](OpBuilder &at, Location loc, ValueRange x) {
                         Scalars s(at, loc);
                         return f(s, at, loc, x[0]);
                       });
}

/// log(sum(exp(x))), shifted by the largest element where that is finite.
static FailureOr<Value> logSumExp(GraphBuilder &g, Value input,
                                  ArrayRef<int64_t> axes) {
  Type element = elementOf(input);
  Value largest = g.reduce(input, axes, true, g.constant(lowest(element)),
                           [](OpBuilder &at, Location loc, ValueRange x) {
                             return Scalars(at, loc).max(x[0], x[1]);
                           });
  FailureOr<Value> shift =
      unary(g, largest, [](Scalars &s, OpBuilder &, Location, Value x) {
        Value infinite = s.equal(
            s.abs(x), s.like(x, std::numeric_limits<double>::infinity()));
        return s.select(infinite, s.like(x, 0), x);
      });
  if (failed(shift))
    return failure();
  FailureOr<Value> powers = g.elementwise(
      {input, *shift}, element,
      [](OpBuilder &at, Location loc, ValueRange x) -> Value {
        return math::ExpOp::create(at, loc, Scalars(at, loc).sub(x[0], x[1]));
      });
  if (failed(powers))
    return failure();
  Value sum = g.reduce(*powers, axes, true, g.scalar(element, 0),
                       [](OpBuilder &at, Location loc, ValueRange x) {
                         return Scalars(at, loc).add(x[1], x[0]);
                       });
  return g.elementwise({sum, *shift}, element,
                       [](OpBuilder &at, Location loc, ValueRange x) {
                         Value log = math::LogOp::create(at, loc, x[0]);
                         return Scalars(at, loc).add(log, x[1]);
                       });
}

OperatorResults gatecc::lowerReduce(GraphBuilder &g, const OperatorCall &call) {
  StringRef kind = call.op.drop_front(strlen("Reduce"));
  Value given = call.operand(0);
  bool anyNumber = llvm::is_contained(
      {"Max", "Min", "Sum", "Prod", "Mean", "L1", "SumSquare"}, kind);
  bool isBool =
      elementOf(given).isInteger(1) && (kind == "Max" || kind == "Min");
  if (!isBool &&
      failed(anyNumber ? checkNumbers(g, given) : checkFloat(g, given)))
    return failure();
  FailureOr<SmallVector<int64_t>> axes = reducedAxes(g, call);
  FailureOr<Value> input = widened(g, given);
  if (failed(axes) || failed(input))
    return failure();
  // Opset 18 and later: without axes and with noop, only the element-wise part.
  if (axes->empty() && call.integer("noop_with_empty_axes", 0) &&
      (kind == "Max" || kind == "Min" || kind == "Sum" || kind == "Prod" ||
       kind == "Mean"))
    return SmallVector<Value>{given};
  bool keep = call.integer("keepdims", 1) != 0;
  Type element = elementOf(*input);
  Extents shape = g.shapeOf(*input), kept;
  Extent count(1);
  for (auto [dim, extent] : llvm::enumerate(shape)) {
    bool reduced = llvm::is_contained(*axes, int64_t(dim));
    if (reduced)
      count *= extent;
    if (!reduced || keep)
      kept.push_back(reduced ? Extent(1) : extent);
  }
  FailureOr<Value> result = failure();
  if (kind == "LogSumExp") {
    result = logSumExp(g, *input, *axes);
    if (failed(result))
      return failure();
    result = g.reshape(*result, kept);
  } else {
    Value init =
        kind == "Max"
            ? g.constant(isBool ? cast<TypedAttr>(Attribute(
                                      g.getBuilder().getBoolAttr(false)))
                                : lowest(element))
        : kind == "Min"
            ? g.constant(isBool ? cast<TypedAttr>(Attribute(
                                      g.getBuilder().getBoolAttr(true)))
                                : highest(element))
        : kind == "Prod" ? g.scalar(element, 1)
                         : g.scalar(element, 0);
    result = g.reduce(*input, *axes, keep, init,
                      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
                        Scalars s(at, loc);
                        if (isBool && kind == "Max")
                          return arith::OrIOp::create(at, loc, x[1], x[0]);
                        if (isBool)
                          return arith::AndIOp::create(at, loc, x[1], x[0]);
                        if (kind == "Max")
                          return s.max(x[1], x[0]);
                        if (kind == "Min")
                          return s.min(x[1], x[0]);
                        if (kind == "Prod")
                          return s.mul(x[1], x[0]);
                        if (kind == "L1")
                          return s.add(x[1], s.abs(x[0]));
                        if (kind == "L2" || kind == "SumSquare")
                          return s.add(x[1], s.mul(x[0], x[0]));
                        return s.add(x[1], x[0]);
                      });
    if (kind == "L2")
      result =
          unary(g, *result,
                [](Scalars &, OpBuilder &at, Location loc, Value x) -> Value {
                  return math::SqrtOp::create(at, loc, x);
                });
    if (kind == "LogSum")
      result =
          unary(g, *result,
                [](Scalars &, OpBuilder &at, Location loc, Value x) -> Value {
                  return math::LogOp::create(at, loc, x);
                });
    if (kind == "Mean") {
      FailureOr<Value> divisor = g.countTensor(count, element);
      if (failed(divisor))
        return failure();
      result = g.elementwise({*result, *divisor}, element,
                             [](OpBuilder &at, Location loc, ValueRange x) {
                               return Scalars(at, loc).div(x[0], x[1]);
                             });
    }
  }
  if (failed(result))
    return failure();
  return one(g.cast(*result, elementOf(given)));
}
