// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Why an expert of weight zero may be skipped: for inputs up to some magnitude
// its result times zero is zero.
#include "DenseExperts.h"

#include "ValueBounds.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

std::optional<RowGuard> raise::findGuard(DenseBody &body, Value slots,
                                         bool isWeighted, WeightNorms &norms,
                                         bool assumeFinite,
                                         std::string &refusal) {
  ExpertRegion &region = body.getRegion();
  ArrayRef<Value> inputs = region.getInputs();
  Value routing = body.getRouting();
  RowGuard guard;
  guard.limits.resize(inputs.size());
  // The weight of what is skipped is zero, also where experts read it.
  auto isHarmless = [&](double limit) {
    ValueBounds bounds(norms);
    for (Value param : region.getParams())
      bounds.setPart(region.argumentOf(param), param);
    for (Value input : inputs)
      bounds.set(region.argumentOf(input),
                 input == routing ? Interval{0, 0}
                                  : Interval::symmetric(
                                        norms.boundOf(input).value_or(limit)));
    for (Operation &op : region.getBlock())
      bounds.visit(&op);
    Interval result = bounds.of(slots);
    return isWeighted ? result.isFinite() : result.isZero();
  };
  // Where nothing is infinite, what is added must still be zero.
  if (assumeFinite && (isWeighted || isHarmless(1)))
    return guard;
  std::optional<double> limit = largestHarmless(isHarmless);
  if (!limit) {
    refusal = isWeighted
                  ? "no bound of their inputs keeps the results of skipped "
                    "experts finite (weights that are not finite or not f32, "
                    "or a function without known bounds); --assume-finite "
                    "skips them without one"
                  : "an expert that is not chosen adds something that is not "
                    "known to be zero (its input is weighted, not its result)";
    return std::nullopt;
  }
  for (auto [input, each] : llvm::zip(inputs, guard.limits))
    if (input != routing && !norms.boundOf(input))
      each = limit;
  return guard;
}
