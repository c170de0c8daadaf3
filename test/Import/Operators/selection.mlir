// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// TopK along any axis, and ArgMax with the lower index first and NaN last.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK-SAME: tensor<?x2x3xf32> {{.*}} tensor<?x2x3xi64> {{.*}} tensor<?x3xi64>
func.func @main(%x: tensor<?x8x3xf32> {gate.name = "x", gate.dims = ["B", 8, 3]})
    -> (!onnx.value {gate.name = "v"}, !onnx.value {gate.name = "i"}, !onnx.value {gate.name = "a"}) {
  %k = arith.constant dense<2> : tensor<1xi64>
  // CHECK: linalg.transpose
  // CHECK: tensor.collapse_shape {{.*}} : tensor<?x3x8xf32> into tensor<?x8xf32>
  // CHECK: gate.topk %{{.*}} {k = 2 : i64, largest = false} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  // CHECK: linalg.transpose
  %v:2 = onnx.node "TopK"(%x, %k) {version = 21 : i64, attrs = {axis = 1 : i64, largest = 0 : i64}} : (tensor<?x8x3xf32>, tensor<1xi64>) -> (!onnx.value, !onnx.value)
  // CHECK: arith.constant 0x7FC00000 : f32
  // CHECK: iterator_types = ["parallel", "reduction", "parallel"]
  // CHECK: arith.cmpf olt
  // CHECK: arith.cmpf uno
  // CHECK: linalg.index 1
  %a = onnx.node "ArgMax"(%x) {version = 21 : i64, attrs = {axis = 1 : i64, keepdims = 0 : i64}} : (tensor<?x8x3xf32>) -> !onnx.value
  return %v#0, %v#1, %a : !onnx.value, !onnx.value, !onnx.value
}
