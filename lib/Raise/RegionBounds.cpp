// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Intervals through the few ops that the region of experts is made of. A
// product is bounded by the sums of magnitudes of its weights' columns, in
// whatever order it is summed up.
#include "RegionBounds.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
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

/// A sum or a maximum of the columns of a row.
static Interval reduced(linalg::GenericOp op, Interval input) {
  Block &body = *op.getBody();
  Value accumulator = op.getRegionOutputArgs()[0];
  Operation *last = body.getTerminator()->getOperand(0).getDefiningOp();
  std::optional<ColumnReduction> reduction = matchColumnReduction(op);
  if (!last || last->getNumOperands() != 2 || !accumulator.hasOneUse() ||
      *accumulator.getUsers().begin() != last || !reduction)
    return Interval::anything();
  unsigned side = last->getOperand(0) == accumulator ? 1 : 0;
  DenseMap<Value, Interval> scalars{{body.getArgument(0), input}};
  Interval element = evaluateScalar(last->getOperand(side), body, scalars);
  double count = double(reduction->size);
  auto start = dyn_cast<FloatAttr>(reduction->start);
  if (isa<arith::MaximumFOp>(last))
    return count > 0 && start && start.getValue().isInfinity() &&
                   start.getValue().isNegative()
               ? element
               : Interval::anything();
  if (!isa<arith::AddFOp>(last) || !start || !start.getValue().isZero() ||
      count > 0x1p+20)
    return Interval::anything();
  Interval sum =
      rounded({element.low * count, element.high * count, element.mayBeNaN},
              2 * count + 8);
  // An infinite partial sum may meet one of the other sign.
  return sum.isFinite() ? sum : Interval::anything();
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
    } else if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
      known[expand] = lookUp(expand.getSrc());
    } else if (auto generic = dyn_cast<linalg::GenericOp>(op);
               generic && generic.getNumReductionLoops() > 0) {
      known[generic.getResult(0)] =
          reduced(generic, lookUp(generic.getDpsInputOperand(0)->get()));
    } else if (generic) {
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
