// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operators that make tensors: Constant, Shape, Size, ConstantOfShape, Range,
// BlackmanWindow, HammingWindow, HannWindow.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

OperatorResults gatecc::lowerConstant(GraphBuilder &g,
                                      const OperatorCall &call) {
  OpBuilder &b = g.getBuilder();
  Attribute value =
      call.attributes ? call.attributes.get("value") : Attribute();
  if (auto dense = dyn_cast_or_null<DenseElementsAttr>(value)) {
    if (!isa<RankedTensorType>(dense.getType()))
      return g.fail("expects a tensor in its attribute 'value'");
    return SmallVector<Value>{g.denseConstant(call.nodeName, dense)};
  }
  if (auto reference = dyn_cast_or_null<FlatSymbolRefAttr>(value)) {
    auto weight = g.getModule().lookupSymbol<gate::WeightOp>(reference);
    if (!weight)
      return g.fail("internal: no weight named " + reference.getValue());
    return SmallVector<Value>{gate::WeightValueOp::create(
        b, g.getLoc(), weight.getType(), reference)};
  }
  auto make = [&](ArrayRef<int64_t> shape, Type element,
                  ArrayRef<Attribute> elements) {
    return SmallVector<Value>{g.denseConstant(
        call.nodeName, DenseElementsAttr::get(
                           RankedTensorType::get(shape, element), elements))};
  };
  if (call.has("value_float"))
    return make({}, b.getF32Type(),
                b.getF32FloatAttr(call.number("value_float", 0)));
  if (call.has("value_int"))
    return make({}, b.getI64Type(),
                b.getI64IntegerAttr(call.integer("value_int", 0)));
  SmallVector<Attribute> elements;
  if (auto list = call.integers("value_ints")) {
    for (int64_t element : *list)
      elements.push_back(b.getI64IntegerAttr(element));
    return make(int64_t(elements.size()), b.getI64Type(), elements);
  }
  if (auto list = dyn_cast_or_null<DenseF32ArrayAttr>(
          call.attributes ? call.attributes.get("value_floats")
                          : Attribute())) {
    for (float element : list.asArrayRef())
      elements.push_back(b.getF32FloatAttr(element));
    return make(int64_t(elements.size()), b.getF32Type(), elements);
  }
  return g.fail(
      "expects a tensor, numbers or a number; strings and sparse tensors are "
      "not supported");
}

OperatorResults gatecc::lowerShape(GraphBuilder &g, const OperatorCall &call) {
  Extents shape = g.shapeOf(call.operand(0));
  int64_t rank = shape.size();
  auto bound = [&](int64_t value) {
    return std::clamp<int64_t>(value < 0 ? value + rank : value, 0, rank);
  };
  int64_t start = bound(call.integer("start", 0));
  int64_t end = bound(call.integer("end", rank));
  ArrayRef<Extent> part =
      ArrayRef(shape).slice(start, std::max<int64_t>(end - start, 0));
  return SmallVector<Value>{
      g.knownTensor(part, g.getBuilder().getI64Type(), false)};
}

OperatorResults gatecc::lowerSize(GraphBuilder &g, const OperatorCall &call) {
  return SmallVector<Value>{g.knownTensor(productOf(g.shapeOf(call.operand(0))),
                                          g.getBuilder().getI64Type(), true)};
}

OperatorResults gatecc::lowerConstantOfShape(GraphBuilder &g,
                                             const OperatorCall &call) {
  std::optional<Extents> shape = g.runTimeInts(call.operand(0));
  if (!shape)
    return g.fail("expects a shape of a known number of integers");
  for (const Extent &extent : *shape)
    if (failed(g.requireSize(extent, "an extent of the shape")))
      return failure();
  TypedAttr value = g.getBuilder().getF32FloatAttr(0);
  if (auto given = dyn_cast_or_null<DenseElementsAttr>(
          call.attributes ? call.attributes.get("value") : Attribute())) {
    if (given.getNumElements() != 1)
      return g.fail("expects a value of one element");
    value = cast<TypedAttr>(*given.getValues<Attribute>().begin());
  }
  if (value.getType().isSignlessInteger() && shape->size() == 1 &&
      (*shape)[0].isConstant() &&
      (*shape)[0].getConstant() <=
          64) // A known tensor, as shapes are made of them.
    return SmallVector<Value>{
        g.knownTensor(Extents((*shape)[0].getConstant(),
                              Extent(cast<IntegerAttr>(value).getInt())),
                      value.getType(), false)};
  if (llvm::all_of(*shape, [](const Extent &e) { return e.isConstant(); }))
    return SmallVector<Value>{g.constant(DenseElementsAttr::get(
        g.typeOf(*shape, value.getType()), Attribute(value)))};
  return SmallVector<Value>{g.filled(*shape, g.constant(value))};
}

/// A range whose bounds are integers that only the run knows.
static OperatorResults rangeInRun(GraphBuilder &g, const Extents &bounds,
                                  Type element) {
  OpBuilder &b = g.getBuilder();
  Location loc = g.getLoc();
  const Extent &start = bounds[0], &limit = bounds[1], &delta = bounds[2];
  if (!delta.isConstant())
    g.check(g.compare(arith::CmpIPredicate::ne, delta, Extent(0)),
            "expects a delta that is not 0", {});
  Value distance, step;
  if (delta.isConstant() && delta.getConstant() > 0) {
    distance = g.materialize(g.maximum(g.subtract(limit, start), Extent(0)));
    step = g.materialize(delta);
  } else {
    // Downwards as upwards, with the signs changed.
    Value from = g.materialize(start), to = g.materialize(limit),
          by = g.materialize(delta), zero = g.materialize(Extent(0));
    Value down =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, by, zero);
    Value up = arith::SubIOp::create(b, loc, to, from);
    distance = arith::SelectOp::create(
        b, loc, down, arith::SubIOp::create(b, loc, from, to), up);
    distance = arith::MaxSIOp::create(b, loc, distance, zero);
    step = arith::SelectOp::create(b, loc, down,
                                   arith::SubIOp::create(b, loc, zero, by), by);
  }
  Value size = arith::CeilDivSIOp::create(b, loc, distance, step);
  Extent count = g.opaqueSymbol("range of " + g.getNodeName().str(), size);
  Value first = g.materialize(start), by = g.materialize(delta);
  AffineMap map = b.getMultiDimIdentityMap(1);
  return g.generic(
      {}, g.empty(count, element), map, utils::IteratorType::parallel,
      [&](OpBuilder &at, Location where, ValueRange) {
        Value i = linalg::IndexOp::create(at, where, 0);
        i = arith::AddIOp::create(
            at, where, arith::MulIOp::create(at, where, i, by), first);
        return SmallVector<Value>{
            arith::IndexCastOp::create(at, where, element, i)};
      });
}

/// start + i * delta for 0 <= i < ceil((limit - start) / delta), of floats.
static OperatorResults rangeOfFloats(GraphBuilder &g, ValueRange given) {
  // More elements than memory holds, or NaN ones, are no size.
  constexpr double most = double(int64_t(1) << 40);
  Type element = elementOf(given[0]), i64 = g.getBuilder().getI64Type();
  if (failed(checkNumbers(g, given)))
    return failure();
  SmallVector<Value> bounds;
  for (Value bound : given) {
    FailureOr<Value> scalar = g.reshape(bound, {});
    FailureOr<Value> wide = succeeded(scalar) ? widened(g, *scalar) : scalar;
    if (failed(wide))
      return failure();
    bounds.push_back(*wide);
  }
  FailureOr<Value> number = g.elementwise(
      bounds, elementOf(bounds[0]),
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Scalars s(at, loc);
        Value count =
            math::CeilOp::create(at, loc, s.div(s.sub(x[1], x[0]), x[2]));
        Value none = s.like(count, 0), limit = s.like(count, most);
        Value fits = s.lessOrEqual(count, limit);
        return s.select(fits, s.max(count, none), s.like(count, -1));
      });
  FailureOr<Value> whole = succeeded(number) ? g.cast(*number, i64) : number;
  if (failed(whole))
    return failure();
  std::optional<Extents> count = g.runTimeInts(*whole);
  if (!count || failed(g.requireSize(count->front(), "the number of elements")))
    return failure();
  AffineMap scalar = AffineMap::get(1, 0, g.getContext());
  AffineMap maps[] = {scalar, scalar, g.getBuilder().getMultiDimIdentityMap(1)};
  Type wide = elementOf(bounds[0]);
  Value result =
      g.generic({bounds[0], bounds[2]}, g.empty(*count, wide), maps,
                utils::IteratorType::parallel,
                [&](OpBuilder &at, Location loc, ValueRange x) {
                  Scalars s(at, loc);
                  Value i = linalg::IndexOp::create(at, loc, 0);
                  i = arith::IndexCastOp::create(at, loc, i64, i);
                  i = arith::SIToFPOp::create(at, loc, wide, i);
                  return SmallVector<Value>{s.add(x[0], s.mul(i, x[1]))};
                })
          .front();
  return one(g.cast(result, element));
}

OperatorResults gatecc::lowerRange(GraphBuilder &g, const OperatorCall &call) {
  if (isFloatTensor(call.operand(0)))
    return rangeOfFloats(g, call.operands);
  Extents bounds;
  for (Value operand : call.operands) {
    std::optional<Extents> known = g.runTimeInts(operand);
    if (!known || known->size() != 1)
      return g.fail("expects integers");
    bounds.push_back(known->front());
  }
  if (bounds[2].isConstant(0))
    return g.fail("expects a delta that is not 0");
  if (!bounds[0].isConstant() || !bounds[2].isConstant() ||
      (bounds[2].getConstant() < 0 && !bounds[1].isConstant()) ||
      (g.isDecidedInRun(bounds[1]) && !g.isKnownSize(bounds[1])))
    return rangeInRun(g, bounds, elementOf(call.operand(0)));
  constexpr int64_t limit = int64_t(1) << 53;
  for (const Extent &bound : bounds)
    if (std::abs(bound.getCoefficient()) > limit)
      return g.fail("expects numbers of at most 2^53");
  Type element = elementOf(call.operand(0));
  int64_t start = bounds[0].getConstant(), delta = bounds[2].getConstant();
  Extent count(0);
  if (delta > 0)
    count = g.ceilDivide(g.maximum(g.subtract(bounds[1], bounds[0]), Extent(0)),
                         delta);
  else if (bounds[1].isConstant() && start > bounds[1].getConstant())
    count = Extent((start - bounds[1].getConstant() - delta - 1) / -delta);
  else if (!bounds[1].isConstant())
    return g.fail("cannot count down to a size that is not constant");
  if (count.isConstant() && count.getConstant() <= 64) {
    Extents values;
    for (int64_t i = 0; i < count.getConstant(); ++i)
      values.push_back(Extent(start + i * delta));
    return SmallVector<Value>{g.knownTensor(values, element, false)};
  }
  AffineMap map = g.getBuilder().getMultiDimIdentityMap(1);
  return g.generic(
      {}, g.empty(count, element), map, utils::IteratorType::parallel,
      [&](OpBuilder &at, Location loc, ValueRange) {
        Scalars s(at, loc);
        Value i = linalg::IndexOp::create(at, loc, 0);
        i = arith::IndexCastOp::create(at, loc, element, i);
        i = s.add(s.mul(i, s.like(i, double(delta))), s.like(i, double(start)));
        return SmallVector<Value>{i};
      });
}

/// a - b cos(x) + c cos(2x) for x = 2 pi i / n.
OperatorResults gatecc::lowerWindow(GraphBuilder &g, const OperatorCall &call) {
  auto size = g.runTimeInts(call.operand(0));
  if (!size || size->size() != 1)
    return g.fail("expects one integer as size");
  if (failed(g.requireSize(size->front(), "the size")))
    return failure();
  int64_t number = call.integer("output_datatype", 1);
  Type element = elementOfNumber(g.getContext(), number);
  if (!element || !isa<FloatType>(element))
    return g.fail("does not support the output_datatype " + Twine(number));
  struct {
    double a, b, c;
  } factors = {0.5, 0.5, 0};
  if (call.op == "HammingWindow")
    factors = {25.0 / 46, 21.0 / 46, 0};
  if (call.op == "BlackmanWindow")
    factors = {0.42, 0.5, 0.08};
  // A symmetric window of one element is that of a period of 1.
  Extent period = size->front();
  if (!call.integer("periodic", 1))
    period = g.maximum(g.subtract(period, Extent(1)), Extent(1));
  Value length = g.materialize(period);
  Type wide = gate::computedIn(element), i64 = g.getBuilder().getI64Type();
  Value window = fillPlaces(
      g, size->front(), wide,
      [&](OpBuilder &at, Location loc, ValueRange i) -> Value {
        Scalars s(at, loc);
        auto real = [&](Value index) -> Value {
          Value whole = arith::IndexCastOp::create(at, loc, i64, index);
          return arith::SIToFPOp::create(at, loc, wide, whole);
        };
        Value turn = s.div(real(i[0]), real(length));
        auto wave = [&](double times, double factor) {
          Value angle = s.mul(turn, s.like(turn, times * 2 * M_PI));
          return s.mul(s.like(turn, factor),
                       math::CosOp::create(at, loc, angle));
        };
        Value value = s.sub(s.like(turn, factors.a), wave(1, factors.b));
        return factors.c ? s.add(value, wave(2, factors.c)) : value;
      });
  return one(g.cast(window, element));
}
