// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GraphBuilder, tensors: elementwise ops with broadcasting, reductions,
// reshapes, transpositions, slices and concatenations.
#include "gatecc/Import/GraphBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

Value GraphBuilder::empty(ArrayRef<Extent> shape, Type element) {
  Value result = tensor::EmptyOp::create(builder, loc, fold(shape), element);
  setShape(result, shape);
  return result;
}

Value GraphBuilder::filled(ArrayRef<Extent> shape, Value value) {
  Value init = empty(shape, value.getType());
  Value result = linalg::FillOp::create(builder, loc, value, init).getResult(0);
  setShape(result, shape);
  return result;
}

FailureOr<Extents> GraphBuilder::broadcast(ArrayRef<Extents> list) {
  unsigned rank = 0;
  for (const Extents &shape : list)
    rank = std::max<unsigned>(rank, shape.size());
  Extents result(rank, Extent(1));
  for (const Extents &shape : list)
    for (unsigned dim = rank - shape.size(); dim < rank; ++dim) {
      const Extent &extent = shape[dim - (rank - shape.size())];
      if (extent.isOne() || extent == result[dim])
        continue;
      if (!result[dim].isOne() &&
          failed(requireEqual(
              result[dim], extent,
              "cannot broadcast the shapes " +
                  llvm::join(
                      llvm::map_range(
                          list, [&](const Extents &s) { return text(s); }),
                      " and "))))
        return failure();
      // The one that is known sooner.
      if (result[dim].isOne() || !isDecidedInRun(extent))
        result[dim] = extent;
    }
  return result;
}

SmallVector<Value> GraphBuilder::generic(
    ValueRange inputs, ValueRange inits, ArrayRef<AffineMap> maps,
    ArrayRef<utils::IteratorType> iterators,
    function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)> body) {
  auto op = linalg::GenericOp::create(
      builder, loc, TypeRange(inits), inputs, inits, maps, iterators,
      [&](OpBuilder &at, Location where, ValueRange arguments) {
        // Helpers that use the graph's builder build in the body, too.
        OpBuilder::InsertionGuard guard(builder);
        builder.setInsertionPoint(at.getInsertionBlock(),
                                  at.getInsertionPoint());
        linalg::YieldOp::create(builder, where,
                                body(builder, where, arguments));
      });
  for (auto [result, init] : llvm::zip(op.getResults(), inits))
    setShape(result, shapeOf(init));
  return SmallVector<Value>(op.getResults());
}

FailureOr<Value> GraphBuilder::elementwise(ValueRange inputs, Type element,
                                           ScalarBody body,
                                           ArrayRef<Extent> atLeast) {
  SmallVector<Extents> list;
  for (Value input : inputs)
    list.push_back(shapeOf(input));
  if (!atLeast.empty())
    list.push_back(Extents(atLeast.begin(), atLeast.end()));
  FailureOr<Extents> shape = broadcast(list);
  if (failed(shape))
    return failure();
  unsigned rank = shape->size();
  SmallVector<Value> tensors;
  SmallVector<AffineMap> maps;
  SmallVector<TypedAttr> scalars;
  for (auto [input, extents] : llvm::zip(inputs, list)) {
    DenseElementsAttr value = constantValue(input);
    if (value && value.isSplat()) {
      scalars.push_back(
          ::mlir::cast<TypedAttr>(value.getSplatValue<Attribute>()));
      continue;
    }
    scalars.push_back({});
    tensors.push_back(input);
    SmallVector<AffineExpr> exprs;
    for (auto [dim, extent] : llvm::enumerate(extents)) {
      unsigned to = dim + rank - extents.size();
      exprs.push_back(extent.isOne() && !(*shape)[to].isOne()
                          ? builder.getAffineConstantExpr(0)
                          : builder.getAffineDimExpr(to));
    }
    maps.push_back(AffineMap::get(rank, 0, exprs, getContext()));
  }
  maps.push_back(builder.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  return generic(tensors, empty(*shape, element), maps, iterators,
                 [&](OpBuilder &at, Location where, ValueRange arguments) {
                   SmallVector<Value> operands;
                   for (TypedAttr scalar : scalars) {
                     if (scalar) {
                       operands.push_back(
                           arith::ConstantOp::create(at, where, scalar));
                     } else {
                       operands.push_back(arguments.front());
                       arguments = arguments.drop_front();
                     }
                   }
                   return SmallVector<Value>{body(at, where, operands)};
                 })
      .front();
}

FailureOr<Value> GraphBuilder::elementwiseWide(ValueRange inputs, Type element,
                                               ScalarBody body) {
  return elementwise(
      inputs, element,
      [&](OpBuilder &at, Location where, ValueRange arguments) {
        SmallVector<Value> wide(arguments);
        for (Value &value : wide)
          if (gate::isNarrowFloat(value.getType()))
            value = arith::ExtFOp::create(at, where, at.getF32Type(), value);
        Value result = body(at, where, wide);
        if (gate::isNarrowFloat(element) && result.getType() != element)
          result = arith::TruncFOp::create(at, where, element, result);
        return result;
      });
}

Value GraphBuilder::reduce(Value input, ArrayRef<int64_t> axes, bool keepDims,
                           Value init, ScalarBody body) {
  Extents shape = shapeOf(input), kept, left;
  SmallVector<utils::IteratorType> iterators;
  SmallVector<AffineExpr> exprs;
  for (auto [dim, extent] : llvm::enumerate(shape)) {
    bool reduced = llvm::is_contained(axes, int64_t(dim));
    iterators.push_back(reduced ? utils::IteratorType::reduction
                                : utils::IteratorType::parallel);
    kept.push_back(reduced ? Extent(1) : extent);
    if (reduced)
      continue;
    left.push_back(extent);
    exprs.push_back(builder.getAffineDimExpr(dim));
  }
  AffineMap maps[] = {builder.getMultiDimIdentityMap(shape.size()),
                      AffineMap::get(shape.size(), 0, exprs, getContext())};
  Value result =
      generic(input, filled(left, init), maps, iterators,
              [&](OpBuilder &at, Location where, ValueRange arguments) {
                return SmallVector<Value>{body(at, where, arguments)};
              })
          .front();
  return keepDims ? *reshape(result, kept) : result;
}

FailureOr<Value> GraphBuilder::reshape(Value input, ArrayRef<Extent> wanted) {
  Extents from = shapeOf(input), shape(wanted);
  if (from == shape)
    return input;
  for (Extents *extents : {&from, &shape})
    for (Extent &extent : *extents)
      extent = canonical(extent);
  if (productOf(from) != productOf(shape)) {
    if (isDecidedInRun(productOf(from)) || isDecidedInRun(productOf(shape)))
      return reshapeInRun(input, shape);
    return fail("cannot reshape " + text(from) + " to " + text(shape) +
                ": they are not known to hold equally many elements");
  }
  Type element = elementOf(input);
  if (productOf(shape).isConstant(0))
    return empty(shape, element);
  if (llvm::all_of(shape, [](const Extent &e) { return e.isConstant(); })) {
    SmallVector<int64_t> sizes;
    for (const Extent &extent : shape)
      sizes.push_back(extent.getConstant());
    if (Value view = reshapeConstant(input, sizes))
      return view;
  }
  // The smallest groups of neighbouring dimensions with the same product.
  struct Group {
    ReassociationIndices from, to;
    Extent extent;
  };
  SmallVector<Group> groups;
  unsigned i = 0, j = 0;
  while (i < from.size() && j < shape.size()) {
    Group group;
    unsigned iEnd = 0, jEnd = 0;
    for (unsigned n = 2; !jEnd && n <= from.size() - i + shape.size() - j; ++n)
      for (unsigned a = 1; !jEnd && a < n; ++a) {
        unsigned b = n - a;
        if (a > from.size() - i || b > shape.size() - j)
          continue;
        Extent product = productOf(ArrayRef(from).slice(i, a));
        if (product != productOf(ArrayRef(shape).slice(j, b)))
          continue;
        iEnd = i + a;
        jEnd = j + b;
        group.extent = product;
      }
    if (!jEnd)
      break;
    for (; i < iEnd; ++i)
      group.from.push_back(i);
    for (; j < jEnd; ++j)
      group.to.push_back(j);
    groups.push_back(group);
  }
  // What is left over are dimensions of extent 1, or all is one group.
  bool rest = llvm::all_of(ArrayRef(from).drop_front(i),
                           [](const Extent &e) { return e.isOne(); }) &&
              llvm::all_of(ArrayRef(shape).drop_front(j),
                           [](const Extent &e) { return e.isOne(); });
  if (!rest || (groups.empty() && !from.empty() && !shape.empty())) {
    Group all;
    for (unsigned d = 0; d < from.size(); ++d)
      all.from.push_back(d);
    for (unsigned d = 0; d < shape.size(); ++d)
      all.to.push_back(d);
    all.extent = productOf(shape);
    groups.assign(1, all);
  } else if (!groups.empty()) {
    for (; i < from.size(); ++i)
      groups.back().from.push_back(i);
    for (; j < shape.size(); ++j)
      groups.back().to.push_back(j);
  }
  Extents middle;
  SmallVector<ReassociationIndices> collapse, expand;
  for (const Group &group : groups) {
    middle.push_back(group.extent);
    collapse.push_back(group.from);
    expand.push_back(group.to);
  }
  Value value = input;
  if (middle.size() != from.size())
    value = tensor::CollapseShapeOp::create(
        builder, loc, typeOf(middle, element), value, collapse);
  if (middle.size() != shape.size())
    value = tensor::ExpandShapeOp::create(builder, loc, typeOf(shape, element),
                                          value, expand, fold(shape));
  if (value == input) { // Only the spelling of an extent differs.
    if (ArrayRef<Extent>(shapeOf(input)) == ArrayRef<Extent>(shape))
      return input;
    value = tensor::CastOp::create(builder, loc, typeOf(shape, element), input);
  }
  setShape(value, shape);
  return value;
}

/// A reshape whose sizes fit together only if the run finds so. Equal extents
/// at the end are left out of it.
FailureOr<Value> GraphBuilder::reshapeInRun(Value input,
                                            ArrayRef<Extent> shape) {
  Extents from = shapeOf(input);
  unsigned tail = 0;
  while (tail < std::min(from.size(), shape.size()) &&
         from[from.size() - 1 - tail] == shape[shape.size() - 1 - tail] &&
         from[from.size() - 1 - tail].isConstant() &&
         !shape[shape.size() - 1 - tail].isConstant(0))
    ++tail;
  Extent have = productOf(ArrayRef(from).drop_back(tail)),
         want = productOf(shape.drop_back(tail));
  if (failed(requireEqual(
          have, want, "cannot reshape " + text(from) + " to " + text(shape))))
    return failure();
  if (canonical(have) == canonical(want))
    return reshape(input, shape);
  Extents flat{have};
  llvm::append_range(flat, shape.take_back(tail));
  FailureOr<Value> rows = reshape(input, flat);
  if (failed(rows))
    return failure();
  flat.front() = want;
  Value value = tensor::CastOp::create(builder, loc,
                                       typeOf(flat, elementOf(input)), *rows);
  setShape(value, flat);
  return reshape(value, shape);
}

/// What `value` holds in a wider type if it is a constant in f16 or bf16 that
/// the graph widens, else `value`. Products read such weights as they are.
static Value withoutWidening(GraphBuilder &g, Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 1 || op->getNumResults() != 1)
    return value;
  auto widened = op.getBody()
                     ->getTerminator()
                     ->getOperand(0)
                     .getDefiningOp<arith::ExtFOp>();
  Value source = op.getDpsInputs()[0];
  bool isWhole = widened && widened.getIn() == op.getBody()->getArgument(0) &&
                 widened.getType().isF32() &&
                 llvm::all_of(op.getIndexingMapsArray(),
                              [](AffineMap map) { return map.isIdentity(); });
  return isWhole && g.isConstant(source) ? source : value;
}

Value GraphBuilder::transpose(Value input, ArrayRef<int64_t> permutation) {
  if (llvm::is_sorted(permutation))
    return input;
  if (Value view = transposeConstant(input, permutation))
    return view;
  if (Value narrow = withoutWidening(*this, input); narrow != input)
    return *cast(transpose(narrow, permutation), elementOf(input));
  Extents from = shapeOf(input), shape;
  for (int64_t dim : permutation)
    shape.push_back(from[dim]);
  // Dimensions of one element move without any element that does.
  SmallVector<int64_t> moved(permutation);
  llvm::erase_if(moved, [&](int64_t dim) { return from[dim].isOne(); });
  if (llvm::is_sorted(moved))
    return *reshape(input, shape);
  Value init = empty(shape, elementOf(input));
  Value result =
      linalg::TransposeOp::create(builder, loc, input, init, permutation)
          ->getResult(0);
  setShape(result, shape);
  return result;
}

Value GraphBuilder::slice(Value input, ArrayRef<Extent> offsets,
                          ArrayRef<Extent> sizes, ArrayRef<int64_t> steps) {
  Extents from = shapeOf(input);
  if (ArrayRef<Extent>(from) == sizes &&
      llvm::all_of(offsets, [](const Extent &e) { return e.isConstant(0); }) &&
      llvm::all_of(steps, [](int64_t step) { return step == 1; }))
    return input;
  // Its offset may be the end, and of nothing there is no slice.
  if (productOf(sizes).isConstant(0) || productOf(from).isConstant(0))
    return empty(sizes, elementOf(input));
  auto constant = [](const Extent &e) { return e.isConstant(); };
  if (llvm::all_of(offsets, constant) && llvm::all_of(sizes, constant)) {
    SmallVector<int64_t> begin, count;
    for (auto [offset, size] : llvm::zip(offsets, sizes)) {
      begin.push_back(offset.getConstant());
      count.push_back(size.getConstant());
    }
    if (Value view = sliceConstant(input, begin, count, steps))
      return view;
  }
  SmallVector<OpFoldResult> strides;
  for (int64_t step : steps)
    strides.push_back(builder.getIndexAttr(step));
  Value result = tensor::ExtractSliceOp::create(
      builder, loc, typeOf(sizes, elementOf(input)), input, fold(offsets),
      fold(sizes), strides);
  setShape(result, sizes);
  return result;
}

FailureOr<Value> GraphBuilder::concat(ValueRange inputs, int64_t axis) {
  Extents shape = shapeOf(inputs.front());
  for (Value input : inputs.drop_front()) {
    Extents other = shapeOf(input);
    if (other.size() != shape.size())
      return fail("cannot concatenate tensors of shapes " + text(shape) +
                  " and " + text(other));
    for (unsigned dim = 0; dim < shape.size(); ++dim)
      if (int64_t(dim) == axis)
        shape[dim] = add(shape[dim], other[dim]);
      else if (shape[dim] != other[dim]) {
        if (!isDecidedInRun(shape[dim]) && !isDecidedInRun(other[dim]))
          return fail("cannot concatenate tensors of shapes " + text(shape) +
                      " and " + text(other) + " along axis " + Twine(axis));
        if (failed(
                requireEqual(shape[dim], other[dim],
                             "cannot concatenate along axis " + Twine(axis))))
          return failure();
        if (!isDecidedInRun(other[dim]))
          shape[dim] = other[dim];
      }
  }
  SmallVector<Value> parts; // An empty one would begin at the end.
  for (Value input : inputs)
    if (!shapeOf(input)[axis].isConstant(0))
      parts.push_back(input);
  if (parts.empty())
    return inputs.front();
  if (parts.size() == 1)
    return parts.front();
  Value result = tensor::ConcatOp::create(
      builder, loc, typeOf(shape, elementOf(inputs.front())), uint64_t(axis),
      parts);
  setShape(result, shape);
  return result;
}

//===-- Element types
//---------------------------------------------------------===//

static Value castScalar(OpBuilder &at, Location loc, Value x, Type to) {
  Type from = x.getType();
  auto integer = [&](Type type) { // arith knows signless integers only
    return IntegerType::get(at.getContext(), type.getIntOrFloatBitWidth());
  };
  bool fromUnsigned = from.isInteger(1) || from.isUnsignedInteger();
  if (isa<IntegerType>(from) && !from.isSignlessInteger())
    x = UnrealizedConversionCastOp::create(at, loc, integer(from), x)
            .getResult(0);
  from = x.getType();
  auto finish = [&](Value value) {
    if (value.getType() != to)
      value =
          UnrealizedConversionCastOp::create(at, loc, to, value).getResult(0);
    return value;
  };
  auto number = [&](Type type, double value) -> Value {
    return arith::ConstantOp::create(at, loc, at.getFloatAttr(type, value));
  };
  bool toUnsigned = to.isUnsignedInteger();
  if (isa<FloatType>(from) && isa<FloatType>(to)) {
    unsigned a = from.getIntOrFloatBitWidth(), b = to.getIntOrFloatBitWidth();
    if (a == b) { // f16 and bf16
      x = arith::ExtFOp::create(at, loc, at.getF32Type(), x);
      return arith::TruncFOp::create(at, loc, to, x);
    }
    if (a < b)
      return arith::ExtFOp::create(at, loc, to, x);
    return arith::TruncFOp::create(at, loc, to, x);
  }
  if (isa<FloatType>(from)) {
    if (to.isInteger(1))
      return arith::CmpFOp::create(at, loc, arith::CmpFPredicate::UNE, x,
                                   number(from, 0));
    if (from.getIntOrFloatBitWidth() < 32) {
      x = arith::ExtFOp::create(at, loc, at.getF32Type(), x);
      from = x.getType();
    }
    // Truncate what fits; saturate what does not; NaN gives 0.
    unsigned width = to.getIntOrFloatBitWidth();
    Type plain = integer(to);
    double low = toUnsigned ? 0.0 : -std::ldexp(1.0, width - 1);
    double high = std::ldexp(1.0, toUnsigned ? width : width - 1);
    APInt least = toUnsigned ? APInt::getMinValue(width)
                             : APInt::getSignedMinValue(width);
    APInt most = toUnsigned ? APInt::getMaxValue(width)
                            : APInt::getSignedMaxValue(width);
    Value above = arith::CmpFOp::create(at, loc, arith::CmpFPredicate::OGE, x,
                                        number(from, high));
    Value below = arith::CmpFOp::create(at, loc, arith::CmpFPredicate::OLT, x,
                                        number(from, low));
    Value ordered =
        arith::CmpFOp::create(at, loc, arith::CmpFPredicate::ORD, x, x);
    Value outside = arith::OrIOp::create(at, loc, above, below);
    Value zero = number(from, 0);
    Value safe = arith::SelectOp::create(at, loc, outside, zero, x);
    safe = arith::SelectOp::create(at, loc, ordered, safe, zero);
    Value result = toUnsigned
                       ? Value(arith::FPToUIOp::create(at, loc, plain, safe))
                       : Value(arith::FPToSIOp::create(at, loc, plain, safe));
    auto limit = [&](const APInt &value) -> Value {
      return arith::ConstantOp::create(at, loc, IntegerAttr::get(plain, value));
    };
    result = arith::SelectOp::create(at, loc, above, limit(most), result);
    return finish(
        arith::SelectOp::create(at, loc, below, limit(least), result));
  }
  if (isa<FloatType>(to)) {
    if (fromUnsigned)
      return arith::UIToFPOp::create(at, loc, to, x);
    return arith::SIToFPOp::create(at, loc, to, x);
  }
  if (to.isInteger(1)) {
    Value zero = arith::ConstantOp::create(at, loc, at.getIntegerAttr(from, 0));
    return arith::CmpIOp::create(at, loc, arith::CmpIPredicate::ne, x, zero);
  }
  unsigned a = from.getIntOrFloatBitWidth(), b = to.getIntOrFloatBitWidth();
  if (a < b)
    x = fromUnsigned ? Value(arith::ExtUIOp::create(at, loc, integer(to), x))
                     : Value(arith::ExtSIOp::create(at, loc, integer(to), x));
  else if (a > b)
    x = arith::TruncIOp::create(at, loc, integer(to), x);
  return finish(x);
}

FailureOr<Value> GraphBuilder::cast(Value input, Type element) {
  if (elementOf(input) == element)
    return input;
  return elementwise(input, element,
                     [&](OpBuilder &at, Location where, ValueRange x) {
                       return castScalar(at, where, x.front(), element);
                     });
}

//===-- Products
//-----------------------------------------------------------------===//

FailureOr<Value> GraphBuilder::contract(Value rows, Value weight,
                                        Type element) {
  Extents shape = shapeOf(rows), right = shapeOf(weight);
  if (!element)
    element = elementOf(rows);
  if (right.size() == 2 && !shape.empty() && isDecidedInRun(shape.back())) {
    shape.back() = right[0];
    FailureOr<Value> checkedRows = reshape(rows, shape);
    if (failed(checkedRows))
      return failure();
    rows = *checkedRows;
  }
  if (right.size() != 2 || shape.empty() || shape.back() != right[0])
    return fail("cannot multiply " + text(shape) + " with " + text(right) +
                ": the inner sizes differ");
  if (!params.contains(weight)) {
    weight = asWeight(weight);
    if (!weight)
      return fail("internal: the right side of a contraction is no constant");
  }
  Extents outer(shape.begin(), shape.end() - 1);
  FailureOr<Value> flat = reshape(rows, {productOf(outer), shape.back()});
  if (failed(flat))
    return failure();
  Extents flatShape{productOf(outer), right[1]};
  Value product = gate::ContractOp::create(
      builder, loc, typeOf(flatShape, element), *flat, weight);
  setShape(product, flatShape);
  outer.push_back(right[1]);
  return reshape(product, outer);
}

FailureOr<Value> GraphBuilder::matmul(Value a, Value b, Type rounded) {
  Extents left = shapeOf(a), right = shapeOf(b);
  Type element = elementOf(a);
  if (!rounded)
    rounded = element;
  if (left.empty() || right.empty())
    return fail("expects operands of rank 1 or more");
  if (elementOf(b) != element &&
      !(element.isF32() && gate::isNarrowFloat(elementOf(b))))
    return fail("expects operands of one element type");
  if (left.size() == 1 ||
      right.size() == 1) { // as [1, K] and [K, 1], then drop the 1
    Extents row{Extent(1), left.back()}, column{right.front(), Extent(1)};
    FailureOr<Value> x =
        left.size() == 1 ? reshape(a, row) : FailureOr<Value>(a);
    FailureOr<Value> y =
        right.size() == 1 ? reshape(b, column) : FailureOr<Value>(b);
    if (failed(x) || failed(y))
      return failure();
    FailureOr<Value> product = matmul(*x, *y, rounded);
    if (failed(product))
      return failure();
    Extents shape = shapeOf(*product);
    if (right.size() == 1)
      shape.pop_back();
    if (left.size() == 1)
      shape.erase(shape.end() - (right.size() == 1 ? 1 : 2));
    return reshape(*product, shape);
  }
  if (Value weight = withoutWidening(*this, b);
      right.size() == 2 && isa<FloatType>(element) && isConstant(weight))
    return contract(a, weight, rounded);
  const Extent &inner = right[right.size() - 2];
  if (left.back() != inner &&
      (isDecidedInRun(left.back()) || isDecidedInRun(inner))) {
    if (failed(requireEqual(left.back(), inner, "the inner sizes differ")))
      return failure();
  } else if (left.back() != inner)
    return fail("cannot multiply " + text(left) + " with " + text(right) +
                ": the inner sizes " + text(left.back()) + " and " +
                text(right[right.size() - 2]) + " are not known to be equal");
  Extents leftBatch(left.begin(), left.end() - 2),
      rightBatch(right.begin(), right.end() - 2);
  FailureOr<Extents> batch = broadcast({leftBatch, rightBatch});
  if (failed(batch))
    return failure();
  // Iterators (batch..., m, k, n): n is innermost.
  unsigned count = batch->size(), rank = count + 3;
  auto exprs = [&](const Extents &have, unsigned row, unsigned column) {
    SmallVector<AffineExpr> result;
    for (auto [dim, extent] : llvm::enumerate(have)) {
      unsigned to = dim + count - have.size();
      result.push_back(extent.isOne() && !(*batch)[to].isOne()
                           ? builder.getAffineConstantExpr(0)
                           : builder.getAffineDimExpr(to));
    }
    result.push_back(builder.getAffineDimExpr(row));
    result.push_back(builder.getAffineDimExpr(column));
    return AffineMap::get(rank, 0, result, getContext());
  };
  AffineMap maps[] = {exprs(leftBatch, count, count + 1),
                      exprs(rightBatch, count + 1, count + 2),
                      exprs(*batch, count, count + 2)};
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  iterators[count + 1] = utils::IteratorType::reduction;
  bool isFloat = isa<FloatType>(element);
  Type accumulator = gate::computedIn(element);
  Extents shape = *batch;
  shape.push_back(left[left.size() - 2]);
  shape.push_back(right.back());
  Value result =
      generic({a, b}, filled(shape, scalar(accumulator, 0)), maps, iterators,
              [&](OpBuilder &at, Location where, ValueRange x) {
                Value p = x[0], q = x[1];
                for (Value *factor : {&p, &q})
                  if (gate::isNarrowFloat(factor->getType()))
                    *factor =
                        arith::ExtFOp::create(at, where, accumulator, *factor);
                if (isFloat) {
                  p = arith::MulFOp::create(at, where, p, q);
                  return SmallVector<Value>{
                      arith::AddFOp::create(at, where, x[2], p)};
                }
                p = arith::MulIOp::create(at, where, p, q);
                return SmallVector<Value>{
                    arith::AddIOp::create(at, where, x[2], p)};
              })
          .front();
  return cast(result, rounded);
}
