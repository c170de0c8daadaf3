// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The windows that attributes of pooling and convolution describe.
#include "lib/Import/Operators/Windows.h"

#include "lib/Import/Operators/ScalarMath.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace gatecc;

/// Numbers so large leave int64 when they are multiplied.
static constexpr int64_t maxStep = int64_t(1) << 30;

FailureOr<SmallVector<int64_t>> gatecc::positiveList(GraphBuilder &g,
                                                     const OperatorCall &call,
                                                     StringRef name,
                                                     unsigned rank) {
  SmallVector<int64_t> result =
      call.integers(name).value_or(SmallVector<int64_t>(rank, 1));
  if (result.size() != rank || llvm::any_of(result, [](int64_t value) {
        return value < 1 || value > maxStep;
      }))
    return g.fail("expects in '" + name + "' a number above 0 for each of " +
                  Twine(rank) + " axes");
  return result;
}

/// ceil_mode: as many windows as begin before the padding behind the input.
static Extent roundedUp(GraphBuilder &g, const Extent &room, int64_t stride,
                        const Extent &size, const Extent &before) {
  Extent count = g.ceilDivide(g.add(room, Extent(stride)), stride);
  Extent beginning = g.ceilDivide(g.add(size, before), stride);
  return g.minimum(count, beginning);
}

FailureOr<Windows> gatecc::windowsOf(GraphBuilder &g, const OperatorCall &call,
                                     ArrayRef<Extent> shape,
                                     ArrayRef<int64_t> kernel) {
  if (shape.size() < 3)
    return g.fail("expects a tensor of rank 3 or more, got " + g.text(shape));
  unsigned rank = shape.size() - 2;
  Windows w;
  w.kernel.assign(kernel.begin(), kernel.end());
  if (kernel.size() != rank || llvm::any_of(kernel, [](int64_t size) {
        return size < 1 || size > maxStep;
      }))
    return g.fail("expects a kernel with a size above 0 for each of " +
                  Twine(rank) + " axes");
  auto strides = positiveList(g, call, "strides", rank);
  auto dilations = positiveList(g, call, "dilations", rank);
  if (failed(strides) || failed(dilations))
    return failure();
  w.strides = *strides;
  w.dilations = *dilations;
  w.input.append(shape.begin() + 2, shape.end());
  StringRef automatic = call.string("auto_pad", "NOTSET");
  bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
  if (!same && automatic != "NOTSET" && automatic != "VALID")
    return g.fail("does not support the auto_pad '" + automatic + "'");
  SmallVector<int64_t> pads(2 * rank, 0);
  if (auto given = call.integers("pads");
      given && automatic == "NOTSET" && !given->empty())
    pads = *given;
  if (pads.size() != 2 * rank ||
      llvm::any_of(pads, [](int64_t pad) { return pad < 0 || pad > maxStep; }))
    return g.fail("expects two pads that are not negative for each of " +
                  Twine(rank) + " axes");
  // Without padding, rounding up would only add windows that leave the input.
  bool up = call.integer("ceil_mode", 0) != 0 && automatic == "NOTSET";
  for (unsigned axis = 0; axis < rank; ++axis) {
    const Extent &size = w.input[axis];
    int64_t stride = w.strides[axis];
    // What a window covers beyond its first element.
    int64_t reach = (kernel[axis] - 1) * w.dilations[axis];
    if (same) {
      Extent count = g.ceilDivide(size, stride);
      Extent needed = g.add(g.subtract(count, Extent(1)) * Extent(stride),
                            Extent(reach + 1));
      Extent total = g.maximum(g.subtract(needed, size), Extent(0));
      Extent half = g.floorDivide(total, 2);
      Extent rest = g.subtract(total, half);
      bool upper = automatic == "SAME_UPPER";
      w.before.push_back(upper ? half : rest);
      w.after.push_back(upper ? rest : half);
      w.output.push_back(count);
      continue;
    }
    Extent before(pads[axis]), after(pads[axis + rank]);
    int64_t more = pads[axis] + pads[axis + rank] - reach - 1;
    Extent count =
        up ? roundedUp(g, g.add(size, Extent(more)), stride, size, before)
           : g.floorDivide(g.add(size, Extent(more + stride)), stride);
    if (count.isConstant() ? count.getConstant() < 0 : !g.isKnownSize(count))
      count = g.maximum(count, Extent(0));
    w.before.push_back(before);
    w.after.push_back(after);
    w.output.push_back(count);
  }
  return w;
}

Value gatecc::windowPlace(OpBuilder &at, Location loc, const Windows &w,
                          unsigned axis, Value before, Value output,
                          Value offset) {
  Scalars s(at, loc);
  auto scaled = [&](Value value, int64_t factor) {
    return factor == 1 ? value : s.mul(value, s.like(value, double(factor)));
  };
  Value place =
      s.add(scaled(output, w.strides[axis]), scaled(offset, w.dilations[axis]));
  return w.before[axis].isConstant(0) ? place : s.sub(place, before);
}
