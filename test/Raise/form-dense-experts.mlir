// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts that all rows run, weighted by a matrix that is zero beside the ids of a
// top-k: a plan of the chosen ones, and a group of rows that fail the guard, which run all.
// RUN: gate-opt %s --split-input-file --form-dense-experts --canonicalize --cse | FileCheck %s
// RUN: gate-opt %s --split-input-file --form-dense-experts=assume-finite=true --canonicalize --cse | FileCheck %s --check-prefix=FINITE

// CHECK: gatecc.report = [{decision = "taken", kind = "experts", {{.*}}reason = "by row guard: a row runs the experts that gate.topk chose, 2 for each row; one with an input that is NaN or larger than {{[0-9.]+}}e+{{[0-9]+}} runs all"
// CHECK-LABEL: func.func @main
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>,
// CHECK: %[[V:.*]], %[[IDS:.*]] = gate.topk
// CHECK: %[[R:.*]] = gate.scatter_elements %[[V]] at %[[IDS]]
// CHECK: %[[AT:.*]] = tensor.expand_shape %[[IDS]]
// CHECK: %[[W:.*]] = gate.gather_nd %[[R]], %[[AT]] {batch_dims = 1 : i64}
// CHECK: %[[P:.*]] = gate.assign %[[IDS]] weights(%[[W]] : tensor<?x2xf32>) {site = @{{.*}}} : tensor<?x2xi64> -> <groups = 3, choices = 2>
// CHECK: %[[Y:.*]] = gate.apply %[[P]] ranges [0, 3] ins(%[[X]] : tensor<?x4xf32>) params(%{{.*}}, %{{.*}} : tensor<3x4x5xf32>, tensor<3x5x4xf32>)
// CHECK: gate.contract
// CHECK: linalg.generic
// CHECK: gate.contract
// CHECK: gate.yield
// CHECK: %[[SUM:.*]] = gate.combine %[[Y]], %[[P]]
// The largest magnitude of each row, and what is beyond the bound:
// CHECK: math.absf
// CHECK: arith.maximumf
// CHECK: arith.cmpf ugt
// CHECK: %[[FAILS:.*]] = gate.partition
// CHECK: %[[ALL:.*]] = gate.apply %[[FAILS]] ranges [0, 1] ins(%[[X]], %[[R]] : tensor<?x4xf32>, tensor<?x3xf32>)
// CHECK: ^bb0(%[[ROWS:.*]]: tensor<?x4xf32>, %[[WEIGHTS:.*]]: tensor<?x3xf32>):
// CHECK:   %[[EACH:.*]] = scf.for %[[E:.*]] = %c0{{.*}} to %c3{{.*}} iter_args
// CHECK:     %[[ID:.*]] = arith.index_cast %[[E]]
// CHECK:     %[[IDS1:.*]] = linalg.fill ins(%[[ID]]
// CHECK:     %[[OWN:.*]] = gate.gather_nd %[[WEIGHTS]]
// CHECK:     %[[Q:.*]] = gate.assign %[[IDS1]] weights(%[[OWN]] : tensor<?x1xf32>) : tensor<?x1xi64> -> <groups = 3, choices = 1>
// CHECK:     gate.apply %[[Q]] ranges [0, 3] ins(%[[ROWS]] : tensor<?x4xf32>)
// CHECK:     gate.combine
// CHECK:     scf.yield
// CHECK:   gate.yield %[[EACH]]
// CHECK: %[[RESULT:.*]] = gate.merge %[[ALL]], %[[FAILS]] groups [0, 1] base(%[[SUM]])
// CHECK: return %[[RESULT]]

// FINITE: reason = "by --assume-finite: only the experts that gate.topk chose, 2 for each row, have a weight that is not zero"
// FINITE: gate.assign
// FINITE-NOT: gate.partition
// FINITE: return

#id3 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#tiled = affine_map<(d0, d1, d2) -> (0, d1, d2)>
#column = affine_map<(d0, d1, d2) -> (d0, d1, 0)>
#id2 = affine_map<(d0, d1) -> (d0, d1)>
#a = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
#b = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#c = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
#sum = affine_map<(d0, d1, d2) -> (d1, d2)>
module {
gate.weight @w1 : tensor<3x4x5xf32> {value = dense<0.5> : tensor<3x4x5xf32>}
gate.weight @w2 : tensor<3x5x4xf32> {value = dense<-0.25> : tensor<3x5x4xf32>}
func.func @main(%x: tensor<?x4xf32>, %router: tensor<4x3xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %s = gate.contract rows(%x : tensor<?x4xf32>) weights(%router : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%acc: f32):
    gate.yield %acc : f32
  }
  %v, %ids = gate.topk %s {k = 2 : i64, largest = true} : tensor<?x3xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %e0 = tensor.empty(%t) : tensor<?x3xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e0 : tensor<?x3xf32>) -> tensor<?x3xf32>
  %r = gate.scatter_elements %v at %ids into %none {axis = 1 : i64, reduction = #gate.reduction<none>} : tensor<?x2xf32>, tensor<?x2xi64>, tensor<?x3xf32>
  %x3 = tensor.expand_shape %x [[0, 1], [2]] output_shape [1, %t, 4] : tensor<?x4xf32> into tensor<1x?x4xf32>
  %e1 = tensor.empty(%t) : tensor<3x?x4xf32>
  %xe = linalg.generic {indexing_maps = [#tiled, #id3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x3 : tensor<1x?x4xf32>) outs(%e1 : tensor<3x?x4xf32>) {
  ^bb0(%in: f32, %o: f32):
    linalg.yield %in : f32
  } -> tensor<3x?x4xf32>
  %w1 = gate.weight_value @w1 : tensor<3x4x5xf32>
  %w2 = gate.weight_value @w2 : tensor<3x5x4xf32>
  %e2 = tensor.empty(%t) : tensor<3x?x5xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x?x5xf32>) -> tensor<3x?x5xf32>
  %h = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%xe, %w1 : tensor<3x?x4xf32>, tensor<3x4x5xf32>) outs(%f2 : tensor<3x?x5xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    %n = arith.addf %o, %m : f32
    linalg.yield %n : f32
  } -> tensor<3x?x5xf32>
  %relu = linalg.generic {indexing_maps = [#id3, #id3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%h : tensor<3x?x5xf32>) outs(%e2 : tensor<3x?x5xf32>) {
  ^bb0(%in: f32, %o: f32):
    %m = arith.maximumf %in, %zero : f32
    linalg.yield %m : f32
  } -> tensor<3x?x5xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %y = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%relu, %w2 : tensor<3x?x5xf32>, tensor<3x5x4xf32>) outs(%f3 : tensor<3x?x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    %n = arith.addf %o, %m : f32
    linalg.yield %n : f32
  } -> tensor<3x?x4xf32>
  %e4 = tensor.empty(%t) : tensor<3x?xf32>
  %rt = linalg.transpose ins(%r : tensor<?x3xf32>) outs(%e4 : tensor<3x?xf32>) permutation = [1, 0]
  %r3 = tensor.expand_shape %rt [[0], [1, 2]] output_shape [3, %t, 1] : tensor<3x?xf32> into tensor<3x?x1xf32>
  %weighed = linalg.generic {indexing_maps = [#id3, #column, #id3], iterator_types = ["parallel", "parallel", "parallel"]} ins(%y, %r3 : tensor<3x?x4xf32>, tensor<3x?x1xf32>) outs(%e1 : tensor<3x?x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    linalg.yield %m : f32
  } -> tensor<3x?x4xf32>
  %e5 = tensor.empty(%t) : tensor<?x4xf32>
  %f5 = linalg.fill ins(%zero : f32) outs(%e5 : tensor<?x4xf32>) -> tensor<?x4xf32>
  %total = linalg.generic {indexing_maps = [#id3, #sum], iterator_types = ["reduction", "parallel", "parallel"]} ins(%weighed : tensor<3x?x4xf32>) outs(%f5 : tensor<?x4xf32>) {
  ^bb0(%in: f32, %o: f32):
    %n = arith.addf %o, %in : f32
    linalg.yield %n : f32
  } -> tensor<?x4xf32>
  return %total : tensor<?x4xf32>
}
}

// -----

// Weights that nothing has chosen: every expert may count.
// CHECK: gatecc.report = [{decision = "refused", kind = "experts", {{.*}}reason = "experts of which a row weighs all: no top-k is behind the weights, so that any of them may differ from zero"
// CHECK-LABEL: func.func @soft
// CHECK-NOT: gate.assign
// CHECK: return
#x = affine_map<(d0, d1, d2, d3) -> (d1, d2)>
#w = affine_map<(d0, d1, d2, d3) -> (d0, d2, d3)>
#h = affine_map<(d0, d1, d2, d3) -> (d1, d0, d3)>
#ra = affine_map<(d0, d1, d2) -> (d0, d1)>
#rb = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#ry = affine_map<(d0, d1, d2) -> (d0, d2)>
module {
gate.weight @v : tensor<3x4x4xf32> {value = dense<0.5> : tensor<3x4x4xf32>}
func.func @soft(%x: tensor<?x4xf32>, %r: tensor<?x3xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %v = gate.weight_value @v : tensor<3x4x4xf32>
  %e0 = tensor.empty(%t) : tensor<?x3x4xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<?x3x4xf32>) -> tensor<?x3x4xf32>
  %y = linalg.generic {indexing_maps = [#x, #w, #h], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%x, %v : tensor<?x4xf32>, tensor<3x4x4xf32>) outs(%f0 : tensor<?x3x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    %n = arith.addf %o, %m : f32
    linalg.yield %n : f32
  } -> tensor<?x3x4xf32>
  %e1 = tensor.empty(%t) : tensor<?x4xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?x4xf32>) -> tensor<?x4xf32>
  %s = linalg.generic {indexing_maps = [#ra, #rb, #ry], iterator_types = ["parallel", "reduction", "parallel"]} ins(%r, %y : tensor<?x3xf32>, tensor<?x3x4xf32>) outs(%f1 : tensor<?x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    %n = arith.addf %o, %m : f32
    linalg.yield %n : f32
  } -> tensor<?x4xf32>
  return %s : tensor<?x4xf32>
}
}
