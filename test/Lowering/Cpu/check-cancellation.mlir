// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every iteration begins with a look at the run.
// RUN: gate-opt %s --check-cancellation | FileCheck %s

// CHECK-LABEL: func.func @loops
// CHECK: scf.for
// CHECK-NEXT: gate.runtime_call "gatecc_check_cancelled"() outs() {frame}
// CHECK: scf.while
// CHECK: do {
// CHECK-NEXT: ^bb0
// CHECK-NEXT: gate.runtime_call "gatecc_check_cancelled"() outs() {frame}
// CHECK-NOT: gatecc_check_cancelled
func.func @loops(%frame: !llvm.ptr, %n: index, %v: f32) -> f32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %limit = arith.constant 8.0 : f32
  %s = scf.for %i = %c0 to %n step %c1 iter_args(%a = %v) -> f32 {
    %b = arith.addf %a, %v : f32
    scf.yield %b : f32
  }
  %t = scf.while (%a = %s) : (f32) -> f32 {
    %c = arith.cmpf olt, %a, %limit : f32
    scf.condition(%c) %a : f32
  } do {
  ^bb0(%a: f32):
    %b = arith.addf %a, %v : f32
    scf.yield %b : f32
  }
  %c = arith.cmpf olt, %t, %limit : f32
  %r = scf.if %c -> f32 {
    scf.yield %t : f32
  } else {
    scf.yield %v : f32
  }
  return %r : f32
}
