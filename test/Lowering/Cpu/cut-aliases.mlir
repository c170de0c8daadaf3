// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The last of as many branches in a chain as are allowed has its result copied.
// RUN: gate-opt %s --cut-aliases=limit=2 | FileCheck %s

// CHECK-LABEL: func.func @skipped
// CHECK: %[[A:.*]] = scf.if
// CHECK: %[[SLICE:.*]] = tensor.extract_slice %[[A]]
// CHECK: %[[B:.*]] = scf.if
// CHECK: tensor.insert_slice %[[SLICE]] into %[[A]]
// CHECK: else
// CHECK: yield %[[A]]
// CHECK: %[[COPY:.*]] = bufferization.alloc_tensor() copy(%[[B]])
// CHECK: %[[C:.*]] = scf.if
// CHECK: linalg.generic
// CHECK-SAME: outs(%[[COPY]]
// CHECK: else
// CHECK: yield %[[COPY]]
// CHECK-NOT: alloc_tensor
// CHECK: return %[[C]]
func.func @skipped(%x: tensor<4x3xf32>, %row: tensor<1x3xf32>, %p: i1) -> tensor<4x3xf32> {
  %a = scf.if %p -> tensor<4x3xf32> {
    %f = tensor.insert_slice %row into %x[0, 0] [1, 3] [1, 1] : tensor<1x3xf32> into tensor<4x3xf32>
    scf.yield %f : tensor<4x3xf32>
  } else {
    scf.yield %x : tensor<4x3xf32>
  }
  // A view of the chain is of the chain.
  %s = tensor.extract_slice %a[1, 0] [1, 3] [1, 1] : tensor<4x3xf32> to tensor<1x3xf32>
  %b = scf.if %p -> tensor<4x3xf32> {
    %f = tensor.insert_slice %s into %a[2, 0] [1, 3] [1, 1] : tensor<1x3xf32> into tensor<4x3xf32>
    scf.yield %f : tensor<4x3xf32>
  } else {
    scf.yield %a : tensor<4x3xf32>
  }
  %c = scf.if %p -> tensor<4x3xf32> {
    %f = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} outs(%b : tensor<4x3xf32>) {
    ^bb0(%v: f32):
      %w = arith.negf %v : f32
      linalg.yield %w : f32
    } -> tensor<4x3xf32>
    scf.yield %f : tensor<4x3xf32>
  } else {
    scf.yield %b : tensor<4x3xf32>
  }
  return %c : tensor<4x3xf32>
}

// A branch whose results have memory of their own starts a chain; scalars are
// no memory.
// CHECK-LABEL: func.func @apart
// CHECK-NOT: alloc_tensor
// CHECK: return
func.func @apart(%x: tensor<4xf32>, %p: i1, %i: index) -> (tensor<4xf32>, f32) {
  %e = tensor.empty() : tensor<4xf32>
  %a = scf.if %p -> tensor<4xf32> {
    %n = linalg.negf ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %n : tensor<4xf32>
  } else {
    scf.yield %e : tensor<4xf32>
  }
  %b = linalg.negf ins(%a : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  %c:2 = scf.if %p -> (tensor<4xf32>, f32) {
    %v = tensor.extract %a[%i] : tensor<4xf32>
    scf.yield %b, %v : tensor<4xf32>, f32
  } else {
    %v = tensor.extract %b[%i] : tensor<4xf32>
    scf.yield %x, %v : tensor<4xf32>, f32
  }
  return %c#0, %c#1 : tensor<4xf32>, f32
}
