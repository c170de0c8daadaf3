// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensors of a few numbers for each row: what raised forms test and choose by.
#ifndef GATECC_LIB_RAISE_ROWTENSORS_H
#define GATECC_LIB_RAISE_ROWTENSORS_H

#include "gatecc/Import/GraphBuilder.h"

namespace gatecc::raise {

/// One op on tensors whose dimensions are the first ones of `sizes`, or all.
mlir::Value elementwiseOf(mlir::OpBuilder &b, mlir::Location loc,
                          mlir::ValueRange inputs,
                          llvm::ArrayRef<mlir::OpFoldResult> sizes,
                          mlir::Type element, ScalarBody body);

/// A tensor of these sizes, filled with a bit.
mlir::Value filledWithBit(mlir::OpBuilder &b, mlir::Location loc,
                          llvm::ArrayRef<mlir::OpFoldResult> sizes, bool bit);

/// Folds the columns of a tensor [T, C]: [T]; or the elements of [T]: [].
mlir::Value foldColumns(mlir::OpBuilder &b, mlir::Location loc,
                        mlir::Value input, mlir::TypedAttr start,
                        ScalarBody body);

/// The largest magnitude of each row of a tensor of floats up to f32, whose
/// first `rowDims` dimensions are the rows; NaN where one is NaN, 0 where there
/// is none.
mlir::Value largestMagnitudes(mlir::OpBuilder &b, mlir::Location loc,
                              mlir::Value tensor, unsigned rowDims);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROWTENSORS_H
