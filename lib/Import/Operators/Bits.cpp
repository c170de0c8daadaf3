// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operators on the bits of numbers: shifts, logic bit by bit, BitCast.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace gatecc;

static LogicalResult checkIntegers(GraphBuilder &g, ValueRange operands) {
  if (failed(checkNumbers(g, operands)))
    return failure();
  if (isFloatTensor(operands.front()))
    return g.fail("expects tensors of integers");
  return success();
}

OperatorResults gatecc::lowerBitwise(GraphBuilder &g,
                                     const OperatorCall &call) {
  if (failed(checkIntegers(g, call.operands)))
    return failure();
  return one(
      g.elementwise(call.operands, elementOf(call.operand(0)),
                    [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
                      if (call.op == "BitwiseAnd")
                        return arith::AndIOp::create(at, loc, x[0], x[1]);
                      if (call.op == "BitwiseOr")
                        return arith::OrIOp::create(at, loc, x[0], x[1]);
                      if (call.op == "BitwiseXor")
                        return arith::XOrIOp::create(at, loc, x[0], x[1]);
                      return arith::XOrIOp::create(
                          at, loc, x[0], Scalars(at, loc).like(x[0], -1));
                    }));
}

/// Shifts by less than nothing or by all bits leave only what a long shift
/// would: the sign for a shift to the right, else 0. Unsigned numbers arrive
/// here widened, so that their sign is 0 and bits shifted past their width are
/// cut off afterwards.
OperatorResults gatecc::lowerBitShift(GraphBuilder &g,
                                      const OperatorCall &call) {
  if (failed(checkIntegers(g, call.operands)))
    return failure();
  StringRef direction = call.string("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    return g.fail("expects the direction LEFT or RIGHT");
  Type element = elementOf(call.operand(0));
  int64_t width = element.getIntOrFloatBitWidth();
  return one(g.elementwise(
      call.operands, element,
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Scalars s(at, loc);
        Value zero = s.like(x[0], 0), most = s.like(x[0], double(width - 1));
        Value inside = arith::CmpIOp::create(at, loc, arith::CmpIPredicate::ule,
                                             x[1], most);
        Value count = s.select(inside, x[1], most);
        if (direction == "RIGHT")
          return arith::ShRSIOp::create(at, loc, x[0], count);
        return s.select(inside, arith::ShLIOp::create(at, loc, x[0], count),
                        zero);
      }));
}

OperatorResults gatecc::lowerBitCast(GraphBuilder &g,
                                     const OperatorCall &call) {
  Value input = call.operand(0);
  Type from = elementOf(input);
  Type to = elementOfNumber(g.getContext(), call.integer("to", 0));
  if (!to)
    return g.fail("cannot cast to the ONNX data type " +
                  Twine(call.integer("to", 0)) +
                  ", which gatecc does not support");
  if (from == to)
    return SmallVector<Value>{input};
  // A bool is stored as a byte that is 0 or 1.
  auto bits = [](Type type) {
    return type.isInteger(1) ? 8 : type.getIntOrFloatBitWidth();
  };
  if (bits(from) != bits(to))
    return g.fail("expects types of one width");
  if (from.isInteger(1) || to.isInteger(1))
    return one(g.cast(input, to));
  auto plain = [&](Type type) -> Type {
    auto integer = dyn_cast<IntegerType>(type);
    return integer ? IntegerType::get(g.getContext(), integer.getWidth())
                   : type;
  };
  return one(g.elementwise(
      input, to, [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Value value = x[0];
        auto convert = [&](Type type) {
          if (value.getType() != type)
            value = UnrealizedConversionCastOp::create(at, loc, type, value)
                        .getResult(0);
        };
        convert(plain(from));
        if (plain(from) != plain(to))
          value = arith::BitcastOp::create(at, loc, plain(to), value);
        convert(to);
        return value;
      }));
}
