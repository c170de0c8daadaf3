// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Why an expert of weight zero may be skipped: for inputs up to some magnitude
// its result times zero is zero.
#include "DenseExperts.h"

#include "RegionBounds.h"
#include "SlotIndex.h"
#include <cfloat>
#include <cmath>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Powers of two between which the limit of inputs is looked for.
static constexpr int kLeastExponent = -20, kLargestExponent = 127;

/// Rows that are looked up in a table have its bounds, whatever the indices.
static std::optional<double> provedBound(Value input, WeightNorms &norms) {
  auto gather = withoutReshapes(input).getDefiningOp<gate::GatherNDOp>();
  std::optional<Norms> found =
      gather ? norms.of(gather.getData()) : std::nullopt;
  return found && std::isfinite(found->element) ? std::optional(found->element)
                                                : std::nullopt;
}

std::optional<RowGuard> raise::findGuard(DenseBody &body, Value slots,
                                         bool isWeighted, WeightNorms &norms,
                                         bool assumeFinite,
                                         std::string &refusal) {
  ExpertRegion &region = body.getRegion();
  RegionBounds bounds(region, norms);
  ArrayRef<Value> inputs = region.getInputs();
  Value routing = body.getRouting();
  RowGuard guard;
  guard.limits.resize(inputs.size());
  // The weight of what is skipped is zero, also where experts read it.
  auto isHarmless = [&](double limit) {
    SmallVector<Interval> known;
    for (Value input : inputs)
      known.push_back(
          input == routing
              ? Interval{0, 0}
              : Interval::symmetric(provedBound(input, norms).value_or(limit)));
    Interval result = bounds.of(slots, known);
    return isWeighted ? result.isFinite() : result.isZero();
  };
  // Where nothing is infinite, what is added must still be zero.
  if (assumeFinite && (isWeighted || isHarmless(1)))
    return guard;
  if (isHarmless(FLT_MAX)) {
    for (auto [input, limit] : llvm::zip(inputs, guard.limits))
      if (input != routing && !provedBound(input, norms))
        limit = FLT_MAX;
    return guard;
  }
  int low = kLeastExponent - 1, high = kLargestExponent + 1;
  while (high - low > 1) {
    int middle = (low + high) / 2;
    (isHarmless(std::ldexp(1.0, middle)) ? low : high) = middle;
  }
  if (low < kLeastExponent) {
    refusal = isWeighted
                  ? "no bound of their inputs keeps the results of skipped "
                    "experts finite (weights that are not finite or not f32, "
                    "or a function without known bounds); --assume-finite "
                    "skips them without one"
                  : "an expert that is not chosen adds something that is not "
                    "known to be zero (its input is weighted, not its result)";
    return std::nullopt;
  }
  for (auto [input, limit] : llvm::zip(inputs, guard.limits))
    if (input != routing && !provedBound(input, norms))
      limit = std::ldexp(1.0, low);
  return guard;
}
