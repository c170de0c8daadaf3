// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ops that index by data become row-major places and calls of the run-time
// library; other ops stay as they are.
// RUN: gate-opt %s --lower-indexing --canonicalize --cse | FileCheck %s

// CHECK-LABEL: func.func @nonzero
// CHECK-SAME: %[[M:.*]]: tensor<?x8xi1>
func.func @nonzero(%m: tensor<?x8xi1>) -> (tensor<2x?xi64>, index) {
  // CHECK: %[[T:.*]] = arith.muli %{{.*}}, %c8
  // CHECK: %[[C:.*]] = gate.runtime_call "gatecc_count_true"(%[[M]], %[[T]] : tensor<?x8xi1>, index) outs() scalar i64
  // CHECK: %[[I:.*]] = arith.index_cast %[[C]] : i64 to index
  // CHECK: %[[N:.*]] = gate.bound %[[I]], %[[T]]
  // CHECK: %[[P:.*]] = gate.runtime_call "gatecc_find_true"(%[[M]], %[[T]], %[[N]] : {{.*}}) outs(%{{.*}} : tensor<?xi64>)
  // CHECK: %[[R:.*]] = linalg.generic {{.*}} ins(%[[P]] : tensor<?xi64>) outs(%{{.*}} : tensor<2x?xi64>)
  // CHECK: arith.remui
  // CHECK: return %[[R]], %[[N]]
  %p = gate.nonzero %m : tensor<?x8xi1> -> tensor<2x?xi64>
  %c1 = arith.constant 1 : index
  %n = tensor.dim %p, %c1 : tensor<2x?xi64>
  return %p, %n : tensor<2x?xi64>, index
}

// An index that is out of range is clamped.
// CHECK-LABEL: func.func @gather
func.func @gather(%w: tensor<8x48x32xf32>, %i: tensor<?x1xi64>) -> tensor<?x48x32xf32> {
  // CHECK: %[[P:.*]] = linalg.generic
  // CHECK: arith.minsi
  // CHECK: arith.maxsi
  // CHECK: gate.runtime_call "gatecc_gather_slices"(%{{.*}}, %c6144, %c8, %[[P]], %{{.*}} : tensor<8x48x32xf32>, index, index, tensor<?xi64>, index) outs(%{{.*}} : tensor<?x48x32xf32>)
  %g = gate.gather_nd %w, %i {batch_dims = 0 : i64} : tensor<8x48x32xf32>, tensor<?x1xi64> -> tensor<?x48x32xf32>
  return %g : tensor<?x48x32xf32>
}

// An update that is out of range has the place -1.
// CHECK-LABEL: func.func @scatter
func.func @scatter(%x: tensor<?x32xf32>, %i: tensor<?x1xi64>, %u: tensor<?x32xf32>) -> tensor<?x32xf32> {
  // CHECK: %[[P:.*]] = linalg.generic
  // CHECK: arith.cmpi ult
  // CHECK: arith.select %{{.*}}, %{{.*}}, %c-1
  // CHECK: %[[S:.*]] = gate.runtime_call "gatecc_scatter_slices"(%{{.*}}, %c128, %{{.*}}, %[[P]], %{{.*}} : {{.*}}) outs(%{{.*}} : tensor<?x32xf32>) {updates}
  %s = gate.scatter_nd %u at %i into %x {reduction = #gate.reduction<none>} : tensor<?x32xf32>, tensor<?x1xi64>, tensor<?x32xf32>
  // CHECK: gate.runtime_call "gatecc_reduce_slices_f32"(%c1_i32, %{{.*}}) outs(%[[S]] : tensor<?x32xf32>) {updates}
  %t = gate.scatter_nd %u at %i into %s {reduction = #gate.reduction<add>} : tensor<?x32xf32>, tensor<?x1xi64>, tensor<?x32xf32>
  return %t : tensor<?x32xf32>
}

// CHECK-LABEL: func.func @elements
func.func @elements(%h: tensor<8xi64>, %i: tensor<?xi64>, %u: tensor<?xi64>) -> (tensor<8xi64>, tensor<?xi64>) {
  // CHECK: gate.runtime_call "gatecc_reduce_slices_i64"(%c1_i32, %{{.*}}, %c1, %c8, %{{.*}}) outs(%{{.*}} : tensor<8xi64>) {updates}
  %e = gate.scatter_elements %u at %i into %h {axis = 0 : i64, reduction = #gate.reduction<add>} : tensor<?xi64>, tensor<?xi64>, tensor<8xi64>
  // CHECK: gate.runtime_call "gatecc_cumsum_i64"(%{{.*}}, %c1, %c8, %c1, %{{.*}}, %{{.*}}) outs(%{{.*}} : tensor<8xi64>)
  %c = gate.cumsum %e {axis = 0 : i64, exclusive = false, reverse = false} : tensor<8xi64>
  // CHECK: linalg.copy
  %k = linalg.copy ins(%i : tensor<?xi64>) outs(%u : tensor<?xi64>) -> tensor<?xi64>
  return %c, %k : tensor<8xi64>, tensor<?xi64>
}
