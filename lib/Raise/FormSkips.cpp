// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Turns a branch of a selection that works on blocks of rows into a group.
//   before: y = where(c [B,1,1], f(x [B,S,D]), x), products in f on [B*S,D]
//   after:  p = partition(c);  y = merge(apply p { f } ins(x), x)
// form-groups (Demand.h) knows conditions for each row of the tensors that it
// looks at; here one bit decides over a block of them, or rows have two
// dimensions (c [B,S,1]), and the shapes in between say which.
#include "ExclusiveOps.h"
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
#include <memory>

namespace gatecc {
#define GEN_PASS_DEF_FORMSKIPS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

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

/// Cases that follow one another nest, for rows that take a later one do not
/// need those before it. Not more deeply than this.
static constexpr unsigned kMaxDepth = 8;

static Value buildZeros(OpBuilder &b, Location loc, Value like) {
  Type element = typeOf(like).getElementType();
  Value empty = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, like), element);
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(element));
  return linalg::FillOp::create(b, loc, zero, empty).getResult(0);
}

namespace {
/// A condition with one bit for each row.
struct RowBits {
  ConditionRoot root;
  unsigned dims; // that the rows have
};
} // namespace

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

/// The condition of a selection as bits of rows: one for each index of
/// dimension 0 of the result, or of the first two.
static std::optional<RowBits> rowBits(linalg::GenericOp select,
                                      const Elementary &match) {
  Value value = match.operands[0];
  AffineMap map =
      select.getMatchingIndexingMap(select.getDpsInputOperand(match.inputs[0]));
  AffineMap rows = AffineMap::getMultiDimIdentityMap(select.getNumLoops(),
                                                     select.getContext());
  auto isReadBy = [&](unsigned dims) {
    return map.getNumResults() >= dims && rows.getNumResults() >= dims &&
           map.getMajorSubMap(dims) == rows.getMajorSubMap(dims);
  };
  if (auto condition = rowCondition(value))
    return isReadBy(1) ? std::optional(RowBits{*condition, 1}) : std::nullopt;
  ArrayRef<int64_t> shape = typeOf(value).getShape();
  if (shape.size() > 2 && isReadBy(2) &&
      llvm::all_of(shape.drop_front(2), [](int64_t each) { return each == 1; }))
    return RowBits{{value, false}, 2};
  return std::nullopt;
}

/// Whether there is a product that form-groups does not find: on blocks of
/// several elements for each row; with `isAny`, any.
static bool holdsProduct(const SlotWork &work, const SlotSlice &slice,
                         bool isAny) {
  return llvm::any_of(slice.ops, [&](Operation *op) {
    const SlotRows *rows =
        op->getNumResults() > 0 ? work.find(op->getResult(0)) : nullptr;
    return isProduct(op) && rows && (rows->isBlock || isAny);
  });
}

namespace {
/// The work of one branch of a selection on the rows that take it.
struct Branch {
  Branch(unsigned index, RowBits bits, OpOperand &use)
      : index(index), condition(bits.root), dims(bits.dims),
        ops(exclusiveTo(use)), work(none, condition.value, dims, ops) {
    condition.negated ^= index == 2;
    readRowsApart(ops, condition.value, dims);
    for (Operation *op : ops)
      work.visit(op);
  }

  unsigned index;
  ConditionRoot condition;
  unsigned dims;
  llvm::SetVector<Operation *> ops;
  RowIndices none;
  SlotWork work;
  SlotSlice slice;
  double cost = 0;
};
} // namespace

/// The branch with this index if it can be a group that is worth it, or null.
/// form-groups does not come to what is inside of a group that was formed here.
static std::unique_ptr<Branch> findBranch(linalg::GenericOp select,
                                          const Elementary &match,
                                          unsigned index, bool isInside) {
  Value value = match.operands[index];
  std::optional<RowBits> bits = rowBits(select, match);
  if (!bits || !value || !value.hasOneUse() ||
      !isIdentityOperand(select, match.inputs[index]))
    return nullptr;
  for (unsigned dim = 0; dim < bits->dims; ++dim)
    if (!haveSameExtent(value, dim, bits->root.value, dim))
      return nullptr;
  auto branch = std::make_unique<Branch>(
      index, *bits, *select.getDpsInputOperand(match.inputs[index]));
  const SlotRows *rows = branch->work.find(value);
  if (!rows || rows->isBlock || rows->dims != bits->dims)
    return nullptr;
  branch->slice = sliceOf(branch->work, value);
  if (!branch->slice.refusal.empty() ||
      !holdsProduct(branch->work, branch->slice, isInside || bits->dims > 1) ||
      !otherUse(branch->slice, select.getOperation()).empty())
    return nullptr;
  for (Operation *op : branch->slice.ops)
    branch->cost += rowCost(op);
  return branch;
}

/// Forms the group of a branch, with `other` for the rows that do not take it;
/// `region` becomes the block of its region.
static Value formBranch(linalg::GenericOp select, Value value, Branch &branch,
                        Value other, Block *&region) {
  OpBuilder b(select);
  Location loc = select.getLoc();
  SlotBody body(branch.work, b);
  Value predicate = buildPredicate(b, body, branch.condition);
  body.build(branch.slice);
  SmallVector<StringRef> notes;
  if (auto note = select->getAttrOfType<StringAttr>(kBasisAttr))
    notes.push_back(note.getValue());
  DictionaryAttr formed =
      describeGroup(branch.slice, nodeName(branch.condition.value), "", notes);
  Value base = body.flatten(other, branch.dims);
  Value merged = formSlotGroup(b, loc, predicate, body, body.rowsOf(value),
                               base, formed)[0];
  auto merge = merged.getDefiningOp<gate::MergeOp>();
  region =
      &merge.getSlots().getDefiningOp<gate::ApplyOp>().getBodies()[0].front();
  if (base == other)
    return merged;
  return tensor::ExpandShapeOp::create(
      b, loc, other.getType(), merged,
      base.getDefiningOp<tensor::CollapseShapeOp>().getReassociationIndices(),
      tensor::getMixedSizes(b, loc, select.getDpsInits()[0]));
}

namespace {
class SkipFinder {
public:
  /// Forms the groups of a block, which is `depth` groups deep, and those
  /// inside of them.
  void run(Block &block, unsigned depth = 0);
  /// The names of the selections that became groups.
  const llvm::StringSet<> &getTaken() const { return taken; }

private:
  void form(linalg::GenericOp select, unsigned depth,
            SmallVectorImpl<Block *> &inner);

  llvm::StringSet<> taken;
};
} // namespace

void SkipFinder::form(linalg::GenericOp select, unsigned depth,
                      SmallVectorImpl<Block *> &inner) {
  auto match = matchElementary(select);
  if (!match || match->kind != Elementary::Select)
    return;
  SmallVector<std::unique_ptr<Branch>> branches;
  for (unsigned index : {1u, 2u})
    if (!branches.empty() && depth >= kMaxDepth)
      break;
    else if (auto branch = findBranch(select, *match, index, depth > 0))
      branches.push_back(std::move(branch));
  if (branches.empty())
    return;
  // Where both are work, that of less is what the rows of the other have.
  if (branches.size() == 2 && branches[1]->cost < branches[0]->cost)
    std::swap(branches[0], branches[1]);
  OpBuilder b(select);
  Value other = branches.size() == 2
                    ? buildZeros(b, select.getLoc(), select.getDpsInits()[0])
                    : otherValue(b, select, *match, 3 - branches[0]->index);
  if (!other)
    return;
  for (auto &branch : branches) {
    inner.emplace_back();
    other = formBranch(select, match->operands[branch->index], *branch, other,
                       inner.back());
  }
  taken.insert(nodeName(select.getLoc()));
  select->getResult(0).replaceAllUsesWith(other);
  select.erase();
}

void SkipFinder::run(Block &block, unsigned depth) {
  SmallVector<Block *> inner;
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
    if (isOpTriviallyDead(&op))
      op.erase();
    else if (auto generic = dyn_cast<linalg::GenericOp>(op))
      form(generic, depth, inner);
  }
  for (Block *region : inner)
    run(*region, depth + 1);
}

/// A product whose selection became no group is what it was.
static void dropSelection(linalg::GenericOp op) {
  if (!op->hasAttr(kBasisAttr))
    return;
  op->getResult(0).replaceAllUsesWith(op.getDpsInputs()[1]);
  op.erase();
}

namespace {
struct FormSkips : gatecc::impl::FormSkipsBase<FormSkips> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    SkipFinder finder;
    for (auto function : module.getOps<func::FuncOp>())
      forEachGraphBlock(function, [&](Block &block) { finder.run(block); });
    module.walk(dropSelection);
    // form-groups has said why it left them.
    llvm::erase_if(report, [&](Attribute attribute) {
      auto entry = cast<DictionaryAttr>(attribute);
      return entry.getAs<StringAttr>("decision") == "refused" &&
             finder.getTaken().contains(
                 entry.getAs<StringAttr>("site").getValue());
    });
    createSites(module, report);
    writeReport(module, report);
  }
};
} // namespace
