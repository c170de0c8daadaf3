// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows experts, tokens and columns through ops that move elements.
#include "ExpertLanes.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

bool raise::areSameAxes(const Axes &a, const Axes &b) {
  return llvm::equal(a, b, [](const Axis &left, const Axis &right) {
    return left.kind == right.kind && left.first == right.first &&
           left.last == right.last;
  });
}

bool Lanes::has(Axis::Kind kind) const {
  return llvm::any_of(dims, [&](const Axes &axes) {
    return llvm::any_of(axes, [&](const Axis &a) { return a.kind == kind; });
  });
}

bool Lanes::hasAllTokens() const {
  uint64_t total = 0;
  for (const Axes &axes : dims)
    for (const Axis &axis : axes)
      if (axis.kind == Axis::Token)
        total += axis.last - axis.first;
  return total == kAllTokens;
}

std::optional<unsigned> Lanes::leadingRowDims(uint64_t &last) const {
  unsigned count = 0;
  bool hasOthers = false;
  last = 0;
  for (auto [dim, axes] : llvm::enumerate(dims))
    for (const Axis &axis : axes) {
      if (axis.kind == Axis::Token) {
        if (hasOthers || axis.first != last)
          return std::nullopt;
        last = axis.last;
        count = dim + 1;
        continue;
      }
      // Others come first, or share a dimension with tokens.
      if (last == 0 || count == dim + 1)
        return std::nullopt;
      hasOthers = true;
    }
  return last != 0 ? std::optional(count) : std::nullopt;
}

std::optional<unsigned> Lanes::rowDims() const {
  uint64_t last;
  std::optional<unsigned> count = leadingRowDims(last);
  return last == kAllTokens ? count : std::nullopt;
}

void Lanes::mergeEqual() {
  if (values.size() > 1 && llvm::all_equal(values))
    values.truncate(1);
}

std::string Lanes::key(const Columns &columns) const {
  std::string key;
  llvm::raw_string_ostream os(key);
  os << front().getAsOpaquePointer() << ' ' << values.size() << ' '
     << columns.offset << ' ' << columns.size << ' ' << columns.step;
  for (const Axes &axes : dims) {
    os << ';';
    for (const Axis &axis : axes)
      os << axis.kind << ' ' << axis.first << ' ' << axis.last << ',';
  }
  return key;
}

Lanes Lanes::operand(unsigned number, SmallVector<Axes> operandDims) const {
  Lanes result;
  result.dims = std::move(operandDims);
  for (Value value : values)
    result.values.push_back(value.getDefiningOp()->getOperand(number));
  result.mergeEqual();
  return result;
}

std::optional<SmallVector<Axes>> raise::axesOf(AffineMap map,
                                               ArrayRef<Axes> loops) {
  SmallVector<Axes> dims;
  for (AffineExpr expr : map.getResults()) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (!loop && expr != getAffineConstantExpr(0, map.getContext()))
      return std::nullopt;
    dims.push_back(loop ? loops[loop.getPosition()] : Axes());
  }
  return dims;
}

std::optional<SmallVector<Axes>> raise::loopAxes(linalg::GenericOp op,
                                                 const Lanes &result) {
  SmallVector<Axes> loops(op.getNumLoops());
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  for (auto [expr, axes] : llvm::zip_equal(map.getResults(), result.dims)) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (!loop)
      return std::nullopt;
    loops[loop.getPosition()] = axes;
  }
  return loops;
}

/// Whether dimension `dim` of `tensor` has the extent of an axis.
static bool hasExtent(Value tensor, int64_t dim, const Axis &axis) {
  if (axis.kind != Axis::Token && axis.kind != Axis::Slot)
    return typeOf(tensor).getDimSize(dim) == axis.size;
  return haveSameExtent(tensor, dim, axis.tensor, axis.dim);
}

/// The factors of one dimension, given to the dimensions `group` of the tensor
/// that it was collapsed from.
static bool distribute(const Axes &axes, Value tensor, ArrayRef<int64_t> group,
                       MutableArrayRef<Axes> dims) {
  SmallVector<int64_t> real;
  for (int64_t dim : group)
    if (typeOf(tensor).getDimSize(dim) != 1)
      real.push_back(dim);
  if (real.size() == 1) {
    dims[real.front()] = axes;
    return true;
  }
  // One each from both ends; what is left has as many elements, since all do:
  // one factor is one dimension, and tokens may be cut in another way.
  unsigned front = 0, back = 0;
  size_t count = std::min(real.size(), axes.size());
  auto isToken = [](const Axis &axis) { return axis.kind == Axis::Token; };
  auto takes = [&](int64_t dim, const Axis &axis) {
    if (!hasExtent(tensor, dim, axis))
      return false;
    dims[dim] = {axis};
    return true;
  };
  while (front < count && takes(real[front], axes[front]))
    ++front;
  while (front + back < count &&
         takes(real[real.size() - 1 - back], axes[axes.size() - 1 - back]))
    ++back;
  ArrayRef<Axis> left = ArrayRef(axes).drop_front(front).drop_back(back);
  ArrayRef<int64_t> open = ArrayRef(real).drop_front(front).drop_back(back);
  if (left.empty() && open.empty())
    return true;
  if (left.size() == 1 && open.size() == 1) {
    dims[open.front()] = {left.front()};
    return true;
  }
  if (!llvm::all_of(left, isToken) || left.empty() || open.empty())
    return false;
  if (open.size() == 1) {
    dims[open.front()].assign(left.begin(), left.end());
    return true;
  }
  uint64_t width = (left.front().last - left.front().first) / open.size();
  if (left.size() != 1 || width == 0)
    return false;
  uint64_t first = left.front().first;
  for (int64_t dim : open) {
    uint64_t last = dim == open.back() ? left.front().last : first + width;
    dims[dim] = {Axis{Axis::Token, typeOf(tensor).getDimSize(dim), first, last,
                      tensor, dim}};
    first = last;
  }
  return true;
}

/// The lanes of a slice's source. Slices of one tensor at one place for each
/// expert are the experts' parts of a dimension.
static std::optional<Lanes> movedFromSlice(const Lanes &lanes,
                                           Columns &columns) {
  auto first = cast<tensor::ExtractSliceOp>(lanes.front().getDefiningOp());
  RankedTensorType type = first.getSourceType();
  SmallVector<tensor::ExtractSliceOp> slices;
  for (Value value : lanes.values) {
    auto slice = cast<tensor::ExtractSliceOp>(value.getDefiningOp());
    if (slice.getSourceType() != type || slice.getType() != first.getType() ||
        slice.getDroppedDims() != first.getDroppedDims() ||
        slice.getStaticStrides() != first.getStaticStrides())
      return std::nullopt;
    slices.push_back(slice);
  }
  bool isOne = llvm::all_equal(
      llvm::map_range(slices, [](auto slice) { return slice.getSource(); }));
  int64_t count = slices.size();
  Lanes source;
  bool isMerged = false;
  auto dropped = first.getDroppedDims();
  for (unsigned dim = 0, next = 0; dim < type.getRank(); ++dim) {
    Axes axes = dropped.test(dim) ? Axes() : lanes.dims[next++];
    int64_t size = first.getStaticSizes()[dim],
            step = first.getStaticStrides()[dim];
    auto offset = [&](unsigned lane) {
      return slices[lane].getStaticOffsets()[dim];
    };
    bool isWhole = step == 1 && llvm::all_of(slices, [&](auto slice) {
                     return slice.getStaticOffsets()[dim] == 0 &&
                            isWholeSize(slice.getMixedSizes()[dim],
                                        slice.getSource(), dim);
                   });
    if (isWhole) {
      source.dims.push_back(axes);
      continue;
    }
    for (unsigned lane = 0; lane < count; ++lane)
      if (ShapedType::isDynamic(offset(lane)) || ShapedType::isDynamic(size) ||
          ShapedType::isDynamic(step))
        return std::nullopt;
    bool isPerExpert = count > 1 && isOne && !isMerged && step == 1 &&
                       type.getDimSize(dim) == count * size;
    for (int64_t lane = 0; lane < count && isPerExpert; ++lane)
      isPerExpert = offset(lane) == lane * size;
    if (isPerExpert) {
      isMerged = true;
      axes.insert(axes.begin(), Axis{Axis::Expert, count});
      source.dims.push_back(axes);
      continue;
    }
    for (unsigned lane = 1; lane < count; ++lane)
      if (offset(lane) != offset(0))
        return std::nullopt;
    // Some columns: those that are known to be, or one of a dimension.
    bool isColumns = axes.size() == 1 && axes.front().kind == Axis::Column;
    if (!isColumns && (!axes.empty() || lanes.has(Axis::Column)))
      return std::nullopt;
    columns.offset = offset(0) + columns.offset * step;
    columns.step *= step;
    source.dims.push_back({Axis{Axis::Column, type.getDimSize(dim)}});
  }
  for (auto slice : slices)
    source.values.push_back(slice.getSource());
  if (count > 1 && isOne && !isMerged)
    return std::nullopt;
  source.mergeEqual();
  return source;
}

/// Parts for each expert that one tensor joins.
static std::optional<Lanes> movedFromConcat(Lanes lanes) {
  auto concat = cast<tensor::ConcatOp>(lanes.front().getDefiningOp());
  Axes &axes = lanes.dims[concat.getDim()];
  if (lanes.values.size() != 1 || axes.empty() ||
      axes.front().kind != Axis::Expert ||
      axes.front().size != int64_t(concat.getInputs().size()) ||
      !llvm::all_equal(concat.getInputs().getTypes()))
    return std::nullopt;
  axes.erase(axes.begin());
  lanes.values.assign(concat.getInputs().begin(), concat.getInputs().end());
  lanes.mergeEqual();
  return lanes;
}

static std::optional<Lanes> movedFromView(const Lanes &lanes) {
  Operation *op = lanes.front().getDefiningOp();
  SmallVector<Axes> dims;
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    for (const ReassociationIndices &group : expand.getReassociationIndices()) {
      Axes &axes = dims.emplace_back();
      for (int64_t dim : group)
        axes.append(lanes.dims[dim]);
    }
    return lanes.operand(0, dims);
  }
  auto collapse = cast<tensor::CollapseShapeOp>(op);
  dims.resize(collapse.getSrcType().getRank());
  for (auto [axes, group] :
       llvm::zip_equal(lanes.dims, collapse.getReassociationIndices()))
    if (!axes.empty() && !distribute(axes, collapse.getSrc(), group, dims))
      return std::nullopt;
  return lanes.operand(0, dims);
}

/// Whether the values are results of one kind of op, of one type, from one
/// type.
static bool areAlike(ArrayRef<Value> values) {
  Operation *first = values.front().getDefiningOp();
  return llvm::all_of(values, [&](Value value) {
    Operation *op = value.getDefiningOp();
    return op && op->getName() == first->getName() &&
           op->getNumOperands() == first->getNumOperands() &&
           value.getType() == values.front().getType() &&
           (op->getNumOperands() == 0 ||
            op->getOperand(0).getType() == first->getOperand(0).getType());
  });
}

std::optional<Lanes> raise::movedFrom(Lanes lanes, Columns &columns,
                                      bool keepsTokens) {
  lanes.mergeEqual();
  Operation *op = lanes.front().getDefiningOp();
  if (!op || !areAlike(lanes.values))
    return std::nullopt;
  if (isa<tensor::ExtractSliceOp>(op))
    return movedFromSlice(lanes, columns);
  if (isa<tensor::ConcatOp>(op))
    return movedFromConcat(lanes);
  if (isa<tensor::CastOp>(op))
    return lanes.operand(0, lanes.dims);
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op)) {
    bool isSame = llvm::all_of(lanes.values, [&](Value value) {
      return value.getDefiningOp()->getAttrDictionary() ==
             op->getAttrDictionary();
    });
    return isSame ? movedFromView(lanes) : std::nullopt;
  }
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    SmallVector<Axes> dims(lanes.dims.size());
    for (auto [to, from] : llvm::enumerate(transpose.getPermutation()))
      dims[from] = lanes.dims[to];
    for (Value value : lanes.values)
      if (value.getDefiningOp<linalg::TransposeOp>().getPermutation() !=
          transpose.getPermutation())
        return std::nullopt;
    return lanes.operand(0, dims);
  }
  if (!matchBroadcast(lanes.front()))
    return std::nullopt;
  auto generic = cast<linalg::GenericOp>(op);
  for (Value value : lanes.values)
    if (!matchBroadcast(value) ||
        value.getDefiningOp<linalg::GenericOp>().getIndexingMaps() !=
            generic.getIndexingMaps())
      return std::nullopt;
  std::optional<SmallVector<Axes>> loops = loopAxes(generic, lanes);
  std::optional<SmallVector<Axes>> dims =
      loops ? axesOf(
                  generic.getMatchingIndexingMap(generic.getDpsInputOperand(0)),
                  *loops)
            : std::nullopt;
  if (!dims)
    return std::nullopt;
  Lanes source = lanes.operand(0, *dims);
  if (keepsTokens && lanes.has(Axis::Token) && !source.hasAllTokens())
    return std::nullopt;
  if (!source.has(Axis::Column))
    columns = {0, 1, 1};
  return source;
}

//===-- Results -----------------------------------------------------------===//

std::optional<RowShape> raise::rowShapeOf(Operation *op) {
  if (op->getNumResults() != 1)
    return std::nullopt;
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !gate::computedIn(type.getElementType()).isF32())
    return std::nullopt;
  SmallVector<int64_t> real;
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    if (type.getDimSize(dim) != 1)
      real.push_back(dim);
  if (real.size() < 2 || real.size() > 8 || type.isDynamicDim(real.back()))
    return std::nullopt;
  RowShape shape;
  shape.op = op;
  shape.dims.resize(type.getRank());
  shape.dims[real.back()] = {Axis{Axis::Column, type.getDimSize(real.back())}};
  uint64_t count = real.size() - 1, width = kAllTokens / count;
  for (uint64_t part = 0; part < count; ++part) {
    int64_t dim = real[part];
    uint64_t last = part + 1 == count ? kAllTokens : (part + 1) * width;
    shape.dims[dim] = {Axis{Axis::Token, type.getDimSize(dim), part * width,
                            last, op->getResult(0), dim}};
  }
  shape.rowDims = real[count - 1] + 1;
  return shape;
}

SmallVector<OpFoldResult> RowShape::sizes(OpBuilder &b, Location loc) const {
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return tensor::getMixedSizes(b, loc, generic.getDpsInitOperand(0)->get());
  // Rows as the indices have, and what a row of the data has.
  auto gather = cast<gate::GatherNDOp>(op);
  SmallVector<OpFoldResult> sizes =
      tensor::getMixedSizes(b, loc, gather.getIndices());
  sizes.pop_back();
  SmallVector<OpFoldResult> data =
      tensor::getMixedSizes(b, loc, gather.getData());
  unsigned width = typeOf(gather.getResult()).getRank() - sizes.size();
  sizes.append(data.end() - width, data.end());
  return sizes;
}
