// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// All unsupported operators are reported in one error.
// RUN: not gate-opt %s --convert-onnx-to-gate 2>&1 | FileCheck %s

// CHECK: error: 2 nodes need operators that gatecc does not support
// CHECK-NEXT: node 'a': NonMaxSuppression, domain '', opset 21
// CHECK-NEXT: node 'b': Attention, domain 'com.microsoft', opset 1
// CHECK-NOT: error:
func.func @main(%x: tensor<4xf32> {gate.name = "x", gate.dims = [4]}) -> (!onnx.value {gate.name = "y"}) {
  %0 = onnx.node "NonMaxSuppression"(%x) {version = 21 : i64, node_name = "a"} : (tensor<4xf32>) -> !onnx.value
  %1 = onnx.node "Attention"(%0) {version = 1 : i64, domain = "com.microsoft", node_name = "b"} : (!onnx.value) -> !onnx.value
  return %1 : !onnx.value
}
