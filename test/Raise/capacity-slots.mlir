// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows that are scattered to 3 places of each of 2 experts, those without room to a last row,
// and gathered from there: a plan of the slots, and the scatter for a batch that fails the
// test; a last row that is not zero stays what it is.
// RUN: gate-opt %s --form-capacity-experts --canonicalize --cse | FileCheck %s

#id = affine_map<(t, n) -> (t, n)>
#token = affine_map<(t, n) -> (t, 0)>
#rows = affine_map<(e, c, k, n) -> (e, c, k)>
#stack = affine_map<(e, c, k, n) -> (e, k, n)>
#work = affine_map<(e, c, k, n) -> (e, c, n)>

// CHECK: gatecc.report = [
// CHECK-SAME: decision = "taken", kind = "experts", {{.*}}reason = "by test of all rows: a row runs those of its 1 experts that have room for it, which depends on the batch; a batch with two rows in one place, a row that is sent in part, a row that reads another one's place, an input that is NaN or larger than {{[^,]*}} is scattered and gathered"
// CHECK-LABEL: func.func @slots
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>, %[[SLOTS:.*]]: tensor<?x1xi64>, %[[W:.*]]: tensor<?x1xf32>)
// CHECK-DAG: %[[S:.*]] = tensor.collapse_shape %[[SLOTS]]
// CHECK-DAG: %[[N:.*]] = tensor.collapse_shape %[[W]]
// CHECK: %[[C:.*]]:4 = linalg.generic {{.*}} ins(%[[S]], %[[S]], %[[N]] : tensor<?xi64>, tensor<?xi64>, tensor<?xf32>)
// CHECK: arith.divui %{{.*}}, %c3
// CHECK-DAG: %[[ID:.*]] = tensor.expand_shape %[[C]]#0
// CHECK-DAG: %[[BY:.*]] = tensor.expand_shape %[[C]]#1
// CHECK-DAG: gate.scatter_elements %{{.*}} at %[[C]]#2 into %{{.*}} {axis = 0 : i64, reduction = #gate.reduction<add>}
// CHECK: %[[P:.*]] = gate.assign %[[ID]] weights(%[[BY]] : tensor<?x1xf32>) {site = @{{.*}}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK: %[[A:.*]] = gate.apply %[[P]] ranges [0, 2] ins(%[[X]] : tensor<?x4xf32>) params(%{{.*}} : tensor<2x4x4xf32>)
// CHECK: %[[Y:.*]] = gate.combine %[[A]], %[[P]]
// CHECK: %[[R:.*]] = scf.if %{{.*}} -> (tensor<?x4xf32>) {
// CHECK:   gate.scatter_nd %[[X]] at %[[SLOTS]]
// CHECK:   %[[Q:.*]] = gate.assign %{{.*}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK:   gate.apply %[[Q]] ranges [0, 2]
// CHECK:   tensor.concat
// CHECK:   gate.gather_nd %{{.*}}, %[[SLOTS]]
// CHECK: } else {
// CHECK:   scf.yield %[[Y]]
// CHECK: return %[[R]]
gate.weight @w : tensor<2x4x4xf32> {value = dense<0.5> : tensor<2x4x4xf32>}
func.func @slots(%x: tensor<?x4xf32>, %slots: tensor<?x1xi64>, %weights: tensor<?x1xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %empty = arith.constant dense<0.0> : tensor<7x4xf32>
  %last = arith.constant dense<0.0> : tensor<1x4xf32>
  %sent = gate.scatter_nd %x at %slots into %empty {reduction = #gate.reduction<none>} : tensor<?x4xf32>, tensor<?x1xi64>, tensor<7x4xf32>
  %cut = tensor.extract_slice %sent[0, 0] [6, 4] [1, 1] : tensor<7x4xf32> to tensor<6x4xf32>
  %apart = tensor.expand_shape %cut [[0, 1], [2]] output_shape [2, 3, 4] : tensor<6x4xf32> into tensor<2x3x4xf32>
  %stack = gate.weight_value @w : tensor<2x4x4xf32>
  %ew = tensor.empty() : tensor<2x3x4xf32>
  %fw = linalg.fill ins(%zero : f32) outs(%ew : tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %done = linalg.generic {indexing_maps = [#rows, #stack, #work], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%apart, %stack : tensor<2x3x4xf32>, tensor<2x4x4xf32>) outs(%fw : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x3x4xf32>
  %joined = tensor.collapse_shape %done [[0, 1], [2]] : tensor<2x3x4xf32> into tensor<6x4xf32>
  %padded = tensor.concat dim(0) %joined, %last : (tensor<6x4xf32>, tensor<1x4xf32>) -> tensor<7x4xf32>
  %back = gate.gather_nd %padded, %slots {batch_dims = 0 : i64} : tensor<7x4xf32>, tensor<?x1xi64> -> tensor<?x4xf32>
  %ey = tensor.empty(%t) : tensor<?x4xf32>
  %y = linalg.generic {indexing_maps = [#id, #token, #id], iterator_types = ["parallel", "parallel"]} ins(%back, %weights : tensor<?x4xf32>, tensor<?x1xf32>) outs(%ey : tensor<?x4xf32>) {
  ^bb0(%a: f32, %w: f32, %o: f32):
    %r = arith.mulf %a, %w : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @a_last_row_of_ones
// CHECK-NOT: gate.assign
// CHECK: return
func.func @a_last_row_of_ones(%x: tensor<?x4xf32>, %slots: tensor<?x1xi64>, %weights: tensor<?x1xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %empty = arith.constant dense<0.0> : tensor<7x4xf32>
  %last = arith.constant dense<1.0> : tensor<1x4xf32>
  %sent = gate.scatter_nd %x at %slots into %empty {reduction = #gate.reduction<none>} : tensor<?x4xf32>, tensor<?x1xi64>, tensor<7x4xf32>
  %cut = tensor.extract_slice %sent[0, 0] [6, 4] [1, 1] : tensor<7x4xf32> to tensor<6x4xf32>
  %apart = tensor.expand_shape %cut [[0, 1], [2]] output_shape [2, 3, 4] : tensor<6x4xf32> into tensor<2x3x4xf32>
  %stack = gate.weight_value @w : tensor<2x4x4xf32>
  %ew = tensor.empty() : tensor<2x3x4xf32>
  %fw = linalg.fill ins(%zero : f32) outs(%ew : tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %done = linalg.generic {indexing_maps = [#rows, #stack, #work], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%apart, %stack : tensor<2x3x4xf32>, tensor<2x4x4xf32>) outs(%fw : tensor<2x3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x3x4xf32>
  %joined = tensor.collapse_shape %done [[0, 1], [2]] : tensor<2x3x4xf32> into tensor<6x4xf32>
  %padded = tensor.concat dim(0) %joined, %last : (tensor<6x4xf32>, tensor<1x4xf32>) -> tensor<7x4xf32>
  %back = gate.gather_nd %padded, %slots {batch_dims = 0 : i64} : tensor<7x4xf32>, tensor<?x1xi64> -> tensor<?x4xf32>
  %ey = tensor.empty(%t) : tensor<?x4xf32>
  %y = linalg.generic {indexing_maps = [#id, #token, #id], iterator_types = ["parallel", "parallel"]} ins(%back, %weights : tensor<?x4xf32>, tensor<?x1xf32>) outs(%ey : tensor<?x4xf32>) {
  ^bb0(%a: f32, %w: f32, %o: f32):
    %r = arith.mulf %a, %w : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
