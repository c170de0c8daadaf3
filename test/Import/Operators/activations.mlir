// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Activations; f16 is computed in f32.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf16> {gate.name = "x", gate.dims = ["B", 4]})
    -> (!onnx.value {gate.name = "y"}) {
  // CHECK: arith.extf %{{.*}} : f16 to f32
  // CHECK: arith.maximumf
  // CHECK: arith.truncf
  %0 = onnx.node "Relu"(%x) {version = 21 : i64} : (tensor<?x4xf16>) -> !onnx.value
  // CHECK: arith.negf
  // CHECK: math.exp
  // CHECK: arith.divf
  %1 = onnx.node "Sigmoid"(%0) {version = 21 : i64} : (!onnx.value) -> !onnx.value
  // CHECK: math.erf
  %2 = onnx.node "Gelu"(%1) {version = 21 : i64} : (!onnx.value) -> !onnx.value
  // CHECK: math.tanh
  %3 = onnx.node "Gelu"(%2) {version = 21 : i64, attrs = {approximate = "tanh"}} : (!onnx.value) -> !onnx.value
  // CHECK: arith.constant 3.0{{.*}} : f32
  %4 = onnx.node "Elu"(%3) {version = 21 : i64, attrs = {alpha = 3.0 : f32}} : (!onnx.value) -> !onnx.value
  return %4 : !onnx.value
}
