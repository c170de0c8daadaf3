// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// LayerNormalization and both meanings of Softmax.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x3x4xf32> {gate.name = "x", gate.dims = ["B", 3, 4]})
    -> (!onnx.value {gate.name = "y"}) {
  %s = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  // CHECK: arith.addf
  // CHECK: arith.divf
  // CHECK: arith.subf
  // CHECK: math.sqrt
  // CHECK: arith.divf
  // CHECK: -> tensor<?x3x1xf32>
  %0 = onnx.node "LayerNormalization"(%x, %s) {version = 21 : i64, attrs = {epsilon = 1.0e-3 : f32}} : (tensor<?x3x4xf32>, tensor<4xf32>) -> !onnx.value
  // CHECK: iterator_types = ["parallel", "reduction", "parallel"]
  // CHECK: arith.maximumf
  // CHECK: math.exp
  // CHECK: arith.divf
  %1 = onnx.node "Softmax"(%0) {version = 21 : i64, attrs = {axis = 1 : i64}} : (!onnx.value) -> !onnx.value
  // Before opset 13 the later dimensions are one.
  // CHECK: tensor.collapse_shape %{{.*}} {{\[\[}}0], [1, 2]] : tensor<?x3x4xf32> into tensor<?x12xf32>
  // CHECK: iterator_types = ["parallel", "reduction"]
  // CHECK: tensor.expand_shape
  %2 = onnx.node "Softmax"(%1) {version = 11 : i64} : (!onnx.value) -> !onnx.value
  return %2 : !onnx.value
}
