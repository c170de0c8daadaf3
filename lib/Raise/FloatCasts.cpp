// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise ops that change the float type and nothing else.
#include "FloatCasts.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

Value raise::matchFloatCast(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 1 || op->getNumResults() != 1 ||
      !llvm::all_of(op.getIndexingMapsArray(),
                    [](AffineMap map) { return map.isIdentity(); }) ||
      !llvm::hasNItems(op.getBody()->begin(), op.getBody()->end(), 2))
    return {};
  Operation *scalar =
      op.getBody()->getTerminator()->getOperand(0).getDefiningOp();
  return isa_and_nonnull<arith::ExtFOp, arith::TruncFOp>(scalar) &&
                 scalar->getOperand(0) == op.getBody()->getArgument(0)
             ? op.getDpsInputs()[0]
             : Value();
}

Value raise::withoutFloatCasts(Value value) {
  while (Value source = matchFloatCast(value))
    value = source;
  return value;
}

Value raise::withoutWidening(Value value) {
  while (Value source = matchFloatCast(value)) {
    if (!typeOf(value).getElementType().isF32())
      break;
    value = source;
  }
  return value;
}

void raise::forEachUserBehindFloatCasts(Value value,
                                        function_ref<void(Operation *)> visit) {
  SmallVector<Value> open{value};
  while (!open.empty())
    for (Operation *user : open.pop_back_val().getUsers())
      if (user->getNumResults() == 1 && matchFloatCast(user->getResult(0)))
        open.push_back(user->getResult(0));
      else
        visit(user);
}

Value raise::castFloats(OpBuilder &builder, Location loc, Value value,
                        Type element, ArrayRef<OpFoldResult> sizes) {
  Type from = typeOf(value).getElementType();
  if (from == element)
    return value;
  bool isWider = element.getIntOrFloatBitWidth() > from.getIntOrFloatBitWidth();
  Value init = tensor::EmptyOp::create(builder, loc, sizes, element);
  AffineMap identity = builder.getMultiDimIdentityMap(sizes.size());
  return linalg::GenericOp::create(
             builder, loc, init.getType(), value, init,
             ArrayRef<AffineMap>{identity, identity},
             SmallVector<utils::IteratorType>(sizes.size(),
                                              utils::IteratorType::parallel),
             [&](OpBuilder &at, Location where, ValueRange x) {
               Value number =
                   isWider ? arith::ExtFOp::create(at, where, element, x[0])
                                 .getResult()
                           : arith::TruncFOp::create(at, where, element, x[0])
                                 .getResult();
               linalg::YieldOp::create(at, where, number);
             })
      .getResult(0);
}

Value raise::castFloats(OpBuilder &builder, Location loc, Value value,
                        Type element) {
  if (typeOf(value).getElementType() == element)
    return value;
  return castFloats(builder, loc, value, element,
                    tensor::getMixedSizes(builder, loc, value));
}
