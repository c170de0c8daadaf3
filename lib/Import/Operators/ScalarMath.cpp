// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Scalar functions as arith and math ops.
#include "lib/Import/Operators/ScalarMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;

static bool isFloat(Value x) { return isa<FloatType>(x.getType()); }

Value Scalars::number(Type type, double value) {
  TypedAttr attribute;
  if (isa<FloatType>(type))
    attribute = builder.getFloatAttr(type, value);
  else
    attribute = builder.getIntegerAttr(
        isa<IntegerType>(type) ? IntegerType::get(builder.getContext(),
                                                  type.getIntOrFloatBitWidth())
                               : type,
        int64_t(value));
  if (attribute.getType() != type) { // arith knows signless integers only.
    Value plain = arith::ConstantOp::create(builder, loc, attribute);
    return UnrealizedConversionCastOp::create(builder, loc, type, plain)
        .getResult(0);
  }
  return arith::ConstantOp::create(builder, loc, attribute);
}

Value Scalars::add(Value a, Value b) {
  if (isFloat(a))
    return arith::AddFOp::create(builder, loc, a, b);
  return arith::AddIOp::create(builder, loc, a, b);
}

Value Scalars::sub(Value a, Value b) {
  if (isFloat(a))
    return arith::SubFOp::create(builder, loc, a, b);
  return arith::SubIOp::create(builder, loc, a, b);
}

Value Scalars::mul(Value a, Value b) {
  if (isFloat(a))
    return arith::MulFOp::create(builder, loc, a, b);
  return arith::MulIOp::create(builder, loc, a, b);
}

Value Scalars::div(Value a, Value b) {
  if (isFloat(a))
    return arith::DivFOp::create(builder, loc, a, b);
  APInt divisor;
  if (matchPattern(b, m_ConstantInt(&divisor)) && !divisor.isZero() &&
      !divisor.isAllOnes())
    return arith::DivSIOp::create(builder, loc, a, b);
  // x / 0 and min / -1 trap on some processors: never execute them.
  Value zero = like(a, 0), one = like(a, 1), minus = like(a, -1);
  Value byZero = equal(b, zero), byMinus = equal(b, minus);
  Value safe = select(byZero, one, select(byMinus, one, b));
  Value quotient = arith::DivSIOp::create(builder, loc, a, safe);
  return select(byZero, zero, select(byMinus, sub(zero, a), quotient));
}

Value Scalars::min(Value a, Value b) {
  if (isFloat(a))
    return arith::MinimumFOp::create(builder, loc, a, b);
  return arith::MinSIOp::create(builder, loc, a, b);
}

Value Scalars::max(Value a, Value b) {
  if (isFloat(a))
    return arith::MaximumFOp::create(builder, loc, a, b);
  return arith::MaxSIOp::create(builder, loc, a, b);
}

Value Scalars::neg(Value x) {
  if (isFloat(x))
    return arith::NegFOp::create(builder, loc, x);
  return sub(like(x, 0), x);
}

Value Scalars::abs(Value x) {
  if (isFloat(x))
    return math::AbsFOp::create(builder, loc, x);
  return math::AbsIOp::create(builder, loc, x);
}

Value Scalars::absolutePower(Value x, int64_t p) {
  if (p == 1)
    return abs(x);
  if (p == 2)
    return mul(x, x);
  return math::PowFOp::create(builder, loc, abs(x), like(x, double(p)));
}

Value Scalars::root(Value x, int64_t p) {
  if (p == 1)
    return x;
  if (p == 2)
    return math::SqrtOp::create(builder, loc, x);
  return math::PowFOp::create(builder, loc, x, like(x, 1.0 / double(p)));
}

Value Scalars::less(Value a, Value b) {
  if (isFloat(a))
    return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLT, a, b);
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, a, b);
}

Value Scalars::lessOrEqual(Value a, Value b) {
  if (isFloat(a))
    return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OLE, a, b);
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sle, a, b);
}

Value Scalars::equal(Value a, Value b) {
  if (isFloat(a))
    return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, a, b);
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, a, b);
}

Value Scalars::isNaN(Value x) {
  return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNO, x, x);
}

Value Scalars::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(builder, loc, condition, a, b);
}

Value Scalars::sigmoid(Value x) {
  Value one = like(x, 1);
  return div(one, add(one, math::ExpOp::create(builder, loc, neg(x))));
}

Value Scalars::silu(Value x, double alpha) {
  return mul(x, sigmoid(alpha == 1.0 ? x : mul(like(x, alpha), x)));
}

Value Scalars::gelu(Value x) {
  Value inner = mul(x, like(x, 0.70710678118654752440));
  Value factor = add(like(x, 1), math::ErfOp::create(builder, loc, inner));
  return mul(mul(like(x, 0.5), x), factor);
}

Value Scalars::geluTanh(Value x) {
  Value cube = mul(mul(x, x), x);
  Value inner = mul(like(x, 0.79788456080286535588),
                    add(x, mul(like(x, 0.044715), cube)));
  Value factor = add(like(x, 1), math::TanhOp::create(builder, loc, inner));
  return mul(mul(like(x, 0.5), x), factor);
}

Value Scalars::softplus(Value x) { // log(1 + exp(x)) without overflow
  Value tail = math::ExpOp::create(builder, loc, neg(abs(x)));
  return add(relu(x), math::Log1pOp::create(builder, loc, tail));
}
