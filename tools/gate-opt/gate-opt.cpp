// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// gate-opt: runs passes of gatecc on MLIR text.
#include "gatecc/InitAll.h"

#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  gatecc::registerAllDialects(registry);
  gatecc::registerAllPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "gatecc optimizer driver\n", registry));
}
