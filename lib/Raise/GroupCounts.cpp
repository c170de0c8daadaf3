// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows counts of slots through histograms, running sums and differences.
#include "GroupCounts.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

using Coefficients = SmallVector<int64_t>;

GroupCounts::Sum GroupCounts::countOf(int64_t group) const {
  if (group < 0)
    return std::nullopt;
  Coefficients sum(decision.groups, 0);
  if (group < decision.groups) {
    sum[group] = 1;
    return sum;
  }
  // None, if there is no such id: a histogram may be longer than ids need.
  int64_t ids = SlotFunctions::idCount(decision.ids);
  return ids > 0 && ids <= decision.groups ? Sum(sum) : std::nullopt;
}

const Coefficients *GroupCounts::sumOf(OpFoldResult scalar) {
  if (std::optional<int64_t> constant = getConstantIntValue(scalar)) {
    zero = Coefficients(decision.groups, 0);
    return *constant == 0 ? &*zero : nullptr;
  }
  Value value = cast<Value>(scalar);
  auto it = sums.find(value);
  if (it == sums.end()) {
    Sum sum = compute(value);
    it = sums.try_emplace(value, std::move(sum)).first;
  }
  return it->second ? &*it->second : nullptr;
}

/// Whether a size is the number of slots, tokens times choices.
bool GroupCounts::isSlotCount(OpFoldResult size) {
  auto type = cast<RankedTensorType>(decision.ids.getType());
  SmallVector<int64_t> dims =
      llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
  return isProductOfDims(size, decision.ids, dims);
}

GroupCounts::Sum GroupCounts::compute(Value scalar) {
  Operation *op = scalar.getDefiningOp();
  if (!op)
    return std::nullopt;
  if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::TruncIOp>(op)) {
    const Coefficients *sum = sumOf(op->getOperand(0));
    return sum ? Sum(*sum) : std::nullopt;
  }
  if (auto bound = dyn_cast<gate::BoundOp>(op)) {
    const Coefficients *sum = sumOf(bound->getOperand(0));
    return sum ? Sum(*sum) : std::nullopt;
  }
  if (isa<arith::AddIOp, arith::SubIOp>(op)) {
    const Coefficients *left = sumOf(op->getOperand(0));
    if (!left)
      return std::nullopt;
    Coefficients result = *left;
    const Coefficients *right = sumOf(op->getOperand(1));
    if (!right)
      return std::nullopt;
    for (auto [to, from] : llvm::zip_equal(result, *right))
      to += isa<arith::AddIOp>(op) ? from : -from;
    return result;
  }
  if (isa<arith::MaxSIOp, arith::MinSIOp>(op)) {
    // Sums of counts lie between 0 and the number of slots.
    for (unsigned side : {0u, 1u}) {
      Value other = op->getOperand(1 - side);
      const Coefficients *sum = sumOf(op->getOperand(side));
      if (!sum || llvm::any_of(*sum, [](int64_t c) { return c < 0 || c > 1; }))
        continue;
      if (isa<arith::MaxSIOp>(op) ? matchPattern(other, m_Zero())
                                  : isSlotCount(other))
        return *sum;
    }
    return std::nullopt;
  }
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    // An index that counts from the end if it is negative; a count is not.
    auto compare = select.getCondition().getDefiningOp<arith::CmpIOp>();
    if (!compare || compare.getPredicate() != arith::CmpIPredicate::slt ||
        compare.getLhs() != select.getFalseValue() ||
        !matchPattern(compare.getRhs(), m_Zero()))
      return std::nullopt;
    const Coefficients *sum = sumOf(select.getFalseValue());
    if (!sum || llvm::any_of(*sum, [](int64_t c) { return c < 0; }))
      return std::nullopt;
    return *sum;
  }
  if (auto dim = dyn_cast<tensor::DimOp>(op)) {
    // As many positions as a mask has.
    auto nonzero = dim.getSource().getDefiningOp<gate::NonZeroOp>();
    if (!nonzero || dim.getConstantIndex() != 1)
      return std::nullopt;
    SlotOrder order = functions.orderOf(nonzero.getResult());
    return order && order.ids == decision.ids ? countOf(order.group)
                                              : std::nullopt;
  }
  if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
    SmallVector<int64_t> place;
    for (Value index : extract.getIndices()) {
      std::optional<int64_t> constant = getConstantIntValue(index);
      if (!constant)
        return std::nullopt;
      place.push_back(*constant);
    }
    return computeElement(extract.getTensor(), place);
  }
  return std::nullopt;
}

/// Whether the body of an elementwise op on one input gives back the counts it
/// is given, as changes of type do.
bool GroupCounts::isIdentity(linalg::GenericOp op) {
  if (op.getNumDpsInputs() != 1 || op->getNumResults() != 1 ||
      op.getNumLoops() != op.getNumParallelLoops() ||
      !llvm::all_of(op.getIndexingMapsArray(),
                    [](AffineMap map) { return map.isIdentity(); }))
    return false;
  return llvm::all_of(
      ArrayRef<int64_t>{0, 1, 2, 3, 7, 255, 256, 1 << 15, 1 << 20},
      [&](int64_t number) { return functions.maps(op, number, number); });
}

GroupCounts::Sum GroupCounts::computeElement(Value tensor,
                                             ArrayRef<int64_t> place) {
  auto type = cast<RankedTensorType>(tensor.getType());
  // At most one dimension of more than one element, so that a place is a
  // number whatever the shape.
  int64_t at = 0, wide = 0;
  for (auto [size, index] : llvm::zip_equal(type.getShape(), place)) {
    if (size != 1 && ++wide > 1)
      return std::nullopt;
    at += index;
  }
  auto key = std::pair(tensor, at);
  if (auto it = elements.find(key); it != elements.end())
    return it->second;
  auto compute = [&]() -> Sum {
    Operation *op = tensor.getDefiningOp();
    if (!op)
      return std::nullopt;
    auto element = [&](Value source, int64_t index) {
      SmallVector<int64_t> there;
      for (int64_t size : cast<RankedTensorType>(source.getType()).getShape())
        there.push_back(size == 1 ? 0 : index);
      return computeElement(source, there);
    };
    if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp>(op))
      return element(op->getOperand(0), at);
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
      if (slice.getSourceType().getRank() != 1 || slice.isDynamicOffset(0) ||
          slice.isDynamicStride(0))
        return std::nullopt;
      return element(slice.getSource(),
                     slice.getStaticOffset(0) + at * slice.getStaticStride(0));
    }
    if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
      if (type.getRank() != 1)
        return std::nullopt;
      int64_t rest = at;
      for (Value input : concat.getInputs()) {
        int64_t size = cast<RankedTensorType>(input.getType()).getDimSize(0);
        if (ShapedType::isDynamic(size))
          return std::nullopt;
        if (rest < size) {
          DenseElementsAttr constant;
          if (matchPattern(input, m_Constant(&constant)) &&
              isa<IntegerType>(constant.getElementType()) &&
              constant.getValues<APInt>()[rest].isZero())
            return Coefficients(decision.groups, 0);
          return element(input, rest);
        }
        rest -= size;
      }
      return std::nullopt;
    }
    if (auto cumsum = dyn_cast<gate::CumSumOp>(op)) {
      if (type.getRank() != 1 || type.isDynamicDim(0))
        return std::nullopt;
      int64_t last = cumsum.getExclusive() ? at - 1 : at;
      if (cumsum.getReverse())
        return std::nullopt;
      if (last < 0)
        return Coefficients(decision.groups, 0);
      // The sum before is known already, or becomes so.
      Sum own = element(cumsum.getInput(), last);
      if (!own || at == 0)
        return own;
      Sum before = element(tensor, at - 1);
      if (!before)
        return std::nullopt;
      for (auto [to, from] : llvm::zip_equal(*own, *before))
        to += from;
      return own;
    }
    if (auto scatter = dyn_cast<gate::ScatterElementsOp>(op)) {
      if (type.getRank() != 1 ||
          scatter.getReduction() != gate::Reduction::Add ||
          !isZero(scatter.getData()) || !isFilledWithOne(scatter.getUpdates()))
        return std::nullopt;
      Value ids = scatter.getIndices();
      if (withoutViews(ids) == decision.ids)
        return countOf(at);
      if (!areGroups.contains(ids)) { // Each group asks.
        SlotOrder order = functions.orderOf(ids);
        areGroups[ids] = order && order.group < 0 &&
                         order.ids == decision.ids &&
                         functions.isGroupOf(ids, order, decision);
      }
      return areGroups.lookup(ids) ? countOf(at) : std::nullopt;
    }
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic)
      return std::nullopt;
    if (isIdentity(generic))
      return element(generic.getDpsInputOperand(0)->get(), at);
    // Sums and differences, element by element.
    if (generic.getNumDpsInputs() == 2 &&
        generic.getNumLoops() == generic.getNumParallelLoops() &&
        llvm::all_of(generic.getIndexingMapsArray(),
                     [](AffineMap map) { return map.isIdentity(); })) {
      Block &body = *generic.getBody();
      Operation *last = body.getTerminator()->getOperand(0).getDefiningOp();
      if (!isa_and_nonnull<arith::AddIOp, arith::SubIOp>(last) ||
          last->getOperand(0) != body.getArgument(0) ||
          last->getOperand(1) != body.getArgument(1))
        return std::nullopt;
      Sum left = element(generic.getDpsInputOperand(0)->get(), at),
          right = element(generic.getDpsInputOperand(1)->get(), at);
      if (!left || !right)
        return std::nullopt;
      for (auto [to, from] : llvm::zip_equal(*left, *right))
        to += isa<arith::AddIOp>(last) ? from : -from;
      return left;
    }
    // A sum over tokens (and choices) of what is 1 for one group.
    if (generic.getNumDpsInputs() == 1 && generic.getNumReductionLoops() > 0 &&
        functions.countsGroup(generic, at, decision))
      return countOf(at);
    return std::nullopt;
  };
  Sum result = compute();
  return elements[key] = result;
}

bool GroupCounts::isGroup(OpFoldResult offset, OpFoldResult size,
                          int64_t group) {
  const Coefficients *before = sumOf(offset);
  if (!before)
    return false;
  for (auto [index, coefficient] : llvm::enumerate(*before))
    if (coefficient != (int64_t(index) < group))
      return false;
  const Coefficients *own = sumOf(size);
  if (!own)
    return false;
  for (auto [index, coefficient] : llvm::enumerate(*own))
    if (coefficient != (int64_t(index) == group))
      return false;
  return true;
}

bool GroupCounts::isGroup(Value indices, int64_t group) {
  std::optional<Positions> positions = matchPositions(indices);
  return positions && isGroup(positions->offset, positions->size, group);
}

bool GroupCounts::isAllSlots(OpFoldResult size) {
  const Coefficients *sum = sumOf(size);
  return sum ? llvm::all_of(*sum, [](int64_t c) { return c == 1; })
             : isSlotCount(size);
}

bool GroupCounts::isCertain(Value condition) {
  auto compare = condition.getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return false;
  auto coefficients = [&](Value value) {
    const Coefficients *sum = sumOf(value);
    return sum ? Sum(*sum) : std::nullopt;
  };
  Sum left = coefficients(compare.getLhs()),
      right = coefficients(compare.getRhs());
  auto isPart = [](const Sum &sum) {
    return sum &&
           llvm::all_of(*sum, [](int64_t c) { return c == 0 || c == 1; });
  };
  switch (compare.getPredicate()) {
  case arith::CmpIPredicate::eq:
    return (left && right && *left == *right) ||
           ((left || right) && isAllSlots(compare.getLhs()) &&
            isAllSlots(compare.getRhs()));
  case arith::CmpIPredicate::sge:
    return isPart(left) && matchPattern(compare.getRhs(), m_Zero());
  case arith::CmpIPredicate::sle:
    return isPart(left) && !right && isSlotCount(compare.getRhs());
  default:
    return false;
  }
}
