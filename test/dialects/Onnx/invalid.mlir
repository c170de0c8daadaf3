// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One case for each numbered constraint of onnx.node.
// RUN: gate-opt %s -split-input-file -verify-diagnostics -allow-unregistered-dialect

func.func @c1(%x: tensor<4xf32>) {
  // expected-error @+1 {{expects `absent` to be increasing positions of inputs (C1), got 2}}
  %0 = onnx.node "Clip"(%x) {absent = array<i64: 2>, version = 21 : i64} : (tensor<4xf32>) -> !onnx.value
  return
}

// -----

func.func @c2(%x: tensor<i1>) {
  // expected-error @+1 {{expects one of `body_names` for each region (C2), got 0 for 1}}
  %0 = onnx.node "If"(%x) bodies {
    onnx.yield
  } {version = 21 : i64} : (tensor<i1>) -> !onnx.value
  return
}

// -----

func.func @c3(%x: tensor<i1>) {
  // expected-error @+1 {{expects each region to end in onnx.yield (C3)}}
  "onnx.node"(%x) <{op_type = "If", body_names = ["b"], version = 21 : i64}> ({
    "test.end"() : () -> ()
  }) : (tensor<i1>) -> ()
  return
}
