// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Plans become tensors that the run-time library fills; sites record decisions.
// RUN: gate-opt %s --lower-plans -split-input-file -verify-diagnostics | FileCheck %s

gate.site @other {name = "o", kind = "exit", cost = array<f64: 1.0, 1.0, 1.0>, full_cost = 1.0 : f64, nodes = []}
gate.site @s {name = "s", kind = "experts", cost = array<f64: 1.0, 1.0, 1.0, 1.0>, full_cost = 4.0 : f64, nodes = []}

// CHECK-LABEL: func.func @route
// CHECK-SAME: (%[[L:.*]]: tensor<?x4xf32>)
// CHECK: %[[D:.*]] = tensor.dim %[[L]]
// CHECK: %[[R:.*]]:2 = gate.runtime_call "gatecc_route_f32"(%[[L]], %[[D]], {{.*}}) outs(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>)
// CHECK: %[[P:.*]]:3 = gate.runtime_call "gatecc_sort_slots"(%[[R]]#0, %[[D]], {{.*}}) outs({{.*}} : tensor<5xi32>, tensor<?xi32>, tensor<?x2xi32>) {nulls = array<i64: 1, 7>}
// The site is number 1 of the module, its groups begin after the other's three.
// CHECK-DAG: %[[ONE:.*]] = arith.constant 1 : index
// CHECK-DAG: %[[THREE:.*]] = arith.constant 3 : index
// CHECK: gate.runtime_call "gatecc_record_plan"(%[[ONE]], %[[THREE]], %[[P]]#0, {{.*}}) outs() {frame}
// CHECK: return %[[P]]#0, %[[P]]#1, %[[P]]#2, %[[R]]#1
func.func @route(%l: tensor<?x4xf32>) -> (tensor<5xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x2xf32>) {
  %p = gate.route %l {score = #gate.score<softmax>, site = @s} : tensor<?x4xf32> -> !gate.plan<groups = 4, choices = 2>
  %o, %s, %i, %w = gate.plan_tensors %p : !gate.plan<groups = 4, choices = 2> -> tensor<5xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %o, %s, %i, %w : tensor<5xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x2xf32>
}

// -----

gate.site @e {name = "e", kind = "exit", cost = array<f64: 1.0, 1.0, 1.0>, full_cost = 1.0 : f64, nodes = []}

// A predicate's true rows are group 0. An exit records who left at it.
// CHECK-LABEL: func.func @partition
// CHECK: %[[IDS:.*]] = linalg.generic {{.*}} ins(%{{.*}} : tensor<?xi1>)
// CHECK: arith.select %{{.*}}, %[[ZERO:.*]], %[[ONE:.*]] : i32
// CHECK: gate.runtime_call "gatecc_sort_slots"(%[[IDS]],
// CHECK: gate.runtime_call "gatecc_record_exit"(
func.func @partition(%c: tensor<?xi1>) -> tensor<3xi32> {
  %p = gate.partition %c {site = @e, exit = 1 : i64} : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  %o, %s, %i, %w = gate.plan_tensors %p : !gate.plan<groups = 2, choices = 1> -> tensor<3xi32>, tensor<?xi32>, tensor<?x1xi32>, tensor<?x1xf32>
  return %o : tensor<3xi32>
}

// -----

// Without a site nothing is recorded; group ids are used as they are.
// CHECK-LABEL: func.func @ids
// CHECK-NOT: arith.select
// CHECK-NOT: gatecc_record
func.func @ids(%c: tensor<?x1xi32>) -> tensor<4xi32> {
  %p = gate.partition %c : tensor<?x1xi32> -> !gate.plan<groups = 3, choices = 1>
  %o, %s, %i, %w = gate.plan_tensors %p : !gate.plan<groups = 3, choices = 1> -> tensor<4xi32>, tensor<?xi32>, tensor<?x1xi32>, tensor<?x1xf32>
  return %o : tensor<4xi32>
}

// -----

// Choices that were made elsewhere. An id of 64 bits that is out of range must not
// become one that is in range.
// CHECK-LABEL: func.func @assign
// CHECK-SAME: (%[[I:.*]]: tensor<?x2xi64>, %[[W:.*]]: tensor<?x2xf32>)
// CHECK: %[[IDS:.*]] = linalg.generic {{.*}} ins(%[[I]] : tensor<?x2xi64>)
// CHECK: %[[IN:.*]] = arith.cmpi ult, %[[ID:.*]], %{{.*}} : i64
// CHECK: %[[S:.*]] = arith.select %[[IN]], %[[ID]], %{{.*}} : i64
// CHECK: arith.trunci %[[S]] : i64 to i32
// CHECK: gate.runtime_call "gatecc_sort_slots"(%[[IDS]],
// CHECK: return %[[W]]
func.func @assign(%i: tensor<?x2xi64>, %weights: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %p = gate.assign %i weights(%weights : tensor<?x2xf32>) : tensor<?x2xi64> -> !gate.plan<groups = 4, choices = 2>
  %o, %s, %n, %w = gate.plan_tensors %p : !gate.plan<groups = 4, choices = 2> -> tensor<5xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %w : tensor<?x2xf32>
}

// -----

// The logits choose, the weights come from another tensor; there is no score.
// CHECK-LABEL: func.func @mixing
// CHECK-SAME: (%[[L:.*]]: tensor<?x4xf32>, %[[M:.*]]: tensor<?x4xf32>)
// CHECK: gate.runtime_call "gatecc_route_mixed_f32"(%[[L]], %[[M]], %{{.*}} : tensor<?x4xf32>, tensor<?x4xf32>, index, index, index, i32, f32, i32, i32) outs(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>)
func.func @mixing(%l: tensor<?x4xf32>, %m: tensor<?x4xf32>) -> tensor<?x2xf32> {
  %p = gate.route %l mixing(%m : tensor<?x4xf32>) {score = #gate.score<identity>} : tensor<?x4xf32> -> !gate.plan<groups = 4, choices = 2>
  %o, %s, %i, %w = gate.plan_tensors %p : !gate.plan<groups = 4, choices = 2> -> tensor<5xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %w : tensor<?x2xf32>
}

// -----

// combine reads the inverse map and the weights that the route made.
// CHECK-LABEL: func.func @combine
// CHECK: %[[R:.*]]:2 = gate.runtime_call "gatecc_route_f32"
// CHECK: %[[P:.*]]:3 = gate.runtime_call "gatecc_sort_slots"
// CHECK: gate.runtime_call "gatecc_combine_f32"(%arg1, %{{.*}}, %[[P]]#2, %[[R]]#1, %arg2, %{{.*}}) outs(%{{.*}} : tensor<?x8xf32>) {frame}
func.func @combine(%l: tensor<?x4xf32>, %slots: tensor<?x8xf32>, %n: index) -> tensor<?x8xf32> {
  %p = gate.route %l {score = #gate.score<sigmoid>} : tensor<?x4xf32> -> !gate.plan<groups = 4, choices = 2>
  %c = gate.combine %slots, %p rows(%n) : tensor<?x8xf32>, !gate.plan<groups = 4, choices = 2> -> tensor<?x8xf32>
  return %c : tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func.func @topk
// CHECK: gate.runtime_call "gatecc_topk_i64"(%arg0, {{.*}}) outs(%{{.*}}, %{{.*}} : tensor<?x3xi64>, tensor<?x3xi64>)
func.func @topk(%x: tensor<?x8xi64>) -> (tensor<?x3xi64>, tensor<?x3xi64>) {
  %v, %i = gate.topk %x {k = 3 : i64, largest = false} : tensor<?x8xi64> -> tensor<?x3xi64>, tensor<?x3xi64>
  return %v, %i : tensor<?x3xi64>, tensor<?x3xi64>
}

// -----

func.func @topk_i8(%x: tensor<?x8xi8>) -> tensor<?x3xi8> {
  // expected-error @+1 {{top-k of 'i8' is not supported yet}}
  %v, %i = gate.topk %x {k = 3 : i64, largest = false} : tensor<?x8xi8> -> tensor<?x3xi8>, tensor<?x3xi64>
  return %v : tensor<?x3xi8>
}

// -----

func.func @route_f64(%x: tensor<?x8xf64>) {
  // expected-error @+1 {{routing by logits of 'f64' is not supported yet}}
  %p = gate.route %x {score = #gate.score<softmax>} : tensor<?x8xf64> -> !gate.plan<groups = 8, choices = 1>
  return
}

// -----

// Nor is a plan that a branch yields.
func.func @plan_of_branch(%s: tensor<?x4xf32>, %base: tensor<?x4xf32>, %c: tensor<?xi1>, %b: i1) -> tensor<?x4xf32> {
  %p = scf.if %b -> !gate.plan<groups = 2, choices = 1> {
    %q = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
    scf.yield %q : !gate.plan<groups = 2, choices = 1>
  } else {
    %q = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
    scf.yield %q : !gate.plan<groups = 2, choices = 1>
  }
  // expected-error @+1 {{a plan that is not the result of 'gate.route', 'gate.partition' or 'gate.assign' is not supported yet}}
  %m = gate.merge %s, %p groups [0, 1] base(%base) : tensor<?x4xf32>, !gate.plan<groups = 2, choices = 1>, tensor<?x4xf32>
  return %m : tensor<?x4xf32>
}

// -----

// Weights that are divided by their sum, whatever it is; without `mixing` they are the
// logits themselves.
// CHECK-LABEL: func.func @divided
// CHECK-SAME: (%[[L:.*]]: tensor<?x4xf32>)
// CHECK-DAG: %[[O:.*]] = arith.constant 9.99999968E-21 : f32
// CHECK-DAG: %[[M:.*]] = arith.constant 0xFF800000 : f32
// CHECK: gate.runtime_call "gatecc_route_divided_f32"(%[[L]], %[[L]], %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %[[O]], %[[M]], %{{.*}} : tensor<?x4xf32>, tensor<?x4xf32>, index, index, index, i32, f32, f32, f32, i32, i32) outs(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>)
func.func @divided(%l: tensor<?x4xf32>) -> tensor<?x2xf32> {
  %p = gate.route %l {score = #gate.score<identity>, normalize = true, sum_offset = 1.0e-20 : f32} : tensor<?x4xf32> -> !gate.plan<groups = 4, choices = 2>
  %o, %s, %n, %w = gate.plan_tensors %p : !gate.plan<groups = 4, choices = 2> -> tensor<5xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x2xf32>
  return %w : tensor<?x2xf32>
}
