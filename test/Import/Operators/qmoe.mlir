// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// com.microsoft.QMoE: integers, scales and zero points of gate and up are strided
// views, whatever they are packed in.
// RUN: gate-opt %s --convert-onnx-to-gate -split-input-file | FileCheck %s

gate.weight @fc1 : tensor<8x64x32xui8> {file = "m.onnx", offset = 0 : i64, strides = array<i64: 2048, 32, 1>}
gate.weight @s1 : tensor<8x64x2xf32> {file = "m.onnx", offset = 20000 : i64, strides = array<i64: 512, 8, 4>}
gate.weight @z1 : tensor<8x64x1xui8> {file = "m.onnx", offset = 30000 : i64, strides = array<i64: 64, 1, 1>}
gate.weight @fc2 : tensor<8x64x16xui8> {file = "m.onnx", offset = 40000 : i64, strides = array<i64: 1024, 16, 1>}
gate.weight @s2 : tensor<8x64x1xf32> {file = "m.onnx", offset = 50000 : i64, strides = array<i64: 256, 4, 4>}
// CHECK-DAG: gate.weight @[[GATE:.*]] : tensor<8x32x32xui8> {file = "m.onnx", strides = array<i64: 2048, 64, 1>}
// CHECK-DAG: gate.weight @[[GATE_S:.*]] : tensor<8x32x2xf32> {file = "m.onnx", offset = 20000 : i64, strides = array<i64: 512, 16, 4>}
// CHECK-DAG: gate.weight @[[GATE_Z:.*]] : tensor<8x32x1xui8> {file = "m.onnx", offset = 30000 : i64, strides = array<i64: 64, 2, 1>}
// CHECK-DAG: gate.weight @[[UP:.*]] : tensor<8x32x32xui8> {file = "m.onnx", offset = 32 : i64, strides = array<i64: 2048, 64, 1>}
// CHECK-DAG: gate.weight @[[UP_S:.*]] : tensor<8x32x2xf32> {file = "m.onnx", offset = 20008 : i64, strides = array<i64: 512, 16, 4>}
// CHECK-DAG: gate.weight @[[UP_Z:.*]] : tensor<8x32x1xui8> {file = "m.onnx", offset = 30001 : i64, strides = array<i64: 64, 2, 1>}
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x64xf32> {gate.name = "x", gate.dims = ["B", 64]},
                %l: tensor<?x8xf32> {gate.name = "l", gate.dims = ["B", 8]},
                %m: tensor<?x8xf32> {gate.name = "m", gate.dims = ["B", 8]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = gate.weight_value @fc1 : tensor<8x64x32xui8>
  %s1 = gate.weight_value @s1 : tensor<8x64x2xf32>
  %z1 = gate.weight_value @z1 : tensor<8x64x1xui8>
  %fc2 = gate.weight_value @fc2 : tensor<8x64x16xui8>
  %s2 = gate.weight_value @s2 : tensor<8x64x1xf32>
  // CHECK-DAG: %[[A:.*]] = gate.weight_value @[[GATE]]
  // CHECK-DAG: %[[AS:.*]] = gate.weight_value @[[GATE_S]]
  // CHECK-DAG: %[[AZ:.*]] = gate.weight_value @[[GATE_Z]]
  // CHECK: %[[W0:.*]] = gate.dequantize %[[A]], %[[AS]] zeros(%[[AZ]]) {bits = 4 : i64, block = 32 : i64} : tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x32x1xui8> -> tensor<8x64x32xf32>
  // CHECK-DAG: %[[B:.*]] = gate.weight_value @[[UP]]
  // CHECK-DAG: %[[BS:.*]] = gate.weight_value @[[UP_S]]
  // CHECK-DAG: %[[BZ:.*]] = gate.weight_value @[[UP_Z]]
  // CHECK: %[[W1:.*]] = gate.dequantize %[[B]], %[[BS]] zeros(%[[BZ]])
  // CHECK: %[[W2:.*]] = gate.dequantize %{{.*}}, %{{.*}} {bits = 4 : i64, block = 32 : i64} : tensor<8x64x16xui8>, tensor<8x64x1xf32> -> tensor<8x32x64xf32>
  // Without router_weights the weights of the chosen sum to 1.
  // CHECK: %[[PLAN:.*]] = gate.route %arg1 {drop_nonpositive = true, score = #gate.score<softmax_selected>, site = @{{.*}}} : tensor<?x8xf32> -> <groups = 8, choices = 2>
  // CHECK: gate.apply %[[PLAN]] ranges [0, 8] ins(%arg0 : tensor<?x64xf32>) params(%[[W0]], %[[W1]], %[[W2]] :
  // CHECK: gate.combine
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2, %z1) {absent = array<i64: 4, 7, 8, 9, 10>, domain = "com.microsoft",
      version = 1 : i64, node_name = "moe", attrs = {activation_type = "swiglu", k = 2 : i64,
      block_size = 32 : i64, swiglu_fusion = 1 : i64, accuracy_level = 1 : i64}}
      : (tensor<?x64xf32>, tensor<?x8xf32>, tensor<8x64x32xui8>, tensor<8x64x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>, tensor<8x64x1xui8>) -> !onnx.value
  // With them the logits only choose.
  // CHECK: gate.route %arg1 mixing(%arg2 : tensor<?x8xf32>) {drop_nonpositive = true, normalize = true, score = #gate.score<identity>
  %1 = onnx.node "QMoE"(%0, %l, %fc1, %s1, %fc2, %s2, %m) {absent = array<i64: 4, 7, 8, 9, 10, 11, 12, 13>, domain = "com.microsoft",
      version = 1 : i64, node_name = "moe", attrs = {activation_type = "swiglu", k = 2 : i64,
      block_size = 32 : i64, swiglu_fusion = 2 : i64, normalize_routing_weights = 1 : i64}}
      : (!onnx.value, tensor<?x8xf32>, tensor<8x64x32xui8>, tensor<8x64x2xf32>, tensor<8x64x16xui8>, tensor<8x64x1xf32>, tensor<?x8xf32>) -> !onnx.value
  return %1 : !onnx.value
}

// -----

// Without block_size a scale is that of a whole column. Zero points of 4 bits are
// packed across columns then; they are put one to a byte.
// CHECK: gate.weight @{{.*}} : tensor<2x3x1xui8> {value = dense<{{\[\[}}[1], [2], [3]], {{\[}}[5], [6], [7]]]> : tensor<2x3x1xui8>}
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]},
                %l: tensor<?x2xf32> {gate.name = "l", gate.dims = ["B", 2]})
    -> (!onnx.value {gate.name = "y"}) {
  %fc1 = arith.constant dense<1> : tensor<2x3x2xui8>
  %s1 = arith.constant dense<1.0> : tensor<2x3xf32>
  %z1 = arith.constant dense<[[33, 3], [101, 7]]> : tensor<2x2xui8>
  %fc2 = arith.constant dense<1> : tensor<2x4x2xui8>
  %s2 = arith.constant dense<1.0> : tensor<2x4xf32>
  // CHECK: gate.dequantize %{{.*}}, %{{.*}} zeros(%{{.*}}) {bits = 4 : i64, block = 8 : i64} : tensor<2x3x2xui8>, tensor<2x3x1xf32>, tensor<2x3x1xui8> -> tensor<2x4x3xf32>
  // CHECK: gate.dequantize %{{.*}}, %{{.*}} {bits = 4 : i64, block = 8 : i64} : tensor<2x4x2xui8>, tensor<2x4x1xf32> -> tensor<2x3x4xf32>
  %0 = onnx.node "QMoE"(%x, %l, %fc1, %s1, %fc2, %s2, %z1) {absent = array<i64: 4, 7, 8, 9, 10>, domain = "com.microsoft",
      version = 1 : i64, node_name = "moe", attrs = {activation_type = "silu"}}
      : (tensor<?x4xf32>, tensor<?x2xf32>, tensor<2x3x2xui8>, tensor<2x3xf32>, tensor<2x4x2xui8>, tensor<2x4xf32>, tensor<2x2xui8>) -> !onnx.value
  return %0 : !onnx.value
}

// -----

// MatMulNBits pads K to whole blocks; the padding is left out of the view.
gate.weight @w : tensor<6x2x16xui8> {file = "m.onnx", offset = 64 : i64, strides = array<i64: 32, 16, 1>}
gate.weight @s : tensor<12xf32> {file = "m.onnx", offset = 512 : i64, strides = array<i64: 4>}
gate.weight @z : tensor<6xui8> {file = "m.onnx", offset = 900 : i64, strides = array<i64: 1>}
gate.weight @b : tensor<6xf32> {file = "m.onnx", offset = 1000 : i64, strides = array<i64: 4>}
// CHECK-DAG: gate.weight @[[W:.*]] : tensor<6x20xui8> {file = "m.onnx", offset = 64 : i64, strides = array<i64: 32, 1>}
// CHECK-DAG: gate.weight @[[S:.*]] : tensor<6x2xf32> {file = "m.onnx", offset = 512 : i64, strides = array<i64: 8, 4>}
// CHECK-DAG: gate.weight @[[Z:.*]] : tensor<6x1xui8> {file = "m.onnx", offset = 900 : i64, strides = array<i64: 1, 0>}
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x40xf32> {gate.name = "x", gate.dims = ["B", 40]}) -> (!onnx.value {gate.name = "y"}) {
  %w = gate.weight_value @w : tensor<6x2x16xui8>
  %s = gate.weight_value @s : tensor<12xf32>
  %z = gate.weight_value @z : tensor<6xui8>
  %b = gate.weight_value @b : tensor<6xf32>
  // CHECK: %[[D:.*]] = gate.dequantize %{{.*}}, %{{.*}} zeros(%{{.*}}) {bits = 4 : i64, block = 32 : i64} : tensor<6x20xui8>, tensor<6x2xf32>, tensor<6x1xui8> -> tensor<40x6xf32>
  // CHECK: gate.contract rows(%arg0 : tensor<?x40xf32>) weights(%[[D]] : tensor<40x6xf32>)
  // CHECK: arith.addf
  %0 = onnx.node "MatMulNBits"(%x, %w, %s, %z, %b) {absent = array<i64: 4>, domain = "com.microsoft", version = 1 : i64, node_name = "n",
      attrs = {K = 40 : i64, N = 6 : i64, bits = 4 : i64, block_size = 32 : i64, accuracy_level = 4 : i64}}
      : (tensor<?x40xf32>, tensor<6x2x16xui8>, tensor<12xf32>, tensor<6xui8>, tensor<6xf32>) -> !onnx.value
  return %0 : !onnx.value
}
