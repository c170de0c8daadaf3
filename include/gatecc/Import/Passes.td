// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The passes of import.
#ifndef GATECC_IMPORT_PASSES
#define GATECC_IMPORT_PASSES

include "mlir/Pass/PassBase.td"

def ConvertOnnxToGate : Pass<"convert-onnx-to-gate", "::mlir::ModuleOp"> {
  let summary = "Lowers the nodes of an ONNX graph to the gate level";
  let description = [{
    Replaces the function @main of the import level by one on ranked tensors,
    with `gate.dims` on its arguments and results. Shapes and element types are
    inferred on the way; what the file declares is checked for the inputs only.
    Nodes that no output needs are not lowered. All unsupported operators of the
    model are reported in one error.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect",
    "::gatecc::gate::GateDialect"
  ];
}

#endif // GATECC_IMPORT_PASSES
