// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers of the ops that decide: topk, route, partition.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace gatecc::gate;

#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateDecisions.cpp.inc"

LogicalResult TopKOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto values = cast<RankedTensorType>(getValues().getType());
  auto indices = cast<RankedTensorType>(getIndices().getType());
  if (input.getRank() != 2) // C1
    return emitOpError("expects input of rank 2, got ") << input;
  if (getKAttr() ? bool(getCount()) : !getCount()) // C2
    return emitOpError("expects either k or a count");
  int64_t columns = input.getDimSize(1);
  int64_t k = getKAttr() ? getKAttr().getInt() : ShapedType::kDynamic;
  if (getKAttr() &&
      (k < 0 || (!ShapedType::isDynamic(columns) && k > columns))) // C2
    return emitOpError("expects 0 <= k <= ") << columns << ", got " << k;
  SmallVector<int64_t> shape{input.getDimSize(0), k};
  if (values.getShape() != ArrayRef(shape) ||
      indices.getShape() != ArrayRef(shape) ||
      values.getElementType() != input.getElementType() ||
      !indices.getElementType().isInteger(64)) // C3
    return emitOpError(
               "expects results of shape [T, k] with the input's element "
               "type and i64, got ")
           << values << " and " << indices;
  return success();
}

LogicalResult RouteOp::verify() {
  auto logits = cast<RankedTensorType>(getLogits().getType());
  PlanType plan = getPlan().getType();
  if (logits.getRank() != 2 || !isa<FloatType>(logits.getElementType())) // C1
    return emitOpError("expects float logits of rank 2, got ") << logits;
  if (logits.getDimSize(1) != plan.getGroups()) // C2
    return emitOpError(
               "expects as many logits per row as the plan has groups (")
           << plan.getGroups() << "), got " << logits.getDimSize(1);
  if (getMixing() && (getMixing().getType() != logits ||
                      getScore() != ScoreKind::Identity)) // C4
    return emitOpError("expects mixing of type ")
           << logits << " with the score identity, got "
           << getMixing().getType() << " and "
           << stringifyScoreKind(getScore());
  if ((getSumOffset() && ((getScore() != ScoreKind::Identity &&
                           getScore() != ScoreKind::Sigmoid) ||
                          !getNormalize())) ||
      (getSumMin() && !getSumOffset())) // C5
    return emitOpError("expects a normalised score identity or sigmoid beside "
                       "sum_offset, and sum_offset beside sum_min");
  return success(); // C3 is the plan type's own.
}

LogicalResult PartitionOp::verify() {
  auto selector = cast<RankedTensorType>(getSelector().getType());
  PlanType plan = getPlan().getType();
  if (selector.getRank() < 1 || selector.getRank() > 2 ||
      (selector.getRank() == 2 && selector.getDimSize(1) != 1)) // C1
    return emitOpError("expects one selector for each row, got ") << selector;
  bool predicate = selector.getElementType().isInteger(1);
  if (!predicate && !selector.getElementType().isInteger(32)) // C2
    return emitOpError("expects selectors of type i1 or i32, got ")
           << selector.getElementType();
  if (plan.getChoices() != 1 || (predicate && plan.getGroups() != 2)) // C3
    return emitOpError("expects a plan with one choice")
           << (predicate ? " and two groups" : "") << ", got " << plan;
  if (getStep() && (!predicate || !getSite())) // C4
    return emitOpError("expects a predicate and a site beside a step");
  return success();
}

LogicalResult AssignOp::verify() {
  auto ids = cast<RankedTensorType>(getIds().getType());
  PlanType plan = getPlan().getType();
  if (ids.getRank() != 2 || ids.getDimSize(1) != plan.getChoices() ||
      !(ids.getElementType().isInteger(32) ||
        ids.getElementType().isInteger(64))) // C1
    return emitOpError("expects ids [T, ")
           << plan.getChoices() << "] of type i32 or i64, got " << ids;
  if (getWeights()) {
    auto weights = cast<RankedTensorType>(getWeights().getType());
    if (weights.getRank() != 2 || weights.getDimSize(1) != plan.getChoices() ||
        !weights.getElementType().isF32()) // C2
      return emitOpError("expects weights [T, ")
             << plan.getChoices() << "] of type f32, got " << weights;
  }
  return success();
}
