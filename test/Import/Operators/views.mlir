// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A transpose that moves dimensions of one element is a view, and so are the windows of a
// convolution that have one element each.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<1x?x8xf32> {{.*}} %[[Z:[a-z0-9]*]]: tensor<?x4x5x5xf32>
func.func @main(%x: tensor<1x?x8xf32> {gate.name = "x", gate.dims = [1, "S", 8]},
                %z: tensor<?x4x5x5xf32> {gate.name = "z", gate.dims = ["B", 4, 5, 5]})
    -> (!onnx.value {gate.name = "t"}, !onnx.value {gate.name = "c"}) {
  // CHECK: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1], [2]]
  // CHECK: tensor.expand_shape %[[ROWS]] {{\[\[}}0], [1, 2]] {{.*}} into tensor<?x1x8xf32>
  %t = onnx.node "Transpose"(%x) {version = 21 : i64, attrs = {perm = array<i64: 1, 0, 2>}} : (tensor<1x?x8xf32>) -> !onnx.value
  %w = arith.constant dense<0.5> : tensor<3x4x1x1xf32>
  // CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[Z]] {{\[\[}}0], [1], [2, 3]]
  // CHECK: %[[TURNED:.*]] = linalg.transpose ins(%[[FLAT]] : tensor<?x4x25xf32>)
  // CHECK: %[[ELEMENTS:.*]] = tensor.collapse_shape %[[TURNED]] {{\[\[}}0, 1], [2]]
  // CHECK: gate.contract rows(%[[ELEMENTS]] : tensor<?x4xf32>)
  %c = onnx.node "Conv"(%z, %w) {version = 21 : i64} : (tensor<?x4x5x5xf32>, tensor<3x4x1x1xf32>) -> !onnx.value
  return %t, %c : !onnx.value, !onnx.value
}
