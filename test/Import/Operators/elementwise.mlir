// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Arithmetic and broadcasting: extents of 1 by constant map results, splats as
// scalars in the body, dynamic sizes from one tensor.dim.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-DAG: #[[ID:.*]] = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-DAG: #[[ROW:.*]] = affine_map<(d0, d1) -> (d1)>
// CHECK-DAG: #[[COLUMN:.*]] = affine_map<(d0, d1) -> (d0, 0)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: -> (tensor<?x4xf32> {gate.dims = ["B", 4], gate.name = "y"})
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]},
                %c: tensor<?x1xf32> {gate.name = "c", gate.dims = ["B", 1]},
                %r: tensor<4xf32> {gate.name = "r", gate.dims = [4]})
    -> (!onnx.value {gate.name = "y"}) {
  %two = arith.constant dense<2.0> : tensor<f32>
  // CHECK: %[[B:.*]] = tensor.dim %{{.*}}, %{{.*}} : tensor<?x4xf32>
  // CHECK-NOT: tensor.dim
  // CHECK: linalg.generic {indexing_maps = [#[[ID]], #[[COLUMN]], #[[ID]]]
  // CHECK: arith.addf
  %0 = onnx.node "Add"(%x, %c) {version = 21 : i64} : (tensor<?x4xf32>, tensor<?x1xf32>) -> !onnx.value
  // CHECK: linalg.generic {indexing_maps = [#[[ID]], #[[ROW]], #[[ID]]]
  // CHECK: arith.subf
  %1 = onnx.node "Sub"(%0, %r) {version = 21 : i64} : (!onnx.value, tensor<4xf32>) -> !onnx.value
  // CHECK: linalg.generic {indexing_maps = [#[[ID]], #[[ID]]]
  // CHECK: arith.constant 2.0{{.*}} : f32
  // CHECK: arith.mulf
  %2 = onnx.node "Mul"(%1, %two) {version = 21 : i64} : (!onnx.value, tensor<f32>) -> !onnx.value
  // Unused nodes are not lowered, whatever they are.
  // CHECK-NOT: math.exp
  %3 = onnx.node "Exp"(%2) {version = 21 : i64} : (!onnx.value) -> !onnx.value
  %4 = onnx.node "NoSuchOperator"(%2) {version = 21 : i64} : (!onnx.value) -> !onnx.value
  return %2 : !onnx.value
}
