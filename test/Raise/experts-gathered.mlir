// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products with weights that ids gather from a stack become experts: the halves of
// the first product are products of their own, all that lies between two products is
// one op, and the weight of a slot is the plan's.
// RUN: gate-opt %s --form-experts --canonicalize --cse | FileCheck %s

// CHECK: gatecc.report = [{decision = "taken", kind = "experts"
// CHECK-DAG: gate.weight @[[UP:.*]] : tensor<8x32x24xf32> {file = "w.bin", offset = 3072 : i64, strides = array<i64: 6144, 4, 128>}
// CHECK-DAG: gate.weight @[[GATE:.*]] : tensor<8x32x24xf32> {file = "w.bin", strides = array<i64: 6144, 4, 128>}
// CHECK-DAG: gate.weight @[[DOWN:.*]] : tensor<8x24x32xf32> {file = "w.bin", strides = array<i64: 3072, 4, 96>}
// CHECK-LABEL: func.func @main
// CHECK-SAME: (%[[X:.*]]: tensor<?x32xf32>, %[[S:.*]]: tensor<?x8xf32>)
// CHECK: %[[V:.*]], %[[IDS:.*]] = gate.topk %[[S]]
// CHECK-NOT: gate.gather_nd
// CHECK: %[[P:.*]] = gate.assign %[[IDS]] weights(%[[V]] : tensor<?x2xf32>) {site = @{{.*}}} : tensor<?x2xi64> -> <groups = 8, choices = 2>
// CHECK: %[[Y:.*]] = gate.apply %[[P]] ranges [0, 8] ins(%[[X]] : tensor<?x32xf32>) params(
// CHECK: gate.contract
// CHECK: gate.contract
// CHECK-COUNT-1: linalg.generic
// CHECK: gate.contract
// CHECK: gate.yield
// CHECK: %[[R:.*]] = gate.combine %[[Y]], %[[P]]
// CHECK: return %[[R]]

#id3 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#b3 = affine_map<(d0, d1, d2) -> (d0, 0, d2)>
#id2 = affine_map<(d0, d1) -> (d0, d1)>
#c2 = affine_map<(d0, d1) -> (d0, 0)>
#m4a = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#m4b = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#m4c = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#r = affine_map<(d0, d1, d2) -> (d0, d2)>
module {
gate.weight @w1 : tensor<8x48x32xf32> {file = "w.bin", strides = array<i64: 6144, 128, 4>}
gate.weight @w2 : tensor<8x32x24xf32> {file = "w.bin", strides = array<i64: 3072, 96, 4>}
func.func @main(%x: tensor<?x32xf32>, %s: tensor<?x8xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x32xf32>
  %n = arith.muli %t, %c2 : index
  %v, %ids = gate.topk %s {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %x3 = tensor.expand_shape %x [[0, 1], [2]] output_shape [%t, 1, 32] : tensor<?x32xf32> into tensor<?x1x32xf32>
  %e0 = tensor.empty(%t) : tensor<?x2x32xf32>
  %xb = linalg.generic {indexing_maps = [#b3, #id3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x3 : tensor<?x1x32xf32>) outs(%e0 : tensor<?x2x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    linalg.yield %a : f32
  } -> tensor<?x2x32xf32>
  %xr = tensor.collapse_shape %xb [[0, 1], [2]] : tensor<?x2x32xf32> into tensor<?x32xf32>
  %flat = tensor.collapse_shape %ids [[0, 1]] : tensor<?x2xi64> into tensor<?xi64>
  %idx = tensor.expand_shape %flat [[0, 1]] output_shape [%n, 1] : tensor<?xi64> into tensor<?x1xi64>
  %w1 = gate.weight_value @w1 : tensor<8x48x32xf32>
  %w2 = gate.weight_value @w2 : tensor<8x32x24xf32>
  %g1 = gate.gather_nd %w1, %idx {batch_dims = 0 : i64} : tensor<8x48x32xf32>, tensor<?x1xi64> -> tensor<?x48x32xf32>
  %xe = tensor.expand_shape %xr [[0], [1, 2]] output_shape [%n, 32, 1] : tensor<?x32xf32> into tensor<?x32x1xf32>
  %e1 = tensor.empty(%n) : tensor<?x48x1xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x48x1xf32>) -> tensor<?x48x1xf32>
  %y1 = linalg.generic {indexing_maps = [#m4a, #m4b, #m4c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%g1, %xe : tensor<?x48x32xf32>, tensor<?x32x1xf32>) outs(%f1 : tensor<?x48x1xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<?x48x1xf32>
  %y1s = tensor.collapse_shape %y1 [[0], [1, 2]] : tensor<?x48x1xf32> into tensor<?x48xf32>
  %gate = tensor.extract_slice %y1s[0, 0] [%n, 24] [1, 1] : tensor<?x48xf32> to tensor<?x24xf32>
  %up = tensor.extract_slice %y1s[0, 24] [%n, 24] [1, 1] : tensor<?x48xf32> to tensor<?x24xf32>
  %e2 = tensor.empty(%n) : tensor<?x24xf32>
  %h = linalg.generic {indexing_maps = [#id2, #id2, #id2], iterator_types = ["parallel", "parallel"]} ins(%gate, %up : tensor<?x24xf32>, tensor<?x24xf32>) outs(%e2 : tensor<?x24xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %ng = arith.negf %a : f32
    %ex = math.exp %ng : f32
    %ad = arith.addf %ex, %one : f32
    %sg = arith.divf %a, %ad : f32
    %p = arith.mulf %sg, %b : f32
    linalg.yield %p : f32
  } -> tensor<?x24xf32>
  %g2 = gate.gather_nd %w2, %idx {batch_dims = 0 : i64} : tensor<8x32x24xf32>, tensor<?x1xi64> -> tensor<?x32x24xf32>
  %he = tensor.expand_shape %h [[0], [1, 2]] output_shape [%n, 24, 1] : tensor<?x24xf32> into tensor<?x24x1xf32>
  %e3 = tensor.empty(%n) : tensor<?x32x1xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<?x32x1xf32>) -> tensor<?x32x1xf32>
  %y2 = linalg.generic {indexing_maps = [#m4a, #m4b, #m4c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%g2, %he : tensor<?x32x24xf32>, tensor<?x24x1xf32>) outs(%f3 : tensor<?x32x1xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<?x32x1xf32>
  %y2s = tensor.collapse_shape %y2 [[0], [1, 2]] : tensor<?x32x1xf32> into tensor<?x32xf32>
  %vf = tensor.collapse_shape %v [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
  %vu = tensor.expand_shape %vf [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32>
  %e4 = tensor.empty(%n) : tensor<?x32xf32>
  %yw = linalg.generic {indexing_maps = [#id2, #c2, #id2], iterator_types = ["parallel", "parallel"]} ins(%y2s, %vu : tensor<?x32xf32>, tensor<?x1xf32>) outs(%e4 : tensor<?x32xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    linalg.yield %p : f32
  } -> tensor<?x32xf32>
  %y3 = tensor.expand_shape %yw [[0, 1], [2]] output_shape [%t, 2, 32] : tensor<?x32xf32> into tensor<?x2x32xf32>
  %e5 = tensor.empty(%t) : tensor<?x32xf32>
  %f5 = linalg.fill ins(%zero : f32) outs(%e5 : tensor<?x32xf32>) -> tensor<?x32xf32>
  %out = linalg.generic {indexing_maps = [#id3, #r], iterator_types = ["parallel", "reduction", "parallel"]} ins(%y3 : tensor<?x2x32xf32>) outs(%f5 : tensor<?x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = arith.addf %o, %a : f32
    linalg.yield %q : f32
  } -> tensor<?x32xf32>
  return %out : tensor<?x32xf32>
}
}
