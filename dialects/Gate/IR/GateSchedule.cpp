// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers and memory effects of the schedule and kernel level ops.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace gatecc::gate;

#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateSchedule.cpp.inc"

/// Destination style: buffers among the inputs are read, inits are read and
/// written; tensors have no effects.
static void
addDestinationEffects(DestinationStyleOpInterface op,
                      SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    effects.emplace_back(MemoryEffects::Read::get(), &operand,
                         SideEffects::DefaultResource::get());
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand,
                           SideEffects::DefaultResource::get());
  }
}

void PackedContractOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
}

void RuntimeCallOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
  // Without a destination the call is there for what it records.
  if (getInits().empty())
    effects.emplace_back(MemoryEffects::Write::get(), SideEffects::DefaultResource::get());
}

void PlanTensorsOp::build(OpBuilder &builder, OperationState &state, Value plan) {
  auto type = cast<PlanType>(plan.getType());
  Type i32 = builder.getI32Type();
  int64_t dynamic = ShapedType::kDynamic, choices = type.getChoices();
  build(builder, state,
        {RankedTensorType::get({type.getGroups() + 1}, i32),
         RankedTensorType::get({dynamic}, i32),
         RankedTensorType::get({dynamic, choices}, i32),
         RankedTensorType::get({dynamic, choices}, builder.getF32Type())},
        plan);
}

LogicalResult PackedContractOp::verify() {
  auto rows = cast<ShapedType>(getRows().getType());
  auto packed = cast<ShapedType>(getPacked().getType());
  if (packed.getRank() != 4 || rows.getRank() != 2 ||
      packed.getDimSize(2) != rows.getDimSize(1)) // C1
    return emitOpError("expects packed weights [G, P, K, W * lanes] for rows [R, K], got ")
           << packed << " and " << rows;
  Block &block = getEpilogue().front();
  if (block.getNumArguments() <= getExtras().size() ||
      packed.getDimSize(3) != int64_t(getNumWeights() * getLanes())) // C2
    return emitOpError("expects panels of ")
           << "accumulators * lanes columns, got " << packed;
  if (!getOffsets() && packed.getDimSize(0) != 1) // C3
    return emitOpError("expects one group of weights without offsets, got ") << packed;
  if (bool(getResult()) != isa<RankedTensorType>(getInit().getType())) // C4
    return emitOpError("expects a result exactly if its destination is a tensor");
  if (getExtents().size() != getExtras().size())
    return emitOpError("expects an extent for each extra operand");
  return success();
}

LogicalResult RuntimeCallOp::verify() {
  unsigned tensors = llvm::count_if(getInits(), [](Value v) {
    return isa<RankedTensorType>(v.getType());
  });
  if (tensors != getTensors().size() || (tensors && tensors != getInits().size())) // C1
    return emitOpError("expects a result for each destination tensor");
  return success();
}
