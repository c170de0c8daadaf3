// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rounding to integers with a scale and a zero point, back, and the products
// and convolutions of such integers: QuantizeLinear, MatMulInteger,
// QLinearConv, ...
#include "lib/Import/Operators/Convolution.h"
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

/// A scale or zero point as a tensor that broadcasts to `shape`: one number,
/// one for each index of `axis`, or one for each `block` of them.
static FailureOr<Value> spread(GraphBuilder &g, Value parameter,
                               ArrayRef<Extent> shape, int64_t axis,
                               int64_t block) {
  Extents have = g.shapeOf(parameter);
  if (productOf(have).isOne() && block == 0)
    return g.reshape(parameter, {});
  FailureOr<int64_t> positive = axisOf(g, axis, shape.size());
  if (failed(positive))
    return failure();
  if (block == 0) {
    if (have != Extents{shape[*positive]})
      return g.fail("expects one scale and zero point, or " +
                    g.text(shape[*positive]) + ", got " + g.text(have));
    Extents column(shape.size() - *positive, Extent(1));
    column[0] = have[0];
    return g.reshape(parameter, column);
  }
  Extents expected(shape.begin(), shape.end());
  if (block < 1)
    return g.fail("expects a block_size above 0");
  expected[*positive] = g.ceilDivide(shape[*positive], block);
  if (have != expected)
    return g.fail("expects scales and zero points of shape " +
                  g.text(expected) + ", got " + g.text(have));
  return fillPlaces(
      g, shape, elementOf(parameter),
      [&](OpBuilder &at, Location loc, ValueRange indices) -> Value {
        SmallVector<Value> places(indices);
        Value size = arith::ConstantIndexOp::create(at, loc, block);
        places[*positive] =
            arith::DivUIOp::create(at, loc, places[*positive], size);
        return tensor::ExtractOp::create(at, loc, parameter, places);
      });
}

/// round(value / scale) + zero as integers of type `to`, saturating.
static FailureOr<Value> quantized(GraphBuilder &g, Value value, Value scale,
                                  Value zero, Type to) {
  Type element = elementOf(value);
  FailureOr<Value> divisor = g.cast(scale, element);
  FailureOr<Value> offset =
      zero ? g.cast(zero, element)
           : FailureOr<Value>(g.constant(DenseElementsAttr::get(
                 RankedTensorType::get({}, element),
                 Attribute(g.getBuilder().getFloatAttr(element, 0)))));
  if (failed(divisor) || failed(offset))
    return failure();
  FailureOr<Value> rounded =
      g.elementwise({value, *divisor, *offset}, element,
                    [](OpBuilder &at, Location loc, ValueRange x) {
                      Scalars s(at, loc);
                      Value whole =
                          math::RoundEvenOp::create(at, loc, s.div(x[0], x[1]));
                      return s.add(whole, x[2]);
                    });
  return succeeded(rounded) ? g.cast(*rounded, to) : rounded;
}

static LogicalResult checkSmall(GraphBuilder &g, Type type) {
  auto integer = dyn_cast<IntegerType>(type);
  if (!integer || integer.getWidth() < 8 || integer.getWidth() > 16)
    return g.fail("supports only integers of 8 and 16 bits");
  return success();
}

OperatorResults gatecc::lowerQuantizeLinear(GraphBuilder &g,
                                            const OperatorCall &call) {
  Value input = call.operand(0), zero = call.operand(2);
  Type to = zero ? elementOf(zero)
                 : g.getBuilder().getIntegerType(8, /*isSigned=*/false);
  if (int64_t number = call.integer("output_dtype", 0); number && !zero)
    to = elementOfNumber(g.getContext(), number);
  if (!to || failed(checkSmall(g, to)))
    return to ? failure() : g.fail("does not support this output_dtype");
  if (failed(checkFloat(g, input)) || failed(checkFloat(g, call.operand(1))))
    return failure();
  Extents shape = g.shapeOf(input);
  int64_t axis = call.integer("axis", 1), block = call.integer("block_size", 0);
  FailureOr<Value> wide = widened(g, input);
  FailureOr<Value> scale = spread(g, call.operand(1), shape, axis, block);
  FailureOr<Value> offset =
      zero ? spread(g, zero, shape, axis, block) : FailureOr<Value>(Value());
  if (failed(wide) || failed(scale) || failed(offset))
    return failure();
  return one(quantized(g, *wide, *scale, *offset, to));
}

/// value - zero in i32.
static FailureOr<Value> centered(GraphBuilder &g, Value value, Value zero) {
  Type i32 = g.getBuilder().getI32Type();
  FailureOr<Value> wide = g.cast(value, i32);
  if (failed(wide) || !zero)
    return wide;
  FailureOr<Value> offset = g.cast(zero, i32);
  if (failed(offset))
    return failure();
  return g.elementwise({*wide, *offset}, i32,
                       [](OpBuilder &at, Location loc, ValueRange x) {
                         return Scalars(at, loc).sub(x[0], x[1]);
                       });
}

OperatorResults gatecc::lowerDequantizeLinear(GraphBuilder &g,
                                              const OperatorCall &call) {
  Value input = call.operand(0), zero = call.operand(2);
  bool isWide = elementOf(input).isInteger(32);
  if (failed(checkFloat(g, call.operand(1))) ||
      (!isWide && failed(checkSmall(g, elementOf(input)))))
    return failure();
  Extents shape = g.shapeOf(input);
  int64_t axis = call.integer("axis", 1), block = call.integer("block_size", 0);
  Type to = elementOf(call.operand(1));
  if (int64_t number = call.integer("output_dtype", 0))
    to = elementOfNumber(g.getContext(), number);
  if (!isa_and_nonnull<FloatType>(to))
    return g.fail("does not support this output_dtype");
  FailureOr<Value> scale = spread(g, call.operand(1), shape, axis, block);
  FailureOr<Value> offset =
      zero ? spread(g, zero, shape, axis, block) : FailureOr<Value>(Value());
  FailureOr<Value> wide = succeeded(scale) ? widened(g, *scale) : scale;
  FailureOr<Value> whole =
      succeeded(offset) ? centered(g, input, *offset) : offset;
  if (failed(wide) || failed(whole))
    return failure();
  FailureOr<Value> number = g.cast(*whole, elementOf(*wide));
  if (failed(number))
    return failure();
  FailureOr<Value> result =
      g.elementwise({*number, *wide}, elementOf(*wide),
                    [](OpBuilder &at, Location loc, ValueRange x) {
                      return Scalars(at, loc).mul(x[0], x[1]);
                    });
  if (failed(result))
    return failure();
  return one(g.cast(*result, to));
}

OperatorResults gatecc::lowerDynamicQuantizeLinear(GraphBuilder &g,
                                                   const OperatorCall &call) {
  Value input = call.operand(0);
  if (!elementOf(input).isF32())
    return g.fail("supports only tensors of f32");
  Type element = elementOf(input);
  SmallVector<int64_t> axes =
      llvm::to_vector(llvm::seq<int64_t>(0, g.rankOf(input)));
  auto extremum = [&](bool largest) { // of the elements and 0
    return g.reduce(input, axes, /*keepDims=*/false, g.scalar(element, 0),
                    [&](OpBuilder &at, Location loc, ValueRange x) {
                      Scalars s(at, loc);
                      return largest ? s.max(x[1], x[0]) : s.min(x[1], x[0]);
                    });
  };
  Value low = extremum(false), high = extremum(true);
  FailureOr<Value> scale = g.elementwise(
      {high, low}, element, [](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        return s.div(s.sub(x[0], x[1]), s.like(x[0], 255));
      });
  if (failed(scale))
    return failure();
  FailureOr<Value> below = g.elementwise(
      low, element, [](OpBuilder &at, Location loc, ValueRange x) {
        return Scalars(at, loc).neg(x[0]);
      });
  if (failed(below))
    return failure();
  Type to = g.getBuilder().getIntegerType(8, /*isSigned=*/false);
  FailureOr<Value> zero = quantized(g, *below, *scale, {}, to);
  FailureOr<Value> result =
      succeeded(zero) ? quantized(g, input, *scale, *zero, to) : zero;
  if (failed(result))
    return failure();
  return SmallVector<Value>{*result, *scale, *zero};
}

/// The zero point of a matrix: one number, or one for each row or column.
static FailureOr<Value> zeroOfMatrix(GraphBuilder &g, Value zero, Value matrix,
                                     bool ofRows) {
  if (!zero)
    return Value();
  Extents shape = g.shapeOf(matrix);
  if (shape.size() < 2 || productOf(g.shapeOf(zero)).isOne())
    return spread(g, zero, shape, 0, 0);
  return spread(g, zero, shape, ofRows ? -2 : -1, 0);
}

/// (a - zero of a) times (b - zero of b), in i32.
static FailureOr<Value> integerProduct(GraphBuilder &g, Value a, Value aZero,
                                       Value b, Value bZero) {
  if (failed(checkSmall(g, elementOf(a))) ||
      failed(checkSmall(g, elementOf(b))))
    return failure();
  FailureOr<Value> left = zeroOfMatrix(g, aZero, a, /*ofRows=*/true);
  FailureOr<Value> right = zeroOfMatrix(g, bZero, b, /*ofRows=*/false);
  if (failed(left) || failed(right))
    return failure();
  FailureOr<Value> x = centered(g, a, *left), y = centered(g, b, *right);
  if (failed(x) || failed(y))
    return failure();
  return g.matmul(*x, *y);
}

OperatorResults gatecc::lowerMatMulInteger(GraphBuilder &g,
                                           const OperatorCall &call) {
  return one(integerProduct(g, call.operand(0), call.operand(2),
                            call.operand(1), call.operand(3)));
}

/// Sums times the scales of both factors, rounded with the result's scale.
static OperatorResults rescaled(GraphBuilder &g, Value sums, Value aScale,
                                Value bScale, Value scale, Value zero) {
  if (!productOf(g.shapeOf(scale)).isOne() ||
      !productOf(g.shapeOf(zero)).isOne())
    return g.fail("supports only one scale and zero point of the result");
  if (failed(checkFloat(g, scale)) || failed(checkSmall(g, elementOf(zero))))
    return failure();
  Type f32 = g.getBuilder().getF32Type();
  FailureOr<Value> number = g.cast(sums, f32), a = g.cast(aScale, f32),
                   b = g.cast(bScale, f32);
  FailureOr<Value> divisor = g.reshape(scale, {}), offset = g.reshape(zero, {});
  if (failed(number) || failed(a) || failed(b) || failed(divisor) ||
      failed(offset))
    return failure();
  FailureOr<Value> product = g.elementwise(
      {*number, *a, *b}, f32, [](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        return s.mul(x[0], s.mul(x[1], x[2]));
      });
  if (failed(product))
    return failure();
  return one(quantized(g, *product, *divisor, *offset, elementOf(zero)));
}

OperatorResults gatecc::lowerQLinearMatMul(GraphBuilder &g,
                                           const OperatorCall &call) {
  Value a = call.operand(0), b = call.operand(3);
  FailureOr<Value> sums =
      integerProduct(g, a, call.operand(2), b, call.operand(5));
  FailureOr<Value> aScale =
      zeroOfMatrix(g, call.operand(1), a, /*ofRows=*/true);
  FailureOr<Value> bScale =
      zeroOfMatrix(g, call.operand(4), b, /*ofRows=*/false);
  if (failed(sums) || failed(aScale) || failed(bScale))
    return failure();
  return rescaled(g, *sums, *aScale, *bScale, call.operand(6), call.operand(7));
}

/// The convolution of (x - zero of x) with (w - zero of w), in i32.
static FailureOr<Value> integerConvolution(GraphBuilder &g,
                                           const OperatorCall &call, Value x,
                                           Value xZero, Value w, Value wZero) {
  if (failed(checkSmall(g, elementOf(x))) ||
      failed(checkSmall(g, elementOf(w))))
    return failure();
  if (xZero && !productOf(g.shapeOf(xZero)).isOne())
    return g.fail("supports only one zero point of the input");
  FailureOr<Value> left =
      xZero ? g.reshape(xZero, {}) : FailureOr<Value>(Value());
  FailureOr<Value> right =
      wZero ? spread(g, wZero, g.shapeOf(w), 0, 0) : FailureOr<Value>(Value());
  if (failed(left) || failed(right))
    return failure();
  FailureOr<Value> input = centered(g, x, *left),
                   weight = centered(g, w, *right);
  if (failed(input) || failed(weight))
    return failure();
  return convolution(g, call, *input, *weight);
}

OperatorResults gatecc::lowerConvInteger(GraphBuilder &g,
                                         const OperatorCall &call) {
  return one(integerConvolution(g, call, call.operand(0), call.operand(2),
                                call.operand(1), call.operand(3)));
}

OperatorResults gatecc::lowerQLinearConv(GraphBuilder &g,
                                         const OperatorCall &call) {
  FailureOr<Value> sums =
      integerConvolution(g, call, call.operand(0), call.operand(2),
                         call.operand(3), call.operand(5));
  if (failed(sums))
    return failure();
  if (Value bias = call.operand(8)) {
    if (!elementOf(bias).isInteger(32))
      return g.fail("expects a bias of int32");
    FailureOr<Value> column = spread(g, bias, g.shapeOf(*sums), 1, 0);
    if (succeeded(column))
      sums = g.elementwise({*sums, *column}, elementOf(*sums),
                           [](OpBuilder &at, Location loc, ValueRange x) {
                             return Scalars(at, loc).add(x[0], x[1]);
                           });
    if (failed(column) || failed(sums))
      return failure();
  }
  if (!productOf(g.shapeOf(call.operand(1))).isOne())
    return g.fail("supports only one scale of the input");
  FailureOr<Value> xScale = g.reshape(call.operand(1), {});
  FailureOr<Value> wScale = spread(g, call.operand(4), g.shapeOf(*sums), 1, 0);
  if (failed(xScale) || failed(wScale))
    return failure();
  return rescaled(g, *sums, *xScale, *wScale, call.operand(6), call.operand(7));
}
