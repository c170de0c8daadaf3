// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Registers every dialect, interface model and pass that gatecc's tools know.
#ifndef GATECC_INITALL_H
#define GATECC_INITALL_H

#include "mlir/IR/DialectRegistry.h"

namespace gatecc {
/// All dialects that occur at any level, with their interface models.
void registerAllDialects(mlir::DialectRegistry &registry);
/// All passes and pipelines of gatecc, and the upstream ones they use.
void registerAllPasses();
} // namespace gatecc

#endif // GATECC_INITALL_H
