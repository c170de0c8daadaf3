// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ArgMax, ArgMin and TopK: ties take the lower index, NaN ranks after every
// number.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace gatecc;

/// One reduction that carries the best value and its index. Its body depends on
/// elements coming in order (iteration order is part of linalg.generic here).
OperatorResults gatecc::lowerArgExtremum(GraphBuilder &g,
                                         const OperatorCall &call) {
  Value input = call.operand(0);
  if (failed(checkNumbers(g, input)))
    return failure();
  Extents shape = g.shapeOf(input), left, kept;
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", 0), shape.size());
  if (failed(axis))
    return failure();
  if (shape[*axis].isConstant(0))
    return g.fail("expects an axis with at least one element");
  bool largest = call.op == "ArgMax",
       last = call.integer("select_last_index", 0) != 0;
  Type element = elementOf(input), i64 = g.getBuilder().getI64Type();
  SmallVector<utils::IteratorType> iterators;
  SmallVector<AffineExpr> exprs;
  for (auto [dim, extent] : llvm::enumerate(shape)) {
    bool reduced = int64_t(dim) == *axis;
    iterators.push_back(reduced ? utils::IteratorType::reduction
                                : utils::IteratorType::parallel);
    kept.push_back(reduced ? Extent(1) : extent);
    if (!reduced) {
      left.push_back(extent);
      exprs.push_back(g.getBuilder().getAffineDimExpr(dim));
    }
  }
  AffineMap result = AffineMap::get(shape.size(), 0, exprs, g.getContext());
  AffineMap maps[] = {g.getBuilder().getMultiDimIdentityMap(shape.size()),
                      result, result};
  // The search starts at NaN, which every number beats, with index 0.
  Value worst = isa<FloatType>(element)
                    ? g.scalar(element, std::nan(""))
                    : g.constant(largest ? lowest(element) : highest(element));
  SmallVector<Value> found = g.generic(
      input, {g.filled(left, worst), g.filled(left, g.scalar(i64, 0))}, maps,
      iterators, [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value better;
        if (last)
          better =
              largest ? s.lessOrEqual(x[1], x[0]) : s.lessOrEqual(x[0], x[1]);
        else
          better = largest ? s.less(x[1], x[0]) : s.less(x[0], x[1]);
        if (isa<FloatType>(element)) {
          Value first = s.isNaN(x[1]);
          if (!last) // A NaN does not replace an earlier NaN.
            first = arith::AndIOp::create(
                at, loc, first,
                arith::CmpFOp::create(at, loc, arith::CmpFPredicate::ORD, x[0],
                                      x[0]));
          better = arith::OrIOp::create(at, loc, better, first);
        }
        Value index = linalg::IndexOp::create(at, loc, *axis);
        index = arith::IndexCastOp::create(at, loc, i64, index);
        return SmallVector<Value>{s.select(better, x[0], x[1]),
                                  s.select(better, index, x[2])};
      });
  if (call.integer("keepdims", 1) != 0)
    return one(g.reshape(found[1], kept));
  return SmallVector<Value>{found[1]};
}

/// 1 at the first largest element along the axis, 0 elsewhere.
OperatorResults gatecc::lowerHardmax(GraphBuilder &g,
                                     const OperatorCall &call) {
  Extents shape = g.shapeOf(call.operand(0));
  int64_t rank = shape.size();
  bool flattens = call.version < 13; // As Softmax does.
  FailureOr<int64_t> axis =
      axisOf(g, call.integer("axis", flattens ? 1 : -1), rank);
  FailureOr<Value> input = call.operand(0);
  if (failed(axis))
    return failure();
  if (flattens) {
    input = g.reshape(*input, {productOf(ArrayRef(shape).take_front(*axis)),
                               productOf(ArrayRef(shape).drop_front(*axis))});
    axis = 1;
    if (failed(input))
      return failure();
  }
  OperatorCall search = call;
  search.op = "ArgMax";
  search.operands = *input;
  search.attributes =
      g.getBuilder().getDictionaryAttr(g.getBuilder().getNamedAttr(
          "axis", g.getBuilder().getI64IntegerAttr(*axis)));
  OperatorResults best = lowerArgExtremum(g, search);
  if (failed(best))
    return failure();
  Extents whole = g.shapeOf(*input);
  Type element = elementOf(*input);
  SmallVector<AffineExpr> exprs;
  for (unsigned dim = 0; dim < whole.size(); ++dim)
    exprs.push_back(dim == *axis ? g.getBuilder().getAffineConstantExpr(0)
                                 : g.getBuilder().getAffineDimExpr(dim));
  AffineMap maps[] = {AffineMap::get(whole.size(), 0, exprs, g.getContext()),
                      g.getBuilder().getMultiDimIdentityMap(whole.size())};
  SmallVector<utils::IteratorType> iterators(whole.size(),
                                             utils::IteratorType::parallel);
  Value result =
      g.generic(best->front(), g.empty(whole, element), maps, iterators,
                [&](OpBuilder &at, Location loc, ValueRange x) {
                  Scalars s(at, loc);
                  Value index = linalg::IndexOp::create(at, loc, *axis);
                  index = arith::IndexCastOp::create(at, loc, x[0].getType(),
                                                     index);
                  return SmallVector<Value>{s.select(s.equal(index, x[0]),
                                                     s.number(element, 1),
                                                     s.number(element, 0))};
                })
          .front();
  return one(g.reshape(result, shape));
}

OperatorResults gatecc::lowerTopK(GraphBuilder &g, const OperatorCall &call) {
  Value given = call.operand(0);
  if (failed(checkNumbers(g, given)))
    return failure();
  Extent k(call.integer("k", 0));
  if (call.version >= 10) {
    auto known =
        call.operand(1) ? g.runTimeInts(call.operand(1)) : std::nullopt;
    if (!known || known->size() != 1)
      return g.fail("expects one integer k");
    k = known->front();
  }
  Extents shape = g.shapeOf(given);
  int64_t rank = shape.size();
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", -1), rank);
  if (failed(axis))
    return failure();
  const Extent &size = shape[*axis];
  if (k.isConstant() &&
      (k.getConstant() < 0 ||
       (size.isConstant() && k.getConstant() > size.getConstant())))
    return g.fail("expects 0 <= k <= the size of the axis, got k = " +
                  g.text(k) + " of " + g.text(size));
  if (k != size) {
    if (failed(g.requireSize(k, "k")))
      return failure();
    if (g.minimum(k, size) != k) {
      // A matter of the inputs alone is a matter of the run, too.
      g.check(g.compare(arith::CmpIPredicate::sle, k, size),
              "expects k of at most the size of the axis, got {0} of {1}",
              {k, size});
      k = g.bounded(k, size);
    }
  }
  Type element = elementOf(given);
  FailureOr<Value> input = widened(g, given);
  if (succeeded(input) && isa<IntegerType>(element) &&
      element.getIntOrFloatBitWidth() < 32)
    input = g.cast(*input, g.getBuilder().getI32Type());
  if (failed(input))
    return failure();
  Value rows = g.transpose(*input, axisLast(*axis, rank));
  Extents moved = g.shapeOf(rows);
  Extents outer(moved.begin(), moved.end() - 1);
  FailureOr<Value> flat = g.reshape(rows, {productOf(outer), moved.back()});
  if (failed(flat))
    return failure();
  Extents flatShape{productOf(outer), k};
  OpBuilder &b = g.getBuilder();
  auto top = gate::TopKOp::create(
      b, g.getLoc(), g.typeOf(flatShape, elementOf(*flat)),
      g.typeOf(flatShape, b.getI64Type()), *flat,
      k.isConstant() ? Value() : g.materialize(k),
      k.isConstant() ? b.getI64IntegerAttr(k.getConstant()) : IntegerAttr(),
      b.getBoolAttr(call.integer("largest", 1) != 0));
  outer.push_back(k);
  SmallVector<Value> results;
  for (Value result : top->getResults()) {
    g.setShape(result, flatShape);
    FailureOr<Value> shaped = g.reshape(result, outer);
    if (failed(shaped))
      return failure();
    results.push_back(g.transpose(*shaped, axisBack(*axis, rank)));
  }
  FailureOr<Value> values = g.cast(results[0], element);
  if (failed(values))
    return failure();
  return SmallVector<Value>{*values, results[1]};
}
