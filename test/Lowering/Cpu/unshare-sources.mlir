// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Each use of memory that is only read is one of a tensor of its own.
// RUN: gate-opt %s --unshare-sources | FileCheck %s

gate.weight @w : tensor<4xf32> {file = "w.bin", strides = array<i64: 4>}

// CHECK-LABEL: func.func @read
// CHECK: %[[M:.*]] = memref.alloc
// CHECK: %[[SHARED:.*]] = bufferization.to_tensor %[[M]] restrict writable
// CHECK: tensor.extract %[[SHARED]]
// CHECK: tensor.extract %[[SHARED]]
func.func @read(%x: memref<4xf32>, %i: index) -> (f32, f32, f32, f32, f32, f32) {
  %m = memref.alloc() : memref<4xf32>
  // Others may write to it.
  %t = bufferization.to_tensor %m restrict writable : memref<4xf32> to tensor<4xf32>
  %a = tensor.extract %t[%i] : tensor<4xf32>
  %b = tensor.extract %t[%i] : tensor<4xf32>
  // CHECK-DAG: %[[T:.*]] = bufferization.to_tensor %arg0 restrict
  // CHECK-DAG: tensor.extract %[[T]]
  // CHECK-DAG: %[[U:.*]] = bufferization.to_tensor %arg0 restrict
  // CHECK-DAG: tensor.extract %[[U]]
  %u = bufferization.to_tensor %x restrict : memref<4xf32> to tensor<4xf32>
  %c = tensor.extract %u[%i] : tensor<4xf32>
  %d = tensor.extract %u[%i] : tensor<4xf32>
  // CHECK-DAG: %[[V:.*]] = gate.weight_value @w
  // CHECK-DAG: tensor.extract %[[V]]
  // CHECK-DAG: %[[W:.*]] = gate.weight_value @w
  // CHECK-DAG: tensor.extract %[[W]]
  %v = gate.weight_value @w : tensor<4xf32>
  %e = tensor.extract %v[%i] : tensor<4xf32>
  %f = tensor.extract %v[%i] : tensor<4xf32>
  return %a, %b, %c, %d, %e, %f : f32, f32, f32, f32, f32, f32
}
