// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Intervals through the few ops that the region of experts is made of. A
// product is bounded by the sums of magnitudes of its weights' columns, in
// whatever order it is summed up.
#include "RegionBounds.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <cmath>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Parameters and constants: [-max, max].
Interval RegionBounds::constant(Value value) {
  for (Value param : region.getParams())
    if (region.argumentOf(param) == value)
      value = param;
  std::optional<Norms> found = norms.of(value);
  return found ? Interval::symmetric(found->element) : Interval::anything();
}

Interval RegionBounds::of(Value result, ArrayRef<Interval> inputs) {
  known.clear();
  for (auto [tensor, interval] : llvm::zip_equal(region.getInputs(), inputs))
    known[region.argumentOf(tensor)] = interval;
  auto lookUp = [&](Value value) {
    auto it = known.find(value);
    return it != known.end() ? it->second : constant(value);
  };
  for (Operation &op : region.getBlock()) {
    if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
      known[slice] = lookUp(slice.getSource());
    } else if (auto contract = dyn_cast<gate::ContractOp>(op)) {
      Interval rows = lookUp(contract.getRows());
      Value weights = contract.getWeights()[0];
      for (Value param : region.getParams())
        if (region.argumentOf(param) == weights)
          weights = param;
      std::optional<Norms> found = norms.of(weights);
      double depth = double(typeOf(contract.getRows()).getDimSize(1));
      if (!found || rows.mayBeNaN || !(found->column >= 0) || depth > 0x1p+20) {
        known[contract] = Interval::anything();
        continue;
      }
      // A zero times an infinite weight, or the reverse, is NaN.
      if (std::isinf(rows.magnitude()) || std::isinf(found->element)) {
        known[contract] = Interval::anything();
        continue;
      }
      known[contract] = roundedTo(
          typeOf(contract).getElementType(),
          rounded(Interval::symmetric(rows.magnitude() * found->column),
                  2 * depth + 8));
      // An infinite partial sum may meet one of the other sign.
      if (!known[contract].isFinite())
        known[contract] = Interval::anything();
    } else if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      DenseMap<Value, Interval> scalars;
      for (OpOperand *operand : generic.getDpsInputOperands())
        scalars[generic.getMatchingBlockArgument(operand)] =
            lookUp(operand->get());
      known[generic.getResult(0)] =
          evaluateScalar(generic.getBody()->getTerminator()->getOperand(0),
                         *generic.getBody(), scalars);
    }
  }
  return lookUp(result);
}
