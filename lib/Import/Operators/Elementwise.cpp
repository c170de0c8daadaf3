// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise arithmetic: one linalg.generic for each operator.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace gatecc;

OperatorResults gatecc::lowerArithmetic(GraphBuilder &g,
                                        const OperatorCall &call) {
  if (failed(checkNumbers(g, call.operands)))
    return failure();
  return one(
      g.elementwise(call.operands, elementOf(call.operand(0)),
                    [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
                      Scalars s(at, loc);
                      switch (call.op.front()) {
                      case 'A':
                        return s.add(x[0], x[1]);
                      case 'S':
                        return s.sub(x[0], x[1]);
                      case 'M':
                        return s.mul(x[0], x[1]);
                      default:
                        return s.div(x[0], x[1]);
                      }
                    }));
}

/// An op of more operands would become a function of as many parameters.
static constexpr size_t maxOperands = 32;

/// Min, Max, Sum and Mean of any number of tensors, from left to right.
OperatorResults gatecc::lowerExtremum(GraphBuilder &g,
                                      const OperatorCall &call) {
  if (failed(checkNumbers(g, call.operands)))
    return failure();
  Type element = elementOf(call.operand(0));
  // What is rounded is the result only.
  Type between = isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32
                     ? g.getBuilder().getF32Type()
                     : element;
  SmallVector<Value> part;
  for (auto [index, operand] : llvm::enumerate(call.operands)) {
    part.push_back(operand);
    bool isLast = index + 1 == call.operands.size();
    if (!isLast && part.size() < maxOperands)
      continue;
    FailureOr<Value> result = g.elementwiseWide(
        part, isLast ? element : between,
        [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
          Scalars s(at, loc);
          Value result = x.front();
          for (Value next : x.drop_front())
            result = call.op == "Min"   ? s.min(result, next)
                     : call.op == "Max" ? s.max(result, next)
                                        : s.add(result, next);
          if (call.op == "Mean" && isLast)
            result =
                s.div(result, s.like(result, double(call.operands.size())));
          return result;
        });
    if (failed(result))
      return failure();
    part.assign(1, *result);
  }
  return one(part.front());
}

OperatorResults gatecc::lowerUnary(GraphBuilder &g, const OperatorCall &call) {
  Value input = call.operand(0);
  bool onIntegers = call.op == "Abs" || call.op == "Neg" || call.op == "Sign";
  if (failed(onIntegers ? checkNumbers(g, input) : checkFloat(g, input)))
    return failure();
  return one(g.elementwiseWide(
      input, elementOf(input),
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Scalars s(at, loc);
        Value v = x.front();
        StringRef op = call.op;
        if (op == "Abs")
          return s.abs(v);
        if (op == "Neg")
          return s.neg(v);
        if (op == "Sign") {
          Value zero = s.like(v, 0);
          Value negative =
              s.select(s.less(v, zero), s.like(v, -1), v); // 0 and NaN stay
          return s.select(s.less(zero, v), s.like(v, 1), negative);
        }
        if (op == "Reciprocal")
          return s.div(s.like(v, 1), v);
        if (op == "Sqrt")
          return math::SqrtOp::create(at, loc, v);
        if (op == "Exp")
          return math::ExpOp::create(at, loc, v);
        if (op == "Log")
          return math::LogOp::create(at, loc, v);
        if (op == "Erf")
          return math::ErfOp::create(at, loc, v);
        if (op == "Sin")
          return math::SinOp::create(at, loc, v);
        if (op == "Cos")
          return math::CosOp::create(at, loc, v);
        if (op == "Tan")
          return math::TanOp::create(at, loc, v);
        if (op == "Asin")
          return math::AsinOp::create(at, loc, v);
        if (op == "Acos")
          return math::AcosOp::create(at, loc, v);
        if (op == "Atan")
          return math::AtanOp::create(at, loc, v);
        if (op == "Sinh")
          return math::SinhOp::create(at, loc, v);
        if (op == "Cosh")
          return math::CoshOp::create(at, loc, v);
        if (op == "Asinh")
          return math::AsinhOp::create(at, loc, v);
        if (op == "Acosh")
          return math::AcoshOp::create(at, loc, v);
        if (op == "Atanh")
          return math::AtanhOp::create(at, loc, v);
        if (op == "Floor")
          return math::FloorOp::create(at, loc, v);
        if (op == "Ceil")
          return math::CeilOp::create(at, loc, v);
        return math::RoundEvenOp::create(at, loc, v); // Round
      }));
}

/// Squares and multiplies, bit by bit of the exponent; overflow wraps. A
/// negative exponent gives the quotient 1 / x^n rounded to zero, and 0 for x =
/// 0.
static OperatorResults integerPower(GraphBuilder &g, Value base,
                                    Value exponent) {
  Type element = elementOf(base);
  FailureOr<Value> power = g.cast(exponent, g.getBuilder().getI64Type());
  if (failed(power))
    return failure();
  return one(g.elementwise(
      {base, *power}, element,
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Scalars s(at, loc);
        Value one = s.like(x[0], 1), zero = s.like(x[0], 0);
        Value none = s.like(x[1], 0), unit = s.like(x[1], 1);
        Value negative = s.less(x[1], none);
        Value count = s.select(negative, s.neg(x[1]), x[1]);
        auto loop = scf::WhileOp::create(
            at, loc, TypeRange{element, element, count.getType()},
            ValueRange{one, x[0], count},
            [&](OpBuilder &in, Location where, ValueRange state) {
              // The smallest int64 has no absolute value: != ends there, too.
              Value more = arith::CmpIOp::create(
                  in, where, arith::CmpIPredicate::ne, state[2], none);
              scf::ConditionOp::create(in, where, more, state);
            },
            [&](OpBuilder &in, Location where, ValueRange state) {
              Scalars t(in, where);
              Value odd = arith::AndIOp::create(in, where, state[2], unit);
              Value product = t.select(t.equal(odd, unit),
                                       t.mul(state[0], state[1]), state[0]);
              Value rest = arith::ShRUIOp::create(in, where, state[2], unit);
              scf::YieldOp::create(
                  in, where,
                  ValueRange{product, t.mul(state[1], state[1]), rest});
            });
        Value result = loop.getResult(0);
        Value inverse = s.select(s.equal(x[0], zero), zero, s.div(one, result));
        return s.select(negative, inverse, result);
      }));
}

OperatorResults gatecc::lowerPow(GraphBuilder &g, const OperatorCall &call) {
  Value base = call.operand(0), exponent = call.operand(1);
  if (failed(checkNumbers(g, base)) || failed(checkNumbers(g, exponent)))
    return failure();
  Type element = elementOf(base);
  DenseElementsAttr constant = g.constantValue(exponent);
  if (constant && constant.isSplat() && g.rankOf(exponent) <= g.rankOf(base)) {
    double value = isFloatTensor(exponent)
                       ? constant.getSplatValue<APFloat>().convertToDouble()
                       : double(constant.getSplatValue<APInt>().getSExtValue());
    if (value == 2.0)
      return one(g.elementwise(
          {base, exponent}, element,
          [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
            return Scalars(at, loc).mul(x[0], x[0]);
          }));
  }
  if (!isFloatTensor(base) && !isFloatTensor(exponent))
    return integerPower(g, base, exponent);
  // An integer base is raised in f64, which holds every int32, and cut to its
  // type.
  Type wide = isFloatTensor(base) ? element : g.getBuilder().getF64Type();
  FailureOr<Value> from = g.cast(base, wide), power = g.cast(exponent, wide);
  if (failed(from) || failed(power))
    return failure();
  FailureOr<Value> result = g.elementwiseWide(
      {*from, *power}, wide,
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        return math::PowFOp::create(at, loc, x[0], x[1]);
      });
  if (failed(result))
    return failure();
  return one(g.cast(*result, element));
}

OperatorResults gatecc::lowerMod(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkNumbers(g, call.operands)))
    return failure();
  bool truncated = call.integer("fmod", 0) != 0;
  return one(g.elementwiseWide(
      call.operands, elementOf(call.operand(0)),
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Scalars s(at, loc);
        if (isa<FloatType>(x[0].getType())) {
          Value rest = arith::RemFOp::create(at, loc, x[0], x[1]);
          if (truncated)
            return rest;
          // The sign of the divisor, also of a rest 0.
          Value zero = s.like(x[0], 0);
          Value signs = arith::XOrIOp::create(at, loc, s.less(rest, zero),
                                              s.less(x[1], zero));
          Value wrong = arith::AndIOp::create(
              at, loc, signs,
              arith::CmpFOp::create(at, loc, arith::CmpFPredicate::ONE, rest,
                                    zero));
          Value moved = s.select(wrong, s.add(rest, x[1]), rest);
          Value none = math::CopySignOp::create(at, loc, zero, x[1]);
          return s.select(s.equal(rest, zero), none, moved);
        }
        Value zero = s.like(x[0], 0);
        APInt divisor;
        if (matchPattern(x[1], m_ConstantInt(&divisor)) && !divisor.isZero() &&
            !divisor.isAllOnes()) {
          Value rest = arith::RemSIOp::create(at, loc, x[0], x[1]);
          if (truncated)
            return rest;
          Value differ =
              divisor.isNegative() ? s.less(zero, rest) : s.less(rest, zero);
          return s.select(differ, s.add(rest, x[1]), rest);
        }
        Value none = s.equal(x[1], zero);
        Value rest = s.sub(x[0], s.mul(s.div(x[0], x[1]), x[1]));
        rest = s.select(none, zero, rest);
        if (truncated)
          return rest;
        // The sign of the divisor.
        Value differ = arith::XOrIOp::create(at, loc, s.less(rest, zero),
                                             s.less(x[1], zero));
        Value nonzero = arith::CmpIOp::create(at, loc, arith::CmpIPredicate::ne,
                                              rest, zero);
        return s.select(arith::AndIOp::create(at, loc, differ, nonzero),
                        s.add(rest, x[1]), rest);
      }));
}

OperatorResults gatecc::lowerClip(GraphBuilder &g, const OperatorCall &call) {
  SmallVector<Value> operands{call.operand(0)};
  Type element = elementOf(operands.front());
  Value low = call.operand(1), high = call.operand(2);
  if (call.version < 11) {
    auto bound = [&](StringRef name) -> Value {
      if (!call.has(name))
        return {};
      auto type = RankedTensorType::get({}, element);
      return g.constant(
          DenseElementsAttr::get(type, Attribute(g.getBuilder().getFloatAttr(
                                           element, call.number(name, 0)))));
    };
    if (failed(checkFloat(g, operands.front())))
      return failure();
    low = bound("min");
    high = bound("max");
  }
  for (Value bound : {low, high})
    if (bound) {
      if (g.rankOf(bound) > 0 && !productOf(g.shapeOf(bound)).isOne())
        return g.fail("expects scalar bounds");
      FailureOr<Value> scalar = g.reshape(bound, {});
      if (failed(scalar))
        return failure();
      operands.push_back(*scalar);
    }
  if (failed(checkNumbers(g, operands)))
    return failure();
  return one(
      g.elementwise(operands, element,
                    [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
                      Scalars s(at, loc);
                      Value result = x[0];
                      if (low)
                        result = s.max(result, x[1]);
                      if (high)
                        result = s.min(result, x.back());
                      return result;
                    }));
}

Type gatecc::elementOfNumber(MLIRContext *context, int64_t number) {
  Builder b(context);
  switch (number) {
  case 1:
    return b.getF32Type();
  case 2:
    return b.getIntegerType(8, /*isSigned=*/false);
  case 3:
    return b.getI8Type();
  case 4:
    return b.getIntegerType(16, /*isSigned=*/false);
  case 5:
    return b.getI16Type();
  case 6:
    return b.getI32Type();
  case 7:
    return b.getI64Type();
  case 9:
    return b.getI1Type();
  case 10:
    return b.getF16Type();
  case 11:
    return b.getF64Type();
  case 12:
    return b.getIntegerType(32, /*isSigned=*/false);
  case 13:
    return b.getIntegerType(64, /*isSigned=*/false);
  case 16:
    return b.getBF16Type();
  default:
    return {};
  }
}

OperatorResults gatecc::lowerCast(GraphBuilder &g, const OperatorCall &call) {
  Type element = elementOfNumber(g.getContext(), call.integer("to", 0));
  if (!element)
    return g.fail("cannot cast to the ONNX data type " +
                  Twine(call.integer("to", 0)));
  return one(g.cast(call.operand(0), element));
}

OperatorResults gatecc::lowerCastLike(GraphBuilder &g,
                                      const OperatorCall &call) {
  return one(g.cast(call.operand(0), elementOf(call.operand(1))));
}

OperatorResults gatecc::lowerIdentity(GraphBuilder &g,
                                      const OperatorCall &call) {
  return SmallVector<Value>{call.operand(0)};
}

OperatorResults gatecc::lowerDropout(GraphBuilder &g,
                                     const OperatorCall &call) {
  if (Value training = call.operand(2)) {
    auto known = g.knownConstants(training);
    if (!known || known->size() != 1 || known->front() != 0)
      return g.fail("gatecc supports only a training_mode that is constant and "
                    "false; export the model for inference");
  }
  Value data = call.operand(0);
  SmallVector<Value> results{data};
  if (call.numResults > 1)
    results.push_back(
        g.filled(g.shapeOf(data), g.scalar(g.getBuilder().getI1Type(), 1)));
  return results;
}
