// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A buffer of a size that only the run knows, without a bound, comes from the
// growable region; others keep their places in the arena.
// RUN: gate-opt %s --plan-memory --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @gatecc_run
// CHECK-SAME: %[[FRAME:.*]]: !llvm.ptr
func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %b = gate.symbol %frame[0] : !llvm.ptr
  %in = gate.port %frame output false 0 [%b] : !llvm.ptr -> memref<?xi32>
  %k = memref.load %in[%c0] : memref<?xi32>
  %n = arith.index_cast %k : i32 to index
  // CHECK: %[[N:.*]] = arith.index_cast
  // CHECK: %[[M:.*]] = gate.allocate %[[FRAME]][%[[N]]] : !llvm.ptr -> memref<?x4xi32>
  %m = memref.alloc(%n) : memref<?x4xi32>
  // CHECK: gate.arena %[[FRAME]]
  %a = memref.alloc(%b) : memref<?xi32>
  memref.store %k, %m[%c0, %c0] : memref<?x4xi32>
  memref.store %k, %a[%c0] : memref<?xi32>
  // CHECK-NOT: memref.alloc
  return %zero : i32
}
// CHECK-LABEL: func.func @gatecc_arena_bytes

// -----

func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %b = gate.symbol %frame[0] : !llvm.ptr
  %in = gate.port %frame output false 0 [%b] : !llvm.ptr -> memref<?xi32>
  %k = memref.load %in[%c0] : memref<?xi32>
  %n = arith.index_cast %k : i32 to index
  gate.tasks %b {
  ^bb0(%i: index):
    // expected-error @+1 {{a task may not hold a buffer whose size has no bound}}
    %m = memref.alloc(%n) : memref<?xi32>
    memref.store %k, %m[%c0] : memref<?xi32>
  }
  return %zero : i32
}
