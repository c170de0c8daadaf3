// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sizes through branches and loops, and buffers that outlive an iteration.
// RUN: gate-opt %s --split-input-file --plan-memory --verify-diagnostics | FileCheck %s

// The larger branch bounds the result's rows: 2 B, so that a copy of it has the
// place of the branch's own buffer. What is used in a loop lives until its end,
// beside what an iteration needs for itself.
// CHECK-LABEL: func.func @gatecc_run
// CHECK: %[[P:.*]] = arith.constant 0 : index
// CHECK: %[[Q:.*]] = arith.addi %[[P]]
// CHECK: gate.arena %arg0 + %[[P]][
// CHECK: scf.if
// CHECK: %[[N:.*]] = memref.dim
// CHECK: gate.arena %arg0 + %[[P]][%[[N]]] : !llvm.ptr -> memref<?x8xf32>
// CHECK: scf.for %[[I:.*]] =
// CHECK:   gate.arena %arg0 + %[[Q]][%[[I]]] : !llvm.ptr -> memref<?xf32>
// CHECK-NOT: memref.alloc
// CHECK-LABEL: func.func @gatecc_arena_bytes(
// CHECK: arith.constant 64 : index
// CHECK: arith.constant 4 : index
func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %f = arith.constant 0.0 : f32
  %b = gate.symbol %frame[0] : !llvm.ptr
  %in = gate.port %frame output false 0 [%b] : !llvm.ptr -> memref<?x8xf32>
  %double = arith.muli %b, %c2 : index
  %large = memref.alloc(%double) : memref<?x8xf32>
  linalg.fill ins(%f : f32) outs(%large : memref<?x8xf32>)
  %v = memref.load %in[%c0, %c0] : memref<?x8xf32>
  %c = arith.cmpf olt, %v, %f : f32
  %rows = scf.if %c -> memref<?x8xf32> {
    scf.yield %large : memref<?x8xf32>
  } else {
    scf.yield %in : memref<?x8xf32>
  }
  %n = memref.dim %rows, %c0 : memref<?x8xf32>
  %copy = memref.alloc(%n) : memref<?x8xf32>
  linalg.fill ins(%f : f32) outs(%copy : memref<?x8xf32>)
  scf.for %i = %c0 to %b step %c1 {
    %own = memref.alloc(%i) : memref<?xf32>
    linalg.fill ins(%f : f32) outs(%own : memref<?xf32>)
    %w = memref.load %copy[%i, %c0] : memref<?x8xf32>
    memref.store %w, %own[%c0] : memref<?xf32>
  }
  return %zero : i32
}

// -----

func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = gate.symbol %frame[0] : !llvm.ptr
  %first = memref.alloc() : memref<8xf32>
  %last = scf.for %i = %c0 to %b step %c1 iter_args(%a = %first) -> memref<8xf32> {
    // expected-error @+1 {{a buffer that a loop carries from one iteration to the next is not supported}}
    %next = memref.alloc() : memref<8xf32>
    %v = memref.load %a[%c0] : memref<8xf32>
    memref.store %v, %next[%c0] : memref<8xf32>
    scf.yield %next : memref<8xf32>
  }
  %u = memref.load %last[%c0] : memref<8xf32>
  %out = gate.port %frame output true 0 [] : !llvm.ptr -> memref<8xf32>
  memref.store %u, %out[%c0] : memref<8xf32>
  return %zero : i32
}
