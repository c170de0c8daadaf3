// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every access is preceded by a test that it is inside of its buffer.
// RUN: gate-opt %s --check-accesses --canonicalize --cse -split-input-file | FileCheck %s

// CHECK: llvm.mlir.global internal constant @access_outside_0("gatecc: access outside of a buffer: memref.load at
// CHECK: llvm.func @syscall(i64, i64, !llvm.ptr, i64) -> i64
// CHECK-LABEL: func.func @scalar
// CHECK-SAME: %[[BUFFER:.*]]: memref<?xf32>, %[[I:.*]]: index
// CHECK: %[[LOW:.*]] = arith.cmpi slt, %[[I]], %c0
// CHECK: %[[HIGH:.*]] = arith.cmpi sge, %[[I]], %dim
// CHECK: %[[OUTSIDE:.*]] = arith.ori %[[LOW]], %[[HIGH]]
// CHECK: scf.if %[[OUTSIDE]] {
// CHECK: llvm.call @syscall
// CHECK: llvm.intr.trap
// CHECK: memref.load %[[BUFFER]][%[[I]]]
func.func @scalar(%buffer: memref<?xf32>, %i: index) -> f32 {
  %x = memref.load %buffer[%i] : memref<?xf32>
  return %x : f32
}

// -----

// The last element of a vector counts. Nothing is left of a test that passes
// for certain.
// CHECK-LABEL: func.func @vector
// CHECK: %[[LAST:.*]] = arith.addi %arg1, %c7
// CHECK: arith.cmpi sge, %[[LAST]], %c64
// CHECK: scf.if
// CHECK: vector.store
// CHECK-NOT: scf.if
// CHECK: vector.load
func.func @vector(%buffer: memref<64xf32>, %i: index, %x: vector<8xf32>) -> vector<8xf32> {
  vector.store %x, %buffer[%i] : memref<64xf32>, vector<8xf32>
  %c56 = arith.constant 56 : index
  %y = vector.load %buffer[%c56] : memref<64xf32>, vector<8xf32>
  return %y : vector<8xf32>
}

// -----

// Of masked elements those that the mask has.
// CHECK-LABEL: func.func @masked
// CHECK: %[[ROOM:.*]] = arith.subi %c64, %arg1
// CHECK: %[[ROOMS:.*]] = vector.broadcast %[[ROOM]]
// CHECK: %[[BEYOND:.*]] = arith.cmpi sle, %[[ROOMS]], %cst{{.*}} : vector<8xindex>
// CHECK: %[[BAD:.*]] = arith.andi %arg2, %[[BEYOND]]
// CHECK: vector.reduction <or>, %[[BAD]]
// CHECK: vector.maskedstore
func.func @masked(%buffer: memref<64xf32>, %i: index, %mask: vector<8xi1>, %x: vector<8xf32>) {
  vector.maskedstore %buffer[%i], %mask, %x : memref<64xf32>, vector<8xi1>, vector<8xf32>
  return
}

// -----

// A view of no elements may begin anywhere.
// CHECK-LABEL: func.func @view
// CHECK: %[[BEFORE:.*]] = arith.subi %arg2, %c1
// CHECK: %[[LAST:.*]] = arith.addi %arg1, %[[BEFORE]]
// CHECK: arith.cmpi sge, %[[LAST]], %dim
// CHECK: %[[SOME:.*]] = arith.cmpi sgt, %arg2, %c0
// CHECK: arith.andi %{{.*}}, %[[SOME]]
// CHECK: memref.subview
func.func @view(%buffer: memref<?xf32>, %first: index, %count: index) -> memref<?xf32, strided<[1], offset: ?>> {
  %view = memref.subview %buffer[%first] [%count] [1] : memref<?xf32> to memref<?xf32, strided<[1], offset: ?>>
  return %view : memref<?xf32, strided<[1], offset: ?>>
}
