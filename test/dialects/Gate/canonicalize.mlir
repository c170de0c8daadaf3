// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A check that cannot fail goes; one that must fail stays.
// RUN: gate-opt %s --canonicalize | FileCheck %s

// CHECK-LABEL: func.func @certain
// CHECK-NOT: gate.check
// CHECK: gate.check %{{.*}}, "no"()
// CHECK: gate.check %{{.*}}, "maybe"(%{{.*}})
// CHECK-NOT: gate.check
// CHECK: return
func.func @certain(%n: index, %m: index) {
  %same = arith.cmpi eq, %n, %n : index
  gate.check %same, "yes" (%n)
  %never = arith.constant false
  gate.check %never, "no" ()
  %maybe = arith.cmpi eq, %n, %m : index
  gate.check %maybe, "maybe" (%n)
  return
}
