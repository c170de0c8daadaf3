// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which values hold a row for each slot, in one pass over a block.
#include "SlotWork.h"

#include "RowCost.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

using Flags = SmallVector<bool>;
using Reads = SmallVector<Value>;

/// Whether all steps but the first only reorder.
static bool isOneSelection(const RowPath &path) {
  return !path.empty() && !isPermutation(path.front()) &&
         llvm::all_of(ArrayRef(path).drop_front(), isPermutation);
}

/// What the body of a structured op reads of tensors at the places that the
/// first `dims` dimensions of its result are at: the windows of a convolution
/// are such a read. Nothing if it looks at the numbers of these loops for
/// anything else.
static std::optional<Reads> readAtLoops(Operation *op, unsigned dims) {
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  if (!structured || op->getNumResults() == 0)
    return Reads();
  AffineMap result = structured.getIndexingMapMatchingResult(op->getResult(0));
  if (result.getNumResults() < dims)
    return std::nullopt;
  llvm::SmallDenseSet<unsigned> loops;
  for (AffineExpr expr : result.getResults().take_front(dims))
    if (auto loop = dyn_cast<AffineDimExpr>(expr))
      loops.insert(loop.getPosition());
  auto isLoop = [&](Value index) {
    auto number = index.getDefiningOp<linalg::IndexOp>();
    return number && loops.contains(number.getDim());
  };
  llvm::SetVector<Value> reads;
  bool isOther = false;
  op->getRegion(0).walk([&](Operation *inner) {
    auto extract = dyn_cast<tensor::ExtractOp>(inner);
    for (OpOperand &operand : inner->getOpOperands())
      if (isLoop(operand.get())) {
        isOther |= dims != 1 || !extract || operand.getOperandNumber() != 1;
        reads.insert(inner->getOperand(0));
      }
  });
  // Nor are they read elsewhere.
  op->getRegion(0).walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      if (reads.contains(operand))
        isOther |=
            !isa<tensor::ExtractOp>(inner) || !isLoop(inner->getOperand(1));
  });
  return isOther ? std::nullopt : std::optional(reads.takeVector());
}

void SlotWork::visit(Operation *op) {
  if (op->getNumResults() == 0)
    return;
  if (std::optional<SlotRows> rows = compute(op)) {
    for (Value result : op->getResults())
      if (isPlanSpace(result))
        plans[result] = *rows;
      else if (isa<RankedTensorType>(result.getType()))
        known[result] = *rows;
    // The columns of a top-k are numbers of slots, not rows.
    if (auto topk = dyn_cast<gate::TopKOp>(op);
        topk && (rows->path.back() == topk.getIndices()))
      known.erase(topk.getIndices());
    return;
  }
  bool reads = false;
  forEachUsedValue(op, [&](Value used) { reads |= find(used) != nullptr; });
  if (reads && !isa<gate::NonZeroOp, tensor::DimOp>(op))
    ends.insert(op);
}

void SlotWork::forget(Operation *op) {
  ends.erase(op);
  for (Value result : op->getResults()) {
    known.erase(result);
    plans.erase(result);
  }
}

bool SlotWork::isSeed(Value value) const {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  Operation *op = value.getDefiningOp();
  if (!inside || !type || type.getRank() < int64_t(seedRows.dims) ||
      (op && inside->contains(op)) || isUniformRows(value))
    return false;
  for (unsigned dim = 0; dim < seedRows.dims; ++dim)
    if (!haveSameExtent(value, dim, seedRows.path.front(), dim))
      return false;
  return true;
}

const SlotRows *SlotWork::firstOperand(Operation *op) const {
  for (Value operand : op->getOperands())
    if (const SlotRows *rows = find(operand))
      return rows;
  SmallVector<Value> inBody = readAtLoops(op, 1).value_or(Reads());
  for (Value value : inBody)
    if (const SlotRows *rows = find(value))
      return rows;
  for (Value operand : op->getOperands())
    if (isSeed(operand))
      return &seedRows;
  for (Value value : inBody)
    if (isSeed(value))
      return &seedRows;
  for (Value operand : op->getOperands())
    if (const SlotRows *rows = findPlan(operand))
      return rows;
  return nullptr;
}

bool SlotWork::isUniform(Value value, unsigned dims) const {
  if (isUniformRows(value))
    return true;
  // A value without rows that is repeated for each slot.
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op->getNumResults() != 1 || typeOf(value).getRank() < 1 ||
      op.getNumLoops() != op.getNumParallelLoops() ||
      !isUniformRows(op.getDpsInits()[0]) ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return false;
  for (OpOperand *operand : op.getDpsInputOperands())
    for (unsigned dim = 0; dim < dims; ++dim)
      if (find(operand->get()) ||
          op.getMatchingIndexingMap(operand).isFunctionOfDim(dim))
        return false;
  return !op.getBody()
              ->walk([](Operation *inner) {
                for (Value operand : inner->getOperands())
                  if (isa<ShapedType>(operand.getType()))
                    return WalkResult::interrupt();
                return isa<linalg::IndexOp>(inner) ? WalkResult::interrupt()
                                                   : WalkResult::advance();
              })
              .wasInterrupted();
}

/// A top-k over the columns of each slot, such as a router's, chooses no slots.
static bool choosesColumns(const SlotWork &work, gate::TopKOp op) {
  const SlotRows *rows = work.find(op.getInput());
  return rows && rows->dims == 1;
}

Value SlotWork::broughtRows(Operation *op, unsigned &rowDims) const {
  if (std::optional<RowAccess> read = indices.matchRead(op)) {
    rowDims = read->rowDims;
    return isOneSelection(read->path) ? read->data : Value();
  }
  auto topk = dyn_cast<gate::TopKOp>(op);
  rowDims = 2;
  return topk && !choosesColumns(*this, topk) &&
                 !isPermutation(topk.getIndices())
             ? topk.getInput()
             : Value();
}

SmallVector<Value> SlotWork::rowsInBody(Operation *op) const {
  return readAtLoops(op, 1).value_or(Reads());
}

Value SlotWork::reordered(Operation *op) const {
  std::optional<RowAccess> read = indices.matchRead(op);
  if (read && isPermutation(read->path.front()))
    return read->data;
  auto topk = dyn_cast<gate::TopKOp>(op);
  return topk && !choosesColumns(*this, topk) &&
                 isPermutation(topk.getIndices())
             ? topk.getInput()
             : Value();
}

std::optional<SlotRows> SlotWork::compute(Operation *op) {
  unsigned rowDims;
  if (Value source = reordered(op)) {
    const SlotRows *from = find(source);
    std::optional<RowAccess> read = indices.matchRead(op);
    unsigned dims = read ? read->rowDims : 2;
    if (!from || from->isBlock || from->dims != dims)
      return std::nullopt;
    SlotRows rows = *from;
    if (read)
      rows.path.append(read->path);
    else
      rows.path.push_back(cast<gate::TopKOp>(op).getIndices());
    rows.dims = read ? read->slotDims : 2;
    return rows;
  }
  if (broughtRows(op, rowDims)) {
    if (std::optional<RowAccess> read = indices.matchRead(op))
      return SlotRows{read->path, read->slotDims, false};
    return SlotRows{{cast<gate::TopKOp>(op).getIndices()}, 2, false};
  }
  // A scatter of inner slots is a row-by-row merge once it has been raised.
  if (std::optional<RowAccess> write = indices.matchWrite(op)) {
    const SlotRows *base = find(write->data);
    if (base && !base->isBlock && base->dims == write->rowDims)
      return *base;
    return std::nullopt;
  }
  const SlotRows *from = firstOperand(op);
  if (!from)
    return std::nullopt;
  if (auto view = dyn_cast<tensor::CollapseShapeOp>(op))
    return collapse(view, *from);
  if (auto view = dyn_cast<tensor::ExpandShapeOp>(op))
    return expand(view, *from);
  if (!followed(op))
    return std::nullopt;
  return *from;
}

std::optional<SlotRows> SlotWork::collapse(tensor::CollapseShapeOp op,
                                           const SlotRows &from) const {
  SmallVector<ReassociationIndices> groups = op.getReassociationIndices();
  if (groups.empty())
    return std::nullopt;
  auto areOnes = [&](ArrayRef<int64_t> dims) {
    return llvm::all_of(dims,
                        [&](int64_t dim) { return isOne(op.getSrc(), dim); });
  };
  ArrayRef<int64_t> first = groups.front();
  SlotRows rows = from;
  if (first.size() >= from.dims) {
    rows.dims = 1;
    rows.isBlock |= !areOnes(first.drop_front(from.dims));
    return rows;
  }
  // [B, k, 1] as [B, k]
  return first.size() == 1 && areOnes(ArrayRef(groups[1]).drop_front())
             ? std::optional(rows)
             : std::nullopt;
}

std::optional<SlotRows> SlotWork::expand(tensor::ExpandShapeOp op,
                                         const SlotRows &from) const {
  Value result = op.getResult();
  SmallVector<ReassociationIndices> groups = op.getReassociationIndices();
  if (groups.empty())
    return std::nullopt;
  ArrayRef<int64_t> first = groups.front();
  SlotRows rows = from;
  if (from.dims == 2) {
    bool keeps = first.size() == 1 &&
                 llvm::all_of(ArrayRef(groups[1]).drop_front(),
                              [&](int64_t dim) { return isOne(result, dim); });
    return keeps ? std::optional(rows) : std::nullopt;
  }
  bool addsOnes = llvm::all_of(first.drop_front(),
                               [&](int64_t dim) { return isOne(result, dim); });
  if (first.size() == 1 || (from.isBlock && addsOnes))
    return rows;
  Value step = from.path.front();
  bool isBatched =
      inside ? seedRows.dims == 2 : bool(step.getDefiningOp<gate::TopKOp>());
  rows.isBlock = false;
  if (isBatched && haveSameExtent(result, 0, step, 0) &&
      haveSameExtent(result, 1, step, 1)) {
    rows.dims = 2;
    return rows;
  }
  SmallVector<int64_t, 2> slots{inside ? 0 : 1};
  if (isBatched)
    slots = {0, 1};
  return haveSameExtent(result, 0, step, slots) ? std::optional(rows)
                                                : std::nullopt;
}

std::optional<Flags> SlotWork::followedByLinalg(linalg::LinalgOp op,
                                                const SlotRows &rows) const {
  if (!op.hasPureTensorSemantics())
    return std::nullopt;
  SmallVector<unsigned> loops;
  auto isLoop = [&](AffineExpr expr, unsigned dim) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    return loop && loop.getPosition() == loops[dim];
  };
  // The first result says which loops are the slots.
  AffineMap result = op.getIndexingMapMatchingResult(op->getResult(0));
  if (result.getNumResults() < rows.dims)
    return std::nullopt;
  for (unsigned dim = 0; dim < rows.dims; ++dim) {
    auto loop = dyn_cast<AffineDimExpr>(result.getResult(dim));
    if (!loop || op.getIteratorTypesArray()[loop.getPosition()] !=
                     utils::IteratorType::parallel)
      return std::nullopt;
    loops.push_back(loop.getPosition());
  }
  auto usesLoops = [&](AffineExpr expr) {
    return llvm::any_of(
        loops, [&](unsigned loop) { return expr.isFunctionOfDim(loop); });
  };
  auto followsWith = [&](AffineMap map) {
    for (auto [dim, expr] : llvm::enumerate(map.getResults()))
      if (dim < rows.dims ? !isLoop(expr, dim) : usesLoops(expr))
        return false;
    return map.getNumResults() >= rows.dims;
  };
  Flags flags(op->getNumOperands());
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    const SlotRows *held = find(operand.get());
    if (held) {
      if (!(*held == rows) || !followsWith(map))
        return std::nullopt;
      flags[operand.getOperandNumber()] = true;
      continue;
    }
    if (llvm::none_of(map.getResults(), usesLoops))
      continue;
    bool isRow = isSeed(operand.get()) && rows == seedRows;
    if (!(isRow || isUniform(operand.get(), rows.dims)) || !followsWith(map))
      return std::nullopt;
    flags[operand.getOperandNumber()] = true;
  }
  for (Value value : op->getResults())
    if (!followsWith(op.getIndexingMapMatchingResult(cast<OpResult>(value))))
      return std::nullopt;
  // Slots must not be told apart, nor the slots of others be seen.
  std::optional<Reads> reads = readAtLoops(op, rows.dims);
  if (!reads)
    return std::nullopt;
  for (Value value : *reads) {
    const SlotRows *held = find(value);
    if (held ? !(*held == rows) : !(isSeed(value) && rows == seedRows))
      return std::nullopt;
  }
  WalkResult walk = op->getRegion(0).walk([&](Operation *inner) {
    for (Value value : inner->getOperands())
      if (isa<ShapedType>(value.getType()) && find(value) &&
          !llvm::is_contained(*reads, value))
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return walk.wasInterrupted() ? std::nullopt : std::optional(flags);
}

std::optional<Flags> SlotWork::followed(Operation *op) const {
  const SlotRows *rows = firstOperand(op);
  if (!rows || !isMemoryEffectFree(op))
    return std::nullopt;
  if (auto structured = dyn_cast<linalg::LinalgOp>(op))
    return followedByLinalg(structured, *rows);
  Flags flags(op->getNumOperands());
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp>(op)) {
    flags[0] = true;
    return flags;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    for (unsigned dim = 0; dim < rows->dims; ++dim)
      if (slice.getDroppedDims().test(dim) ||
          !isConstantIntValue(slice.getMixedOffsets()[dim], 0) ||
          !isConstantIntValue(slice.getMixedStrides()[dim], 1) ||
          !isWholeSize(slice.getMixedSizes()[dim], slice.getSource(), dim))
        return std::nullopt;
    flags[0] = true;
    return flags;
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    if (concat.getDim() < rows->dims)
      return std::nullopt;
    for (auto [index, operand] : llvm::enumerate(op->getOperands())) {
      const SlotRows *held = findRows(operand);
      if (held ? !(*held == *rows) : !isUniform(operand, rows->dims))
        return std::nullopt;
      flags[index] = true;
    }
    return flags;
  }
  // Others know of rows in dimension 0 only.
  auto uses = rows->dims == 1 ? rowUses(op) : std::nullopt;
  if (!uses)
    return std::nullopt;
  llvm::DenseSet<Value> following;
  for (auto [index, operand] : llvm::enumerate(op->getOperands())) {
    const SlotRows *held = findRows(operand);
    if ((*uses)[index].kind == RowUse::Whole)
      continue;
    if ((*uses)[index].kind == RowUse::Follows &&
        (held ? !(*held == *rows) : !isUniform(operand, rows->dims)))
      return std::nullopt;
    flags[index] = true;
    following.insert(operand);
  }
  bool readsOthers = false;
  forEachUsedValue(op, [&](Value used) {
    readsOthers |= find(used) && !following.contains(used);
  });
  return readsOthers ? std::nullopt : std::optional(flags);
}

std::string SlotWork::obstacle(Value value) const {
  SmallVector<Value> open{value};
  llvm::DenseSet<Operation *> seen;
  while (!open.empty()) {
    Operation *op = open.pop_back_val().getDefiningOp();
    if (!op || !seen.insert(op).second)
      continue;
    if (ends.contains(op))
      return describe(op) + " does not keep the selected rows apart";
    forEachUsedValue(op, [&](Value used) { open.push_back(used); });
  }
  return "";
}

SlotSlice raise::sliceOf(const SlotWork &work, ValueRange values) {
  SlotSlice slice;
  llvm::DenseSet<Operation *> seen;
  SmallVector<Operation *> found;
  SmallVector<Value> open(values);
  while (!open.empty()) {
    Value value = open.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || !seen.insert(op).second)
      continue;
    found.push_back(op);
    unsigned rowDims;
    if (Value source = work.reordered(op)) {
      open.push_back(source);
      continue;
    }
    if (work.broughtRows(op, rowDims))
      continue;
    std::optional<Flags> flags = work.followed(op);
    // The apply and the plan of an inner selection come with its merge.
    if (!flags) {
      slice.refusal = describe(op) + " does not keep the selected rows apart";
      return slice;
    }
    for (auto [operand, follows] : llvm::zip(op->getOperands(), *flags))
      if (follows && (work.find(operand) || isPlanSpace(operand)))
        open.push_back(operand);
    for (Value value : work.rowsInBody(op))
      if (work.find(value))
        open.push_back(value);
  }
  llvm::sort(found,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  slice.ops.insert(found.begin(), found.end());
  return slice;
}

/// Whether an op asks for a size that only ops of a slice, or what is made anew
/// for them, need.
static bool isOwnSize(Operation *op, const SlotSlice &slice) {
  return isa<tensor::DimOp>(op) &&
         llvm::all_of(op->getUsers(), [&](Operation *user) {
           return isa<tensor::EmptyOp>(user) || slice.ops.contains(user);
         });
}

std::string raise::otherUse(const SlotSlice &slice,
                            ArrayRef<Operation *> ends) {
  llvm::DenseSet<Operation *> seen;
  for (Operation *op : slice.ops)
    for (Operation *user : op->getUsers()) {
      Operation *outside = op->getBlock()->findAncestorOpInBlock(*user);
      if (slice.ops.contains(outside) || llvm::is_contained(ends, outside) ||
          isOwnSize(user, slice))
        continue;
      SmallVector<Operation *> open{op};
      while (!open.empty()) {
        Operation *next = open.pop_back_val();
        if (!slice.ops.contains(next) || !seen.insert(next).second)
          continue;
        if (isProduct(next))
          return describe(next) + " is also needed by " + describe(outside) +
                 ", for the selected rows only";
        forEachUsedValue(next, [&](Value used) {
          if (Operation *def = used.getDefiningOp())
            open.push_back(def);
        });
      }
    }
  return "";
}
