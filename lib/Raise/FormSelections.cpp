// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Turns work on rows that an index tensor selects into a group of a partition.
//   before: i = nonzero(mask);  y = scatter(f(gather(x, i)), i, base)
//   after:  p = partition(mask)
//           y = merge(apply p { f } ins(x), base)
// A sum in the place of a plain scatter moves into the group. The order of the
// selected rows does not matter since f keeps them apart, and that they differ
// is due to what enumerates them (RowSelection.h).
#include "GraphBlocks.h"
#include "GroupSites.h"
#include "NestSelections.h"
#include "RowCost.h"
#include "RowTensors.h"
#include "SlotWork.h"
#include "WholeRows.h"
#include "gatecc/Raise/Passes.h"
#include "gatecc/Raise/RowIndependence.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/MapVector.h"

namespace gatecc {
#define GEN_PASS_DEF_FORMSELECTIONS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

static Value updatesOf(Operation *write) { return write->getOperand(0); }

static gate::Reduction reductionOf(Operation *write) {
  if (auto scatter = dyn_cast<gate::ScatterNDOp>(write))
    return scatter.getReduction();
  return cast<gate::ScatterElementsOp>(write).getReduction();
}

/// left + right, element by element.
static Value buildSum(OpBuilder &b, Location loc, Value left, Value right) {
  auto type = typeOf(left);
  if (right.getType() != type)
    right = tensor::CastOp::create(b, loc, type, right);
  Value init = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, left), type.getElementType());
  AffineMap map = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, TypeRange{type}, ValueRange{left, right}, ValueRange{init},
             ArrayRef<AffineMap>{map, map, map}, loops,
             [&](OpBuilder &at, Location where, ValueRange x) {
               Value sum = isa<FloatType>(type.getElementType())
                               ? arith::AddFOp::create(at, where, x[0], x[1])
                                     .getResult()
                               : arith::AddIOp::create(at, where, x[0], x[1])
                                     .getResult();
               linalg::YieldOp::create(at, where, sum);
             })
      .getResult(0);
}

/// A mask [rows, choices], of which `maskDim` are the rows.
static Value asMask(OpBuilder &b, Value mask, int64_t maskDim) {
  if (maskDim == 0)
    return mask;
  Location loc = mask.getLoc();
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, mask);
  std::swap(sizes[0], sizes[1]);
  Value init = tensor::EmptyOp::create(b, loc, sizes, b.getI1Type());
  return linalg::TransposeOp::create(b, loc, mask, init,
                                     ArrayRef<int64_t>{1, 0})
      ->getResult(0);
}

namespace {
/// The rows that one step selects, and the scatters back to them.
struct Selection {
  SmallVector<Operation *> writes;
  unsigned depth = 0, number = 0;
};

/// The selections of one block.
class SelectionFinder {
public:
  SelectionFinder(Block &block, SmallVectorImpl<Attribute> &report)
      : block(block), work(indices), report(report) {}

  void run();

private:
  unsigned depthOf(Value step) const;
  std::string whyNot(Operation *write) const;
  void raiseSelection(Value step, Selection &selection);
  /// Forms a group for the first of the writes and all others that can be
  /// made at its place; takes them off the list.
  void raiseFirst(Value step, SmallVectorImpl<Operation *> &writes);
  bool isReady(const SlotSlice &slice, Operation *write,
               Operation *place) const;
  void emit(Value step, const SlotSlice &slice, ArrayRef<Operation *> writes);
  Value buildPredicate(OpBuilder &b, Value step, SlotBody &body) const;
  void refuse(Operation *write, StringRef reason);
  void erase(Operation *op);

  Block &block;
  RowIndices indices;
  SlotWork work;
  SmallVectorImpl<Attribute> &report;
};
} // namespace

static bool holdsProduct(const SlotSlice &slice) {
  return llvm::any_of(slice.ops, [](Operation *op) { return isProduct(op); });
}

/// Whether a product is among the ops that a value depends on in its block.
static bool hasProductBehind(Value value) {
  SmallVector<Value> open{value};
  llvm::DenseSet<Operation *> seen;
  Operation *first = value.getDefiningOp();
  while (!open.empty()) {
    Operation *op = open.pop_back_val().getDefiningOp();
    if (!op || op->getBlock() != first->getBlock() || !seen.insert(op).second)
      continue;
    if (isProduct(op))
      return true;
    forEachUsedValue(op, [&](Value used) { open.push_back(used); });
  }
  return false;
}

void SelectionFinder::run() {
  if (llvm::none_of(block, [](Operation &op) {
        return isa<gate::ScatterNDOp, gate::ScatterElementsOp>(op);
      }))
    return;
  writeWholeRows(block);
  {
    RowIndices before;
    nestSelections(block, before);
  }
  {
    RowIndices before;
    for (Operation &op : block) {
      if (auto gather = dyn_cast<gate::GatherNDOp>(op))
        before.readByCoordinates(gather);
      before.visit(&op);
    }
  }
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op))
      op.erase();
  llvm::MapVector<Value, Selection> selections;
  for (Operation &op : block) {
    indices.visit(&op);
    work.visit(&op);
    std::optional<RowAccess> write = indices.matchWrite(&op);
    if (!write || isPermutation(write->path.front()))
      continue;
    Selection &selection = selections[write->path.front()];
    if (selection.writes.empty())
      selection.number = selections.size();
    selection.writes.push_back(&op);
  }
  SmallVector<std::pair<Value, Selection>> order = selections.takeVector();
  for (auto &[step, selection] : order)
    selection.depth = depthOf(step);
  // What is selected from selected rows becomes part of their work.
  llvm::sort(order, [](const auto &a, const auto &b) {
    return std::pair(b.second.depth, a.second.number) <
           std::pair(a.second.depth, b.second.number);
  });
  for (auto &[step, selection] : order)
    raiseSelection(step, selection);
}

unsigned SelectionFinder::depthOf(Value step) const {
  unsigned depth = 0;
  while (const SlotRows *rows = work.find(rowSpaceOf(step))) {
    step = rows->path.front();
    ++depth;
  }
  return depth;
}

/// Why the rows that are written are not made from the rows that are selected.
std::string SelectionFinder::whyNot(Operation *write) const {
  const SlotRows *rows = work.find(updatesOf(write));
  RowAccess access = *indices.matchWrite(write);
  if (!rows) {
    std::string reason = work.obstacle(updatesOf(write));
    return reason.empty() ? "the rows that are written are made from others"
                          : reason;
  }
  if (rows->path != access.path || rows->dims != access.slotDims ||
      rows->isBlock)
    return "rows are written to other places than they are read from";
  if (reductionOf(write) != gate::Reduction::None &&
      reductionOf(write) != gate::Reduction::Add)
    return "results are neither written nor added to their rows";
  // Those of a mask [choices, rows] come in another order than the data's.
  if (access.rowDims == 2 && access.maskDim == 1)
    return "results are written for each choice of a row";
  return "";
}

/// Whether an op reads rows of a mask for each of their choices.
static bool readsRowsForChoices(const RowIndices &indices, Operation *op) {
  std::optional<RowAccess> read = indices.matchRead(op);
  return read && read->maskDim >= 0 && read->rowDims == 1;
}

void SelectionFinder::raiseSelection(Value step, Selection &selection) {
  SmallVector<Operation *> writes;
  for (Operation *write : selection.writes) {
    std::string reason = whyNot(write);
    if (reason.empty())
      writes.push_back(write);
    else if (work.find(updatesOf(write)) ||
             !work.obstacle(updatesOf(write)).empty())
      refuse(write, reason);
  }
  while (!writes.empty())
    raiseFirst(step, writes);
}

/// Whether all that a slice and a write read from elsewhere is there at a
/// place.
bool SelectionFinder::isReady(const SlotSlice &slice, Operation *write,
                              Operation *place) const {
  auto isThere = [&](Value value) {
    Operation *op = value.getDefiningOp();
    return !op || op->getBlock() != &block || op->isBeforeInBlock(place);
  };
  if (!isThere(indices.matchWrite(write)->data))
    return false;
  for (Operation *op : slice.ops) {
    unsigned rowDims;
    if (Value source = work.broughtRows(op, rowDims)) {
      if (!isThere(source))
        return false;
      continue;
    }
    bool ready = true;
    forEachUsedValue(op, [&](Value used) {
      Operation *def = used.getDefiningOp();
      ready &= (def && slice.ops.contains(def)) || isThere(used);
    });
    if (!ready)
      return false;
  }
  return true;
}

void SelectionFinder::raiseFirst(Value step,
                                 SmallVectorImpl<Operation *> &writes) {
  Operation *first = writes.front();
  SmallVector<Operation *> taken, left;
  SmallVector<Value> updates;
  for (Operation *write : writes) {
    SlotSlice slice = sliceOf(work, updatesOf(write));
    bool isAlike = indices.matchWrite(write)->rowDims ==
                   indices.matchWrite(first)->rowDims;
    if (write == first ||
        (isAlike && slice.refusal.empty() && isReady(slice, write, first))) {
      taken.push_back(write);
      updates.push_back(updatesOf(write));
    } else {
      left.push_back(write);
    }
  }
  SlotSlice slice = sliceOf(work, updates);
  std::string refusal = slice.refusal;
  if (refusal.empty() && holdsProduct(slice))
    refusal = otherUse(slice, taken);
  if (refusal.empty() && indices.matchWrite(first)->rowDims == 2 &&
      llvm::any_of(slice.ops, [&](Operation *op) {
        return readsRowsForChoices(indices, op);
      }))
    refusal = "rows are written to other places than they are read from";
  writes = left;
  if (!refusal.empty())
    refuse(first, refusal);
  else if (holdsProduct(slice))
    emit(step, slice, taken);
}

Value SelectionFinder::buildPredicate(OpBuilder &b, Value step,
                                      SlotBody &body) const {
  Location loc = step.getLoc();
  Value space = rowSpaceOf(step);
  if (!step.getDefiningOp<gate::TopKOp>())
    return body.flatten(space, typeOf(space).getRank());
  // true at the columns that were chosen
  Value none =
      filledWithBit(b, loc, tensor::getMixedSizes(b, loc, space), false);
  Value chosen =
      filledWithBit(b, loc, tensor::getMixedSizes(b, loc, step), true);
  Value bits = gate::ScatterElementsOp::create(
      b, loc, none.getType(), chosen, step, none, b.getI64IntegerAttr(1),
      gate::ReductionAttr::get(b.getContext(), gate::Reduction::None));
  return body.flatten(bits, 2);
}

/// What the site will be called after.
static DictionaryAttr describeSelection(Value step, const SlotSlice &slice) {
  bool isTopK = step.getDefiningOp<gate::TopKOp>();
  StringRef name = nodeName(isTopK ? step : rowSpaceOf(step));
  return describeGroup(slice, name.empty() ? nodeName(step) : name,
                       isTopK ? "select" : "");
}

void SelectionFinder::emit(Value step, const SlotSlice &slice,
                           ArrayRef<Operation *> writes) {
  Operation *first = writes.front();
  Location loc = step.getLoc();
  OpBuilder b(first);
  Operation *before = first->getPrevNode();
  RowAccess firstWrite = *indices.matchWrite(first);
  bool isOfMask = firstWrite.maskDim >= 0 && firstWrite.rowDims == 1;
  Value mask;
  if (isOfMask)
    mask = asMask(b, rowSpaceOf(step), firstWrite.maskDim);
  SlotBody body(work, b, mask);
  Value predicate =
      isOfMask ? body.atMask(mask) : buildPredicate(b, step, body);
  body.build(slice);
  SmallVector<Value> yields, bases;
  for (Operation *write : writes) {
    RowAccess access = *indices.matchWrite(write);
    Value rows = body.rowsOf(updatesOf(write));
    if (reductionOf(write) == gate::Reduction::Add)
      rows = buildSum(body.getBuilder(), write->getLoc(),
                      body.rowsOfAll(access.data, access.rowDims), rows);
    yields.push_back(rows);
    bases.push_back(body.flatten(access.data, access.rowDims));
  }
  SmallVector<Value> merged = formSlotGroup(
      b, loc, predicate, body, yields, bases, describeSelection(step, slice));
  SmallVector<Value> results;
  for (auto [write, rows, base] : llvm::zip(writes, merged, bases)) {
    Value data = indices.matchWrite(write)->data;
    if (rows.getType() != data.getType()) {
      auto view = base.getDefiningOp<tensor::CollapseShapeOp>();
      rows = tensor::ExpandShapeOp::create(
          b, write->getLoc(), data.getType(), rows,
          view.getReassociationIndices(),
          tensor::getMixedSizes(b, write->getLoc(), data));
    }
    results.push_back(rows);
  }
  // Selections around this one see its plan and its merges.
  for (Operation *op = before ? before->getNextNode() : &block.front();
       op != first; op = op->getNextNode()) {
    indices.visit(op);
    work.visit(op);
  }
  for (auto [write, result] : llvm::zip(writes, results)) {
    write->getResult(0).replaceAllUsesWith(result);
    erase(write);
  }
}

/// Erases an op and what nothing else needed.
void SelectionFinder::erase(Operation *op) {
  SmallVector<Operation *> open{op};
  while (!open.empty()) {
    Operation *dead = open.pop_back_val();
    llvm::SmallSetVector<Operation *, 4> behind;
    forEachUsedValue(dead, [&](Value used) {
      if (Operation *def = used.getDefiningOp())
        behind.insert(def);
    });
    indices.forget(dead);
    work.forget(dead);
    dead->erase();
    for (Operation *def : behind)
      if (def->getBlock() == &block && isOpTriviallyDead(def))
        open.push_back(def);
  }
}

void SelectionFinder::refuse(Operation *write, StringRef reason) {
  if (!hasProductBehind(updatesOf(write)))
    return;
  Builder builder(write->getContext());
  StringRef name = nodeName(write->getLoc());
  report.push_back(reportEntry(write->getContext(), name, "select",
                               builder.getStrArrayAttr(ArrayRef(name)),
                               "refused", reason));
}

namespace {
struct FormSelections : gatecc::impl::FormSelectionsBase<FormSelections> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    SmallVector<Attribute> refused;
    for (auto function : module.getOps<func::FuncOp>())
      forEachGraphBlock(function, [&](Block &block) {
        SelectionFinder(block, refused).run();
      });
    createSites(module, report);
    report.append(refused);
    writeReport(module, report);
  }
};
} // namespace
