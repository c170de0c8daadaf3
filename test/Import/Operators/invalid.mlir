// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a model may get wrong: each is an error that names the node.
// RUN: gate-opt %s --convert-onnx-to-gate --split-input-file --verify-diagnostics

module {
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]},
                %z: tensor<?x4xf32> {gate.name = "z", gate.dims = ["C", 4]}) -> (!onnx.value {gate.name = "y"}) {
  // expected-error @+1 {{node 'n' (Add): cannot broadcast the shapes [B, 4] and [C, 4]: B and C are not known to be equal; give equal dimensions the same name}}
  %0 = onnx.node "Add"(%x, %z) {version = 21 : i64, node_name = "n"} : (tensor<?x4xf32>, tensor<?x4xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]}) -> (!onnx.value {gate.name = "y"}) {
  %s = arith.constant dense<[-1, 8]> : tensor<2xi64>
  // expected-error @+1 {{node 'r' (Reshape): cannot infer the -1 in a reshape of [B, 4] to [-1, 8]}}
  %0 = onnx.node "Reshape"(%x, %s) {version = 21 : i64, node_name = "r"} : (tensor<?x4xf32>, tensor<2xi64>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1.0> : tensor<5x3xf32>
  // expected-error @+1 {{node 'm' (MatMul): cannot multiply [B, 4] with [5, 3]: the inner sizes differ}}
  %0 = onnx.node "MatMul"(%x, %w) {version = 21 : i64, node_name = "m"} : (tensor<?x4xf32>, tensor<5x3xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]}) -> (!onnx.value {gate.name = "y"}) {
  %k = arith.constant dense<5> : tensor<1xi64>
  // expected-error @+1 {{node 't' (TopK): expects 0 <= k <= the size of the axis, got k = 5 of 4}}
  %0:2 = onnx.node "TopK"(%x, %k) {version = 21 : i64, node_name = "t"} : (tensor<?x4xf32>, tensor<1xi64>) -> (!onnx.value, !onnx.value)
  return %0#0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]}) -> (!onnx.value {gate.name = "y"}) {
  // expected-error @+1 {{an output of node 'e' (Exp) is declared as 'tensor<?x5xf32>', but the graph computes 'tensor<?x4xf32>'}}
  %0 = onnx.node "Exp"(%x) {version = 21 : i64, node_name = "e"} : (tensor<?x4xf32>) -> tensor<?x5xf32>
  %1 = onnx.node "Neg"(%0) {version = 21 : i64} : (tensor<?x5xf32>) -> !onnx.value
  return %1 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x8xf32> {gate.name = "x", gate.dims = ["B", 8]},
                %w: tensor<8x4x8xf32> {gate.name = "w", gate.dims = [8, 4, 8]}) -> (!onnx.value {gate.name = "y"}) {
  // expected-error @+1 {{node 'moe' (MoE): fc1_experts_weights are not constant}}
  %0 = onnx.node "MoE"(%x, %x, %w, %w) {absent = array<i64: 3>, version = 1 : i64, domain = "com.microsoft", node_name = "moe"} : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<8x4x8xf32>, tensor<8x4x8xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}
