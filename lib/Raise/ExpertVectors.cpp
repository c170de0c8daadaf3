// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Takes the product of a row with a gathered vector for the work of an expert
// that is this vector.
//   before: %v = gather_nd %table, %ids
//           %h[t, j] = sum over d of %x[t, d] * %v[t, j, d]
//   after:  in the region of the apply: sum over d of %row[d] * %vector[d]
#include "ExpertVectors.h"

#include "ExpertBody.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
struct VectorProduct {
  linalg::GenericOp op;
  Value rows;
  AffineMap rowMap;
  RowGather vectors;
  /// The loops along the ids, in their order.
  SmallVector<unsigned> slotLoops;
  unsigned reduced;
  bool isSwapped; // the vectors are the first operand
};

/// Gathered vectors behind transposes and joined dimensions.
struct GatheredVectors {
  RowGather vectors;
  /// Which dimensions of what was gathered each dimension has become of.
  SmallVector<SmallVector<int64_t, 2>> dims;
};
} // namespace

static std::optional<GatheredVectors> matchVectors(GraphBuilder &graph,
                                                   Value value) {
  GatheredVectors found;
  for (int64_t dim = 0; dim < typeOf(value).getRank(); ++dim)
    found.dims.push_back({dim});
  while (true) {
    if (auto transpose = value.getDefiningOp<linalg::TransposeOp>()) {
      for (SmallVector<int64_t, 2> &list : found.dims)
        for (int64_t &dim : list)
          dim = transpose.getPermutation()[dim];
      value = transpose.getInput();
    } else if (auto view = value.getDefiningOp<tensor::CollapseShapeOp>()) {
      SmallVector<ReassociationIndices> groups = view.getReassociationIndices();
      for (SmallVector<int64_t, 2> &list : found.dims) {
        SmallVector<int64_t, 2> parts;
        for (int64_t dim : list)
          llvm::append_range(parts, groups[dim]);
        list = parts;
      }
      value = view.getSrc();
    } else {
      break;
    }
  }
  std::optional<RowGather> gather = matchRowGather(value);
  if (!gather || typeOf(gather->data).getRank() != 2 ||
      !graph.isConstant(gather->data))
    return std::nullopt;
  found.vectors = *gather;
  return found;
}

/// The loops that a product with vectors has along their ids; nothing if it
/// does not sum over each vector, or has other loops than these.
static std::optional<SmallVector<unsigned>>
slotLoopsOf(linalg::GenericOp op, const GatheredVectors &operand, AffineMap map,
            unsigned reduced) {
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop)
    if (extents[loop] != 1 && !map.isFunctionOfDim(loop))
      return std::nullopt;
  int64_t columns = typeOf(operand.vectors.indices).getRank() - 1;
  SmallVector<std::pair<int64_t, unsigned>> firsts;
  for (auto [list, expr] : llvm::zip_equal(operand.dims, map.getResults())) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    bool isVector = list.size() == 1 && list.front() == columns;
    if (isVector != (loop && loop.getPosition() == reduced))
      return std::nullopt;
    if (isVector || !loop || extents[loop.getPosition()] == 1)
      continue;
    // Neighbours, in their order.
    for (auto [at, dim] : llvm::enumerate(list))
      if (dim != list.front() + int64_t(at))
        return std::nullopt;
    firsts.push_back({list.front(), loop.getPosition()});
  }
  llvm::sort(firsts);
  return llvm::map_to_vector(firsts, [](auto pair) { return pair.second; });
}

static std::optional<VectorProduct> matchVectorProduct(GraphBuilder &graph,
                                                       Value value) {
  std::optional<ProductMatch> product = matchProduct(value);
  if (!product)
    return std::nullopt;
  auto op = value.getDefiningOp<linalg::GenericOp>();
  for (bool isSwapped : {false, true}) {
    std::optional<GatheredVectors> vectors =
        matchVectors(graph, isSwapped ? product->a : product->b);
    if (!vectors)
      continue;
    std::optional<SmallVector<unsigned>> loops =
        slotLoopsOf(op, *vectors, isSwapped ? product->aMap : product->bMap,
                    product->reduced);
    if (loops)
      return VectorProduct{op,
                           isSwapped ? product->b : product->a,
                           isSwapped ? product->bMap : product->aMap,
                           vectors->vectors,
                           *loops,
                           product->reduced,
                           isSwapped};
  }
  return std::nullopt;
}

bool raise::isVectorProduct(GraphBuilder &graph, Value value) {
  return matchVectorProduct(graph, value).has_value();
}

FailureOr<Value> ExpertBody::buildVectorProduct(Value value, unsigned rows) {
  VectorProduct product = *matchVectorProduct(graph, value);
  if (!areGroups(product.vectors.indices))
    return fail("has weights that another decision chose", value);
  RankedTensorType table = typeOf(product.vectors.data);
  if (table.getDimSize(0) != decision.groups || table.isDynamicDim(1))
    return fail("has weights that are no table of vectors", value);
  SmallVector<int64_t> extents = product.op.getStaticLoopRanges();
  auto loopsOf = [&](ArrayRef<AffineExpr> exprs) {
    SmallVector<unsigned> loops;
    for (AffineExpr expr : exprs)
      if (auto dim = dyn_cast<AffineDimExpr>(expr);
          dim && extents[dim.getPosition()] != 1)
        loops.push_back(dim.getPosition());
    return loops;
  };
  AffineMap result =
      product.op.getMatchingIndexingMap(product.op.getDpsInitOperand(0));
  SmallVector<unsigned> slotLoops =
      loopsOf(result.getResults().take_front(rows));
  if (product.slotLoops != slotLoops)
    return fail("permutes rows", value);
  // The rows: those of tokens or of slots, and then what is summed over.
  ArrayRef<AffineExpr> exprs = product.rowMap.getResults();
  unsigned rowDims =
      llvm::find(exprs, getAffineDimExpr(product.reduced, graph.getContext())) -
      exprs.begin();
  if (rowDims == 0 || rowDims == exprs.size() ||
      !columnsOf(product.rows, rowDims))
    return fail("does not sum over the columns of rows", value);
  SmallVector<unsigned> rowLoops = loopsOf(exprs.take_front(rowDims));
  Columns all{0, table.getDimSize(1), 1};
  FailureOr<Value> built = failure();
  if (rowLoops == slotLoops) {
    built = build(product.rows, rowDims, all);
  } else {
    // The same for all choices of a token.
    int64_t choices = 1;
    for (unsigned loop : ArrayRef(slotLoops).drop_front(
             std::min(rowLoops.size(), slotLoops.size())))
      choices *= extents[loop];
    if (order || choices != decision.choices ||
        rowLoops.size() > slotLoops.size() ||
        ArrayRef(slotLoops).take_front(rowLoops.size()) != ArrayRef(rowLoops))
      return fail("reads other rows than its own", value);
    built = region.input(asRows(graph, product.rows, rowDims));
  }
  if (failed(built))
    return failure();
  contracted.push_back(product.op);
  return region.dot(product.op, *built,
                    region.param(graph.asWeight(product.vectors.data)),
                    product.isSwapped);
}
