// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Import of gatecc's JSON form of networks, which docs/json-format.md
// describes.
#ifndef GATECC_IMPORT_JSON_H
#define GATECC_IMPORT_JSON_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"

namespace gatecc {

/// Reads a network into a module of the gate level. Returns null and reports
/// the reason as a diagnostic, with the line and the JSON pointer of the value
/// at fault, if the file or its safetensors file cannot be read or breaks a
/// rule.
mlir::OwningOpRef<mlir::ModuleOp> importJson(mlir::MLIRContext &context,
                                             llvm::StringRef path);

} // namespace gatecc

#endif // GATECC_IMPORT_JSON_H
