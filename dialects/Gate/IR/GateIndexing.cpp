// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers of the ops that index by data.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace gatecc::gate;

/// One type that stands for an operand and the result.
static ParseResult parseSameType(OpAsmParser &parser, Type &operand,
                                 Type &result) {
  if (parser.parseType(operand))
    return failure();
  result = operand;
  return success();
}

static void printSameType(OpAsmPrinter &printer, Operation *, Type operand,
                          Type) {
  printer << operand;
}

#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateIndexing.cpp.inc"

static bool isIndexTensor(Value value) {
  Type element = cast<RankedTensorType>(value.getType()).getElementType();
  return element.isInteger(32) || element.isInteger(64);
}

/// What running sums and reductions are computed in.
static bool isNumber(Type element) {
  return element.isF32() || element.isF64() || element.isInteger(32) ||
         element.isInteger(64);
}

LogicalResult NonZeroOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (input.getRank() < 1 || !input.getElementType().isInteger(1)) // C1
    return emitOpError("expects a tensor of i1 of rank 1 or more, got ")
           << input;
  if (result.getRank() != 2 || result.getDimSize(0) != input.getRank() ||
      !result.isDynamicDim(1) || !result.getElementType().isInteger(64)) // C2
    return emitOpError("expects a result of type tensor<")
           << input.getRank() << "x?xi64>, got " << result;
  return success();
}

LogicalResult GatherNDOp::verify() {
  auto data = cast<RankedTensorType>(getData().getType());
  auto indices = cast<RankedTensorType>(getIndices().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  int64_t batch = int64_t(getBatchDims()), rank = indices.getRank();
  if (batch < 0 || batch >= rank || indices.isDynamicDim(rank - 1) ||
      batch + indices.getDimSize(rank - 1) > data.getRank()) // C1
    return emitOpError("expects vectors of at most as many indices as ")
           << data << " has dimensions after " << batch << ", got " << indices;
  if (!isIndexTensor(getIndices())) // C2
    return emitOpError("expects indices of type i32 or i64, got ") << indices;
  SmallVector<int64_t> shape(indices.getShape().drop_back());
  llvm::append_range(
      shape, data.getShape().drop_front(batch + indices.getDimSize(rank - 1)));
  if (failed(verifyCompatibleShape(shape, result.getShape())) ||
      result.getElementType() != data.getElementType()) // C3
    return emitOpError("expects a result of shape [")
           << shape << "] and the data's element type, got " << result;
  return success();
}

LogicalResult ScatterNDOp::verify() {
  auto data = cast<RankedTensorType>(getData().getType());
  auto indices = cast<RankedTensorType>(getIndices().getType());
  auto updates = cast<RankedTensorType>(getUpdates().getType());
  int64_t rank = indices.getRank();
  if (rank < 1 || indices.isDynamicDim(rank - 1) ||
      indices.getDimSize(rank - 1) > data.getRank()) // C1
    return emitOpError("expects vectors of at most as many indices as ")
           << data << " has dimensions, got " << indices;
  if (!isIndexTensor(getIndices())) // C2
    return emitOpError("expects indices of type i32 or i64, got ") << indices;
  SmallVector<int64_t> shape(indices.getShape().drop_back());
  llvm::append_range(shape,
                     data.getShape().drop_front(indices.getDimSize(rank - 1)));
  if (failed(verifyCompatibleShape(shape, updates.getShape())) ||
      updates.getElementType() != data.getElementType() ||
      getResult().getType() != data) // C3
    return emitOpError("expects updates of shape [")
           << shape << "] and a result of the data's type, got " << updates
           << " and " << getResult().getType();
  if (getReduction() != Reduction::None &&
      !isNumber(data.getElementType())) // C4
    return emitOpError("cannot reduce ") << data.getElementType();
  return success();
}

LogicalResult ScatterElementsOp::verify() {
  auto data = cast<RankedTensorType>(getData().getType());
  auto indices = cast<RankedTensorType>(getIndices().getType());
  auto updates = cast<RankedTensorType>(getUpdates().getType());
  if (data.getRank() != indices.getRank() ||
      data.getRank() != updates.getRank() || int64_t(getAxis()) < 0 ||
      int64_t(getAxis()) >= data.getRank()) // C1
    return emitOpError("expects tensors of one rank above the axis, got ")
           << data << ", " << indices << " and " << updates << " with axis "
           << int64_t(getAxis());
  if (!isIndexTensor(getIndices())) // C2
    return emitOpError("expects indices of type i32 or i64, got ") << indices;
  if (failed(verifyCompatibleShape(indices.getShape(), updates.getShape())) ||
      updates.getElementType() != data.getElementType() ||
      getResult().getType() != data) // C3
    return emitOpError("expects updates of the indices' shape and the data's "
                       "element type, got ")
           << updates << " and the result " << getResult().getType();
  if (getReduction() != Reduction::None &&
      !isNumber(data.getElementType())) // C4
    return emitOpError("cannot reduce ") << data.getElementType();
  return success();
}

LogicalResult CumSumOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  if (int64_t(getAxis()) < 0 || int64_t(getAxis()) >= input.getRank()) // C1
    return emitOpError("expects an axis below the rank of ")
           << input << ", got " << int64_t(getAxis());
  if (!isNumber(input.getElementType())) // C2
    return emitOpError("cannot add up ") << input.getElementType();
  if (getResult().getType() != input) // C3
    return emitOpError("expects a result of type ")
           << input << ", got " << getResult().getType();
  return success();
}

LogicalResult CheckOp::verify() {
  if (getValues().size() > 2) // C1
    return emitOpError("expects at most two values, got ")
           << getValues().size();
  return success();
}

LogicalResult CheckOp::canonicalize(CheckOp op, PatternRewriter &rewriter) {
  if (!matchPattern(op.getCondition(), m_One()))
    return rewriter.notifyMatchFailure(op, "its condition may be false");
  rewriter.eraseOp(op);
  return success();
}
