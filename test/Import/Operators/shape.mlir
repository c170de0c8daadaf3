// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Shapes that exporters compute (Shape, Gather, Unsqueeze, Concat) are known at
// compile time: [B, S, 8] becomes [B, S, 2, 4] and keeps its factors.
// RUN: gate-opt %s --convert-onnx-to-gate | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK-SAME: tensor<?x2x?x4xf32> {gate.dims = ["B", 2, "S", 4], gate.name = "y"}
// CHECK-SAME: tensor<?x8xf32> {gate.dims = ["B*S", 8], gate.name = "f"}
// CHECK-SAME: tensor<?x?x3xf32> {gate.dims = ["B", "S", 3], gate.name = "s"}
// CHECK-SAME: tensor<?x?x10xf32> {gate.dims = ["B", "S", 10], gate.name = "c"}
// CHECK-SAME: tensor<?x5x8xf32> {gate.dims = ["B", 5, 8], gate.name = "e"}
func.func @main(%x: tensor<?x?x8xf32> {gate.name = "x", gate.dims = ["B", "S", 8]})
    -> (!onnx.value {gate.name = "y"}, !onnx.value {gate.name = "f"},
        !onnx.value {gate.name = "s"}, !onnx.value {gate.name = "c"},
        !onnx.value {gate.name = "e"}) {
  %zero = arith.constant dense<0> : tensor<i64>
  %one = arith.constant dense<1> : tensor<i64>
  %axis = arith.constant dense<0> : tensor<1xi64>
  %heads = arith.constant dense<[2, -1]> : tensor<2xi64>
  %heads2 = arith.constant dense<[2, 6]> : tensor<2xi64>
  %last = arith.constant dense<[-1, 8]> : tensor<2xi64>
  %start = arith.constant dense<1> : tensor<1xi64>
  %end = arith.constant dense<6> : tensor<1xi64>
  %two = arith.constant dense<2> : tensor<1xi64>
  %shape = onnx.node "Shape"(%x) {version = 21 : i64} : (tensor<?x?x8xf32>) -> !onnx.value
  %b = onnx.node "Gather"(%shape, %zero) {version = 21 : i64} : (!onnx.value, tensor<i64>) -> !onnx.value
  %s = onnx.node "Gather"(%shape, %one) {version = 21 : i64} : (!onnx.value, tensor<i64>) -> !onnx.value
  %b1 = onnx.node "Unsqueeze"(%b, %axis) {version = 21 : i64} : (!onnx.value, tensor<1xi64>) -> !onnx.value
  %s1 = onnx.node "Unsqueeze"(%s, %axis) {version = 21 : i64} : (!onnx.value, tensor<1xi64>) -> !onnx.value
  %new = onnx.node "Concat"(%b1, %s1, %heads) {version = 21 : i64, attrs = {axis = 0 : i64}} : (!onnx.value, !onnx.value, tensor<2xi64>) -> !onnx.value
  // CHECK-NOT: tensor.from_elements
  // CHECK: tensor.expand_shape %{{.*}} {{\[\[}}0], [1], [2, 3]] {{.*}} : tensor<?x?x8xf32> into tensor<?x?x2x4xf32>
  %split = onnx.node "Reshape"(%x, %new) {version = 21 : i64} : (tensor<?x?x8xf32>, !onnx.value) -> !onnx.value
  // CHECK: linalg.transpose
  %y = onnx.node "Transpose"(%split) {version = 21 : i64, attrs = {perm = array<i64: 0, 2, 1, 3>}} : (!onnx.value) -> !onnx.value
  // CHECK: tensor.collapse_shape %{{.*}} {{\[\[}}0, 1], [2]] : tensor<?x?x8xf32> into tensor<?x8xf32>
  %f = onnx.node "Reshape"(%x, %last) {version = 21 : i64} : (tensor<?x?x8xf32>, tensor<2xi64>) -> !onnx.value
  // CHECK: tensor.extract_slice %{{.*}}[0, 0, 1] [%{{.*}}, %{{.*}}, 3] [1, 1, 2]
  %t = onnx.node "Slice"(%x, %start, %end, %two, %two) {version = 21 : i64} : (tensor<?x?x8xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> !onnx.value
  // The unused part is dropped.
  // CHECK: tensor.extract_slice %{{.*}}[0, 0, 0] [%{{.*}}, %{{.*}}, 2] [1, 1, 1]
  // CHECK-NOT: tensor.extract_slice
  %p:2 = onnx.node "Split"(%x, %heads2) {version = 21 : i64, attrs = {axis = -1 : i64}} : (tensor<?x?x8xf32>, tensor<2xi64>) -> (!onnx.value, !onnx.value)
  // CHECK: tensor.concat dim(2)
  %c = onnx.node "Concat"(%x, %p#0) {version = 21 : i64, attrs = {axis = 2 : i64}} : (tensor<?x?x8xf32>, !onnx.value) -> !onnx.value
  // One extent of a shape is replaced.
  // CHECK-NOT: gate.scatter_elements
  %five = arith.constant dense<5> : tensor<1xi64>
  %middle = arith.constant dense<-2> : tensor<1xi64>
  %other = onnx.node "ScatterElements"(%shape, %middle, %five) {version = 21 : i64, attrs = {axis = 0 : i64}} : (!onnx.value, tensor<1xi64>, tensor<1xi64>) -> !onnx.value
  %column = arith.constant dense<1.0> : tensor<1x1x8xf32>
  %e = onnx.node "Expand"(%column, %other) {version = 21 : i64} : (tensor<1x1x8xf32>, !onnx.value) -> !onnx.value
  return %y, %f, %t, %c, %e : !onnx.value, !onnx.value, !onnx.value, !onnx.value, !onnx.value
}
