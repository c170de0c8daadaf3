// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Resize and Upsample: one axis after another. Of each place along the resized
// axis, tables say which places of the input count for it, and how much:
//   y[.., j, ..] = sum over t of weights[j, t] * x[.., indices[j, t], ..]
// They are computed in the run, as scales and sizes may be data.
#include "lib/Import/Operators/Resize.h"

#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;

/// No size or index is larger; all below are exact in f64.
static constexpr double most = double(int64_t(1) << 50);

namespace {
/// Builds scalars of f64 and index outside of any body.
class Numbers : public Scalars {
public:
  Numbers(OpBuilder &builder, Location loc)
      : Scalars(builder, loc), b(builder), loc(loc) {}

  Value f64(double value) { return number(b.getF64Type(), value); }
  Value ofIndex(Value index) {
    index = arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
    return arith::SIToFPOp::create(b, loc, b.getF64Type(), index);
  }
  /// Of a number in [-most, most].
  Value toInteger(Value x) {
    return arith::FPToSIOp::create(b, loc, b.getI64Type(), x);
  }
  /// Rounded down; what is no number, or out of range, becomes a bound.
  Value floorBetween(Value x, Value low, Value high) {
    x = math::FloorOp::create(b, loc, x);
    return arith::MinNumFOp::create(
        b, loc, arith::MaxNumFOp::create(b, loc, x, low), high);
  }
  Value floor(Value x) { return math::FloorOp::create(b, loc, x); }
  Value both(Value a, Value c) { return arith::AndIOp::create(b, loc, a, c); }

private:
  OpBuilder &b;
  Location loc;
};

/// One axis to resize. Scalars are of f64.
struct Axis {
  int64_t number;
  Extent from, to;
  Value scale;
  std::optional<double> knownScale;
  Value begin, end; // of the region of interest, if there is one
};

/// How places along an axis are found and weighed.
struct Method {
  StringRef mode, coordinates, nearest;
  double cubic = -0.75, extrapolation = 0;
  bool antialias = false, excludesOutside = false;

  bool crops() const { return coordinates == "tf_crop_and_resize"; }
};
} // namespace

/// The place in the input that place `j` of the output stands for.
static Value sourcePlace(Numbers &s, const Method &method, const Axis &axis,
                         Value from, Value to, Value j) {
  Value one = s.f64(1), half = s.f64(0.5), width = s.mul(axis.scale, from);
  Value last = s.sub(from, one);
  Value isOne = s.equal(width, one);
  auto stretched = [&] { return s.div(last, s.sub(width, one)); };
  if (method.coordinates == "align_corners")
    return s.select(isOne, s.f64(0), s.mul(j, stretched()));
  if (method.coordinates == "asymmetric")
    return s.div(j, axis.scale);
  if (method.crops()) {
    Value range = s.sub(axis.end, axis.begin);
    Value inside = s.select(isOne, s.mul(s.mul(range, last), half),
                            s.mul(s.mul(j, range), stretched()));
    return s.add(inside, s.mul(axis.begin, last));
  }
  Value place = s.sub(s.div(s.add(j, half), axis.scale), half);
  if (method.coordinates == "pytorch_half_pixel")
    return s.select(isOne, s.f64(-0.5), place);
  if (method.coordinates == "half_pixel_symmetric") {
    Value adjustment = s.div(to, width);
    Value offset = s.mul(s.mul(from, half), s.sub(one, adjustment));
    return s.add(offset, place);
  }
  return place;
}

/// How much an input at a distance counts, before all weights of a place are
/// made to sum up to 1. `ratio` in (0, 1] is the distance of what lies left of
/// a place, `tap` the number of an input among those of the place.
static Value weightOf(Numbers &s, const Method &method, Value ratio, Value tap,
                      Value first, Value scale) {
  Value one = s.f64(1);
  if (method.mode == "nearest") {
    Value half = s.f64(0.5), right;
    if (method.nearest == "floor")
      right = s.equal(ratio, one);
    else if (method.nearest == "ceil")
      right = s.equal(one, one);
    else if (method.nearest == "round_prefer_ceil")
      right = s.lessOrEqual(half, ratio);
    else
      right = s.less(half, ratio);
    Value weight = s.select(right, one, s.f64(0));
    return s.select(s.equal(tap, one), weight, s.sub(one, weight));
  }
  Value distance = s.abs(s.mul(s.sub(s.add(first, tap), ratio), scale));
  if (method.mode == "linear")
    return s.max(s.sub(one, distance), s.f64(0));
  Value a = s.f64(method.cubic), square = s.mul(distance, distance),
        cube = s.mul(square, distance);
  Value near = s.add(
      s.sub(s.mul(s.add(a, s.f64(2)), cube), s.mul(s.add(a, s.f64(3)), square)),
      one);
  Value far = s.mul(a, s.sub(s.add(s.sub(cube, s.mul(s.f64(5), square)),
                                   s.mul(s.f64(8), distance)),
                             s.f64(4)));
  Value wide = s.select(s.less(distance, s.f64(2)), far, s.f64(0));
  return s.select(s.lessOrEqual(distance, one), near, wide);
}

/// How many inputs count for a place, with the number of the first one relative
/// to what lies left of the place.
static std::pair<Extent, Value> tapsOf(GraphBuilder &g, Numbers &s,
                                       const Method &method, const Axis &axis) {
  double support = method.mode == "cubic" ? 2 : 1;
  double scale = method.antialias ? 0 : 1; // where it is not known
  if (method.antialias && axis.knownScale)
    scale = std::min(*axis.knownScale, 1.0);
  if (scale > 0) {
    double first = std::floor(-support / scale) + 1;
    return {Extent(int64_t(2 - 2 * first)), s.f64(first)};
  }
  Value narrow = s.min(axis.scale, s.f64(1));
  Value first = s.add(
      s.floorBetween(s.div(s.f64(-support), narrow), s.f64(-most), s.f64(0)),
      s.f64(1));
  Value count = s.toInteger(s.sub(s.f64(2), s.mul(s.f64(2), first)));
  Value size = arith::IndexCastOp::create(g.getBuilder(), g.getLoc(),
                                          g.getBuilder().getIndexType(), count);
  return {g.opaqueSymbol("taps of " + g.getNodeName().str(), size), first};
}

/// The result of a body that is computed for each element of `shape`.
static SmallVector<Value>
computed(GraphBuilder &g, ValueRange inputs, ArrayRef<AffineMap> maps,
         const Extents &shape, ArrayRef<Type> elements,
         function_ref<SmallVector<Value>(Numbers &, OpBuilder &, Location,
                                         ValueRange)>
             body) {
  SmallVector<AffineMap> all(maps);
  SmallVector<Value> inits;
  for (Type element : elements) {
    inits.push_back(g.empty(shape, element));
    all.push_back(g.getBuilder().getMultiDimIdentityMap(shape.size()));
  }
  return g.generic(inputs, inits, all,
                   SmallVector<utils::IteratorType>(
                       shape.size(), utils::IteratorType::parallel),
                   [&](OpBuilder &at, Location loc, ValueRange x) {
                     Numbers s(at, loc);
                     return body(s, at, loc, x);
                   });
}

/// weights and indices [to, taps] of an axis.
static std::pair<Value, Value> tablesOf(GraphBuilder &g, const Method &method,
                                        const Axis &axis, Value places) {
  OpBuilder &b = g.getBuilder();
  Numbers s(b, g.getLoc());
  Extent taps;
  Value first;
  std::tie(taps, first) = tapsOf(g, s, method, axis);
  Value scale = method.antialias ? s.min(axis.scale, s.f64(1)) : s.f64(1);
  Value from = s.ofIndex(g.materialize(axis.from));
  AffineMap row = AffineMap::get(2, 0, b.getAffineDimExpr(0));
  SmallVector<Value> tables = computed(
      g, places, row, {axis.to, taps}, {b.getF64Type(), b.getI64Type()},
      [&](Numbers &s, OpBuilder &at, Location loc, ValueRange x) {
        Value tap = s.ofIndex(linalg::IndexOp::create(at, loc, 1));
        // What lies left of the place, at a distance in (0, 1].
        Value left = s.sub(s.neg(s.floor(s.neg(x[0]))), s.f64(1));
        Value index = s.add(left, s.add(first, tap));
        Value weight =
            weightOf(s, method, s.sub(x[0], left), tap, first, scale);
        if (method.excludesOutside) {
          Value inside =
              s.both(s.lessOrEqual(s.f64(0), index), s.less(index, from));
          weight = s.select(inside, weight, s.f64(0));
        }
        // Of an input without elements nothing is read.
        Value last = s.max(s.sub(from, s.f64(1)), s.f64(0));
        return SmallVector<Value>{
            weight, s.toInteger(s.floorBetween(index, s.f64(0), last))};
      });
  if (!method.excludesOutside && !method.antialias)
    return {tables[0], tables[1]};
  Value sums =
      g.reduce(tables[0], {1}, /*keepDims=*/false, g.scalar(b.getF64Type(), 0),
               [](OpBuilder &at, Location loc, ValueRange x) {
                 return Scalars(at, loc).add(x[0], x[1]);
               });
  Value weights =
      computed(g, {tables[0], sums}, {b.getMultiDimIdentityMap(2), row},
               {axis.to, taps}, {b.getF64Type()},
               [](Numbers &s, OpBuilder &, Location, ValueRange x) {
                 Value some = s.select(s.equal(x[1], s.f64(0)), s.f64(1), x[1]);
                 return SmallVector<Value>{s.div(x[0], some)};
               })
          .front();
  return {weights, tables[1]};
}

/// `input` with the element type of sums.
static Value resizeAxis(GraphBuilder &g, const Method &method, const Axis &axis,
                        Value input) {
  OpBuilder &b = g.getBuilder();
  Type element = elementOf(input);
  Numbers outer(b, g.getLoc());
  Value from = outer.ofIndex(g.materialize(axis.from)),
        to = outer.ofIndex(g.materialize(axis.to));
  Value places =
      computed(g, {}, {}, {axis.to}, {b.getF64Type()},
               [&](Numbers &s, OpBuilder &at, Location loc, ValueRange) {
                 Value j = s.ofIndex(linalg::IndexOp::create(at, loc, 0));
                 return SmallVector<Value>{
                     sourcePlace(s, method, axis, from, to, j)};
               })
          .front();
  auto [weights, indices] = tablesOf(g, method, axis, places);
  Extents shape = g.shapeOf(input);
  shape[axis.number] = axis.to;
  unsigned rank = shape.size();
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  iterators.push_back(utils::IteratorType::reduction);
  SmallVector<AffineExpr> kept;
  for (unsigned dim = 0; dim < rank; ++dim)
    kept.push_back(b.getAffineDimExpr(dim));
  AffineMap table = AffineMap::get(
      rank + 1, 0, {b.getAffineDimExpr(axis.number), b.getAffineDimExpr(rank)},
      g.getContext());
  bool isNearest = method.mode == "nearest";
  Value result =
      g.generic(
           {weights, indices}, g.filled(shape, g.scalar(element, 0)),
           {table, table, AffineMap::get(rank + 1, 0, kept, g.getContext())},
           iterators,
           [&](OpBuilder &at, Location loc, ValueRange x) {
             Scalars s(at, loc);
             SmallVector<Value> from;
             for (unsigned dim = 0; dim < rank; ++dim)
               from.push_back(linalg::IndexOp::create(at, loc, dim));
             from[axis.number] =
                 arith::IndexCastOp::create(at, loc, at.getIndexType(), x[1]);
             Value read = tensor::ExtractOp::create(at, loc, input, from);
             // The nearest is taken as it is, whatever its type.
             if (isNearest)
               return SmallVector<Value>{
                   s.select(s.less(s.like(x[0], 0.5), x[0]), read, x[2])};
             Value weight = x[0];
             if (weight.getType() != element)
               weight = arith::TruncFOp::create(at, loc, element, weight);
             return SmallVector<Value>{s.add(x[2], s.mul(weight, read))};
           })
          .front();
  if (!method.crops())
    return result;
  // Places outside of the input.
  AffineMap along = AffineMap::get(rank, 0, b.getAffineDimExpr(axis.number));
  return computed(g, {result, places}, {b.getMultiDimIdentityMap(rank), along},
                  shape, {element},
                  [&](Numbers &s, OpBuilder &, Location, ValueRange x) {
                    Value last = s.sub(from, s.f64(1));
                    Value inside = s.both(s.lessOrEqual(s.f64(0), x[1]),
                                          s.lessOrEqual(x[1], last));
                    return SmallVector<Value>{s.select(
                        inside, x[0], s.number(element, method.extrapolation))};
                  })
      .front();
}

/// The elements of a tensor of f32 or f64 as scalars of f64.
static FailureOr<SmallVector<Value>> elements(GraphBuilder &g, Value tensor,
                                              size_t count, const Twine &what) {
  Extents shape = g.shapeOf(tensor);
  if (shape.size() != 1 || !shape[0].isConstant(int64_t(count)) ||
      failed(checkFloat(g, tensor)))
    return g.fail("expects " + Twine(count) + " numbers as " + what + ", got " +
                  g.text(shape));
  OpBuilder &b = g.getBuilder();
  FailureOr<Value> wide = g.cast(tensor, b.getF64Type());
  if (failed(wide))
    return failure();
  DenseElementsAttr known = g.constantValue(tensor);
  SmallVector<Value> result;
  for (size_t i = 0; i < count; ++i) {
    if (known) {
      APFloat value = known.getValues<APFloat>()[i];
      bool loses;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                    &loses);
      result.push_back(g.scalar(b.getF64Type(), value.convertToDouble()));
      continue;
    }
    Value place = g.materialize(Extent(int64_t(i)));
    result.push_back(tensor::ExtractOp::create(b, g.getLoc(), *wide, place));
  }
  return result;
}

static std::optional<double> constantOf(Value scalar) {
  FloatAttr value;
  if (!matchPattern(scalar, m_Constant(&value)))
    return std::nullopt;
  return value.getValueAsDouble();
}

/// floor(scale * extent), as an extent where that is one.
static FailureOr<Extent> scaled(GraphBuilder &g, const Extent &extent,
                                Value scale) {
  OpBuilder &b = g.getBuilder();
  std::optional<double> known = constantOf(scale);
  if (known && (!(*known > 0) || *known > most))
    return g.fail("expects scales above 0, got " + std::to_string(*known));
  if (known && *known == std::floor(*known) && *known < 65536)
    return extent * Extent(int64_t(*known));
  if (known && extent.isConstant())
    return Extent(
        int64_t(std::min(*known * double(extent.getConstant()), most)));
  Numbers s(b, g.getLoc());
  if (!known)
    g.check(s.less(s.f64(0), scale), "expects scales above 0", {});
  Value size = s.mul(s.ofIndex(g.materialize(extent)), scale);
  size = s.toInteger(s.floorBetween(size, s.f64(0), s.f64(most)));
  size = arith::IndexCastOp::create(b, g.getLoc(), b.getIndexType(), size);
  return g.opaqueSymbol("resized " + g.text(extent), size);
}

/// Where an aspect ratio is to be kept: one scale for all axes, and the sizes
/// that follow from it.
static void keepRatio(GraphBuilder &g, bool smallest,
                      MutableArrayRef<Axis> axes) {
  OpBuilder &b = g.getBuilder();
  Numbers s(b, g.getLoc());
  if (llvm::all_of(axes, [](const Axis &axis) {
        return axis.knownScale && axis.from.isConstant();
      })) {
    auto less = [](const Axis &a, const Axis &b) {
      return *a.knownScale < *b.knownScale;
    };
    double scale = *(smallest ? llvm::min_element(axes, less)
                              : llvm::max_element(axes, less))
                        ->knownScale;
    for (Axis &axis : axes) {
      axis.knownScale = scale;
      axis.scale = s.f64(scale);
      axis.to = Extent(int64_t(scale * double(axis.from.getConstant()) + 0.5));
    }
    return;
  }
  Value scale;
  for (Axis &axis : axes)
    scale = !scale     ? axis.scale
            : smallest ? s.min(scale, axis.scale)
                       : s.max(scale, axis.scale);
  for (Axis &axis : axes) {
    axis.scale = scale;
    axis.knownScale.reset();
    Value size =
        s.add(s.mul(scale, s.ofIndex(g.materialize(axis.from))), s.f64(0.5));
    size = s.toInteger(s.floorBetween(size, s.f64(0), s.f64(most)));
    size = arith::IndexCastOp::create(b, g.getLoc(), b.getIndexType(), size);
    axis.to = g.opaqueSymbol("resized " + g.text(axis.from), size);
  }
}

static LogicalResult takeSizes(GraphBuilder &g, const OperatorCall &call,
                               Value sizes, MutableArrayRef<Axis> axes) {
  std::optional<Extents> given = g.runTimeInts(sizes);
  if (!given || given->size() != axes.size())
    return g.fail("expects a size for each of " + Twine(axes.size()) + " axes");
  Numbers s(g.getBuilder(), g.getLoc());
  for (auto [axis, size] : llvm::zip_equal(axes, *given)) {
    if (failed(g.requireSize(size, "a size")))
      return failure();
    axis.to = size;
    // Nothing can be read of an axis without elements.
    if (size != axis.from &&
        failed(g.requireAtMost(g.minimum(size, Extent(1)), axis.from,
                               "cannot resize an axis without elements")))
      return failure();
    if (size.isConstant() && axis.from.isConstant() && !axis.from.isConstant(0))
      axis.knownScale =
          double(size.getConstant()) / double(axis.from.getConstant());
    if (size == axis.from)
      axis.knownScale = 1.0;
    axis.scale = axis.knownScale ? s.f64(*axis.knownScale)
                                 : s.div(s.ofIndex(g.materialize(size)),
                                         s.ofIndex(g.materialize(axis.from)));
  }
  StringRef policy = call.string("keep_aspect_ratio_policy", "stretch");
  if (policy == "not_larger" || policy == "not_smaller")
    keepRatio(g, policy == "not_larger", axes);
  else if (policy != "stretch")
    return g.fail("does not support the keep_aspect_ratio_policy '" + policy +
                  "'");
  return success();
}

static LogicalResult takeScales(GraphBuilder &g, Value scales,
                                MutableArrayRef<Axis> axes) {
  auto given = elements(g, scales, axes.size(), "scales");
  if (failed(given))
    return failure();
  for (auto [axis, scale] : llvm::zip_equal(axes, *given)) {
    FailureOr<Extent> to = scaled(g, axis.from, scale);
    if (failed(to))
      return failure();
    axis.to = *to;
    axis.scale = scale;
    axis.knownScale = constantOf(scale);
  }
  return success();
}

static FailureOr<Method> methodOf(GraphBuilder &g, const OperatorCall &call) {
  Method method;
  method.mode = call.string("mode", "nearest");
  bool isOld = call.op == "Upsample" || call.version < 11;
  method.coordinates =
      isOld ? StringRef("asymmetric")
            : call.string("coordinate_transformation_mode", "half_pixel");
  method.nearest = isOld ? StringRef("floor")
                         : call.string("nearest_mode", "round_prefer_floor");
  method.cubic = call.number("cubic_coeff_a", -0.75);
  method.extrapolation = call.number("extrapolation_value", 0.0);
  // The nearest place is inside, or at the border.
  method.excludesOutside =
      call.integer("exclude_outside", 0) != 0 && method.mode != "nearest";
  method.antialias = call.integer("antialias", 0) != 0;
  if (!llvm::is_contained({"nearest", "linear", "cubic"}, method.mode))
    return g.fail("does not support the mode '" + method.mode + "'");
  if (!llvm::is_contained({"half_pixel", "half_pixel_symmetric",
                           "pytorch_half_pixel", "align_corners", "asymmetric",
                           "tf_crop_and_resize"},
                          method.coordinates))
    return g.fail("does not support the coordinate_transformation_mode '" +
                  method.coordinates + "'");
  if (!llvm::is_contained(
          {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"},
          method.nearest))
    return g.fail("does not support the nearest_mode '" + method.nearest + "'");
  if (method.mode == "nearest" && method.antialias)
    return g.fail("does not support antialias with the mode 'nearest'");
  return method;
}

static FailureOr<SmallVector<Axis>> axesOf(GraphBuilder &g,
                                           const OperatorCall &call) {
  Extents shape = g.shapeOf(call.operand(0));
  SmallVector<int64_t> numbers = call.integers("axes").value_or(
      llvm::to_vector(llvm::seq<int64_t>(0, int64_t(shape.size()))));
  SmallVector<Axis> axes;
  for (int64_t number : numbers) {
    FailureOr<int64_t> axis = axisOf(g, number, shape.size());
    if (failed(axis))
      return failure();
    for (const Axis &other : axes)
      if (other.number == *axis)
        return g.fail("names axis " + Twine(*axis) + " twice");
    axes.push_back({*axis, shape[*axis], {}, {}, {}, {}, {}});
  }
  return axes;
}

static OperatorResults resize(GraphBuilder &g, const OperatorCall &call) {
  Value input = call.operand(0);
  FailureOr<Method> method = methodOf(g, call);
  FailureOr<SmallVector<Axis>> axes = axesOf(g, call);
  if (failed(method) || failed(axes))
    return failure();
  bool isOld = call.op == "Upsample" || call.version < 11;
  auto given = [&](unsigned position) {
    Value operand = call.operand(position);
    return operand && !productOf(g.shapeOf(operand)).isConstant(0) ? operand
                                                                   : Value();
  };
  Value roi = isOld ? Value() : given(1), scales = given(isOld ? 1 : 2),
        sizes = isOld ? Value() : given(3);
  if (bool(scales) == bool(sizes))
    return g.fail("expects either scales or sizes");
  if (failed(sizes ? takeSizes(g, call, sizes, *axes)
                   : takeScales(g, scales, *axes)))
    return failure();
  if (method->crops()) {
    if (!roi)
      return g.fail("expects a region of interest");
    auto bounds = elements(g, roi, 2 * axes->size(), "region of interest");
    if (failed(bounds))
      return failure();
    for (auto [index, axis] : llvm::enumerate(*axes)) {
      axis.begin = (*bounds)[index];
      axis.end = (*bounds)[index + axes->size()];
    }
  }
  Type element = elementOf(input);
  bool isNearest = method->mode == "nearest";
  FailureOr<Value> value = isNearest || element.isF64()
                               ? FailureOr<Value>(input)
                               : g.cast(input, g.getBuilder().getF32Type());
  if (failed(value))
    return failure();
  for (const Axis &axis : *axes)
    if (axis.knownScale != 1.0 || method->crops())
      value = resizeAxis(g, *method, axis, *value);
  if (isa<IntegerType>(element) && !isNearest) // To the nearest integer.
    value =
        g.elementwise(*value, elementOf(*value),
                      [](OpBuilder &at, Location loc, ValueRange x) {
                        return Value(math::RoundEvenOp::create(at, loc, x[0]));
                      });
  return failed(value) ? OperatorResults(failure())
                       : one(g.cast(*value, element));
}

/// All other than the nearest element is computed in floats, and the result
/// made an integer again without overflow.
OperatorResults gatecc::lowerResize(GraphBuilder &g, const OperatorCall &call) {
  return call.string("mode", "nearest") == "nearest"
             ? onUnsigned(g, call, resize)
             : resize(g, call);
}
