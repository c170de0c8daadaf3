// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Softmax and the normalizations over trailing dimensions, computed in f32 or
// wider.
#include "lib/Import/Operators/Normalization.h"

#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

FailureOr<Value> gatecc::softmax(GraphBuilder &g, Value input, int64_t axis,
                                 bool isLog) {
  Type element = elementOf(input);
  Value largest =
      g.reduce(input, axis, /*keepDims=*/true, g.constant(lowest(element)),
               [](OpBuilder &at, Location loc, ValueRange x) {
                 return Scalars(at, loc).max(x[0], x[1]);
               });
  auto shifted = [](OpBuilder &at, Location loc, ValueRange x) {
    return Scalars(at, loc).sub(x[0], x[1]);
  };
  auto exponential = [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
    return math::ExpOp::create(at, loc, shifted(at, loc, x));
  };
  FailureOr<Value> powers =
      g.elementwise({input, largest}, element, exponential);
  if (failed(powers))
    return failure();
  Value sum = g.reduce(*powers, axis, /*keepDims=*/true, g.scalar(element, 0),
                       [](OpBuilder &at, Location loc, ValueRange x) {
                         return Scalars(at, loc).add(x[1], x[0]);
                       });
  if (!isLog)
    return g.elementwise({*powers, sum}, element,
                         [](OpBuilder &at, Location loc, ValueRange x) {
                           return Scalars(at, loc).div(x[0], x[1]);
                         });
  return g.elementwise({input, largest, sum}, element,
                       [&](OpBuilder &at, Location loc, ValueRange x) {
                         Value log = math::LogOp::create(at, loc, x[2]);
                         return Scalars(at, loc).sub(shifted(at, loc, x), log);
                       });
}

OperatorResults gatecc::lowerSoftmax(GraphBuilder &g,
                                     const OperatorCall &call) {
  if (failed(checkFloat(g, call.operand(0))))
    return failure();
  Extents shape = g.shapeOf(call.operand(0));
  bool flattens =
      call.version < 13; // Older opsets softmax over all later dimensions.
  int64_t given = call.integer("axis", flattens ? 1 : -1), rank = shape.size();
  if (flattens && given == rank) // an inner extent of 1
    return g.fail("axis " + Twine(given) + " is out of range");
  FailureOr<int64_t> axis = axisOf(g, given, rank);
  FailureOr<Value> input = widened(g, call.operand(0));
  if (failed(axis) || failed(input))
    return failure();
  if (flattens && *axis != rank - 1) {
    Extent outer = productOf(ArrayRef(shape).take_front(*axis));
    Extent inner = productOf(ArrayRef(shape).drop_front(*axis));
    input = g.reshape(*input, {outer, inner});
    if (failed(input))
      return failure();
    *axis = 1;
  }
  FailureOr<Value> result = softmax(g, *input, *axis, call.op == "LogSoftmax");
  if (failed(result))
    return failure();
  result = g.reshape(*result, shape);
  if (failed(result))
    return failure();
  return one(g.cast(*result, elementOf(call.operand(0))));
}

FailureOr<Value> gatecc::mean(GraphBuilder &g, Value input,
                              ArrayRef<int64_t> axes, bool ofSquares) {
  Type element = elementOf(input);
  Extents shape = g.shapeOf(input);
  Extent count(1);
  for (int64_t axis : axes)
    count *= shape[axis];
  Value sum =
      g.reduce(input, axes, /*keepDims=*/true, g.scalar(element, 0),
               [&](OpBuilder &at, Location loc, ValueRange x) {
                 Scalars s(at, loc);
                 return s.add(x[1], ofSquares ? s.mul(x[0], x[0]) : x[0]);
               });
  FailureOr<Value> divisor = g.countTensor(count, element);
  if (failed(divisor))
    return failure();
  return g.elementwise({sum, *divisor}, element,
                       [](OpBuilder &at, Location loc, ValueRange x) {
                         return Scalars(at, loc).div(x[0], x[1]);
                       });
}

FailureOr<Value> gatecc::inverseRoot(GraphBuilder &g, Value variance,
                                     double epsilon) {
  return g.elementwise(variance, elementOf(variance),
                       [&](OpBuilder &at, Location loc, ValueRange x) {
                         Scalars s(at, loc);
                         Value sum = s.add(x[0], s.like(x[0], epsilon));
                         return s.div(s.like(sum, 1),
                                      math::SqrtOp::create(at, loc, sum));
                       });
}

FailureOr<Value> gatecc::difference(GraphBuilder &g, Value a, Value b) {
  return g.elementwise({a, b}, elementOf(a),
                       [](OpBuilder &at, Location loc, ValueRange x) {
                         return Scalars(at, loc).sub(x[0], x[1]);
                       });
}

FailureOr<Value> gatecc::scaled(GraphBuilder &g, Value input, Value inverse,
                                Value scale, Value bias, Type element) {
  SmallVector<Value> operands{input, inverse, scale};
  if (bias)
    operands.push_back(bias);
  for (Value operand : ArrayRef(operands).drop_front(2))
    if (failed(checkFloat(g, operand)) ||
        failed(checkComputedAs(g, operand, input)))
      return failure();
  FailureOr<Value> result =
      g.elementwiseWide(operands, elementOf(input),
                        [&](OpBuilder &at, Location loc, ValueRange x) {
                          Scalars s(at, loc);
                          Value value = s.mul(s.mul(x[0], x[1]), x[2]);
                          return bias ? s.add(value, x[3]) : value;
                        });
  if (failed(result))
    return failure();
  if (g.shapeOf(*result) != g.shapeOf(input))
    return g.fail("the shape of the scale or bias cannot be broadcast to " +
                  g.text(g.shapeOf(input)));
  return g.cast(*result, element);
}

namespace {
/// What is normalized, in the type that it is computed in, and the axes over
/// which it is: `axis` and all after it.
struct Normalized {
  Value input;
  SmallVector<int64_t> axes;
};
} // namespace

static FailureOr<Normalized> normalized(GraphBuilder &g,
                                        const OperatorCall &call) {
  Value given = call.operand(0);
  if (failed(checkFloat(g, given)))
    return failure();
  int64_t rank = g.rankOf(given);
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", -1), rank);
  FailureOr<Value> input = widened(g, given);
  if (failed(axis) || failed(input))
    return failure();
  return Normalized{*input, llvm::to_vector(llvm::seq(*axis, rank))};
}

OperatorResults gatecc::lowerLayerNorm(GraphBuilder &g,
                                       const OperatorCall &call) {
  FailureOr<Normalized> x = normalized(g, call);
  if (failed(x))
    return failure();
  FailureOr<Value> average = mean(g, x->input, x->axes, /*ofSquares=*/false);
  if (failed(average))
    return failure();
  FailureOr<Value> centered = difference(g, x->input, *average);
  if (failed(centered))
    return failure();
  FailureOr<Value> variance = mean(g, *centered, x->axes, /*ofSquares=*/true);
  if (failed(variance))
    return failure();
  FailureOr<Value> inverse =
      inverseRoot(g, *variance, call.number("epsilon", 1e-5));
  if (failed(inverse))
    return failure();
  FailureOr<Value> result = scaled(g, *centered, *inverse, call.operand(1),
                                   call.operand(2), elementOf(call.operand(0)));
  if (failed(result))
    return failure();
  return SmallVector<Value>{*result, *average, *inverse};
}

/// com.microsoft's SkipLayerNormalization and SkipSimplifiedLayerNormalization:
/// the norm of input + skip (+ bias), and that sum.
OperatorResults gatecc::lowerSkipNorm(GraphBuilder &g,
                                      const OperatorCall &call) {
  bool simplified = call.op == "SkipSimplifiedLayerNormalization";
  Value beta = simplified ? Value() : call.operand(3);
  Value bias = call.operand(simplified ? 3 : 4);
  SmallVector<Value> terms{call.operand(0), call.operand(1)};
  if (bias)
    terms.push_back(bias);
  if (failed(checkNumbers(g, terms)))
    return failure();
  FailureOr<Value> sum = g.elementwiseWide(
      terms, elementOf(terms[0]),
      [](OpBuilder &at, Location loc, ValueRange x) {
        Value total = Scalars(at, loc).add(x[0], x[1]);
        return x.size() > 2 ? Scalars(at, loc).add(total, x[2]) : total;
      });
  if (failed(sum))
    return failure();
  if (g.shapeOf(*sum) != g.shapeOf(terms[0]))
    return g.fail("the shape of skip or bias cannot be broadcast to " +
                  g.text(g.shapeOf(terms[0])));
  SmallVector<Value> operands{*sum, call.operand(2)};
  if (beta)
    operands.push_back(beta);
  OperatorCall norm = call;
  norm.operands = operands;
  SmallVector<NamedAttribute> attributes(call.attributes.begin(),
                                         call.attributes.end());
  if (!call.has("epsilon")) // ONNX Runtime's own
    attributes.push_back(g.getBuilder().getNamedAttr(
        "epsilon", g.getBuilder().getF32FloatAttr(1e-12f)));
  norm.attributes = g.getBuilder().getDictionaryAttr(attributes);
  OperatorResults made =
      simplified ? lowerRMSNorm(g, norm) : lowerLayerNorm(g, norm);
  if (failed(made))
    return failure();
  // The outputs are y, mean, inverse deviation and the sum.
  SmallVector<Value> results{made->front(), Value(), Value(), *sum};
  results[2] = made->back();
  if (!simplified)
    results[1] = (*made)[1];
  return results;
}

/// RMSNormalization, and ONNX Runtime's name for it.
OperatorResults gatecc::lowerRMSNorm(GraphBuilder &g,
                                     const OperatorCall &call) {
  FailureOr<Normalized> x = normalized(g, call);
  if (failed(x))
    return failure();
  FailureOr<Value> square = mean(g, x->input, x->axes, /*ofSquares=*/true);
  if (failed(square))
    return failure();
  FailureOr<Value> inverse =
      inverseRoot(g, *square, call.number("epsilon", 1e-5));
  if (failed(inverse))
    return failure();
  FailureOr<Value> result = scaled(g, x->input, *inverse, call.operand(1), {},
                                   elementOf(call.operand(0)));
  if (failed(result))
    return failure();
  if (call.op == "RMSNormalization")
    return SmallVector<Value>{*result};
  return SmallVector<Value>{*result, *inverse};
}
