// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A size that only the run knows, and that has been checked to be that of an input, is
// that of the input from there on: no other check, and a -1 that is known.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
// What is checked comes before the tensors of that size: one that gets a static extent from a
// reshape is not computed before the check.
// CHECK: gate.check %{{.*}}, "node {{.*}} cannot reshape
// CHECK: tensor.concat dim(0)
// CHECK-NOT: gate.check
// CHECK: tensor.expand_shape {{.*}} : tensor<?x4xf32> into tensor<?x2x2xf32>
// CHECK-NOT: gate.check
// CHECK: return
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["T", 4]}, %n: tensor<1xi64> {gate.name = "n", gate.dims = [1]})
    -> (!onnx.value {gate.name = "y"}, !onnx.value {gate.name = "z"}) {
  %zero = arith.constant dense<0> : tensor<1xi64>
  %big = arith.constant dense<1000> : tensor<1xi64>
  %four = arith.constant dense<4> : tensor<1xi64>
  %rest = arith.constant dense<[2, -1]> : tensor<2xi64>
  %a = onnx.node "Slice"(%x, %zero, %n, %zero) {version = 21 : i64} : (tensor<?x4xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> !onnx.value
  %b = onnx.node "Slice"(%x, %n, %big, %zero) {version = 21 : i64} : (tensor<?x4xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> !onnx.value
  %joined = onnx.node "Concat"(%a, %b) {version = 21 : i64, attrs = {axis = 0 : i64}} : (!onnx.value, !onnx.value) -> !onnx.value
  %t = onnx.node "Shape"(%x) {version = 21 : i64, attrs = {end = 1 : i64}} : (tensor<?x4xf32>) -> !onnx.value
  %whole = onnx.node "Concat"(%t, %four) {version = 21 : i64, attrs = {axis = 0 : i64}} : (!onnx.value, tensor<1xi64>) -> !onnx.value
  %y = onnx.node "Reshape"(%joined, %whole) {version = 21 : i64} : (!onnx.value, !onnx.value) -> !onnx.value
  %apart = onnx.node "Concat"(%t, %rest) {version = 21 : i64, attrs = {axis = 0 : i64}} : (!onnx.value, tensor<2xi64>) -> !onnx.value
  %z = onnx.node "Reshape"(%joined, %apart) {version = 21 : i64} : (!onnx.value, !onnx.value) -> !onnx.value
  return %y, %z : !onnx.value, !onnx.value
}
