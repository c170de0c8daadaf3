// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// com.microsoft.MoE with interleaved SwiGLU: gate and up projection are strided
// views of one weight.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

module attributes {gatecc.ties = "ort-cpu"} {
gate.weight @fc1 : tensor<8x64x16xf32> {file = "m.onnx", offset = 100 : i64, strides = array<i64: 4096, 64, 4>}
gate.weight @fc2 : tensor<8x16x32xf32> {file = "m.onnx", offset = 9000 : i64, strides = array<i64: 2048, 128, 4>}
// CHECK: gate.weight @[[GATE:.*]] : tensor<8x16x32xf32> {file = "m.onnx", offset = 100 : i64, strides = array<i64: 4096, 4, 128>}
// CHECK: gate.weight @[[UP:.*]] : tensor<8x16x32xf32> {file = "m.onnx", offset = 164 : i64, strides = array<i64: 4096, 4, 128>}
// CHECK: gate.weight @[[DOWN:.*]] : tensor<8x32x16xf32> {file = "m.onnx", offset = 9000 : i64, strides = array<i64: 2048, 4, 128>}
// CHECK: gate.site @[[SITE:.*]] {cost = array<f64: 1.0{{.*}}>, full_cost = 8.0{{.*}} : f64, kind = "experts", name = "moe", nodes = ["moe"]
// CHECK: gate.site @{{.*}} name = "moe#2"
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x?x16xf32> {gate.name = "x", gate.dims = ["B", "S", 16]},
                %l: tensor<?x?x8xf32> {gate.name = "l", gate.dims = ["B", "S", 8]})
    -> (!onnx.value {gate.name = "y"}) {
  // CHECK: %[[T:.*]] = arith.muli
  %fc1 = gate.weight_value @fc1 : tensor<8x64x16xf32>
  %fc2 = gate.weight_value @fc2 : tensor<8x16x32xf32>
  // CHECK: %[[PLAN:.*]] = gate.route %{{.*}} {drop_nonpositive = true, normalize = true, score = #gate.score<softmax>, site = @[[SITE]], ties_high = true} : tensor<?x8xf32> -> <groups = 8, choices = 2>
  // CHECK: gate.apply %[[PLAN]] ranges [0, 8]
  // CHECK: %[[G:.*]] = gate.contract
  // CHECK: %[[U:.*]] = gate.contract
  // CHECK: ins(%[[G]], %[[U]]
  // CHECK: math.exp
  // CHECK: gate.contract
  // CHECK: gate.yield
  // CHECK: gate.combine %{{.*}}, %[[PLAN]] rows(%[[T]]) : tensor<?x16xf32>, <groups = 8, choices = 2> -> tensor<?x16xf32>
  // CHECK: tensor.expand_shape
  %0 = onnx.node "MoE"(%x, %l, %fc1, %fc2) {absent = array<i64: 3>, domain = "com.microsoft",
      version = 1 : i64, node_name = "moe", attrs = {activation_type = "swiglu", k = 2 : i64,
      normalize_routing_weights = 1 : i64, swiglu_fusion = 1 : i64}}
      : (tensor<?x?x16xf32>, tensor<?x?x8xf32>, tensor<8x64x16xf32>, tensor<8x16x32xf32>) -> !onnx.value
  %1 = onnx.node "MoE"(%0, %l, %fc1, %fc2) {absent = array<i64: 3>, domain = "com.microsoft",
      version = 1 : i64, node_name = "moe", attrs = {activation_type = "swiglu", k = 1 : i64,
      swiglu_fusion = 2 : i64}}
      : (!onnx.value, tensor<?x?x8xf32>, tensor<8x64x16xf32>, tensor<8x16x32xf32>) -> !onnx.value
  return %1 : !onnx.value
}
}
