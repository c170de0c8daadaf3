// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The blocks of a function that compute with tensors: its body, and those of
// branches, loops and groups of rows.
#ifndef GATECC_LIB_RAISE_GRAPHBLOCKS_H
#define GATECC_LIB_RAISE_GRAPHBLOCKS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace gatecc::raise {

/// Calls `visit` for each of them, inner ones first. Nothing for a function of
/// several blocks.
void forEachGraphBlock(mlir::func::FuncOp function,
                       llvm::function_ref<void(mlir::Block &)> visit);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_GRAPHBLOCKS_H
