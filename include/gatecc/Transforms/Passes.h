// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Passes from the gate level to the schedule level.
#ifndef GATECC_TRANSFORMS_PASSES_H
#define GATECC_TRANSFORMS_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir::func {
class FuncOp;
}

namespace gatecc {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

#endif // GATECC_TRANSFORMS_PASSES_H
