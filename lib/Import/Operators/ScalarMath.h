// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Scalar functions as arith and math ops: the one spelling of each activation,
// so that every operator that contains it gives the same bits.
#ifndef GATECC_LIB_IMPORT_OPERATORS_SCALARMATH_H
#define GATECC_LIB_IMPORT_OPERATORS_SCALARMATH_H

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringRef.h"

namespace gatecc {

/// Builds scalar ops at one place.
class Scalars {
public:
  Scalars(mlir::OpBuilder &builder, mlir::Location loc)
      : builder(builder), loc(loc) {}

  mlir::Value number(mlir::Type type, double value);
  mlir::Value like(mlir::Value x, double value) {
    return number(x.getType(), value);
  }

  // For floats and signless integers.
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  /// Integer quotients round to zero; x / 0 is 0 (ONNX leaves it undefined).
  mlir::Value div(mlir::Value a, mlir::Value b);
  /// NaN propagates.
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value max(mlir::Value a, mlir::Value b);
  /// |x| to the power p >= 1, and the root of order p.
  mlir::Value absolutePower(mlir::Value x, int64_t p);
  mlir::Value root(mlir::Value x, int64_t p);
  mlir::Value neg(mlir::Value x);
  mlir::Value abs(mlir::Value x);
  /// False if an operand is NaN.
  mlir::Value less(mlir::Value a, mlir::Value b);
  mlir::Value lessOrEqual(mlir::Value a, mlir::Value b);
  mlir::Value equal(mlir::Value a, mlir::Value b);
  mlir::Value isNaN(mlir::Value x);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);

  // For floats.
  mlir::Value sigmoid(mlir::Value x);
  mlir::Value silu(mlir::Value x, double alpha = 1.0); // x * sigmoid(alpha * x)
  mlir::Value gelu(mlir::Value x);                     // with erf
  mlir::Value geluTanh(mlir::Value x);
  mlir::Value softplus(mlir::Value x);
  mlir::Value relu(mlir::Value x) { return max(x, like(x, 0)); }

private:
  mlir::OpBuilder &builder;
  mlir::Location loc;
};

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_SCALARMATH_H
