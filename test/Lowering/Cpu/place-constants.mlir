// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Constant tensors become globals, equal ones the same; numbers stay.
// RUN: gate-opt %s --place-constants | FileCheck %s

// CHECK-DAG: memref.global "private" constant @constant_0 : memref<2xf32> = dense<[1.000000e+00, 2.000000e+00]> {alignment = 64 : i64}
// CHECK-DAG: memref.global "private" constant @constant_1 : memref<2xi1> = dense<[true, false]>
// CHECK-LABEL: func.func @constants
func.func @constants(%i: index) -> (f32, f32, i1) {
  // CHECK: arith.constant 0 : index
  %zero = arith.constant 0 : index
  // CHECK: %[[A:.*]] = memref.get_global @constant_0
  // CHECK: %[[T:.*]] = bufferization.to_tensor %[[A]] restrict :
  %c = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  // CHECK: memref.get_global @constant_0
  %d = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  // CHECK: memref.get_global @constant_1
  %e = arith.constant dense<[true, false]> : tensor<2xi1>
  // CHECK: tensor.extract %[[T]]
  %x = tensor.extract %c[%zero] : tensor<2xf32>
  %y = tensor.extract %d[%i] : tensor<2xf32>
  %b = tensor.extract %e[%i] : tensor<2xi1>
  return %x, %y, %b : f32, f32, i1
}
