// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Activations, each one linalg.generic; f16 and bf16 are computed in f32.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

static Value activation(OpBuilder &at, Location loc, Value x,
                        const OperatorCall &call) {
  Scalars s(at, loc);
  StringRef op = call.op;
  auto alpha = [&](double absent) {
    return s.like(x, call.number("alpha", absent));
  };
  Value zero = s.like(x, 0);
  if (op == "Relu")
    return s.relu(x);
  if (op == "Sigmoid")
    return s.sigmoid(x);
  if (op == "Tanh")
    return math::TanhOp::create(at, loc, x);
  if (op == "FastGelu" ||
      (op == "Gelu" && call.string("approximate", "none") == "tanh"))
    return s.geluTanh(x);
  if (op == "Gelu" || op == "BiasGelu")
    return s.gelu(x);
  if (op == "Swish")
    return s.silu(x, call.number("alpha", 1.0));
  if (op == "QuickGelu")
    return s.silu(x, call.number("alpha", 1.702));
  if (op == "LeakyRelu")
    return s.select(s.less(x, zero), s.mul(alpha(0.01), x), x);
  if (op == "Elu")
    return s.select(s.less(x, zero),
                    s.mul(alpha(1.0), math::ExpM1Op::create(at, loc, x)), x);
  if (op == "Selu") {
    Value a = s.like(x, call.number("alpha", 1.67326319217681884765625));
    Value gamma = s.like(x, call.number("gamma", 1.05070102214813232421875));
    Value low = s.mul(a, math::ExpM1Op::create(at, loc, x));
    return s.mul(gamma, s.select(s.less(zero, x), x, low));
  }
  if (op == "Celu") {
    Value a = alpha(1.0);
    Value low = s.mul(a, math::ExpM1Op::create(at, loc, s.div(x, a)));
    return s.add(s.max(zero, x), s.min(zero, low));
  }
  if (op == "HardSigmoid") {
    Value line =
        s.add(s.mul(alpha(0.2), x), s.like(x, call.number("beta", 0.5)));
    return s.max(zero, s.min(s.like(x, 1), line));
  }
  if (op == "HardSwish") {
    Value line = s.add(s.mul(s.like(x, 1.0 / 6.0), x), s.like(x, 0.5));
    return s.mul(x, s.max(zero, s.min(s.like(x, 1), line)));
  }
  if (op == "Softplus")
    return s.softplus(x);
  if (op == "Mish")
    return s.mul(x, math::TanhOp::create(at, loc, s.softplus(x)));
  if (op == "Softsign")
    return s.div(x, s.add(s.like(x, 1), s.abs(x)));
  if (op == "Shrink") {
    Value limit = s.like(x, call.number("lambd", 0.5));
    Value bias = s.like(x, call.number("bias", 0.0));
    Value low = s.select(s.less(x, s.neg(limit)), s.add(x, bias), zero);
    return s.select(s.less(limit, x), s.sub(x, bias), low);
  }
  // ThresholdedRelu: a comparison with NaN is false, so NaN gives 0.
  return s.select(s.less(alpha(1.0), x), x, zero);
}

OperatorResults gatecc::lowerActivation(GraphBuilder &g,
                                        const OperatorCall &call) {
  Value input = call.operand(0);
  if (call.operand(1)) { // FastGelu's and BiasGelu's bias
    if (failed(checkNumbers(g, call.operands)))
      return failure();
    FailureOr<Value> sum =
        g.elementwise(call.operands, elementOf(input),
                      [&](OpBuilder &at, Location loc, ValueRange x) {
                        return Scalars(at, loc).add(x[0], x[1]);
                      });
    if (failed(sum))
      return failure();
    input = *sum;
  }
  if (call.op == "Relu" && !isFloatTensor(input)) {
    if (failed(checkNumbers(g, input)))
      return failure();
  } else if (failed(checkFloat(g, input))) {
    return failure();
  }
  return one(g.elementwiseWide(input, elementOf(input),
                               [&](OpBuilder &at, Location loc, ValueRange x) {
                                 return activation(at, loc, x.front(), call);
                               }));
}

OperatorResults gatecc::lowerSwiGLU(GraphBuilder &g, const OperatorCall &call) {
  Value gate = call.operand(0), value = call.operand(1);
  if (failed(checkFloat(g, gate)) || failed(checkNumbers(g, call.operands)))
    return failure();
  if (g.shapeOf(gate) != g.shapeOf(value))
    return g.fail("expects inputs of one shape, got " +
                  g.text(g.shapeOf(gate)) + " and " + g.text(g.shapeOf(value)));
  double alpha = call.number("alpha", 1.0);
  return one(g.elementwiseWide(call.operands, elementOf(gate),
                               [&](OpBuilder &at, Location loc, ValueRange x) {
                                 Scalars s(at, loc);
                                 return s.mul(s.silu(x[0], alpha), x[1]);
                               }));
}

OperatorResults gatecc::lowerPRelu(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkNumbers(g, call.operands)))
    return failure();
  return one(g.elementwise(call.operands, elementOf(call.operand(0)),
                           [&](OpBuilder &at, Location loc, ValueRange x) {
                             Scalars s(at, loc);
                             return s.select(s.less(x[0], s.like(x[0], 0)),
                                             s.mul(x[1], x[0]), x[0]);
                           }));
}
