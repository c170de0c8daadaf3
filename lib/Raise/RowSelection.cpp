// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows indices from the op that enumerates rows through the views,
// concatenations, casts and gathers that exporters put them through.
#include "RowSelection.h"

#include "gatecc/Raise/RowCondition.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

Value raise::rowSpaceOf(Value step) {
  return step.getDefiningOp()->getOperand(0);
}

bool raise::isPermutation(Value step) {
  auto op = step.getDefiningOp<gate::TopKOp>();
  if (!op)
    return false;
  OpFoldResult count =
      op.getCount() ? OpFoldResult(op.getCount()) : OpFoldResult(op.getKAttr());
  return isWholeSize(count, op.getInput(), 1);
}

//===-- Scalars -----------------------------------------------------------===//

Value raise::withoutRange(Value scalar,
                          function_ref<bool(OpFoldResult)> isSize) {
  auto isLast = [&](Value bound) {
    if (std::optional<int64_t> last = getConstantIntValue(bound))
      return isSize(Builder(bound.getContext()).getIndexAttr(*last + 1));
    auto less = bound.getDefiningOp<arith::SubIOp>();
    return less && isConstantIntValue(less.getRhs(), 1) &&
           isSize(less.getLhs());
  };
  while (Operation *op = scalar.getDefiningOp()) {
    if (isa<arith::IndexCastOp, arith::ExtSIOp>(op) ||
        (isa<arith::TruncIOp>(op) &&
         op->getResult(0).getType().getIntOrFloatBitWidth() >= 32) ||
        (isa<arith::MaxSIOp>(op) && isConstantIntValue(op->getOperand(1), 0)) ||
        (isa<arith::MinSIOp>(op) && isLast(op->getOperand(1)))) {
      scalar = op->getOperand(0);
      continue;
    }
    auto select = dyn_cast<arith::SelectOp>(op);
    auto test = select ? select.getCondition().getDefiningOp<arith::CmpIOp>()
                       : arith::CmpIOp();
    // What is negative is none of the indices.
    if (!test || test.getPredicate() != arith::CmpIPredicate::slt ||
        !isConstantIntValue(test.getRhs(), 0) ||
        withoutRange(test.getLhs(), isSize) !=
            withoutRange(select.getFalseValue(), isSize))
      return scalar;
    scalar = select.getFalseValue();
  }
  return scalar;
}

std::optional<ElementRead> raise::matchElementRead(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumDpsInputs() != 1 ||
      generic->getNumResults() != 1 ||
      generic.getNumLoops() != generic.getNumParallelLoops() ||
      llvm::any_of(generic.getIndexingMapsArray(),
                   [](AffineMap map) { return !map.isIdentity(); }))
    return std::nullopt;
  Block &body = *generic.getBody();
  Value element = body.getTerminator()->getOperand(0);
  // A dimension without elements is not read.
  Value guarded;
  if (auto guard = element.getDefiningOp<scf::IfOp>()) {
    auto test = guard.getCondition().getDefiningOp<arith::CmpIOp>();
    if (!test || test.getPredicate() != arith::CmpIPredicate::sgt ||
        !isConstantIntValue(test.getRhs(), 0))
      return std::nullopt;
    guarded = test.getLhs();
    element = guard.thenYield()->getOperand(0);
  }
  auto extract = element.getDefiningOp<tensor::ExtractOp>();
  if (!extract || extract.getTensor().getParentBlock() == &body ||
      typeOf(extract.getTensor()).getRank() != generic.getNumLoops())
    return std::nullopt;
  Value data = extract.getTensor();
  int64_t axis = -1;
  for (auto [dim, index] : llvm::enumerate(extract.getIndices())) {
    if (auto loop = index.getDefiningOp<linalg::IndexOp>();
        loop && loop.getDim() == dim)
      continue;
    auto isSize = [&, dim = dim](OpFoldResult size) {
      return isWholeSize(size, data, dim);
    };
    if (axis >= 0 || withoutRange(index, isSize) != body.getArgument(0) ||
        (guarded && !isSize(guarded)))
      return std::nullopt;
    axis = dim;
  }
  if (axis < 0)
    return std::nullopt;
  return ElementRead{data, generic.getDpsInputOperand(0)->get(), axis};
}

static bool isBatch(IndexDim role) {
  return role == IndexDim::Batch || role == IndexDim::Unit;
}

//===-- Indices -----------------------------------------------------------===//

void RowIndices::visit(Operation *op) {
  if (auto nonzero = dyn_cast<gate::NonZeroOp>(op)) {
    RowIndex index{
        {nonzero.getResult()}, {IndexDim::Column, IndexDim::Slot}, {}, {}, {}};
    unsigned rank = typeOf(nonzero.getInput()).getRank();
    if (rank == 1)
      index.dims[0] = IndexDim::Unit;
    for (unsigned dim = 0; dim < rank; ++dim)
      index.coordinates.push_back(dim);
    known[nonzero.getResult()] = index;
    if (rank == 2)
      maskDims[nonzero.getResult()] = functions.tokenDimOf(nonzero);
    return;
  }
  if (auto topk = dyn_cast<gate::TopKOp>(op)) {
    RowIndex index{
        {topk.getIndices()},
        {isOne(topk.getInput(), 0) ? IndexDim::Unit : IndexDim::Batch,
         IndexDim::Slot},
        {1},
        {},
        {}};
    known[topk.getIndices()] = index;
    // The values of a top-k of indices are indices.
    const RowIndex *from = find(topk.getInput());
    if (from && from->dims == index.dims && !from->path.empty()) {
      RowIndex values = *from;
      values.path.push_back(topk.getIndices());
      values.outer = topk.getInput();
      values.last = topk.getIndices();
      known[topk.getValues()] = values;
    }
    return;
  }
  if (op->getNumResults() != 1)
    return;
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.getElementType().isSignlessInteger() ||
      type.getElementType().isInteger(1))
    return;
  if (std::optional<RowIndex> index = compute(op))
    known[op->getResult(0)] = *index;
}

/// A constant [n, ...] whose elements are the index of dimension 0.
static bool isConstantCount(Value value) {
  DenseIntElementsAttr constant;
  if (!matchPattern(value, m_Constant(&constant)) ||
      typeOf(value).getRank() < 1 || constant.empty())
    return false;
  int64_t each = constant.getNumElements() / typeOf(value).getDimSize(0);
  for (auto [place, number] : llvm::enumerate(constant.getValues<APInt>()))
    if (number.getSExtValue() != int64_t(place) / each)
      return false;
  return true;
}

/// The number of the batch, for all that it chose.
static RowIndex numbersOfBatches(Value value) {
  RowIndex index;
  for (int64_t dim = 0, rank = typeOf(value).getRank(); dim < rank; ++dim)
    index.dims.push_back(isOne(value, dim) ? IndexDim::Unit
                         : dim == 0        ? IndexDim::Batch
                                           : IndexDim::Repeat);
  index.coordinates.push_back(0);
  return index;
}

std::optional<RowIndex> RowIndices::compute(Operation *op) const {
  if (op->hasTrait<OpTrait::ConstantLike>())
    return isConstantCount(op->getResult(0))
               ? std::optional(numbersOfBatches(op->getResult(0)))
               : std::nullopt;
  if (isa<tensor::CastOp>(op)) {
    const RowIndex *from = find(op->getOperand(0));
    return from ? std::optional(*from) : std::nullopt;
  }
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op))
    return reshape(op);
  if (auto concat = dyn_cast<tensor::ConcatOp>(op))
    return concatenate(concat);
  if (auto part = dyn_cast<tensor::ExtractSliceOp>(op))
    return slice(part);
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    const RowIndex *from = find(transpose.getInput());
    if (!from)
      return std::nullopt;
    RowIndex index = *from;
    for (auto [to, source] : llvm::enumerate(transpose.getPermutation()))
      index.dims[to] = from->dims[source];
    return index;
  }
  if (std::optional<RowAccess> read = matchRead(op))
    return compose(*read);
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic ? computeGeneric(generic) : std::nullopt;
}

std::optional<RowIndex> RowIndices::reshape(Operation *op) const {
  const RowIndex *from = find(op->getOperand(0));
  if (!from)
    return std::nullopt;
  bool collapses = isa<tensor::CollapseShapeOp>(op);
  SmallVector<ReassociationIndices> groups =
      collapses ? cast<tensor::CollapseShapeOp>(op).getReassociationIndices()
                : cast<tensor::ExpandShapeOp>(op).getReassociationIndices();
  Value wide = collapses ? op->getOperand(0) : op->getResult(0);
  RowIndex index = *from;
  index.dims.assign(typeOf(op->getResult(0)).getRank(), IndexDim::Unit);
  for (auto [narrow, group] : llvm::enumerate(groups)) {
    // Of a group one dimension may have more than one element.
    int64_t kept = -1;
    for (int64_t dim : group) {
      if (isOne(wide, dim))
        continue;
      if (kept >= 0)
        return std::nullopt;
      kept = dim;
    }
    if (kept < 0)
      continue;
    if (collapses)
      index.dims[narrow] = from->dims[kept];
    else
      index.dims[kept] = from->dims[narrow];
  }
  return index;
}

std::optional<RowIndex> RowIndices::slice(tensor::ExtractSliceOp op) const {
  const RowIndex *from = find(op.getSource());
  if (!from)
    return std::nullopt;
  RowIndex index = *from;
  index.dims.clear();
  index.outer = index.last = Value();
  llvm::SmallBitVector dropped = op.getDroppedDims();
  for (auto [dim, sourceRole] : llvm::enumerate(from->dims)) {
    IndexDim role = sourceRole;
    OpFoldResult offset = op.getMixedOffsets()[dim],
                 size = op.getMixedSizes()[dim],
                 stride = op.getMixedStrides()[dim];
    bool isWhole = isConstantIntValue(offset, 0) &&
                   isConstantIntValue(stride, 1) &&
                   isWholeSize(size, op.getSource(), dim);
    if (role == IndexDim::Column && !isWhole) {
      std::optional<int64_t> first = getConstantIntValue(offset),
                             count = getConstantIntValue(size),
                             step = getConstantIntValue(stride);
      if (!first || !count || !step || *count < 1)
        return std::nullopt;
      index.coordinates.clear();
      for (int64_t i = 0; i < *count; ++i)
        index.coordinates.push_back(from->coordinates[*first + i * *step]);
      role = *count == 1 ? IndexDim::Unit : IndexDim::Column;
    } else if (!isWhole && role != IndexDim::Repeat) {
      return std::nullopt;
    }
    if (!dropped.test(dim))
      index.dims.push_back(role);
  }
  return index;
}

std::optional<RowIndex> RowIndices::concatenate(tensor::ConcatOp op) const {
  uint64_t axis = op.getDim();
  std::optional<RowIndex> index;
  SmallVector<int64_t, 2> coordinates;
  for (Value input : op.getInputs()) {
    const RowIndex *part = find(input);
    if (!part || (part->dims[axis] != IndexDim::Unit &&
                  part->dims[axis] != IndexDim::Column))
      return std::nullopt;
    coordinates.append(part->coordinates);
    // Numbers of batches know of no slots.
    if (!index || index->path.empty())
      index = *part;
    else if (!part->path.empty() && part->path != index->path)
      return std::nullopt;
  }
  for (Value input : op.getInputs())
    for (auto [dim, role] : llvm::enumerate(find(input)->dims)) {
      IndexDim expected = index->dims[dim];
      if (dim != axis && role != expected &&
          !(find(input)->path.empty() && role == IndexDim::Repeat &&
            expected == IndexDim::Slot))
        return std::nullopt;
    }
  index->coordinates = coordinates;
  index->dims[axis] =
      coordinates.size() == 1 ? IndexDim::Unit : IndexDim::Column;
  index->outer = index->last = Value();
  return index;
}

/// A condition on an index that asks whether it is below 0.
bool RowIndices::isNegative(Value condition) const {
  auto op = condition.getDefiningOp<linalg::GenericOp>();
  if (!op || op->getNumResults() != 1 ||
      op.getNumLoops() != op.getNumParallelLoops())
    return false;
  Block &body = *op.getBody();
  auto test =
      body.getTerminator()->getOperand(0).getDefiningOp<arith::CmpIOp>();
  if (!test || test.getPredicate() != arith::CmpIPredicate::slt)
    return false;
  auto operandOf = [&](Value scalar) -> Value {
    auto argument = dyn_cast<BlockArgument>(scalar);
    return argument && argument.getOwner() == &body &&
                   argument.getArgNumber() < op.getNumDpsInputs()
               ? op.getDpsInputs()[argument.getArgNumber()]
               : Value();
  };
  Value left = operandOf(test.getLhs()), right = operandOf(test.getRhs());
  const RowIndex *index = left ? find(left) : nullptr;
  return index && !index->path.empty() &&
         (isConstantIntValue(test.getRhs(), 0) || (right && isZero(right)));
}

std::optional<RowIndex> RowIndices::computeGeneric(linalg::GenericOp op) const {
  if (op->getNumResults() != 1 ||
      op.getNumLoops() != op.getNumParallelLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  Block &body = *op.getBody();
  auto notASize = [](OpFoldResult) { return false; };
  Value scalar = withoutRange(body.getTerminator()->getOperand(0), notASize);
  if (auto loop = scalar.getDefiningOp<linalg::IndexOp>();
      loop && loop.getDim() == 0 && op.getNumLoops() > 0) {
    return numbersOfBatches(op->getResult(0));
  }
  if (auto match = matchElementary(op);
      match && match->kind == Elementary::Select && match->inputs[2] >= 0 &&
      isNegative(match->operands[0]))
    scalar = body.getArgument(match->inputs[2]);
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (!argument || argument.getOwner() != &body ||
      argument.getArgNumber() >= op.getNumDpsInputs())
    return std::nullopt;
  OpOperand *operand = op.getDpsInputOperand(argument.getArgNumber());
  const RowIndex *from = find(operand->get());
  if (!from)
    return std::nullopt;
  RowIndex index = *from;
  index.dims.assign(op.getNumLoops(), IndexDim::Repeat);
  for (unsigned dim = 0; dim < op.getNumLoops(); ++dim)
    if (isOne(op->getResult(0), dim))
      index.dims[dim] = IndexDim::Unit;
  for (auto [dim, expr] :
       llvm::enumerate(op.getMatchingIndexingMap(operand).getResults())) {
    if (auto loop = dyn_cast<AffineDimExpr>(expr))
      index.dims[loop.getPosition()] = from->dims[dim];
    else if (from->dims[dim] != IndexDim::Unit)
      return std::nullopt;
  }
  return index;
}

/// outer[last[s]], or last[s] where the outer tensor numbers its rows.
std::optional<RowIndex> RowIndices::compose(const RowAccess &read) const {
  const RowIndex *last = find(read.indices), *outer = find(read.data);
  RowIndex index;
  // [slots.., what is behind the rows]
  index.dims.assign(last->dims.begin(), last->dims.begin() + read.slotDims);
  if (outer && !outer->path.empty()) {
    // Different slots of the outer index name different rows.
    ArrayRef<IndexDim> rows = ArrayRef(outer->dims).take_front(read.rowDims);
    if (rows.back() != IndexDim::Slot ||
        !llvm::all_of(rows.drop_back(), isBatch))
      return std::nullopt;
    index.dims.append(outer->dims.begin() + read.rowDims, outer->dims.end());
    index.path = outer->path;
    index.path.append(last->path);
    index.coordinates = outer->coordinates;
    index.outer = read.data;
    index.last = read.indices;
    return index;
  }
  std::optional<Positions> positions = matchPositions(read.data);
  bool countsRows = positions && isConstantIntValue(positions->offset, 0);
  if (!(countsRows || isConstantCount(read.data)) ||
      typeOf(read.data).getRank() != 1 || last->coordinates.size() != 1)
    return std::nullopt;
  index.path = last->path;
  index.coordinates = last->coordinates;
  return index;
}

//===-- Accesses ----------------------------------------------------------===//

/// Whether dimensions [0, rows) of `data` are the rows that a path begins with.
static bool areRows(Value data, unsigned rows, const RowPath &path) {
  Value space = rowSpaceOf(path.front());
  unsigned rank = typeOf(space).getRank();
  if (typeOf(data).getRank() < int64_t(rows))
    return false;
  SmallVector<int64_t> dims, spaceDims;
  for (unsigned dim = 0; dim < rank; ++dim)
    spaceDims.push_back(dim);
  for (unsigned dim = 0; dim < rows; ++dim) {
    if (rows == rank && !haveSameExtent(data, dim, space, dim))
      return false;
    dims.push_back(dim);
  }
  return haveSameExtent(data, dims, space, spaceDims);
}

/// Slices at index vectors [slots.., m].
std::optional<RowAccess> RowIndices::vectors(Value data, Value indices,
                                             unsigned batchDims) const {
  const RowIndex *index = find(indices);
  if (!index || index->path.empty() || index->dims.size() < 2 ||
      index->dims.size() > 3)
    return std::nullopt;
  unsigned slots = index->dims.size() - 1;
  if (index->dims[slots - 1] != IndexDim::Slot ||
      (slots == 2 && !isBatch(index->dims[0])) ||
      (index->dims[slots] != IndexDim::Unit &&
       index->dims[slots] != IndexDim::Column) ||
      typeOf(indices).getDimSize(slots) != int64_t(index->coordinates.size()))
    return std::nullopt;
  Value space = rowSpaceOf(index->path.front());
  unsigned rank = typeOf(space).getRank();
  RowAccess access{data, indices, index->path, 0, slots};
  if (batchDims == 1) {
    if (slots != 2 || rank != 2 || index->coordinates.size() != 1 ||
        index->coordinates[0] != 1 ||
        !index->path.front().getDefiningOp<gate::TopKOp>())
      return std::nullopt;
    access.rowDims = 2;
  } else if (int64_t row = maskDimOf(index->path.front());
             batchDims == 0 && row >= 0) {
    // Rows, or rows and their choices.
    access.maskDim = row;
    access.rowDims = index->coordinates.size();
    if (access.rowDims > 2 || typeOf(data).getRank() < access.rowDims)
      return std::nullopt;
    for (unsigned dim = 0; dim < access.rowDims; ++dim) {
      int64_t own = dim == 0 ? row : 1 - row;
      if (index->coordinates[dim] != own ||
          !haveSameExtent(data, dim, space, own))
        return std::nullopt;
    }
    return access;
  } else if (batchDims == 0) {
    access.rowDims = index->coordinates.size();
    int64_t first = rank - access.rowDims;
    for (auto [dim, coordinate] : llvm::enumerate(index->coordinates))
      if (coordinate != first + int64_t(dim))
        return std::nullopt;
    // Coordinates that are left out must be 0.
    for (int64_t dim = 0; dim < first; ++dim)
      if (!isOne(space, dim))
        return std::nullopt;
  } else {
    return std::nullopt;
  }
  return areRows(data, access.rowDims, index->path) ? std::optional(access)
                                                    : std::nullopt;
}

/// Elements at indices along `axis`, whole rows of them.
std::optional<RowAccess> RowIndices::elements(Value data, Value indices,
                                              int64_t axis) const {
  const RowIndex *index = find(indices);
  if (!index || index->path.empty() || axis > 1 ||
      index->coordinates.size() != 1 || index->dims[axis] != IndexDim::Slot ||
      (axis == 1 && !isBatch(index->dims[0])))
    return std::nullopt;
  Value space = rowSpaceOf(index->path.front());
  int64_t rank = typeOf(space).getRank(),
          maskDim = maskDimOf(index->path.front());
  bool isOfMask = maskDim >= 0 && axis == 0 && index->coordinates[0] == maskDim;
  if (!isOfMask && index->coordinates[0] != rank - 1)
    return std::nullopt;
  // One batch, or as many as there are rows of scores.
  bool isChosenByRow = index->path.front().getDefiningOp<gate::TopKOp>();
  if (rank == 2 && !isOfMask && !isOne(space, 0) &&
      !(isChosenByRow && axis == 1))
    return std::nullopt;
  if (rank > 2 || (axis == 1 && !haveSameExtent(data, 0, indices, 0)))
    return std::nullopt;
  if (rank == 1 && axis == 1 && !isOne(data, 0))
    return std::nullopt;
  for (unsigned dim = axis + 1; dim < index->dims.size(); ++dim)
    if ((index->dims[dim] != IndexDim::Repeat &&
         index->dims[dim] != IndexDim::Unit) ||
        !haveSameExtent(data, dim, indices, dim))
      return std::nullopt;
  RowAccess access{data, indices, index->path, unsigned(axis) + 1,
                   unsigned(axis) + 1};
  if (isOfMask) {
    access.maskDim = maskDim;
    return haveSameExtent(data, 0, space, maskDim) ? std::optional(access)
                                                   : std::nullopt;
  }
  return areRows(data, access.rowDims, index->path) ? std::optional(access)
                                                    : std::nullopt;
}

/// The tensor of integers that `value` has so many times, or null.
static Value matchMultiple(Value value, int64_t times) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 1 || op->getNumResults() != 1 ||
      !isIdentityOperand(op, 0))
    return {};
  auto product = op.getBody()
                     ->getTerminator()
                     ->getOperand(0)
                     .getDefiningOp<arith::MulIOp>();
  return product && product.getLhs() == op.getBody()->getArgument(0) &&
                 isConstantIntValue(product.getRhs(), times)
             ? op.getDpsInputs()[0]
             : Value();
}

void RowIndices::readByCoordinates(gate::GatherNDOp op) const {
  Value numbers = withoutReshapes(op.getIndices()),
        table = withoutReshapes(op.getData());
  linalg::GenericOp sum = matchBinary<arith::AddIOp>(numbers);
  RankedTensorType type = typeOf(table);
  ArrayRef<int64_t> behind = typeOf(op.getData()).getShape().drop_front();
  if (!sum || !isIdentityOperand(sum, 0) || !isIdentityOperand(sum, 1) ||
      op.getBatchDims() != 0 || typeOf(numbers).getRank() != 1 ||
      typeOf(op.getIndices()).getRank() != 2 || type.getRank() != 2 ||
      type.isDynamicDim(1) ||
      !llvm::all_of(behind, [](int64_t size) { return size == 1; }))
    return;
  for (unsigned side : {0u, 1u}) {
    Value choice = sum.getDpsInputs()[side],
          row = matchMultiple(sum.getDpsInputs()[1 - side], type.getDimSize(1));
    const RowIndex *ofRow = row ? find(row) : nullptr, *ofChoice = find(choice);
    if (!ofRow || !ofChoice || ofRow->path.empty() ||
        ofRow->path != ofChoice->path || ofRow->dims != ofChoice->dims ||
        ofRow->dims.front() != IndexDim::Slot)
      continue;
    Value step = ofRow->path.front(), space = rowSpaceOf(step);
    int64_t dim = maskDimOf(step);
    if (dim < 0 || ofRow->coordinates != ArrayRef<int64_t>{dim} ||
        ofChoice->coordinates != ArrayRef<int64_t>{1 - dim} ||
        !haveSameExtent(table, 0, space, dim) ||
        !haveSameExtent(table, 1, space, 1 - dim))
      continue;
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<Value> coordinates;
    for (Value each : {row, choice}) {
      auto column = RankedTensorType::get({typeOf(each).getDimSize(0), 1},
                                          typeOf(each).getElementType());
      coordinates.push_back(tensor::ExpandShapeOp::create(
          b, loc, column, each, ArrayRef{ReassociationIndices{0, 1}}));
    }
    Value indices = tensor::ConcatOp::create(b, loc, 1, coordinates);
    if (!behind.empty()) {
      SmallVector<int64_t> shape(type.getShape());
      shape.append(behind.begin(), behind.end());
      SmallVector<ReassociationIndices> groups{{0}, {}};
      for (int64_t at = 1; at < int64_t(shape.size()); ++at)
        groups[1].push_back(at);
      table = tensor::ExpandShapeOp::create(
          b, loc, RankedTensorType::get(shape, type.getElementType()), table,
          groups);
    }
    op.getDataMutable().assign(table);
    op.getIndicesMutable().assign(indices);
    return;
  }
}

std::optional<RowAccess> RowIndices::matchRead(Operation *op) const {
  if (auto gather = dyn_cast<gate::GatherNDOp>(op))
    return vectors(gather.getData(), gather.getIndices(),
                   gather.getBatchDims());
  if (std::optional<ElementRead> read = matchElementRead(op))
    return elements(read->data, read->indices, read->axis);
  return std::nullopt;
}

std::optional<RowAccess> RowIndices::matchWrite(Operation *op) const {
  if (auto scatter = dyn_cast<gate::ScatterNDOp>(op))
    return vectors(scatter.getData(), scatter.getIndices(), 0);
  if (auto scatter = dyn_cast<gate::ScatterElementsOp>(op))
    return elements(scatter.getData(), scatter.getIndices(), scatter.getAxis());
  return std::nullopt;
}
