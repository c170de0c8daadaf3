// Elementwise ops on constants become constants; on anything else, and large ones,
// they stay.
// RUN: gate-opt %s --fold-constants --canonicalize -split-input-file | FileCheck %s

#id = affine_map<(d0) -> (d0)>

// CHECK-LABEL: func.func @root
// CHECK-SAME: (%[[X:.*]]: tensor<4xf32>)
// CHECK: %[[ROOTS:.*]] = arith.constant dense<[2.000000e+00, 1.000000e+00, 5.000000e-01, 0x7F800000]> : tensor<4xf32>
// CHECK: linalg.generic {{.*}} ins(%[[X]], %[[ROOTS]]
// CHECK-NOT: math.sqrt
func.func @root(%x: tensor<4xf32>) -> tensor<4xf32> {
  %one = arith.constant 1.0 : f32
  %variance = arith.constant dense<[0.25, 1.0, 4.0, 0.0]> : tensor<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  %inverse = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%variance : tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = math.sqrt %a : f32
    %r = arith.divf %one, %s : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]} ins(%x, %inverse : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// Each place reads what its map says; a constant follows from one that was made.
#first = affine_map<(d0, d1) -> (d0, 0)>
#second = affine_map<(d0, d1) -> (d1)>
#id = affine_map<(d0, d1) -> (d0, d1)>

// CHECK-LABEL: func.func @places
// CHECK-NEXT: %[[C:.*]] = arith.constant dense<{{\[\[}}-11, -21, -31], [-12, -22, -32]]> : tensor<2x3xi64>
// CHECK-NEXT: return %[[C]]
func.func @places() -> tensor<2x3xi64> {
  %a = arith.constant dense<[[1], [2]]> : tensor<2x1xi64>
  %b = arith.constant dense<[10, 20, 30]> : tensor<3xi64>
  %zero = arith.constant 0 : i64
  %e = tensor.empty() : tensor<2x3xi64>
  %sum = linalg.generic {indexing_maps = [#first, #second, #id], iterator_types = ["parallel", "parallel"]} ins(%a, %b : tensor<2x1xi64>, tensor<3xi64>) outs(%e : tensor<2x3xi64>) {
  ^bb0(%p: i64, %q: i64, %o: i64):
    %r = arith.addi %p, %q : i64
    linalg.yield %r : i64
  } -> tensor<2x3xi64>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%sum : tensor<2x3xi64>) outs(%e : tensor<2x3xi64>) {
  ^bb0(%p: i64, %o: i64):
    %r = arith.subi %zero, %p : i64
    linalg.yield %r : i64
  } -> tensor<2x3xi64>
  return %y : tensor<2x3xi64>
}

// -----

// A weight in another type.
#id = affine_map<(d0) -> (d0)>

gate.weight @w : tensor<2xf16> {value = dense<[1.5, -2.0]> : tensor<2xf16>}
// CHECK-LABEL: func.func @weight
// CHECK-NEXT: %[[C:.*]] = arith.constant dense<[1.500000e+00, -2.000000e+00]> : tensor<2xf32>
// CHECK-NEXT: return %[[C]]
func.func @weight() -> tensor<2xf32> {
  %w = gate.weight_value @w : tensor<2xf16>
  %e = tensor.empty() : tensor<2xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%w : tensor<2xf16>) outs(%e : tensor<2xf32>) {
  ^bb0(%a: f16, %o: f32):
    %r = arith.extf %a : f16 to f32
    linalg.yield %r : f32
  } -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// -----

#id = affine_map<(d0) -> (d0)>

// CHECK-LABEL: func.func @large
// CHECK: math.sqrt
func.func @large() -> tensor<65537xf32> {
  %a = arith.constant dense<2.0> : tensor<65537xf32>
  %e = tensor.empty() : tensor<65537xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%a : tensor<65537xf32>) outs(%e : tensor<65537xf32>) {
  ^bb0(%p: f32, %o: f32):
    %r = math.sqrt %p : f32
    linalg.yield %r : f32
  } -> tensor<65537xf32>
  return %y : tensor<65537xf32>
}

// -----

// The number of a place is no constant.
#id = affine_map<(d0) -> (d0)>

// CHECK-LABEL: func.func @numbers
// CHECK: linalg.index
func.func @numbers() -> tensor<3xindex> {
  %e = tensor.empty() : tensor<3xindex>
  %y = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel"]} outs(%e : tensor<3xindex>) {
  ^bb0(%o: index):
    %r = linalg.index 0 : index
    linalg.yield %r : index
  } -> tensor<3xindex>
  return %y : tensor<3xindex>
}
