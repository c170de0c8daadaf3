// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Inlines experts that are a few vectors each.
//   before: apply { sum(%row * %down) ... * %up }, combine
//   after:  gather_nd of %down and %up by the ids [R, choices]; the body on
//           [R, choices, ...]; a sum over the choices
// Nothing is gained by sorting these slots: a vector is read once for each slot
// either way, in the order in which it is stored, without packing. Of many
// thousands of experts most have no slot, so that a task for each, or a plan
// with an offset for each, would cost more than their work.
#include "lib/Transforms/VectorApply.h"

#include "lib/Transforms/PlanSizes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace gatecc;
using gate::ApplyOp;
using gate::CombineOp;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Whether the first loop of an op numbers the slots of all that it reads of
/// the body's rows, and of its results.
static bool isBySlot(linalg::LinalgOp op, Block &body, unsigned numInputs) {
  AffineExpr slot = getAffineDimExpr(0, op.getContext());
  auto isParam = [&](Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    return argument && argument.getOwner() == &body &&
           argument.getArgNumber() >= numInputs;
  };
  auto isOutside = [&](Value value) { return value.getParentBlock() != &body; };
  if (!op.hasPureTensorSemantics() || op.getNumLoops() == 0 ||
      op.getIteratorTypesArray()[0] != utils::IteratorType::parallel)
    return false;
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    bool usesSlot = map.isFunctionOfDim(0);
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    if (isParam(operand.get()) || isOutside(operand.get())) {
      if (usesSlot)
        return false;
    } else if (map.getNumResults() == 0 || map.getResult(0) != slot ||
               llvm::any_of(map.getResults().drop_front(), [](AffineExpr expr) {
                 return expr.isFunctionOfDim(0);
               })) {
      return false;
    }
  }
  // What asks for its place, or reads tensors at places of its own.
  return !op->getRegion(0)
              .walk([](Operation *inner) {
                bool reads =
                    llvm::any_of(inner->getOperands(), [](Value operand) {
                      return isa<ShapedType>(operand.getType());
                    });
                return reads || isa<linalg::IndexOp>(inner)
                           ? WalkResult::interrupt()
                           : WalkResult::advance();
              })
              .wasInterrupted();
}

bool gatecc::isVectorApply(ApplyOp apply) {
  if (!apply.getPlan().getDefiningOp<gate::AssignOp>() ||
      apply.getParams().empty() || apply.getNumResults() != 1)
    return false;
  // One that others read as well is built anyway.
  for (Operation *user : apply.getPlan().getUsers())
    if (user != apply &&
        (!isa<CombineOp>(user) || user->getOperand(0) != apply.getResult(0)))
      return false;
  for (Value param : apply.getParams())
    if (typeOf(param).getRank() != 2)
      return false;
  for (Operation *user : apply.getResult(0).getUsers()) {
    auto combine = dyn_cast<CombineOp>(user);
    if (!combine || combine.getPlan() != apply.getPlan() ||
        !typeOf(combine.getResult()).getElementType().isF32())
      return false;
  }
  Block &body = apply.getBodies().front().front();
  unsigned numInputs = apply.getInputs().size();
  Value yielded = body.getTerminator()->getOperand(0);
  if (yielded.getParentBlock() != &body || isa<BlockArgument>(yielded))
    return false;
  return llvm::all_of(body.without_terminator(), [&](Operation &op) {
    if (op.hasTrait<OpTrait::ConstantLike>())
      return true;
    if (auto dim = dyn_cast<tensor::DimOp>(op))
      return isa<BlockArgument>(dim.getSource()) &&
             cast<BlockArgument>(dim.getSource()).getArgNumber() < numInputs &&
             dim.getConstantIndex() == 0;
    if (auto empty = dyn_cast<tensor::EmptyOp>(op))
      return empty.getType().getRank() > 0 && empty.getType().isDynamicDim(0) &&
             empty.getType().getNumDynamicDims() == 1;
    // [n] as [n, 1]
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
      return expand.getSrcType().getRank() == 1 &&
             expand.getResultType().getRank() == 2 &&
             expand.getResultType().getDimSize(1) == 1 &&
             !isa<BlockArgument>(expand.getSrc());
    auto structured = dyn_cast<linalg::LinalgOp>(op);
    return structured && isa<linalg::GenericOp, linalg::FillOp>(op) &&
           isBySlot(structured, body, numInputs);
  });
}

namespace {

class VectorInliner {
public:
  VectorInliner(ApplyOp apply, RewriterBase &rewriter)
      : apply(apply), assign(apply.getPlan().getDefiningOp<gate::AssignOp>()),
        rewriter(rewriter), loc(apply.getLoc()),
        body(apply.getBodies().front().front()) {}

  void run();

private:
  OpFoldResult choices() {
    return rewriter.getIndexAttr(apply.getPlan().getType().getChoices());
  }
  /// [n, ...] as [R, choices, ...]
  RankedTensorType byRow(RankedTensorType type) {
    SmallVector<int64_t> shape{ShapedType::kDynamic,
                               apply.getPlan().getType().getChoices()};
    llvm::append_range(shape, type.getShape().drop_front());
    return RankedTensorType::get(shape, type.getElementType());
  }
  Value gather(Value param);
  void inlineOp(Operation &op);
  void inlineStructured(linalg::LinalgOp op);
  void sumChoices(CombineOp combine, Value slots);

  void recordSite();

  ApplyOp apply;
  gate::AssignOp assign;
  RewriterBase &rewriter;
  Location loc;
  Block &body;
  Value rows, ids, indices; // ids: [R, choices] of i32
  IRMapping mapping;
};

} // namespace

/// The row of its group for each choice.
Value VectorInliner::gather(Value param) {
  if (!indices) {
    RankedTensorType type = typeOf(ids);
    SmallVector<int64_t> shape(type.getShape());
    shape.push_back(1);
    indices = tensor::ExpandShapeOp::create(
        rewriter, loc, RankedTensorType::get(shape, type.getElementType()), ids,
        ArrayRef{ReassociationIndices{0}, ReassociationIndices{1, 2}},
        SmallVector<OpFoldResult>{rows, choices(), rewriter.getIndexAttr(1)});
  }
  return gate::GatherNDOp::create(rewriter, loc, byRow(typeOf(param)), param,
                                  indices, /*batch_dims=*/0);
}

void VectorInliner::inlineStructured(linalg::LinalgOp op) {
  MLIRContext *context = op.getContext();
  AffineExpr row = getAffineDimExpr(0, context),
             choice = getAffineDimExpr(1, context);
  SmallVector<AffineExpr> places{row};
  for (unsigned loop = 1; loop < op.getNumLoops(); ++loop)
    places.push_back(getAffineDimExpr(loop + 1, context));
  SmallVector<Value> inputs, inits;
  SmallVector<AffineMap> maps;
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    SmallVector<AffineExpr> exprs;
    for (AffineExpr expr : map.getResults())
      exprs.push_back(expr.replaceDims(places));
    auto argument = dyn_cast<BlockArgument>(operand.get());
    bool isInput = argument && argument.getOwner() == &body &&
                   argument.getArgNumber() < apply.getInputs().size();
    bool isOutside = operand.get().getParentBlock() != &body ||
                     !isa<RankedTensorType>(operand.get().getType());
    if (argument && argument.getOwner() == &body && !isInput)
      exprs.insert(exprs.begin(), {row, choice});
    else if (!isInput && !isOutside)
      exprs.insert(exprs.begin() + 1, choice);
    maps.push_back(AffineMap::get(op.getNumLoops() + 1, 0, exprs, context));
    Value value = mapping.lookupOrDefault(operand.get());
    (op.isDpsInit(&operand) ? inits : inputs).push_back(value);
  }
  SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
  iterators.insert(iterators.begin(), utils::IteratorType::parallel);
  SmallVector<Type> types =
      llvm::map_to_vector(op->getResultTypes(), [&](Type type) -> Type {
        return byRow(cast<RankedTensorType>(type));
      });
  auto clone = linalg::GenericOp::create(rewriter, op.getLoc(), types, inputs,
                                         inits, maps, iterators);
  op->getRegion(0).cloneInto(&clone.getRegion(), mapping);
  mapping.map(op->getResults(), clone.getResults());
}

void VectorInliner::inlineOp(Operation &op) {
  if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
    RankedTensorType type = byRow(empty.getType());
    mapping.map(empty.getResult(),
                tensor::EmptyOp::create(rewriter, loc, type, rows).getResult());
  } else if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    auto clone = linalg::FillOp::create(
        rewriter, loc, mapping.lookupOrDefault(fill.getInputs()[0]),
        mapping.lookup(fill.getOutputs()[0]));
    mapping.map(fill.getResult(0), clone.getResult(0));
  } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    Value wide = tensor::ExpandShapeOp::create(
        rewriter, loc, byRow(expand.getResultType()),
        mapping.lookup(expand.getSrc()),
        ArrayRef{ReassociationIndices{0}, ReassociationIndices{1, 2}},
        SmallVector<OpFoldResult>{rows, choices(), rewriter.getIndexAttr(1)});
    mapping.map(expand.getResult(), wide);
  } else if (auto structured = dyn_cast<linalg::LinalgOp>(op)) {
    inlineStructured(structured);
  } else {
    rewriter.clone(op, mapping);
  }
}

/// result[t] = sum over j of weights[t, j] * slots[t, j], in order, without the
/// choices that are in no group.
void VectorInliner::sumChoices(CombineOp combine, Value slots) {
  rewriter.setInsertionPoint(combine);
  Value weights = assign.getWeights();
  RankedTensorType type = typeOf(combine.getResult());
  Value zero =
      arith::ConstantOp::create(rewriter, loc, rewriter.getF32FloatAttr(0));
  OpFoldResult count = type.isDynamicDim(0)
                           ? OpFoldResult(combine.getRows())
                           : rewriter.getIndexAttr(type.getDimSize(0));
  Value empty = tensor::EmptyOp::create(
      rewriter, loc, {count, rewriter.getIndexAttr(type.getDimSize(1))},
      type.getElementType());
  Value init = linalg::FillOp::create(rewriter, loc, zero, empty).getResult(0);
  AffineMap all = rewriter.getMultiDimIdentityMap(3),
            byChoice = all.dropResult(2);
  SmallVector<Value> inputs{slots, ids};
  SmallVector<AffineMap> maps{all, byChoice};
  if (weights) {
    inputs.push_back(weights);
    maps.push_back(byChoice);
  }
  maps.push_back(all.dropResult(1));
  int64_t groups = apply.getPlan().getType().getGroups();
  auto sum = linalg::GenericOp::create(
      rewriter, loc, init.getType(), inputs, init, maps,
      ArrayRef{utils::IteratorType::parallel, utils::IteratorType::reduction,
               utils::IteratorType::parallel},
      [&](OpBuilder &at, Location where, ValueRange x) {
        Value limit =
            arith::ConstantIntOp::create(at, where, x[1].getType(), groups);
        Value isThere = arith::CmpIOp::create(
            at, where, arith::CmpIPredicate::ult, x[1], limit);
        Value slot =
            weights ? arith::MulFOp::create(at, where, x[2], x[0]).getResult()
                    : x[0];
        Value added = arith::AddFOp::create(at, where, x.back(), slot);
        linalg::YieldOp::create(
            at, where,
            arith::SelectOp::create(at, where, isThere, added, x.back())
                .getResult());
      });
  rewriter.replaceOp(combine, sum.getResults());
  // What is summed is computed there, and never stored.
  OpOperand &summed = sum->getOpOperand(0);
  if (slots.hasOneUse() && linalg::areElementwiseOpsFusable(&summed))
    if (FailureOr<linalg::ElementwiseOpFusionResult> fused =
            linalg::fuseElementwiseOps(rewriter, &summed);
        succeeded(fused))
      for (auto [old, value] : fused->replacements)
        rewriter.replaceAllUsesWith(old, value);
}

/// Nobody builds the plan, so that its choices are counted here.
void VectorInliner::recordSite() {
  FlatSymbolRefAttr site = assign.getSiteAttr();
  if (!site)
    return;
  SitePlace place = findSite(assign, site);
  gate::PlanType plan = assign.getPlan().getType();
  auto index = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(rewriter, loc, value);
  };
  createRuntimeCall(rewriter, loc, "gatecc_record_choices",
                    {index(place.number), index(place.first), ids,
                     index(plan.getChoices()), index(plan.getGroups()), rows},
                    {})
      .setFrame(true);
}

void VectorInliner::run() {
  rewriter.setInsertionPoint(assign);
  ids = assign.getIds();
  rows = tensor::DimOp::create(rewriter, loc, ids, 0);
  if (typeOf(ids).getElementType().isInteger(64))
    ids = narrowIds(rewriter, loc, ids, assign.getPlan().getType());
  recordSite();
  rewriter.setInsertionPoint(apply);
  unsigned numInputs = apply.getInputs().size();
  for (BlockArgument argument : body.getArguments()) {
    unsigned number = argument.getArgNumber();
    mapping.map(argument, number < numInputs
                              ? apply.getInputs()[number]
                              : gather(apply.getParams()[number - numInputs]));
  }
  // The number of slots is asked for to make tensors, which are made by row.
  for (Operation &op : body.without_terminator())
    if (!isa<tensor::DimOp>(op))
      inlineOp(op);
  Value slots = mapping.lookup(body.getTerminator()->getOperand(0));
  SmallVector<CombineOp> combines;
  for (Operation *user : apply.getResult(0).getUsers())
    combines.push_back(cast<CombineOp>(user));
  rewriter.setInsertionPoint(apply);
  for (CombineOp combine : combines)
    sumChoices(combine, slots);
  rewriter.eraseOp(apply);
  rewriter.eraseOp(assign);
}

LogicalResult gatecc::inlineVectorApply(ApplyOp apply, RewriterBase &rewriter) {
  VectorInliner(apply, rewriter).run();
  return success();
}
