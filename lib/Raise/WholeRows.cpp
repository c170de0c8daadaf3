// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds masks that are the same for all elements of a row.
//   before: scatter_nd(flat [n * D], transpose(nonzero(repeat(mask))), data)
//   after:  scatter_nd(rows [n, D], transpose(nonzero(mask)), data)
// The positions of the repeated mask are those of the mask, each with all
// columns in order, so that element i * D + j of the flat updates goes where
// element j of row i does. An index that is repeated for all elements of a row
// writes whole rows, too:
//   before: scatter_elements(rows [n, D], repeat(index), data) {axis = 0}
//   after:  scatter_nd(rows [n, D], index [n, 1], data)
#include "WholeRows.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// The mask [rows..] that [rows.., columns..] repeats; its rank is that of the
/// rows. Null if columns differ.
static Value maskOfRows(Value repeated) {
  Value source = matchBroadcast(repeated);
  if (!source)
    return {};
  auto generic = repeated.getDefiningOp<linalg::GenericOp>();
  AffineMap map = generic.getMatchingIndexingMap(generic.getDpsInputOperand(0));
  unsigned rows = 0;
  while (rows < map.getNumResults() &&
         map.getResult(rows) == getAffineDimExpr(rows, map.getContext()))
    ++rows;
  // Dimensions of one element may follow, which are the columns'.
  auto view = source.getDefiningOp<tensor::ExpandShapeOp>();
  bool isNarrow =
      llvm::all_of(map.getResults().drop_front(rows), [&](AffineExpr expr) {
        return expr == getAffineConstantExpr(0, map.getContext());
      });
  if (rows == 0 || !isNarrow || rows == unsigned(map.getNumDims()))
    return {};
  if (typeOf(source).getRank() == int64_t(rows))
    return source;
  return view && typeOf(view.getSrc()).getRank() == int64_t(rows)
             ? view.getSrc()
             : Value();
}

/// [n * D..] behind slices that leave nothing out, and flattened: [n, D..].
static Value rowsBehind(Value flat, ArrayRef<int64_t> columns) {
  for (unsigned step = 0; step < 8; ++step) {
    Operation *op = flat.getDefiningOp();
    RankedTensorType type = typeOf(flat);
    bool areRows = type.getRank() == 1 + int64_t(columns.size()) &&
                   type.getShape().drop_front() == columns;
    if (areRows)
      return flat;
    auto slice = flat.getDefiningOp<tensor::ExtractSliceOp>();
    bool isPrefix = slice &&
                    isConstantIntValue(slice.getMixedOffsets()[0], 0) &&
                    isConstantIntValue(slice.getMixedStrides()[0], 1) &&
                    slice.getSourceType().getRank() == 1 && type.getRank() == 1;
    if (isPrefix ||
        isa_and_nonnull<tensor::CastOp, tensor::CollapseShapeOp>(op)) {
      flat = op->getOperand(0);
      continue;
    }
    return {};
  }
  return {};
}

/// `positions` are those of the masks that have been met.
static void rewrite(gate::ScatterNDOp scatter,
                    const DenseMap<Value, Value> &positions) {
  auto transpose = scatter.getIndices().getDefiningOp<linalg::TransposeOp>();
  auto nonzero = transpose
                     ? transpose.getInput().getDefiningOp<gate::NonZeroOp>()
                     : gate::NonZeroOp();
  Value mask = nonzero ? maskOfRows(nonzero.getInput()) : Value();
  RankedTensorType data = typeOf(scatter.getData());
  if (!mask || typeOf(nonzero.getInput()).getRank() != data.getRank())
    return;
  unsigned rowDims = typeOf(mask).getRank();
  ArrayRef<int64_t> columns = data.getShape().drop_front(rowDims);
  if (llvm::any_of(columns, ShapedType::isDynamic))
    return;
  for (int64_t dim = 0; dim < data.getRank(); ++dim)
    if (!haveSameExtent(scatter.getData(), dim, nonzero.getInput(), dim))
      return;
  Value rows = rowsBehind(scatter.getUpdates(), columns);
  if (!rows)
    return;
  // As many rows as the mask selects, which is so if they were selected by it.
  Value found = positions.lookup(mask);
  if (!found || !haveSameExtent(rows, 0, found, 1))
    return;
  OpBuilder b(scatter);
  Location loc = scatter.getLoc();
  Type element = typeOf(found).getElementType();
  Value count = tensor::DimOp::create(b, loc, found, 1);
  Value init = tensor::EmptyOp::create(
      b, loc, ArrayRef<OpFoldResult>{count, b.getIndexAttr(rowDims)}, element);
  Value indices =
      linalg::TransposeOp::create(b, loc, found, init, ArrayRef<int64_t>{1, 0})
          ->getResult(0);
  Value made = gate::ScatterNDOp::create(
      b, loc, data, rows, indices, scatter.getData(), scatter.getReduction());
  scatter.getResult().replaceAllUsesWith(made);
  scatter.erase();
}

static void rewrite(gate::ScatterElementsOp scatter) {
  Value index = scatter.getIndices();
  Value narrow = matchBroadcast(index);
  if (scatter.getAxis() != 0 || typeOf(index).getRank() < 2 || !narrow)
    return;
  auto repeat = index.getDefiningOp<linalg::GenericOp>();
  if (!isOnePerRow(repeat, repeat.getDpsInputOperand(0), 1))
    return;
  for (int64_t dim = 1; dim < typeOf(index).getRank(); ++dim)
    if (!haveSameExtent(scatter.getData(), dim, index, dim))
      return;
  OpBuilder b(scatter);
  Location loc = scatter.getLoc();
  if (int64_t rank = typeOf(narrow).getRank(); rank > 1)
    narrow = tensor::CollapseShapeOp::create(
        b, loc, narrow,
        ArrayRef{llvm::to_vector_of<int64_t, 2>(llvm::seq<int64_t>(rank))});
  OpFoldResult sizes[] = {tensor::getMixedSize(b, loc, narrow, 0),
                          b.getIndexAttr(1)};
  auto type = RankedTensorType::get({typeOf(narrow).getDimSize(0), 1},
                                    typeOf(narrow).getElementType());
  Value places = tensor::ExpandShapeOp::create(
      b, loc, type, narrow, ArrayRef{ReassociationIndices{0, 1}}, sizes);
  Value made = gate::ScatterNDOp::create(
      b, loc, scatter.getData().getType(), scatter.getUpdates(), places,
      scatter.getData(), scatter.getReduction());
  scatter.getResult().replaceAllUsesWith(made);
  scatter.erase();
}

void raise::writeWholeRows(Block &block) {
  DenseMap<Value, Value> positions;
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if (auto nonzero = dyn_cast<gate::NonZeroOp>(op))
      positions.try_emplace(nonzero.getInput(), nonzero.getResult());
    else if (auto scatter = dyn_cast<gate::ScatterNDOp>(op);
             scatter && !op.use_empty())
      rewrite(scatter, positions);
    else if (auto scatter = dyn_cast<gate::ScatterElementsOp>(op))
      rewrite(scatter);
  }
}
