// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights of routed experts are rounded, but for those of an exact route.
// RUN: gate-opt %s --pack-weights="isa=sse experts=bf16" | FileCheck %s
// RUN: gate-opt %s --pack-weights="isa=avx512+bf16 experts=bf16" | FileCheck %s --check-prefix=PAIRS
// RUN: gate-opt %s --pack-weights="isa=avx512+amx experts=bf16" | FileCheck %s --check-prefix=TILES

gate.weight @w : tensor<2x4x8xf32> {file = "w.bin", strides = array<i64: 128, 32, 4>}
// CHECK-DAG: gate.packed_weight @[[R:.*]] : tensor<2x1x2x16xbf16> {format = #gate.panel<bf16>, lanes = 8 : i64, sources = [@w]}
// CHECK-DAG: gate.packed_weight @[[E:.*]] : tensor<2x1x4x8xf32> {lanes = 8 : i64, sources = [@w]}
// Where rows are multiplied in bf16, they are rounded; for AMX in the order of slots, 15 rows
// more than there are.
// PAIRS: gate.packed_weight @{{.*}} : tensor<2x1x2x64xbf16> {format = #gate.panel<bf16p>, lanes = 32 : i64
// PAIRS: %[[R:.*]] = gate.runtime_call "gatecc_round_rows_bf16"(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x4xf32>, index, index, index) outs(%{{.*}} : tensor<?x4xbf16>) {{.*}}nulls = array<i64: 1>
// PAIRS: gate.packed_contract rows(%[[R]] : tensor<?x4xbf16>) {{.*}} source(
// TILES: gate.packed_weight @{{.*}} : tensor<2x1x1x1024xbf16> {format = #gate.panel<bf16t>, lanes = 32 : i64
// TILES: %[[S:.*]] = gate.bound
// TILES: %[[M:.*]] = arith.addi %[[S]], %c15
// TILES: %[[E:.*]] = tensor.empty(%[[M]]) : tensor<?x32xbf16>
// TILES: %[[R:.*]] = gate.runtime_call "gatecc_round_rows_bf16"(%{{.*}}, %{{.*}}, %[[S]], %c4{{.*}}, %c32{{.*}} : tensor<?x4xf32>, tensor<?xi32>, index, index, index) outs(%[[E]] : tensor<?x32xbf16>)
// TILES: gate.packed_contract rows(%[[R]] : tensor<?x32xbf16>)
// TILES-NOT: source(
// TILES-SAME: extras()
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
