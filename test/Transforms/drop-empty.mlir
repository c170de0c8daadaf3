// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What has no elements is not computed; what may have some, or has effects, is.
// RUN: gate-opt %s --drop-empty | FileCheck %s

// CHECK-LABEL: func.func @concat
// CHECK-NEXT: %[[EMPTY:.*]] = tensor.empty() : tensor<0x2xf32>
// CHECK-NEXT: return %[[EMPTY]]
func.func @concat(%a: tensor<?x2xf32>, %b: tensor<?x2xf32>) -> tensor<0x2xf32> {
  %s = tensor.cast %a : tensor<?x2xf32> to tensor<0x2xf32>
  %c = tensor.concat dim(0) %s, %b : (tensor<0x2xf32>, tensor<?x2xf32>) -> tensor<0x2xf32>
  return %c : tensor<0x2xf32>
}

// CHECK-LABEL: func.func @branch
// CHECK-NOT: scf.if
// CHECK: return %{{.*}} : tensor<0xf32>
func.func @branch(%a: tensor<?xf32>, %p: i1) -> tensor<0xf32> {
  %e = tensor.empty() : tensor<0xf32>
  %c = scf.if %p -> tensor<0xf32> {
    %s = tensor.cast %a : tensor<?xf32> to tensor<0xf32>
    scf.yield %s : tensor<0xf32>
  } else {
    scf.yield %e : tensor<0xf32>
  }
  return %c : tensor<0xf32>
}

// CHECK-LABEL: func.func @kept
// CHECK: tensor.cast
// CHECK: scf.if
// CHECK: gate.check
func.func @kept(%a: tensor<?x0xf32>, %p: i1) -> (tensor<0x?xf32>, tensor<0xf32>) {
  %s = tensor.cast %a : tensor<?x0xf32> to tensor<0x?xf32>
  %e = tensor.empty() : tensor<0xf32>
  %i = scf.if %p -> tensor<0xf32> {
    gate.check %p, "no elements" ()
    scf.yield %e : tensor<0xf32>
  } else {
    scf.yield %e : tensor<0xf32>
  }
  return %s, %i : tensor<0x?xf32>, tensor<0xf32>
}
