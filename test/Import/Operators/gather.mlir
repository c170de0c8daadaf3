// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gather clamps what is out of range; one constant index is a slice.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK-SAME: -> (tensor<?x4xf32> {gate.dims = ["B", 4], gate.name = "y"}, tensor<4xf32>
func.func @main(%i: tensor<?xi64> {gate.name = "i", gate.dims = ["B"]},
                %x: tensor<5x4xf32> {gate.name = "x", gate.dims = [5, 4]},
                %z: tensor<?x4xf32> {gate.name = "z", gate.dims = ["Z", 4]})
    -> (!onnx.value {gate.name = "y"}, !onnx.value {gate.name = "r"}, !onnx.value {gate.name = "w"}) {
  %last = arith.constant dense<-1> : tensor<i64>
  // CHECK: arith.index_cast
  // CHECK: arith.cmpi slt
  // CHECK: arith.addi
  // CHECK: arith.select
  // CHECK: arith.minsi
  // CHECK: arith.maxsi
  // CHECK-NOT: scf.if
  // CHECK: tensor.extract
  %y = onnx.node "Gather"(%x, %i) {version = 21 : i64} : (tensor<5x4xf32>, tensor<?xi64>) -> !onnx.value
  // CHECK: tensor.extract_slice %{{.*}}[4, 0] [1, 4] [1, 1]
  // CHECK: tensor.collapse_shape
  %r = onnx.node "Gather"(%x, %last) {version = 21 : i64} : (tensor<5x4xf32>, tensor<i64>) -> !onnx.value
  // A dimension that may be empty is not read then.
  // CHECK: scf.if
  // CHECK: tensor.extract
  %w = onnx.node "Gather"(%z, %i) {version = 21 : i64} : (tensor<?x4xf32>, tensor<?xi64>) -> !onnx.value
  return %y, %r, %w : !onnx.value, !onnx.value, !onnx.value
}
