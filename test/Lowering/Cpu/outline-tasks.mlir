// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The body of tasks becomes a function of what it reads and its index;
// constants go with it.
// RUN: gate-opt %s --outline-tasks -split-input-file -verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @gatecc_run
// CHECK-SAME: (%[[F:.*]]: !llvm.ptr, %[[N:.*]]: index, %[[M:.*]]: memref<?xf32>)
// CHECK: gate.launch %[[F]] @task_0 %[[N]](%[[M]]) : !llvm.ptr, memref<?xf32>
// CHECK: func.func private @task_0(%[[A:.*]]: memref<?xf32>, %[[I:.*]]: index)
// CHECK-NEXT: %[[V:.*]] = arith.constant 1.0
// CHECK-NEXT: memref.store %[[V]], %[[A]][%[[I]]]
// CHECK-NEXT: return
func.func @gatecc_run(%frame: !llvm.ptr, %n: index, %m: memref<?xf32>) -> i32 {
  %zero = arith.constant 0 : i32
  %v = arith.constant 1.0 : f32
  gate.tasks %n {
  ^bb0(%i: index):
    memref.store %v, %m[%i] : memref<?xf32>
  }
  return %zero : i32
}

// -----

// Equal bodies share a function; a constant makes a difference.
// CHECK-LABEL: func.func @gatecc_run
// CHECK: gate.launch %{{.*}} @task_0 %{{.*}}(%[[A:.*]]) :
// CHECK: gate.launch %{{.*}} @task_0 %{{.*}}(%[[B:.*]]) :
// CHECK: gate.launch %{{.*}} @task_1 %{{.*}}(%[[B]]) :
// CHECK: func.func private @task_0
// CHECK: func.func private @task_1
// CHECK-NOT: func.func private
func.func @gatecc_run(%frame: !llvm.ptr, %n: index, %a: memref<?xf32>, %b: memref<?xf32>) -> i32 {
  %zero = arith.constant 0 : i32
  %v = arith.constant 1.0 : f32
  %w = arith.constant 2.0 : f32
  gate.tasks %n {
  ^bb0(%i: index):
    memref.store %v, %a[%i] : memref<?xf32>
  }
  gate.tasks %n {
  ^bb0(%i: index):
    memref.store %v, %b[%i] : memref<?xf32>
  }
  gate.tasks %n {
  ^bb0(%i: index):
    memref.store %w, %b[%i] : memref<?xf32>
  }
  return %zero : i32
}

// -----

func.func @elsewhere(%n: index) {
  // expected-error @+1 {{expects to stand in @gatecc_run}}
  gate.tasks %n {
  ^bb0(%i: index):
  }
  return
}
