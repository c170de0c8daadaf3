// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A long run becomes calls of steps: what a later step needs is returned, but
// for what takes few ops, which each step has of its own.
// RUN: gate-opt %s --split-run=ops=4 -split-input-file -verify-diagnostics | FileCheck %s
// RUN: gate-opt %s --split-run -split-input-file -verify-diagnostics | FileCheck %s --check-prefix=SHORT

// SHORT-LABEL: func.func @gatecc_run
// SHORT-NOT: call
// SHORT-NOT: func.func private @step

// CHECK-LABEL: func.func @gatecc_run(%arg0: !llvm.ptr) -> i32
// CHECK-NEXT: %[[OK:.*]] = arith.constant 0 : i32
// CHECK-NEXT: %[[SIZE:.*]] = call @step_0(%arg0) : (!llvm.ptr) -> i64
// CHECK-NEXT: call @step_1(%arg0, %[[SIZE]]) : (!llvm.ptr, i64) -> ()
// CHECK-NEXT: return %[[OK]] : i32
// CHECK: func.func private @step_0(%[[F:.*]]: !llvm.ptr) -> i64 attributes {passthrough = ["noinline", "gatecc-step"]}
// CHECK: gate.symbol %[[F]][0]
// CHECK: %[[SIZE:.*]] = memref.load
// CHECK: return %[[SIZE]] : i64
// CHECK: func.func private @step_1(%[[F:.*]]: !llvm.ptr, %[[SIZE:.*]]: i64) attributes
// CHECK-DAG: %[[N:.*]] = arith.index_cast %[[SIZE]]
// CHECK-DAG: %[[OFFSET:.*]] = arith.constant 64 : index
// CHECK: gate.arena %[[F]] + %[[OFFSET]][%[[N]]]
// CHECK: scf.for
// CHECK: return
func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %b = gate.symbol %frame[0] : !llvm.ptr
  %x = gate.port %frame output false 0[%b] : !llvm.ptr -> memref<?xi64>
  %size = memref.load %x[%c0] : memref<?xi64>
  %n = arith.index_cast %size : i64 to index
  %c64 = arith.constant 64 : index
  %m = gate.arena %frame + %c64[%n] : !llvm.ptr -> memref<?xi64>
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    memref.store %size, %m[%i] : memref<?xi64>
  }
  return %zero : i32
}

// -----

// A branch as long as the network. What it yields may be a copy, which stays,
// or something that a step returns.

// CHECK-LABEL: func.func @gatecc_run(%arg0: !llvm.ptr) -> i32
// CHECK: %[[V:.*]] = call @step_2(%arg0) : (!llvm.ptr) -> f32
// CHECK-NEXT: %[[R:.*]]:2 = call @step_3(%arg0, %[[V]]) : (!llvm.ptr, f32) -> (f32, f32)
// CHECK-NEXT: call @step_4(%arg0, %[[R]]#0) : (!llvm.ptr, f32) -> ()
// CHECK-NEXT: call @step_5(%arg0, %[[R]]#1) : (!llvm.ptr, f32) -> ()
// CHECK: func.func private @step_0(%{{.*}}: !llvm.ptr, %{{.*}}: f32) attributes
// CHECK: func.func private @step_1(%{{.*}}: !llvm.ptr) -> f32 attributes
// CHECK: func.func private @step_3(%[[F:.*]]: !llvm.ptr, %[[V:.*]]: f32) -> (f32, f32)
// CHECK: scf.if {{.*}} -> (f32, f32)
// CHECK-NEXT: func.call @step_0(%[[F]], %[[V]])
// CHECK-NEXT: %[[U:.*]] = func.call @step_1(%[[F]])
// CHECK-NEXT: %[[E:.*]] = math.exp %[[U]]
// CHECK-NEXT: scf.yield %[[U]], %[[E]]
func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %f = arith.constant 0.0 : f32
  %b = gate.symbol %frame[0] : !llvm.ptr
  %x = gate.port %frame output true 0[%b] : !llvm.ptr -> memref<?xf32>
  %v = memref.load %x[%c0] : memref<?xf32>
  %p = arith.cmpf ogt, %v, %f : f32
  %r:2 = scf.if %p -> (f32, f32) {
    %e = math.exp %v : f32
    memref.store %e, %x[%c0] : memref<?xf32>
    %w = memref.load %x[%c0] : memref<?xf32>
    %g = math.exp %w : f32
    scf.yield %w, %g : f32, f32
  } else {
    scf.yield %v, %f : f32, f32
  }
  memref.store %r#0, %x[%c0] : memref<?xf32>
  memref.store %r#1, %x[%c0] : memref<?xf32>
  return %zero : i32
}

// -----

// expected-error @+1 {{expects a function @gatecc_run of one block}}
module {}
