// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The loop that an op is run by: what fusion may not move work into.
#ifndef GATECC_LIB_TRANSFORMS_ENCLOSINGLOOP_H
#define GATECC_LIB_TRANSFORMS_ENCLOSINGLOOP_H

#include "mlir/IR/Operation.h"
#include "mlir/Interfaces/LoopLikeInterface.h"

namespace gatecc {

/// Whether `a` and `b` run equally often, but for branches: what is fused with
/// work in a loop would be done in each iteration.
inline bool inSameLoop(mlir::Operation *a, mlir::Operation *b) {
  return a->getParentOfType<mlir::LoopLikeOpInterface>() ==
         b->getParentOfType<mlir::LoopLikeOpInterface>();
}

} // namespace gatecc

#endif // GATECC_LIB_TRANSFORMS_ENCLOSINGLOOP_H
