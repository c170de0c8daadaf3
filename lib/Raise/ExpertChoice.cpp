// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows rows that are scattered to tokens back to the rows that experts
// have chosen:
//   before: %t = topk of %scores [E, T]; add f_e(%x[%t[e, c]]) to row %t[e, c]
//   after:  the same with f as the apply on a plan, row e * C + c in group e
// Nothing is skipped that was not: the plan gives the work packed weights, and
// the site its name.
#include "ExpertChoice.h"

#include "CapacityPlan.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// The rows that are multiplied with a number for each.
static Value withoutScaling(Value rows) {
  if (auto op = matchBinary<arith::MulFOp>(rows))
    for (unsigned side : {0u, 1u})
      if (op.getMatchingIndexingMap(op.getDpsInputOperand(side)).isIdentity() &&
          isOnePerRow(op, op.getDpsInputOperand(1 - side), 1))
        return op.getDpsInputOperand(side)->get();
  return rows;
}

std::optional<CapacityExperts> raise::matchScatteredRows(Operation *op) {
  std::optional<RowScatter> scatter = matchRowScatter(op);
  if (!scatter)
    return std::nullopt;
  Value rows = scatter->updates;
  RankedTensorType type = typeOf(rows);
  if (!type.getElementType().isF32() || type.isDynamicDim(type.getRank() - 1) ||
      type.getRank() > 3)
    return std::nullopt;
  Axis places{Axis::Slot, 1, 0, kAllTokens, rows, 1};
  Axes columns{Axis{Axis::Column, type.getShape().back()}};
  CapacityExperts found;
  found.shape = {op, {}, 0};
  found.experts = type.getDimSize(0);
  if (type.getRank() == 3) {
    if (!isOne(rows, 1))
      found.place = places;
  } else if (std::optional<JoinedDims> joined =
                 findJoinedDims(withoutScaling(rows), 0)) {
    found.experts = typeOf(joined->tensor).getDimSize(joined->first);
    places.tensor = joined->tensor;
    places.dim = joined->second;
    found.place = places;
  }
  if (ShapedType::isDynamic(found.experts) || found.experts < 2)
    return std::nullopt;
  Axes first{Axis{Axis::Expert, found.experts}}, second;
  if (found.place) {
    found.place->size =
        typeOf(found.place->tensor).getDimSize(found.place->dim);
    (type.getRank() == 3 ? second : first).push_back(found.rowAxis(0));
  }
  found.work.values = {rows};
  found.work.dims = {first};
  if (type.getRank() == 3)
    found.work.dims.push_back(second);
  found.work.dims.push_back(columns);
  return found;
}

/// The top-k that has made a tensor, behind views and transpositions.
static gate::TopKOp topKOf(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto topk = dyn_cast<gate::TopKOp>(op))
      return topk;
    if (!isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp,
             linalg::TransposeOp>(op))
      break;
    value = op->getOperand(0);
  }
  return {};
}

Value raise::matchChosenRows(GraphBuilder &graph, const Lanes &rows,
                             const CapacityExperts &found) {
  if (rows.values.size() != 1)
    return {};
  // Experts, places, columns: the order of the rows of the plan.
  SmallVector<Axis::Kind> order, wanted{Axis::Expert};
  for (const Axes &axes : rows.dims)
    for (const Axis &axis : axes)
      order.push_back(axis.kind);
  if (found.place)
    wanted.push_back(Axis::Token);
  Value value = rows.front();
  unsigned rowDims = typeOf(value).getRank();
  if (auto gather = value.getDefiningOp<gate::GatherNDOp>()) {
    wanted.push_back(Axis::Column);
    --rowDims;
    if (!matchRowGather(value) || !topKOf(gather.getIndices()) ||
        typeOf(gather.getData()).getRank() != 2)
      return {};
  } else if (!value.getDefiningOp<gate::TopKOp>()) {
    return {};
  }
  return order == wanted ? asRows(graph, value, rowDims) : Value();
}

Value raise::emitChosenRows(GraphBuilder &graph, const CapacityExperts &found,
                            ExpertRegion &region, Value slots,
                            FlatSymbolRefAttr site) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  SmallVector<Value> inputs;
  for (Value input : region.getInputs())
    inputs.push_back(withDynamicRows(graph, input));
  Value count = tensor::DimOp::create(b, loc, inputs.front(), 0);
  Value experts = arith::ConstantIndexOp::create(b, loc, found.experts);
  Value places = arith::DivUIOp::create(b, loc, count, experts);
  Value ids = expertsOfPlaces(
      graph, count, [&](OpBuilder &at, Location where, Value row) -> Value {
        return arith::DivUIOp::create(at, where, row, places);
      });
  auto plan = gate::AssignOp::create(
      b, loc, gate::PlanType::get(b.getContext(), found.experts, 1), ids,
      Value(), site);
  gate::ApplyOp apply = region.finish(plan, slots, inputs);
  return gate::CombineOp::create(b, loc, apply.getResult(0).getType(),
                                 apply.getResult(0), plan, count);
}
