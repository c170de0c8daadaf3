// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Turns a branch of a selection that works on blocks of rows into a group.
//   before: y = where(c [B,1,1], f(x [B,S,D]), x), products in f on [B*S,D]
//   after:  p = partition(c);  y = merge(apply p { f } ins(x), x)
// form-groups (Demand.h) knows conditions for each row of the tensors that it
// looks at; here one bit decides over a block of them, and the shapes in
// between say which.
#include "GraphBlocks.h"
#include "GroupBuilder.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "SlotWork.h"
#include "gatecc/Raise/Passes.h"
#include "gatecc/Raise/RowCondition.h"
#include "gatecc/Raise/RowIndependence.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace gatecc {
#define GEN_PASS_DEF_FORMSKIPS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// The ops that nothing but `use` needs, directly or not.
static llvm::SetVector<Operation *> exclusiveTo(OpOperand &use) {
  Block *block = use.getOwner()->getBlock();
  llvm::SetVector<Operation *> ops;
  llvm::DenseMap<Operation *, unsigned> seen;
  SmallVector<Operation *> open;
  auto count = [&](OpOperand &operand) {
    Operation *def = operand.get().getDefiningOp();
    if (!def || def->getBlock() != block || !isMemoryEffectFree(def))
      return;
    unsigned uses = 0;
    for (Value result : def->getResults())
      uses += std::distance(result.use_begin(), result.use_end());
    if (++seen[def] == uses)
      open.push_back(def);
  };
  count(use);
  while (!open.empty()) {
    Operation *op = open.pop_back_val();
    ops.insert(op);
    op->walk([&](Operation *inner) {
      for (OpOperand &operand : inner->getOpOperands())
        count(operand);
    });
  }
  SmallVector<Operation *> sorted = ops.takeVector();
  llvm::sort(sorted,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  ops.insert(sorted.begin(), sorted.end());
  return ops;
}

/// What the other rows have: a value with the type of the selection, or a fill
/// with a scalar; null if it is anything else.
static Value otherValue(OpBuilder &b, linalg::GenericOp select,
                        const Elementary &match, unsigned index) {
  if (isIdentityOperand(select, match.inputs[index]))
    return match.operands[index];
  if (match.inputs[index] >= 0)
    return {};
  Location loc = select.getLoc();
  Block &body = *select.getBody();
  Value scalar =
      body.getTerminator()->getOperand(0).getDefiningOp()->getOperand(index);
  Attribute constant;
  if (matchPattern(scalar, m_Constant(&constant)))
    scalar = arith::ConstantOp::create(b, loc, cast<TypedAttr>(constant));
  else if (scalar.getParentBlock() == &body)
    return {};
  Value init = select.getDpsInits()[0];
  Value empty =
      tensor::EmptyOp::create(b, loc, tensor::getMixedSizes(b, loc, init),
                              typeOf(init).getElementType());
  return linalg::FillOp::create(b, loc, scalar, empty).getResult(0);
}

/// The bits of a condition, one for each row, [rows].
static Value buildPredicate(OpBuilder &b, SlotBody &body, ConditionRoot root) {
  Value bits = body.flatten(root.value, typeOf(root.value).getRank());
  if (!root.negated)
    return bits;
  Location loc = bits.getLoc();
  Value one = arith::ConstantOp::create(b, loc, b.getBoolAttr(true));
  Value init = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, bits), b.getI1Type());
  AffineMap map = b.getMultiDimIdentityMap(1);
  return linalg::GenericOp::create(
             b, loc, TypeRange{bits.getType()}, ValueRange{bits},
             ValueRange{init}, ArrayRef<AffineMap>{map, map},
             utils::IteratorType::parallel,
             [&](OpBuilder &at, Location where, ValueRange x) {
               linalg::YieldOp::create(
                   at, where,
                   arith::XOrIOp::create(at, where, x[0], one).getResult());
             })
      .getResult(0);
}

/// Whether one bit of an operand decides over an index of dimension 0.
static bool decidesRows(linalg::GenericOp select, int64_t input) {
  AffineMap map =
      select.getMatchingIndexingMap(select.getDpsInputOperand(input));
  return map.getNumResults() > 0 &&
         map.getResult(0) == getAffineDimExpr(0, select.getContext());
}

/// Whether a product works on blocks of several elements for each row.
static bool holdsBlockProduct(const SlotWork &work, const SlotSlice &slice) {
  return llvm::any_of(slice.ops, [&](Operation *op) {
    const SlotRows *rows =
        op->getNumResults() > 0 ? work.find(op->getResult(0)) : nullptr;
    return isProduct(op) && rows && rows->isBlock;
  });
}

/// Forms a group of the work of one branch; the block of its region.
static Block *formBranch(linalg::GenericOp select, const Elementary &match,
                         unsigned index) {
  Value value = match.operands[index];
  auto condition = rowCondition(match.operands[0]);
  if (!condition || !value || !value.hasOneUse() ||
      !decidesRows(select, match.inputs[0]) ||
      !isIdentityOperand(select, match.inputs[index]) ||
      !haveSameExtent(value, 0, condition->value, 0))
    return nullptr;
  llvm::SetVector<Operation *> ops =
      exclusiveTo(*select.getDpsInputOperand(match.inputs[index]));
  RowIndices none;
  SlotWork work(none, condition->value, ops);
  for (Operation *op : ops)
    work.visit(op);
  const SlotRows *rows = work.find(value);
  if (!rows || rows->isBlock)
    return nullptr;
  SlotSlice slice = sliceOf(work, value);
  if (!slice.refusal.empty() || !holdsBlockProduct(work, slice))
    return nullptr;
  OpBuilder b(select);
  Value other = otherValue(b, select, match, 3 - index);
  if (!other)
    return nullptr;
  condition->negated ^= index == 2;
  SlotBody body(work, b);
  Value predicate = buildPredicate(b, body, *condition);
  body.build(slice);
  Value yield = body.rowsOf(value);
  SmallVector<StringRef> notes;
  if (auto note = select->getAttrOfType<StringAttr>(kAssumptionAttr))
    notes.push_back(note.getValue());
  DictionaryAttr formed =
      describeGroup(slice, nodeName(condition->value), "", notes);
  Value merged = formSlotGroup(b, select.getLoc(), predicate, body, yield,
                               other, formed)[0];
  Value slots = merged.getDefiningOp<gate::MergeOp>().getSlots();
  select->getResult(0).replaceAllUsesWith(merged);
  return &slots.getDefiningOp<gate::ApplyOp>().getBodies()[0].front();
}

/// Forms the groups of a block, and those inside of them.
static void formInBlock(Block &block) {
  SmallVector<Block *> inner;
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
    if (isOpTriviallyDead(&op)) {
      op.erase();
      continue;
    }
    auto match = matchElementary(&op);
    if (!match || match->kind != Elementary::Select)
      continue;
    for (unsigned index : {1u, 2u})
      if (Block *region =
              formBranch(cast<linalg::GenericOp>(op), *match, index)) {
        inner.push_back(region);
        op.erase();
        break;
      }
  }
  for (Block *region : inner)
    formInBlock(*region);
}

namespace {
struct FormSkips : gatecc::impl::FormSkipsBase<FormSkips> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    for (auto function : module.getOps<func::FuncOp>())
      forEachGraphBlock(function, formInBlock);
    createSites(module, report);
    writeReport(module, report);
  }
};
} // namespace
