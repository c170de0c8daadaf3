// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rebuilds the work of experts that a graph does for all rows, from its result
// back to what is the same for all experts.
#include "DenseBody.h"

#include "RowCost.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Experts are shallow; a graph may nest as deep as it likes.
static constexpr unsigned kMaxBodyDepth = 256;

FailureOr<Value> DenseBody::fail(const Twine &reason, const Lanes &at) {
  if (why.empty()) {
    why = reason.str();
    if (Operation *op = at.front().getDefiningOp())
      why += " (" + describe(op) + ")";
  }
  return failure();
}

FailureOr<Value> DenseBody::build(Lanes lanes) {
  int64_t size = 1;
  for (const Axes &axes : lanes.dims)
    for (const Axis &axis : axes)
      if (axis.kind == Axis::Column)
        size = axis.size;
  return build(std::move(lanes), {0, size, 1});
}

FailureOr<Value> DenseBody::build(Lanes lanes, Columns columns) {
  lanes.mergeEqual();
  std::string key = lanes.key(columns);
  if (auto it = built.find(key); it != built.end())
    return it->second;
  if (depth == kMaxBodyDepth)
    return fail("is too deep", lanes);
  ++depth;
  FailureOr<Value> result = buildNew(lanes, columns);
  --depth;
  if (succeeded(result))
    built[key] = *result;
  return result;
}

FailureOr<Value> DenseBody::buildNew(const Lanes &lanes, Columns columns) {
  if (!isWork(lanes))
    return buildRows(lanes, columns);
  // Another number for each row and expert may be a mean, say. Those of rows
  // that were sent to experts are.
  if (!dispatched && isRouting(lanes) && succeeded(setRouting(lanes)))
    return region.column(routing);
  if (Value rows = dispatched ? dispatched(lanes) : Value())
    return region.slice(region.input(rows), columns);
  return buildWork(lanes, columns);
}

FailureOr<Value> DenseBody::buildWork(const Lanes &lanes, Columns columns) {
  if (std::optional<Lanes> source = movedFrom(lanes, columns))
    return build(*source, columns);
  Operation *op = lanes.front().getDefiningOp();
  for (Value value : lanes.values)
    if (!value.getDefiningOp() ||
        value.getDefiningOp()->getName() != op->getName())
      return fail("is computed differently for one of the experts", lanes);
  if (isa<gate::ContractOp>(op))
    return buildContract(lanes, columns);
  if (matchProduct(lanes.front()))
    return buildProduct(lanes, columns);
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return matchColumnReduction(generic) ? buildReduction(lanes)
                                         : buildElementwise(lanes, columns);
  return fail("is no work on single rows", lanes);
}

/// Rows of tokens: the tensor behind views that has them as [T, F], or one made
/// of it.
FailureOr<Value> DenseBody::buildRows(Lanes lanes, Columns columns) {
  Lanes found = lanes;
  Columns foundColumns = columns;
  auto isMatrix = [](const Lanes &each) {
    return typeOf(each.front()).getRank() == 2 && each.rowDims() == 1;
  };
  for (unsigned step = 0; step < kMaxBodyDepth && !isMatrix(found); ++step) {
    Operation *op = found.front().getDefiningOp();
    if (!isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                         tensor::CastOp>(op))
      break;
    std::optional<Lanes> source = movedFrom(found, foundColumns);
    if (!source)
      break;
    found = *source;
  }
  if (isMatrix(found)) {
    lanes = found;
    columns = foundColumns;
  }
  std::optional<unsigned> rows = lanes.rowDims();
  Value tensor = rows ? lanes.front() : spread(lanes);
  if (!tensor)
    return fail("is neither rows of tokens nor constant", lanes);
  return region.slice(
      region.input(asRows(graph, tensor, rows.value_or(shape.rowDims))),
      columns);
}

int64_t DenseBody::rowDimOf(ArrayRef<Axis> axes) const {
  for (unsigned dim = 0; dim < shape.rowDims; ++dim)
    if (areSameAxes(shape.dims[dim], Axes(axes)))
      return dim;
  return -1;
}

Value DenseBody::withFactorsApart(Value tensor, SmallVectorImpl<Axes> &dims) {
  if (llvm::all_of(dims, [](const Axes &axes) { return axes.size() < 2; }))
    return tensor;
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  SmallVector<OpFoldResult> rows = shape.sizes(b, loc), sizes;
  SmallVector<ReassociationIndices> groups;
  SmallVector<Axes> factors;
  for (auto [axes, size] :
       llvm::zip_equal(dims, tensor::getMixedSizes(b, loc, tensor))) {
    ReassociationIndices &group = groups.emplace_back();
    for (size_t factor = 0; factor < std::max<size_t>(axes.size(), 1);
         ++factor) {
      group.push_back(factors.size());
      if (axes.size() < 2) {
        sizes.push_back(size);
        factors.push_back(axes);
        continue;
      }
      int64_t row = rowDimOf(axes[factor]);
      if (row < 0)
        return {};
      sizes.push_back(rows[row]);
      factors.push_back({axes[factor]});
    }
  }
  auto type = RankedTensorType::get(decomposeMixedValues(sizes).first,
                                    typeOf(tensor).getElementType());
  RankedTensorType flat =
      tensor::CollapseShapeOp::inferCollapsedType(type, groups);
  if (tensor.getType() != flat)
    tensor = tensor::CastOp::create(b, loc, flat, tensor);
  dims = factors;
  return tensor::ExpandShapeOp::create(b, loc, type, tensor, groups, sizes);
}

Value DenseBody::spread(const Lanes &lanes) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  SmallVector<Axes> dims = lanes.dims;
  Value tensor = withFactorsApart(lanes.front(), dims);
  if (!tensor)
    return {};
  SmallVector<OpFoldResult> sizes = shape.sizes(b, loc);
  sizes.truncate(shape.rowDims);
  SmallVector<AffineExpr> exprs;
  for (auto [dim, axes] : llvm::enumerate(dims)) {
    if (axes.empty()) {
      exprs.push_back(b.getAffineConstantExpr(0));
    } else if (axes.front().kind == Axis::Column) {
      if (sizes.size() > shape.rowDims)
        return {};
      exprs.push_back(b.getAffineDimExpr(shape.rowDims));
      sizes.push_back(b.getIndexAttr(typeOf(tensor).getDimSize(dim)));
    } else {
      int64_t row = rowDimOf(axes);
      if (row < 0)
        return {};
      exprs.push_back(b.getAffineDimExpr(row));
    }
  }
  Value empty =
      tensor::EmptyOp::create(b, loc, sizes, typeOf(tensor).getElementType());
  AffineMap map = AffineMap::get(sizes.size(), 0, exprs, graph.getContext());
  return linalg::GenericOp::create(
             b, loc, empty.getType(), tensor, empty,
             ArrayRef{map, b.getMultiDimIdentityMap(sizes.size())},
             SmallVector<utils::IteratorType>(sizes.size(),
                                              utils::IteratorType::parallel),
             [](OpBuilder &at, Location where, ValueRange x) {
               linalg::YieldOp::create(at, where, x[0]);
             })
      .getResult(0);
}

//===-- Routing -----------------------------------------------------------===//

bool DenseBody::isRouting(const Lanes &lanes) {
  return lanes.isPerExpert() && !lanes.has(Axis::Column) &&
         !lanes.has(Axis::Depth) && lanes.has(Axis::Token);
}

/// [T, E], made at the graph builder's place; null if tokens or experts do not
/// come in order. Tokens are numbered up to `last`.
static Value routingMatrix(GraphBuilder &graph, const Lanes &lanes,
                           uint64_t &last) {
  OpBuilder &b = graph.getBuilder();
  Lanes tokens = lanes;
  bool isFirst = true, hasExperts = false;
  for (Axes &axes : tokens.dims)
    for (unsigned i = 0; i < axes.size();) {
      if (axes[i].kind == Axis::Expert) {
        hasExperts = true;
        axes.erase(axes.begin() + i);
        continue;
      }
      isFirst &= hasExperts;
      ++i;
    }
  std::optional<unsigned> rows = tokens.leadingRowDims(last);
  if (!rows)
    return {};
  if (lanes.values.size() > 1) {
    SmallVector<Value> columns;
    for (Value value : lanes.values)
      columns.push_back(asRows(graph, value, *rows));
    return tensor::ConcatOp::create(b, graph.getLoc(), 1, columns);
  }
  if (!isFirst) {
    uint64_t unused;
    return lanes.leadingRowDims(unused) ? asRows(graph, lanes.front(), *rows)
                                        : Value();
  }
  // [E, T]: the experts' dimension comes before those of tokens.
  unsigned rank = typeOf(lanes.front()).getRank(), experts = 0;
  while (experts < rank && lanes.dims[experts].empty())
    ++experts;
  if (experts == rank || lanes.dims[experts].size() != 1)
    return {};
  Value flat = lanes.front();
  if (rank > 2) {
    ReassociationIndices first, rest;
    for (unsigned dim = 0; dim < rank; ++dim)
      (dim <= experts ? first : rest).push_back(dim);
    flat = tensor::CollapseShapeOp::create(b, graph.getLoc(), flat,
                                           ArrayRef{first, rest});
  }
  RankedTensorType type = typeOf(flat);
  SmallVector<OpFoldResult> sizes =
      tensor::getMixedSizes(b, graph.getLoc(), flat);
  std::swap(sizes[0], sizes[1]);
  Value init =
      tensor::EmptyOp::create(b, graph.getLoc(), sizes, type.getElementType());
  return linalg::TransposeOp::create(b, graph.getLoc(), flat, init,
                                     ArrayRef<int64_t>{1, 0})
      ->getResult(0);
}

LogicalResult DenseBody::setRouting(Lanes lanes) {
  lanes.mergeEqual();
  for (unsigned step = 0; step < kMaxBodyDepth; ++step) {
    Columns columns{0, 1, 1};
    std::optional<Lanes> source = movedFrom(lanes, columns);
    if (!source || !isRouting(*source))
      break;
    lanes = *source;
  }
  if (routing)
    return success(lanes.values == routingLanes.values);
  if (!gate::computedIn(typeOf(lanes.front()).getElementType()).isF32())
    return failure();
  uint64_t last = 0;
  Value matrix = routingMatrix(graph, lanes, last);
  if (!matrix || typeOf(matrix).getDimSize(1) != experts)
    return failure();
  if (last != kAllTokens) {
    // The rows of a sequence have the same weights.
    OpBuilder &b = graph.getBuilder();
    repetitions = arith::ConstantIndexOp::create(b, graph.getLoc(), 1);
    for (auto [axes, size] :
         llvm::zip(shape.dims, shape.sizes(b, graph.getLoc())))
      if (!axes.empty() && axes.front().kind == Axis::Token &&
          axes.front().first >= last)
        repetitions = arith::MulIOp::create(
            b, graph.getLoc(), repetitions,
            getValueOrCreateConstantIndexOp(b, graph.getLoc(), size));
    decidedRouting = matrix;
    matrix = forAllRows(matrix);
  }
  routing = matrix;
  routingLanes = lanes;
  return success();
}

Value DenseBody::forAllRows(Value decided) {
  return decidedRouting ? repeatRows(graph, decided, repetitions) : decided;
}

//===-- Work --------------------------------------------------------------===//

Value DenseBody::constantOf(Lanes lanes, Columns columns, bool &isPerExpert) {
  auto isConstant = [&](Value value) { return graph.isConstant(value); };
  for (unsigned step = 0;
       step < kMaxBodyDepth && !llvm::all_of(lanes.values, isConstant);
       ++step) {
    std::optional<Lanes> source = weightSource(lanes, columns);
    if (!source)
      return {};
    lanes = *source;
  }
  lanes.mergeEqual();
  // The place of each factor: experts, depth, columns.
  SmallVector<int64_t> sizes, order;
  SmallVector<Axis::Kind> kinds;
  for (const Axes &axes : lanes.dims)
    for (const Axis &axis : axes) {
      if (axis.kind == Axis::Token || llvm::is_contained(kinds, axis.kind))
        return {};
      kinds.push_back(axis.kind);
      sizes.push_back(axis.size);
    }
  for (Axis::Kind kind : {Axis::Expert, Axis::Depth, Axis::Column})
    if (auto *it = llvm::find(kinds, kind); it != kinds.end())
      order.push_back(it - kinds.begin());
  bool hasColumns = llvm::is_contained(kinds, Axis::Column);
  bool hasExperts = llvm::is_contained(kinds, Axis::Expert);
  isPerExpert = hasExperts || lanes.values.size() > 1;
  if ((hasExperts && lanes.values.size() > 1) ||
      (!hasColumns && !(columns == Columns{0, 1, 1})))
    return {};
  SmallVector<Value> parts;
  for (Value value : lanes.values) {
    Value part = graph.reshapeConstant(value, sizes);
    if (part)
      part = graph.transposeConstant(part, order);
    SmallVector<int64_t> shape;
    for (int64_t from : order)
      shape.push_back(sizes[from]);
    SmallVector<int64_t> offsets(shape.size(), 0), steps(shape.size(), 1);
    if (part && hasColumns) {
      offsets.back() = columns.offset;
      shape.back() = columns.size;
      steps.back() = columns.step;
      part = graph.sliceConstant(part, offsets, shape, steps);
    } else if (part) {
      shape.push_back(1);
      part = graph.reshapeConstant(part, shape);
    }
    if (!part)
      return {};
    parts.push_back(part);
  }
  if (parts.size() > 1 && llvm::all_equal(parts)) {
    isPerExpert = false;
    return parts.front();
  }
  return parts.size() == 1 ? parts.front() : graph.stackConstants(parts);
}

FailureOr<Value> DenseBody::buildElementwise(const Lanes &lanes,
                                             Columns columns) {
  auto op = cast<linalg::GenericOp>(lanes.front().getDefiningOp());
  if (!isElementwise(op))
    return fail("is no elementwise op", lanes);
  for (Value value : lanes.values) {
    if (!computeAlike(cast<linalg::GenericOp>(value.getDefiningOp()), op))
      return fail("is computed differently for one of the experts", lanes);
  }
  std::optional<SmallVector<Axes>> loops = loopAxes(op, lanes);
  AffineExpr d0 = getAffineDimExpr(0, graph.getContext()),
             d1 = getAffineDimExpr(1, graph.getContext()),
             zero = getAffineConstantExpr(0, graph.getContext());
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    std::optional<SmallVector<Axes>> dims =
        loops ? axesOf(op.getMatchingIndexingMap(operand), *loops)
              : std::nullopt;
    if (!dims)
      return fail("reads its operands in an unusual order", lanes);
    Lanes source = lanes.operand(operand->getOperandNumber(), *dims);
    bool hasColumns = source.has(Axis::Column);
    Columns wanted = hasColumns ? columns : Columns{0, 1, 1};
    AffineExpr column = hasColumns ? d1 : zero;
    if (!areWeights(source)) {
      if (!areRows(source))
        return fail("reads other rows than its own", lanes);
      FailureOr<Value> value = build(source, wanted);
      if (failed(value))
        return failure();
      operands.push_back(*value);
      maps.push_back(AffineMap::get(2, 0, {d0, column}, graph.getContext()));
      continue;
    }
    bool isPerExpert = false;
    Value constant = constantOf(source, wanted, isPerExpert);
    if (!constant)
      return fail("reads something that is neither rows nor constant", lanes);
    if (typeOf(constant).getElementType() !=
        typeOf(source.front()).getElementType())
      return fail("reads a constant in another type", lanes);
    operands.push_back(isPerExpert ? region.param(graph.asWeight(constant))
                                   : constant);
    maps.push_back(AffineMap::get(2, 0, column, graph.getContext()));
  }
  FailureOr<Value> result = region.elementwise(op, operands, maps, columns);
  return succeeded(result) ? result : fail("reads no rows", lanes);
}

FailureOr<Value> DenseBody::buildReduction(const Lanes &lanes) {
  auto op = cast<linalg::GenericOp>(lanes.front().getDefiningOp());
  std::optional<ColumnReduction> reduction = matchColumnReduction(op);
  for (Value value : lanes.values) {
    auto other = cast<linalg::GenericOp>(value.getDefiningOp());
    std::optional<ColumnReduction> same = matchColumnReduction(other);
    if (!same || same->start != reduction->start || !computeAlike(other, op))
      return fail("is computed differently for one of the experts", lanes);
  }
  std::optional<SmallVector<Axes>> loops = loopAxes(op, lanes);
  if (!loops || lanes.has(Axis::Column))
    return fail("reduces something else than its columns", lanes);
  (*loops)[reduction->loop] = {Axis{Axis::Column, reduction->size}};
  Lanes rows = lanes.operand(0, *loops);
  if (!areRows(rows))
    return fail("reduces other rows", lanes);
  FailureOr<Value> source = build(std::move(rows), {0, reduction->size, 1});
  if (failed(source))
    return failure();
  return region.reduce(op, *source);
}

FailureOr<Value> DenseBody::buildContract(const Lanes &lanes, Lanes rows,
                                          Lanes weights, int64_t depth,
                                          Columns columns) {
  if (!areRows(rows))
    return fail("is a product of other rows", lanes);
  if (!weights.has(Axis::Column))
    return fail("is a product without columns", lanes);
  bool isPerExpert = false;
  Value constant = constantOf(std::move(weights), columns, isPerExpert);
  if (!constant)
    return fail("has weights that are no constants", lanes);
  constant = graph.asWeight(constant);
  FailureOr<Value> source = build(std::move(rows), {0, depth, 1});
  if (failed(source))
    return failure();
  for (Value value : lanes.values)
    products.push_back(value.getDefiningOp());
  return region.contract(*source,
                         isPerExpert ? region.param(constant) : constant,
                         typeOf(lanes.front()).getElementType());
}

FailureOr<Value> DenseBody::buildProduct(const Lanes &lanes, Columns columns) {
  ProductMatch product = *matchProduct(lanes.front());
  for (Value value : lanes.values) {
    std::optional<ProductMatch> other = matchProduct(value);
    if (!other || other->aMap != product.aMap || other->bMap != product.bMap)
      return fail("is computed differently for one of the experts", lanes);
  }
  auto op = cast<linalg::GenericOp>(lanes.front().getDefiningOp());
  std::optional<SmallVector<Axes>> loops = loopAxes(op, lanes);
  int64_t depth = op.getStaticLoopRanges()[product.reduced];
  if (!loops || ShapedType::isDynamic(depth))
    return fail("sums over a dimension of a size that is not known", lanes);
  unsigned weightSide = 0;
  for (unsigned side : {0u, 1u}) {
    auto dims = axesOf(side == 0 ? product.aMap : product.bMap, *loops);
    if (dims && areWeights(lanes.operand(side, *dims)))
      weightSide = side;
  }
  AffineMap weightMap = weightSide == 0 ? product.aMap : product.bMap,
            rowMap = weightSide == 0 ? product.bMap : product.aMap;
  (*loops)[product.reduced] = {Axis{Axis::Depth, depth}};
  auto weightDims = axesOf(weightMap, *loops);
  (*loops)[product.reduced] = {Axis{Axis::Column, depth}};
  // The columns of the result are the weights'.
  for (auto [loop, axes] : llvm::enumerate(*loops))
    if (loop != product.reduced && rowMap.isFunctionOfDim(loop) &&
        llvm::any_of(
            axes, [](const Axis &axis) { return axis.kind == Axis::Column; }))
      return fail("has columns on both sides", lanes);
  auto rowDims = axesOf(rowMap, *loops);
  if (!weightDims || !rowDims)
    return fail("reads its operands in an unusual order", lanes);
  return buildContract(lanes, lanes.operand(1 - weightSide, *rowDims),
                       lanes.operand(weightSide, *weightDims), depth, columns);
}

FailureOr<Value> DenseBody::buildContract(const Lanes &lanes, Columns columns) {
  for (Value value : lanes.values) {
    if (!cast<gate::ContractOp>(value.getDefiningOp()).isPlainProduct())
      return fail("is a product with more than weights", lanes);
  }
  auto op = cast<gate::ContractOp>(lanes.front().getDefiningOp());
  int64_t depth = typeOf(op.getWeights()[0]).getDimSize(0);
  if (llvm::any_of(lanes.dims[1],
                   [](const Axis &axis) { return axis.kind == Axis::Token; }))
    return fail("has rows for columns", lanes);
  Lanes rows = lanes.operand(0, {lanes.dims[0], {Axis{Axis::Column, depth}}});
  Lanes weights = lanes.operand(1, {{Axis{Axis::Depth, depth}}, lanes.dims[1]});
  return buildContract(lanes, std::move(rows), std::move(weights), depth,
                       columns);
}
