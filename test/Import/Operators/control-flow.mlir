// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Branches, loops that are counted, loops with a condition, and scans.
// RUN: gate-opt %s --split-input-file --convert-onnx-to-gate | FileCheck %s

// Rows in which the branches differ are counted afterwards.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[FLAG:.*]]: tensor<i1>{{.*}}, %[[X:.*]]: tensor<?x4xf32>
func.func @main(%flag: tensor<i1> {gate.name = "flag"},
                %x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]},
                %axes: tensor<1xi64> {gate.name = "unused"})
    -> (!onnx.value {gate.name = "y"}) {
  %rows = arith.constant dense<0> : tensor<1xi64>
  // CHECK: %[[C:.*]] = tensor.extract %[[FLAG]][]
  // CHECK: %[[R:.*]] = scf.if %[[C]] -> (tensor<?x4xf32>) {
  // CHECK:   tensor.concat
  // CHECK:   scf.yield
  // CHECK: } else {
  // CHECK:   scf.yield %[[X]]
  // CHECK: }
  // CHECK: linalg.generic {{.*}} ins(%[[R]]
  %0 = onnx.node "If"(%flag) bodies {
    %a = onnx.node "Concat"(%x, %x) {attrs = {axis = 0 : i64}, version = 21 : i64} : (tensor<?x4xf32>, tensor<?x4xf32>) -> !onnx.value
    onnx.yield %a : !onnx.value
  }, {
    onnx.yield %x : tensor<?x4xf32>
  } {body_names = ["then_branch", "else_branch"], version = 21 : i64} : (tensor<i1>) -> !onnx.value
  %1 = onnx.node "ReduceSum"(%0, %rows) {attrs = {keepdims = 0 : i64}, version = 21 : i64} : (!onnx.value, tensor<1xi64>) -> !onnx.value
  return %1 : !onnx.value
}

// -----

// A known condition leaves one branch.
// CHECK-LABEL: func.func @main
// CHECK-NOT: scf.if
// CHECK: math.exp
// CHECK-NOT: math.tanh
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]})
    -> (!onnx.value {gate.name = "y"}) {
  %no = arith.constant dense<false> : tensor<i1>
  %0 = onnx.node "If"(%no) bodies {
    %a = onnx.node "Tanh"(%x) {version = 21 : i64} : (tensor<?x4xf32>) -> !onnx.value
    onnx.yield %a : !onnx.value
  }, {
    %b = onnx.node "Exp"(%x) {version = 21 : i64} : (tensor<?x4xf32>) -> !onnx.value
    onnx.yield %b : !onnx.value
  } {body_names = ["then_branch", "else_branch"], version = 21 : i64} : (tensor<i1>) -> !onnx.value
  return %0 : !onnx.value
}

// -----

// No condition: scf.for. What is collected has a place for each iteration.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:.*]]: tensor<?x4xf32>
// CHECK: %[[PLACES:.*]] = tensor.empty(%{{.*}}) : tensor<5x?x4xf32>
// CHECK: %[[L:.*]]:2 = scf.for %[[I:.*]] = %c0 to %c5 step %c1 iter_args(%[[H:.*]] = %[[X]], %[[ALL:.*]] = %[[PLACES]])
// CHECK:   %[[N:.*]] = linalg.generic {{.*}} ins(%[[H]]
// CHECK:   %[[S:.*]] = tensor.insert_slice %[[N]] into %[[ALL]][%[[I]], 0, 0]
// CHECK:   scf.yield %[[N]], %[[S]]
// CHECK: return %[[L]]#0, %[[L]]#1
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]})
    -> (!onnx.value {gate.name = "y"}, !onnx.value {gate.name = "s"}) {
  %trips = arith.constant dense<5> : tensor<i64>
  %0:2 = onnx.node "Loop"(%trips, %x) bodies {
  ^bb0(%i: tensor<i64>, %c: tensor<i1>, %h: !onnx.value):
    %a = onnx.node "Exp"(%h) {version = 21 : i64} : (!onnx.value) -> !onnx.value
    %d = onnx.node "Identity"(%c) {version = 21 : i64} : (tensor<i1>) -> !onnx.value
    onnx.yield %d, %a, %a : !onnx.value, !onnx.value, !onnx.value
  } {absent = array<i64: 1>, body_names = ["body"], version = 21 : i64} : (tensor<i64>, tensor<?x4xf32>) -> (!onnx.value, !onnx.value)
  return %0#0, %0#1 : !onnx.value, !onnx.value
}

// -----

// A condition and a trip count: what was collected is cut to the iterations.
// CHECK-LABEL: func.func @main
// CHECK: %[[GO:.*]] = tensor.extract %arg0[]
// CHECK: %[[L:.*]]:4 = scf.while (%[[I:.*]] = %c0, %[[C:.*]] = %[[GO]], %[[H:.*]] = %arg1, %[[ALL:.*]] = %{{.*}})
// CHECK:   %[[BELOW:.*]] = arith.cmpi slt, %[[I]], %c9
// CHECK:   %[[RUNS:.*]] = arith.andi %[[BELOW]], %[[C]]
// CHECK:   scf.condition(%[[RUNS]]) %[[I]], %[[C]], %[[H]], %[[ALL]]
// CHECK: } do {
// CHECK:   %[[NEXT:.*]] = arith.addi
// CHECK:   scf.yield %[[NEXT]], %{{.*}}, %{{.*}}, %{{.*}} : index, i1, tensor<4xf32>, tensor<9x4xf32>
// CHECK: %[[DONE:.*]] = gate.bound %[[L]]#0, %c9
// CHECK: tensor.extract_slice %[[L]]#3[0, 0] [%[[DONE]], 4] [1, 1]
func.func @main(%go: tensor<i1> {gate.name = "go"}, %x: tensor<4xf32> {gate.name = "x"})
    -> (!onnx.value {gate.name = "y"}) {
  %trips = arith.constant dense<9> : tensor<i64>
  %half = arith.constant dense<0.5> : tensor<f32>
  %rows = arith.constant dense<0> : tensor<1xi64>
  %0:2 = onnx.node "Loop"(%trips, %go, %x) bodies {
  ^bb0(%i: tensor<i64>, %c: tensor<i1>, %h: !onnx.value):
    %a = onnx.node "Sin"(%h) {version = 21 : i64} : (!onnx.value) -> !onnx.value
    %m = onnx.node "ReduceMax"(%a) {attrs = {keepdims = 0 : i64}, version = 21 : i64} : (!onnx.value) -> !onnx.value
    %d = onnx.node "Greater"(%m, %half) {version = 21 : i64} : (!onnx.value, tensor<f32>) -> !onnx.value
    onnx.yield %d, %a, %a : !onnx.value, !onnx.value, !onnx.value
  } {body_names = ["body"], version = 21 : i64} : (tensor<i64>, tensor<i1>, tensor<4xf32>) -> (!onnx.value, !onnx.value)
  %1 = onnx.node "ReduceSum"(%0#1, %rows) {attrs = {keepdims = 0 : i64}, version = 21 : i64} : (!onnx.value, tensor<1xi64>) -> !onnx.value
  return %1 : !onnx.value
}

// -----

// A scan from the last column to the first; its output runs forward again.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:.*]]: tensor<?x?xf32>
// CHECK: scf.for %[[I:.*]] = %c0 to %[[T:.*]] step %c1 iter_args(%[[H:.*]] = %{{.*}}, %[[ALL:.*]] = %{{.*}})
// CHECK:   %[[LAST:.*]] = arith.subi %[[T]], %c1
// CHECK:   %[[BACK:.*]] = arith.subi %[[LAST]], %[[I]]
// CHECK:   tensor.extract_slice %[[X]][0, %[[BACK]]] [%{{.*}}, 1] [1, 1] : tensor<?x?xf32> to tensor<?xf32>
// CHECK:   tensor.insert_slice %{{.*}} into %[[ALL]][%[[I]], 0]
func.func @main(%x: tensor<?x?xf32> {gate.name = "x", gate.dims = ["B", "T"]},
                %h0: tensor<?xf32> {gate.name = "h", gate.dims = ["B"]})
    -> (!onnx.value {gate.name = "y"}, !onnx.value {gate.name = "s"}) {
  %0:2 = onnx.node "Scan"(%h0, %x) bodies {
  ^bb0(%h: tensor<?xf32>, %e: tensor<?xf32>):
    %a = onnx.node "Add"(%h, %e) {version = 21 : i64} : (tensor<?xf32>, tensor<?xf32>) -> !onnx.value
    onnx.yield %a, %a : !onnx.value, !onnx.value
  } {attrs = {num_scan_inputs = 1 : i64, scan_input_axes = array<i64: 1>, scan_input_directions = array<i64: 1>}, body_names = ["body"], version = 21 : i64} : (tensor<?xf32>, tensor<?x?xf32>) -> (!onnx.value, !onnx.value)
  return %0#0, %0#1 : !onnx.value, !onnx.value
}
