// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Conv as a product of gathered windows with the weights (one group) or as a
// direct sum (several), ConvTranspose and CausalConvWithState as direct sums.
#include "lib/Import/Operators/Convolution.h"

#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Places.h"
#include "lib/Import/Operators/Windows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace gatecc;

/// bias[channel] + value[:, channel, ...], as values of type `element`.
static OperatorResults withBias(GraphBuilder &g, Value value, Value bias,
                                Type element) {
  if (bias) {
    if (failed(checkComputedAs(g, bias, value)))
      return failure();
    Extents shape = g.shapeOf(value);
    if (g.shapeOf(bias) != Extents{shape[1]})
      return g.fail("expects a bias for each of the " + g.text(shape[1]) +
                    " channels, got " + g.text(g.shapeOf(bias)));
    Extents column(shape.size() - 1, Extent(1));
    column[0] = shape[1];
    FailureOr<Value> spread = g.reshape(bias, column);
    FailureOr<Value> wide = succeeded(spread) ? widened(g, *spread) : spread;
    if (failed(wide))
      return failure();
    FailureOr<Value> sum =
        g.elementwise({value, *wide}, elementOf(value),
                      [](OpBuilder &at, Location loc, ValueRange x) {
                        return Scalars(at, loc).add(x[0], x[1]);
                      });
    if (failed(sum))
      return failure();
    value = *sum;
  }
  return one(g.cast(value, element));
}

/// Whether each window is one element, and each element is a window.
static bool areElements(const Windows &w) {
  auto isNone = [](const Extent &extent) { return extent.isConstant(0); };
  auto isUnit = [](int64_t size) { return size == 1; };
  return llvm::all_of(w.kernel, isUnit) && llvm::all_of(w.strides, isUnit) &&
         llvm::all_of(w.before, isNone) && llvm::all_of(w.after, isNone);
}

/// The elements under each window as rows [N * windows, C * kernel].
static FailureOr<Value> windowRows(GraphBuilder &g, Value input,
                                   const Windows &w) {
  Extents shape = g.shapeOf(input), places{shape[0]};
  if (areElements(w)) {
    Extent elements = productOf(ArrayRef(shape).drop_front(2));
    FailureOr<Value> flat = g.reshape(input, {shape[0], shape[1], elements});
    if (failed(flat))
      return failure();
    return g.reshape(g.transpose(*flat, {0, 2, 1}),
                     {shape[0] * elements, shape[1]});
  }
  places.append(w.output.begin(), w.output.end());
  places.push_back(shape[1]);
  for (int64_t size : w.kernel)
    places.push_back(Extent(size));
  unsigned rank = w.rank();
  // Only the places along the windows' axes can be outside.
  SmallVector<Value> sizes(2), before;
  for (const Extent &extent : w.input)
    sizes.push_back(g.materialize(extent));
  for (const Extent &extent : w.before)
    before.push_back(g.materialize(extent));
  Type element = elementOf(input);
  Value gathered = fillPlaces(
      g, places, element, [&](OpBuilder &at, Location loc, ValueRange i) {
        SmallVector<Value> from{i[0], i[rank + 1]};
        for (unsigned axis = 0; axis < rank; ++axis)
          from.push_back(windowPlace(at, loc, w, axis, before[axis],
                                     i[axis + 1], i[rank + 2 + axis]));
        return readInside(at, loc, input, from, sizes,
                          Scalars(at, loc).number(element, 0));
      });
  return g.reshape(gathered,
                   {shape[0] * productOf(w.output),
                    shape[1] * productOf(ArrayRef(places).take_back(rank))});
}

static FailureOr<Value> convolveByProduct(GraphBuilder &g, Value input,
                                          Value weight, const Windows &w) {
  Extents shape = g.shapeOf(weight);
  Extent batch = g.shapeOf(input)[0];
  FailureOr<Value> rows = windowRows(g, input, w);
  FailureOr<Value> matrix =
      g.reshape(weight, {shape[0], productOf(ArrayRef(shape).drop_front())});
  if (failed(rows) || failed(matrix))
    return failure();
  FailureOr<Value> product = g.matmul(*rows, g.transpose(*matrix, {1, 0}));
  if (failed(product))
    return failure();
  FailureOr<Value> apart =
      g.reshape(*product, {batch, productOf(w.output), shape[0]});
  if (failed(apart))
    return failure();
  Extents result{batch, shape[0]};
  result.append(w.output.begin(), w.output.end());
  return g.reshape(g.transpose(*apart, {0, 2, 1}), result);
}

/// out[n, g, m, o...] = sum over c, k... of x[n, g, c, place(o, k)] times
/// w[g, m, c, k...], or w[g, c, m, k...] if `channelsFirst`; `place` gives
/// where to read along an axis, outside of it for nothing.
static FailureOr<Value>
convolveDirectly(GraphBuilder &g, Value input, Value weight, int64_t groups,
                 bool channelsFirst, ArrayRef<Extent> output,
                 function_ref<Value(OpBuilder &, Location, unsigned axis,
                                    Value output, Value offset)>
                     place) {
  Extents shape = g.shapeOf(input), kernel = g.shapeOf(weight);
  unsigned rank = output.size();
  Extent count(groups);
  std::optional<Extent> channels = shape[1].dividedBy(count);
  std::optional<Extent> filters =
      channelsFirst ? std::optional(kernel[1]) : kernel[0].dividedBy(count);
  if (!channels || !filters ||
      (channelsFirst ? kernel[0] != shape[1] : kernel[1] != *channels))
    return g.fail("the weight " + g.text(kernel) +
                  " does not fit to an input " + g.text(shape) + " in " +
                  Twine(groups) + " groups");
  Extents inputShape{shape[0], count, *channels};
  inputShape.append(shape.begin() + 2, shape.end());
  Extents weightShape = channelsFirst ? Extents{count, *channels, *filters}
                                      : Extents{count, *filters, *channels};
  weightShape.append(kernel.begin() + 2, kernel.end());
  Extents resultShape{shape[0], count, *filters};
  resultShape.append(output.begin(), output.end());
  FailureOr<Value> x = g.reshape(input, inputShape);
  FailureOr<Value> w = g.reshape(weight, weightShape);
  if (failed(x) || failed(w))
    return failure();
  // Loops n, g, m, o..., c, k...
  unsigned loops = 4 + 2 * rank, channel = 3 + rank;
  SmallVector<utils::IteratorType> iterators(channel,
                                             utils::IteratorType::parallel);
  iterators.append(1 + rank, utils::IteratorType::reduction);
  auto dim = [&](unsigned loop) {
    return g.getBuilder().getAffineDimExpr(loop);
  };
  SmallVector<AffineExpr> weights{dim(1), dim(channelsFirst ? channel : 2),
                                  dim(channelsFirst ? 2 : channel)};
  SmallVector<AffineExpr> results{dim(0), dim(1), dim(2)};
  for (unsigned axis = 0; axis < rank; ++axis) {
    weights.push_back(dim(channel + 1 + axis));
    results.push_back(dim(3 + axis));
  }
  AffineMap maps[] = {AffineMap::get(loops, 0, weights, g.getContext()),
                      AffineMap::get(loops, 0, results, g.getContext())};
  SmallVector<Value> sizes(3);
  for (const Extent &extent : ArrayRef(inputShape).drop_front(3))
    sizes.push_back(g.materialize(extent));
  Type element = elementOf(input);
  Value sum =
      g.generic(*w, g.filled(resultShape, g.scalar(element, 0)), maps,
                iterators,
                [&](OpBuilder &at, Location loc, ValueRange v) {
                  Scalars s(at, loc);
                  auto index = [&](unsigned loop) {
                    return linalg::IndexOp::create(at, loc, loop);
                  };
                  SmallVector<Value> from{index(0), index(1), index(channel)};
                  for (unsigned axis = 0; axis < rank; ++axis)
                    from.push_back(place(at, loc, axis, index(3 + axis),
                                         index(channel + 1 + axis)));
                  Value element =
                      readInside(at, loc, *x, from, sizes, s.like(v[0], 0));
                  return SmallVector<Value>{s.add(v[1], s.mul(element, v[0]))};
                })
          .front();
  Extents flat{shape[0], count * *filters};
  flat.append(output.begin(), output.end());
  return g.reshape(sum, flat);
}

namespace {
/// What both convolutions take, in the type that they are computed in.
struct Convolved {
  Value input, weight;
  SmallVector<int64_t> kernel;
  int64_t groups;
};
} // namespace

static FailureOr<Convolved> convolved(GraphBuilder &g, const OperatorCall &call,
                                      Value input, Value weight) {
  Extents kernel = g.shapeOf(weight);
  if (kernel.size() < 3 || g.rankOf(input) != kernel.size())
    return g.fail("expects an input and a weight of one rank, 3 or more, got " +
                  g.text(g.shapeOf(input)) + " and " + g.text(kernel));
  Convolved result{input, weight, {}, call.integer("group", 1)};
  for (const Extent &size : ArrayRef(kernel).drop_front(2)) {
    if (!size.isConstant())
      return g.fail("supports only weights of constant shape, got " +
                    g.text(kernel));
    result.kernel.push_back(size.getConstant());
  }
  if (auto given = call.integers("kernel_shape");
      given && *given != result.kernel)
    return g.fail("expects a kernel_shape that is the weight's, got " +
                  g.text(kernel));
  if (result.groups < 1)
    return g.fail("expects at least one group");
  return result;
}

/// The same of the operands 0 and 1, which hold floats.
static FailureOr<Convolved> convolved(GraphBuilder &g,
                                      const OperatorCall &call) {
  Value input = call.operand(0), weight = call.operand(1);
  if (failed(checkFloat(g, input)) || failed(checkNumbers(g, {input, weight})))
    return failure();
  // A product takes constant weights as they are.
  bool isProduct = call.op == "Conv" && call.integer("group", 1) == 1 &&
                   g.isConstant(weight);
  FailureOr<Value> x = widened(g, input),
                   w = isProduct ? weight : widened(g, weight);
  if (failed(x) || failed(w))
    return failure();
  return convolved(g, call, *x, *w);
}

static FailureOr<Value> convolution(GraphBuilder &g, const OperatorCall &call,
                                    const Convolved &c) {
  Extents shape = g.shapeOf(c.input);
  FailureOr<Windows> w = windowsOf(g, call, shape, c.kernel);
  if (failed(w))
    return failure();
  if (c.groups == 1) {
    if (g.shapeOf(c.weight)[1] != shape[1])
      return g.fail("the weight " + g.text(g.shapeOf(c.weight)) +
                    " does not fit to an input " + g.text(shape));
    return convolveByProduct(g, c.input, c.weight, *w);
  }
  SmallVector<Value> before;
  for (const Extent &extent : w->before)
    before.push_back(g.materialize(extent));
  return convolveDirectly(
      g, c.input, c.weight, c.groups, /*channelsFirst=*/false, w->output,
      [&](OpBuilder &at, Location loc, unsigned axis, Value output,
          Value offset) {
        return windowPlace(at, loc, *w, axis, before[axis], output, offset);
      });
}

FailureOr<Value> gatecc::convolution(GraphBuilder &g, const OperatorCall &call,
                                     Value input, Value weight) {
  FailureOr<Convolved> c = convolved(g, call, input, weight);
  if (failed(c))
    return failure();
  return ::convolution(g, call, *c);
}

OperatorResults gatecc::lowerConv(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Convolved> c = convolved(g, call);
  if (failed(c))
    return failure();
  FailureOr<Value> result = ::convolution(g, call, *c);
  if (failed(result))
    return failure();
  return withBias(g, *result, call.operand(2), elementOf(call.operand(0)));
}

OperatorResults gatecc::lowerConvTranspose(GraphBuilder &g,
                                           const OperatorCall &call) {
  FailureOr<Convolved> c = convolved(g, call);
  if (failed(c))
    return failure();
  Extents shape = g.shapeOf(c->input);
  unsigned rank = shape.size() - 2;
  auto strides = positiveList(g, call, "strides", rank);
  auto dilations = positiveList(g, call, "dilations", rank);
  if (failed(strides) || failed(dilations))
    return failure();
  SmallVector<int64_t> more =
      call.integers("output_padding").value_or(SmallVector<int64_t>(rank, 0));
  SmallVector<int64_t> pads =
      call.integers("pads").value_or(SmallVector<int64_t>(2 * rank, 0));
  auto wanted = call.integers("output_shape");
  StringRef automatic = call.string("auto_pad", "NOTSET");
  bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
  if (more.size() != rank || pads.size() != 2 * rank ||
      (wanted && wanted->size() != rank))
    return g.fail("expects output_padding, pads and output_shape for " +
                  Twine(rank) + " axes");
  if (automatic == "VALID")
    pads.assign(2 * rank, 0);
  Extents output;
  SmallVector<Value> before, sizes;
  for (unsigned axis = 0; axis < rank; ++axis) {
    const Extent &size = shape[axis + 2];
    Extent stride((*strides)[axis]);
    Extent full = g.add(
        g.subtract(size, Extent(1)) * stride,
        Extent(more[axis] + (c->kernel[axis] - 1) * (*dilations)[axis] + 1));
    Extent begin(pads[axis]);
    if (wanted || same) {
      output.push_back(wanted ? Extent((*wanted)[axis]) : size * stride);
      Extent total = g.maximum(g.subtract(full, output.back()), Extent(0));
      Extent half = g.floorDivide(total, 2);
      begin = automatic == "SAME_UPPER" ? half : g.subtract(total, half);
    } else {
      output.push_back(
          g.subtract(full, Extent(pads[axis] + pads[axis + rank])));
    }
    Extent &last = output.back();
    if (last.isConstant() ? last.getConstant() < 0 : !g.isKnownSize(last))
      last = g.maximum(last, Extent(0));
    before.push_back(g.materialize(begin));
    sizes.push_back(g.materialize(size));
  }
  FailureOr<Value> result = convolveDirectly(
      g, c->input, c->weight, c->groups, /*channelsFirst=*/true, output,
      [&](OpBuilder &at, Location loc, unsigned axis, Value place,
          Value offset) -> Value {
        Scalars s(at, loc);
        // The input's element e meets offset o at place e * stride + o *
        // dilation - before.
        Value step = s.mul(offset, s.like(offset, double((*dilations)[axis])));
        Value distance = s.sub(s.add(place, before[axis]), step);
        Value stride = s.like(distance, double((*strides)[axis]));
        Value element = arith::FloorDivSIOp::create(at, loc, distance, stride);
        Value exact = s.equal(s.mul(element, stride), distance);
        return s.select(exact, element, s.like(element, -1));
      });
  if (failed(result))
    return failure();
  return withBias(g, *result, call.operand(2), elementOf(call.operand(0)));
}

OperatorResults gatecc::lowerCausalConv(GraphBuilder &g,
                                        const OperatorCall &call) {
  Value input = call.operand(0), weight = call.operand(1),
        past = call.operand(3);
  if (failed(checkFloat(g, input)) || failed(checkNumbers(g, {input, weight})))
    return failure();
  Extents shape = g.shapeOf(input), kernel = g.shapeOf(weight);
  if (shape.size() != 3 || kernel.size() != 3 || !kernel[1].isOne() ||
      kernel[0] != shape[1] || !kernel[2].isConstant() ||
      kernel[2].getConstant() < 1 || !shape[1].isConstant())
    return g.fail(
        "supports only an input [B, C, L] and a weight [C, 1, K] with "
        "constant C and K, got " +
        g.text(shape) + " and " + g.text(kernel));
  StringRef activation = call.string("activation", "none");
  if (!llvm::is_contained({"none", "silu", "swish"}, activation))
    return g.fail("does not support the activation '" + activation + "'");
  Extents state{shape[0], shape[1], Extent(kernel[2].getConstant() - 1)};
  Type given = elementOf(input);
  if (past && (g.shapeOf(past) != state || elementOf(past) != given))
    return g.fail("expects a past state " + g.text(state));
  if (!past)
    past = g.filled(state, g.scalar(given, 0));
  FailureOr<Value> whole = g.concat({past, input}, 2);
  if (failed(whole))
    return failure();
  FailureOr<Value> x = widened(g, *whole), w = widened(g, weight);
  if (failed(x) || failed(w))
    return failure();
  FailureOr<Value> sum = convolveDirectly(
      g, *x, *w, shape[1].getConstant(), /*channelsFirst=*/false, {shape[2]},
      [&](OpBuilder &at, Location loc, unsigned, Value output, Value offset) {
        return Scalars(at, loc).add(output, offset);
      });
  if (failed(sum))
    return failure();
  OperatorResults result = withBias(g, *sum, call.operand(2), elementOf(*sum));
  if (failed(result))
    return failure();
  FailureOr<Value> value = result->front();
  if (activation != "none")
    value = g.elementwise(*value, elementOf(*value),
                          [](OpBuilder &at, Location loc, ValueRange v) {
                            return Scalars(at, loc).silu(v[0], 1.0);
                          });
  if (succeeded(value))
    value = g.cast(*value, given);
  if (failed(value))
    return failure();
  return SmallVector<Value>{
      *value,
      g.slice(*whole, {Extent(0), Extent(0), shape[2]}, state, {1, 1, 1})};
}
