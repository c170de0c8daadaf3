// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Conversions between float types, which graphs on f16 and bf16 have around
// sums: seen through, and made.
#ifndef GATECC_LIB_RAISE_FLOATCASTS_H
#define GATECC_LIB_RAISE_FLOATCASTS_H

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/IR/Builders.h"

namespace gatecc::raise {

/// The tensor whose elements `value` holds in another float type, or null.
mlir::Value matchFloatCast(mlir::Value value);
/// What is behind them. Where it is not rounded in between any more, a result
/// may differ from the graph's by that rounding: for sums only, which are
/// rounded at their end.
mlir::Value withoutFloatCasts(mlir::Value value);
/// What is behind conversions to f32, which lose nothing.
mlir::Value withoutWidening(mlir::Value value);
/// Those who read the value, or it in another float type.
void forEachUserBehindFloatCasts(
    mlir::Value value, llvm::function_ref<void(mlir::Operation *)> visit);

/// The elements in another float type; `sizes` are those of the value.
mlir::Value castFloats(mlir::OpBuilder &builder, mlir::Location loc,
                       mlir::Value value, mlir::Type element,
                       llvm::ArrayRef<mlir::OpFoldResult> sizes);
mlir::Value castFloats(mlir::OpBuilder &builder, mlir::Location loc,
                       mlir::Value value, mlir::Type element);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_FLOATCASTS_H
