// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights get the panels of the target's tile; equal packings are made once.
// RUN: gate-opt %s --pack-weights=isa=sse -split-input-file -verify-diagnostics | FileCheck %s --check-prefixes=CHECK,SSE
// RUN: gate-opt %s --pack-weights=isa=avx2 -split-input-file -verify-diagnostics | FileCheck %s --check-prefixes=CHECK,AVX2
// RUN: gate-opt %s --pack-weights=isa=avx512 -split-input-file -verify-diagnostics | FileCheck %s --check-prefixes=CHECK,AVX512
// RUN: gate-opt %s --pack-weights=isa=avx2+vnni -split-input-file -verify-diagnostics | FileCheck %s --check-prefix=VNNI

// CHECK: gate.weight @w
gate.weight @w : tensor<4x20xf32> {file = "w.bin", strides = array<i64: 80, 4>}
// Columns are padded to whole panels: 20 of them fill 3 panels of 8, 2 of 16 or 1 of 32.
// SSE: gate.packed_weight @[[P:.*]] : tensor<1x3x4x8xf32> {lanes = 8 : i64, sources = [@w]}
// AVX2: gate.packed_weight @[[P:.*]] : tensor<1x2x4x16xf32> {lanes = 16 : i64, sources = [@w]}
// AVX512: gate.packed_weight @[[P:.*]] : tensor<1x1x4x32xf32> {lanes = 32 : i64, sources = [@w]}
// CHECK-NOT: gate.packed_weight
// CHECK-LABEL: func.func @dense
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>)
// CHECK: %[[W:.*]] = gate.weight_value @[[P]]
// CHECK: gate.packed_contract rows(%[[X]] : tensor<?x4xf32>) packed(%[[W]] : {{.*}}) extras() [] outs(%{{.*}} : tensor<?x20xf32>)
// CHECK: gate.packed_contract
// CHECK-NOT: gate.contract
func.func @dense(%x: tensor<?x4xf32>) -> (tensor<?x20xf32>, tensor<?x20xf32>) {
  %w = gate.weight_value @w : tensor<4x20xf32>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x20xf32>) extras() [] -> tensor<?x20xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %1 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x20xf32>) extras() [] -> tensor<?x20xf32> {
  ^bb0(%a: f32):
    %n = arith.negf %a : f32
    gate.yield %n : f32
  }
  return %0, %1 : tensor<?x20xf32>, tensor<?x20xf32>
}

// -----

gate.weight @g : tensor<2x4x3xf32> {file = "w.bin", strides = array<i64: 48, 12, 4>}
gate.weight @u : tensor<2x4x3xf32> {file = "w.bin", offset = 96 : i64, strides = array<i64: 48, 12, 4>}
// Two weights share a tile, lane block by lane block.
// AVX2: gate.packed_weight @[[P:.*]] : tensor<2x1x4x16xf32> {lanes = 8 : i64, sources = [@g, @u]}
// CHECK-LABEL: func.func @grouped
// CHECK: gate.packed_contract {{.*}} offsets(%offsets{{.*}} : tensor<3xi32>) source(%source{{.*}} : tensor<?xi32>)
func.func @grouped(%x: tensor<?x4xf32>, %c: tensor<?xi1>) -> tensor<?x3xf32> {
  %p = gate.partition %c : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  %g = gate.weight_value @g : tensor<2x4x3xf32>
  %u = gate.weight_value @u : tensor<2x4x3xf32>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%g, %u : tensor<2x4x3xf32>, tensor<2x4x3xf32>) extras() []
      plan(%p : !gate.plan<groups = 2, choices = 1>) gathered -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    %m = arith.mulf %a, %b : f32
    gate.yield %m : f32
  }
  return %0 : tensor<?x3xf32>
}

// -----

// A constant in the IR becomes a weight of the library; f64 has half the lanes.
// CHECK: gate.weight @[[C:.*]] : tensor<2x2xf64> {value = dense
// SSE: gate.packed_weight {{.*}} : tensor<1x1x2x4xf64> {lanes = 4 : i64, sources = [@[[C]]]}
// AVX2: gate.packed_weight {{.*}} : tensor<1x1x2x8xf64> {lanes = 8 : i64, sources = [@[[C]]]}
// AVX512: gate.packed_weight {{.*}} : tensor<1x1x2x16xf64> {lanes = 16 : i64, sources = [@[[C]]]}
func.func @constant(%x: tensor<?x2xf64>) -> tensor<?x2xf64> {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf64>
  %0 = gate.contract rows(%x : tensor<?x2xf64>) weights(%w : tensor<2x2xf64>) extras() [] -> tensor<?x2xf64> {
  ^bb0(%a: f64):
    gate.yield %a : f64
  }
  return %0 : tensor<?x2xf64>
}

// -----

func.func @not_constant(%x: tensor<?x2xf32>, %w: tensor<2x2xf32>) -> tensor<?x2xf32> {
  // expected-error @+1 {{a contraction whose weight is no constant is not supported}}
  %0 = gate.contract rows(%x : tensor<?x2xf32>) weights(%w : tensor<2x2xf32>) extras() [] -> tensor<?x2xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return %0 : tensor<?x2xf32>
}

// -----

gate.weight @w : tensor<2x4x3xf32> {file = "w.bin", strides = array<i64: 48, 12, 4>}
func.func @plan_argument(%x: tensor<?x4xf32>, %p: !gate.plan<groups = 2, choices = 1>) -> tensor<?x3xf32> {
  %w = gate.weight_value @w : tensor<2x4x3xf32>
  // expected-error @+1 {{a plan that is not the result of 'gate.route', 'gate.partition' or 'gate.assign' is not supported yet}}
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<2x4x3xf32>) extras() [] plan(%p : !gate.plan<groups = 2, choices = 1>) gathered -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return %0 : tensor<?x3xf32>
}

// -----

// Integers of 8 bits are packed in pairs of rows of K, in quads for VNNI; rows
// are quantised to match.
gate.weight @q : tensor<20x40xui8> {file = "w.bin", strides = array<i64: 40, 1>}
gate.weight @s : tensor<20x2xf32> {file = "w.bin", strides = array<i64: 8, 4>}
// AVX2: gate.packed_weight @{{.*}} : tensor<1x2x2x576xi8> {bits = 8 : i64, block = 32 : i64, depth = 40 : i64, format = #gate.panel<int8>, lanes = 16 : i64
// VNNI: gate.packed_weight @{{.*}} : tensor<1x2x2x576xi8> {bits = 8 : i64, block = 32 : i64, depth = 40 : i64, format = #gate.panel<int8q>, lanes = 16 : i64
// CHECK-LABEL: func.func @bytes
// AVX2: gate.runtime_call "gatecc_quantize_rows_i16"{{.*}} outs(%{{.*}}, %{{.*}} : tensor<?x68xi16>, tensor<?x2xf32>)
// VNNI: gate.runtime_call "gatecc_quantize_rows_i8"{{.*}} outs(%{{.*}}, %{{.*}} : tensor<?x72xi8>, tensor<?x2xf32>)
// VNNI: gate.packed_contract {{.*}} format = #gate.panel<int8q>}
func.func @bytes(%x: tensor<?x40xf32>) -> tensor<?x20xf32> {
  %q = gate.weight_value @q : tensor<20x40xui8>
  %s = gate.weight_value @s : tensor<20x2xf32>
  %w = gate.dequantize %q, %s {bits = 8 : i64, block = 32 : i64} : tensor<20x40xui8>, tensor<20x2xf32> -> tensor<40x20xf32>
  %0 = gate.contract rows(%x : tensor<?x40xf32>) weights(%w : tensor<40x20xf32>) extras() [] -> tensor<?x20xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return %0 : tensor<?x20xf32>
}

// -----

gate.weight @half : tensor<4x20xf16> {file = "w.bin", strides = array<i64: 40, 2>}
// Panels keep f16 where the instruction set widens it, and bf16 in pairs everywhere.
// SSE: gate.packed_weight @[[P:.*]] : tensor<1x3x4x8xf32> {lanes = 8 : i64, sources = [@half]}
// AVX2: gate.packed_weight @[[P:.*]] : tensor<1x2x4x16xf16> {format = #gate.panel<f16>, lanes = 16 : i64, sources = [@half]}
gate.weight @brain : tensor<5x20xbf16> {file = "w.bin", strides = array<i64: 40, 2>}
// SSE: gate.packed_weight @[[Q:.*]] : tensor<1x3x3x16xbf16> {format = #gate.panel<bf16>, lanes = 8 : i64, sources = [@brain]}
// AVX2: gate.packed_weight @[[Q:.*]] : tensor<1x2x3x32xbf16> {format = #gate.panel<bf16>, lanes = 16 : i64, sources = [@brain]}
// CHECK-LABEL: func.func @narrow
func.func @narrow(%x: tensor<?x4xf32>, %z: tensor<?x5xf32>) -> (tensor<?x20xf16>, tensor<?x20xf32>) {
  %w = gate.weight_value @half : tensor<4x20xf16>
  %v = gate.weight_value @brain : tensor<5x20xbf16>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x20xf16>) extras() [] -> tensor<?x20xf16> {
  ^bb0(%a: f32):
    %r = arith.truncf %a : f32 to f16
    gate.yield %r : f16
  }
  %1 = gate.contract rows(%z : tensor<?x5xf32>) weights(%v : tensor<5x20xbf16>) extras() [] -> tensor<?x20xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return %0, %1 : tensor<?x20xf16>, tensor<?x20xf32>
}
