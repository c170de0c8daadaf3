// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builder and verifier of contract.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace gatecc::gate;

#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateContract.cpp.inc"

void ContractOp::build(OpBuilder &builder, OperationState &state, Type result,
                       Value rows, Value weight) {
  build(builder, state, result, rows, ValueRange{weight}, ValueRange{}, Value(),
        builder.getArrayAttr({}), UnitAttr());
  Type element = cast<RankedTensorType>(result).getElementType();
  OpBuilder::InsertionGuard guard(builder);
  Block *block = builder.createBlock(
      state.regions.front().get(), {},
      {computedIn(getElementTypeOrSelf(rows.getType()))}, {state.location});
  Value sum = block->getArgument(0);
  if (sum.getType() != element)
    sum = arith::TruncFOp::create(builder, state.location, element, sum);
  YieldOp::create(builder, state.location, sum);
}

LogicalResult ContractOp::verify() {
  auto rows = cast<RankedTensorType>(getRows().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  bool grouped = bool(getPlan());
  if (rows.getRank() != 2 || !isa<FloatType>(rows.getElementType())) // C1
    return emitOpError("expects float rows of rank 2, got ") << rows;
  if (getWeights().empty()) // C2
    return emitOpError("expects at least one weight");
  auto weight = cast<RankedTensorType>(getWeights().front().getType());
  for (Value other : getWeights()) // C2
    if (other.getType() != weight)
      return emitOpError("expects weights of one type, got ")
             << weight << " and " << other.getType();
  Type element = weight.getElementType();
  if (element != rows.getElementType() &&
      !(rows.getElementType().isF32() && isNarrowFloat(element))) // C2
    return emitOpError("expects weights of the rows' element type, or f16 or "
                       "bf16 for rows of f32, got ")
           << rows << " and " << weight;
  if (weight.getRank() != (grouped ? 3 : 2))
    return emitOpError("expects weights of rank ")
           << (grouped ? 3 : 2) << ", got " << weight;
  int64_t n = weight.getShape().back(),
          k = weight.getDimSize(weight.getRank() - 2);
  if (rows.getDimSize(1) != k)
    return emitOpError("expects rows with ") << k << " columns, got " << rows;
  if (grouped && weight.getDimSize(0) != getPlan().getType().getGroups())
    return emitOpError("expects a weight for each of the ")
           << getPlan().getType().getGroups() << " groups, got " << weight;
  if (result.getRank() != 2 || result.getDimSize(1) != n) // C5
    return emitOpError("expects a result with ")
           << n << " columns, got " << result;
  if (getExtents().size() != getExtras().size()) // C3
    return emitOpError("expects an extent for each extra operand");
  for (auto [extra, attribute] : llvm::zip(getExtras(), getExtents())) {
    auto extent = dyn_cast<ExtentKindAttr>(attribute);
    auto type = dyn_cast<RankedTensorType>(extra.getType());
    if (!extent)
      return emitOpError("expects #gate.extent attributes, got ") << attribute;
    switch (extent.getValue()) {
    case ExtentKind::Scalar:
      if (type)
        return emitOpError("expects a scalar, got ") << type;
      break;
    case ExtentKind::Column:
      if (!type || type.getRank() != (grouped ? 2 : 1) ||
          type.getShape().back() != n)
        return emitOpError("expects a column operand with ")
               << n << " columns, got " << extra.getType();
      break;
    case ExtentKind::Row:
      if (!type || type.getRank() != 1)
        return emitOpError("expects a row operand of rank 1, got ")
               << extra.getType();
      break;
    case ExtentKind::Full:
      if (!type || type.getRank() != 2 || type.getDimSize(1) != n)
        return emitOpError("expects a full operand with ")
               << n << " columns, got " << extra.getType();
      break;
    }
  }
  Block &block = getEpilogue().front(); // C4
  if (block.getNumArguments() != getWeights().size() + getExtras().size())
    return emitOpError(
        "expects an epilogue argument for each weight and extra");
  for (auto [index, argument] : llvm::enumerate(block.getArguments())) {
    Type want = index < getWeights().size()
                    ? computedIn(rows.getElementType())
                    : getElementTypeOrSelf(
                          getExtras()[index - getWeights().size()].getType());
    if (argument.getType() != want)
      return emitOpError("expects epilogue argument ")
             << index << " to be " << want << ", got " << argument.getType();
  }
  for (Operation &op : block.without_terminator())
    if (!isa<arith::ArithDialect, math::MathDialect>(op.getDialect()) ||
        llvm::any_of(op.getResultTypes(), llvm::IsaPred<ShapedType>))
      return emitOpError(
                 "expects scalar arith and math ops in the epilogue, got ")
             << op.getName();
  auto yield = dyn_cast<YieldOp>(block.back());
  if (!yield || yield.getNumOperands() != 1 ||
      yield.getOperand(0).getType() != result.getElementType())
    return emitOpError("expects the epilogue to yield one ")
           << result.getElementType();
  return success();
}

bool ContractOp::isPlainProduct() {
  if (getPlan() || getWeights().size() != 1 || !getExtras().empty())
    return false;
  Block &block = getEpilogue().front();
  Value yielded = block.getTerminator()->getOperand(0);
  if (auto rounding = yielded.getDefiningOp<arith::TruncFOp>())
    yielded = rounding.getIn();
  return yielded == block.getArgument(0);
}
