// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Constant right sides become gate.contract on rows, products of activations a
// linalg.generic with n innermost; a transposed weight is a view of the same bytes.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK: #[[A:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
// CHECK: #[[B:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
// CHECK: #[[C:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
gate.weight @w : tensor<6x4xf32> {file = "m.onnx", offset = 64 : i64, strides = array<i64: 16, 4>}
// CHECK: gate.weight @w.view : tensor<4x6xf32> {file = "m.onnx", offset = 64 : i64, strides = array<i64: 4, 16>}
// CHECK-NOT: gate.weight @w :
// CHECK-LABEL: func.func @main
// CHECK-SAME: gate.dims = ["B", "S", "S"]
func.func @main(%x: tensor<?x?x4xf32> {gate.name = "x", gate.dims = ["B", "S", 4]})
    -> (!onnx.value {gate.name = "y"}) {
  %w = gate.weight_value @w : tensor<6x4xf32>
  // CHECK: %[[T:.*]] = gate.weight_value @w.view
  %0 = onnx.node "Transpose"(%w) {version = 21 : i64} : (tensor<6x4xf32>) -> !onnx.value
  // CHECK: %[[ROWS:.*]] = tensor.collapse_shape %{{.*}} {{\[\[}}0, 1], [2]] : tensor<?x?x4xf32> into tensor<?x4xf32>
  // CHECK: gate.contract rows(%[[ROWS]] : tensor<?x4xf32>) weights(%[[T]] : tensor<4x6xf32>) extras() [] -> tensor<?x6xf32>
  // CHECK: tensor.expand_shape {{.*}} : tensor<?x6xf32> into tensor<?x?x6xf32>
  %1 = onnx.node "MatMul"(%x, %0) {version = 21 : i64} : (tensor<?x?x4xf32>, !onnx.value) -> !onnx.value
  // CHECK: linalg.transpose
  %2 = onnx.node "Transpose"(%1) {version = 21 : i64, attrs = {perm = array<i64: 0, 2, 1>}} : (!onnx.value) -> !onnx.value
  // CHECK: linalg.generic {indexing_maps = [#[[A]], #[[B]], #[[C]]], iterator_types = ["parallel", "parallel", "reduction", "parallel"]}
  %3 = onnx.node "MatMul"(%1, %2) {version = 21 : i64} : (!onnx.value, !onnx.value) -> !onnx.value
  return %3 : !onnx.value
}
