// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits experts that all rows ran as experts that rows choose:
//   %y = combine of the chosen experts' slots
//   %p = partition(rows that fail the guard)
//   merge(apply %p { for each expert: add combine of its slots }, %y)
// One expert after another has no more slots at a time than there are rows. It
// is the same region on the same weights: a row's result depends on no other.
#include "DenseExperts.h"

#include "ExpertWork.h"
#include "FloatCasts.h"
#include "RowTensors.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <cfloat>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
class DenseEmitter {
public:
  DenseEmitter(GraphBuilder &graph, const DenseExperts &found, DenseBody &body,
               Value ids)
      : graph(graph), b(graph.getBuilder()), loc(graph.getLoc()), found(found),
        routing(withDynamicRows(graph, body.getRouting())),
        region(body.getRegion()),
        ids(ids ? withDynamicRows(graph, ids) : Value()) {
    for (Value input : region.getInputs()) {
      bool isRouting = input == body.getRouting();
      inputs.push_back(isRouting ? routing : withDynamicRows(graph, input));
      isInside |= isRouting;
    }
    rows = tensor::DimOp::create(b, loc, ids ? this->ids : routing, 0);
  }

  Value run(Value slots, const RowGuard &guard, FlatSymbolRefAttr site);

private:
  Value elementwise(ValueRange inputs, ArrayRef<OpFoldResult> sizes,
                    Type element, ScalarBody body) {
    return elementwiseOf(b, loc, inputs, sizes, element, body);
  }
  Value reduce(Value input, TypedAttr start, ScalarBody body) {
    return foldColumns(b, loc, input, start, body);
  }
  Value chosenWeights();
  /// [T, c, F] as [T * c, F].
  Value flat(Value value);
  /// Sums up the experts that `chosen` [T, c] names, weighted by `weights` [T,
  /// c]: [T, columns]. `makeApply` creates the apply on a plan and inputs.
  Value sumOf(Value chosen, Value weights, FlatSymbolRefAttr site,
              function_ref<gate::ApplyOp(Value, ArrayRef<Value>)> makeApply);
  Value failingRows(const RowGuard &guard);
  /// The number of each expert whose weight is not zero, [T, E], -1 for others;
  /// all experts of rows that fail.
  Value weightedIds(Value fails);
  Value withFailingRows(Value sum, gate::ApplyOp first, const RowGuard &guard);
  Value sumOfAll(gate::ApplyOp first);
  Value constant(TypedAttr value) {
    return arith::ConstantOp::create(b, loc, value);
  }

  GraphBuilder &graph;
  OpBuilder &b;
  Location loc;
  const DenseExperts &found;
  Value routing;
  ExpertRegion &region;
  SmallVector<Value> inputs;
  bool isInside = false; // experts read their weights
  Value ids, rows, chosen;
};
} // namespace

/// The weights [T, k] of the chosen experts.
Value DenseEmitter::chosenWeights() {
  if (!chosen)
    chosen = readAtIds(b, loc, routing, ids, /*batchDims=*/1);
  return chosen;
}

Value DenseEmitter::flat(Value value) {
  if (typeOf(value).getRank() == 3)
    return tensor::CollapseShapeOp::create(
        b, loc, value,
        ArrayRef{ReassociationIndices{0, 1}, ReassociationIndices{2}});
  Value all = tensor::CollapseShapeOp::create(
      b, loc, value, ArrayRef{ReassociationIndices{0, 1}});
  Value count = tensor::DimOp::create(b, loc, all, 0);
  auto type = RankedTensorType::get({ShapedType::kDynamic, 1},
                                    typeOf(value).getElementType());
  return tensor::ExpandShapeOp::create(
      b, loc, type, all, ArrayRef{ReassociationIndices{0, 1}},
      SmallVector<OpFoldResult>{count, b.getIndexAttr(1)});
}

Value DenseEmitter::sumOf(
    Value chosen, Value weights, FlatSymbolRefAttr site,
    function_ref<gate::ApplyOp(Value, ArrayRef<Value>)> makeApply) {
  int64_t choices = typeOf(chosen).getDimSize(1), perRow = choices;
  SmallVector<Value> tensors = inputs;
  Value count = rows;
  if (isInside) {
    // A slot has a number of its own: slots are the rows of the plan.
    for (Value &tensor : tensors)
      if (tensor != routing && choices > 1)
        tensor = repeatRows(graph, tensor, b.getIndexAttr(choices));
    if (choices > 1) {
      chosen = flat(chosen);
      weights = flat(weights);
      count = tensor::DimOp::create(b, loc, chosen, 0);
      perRow = 1;
    }
    for (Value &tensor : tensors)
      if (tensor == routing)
        tensor = weights;
  }
  auto plan = gate::AssignOp::create(
      b, loc, gate::PlanType::get(b.getContext(), found.experts, perRow),
      chosen,
      found.isWeighted ? castFloats(b, loc, weights, b.getF32Type()) : Value(),
      site);
  gate::ApplyOp apply = makeApply(plan, tensors);
  Value slots = apply.getResult(0);
  int64_t columns = typeOf(slots).getDimSize(1);
  Value sum = gate::CombineOp::create(
      b, loc,
      RankedTensorType::get({ShapedType::kDynamic, columns},
                            typeOf(slots).getElementType()),
      slots, plan, count);
  if (perRow == choices)
    return sum;
  // [T * c, F] -> [T, F, c] would copy: sum along the middle dimension.
  auto wide = RankedTensorType::get({ShapedType::kDynamic, choices, columns},
                                    typeOf(slots).getElementType());
  Value apart = tensor::ExpandShapeOp::create(
      b, loc, wide, sum,
      ArrayRef{ReassociationIndices{0, 1}, ReassociationIndices{2}},
      SmallVector<OpFoldResult>{rows, b.getIndexAttr(choices),
                                b.getIndexAttr(columns)});
  Value init =
      linalg::FillOp::create(
          b, loc, constant(b.getF32FloatAttr(0)),
          tensor::EmptyOp::create(
              b, loc, ArrayRef<OpFoldResult>{rows, b.getIndexAttr(columns)},
              typeOf(slots).getElementType())
              .getResult())
          .getResult(0);
  AffineMap identity = b.getMultiDimIdentityMap(3);
  return linalg::GenericOp::create(
             b, loc, init.getType(), apart, init,
             ArrayRef{identity, identity.dropResult(1)},
             ArrayRef{utils::IteratorType::parallel,
                      utils::IteratorType::reduction,
                      utils::IteratorType::parallel},
             [](OpBuilder &at, Location where, ValueRange x) {
               linalg::YieldOp::create(
                   at, where,
                   arith::AddFOp::create(at, where, x[1], x[0]).getResult());
             })
      .getResult(0);
}

/// A bit [T] for each row that the guard does not let pass.
Value DenseEmitter::failingRows(const RowGuard &guard) {
  SmallVector<Value> tested;
  SmallVector<double> limits;
  for (auto [input, limit] : llvm::zip_equal(inputs, guard.limits)) {
    if (!limit)
      continue;
    tested.push_back(largestMagnitudes(b, loc, input, 1));
    limits.push_back(*limit);
  }
  if (guard.testsWeights)
    for (Value weights : {routing, chosenWeights()})
      tested.push_back(reduce(
          weights, b.getI64IntegerAttr(0),
          [](OpBuilder &at, Location where, ValueRange x) -> Value {
            Value zero = arith::ConstantOp::create(
                at, where, at.getZeroAttr(x[0].getType()));
            Value isWeight = arith::CmpFOp::create(
                at, where, arith::CmpFPredicate::UNE, x[0], zero);
            Value one =
                arith::ExtUIOp::create(at, where, at.getI64Type(), isWeight);
            return arith::AddIOp::create(at, where, x[1], one);
          }));
  return elementwise(
      tested, OpFoldResult(rows), b.getI1Type(),
      [&](OpBuilder &at, Location where, ValueRange x) -> Value {
        Value fails;
        auto also = [&](Value bit) {
          fails = fails
                      ? arith::OrIOp::create(at, where, fails, bit).getResult()
                      : bit;
        };
        for (auto [value, limit] : llvm::zip(x, limits))
          also(arith::CmpFOp::create(
              at, where, arith::CmpFPredicate::UGT, value,
              arith::ConstantOp::create(at, where, at.getF32FloatAttr(limit))));
        if (guard.testsWeights)
          also(arith::CmpIOp::create(at, where, arith::CmpIPredicate::ne,
                                     x[limits.size()], x[limits.size() + 1]));
        return fails;
      });
}

Value DenseEmitter::weightedIds(Value fails) {
  SmallVector<Value> tested{routing};
  if (fails)
    tested.push_back(fails);
  SmallVector<OpFoldResult> sizes{rows, b.getIndexAttr(found.experts)};
  return elementwise(
      tested, sizes, b.getI64Type(),
      [&](OpBuilder &at, Location where, ValueRange x) -> Value {
        Value zero =
            arith::ConstantOp::create(at, where, at.getF32FloatAttr(0));
        Value runs = arith::CmpFOp::create(at, where, arith::CmpFPredicate::UNE,
                                           x[0], zero);
        if (fails)
          runs = arith::OrIOp::create(at, where, runs, x[1]);
        Value expert = arith::IndexCastOp::create(
            at, where, at.getI64Type(), linalg::IndexOp::create(at, where, 1));
        Value none =
            arith::ConstantOp::create(at, where, at.getI64IntegerAttr(-1));
        return arith::SelectOp::create(at, where, runs, expert, none);
      });
}

/// The sums of all experts for the rows that fail, and `sum` for the others.
Value DenseEmitter::withFailingRows(Value sum, gate::ApplyOp first,
                                    const RowGuard &guard) {
  auto plan = gate::PlanType::get(b.getContext(), 2, 1);
  auto partition =
      gate::PartitionOp::create(b, loc, plan, failingRows(guard),
                                /*step=*/Value(), FlatSymbolRefAttr());
  SmallVector<Value> tensors = inputs;
  if (!isInside)
    tensors.push_back(routing);
  auto group =
      gate::ApplyOp::create(b, loc, sum.getType(), partition.getPlan(), tensors,
                            ValueRange(), b.getDenseI64ArrayAttr({0, 1}), 1);
  Block &block = group.getBodies()[0].emplaceBlock();
  DenseEmitter failing(*this);
  failing.inputs.clear();
  for (Value tensor : tensors) {
    Value argument = block.addArgument(tensor.getType(), loc);
    if (tensor == routing)
      failing.routing = argument;
    if (failing.inputs.size() < inputs.size())
      failing.inputs.push_back(argument);
  }
  {
    OpBuilder::InsertionGuard restore(b);
    b.setInsertionPointToStart(&block);
    gate::YieldOp::create(b, loc, failing.sumOfAll(first));
  }
  return gate::MergeOp::create(b, loc, sum.getType(), group.getResult(0),
                               partition.getPlan(),
                               b.getDenseI64ArrayAttr({0, 1}), sum);
}

/// Every expert of every row, added up in their order: [T, columns].
Value DenseEmitter::sumOfAll(gate::ApplyOp first) {
  rows = tensor::DimOp::create(b, loc, inputs.front(), 0);
  int64_t columns = typeOf(first.getResult(0)).getDimSize(1);
  SmallVector<OpFoldResult> sizes{rows, b.getIndexAttr(columns)};
  Value start =
      linalg::FillOp::create(
          b, loc, constant(b.getF32FloatAttr(0)),
          tensor::EmptyOp::create(b, loc, sizes, b.getF32Type()).getResult())
          .getResult(0);
  auto loop = scf::ForOp::create(b, loc, constant(b.getIndexAttr(0)),
                                 constant(b.getIndexAttr(found.experts)),
                                 constant(b.getIndexAttr(1)), start);
  OpBuilder::InsertionGuard restore(b);
  b.setInsertionPointToStart(loop.getBody());
  Value expert = arith::IndexCastOp::create(b, loc, b.getI64Type(),
                                            loop.getInductionVar());
  SmallVector<OpFoldResult> one{rows, b.getIndexAttr(1)};
  ids = linalg::FillOp::create(
            b, loc, expert,
            tensor::EmptyOp::create(b, loc, one, b.getI64Type()).getResult())
            .getResult(0);
  chosen = Value();
  Value part =
      sumOf(ids, chosenWeights(), {}, [&](Value plan, ArrayRef<Value> tensors) {
        auto apply = cast<gate::ApplyOp>(b.clone(*first));
        apply.getPlanMutable().assign(plan);
        apply.getInputsMutable().assign(tensors);
        return apply;
      });
  Type element = typeOf(part).getElementType();
  part = castFloats(b, loc, part, b.getF32Type());
  Value sum =
      elementwise({loop.getRegionIterArg(0), part}, sizes, b.getF32Type(),
                  [](OpBuilder &at, Location where, ValueRange x) -> Value {
                    return arith::AddFOp::create(at, where, x[0], x[1]);
                  });
  scf::YieldOp::create(b, loc, sum);
  b.setInsertionPointAfter(loop);
  return castFloats(b, loc, loop.getResult(0), element);
}

Value DenseEmitter::run(Value slots, const RowGuard &guard,
                        FlatSymbolRefAttr site) {
  if (!ids)
    return sumOf(weightedIds(guard.isNeeded() ? failingRows(guard) : Value()),
                 routing, site, [&](Value plan, ArrayRef<Value> tensors) {
                   return region.finish(plan, slots, tensors);
                 });
  bool needsWeights = isInside || found.isWeighted;
  gate::ApplyOp first;
  Value sum = sumOf(ids, needsWeights ? chosenWeights() : Value(), site,
                    [&](Value plan, ArrayRef<Value> tensors) {
                      return first = region.finish(plan, slots, tensors);
                    });
  return guard.isNeeded() ? withFailingRows(sum, first, guard) : sum;
}

Value raise::emitDense(GraphBuilder &graph, const DenseExperts &found,
                       DenseBody &body, Value slots, Value ids,
                       const RowGuard &guard, FlatSymbolRefAttr site) {
  return DenseEmitter(graph, found, body, ids).run(slots, guard, site);
}
