// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a model with quantised weights may get wrong, or have that gatecc lacks:
// each is an error that names the node.
// RUN: gate-opt %s --convert-onnx-to-gate --split-input-file --verify-diagnostics

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): expert_weight_bits is 2; gatecc supports 4 and 8}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {expert_weight_bits = 2 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): block_size is 48; expected a power of two of at least 16}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {block_size = 48 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): quant_type 'fp4' is not supported; gatecc supports int}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {quant_type = "fp4"}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): weights_prepacked is not supported}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {weights_prepacked = 1 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): use_sparse_mixer is not supported}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {use_sparse_mixer = 1 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): fc1_experts_weights are not constant}}
  %0 = onnx.node "QMoE"(%x, %l, %w, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x64x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xi8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): fc1_experts_weights are not of type uint8}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xi8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x31xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): fc1_experts_weights have the shape [8, 32, 31], expected [8, 32, 32]}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x31xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x3xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): the scales of fc1_experts_weights have the shape [8, 32, 3], expected [8, 32, 2]}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x3xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): the scales of fc1_experts_weights have the shape [8, 32, 2], expected [8, 32]}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu"}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf16>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): the scales of fc1_experts_weights are not of type float; other types are not supported}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf16>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  %z1 = arith.constant dense<1> : tensor<8x32x2xui8>
  // expected-error @+1 {{node 'moe' (QMoE): the zero points of fc1_experts_weights have the shape [8, 32, 2], expected [8, 32, 1]}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2, %z1) {absent = array<i64: 4, 7, 8, 9, 10>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>, tensor<8x32x2xui8>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  %b2 = arith.constant dense<1.0> : tensor<8x63xf32>
  // expected-error @+1 {{node 'moe' (QMoE): the bias of fc2_experts_weights has the shape [8, 63]}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2, %b2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>, tensor<8x63xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x17xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): fc2_experts_weights have the shape [8, 64, 17], expected [8, 64, 16]}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x17xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  %m = arith.constant dense<1.0> : tensor<8x8xf64>
  // expected-error @+1 {{node 'moe' (QMoE): expects router_weights of the logits' element type}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2, %m) {absent = array<i64: 4, 7, 8, 9, 10, 11, 12, 13>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>, tensor<8x8xf64>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  %m = arith.constant dense<1.0> : tensor<8x9xf32>
  // expected-error @+1 {{node 'moe' (QMoE): expects router_weights of the logits' shape [B, 8], got [8, 9]}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2, %m) {absent = array<i64: 4, 7, 8, 9, 10, 11, 12, 13>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>, tensor<8x9xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  %m = arith.constant dense<1.0> : tensor<8xf32>
  // expected-error @+1 {{node 'moe' (QMoE): input 15 is not supported: scales of fp4 and fp8 formats}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2, %m) {absent = array<i64: 4, 7, 8, 9, 10, 11, 12, 13, 14>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "silu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>, tensor<8xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %w: tensor<8x64x32xui8> {gate.name = "w", gate.dims = [8, 64, 32]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<8x32x32xui8>
  %s1 = arith.constant dense<1.0> : tensor<8x32x2xf32>
  %fc2 = arith.constant dense<1> : tensor<8x64x16xui8>
  %s2 = arith.constant dense<1.0> : tensor<8x64x1xf32>
  // expected-error @+1 {{node 'moe' (QMoE): expects fc3_experts_weights where swiglu_fusion is 0}}
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2) {absent = array<i64: 4>, version = 1 : i64, domain = "com.microsoft", node_name = "moe", attrs = {activation_type = "swiglu", block_size = 32 : i64}} : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): expects the attributes K and N, at least 1, got 40 and 0}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): bits is 3; gatecc supports 4 and 8}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, bits = 3 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): expects the attribute block_size}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): block_size is 8; expected a power of two of at least 16}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 8 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  %m = arith.constant dense<1> : tensor<40xi32>
  // expected-error @+1 {{node 'n' (MatMulNBits): g_idx is not supported}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s, %m) {absent = array<i64: 3>, version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>, tensor<40xi32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x41xf32> {gate.name = "x", gate.dims = ["B", 41]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): expects rows with K = 40 columns, got [B, 41]}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x41xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x8xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): the weights have the shape [6, 2, 8], expected [6, 2, 16]}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x8xui8>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x1xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): the scales have the shape [6, 1], expected [6, 2]}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x1xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  %z = arith.constant dense<1> : tensor<6x2xui8>
  // expected-error @+1 {{node 'n' (MatMulNBits): the zero points have the shape [6, 2], expected [6, 1]}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s, %z) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>, tensor<6x2xui8>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  %z = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): the zero points of the weights are not of type uint8; other types are not supported}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s, %z) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xi8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): the weights are not of type uint8}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s) {version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xi8>, tensor<6x2xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}

// -----

module {
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = arith.constant dense<1> : tensor<6x2x16xui8>
  %s = arith.constant dense<1.0> : tensor<6x2xf32>
  %m = arith.constant dense<1.0> : tensor<5xf32>
  // expected-error @+1 {{node 'n' (MatMulNBits): expects a bias of type float with N = 6 elements}}
  %0 = onnx.node "MatMulNBits"(%x, %w, %s, %m) {absent = array<i64: 3, 4>, version = 1 : i64, domain = "com.microsoft", node_name = "n", attrs = {K = 40 : i64, N = 6 : i64, block_size = 32 : i64}} : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<6x2xf32>, tensor<5xf32>) -> !onnx.value
  return %0 : !onnx.value
}
}
