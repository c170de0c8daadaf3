// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Registration of dialects and passes, one list for every tool.
#include "gatecc/InitAll.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Raise/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void gatecc::registerAllDialects(DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<gate::GateDialect>();
}

void gatecc::registerAllPasses() {
  mlir::registerTransformsPasses();
  registerGateccRaisePasses();
}
