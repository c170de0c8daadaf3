// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// gate-lsp-server: editors' view of MLIR text with gatecc's dialects.
#include "gatecc/InitAll.h"

#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  gatecc::registerAllDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
