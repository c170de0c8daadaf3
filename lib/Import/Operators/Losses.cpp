// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Normalization.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace gatecc;

/// -weight[t] * logs[n, t, d...] for the class t = target[n, d...], and
/// weight[t]; both are 0 where t is to be ignored or no class.
static SmallVector<Value> lossesOf(GraphBuilder &g, const OperatorCall &call,
                                   Value logs, Value target, Value weight) {
  Extents shape = g.shapeOf(target);
  unsigned rank = shape.size();
  Type element = elementOf(logs);
  AffineMap map = g.getBuilder().getMultiDimIdentityMap(rank);
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  SmallVector<Value> sizes;
  for (const Extent &extent : g.shapeOf(logs))
    sizes.push_back(g.materialize(extent));
  bool ignores = call.has("ignore_index");
  int64_t ignored = call.integer("ignore_index", 0);
  return g.generic(
      target, {g.empty(shape, element), g.empty(shape, element)},
      {map, map, map}, iterators,
      [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value zero = s.number(element, 0), one = s.number(element, 1);
        Value t = arith::IndexCastOp::create(at, loc, at.getIndexType(), x[0]);
        SmallVector<Value> places;
        for (unsigned dim = 0; dim < rank; ++dim)
          places.push_back(linalg::IndexOp::create(at, loc, dim));
        places.insert(places.begin() + 1, t);
        Value log = readInside(at, loc, logs, places, sizes, zero);
        Value isClass = arith::CmpIOp::create(
            at, loc, arith::CmpIPredicate::ult, t, sizes[1]);
        Value factor = weight ? readInside(at, loc, weight, t, sizes[1], zero)
                              : s.select(isClass, one, zero);
        Value loss = s.neg(weight ? s.mul(log, factor) : log);
        if (ignores) {
          Value skip = s.equal(
              x[0], arith::ConstantOp::create(
                        at, loc, at.getIntegerAttr(x[0].getType(), ignored)));
          loss = s.select(skip, zero, loss);
          factor = s.select(skip, zero, factor);
        }
        return SmallVector<Value>{loss, factor};
      });
}

static FailureOr<Value> loss(GraphBuilder &g, const OperatorCall &call,
                             Value logs, Type given) {
  Value target = call.operand(1), weight = call.operand(2);
  Extents shape = g.shapeOf(logs), expected = shape;
  expected.erase(expected.begin() + 1);
  if (g.shapeOf(target) != expected ||
      (!elementOf(target).isInteger(32) && !elementOf(target).isInteger(64)))
    return g.fail("expects integer classes of shape " + g.text(expected) +
                  ", got " + g.text(g.shapeOf(target)));
  if (weight) {
    if (g.shapeOf(weight) != Extents{shape[1]} || elementOf(weight) != given)
      return g.fail("expects a weight for each of the " + g.text(shape[1]) +
                    " classes, of the type of the input");
    FailureOr<Value> wide = widened(g, weight);
    if (failed(wide))
      return failure();
    weight = *wide;
  }
  StringRef reduction = call.string("reduction", "mean");
  if (!llvm::is_contained({"none", "sum", "mean"}, reduction))
    return g.fail("does not support the reduction '" + reduction + "'");
  SmallVector<Value> losses = lossesOf(g, call, logs, target, weight);
  if (reduction == "none")
    return g.cast(losses[0], given);
  Type element = elementOf(logs);
  SmallVector<int64_t> axes =
      llvm::to_vector(llvm::seq<int64_t>(0, expected.size()));
  auto sum = [&](Value value) {
    return g.reduce(value, axes, /*keepDims=*/false, g.scalar(element, 0),
                    [](OpBuilder &at, Location loc, ValueRange x) {
                      return Scalars(at, loc).add(x[1], x[0]);
                    });
  };
  FailureOr<Value> total = sum(losses[0]);
  if (reduction == "mean")
    total = g.elementwise({*total, sum(losses[1])}, element,
                          [](OpBuilder &at, Location loc, ValueRange x) {
                            return Scalars(at, loc).div(x[0], x[1]);
                          });
  return succeeded(total) ? g.cast(*total, given) : total;
}

OperatorResults gatecc::lowerLoss(GraphBuilder &g, const OperatorCall &call) {
  Value given = call.operand(0);
  if (failed(checkFloat(g, given)))
    return failure();
  if (g.rankOf(given) < 2)
    return g.fail("expects a tensor of rank 2 or more");
  FailureOr<Value> logs = widened(g, given);
  bool isSoftmax = call.op == "SoftmaxCrossEntropyLoss";
  if (succeeded(logs) && isSoftmax)
    logs = softmax(g, *logs, 1, /*isLog=*/true);
  if (failed(logs))
    return failure();
  FailureOr<Value> result = loss(g, call, *logs, elementOf(given));
  if (failed(result))
    return failure();
  SmallVector<Value> results{*result};
  if (isSoftmax) {
    FailureOr<Value> rounded = g.cast(*logs, elementOf(given));
    if (failed(rounded))
      return failure();
    results.push_back(*rounded);
  }
  return results;
}
