// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the rows of an expert can be, given bounds of its inputs.
#ifndef GATECC_LIB_RAISE_REGIONBOUNDS_H
#define GATECC_LIB_RAISE_REGIONBOUNDS_H

#include "ExpertRegion.h"
#include "Interval.h"
#include "WeightNorms.h"

namespace gatecc::raise {

class RegionBounds {
public:
  RegionBounds(ExpertRegion &region, WeightNorms &norms)
      : region(region), norms(norms) {}

  /// The elements of `result`, a value of the region, for all groups and all
  /// rows whose inputs are in `inputs`, one for each input.
  Interval of(mlir::Value result, llvm::ArrayRef<Interval> inputs);

private:
  Interval constant(mlir::Value value);

  ExpertRegion &region;
  WeightNorms &norms;
  llvm::DenseMap<mlir::Value, Interval> known;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_REGIONBOUNDS_H
