// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// More sums than AMX has registers for are added in vectors.
// RUN: gate-opt %s --pack-weights="isa=avx512+amx experts=bf16" | FileCheck %s

gate.weight @w : tensor<2x4x8xf32> {file = "w.bin", strides = array<i64: 128, 32, 4>}
// CHECK: gate.packed_weight @{{.*}} : tensor<2x1x2x224xbf16> {format = #gate.panel<bf16p>, lanes = 16 : i64
// CHECK-LABEL: func.func @seven
// CHECK: gate.packed_contract {{.*}}format = #gate.panel<bf16p>
func.func @seven(%x: tensor<?x4xf32>, %l: tensor<?x2xf32>) -> tensor<?x8xf32> {
  %w = gate.weight_value @w : tensor<2x4x8xf32>
  %p = gate.route %l {score = #gate.score<softmax>} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 1>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w, %w, %w, %w, %w, %w, %w : tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) extras() []
      plan(%p : !gate.plan<groups = 2, choices = 1>) gathered -> tensor<?x8xf32> {
  ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %e: f32, %f: f32, %g: f32):
    gate.yield %a : f32
  }
  return %0 : tensor<?x8xf32>
}
