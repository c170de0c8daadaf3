// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gather and GatherElements. Indices in [-n, n) count from either end; others
// are clamped to the nearest element, so that no read is ever out of bounds.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

static bool canBeEmpty(const Extent &extent) {
  return !extent.isConstant() || extent.isConstant(0);
}

/// data[indices] at a place where dimension `axis` is `raw`. `size` is the SSA
/// value of that dimension; if it may be 0, an empty dimension reads as 0.
static Value readClamped(OpBuilder &at, Location loc, Value data,
                         SmallVector<Value> indices, int64_t axis, Value raw,
                         Value size, bool mayBeEmpty) {
  Type index = at.getIndexType();
  Value i = arith::IndexCastOp::create(at, loc, index, raw);
  Value zero = arith::ConstantIndexOp::create(at, loc, 0);
  Value one = arith::ConstantIndexOp::create(at, loc, 1);
  Value negative =
      arith::CmpIOp::create(at, loc, arith::CmpIPredicate::slt, i, zero);
  Value fromEnd = arith::AddIOp::create(at, loc, i, size);
  i = arith::SelectOp::create(at, loc, negative, fromEnd, i);
  i = arith::MinSIOp::create(at, loc, i,
                             arith::SubIOp::create(at, loc, size, one));
  i = arith::MaxSIOp::create(at, loc, i, zero);
  indices[axis] = i;
  if (!mayBeEmpty)
    return tensor::ExtractOp::create(at, loc, data, indices);
  Value some =
      arith::CmpIOp::create(at, loc, arith::CmpIPredicate::sgt, size, zero);
  auto guarded = scf::IfOp::create(
      at, loc, some,
      [&](OpBuilder &then, Location where) {
        Value element = tensor::ExtractOp::create(then, where, data, indices);
        scf::YieldOp::create(then, where, element);
      },
      [&](OpBuilder &otherwise, Location where) {
        Value none = Scalars(otherwise, where).number(elementOf(data), 0);
        scf::YieldOp::create(otherwise, where, none);
      });
  return guarded.getResult(0);
}

static LogicalResult checkGather(GraphBuilder &g, const OperatorCall &call,
                                 const Extent &size, ArrayRef<Extent> result) {
  Type type = elementOf(call.operand(1));
  if (!type.isInteger(32) && !type.isInteger(64))
    return g.fail("expects indices of type int32 or int64");
  // Else there may be no index either.
  bool reads = llvm::all_of(result, [](const Extent &e) {
    return e.isConstant() && !e.isConstant(0);
  });
  if (size.isConstant(0) && reads)
    return g.fail("gathers from an axis without elements");
  if (auto known = g.knownConstants(call.operand(1));
      known && size.isConstant())
    for (int64_t index : *known)
      if (index < -size.getConstant() || index >= size.getConstant())
        return g.fail("index " + Twine(index) +
                      " is out of range for an axis of " + g.text(size));
  return success();
}

OperatorResults gatecc::lowerGather(GraphBuilder &g, const OperatorCall &call) {
  Value data = call.operand(0), indices = call.operand(1);
  Extents shape = g.shapeOf(data), places = g.shapeOf(indices), result;
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", 0), shape.size());
  if (failed(axis))
    return failure();
  result.append(shape.begin(), shape.begin() + *axis);
  result.append(places.begin(), places.end());
  result.append(shape.begin() + *axis + 1, shape.end());
  if (failed(checkGather(g, call, shape[*axis], result)))
    return failure();
  // One constant index is a slice.
  std::optional<SmallVector<int64_t>> known = g.knownConstants(indices);
  if (known && known->size() == 1 && llvm::isInt<32>(known->front())) {
    const Extent &size = shape[*axis];
    int64_t index = known->front();
    Extent needed(index < 0 ? -index : index + 1);
    if (!size.isConstant())
      g.check(g.compare(arith::CmpIPredicate::sle, needed, size),
              "index " + Twine(index) + " is out of range for an axis of {0}",
              size);
    Extents offsets(shape.size(), Extent(0)), sizes = shape;
    offsets[*axis] = index < 0 ? g.subtract(size, needed) : Extent(index);
    sizes[*axis] = Extent(1);
    Value row =
        g.slice(data, offsets, sizes, SmallVector<int64_t>(shape.size(), 1));
    return one(g.reshape(row, result));
  }
  // Rows by data: what raising looks for.
  if (!known && llvm::all_of(ArrayRef(shape).take_front(*axis),
                             [](const Extent &e) { return e.isConstant(1); })) {
    Extents vectors = places, rowShape = places;
    vectors.push_back(Extent(1));
    rowShape.append(shape.begin() + *axis + 1, shape.end());
    FailureOr<Value> wide = g.reshape(indices, vectors);
    FailureOr<Value> source =
        g.reshape(data, Extents(shape.begin() + *axis, shape.end()));
    if (failed(wide) || failed(source))
      return failure();
    Value rows = gate::GatherNDOp::create(g.getBuilder(), g.getLoc(),
                                          g.typeOf(rowShape, elementOf(data)),
                                          *source, *wide, 0);
    g.setShape(rows, rowShape);
    return one(g.reshape(rows, result));
  }
  unsigned rank = result.size();
  SmallVector<AffineExpr> exprs;
  for (unsigned dim = 0; dim < places.size(); ++dim)
    exprs.push_back(g.getBuilder().getAffineDimExpr(*axis + dim));
  AffineMap maps[] = {AffineMap::get(rank, 0, exprs, g.getContext()),
                      g.getBuilder().getMultiDimIdentityMap(rank)};
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  Value size = g.materialize(shape[*axis]);
  return g.generic(
      indices, g.empty(result, elementOf(data)), maps, iterators,
      [&](OpBuilder &at, Location loc, ValueRange x) {
        SmallVector<Value> where(shape.size());
        for (int64_t dim = 0; dim < int64_t(shape.size()); ++dim)
          if (dim != *axis)
            where[dim] = linalg::IndexOp::create(
                at, loc, dim < *axis ? dim : dim + int64_t(places.size()) - 1);
        return SmallVector<Value>{readClamped(at, loc, data, where, *axis, x[0],
                                              size, canBeEmpty(shape[*axis]))};
      });
}

OperatorResults gatecc::lowerGatherElements(GraphBuilder &g,
                                            const OperatorCall &call) {
  Value data = call.operand(0), indices = call.operand(1);
  Extents shape = g.shapeOf(data), result = g.shapeOf(indices);
  FailureOr<int64_t> axis = axisOf(g, call.integer("axis", 0), shape.size());
  if (failed(axis))
    return failure();
  if (shape.size() != result.size())
    return g.fail("expects data and indices of one rank");
  for (unsigned dim = 0; dim < shape.size(); ++dim)
    if (int64_t(dim) != *axis && shape[dim] != result[dim] &&
        !(shape[dim].isConstant() && result[dim].isConstant() &&
          result[dim].getConstant() <= shape[dim].getConstant()))
      return g.fail(
          "the indices' shape " + g.text(result) +
          " is not known to fit into " + g.text(shape) +
          "; gatecc supports only extents that are equal or constant");
  if (failed(checkGather(g, call, shape[*axis], result)))
    return failure();
  unsigned rank = result.size();
  AffineMap map = g.getBuilder().getMultiDimIdentityMap(rank);
  AffineMap maps[] = {map, map};
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  Value size = g.materialize(shape[*axis]);
  return g.generic(
      indices, g.empty(result, elementOf(data)), maps, iterators,
      [&](OpBuilder &at, Location loc, ValueRange x) {
        SmallVector<Value> where;
        for (unsigned dim = 0; dim < rank; ++dim)
          where.push_back(int64_t(dim) == *axis
                              ? Value()
                              : linalg::IndexOp::create(at, loc, dim));
        return SmallVector<Value>{readClamped(at, loc, data, where, *axis, x[0],
                                              size, canBeEmpty(shape[*axis]))};
      });
}
