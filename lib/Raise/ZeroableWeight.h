// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights of rows that are made to be zero for some of them.
#ifndef GATECC_LIB_RAISE_ZEROABLEWEIGHT_H
#define GATECC_LIB_RAISE_ZEROABLEWEIGHT_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/DenseMap.h"

namespace gatecc::raise {

/// Whether what computes a tensor gives exactly zero for more than single
/// values of its operands: a condition as a number, a choice of which one side
/// is zero, what is cut off at zero, and products of such. A sigmoid is never
/// zero on purpose. That decides what is worth a look, not what is right.
class ZeroableWeights {
public:
  bool isZeroable(mlir::Value tensor) { return query(tensor, 0).isZeroable; }

private:
  struct Facts {
    bool isZeroable = false;
    bool isBit = false; // 0 or 1
  };
  static Facts factsOf(double number);
  Facts query(mlir::Value tensor, unsigned depth);
  Facts queryScalar(mlir::Value scalar, mlir::linalg::GenericOp op,
                    unsigned depth);

  llvm::DenseMap<mlir::Value, Facts> known;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ZEROABLEWEIGHT_H
