// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gemm with a transposed right side, factors and a bias.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

gate.weight @w : tensor<6x4xf32> {file = "m.onnx", strides = array<i64: 16, 4>}
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]})
    -> (!onnx.value {gate.name = "y"}) {
  %w = gate.weight_value @w : tensor<6x4xf32>
  %b = arith.constant dense<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]> : tensor<6xf32>
  // CHECK: gate.contract {{.*}} weights(%{{.*}} : tensor<4x6xf32>)
  // CHECK: %[[ALPHA:.*]] = arith.constant 5.0{{.*}}e-01 : f32
  // CHECK: arith.mulf %[[ALPHA]]
  // CHECK: arith.addf
  %0 = onnx.node "Gemm"(%x, %w, %b) {version = 21 : i64, attrs = {transB = 1 : i64, alpha = 0.5 : f32}} : (tensor<?x4xf32>, tensor<6x4xf32>, tensor<6xf32>) -> !onnx.value
  return %0 : !onnx.value
}
