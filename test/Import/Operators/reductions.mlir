// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reductions drop their dimensions, then expand where they are kept; ReduceMax
// propagates NaN.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK-SAME: -> (tensor<?x1xf32> {gate.dims = ["B", 1], gate.name = "y"}, tensor<f32> {gate.dims = [], gate.name = "z"})
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]})
    -> (!onnx.value {gate.name = "y"}, !onnx.value {gate.name = "z"}) {
  %axes = arith.constant dense<-1> : tensor<1xi64>
  // CHECK: %[[INIT:.*]] = arith.constant 0xFF800000 : f32
  // CHECK: linalg.fill ins(%[[INIT]]
  // CHECK: iterator_types = ["parallel", "reduction"]
  // CHECK: arith.maximumf
  // CHECK: tensor.expand_shape
  %0 = onnx.node "ReduceMax"(%x, %axes) {version = 21 : i64} : (tensor<?x4xf32>, tensor<1xi64>) -> !onnx.value
  // The count is a product of symbols.
  // CHECK: iterator_types = ["reduction", "reduction"]
  // CHECK: arith.sitofp
  // CHECK: arith.divf
  %1 = onnx.node "ReduceMean"(%x) {version = 21 : i64, attrs = {keepdims = 0 : i64}} : (tensor<?x4xf32>) -> !onnx.value
  return %0, %1 : !onnx.value, !onnx.value
}
