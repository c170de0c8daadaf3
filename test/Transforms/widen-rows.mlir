// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of f16 and bf16 become f32: where they are computed, or by an op.
// RUN: gate-opt %s --widen-rows -split-input-file | FileCheck %s

// The product that makes nothing but rows rounds them, and widens them at once;
// the rows that come in are widened once for both products.
// CHECK-LABEL: func.func @chain
// CHECK-SAME: (%[[X:[^:]*]]: tensor<?x4xf16>
// CHECK: %[[WIDE:.*]] = linalg.generic {{.*}} ins(%[[X]] : tensor<?x4xf16>)
// CHECK: arith.extf
// CHECK: %[[H:.*]] = gate.contract rows(%[[WIDE]] : tensor<?x4xf32>) weights(%{{.*}} : tensor<4x3xf16>) extras() [] -> tensor<?x3xf32>
// CHECK: %[[R:.*]] = arith.truncf %{{.*}} : f32 to f16
// CHECK: %[[E:.*]] = arith.extf %[[R]] : f16 to f32
// CHECK: gate.yield %[[E]] : f32
// CHECK: gate.contract rows(%[[H]] : tensor<?x3xf32>) {{.*}} -> tensor<?x4xf16>
// CHECK-NOT: linalg.generic
// CHECK: gate.contract rows(%[[WIDE]] : tensor<?x4xf32>)
func.func @chain(%x: tensor<?x4xf16>, %u: tensor<4x3xf16>, %d: tensor<3x4xf16>) -> (tensor<?x4xf16>, tensor<?x3xf16>) {
  %h = gate.contract rows(%x : tensor<?x4xf16>) weights(%u : tensor<4x3xf16>) extras() [] -> tensor<?x3xf16> {
  ^bb0(%a: f32):
    %r = arith.truncf %a : f32 to f16
    gate.yield %r : f16
  }
  %y = gate.contract rows(%h : tensor<?x3xf16>) weights(%d : tensor<3x4xf16>) extras() [] -> tensor<?x4xf16> {
  ^bb0(%a: f32):
    %r = arith.truncf %a : f32 to f16
    gate.yield %r : f16
  }
  %z = gate.contract rows(%x : tensor<?x4xf16>) weights(%u : tensor<4x3xf16>) extras() [] -> tensor<?x3xf16> {
  ^bb0(%a: f32):
    %r = arith.truncf %a : f32 to f16
    gate.yield %r : f16
  }
  return %y, %z : tensor<?x4xf16>, tensor<?x3xf16>
}

// -----

#map = affine_map<(d0, d1) -> (d0, d1)>

// CHECK-LABEL: func.func @elementwise
// CHECK: %[[H:.*]] = linalg.generic {{.*}} ins(%{{.*}} : tensor<5x4xbf16>) outs(%{{.*}} : tensor<5x4xf32>)
// CHECK: arith.negf %{{.*}} : bf16
// CHECK: arith.extf %{{.*}} : bf16 to f32
// CHECK: gate.contract rows(%[[H]] : tensor<5x4xf32>) weights(%{{.*}} : tensor<4x3xbf16>)
func.func @elementwise(%x: tensor<5x4xbf16>, %w: tensor<4x3xbf16>) -> tensor<5x3xf32> {
  %init = tensor.empty() : tensor<5x4xbf16>
  %h = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<5x4xbf16>) outs(%init : tensor<5x4xbf16>) {
  ^bb0(%a: bf16, %b: bf16):
    %n = arith.negf %a : bf16
    linalg.yield %n : bf16
  } -> tensor<5x4xbf16>
  %y = gate.contract rows(%h : tensor<5x4xbf16>) weights(%w : tensor<4x3xbf16>) extras() [] -> tensor<5x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return %y : tensor<5x3xf32>
}

// -----

// Rows that something else reads, too, stay as they are; f32 is left alone.
// CHECK-LABEL: func.func @shared
// CHECK: %[[H:.*]] = gate.contract {{.*}} -> tensor<?x4xf16>
// CHECK: linalg.generic {{.*}} ins(%[[H]] : tensor<?x4xf16>)
// CHECK: return %[[H]],
func.func @shared(%x: tensor<?x4xf32>, %w: tensor<4x4xf16>) -> (tensor<?x4xf16>, tensor<?x4xf16>) {
  %h = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x4xf16>) extras() [] -> tensor<?x4xf16> {
  ^bb0(%a: f32):
    %r = arith.truncf %a : f32 to f16
    gate.yield %r : f16
  }
  %y = gate.contract rows(%h : tensor<?x4xf16>) weights(%w : tensor<4x4xf16>) extras() [] -> tensor<?x4xf16> {
  ^bb0(%a: f32):
    %r = arith.truncf %a : f32 to f16
    gate.yield %r : f16
  }
  return %h, %y : tensor<?x4xf16>, tensor<?x4xf16>
}
