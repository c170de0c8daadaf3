// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers of apply, combine and merge.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace gatecc::gate;

#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateWork.cpp.inc"

/// Same element type, and the same extents from dimension `fromA` of `a` and
/// `fromB` of `b` on; a dynamic extent matches a dynamic one only.
static bool sameExtents(RankedTensorType a, int64_t fromA, RankedTensorType b,
                        int64_t fromB) {
  return a && b && a.getRank() >= fromA && b.getRank() >= fromB &&
         a.getElementType() == b.getElementType() &&
         a.getShape().drop_front(fromA) == b.getShape().drop_front(fromB);
}

LogicalResult YieldOp::verify() {
  if (!isa<ApplyOp, ContractOp, PackedContractOp>((*this)->getParentOp())) // C1
    return emitOpError("expects to end a region of apply, contract or "
                       "packed_contract");
  return success();
}

LogicalResult ApplyOp::verify() {
  ArrayRef<int64_t> ranges = getRanges();
  if (ranges.size() != 2 * getBodies().size()) // C2
    return emitOpError("expects a pair of bounds for each of its ")
           << getBodies().size() << " regions, got " << ranges.size()
           << " bounds";
  int64_t last = 0;
  for (unsigned i = 0; i < ranges.size(); i += 2) { // C1
    if (ranges[i] < last || ranges[i + 1] <= ranges[i] ||
        ranges[i + 1] > getPlan().getType().getGroups())
      return emitOpError("expects increasing ranges within the ")
             << getPlan().getType().getGroups() << " groups of the plan, got ["
             << ranges[i] << ", " << ranges[i + 1] << ")";
    last = ranges[i + 1];
  }
  for (auto [index, region] : llvm::enumerate(getBodies())) {
    if (region.empty())
      return emitOpError("expects a block in region ") << index;
    Block &block = region.front();
    unsigned expected =
        getInputs().size() + (index == 0 ? getParams().size() : 0);
    if (block.getNumArguments() != expected) // C3
      return emitOpError("expects ")
             << expected << " arguments in region " << index << ", got "
             << block.getNumArguments();
    for (auto [argument, input] :
         llvm::zip(block.getArguments(), getInputs())) { // C4
      auto have = dyn_cast<RankedTensorType>(argument.getType());
      auto want = cast<RankedTensorType>(input.getType());
      if (want.getRank() < 1 || !sameExtents(have, 1, want, 1) ||
          !have.isDynamicDim(0))
        return emitOpError("region ")
               << index << ": argument " << argument.getType()
               << " does not hold rows of " << want;
    }
    if (index == 0)
      for (auto [argument, param] :
           llvm::zip(block.getArguments().drop_front(getInputs().size()),
                     getParams())) {
        auto have = dyn_cast<RankedTensorType>(argument.getType());
        auto want = cast<RankedTensorType>(param.getType());
        if (want.getRank() < 1 || want.getDimSize(0) != ranges[1] - ranges[0] ||
            !sameExtents(have, 0, want, 1))
          return emitOpError("argument ")
                 << argument.getType() << " is not the slice of one group of "
                 << want << " for " << ranges[1] - ranges[0] << " groups";
      }
    auto yield = dyn_cast<YieldOp>(block.back());
    if (!yield || yield.getNumOperands() != getNumResults())
      return emitOpError("expects region ")
             << index << " to yield " << getNumResults() << " values";
    for (auto [value, result] :
         llvm::zip(yield.getOperands(), getResults())) { // C5
      auto have = dyn_cast<RankedTensorType>(value.getType());
      auto want = cast<RankedTensorType>(result.getType());
      if (want.getRank() < 1 || !sameExtents(have, 1, want, 1))
        return emitOpError("region ")
               << index << " yields " << value.getType()
               << ", which are no rows of the result " << want;
    }
  }
  return success();
}

LogicalResult CombineOp::verify() {
  auto slots = cast<RankedTensorType>(getSlots().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (slots.getRank() != 2 || !isa<FloatType>(slots.getElementType())) // C1
    return emitOpError("expects float slots of rank 2, got ") << slots;
  if (result.getRank() != 2 || !sameExtents(slots, 1, result, 1)) // C2
    return emitOpError("expects a result with the slots' columns, got ")
           << result << " for " << slots;
  return success();
}

LogicalResult MergeOp::verify() {
  PlanType plan = getPlan().getType();
  if (plan.getChoices() != 1) // C1
    return emitOpError("expects a plan with one choice, got ") << plan;
  auto slots = cast<RankedTensorType>(getSlots().getType());
  auto base = cast<RankedTensorType>(getBase().getType());
  if (slots.getRank() < 1 || slots.getRank() != base.getRank() ||
      !sameExtents(slots, 1, base, 1)) // C2
    return emitOpError(
               "expects slots and base that differ in their rows only, got ")
           << slots << " and " << base;
  ArrayRef<int64_t> range = getRange();
  if (range.size() != 2 || range[0] < 0 || range[0] >= range[1] ||
      range[1] > plan.getGroups()) // C3
    return emitOpError("expects 0 <= first < last <= ") << plan.getGroups();
  return success();
}
