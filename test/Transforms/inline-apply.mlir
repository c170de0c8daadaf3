// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// apply becomes grouped contractions (experts) or a branch around rows (exits).
// RUN: gate-opt %s --inline-apply -split-input-file -verify-diagnostics | FileCheck %s

!experts = !gate.plan<groups = 2, choices = 1>

// The first product gathers its rows through the plan, the second has slots.
// CHECK-LABEL: func.func @experts
// CHECK-SAME: (%[[X:[^:]*]]: tensor<?x4xf32>, %[[U:[^:]*]]: tensor<2x4x3xf32>, %[[D:[^:]*]]: tensor<2x3x4xf32>, %[[B:[^:]*]]: tensor<2x3xf32>
// CHECK: %[[P:.*]] = gate.partition
// CHECK: %[[H:.*]] = gate.contract rows(%[[X]] : tensor<?x4xf32>) weights(%[[U]] : tensor<2x4x3xf32>) extras(%[[B]] : tensor<2x3xf32>) [#gate.extent<column>] plan(%[[P]] : {{.*}}) gathered -> tensor<?x3xf32>
// CHECK: %[[Y:.*]] = gate.contract rows(%[[H]] : tensor<?x3xf32>) weights(%[[D]] : tensor<2x3x4xf32>) extras() [] plan(%[[P]] : {{.*}}) -> tensor<?x4xf32>
// CHECK-NOT: gate.apply
// CHECK-NOT: gatecc_gather_rows
// CHECK: return %[[Y]]
func.func @experts(%x: tensor<?x4xf32>, %u: tensor<2x4x3xf32>, %d: tensor<2x3x4xf32>, %b: tensor<2x3xf32>, %c: tensor<?xi1>) -> tensor<?x4xf32> {
  %p = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  %y = gate.apply %p ranges [0, 2] ins(%x : tensor<?x4xf32>)
      params(%u, %d, %b : tensor<2x4x3xf32>, tensor<2x3x4xf32>, tensor<2x3xf32>) : !experts -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>, %ue: tensor<4x3xf32>, %de: tensor<3x4xf32>, %be: tensor<3xf32>):
    %h = gate.contract rows(%r : tensor<?x4xf32>) weights(%ue : tensor<4x3xf32>) extras(%be : tensor<3xf32>) [#gate.extent<column>] -> tensor<?x3xf32> {
    ^bb0(%a: f32, %e: f32):
      %s = arith.addf %a, %e : f32
      gate.yield %s : f32
    }
    %z = gate.contract rows(%h : tensor<?x3xf32>) weights(%de : tensor<3x4xf32>) extras() [] -> tensor<?x4xf32> {
    ^bb0(%a: f32):
      gate.yield %a : f32
    }
    gate.yield %z : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

!exit = !gate.plan<groups = 2, choices = 1>

// The rows of group 0 are copied out, worked on, and copied into the base; with
// no such row the base is the result.
// CHECK-LABEL: func.func @exit
// CHECK-SAME: (%[[X:[^:]*]]: tensor<?x4xf32>, %[[BASE:[^:]*]]: tensor<?x3xf32>
// CHECK: %[[ANY:.*]] = arith.cmpi sgt, %[[N:.*]], %{{.*}} : index
// CHECK: %[[R:.*]] = scf.if %[[ANY]] -> (tensor<?x3xf32>) {
// CHECK: %[[ROWS:.*]] = gate.runtime_call "gatecc_gather_rows"(%[[X]], {{.*}}) outs(
// CHECK: %[[Z:.*]] = gate.contract rows(%[[ROWS]] : tensor<?x4xf32>)
// CHECK: %[[S:.*]] = gate.runtime_call "gatecc_scatter_rows"(%[[Z]], {{.*}}) outs(%[[BASE]] : tensor<?x3xf32>) {updates}
// CHECK: scf.yield %[[S]]
// CHECK: } else {
// CHECK: scf.yield %[[BASE]]
// CHECK: return %[[R]]
func.func @exit(%x: tensor<?x4xf32>, %base: tensor<?x3xf32>, %w: tensor<4x3xf32>, %c: tensor<?xi1>) -> tensor<?x3xf32> {
  %p = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  %y = gate.apply %p ranges [0, 1] ins(%x : tensor<?x4xf32>) : !exit -> tensor<?x3xf32> {
  ^bb0(%r: tensor<?x4xf32>):
    %z = gate.contract rows(%r : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
    ^bb0(%a: f32):
      gate.yield %a : f32
    }
    gate.yield %z : tensor<?x3xf32>
  }
  %m = gate.merge %y, %p groups [0, 1] base(%base) : tensor<?x3xf32>, !exit, tensor<?x3xf32>
  return %m : tensor<?x3xf32>
}

// -----

!exit = !gate.plan<groups = 2, choices = 1>

// Rows that pass through are copied; those that nothing reads are not.
// CHECK-LABEL: func.func @pass_through
// CHECK: scf.if
// CHECK: gate.runtime_call "gatecc_gather_rows"(%arg0,
// CHECK-NOT: gate.runtime_call "gatecc_gather_rows"
// CHECK: gate.runtime_call "gatecc_scatter_rows"
func.func @pass_through(%x: tensor<?x4xf32>, %unused: tensor<?x4xf32>, %base: tensor<?x4xf32>, %c: tensor<?xi1>) -> tensor<?x4xf32> {
  %p = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  %y = gate.apply %p ranges [1, 2] ins(%x, %unused : tensor<?x4xf32>, tensor<?x4xf32>) : !exit -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>, %s: tensor<?x4xf32>):
    gate.yield %r : tensor<?x4xf32>
  }
  %m = gate.merge %y, %p groups [1, 2] base(%base) : tensor<?x4xf32>, !exit, tensor<?x4xf32>
  return %m : tensor<?x4xf32>
}

// -----

// What is not supported is refused with a reason.
func.func @not_merged(%x: tensor<?x4xf32>, %c: tensor<?xi1>) -> tensor<?x4xf32> {
  %p = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  // expected-error @+1 {{an apply on one group whose result is not merged is not supported yet}}
  %y = gate.apply %p ranges [0, 1] ins(%x : tensor<?x4xf32>) : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>):
    gate.yield %r : tensor<?x4xf32>
  }
  // expected-note @+1 {{used here}}
  return %y : tensor<?x4xf32>
}

// -----

func.func @two_regions(%x: tensor<?x4xf32>, %c: tensor<?xi1>) -> tensor<?x4xf32> {
  %p = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  // expected-error @+1 {{apply with more than one region is not supported yet}}
  %y = gate.apply %p ranges [0, 1, 1, 2] ins(%x : tensor<?x4xf32>) : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>):
    gate.yield %r : tensor<?x4xf32>
  }, {
  ^bb0(%r: tensor<?x4xf32>):
    gate.yield %r : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

func.func @plan_argument(%x: tensor<?x4xf32>, %p: !gate.plan<groups = 2, choices = 1>) -> tensor<?x4xf32> {
  // expected-error @+1 {{a plan that is not the result of 'gate.route', 'gate.partition' or 'gate.assign' is not supported yet}}
  %y = gate.apply %p ranges [0, 1] ins(%x : tensor<?x4xf32>) : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x4xf32>):
    gate.yield %r : tensor<?x4xf32>
  }
  %m = gate.merge %y, %p groups [0, 1] base(%x) : tensor<?x4xf32>, !gate.plan<groups = 2, choices = 1>, tensor<?x4xf32>
  return %m : tensor<?x4xf32>
}
