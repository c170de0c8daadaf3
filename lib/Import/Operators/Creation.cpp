// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operators that make tensors: Constant, Shape, Size, ConstantOfShape, Range.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

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
  std::optional<Extents> shape = g.knownInts(call.operand(0));
  if (!shape)
    return g.fail(
        "expects a shape that is constant or computed from shapes of inputs");
  for (const Extent &extent : *shape)
    if (extent.getCoefficient() < 0)
      return g.fail("the shape holds a negative extent, " + g.text(extent));
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

OperatorResults gatecc::lowerRange(GraphBuilder &g, const OperatorCall &call) {
  Extents bounds;
  for (Value operand : call.operands) {
    std::optional<Extents> known = g.knownInts(operand);
    if (!known || known->size() != 1)
      return g.fail("expects integers that are constant or computed from "
                    "shapes of inputs");
    bounds.push_back(known->front());
  }
  if (!bounds[0].isConstant() || !bounds[2].isConstant() ||
      bounds[2].isConstant(0))
    return g.fail(
        "expects a constant start and a constant delta that is not 0");
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
