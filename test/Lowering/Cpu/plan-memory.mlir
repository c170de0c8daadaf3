// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Buffers get places in the arena; those whose lifetimes do not meet share one.
// RUN: gate-opt %s --plan-memory | FileCheck %s

// CHECK-LABEL: func.func @gatecc_run
// CHECK: %[[B:.*]] = gate.symbol %arg0[0]
// CHECK: gate.arena %arg0 + %[[PLACE:.*]][%[[B2:.*]]] : !llvm.ptr -> memref<?x64xf32>
// CHECK: gate.arena %arg0 + %[[PLACE]][%{{.*}}] : !llvm.ptr -> memref<?x32xf32>
// CHECK: %[[LIVE:.*]] = gate.bound
// CHECK: gate.arena %arg0 + %{{.*}}[%[[LIVE]]] : !llvm.ptr -> memref<?x8xf32>
// CHECK-NOT: memref.alloc
// The arena's size: 256 * B, rounded up to 64.
// CHECK-LABEL: func.func @gatecc_arena_bytes(
// CHECK-DAG: %[[SIZE:.*]] = arith.constant 256 : index
// CHECK: %[[SYMBOL:.*]] = arith.index_cast %{{.*}} : i64 to index
// CHECK: arith.muli %[[SIZE]], %[[SYMBOL]]
// CHECK-NOT: arith.muli
// CHECK: return %{{.*}} : i64
func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %f = arith.constant 0.0 : f32
  %b = gate.symbol %frame[0] : !llvm.ptr
  %out = gate.port %frame output true 0 [%b] : !llvm.ptr -> memref<?xf32>
  %m0 = memref.alloc(%b) : memref<?x64xf32>
  linalg.fill ins(%f : f32) outs(%m0 : memref<?x64xf32>)
  %v = memref.load %m0[%c0, %c0] : memref<?x64xf32>
  // After m0's last use: it can have its place.
  %n = arith.muli %b, %c2 : index
  %m1 = memref.alloc(%n) : memref<?x32xf32>
  linalg.fill ins(%v : f32) outs(%m1 : memref<?x32xf32>)
  %w = memref.load %m1[%c0, %c0] : memref<?x32xf32>
  memref.store %w, %out[%c0] : memref<?xf32>
  // A size that only the run knows, with a bound.
  %k = memref.load %m1[%c0, %c0] : memref<?x32xf32>
  %ki = arith.fptosi %k : f32 to i32
  %kx = arith.index_cast %ki : i32 to index
  %live = gate.bound %kx, %b
  %m2 = memref.alloc(%live) : memref<?x8xf32>
  linalg.fill ins(%v : f32) outs(%m2 : memref<?x8xf32>)
  %u = memref.load %m2[%c0, %c0] : memref<?x8xf32>
  memref.store %u, %out[%c0] : memref<?xf32>
  return %zero : i32
}
