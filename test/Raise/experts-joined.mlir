// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Results of experts come back to their rows in any tree of sums; where a row has one
// choice, they may be written over what was there, of which nothing is left then.
// RUN: gate-opt %s --form-experts --canonicalize --cse -split-input-file | FileCheck %s

// Each on zeros of its own; what is added to their sum stays outside.
// CHECK-LABEL: func.func @joined
// CHECK-SAME: %[[X:.*]]: tensor<?x6xf32>
// CHECK: %[[P:.*]] = gate.assign %{{.*}} {site = @{{.*}}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK: %[[A:.*]] = gate.apply %[[P]] ranges [0, 2] ins(%[[X]] : tensor<?x6xf32>)
// CHECK: %[[C:.*]] = gate.combine %[[A]], %[[P]]
// CHECK-NOT: gate.scatter
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%[[C]], %[[X]] :
// CHECK: return %[[Y]]
#row = affine_map<(d0) -> (d0)>
#id = affine_map<(d0, d1) -> (d0, d1)>
gate.weight @w0 : tensor<6x6xf32> {file = "w.bin", strides = array<i64: 24, 4>}
gate.weight @w1 : tensor<6x6xf32> {file = "w.bin", offset = 144 : i64, strides = array<i64: 24, 4>}
func.func @joined(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = tensor.dim %x, %c0 : tensor<?x6xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%t) : tensor<?x6xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %bits = tensor.empty(%t) : tensor<?xi1>
  %s = tensor.extract_slice %x[0, 0] [%t, 2] [1, 1] : tensor<?x6xf32> to tensor<?x2xf32>
  %v, %best = gate.topk %s {k = 1 : i64, largest = true} : tensor<?x2xf32> -> tensor<?x1xf32>, tensor<?x1xi64>
  %ids = tensor.collapse_shape %best [[0, 1]] : tensor<?x1xi64> into tensor<?xi64>
  %c0_i64 = arith.constant 0 : i64
  %hit0 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c0_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz0 = gate.nonzero %hit0 : tensor<?xi1> -> tensor<1x?xi64>
  %n0 = tensor.dim %nz0, %c1 : tensor<1x?xi64>
  %flat0 = tensor.collapse_shape %nz0 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at0 = tensor.expand_shape %flat0 [[0, 1]] output_shape [%n0, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in0 = gate.gather_nd %x, %at0 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w0 = gate.weight_value @w0 : tensor<6x6xf32>
  %out0 = gate.contract rows(%in0 : tensor<?x6xf32>) weights(%w0 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put0 = gate.scatter_nd %out0 at %at0 into %none {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  %c1_i64 = arith.constant 1 : i64
  %hit1 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c1_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz1 = gate.nonzero %hit1 : tensor<?xi1> -> tensor<1x?xi64>
  %n1 = tensor.dim %nz1, %c1 : tensor<1x?xi64>
  %flat1 = tensor.collapse_shape %nz1 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at1 = tensor.expand_shape %flat1 [[0, 1]] output_shape [%n1, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in1 = gate.gather_nd %x, %at1 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w1 = gate.weight_value @w1 : tensor<6x6xf32>
  %out1 = gate.contract rows(%in1 : tensor<?x6xf32>) weights(%w1 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put1 = gate.scatter_nd %out1 at %at1 into %none {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  %sum = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%put0, %put1 : tensor<?x6xf32>, tensor<?x6xf32>) outs(%e : tensor<?x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %both = arith.addf %a, %b : f32
    linalg.yield %both : f32
  } -> tensor<?x6xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%sum, %x : tensor<?x6xf32>, tensor<?x6xf32>) outs(%e : tensor<?x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %both = arith.addf %a, %b : f32
    linalg.yield %both : f32
  } -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}

// -----

// All rows are written, so that those of the input are gone.
// CHECK-LABEL: func.func @written
// CHECK-SAME: %[[X:.*]]: tensor<?x6xf32>
// CHECK: %[[P:.*]] = gate.assign %{{.*}} {site = @{{.*}}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK: %[[A:.*]] = gate.apply %[[P]] ranges [0, 2] ins(%[[X]] : tensor<?x6xf32>)
// CHECK: %[[C:.*]] = gate.combine %[[A]], %[[P]]
// CHECK-NOT: gate.scatter
// CHECK: return %[[C]]
#row = affine_map<(d0) -> (d0)>
#id = affine_map<(d0, d1) -> (d0, d1)>
gate.weight @w0 : tensor<6x6xf32> {file = "w.bin", strides = array<i64: 24, 4>}
gate.weight @w1 : tensor<6x6xf32> {file = "w.bin", offset = 144 : i64, strides = array<i64: 24, 4>}
func.func @written(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = tensor.dim %x, %c0 : tensor<?x6xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%t) : tensor<?x6xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %bits = tensor.empty(%t) : tensor<?xi1>
  %s = tensor.extract_slice %x[0, 0] [%t, 2] [1, 1] : tensor<?x6xf32> to tensor<?x2xf32>
  %v, %best = gate.topk %s {k = 1 : i64, largest = true} : tensor<?x2xf32> -> tensor<?x1xf32>, tensor<?x1xi64>
  %ids = tensor.collapse_shape %best [[0, 1]] : tensor<?x1xi64> into tensor<?xi64>
  %c0_i64 = arith.constant 0 : i64
  %hit0 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c0_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz0 = gate.nonzero %hit0 : tensor<?xi1> -> tensor<1x?xi64>
  %n0 = tensor.dim %nz0, %c1 : tensor<1x?xi64>
  %flat0 = tensor.collapse_shape %nz0 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at0 = tensor.expand_shape %flat0 [[0, 1]] output_shape [%n0, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in0 = gate.gather_nd %x, %at0 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w0 = gate.weight_value @w0 : tensor<6x6xf32>
  %out0 = gate.contract rows(%in0 : tensor<?x6xf32>) weights(%w0 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put0 = gate.scatter_nd %out0 at %at0 into %x {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  %c1_i64 = arith.constant 1 : i64
  %hit1 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c1_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz1 = gate.nonzero %hit1 : tensor<?xi1> -> tensor<1x?xi64>
  %n1 = tensor.dim %nz1, %c1 : tensor<1x?xi64>
  %flat1 = tensor.collapse_shape %nz1 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at1 = tensor.expand_shape %flat1 [[0, 1]] output_shape [%n1, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in1 = gate.gather_nd %x, %at1 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w1 = gate.weight_value @w1 : tensor<6x6xf32>
  %out1 = gate.contract rows(%in1 : tensor<?x6xf32>) weights(%w1 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put1 = gate.scatter_nd %out1 at %at1 into %put0 {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  return %put1 : tensor<?x6xf32>
}

// -----

// A sum that has one of them twice.
// CHECK: decision = "refused", kind = "experts", {{.*}}more than one place
// CHECK-LABEL: func.func @twice
// CHECK-NOT: gate.apply
// CHECK-COUNT-2: gate.scatter_nd
#row = affine_map<(d0) -> (d0)>
#id = affine_map<(d0, d1) -> (d0, d1)>
gate.weight @w0 : tensor<6x6xf32> {file = "w.bin", strides = array<i64: 24, 4>}
gate.weight @w1 : tensor<6x6xf32> {file = "w.bin", offset = 144 : i64, strides = array<i64: 24, 4>}
func.func @twice(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = tensor.dim %x, %c0 : tensor<?x6xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%t) : tensor<?x6xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %bits = tensor.empty(%t) : tensor<?xi1>
  %s = tensor.extract_slice %x[0, 0] [%t, 2] [1, 1] : tensor<?x6xf32> to tensor<?x2xf32>
  %v, %best = gate.topk %s {k = 1 : i64, largest = true} : tensor<?x2xf32> -> tensor<?x1xf32>, tensor<?x1xi64>
  %ids = tensor.collapse_shape %best [[0, 1]] : tensor<?x1xi64> into tensor<?xi64>
  %c0_i64 = arith.constant 0 : i64
  %hit0 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c0_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz0 = gate.nonzero %hit0 : tensor<?xi1> -> tensor<1x?xi64>
  %n0 = tensor.dim %nz0, %c1 : tensor<1x?xi64>
  %flat0 = tensor.collapse_shape %nz0 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at0 = tensor.expand_shape %flat0 [[0, 1]] output_shape [%n0, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in0 = gate.gather_nd %x, %at0 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w0 = gate.weight_value @w0 : tensor<6x6xf32>
  %out0 = gate.contract rows(%in0 : tensor<?x6xf32>) weights(%w0 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put0 = gate.scatter_nd %out0 at %at0 into %none {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  %c1_i64 = arith.constant 1 : i64
  %hit1 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c1_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz1 = gate.nonzero %hit1 : tensor<?xi1> -> tensor<1x?xi64>
  %n1 = tensor.dim %nz1, %c1 : tensor<1x?xi64>
  %flat1 = tensor.collapse_shape %nz1 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at1 = tensor.expand_shape %flat1 [[0, 1]] output_shape [%n1, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in1 = gate.gather_nd %x, %at1 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w1 = gate.weight_value @w1 : tensor<6x6xf32>
  %out1 = gate.contract rows(%in1 : tensor<?x6xf32>) weights(%w1 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put1 = gate.scatter_nd %out1 at %at1 into %none {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  %sum = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%put0, %put1 : tensor<?x6xf32>, tensor<?x6xf32>) outs(%e : tensor<?x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %both = arith.addf %a, %b : f32
    linalg.yield %both : f32
  } -> tensor<?x6xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%sum, %put1 : tensor<?x6xf32>, tensor<?x6xf32>) outs(%e : tensor<?x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %both = arith.addf %a, %b : f32
    linalg.yield %both : f32
  } -> tensor<?x6xf32>
  return %y : tensor<?x6xf32>
}

// -----

// Rows of the second expert lose what was added, those of the first do not.
// CHECK: decision = "refused", kind = "experts", {{.*}}written over others
// CHECK-LABEL: func.func @added_between
// CHECK-NOT: gate.apply
// CHECK-COUNT-2: gate.scatter_nd
#row = affine_map<(d0) -> (d0)>
#id = affine_map<(d0, d1) -> (d0, d1)>
gate.weight @w0 : tensor<6x6xf32> {file = "w.bin", strides = array<i64: 24, 4>}
gate.weight @w1 : tensor<6x6xf32> {file = "w.bin", offset = 144 : i64, strides = array<i64: 24, 4>}
func.func @added_between(%x: tensor<?x6xf32>) -> tensor<?x6xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = tensor.dim %x, %c0 : tensor<?x6xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%t) : tensor<?x6xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %bits = tensor.empty(%t) : tensor<?xi1>
  %s = tensor.extract_slice %x[0, 0] [%t, 2] [1, 1] : tensor<?x6xf32> to tensor<?x2xf32>
  %v, %best = gate.topk %s {k = 1 : i64, largest = true} : tensor<?x2xf32> -> tensor<?x1xf32>, tensor<?x1xi64>
  %ids = tensor.collapse_shape %best [[0, 1]] : tensor<?x1xi64> into tensor<?xi64>
  %c0_i64 = arith.constant 0 : i64
  %hit0 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c0_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz0 = gate.nonzero %hit0 : tensor<?xi1> -> tensor<1x?xi64>
  %n0 = tensor.dim %nz0, %c1 : tensor<1x?xi64>
  %flat0 = tensor.collapse_shape %nz0 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at0 = tensor.expand_shape %flat0 [[0, 1]] output_shape [%n0, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in0 = gate.gather_nd %x, %at0 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w0 = gate.weight_value @w0 : tensor<6x6xf32>
  %out0 = gate.contract rows(%in0 : tensor<?x6xf32>) weights(%w0 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put0 = gate.scatter_nd %out0 at %at0 into %x {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  %more = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%put0, %x : tensor<?x6xf32>, tensor<?x6xf32>) outs(%e : tensor<?x6xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %both = arith.addf %a, %b : f32
    linalg.yield %both : f32
  } -> tensor<?x6xf32>
  %c1_i64 = arith.constant 1 : i64
  %hit1 = linalg.generic {indexing_maps = [#row, #row], iterator_types = ["parallel"]} ins(%ids : tensor<?xi64>) outs(%bits : tensor<?xi1>) {
  ^bb0(%a: i64, %o: i1):
    %h = arith.cmpi eq, %a, %c1_i64 : i64
    linalg.yield %h : i1
  } -> tensor<?xi1>
  %nz1 = gate.nonzero %hit1 : tensor<?xi1> -> tensor<1x?xi64>
  %n1 = tensor.dim %nz1, %c1 : tensor<1x?xi64>
  %flat1 = tensor.collapse_shape %nz1 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %at1 = tensor.expand_shape %flat1 [[0, 1]] output_shape [%n1, 1] : tensor<?xi64> into tensor<?x1xi64>
  %in1 = gate.gather_nd %x, %at1 {batch_dims = 0 : i64} : tensor<?x6xf32>, tensor<?x1xi64> -> tensor<?x6xf32>
  %w1 = gate.weight_value @w1 : tensor<6x6xf32>
  %out1 = gate.contract rows(%in1 : tensor<?x6xf32>) weights(%w1 : tensor<6x6xf32>) extras() [] -> tensor<?x6xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %put1 = gate.scatter_nd %out1 at %at1 into %more {reduction = #gate.reduction<none>} : tensor<?x6xf32>, tensor<?x1xi64>, tensor<?x6xf32>
  return %put1 : tensor<?x6xf32>
}
