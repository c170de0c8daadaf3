// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operators that move elements without computing: Reshape, Transpose, Squeeze,
// Concat, Split, Slice, Expand, ...
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace gatecc;

/// Of a shape that is data, any element may be -1: it stands for what is left
/// of `from`. Returns the shape without it; `shape` has 1 there.
static Extents inferInRun(GraphBuilder &g, const Extents &from,
                          const Extents &wanted, Extents &shape) {
  SmallVector<Value> isInferred;
  for (auto [extent, size] : llvm::zip_equal(wanted, shape)) {
    isInferred.push_back(
        g.compare(arith::CmpIPredicate::eq, extent, Extent(-1)));
    size = g.choose(isInferred.back(), Extent(1), size);
  }
  Extent rest = g.quotient(productOf(from), productOf(shape));
  Extents result;
  for (auto [inferred, size] : llvm::zip_equal(isInferred, shape))
    result.push_back(g.choose(inferred, rest, size));
  return result;
}

OperatorResults gatecc::lowerReshape(GraphBuilder &g,
                                     const OperatorCall &call) {
  Extents from = g.shapeOf(call.operand(0));
  std::optional<Extents> wanted = g.runTimeInts(call.operand(1));
  if (!wanted)
    return g.fail("expects a shape of a known number of integers");
  bool allowZero = call.integer("allowzero", 0) != 0;
  bool isData = llvm::none_of(*wanted, [&](const Extent &extent) {
    return extent.isConstant() || g.isKnownSize(extent);
  });
  Extents shape;
  int64_t inferred = -1;
  for (auto [dim, extent] : llvm::enumerate(*wanted)) {
    if (extent.isConstant(-1)) {
      if (inferred >= 0)
        return g.fail("expects at most one -1 in the shape");
      inferred = dim;
      shape.push_back(Extent(1));
    } else if (extent.isConstant(0) && !allowZero) {
      if (dim >= from.size())
        return g.fail("the shape's 0 at position " + Twine(dim) +
                      " has no dimension to copy in " + g.text(from));
      shape.push_back(from[dim]);
    } else {
      Extent size = extent;
      if (!allowZero && !extent.isConstant() && !g.isKnownSize(extent) &&
          dim < from.size())
        size = g.choose(g.compare(arith::CmpIPredicate::eq, extent, Extent(0)),
                        from[dim], extent);
      if (!isData &&
          failed(g.requireSize(size, "the shape's extent " + Twine(dim))))
        return failure();
      shape.push_back(size);
    }
  }
  if (isData) {
    shape = inferInRun(g, from, *wanted, shape);
    for (auto [dim, size] : llvm::enumerate(shape))
      if (failed(g.requireSize(size, "the shape's extent " + Twine(dim))))
        return failure();
  }
  if (inferred >= 0) {
    Extent all = g.canonical(productOf(from), /*withConstants=*/true),
           others = g.canonical(productOf(shape), /*withConstants=*/true);
    std::optional<Extent> rest = all.dividedBy(others);
    if (!rest && (g.isDecidedInRun(all) || g.isDecidedInRun(others)))
      rest = g.quotient(all, others);
    if (!rest)
      return g.fail("cannot infer the -1 in a reshape of " + g.text(from) +
                    " to " + g.text(*wanted));
    shape[inferred] = *rest;
  }
  return one(g.reshape(call.operand(0), shape));
}

OperatorResults gatecc::lowerFlatten(GraphBuilder &g,
                                     const OperatorCall &call) {
  Extents from = g.shapeOf(call.operand(0));
  int64_t axis = call.integer("axis", 1), rank = from.size();
  if (axis < -rank || axis > rank)
    return g.fail("axis " + Twine(axis) + " is out of range");
  if (axis < 0)
    axis += rank;
  return one(
      g.reshape(call.operand(0), {productOf(ArrayRef(from).take_front(axis)),
                                  productOf(ArrayRef(from).drop_front(axis))}));
}

OperatorResults gatecc::lowerTranspose(GraphBuilder &g,
                                       const OperatorCall &call) {
  int64_t rank = g.rankOf(call.operand(0));
  auto permutation = call.integers("perm");
  if (!permutation) {
    permutation = llvm::to_vector(llvm::seq<int64_t>(0, rank));
    std::reverse(permutation->begin(), permutation->end());
  }
  for (int64_t &axis : *permutation) {
    FailureOr<int64_t> positive = axisOf(g, axis, rank);
    if (failed(positive))
      return failure();
    axis = *positive;
  }
  if (int64_t(permutation->size()) != rank ||
      !isPermutationVector(*permutation))
    return g.fail("perm is no permutation of the " + Twine(rank) +
                  " dimensions");
  return SmallVector<Value>{g.transpose(call.operand(0), *permutation)};
}

/// Axes from the attribute or the second input; null if neither is given.
static FailureOr<std::optional<SmallVector<int64_t>>>
givenAxes(GraphBuilder &g, const OperatorCall &call, int64_t rank) {
  std::optional<SmallVector<int64_t>> axes = call.integers("axes");
  if (Value operand = call.operand(1)) {
    axes = g.knownConstants(operand);
    if (!axes)
      return g.fail("expects axes that are constant");
  }
  if (axes)
    for (int64_t &axis : *axes) {
      FailureOr<int64_t> positive = axisOf(g, axis, rank);
      if (failed(positive))
        return failure();
      axis = *positive;
    }
  return axes;
}

static OperatorResults squeezed(GraphBuilder &g, const OperatorCall &call) {
  Extents from = g.shapeOf(call.operand(0)), shape;
  auto axes = givenAxes(g, call, from.size());
  if (failed(axes))
    return failure();
  for (auto [dim, extent] : llvm::enumerate(from)) {
    bool dropped =
        *axes ? llvm::is_contained(**axes, int64_t(dim)) : extent.isOne();
    if (dropped && !extent.isOne() && !g.isDecidedInRun(extent))
      return g.fail("cannot squeeze axis " + Twine(dim) + " of " +
                    g.text(from));
    if (!dropped)
      shape.push_back(extent);
  }
  return one(g.reshape(call.operand(0), shape));
}

OperatorResults gatecc::lowerSqueeze(GraphBuilder &g,
                                     const OperatorCall &call) {
  Extents from = g.shapeOf(call.operand(0));
  auto mayBeOne = [&](int64_t axis) {
    return from[axis].isOne() || g.isDecidedInRun(from[axis]);
  };
  return onRunTimeAxes(g, call, 1, /*addsAxes=*/false, squeezed, mayBeOne);
}

OperatorResults gatecc::lowerUnsqueeze(GraphBuilder &g,
                                       const OperatorCall &call) {
  Extents from = g.shapeOf(call.operand(0)), shape;
  std::optional<SmallVector<int64_t>> count = call.integers("axes");
  if (call.operand(1))
    count = g.knownConstants(call.operand(1));
  if (!count)
    return g.fail("expects axes that are constant");
  int64_t rank = from.size() + count->size();
  auto axes = givenAxes(g, call, rank);
  if (failed(axes))
    return failure();
  DenseSet<int64_t> unique((*axes)->begin(), (*axes)->end());
  if (unique.size() != count->size())
    return g.fail("expects axes that differ");
  const Extent *next = from.begin();
  for (int64_t dim = 0; dim < rank; ++dim)
    shape.push_back(unique.contains(dim) ? Extent(1) : *next++);
  return one(g.reshape(call.operand(0), shape));
}

OperatorResults gatecc::lowerConcat(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<int64_t> axis =
      axisOf(g, call.integer("axis", 1), g.rankOf(call.operand(0)));
  if (failed(axis))
    return failure();
  for (Value operand : call.operands)
    if (elementOf(operand) != elementOf(call.operand(0)))
      return g.fail("expects inputs of one element type");
  return one(g.concat(call.operands, *axis));
}

OperatorResults gatecc::lowerSplit(GraphBuilder &g, const OperatorCall &call) {
  Value input = call.operand(0);
  Extents shape = g.shapeOf(input), sizes;
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", 0), shape.size());
  if (failed(axis))
    return failure();
  Extent total = shape[*axis];
  if (Value operand = call.operand(1)) {
    std::optional<Extents> known = g.runTimeInts(operand);
    if (!known)
      return g.fail("expects a known number of sizes");
    sizes = *known;
  } else if (auto given = call.integers("split")) {
    for (int64_t size : *given)
      sizes.push_back(Extent(size));
  } else {
    int64_t parts = call.integer("num_outputs", call.numResults);
    if (parts < 1)
      return g.fail("expects at least one output");
    if (total.isConstant()) { // The last part may be smaller.
      int64_t size = (total.getConstant() + parts - 1) / parts,
              left = total.getConstant();
      for (int64_t part = 0; part < parts;
           ++part, left -= sizes.back().getConstant())
        sizes.push_back(Extent(std::min(size, std::max<int64_t>(left, 0))));
    } else {
      std::optional<Extent> size = total.dividedBy(Extent(parts));
      if (!size)
        return g.fail("cannot split " + g.text(total) + " into " +
                      Twine(parts) + " equal parts");
      sizes.assign(parts, *size);
    }
  }
  if (sizes.empty())
    return g.fail("expects at least one output");
  Extent sum(0);
  bool inRun = g.isDecidedInRun(total);
  for (auto [part, size] : llvm::enumerate(sizes)) {
    if (failed(g.requireSize(size, "the size of part " + Twine(part))))
      return failure();
    inRun |= g.isDecidedInRun(size);
  }
  // No part is larger than the axis; so their sum cannot overflow.
  if (inRun)
    for (Extent &size : sizes) {
      if (failed(g.requireAtMost(size, total, "a part is too large")))
        return failure();
      size = g.bounded(size, total);
    }
  for (const Extent &size : sizes)
    sum = g.add(sum, size);
  if (sum != total && !inRun)
    return g.fail("the sizes add up to " + g.text(sum) + ", but the axis has " +
                  g.text(total));
  if (failed(g.requireEqual(sum, total, "the sizes do not add up to the axis")))
    return failure();
  if (inRun && sum != total)
    g.knowSum(sizes, total);
  SmallVector<Value> results;
  sum = Extent(0);
  for (const Extent &size : sizes) {
    Extents offsets(shape.size(), Extent(0)), part = shape;
    offsets[*axis] = sum;
    part[*axis] = size;
    sum = g.add(sum, size);
    results.push_back(
        g.slice(input, offsets, part, SmallVector<int64_t>(shape.size(), 1)));
  }
  return results;
}

/// A slice that runs backwards along some axes: a read at computed positions.
static Value reversed(GraphBuilder &g, Value input, ArrayRef<int64_t> offsets,
                      ArrayRef<Extent> sizes, ArrayRef<int64_t> steps) {
  unsigned rank = sizes.size();
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  AffineMap map = g.getBuilder().getMultiDimIdentityMap(rank);
  Type element = elementOf(input);
  return g
      .generic({}, g.empty(sizes, element), map, iterators,
               [&](OpBuilder &at, Location loc, ValueRange) {
                 SmallVector<Value> indices;
                 for (unsigned dim = 0; dim < rank; ++dim) {
                   Value i = linalg::IndexOp::create(at, loc, dim);
                   Value step =
                       arith::ConstantIndexOp::create(at, loc, steps[dim]);
                   Value begin =
                       arith::ConstantIndexOp::create(at, loc, offsets[dim]);
                   i = arith::MulIOp::create(at, loc, i, step);
                   indices.push_back(arith::AddIOp::create(at, loc, i, begin));
                 }
                 return SmallVector<Value>{
                     tensor::ExtractOp::create(at, loc, input, indices)};
               })
      .front();
}

namespace {
/// What Slice is given; axes and steps may be known in the run only.
struct Bounds {
  Extents starts, ends, axes, steps;
};
} // namespace

/// A slice with axes, or steps, or a direction that the run decides: a read at
/// computed positions.
static OperatorResults slicedInRun(GraphBuilder &g, Value input,
                                   const Bounds &given) {
  Extents shape = g.shapeOf(input), none(shape.size(), Extent(0));
  Extents ones(shape.size(), Extent(1));
  auto starts = alongDimensions(g, given.axes, given.starts, none),
       ends = alongDimensions(g, given.axes, given.ends, shape),
       steps = alongDimensions(g, given.axes, given.steps, ones);
  if (failed(starts) || failed(ends) || failed(steps))
    return failure();
  OpBuilder &b = g.getBuilder();
  Location loc = g.getLoc();
  Scalars s(b, loc);
  Extents sizes;
  SmallVector<Value> offsets, strides;
  for (unsigned dim = 0; dim < shape.size(); ++dim) {
    Value n = g.materialize(shape[dim]), from = g.materialize((*starts)[dim]),
          to = g.materialize((*ends)[dim]), step = g.materialize((*steps)[dim]);
    Value zero = s.like(n, 0), one = s.like(n, 1), minus = s.like(n, -1);
    if (!(*steps)[dim].isConstant())
      g.check(
          arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, step, zero),
          "expects steps that are not 0", {});
    // Longer steps take one element, too.
    Value most = s.add(n, one);
    step = s.max(s.min(step, most), s.sub(zero, most));
    Value isBack = s.less(step, zero);
    Value low = s.select(isBack, minus, zero),
          high = s.select(isBack, s.sub(n, one), n);
    auto clamped = [&](Value place) {
      place = s.select(s.less(place, zero), s.add(place, n), place);
      return s.max(s.min(place, high), low);
    };
    from = clamped(from);
    to = clamped(to);
    Value distance = s.select(isBack, s.sub(from, to), s.sub(to, from));
    Value stride = s.select(isBack, s.sub(zero, step), step);
    stride = s.max(stride, one);
    Value count = arith::CeilDivSIOp::create(b, loc, distance, stride);
    count = gate::BoundOp::create(b, loc, s.max(count, zero), n);
    offsets.push_back(from);
    strides.push_back(step);
    sizes.push_back(
        g.opaqueSymbol((g.getNodeName() + "_d" + Twine(dim)).str(), count));
  }
  return SmallVector<Value>{fillPlaces(
      g, sizes, elementOf(input),
      [&](OpBuilder &at, Location where, ValueRange places) -> Value {
        Scalars t(at, where);
        SmallVector<Value> indices;
        for (auto [place, offset, stride] : llvm::zip(places, offsets, strides))
          indices.push_back(t.add(offset, t.mul(place, stride)));
        return tensor::ExtractOp::create(at, where, input, indices);
      })};
}

OperatorResults gatecc::lowerSlice(GraphBuilder &g, const OperatorCall &call) {
  Value input = call.operand(0);
  Extents shape = g.shapeOf(input);
  int64_t rank = shape.size();
  Extents starts, ends;
  SmallVector<int64_t> axes, steps;
  if (call.version < 10) {
    auto begin = call.integers("starts"), end = call.integers("ends");
    if (!begin || !end)
      return g.fail("expects the attributes starts and ends");
    starts.assign(begin->begin(), begin->end());
    ends.assign(end->begin(), end->end());
    if (auto given = call.integers("axes"))
      axes = *given;
  } else {
    if (!call.operand(1) || !call.operand(2))
      return g.fail("expects the inputs starts and ends");
    auto begin = g.runTimeInts(call.operand(1)),
         end = g.runTimeInts(call.operand(2));
    if (!begin || !end)
      return g.fail("expects a known number of bounds");
    starts = *begin;
    ends = *end;
    Bounds inRun{starts, ends, {}, {}};
    for (size_t i = 0; i < starts.size(); ++i) {
      inRun.axes.push_back(Extent(int64_t(i)));
      inRun.steps.push_back(Extent(1));
    }
    bool isConstant = true;
    for (auto [operand, list, ints] :
         {std::tuple(call.operand(3), &axes, &inRun.axes),
          {call.operand(4), &steps, &inRun.steps}}) {
      if (!operand)
        continue;
      auto given = g.runTimeInts(operand);
      if (!given)
        return g.fail("expects a known number of axes and steps");
      *ints = *given;
      if (auto known = g.knownConstants(operand))
        *list = *known;
      else
        isConstant = false;
    }
    if (!isConstant) {
      if (ends.size() != starts.size() || inRun.axes.size() != starts.size() ||
          inRun.steps.size() != starts.size())
        return g.fail("expects equally many starts, ends, axes and steps");
      return slicedInRun(g, input, inRun);
    }
  }
  if (axes.empty())
    axes = llvm::to_vector(llvm::seq<int64_t>(0, starts.size()));
  if (steps.empty())
    steps.assign(starts.size(), 1);
  if (starts.size() != ends.size() || axes.size() != starts.size() ||
      steps.size() != starts.size())
    return g.fail("expects equally many starts, ends, axes and steps");
  auto bounds = [&] {
    return Bounds{starts, ends, Extents(axes.begin(), axes.end()),
                  Extents(steps.begin(), steps.end())};
  };
  Extents offsets(rank, Extent(0)), sizes = shape;
  SmallVector<int64_t> strides(rank, 1);
  bool backwards = false;
  for (auto &&[start, end, given, step] :
       llvm::zip(starts, ends, axes, steps)) {
    FailureOr<int64_t> axis = axisOf(g, given, rank);
    if (failed(axis))
      return failure();
    if (step == 0 || step == std::numeric_limits<int64_t>::min())
      return g.fail("expects steps that are not 0");
    const Extent &size = shape[*axis];
    strides[*axis] = step;
    if (size.isConstant() && start.isConstant() && end.isConstant()) {
      int64_t n = size.getConstant(), from = start.getConstant(),
              to = end.getConstant();
      step = std::clamp(step, -n - 1,
                        n + 1); // Longer steps take one element, too.
      strides[*axis] = step;
      from = from < 0 ? std::max<int64_t>(from, -n - 1) + n : from;
      to = to < 0 ? std::max<int64_t>(to, -n - 1) + n : to;
      int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
      from = std::clamp(from, step < 0 ? int64_t(0) : low,
                        std::max<int64_t>(high, 0));
      to = std::clamp(to, low, std::max<int64_t>(high, low));
      int64_t count = step > 0 ? (to - from + step - 1) / step
                               : (from - to - step - 1) / -step;
      if (step > 0 ? to <= from : to >= from)
        count = 0;
      if (n == 0)
        count = 0;
      offsets[*axis] = Extent(count ? from : 0);
      sizes[*axis] = Extent(count);
      backwards |= step < 0 && count > 0;
      if (count == 0)
        strides[*axis] = 1;
      continue;
    }
    if (step < 0)
      return slicedInRun(g, input, bounds());
    auto bound = [&](const Extent &value) {
      if (value.isConstant() &&
          value.getConstant() >= std::numeric_limits<int32_t>::max())
        return size; // the exporters' "to the end"
      return g.minimum(g.maximum(g.fromEither(value, size), Extent(0)), size);
    };
    Extent from = bound(start), to = bound(end);
    sizes[*axis] =
        g.ceilDivide(g.maximum(g.subtract(to, from), Extent(0)), step);
    sizes[*axis] = g.bounded(sizes[*axis], size);
    offsets[*axis] = from;
  }
  if (backwards) {
    SmallVector<int64_t> begin;
    for (const Extent &offset : offsets) {
      if (!offset.isConstant())
        return slicedInRun(g, input, bounds());
      begin.push_back(offset.getConstant());
    }
    return SmallVector<Value>{reversed(g, input, begin, sizes, strides)};
  }
  return SmallVector<Value>{g.slice(input, offsets, sizes, strides)};
}

OperatorResults gatecc::lowerExpand(GraphBuilder &g, const OperatorCall &call) {
  std::optional<Extents> shape = g.runTimeInts(call.operand(1));
  if (!shape)
    return g.fail("expects a shape of a known number of integers");
  for (const Extent &extent : *shape)
    if (failed(g.requireSize(extent, "an extent of the shape")))
      return failure();
  Value input = call.operand(0);
  // An extent that the run finds to be 1 leaves the input's as it is.
  Extents from = g.shapeOf(input);
  for (unsigned i = 1; i <= std::min(from.size(), shape->size()); ++i) {
    const Extent &have = from[from.size() - i];
    Extent &want = (*shape)[shape->size() - i];
    if (have.isOne() || want.isConstant() || have == want ||
        (!g.isDecidedInRun(have) && !g.isDecidedInRun(want)))
      continue;
    Value fits = g.getBuilder().createOrFold<arith::OrIOp>(
        g.getLoc(), g.compare(arith::CmpIPredicate::eq, want, Extent(1)),
        g.compare(arith::CmpIPredicate::eq, want, have));
    g.check(fits, "cannot expand {0} to {1}", {have, want});
    want = have;
  }
  FailureOr<Extents> result = g.broadcast({from, *shape});
  if (failed(result))
    return failure();
  if (*result == g.shapeOf(input))
    return SmallVector<Value>{input};
  return one(g.elementwise(
      input, elementOf(input),
      [](OpBuilder &, Location, ValueRange x) { return x.front(); }, *result));
}
