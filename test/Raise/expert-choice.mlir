// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Each of 2 experts takes the 3 tokens that score best for it: a plan of the rows that were
// chosen, in the order in which they lie; one layer for all that was chosen is no experts.
// RUN: gate-opt %s --form-capacity-experts --canonicalize --cse | FileCheck %s

#id = affine_map<(e, c, n) -> (e, c, n)>
#token = affine_map<(e, c, n) -> (e, c)>
#rows = affine_map<(e, c, k, n) -> (e, c, k)>
#stack = affine_map<(e, c, k, n) -> (e, k, n)>
#shared = affine_map<(e, c, k, n) -> (k, n)>
#work = affine_map<(e, c, k, n) -> (e, c, n)>

// CHECK: gatecc.report = [
// CHECK-SAME: decision = "taken", kind = "experts", {{.*}}reason = "each expert chose its rows, which depends on the batch"
// CHECK-LABEL: func.func @expert_choice
// CHECK: %[[BEST:.*]], %[[TOKENS:.*]] = gate.topk
// CHECK-DAG: %[[CHOSEN:.*]] = gate.gather_nd
// CHECK-DAG: %[[FLAT:.*]] = tensor.collapse_shape %[[CHOSEN]] {{\[\[}}0, 1], [2]]
// CHECK-DAG: %[[ROWS:.*]] = tensor.cast %[[FLAT]] : tensor<6x4xf32> to tensor<?x4xf32>
// CHECK: arith.divui %{{.*}}, %c3
// CHECK: %[[P:.*]] = gate.assign %{{.*}} {site = @{{.*}}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK: %[[A:.*]] = gate.apply %[[P]] ranges [0, 2] ins({{.*}}%[[ROWS]]{{.*}} : tensor<?x{{[14]}}xf32>, tensor<?x{{[14]}}xf32>) params(%{{.*}} : tensor<2x4x4xf32>)
// CHECK:   arith.mulf
// CHECK: %[[Y:.*]] = gate.combine %[[A]], %[[P]] rows(%c6)
// CHECK: %[[U:.*]] = tensor.cast %[[Y]] : tensor<?x4xf32> to tensor<6x4xf32>
// CHECK: gate.scatter_nd %[[U]]
gate.weight @w : tensor<2x4x4xf32> {value = dense<0.5> : tensor<2x4x4xf32>}
gate.weight @shared : tensor<4x4xf32> {value = dense<0.5> : tensor<4x4xf32>}
func.func @expert_choice(%x: tensor<?x4xf32>, %scores: tensor<2x?xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %best, %tokens = gate.topk %scores {k = 3 : i64, largest = true} : tensor<2x?xf32> -> tensor<2x3xf32>, tensor<2x3xi64>
  %each = tensor.expand_shape %tokens [[0], [1, 2]] output_shape [2, 3, 1] : tensor<2x3xi64> into tensor<2x3x1xi64>
  %chosen = gate.gather_nd %x, %each {batch_dims = 0 : i64} : tensor<?x4xf32>, tensor<2x3x1xi64> -> tensor<2x3x4xf32>
  %stack = gate.weight_value @w : tensor<2x4x4xf32>
  %ew = tensor.empty() : tensor<2x3x4xf32>
  %fw = linalg.fill ins(%zero : f32) outs(%ew : tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %done = linalg.generic {indexing_maps = [#rows, #stack, #work], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%chosen, %stack : tensor<2x3x4xf32>, tensor<2x4x4xf32>) outs(%fw : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x3x4xf32>
  %weighed = linalg.generic {indexing_maps = [#id, #token, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%done, %best : tensor<2x3x4xf32>, tensor<2x3xf32>) outs(%ew : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %w: f32, %o: f32):
    %r = arith.mulf %a, %w : f32
    linalg.yield %r : f32
  } -> tensor<2x3x4xf32>
  %flat = tensor.collapse_shape %weighed [[0, 1], [2]] : tensor<2x3x4xf32> into tensor<6x4xf32>
  %to = tensor.collapse_shape %each [[0, 1], [2]] : tensor<2x3x1xi64> into tensor<6x1xi64>
  %es = tensor.empty(%t) : tensor<?x4xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<?x4xf32>) -> tensor<?x4xf32>
  %sum = gate.scatter_nd %flat at %to into %fs {reduction = #gate.reduction<add>} : tensor<6x4xf32>, tensor<6x1xi64>, tensor<?x4xf32>
  return %sum : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @one_layer
// CHECK-NOT: gate.assign
// CHECK: return
func.func @one_layer(%x: tensor<?x4xf32>, %scores: tensor<2x?xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %best, %tokens = gate.topk %scores {k = 3 : i64, largest = true} : tensor<2x?xf32> -> tensor<2x3xf32>, tensor<2x3xi64>
  %each = tensor.expand_shape %tokens [[0], [1, 2]] output_shape [2, 3, 1] : tensor<2x3xi64> into tensor<2x3x1xi64>
  %chosen = gate.gather_nd %x, %each {batch_dims = 0 : i64} : tensor<?x4xf32>, tensor<2x3x1xi64> -> tensor<2x3x4xf32>
  %stack = gate.weight_value @shared : tensor<4x4xf32>
  %ew = tensor.empty() : tensor<2x3x4xf32>
  %fw = linalg.fill ins(%zero : f32) outs(%ew : tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %done = linalg.generic {indexing_maps = [#rows, #shared, #work], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%chosen, %stack : tensor<2x3x4xf32>, tensor<4x4xf32>) outs(%fw : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x3x4xf32>
  %weighed = linalg.generic {indexing_maps = [#id, #token, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%done, %best : tensor<2x3x4xf32>, tensor<2x3xf32>) outs(%ew : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %w: f32, %o: f32):
    %r = arith.mulf %a, %w : f32
    linalg.yield %r : f32
  } -> tensor<2x3x4xf32>
  %flat = tensor.collapse_shape %weighed [[0, 1], [2]] : tensor<2x3x4xf32> into tensor<6x4xf32>
  %to = tensor.collapse_shape %each [[0, 1], [2]] : tensor<2x3x1xi64> into tensor<6x1xi64>
  %es = tensor.empty(%t) : tensor<?x4xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<?x4xf32>) -> tensor<?x4xf32>
  %sum = gate.scatter_nd %flat at %to into %fs {reduction = #gate.reduction<add>} : tensor<6x4xf32>, tensor<6x1xi64>, tensor<?x4xf32>
  return %sum : tensor<?x4xf32>
}
