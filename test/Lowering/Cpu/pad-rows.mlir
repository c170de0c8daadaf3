// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows that contractions read do not lie a multiple of a page apart.
// RUN: gate-opt %s --pad-rows -split-input-file | FileCheck %s

// A buffer that contractions and linalg ops alone use gets longer rows.
// CHECK-LABEL: func.func @buffer
// CHECK: %[[P:.*]] = memref.alloc(%arg3) : memref<?x1040xf32>
// CHECK: %[[V:.*]] = memref.subview %[[P]][0, 0] [%arg3, 1024] [1, 1]
// CHECK-SAME: memref<?x1024xf32, strided<[1040, 1]>>
// CHECK: linalg.fill {{.*}} outs(%[[V]] :
// CHECK: gate.packed_contract rows(%[[V]] :
// CHECK-NOT: scf.if
func.func @buffer(%w: memref<1x2x1024x16xf32>, %y: memref<?x20xf32>, %zero: f32, %n: index) {
  %h = memref.alloc(%n) : memref<?x1024xf32>
  linalg.fill ins(%zero : f32) outs(%h : memref<?x1024xf32>)
  gate.packed_contract rows(%h : memref<?x1024xf32>) packed(%w : memref<1x2x1024x16xf32>) extras() [] outs(%y : memref<?x20xf32>) lanes 16 {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// Others are copied where there are many rows.
// CHECK-LABEL: func.func @argument
// CHECK: %[[N:.*]] = memref.dim %arg0
// CHECK: %[[MANY:.*]] = arith.cmpi sge, %[[N]], %c32
// CHECK: %[[P:.*]] = memref.alloc(%[[N]]) : memref<?x1040xf32>
// CHECK: %[[ROWS:.*]] = scf.if %[[MANY]] -> (memref<?x1024xf32, strided<[?, 1]>>)
// CHECK: linalg.copy ins(%arg0 :
// CHECK: else
// CHECK: memref.cast %arg0
// CHECK: gate.packed_contract rows(%[[ROWS]] :
func.func @argument(%x: memref<?x1024xf32>, %w: memref<1x20x1024x16xf32>, %y: memref<?x320xf32>) {
  gate.packed_contract rows(%x : memref<?x1024xf32>) packed(%w : memref<1x20x1024x16xf32>) extras() [] outs(%y : memref<?x320xf32>) lanes 16 {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// So is a buffer of which another op needs that it is contiguous.
// CHECK-LABEL: func.func @reshaped
// CHECK: memref.alloc(%arg2) : memref<?x1024xf32>
// CHECK: memref.collapse_shape
// CHECK: linalg.copy
func.func @reshaped(%w: memref<1x20x1024x16xf32>, %y: memref<?x320xf32>, %n: index) -> memref<?xf32> {
  %h = memref.alloc(%n) : memref<?x1024xf32>
  %f = memref.collapse_shape %h [[0, 1]] : memref<?x1024xf32> into memref<?xf32>
  gate.packed_contract rows(%h : memref<?x1024xf32>) packed(%w : memref<1x20x1024x16xf32>) extras() [] outs(%y : memref<?x320xf32>) lanes 16 {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return %f : memref<?xf32>
}

// -----

// A copy for few panels would cost more than it brings; rows that are no
// multiple of a page apart are well as they are.
// CHECK-LABEL: func.func @nothing
// CHECK-NOT: memref.alloc
// CHECK-NOT: linalg.copy
func.func @nothing(%x: memref<?x1024xf32>, %v: memref<?x1536xf32>, %w: memref<1x2x1024x16xf32>, %u: memref<1x20x1536x16xf32>, %y: memref<?x20xf32>, %z: memref<?x320xf32>) {
  gate.packed_contract rows(%x : memref<?x1024xf32>) packed(%w : memref<1x2x1024x16xf32>) extras() [] outs(%y : memref<?x20xf32>) lanes 16 {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  gate.packed_contract rows(%v : memref<?x1536xf32>) packed(%u : memref<1x20x1536x16xf32>) extras() [] outs(%z : memref<?x320xf32>) lanes 16 {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}
