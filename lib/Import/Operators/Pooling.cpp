// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// MaxPool, AveragePool, LpPool and their global forms: reductions over windows.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Places.h"
#include "lib/Import/Operators/Windows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

/// Folds what each window holds of `input`, in order, into results that start
/// as `inits`. `body` takes the places of the element, the element (what
/// `outside` is in the padding) and the accumulators.
static SmallVector<Value> foldWindows(
    GraphBuilder &g, const Windows &w, Value input, Value outside,
    ValueRange inits,
    function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange places,
                                    Value element, ValueRange accumulators)>
        body) {
  Extents shape = g.shapeOf(input);
  unsigned rank = shape.size(), loops = rank + w.rank();
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  iterators.append(w.rank(), utils::IteratorType::reduction);
  // Only the places along the windows' axes can be outside.
  SmallVector<Value> before, sizes(2);
  for (const Extent &extent : w.input)
    sizes.push_back(g.materialize(extent));
  for (const Extent &extent : w.before)
    before.push_back(g.materialize(extent));
  // Nothing is read of this tensor; its shape is that of a window.
  Extents kernel(w.kernel.begin(), w.kernel.end());
  Value window = g.empty(kernel, g.getBuilder().getI8Type());
  SmallVector<AffineExpr> inner, outer;
  for (unsigned dim = 0; dim < loops; ++dim)
    (dim < rank ? outer : inner)
        .push_back(g.getBuilder().getAffineDimExpr(dim));
  SmallVector<AffineMap> maps{AffineMap::get(loops, 0, inner, g.getContext())};
  maps.append(inits.size(), AffineMap::get(loops, 0, outer, g.getContext()));
  return g.generic(window, inits, maps, iterators,
                   [&](OpBuilder &at, Location loc, ValueRange x) {
                     SmallVector<Value> places;
                     for (unsigned dim = 0; dim < rank; ++dim) {
                       Value place = linalg::IndexOp::create(at, loc, dim);
                       if (dim >= 2)
                         place = windowPlace(
                             at, loc, w, dim - 2, before[dim - 2], place,
                             linalg::IndexOp::create(at, loc, rank + dim - 2));
                       places.push_back(place);
                     }
                     Value element =
                         readInside(at, loc, input, places, sizes, outside);
                     return body(at, loc, places, element, x.drop_front());
                   });
}

static FailureOr<Windows> pooledWindows(GraphBuilder &g,
                                        const OperatorCall &call) {
  auto kernel = call.integers("kernel_shape");
  if (!kernel)
    return g.fail("expects the attribute kernel_shape");
  return windowsOf(g, call, g.shapeOf(call.operand(0)), *kernel);
}

static Extents pooledShape(const Extents &shape, const Windows &w) {
  Extents result{shape[0], shape[1]};
  result.append(w.output.begin(), w.output.end());
  return result;
}

OperatorResults gatecc::lowerMaxPool(GraphBuilder &g,
                                     const OperatorCall &call) {
  Value input = call.operand(0);
  if (failed(checkNumbers(g, input)))
    return failure();
  FailureOr<Windows> w = pooledWindows(g, call);
  if (failed(w))
    return failure();
  Extents shape = g.shapeOf(input), result = pooledShape(shape, *w);
  Type element = elementOf(input), i64 = g.getBuilder().getI64Type();
  Value least = g.constant(lowest(element));
  if (call.numResults < 2)
    return foldWindows(g, *w, input, least, g.filled(result, least),
                       [&](OpBuilder &at, Location loc, ValueRange,
                           Value element, ValueRange best) {
                         return SmallVector<Value>{
                             Scalars(at, loc).max(best[0], element)};
                       });
  // The place of the first largest element in the whole, flattened input.
  bool columnMajor = call.integer("storage_order", 0) != 0;
  SmallVector<unsigned> order{0, 1};
  for (unsigned axis = 0; axis < w->rank(); ++axis)
    order.push_back(columnMajor ? shape.size() - 1 - axis : axis + 2);
  SmallVector<Value> sizes;
  for (const Extent &extent : shape)
    sizes.push_back(g.materialize(extent));
  return foldWindows(
      g, *w, input, least,
      {g.filled(result, least), g.filled(result, g.scalar(i64, -1))},
      [&](OpBuilder &at, Location loc, ValueRange places, Value element,
          ValueRange best) {
        Scalars s(at, loc);
        Value flat = s.like(places[0], 0), inside;
        for (unsigned dim : order)
          flat = s.add(s.mul(flat, sizes[dim]), places[dim]);
        for (unsigned dim = 2; dim < shape.size(); ++dim) {
          Value fits = arith::CmpIOp::create(at, loc, arith::CmpIPredicate::ult,
                                             places[dim], sizes[dim]);
          inside = inside ? arith::AndIOp::create(at, loc, inside, fits) : fits;
        }
        Value none = s.less(best[1], s.like(best[1], 0));
        Value better =
            arith::OrIOp::create(at, loc, none, s.less(best[0], element));
        if (isa<FloatType>(element.getType())) // The first NaN stays.
          better = arith::OrIOp::create(
              at, loc, better,
              arith::AndIOp::create(
                  at, loc, s.isNaN(element),
                  arith::CmpFOp::create(at, loc, arith::CmpFPredicate::ORD,
                                        best[0], best[0])));
        better = arith::AndIOp::create(at, loc, better, inside);
        flat = arith::IndexCastOp::create(at, loc, i64, flat);
        return SmallVector<Value>{s.select(better, element, best[0]),
                                  s.select(better, flat, best[1])};
      });
}

static FailureOr<Value> root(GraphBuilder &g, Value sum, int64_t p) {
  return g.elementwise(sum, elementOf(sum),
                       [&](OpBuilder &at, Location loc, ValueRange x) {
                         return Scalars(at, loc).root(x[0], p);
                       });
}

/// The sums of windows divided by the number of elements that they hold.
static FailureOr<Value> averaged(GraphBuilder &g, const Windows &w, Value sum,
                                 bool withPadding) {
  unsigned rank = g.rankOf(sum);
  SmallVector<Value> before, low, high;
  for (unsigned axis = 0; axis < w.rank(); ++axis) {
    before.push_back(g.materialize(w.before[axis]));
    high.push_back(g.materialize(
        withPadding ? g.add(w.input[axis], w.after[axis]) : w.input[axis]));
  }
  AffineMap map = g.getBuilder().getMultiDimIdentityMap(rank);
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  Type element = elementOf(sum);
  return g
      .generic(
          sum, g.empty(g.shapeOf(sum), element), {map, map}, iterators,
          [&](OpBuilder &at, Location loc, ValueRange x) {
            Scalars s(at, loc);
            Value count;
            for (unsigned axis = 0; axis < w.rank(); ++axis) {
              Value output = linalg::IndexOp::create(at, loc, axis + 2);
              Value zero = s.like(output, 0);
              Value kernel = s.like(output, double(w.kernel[axis]));
              Value dilation = s.like(output, double(w.dilations[axis]));
              Value first =
                  windowPlace(at, loc, w, axis, before[axis], output, zero);
              // The offsets from which elements are at `bound` or behind it.
              auto offset = [&](Value bound) {
                Value distance = s.sub(bound, first);
                Value steps =
                    arith::CeilDivSIOp::create(at, loc, distance, dilation);
                return s.max(s.min(steps, kernel), zero);
              };
              Value begin = withPadding ? zero : offset(zero);
              Value part = s.sub(offset(high[axis]), begin);
              count = count ? s.mul(count, part) : part;
            }
            count = s.max(count, s.like(count, 1));
            count = arith::IndexCastOp::create(at, loc, at.getI64Type(), count);
            Value divisor = arith::SIToFPOp::create(at, loc, element, count);
            return SmallVector<Value>{s.div(x[0], divisor)};
          })
      .front();
}

OperatorResults gatecc::lowerAveragePool(GraphBuilder &g,
                                         const OperatorCall &call) {
  if (failed(checkFloat(g, call.operand(0))))
    return failure();
  FailureOr<Windows> w = pooledWindows(g, call);
  FailureOr<Value> input = widened(g, call.operand(0));
  if (failed(w) || failed(input))
    return failure();
  Type element = elementOf(*input);
  Extents result = pooledShape(g.shapeOf(*input), *w);
  bool isLp = call.op == "LpPool";
  int64_t p = call.integer("p", 2);
  if (isLp && p < 1)
    return g.fail("expects p above 0");
  Value zero = g.scalar(element, 0);
  Value sum = foldWindows(g, *w, *input, zero, g.filled(result, zero),
                          [&](OpBuilder &at, Location loc, ValueRange,
                              Value element, ValueRange sums) {
                            Scalars s(at, loc);
                            Value term =
                                isLp ? s.absolutePower(element, p) : element;
                            return SmallVector<Value>{s.add(sums[0], term)};
                          })
                  .front();
  FailureOr<Value> value =
      isLp ? root(g, sum, p)
           : averaged(g, *w, sum, call.integer("count_include_pad", 0) != 0);
  if (failed(value))
    return failure();
  return one(g.cast(*value, elementOf(call.operand(0))));
}

OperatorResults gatecc::lowerGlobalPool(GraphBuilder &g,
                                        const OperatorCall &call) {
  if (failed(checkFloat(g, call.operand(0))))
    return failure();
  FailureOr<Value> input = widened(g, call.operand(0));
  if (failed(input))
    return failure();
  Extents shape = g.shapeOf(*input);
  if (shape.size() < 3)
    return g.fail("expects a tensor of rank 3 or more, got " + g.text(shape));
  SmallVector<int64_t> axes =
      llvm::to_vector(llvm::seq<int64_t>(2, shape.size()));
  bool isMax = call.op == "GlobalMaxPool", isLp = call.op == "GlobalLpPool";
  int64_t p = call.integer("p", 2);
  if (isLp && p < 1)
    return g.fail("expects p above 0");
  Type element = elementOf(*input);
  Value init = isMax ? g.constant(lowest(element)) : g.scalar(element, 0);
  FailureOr<Value> value =
      g.reduce(*input, axes, /*keepDims=*/true, init,
               [&](OpBuilder &at, Location loc, ValueRange x) {
                 Scalars s(at, loc);
                 if (isMax)
                   return s.max(x[1], x[0]);
                 return s.add(x[1], isLp ? s.absolutePower(x[0], p) : x[0]);
               });
  if (isLp)
    value = root(g, *value, p);
  if (!isMax && !isLp) {
    FailureOr<Value> count =
        g.countTensor(productOf(ArrayRef(shape).drop_front(2)), element);
    if (failed(count))
      return failure();
    value = g.elementwise({*value, *count}, element,
                          [](OpBuilder &at, Location loc, ValueRange x) {
                            return Scalars(at, loc).div(x[0], x[1]);
                          });
  }
  if (failed(value))
    return failure();
  return one(g.cast(*value, elementOf(call.operand(0))));
}
