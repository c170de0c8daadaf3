// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rewrites work on slots for the rows of a group: the dimensions of the slots
// become one, [n, ...], and what brought rows becomes an input of the region.
#include "GroupBuilder.h"
#include "RowCost.h"
#include "SlotWork.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// The type with its first `dims` dimensions as one that the run decides.
static RankedTensorType withOneDim(Type type, unsigned dims) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape{ShapedType::kDynamic};
  llvm::append_range(shape, tensor.getShape().drop_front(dims));
  return RankedTensorType::get(shape, tensor.getElementType());
}

SlotBody::SlotBody(const SlotWork &work, OpBuilder &outside, Value mask)
    : work(work), outside(outside), b(outside.getContext()),
      block(std::make_unique<Block>()), mask(mask) {
  b.setInsertionPointToEnd(block.get());
  // A stand-in until there is an argument to ask for its rows.
  count = UnrealizedConversionCastOp::create(
              b, b.getUnknownLoc(), TypeRange{b.getIndexType()}, ValueRange{})
              .getResult(0);
}

SlotBody::~SlotBody() = default;

void SlotBody::build(const SlotSlice &slice) {
  for (Operation *op : slice.ops)
    rewrite(op);
}

Value SlotBody::rowsOf(Value value) { return made.lookup(value); }

Value SlotBody::lookup(Value value) {
  if (Value rows = made.lookup(value))
    return rows;
  return work.isSeed(value) ? rowsOfAll(value, work.getSeedDims()) : Value();
}

Value SlotBody::flatten(Value tensor, unsigned rowDims) {
  if (rowDims <= 1)
    return tensor;
  Value &result = flat[{tensor, rowDims}];
  if (result)
    return result;
  SmallVector<ReassociationIndices> groups(1);
  for (int64_t dim = 0, rank = typeOf(tensor).getRank(); dim < rank; ++dim) {
    if (dim < rowDims)
      groups[0].push_back(dim);
    else
      groups.push_back({dim});
  }
  return result = tensor::CollapseShapeOp::create(outside, tensor.getLoc(),
                                                  tensor, groups);
}

Value SlotBody::atMask(Value tensor) {
  Location loc = tensor.getLoc();
  RankedTensorType type = typeOf(tensor);
  Value zero = arith::ConstantOp::create(
      outside, loc, outside.getZeroAttr(type.getElementType()));
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(outside, loc, tensor);
  sizes.erase(sizes.begin() + 1);
  Value init =
      linalg::FillOp::create(
          outside, loc, zero,
          tensor::EmptyOp::create(outside, loc, sizes, type.getElementType())
              .getResult())
          .getResult(0);
  AffineMap identity = outside.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  iterators[1] = utils::IteratorType::reduction;
  return linalg::GenericOp::create(
             outside, loc, init.getType(), ValueRange{mask, tensor}, init,
             ArrayRef{identity.getMajorSubMap(2), identity,
                      identity.dropResult(1)},
             iterators,
             [](OpBuilder &at, Location where, ValueRange x) {
               linalg::YieldOp::create(
                   at, where,
                   arith::SelectOp::create(at, where, x[0], x[1], x[2])
                       .getResult());
             })
      .getResult(0);
}

Value SlotBody::rowsOfAll(Value tensor, unsigned rowDims) {
  Value rows;
  if (mask && rowDims == 2) {
    Value &chosen = flat[{tensor, 0}];
    if (!chosen)
      chosen = atMask(tensor);
    rows = chosen;
  } else {
    rows = flatten(tensor, rowDims);
  }
  Value &argument = arguments[rows];
  if (!argument) {
    inputs.push_back(rows);
    argument =
        block->addArgument(withOneDim(rows.getType(), 1), tensor.getLoc());
  }
  return argument;
}

Value SlotBody::extentOf(Value rows) {
  return tensor::DimOp::create(b, rows.getLoc(), rows, 0);
}

Block *SlotBody::take(ValueRange yields) {
  Location loc = b.getUnknownLoc();
  gate::YieldOp::create(b, loc, yields);
  Operation *standIn = count.getDefiningOp();
  if (!count.use_empty()) {
    b.setInsertionPoint(standIn);
    count.replaceAllUsesWith(extentOf(block->getArgument(0)));
  }
  standIn->erase();
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*block)))
    if (isOpTriviallyDead(&op))
      op.erase();
  for (unsigned i = block->getNumArguments(); i-- > 0;)
    if (block->getArgument(i).use_empty()) {
      block->eraseArgument(i);
      inputs.erase(inputs.begin() + i);
    }
  return block.release();
}

void SlotBody::rewrite(Operation *op) {
  if (Value source = work.reordered(op)) {
    made[op->getResult(0)] = made.lookup(source);
    return;
  }
  unsigned rowDims;
  if (Value source = work.broughtRows(op, rowDims)) {
    made[op->getResult(0)] = rowsOfAll(source, rowDims);
    return;
  }
  const SlotRows *from = nullptr;
  SmallVector<Value> inBody = work.rowsInBody(op), used(op->getOperands());
  used.append(inBody);
  for (Value value : used)
    if (const SlotRows *rows = work.findRows(value);
        rows && (!from || work.find(value)))
      from = rows;
  if (!from) // slots and their plan
    from = work.findPlan(op->getOperand(0));
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op)) {
    made[op->getResult(0)] =
        rewriteReshape(op, *from, *work.find(op->getResult(0)));
    return;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    made[op->getResult(0)] = rewriteSlice(slice, *from);
    return;
  }
  // A block has as many elements in dimension 0 as its operands.
  Value extent = count;
  if (from->isBlock)
    for (Value operand : used) {
      Value rows = work.find(operand) ? made.lookup(operand) : Value();
      if (isa<gate::PlanType>(operand.getType())) // what decided
        rows = made.lookup(operand).getDefiningOp()->getOperand(0);
      if (!rows)
        continue;
      extent = extentOf(rows);
      break;
    }
  if (auto structured = dyn_cast<linalg::LinalgOp>(op)) {
    rewriteLinalg(structured, from->dims, extent);
    made.lookup(op->getResult(0))
        .getDefiningOp()
        ->walk([&](tensor::ExtractOp extract) {
          if (llvm::is_contained(inBody, extract.getTensor()))
            extract.getTensorMutable().assign(lookup(extract.getTensor()));
        });
    return;
  }
  SmallVector<bool> follows = *work.followed(op);
  SmallVector<Value> operands;
  for (auto [operand, isFollowed] : llvm::zip(op->getOperands(), follows)) {
    if (!isFollowed)
      operands.push_back(operand);
    else if (Value rows = lookup(operand))
      operands.push_back(rows);
    else
      operands.push_back(remake(operand, from->dims, extent));
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    made[concat.getResult()] = tensor::ConcatOp::create(
        b, op->getLoc(), withOneDim(concat.getType(), from->dims),
        concat.getDim() + 1 - from->dims, operands);
    return;
  }
  if (isa<tensor::CastOp>(op)) {
    auto type = withOneDim(op->getResult(0).getType(), from->dims);
    made[op->getResult(0)] =
        type == operands[0].getType()
            ? operands[0]
            : tensor::CastOp::create(b, op->getLoc(), type, operands[0])
                  .getResult();
    return;
  }
  Operation *clone = b.clone(*op);
  clone->setOperands(operands);
  if (auto combine = dyn_cast<gate::CombineOp>(clone))
    combine.getRowsMutable().assign(extent);
  for (auto [old, result] : llvm::zip(op->getResults(), clone->getResults())) {
    if (isa<RankedTensorType>(result.getType()) && !isPlanSpace(result))
      result.setType(withOneDim(result.getType(), 1));
    made[old] = result;
  }
}

/// Leaves dimension 1, which has become part of dimension 0, out of a list of
/// groups of dimensions.
static SmallVector<ReassociationIndices>
withoutDim1(ArrayRef<ReassociationIndices> groups) {
  SmallVector<ReassociationIndices> result;
  for (const ReassociationIndices &group : groups) {
    // [1, ones..] is part of the group of 0 now.
    bool joins = !result.empty() && group.front() == 1;
    if (!joins)
      result.emplace_back();
    for (int64_t dim : group)
      if (dim != 1)
        result.back().push_back(dim > 1 ? dim - 1 : dim);
  }
  return result;
}

Value SlotBody::rewriteReshape(Operation *op, const SlotRows &from,
                               const SlotRows &to) {
  Location loc = op->getLoc();
  Value source = lookup(op->getOperand(0));
  RankedTensorType type = withOneDim(op->getResult(0).getType(), to.dims);
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    SmallVector<ReassociationIndices> groups =
        collapse.getReassociationIndices();
    if (from.dims == 2)
      groups = withoutDim1(groups);
    if (int64_t(groups.size()) == typeOf(source).getRank())
      return source;
    return tensor::CollapseShapeOp::create(b, loc, type, source, groups);
  }
  auto expand = cast<tensor::ExpandShapeOp>(op);
  SmallVector<ReassociationIndices> groups = expand.getReassociationIndices();
  SmallVector<OpFoldResult> sizes =
      getMixedValues(expand.getStaticOutputShape(), expand.getOutputShape(), b);
  if (to.dims == 2) {
    groups = withoutDim1(groups);
    sizes.erase(sizes.begin() + 1);
  }
  sizes[0] = to.isBlock ? extentOf(source) : count;
  if (int64_t(sizes.size()) == typeOf(source).getRank())
    return source;
  return tensor::ExpandShapeOp::create(b, loc, type, source, groups, sizes);
}

Value SlotBody::rewriteSlice(tensor::ExtractSliceOp op, const SlotRows &rows) {
  Value source = lookup(op.getSource());
  SmallVector<OpFoldResult> offsets = op.getMixedOffsets(),
                            sizes = op.getMixedSizes(),
                            strides = op.getMixedStrides();
  for (auto *list : {&offsets, &sizes, &strides})
    if (rows.dims == 2)
      list->erase(list->begin() + 1);
  sizes[0] = extentOf(source);
  return tensor::ExtractSliceOp::create(b, op.getLoc(),
                                        withOneDim(op.getType(), rows.dims),
                                        source, offsets, sizes, strides);
}

/// The loop nest with the loops of the slots as one.
void SlotBody::rewriteLinalg(linalg::LinalgOp op, unsigned dims, Value extent) {
  SmallVector<Value> operands;
  for (OpOperand &operand : op->getOpOperands()) {
    Value value = operand.get();
    AffineMap map = op.getMatchingIndexingMap(&operand);
    AffineMap result = op.getIndexingMapMatchingResult(op->getResult(0));
    bool follows =
        map.getNumResults() > 0 && map.getResult(0) == result.getResult(0);
    if (Value rows = made.lookup(value))
      operands.push_back(rows);
    else if (follows && isa<RankedTensorType>(value.getType()))
      operands.push_back(work.isSeed(value)
                             ? rowsOfAll(value, work.getSeedDims())
                             : remake(value, dims, extent));
    else
      operands.push_back(value);
  }
  SmallVector<Type> types;
  for (Type type : op->getResultTypes())
    types.push_back(withOneDim(type, dims));
  if (dims == 1) {
    Operation *clone = mlir::clone(b, op, types, operands);
    for (auto [old, result] : llvm::zip(op->getResults(), clone->getResults()))
      made[old] = result;
    return;
  }
  unsigned dropped =
      cast<AffineDimExpr>(
          op.getIndexingMapMatchingResult(op->getResult(0)).getResult(1))
          .getPosition();
  unsigned loops = op.getNumLoops();
  SmallVector<AffineExpr> renumbered;
  for (unsigned loop = 0; loop < loops; ++loop)
    renumbered.push_back(b.getAffineDimExpr(loop - (loop > dropped)));
  SmallVector<AffineMap> maps;
  for (AffineMap map : op.getIndexingMapsArray()) {
    SmallVector<AffineExpr> results;
    for (AffineExpr expr : map.getResults())
      if (!expr.isFunctionOfDim(dropped))
        results.push_back(expr.replaceDims(renumbered));
    maps.push_back(AffineMap::get(loops - 1, 0, results, b.getContext()));
  }
  SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
  iterators.erase(iterators.begin() + dropped);
  unsigned numInputs = op.getNumDpsInputs();
  auto generic = linalg::GenericOp::create(
      b, op->getLoc(), types, ArrayRef(operands).take_front(numInputs),
      ArrayRef(operands).drop_front(numInputs), maps, iterators);
  IRMapping mapping;
  op->getRegion(0).cloneInto(&generic.getRegion(), mapping);
  generic.walk([&](linalg::IndexOp index) {
    if (index.getDim() > dropped)
      index.setDim(index.getDim() - 1);
  });
  for (auto [old, result] : llvm::zip(op->getResults(), generic.getResults()))
    made[old] = result;
}

/// A value that is the same in all slots, for `extent` of them.
Value SlotBody::remake(Value value, unsigned dims, Value extent) {
  Operation *op = value.getDefiningOp();
  RankedTensorType type = withOneDim(value.getType(), dims);
  if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
    SmallVector<OpFoldResult> sizes{extent};
    llvm::append_range(sizes, ArrayRef(empty.getMixedSizes()).drop_front(dims));
    return tensor::EmptyOp::create(b, op->getLoc(), sizes,
                                   type.getElementType());
  }
  if (auto fill = dyn_cast<linalg::FillOp>(op))
    return linalg::FillOp::create(b, op->getLoc(), fill.getInputs()[0],
                                  remake(fill.getDpsInits()[0], dims, extent))
        .getResult(0);
  rewriteLinalg(cast<linalg::LinalgOp>(op), dims, extent);
  Value result = made.lookup(value);
  // Another user may see it with other slots.
  made.erase(value);
  return result;
}

DictionaryAttr raise::describeGroup(const SlotSlice &slice, StringRef name,
                                    StringRef kind, ArrayRef<StringRef> notes) {
  Builder builder(slice.ops.front()->getContext());
  SmallVector<StringRef> nodes;
  auto add = [&](Operation *op) {
    StringRef node = nodeName(op->getLoc());
    if (isProduct(op) && !isa<gate::ApplyOp>(op) && !node.empty() &&
        !llvm::is_contained(nodes, node))
      nodes.push_back(node);
  };
  for (Operation *op : slice.ops)
    op->walk([&](Operation *inner) { add(inner); });
  NamedAttrList formed;
  formed.append("name", builder.getStringAttr(name));
  formed.append("nodes", builder.getStrArrayAttr(nodes));
  formed.append("notes", builder.getStrArrayAttr(notes));
  if (!kind.empty())
    formed.append("kind", builder.getStringAttr(kind));
  return formed.getDictionary(builder.getContext());
}

SmallVector<Value> raise::formSlotGroup(OpBuilder &b, Location loc,
                                        Value predicate, SlotBody &body,
                                        ValueRange yields, ValueRange bases,
                                        DictionaryAttr formed) {
  std::unique_ptr<Block> region(body.take(yields));
  auto plan = gate::PlanType::get(b.getContext(), 2, 1);
  auto partition = gate::PartitionOp::create(
      b, loc, plan, predicate, /*step=*/Value(), FlatSymbolRefAttr());
  partition->setAttr(kFormedAttr, formed);
  auto apply = gate::ApplyOp::create(
      b, loc, yields.getTypes(), partition.getPlan(), body.getInputs(),
      ValueRange(), b.getDenseI64ArrayAttr({0, 1}), 1);
  apply.getBodies()[0].push_back(region.release());
  SmallVector<Value> merged;
  for (auto [slots, base] : llvm::zip(apply.getResults(), bases))
    merged.push_back(gate::MergeOp::create(
        b, loc, base.getType(), slots, partition.getPlan(),
        b.getDenseI64ArrayAttr({0, 1}), base));
  return merged;
}
