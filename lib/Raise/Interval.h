// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Intervals of extended real numbers that hold every result that f32 arithmetic
// can give, and whether NaN is among the results.
#ifndef GATECC_LIB_RAISE_INTERVAL_H
#define GATECC_LIB_RAISE_INTERVAL_H

#include "mlir/IR/Block.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"
#include <limits>

namespace gatecc::raise {

struct Interval {
  double low = 0, high = 0;
  bool mayBeNaN = false;

  static Interval anything() {
    double infinity = std::numeric_limits<double>::infinity();
    return {-infinity, infinity, true};
  }
  /// [-bound, bound], and everything if the bound is NaN.
  static Interval symmetric(double bound);

  /// Whether all numbers in it are finite in f32.
  bool isFinite() const;
  bool isZero() const { return low == 0 && high == 0 && !mayBeNaN; }
  /// The largest magnitude.
  double magnitude() const;
};

/// Rounded to f32 with an error of `ulps`: what lies beyond becomes infinite.
/// Zero stays what it is.
Interval rounded(Interval exact, double ulps = 1);
/// What f32 numbers in `exact` are when they are rounded to a float type.
Interval roundedTo(mlir::Type type, Interval exact);
Interval join(Interval a, Interval b);

/// The interval of a scalar of f32 or integers that arith and math ops of
/// `block` compute from its arguments, and other values, whose intervals
/// `known` has; it may have those of some results. Ops that are not known give
/// anything.
Interval evaluateScalar(mlir::Value value, mlir::Block &block,
                        llvm::DenseMap<mlir::Value, Interval> &known);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_INTERVAL_H
