// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise ops are merged, but not with those of a loop that they stand before.
// RUN: gate-opt %s --fuse-elementwise | FileCheck %s

#id = affine_map<(d0) -> (d0)>

// CHECK-LABEL: func.func @merged
// CHECK: linalg.generic
// CHECK:   math.exp
// CHECK:   arith.addf
// CHECK-NOT: linalg.generic
func.func @merged(%x: tensor<4xf32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%i: f32, %o: f32):
    %s = math.exp %i : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  %b = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%a, %x : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%i: f32, %j: f32, %o: f32):
    %s = arith.addf %i, %j : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %b : tensor<4xf32>
}

// CHECK-LABEL: func.func @loop
// CHECK: linalg.generic
// CHECK:   math.exp
// CHECK: scf.for
// CHECK:   linalg.generic
// CHECK-NOT: math.exp
func.func @loop(%x: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %e = tensor.empty() : tensor<4xf32>
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%i: f32, %o: f32):
    %s = math.exp %i : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  %y = scf.for %k = %c0 to %n step %c1 iter_args(%h = %x) -> tensor<4xf32> {
    %b = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
        ins(%a, %h : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) {
    ^bb0(%i: f32, %j: f32, %o: f32):
      %s = arith.addf %i, %j : f32
      linalg.yield %s : f32
    } -> tensor<4xf32>
    scf.yield %b : tensor<4xf32>
  }
  return %y : tensor<4xf32>
}

// An activation stays in front of the product, which reads each of its elements for
// every column; a cast goes into it.
#a = affine_map<(m, k, n) -> (m, k)>
#b = affine_map<(m, k, n) -> (k, n)>
#c = affine_map<(m, k, n) -> (m, n)>
#all = affine_map<(m, n) -> (m, n)>
// CHECK-LABEL: func.func @product
// CHECK: linalg.generic
// CHECK-SAME: "parallel", "parallel"]
// CHECK:   math.exp
// CHECK: linalg.generic
// CHECK-SAME: "reduction"
// CHECK-NOT: math.exp
// CHECK:   arith.extf
// CHECK:   arith.mulf
// CHECK-NOT: linalg.generic
func.func @product(%x: tensor<2x4xf32>, %w: tensor<4x8xf16>, %y: tensor<2x8xf32>) -> tensor<2x8xf32> {
  %e = tensor.empty() : tensor<2x4xf32>
  %f = tensor.empty() : tensor<4x8xf32>
  %h = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<2x4xf32>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%i: f32, %o: f32):
    %s = math.exp %i : f32
    linalg.yield %s : f32
  } -> tensor<2x4xf32>
  %v = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%w : tensor<4x8xf16>) outs(%f : tensor<4x8xf32>) {
  ^bb0(%i: f16, %o: f32):
    %s = arith.extf %i : f16 to f32
    linalg.yield %s : f32
  } -> tensor<4x8xf32>
  %r = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "reduction", "parallel"]}
      ins(%h, %v : tensor<2x4xf32>, tensor<4x8xf32>) outs(%y : tensor<2x8xf32>) {
  ^bb0(%i: f32, %j: f32, %o: f32):
    %p = arith.mulf %i, %j : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x8xf32>
  return %r : tensor<2x8xf32>
}

// What asks for an index that a reshape splits computes it from the parts.
// CHECK-LABEL: func.func @index
// CHECK-NOT: affine.apply
// CHECK: linalg.generic
// CHECK:   linalg.index 0
// CHECK:   linalg.index 1
// CHECK:   arith.muli
// CHECK:   arith.addi
func.func @index(%n: index, %x: tensor<3x?xi64>) -> tensor<3x?xi64> {
  %c3 = arith.constant 3 : index
  %all = arith.muli %n, %c3 : index
  %e = tensor.empty(%all) : tensor<?xi64>
  %a = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel"]} outs(%e : tensor<?xi64>) {
  ^bb0(%o: i64):
    %i = linalg.index 0 : index
    %s = arith.index_cast %i : index to i64
    linalg.yield %s : i64
  } -> tensor<?xi64>
  %r = tensor.expand_shape %a [[0, 1]] output_shape [3, %n] : tensor<?xi64> into tensor<3x?xi64>
  %f = tensor.empty(%n) : tensor<3x?xi64>
  %b = linalg.generic {indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel"]}
      ins(%r, %x : tensor<3x?xi64>, tensor<3x?xi64>) outs(%f : tensor<3x?xi64>) {
  ^bb0(%i: i64, %j: i64, %o: i64):
    %s = arith.addi %i, %j : i64
    linalg.yield %s : i64
  } -> tensor<3x?xi64>
  return %b : tensor<3x?xi64>
}
