// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ops with the same destination get their own; one that is alone keeps it.
// RUN: gate-opt %s --unshare-inits | FileCheck %s

#row = affine_map<(d0, d1) -> (d0)>
#all = affine_map<(d0, d1) -> (d0, d1)>

// CHECK-LABEL: func.func @fills
// CHECK: %[[E0:.*]] = tensor.empty
// CHECK: %[[F0:.*]] = linalg.fill {{.*}} outs(%[[E0]]
// CHECK: %[[E1:.*]] = tensor.empty
// CHECK: %[[F1:.*]] = linalg.fill {{.*}} outs(%[[E1]]
// CHECK: linalg.generic {{.*}} outs(%[[F1]]
// CHECK: linalg.generic {{.*}} outs(%[[F0]]
func.func @fills(%x: tensor<?x8xf32>, %n: index, %z: f32) -> (tensor<?xf32>, tensor<?xf32>) {
  %e = tensor.empty(%n) : tensor<?xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  %a = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x8xf32>) outs(%f : tensor<?xf32>) {
  ^bb0(%i: f32, %o: f32):
    %s = arith.addf %o, %i : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  %b = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x8xf32>) outs(%f : tensor<?xf32>) {
  ^bb0(%i: f32, %o: f32):
    %s = arith.maximumf %o, %i : f32
    linalg.yield %s : f32
  } -> tensor<?xf32>
  return %a, %b : tensor<?xf32>, tensor<?xf32>
}

// CHECK-LABEL: func.func @values
// CHECK-SAME: %[[V:.*]]: tensor<4xf32>
// CHECK: %[[C:.*]] = bufferization.alloc_tensor() copy(%[[V]])
// CHECK: linalg.fill {{.*}} outs(%[[C]]
// CHECK: linalg.fill {{.*}} outs(%[[V]]
func.func @values(%v: tensor<4xf32>, %z: f32) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = linalg.fill ins(%z : f32) outs(%v : tensor<4xf32>) -> tensor<4xf32>
  %b = linalg.fill ins(%z : f32) outs(%v : tensor<4xf32>) -> tensor<4xf32>
  return %a, %b : tensor<4xf32>, tensor<4xf32>
}

// The tensors that a loop begins with are its destinations.
// CHECK-LABEL: func.func @loop
// CHECK-SAME: %[[V:.*]]: tensor<4xf32>
// CHECK: %[[C:.*]] = bufferization.alloc_tensor() copy(%[[V]])
// CHECK: scf.for {{.*}} iter_args(%{{.*}} = %[[V]], %{{.*}} = %[[C]])
func.func @loop(%v: tensor<4xf32>, %z: f32, %n: index) -> (tensor<4xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %v, %b = %v) -> (tensor<4xf32>, tensor<4xf32>) {
    %p = linalg.fill ins(%z : f32) outs(%a : tensor<4xf32>) -> tensor<4xf32>
    %q = linalg.exp ins(%b : tensor<4xf32>) outs(%b : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %p, %q : tensor<4xf32>, tensor<4xf32>
  }
  return %y#0, %y#1 : tensor<4xf32>, tensor<4xf32>
}

// A loop does not begin in an output's buffer.
// CHECK-LABEL: func.func @output
// CHECK: %[[F:.*]] = linalg.fill
// CHECK: %[[G:.*]] = linalg.fill
// CHECK: scf.for {{.*}} iter_args(%{{.*}} = %[[G]])
// CHECK: materialize_in_destination %[[F]]
func.func @output(%o: memref<4xf32>, %z: f32, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %e = tensor.empty() : tensor<4xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %y = scf.for %i = %c0 to %n step %c1 iter_args(%a = %f) -> tensor<4xf32> {
    %p = linalg.exp ins(%a : tensor<4xf32>) outs(%a : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %p : tensor<4xf32>
  }
  bufferization.materialize_in_destination %f in restrict writable %o : (tensor<4xf32>, memref<4xf32>) -> ()
  return %y : tensor<4xf32>
}
