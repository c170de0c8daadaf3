// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builds plans as tensors, with calls of the run-time library.
//   before: route, partition, assign, combine, merge, topk, plan_tensors
//   after:  runtime_call (route, sort_slots, combine, scatter_rows, topk),
//           linalg.generic
// Cost: one counting sort for each plan, O(S + G).
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Transforms/Passes.h"
#include "lib/Transforms/PlanSizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace gatecc {
#define GEN_PASS_DEF_LOWERPLANS
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

/// Emits the pieces of one plan before its deciding op.
class PlanBuilder {
public:
  PlanBuilder(RewriterBase &rewriter, Operation *op)
      : rewriter(rewriter), op(op), loc(op->getLoc()) {
    rewriter.setInsertionPoint(op);
  }

  LogicalResult lowerRoute(gate::RouteOp route);
  LogicalResult lowerPartition(gate::PartitionOp partition);
  LogicalResult lowerAssign(gate::AssignOp assign);
  LogicalResult lowerCombine(gate::CombineOp combine);
  LogicalResult lowerMerge(gate::MergeOp merge);
  LogicalResult lowerTopK(gate::TopKOp topk);

private:
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(rewriter, loc, value);
  }
  Value int32(int64_t value) {
    return arith::ConstantIntOp::create(rewriter, loc, rewriter.getI32Type(),
                                        value);
  }
  Value empty(ArrayRef<OpFoldResult> sizes, Type element) {
    return tensor::EmptyOp::create(rewriter, loc, sizes, element);
  }
  Value rowsOf(Value tensor) {
    return tensor::DimOp::create(rewriter, loc, tensor, 0);
  }
  /// Sorts slots by group and gives the plan's readers its tensors.
  void replacePlan(Value plan, Value ids, Value weights, Value rows);
  void recordSite(FlatSymbolRefAttr site, Value offsets, Value rows,
                  int64_t groups, int64_t exit, Value step);

  RewriterBase &rewriter;
  Operation *op;
  Location loc;
};

void PlanBuilder::replacePlan(Value plan, Value ids, Value weights,
                              Value rows) {
  auto type = cast<gate::PlanType>(plan.getType());
  int64_t groups = type.getGroups(), choices = type.getChoices();
  Type i32 = rewriter.getI32Type();
  Value slots = choices == 1
                    ? rows
                    : arith::MulIOp::create(rewriter, loc, rows, index(choices))
                          .getResult();
  Value offsets = empty(OpFoldResult(rewriter.getIndexAttr(groups + 1)), i32);
  Value source = empty(OpFoldResult(slots), i32);
  Value inverse =
      empty({OpFoldResult(rows), rewriter.getIndexAttr(choices)}, i32);
  // The library can also order weights by slot; combine reads them by row.
  auto sort = createRuntimeCall(rewriter, loc, "gatecc_sort_slots",
                                {ids, rows, index(choices), index(groups)},
                                {offsets, source, inverse}, {1, 7});
  for (Operation *user : llvm::make_early_inc_range(plan.getUsers())) {
    auto tensors = dyn_cast<gate::PlanTensorsOp>(user);
    if (!tensors)
      continue;
    Value values[] = {sort.getTensors()[0], sort.getTensors()[1],
                      sort.getTensors()[2], weights};
    for (auto [result, value] : llvm::zip(tensors->getResults(), values))
      if (!result.use_empty())
        rewriter.replaceAllUsesWith(result, value);
    rewriter.eraseOp(tensors);
  }
  FlatSymbolRefAttr site;
  int64_t exit = -1;
  Value step;
  if (auto route = dyn_cast<gate::RouteOp>(op)) {
    site = route.getSiteAttr();
  } else if (auto assign = dyn_cast<gate::AssignOp>(op)) {
    site = assign.getSiteAttr();
  } else {
    auto partition = cast<gate::PartitionOp>(op);
    site = partition.getSiteAttr();
    exit = partition.getExit();
    step = partition.getStep();
  }
  if (site)
    recordSite(site, sort.getTensors()[0], rows, groups, exit, step);
}

void PlanBuilder::recordSite(FlatSymbolRefAttr site, Value offsets, Value rows,
                             int64_t groups, int64_t exit, Value step) {
  auto [number, first, kind] = findSite(op, site);
  if (step)
    createRuntimeCall(rewriter, loc, "gatecc_record_halt",
                      {index(number), index(first), step, offsets, rows}, {})
        .setFrame(true);
  else if (kind == "exit")
    createRuntimeCall(rewriter, loc, "gatecc_record_exit",
                      {index(number), index(first), index(exit), offsets, rows},
                      {})
        .setFrame(true);
  else
    createRuntimeCall(
        rewriter, loc, "gatecc_record_plan",
        {index(number), index(first), offsets, index(groups), rows}, {})
        .setFrame(true);
}

LogicalResult PlanBuilder::lowerRoute(gate::RouteOp route) {
  auto logits = cast<RankedTensorType>(route.getLogits().getType());
  if (!logits.getElementType().isF32())
    return route.emitError("routing by logits of ")
           << logits.getElementType() << " is not supported yet";
  gate::PlanType plan = route.getPlan().getType();
  Value rows = rowsOf(route.getLogits());
  OpFoldResult shape[] = {OpFoldResult(rows),
                          rewriter.getIndexAttr(plan.getChoices())};
  Value ids = empty(shape, rewriter.getI32Type());
  Value weights = empty(shape, rewriter.getF32Type());
  Value scale = arith::ConstantOp::create(rewriter, loc, route.getScaleAttr());
  FloatAttr offset = route.getSumOffsetAttr(), least = route.getSumMinAttr();
  StringRef callee = offset              ? "gatecc_route_divided_f32"
                     : route.getMixing() ? "gatecc_route_mixed_f32"
                                         : "gatecc_route_f32";
  SmallVector<Value> operands{route.getLogits()};
  if (route.getMixing() || offset)
    operands.push_back(route.getMixing() ? route.getMixing()
                                         : route.getLogits());
  operands.append({rows, index(plan.getGroups()), index(plan.getChoices())});
  if (offset) {
    if (!least)
      least = rewriter.getF32FloatAttr(-std::numeric_limits<float>::infinity());
    operands.push_back(int32(int64_t(route.getScore())));
    operands.push_back(arith::ConstantOp::create(rewriter, loc, offset));
    operands.push_back(arith::ConstantOp::create(rewriter, loc, least));
  } else {
    if (!route.getMixing())
      operands.push_back(int32(int64_t(route.getScore())));
    operands.push_back(int32(route.getNormalize()));
  }
  operands.append(
      {scale, int32(route.getDropNonpositive()), int32(route.getTiesHigh())});
  auto call =
      createRuntimeCall(rewriter, loc, callee, operands, {ids, weights});
  replacePlan(route.getPlan(), call.getTensors()[0], call.getTensors()[1],
              rows);
  rewriter.eraseOp(route);
  return success();
}

LogicalResult PlanBuilder::lowerPartition(gate::PartitionOp partition) {
  auto selector = cast<RankedTensorType>(partition.getSelector().getType());
  Value rows = rowsOf(partition.getSelector());
  Value ids = empty({OpFoldResult(rows), rewriter.getIndexAttr(1)},
                    rewriter.getI32Type());
  MLIRContext *context = rewriter.getContext();
  AffineMap identity = AffineMap::getMultiDimIdentityMap(2, context);
  AffineMap input = selector.getRank() == 2
                        ? identity
                        : AffineMap::get(2, 0, getAffineDimExpr(0, context));
  auto generic = linalg::GenericOp::create(
      rewriter, loc, ids.getType(), partition.getSelector(), ids,
      ArrayRef<AffineMap>{input, identity},
      SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
      [](OpBuilder &b, Location loc, ValueRange arguments) {
        Value id = arguments[0];
        if (id.getType().isInteger(1)) {
          auto constant = [&](int64_t value) {
            return arith::ConstantIntOp::create(b, loc, b.getI32Type(), value)
                .getResult();
          };
          id = arith::SelectOp::create(b, loc, id, constant(0), constant(1));
        }
        linalg::YieldOp::create(b, loc, id);
      });
  replacePlan(partition.getPlan(), generic.getResult(0), Value(), rows);
  rewriter.eraseOp(partition);
  return success();
}

LogicalResult PlanBuilder::lowerAssign(gate::AssignOp assign) {
  gate::PlanType plan = assign.getPlan().getType();
  Value ids = assign.getIds(), rows = rowsOf(ids);
  auto type = cast<RankedTensorType>(ids.getType());
  if (type.getElementType().isInteger(64)) {
    // An id beyond 32 bits must not become one that is in range.
    Value narrow =
        empty({OpFoldResult(rows), rewriter.getIndexAttr(plan.getChoices())},
              rewriter.getI32Type());
    AffineMap identity =
        AffineMap::getMultiDimIdentityMap(2, rewriter.getContext());
    auto generic = linalg::GenericOp::create(
        rewriter, loc, narrow.getType(), ids, narrow,
        ArrayRef<AffineMap>{identity, identity},
        SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
        [&](OpBuilder &b, Location loc, ValueRange arguments) {
          auto constant = [&](int64_t value) {
            return arith::ConstantIntOp::create(b, loc, b.getI64Type(), value)
                .getResult();
          };
          Value inRange =
              arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult,
                                    arguments[0], constant(plan.getGroups()));
          Value id = arith::SelectOp::create(b, loc, inRange, arguments[0],
                                             constant(-1));
          linalg::YieldOp::create(
              b, loc,
              arith::TruncIOp::create(b, loc, b.getI32Type(), id).getResult());
        });
    ids = generic.getResult(0);
  }
  replacePlan(assign.getPlan(), ids, assign.getWeights(), rows);
  rewriter.eraseOp(assign);
  return success();
}

LogicalResult PlanBuilder::lowerCombine(gate::CombineOp combine) {
  auto result = cast<RankedTensorType>(combine.getResult().getType());
  if (!result.getElementType().isF32())
    return combine.emitError("combining slots of ")
           << result.getElementType() << " is not supported yet";
  PlanSizes plan(rewriter, loc, combine.getPlan());
  Value weights = plan.weights();
  // A static number of rows stays in the type: the combine's users rely on it.
  SmallVector<OpFoldResult> sizes{OpFoldResult(combine.getRows()),
                                  rewriter.getIndexAttr(result.getDimSize(1))};
  if (!result.isDynamicDim(0))
    sizes[0] = rewriter.getIndexAttr(result.getDimSize(0));
  Value init = empty(sizes, result.getElementType());
  SmallVector<Value> arguments{combine.getSlots(), index(result.getDimSize(1)),
                               plan.inverse()};
  SmallVector<int64_t> nulls;
  if (weights)
    arguments.push_back(weights);
  else
    nulls.push_back(3);
  arguments.append(
      {combine.getRows(), index(combine.getPlan().getType().getChoices())});
  auto call = createRuntimeCall(rewriter, loc, "gatecc_combine_f32", arguments,
                                init, nulls);
  call.setFrame(true);
  rewriter.replaceOp(combine, call.getTensors()[0]);
  return success();
}

/// A merge of slots that are all there; those of a single group that are made
/// for it alone went with their apply.
LogicalResult PlanBuilder::lowerMerge(gate::MergeOp merge) {
  PlanSizes plan(rewriter, loc, merge.getPlan());
  int64_t first = merge.getRange()[0], last = merge.getRange()[1];
  Value begin = plan.offset(first);
  Value count = plan.rangeSize(first, last);
  Value slots = merge.getSlots();
  if (first != 0) {
    SmallVector<OpFoldResult> sizes =
        tensor::getMixedSizes(rewriter, loc, slots);
    SmallVector<OpFoldResult> starts(sizes.size(), rewriter.getIndexAttr(0));
    SmallVector<OpFoldResult> strides(sizes.size(), rewriter.getIndexAttr(1));
    starts.front() = begin;
    sizes.front() = count;
    slots = tensor::ExtractSliceOp::create(rewriter, loc, slots, starts, sizes,
                                           strides);
  }
  Value source = plan.sourceOfGroup(begin, count);
  rewriter.replaceOp(merge,
                     plan.scatterRows(slots, source, count, merge.getBase()));
  return success();
}

LogicalResult PlanBuilder::lowerTopK(gate::TopKOp topk) {
  auto input = cast<RankedTensorType>(topk.getInput().getType());
  Type element = input.getElementType();
  StringRef callee = element.isF32()         ? "gatecc_topk_f32"
                     : element.isF64()       ? "gatecc_topk_f64"
                     : element.isInteger(64) ? "gatecc_topk_i64"
                     : element.isInteger(32) ? "gatecc_topk_i32"
                                             : "";
  if (callee.empty())
    return topk.emitError("top-k of ") << element << " is not supported yet";
  Value rows = rowsOf(topk.getInput());
  Value columns = tensor::DimOp::create(rewriter, loc, topk.getInput(), 1);
  OpFoldResult shape[] = {
      input.isDynamicDim(0)
          ? OpFoldResult(rows)
          : OpFoldResult(rewriter.getIndexAttr(input.getDimSize(0))),
      topk.getKAttr() ? OpFoldResult(rewriter.getIndexAttr(*topk.getK()))
                      : OpFoldResult(topk.getCount())};
  Value k = topk.getKAttr() ? index(*topk.getK()) : topk.getCount();
  auto call = createRuntimeCall(
      rewriter, loc, callee,
      {topk.getInput(), rows, columns, k, int32(topk.getLargest())},
      {empty(shape, element), empty(shape, rewriter.getI64Type())});
  rewriter.replaceOp(topk, call.getTensors());
  return success();
}

struct LowerPlansPass : public gatecc::impl::LowerPlansBase<LowerPlansPass> {
  void runOnOperation() override {
    if (failed(checkPlans(getOperation())))
      return signalPassFailure();
    IRRewriter rewriter(&getContext());
    // Readers of plans first, so that they ask for the plan's tensors.
    auto lower = [&](auto method, auto tag) {
      using Op = decltype(tag);
      SmallVector<Op> ops;
      getOperation()->walk([&](Op op) { ops.push_back(op); });
      for (Op op : ops)
        if (failed((PlanBuilder(rewriter, op).*method)(op)))
          return failure();
      return success();
    };
    if (failed(lower(&PlanBuilder::lowerCombine, gate::CombineOp())) ||
        failed(lower(&PlanBuilder::lowerMerge, gate::MergeOp())) ||
        failed(lower(&PlanBuilder::lowerRoute, gate::RouteOp())) ||
        failed(lower(&PlanBuilder::lowerPartition, gate::PartitionOp())) ||
        failed(lower(&PlanBuilder::lowerAssign, gate::AssignOp())) ||
        failed(lower(&PlanBuilder::lowerTopK, gate::TopKOp())))
      signalPassFailure();
  }
};

} // namespace
