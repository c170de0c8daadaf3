// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Turns apply into work on slots.
//   experts:   apply over all groups with stacked parameters
//              -> its body once, on all slots, with grouped contractions that
//                 gather their rows through the plan
//              (VectorApply.cpp: those whose parameters are all vectors)
//   exits:     apply on one group whose results are merged
//              -> scf.if(any row) { gather rows; body; scatter into the bases }
// Cost: experts copy no rows but where the body uses them outside a
// contraction; exits copy the rows that live once in and once out.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Transforms/Passes.h"
#include "lib/Transforms/PlanSizes.h"
#include "lib/Transforms/VectorApply.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/RegionUtils.h"

namespace gatecc {
#define GEN_PASS_DEF_INLINEAPPLY
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using gate::ApplyOp;
using gate::ContractOp;
using gate::MergeOp;

namespace {

/// One `apply`, taken apart.
class ApplyInliner {
public:
  ApplyInliner(ApplyOp apply, RewriterBase &rewriter)
      : apply(apply), rewriter(rewriter), loc(apply.getLoc()) {}

  /// `made`: the ops that took the place of the body, with the applies in it.
  LogicalResult run(SmallVectorImpl<Operation *> &made) {
    rewriter.setInsertionPoint(apply);
    if (apply.getBodies().size() != 1)
      return apply.emitError(
          "apply with more than one region is not supported yet");
    int64_t first = apply.getRanges()[0], last = apply.getRanges()[1];
    if (last - first == 1 && apply.getParams().empty())
      return inlineGroup(first, made);
    if (first != 0 || last != apply.getPlan().getType().getGroups())
      return apply.emitError(
          "apply on a part of a plan's groups with parameters "
          "is not supported yet");
    return isVectorApply(apply) ? inlineVectorApply(apply, rewriter)
                                : inlineGrouped(made);
  }

private:
  LogicalResult inlineGrouped(SmallVectorImpl<Operation *> &made);
  LogicalResult inlineGroup(int64_t group, SmallVectorImpl<Operation *> &made);
  LogicalResult hoistBase(MergeOp merge);

  ApplyOp apply;
  RewriterBase &rewriter;
  Location loc;
};

/// Clones an elementwise op outside of contractions that reads rows of its
/// group: each slot gets a copy.
static LogicalResult cloneWithParams(RewriterBase &rewriter, Operation &op,
                                     IRMapping &mapping,
                                     function_ref<Value(Value)> paramOf,
                                     function_ref<Value(Value)> paramRows) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  AffineExpr slot = rewriter.getAffineDimExpr(0);
  if (!generic || generic->getNumResults() != 1 ||
      generic.getMatchingIndexingMap(generic.getDpsInitOperand(0))
              .getResult(0) != slot)
    return op.emitError("a parameter of a group that is used by something else "
                        "than a contraction or an elementwise op is not "
                        "supported yet");
  SmallVector<AffineMap> maps = generic.getIndexingMapsArray();
  SmallVector<std::pair<unsigned, Value>> rows;
  for (OpOperand *operand : generic.getDpsInputOperands()) {
    Value param = paramOf(operand->get());
    if (!param)
      continue;
    unsigned number = operand->getOperandNumber();
    SmallVector<AffineExpr> exprs{slot};
    llvm::append_range(exprs, maps[number].getResults());
    maps[number] =
        AffineMap::get(maps[number].getNumDims(), 0, exprs, op.getContext());
    rows.push_back({number, paramRows(param)});
  }
  auto clone = cast<linalg::GenericOp>(rewriter.clone(op, mapping));
  for (auto [number, value] : rows)
    clone->setOperand(number, value);
  clone.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
  return success();
}

LogicalResult ApplyInliner::inlineGrouped(SmallVectorImpl<Operation *> &made) {
  Block &body = apply.getBodies().front().front();
  PlanSizes plan(rewriter, loc, apply.getPlan());
  Value slots = plan.slots();
  unsigned numInputs = apply.getInputs().size();
  IRMapping mapping;

  auto inputOf = [&](Value value) -> std::optional<unsigned> {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument || argument.getOwner() != &body ||
        argument.getArgNumber() >= numInputs)
      return std::nullopt;
    return argument.getArgNumber();
  };
  auto paramOf = [&](Value value) -> Value {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument || argument.getOwner() != &body ||
        argument.getArgNumber() < numInputs)
      return Value();
    return apply.getParams()[argument.getArgNumber() - numInputs];
  };
  // Rows that something other than a contraction reads are copied to slots.
  auto mapRows = [&](Value value) {
    if (std::optional<unsigned> input = inputOf(value);
        input && !mapping.contains(value))
      mapping.map(value, plan.gatherRows(apply.getInputs()[*input],
                                         plan.source(), slots));
  };

  // Those of its group for each slot, of a parameter that is a row.
  Value groups;
  DenseMap<Value, Value> rowsOfParams;
  auto paramRows = [&](Value param) {
    Value &rows = rowsOfParams[param];
    if (!rows) {
      if (!groups)
        groups = plan.groups();
      rows = plan.gatherRows(param, groups, slots);
    }
    return rows;
  };

  for (Operation &op : body.without_terminator()) {
    if (auto dim = dyn_cast<tensor::DimOp>(op)) {
      std::optional<int64_t> index = dim.getConstantIndex();
      if (inputOf(dim.getSource()) && index && *index == 0) {
        mapping.map(dim.getResult(), slots);
        continue;
      }
    }
    auto contract = dyn_cast<ContractOp>(op);
    bool grouped =
        contract && llvm::any_of(contract.getWeights(), [&](Value weight) {
          return bool(paramOf(weight));
        });
    if (!grouped) {
      bool readsParams = false;
      for (Value operand : op.getOperands()) {
        if (paramOf(operand))
          readsParams = true;
        else
          mapRows(operand);
      }
      if (!readsParams)
        made.push_back(rewriter.clone(op, mapping));
      else if (failed(
                   cloneWithParams(rewriter, op, mapping, paramOf, paramRows)))
        return failure();
      continue;
    }
    SmallVector<Value> weights, extras;
    for (Value weight : contract.getWeights())
      weights.push_back(paramOf(weight));
    if (llvm::is_contained(weights, Value()))
      return op.emitError("a contraction that mixes weights of its group with "
                          "shared ones is not supported yet");
    for (auto [index, extra] : llvm::enumerate(contract.getExtras())) {
      if (contract.getExtent(index) == gate::ExtentKind::Column &&
          !paramOf(extra))
        return op.emitError(
            "a bias that is shared by all groups is not supported yet");
      mapRows(extra);
      extras.push_back(paramOf(extra) ? paramOf(extra)
                                      : mapping.lookupOrDefault(extra));
    }
    std::optional<unsigned> input = inputOf(contract.getRows());
    Value rows = input ? apply.getInputs()[*input]
                       : mapping.lookupOrDefault(contract.getRows());
    auto result = ContractOp::create(
        rewriter, contract.getLoc(), contract.getResult().getType(), rows,
        weights, extras, apply.getPlan(), contract.getExtents(),
        input ? rewriter.getUnitAttr() : UnitAttr());
    contract.getEpilogue().cloneInto(&result.getEpilogue(), mapping);
    mapping.map(contract.getResult(), result.getResult());
  }
  for (auto [result, value] :
       llvm::zip(apply.getOutputs(), body.getTerminator()->getOperands())) {
    mapRows(value);
    rewriter.replaceAllUsesWith(result, mapping.lookupOrDefault(value));
  }
  rewriter.eraseOp(apply);
  return success();
}

/// Makes the base of a merge available before the apply.
LogicalResult ApplyInliner::hoistBase(MergeOp merge) {
  Operation *base = merge.getBase().getDefiningOp();
  DominanceInfo dominance;
  if (!base || dominance.properlyDominates(base, apply))
    return success();
  if (failed(moveOperationDependencies(rewriter, base, apply, dominance)))
    return merge.emitError("the base of a merge depends on the rows that it is "
                           "merged with; this is not supported yet");
  rewriter.moveOpBefore(base, apply);
  return success();
}

LogicalResult ApplyInliner::inlineGroup(int64_t group,
                                        SmallVectorImpl<Operation *> &made) {
  SmallVector<MergeOp> merges;
  for (Operation *user : apply->getUsers()) {
    auto merge = dyn_cast<MergeOp>(user);
    if (!merge || merge.getPlan() != apply.getPlan() ||
        merge.getRange() != apply.getRanges())
      return apply
                 .emitError("an apply on one group whose result is not merged "
                            "is not supported yet")
                 .attachNote(user->getLoc())
             << "used here";
    if (!llvm::is_contained(merges, merge))
      merges.push_back(merge);
  }
  // Users come in reverse; program order keeps the output stable.
  llvm::sort(merges,
             [](MergeOp a, MergeOp b) { return a->isBeforeInBlock(b); });
  for (MergeOp merge : merges)
    if (failed(hoistBase(merge)))
      return failure();

  rewriter.setInsertionPoint(apply);
  PlanSizes plan(rewriter, loc, apply.getPlan());
  Value begin = plan.offset(group), count = plan.rangeSize(group, group + 1);
  Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0);
  Value any = arith::CmpIOp::create(rewriter, loc, arith::CmpIPredicate::sgt,
                                    count, zero);
  SmallVector<Type> types;
  for (MergeOp merge : merges)
    types.push_back(merge.getResult().getType());
  auto branch =
      scf::IfOp::create(rewriter, loc, types, any, /*addThenBlock=*/true,
                        /*addElseBlock=*/true);
  made.push_back(branch);

  Block *then = branch.thenBlock();
  rewriter.setInsertionPointToStart(then);
  Value source = plan.sourceOfGroup(begin, count);
  Block &body = apply.getBodies().front().front();
  SmallVector<Value> rows;
  for (auto [argument, input] :
       llvm::zip(body.getArguments(), apply.getInputs())) {
    for (Operation *user : llvm::make_early_inc_range(argument.getUsers()))
      if (auto dim = dyn_cast<tensor::DimOp>(user))
        if (dim.getConstantIndex() && *dim.getConstantIndex() == 0)
          rewriter.replaceOp(dim, count);
    rows.push_back(
        argument.use_empty() ? input : plan.gatherRows(input, source, count));
  }
  Operation *yield = body.getTerminator();
  SmallVector<Value> yielded(yield->getOperands());
  rewriter.eraseOp(yield);
  for (unsigned i = 0; i < yielded.size(); ++i)
    if (auto argument = dyn_cast<BlockArgument>(yielded[i]);
        argument && argument.getOwner() == &body)
      yielded[i] =
          rows[argument.getArgNumber()] ==
                  apply.getInputs()[argument.getArgNumber()]
              ? plan.gatherRows(apply.getInputs()[argument.getArgNumber()],
                                source, count)
              : rows[argument.getArgNumber()];
  rewriter.inlineBlockBefore(&body, then, then->end(), rows);
  rewriter.setInsertionPointToEnd(then);
  SmallVector<Value> scattered, bases;
  for (MergeOp merge : merges) {
    Value slots = yielded[cast<OpResult>(merge.getSlots()).getResultNumber()];
    scattered.push_back(
        plan.scatterRows(slots, source, count, merge.getBase()));
    bases.push_back(merge.getBase());
  }
  scf::YieldOp::create(rewriter, loc, scattered);
  rewriter.setInsertionPointToEnd(branch.elseBlock());
  scf::YieldOp::create(rewriter, loc, bases);
  for (auto [merge, result] : llvm::zip(merges, branch.getResults()))
    rewriter.replaceOp(merge, result);
  rewriter.eraseOp(apply);
  return success();
}

struct InlineApplyPass : public gatecc::impl::InlineApplyBase<InlineApplyPass> {
  void runOnOperation() override {
    if (failed(checkPlans(getOperation())))
      return signalPassFailure();
    IRRewriter rewriter(&getContext());
    // Outer applies first: an inner one then finds the rows of its plan.
    SmallVector<ApplyOp> open;
    pushOutermost(getOperation(), open);
    SmallVector<Operation *> made;
    while (!open.empty()) {
      made.clear();
      if (failed(ApplyInliner(open.pop_back_val(), rewriter).run(made)))
        return signalPassFailure();
      for (Operation *op : llvm::reverse(made))
        pushOutermost(op, open);
    }
  }

private:
  /// The applies in `root` that are in no other one, the first of them on top.
  static void pushOutermost(Operation *root, SmallVectorImpl<ApplyOp> &open) {
    size_t bottom = open.size();
    root->walk<WalkOrder::PreOrder>([&](ApplyOp apply) {
      open.push_back(apply);
      return WalkResult::skip();
    });
    std::reverse(open.begin() + bottom, open.end());
  }
};

} // namespace
