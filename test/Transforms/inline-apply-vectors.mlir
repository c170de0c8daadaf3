// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts whose parameters are vectors are work in the order of rows and choices: no
// plan is built, the site counts ids, and what the choices add is never stored.
// RUN: gate-opt %s --inline-apply -split-input-file | FileCheck %s

!plan = !gate.plan<groups = 16, choices = 2>

// CHECK-LABEL: func.func @vectors
// CHECK-SAME: (%[[X:[^:]*]]: tensor<?x8xf32>, %[[DOWN:[^:]*]]: tensor<16x8xf32>, %[[UP:[^:]*]]: tensor<16x8xf32>, %[[IDS:[^:]*]]: tensor<?x2xi64>, %[[W:[^:]*]]: tensor<?x2xf32>
// CHECK-NOT: gate.assign
// CHECK: gate.runtime_call "gatecc_record_choices"({{.*}}, %[[IDS]], {{.*}}) outs() {frame}
// CHECK-NOT: gate.gather_nd
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]} ins(%[[X]], %[[IDS]] : tensor<?x8xf32>, tensor<?x2xi64>)
// CHECK: %[[THERE:.*]] = arith.cmpi ult, %[[ID:.*]], %c16
// CHECK: %[[AT:.*]] = arith.select %[[THERE]], %[[ID]], %c0
// CHECK: %[[ROW:.*]] = arith.index_cast %[[AT]]
// CHECK: %[[COLUMN:.*]] = linalg.index 2
// CHECK: tensor.extract %[[DOWN]][%[[ROW]], %[[COLUMN]]]
// CHECK-NOT: gate.apply
// CHECK: %[[R:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "reduction", "parallel"]} ins(%{{.*}}, %[[IDS]], %[[IDS]], %[[W]] : {{.*}}
// CHECK: tensor.extract %[[UP]]
// CHECK: arith.mulf
// CHECK: arith.cmpi ult
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: arith.select
// CHECK-NOT: gate.combine
// CHECK: return %[[R]]
gate.site @site {name = "site", kind = "experts", cost = array<f64: 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0>, full_cost = 16.0 : f64, nodes = []}
func.func @vectors(%x: tensor<?x8xf32>, %down: tensor<16x8xf32>, %up: tensor<16x8xf32>, %ids: tensor<?x2xi64>, %w: tensor<?x2xf32>, %t: index) -> tensor<?x8xf32> {
  %p = gate.assign %ids weights(%w : tensor<?x2xf32>) {site = @site} : tensor<?x2xi64> -> !plan
  %y = gate.apply %p ranges [0, 16] ins(%x : tensor<?x8xf32>) params(%down, %up : tensor<16x8xf32>, tensor<16x8xf32>) : !plan -> tensor<?x8xf32> {
  ^bb0(%r: tensor<?x8xf32>, %d: tensor<8xf32>, %u: tensor<8xf32>):
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %n = tensor.dim %r, %c0 : tensor<?x8xf32>
    %e = tensor.empty(%n) : tensor<?xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
    %h = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0)>], iterator_types = ["parallel", "reduction"]} ins(%r, %d : tensor<?x8xf32>, tensor<8xf32>) outs(%f : tensor<?xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %m = arith.mulf %a, %b : f32
      %s = arith.addf %o, %m : f32
      linalg.yield %s : f32
    } -> tensor<?xf32>
    %h1 = tensor.expand_shape %h [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32>
    %e2 = tensor.empty(%n) : tensor<?x8xf32>
    %z = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%h1, %u : tensor<?x1xf32>, tensor<8xf32>) outs(%e2 : tensor<?x8xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %m = arith.mulf %a, %b : f32
      linalg.yield %m : f32
    } -> tensor<?x8xf32>
    gate.yield %z : tensor<?x8xf32>
  }
  %c = gate.combine %y, %p rows(%t) : tensor<?x8xf32>, !plan -> tensor<?x8xf32>
  return %c : tensor<?x8xf32>
}

// -----

// A body that asks which slot it works on keeps the order of the groups.
// CHECK-LABEL: func.func @asks_for_slots
// CHECK: gate.assign
// CHECK: gate.combine
!plan = !gate.plan<groups = 4, choices = 1>
func.func @asks_for_slots(%x: tensor<?x8xf32>, %up: tensor<4x8xf32>, %ids: tensor<?x1xi32>, %t: index) -> tensor<?x8xf32> {
  %p = gate.assign %ids : tensor<?x1xi32> -> !plan
  %y = gate.apply %p ranges [0, 4] ins(%x : tensor<?x8xf32>) params(%up : tensor<4x8xf32>) : !plan -> tensor<?x8xf32> {
  ^bb0(%r: tensor<?x8xf32>, %u: tensor<8xf32>):
    %c0 = arith.constant 0 : index
    %n = tensor.dim %r, %c0 : tensor<?x8xf32>
    %e2 = tensor.empty(%n) : tensor<?x8xf32>
    %z = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%r, %u : tensor<?x8xf32>, tensor<8xf32>) outs(%e2 : tensor<?x8xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %i = linalg.index 0 : index
      %j = arith.index_cast %i : index to i32
      %k = arith.sitofp %j : i32 to f32
      %m = arith.mulf %k, %b : f32
      linalg.yield %m : f32
    } -> tensor<?x8xf32>
    gate.yield %z : tensor<?x8xf32>
  }
  %c = gate.combine %y, %p rows(%t) : tensor<?x8xf32>, !plan -> tensor<?x8xf32>
  return %c : tensor<?x8xf32>
}
