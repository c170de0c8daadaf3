// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loops over the innermost axis in vectors with a scalar rest; tasks outside.
// RUN: gate-opt %s --lower-structured --canonicalize --cse | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#t = affine_map<(d0, d1) -> (d1, d0)>
#one = affine_map<(d0, d1) -> (d0, 0)>
// CHECK-LABEL: func.func @elementwise
// CHECK: gate.tasks
// CHECK: scf.for
// CHECK: scf.for %{{.*}} = %c0 to %c16 step %c8
// CHECK: arith.negf %{{.*}} : vector<8xf32>
// CHECK: vector.store
// CHECK: scf.for %{{.*}} = %c16 to %c20 step %c1
// CHECK: arith.negf %{{.*}} : f32
// CHECK: memref.store
func.func @elementwise(%x: memref<?x20xf32>, %y: memref<?x20xf32>) {
  linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : memref<?x20xf32>) outs(%y : memref<?x20xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.negf %a : f32
    linalg.yield %m : f32
  }
  return
}
// A reduction adds in eight lanes, then the lanes in order, then the rest: the
// order depends on the length only.
// CHECK-LABEL: func.func @reduce
// CHECK: %[[SUM:.*]] = scf.for %{{.*}} = %c0 to %c16 step %c8 iter_args(%{{.*}} = %{{.*}}) -> (vector<8xf32>)
// CHECK: arith.addf %{{.*}} : vector<8xf32>
// CHECK: vector.extract %[[SUM]][0]
// CHECK: vector.extract %[[SUM]][7]
// CHECK: scf.for %{{.*}} = %c16 to %c20 step %c1 iter_args(%{{.*}}) -> (f32)
func.func @reduce(%x: memref<?x20xf32>, %y: memref<?x1xf32>) {
  linalg.generic {indexing_maps = [#id, #one], iterator_types = ["parallel", "reduction"]} ins(%x : memref<?x20xf32>) outs(%y : memref<?x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.addf %o, %a : f32
    linalg.yield %m : f32
  }
  return
}
// What is not contiguous runs one element at a time.
// CHECK-LABEL: func.func @transpose
// CHECK-NOT: vector
// CHECK: memref.load %arg0[%[[I:.*]], %[[J:.*]]]
// CHECK: memref.store %{{.*}}, %arg1[%[[J]], %[[I]]]
func.func @transpose(%x: memref<?x20xf32>, %y: memref<20x?xf32>) {
  linalg.generic {indexing_maps = [#t, #id], iterator_types = ["parallel", "parallel"]} ins(%x : memref<?x20xf32>) outs(%y : memref<20x?xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  }
  return
}

// CHECK-LABEL: func.func @fill
// CHECK-NOT: linalg
// CHECK: vector.store %{{.*}}, %arg1
func.func @fill(%v: f32, %y: memref<?x20xf32>) {
  linalg.fill ins(%v : f32) outs(%y : memref<?x20xf32>)
  return
}

// An op that asks for its indices computes them for each element.
// CHECK-LABEL: func.func @indices
// CHECK-NOT: vector
// CHECK: arith.index_cast
// CHECK: memref.store
func.func @indices(%y: memref<?x20xi64>) {
  linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel"]} outs(%y : memref<?x20xi64>) {
  ^bb0(%o: i64):
    %i = linalg.index 1 : index
    %m = arith.index_cast %i : index to i64
    linalg.yield %m : i64
  }
  return
}

// A product: tasks of 32 rows of one matrix; tiles of 4 rows and 2 vectors whose
// sums stay in registers from the first to the last k; then the rows that are left,
// each with 8 vectors at once; the columns that are left one by one.
#a = affine_map<(b, m, k, n) -> (b, m, k)>
#b = affine_map<(b, m, k, n) -> (b, k, n)>
#c = affine_map<(b, m, k, n) -> (b, m, n)>
// CHECK-LABEL: func.func @product
// CHECK: gate.tasks
// CHECK: scf.for %{{.*}} step %c4
// CHECK-COUNT-8: vector.load %arg2
// CHECK: scf.for %{{.*}} = %c0 to %c9 step %c1 iter_args
// CHECK-SAME: -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK: vector.load %arg1
// CHECK-NOT: store
// CHECK: scf.yield
// CHECK-COUNT-8: vector.store {{.*}} %arg2
// CHECK: scf.for %{{.*}} = %c16 to %c20 step %c1
// CHECK: scf.for %{{.*}} = %c0 to %c9 step %c1 iter_args({{.*}}) -> (f32, f32, f32, f32)
func.func @product(%x: memref<3x?x9xf32>, %w: memref<3x9x20xf32>, %y: memref<3x?x20xf32>) {
  linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%x, %w : memref<3x?x9xf32>, memref<3x9x20xf32>) outs(%y : memref<3x?x20xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  }
  return
}
