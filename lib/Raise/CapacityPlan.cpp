// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits experts with room for rows as experts that rows choose:
//   %y = combine of the apply on assign %ids weights(%w)
//   scf.if (any odd, two rows in one place, a number too large) {
//     what the graph did, around the same experts on all places
//   } else { %y }
// So nothing has to be known about how a graph gives rows their places.
#include "CapacityPlan.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

PlacedChoice
raise::emitChoice(GraphBuilder &graph, Value rows, ValueRange inputs,
                  function_ref<void(OpBuilder &, Location, ValueRange)> body) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  SmallVector<Value> inits;
  SmallVector<Type> types;
  for (Type element : {Type(b.getI64Type()), Type(b.getF32Type()),
                       Type(b.getI64Type()), Type(b.getI1Type())}) {
    inits.push_back(
        tensor::EmptyOp::create(b, loc, OpFoldResult(rows), element));
    types.push_back(inits.back().getType());
  }
  auto op = linalg::GenericOp::create(
      b, loc, types, inputs, inits,
      SmallVector<AffineMap>(inputs.size() + inits.size(),
                             b.getMultiDimIdentityMap(1)),
      ArrayRef{utils::IteratorType::parallel}, body);
  return {op.getResult(0), op.getResult(1), op.getResult(2), op.getResult(3)};
}

Value raise::asColumns(GraphBuilder &graph, ValueRange choices) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  Value rows = tensor::DimOp::create(b, loc, choices.front(), 0);
  SmallVector<Value> wide;
  for (Value column : choices) {
    auto type = RankedTensorType::get({ShapedType::kDynamic, 1},
                                      typeOf(column).getElementType());
    wide.push_back(tensor::ExpandShapeOp::create(
        b, loc, type, column, ArrayRef{ReassociationIndices{0, 1}},
        SmallVector<OpFoldResult>{rows, b.getIndexAttr(1)}));
  }
  return wide.size() == 1
             ? wide.front()
             : tensor::ConcatOp::create(b, loc, 1, wide).getResult();
}

static Value isAny(OpBuilder &b, Location loc, Value bits) {
  Value any =
      foldColumns(b, loc, bits, b.getBoolAttr(false),
                  [](OpBuilder &at, Location where, ValueRange x) -> Value {
                    return arith::OrIOp::create(at, where, x[0], x[1]);
                  });
  return tensor::ExtractOp::create(b, loc, any, ValueRange());
}

static Value isAnyBeyond(OpBuilder &b, Location loc, Value tensor,
                         double limit) {
  // Rows first, for they are many and may be looked at side by side.
  while (typeOf(tensor).getRank() > 0)
    tensor = largestMagnitudes(b, loc, tensor, typeOf(tensor).getRank() - 1);
  Value largest = math::AbsFOp::create(
      b, loc, tensor::ExtractOp::create(b, loc, tensor, ValueRange()));
  return arith::CmpFOp::create(
      b, loc, arith::CmpFPredicate::UGT, largest,
      arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(limit))));
}

/// Whether two choices fill one place.
static Value isAnyFilledTwice(OpBuilder &b, Location loc,
                              const CapacityPlan &plan) {
  auto filled = [&](Value size, int64_t number) {
    Value empty =
        tensor::EmptyOp::create(b, loc, OpFoldResult(size), b.getI64Type());
    Value each = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(number));
    return linalg::FillOp::create(b, loc, each, empty).getResult(0);
  };
  Value hits = filled(plan.count, 0);
  // An index beyond the last place, of a choice that fills none, is skipped.
  for (const PlacedChoice &each : plan.choices) {
    Value ones = filled(tensor::DimOp::create(b, loc, each.cells, 0), 1);
    hits = gate::ScatterElementsOp::create(
        b, loc, hits.getType(), ones, each.cells, hits, b.getI64IntegerAttr(0),
        gate::ReductionAttr::get(b.getContext(), gate::Reduction::Add));
  }
  Value most =
      foldColumns(b, loc, hits, b.getI64IntegerAttr(0),
                  [](OpBuilder &at, Location where, ValueRange x) -> Value {
                    return arith::MaxSIOp::create(at, where, x[0], x[1]);
                  });
  return arith::CmpIOp::create(
      b, loc, arith::CmpIPredicate::sgt,
      tensor::ExtractOp::create(b, loc, most, ValueRange()),
      arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(1)));
}

Value raise::expertsOfPlaces(GraphBuilder &graph, Value count,
                             ExpertOfRow expertOf) {
  OpBuilder &b = graph.getBuilder();
  return elementwiseOf(
      b, graph.getLoc(), {}, ArrayRef<OpFoldResult>{count, b.getIndexAttr(1)},
      b.getI64Type(), [&](OpBuilder &at, Location where, ValueRange) -> Value {
        Value row = linalg::IndexOp::create(at, where, 0);
        return arith::IndexCastOp::create(at, where, at.getI64Type(),
                                          expertOf(at, where, row));
      });
}

Value raise::emitAllPlaces(GraphBuilder &graph, gate::ApplyOp apply, Value sent,
                           Value count, ExpertOfRow expertOf) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  Value perPlace = expertsOfPlaces(graph, count, expertOf);
  int64_t experts = apply.getPlan().getType().getGroups();
  auto plan = gate::AssignOp::create(
      b, loc, gate::PlanType::get(b.getContext(), experts, 1), perPlace,
      Value(), FlatSymbolRefAttr());
  sent = withDynamicRows(graph, sent);
  auto all = cast<gate::ApplyOp>(b.clone(*apply));
  all.getPlanMutable().assign(plan);
  all.getInputsMutable().assign(sent);
  return gate::CombineOp::create(b, loc, all.getResult(0).getType(),
                                 all.getResult(0), plan, count);
}

Value raise::emitCapacity(GraphBuilder &graph, const CapacityPlan &plan,
                          ExpertRegion &region, Value slots,
                          TestedTensors tested, FlatSymbolRefAttr site,
                          function_ref<Value(gate::ApplyOp)> otherwise) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  Value fails = isAnyFilledTwice(b, loc, plan);
  auto add = [&](Value test) {
    fails = arith::OrIOp::create(b, loc, fails, test);
  };
  for (const PlacedChoice &each : plan.choices)
    add(isAny(b, loc, each.isOdd));
  for (auto [tensor, limit] : tested)
    add(isAnyBeyond(b, loc, tensor, limit));
  auto assign = gate::AssignOp::create(
      b, loc,
      gate::PlanType::get(b.getContext(), plan.experts,
                          typeOf(plan.ids).getDimSize(1)),
      plan.ids, plan.weights, site);
  gate::ApplyOp apply = region.finish(assign, slots, plan.tokens);
  Value rows = tensor::DimOp::create(b, loc, plan.tokens, 0);
  Value sum = gate::CombineOp::create(b, loc, apply.getResult(0).getType(),
                                      apply.getResult(0), assign, rows);
  auto branch = scf::IfOp::create(b, loc, sum.getType(), fails,
                                  /*withElseRegion=*/true);
  OpBuilder::InsertionGuard restore(b);
  b.setInsertionPointToStart(&branch.getThenRegion().front());
  Value other = otherwise(apply);
  if (other.getType() != sum.getType())
    other = tensor::CastOp::create(b, loc, sum.getType(), other);
  scf::YieldOp::create(b, loc, other);
  b.setInsertionPointToEnd(&branch.getElseRegion().front());
  scf::YieldOp::create(b, loc, sum);
  return branch.getResult(0);
}

void raise::sinkInto(Block &block) {
  Block *outer = block.getParentOp()->getBlock();
  DenseMap<Operation *, int64_t> uses; // that are not inside yet
  SmallVector<Operation *> inside;
  for (Operation &op : block)
    inside.push_back(&op);
  while (!inside.empty()) {
    Operation *user = inside.pop_back_val();
    user->walk([&](Operation *each) {
      for (Value operand : each->getOperands()) {
        Operation *op = operand.getDefiningOp();
        if (!op || op->getBlock() != outer ||
            op->hasTrait<OpTrait::ConstantLike>() ||
            isa<gate::WeightValueOp>(op) || !isMemoryEffectFree(op))
          continue;
        auto [it, isNew] = uses.try_emplace(op, 0);
        if (isNew)
          it->second = llvm::range_size(op->getUses());
        if (--it->second > 0)
          continue;
        op->moveBefore(&block, block.begin());
        inside.push_back(op);
      }
    });
  }
}
