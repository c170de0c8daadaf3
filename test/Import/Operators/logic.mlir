// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Comparisons are ordered and never rewritten; Not stays an exclusive or.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]},
                %t: tensor<?x1xf32> {gate.name = "t", gate.dims = ["B", 1]})
    -> (!onnx.value {gate.name = "y"}) {
  %half = arith.constant dense<0.5> : tensor<f32>
  // CHECK: arith.cmpf oge
  %0 = onnx.node "GreaterOrEqual"(%t, %half) {version = 21 : i64} : (tensor<?x1xf32>, tensor<f32>) -> !onnx.value
  // CHECK: arith.cmpf olt
  %1 = onnx.node "Less"(%t, %half) {version = 21 : i64} : (tensor<?x1xf32>, tensor<f32>) -> !onnx.value
  // CHECK: arith.xori
  %2 = onnx.node "Not"(%1) {version = 21 : i64} : (!onnx.value) -> !onnx.value
  // CHECK: arith.ori %{{.*}}, %{{.*}} : i1
  // CHECK: -> tensor<?x1xi1>
  %3 = onnx.node "Or"(%0, %2) {version = 21 : i64} : (!onnx.value, !onnx.value) -> !onnx.value
  // CHECK: ins(%{{.*}}, %{{.*}} : tensor<?x1xi1>, tensor<?x4xf32>)
  // CHECK: arith.select
  %4 = onnx.node "Where"(%3, %x, %half) {version = 21 : i64} : (!onnx.value, tensor<?x4xf32>, tensor<f32>) -> !onnx.value
  return %4 : !onnx.value
}
