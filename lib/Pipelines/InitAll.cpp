// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Registration of dialects and passes, one list for every tool.
#include "gatecc/InitAll.h"

#include "dialects/Gate/IR/GateOps.h"
#include "dialects/Onnx/IR/OnnxOps.h"
#include "gatecc/Import/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"

using namespace mlir;

void gatecc::registerAllDialects(DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<gate::GateDialect, onnx::OnnxDialect>();
}

void gatecc::registerAllPasses() { registerGateccImportPasses(); }
