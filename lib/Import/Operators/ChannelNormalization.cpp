// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Normalizations with statistics per channel or of chosen axes: Batch-,
// Instance-, Group-, LpNormalization, MeanVarianceNormalization and LRN.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Normalization.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

/// A vector of one number for each channel, as [C, 1, ...] to be broadcast to
/// `input`, in f32 or wider.
static FailureOr<Value> perChannel(GraphBuilder &g, Value vector, Value input) {
  if (failed(checkFloat(g, vector)) ||
      failed(checkComputedAs(g, vector, input)))
    return failure();
  Extents shape = g.shapeOf(input);
  if (g.shapeOf(vector) != Extents{shape[1]})
    return g.fail("expects a vector of " + g.text(shape[1]) +
                  " channels, got " + g.text(g.shapeOf(vector)));
  Extents column(shape.size() - 1, Extent(1));
  column[0] = shape[1];
  FailureOr<Value> spread = g.reshape(vector, column);
  return succeeded(spread) ? widened(g, *spread) : spread;
}

static LogicalResult checkChannels(GraphBuilder &g, Value input,
                                   unsigned least) {
  if (failed(checkFloat(g, input)))
    return failure();
  if (g.rankOf(input) < least)
    return g.fail("expects a tensor of rank " + Twine(least) +
                  " or more, got " + g.text(g.shapeOf(input)));
  return success();
}

/// old * momentum + current * (1 - momentum)
static FailureOr<Value> blended(GraphBuilder &g, Value old, Value current,
                                double momentum, Type element) {
  FailureOr<Value> result =
      g.elementwise({old, current}, elementOf(current),
                    [&](OpBuilder &at, Location loc, ValueRange x) {
                      Scalars s(at, loc);
                      return s.add(s.mul(x[0], s.like(x[0], momentum)),
                                   s.mul(x[1], s.like(x[1], 1.0 - momentum)));
                    });
  return succeeded(result) ? g.cast(*result, element) : result;
}

OperatorResults gatecc::lowerBatchNorm(GraphBuilder &g,
                                       const OperatorCall &call) {
  if (failed(checkChannels(g, call.operand(0), 2)))
    return failure();
  Extents shape = g.shapeOf(call.operand(0));
  FailureOr<Value> input = widened(g, call.operand(0));
  SmallVector<Value> vectors;
  for (unsigned i = 1; i < 5; ++i) {
    FailureOr<Value> vector = perChannel(g, call.operand(i), call.operand(0));
    if (failed(vector))
      return failure();
    vectors.push_back(*vector);
  }
  Value average = vectors[2], variance = vectors[3];
  SmallVector<Value> running;
  if (call.integer("training_mode", 0) != 0) {
    SmallVector<int64_t> axes{0};
    for (unsigned dim = 2; dim < shape.size(); ++dim)
      axes.push_back(dim);
    FailureOr<Value> current = mean(g, *input, axes, /*ofSquares=*/false);
    FailureOr<Value> centered =
        succeeded(current) ? difference(g, *input, *current) : current;
    FailureOr<Value> spread = succeeded(centered)
                                  ? mean(g, *centered, axes, /*ofSquares=*/true)
                                  : centered;
    if (failed(spread))
      return failure();
    double momentum = call.number("momentum", 0.9);
    for (auto [index, value] :
         llvm::enumerate(SmallVector<Value>{*current, *spread})) {
      FailureOr<Value> flat = g.reshape(value, {shape[1]});
      FailureOr<Value> old = widened(g, call.operand(3 + index));
      if (failed(flat) || failed(old))
        return failure();
      FailureOr<Value> mixed =
          blended(g, *old, *flat, momentum, elementOf(call.operand(3 + index)));
      if (failed(mixed))
        return failure();
      running.push_back(*mixed);
    }
    average = *current;
    variance = *spread;
  }
  FailureOr<Value> centered = difference(g, *input, average);
  FailureOr<Value> inverse =
      inverseRoot(g, variance, call.number("epsilon", 1e-5));
  if (failed(centered) || failed(inverse))
    return failure();
  FailureOr<Value> result = scaled(g, *centered, *inverse, vectors[0],
                                   vectors[1], elementOf(call.operand(0)));
  if (failed(result))
    return failure();
  SmallVector<Value> results{*result};
  results.append(running);
  return results;
}

/// InstanceNormalization, and GroupNormalization: the channels of a group are
/// normalized together.
OperatorResults gatecc::lowerGroupNorm(GraphBuilder &g,
                                       const OperatorCall &call) {
  if (failed(checkChannels(g, call.operand(0), 3)))
    return failure();
  Extents shape = g.shapeOf(call.operand(0));
  bool grouped = call.op == "GroupNormalization";
  Extent groups = grouped ? Extent(call.integer("num_groups", 0)) : shape[1];
  if (groups.isConstant() && groups.getConstant() < 1)
    return g.fail("expects num_groups above 0");
  std::optional<Extent> channels = shape[1].dividedBy(groups);
  if (!channels)
    return g.fail("cannot divide " + g.text(shape[1]) + " channels into " +
                  g.text(groups) + " groups");
  Extents flat{shape[0], groups,
               *channels * productOf(ArrayRef(shape).drop_front(2))};
  FailureOr<Value> given = widened(g, call.operand(0));
  FailureOr<Value> input = succeeded(given) ? g.reshape(*given, flat) : given;
  FailureOr<Value> average =
      succeeded(input) ? mean(g, *input, 2, /*ofSquares=*/false) : input;
  FailureOr<Value> centered =
      succeeded(average) ? difference(g, *input, *average) : average;
  FailureOr<Value> variance = succeeded(centered)
                                  ? mean(g, *centered, 2, /*ofSquares=*/true)
                                  : centered;
  FailureOr<Value> inverse =
      succeeded(variance)
          ? inverseRoot(g, *variance, call.number("epsilon", 1e-5))
          : variance;
  if (failed(inverse))
    return failure();
  // Before opset 21 the scale and bias of a GroupNormalization are its groups'.
  if (grouped && call.version < 21) {
    FailureOr<Value> scale = perChannel(g, call.operand(1), *input);
    FailureOr<Value> bias = perChannel(g, call.operand(2), *input);
    if (failed(scale) || failed(bias))
      return failure();
    FailureOr<Value> result = scaled(g, *centered, *inverse, *scale, *bias,
                                     elementOf(call.operand(0)));
    if (failed(result))
      return failure();
    return one(g.reshape(*result, shape));
  }
  FailureOr<Value> normal =
      g.elementwise({*centered, *inverse}, elementOf(*centered),
                    [](OpBuilder &at, Location loc, ValueRange x) {
                      return Scalars(at, loc).mul(x[0], x[1]);
                    });
  FailureOr<Value> scale = perChannel(g, call.operand(1), *given);
  FailureOr<Value> bias = perChannel(g, call.operand(2), *given);
  if (failed(normal) || failed(scale) || failed(bias))
    return failure();
  FailureOr<Value> apart = g.reshape(*normal, shape);
  if (failed(apart))
    return failure();
  FailureOr<Value> result =
      g.elementwise({*apart, *scale, *bias}, elementOf(*apart),
                    [](OpBuilder &at, Location loc, ValueRange x) {
                      Scalars s(at, loc);
                      return s.add(s.mul(x[0], x[1]), x[2]);
                    });
  if (failed(result))
    return failure();
  return one(g.cast(*result, elementOf(call.operand(0))));
}

/// Vectors of norm 0 stay 0.
OperatorResults gatecc::lowerLpNorm(GraphBuilder &g, const OperatorCall &call) {
  Value given = call.operand(0);
  if (failed(checkFloat(g, given)))
    return failure();
  FailureOr<int64_t> axis =
      axisOf(g, call.integer("axis", -1), g.rankOf(given));
  FailureOr<Value> input = widened(g, given);
  if (failed(axis) || failed(input))
    return failure();
  int64_t p = call.integer("p", 2);
  if (p != 1 && p != 2)
    return g.fail("supports p = 1 and p = 2, got " + Twine(p));
  Type element = elementOf(*input);
  Value sum = g.reduce(*input, *axis, /*keepDims=*/true, g.scalar(element, 0),
                       [&](OpBuilder &at, Location loc, ValueRange x) {
                         Scalars s(at, loc);
                         return s.add(x[1], s.absolutePower(x[0], p));
                       });
  FailureOr<Value> result = g.elementwise(
      {*input, sum}, element, [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value norm = s.root(x[1], p), zero = s.like(norm, 0);
        return s.select(s.equal(norm, zero), zero, s.div(x[0], norm));
      });
  if (failed(result))
    return failure();
  return one(g.cast(*result, elementOf(given)));
}

OperatorResults gatecc::lowerMeanVarianceNorm(GraphBuilder &g,
                                              const OperatorCall &call) {
  Value given = call.operand(0);
  if (failed(checkFloat(g, given)))
    return failure();
  SmallVector<int64_t> axes =
      call.integers("axes").value_or(SmallVector<int64_t>{0, 2, 3});
  for (int64_t &axis : axes) {
    FailureOr<int64_t> positive = axisOf(g, axis, g.rankOf(given));
    if (failed(positive))
      return failure();
    axis = *positive;
  }
  llvm::sort(axes);
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  FailureOr<Value> input = widened(g, given);
  FailureOr<Value> average =
      succeeded(input) ? mean(g, *input, axes, /*ofSquares=*/false) : input;
  FailureOr<Value> centered =
      succeeded(average) ? difference(g, *input, *average) : average;
  FailureOr<Value> variance = succeeded(centered)
                                  ? mean(g, *centered, axes, /*ofSquares=*/true)
                                  : centered;
  if (failed(variance))
    return failure();
  FailureOr<Value> result =
      g.elementwise({*centered, *variance}, elementOf(*centered),
                    [](OpBuilder &at, Location loc, ValueRange x) {
                      Scalars s(at, loc);
                      Value deviation = math::SqrtOp::create(at, loc, x[1]);
                      return s.div(x[0], s.add(deviation, s.like(x[0], 1e-9)));
                    });
  if (failed(result))
    return failure();
  return one(g.cast(*result, elementOf(given)));
}

/// x / (bias + alpha / size * sum of squares of `size` channels around it)^beta
OperatorResults gatecc::lowerLRN(GraphBuilder &g, const OperatorCall &call) {
  Value given = call.operand(0);
  if (failed(checkChannels(g, given, 2)))
    return failure();
  int64_t size = call.integer("size", 0);
  if (size < 1 || size > (int64_t(1) << 30))
    return g.fail("expects a size above 0");
  FailureOr<Value> input = widened(g, given);
  if (failed(input))
    return failure();
  Extents shape = g.shapeOf(*input);
  Type element = elementOf(*input);
  unsigned rank = shape.size();
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  iterators.push_back(utils::IteratorType::reduction);
  SmallVector<AffineExpr> outer;
  SmallVector<Value> sizes;
  for (unsigned dim = 0; dim < rank; ++dim) {
    outer.push_back(g.getBuilder().getAffineDimExpr(dim));
    sizes.push_back(g.materialize(shape[dim]));
  }
  AffineMap maps[] = {
      AffineMap::get(rank + 1, 0, g.getBuilder().getAffineDimExpr(rank)),
      AffineMap::get(rank + 1, 0, outer, g.getContext())};
  // Nothing is read of the first tensor; its extent is the window's.
  Value sum =
      g.generic(g.empty(Extent(size), g.getBuilder().getI8Type()),
                g.filled(shape, g.scalar(element, 0)), maps, iterators,
                [&](OpBuilder &at, Location loc, ValueRange x) {
                  Scalars s(at, loc);
                  SmallVector<Value> places;
                  for (unsigned dim = 0; dim < rank; ++dim)
                    places.push_back(linalg::IndexOp::create(at, loc, dim));
                  Value offset = linalg::IndexOp::create(at, loc, rank);
                  places[1] = s.sub(s.add(places[1], offset),
                                    s.like(offset, double((size - 1) / 2)));
                  Value v = readInside(at, loc, *input, places, sizes,
                                       s.number(element, 0));
                  return SmallVector<Value>{s.add(x[1], s.mul(v, v))};
                })
          .front();
  double alpha = call.number("alpha", 1e-4) / double(size),
         beta = call.number("beta", 0.75), bias = call.number("bias", 1.0);
  FailureOr<Value> result = g.elementwise(
      {*input, sum}, element, [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value base =
            s.add(s.like(x[1], bias), s.mul(s.like(x[1], alpha), x[1]));
        return s.div(x[0],
                     math::PowFOp::create(at, loc, base, s.like(base, beta)));
      });
  if (failed(result))
    return failure();
  return one(g.cast(*result, elementOf(given)));
}
