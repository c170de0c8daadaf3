// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows become [B, S, 24]: several extents of one group are known only in a run.
// RUN: gate-opt %s --convert-gate-to-llvm | FileCheck %s

// CHECK-LABEL: llvm.func @two_dynamic
// CHECK-SAME: i64, %[[B:[a-z0-9]+]]: i64, %[[S:[a-z0-9]+]]: i64, %[[I:[a-z0-9]+]]: i64) -> f32
// CHECK: %[[N:.*]] = llvm.mlir.constant(24 : index) : i64
// CHECK: %[[STEP:.*]] = llvm.mul %[[S]], %[[N]]
// CHECK: llvm.insertvalue %[[B]], %{{.*}}[3, 0]
// CHECK: llvm.insertvalue %[[STEP]], %{{.*}}[4, 0]
// CHECK: llvm.insertvalue %[[S]], %{{.*}}[3, 1]
// CHECK: llvm.mul %[[I]]
func.func @two_dynamic(%m: memref<?x24xf32>, %b: index, %s: index, %i: index) -> f32 {
  %0 = memref.expand_shape %m [[0, 1], [2]] output_shape [%b, %s, 24] : memref<?x24xf32> into memref<?x?x24xf32>
  %1 = memref.load %0[%i, %i, %i] : memref<?x?x24xf32>
  return %1 : f32
}

// A part of such rows whose shape is expanded once more.
// CHECK-LABEL: llvm.func @part
// CHECK-NOT: memref
// CHECK: llvm.return
func.func @part(%m: memref<?x64xf32>, %b: index, %s: index, %i: index) -> f32 {
  %0 = memref.expand_shape %m [[0, 1], [2]] output_shape [%b, %s, 64] : memref<?x64xf32> into memref<?x?x64xf32>
  %1 = memref.subview %0[0, 0, 0] [%b, %s, 32] [1, 1, 1] : memref<?x?x64xf32> to memref<?x?x32xf32, strided<[?, 64, 1]>>
  %2 = memref.expand_shape %1 [[0], [1, 2], [3]] output_shape [%b, %s, 1, 32] : memref<?x?x32xf32, strided<[?, 64, 1]>> into memref<?x?x1x32xf32, strided<[?, 64, 64, 1]>>
  %3 = memref.load %2[%i, %i, %i, %i] : memref<?x?x1x32xf32, strided<[?, 64, 64, 1]>>
  return %3 : f32
}
