// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights of routed experts are rounded, but for those of an exact route.
// RUN: gate-opt %s --pack-weights="isa=sse experts=bf16" | FileCheck %s

gate.weight @w : tensor<2x4x8xf32> {file = "w.bin", strides = array<i64: 128, 32, 4>}
// CHECK-DAG: gate.packed_weight @[[R:.*]] : tensor<2x1x2x16xbf16> {format = #gate.panel<bf16>, lanes = 8 : i64, sources = [@w]}
// CHECK-DAG: gate.packed_weight @[[E:.*]] : tensor<2x1x4x8xf32> {lanes = 8 : i64, sources = [@w]}
// CHECK-LABEL: func.func @both
// CHECK: %[[RW:.*]] = gate.weight_value @[[R]] : tensor<2x1x2x16xbf16>
// CHECK: gate.packed_contract {{.*}} packed(%[[RW]]
// CHECK: %[[EW:.*]] = gate.weight_value @[[E]] : tensor<2x1x4x8xf32>
// CHECK: gate.packed_contract {{.*}} packed(%[[EW]]
func.func @both(%x: tensor<?x4xf32>, %l: tensor<?x2xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %w = gate.weight_value @w : tensor<2x4x8xf32>
  %p = gate.route %l {score = #gate.score<softmax>} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 1>
  %q = gate.route %l {score = #gate.score<softmax>, gatecc.exact} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 1>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<2x4x8xf32>) extras() []
      plan(%p : !gate.plan<groups = 2, choices = 1>) gathered -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %1 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<2x4x8xf32>) extras() []
      plan(%q : !gate.plan<groups = 2, choices = 1>) gathered -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return %0, %1 : tensor<?x8xf32>, tensor<?x8xf32>
}
