// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The generic ONNX node survives printing and parsing.
// RUN: gate-opt %s | gate-opt | FileCheck %s
// RUN: gate-opt %s --mlir-print-op-generic | gate-opt | FileCheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]}, %c: tensor<i1>)
    -> (tensor<?x4xf32> {gate.name = "y", gate.dims = ["B", 4]}) {
  %max = arith.constant dense<6.0> : tensor<f32>
  // CHECK: onnx.node "Clip"(%{{.*}}, %{{.*}}) {absent = array<i64: 1>, node_name = "c0", version = 21 : i64} : (tensor<?x4xf32>, tensor<f32>) -> !onnx.value
  %0 = onnx.node "Clip"(%x, %max) {absent = array<i64: 1>, node_name = "c0", version = 21 : i64}
      : (tensor<?x4xf32>, tensor<f32>) -> !onnx.value
  // CHECK: onnx.node "Softmax"(%{{.*}}) {attrs = {axis = -1 : i64}, version = 21 : i64} : (!onnx.value) -> tensor<*xf32>
  %1 = onnx.node "Softmax"(%0) {attrs = {axis = -1 : i64}, version = 21 : i64} : (!onnx.value) -> tensor<*xf32>
  // CHECK: onnx.node "MoE"(%{{.*}}) {domain = "com.microsoft", version = 1 : i64}
  %2 = onnx.node "MoE"(%1) {domain = "com.microsoft", version = 1 : i64} : (tensor<*xf32>) -> tensor<?x4xf32>
  // CHECK: onnx.node "If"(%{{.*}}) bodies {
  // CHECK:   onnx.yield %{{.*}} : tensor<?x4xf32>
  // CHECK: }, {
  // CHECK:   onnx.node "Identity"
  // CHECK:   onnx.yield
  // CHECK: } {body_names = ["then_branch", "else_branch"], version = 21 : i64}
  %3 = onnx.node "If"(%c) bodies {
    onnx.yield %2 : tensor<?x4xf32>
  }, {
    %4 = onnx.node "Identity"(%x) {version = 21 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
    onnx.yield %4 : tensor<?x4xf32>
  } {body_names = ["then_branch", "else_branch"], version = 21 : i64} : (tensor<i1>) -> tensor<?x4xf32>
  // CHECK: onnx.node "Constant"() {version = 21 : i64} : () -> !onnx.value
  %5 = onnx.node "Constant"() {version = 21 : i64} : () -> !onnx.value
  return %3 : tensor<?x4xf32>
}
