// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A product with a weight that the graph widens reads the weight as it is, through a
// transposition, too. What is narrowed, or no constant, is what the graph makes of it.
// RUN: gate-opt %s --convert-onnx-to-gate -split-input-file | FileCheck %s

gate.weight @w : tensor<6x4xf16> {file = "m.onnx", offset = 64 : i64, strides = array<i64: 8, 2>}
// CHECK: gate.weight @w.view : tensor<4x6xf16> {file = "m.onnx", offset = 64 : i64, strides = array<i64: 2, 8>}
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]})
    -> (!onnx.value {gate.name = "y"}) {
  %w = gate.weight_value @w : tensor<6x4xf16>
  %0 = onnx.node "Cast"(%w) {version = 21 : i64, attrs = {to = 1 : i64}} : (tensor<6x4xf16>) -> !onnx.value
  %1 = onnx.node "Transpose"(%0) {version = 21 : i64} : (!onnx.value) -> !onnx.value
  // CHECK: gate.contract rows(%{{.*}} : tensor<?x4xf32>) weights(%{{.*}} : tensor<4x6xf16>) extras() [] -> tensor<?x6xf32>
  %2 = onnx.node "MatMul"(%x, %1) {version = 21 : i64} : (tensor<?x4xf32>, !onnx.value) -> !onnx.value
  return %2 : !onnx.value
}

// -----

gate.weight @w : tensor<4x6xf32> {file = "m.onnx", offset = 64 : i64, strides = array<i64: 24, 4>}
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf16> {gate.name = "x", gate.dims = ["B", 4]})
    -> (!onnx.value {gate.name = "y"}) {
  %w = gate.weight_value @w : tensor<4x6xf32>
  // CHECK: arith.truncf
  %0 = onnx.node "Cast"(%w) {version = 21 : i64, attrs = {to = 10 : i64}} : (tensor<4x6xf32>) -> !onnx.value
  // CHECK-NOT: gate.contract
  %1 = onnx.node "MatMul"(%x, %0) {version = 21 : i64} : (tensor<?x4xf16>, !onnx.value) -> !onnx.value
  return %1 : !onnx.value
}

// -----

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]}, %w: tensor<4x6xf16> {gate.name = "w", gate.dims = [4, 6]})
    -> (!onnx.value {gate.name = "y"}) {
  // CHECK: arith.extf
  %0 = onnx.node "Cast"(%w) {version = 21 : i64, attrs = {to = 1 : i64}} : (tensor<4x6xf16>) -> !onnx.value
  // CHECK-NOT: gate.contract
  %1 = onnx.node "MatMul"(%x, %0) {version = 21 : i64} : (tensor<?x4xf32>, !onnx.value) -> !onnx.value
  return %1 : !onnx.value
}
