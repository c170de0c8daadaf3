// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operators that index by data: NonZero, Compress, GatherND, ScatterND,
// ScatterElements, OneHot, CumSum; CumProd and Tile. Gathers clamp indices out
// of range, scatters skip them; where updates without a reduction meet, the
// last one counts.
#include "lib/Import/Operators/LoopBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Matchers.h"
#include <set>

using namespace mlir;
using namespace gatecc;

static LogicalResult checkIndices(GraphBuilder &g, Value indices) {
  Type type = elementOf(indices);
  if (!type.isInteger(32) && !type.isInteger(64))
    return g.fail("expects indices of type int32 or int64");
  return success();
}

static LogicalResult checkSignless(GraphBuilder &g, Value data) {
  auto type = dyn_cast<IntegerType>(elementOf(data));
  if (type && !type.isSignless())
    return g.fail("does not support unsigned data");
  return success();
}

/// Elements as numbers of the types that sums are computed in.
static FailureOr<Value> widenedNumber(GraphBuilder &g, Value value) {
  auto type = dyn_cast<IntegerType>(elementOf(value));
  if (type && type.getWidth() < 32)
    return g.cast(value, g.getBuilder().getI32Type());
  return widened(g, value);
}

//===-- Positions
//----------------------------------------------------------------===//

/// [rank, n] positions of what is not zero.
static FailureOr<Value> positions(GraphBuilder &g, Value input) {
  Type element = elementOf(input);
  OpBuilder &b = g.getBuilder();
  FailureOr<Value> mask = input;
  if (!element.isInteger(1))
    mask = g.cast(input, b.getI1Type()); // NaN is not zero.
  if (succeeded(mask) && g.rankOf(*mask) == 0)
    mask = g.reshape(*mask, Extent(1));
  if (failed(mask))
    return failure();
  auto type = RankedTensorType::get(
      {int64_t(g.rankOf(*mask)), ShapedType::kDynamic}, b.getI64Type());
  return Value(gate::NonZeroOp::create(b, g.getLoc(), type, *mask));
}

OperatorResults gatecc::lowerNonZero(GraphBuilder &g,
                                     const OperatorCall &call) {
  if (failed(checkSignless(g, call.operand(0))))
    return failure();
  FailureOr<Value> result = positions(g, call.operand(0));
  if (failed(result))
    return failure();
  if (g.rankOf(call.operand(0)) > 0)
    return SmallVector<Value>{*result};
  // A scalar has one position without coordinates.
  Extents shape{Extent(0), g.shapeOf(*result)[1]};
  return one(g.slice(*result, {Extent(0), Extent(0)}, shape, {1, 1}));
}

/// data[indices] with one index for each slice along the first dimension.
static Value gatherRows(GraphBuilder &g, Value data, Value indices) {
  Extents shape = g.shapeOf(indices), tail = g.shapeOf(data);
  shape.pop_back();
  shape.append(tail.begin() + 1, tail.end());
  Value result = gate::GatherNDOp::create(
      g.getBuilder(), g.getLoc(), g.typeOf(shape, elementOf(data)), data,
      indices, g.getBuilder().getI64IntegerAttr(0));
  g.setShape(result, shape);
  return result;
}

OperatorResults gatecc::lowerCompress(GraphBuilder &g,
                                      const OperatorCall &call) {
  Value data = call.operand(0), condition = call.operand(1);
  if (failed(checkBool(g, condition)) || failed(checkSignless(g, data)))
    return failure();
  if (g.rankOf(condition) != 1)
    return g.fail("expects a condition of rank 1");
  int64_t axis = 0;
  bool flat = !call.attributes || !call.attributes.get("axis");
  if (flat) {
    FailureOr<Value> row = g.reshape(data, productOf(g.shapeOf(data)));
    if (failed(row))
      return failure();
    data = *row;
  } else {
    FailureOr<int64_t> given =
        axisOf(g, call.integer("axis", 0), g.rankOf(data));
    if (failed(given))
      return failure();
    axis = *given;
  }
  int64_t rank = g.rankOf(data);
  // The condition may be shorter than the axis: the rest is left out.
  if (failed(g.requireAtMost(g.shapeOf(condition)[0], g.shapeOf(data)[axis],
                             "the condition is longer than the axis")))
    return failure();
  FailureOr<Value> kept = positions(g, condition);
  if (failed(kept))
    return failure();
  FailureOr<Value> vectors = g.reshape(*kept, {g.shapeOf(*kept)[1], Extent(1)});
  if (failed(vectors))
    return failure();
  SmallVector<int64_t> first{axis}, back;
  for (int64_t dim = 0; dim < rank; ++dim)
    if (dim != axis)
      first.push_back(dim);
  for (int64_t dim = 0; dim < rank; ++dim)
    back.push_back(dim < axis ? dim + 1 : dim == axis ? 0 : dim);
  return SmallVector<Value>{
      g.transpose(gatherRows(g, g.transpose(data, first), *vectors), back)};
}

//===-- Gathers and scatters
//-----------------------------------------------------===//

OperatorResults gatecc::lowerGatherND(GraphBuilder &g,
                                      const OperatorCall &call) {
  Value data = call.operand(0), indices = call.operand(1);
  if (failed(checkIndices(g, indices)) || failed(checkSignless(g, data)))
    return failure();
  Extents from = g.shapeOf(data), places = g.shapeOf(indices);
  int64_t batch = call.integer("batch_dims", 0);
  if (places.empty() || !places.back().isConstant())
    return g.fail("expects index vectors of a constant length");
  int64_t length = places.back().getConstant();
  if (batch < 0 || batch >= int64_t(places.size()) ||
      batch + length > int64_t(from.size()) || length < 1)
    return g.fail("expects vectors of 1 to " + Twine(from.size()) +
                  " indices with batch_dims, got " + Twine(length) + " and " +
                  Twine(batch));
  for (int64_t dim = 0; dim < batch; ++dim)
    if (failed(g.requireEqual(from[dim], places[dim],
                              "batch dimension " + Twine(dim) + " differs")))
      return failure();
  Extents shape(places.begin(), places.end() - 1);
  shape.append(from.begin() + batch + length, from.end());
  // Else there may be no index either.
  bool reads = llvm::all_of(shape, [](const Extent &e) {
    return e.isConstant() && !e.isConstant(0);
  });
  for (int64_t dim = batch; dim < batch + length; ++dim)
    if (from[dim].isConstant(0) && reads)
      return g.fail("gathers from an axis without elements");
  Value result = gate::GatherNDOp::create(
      g.getBuilder(), g.getLoc(), g.typeOf(shape, elementOf(data)), data,
      indices, g.getBuilder().getI64IntegerAttr(batch));
  g.setShape(result, shape);
  return SmallVector<Value>{result};
}

/// The reduction that the operator names, and operands that it can be computed
/// on.
static FailureOr<gate::Reduction> reductionOf(GraphBuilder &g,
                                              const OperatorCall &call) {
  StringRef name = call.string("reduction", "none");
  std::optional<gate::Reduction> reduction = gate::symbolizeReduction(name);
  if (!reduction)
    return g.fail("does not know the reduction '" + name + "'");
  if (failed(checkIndices(g, call.operand(1))) ||
      failed(checkSignless(g, call.operand(0))))
    return failure();
  if (elementOf(call.operand(0)) != elementOf(call.operand(2)))
    return g.fail("expects data and updates of one element type");
  if (*reduction != gate::Reduction::None &&
      failed(checkNumbers(g, call.operand(0))))
    return failure();
  return *reduction;
}

/// Scatters through `create`, in a wider type where elements are reduced.
static OperatorResults
scattered(GraphBuilder &g, const OperatorCall &call, gate::Reduction reduction,
          ArrayRef<Extent> updateShape,
          function_ref<Value(Value updates, Value data)> create) {
  FailureOr<Value> data = call.operand(0), updates = call.operand(2);
  Type element = elementOf(*data);
  if (reduction != gate::Reduction::None) {
    data = widenedNumber(g, *data);
    updates = widenedNumber(g, *updates);
    if (failed(data) || failed(updates))
      return failure();
  }
  Extents have = g.shapeOf(*updates);
  if (have.size() != updateShape.size())
    return g.fail("expects updates of shape " + g.text(updateShape) + ", got " +
                  g.text(have));
  for (auto [a, b] : llvm::zip(have, updateShape)) {
    if (a != b && !g.isDecidedInRun(a) && !g.isDecidedInRun(b))
      return g.fail("expects updates of shape " + g.text(updateShape) +
                    ", got " + g.text(have));
    if (failed(g.requireEqual(a, b, "the shape of the updates does not fit")))
      return failure();
  }
  Extents shape = g.shapeOf(*data);
  Value result = create(*updates, *data);
  g.setShape(result, shape);
  return one(g.cast(result, element));
}

/// The elements of constant indices of any shape; none if they are no constant.
static SmallVector<int64_t> constantIndices(Value indices) {
  SmallVector<int64_t> numbers;
  DenseIntElementsAttr constant;
  if (matchPattern(indices, m_Constant(&constant)))
    for (const APInt &number : constant.getValues<APInt>())
      numbers.push_back(number.getSExtValue());
  return numbers;
}

/// Says so if updates that nothing reduces meet at elements that are known now.
/// `places` are the elements' positions, one vector after the other.
static void warnOfRepeats(GraphBuilder &g, gate::Reduction reduction,
                          ArrayRef<int64_t> places, size_t length,
                          ArrayRef<Extent> shape) {
  if (reduction != gate::Reduction::None)
    return;
  std::set<SmallVector<int64_t>> seen;
  for (size_t at = 0; at + length <= places.size(); at += length) {
    SmallVector<int64_t> place(places.slice(at, length));
    for (auto [index, extent] : llvm::zip(place, shape))
      if (index < 0 && extent.isConstant())
        index += extent.getConstant();
    if (seen.insert(std::move(place)).second)
      continue;
    emitWarning(g.getLoc())
        << "writes an element more than once without a reduction, which ONNX "
           "leaves open; the last update counts";
    return;
  }
}

/// The positions of the elements that indices along `axis` mean.
static SmallVector<int64_t> placesAlong(ArrayRef<int64_t> indices,
                                        ArrayRef<Extent> shape, int64_t axis) {
  SmallVector<int64_t> places;
  for (auto [flat, index] : llvm::enumerate(indices)) {
    SmallVector<int64_t> place(shape.size());
    int64_t rest = flat;
    for (int64_t dim = int64_t(shape.size()) - 1; dim >= 0; --dim) {
      place[dim] = dim == axis ? index : rest % shape[dim].getConstant();
      rest /= shape[dim].getConstant();
    }
    places.append(place);
  }
  return places;
}

OperatorResults gatecc::lowerScatterND(GraphBuilder &g,
                                       const OperatorCall &call) {
  FailureOr<gate::Reduction> reduction = reductionOf(g, call);
  if (failed(reduction))
    return failure();
  Extents from = g.shapeOf(call.operand(0)),
          places = g.shapeOf(call.operand(1));
  if (places.empty() || !places.back().isConstant() ||
      places.back().getConstant() < 1 ||
      places.back().getConstant() > int64_t(from.size()))
    return g.fail("expects index vectors of 1 to " + Twine(from.size()) +
                  " indices");
  int64_t length = places.back().getConstant();
  warnOfRepeats(g, *reduction, constantIndices(call.operand(1)), length, from);
  Extents shape(places.begin(), places.end() - 1);
  shape.append(from.begin() + length, from.end());
  return scattered(
      g, call, *reduction, shape, [&](Value updates, Value data) -> Value {
        return gate::ScatterNDOp::create(g.getBuilder(), g.getLoc(),
                                         data.getType(), updates,
                                         call.operand(1), data, *reduction);
      });
}

OperatorResults gatecc::lowerScatterElements(GraphBuilder &g,
                                             const OperatorCall &call) {
  FailureOr<gate::Reduction> reduction = reductionOf(g, call);
  if (failed(reduction))
    return failure();
  Extents from = g.shapeOf(call.operand(0)),
          places = g.shapeOf(call.operand(1));
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", 0), from.size());
  if (failed(axis))
    return failure();
  if (from.size() != places.size())
    return g.fail("expects data and indices of one rank");
  warnOfRepeats(g, *reduction,
                placesAlong(constantIndices(call.operand(1)), places, *axis),
                from.size(), from);
  return scattered(
      g, call, *reduction, places, [&](Value updates, Value data) -> Value {
        return gate::ScatterElementsOp::create(
            g.getBuilder(), g.getLoc(), data.getType(), updates,
            call.operand(1), data, g.getBuilder().getI64IntegerAttr(*axis),
            gate::ReductionAttr::get(g.getContext(), *reduction));
      });
}

//===-- OneHot, CumSum, Tile
//-----------------------------------------------------===//

OperatorResults gatecc::lowerOneHot(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Value> indices = call.operand(0);
  Value values = call.operand(2);
  Type i64 = g.getBuilder().getI64Type();
  if (failed(checkNumbers(g, *indices)) || failed(checkSignless(g, values)))
    return failure();
  FailureOr<Value> given = call.operand(1); // It may be a float.
  if (isFloatTensor(*given))
    given = g.cast(*given, i64);
  if (failed(given))
    return failure();
  auto depth = g.runTimeInts(*given);
  if (!depth || depth->size() != 1)
    return g.fail("expects one integer as depth");
  if (failed(g.requireSize(depth->front(), "the depth")))
    return failure();
  Extents valueShape = g.shapeOf(values), shape = g.shapeOf(*indices);
  if (valueShape.size() != 1 || !valueShape[0].isConstant(2))
    return g.fail("expects two values, for off and on");
  FailureOr<int64_t> axis =
      axisOf(g, call.integer("axis", -1), shape.size() + 1);
  indices = g.cast(*indices, i64);
  if (failed(axis) || failed(indices))
    return failure();
  unsigned rank = shape.size() + 1;
  SmallVector<AffineExpr> exprs;
  for (unsigned dim = 0; dim < rank; ++dim)
    if (int64_t(dim) != *axis)
      exprs.push_back(g.getBuilder().getAffineDimExpr(dim));
  shape.insert(shape.begin() + *axis, depth->front());
  SmallVector<Value> choices;
  SmallVector<AffineMap> maps{AffineMap::get(rank, 0, exprs, g.getContext())};
  SmallVector<Value> inputs{*indices};
  for (int64_t i = 0; i < 2; ++i) {
    inputs.push_back(g.slice(values, Extent(i), Extent(1), {1}));
    maps.push_back(AffineMap::get(
        rank, 0, g.getBuilder().getAffineConstantExpr(0), g.getContext()));
  }
  maps.push_back(g.getBuilder().getMultiDimIdentityMap(rank));
  Value size = g.materialize(depth->front());
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  return g.generic(inputs, g.empty(shape, elementOf(values)), maps, iterators,
                   [&](OpBuilder &at, Location loc, ValueRange x) {
                     Scalars s(at, loc);
                     Value n = arith::IndexCastOp::create(at, loc, i64, size);
                     Value here = linalg::IndexOp::create(at, loc, *axis);
                     here = arith::IndexCastOp::create(at, loc, i64, here);
                     auto equal = [&](Value a, Value b) -> Value {
                       return arith::CmpIOp::create(
                           at, loc, arith::CmpIPredicate::eq, a, b);
                     };
                     // A negative index counts from the end.
                     Value on = arith::OrIOp::create(
                         at, loc, equal(x[0], here),
                         equal(arith::AddIOp::create(at, loc, x[0], n), here));
                     return SmallVector<Value>{s.select(on, x[2], x[1])};
                   });
}

namespace {
/// What CumSum and CumProd run along an axis of.
struct Running {
  Value input; // as wide as it is computed in
  int64_t axis;
  bool exclusive, reverse;
};
} // namespace

static FailureOr<Running> readRunning(GraphBuilder &g,
                                      const OperatorCall &call) {
  Value given = call.operand(0);
  if (failed(checkNumbers(g, given)))
    return failure();
  auto known = g.knownConstants(call.operand(1));
  if (!known || known->size() != 1)
    return g.fail("expects a constant axis");
  FailureOr<int64_t> axis = axisOf(g, known->front(), g.shapeOf(given).size());
  FailureOr<Value> input = widenedNumber(g, given);
  if (failed(axis) || failed(input))
    return failure();
  return Running{*input, *axis, call.integer("exclusive", 0) != 0,
                 call.integer("reverse", 0) != 0};
}

OperatorResults gatecc::lowerCumSum(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Running> running = readRunning(g, call);
  if (failed(running))
    return failure();
  OpBuilder &b = g.getBuilder();
  Value sums = gate::CumSumOp::create(
      b, g.getLoc(), running->input.getType(), running->input,
      b.getI64IntegerAttr(running->axis), b.getBoolAttr(running->exclusive),
      b.getBoolAttr(running->reverse));
  g.setShape(sums, g.shapeOf(running->input));
  return one(g.cast(sums, elementOf(call.operand(0))));
}

/// A loop along the axis that carries the product of what it has met.
OperatorResults gatecc::lowerCumProd(GraphBuilder &g,
                                     const OperatorCall &call) {
  FailureOr<Running> running = readRunning(g, call);
  if (failed(running))
    return failure();
  Value input = running->input;
  int64_t axis = running->axis;
  bool exclusive = running->exclusive, reverse = running->reverse;
  Extents shape = g.shapeOf(input), left = shape;
  left.erase(left.begin() + axis);
  Type element = elementOf(input);
  std::string names[] = {"product"};
  Collection outputs[] = {{axis, reverse}};
  OpBuilder &b = g.getBuilder();
  auto multiply = [&](Value position, ValueRange carried) {
    Value place = position;
    if (reverse)
      place = arith::SubIOp::create(
          b, g.getLoc(), g.materialize(g.subtract(shape[axis], Extent(1))),
          position);
    FailureOr<Value> product =
        g.elementwise({carried.front(), elementAlong(g, input, axis, place)},
                      element, [](OpBuilder &at, Location loc, ValueRange x) {
                        return Scalars(at, loc).mul(x[0], x[1]);
                      });
    if (failed(product))
      return FailureOr<Iteration>(failure());
    return FailureOr<Iteration>(Iteration{
        Value(), {*product}, {exclusive ? carried.front() : *product}});
  };
  FailureOr<SmallVector<Value>> made =
      LoopBuilder(g, names, g.filled(left, g.scalar(element, 1)), outputs)
          .buildFor(shape[axis], multiply);
  if (failed(made))
    return failure();
  return one(g.cast(made->back(), elementOf(call.operand(0))));
}

OperatorResults gatecc::lowerTile(GraphBuilder &g, const OperatorCall &call) {
  Value input = call.operand(0);
  auto repeats = g.runTimeInts(call.operand(1));
  Extents shape = g.shapeOf(input);
  if (!repeats || repeats->size() != shape.size())
    return g.fail("expects one repeat for each of the " + Twine(shape.size()) +
                  " dimensions");
  // [a, b] -> [1, a, 1, b] -> [r, a, s, b] -> [r * a, s * b]
  Extents apart, repeated, result;
  for (auto [extent, repeat] : llvm::zip(shape, *repeats)) {
    if (failed(g.requireSize(repeat, "a repeat")))
      return failure();
    result.push_back(extent * repeat);
    if (!repeat.isOne() && !extent.isOne()) {
      apart.push_back(Extent(1));
      repeated.push_back(repeat);
    }
    apart.push_back(extent);
    repeated.push_back(extent.isOne() ? repeat : extent);
  }
  if (result == shape)
    return SmallVector<Value>{input};
  FailureOr<Value> value = g.reshape(input, apart);
  if (failed(value))
    return failure();
  value = g.elementwise(
      *value, elementOf(input),
      [](OpBuilder &, Location, ValueRange x) { return x.front(); }, repeated);
  if (failed(value))
    return failure();
  return one(g.reshape(*value, result));
}
