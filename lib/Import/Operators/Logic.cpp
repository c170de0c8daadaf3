// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Comparisons, logic and Where. A comparison with NaN is false.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

OperatorResults gatecc::lowerCompare(GraphBuilder &g,
                                     const OperatorCall &call) {
  bool isBool = call.op == "Equal" && elementOf(call.operand(0)).isInteger(1);
  if (failed(isBool ? checkBool(g, call.operands)
                    : checkNumbers(g, call.operands)))
    return failure();
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  auto [ordered, integer] = call.op == "Equal"     ? std::pair(F::OEQ, I::eq)
                            : call.op == "Greater" ? std::pair(F::OGT, I::sgt)
                            : call.op == "GreaterOrEqual"
                                ? std::pair(F::OGE, I::sge)
                            : call.op == "Less" ? std::pair(F::OLT, I::slt)
                                                : std::pair(F::OLE, I::sle);
  F onFloats = ordered;
  I onIntegers = integer;
  return one(g.elementwise(
      call.operands, g.getBuilder().getI1Type(),
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        if (isa<FloatType>(x[0].getType()))
          return arith::CmpFOp::create(at, loc, onFloats, x[0], x[1]);
        return arith::CmpIOp::create(at, loc, onIntegers, x[0], x[1]);
      }));
}

OperatorResults gatecc::lowerLogic(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkBool(g, call.operands)))
    return failure();
  return one(
      g.elementwise(call.operands, g.getBuilder().getI1Type(),
                    [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
                      if (call.op == "And")
                        return arith::AndIOp::create(at, loc, x[0], x[1]);
                      if (call.op == "Or")
                        return arith::OrIOp::create(at, loc, x[0], x[1]);
                      if (call.op == "Xor")
                        return arith::XOrIOp::create(at, loc, x[0], x[1]);
                      return arith::XOrIOp::create(
                          at, loc, x[0], Scalars(at, loc).like(x[0], 1));
                    }));
}

OperatorResults gatecc::lowerWhere(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkBool(g, call.operand(0))))
    return failure();
  Type element = elementOf(call.operand(1));
  if (elementOf(call.operand(2)) != element)
    return g.fail("expects two inputs of one element type");
  return one(
      g.elementwise(call.operands, element,
                    [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
                      return arith::SelectOp::create(at, loc, x[0], x[1], x[2]);
                    }));
}

OperatorResults gatecc::lowerIsNaN(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkFloat(g, call.operand(0))))
    return failure();
  return one(
      g.elementwise(call.operands, g.getBuilder().getI1Type(),
                    [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
                      return Scalars(at, loc).isNaN(x[0]);
                    }));
}

OperatorResults gatecc::lowerIsInf(GraphBuilder &g, const OperatorCall &call) {
  if (failed(checkFloat(g, call.operand(0))))
    return failure();
  bool positive = call.integer("detect_positive", 1) != 0;
  bool negative = call.integer("detect_negative", 1) != 0;
  return one(g.elementwiseWide(
      call.operands, g.getBuilder().getI1Type(),
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Scalars s(at, loc);
        double infinity = std::numeric_limits<double>::infinity();
        Value isHigh = s.equal(x[0], s.like(x[0], infinity));
        Value isLow = s.equal(x[0], s.like(x[0], -infinity));
        Value no = s.number(at.getI1Type(), 0);
        return arith::OrIOp::create(at, loc, positive ? isHigh : no,
                                    negative ? isLow : no);
      }));
}
