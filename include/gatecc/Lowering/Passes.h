// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Passes from the schedule level to the LLVM dialect, for CPUs.
#ifndef GATECC_LOWERING_PASSES_H
#define GATECC_LOWERING_PASSES_H

#include "mlir/Pass/Pass.h"

namespace mlir {
class DialectRegistry;
namespace func {
class FuncOp;
}
} // namespace mlir

namespace gatecc {
/// How the ops of `gate` become ops on buffers.
void registerBufferizableOpInterfaceModels(mlir::DialectRegistry &registry);

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

#endif // GATECC_LOWERING_PASSES_H
