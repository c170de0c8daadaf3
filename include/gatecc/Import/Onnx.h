// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Import of ONNX files: the bottom of the compiler, nothing is interpreted.
#ifndef GATECC_IMPORT_ONNX_H
#define GATECC_IMPORT_ONNX_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"

namespace gatecc {

/// Reads an ONNX model into a module of the import level: func @main of
/// `onnx.node`s, with model-local functions inlined, Constant nodes folded, and
/// initializers as `gate.weight` views of the file or, up to 1 KB, as
/// constants. Returns null and reports the reason as a diagnostic if the file
/// cannot be read, is malformed, or breaks a rule of ONNX. Memory is in
/// proportion to the graph: the bytes of weights are not copied.
mlir::OwningOpRef<mlir::ModuleOp> importOnnx(mlir::MLIRContext &context,
                                             llvm::StringRef path);

} // namespace gatecc

#endif // GATECC_IMPORT_ONNX_H
