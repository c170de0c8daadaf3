// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows by data are one op, which raising looks for; other axes clamp what is out of
// range; one constant index is a slice.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[I:.*]]: tensor<?xi64> {{.*}}, %[[X:.*]]: tensor<5x4xf32> {{.*}}, %[[Z:.*]]: tensor<4x?xf32>
// CHECK: %[[SIZE:.*]] = tensor.dim %[[Z]], %{{.*}} : tensor<4x?xf32>
// CHECK: %[[LAST:.*]] = arith.subi %[[SIZE]], %{{.*}} : index
func.func @main(%i: tensor<?xi64> {gate.name = "i", gate.dims = ["B"]},
                %x: tensor<5x4xf32> {gate.name = "x", gate.dims = [5, 4]},
                %z: tensor<4x?xf32> {gate.name = "z", gate.dims = [4, "Z"]})
    -> (!onnx.value {gate.name = "y"}, !onnx.value {gate.name = "r"}, !onnx.value {gate.name = "v"}, !onnx.value {gate.name = "w"},
        !onnx.value {gate.name = "s"}) {
  %last = arith.constant dense<-1> : tensor<i64>
  // CHECK: %[[V:.*]] = tensor.expand_shape %[[I]] {{\[\[}}0, 1]] output_shape [%{{.*}}, 1]
  // CHECK: gate.gather_nd %[[X]], %[[V]] {batch_dims = 0 : i64} : tensor<5x4xf32>, tensor<?x1xi64> -> tensor<?x4xf32>
  %y = onnx.node "Gather"(%x, %i) {version = 21 : i64} : (tensor<5x4xf32>, tensor<?xi64>) -> !onnx.value
  // CHECK: tensor.extract_slice %{{.*}}[4, 0] [1, 4] [1, 1]
  // CHECK: tensor.collapse_shape
  %r = onnx.node "Gather"(%x, %last) {version = 21 : i64} : (tensor<5x4xf32>, tensor<i64>) -> !onnx.value
  // CHECK: arith.index_cast
  // CHECK: arith.cmpi slt
  // CHECK: arith.addi
  // CHECK: arith.select
  // CHECK: arith.minsi
  // CHECK: arith.maxsi
  // CHECK-NOT: scf.if
  // CHECK: tensor.extract
  %v = onnx.node "Gather"(%x, %i) {attrs = {axis = 1 : i64}, version = 21 : i64} : (tensor<5x4xf32>, tensor<?xi64>) -> !onnx.value
  // A dimension that may be empty is not read then.
  // CHECK: scf.if
  // CHECK: tensor.extract
  %w = onnx.node "Gather"(%z, %i) {attrs = {axis = 1 : i64}, version = 21 : i64} : (tensor<4x?xf32>, tensor<?xi64>) -> !onnx.value
  // So is one constant index that only the run knows to exist.
  // CHECK: gate.check %{{.*}}, "{{.*}}index -1 is out of range for an axis of {0}"(%[[SIZE]])
  // CHECK: tensor.extract_slice %{{.*}}[0, %[[LAST]]] [4, 1] [1, 1]
  %s = onnx.node "Gather"(%z, %last) {attrs = {axis = 1 : i64}, version = 21 : i64} : (tensor<4x?xf32>, tensor<i64>) -> !onnx.value
  return %y, %r, %v, %w, %s : !onnx.value, !onnx.value, !onnx.value, !onnx.value, !onnx.value
}
