// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tests that a row guard makes in a run.
#ifndef GATECC_LIB_RAISE_ROWTEST_H
#define GATECC_LIB_RAISE_ROWTEST_H

#include "mlir/IR/Builders.h"

namespace gatecc::raise {

/// The largest magnitude of each row of a tensor of f32, whose first `rowDims`
/// dimensions are the rows; NaN where one is NaN, 0 where there is none.
mlir::Value buildMagnitudes(mlir::OpBuilder &b, mlir::Location loc,
                            mlir::Value tensor, unsigned rowDims);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROWTEST_H
