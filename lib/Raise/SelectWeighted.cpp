// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes selections of products with a weight that is zero for some rows.
//   before: y = w * f(x)                       (w: one number for each row)
//   after:  y = where(w != 0 or |x| > X, w * f(x), 0)
// 0 times a value that is not finite is NaN. Up to X, which follows from the
// weights of f, f(x) is finite; the other rows, NaN included, are computed.
// With --assume-finite they are not looked for.
#include "ExclusiveOps.h"
#include "GraphBlocks.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "RowTensors.h"
#include "SlotWork.h"
#include "ValueBounds.h"
#include "ZeroableWeight.h"
#include "gatecc/Raise/Passes.h"
#include "gatecc/Raise/RowCondition.h"
#include "gatecc/Raise/RowIndependence.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/FormatVariadic.h"

namespace gatecc {
#define GEN_PASS_DEF_SELECTWEIGHTED
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Products may stand in one another; all that is looked at behind them is at
/// most so many times the ops of their block.
static constexpr int64_t kMaxVisits = 16;

namespace {
/// weight * value, element by element, with one weight for each row.
struct Weighted {
  linalg::GenericOp op;
  OpOperand *weight, *value;
  unsigned rowDims; // how many dimensions are the rows
  /// What makes the value, row by row.
  SlotSlice work;
  /// What the work reads of each row, and what all rows share.
  SmallVector<Value> rows, shared;
};

class WeightedFinder {
public:
  WeightedFinder(WeightNorms &norms, bool assumeFinite,
                 SmallVectorImpl<Attribute> &report)
      : norms(norms), assumeFinite(assumeFinite), report(report) {}

  void run(Block &block);

private:
  std::optional<Weighted> match(Operation *op);
  bool findWork(Weighted &found);
  /// The magnitude up to which what is read leaves the value finite.
  std::optional<double> findLimit(const Weighted &found);
  void select(const Weighted &found, std::optional<double> limit);
  Value buildNeeded(OpBuilder &b, const Weighted &found,
                    std::optional<double> limit);

  WeightNorms &norms;
  bool assumeFinite;
  SmallVectorImpl<Attribute> &report;
  ZeroableWeights zeroable;
  int64_t visits = 0;
};
} // namespace

/// How many leading dimensions of a tensor are rows if each has one element: 1,
/// or 2 in [B, S, 1]. 0 if it is another tensor.
static unsigned rowDimsOf(Value value) {
  RankedTensorType type = typeOf(value);
  ArrayRef<int64_t> shape = type.getShape();
  unsigned dims = shape.size();
  while (dims > 0 && shape[dims - 1] == 1)
    --dims;
  bool isRows = gate::computedIn(type.getElementType()).isF32() &&
                !shape.empty() &&
                (dims <= 1 || (dims == 2 && shape.size() > 2));
  return isRows ? std::max(dims, 1u) : 0;
}

std::optional<Weighted> WeightedFinder::match(Operation *op) {
  linalg::GenericOp product = op->getNumResults() == 1
                                  ? matchBinary<arith::MulFOp>(op->getResult(0))
                                  : linalg::GenericOp();
  if (!product)
    return std::nullopt;
  AffineMap rows = AffineMap::getMultiDimIdentityMap(product.getNumLoops(),
                                                     op->getContext());
  for (unsigned side : {0u, 1u}) {
    OpOperand *weight = product.getDpsInputOperand(side),
              *value = product.getDpsInputOperand(1 - side);
    unsigned dims = rowDimsOf(weight->get());
    AffineMap map = product.getMatchingIndexingMap(weight);
    if (dims > 0 && isIdentityOperand(op, 1 - side) &&
        map.getMajorSubMap(dims) == rows.getMajorSubMap(dims) &&
        zeroable.isZeroable(weight->get()))
      return Weighted{product, weight, value, dims, {}, {}, {}};
  }
  return std::nullopt;
}

/// Finds what only the value needs and keeps rows apart; false if no product
/// is among it.
bool WeightedFinder::findWork(Weighted &found) {
  llvm::SetVector<Operation *> ops = exclusiveTo(*found.value);
  readRowsApart(ops, found.weight->get(), found.rowDims);
  visits -= int64_t(ops.size());
  RowIndices none;
  SlotWork work(none, found.weight->get(), found.rowDims, ops);
  for (Operation *op : ops)
    work.visit(op);
  Value value = found.value->get();
  const SlotRows *rows = work.find(value);
  if (!rows || rows->isBlock || rows->dims != found.rowDims)
    return false;
  found.work = sliceOf(work, value);
  if (!found.work.refusal.empty() || llvm::none_of(found.work.ops, isProduct) ||
      !otherUse(found.work, found.op.getOperation()).empty())
    return false;
  llvm::SetVector<Value> perRow, shared;
  for (Operation *op : found.work.ops) {
    std::optional<SmallVector<bool>> follows = work.followed(op);
    forEachUsedValue(op, [&](Value used) {
      Operation *def = used.getDefiningOp();
      if ((def && found.work.ops.contains(def)) ||
          !isa<RankedTensorType>(used.getType()) ||
          !gate::computedIn(typeOf(used).getElementType()).isF32() ||
          isUniformRows(used) || norms.of(used) || norms.boundOf(used))
        return;
      bool isOperand = llvm::is_contained(work.rowsInBody(op), used);
      if (isOperand)
        perRow.insert(used);
      for (auto [operand, isFollowed] : llvm::zip(op->getOperands(), *follows))
        if (operand == used) {
          isOperand = true;
          (isFollowed ? perRow : shared).insert(used);
        }
      if (!isOperand)
        shared.insert(used);
    });
  }
  found.rows = perRow.takeVector();
  found.shared = shared.takeVector();
  return true;
}

std::optional<double> WeightedFinder::findLimit(const Weighted &found) {
  return largestHarmless([&](double limit) {
    ValueBounds bounds(norms);
    for (ArrayRef<Value> read : {ArrayRef(found.rows), ArrayRef(found.shared)})
      for (Value value : read)
        bounds.set(value, Interval::symmetric(limit));
    for (Operation *op : found.work.ops)
      bounds.visit(op);
    return bounds.of(found.value->get()).isFinite();
  });
}

/// The bits of rows whose product with the weight is computed.
Value WeightedFinder::buildNeeded(OpBuilder &b, const Weighted &found,
                                  std::optional<double> limit) {
  // The condition is called what the weight is called.
  Value weight = found.weight->get();
  Location loc = weight.getLoc();
  unsigned rank = typeOf(weight).getRank();
  AffineMap all = b.getMultiDimIdentityMap(rank);
  SmallVector<Value> inputs{weight};
  SmallVector<AffineMap> maps{all};
  if (limit) {
    for (Value rows : found.rows) {
      inputs.push_back(largestMagnitudes(b, loc, rows, found.rowDims));
      maps.push_back(all.getMajorSubMap(found.rowDims));
    }
    for (Value shared : found.shared) {
      inputs.push_back(largestMagnitudes(b, loc, shared, 0));
      maps.push_back(AffineMap::get(rank, 0, b.getContext()));
    }
  }
  maps.push_back(all);
  Value init = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, weight), b.getI1Type());
  return linalg::GenericOp::create(
             b, loc, init.getType(), inputs, init, maps,
             SmallVector<utils::IteratorType>(rank,
                                              utils::IteratorType::parallel),
             [&](OpBuilder &at, Location where, ValueRange x) {
               auto compare = [&](arith::CmpFPredicate predicate, Value value,
                                  double number) -> Value {
                 return arith::CmpFOp::create(
                     at, where, predicate, value,
                     arith::ConstantOp::create(
                         at, where, at.getFloatAttr(value.getType(), number)));
               };
               Value needed = compare(arith::CmpFPredicate::UNE, x[0], 0);
               for (Value magnitude : x.slice(1, inputs.size() - 1))
                 needed = arith::OrIOp::create(
                     at, where, needed,
                     compare(arith::CmpFPredicate::UGT, magnitude, *limit));
               linalg::YieldOp::create(at, where, needed);
             })
      .getResult(0);
}

static std::string basisText(const Weighted &found, std::optional<double> limit,
                             bool assumeFinite) {
  if (assumeFinite)
    return "by --assume-finite: what a weight of 0 multiplies is taken to be "
           "finite";
  if (found.rows.empty() && found.shared.empty())
    return "by proof: what a weight of 0 multiplies is finite";
  return llvm::formatv("by row guard: a row of weight 0 is computed, too, if "
                       "an input is NaN or larger than {0:e2}",
                       *limit);
}

void WeightedFinder::select(const Weighted &found,
                            std::optional<double> limit) {
  linalg::GenericOp op = found.op;
  OpBuilder b(op);
  b.setInsertionPointAfter(op);
  Location loc = op.getLoc();
  Value needed = buildNeeded(b, found, limit), product = op.getResult(0);
  AffineMap all = b.getMultiDimIdentityMap(op.getNumLoops());
  Value init = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, op.getDpsInits()[0]),
      typeOf(product).getElementType());
  if (init.getType() != product.getType())
    init = tensor::CastOp::create(b, loc, product.getType(), init);
  auto selection = linalg::GenericOp::create(
      b, loc, product.getType(), ValueRange{needed, product}, init,
      ArrayRef<AffineMap>{op.getMatchingIndexingMap(found.weight), all, all},
      op.getIteratorTypesArray(),
      [&](OpBuilder &at, Location where, ValueRange x) {
        Value zero = arith::ConstantOp::create(at, where,
                                               at.getZeroAttr(x[1].getType()));
        Value chosen = arith::SelectOp::create(at, where, x[0], x[1], zero);
        linalg::YieldOp::create(at, where, chosen);
      });
  selection->setAttr(kBasisAttr,
                     b.getStringAttr(basisText(found, limit, assumeFinite)));
  product.replaceAllUsesExcept(selection.getResult(0), selection);
}

void WeightedFinder::run(Block &block) {
  visits = kMaxVisits * std::distance(block.begin(), block.end());
  for (Operation &op : llvm::make_early_inc_range(block)) {
    std::optional<Weighted> found = match(&op);
    if (!found || visits < 0 || !findWork(*found))
      continue;
    std::optional<double> limit;
    if (!assumeFinite) {
      limit = findLimit(*found);
      visits -= 8 * int64_t(found->work.ops.size());
    }
    if (limit || assumeFinite) {
      select(*found, limit);
      continue;
    }
    Builder builder(op.getContext());
    StringRef name = nodeName(op.getLoc());
    report.push_back(reportEntry(
        op.getContext(), name, "skip", builder.getStrArrayAttr(ArrayRef(name)),
        "refused",
        "its weight can be 0, but 0 times a value that is not finite is NaN, "
        "and no bound of what it is made from keeps it finite (weights that "
        "are not finite or not f32, or a function without known bounds); "
        "--assume-finite skips the work without one"));
  }
}

namespace {
struct SelectWeighted : gatecc::impl::SelectWeightedBase<SelectWeighted> {
  using SelectWeightedBase::SelectWeightedBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    WeightNorms norms(module);
    for (auto function : module.getOps<func::FuncOp>())
      forEachGraphBlock(function, [&](Block &block) {
        WeightedFinder(norms, assumeFinite, report).run(block);
      });
    writeReport(module, report);
  }
};
} // namespace
