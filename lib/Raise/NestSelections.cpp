// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Index tensors that are gathered from index tensors (the survivors of
// survivors, as numbers of the first rows) become selections in selections.
// That is right since the slots of a selection are different rows that exist.
// Rows that a mask selects and that are written where they were read,
//   scatter(gather(x, nonzero(mask)), nonzero(mask), y)
// are a choice between two tensors for each row, select(mask, x, y).
#include "NestSelections.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
class Nester {
public:
  Nester(RowIndices &indices, MLIRContext *context)
      : indices(indices), b(context), loc(b.getUnknownLoc()) {}

  void visit(Operation *op);

private:
  Value read(Value data, Value index);
  Value write(Value updates, Value index, Value data, gate::Reduction how);
  /// What rows were read from at an index of rows that a mask selects; null if
  /// they were made otherwise.
  Value readBy(Value updates, Value index) const;
  Value select(Value index, Value rows, Value others);
  bool isNested(Value index) const;
  /// The scatter that wrote all rows of an index, and no more, last.
  gate::ScatterNDOp writerOf(Value data, Value index) const;
  Value asVectors(Value index);
  Value taken(Operation *op) {
    indices.visit(op);
    return op->getResult(0);
  }

  RowIndices &indices;
  OpBuilder b;
  Location loc;
};
} // namespace

/// Whether an index is one number for each slot, [n] or [n, 1].
static bool isPlain(const RowIndex *index) {
  return index && !index->path.empty() && index->coordinates.size() == 1 &&
         index->dims.front() == IndexDim::Slot && index->dims.size() <= 2 &&
         index->dims.back() != IndexDim::Repeat;
}

bool Nester::isNested(Value value) const {
  const RowIndex *index = indices.find(value);
  return isPlain(index) && index->outer &&
         isPlain(indices.find(index->outer)) &&
         isPlain(indices.find(index->last)) &&
         !isPermutation(indices.find(index->last)->path.front());
}

gate::ScatterNDOp Nester::writerOf(Value data, Value index) const {
  auto scatter = data.getDefiningOp<gate::ScatterNDOp>();
  if (!scatter || scatter.getReduction() != gate::Reduction::None)
    return {};
  std::optional<RowAccess> access = indices.matchWrite(scatter);
  return access && access->rowDims == 1 &&
                 access->path == indices.find(index)->path
             ? scatter
             : gate::ScatterNDOp();
}

Value Nester::asVectors(Value index) {
  if (typeOf(index).getRank() == 2)
    return index;
  OpFoldResult sizes[] = {tensor::getMixedSize(b, loc, index, 0),
                          b.getIndexAttr(1)};
  auto type = RankedTensorType::get({typeOf(index).getDimSize(0), 1},
                                    typeOf(index).getElementType());
  return taken(tensor::ExpandShapeOp::create(
      b, loc, type, index, ArrayRef{ReassociationIndices{0, 1}}, sizes));
}

Value Nester::read(Value data, Value index) {
  if (isNested(index)) {
    RowIndex rows = *indices.find(index);
    return read(read(data, asVectors(rows.outer)), asVectors(rows.last));
  }
  SmallVector<int64_t> shape{typeOf(index).getDimSize(0)};
  llvm::append_range(shape, typeOf(data).getShape().drop_front());
  auto type = RankedTensorType::get(shape, typeOf(data).getElementType());
  if (gate::ScatterNDOp writer = writerOf(data, index)) {
    Value updates = writer.getUpdates();
    return updates.getType() == type
               ? updates
               : taken(tensor::CastOp::create(b, loc, type, updates));
  }
  return taken(gate::GatherNDOp::create(b, loc, type, data, index, 0));
}

Value Nester::readBy(Value updates, Value index) const {
  auto gather = updates.getDefiningOp<gate::GatherNDOp>();
  std::optional<RowAccess> from =
      gather ? indices.matchRead(gather) : std::nullopt;
  const RowPath &path = indices.find(index)->path;
  auto step = path.front().getDefiningOp<gate::NonZeroOp>();
  return from && from->rowDims == 1 && from->slotDims == 1 &&
                 from->path == path && path.size() == 1 && step &&
                 typeOf(step.getInput()).getRank() == 1
             ? from->data
             : Value();
}

Value Nester::select(Value index, Value rows, Value others) {
  auto step =
      indices.find(index)->path.front().getDefiningOp<gate::NonZeroOp>();
  RankedTensorType type = typeOf(others);
  if (rows.getType() != type)
    rows = taken(tensor::CastOp::create(b, loc, type, rows));
  AffineMap all = b.getMultiDimIdentityMap(type.getRank()),
            row = AffineMap::get(type.getRank(), 0, b.getAffineDimExpr(0));
  Value init = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, others), type.getElementType());
  return taken(linalg::GenericOp::create(
      b, loc, TypeRange{type}, ValueRange{step.getInput(), rows, others},
      ValueRange{init}, ArrayRef<AffineMap>{row, all, all, all},
      SmallVector<utils::IteratorType>(type.getRank(),
                                       utils::IteratorType::parallel),
      [](OpBuilder &at, Location where, ValueRange x) {
        Value chosen = arith::SelectOp::create(at, where, x[0], x[1], x[2]);
        linalg::YieldOp::create(at, where, chosen);
      }));
}

Value Nester::write(Value updates, Value index, Value data,
                    gate::Reduction how) {
  if (isNested(index)) {
    RowIndex rows = *indices.find(index);
    Value outer = asVectors(rows.outer), last = asVectors(rows.last);
    Value inner = write(updates, last, read(data, outer), how);
    return write(inner, outer, data, gate::Reduction::None);
  }
  if (how == gate::Reduction::None) {
    while (gate::ScatterNDOp writer = writerOf(data, index))
      data = writer.getData();
    if (Value rows = readBy(updates, index))
      return select(index, rows, data);
  }
  return taken(gate::ScatterNDOp::create(b, loc, data.getType(), updates, index,
                                         data, how));
}

void Nester::visit(Operation *op) {
  indices.visit(op);
  b.setInsertionPoint(op);
  loc = op->getLoc();
  if (auto gather = dyn_cast<gate::GatherNDOp>(op)) {
    std::optional<RowAccess> access = indices.matchRead(op);
    if (access && access->rowDims == 1 && access->slotDims == 1 &&
        (isNested(gather.getIndices()) ||
         writerOf(gather.getData(), gather.getIndices())))
      op->getResult(0).replaceAllUsesWith(
          read(gather.getData(), gather.getIndices()));
  } else if (auto scatter = dyn_cast<gate::ScatterNDOp>(op)) {
    std::optional<RowAccess> access = indices.matchWrite(op);
    if (access && access->rowDims == 1 && access->slotDims == 1 &&
        (isNested(scatter.getIndices()) ||
         (scatter.getReduction() == gate::Reduction::None &&
          (writerOf(scatter.getData(), scatter.getIndices()) ||
           readBy(scatter.getUpdates(), scatter.getIndices())))))
      op->getResult(0).replaceAllUsesWith(
          write(scatter.getUpdates(), scatter.getIndices(), scatter.getData(),
                scatter.getReduction()));
  }
}

void raise::nestSelections(Block &block, RowIndices &indices) {
  Nester nester(indices, block.getParentOp()->getContext());
  for (Operation &op : llvm::make_early_inc_range(block))
    nester.visit(&op);
}
