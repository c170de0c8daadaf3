// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers and memory effects of the schedule and kernel level ops.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

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
    effects.emplace_back(MemoryEffects::Write::get(),
                         SideEffects::DefaultResource::get());
}

void PlanTensorsOp::build(OpBuilder &builder, OperationState &state,
                          Value plan) {
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

PanelLayout PackedContractOp::getLayout() {
  PanelLayout layout = {getFormat(), getNumWeights(),     int64_t(getLanes()),
                        /*k=*/0,     int64_t(getBlock()), getZeros()};
  if (layout.isInteger())
    layout.k =
        cast<ShapedType>(getRowScales().getType()).getDimSize(1) * layout.block;
  else if (layout.hasBf16Rows()) // whole units
    layout.k = cast<ShapedType>(getPacked().getType()).getDimSize(2) *
               layout.unitRows();
  else
    layout.k = cast<ShapedType>(getRows().getType()).getDimSize(1);
  return layout;
}

LogicalResult PackedContractOp::verify() {
  auto rows = cast<ShapedType>(getRows().getType());
  auto packed = cast<ShapedType>(getPacked().getType());
  if (packed.getRank() != 4 || rows.getRank() != 2)
    return emitOpError("expects packed weights of rank 4 for rows of rank 2, "
                       "got ")
           << packed << " and " << rows;
  bool isInteger = PanelLayout{getFormat(), 0, 0, 0}.isInteger();
  if (bool(getRowScales()) != isInteger) // C5
    return emitOpError("expects scales of rows exactly for integer weights");
  Block &block = getEpilogue().front();
  PanelLayout layout = getLayout();
  if (packed.getDimSize(2) != layout.units() ||
      ((isInteger || layout.hasBf16Rows()) &&
       layout.rowElements() != rows.getDimSize(1))) // C1
    return emitOpError("expects as many units of packed weights as rows of ")
           << rows << " need, got " << packed;
  Type element = layout.rowType(rows.getElementType());
  if (rows.getElementType() != element) // C6
    return emitOpError("expects rows of ") << element << ", got " << rows;
  if (getSource() && getFormat() == PanelFormat::Bf16Tiles) // C7
    return emitOpError("expects rows in the order of slots, not a source");
  if (block.getNumArguments() <= getExtras().size() ||
      packed.getDimSize(3) != layout.unitElements()) // C2
    return emitOpError("expects panels of ")
           << "accumulators * lanes columns, got " << packed;
  if (!getOffsets() && packed.getDimSize(0) != 1) // C3
    return emitOpError("expects one group of weights without offsets, got ")
           << packed;
  if (bool(getResult()) != isa<RankedTensorType>(getInit().getType())) // C4
    return emitOpError(
        "expects a result exactly if its destination is a tensor");
  if (getExtents().size() != getExtras().size())
    return emitOpError("expects an extent for each extra operand");
  return success();
}

LogicalResult RuntimeCallOp::verify() {
  unsigned tensors = llvm::count_if(
      getInits(), [](Value v) { return isa<RankedTensorType>(v.getType()); });
  if (tensors != getTensors().size() ||
      (tensors && tensors != getInits().size())) // C1
    return emitOpError("expects a result for each destination tensor");
  for (Value operand : getOperands()) // C2
    if (auto type = dyn_cast<MemRefType>(operand.getType()))
      if (!type.areTrailingDimsContiguous(type.getRank()))
        return emitOpError("expects contiguous buffers, got ") << type;
  return success();
}

LogicalResult TasksOp::verify() {
  Block &block = getBody().front();
  if (block.getNumArguments() != 1 ||
      !block.getArgument(0).getType().isIndex()) // C1
    return emitOpError("expects a body that takes one index");
  return success();
}

LogicalResult PlanTensorsOp::verify() {
  PlanType plan = getPlan().getType();
  auto matches = [](Value value, ArrayRef<int64_t> shape, auto isElement) {
    auto type = cast<RankedTensorType>(value.getType());
    return type.getShape() == shape && isElement(type.getElementType());
  };
  auto isI32 = [](Type type) { return type.isInteger(32); };
  auto isF32 = [](Type type) { return type.isF32(); };
  int64_t dynamic = ShapedType::kDynamic;
  if (!matches(getOffsets(), {plan.getGroups() + 1}, isI32) ||
      !matches(getSource(), {dynamic}, isI32) ||
      !matches(getInverse(), {dynamic, plan.getChoices()}, isI32) ||
      !matches(getWeights(), {dynamic, plan.getChoices()}, isF32)) // C1
    return emitOpError("expects the tensors of ")
           << plan << ", got " << getResultTypes();
  return success();
}

LogicalResult SymbolOp::verify() {
  if (int64_t(getIndex()) < 0) // C1
    return emitOpError("expects an index that is not negative, got ")
           << int64_t(getIndex());
  return success();
}

/// One size for each dynamic extent of a buffer that begins at a bare pointer.
static LogicalResult verifyBuffer(Operation *op, Type type,
                                  OperandRange sizes) {
  auto buffer = dyn_cast<MemRefType>(type);
  if (!buffer || !buffer.getLayout().isIdentity() ||
      size_t(buffer.getNumDynamicDims()) != sizes.size())
    return op->emitOpError(
               "expects a ranked buffer without layout and one size for each "
               "dynamic extent, got ")
           << type << " and " << sizes.size() << " sizes";
  return success();
}

LogicalResult PortOp::verify() { // C1
  return verifyBuffer(*this, getResult().getType(), getSizes());
}

LogicalResult ArenaOp::verify() { // C1
  return verifyBuffer(*this, getResult().getType(), getSizes());
}

LogicalResult AllocateOp::verify() { // C1
  return verifyBuffer(*this, getResult().getType(), getSizes());
}

LogicalResult WeightBufferOp::verifySymbolUses(SymbolTableCollection &tables) {
  Operation *symbol = tables.lookupNearestSymbolFrom(*this, getWeightAttr());
  Type type;
  if (auto weight = dyn_cast_or_null<WeightOp>(symbol))
    type = weight.getType();
  else if (auto packed = dyn_cast_or_null<PackedWeightOp>(symbol))
    type = packed.getType();
  auto want = dyn_cast_or_null<RankedTensorType>(type);
  auto have = dyn_cast<MemRefType>(getResult().getType());
  if (!want || !have || want.getShape() != have.getShape() ||
      want.getElementType() != have.getElementType()) // C1
    return emitOpError(
               "expects a gate.weight or gate.packed_weight of the result's "
               "shape and element type, got ")
           << getWeightAttr();
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &tables) {
  auto callee = dyn_cast_or_null<FunctionOpInterface>(
      tables.lookupNearestSymbolFrom(*this, getCalleeAttr()));
  SmallVector<Type> types(getCaptures().getTypes());
  types.push_back(IndexType::get(getContext()));
  if (!callee || callee.getArgumentTypes() != ArrayRef<Type>(types) ||
      callee.getNumResults() != 0) // C1
    return emitOpError("expects a function of the captures and an index, got ")
           << getCalleeAttr();
  return success();
}

/// What loads and stores of AMX need of their buffer.
static LogicalResult verifyAmxMove(Operation *op, MemRefType buffer,
                                   ValueRange indices) {
  SmallVector<int64_t> strides;
  int64_t offset;
  if (int64_t(indices.size()) != buffer.getRank() || indices.empty() ||
      failed(buffer.getStridesAndOffset(strides, offset)) ||
      strides.back() != 1) // C2
    return op->emitOpError("expects an index for each dimension of a buffer "
                           "with contiguous rows, got ")
           << indices.size() << " for " << buffer;
  return success();
}

LogicalResult AmxLoadOp::verify() {
  return verifyAmxMove(*this, getBuffer().getType(), getIndices());
}

LogicalResult AmxStoreOp::verify() {
  return verifyAmxMove(*this, getBuffer().getType(), getIndices());
}

LogicalResult AmxDotBf16Op::verify() {
  if (getAcc() == getA() || getAcc() == getB() || getA() == getB()) // C1
    return emitOpError("expects three registers, got ")
           << getAcc() << ", " << getA() << " and " << getB();
  return success();
}
