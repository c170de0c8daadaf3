// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Repeats the scalar arithmetic of a region on vectors: the same ops in the
// same order, so each lane has the bits that the scalar code would have.
#include "lib/Lowering/Cpu/VectorizeBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

bool gatecc::isVectorizableBody(Block &body) {
  return llvm::all_of(body.without_terminator(), [](Operation &op) {
    return isa<arith::ConstantOp>(op) ||
           OpTrait::hasElementwiseMappableTraits(&op);
  });
}

Value gatecc::broadcastTo(OpBuilder &builder, Location loc, Value value,
                          int64_t width) {
  if (isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(
      builder, loc, VectorType::get({width}, value.getType()), value);
}

void gatecc::cloneOp(OpBuilder &builder, Operation &op, IRMapping &mapping,
                     int64_t width) {
  if (width == 0 || isa<arith::ConstantOp>(op)) {
    builder.clone(op, mapping);
    return;
  }
  SmallVector<Value> operands;
  for (Value operand : op.getOperands())
    operands.push_back(broadcastTo(builder, op.getLoc(),
                                   mapping.lookupOrDefault(operand), width));
  SmallVector<Type> types;
  for (Type type : op.getResultTypes())
    types.push_back(VectorType::get({width}, type));
  OperationState state(op.getLoc(), op.getName(), operands, types,
                       op.getAttrs());
  state.propertiesAttr = op.getPropertiesAsAttribute();
  Operation *clone = builder.create(state);
  mapping.map(op.getResults(), clone->getResults());
}

void gatecc::cloneBody(OpBuilder &builder, Block &body, IRMapping &mapping,
                       int64_t width) {
  for (Operation &op : body.without_terminator())
    cloneOp(builder, op, mapping, width);
}
