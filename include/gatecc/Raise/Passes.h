// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Passes that find conditional work in plain graphs.
#ifndef GATECC_RAISE_PASSES_H
#define GATECC_RAISE_PASSES_H

#include "mlir/Pass/Pass.h"

namespace gatecc {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

#endif // GATECC_RAISE_PASSES_H
