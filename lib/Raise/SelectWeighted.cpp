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

namespace {
/// Which float tensors of a function hold nothing but 0 and 1 by construction.
/// Found once for each, in program order: masks are multiplied with each other
/// in chains that are as long as the network.
class BitTensors {
public:
  explicit BitTensors(func::FuncOp function) {
    function.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (op->getNumResults() == 1 && makesBits(op))
        known.insert(op->getResult(0));
    });
  }

  bool contains(Value value) const { return known.contains(value); }
  void replace(Value value, Value by) {
    if (known.erase(value))
      known.insert(by);
  }

private:
  bool makesBits(Operation *op) const {
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op))
      return contains(op->getOperand(0));
    auto generic = dyn_cast<linalg::GenericOp>(op);
    return generic && generic.getNumLoops() == generic.getNumParallelLoops() &&
           isBit(generic.getBody()->getTerminator()->getOperand(0), generic);
  }

  /// Whether a scalar of an elementwise body is 0 or 1 for all elements. The
  /// values of a body may be used more than once: each is looked at once.
  bool isBit(Value scalar, linalg::GenericOp op) const {
    SmallVector<Value> open{scalar};
    llvm::DenseSet<Value> seen;
    while (!open.empty()) {
      Value next = open.pop_back_val();
      if (!seen.insert(next).second)
        continue;
      if (auto argument = dyn_cast<BlockArgument>(next)) {
        if (argument.getOwner() != op.getBody() ||
            argument.getArgNumber() >= op.getNumDpsInputs() ||
            !contains(op.getDpsInputs()[argument.getArgNumber()]))
          return false;
      } else if (isNumber(next, 0) || isNumber(next, 1)) {
        continue;
      } else if (auto cast = next.getDefiningOp<arith::UIToFPOp>()) {
        if (!cast.getIn().getType().isInteger(1))
          return false;
      } else if (auto select = next.getDefiningOp<arith::SelectOp>()) {
        open.append({select.getTrueValue(), select.getFalseValue()});
      } else if (auto less = next.getDefiningOp<arith::SubFOp>();
                 less && isNumber(less.getLhs(), 1)) {
        open.push_back(less.getRhs());
      } else if (auto product = next.getDefiningOp<arith::MulFOp>()) {
        open.append({product.getLhs(), product.getRhs()});
      } else {
        return false;
      }
    }
    return true;
  }

  llvm::DenseSet<Value> known;
};
} // namespace

namespace {
/// weight * value, element by element.
struct Weighted {
  linalg::GenericOp op;
  OpOperand *weight, *value;
};
} // namespace

static std::optional<Weighted> matchWeighted(Operation *op,
                                             const BitTensors &bits) {
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
        bits.contains(match.weight->get()))
      return match;
  }
  return std::nullopt;
}

namespace {
/// The values of a function that depend, in their block, on a product that
/// nothing else needs: what a selection of them would skip. Found once for
/// each, in program order.
class SkippedProducts {
public:
  explicit SkippedProducts(func::FuncOp function) {
    function.walk<WalkOrder::PreOrder>([&](Operation *op) { visit(op); });
  }

  bool areBehind(Value value) const {
    return value.hasOneUse() && ops.contains(value.getDefiningOp());
  }
  void replace(Operation *op, Operation *by) {
    ops.erase(op);
    visit(by);
  }

private:
  void visit(Operation *op) {
    bool found = isProduct(op);
    forEachUsedValue(op, [&](Value used) {
      found |= used.getParentBlock() == op->getBlock() && areBehind(used);
    });
    if (found)
      ops.insert(op);
  }

  llvm::DenseSet<Operation *> ops;
};
} // namespace

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
    for (auto function : module.getOps<func::FuncOp>()) {
      BitTensors bits(function);
      SkippedProducts products(function);
      forEachGraphBlock(function, [&](Block &block) {
        for (Operation &op : llvm::make_early_inc_range(block))
          if (auto match = matchWeighted(&op, bits);
              match && products.areBehind(match->value->get()))
            visit(*match, bits, products, report);
      });
    }
    writeReport(module, report);
  }

private:
  void visit(const Weighted &match, BitTensors &bits, SkippedProducts &products,
             SmallVectorImpl<Attribute> &report) {
    linalg::GenericOp op = match.op;
    if (assumeFinite) {
      Value selection = buildSelection(match);
      bits.replace(op->getResult(0), selection);
      op->getResult(0).replaceAllUsesWith(selection);
      products.replace(op, selection.getDefiningOp());
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
