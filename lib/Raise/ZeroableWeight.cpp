// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows weights back to what makes them zero.
#include "ZeroableWeight.h"

#include "SlotIndex.h"
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Raise/RowCondition.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Weights are a few ops away from what decides; a graph may be any depth.
static constexpr unsigned kMaxDepth = 64;

static std::optional<double> constantOf(Value scalar) {
  FloatAttr constant;
  if (!matchPattern(scalar, m_Constant(&constant)))
    return std::nullopt;
  return constant.getValueAsDouble();
}

ZeroableWeights::Facts ZeroableWeights::factsOf(double number) {
  return {number == 0, number == 0 || number == 1};
}

ZeroableWeights::Facts ZeroableWeights::query(Value tensor, unsigned depth) {
  Operation *op = tensor.getDefiningOp();
  if (!op || depth == kMaxDepth)
    return {};
  if (auto found = known.find(tensor); found != known.end())
    return found->second;
  Facts facts;
  if (DenseFPElementsAttr constant;
      matchPattern(op, m_Constant(&constant)) && constant.isSplat()) {
    facts = factsOf(constant.getSplatValue<APFloat>().convertToDouble());
  } else if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
                 tensor::ExtractSliceOp>(op)) {
    facts = query(op->getOperand(0), depth + 1);
  } else if (auto gather = dyn_cast<gate::GatherNDOp>(op)) {
    facts = query(gather.getData(), depth + 1);
  } else if (isa<gate::ScatterNDOp, gate::ScatterElementsOp>(op)) {
    Value data = isa<gate::ScatterNDOp>(op)
                     ? cast<gate::ScatterNDOp>(op).getData()
                     : cast<gate::ScatterElementsOp>(op).getData();
    facts.isZeroable = query(data, depth + 1).isZeroable;
  } else if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    facts.isZeroable = constantOf(fill.getInputs()[0]) == 0.0;
  } else if (auto generic = dyn_cast<linalg::GenericOp>(op);
             generic && generic->getNumResults() == 1) {
    facts = queryScalar(generic.getBody()->getTerminator()->getOperand(0),
                        generic, depth + 1);
  }
  return known[tensor] = facts;
}

/// The tensor that `value` adds to `other` or, with `Op` a difference, takes it
/// from; null if it is none.
template <typename Op> static Value matchWith(Value value, Value other) {
  linalg::GenericOp op = matchBinary<Op>(value);
  if (!op || !isIdentityOperand(op, 0) || !isIdentityOperand(op, 1))
    return {};
  if (op.getDpsInputs()[1] == other)
    return op.getDpsInputs()[0];
  return std::is_same_v<Op, arith::AddFOp> && op.getDpsInputs()[0] == other
             ? op.getDpsInputs()[1]
             : Value();
}

/// (h + p) - p or (h - p) + p, as gates with a straight-through gradient have
/// it: h, which is 0 where it was. Null for anything else.
static Value straightThrough(Operation *scalar, linalg::GenericOp op) {
  Value sides[2];
  for (unsigned side : {0u, 1u}) {
    auto argument = dyn_cast<BlockArgument>(scalar->getOperand(side));
    if (!argument || argument.getOwner() != op.getBody() ||
        argument.getArgNumber() >= op.getNumDpsInputs() ||
        !isIdentityOperand(op, argument.getArgNumber()))
      return {};
    sides[side] = op.getDpsInputs()[argument.getArgNumber()];
  }
  if (isa<arith::SubFOp>(scalar))
    return matchWith<arith::AddFOp>(sides[0], sides[1]);
  Value first = matchWith<arith::SubFOp>(sides[0], sides[1]);
  return first ? first : matchWith<arith::SubFOp>(sides[1], sides[0]);
}

ZeroableWeights::Facts ZeroableWeights::queryScalar(Value scalar,
                                                    linalg::GenericOp op,
                                                    unsigned depth) {
  if (depth >= kMaxDepth)
    return {};
  if (auto argument = dyn_cast<BlockArgument>(scalar)) {
    bool isInput = argument.getOwner() == op.getBody() &&
                   argument.getArgNumber() < op.getNumDpsInputs();
    return isInput ? query(op.getDpsInputs()[argument.getArgNumber()], depth)
                   : Facts();
  }
  if (std::optional<double> number = constantOf(scalar))
    return factsOf(*number);
  Operation *def = scalar.getDefiningOp();
  auto side = [&](unsigned number) {
    return queryScalar(def->getOperand(number), op, depth + 1);
  };
  if (isa<arith::UIToFPOp, arith::SIToFPOp>(def))
    return {true, isa<arith::UIToFPOp>(def) &&
                      def->getOperand(0).getType().isInteger(1)};
  if (isa<math::FloorOp, math::CeilOp, math::RoundOp, math::RoundEvenOp,
          math::TruncOp>(def))
    return {true, false};
  if (isa<arith::SelectOp>(def)) {
    Facts left = side(1), right = side(2);
    return {left.isZeroable || right.isZeroable, left.isBit && right.isBit};
  }
  if (isa<arith::MulFOp>(def)) {
    Facts left = side(0), right = side(1);
    return {left.isZeroable || right.isZeroable, left.isBit && right.isBit};
  }
  if (isa<arith::AddFOp, arith::SubFOp>(def))
    if (Value gate = straightThrough(def, op))
      return {query(gate, depth + 1).isZeroable, false};
  if (isa<arith::SubFOp>(def)) { // 1 less a bit
    bool isBit = constantOf(def->getOperand(0)) == 1.0 && side(1).isBit;
    return {isBit, isBit};
  }
  if (isa<arith::DivFOp>(def))
    return {side(0).isZeroable, false};
  // Sums of what is chosen, and what is cut off at zero.
  if (isa<arith::AddFOp>(def) && op.getNumReductionLoops() > 0)
    return {side(0).isZeroable || side(1).isZeroable, false};
  if (isa<arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp,
          arith::MinNumFOp>(def))
    return {side(0).isZeroable || side(1).isZeroable, false};
  return {};
}
