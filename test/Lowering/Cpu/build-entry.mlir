// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// @main becomes @gatecc_run: sizes are symbols, numbered by first appearance;
// inputs and outputs are the caller's buffers.
// RUN: gate-opt %s --build-entry --canonicalize -split-input-file -verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @gatecc_run(%arg0: !llvm.ptr) -> i32
// CHECK: %[[B:.*]] = gate.symbol %arg0[0]
// CHECK: %[[S:.*]] = gate.symbol %arg0[1]
// CHECK: %[[Z:.*]] = gate.port %arg0 output false 2[] : !llvm.ptr -> memref<2xf32>
// CHECK: %[[ZT:.*]] = bufferization.to_tensor %[[Z]] restrict
// CHECK: %[[O:.*]] = linalg.fill
// CHECK: %[[PORT:.*]] = gate.port %arg0 output true 0[%{{.*}}] : !llvm.ptr -> memref<?xf32>
// CHECK: bufferization.materialize_in_destination %[[O]] in restrict writable %[[PORT]]
// An input that is an output is copied.
// CHECK: %[[COPY:.*]] = gate.port %arg0 output true 1[]
// CHECK: bufferization.materialize_in_destination %[[ZT]] in restrict writable %[[COPY]]
// CHECK: return %{{.*}} : i32
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]}, %y: tensor<?x?xf32> {gate.name = "y", gate.dims = ["S", "B"]}, %z: tensor<2xf32> {gate.name = "z", gate.dims = [2]})
    -> (tensor<?xf32> {gate.name = "o", gate.dims = ["2*B*S"]}, tensor<2xf32> {gate.name = "q", gate.dims = [2]}) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %b = tensor.dim %x, %c0 : tensor<?x4xf32>
  %s = tensor.dim %y, %c0 : tensor<?x?xf32>
  %bs = arith.muli %b, %s : index
  %n = arith.muli %bs, %c2 : index
  %f = arith.constant 1.0 : f32
  %e = tensor.empty(%n) : tensor<?xf32>
  %o = linalg.fill ins(%f : f32) outs(%e : tensor<?xf32>) -> tensor<?xf32>
  return %o, %z : tensor<?xf32>, tensor<2xf32>
}

// -----

// An output whose size the run decides gets its memory when the size is known.
// CHECK-LABEL: func.func @gatecc_run(%arg0: !llvm.ptr) -> i32
// CHECK: %[[X:.*]] = bufferization.to_tensor
// CHECK: %[[P:.*]] = gate.nonzero %[[X]]
// CHECK: %[[N:.*]] = tensor.dim %[[P]], %c1
// CHECK: %[[OUT:.*]] = gate.allocate %arg0[%[[N]]] {gate.output = 0 : i64} : !llvm.ptr -> memref<1x?xi64>
// CHECK: bufferization.materialize_in_destination %[[P]] in restrict writable %[[OUT]]
func.func @main(%x: tensor<?xi1> {gate.name = "x", gate.dims = ["B"]}) -> (tensor<1x?xi64> {gate.name = "y", gate.dims = [1, "?"]}) {
  %p = gate.nonzero %x : tensor<?xi1> -> tensor<1x?xi64>
  return %p : tensor<1x?xi64>
}

// -----

// expected-error @+1 {{the size of result 0 is not determined by the inputs: 'K'}}
func.func @main(%x: tensor<?xf32> {gate.name = "x", gate.dims = ["B"]}) -> (tensor<?xf32> {gate.name = "y", gate.dims = ["2*K"]}) {
  return %x : tensor<?xf32>
}

// -----

// expected-error @+1 {{expects a ranked tensor with gate.dims as input 0}}
func.func @main(%x: tensor<?xf32>) -> (tensor<?xf32> {gate.dims = ["B"]}) {
  return %x : tensor<?xf32>
}

// -----

// expected-error @+1 {{expects a function @main}}
module {}
