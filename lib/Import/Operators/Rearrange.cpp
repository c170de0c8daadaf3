// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operators that put elements of the input at other places, or leave some out:
// Pad, CenterCropPad, DepthToSpace, SpaceToDepth, ReverseSequence,
// TensorScatter, Trilu, EyeLike.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// What Pad does along each dimension of its input.
struct Padding {
  StringRef mode;
  Extents before, shape;
};
} // namespace

static FailureOr<Padding> padding(GraphBuilder &g, const OperatorCall &call) {
  Extents shape = g.shapeOf(call.operand(0));
  int64_t rank = shape.size();
  std::optional<Extents> pads;
  if (call.version < 11) {
    if (auto given = call.integers("pads"))
      pads.emplace(given->begin(), given->end());
  } else if (call.operand(1)) {
    pads = g.runTimeInts(call.operand(1));
  }
  if (!pads)
    return g.fail("supports only a constant number of pads");
  Extents axes;
  for (int64_t axis = 0; axis < rank; ++axis)
    axes.push_back(Extent(axis));
  if (Value given = call.operand(3)) {
    auto known = g.runTimeInts(given);
    if (!known)
      return g.fail("supports only a constant number of axes");
    axes = *known;
  }
  size_t count = axes.size();
  if (pads->size() != 2 * count)
    return g.fail("expects two pads for each of " + Twine(count) +
                  " axes, got " + Twine(pads->size()));
  Padding result{call.string("mode", "constant"), Extents(rank, Extent(0)),
                 shape};
  if (!llvm::is_contained({"constant", "edge", "reflect", "wrap"}, result.mode))
    return g.fail("does not support the mode '" + result.mode + "'");
  DenseSet<int64_t> seen;
  for (const Extent &axis : axes)
    if (axis.isConstant() &&
        !seen.insert((axis.getConstant() + rank) % std::max<int64_t>(rank, 1))
             .second)
      return g.fail("expects axes that differ");
  ArrayRef<Extent> all = *pads;
  auto before = alongDimensions(g, axes, all.take_front(count), result.before),
       after = alongDimensions(g, axes, all.drop_front(count), result.before);
  if (failed(before) || failed(after))
    return failure();
  result.before = *before;
  for (int64_t axis = 0; axis < rank; ++axis) {
    const Extent &first = (*before)[axis], &last = (*after)[axis];
    Extent &size = result.shape[axis];
    if (result.mode != "constant" && size.isConstant(0) &&
        !(first.isConstant(0) && last.isConstant(0)))
      return g.fail("cannot pad an axis without elements with some of them");
    if (first.isConstant(0) && last.isConstant(0))
      continue;
    size = g.add(g.add(size, first), last);
    if (failed(g.requireSize(size, "the padded axis " + Twine(axis))))
      return failure();
  }
  return result;
}

/// Where the place `p` of the infinitely padded axis of `n` elements is read.
static Value paddedPlace(OpBuilder &at, Location loc, Value p, Value n,
                         StringRef mode) {
  Scalars s(at, loc);
  Value zero = s.like(p, 0), one = s.like(p, 1), last = s.sub(n, one);
  if (mode == "edge")
    return s.max(s.min(p, last), zero);
  Value period = mode == "wrap" ? n : s.mul(s.like(p, 2), last);
  Value safe = s.max(period, one);
  Value rest = arith::RemSIOp::create(at, loc, p, safe);
  rest = s.select(s.less(rest, zero), s.add(rest, safe), rest);
  if (mode == "wrap")
    return rest;
  return s.select(s.less(last, rest), s.sub(period, rest), rest);
}

OperatorResults gatecc::lowerPad(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Padding> pad = padding(g, call);
  if (failed(pad))
    return failure();
  Value input = call.operand(0), fill = call.operand(2);
  Type element = elementOf(input);
  Extents from = g.shapeOf(input);
  if (fill) {
    if (elementOf(fill) != element || !productOf(g.shapeOf(fill)).isOne())
      return g.fail(
          "expects a constant_value of one element of the input's type");
    FailureOr<Value> scalar = g.reshape(fill, {});
    if (failed(scalar))
      return failure();
    fill = *scalar;
  }
  SmallVector<Value> sizes, before;
  for (auto [extent, begin] : llvm::zip(from, pad->before)) {
    sizes.push_back(g.materialize(extent));
    before.push_back(g.materialize(begin));
  }
  double value = call.number("value", 0.0);
  return SmallVector<Value>{fillPlaces(
      g, pad->shape, element,
      [&](OpBuilder &at, Location loc, ValueRange indices) {
        Scalars s(at, loc);
        SmallVector<Value> places;
        for (auto [dim, index] : llvm::enumerate(indices)) {
          Value place = pad->before[dim].isConstant(0)
                            ? index
                            : s.sub(index, before[dim]);
          if (pad->mode != "constant" && pad->shape[dim] != from[dim])
            place = paddedPlace(at, loc, place, sizes[dim], pad->mode);
          places.push_back(place);
        }
        Value outside =
            fill ? tensor::ExtractOp::create(at, loc, fill, ValueRange())
                 : s.number(element, value);
        return readInside(at, loc, input, places, sizes, outside);
      })};
}

/// The middle of the input, or the input in the middle of zeros.
OperatorResults gatecc::lowerCenterCropPad(GraphBuilder &g,
                                           const OperatorCall &call) {
  Value input = call.operand(0);
  Extents from = g.shapeOf(input), axes;
  if (auto given = call.integers("axes"))
    axes.assign(given->begin(), given->end());
  else
    for (unsigned axis = 0; axis < from.size(); ++axis)
      axes.push_back(Extent(int64_t(axis)));
  auto wanted = g.runTimeInts(call.operand(1));
  if (!wanted || wanted->size() != axes.size())
    return g.fail("expects a size for each of " + Twine(axes.size()) + " axes");
  FailureOr<Extents> shape = alongDimensions(g, axes, *wanted, from);
  if (failed(shape))
    return failure();
  SmallVector<Value> sizes, before;
  for (auto [dim, size] : llvm::enumerate(*shape)) {
    if (failed(g.requireSize(size, "the size of axis " + Twine(dim))))
      return failure();
    sizes.push_back(g.materialize(from[dim]));
    Scalars s(g.getBuilder(), g.getLoc());
    Value more = s.sub(g.materialize(size), sizes.back());
    before.push_back(s.div(more, s.like(more, 2)));
  }
  return SmallVector<Value>{
      fillPlaces(g, *shape, elementOf(input),
                 [&](OpBuilder &at, Location loc, ValueRange indices) {
                   Scalars s(at, loc);
                   SmallVector<Value> places;
                   for (auto [index, shift] : llvm::zip(indices, before))
                     places.push_back(s.sub(index, shift));
                   return readInside(at, loc, input, places, sizes,
                                     s.number(elementOf(input), 0));
                 })};
}

OperatorResults gatecc::lowerDepthToSpace(GraphBuilder &g,
                                          const OperatorCall &call) {
  Value input = call.operand(0);
  Extents shape = g.shapeOf(input);
  if (shape.size() != 4)
    return g.fail("expects a tensor of rank 4, got " + g.text(shape));
  Extent block(call.integer("blocksize", 0));
  StringRef mode = call.string("mode", "DCR");
  if (block.getConstant() < 1 || (mode != "DCR" && mode != "CRD"))
    return g.fail("expects a blocksize above 0 and the mode DCR or CRD");
  bool toSpace = call.op == "DepthToSpace", blockFirst = mode == "DCR";
  if (toSpace) {
    std::optional<Extent> depth = shape[1].dividedBy(block * block);
    if (!depth)
      return g.fail("cannot divide " + g.text(shape[1]) + " channels by " +
                    g.text(block * block));
    Extents apart =
        blockFirst
            ? Extents{shape[0], block, block, *depth, shape[2], shape[3]}
            : Extents{shape[0], *depth, block, block, shape[2], shape[3]};
    FailureOr<Value> value = g.reshape(input, apart);
    if (failed(value))
      return failure();
    Value moved = blockFirst ? g.transpose(*value, {0, 3, 4, 1, 5, 2})
                             : g.transpose(*value, {0, 1, 4, 2, 5, 3});
    return one(g.reshape(
        moved, {shape[0], *depth, shape[2] * block, shape[3] * block}));
  }
  std::optional<Extent> height = shape[2].dividedBy(block),
                        width = shape[3].dividedBy(block);
  if (!height || !width)
    return g.fail("cannot divide " + g.text(shape[2]) + " and " +
                  g.text(shape[3]) + " by " + g.text(block));
  FailureOr<Value> value =
      g.reshape(input, {shape[0], shape[1], *height, block, *width, block});
  if (failed(value))
    return failure();
  Value moved = blockFirst ? g.transpose(*value, {0, 3, 5, 1, 2, 4})
                           : g.transpose(*value, {0, 1, 3, 5, 2, 4});
  return one(
      g.reshape(moved, {shape[0], shape[1] * block * block, *height, *width}));
}

OperatorResults gatecc::lowerReverseSequence(GraphBuilder &g,
                                             const OperatorCall &call) {
  Value input = call.operand(0), lengths = call.operand(1);
  Extents shape = g.shapeOf(input);
  FailureOr<int64_t> time =
      axisOf(g, call.integer("time_axis", 0), shape.size());
  FailureOr<int64_t> batch =
      axisOf(g, call.integer("batch_axis", 1), shape.size());
  if (failed(time) || failed(batch))
    return failure();
  if (g.shapeOf(lengths) != Extents{shape[*batch]} ||
      !elementOf(lengths).isSignlessInteger())
    return g.fail("expects an integer length for each of the " +
                  g.text(shape[*batch]) + " sequences");
  Value size = g.materialize(shape[*time]);
  return SmallVector<Value>{fillPlaces(
      g, shape, elementOf(input),
      [&](OpBuilder &at, Location loc, ValueRange indices) -> Value {
        Scalars s(at, loc);
        Value length =
            tensor::ExtractOp::create(at, loc, lengths, indices[*batch]);
        length = arith::IndexCastOp::create(at, loc, at.getIndexType(), length);
        length = s.min(length, size); // A place stays in the tensor.
        Value place = indices[*time];
        Value back = s.sub(s.sub(length, s.like(length, 1)), place);
        SmallVector<Value> places(indices);
        places[*time] = s.select(s.less(place, length), back, place);
        return tensor::ExtractOp::create(at, loc, input, places);
      })};
}

/// A cache with new elements from a place of each sample on.
OperatorResults gatecc::lowerTensorScatter(GraphBuilder &g,
                                           const OperatorCall &call) {
  Value cache = call.operand(0), update = call.operand(1),
        first = call.operand(2);
  Extents shape = g.shapeOf(cache), part = g.shapeOf(update);
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", -2), shape.size());
  if (failed(axis))
    return failure();
  StringRef mode = call.string("mode", "linear");
  if (mode != "linear" && mode != "circular")
    return g.fail("does not know the mode '" + mode + "'");
  bool fits = *axis > 0 && part.size() == shape.size() &&
              elementOf(update) == elementOf(cache);
  for (unsigned dim = 0; fits && dim < shape.size(); ++dim)
    fits = int64_t(dim) == *axis || shape[dim] == part[dim];
  if (!fits)
    return g.fail("expects an update of the cache's type and shape but for the "
                  "axis, which is not the first, got " +
                  g.text(part) + " for " + g.text(shape));
  if (failed(g.requireAtMost(part[*axis], shape[*axis],
                             "the update is longer than the cache")))
    return failure();
  if (first && (g.shapeOf(first) != Extents{shape[0]} ||
                !elementOf(first).isInteger(64)))
    return g.fail("expects an int64 in write_indices for each of the " +
                  g.text(shape[0]) + " samples");
  Value length = g.materialize(shape[*axis]);
  SmallVector<Value> sizes;
  for (const Extent &extent : part)
    sizes.push_back(g.materialize(extent));
  return SmallVector<Value>{fillPlaces(
      g, shape, elementOf(cache),
      [&](OpBuilder &at, Location loc, ValueRange indices) -> Value {
        Scalars s(at, loc);
        SmallVector<Value> places(indices);
        Value &place = places[*axis];
        if (first) {
          Value begin =
              tensor::ExtractOp::create(at, loc, first, indices.front());
          begin = arith::IndexCastOp::create(at, loc, at.getIndexType(), begin);
          place = s.sub(place, begin);
        }
        if (mode == "circular") {
          Value rest = arith::RemSIOp::create(at, loc, place, length);
          place = s.select(s.less(rest, s.like(rest, 0)), s.add(rest, length),
                           rest);
        }
        Value old = tensor::ExtractOp::create(at, loc, cache, indices);
        return readInside(at, loc, update, places, sizes, old);
      })};
}

/// The column of an element minus its row, as an i64.
static Value diagonal(OpBuilder &at, Location loc, Value row, Value column) {
  Value difference = Scalars(at, loc).sub(column, row);
  return arith::IndexCastOp::create(at, loc, at.getI64Type(), difference);
}

OperatorResults gatecc::lowerTrilu(GraphBuilder &g, const OperatorCall &call) {
  Value input = call.operand(0), offset = call.operand(1);
  unsigned rank = g.rankOf(input);
  if (rank < 2)
    return g.fail("expects a tensor of rank 2 or more");
  if (offset) {
    if (!elementOf(offset).isInteger(64) ||
        !productOf(g.shapeOf(offset)).isOne())
      return g.fail("expects one int64 as k");
    FailureOr<Value> scalar = g.reshape(offset, {});
    if (failed(scalar))
      return failure();
    offset = *scalar;
  }
  bool upper = call.integer("upper", 1) != 0;
  Type element = elementOf(input);
  AffineMap map = g.getBuilder().getMultiDimIdentityMap(rank);
  AffineMap maps[] = {map, map};
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  return g.generic(
      input, g.empty(g.shapeOf(input), element), maps, iterators,
      [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value d = diagonal(at, loc, linalg::IndexOp::create(at, loc, rank - 2),
                           linalg::IndexOp::create(at, loc, rank - 1));
        Value k = offset
                      ? tensor::ExtractOp::create(at, loc, offset, ValueRange())
                      : s.like(d, 0);
        Value kept = upper ? s.lessOrEqual(k, d) : s.lessOrEqual(d, k);
        return SmallVector<Value>{s.select(kept, x[0], s.number(element, 0))};
      });
}

OperatorResults gatecc::lowerEyeLike(GraphBuilder &g,
                                     const OperatorCall &call) {
  Value like = call.operand(0);
  if (g.rankOf(like) != 2)
    return g.fail("expects a matrix");
  Type element = elementOf(like);
  if (call.has("dtype"))
    element = elementOfNumber(g.getContext(), call.integer("dtype", 0));
  if (!element)
    return g.fail("does not support the ONNX data type " +
                  Twine(call.integer("dtype", 0)));
  int64_t k = call.integer("k", 0);
  return SmallVector<Value>{fillPlaces(
      g, g.shapeOf(like), element,
      [&](OpBuilder &at, Location loc, ValueRange indices) {
        Scalars s(at, loc);
        Value d = diagonal(at, loc, indices[0], indices[1]);
        Value wanted =
            arith::ConstantOp::create(at, loc, at.getI64IntegerAttr(k));
        return s.select(s.equal(d, wanted), s.number(element, 1),
                        s.number(element, 0));
      })};
}
