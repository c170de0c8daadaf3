// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise work moves into the contraction that feeds it, and only there.
// RUN: gate-opt %s --fuse-epilogue -split-input-file | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#col = affine_map<(d0, d1) -> (d1)>
#row = affine_map<(d0, d1) -> (d0)>

// Two products of the same rows become one: both accumulators reach the epilogue.
// CHECK-LABEL: func.func @gated
// CHECK-SAME: (%[[X:[^:]*]]: {{.*}}, %[[G:[^:]*]]: {{.*}}, %[[U:[^:]*]]: tensor<4x3xf32>)
// CHECK: %[[Y:.*]] = gate.contract rows(%[[X]] : tensor<?x4xf32>) weights(%[[G]], %[[U]] : tensor<4x3xf32>, tensor<4x3xf32>) extras() [] -> tensor<?x3xf32>
// CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32):
// CHECK-NEXT: %[[N:.*]] = arith.negf %[[A]]
// CHECK-NEXT: %[[M:.*]] = arith.mulf %[[N]], %[[B]]
// CHECK-NEXT: gate.yield %[[M]]
// CHECK-NOT: linalg.generic
// CHECK: return %[[Y]]
func.func @gated(%x: tensor<?x4xf32>, %g: tensor<4x3xf32>, %u: tensor<4x3xf32>) -> tensor<?x3xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?x3xf32>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%g : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    %neg = arith.negf %a : f32
    gate.yield %neg : f32
  }
  %1 = gate.contract rows(%x : tensor<?x4xf32>) weights(%u : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%0, %1 : tensor<?x3xf32>, tensor<?x3xf32>) outs(%e : tensor<?x3xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<?x3xf32>
  return %2 : tensor<?x3xf32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>
#col = affine_map<(d0, d1) -> (d1)>
#row = affine_map<(d0, d1) -> (d0)>

// A chain of them: bias (column), row weight, residual (full), a constant.
// CHECK-LABEL: func.func @chain
// CHECK: gate.contract {{.*}} extras(%{{.*}}, %{{.*}}, %{{.*}} : tensor<3xf32>, tensor<?xf32>, tensor<?x3xf32>)
// CHECK-SAME: [#gate.extent<column>, #gate.extent<row>, #gate.extent<full>]
// CHECK: arith.addf
// CHECK: arith.mulf
// CHECK: arith.addf
// CHECK: arith.maximumf
// CHECK-NOT: linalg.generic
func.func @chain(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %bias: tensor<3xf32>, %scale: tensor<?xf32>,
                 %residual: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant dense<0.0> : tensor<3xf32>
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?x3xf32>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %1 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]}
      ins(%0, %bias : tensor<?x3xf32>, tensor<3xf32>) outs(%e : tensor<?x3xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.addf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<?x3xf32>
  %2 = linalg.generic {indexing_maps = [#id, #row, #id, #col, #id], iterator_types = ["parallel", "parallel"]}
      ins(%1, %scale, %residual, %zero : tensor<?x3xf32>, tensor<?xf32>, tensor<?x3xf32>, tensor<3xf32>) outs(%e : tensor<?x3xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %z: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %m, %c : f32
    %r = arith.maximumf %s, %z : f32
    linalg.yield %r : f32
  } -> tensor<?x3xf32>
  return %2 : tensor<?x3xf32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>

// A product with another user stays: its value must leave the registers.
// CHECK-LABEL: func.func @two_users
// CHECK: gate.contract
// CHECK: linalg.generic
func.func @two_users(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>) -> (tensor<?x3xf32>, tensor<?x3xf32>) {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%n) : tensor<?x3xf32>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%0 : tensor<?x3xf32>) outs(%e : tensor<?x3xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.negf %a : f32
    linalg.yield %m : f32
  } -> tensor<?x3xf32>
  return %0, %1 : tensor<?x3xf32>, tensor<?x3xf32>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (d0, 0)>

// So does one that feeds a reduction, or whose consumer makes no float.
// CHECK-LABEL: func.func @other_consumers
// CHECK: gate.contract
// CHECK: linalg.generic {{.*}}"reduction"
// CHECK: gate.contract
// CHECK: linalg.generic
// CHECK: arith.cmpf
func.func @other_consumers(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %v: tensor<4x3xf32>, %i: tensor<?x1xf32>,
                           %e: tensor<?x3xi1>) -> (tensor<?x1xf32>, tensor<?x3xi1>) {
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %1 = linalg.generic {indexing_maps = [#id, #one], iterator_types = ["parallel", "reduction"]}
      ins(%0 : tensor<?x3xf32>) outs(%i : tensor<?x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.addf %o, %a : f32
    linalg.yield %m : f32
  } -> tensor<?x1xf32>
  %2 = gate.contract rows(%x : tensor<?x4xf32>) weights(%v : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %3 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%2 : tensor<?x3xf32>) outs(%e : tensor<?x3xi1>) {
  ^bb0(%a: f32, %o: i1):
    %zero = arith.constant 0.0 : f32
    %m = arith.cmpf ogt, %a, %zero : f32
    linalg.yield %m : i1
  } -> tensor<?x3xi1>
  return %1, %3 : tensor<?x1xf32>, tensor<?x3xi1>
}

// A product before a loop is not done in each iteration.
// CHECK-LABEL: func.func @before_a_loop
// CHECK: gate.contract
// CHECK: scf.for
// CHECK-NOT: gate.contract
// CHECK: linalg.generic
func.func @before_a_loop(%x: tensor<?x4xf32>, %w: tensor<4x3xf32>, %h: tensor<?x3xf32>, %n: index) -> tensor<?x3xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %y = scf.for %i = %c0 to %n step %c1 iter_args(%s = %h) -> tensor<?x3xf32> {
    %1 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%0, %s : tensor<?x3xf32>, tensor<?x3xf32>) outs(%h : tensor<?x3xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %m = arith.addf %a, %b : f32
      linalg.yield %m : f32
    } -> tensor<?x3xf32>
    scf.yield %1 : tensor<?x3xf32>
  }
  return %y : tensor<?x3xf32>
}
