// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The ops that fall away with one use of a value.
#ifndef GATECC_LIB_RAISE_EXCLUSIVEOPS_H
#define GATECC_LIB_RAISE_EXCLUSIVEOPS_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/SetVector.h"

namespace gatecc::raise {

/// The ops of the use's block that nothing but `use` needs, directly or not, in
/// the order of the block.
llvm::SetVector<mlir::Operation *> exclusiveTo(mlir::OpOperand &use);

/// Gives such ops views of their own of what they read from elsewhere, so that
/// they read tensors whose first `dims` dimensions are those of `rows`: views
/// that others share are copied, and what has another shape is read through a
/// view that has the rows apart, if there is one.
void readRowsApart(llvm::SetVector<mlir::Operation *> &ops, mlir::Value rows,
                   unsigned dims);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXCLUSIVEOPS_H
