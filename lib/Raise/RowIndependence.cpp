// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row independence of structured ops, read off their indexing maps, and of the
// tensor and gate ops that keep rows apart.
#include "gatecc/Raise/RowIndependence.h"

#include "SlotIndex.h"
#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

using Uses = SmallVector<RowUse>;

static Uses wholeUses(Operation *op) { return Uses(op->getNumOperands()); }

static bool isStatic(Value value, unsigned dim, int64_t extent) {
  return cast<RankedTensorType>(value.getType()).getDimSize(dim) == extent;
}

/// The loops of a structured op are independent in a parallel loop that no
/// operand reads through anything but a plain index.
static std::optional<Uses> followLinalg(linalg::LinalgOp op, unsigned result,
                                        int64_t dim) {
  if (!op.hasPureTensorSemantics())
    return std::nullopt;
  AffineMap resultMap = op.getIndexingMapMatchingResult(op->getResult(result));
  auto loop = dyn_cast<AffineDimExpr>(resultMap.getResult(dim));
  if (!loop || op.getIteratorTypesArray()[loop.getPosition()] !=
                   utils::IteratorType::parallel)
    return std::nullopt;
  Uses uses = wholeUses(op);
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [position, expr] : llvm::enumerate(map.getResults())) {
      if (!expr.isFunctionOfDim(loop.getPosition()))
        continue;
      if (expr != loop ||
          uses[operand.getOperandNumber()].kind == RowUse::Follows)
        return std::nullopt;
      uses[operand.getOperandNumber()] = {RowUse::Follows, int64_t(position)};
    }
  }
  // A body that looks at the row's number, or at a whole tensor, ties rows to
  // their places.
  WalkResult walk = op->getRegion(0).walk([&](Operation *inner) {
    if (auto index = dyn_cast<linalg::IndexOp>(inner))
      if (index.getDim() == loop.getPosition())
        return WalkResult::interrupt();
    for (Value value : inner->getOperands())
      if (isa<ShapedType>(value.getType()))
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  if (walk.wasInterrupted())
    return std::nullopt;
  return uses;
}

/// A dimension of the expanded side and the collapsed one stand for each other
/// if all the others of its group are 1.
static std::optional<int64_t> matchGroup(ArrayRef<ReassociationIndices> groups,
                                         Value expanded, int64_t dim,
                                         bool dimIsExpanded) {
  auto isOneButOne = [&](const ReassociationIndices &group, int64_t kept) {
    return llvm::all_of(group, [&](int64_t d) {
      return d == kept || isStatic(expanded, d, 1);
    });
  };
  if (!dimIsExpanded) {
    const ReassociationIndices &group = groups[dim];
    // The one that is not 1; the first of several that may be any.
    int64_t kept = group.front();
    for (int64_t d : group)
      if (!isStatic(expanded, d, 1)) {
        kept = d;
        break;
      }
    return isOneButOne(group, kept) ? std::optional(kept) : std::nullopt;
  }
  for (auto [index, group] : llvm::enumerate(groups))
    if (llvm::is_contained(group, dim))
      return isOneButOne(group, dim) ? std::optional<int64_t>(index)
                                     : std::nullopt;
  return std::nullopt;
}

/// A slice or concatenation keeps a dimension whole.
static std::optional<Uses> followSlice(tensor::ExtractSliceOp op, int64_t dim) {
  auto dropped = op.getDroppedDims();
  int64_t source = -1;
  for (int64_t d = 0, kept = -1; d < op.getSourceType().getRank(); ++d)
    if (!dropped.test(d) && ++kept == dim)
      source = d;
  if (source < 0 || !isConstantIntValue(op.getMixedOffsets()[source], 0) ||
      !isConstantIntValue(op.getMixedStrides()[source], 1) ||
      op.getSourceType().isDynamicDim(source) ||
      op.getSourceType().getDimSize(source) != op.getType().getDimSize(dim))
    return std::nullopt;
  Uses uses = wholeUses(op);
  uses[0] = {RowUse::Follows, source};
  return uses;
}

static std::optional<Uses> followContract(gate::ContractOp op, int64_t dim) {
  if (op.getPlan() || dim != 0)
    return std::nullopt;
  Uses uses = wholeUses(op);
  uses[0] = {RowUse::Follows, 0};
  unsigned firstExtra = 1 + op.getWeights().size();
  for (unsigned i = 0, e = op.getExtras().size(); i < e; ++i)
    if (op.getExtent(i) == gate::ExtentKind::Row ||
        op.getExtent(i) == gate::ExtentKind::Full)
      uses[firstExtra + i] = {RowUse::Follows, 0};
  return uses;
}

/// Decisions, work and merges keep rows apart when they go together.
static std::optional<Uses> followPlanOps(Operation *op, int64_t dim) {
  if (dim != 0)
    return std::nullopt;
  Uses uses = wholeUses(op);
  if (isa<gate::RouteOp, gate::PartitionOp, gate::AssignOp, gate::TopKOp>(op)) {
    for (OpOperand &operand : op->getOpOperands())
      if (isa<RankedTensorType>(operand.get().getType()))
        uses[operand.getOperandNumber()] = {RowUse::Follows, 0};
    return uses;
  }
  if (auto apply = dyn_cast<gate::ApplyOp>(op)) {
    uses[0] = {RowUse::Plan, -1};
    for (unsigned i = 0, e = apply.getInputs().size(); i < e; ++i)
      uses[1 + i] = {RowUse::Follows, 0};
    return uses;
  }
  if (isa<gate::CombineOp, gate::MergeOp>(op)) {
    uses[0] = uses[1] = {RowUse::Plan, -1};
    if (isa<gate::MergeOp>(op))
      uses[2] = {RowUse::Follows, 0};
    return uses;
  }
  return std::nullopt;
}

std::optional<Uses> raise::followedDims(Operation *op, unsigned result,
                                        int64_t dim) {
  if (auto structured = dyn_cast<linalg::LinalgOp>(op))
    return followLinalg(structured, result, dim);
  Uses uses = wholeUses(op);
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    auto source = matchGroup(expand.getReassociationIndices(),
                             expand.getResult(), dim, true);
    if (!source)
      return std::nullopt;
    uses[0] = {RowUse::Follows, *source};
    return uses;
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    auto source = matchGroup(collapse.getReassociationIndices(),
                             collapse.getSrc(), dim, false);
    if (!source)
      return std::nullopt;
    uses[0] = {RowUse::Follows, *source};
    return uses;
  }
  if (isa<tensor::CastOp>(op)) {
    uses[0] = {RowUse::Follows, dim};
    return uses;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
    return followSlice(slice, dim);
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    if (int64_t(concat.getDim()) == dim)
      return std::nullopt;
    uses.assign(op->getNumOperands(), {RowUse::Follows, dim});
    return uses;
  }
  if (isa<tensor::EmptyOp>(op))
    return uses;
  if (auto gather = dyn_cast<gate::GatherNDOp>(op)) {
    // Rows of indices give rows of the result; those of data are any, unless
    // they go with those of the indices.
    auto indices = cast<RankedTensorType>(gather.getIndices().getType());
    if (dim >= indices.getRank() - 1)
      return std::nullopt;
    uses[1] = {RowUse::Follows, dim};
    if (dim < int64_t(gather.getBatchDims()))
      uses[0] = uses[1];
    return uses;
  }
  if (auto scatter = dyn_cast<gate::ScatterElementsOp>(op)) {
    // ONNX lets the indices be of fewer rows than the data.
    if (int64_t(scatter.getAxis()) == dim ||
        !haveSameExtent(scatter.getData(), dim, scatter.getIndices(), dim))
      return std::nullopt;
    uses.assign(op->getNumOperands(), {RowUse::Follows, dim});
    return uses;
  }
  if (auto sums = dyn_cast<gate::CumSumOp>(op)) {
    if (int64_t(sums.getAxis()) == dim)
      return std::nullopt;
    uses[0] = {RowUse::Follows, dim};
    return uses;
  }
  if (auto contract = dyn_cast<gate::ContractOp>(op))
    return followContract(contract, dim);
  return followPlanOps(op, dim);
}

std::optional<Uses> raise::rowUses(Operation *op) {
  std::optional<Uses> common;
  for (OpResult result : op->getResults()) {
    auto type = dyn_cast<RankedTensorType>(result.getType());
    if (type ? type.getRank() < 1 : !isa<gate::PlanType>(result.getType()))
      return std::nullopt;
    auto uses = followedDims(op, result.getResultNumber(), 0);
    if (!uses || (common && *common != *uses))
      return std::nullopt;
    common = uses;
  }
  if (!common)
    return std::nullopt;
  for (RowUse use : *common)
    if (use.kind == RowUse::Follows && use.dim != 0)
      return std::nullopt;
  return common;
}

bool raise::isUniformRows(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  Operation *op = value.getDefiningOp();
  if (!op || !type || type.getRank() < 1)
    return false;
  if (isa<tensor::EmptyOp>(op))
    return true;
  if (auto fill = dyn_cast<linalg::FillOp>(op))
    return isUniformRows(fill.getDpsInits()[0]);
  return false;
}

bool raise::isPlanSpace(Value value) {
  return isa<gate::PlanType>(value.getType()) ||
         isa_and_nonnull<gate::ApplyOp>(value.getDefiningOp());
}

void raise::forEachUsedValue(Operation *op,
                             llvm::function_ref<void(Value)> visit) {
  for (Value operand : op->getOperands())
    visit(operand);
  if (op->getNumRegions() == 0)
    return;
  llvm::SetVector<Value> above;
  getUsedValuesDefinedAbove(op->getRegions(), above);
  for (Value value : above)
    visit(value);
}
