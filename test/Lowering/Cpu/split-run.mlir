// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A long run becomes calls of steps: what a later step needs is returned, but
// for constants and addresses, which each step has of its own.
// RUN: gate-opt %s --split-run=ops=6 -split-input-file -verify-diagnostics | FileCheck %s
// RUN: gate-opt %s --split-run -split-input-file -verify-diagnostics | FileCheck %s --check-prefix=SHORT

// SHORT-LABEL: func.func @gatecc_run
// SHORT-NOT: call
// SHORT-NOT: func.func private @step

// CHECK-LABEL: func.func @gatecc_run(%arg0: !llvm.ptr) -> i32
// CHECK-NEXT: %[[OK:.*]] = arith.constant 0 : i32
// CHECK-NEXT: %[[R:.*]]:2 = call @step_0(%arg0) : (!llvm.ptr) -> (i64, index)
// CHECK-NEXT: call @step_1(%arg0, %[[R]]#1, %[[R]]#0) : (!llvm.ptr, index, i64) -> ()
// CHECK-NEXT: return %[[OK]] : i32
// CHECK: func.func private @step_0(%[[F:.*]]: !llvm.ptr) -> (i64, index) attributes {passthrough = ["noinline", "gatecc-step"]}
// CHECK: gate.symbol %[[F]][0]
// CHECK: %[[SIZE:.*]] = memref.load
// CHECK: %[[INDEX:.*]] = arith.index_cast %[[SIZE]]
// CHECK: return %[[SIZE]], %[[INDEX]] : i64, index
// CHECK: func.func private @step_1(%[[F:.*]]: !llvm.ptr, %[[N:.*]]: index, %{{.*}}: i64) attributes
// CHECK: %[[OFFSET:.*]] = arith.constant 64 : index
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

// expected-error @+1 {{expects a function @gatecc_run of one block}}
module {}
