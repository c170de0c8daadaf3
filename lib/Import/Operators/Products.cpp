// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// MatMul and Gemm: gate.contract where the right side is constant.
#include "lib/Import/Operators/Families.h"

using namespace mlir;
using namespace gatecc;

OperatorResults gatecc::lowerMatMul(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkNumbers(g, call.operands)))
    return failure();
  return one(g.matmul(call.operand(0), call.operand(1)));
}

OperatorResults gatecc::lowerGemm(GraphBuilder &g, const OperatorCall &call) {
  Value a = call.operand(0), b = call.operand(1), c = call.operand(2);
  SmallVector<Value> given{a, b};
  if (c)
    given.push_back(c);
  if (failed(checkNumbers(g, given)))
    return failure();
  if (g.rankOf(a) != 2 || g.rankOf(b) != 2)
    return g.fail("expects matrices, got the shapes " + g.text(g.shapeOf(a)) +
                  " and " + g.text(g.shapeOf(b)));
  if (call.integer("transA", 0))
    a = g.transpose(a, {1, 0});
  if (call.integer("transB", 0))
    b = g.transpose(b, {1, 0});
  double alpha = call.number("alpha", 1.0), beta = call.number("beta", 1.0);
  Type element = elementOf(a);
  if (beta == 0.0) // ONNX: C does not count then, whatever it holds.
    c = {};
  // Rounded once, at the end.
  bool isLast = !c && alpha == 1.0;
  FailureOr<Value> product =
      g.matmul(a, b, isLast ? element : gate::computedIn(element));
  if (failed(product))
    return failure();
  if (!isa<FloatType>(element) &&
      (alpha != double(int64_t(alpha)) || beta != double(int64_t(beta))))
    return g.fail("expects whole numbers for alpha and beta where the inputs "
                  "are integers");
  if (isLast)
    return one(product);
  SmallVector<Value> operands{*product};
  if (c)
    operands.push_back(c);
  FailureOr<Value> result = g.elementwiseWide(
      operands, element, [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value value = alpha == 1.0 ? x[0] : s.mul(s.like(x[0], alpha), x[0]);
        if (c)
          value = s.add(value,
                        beta == 1.0 ? x[1] : s.mul(s.like(x[1], beta), x[1]));
        return value;
      });
  if (failed(result))
    return failure();
  if (g.shapeOf(*result) != g.shapeOf(*product))
    return g.fail("the shape " + g.text(g.shapeOf(c)) +
                  " of C cannot be broadcast to " +
                  g.text(g.shapeOf(*product)));
  return one(result);
}
