// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts that are a vector down and a vector up, read from tables: the first product
// becomes a sum in the region, and the second, which sums over choices, is taken apart,
// so that the weights are the plan's.
// RUN: gate-opt %s --form-experts --canonicalize --cse --split-input-file | FileCheck %s

// CHECK: gatecc.report = [{decision = "taken", kind = "experts", {{.*}}nodes = ["down", "up"]
// CHECK-LABEL: func.func @main
// CHECK-SAME: (%[[X:.*]]: tensor<?x32xf32>, %[[S:.*]]: tensor<?x16xf32>)
// CHECK: %[[V:.*]], %[[IDS:.*]] = gate.topk %[[S]]
// CHECK-NOT: gate.gather_nd
// CHECK: %[[DOWN:.*]] = gate.weight_value @down : tensor<16x32xf32>
// CHECK: %[[UP:.*]] = gate.weight_value @up{{.*}} : tensor<16x32xf32>
// CHECK: %[[P:.*]] = gate.assign %[[IDS]] weights(%[[V]] : tensor<?x2xf32>) {site = @{{.*}}} : tensor<?x2xi64> -> <groups = 16, choices = 2>
// CHECK: %[[Y:.*]] = gate.apply %[[P]] ranges [0, 16] ins(%[[X]] : tensor<?x32xf32>) params(%[[DOWN]], %[[UP]] :
// CHECK: ^bb0(%[[ROW:[^:]*]]: tensor<?x32xf32>, %[[D:[^:]*]]: tensor<32xf32>, %[[U:[^:]*]]: tensor<32xf32>):
// CHECK: %[[DOT:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]} ins(%[[D]], %[[ROW]]
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[U]]
// CHECK-NOT: gate.contract
// CHECK: %[[R:.*]] = gate.combine %[[Y]], %[[P]]
// CHECK: return %[[R]]

#id2 = affine_map<(d0, d1) -> (d0, d1)>
#m4a = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#m4b = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#m4c = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
module {
gate.weight @down : tensor<16x32xf32> {file = "w.bin", strides = array<i64: 128, 4>}
gate.weight @up : tensor<16x32xf32> {file = "w.bin", offset = 2048, strides = array<i64: 128, 4>}
func.func @main(%x: tensor<?x32xf32>, %s: tensor<?x16xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x32xf32>
  %v, %ids = gate.topk %s {k = 2 : i64, largest = true} : tensor<?x16xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %idx = tensor.expand_shape %ids [[0], [1, 2]] output_shape [%t, 2, 1] : tensor<?x2xi64> into tensor<?x2x1xi64>
  %down = gate.weight_value @down : tensor<16x32xf32>
  %up = gate.weight_value @up : tensor<16x32xf32>
  %g1 = gate.gather_nd %down, %idx {batch_dims = 0 : i64} : tensor<16x32xf32>, tensor<?x2x1xi64> -> tensor<?x2x32xf32>
  %g2 = gate.gather_nd %up, %idx {batch_dims = 0 : i64} : tensor<16x32xf32>, tensor<?x2x1xi64> -> tensor<?x2x32xf32>
  %xe = tensor.expand_shape %x [[0], [1, 2]] output_shape [%t, 32, 1] : tensor<?x32xf32> into tensor<?x32x1xf32>
  %e1 = tensor.empty(%t) : tensor<?x2x1xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x2x1xf32>) -> tensor<?x2x1xf32>
  %h3 = linalg.generic {indexing_maps = [#m4a, #m4b, #m4c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%g1, %xe : tensor<?x2x32xf32>, tensor<?x32x1xf32>) outs(%f1 : tensor<?x2x1xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<?x2x1xf32> loc("down")
  %h = tensor.collapse_shape %h3 [[0], [1, 2]] : tensor<?x2x1xf32> into tensor<?x2xf32>
  %e2 = tensor.empty(%t) : tensor<?x2xf32>
  %act = linalg.generic {indexing_maps = [#id2, #id2], iterator_types = ["parallel", "parallel"]} ins(%h : tensor<?x2xf32>) outs(%e2 : tensor<?x2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.maximumf %a, %zero : f32
    linalg.yield %p : f32
  } -> tensor<?x2xf32>
  %aw = linalg.generic {indexing_maps = [#id2, #id2, #id2], iterator_types = ["parallel", "parallel"]} ins(%act, %v : tensor<?x2xf32>, tensor<?x2xf32>) outs(%e2 : tensor<?x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    linalg.yield %p : f32
  } -> tensor<?x2xf32>
  %awe = tensor.expand_shape %aw [[0], [1, 2]] output_shape [%t, 1, 2] : tensor<?x2xf32> into tensor<?x1x2xf32>
  %e3 = tensor.empty(%t) : tensor<?x1x32xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<?x1x32xf32>) -> tensor<?x1x32xf32>
  %y3 = linalg.generic {indexing_maps = [#m4a, #m4b, #m4c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%awe, %g2 : tensor<?x1x2xf32>, tensor<?x2x32xf32>) outs(%f3 : tensor<?x1x32xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<?x1x32xf32> loc("up")
  %y = tensor.collapse_shape %y3 [[0], [1, 2]] : tensor<?x1x32xf32> into tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}
}

// -----

// Vectors that are added up, but that no row is multiplied with, are no experts: there
// is no work to skip.
// CHECK: has nothing of the row in it
// CHECK-LABEL: func.func @values_alone
// CHECK: gate.gather_nd
// CHECK-NOT: gate.apply
#m4a = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#m4b = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#m4c = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
module {
gate.weight @up : tensor<16x32xf32> {file = "w.bin", strides = array<i64: 128, 4>}
func.func @values_alone(%s: tensor<?x16xf32>) -> tensor<?x1x32xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %s, %c0 : tensor<?x16xf32>
  %v, %ids = gate.topk %s {k = 2 : i64, largest = true} : tensor<?x16xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %idx = tensor.expand_shape %ids [[0], [1, 2]] output_shape [%t, 2, 1] : tensor<?x2xi64> into tensor<?x2x1xi64>
  %up = gate.weight_value @up : tensor<16x32xf32>
  %g2 = gate.gather_nd %up, %idx {batch_dims = 0 : i64} : tensor<16x32xf32>, tensor<?x2x1xi64> -> tensor<?x2x32xf32>
  %ve = tensor.expand_shape %v [[0], [1, 2]] output_shape [%t, 1, 2] : tensor<?x2xf32> into tensor<?x1x2xf32>
  %e3 = tensor.empty(%t) : tensor<?x1x32xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<?x1x32xf32>) -> tensor<?x1x32xf32>
  %y3 = linalg.generic {indexing_maps = [#m4a, #m4b, #m4c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%ve, %g2 : tensor<?x1x2xf32>, tensor<?x2x32xf32>) outs(%f3 : tensor<?x1x32xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %q = arith.addf %o, %p : f32
    linalg.yield %q : f32
  } -> tensor<?x1x32xf32> loc("up")
  return %y3 : tensor<?x1x32xf32>
}
}
