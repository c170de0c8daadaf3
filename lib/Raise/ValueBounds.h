// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the elements of tensors can be, given bounds of what they are computed
// from.
#ifndef GATECC_LIB_RAISE_VALUEBOUNDS_H
#define GATECC_LIB_RAISE_VALUEBOUNDS_H

#include "Interval.h"
#include "WeightNorms.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace gatecc::raise {

class ValueBounds {
public:
  explicit ValueBounds(WeightNorms &norms) : norms(norms) {}

  /// Tells that an argument of a region is a part of a constant.
  void setPart(mlir::Value argument, mlir::Value constant) {
    parts[argument] = constant;
  }
  /// Tells that all elements of `value` are in an interval, in the place of
  /// what was told before.
  void set(mlir::Value value, Interval interval) { known[value] = interval; }
  /// Works out the results of an op; those that it reads come first, and what
  /// has not been worked out is a constant or anything.
  void visit(mlir::Operation *op);
  Interval of(mlir::Value value);

private:
  Interval evaluateContract(gate::ContractOp op);
  Interval evaluateLinalg(mlir::linalg::LinalgOp op);
  void setRelated(mlir::linalg::LinalgOp op, mlir::Operation *scalar,
                  llvm::DenseMap<mlir::Value, Interval> &scalars);
  mlir::Value constantOf(mlir::Value value) const {
    mlir::Value whole = parts.lookup(value);
    return whole ? whole : value;
  }

  WeightNorms &norms;
  llvm::DenseMap<mlir::Value, mlir::Value> parts;
  llvm::DenseMap<mlir::Value, Interval> known;
};

/// The largest number among the largest one of f32 and some powers of two for
/// which `isHarmless` holds, which holds for all numbers up to one.
std::optional<double>
largestHarmless(llvm::function_ref<bool(double)> isHarmless);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_VALUEBOUNDS_H
