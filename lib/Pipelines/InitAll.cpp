// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Registration of dialects and passes, one list for every tool.
#include "gatecc/InitAll.h"

#include "dialects/Gate/IR/GateOps.h"
#include "dialects/Onnx/IR/OnnxOps.h"
#include "gatecc/Import/Passes.h"
#include "gatecc/Lowering/Passes.h"
#include "gatecc/Pipelines/Stages.h"
#include "gatecc/Raise/Passes.h"
#include "gatecc/Transforms/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void gatecc::registerAllDialects(DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<gate::GateDialect, onnx::OnnxDialect>();
  registerBufferizableOpInterfaceModels(registry);
}

void gatecc::registerAllPasses() {
  registerGateccImportPasses();
  registerGateccRaisePasses();
  registerGateccTransformsPasses();
  registerGateccLoweringPasses();
  mlir::registerTransformsPasses();
  registerStagePipelines();
}
