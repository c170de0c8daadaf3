// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Recognises row conditions and the elementwise logic around them.
#include "gatecc/Raise/RowCondition.h"

#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

std::optional<Elementary> raise::matchElementary(Operation *op) {
  auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
  if (!generic || generic->getNumResults() != 1 ||
      !generic.hasPureTensorSemantics() ||
      generic.getNumParallelLoops() != generic.getNumLoops() ||
      !generic.getIndexingMapMatchingResult(generic->getResult(0)).isIdentity())
    return std::nullopt;
  Block &body = *generic.getBody();
  Value yielded = body.getTerminator()->getOperand(0);
  Elementary match;
  auto addOperand = [&](Value scalar) {
    auto argument = dyn_cast<BlockArgument>(scalar);
    bool isInput = argument && argument.getOwner() == &body &&
                   argument.getArgNumber() < generic.getNumDpsInputs();
    match.inputs.push_back(isInput ? int64_t(argument.getArgNumber()) : -1);
    match.operands.push_back(
        isInput ? generic.getDpsInputs()[argument.getArgNumber()] : Value());
    return isInput;
  };
  Operation *inner = yielded.getDefiningOp();
  if (!inner || inner->getBlock() != &body) {
    match.kind = Elementary::Copy;
    return addOperand(yielded) ? std::optional(match) : std::nullopt;
  }
  if (isa<arith::SelectOp>(inner)) {
    match.kind = Elementary::Select;
    bool hasCondition = addOperand(inner->getOperand(0));
    addOperand(inner->getOperand(1));
    addOperand(inner->getOperand(2));
    return hasCondition ? std::optional(match) : std::nullopt;
  }
  if (!yielded.getType().isInteger(1))
    return std::nullopt;
  if (isa<arith::XOrIOp>(inner)) {
    match.kind = Elementary::Not;
    auto isTrue = [&](Value scalar) {
      if (auto argument = dyn_cast<BlockArgument>(scalar);
          argument && argument.getOwner() == &body)
        scalar = generic->getOperand(argument.getArgNumber());
      return matchPattern(scalar, m_One());
    };
    for (unsigned i : {0u, 1u})
      if (isTrue(inner->getOperand(1 - i)) && addOperand(inner->getOperand(i)))
        return match;
    return std::nullopt;
  }
  if (!isa<arith::AndIOp, arith::OrIOp>(inner))
    return std::nullopt;
  match.kind = isa<arith::AndIOp>(inner) ? Elementary::And : Elementary::Or;
  bool hasLeft = addOperand(inner->getOperand(0));
  bool hasRight = addOperand(inner->getOperand(1));
  return hasLeft && hasRight ? std::optional(match) : std::nullopt;
}

/// One bit per row and nothing else.
static bool hasOneBitPerRow(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.getElementType().isInteger(1) && type.getRank() >= 1 &&
         llvm::all_of(type.getShape().drop_front(),
                      [](int64_t extent) { return extent == 1; });
}

std::optional<ConditionRoot> raise::rowCondition(Value value) {
  auto type =
      dyn_cast_or_null<RankedTensorType>(value ? value.getType() : Type());
  if (!type || type.getRank() < 1 || !type.getElementType().isInteger(1))
    return std::nullopt;
  ConditionRoot root{value, false};
  std::optional<ConditionRoot> best;
  while (true) {
    if (hasOneBitPerRow(root.value))
      best = root;
    Operation *op = root.value.getDefiningOp();
    if (!op)
      return best;
    unsigned operand = 0;
    bool flips = false;
    if (auto match = matchElementary(op);
        match &&
        (match->kind == Elementary::Copy || match->kind == Elementary::Not)) {
      operand = match->inputs[0];
      flips = match->kind == Elementary::Not;
    } else if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                    tensor::CastOp>(op)) {
      return best;
    }
    auto uses =
        followedDims(op, cast<OpResult>(root.value).getResultNumber(), 0);
    if (!uses || !((*uses)[operand] == RowUse{RowUse::Follows, 0}))
      return best;
    root.value = op->getOperand(operand);
    root.negated ^= flips;
  }
}

bool raise::isIdentityOperand(Operation *op, int64_t input) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && input >= 0 &&
         generic.getDpsInputs()[input].getType() ==
             generic->getResult(0).getType() &&
         generic.getIndexingMapsArray()[input].isIdentity();
}
