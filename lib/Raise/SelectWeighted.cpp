// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Turns products with a weight of 0 or 1 into selections.
//   before: x + cast(c) * f(x)
//   after:  x + where(c, f(x), 0)
// 0 times a value that is not finite is NaN, so this is done where no value is
// said to be that; elsewhere the report says what stands in the way.
#include "GraphBlocks.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "gatecc/Raise/Passes.h"
#include "gatecc/Raise/RowCondition.h"
#include "gatecc/Raise/RowIndependence.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

namespace gatecc {
#define GEN_PASS_DEF_SELECTWEIGHTED
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

static bool isNumber(Value scalar, double number) {
  FloatAttr constant;
  return matchPattern(scalar, m_Constant(&constant)) &&
         constant.getValueAsDouble() == number;
}

/// Whether a scalar of an elementwise body is 0 or 1 for all elements.
static bool isBit(Value scalar, linalg::GenericOp op);

/// Whether all elements of a float tensor are 0 or 1 by construction.
static bool areBits(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(
            op)) {
      value = op->getOperand(0);
      continue;
    }
    auto generic = dyn_cast<linalg::GenericOp>(op);
    return generic && generic->getNumResults() == 1 &&
           generic.getNumLoops() == generic.getNumParallelLoops() &&
           isBit(generic.getBody()->getTerminator()->getOperand(0), generic);
  }
  return false;
}

static bool isBit(Value scalar, linalg::GenericOp op) {
  if (auto argument = dyn_cast<BlockArgument>(scalar))
    return argument.getOwner() == op.getBody() &&
           argument.getArgNumber() < op.getNumDpsInputs() &&
           areBits(op.getDpsInputs()[argument.getArgNumber()]);
  if (isNumber(scalar, 0) || isNumber(scalar, 1))
    return true;
  if (auto cast = scalar.getDefiningOp<arith::UIToFPOp>())
    return cast.getIn().getType().isInteger(1);
  if (auto select = scalar.getDefiningOp<arith::SelectOp>())
    return isBit(select.getTrueValue(), op) &&
           isBit(select.getFalseValue(), op);
  if (auto less = scalar.getDefiningOp<arith::SubFOp>())
    return isNumber(less.getLhs(), 1) && isBit(less.getRhs(), op);
  if (auto product = scalar.getDefiningOp<arith::MulFOp>())
    return isBit(product.getLhs(), op) && isBit(product.getRhs(), op);
  return false;
}

namespace {
/// weight * value, element by element.
struct Weighted {
  linalg::GenericOp op;
  OpOperand *weight, *value;
};
} // namespace

static std::optional<Weighted> matchWeighted(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumDpsInputs() != 2 ||
      generic->getNumResults() != 1 ||
      generic.getNumLoops() != generic.getNumParallelLoops() ||
      !generic.getMatchingIndexingMap(generic.getDpsInitOperand(0))
           .isIdentity())
    return std::nullopt;
  Block &body = *generic.getBody();
  auto product =
      body.getTerminator()->getOperand(0).getDefiningOp<arith::MulFOp>();
  if (!product || !llvm::hasNItems(body, 2))
    return std::nullopt;
  for (unsigned side : {0u, 1u}) {
    Weighted match{generic, generic.getDpsInputOperand(side),
                   generic.getDpsInputOperand(1 - side)};
    bool readsBoth =
        llvm::is_contained(product->getOperands(), body.getArgument(0)) &&
        llvm::is_contained(product->getOperands(), body.getArgument(1));
    if (readsBoth && isIdentityOperand(op, 1 - side) &&
        areBits(match.weight->get()))
      return match;
  }
  return std::nullopt;
}

/// Whether a product is among the ops that a value depends on in its block and
/// that nothing else needs; these are the ones that a selection would skip.
static bool skipsProducts(Value value) {
  SmallVector<Value> open{value};
  llvm::DenseSet<Operation *> seen;
  while (!open.empty()) {
    Value next = open.pop_back_val();
    Operation *op = next.getDefiningOp();
    if (!op || op->getBlock() != value.getParentBlock() ||
        !seen.insert(op).second)
      continue;
    if (!next.hasOneUse())
      continue;
    if (isProduct(op))
      return true;
    forEachUsedValue(op, [&](Value used) { open.push_back(used); });
  }
  return false;
}

/// where(weight != 0, value, 0)
static Value buildSelection(const Weighted &match) {
  linalg::GenericOp op = match.op;
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value weight = match.weight->get();
  auto type = cast<RankedTensorType>(weight.getType());
  Value zero =
      arith::ConstantOp::create(b, loc, b.getZeroAttr(type.getElementType()));
  Value bits = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, weight), b.getI1Type());
  AffineMap map = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  // The condition is called what the weight is called.
  auto condition = linalg::GenericOp::create(
      b, weight.getLoc(), TypeRange{bits.getType()}, ValueRange{weight},
      ValueRange{bits}, ArrayRef<AffineMap>{map, map}, loops,
      [&](OpBuilder &at, Location where, ValueRange x) {
        Value differs = arith::CmpFOp::create(
            at, where, arith::CmpFPredicate::UNE, x[0], zero);
        linalg::YieldOp::create(at, where, differs);
      });
  Value init = op.getDpsInits()[0];
  AffineMap all = op.getMatchingIndexingMap(match.value);
  auto selection = linalg::GenericOp::create(
      b, loc, op->getResultTypes(),
      ValueRange{condition.getResult(0), match.value->get()}, ValueRange{init},
      ArrayRef<AffineMap>{op.getMatchingIndexingMap(match.weight), all, all},
      op.getIteratorTypesArray(),
      [&](OpBuilder &at, Location where, ValueRange x) {
        Value chosen = arith::SelectOp::create(at, where, x[0], x[1], zero);
        linalg::YieldOp::create(at, where, chosen);
      });
  selection->setAttr(kAssumptionAttr,
                     b.getStringAttr("assuming that all values are finite"));
  return selection.getResult(0);
}

namespace {
struct SelectWeighted : gatecc::impl::SelectWeightedBase<SelectWeighted> {
  using SelectWeightedBase::SelectWeightedBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    for (auto function : module.getOps<func::FuncOp>())
      forEachGraphBlock(function, [&](Block &block) {
        for (Operation &op : llvm::make_early_inc_range(block))
          if (auto match = matchWeighted(&op);
              match && skipsProducts(match->value->get()))
            visit(*match, report);
      });
    writeReport(module, report);
  }

private:
  void visit(const Weighted &match, SmallVectorImpl<Attribute> &report) {
    linalg::GenericOp op = match.op;
    if (assumeFinite) {
      op->getResult(0).replaceAllUsesWith(buildSelection(match));
      op.erase();
      return;
    }
    Builder builder(&getContext());
    StringRef name = nodeName(op.getLoc());
    report.push_back(reportEntry(
        &getContext(), name, "skip", builder.getStrArrayAttr(ArrayRef(name)),
        "refused",
        "its weight is 0 or 1, but 0 times a value that is not finite is NaN; "
        "--assume-finite skips the work without proof"));
  }
};
} // namespace
