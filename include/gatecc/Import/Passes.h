// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The passes of import.
#ifndef GATECC_IMPORT_PASSES_H
#define GATECC_IMPORT_PASSES_H

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/Pass.h"

namespace gatecc {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "gatecc/Import/Passes.h.inc"
} // namespace gatecc

#endif // GATECC_IMPORT_PASSES_H
