// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What an op costs per row, and what it is called in reports.
#ifndef GATECC_LIB_RAISE_ROWCOST_H
#define GATECC_LIB_RAISE_ROWCOST_H

#include "mlir/IR/Block.h"
#include "mlir/IR/Operation.h"

namespace gatecc::raise {

/// Estimated operations for one row (2 for a multiply-add); extents that are
/// not known count as 1.
double rowCost(mlir::Operation *op);
double rowCost(mlir::Block &block);

/// Whether the op is, or holds, a product of matrices.
bool isProduct(mlir::Operation *op);

/// The name of the model's node that the op comes from, or "".
llvm::StringRef nodeName(mlir::Location location);
llvm::StringRef nodeName(mlir::Value value);

/// The same in quotes for messages; the op's name if there is none.
std::string describe(mlir::Operation *op);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROWCOST_H
