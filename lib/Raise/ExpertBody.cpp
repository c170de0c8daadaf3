// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rebuilds the work of experts, op by op from its result back to the rows of
// tokens. Inside the region every value is [n, columns]; the shapes that the
// graph went through are gone.
#include "ExpertBody.h"

#include "ExpertVectors.h"
#include "FloatCasts.h"
#include "RowCost.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

ExpertBody::ExpertBody(GraphBuilder &graph, const Decision &decision,
                       const llvm::DenseSet<Operation *> &inside,
                       SlotFunctions &functions, ArrayRef<SlotOrder> orders)
    : graph(graph), decision(decision), inside(inside), functions(functions),
      counts(decision, functions), orders(orders), region(graph) {}

bool ExpertBody::Key::operator<(const Key &other) const {
  auto tuple = [](const Key &key) {
    return std::tuple(key.value.getAsOpaquePointer(), key.order, key.rows,
                      key.offset, key.size, key.step);
  };
  return tuple(*this) < tuple(other);
}

FailureOr<Value> ExpertBody::fail(const Twine &reason, Value at) {
  if (why.empty()) {
    why = reason.str();
    if (at && at.getDefiningOp())
      why += " (" + describe(at.getDefiningOp()) + ")";
  }
  return failure();
}

std::optional<int64_t> ExpertBody::columnsOf(Value value, unsigned rows) {
  int64_t columns = 1;
  for (int64_t size : typeOf(value).getShape().drop_front(rows)) {
    if (ShapedType::isDynamic(size) || (size != 1 && columns != 1))
      return std::nullopt;
    columns *= size;
  }
  return columns;
}

FailureOr<Value> ExpertBody::buildSlots(Values values, unsigned rows,
                                        const SlotOrder &slotOrder) {
  order = slotOrder;
  FailureOr<Value> slots = build(values, rows);
  return succeeded(slots) ? region.widened(*slots) : slots;
}

FailureOr<Value> ExpertBody::buildIn(const SlotOrder &other, Value value,
                                     Columns columns) {
  SlotOrder outer = std::exchange(order, other);
  FailureOr<Value> result = build(value, 1, columns);
  order = outer;
  return result;
}

FailureOr<Value> ExpertBody::build(Values values, unsigned rows) {
  std::optional<int64_t> columns = columnsOf(values.front(), rows);
  if (!columns)
    return fail("has more than one dimension beside its rows", values.front());
  return build(values, rows, {0, *columns, 1});
}

FailureOr<Value> ExpertBody::build(Values values, unsigned rows,
                                   Columns columns) {
  Key key{values.front(), order.op,     rows,
          columns.offset, columns.size, columns.step};
  if (auto it = built.find(key); it != built.end())
    return it->second;
  FailureOr<Value> result = buildNew(values, rows, columns);
  if (succeeded(result))
    built[key] = *result;
  return result;
}

FailureOr<Value> ExpertBody::buildNew(Values values, unsigned rows,
                                      Columns columns) {
  Operation *op = values.front().getDefiningOp();
  if (!op || !inside.contains(op)) {
    if (!llvm::all_equal(values))
      return fail("differs between experts", values.front());
    return leaf(values.front(), rows, columns);
  }
  for (Value value : values)
    if (!value.getDefiningOp() ||
        value.getDefiningOp()->getName() != op->getName())
      return fail("is computed differently for one of the experts", value);
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op))
    return buildView(values, rows, columns);
  if (isa<tensor::CastOp>(op))
    return buildCast(values, rows, columns);
  if (isa<tensor::ExtractSliceOp>(op))
    return buildSlice(values, rows, columns);
  if (isa<gate::ContractOp>(op))
    return buildProduct(values, rows, columns);
  if (isa<tensor::ConcatOp>(op))
    return buildConcat(values, rows, columns);
  if (matchRowGather(values.front()))
    return buildGather(values, rows, columns);
  if (isa<gate::ScatterNDOp, gate::ScatterElementsOp>(op))
    return buildScatter(values, rows, columns);
  if (values.size() == 1 && isVectorProduct(graph, values.front()))
    return buildVectorProduct(values.front(), rows);
  if (values.size() == 1 && matchProduct(values.front()))
    return buildGatheredProduct(values.front(), rows, columns);
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return matchColumnReduction(generic)
               ? buildReduction(values, rows)
               : buildElementwise(values, rows, columns);
  return fail("is no work on single rows", values.front());
}

std::optional<unsigned> raise::rowsOfSource(Operation *view, unsigned rows) {
  bool expands = isa<tensor::ExpandShapeOp>(view);
  SmallVector<ReassociationIndices> groups =
      expands ? cast<tensor::ExpandShapeOp>(view).getReassociationIndices()
              : cast<tensor::CollapseShapeOp>(view).getReassociationIndices();
  auto wide = cast<RankedTensorType>(expands ? view->getResult(0).getType()
                                             : view->getOperand(0).getType());
  if (!expands) {
    unsigned source = 0;
    for (unsigned group = 0; group < rows; ++group)
      source += groups[group].size();
    return source;
  }
  for (auto [index, group] : llvm::enumerate(groups)) {
    if (unsigned(group.front()) >= rows)
      return index;
    if (unsigned(group.back()) < rows)
      continue;
    // The boundary cuts this group: only dimensions of one element may follow.
    for (int64_t dim : group)
      if (unsigned(dim) >= rows && wide.getDimSize(dim) != 1)
        return std::nullopt;
    return index + 1;
  }
  return groups.size();
}

FailureOr<Value> ExpertBody::buildView(Values values, unsigned rows,
                                       Columns columns) {
  std::optional<unsigned> source =
      rowsOfSource(values.front().getDefiningOp(), rows);
  SmallVector<Value> sources;
  for (Value value : values)
    sources.push_back(value.getDefiningOp()->getOperand(0));
  if (!source || !columnsOf(sources.front(), *source))
    return fail("mixes rows with columns", values.front());
  return build(sources, *source, columns);
}

/// Sizes that are known, or not any more.
FailureOr<Value> ExpertBody::buildCast(Values values, unsigned rows,
                                       Columns columns) {
  SmallVector<Value> sources;
  for (Value value : values)
    sources.push_back(value.getDefiningOp<tensor::CastOp>().getSource());
  if (columnsOf(sources.front(), rows) != columnsOf(values.front(), rows))
    return fail("has columns of a number that is not known", values.front());
  return build(sources, rows, columns);
}

FailureOr<Value> ExpertBody::buildSlice(Values values, unsigned rows,
                                        Columns columns) {
  auto slice = cast<tensor::ExtractSliceOp>(values.front().getDefiningOp());
  RankedTensorType source = slice.getSourceType(), result = typeOf(slice);
  if (source.getRank() != result.getRank())
    return fail("drops dimensions", slice);
  SmallVector<Value> sources;
  for (Value value : values) {
    auto other = cast<tensor::ExtractSliceOp>(value.getDefiningOp());
    auto ofColumns = [&](ArrayRef<int64_t> list) {
      return list.drop_front(rows);
    };
    if (ofColumns(other.getStaticOffsets()) !=
            ofColumns(slice.getStaticOffsets()) ||
        ofColumns(other.getStaticSizes()) !=
            ofColumns(slice.getStaticSizes()) ||
        ofColumns(other.getStaticStrides()) !=
            ofColumns(slice.getStaticStrides()))
      return fail("is cut differently for one of the experts", value);
    sources.push_back(other.getSource());
  }
  // The part of each group of what all slots have.
  bool isPart = values.size() > 1 && rows == 1;
  for (auto [group, value] : llvm::enumerate(values)) {
    auto each = cast<tensor::ExtractSliceOp>(value.getDefiningOp());
    isPart = isPart && each.getSource() == slice.getSource() &&
             isConstantIntValue(each.getMixedStrides()[0], 1) &&
             counts.isGroup(each.getMixedOffsets()[0], each.getMixedSizes()[0],
                            group);
  }
  for (Value value : values) {
    if (isPart)
      break;
    auto each = cast<tensor::ExtractSliceOp>(value.getDefiningOp());
    SmallVector<OpFoldResult> sizes = each.getMixedSizes();
    for (unsigned dim = 0; dim < rows; ++dim)
      if (each.isDynamicOffset(dim) || each.getStaticOffset(dim) != 0 ||
          each.isDynamicStride(dim) || each.getStaticStride(dim) != 1 ||
          !(isWholeSize(sizes[dim], each.getSource(), dim) ||
            (values.size() == 1 && rows == 1 && counts.isAllSlots(sizes[dim]))))
        return fail("leaves rows out", value);
  }
  Columns wider = columns;
  for (unsigned dim = rows; dim < result.getRank(); ++dim) {
    if (slice.isDynamicOffset(dim) || slice.isDynamicSize(dim) ||
        slice.isDynamicStride(dim))
      return fail("has bounds that are not known", slice);
    if (source.getDimSize(dim) == 1)
      continue;
    wider.offset = slice.getStaticOffset(dim) +
                   columns.offset * slice.getStaticStride(dim);
    wider.step = columns.step * slice.getStaticStride(dim);
  }
  if (!columnsOf(slice.getSource(), rows))
    return fail("has more than one dimension beside its rows",
                slice.getSource());
  return isPart ? build(sources.front(), rows, wider)
                : build(sources, rows, wider);
}

FailureOr<Value> ExpertBody::tokenRows(Value value, unsigned rows) {
  Operation *op = value.getDefiningOp();
  if (order)
    return fail("joins sorted slots with rows that are not", value);
  if (decision.choices == 1)
    return columnsOf(value, rows)
               ? FailureOr<Value>(asRows(graph, value, rows))
               : fail("has more than one dimension beside its rows", value);
  if (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op)) {
    if (std::optional<unsigned> source = rowsOfSource(op, rows))
      return tokenRows(op->getOperand(0), *source);
    return fail("mixes rows with columns", value);
  }
  if (Value source = matchBroadcast(value)) {
    auto generic = cast<linalg::GenericOp>(op);
    AffineMap map =
        generic.getMatchingIndexingMap(generic.getDpsInputOperand(0));
    // All loops of rows but the last, that of the choices.
    std::optional<RowLoops> loops = rowLoopsOf(map, rows);
    if (!loops)
      return fail("permutes rows", value);
    if (rows >= 2 && loops->count == rows - 1 &&
        typeOf(value).getDimSize(rows - 1) == decision.choices &&
        columnsOf(source, loops->dims))
      return asRows(graph, source, loops->dims);
  }
  return fail("is neither the same for all choices of a token nor the work of "
              "an expert",
              value);
}

FailureOr<Value> ExpertBody::leaf(Value value, unsigned rows, Columns columns) {
  FailureOr<Value> tokens = tokenRows(value, rows);
  return failed(tokens) ? tokens : region.slice(region.input(*tokens), columns);
}

/// The slots of each group, one after another: all slots in their order.
FailureOr<Value> ExpertBody::buildConcat(Values values, unsigned rows,
                                         Columns columns) {
  auto concat = cast<tensor::ConcatOp>(values.front().getDefiningOp());
  if (values.size() != 1 || rows != 1 || concat.getDim() != 0 || !order ||
      int64_t(concat.getInputs().size()) != decision.groups)
    return fail("joins something else than the rows of all experts", concat);
  return build(SmallVector<Value>(concat.getInputs()), 1, columns);
}

FailureOr<Value> ExpertBody::buildGather(Values values, unsigned rows,
                                         Columns columns) {
  RowGather first = *matchRowGather(values.front());
  if (graph.isConstant(first.data) && areGroups(first.indices))
    return fail("has nothing of the row in it", values.front());
  if (rows != 1)
    return fail("gathers into more than one dimension of rows", values.front());
  // All slots at once: rows of tokens, or slots in another order.
  if (values.size() == 1) {
    RowGather gather = *matchRowGather(values.front());
    Operation *source = gather.data.getDefiningOp();
    if (auto restored = functions.restoredRows(values.front());
        restored && restored->order.ids == decision.ids && !order)
      return buildIn(restored->order, restored->rows, columns);
    SlotOrder found = functions.orderOf(gather.indices);
    if (found && found == order && found.group < 0) {
      std::optional<SlotPart> part =
          functions.partOf(gather.indices, 0, found, decision.choices);
      bool isInside = source && inside.contains(source);
      if (part == SlotPart::Token && !(isInside && decision.choices == 1))
        return region.slice(region.input(asRows(graph, gather.data, 1)),
                            columns);
      // A slot is its token if it has one choice.
      if (part && part != SlotPart::Choice && isInside)
        return buildIn({}, gather.data, columns);
    }
    return fail("gathers other rows than those of its slots", values.front());
  }
  // One group each: rows of tokens, or the group's part of all slots.
  Value source;
  bool isPart = false;
  for (auto [group, value] : llvm::enumerate(values)) {
    RowGather gather = *matchRowGather(value);
    SlotOrder order = functions.orderOf(gather.indices);
    bool isTokens =
        order && orders.size() == values.size() && order == orders[group] &&
        functions.partOf(gather.indices, 0, order, decision.choices) ==
            SlotPart::Token;
    isPart = !isTokens && counts.isGroup(gather.indices, group);
    if (!isTokens && !isPart)
      return fail("gathers other rows than those of its tokens", value);
    if (source && source != gather.data)
      return fail("gathers from another tensor than other experts", value);
    source = gather.data;
  }
  return isPart ? build(source, 1, columns)
                : region.slice(region.input(asRows(graph, source, 1)), columns);
}

/// Rows written back to the slots that they were sorted from.
FailureOr<Value> ExpertBody::buildScatter(Values values, unsigned rows,
                                          Columns columns) {
  auto restored = functions.restoredRows(values.front());
  if (values.size() != 1 || rows != 1 || order || !restored ||
      restored->order.ids != decision.ids)
    return fail("writes rows to other places than all slots", values.front());
  return buildIn(restored->order, restored->rows, columns);
}

FailureOr<Value> ExpertBody::buildProduct(Values values, unsigned rows,
                                          Columns columns) {
  auto first = cast<gate::ContractOp>(values.front().getDefiningOp());
  if (rows != 1)
    return fail("has more than one dimension of rows", first);
  SmallVector<Value> sources, weights;
  for (Value value : values) {
    auto contract = cast<gate::ContractOp>(value.getDefiningOp());
    if (!contract.isPlainProduct())
      return fail("is a product with more than weights", value);
    Value weight = graph.sliceConstant(
        contract.getWeights()[0], {0, columns.offset},
        {typeOf(contract.getWeights()[0]).getDimSize(0), columns.size},
        {1, columns.step});
    if (!weight)
      return fail("has weights that are no constants", value);
    sources.push_back(contract.getRows());
    weights.push_back(weight);
  }
  FailureOr<Value> source = build(sources, 1);
  if (failed(source))
    return failure();
  for (Value value : values)
    contracted.push_back(value.getDefiningOp());
  Type element = typeOf(first).getElementType();
  if (values.size() == 1)
    return region.contract(*source, graph.asWeight(weights.front()), element);
  Value stack = graph.stackConstants(weights);
  if (!stack)
    return fail("has weights that cannot be stacked", first);
  return region.contract(*source, region.param(stack), element);
}

FailureOr<Value> ExpertBody::buildGatheredProduct(Value value, unsigned rows,
                                                  Columns columns) {
  ProductMatch product = *matchProduct(value);
  if (!matchRowGather(withoutWidening(product.b)))
    std::swap(product.a, product.b), std::swap(product.aMap, product.bMap);
  std::optional<RowGather> weights = matchRowGather(withoutWidening(product.b));
  if (!weights)
    return fail("multiplies no gathered weights", value);
  if (!areGroups(weights->indices))
    return fail("has weights that another decision chose", value);
  RankedTensorType stack = typeOf(weights->data);
  if (stack.getRank() != 3 || stack.getDimSize(0) != decision.groups)
    return fail("has weights that are no stack of matrices", value);
  // The last two dimensions of the weights: the reduced loop and the columns.
  ArrayRef<AffineExpr> exprs = product.bMap.getResults();
  int64_t reducedAt = -1, columnLoop = -1;
  for (auto [dim, expr] : llvm::enumerate(exprs.take_back(2))) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (loop && loop.getPosition() == product.reduced)
      reducedAt = dim;
    else if (loop)
      columnLoop = loop.getPosition();
  }
  if (reducedAt < 0 || columnLoop < 0)
    return fail("does not sum over the weights' rows", value);
  // The rows: the loops that the result begins with.
  unsigned sourceRows = 0;
  for (auto [position, expr] : llvm::enumerate(product.aMap.getResults())) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (loop && int64_t(loop.getPosition()) == columnLoop)
      return fail("has columns on both sides", value);
    if (loop && loop.getPosition() < rows)
      sourceRows = position + 1;
  }
  int64_t depth = stack.getDimSize(1 + reducedAt);
  Value constant = weights->data;
  if (reducedAt == 1)
    constant = graph.transposeConstant(constant, {0, 2, 1});
  if (constant)
    constant = graph.sliceConstant(constant, {0, 0, columns.offset},
                                   {decision.groups, depth, columns.size},
                                   {1, 1, columns.step});
  if (!constant)
    return fail("has weights that are no constants", value);
  FailureOr<Value> source = build(product.a, sourceRows, {0, depth, 1});
  if (failed(source))
    return failure();
  contracted.push_back(value.getDefiningOp());
  return region.contract(*source, region.param(graph.asWeight(constant)),
                         typeOf(value).getElementType());
}

FailureOr<Value> ExpertBody::buildElementwise(Values values, unsigned rows,
                                              Columns columns) {
  auto op = cast<linalg::GenericOp>(values.front().getDefiningOp());
  if (!isElementwise(op))
    return fail("is no elementwise op", op.getResult(0));
  for (Value value : values) {
    if (!computeAlike(cast<linalg::GenericOp>(value.getDefiningOp()), op))
      return fail("is computed differently for one of the experts", value);
  }
  RankedTensorType type = typeOf(op.getResult(0));
  int64_t columnLoop = -1;
  for (unsigned loop = rows; loop < type.getRank(); ++loop)
    if (type.getDimSize(loop) != 1)
      columnLoop = loop;
  MLIRContext *context = graph.getContext();
  AffineExpr d0 = getAffineDimExpr(0, context),
             d1 = getAffineDimExpr(1, context),
             zero = getAffineConstantExpr(0, context);
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    unsigned number = operand->getOperandNumber();
    SmallVector<Value> sources;
    for (Value value : values)
      sources.push_back(value.getDefiningOp()->getOperand(number));
    AffineMap map = op.getMatchingIndexingMap(operand);
    std::optional<RowLoops> loops = rowLoopsOf(map, rows);
    if (!loops)
      return fail("permutes rows", op.getResult(0));
    auto [rowLoops, rowDims] = *loops;
    bool hasColumns = columnLoop >= 0 && map.isFunctionOfDim(columnLoop);
    Columns wanted = hasColumns ? columns : Columns{0, 1, 1};
    if (rowLoops == 0) {
      // The same for all slots of a group: a constant of all, or one for each.
      Value constant = columnConstant(sources, hasColumns, wanted);
      if (!constant)
        return fail("reads something that is neither rows nor constant",
                    op.getResult(0));
      operands.push_back(constant);
      maps.push_back(AffineMap::get(2, 0, hasColumns ? d1 : zero, context));
      continue;
    }
    if (sources.size() == 1 && rowLoops == rows)
      if (Value bias = gatheredColumns(sources.front(), wanted)) {
        operands.push_back(bias);
        maps.push_back(AffineMap::get(2, 0, hasColumns ? d1 : zero, context));
        continue;
      }
    FailureOr<Value> built = failure();
    if (rowLoops == rows) {
      built = build(sources, rowDims, wanted);
    } else if (rowLoops + 1 == rows && llvm::all_equal(sources) && !order &&
               type.getDimSize(rows - 1) == decision.choices &&
               columnsOf(sources.front(), rowDims)) {
      built = region.slice(
          region.input(asRows(graph, sources.front(), rowDims)), wanted);
    } else {
      return fail("reads other rows than its own", op.getResult(0));
    }
    if (failed(built))
      return failure();
    operands.push_back(*built);
    maps.push_back(AffineMap::get(2, 0, {d0, hasColumns ? d1 : zero}, context));
  }
  FailureOr<Value> result = region.elementwise(op, operands, maps, columns);
  return succeeded(result) ? result : fail("reads no rows", op.getResult(0));
}

FailureOr<Value> ExpertBody::buildReduction(Values values, unsigned rows) {
  auto op = cast<linalg::GenericOp>(values.front().getDefiningOp());
  std::optional<ColumnReduction> reduction = matchColumnReduction(op);
  SmallVector<Value> sources;
  for (Value value : values) {
    auto other = cast<linalg::GenericOp>(value.getDefiningOp());
    std::optional<ColumnReduction> same = matchColumnReduction(other);
    if (!same || same->start != reduction->start || !computeAlike(other, op))
      return fail("is computed differently for one of the experts", value);
    sources.push_back(other.getDpsInputOperand(0)->get());
  }
  if (reduction->loop < rows ||
      columnsOf(sources.front(), rows) != reduction->size)
    return fail("reduces something else than its columns", op.getResult(0));
  FailureOr<Value> source = build(sources, rows);
  if (failed(source))
    return failure();
  return region.reduce(op, *source);
}

Value ExpertBody::columnConstant(Values sources, bool hasColumns,
                                 Columns columns) {
  SmallVector<Value> parts;
  for (Value source : sources) {
    RankedTensorType type = typeOf(source);
    int64_t count = type.hasStaticShape() ? type.getNumElements() : -1;
    if (count != (hasColumns ? std::max<int64_t>(count, 1) : 1))
      return {};
    Value flat = graph.reshapeConstant(source, {count});
    Value part = flat ? graph.sliceConstant(flat, {columns.offset},
                                            {columns.size}, {columns.step})
                      : Value();
    if (!part)
      return {};
    parts.push_back(part);
  }
  if (llvm::all_equal(parts))
    return parts.front();
  Value stack = graph.stackConstants(parts);
  return stack ? region.param(stack) : Value();
}

bool ExpertBody::areGroups(Value indices) {
  return order ? functions.orderOf(indices) == order &&
                     functions.isGroupOf(indices, order, decision)
               : withoutViews(indices) == withoutViews(decision.ids);
}

Value ExpertBody::gatheredColumns(Value value, Columns columns) {
  std::optional<RowGather> gather = matchRowGather(withoutReshapes(value));
  if (!gather || !areGroups(gather->indices))
    return {};
  RankedTensorType stack = typeOf(gather->data);
  if (!stack.hasStaticShape() || stack.getDimSize(0) != decision.groups)
    return {};
  int64_t width =
      stack.getNumElements() / std::max<int64_t>(stack.getDimSize(0), 1);
  Value flat = graph.reshapeConstant(gather->data, {decision.groups, width});
  Value part = flat ? graph.sliceConstant(flat, {0, columns.offset},
                                          {decision.groups, columns.size},
                                          {1, columns.step})
                    : Value();
  return part ? region.param(graph.asWeight(part)) : Value();
}
