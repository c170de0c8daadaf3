// Rows that an index selects: a mask's true elements, the best columns of each
// batch, survivors of survivors; and indices that may repeat.
// RUN: gate-opt %s --form-selections --canonicalize -split-input-file | FileCheck %s

// CHECK: gatecc.report = [{decision = "taken", kind = "skip", nodes = ["layer"], reason = "only the rows that 'keep' selects are computed", site = "keep"}]
// CHECK: gate.site @site {{.*}} kind = "skip", name = "keep"
// CHECK-LABEL: func.func @vectors
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>, %[[W:.*]]: tensor<8x8xf32>
// CHECK: %[[KEEP:.*]] = linalg.generic
// CHECK: %[[P:.*]] = gate.partition %[[KEEP]] {site = @site} : tensor<?xi1>
// CHECK-NEXT: %[[F:.*]] = gate.apply %[[P]] ranges [0, 1] ins(%[[X]] : tensor<?x8xf32>)
// CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<?x8xf32>):
// CHECK-NEXT: %[[NEW:.*]] = gate.contract rows(%[[ROWS]] : tensor<?x8xf32>) weights(%[[W]]
// CHECK: gate.yield %[[NEW]]
// CHECK: %[[Y:.*]] = gate.merge %[[F]], %[[P]] groups [0, 1] base(%[[X]])
// CHECK-NEXT: return %[[Y]]
func.func @vectors(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %mask: tensor<?xi1>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?xi1>
  %id = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} ins(%mask, %mask : tensor<?xi1>, tensor<?xi1>) outs(%e : tensor<?xi1>) {
  ^bb0(%a: i1, %b: i1, %o: i1):
    %r = arith.andi %a, %b : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("keep")
  %at = gate.nonzero %id : tensor<?xi1> -> tensor<1x?xi64>
  %k = tensor.dim %at, %c1 : tensor<1x?xi64>
  %te = tensor.empty(%k) : tensor<?x1xi64>
  %t = linalg.transpose ins(%at : tensor<1x?xi64>) outs(%te : tensor<?x1xi64>) permutation = [1, 0]
  %rows = gate.gather_nd %x, %t {batch_dims = 0 : i64} : tensor<?x8xf32>, tensor<?x1xi64> -> tensor<?x8xf32>
  %f = gate.contract rows(%rows : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %y = gate.scatter_nd %f at %t into %x {reduction = #gate.reduction<none>} : tensor<?x8xf32>, tensor<?x1xi64>, tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// Survivors of survivors, written to their first rows: one selection inside the
// other, and no write to rows that are written again.
// CHECK: gate.site @site {{.*}} kind = "exit", name = "keep", nodes = ["first", "second"]
// CHECK-LABEL: func.func @survivors
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>, %[[W:.*]]: tensor<8x8xf32>, %[[U:.*]]: tensor<8x8xf32>, %[[KEEP:.*]]: tensor<?xi1>
// CHECK: %[[P:.*]] = gate.partition %[[KEEP]] {site = @site}
// CHECK-NEXT: %[[A:.*]] = gate.apply %[[P]] ranges [0, 1] ins(%[[X]] : tensor<?x8xf32>)
// CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<?x8xf32>):
// CHECK: %[[F:.*]] = gate.contract rows(%[[ROWS]] : tensor<?x8xf32>) weights(%[[W]]
// CHECK: %[[AGAIN:.*]] = linalg.generic {{.*}} ins(%[[F]] : tensor<?x8xf32>)
// CHECK: %[[Q:.*]] = gate.partition %[[AGAIN]] {exit = 1 : i64, site = @site}
// CHECK-NEXT: %[[B:.*]] = gate.apply %[[Q]] ranges [0, 1] ins(%[[F]] : tensor<?x8xf32>)
// CHECK: weights(%[[U]]
// CHECK: %[[INNER:.*]] = gate.merge %[[B]], %[[Q]] groups [0, 1] base(%[[F]])
// CHECK-NEXT: gate.yield %[[INNER]]
// CHECK: %[[Y:.*]] = gate.merge %[[A]], %[[P]] groups [0, 1] base(%[[X]])
// CHECK-NEXT: return %[[Y]]
func.func @survivors(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %u: tensor<8x8xf32>, %keep: tensor<?xi1>, %more: tensor<?xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?xi1>
  %mask = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]} ins(%keep : tensor<?xi1>) outs(%e : tensor<?xi1>) {
  ^bb0(%a: i1, %o: i1):
    %r = arith.andi %a, %a : i1
    linalg.yield %a : i1
  } -> tensor<?xi1> loc("keep")
  %at = gate.nonzero %mask : tensor<?xi1> -> tensor<1x?xi64>
  %k = tensor.dim %at, %c1 : tensor<1x?xi64>
  %ids = tensor.collapse_shape %at [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %v = tensor.expand_shape %ids [[0, 1]] output_shape [%k, 1] : tensor<?xi64> into tensor<?x1xi64>
  %rows = gate.gather_nd %x, %v {batch_dims = 0 : i64} : tensor<?x8xf32>, tensor<?x1xi64> -> tensor<?x8xf32>
  %f = gate.contract rows(%rows : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("first")
  %y1 = gate.scatter_nd %f at %v into %x {reduction = #gate.reduction<none>} : tensor<?x8xf32>, tensor<?x1xi64>, tensor<?x8xf32> loc("y1")
  %be = tensor.empty(%k) : tensor<?xi1>
  %bits = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0)>], iterator_types = ["parallel", "reduction"]} ins(%f : tensor<?x8xf32>) outs(%be : tensor<?xi1>) {
  ^bb0(%a: f32, %o: i1):
    %r = arith.cmpf ogt, %a, %zero : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("again")
  %at2 = gate.nonzero %bits : tensor<?xi1> -> tensor<1x?xi64>
  %k2 = tensor.dim %at2, %c1 : tensor<1x?xi64>
  %ids2 = tensor.collapse_shape %at2 [[0, 1]] : tensor<1x?xi64> into tensor<?xi64>
  %v2 = tensor.expand_shape %ids2 [[0, 1]] output_shape [%k2, 1] : tensor<?xi64> into tensor<?x1xi64>
  %rows2 = gate.gather_nd %f, %v2 {batch_dims = 0 : i64} : tensor<?x8xf32>, tensor<?x1xi64> -> tensor<?x8xf32>
  %g = gate.contract rows(%rows2 : tensor<?x8xf32>) weights(%u : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("second")
  %back = gate.gather_nd %ids, %v2 {batch_dims = 0 : i64} : tensor<?xi64>, tensor<?x1xi64> -> tensor<?xi64>
  %v3 = tensor.expand_shape %back [[0, 1]] output_shape [%k2, 1] : tensor<?xi64> into tensor<?x1xi64>
  %y = gate.scatter_nd %g at %v3 into %y1 {reduction = #gate.reduction<none>} : tensor<?x8xf32>, tensor<?x1xi64>, tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// The best half of the tokens of each batch: the columns that were chosen are
// the predicate, and a sum is part of the work.
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
// CHECK: gate.site @site {{.*}} kind = "select", name = "top", nodes = ["layer"]
// CHECK-LABEL: func.func @depths
// CHECK-SAME: %[[X:.*]]: tensor<?x?x8xf32>
// CHECK: %{{.*}}, %[[AT:.*]] = gate.topk
// CHECK: %[[BITS:.*]] = gate.scatter_elements %{{.*}} at %[[AT]] into %{{.*}} {axis = 1
// CHECK: %[[CHOSEN:.*]] = tensor.collapse_shape %[[BITS]] {{\[\[}}0, 1]]
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1], [2]]
// CHECK: %[[P:.*]] = gate.partition %[[CHOSEN]] {site = @site}
// CHECK-NEXT: %[[A:.*]] = gate.apply %[[P]] ranges [0, 1] ins(%[[FLAT]] : tensor<?x8xf32>)
// CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<?x8xf32>):
// CHECK: %[[F:.*]] = gate.contract rows(%[[ROWS]]
// CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[ROWS]], %[[F]]
// CHECK: gate.yield %[[SUM]]
// CHECK: %[[Y:.*]] = gate.merge %[[A]], %[[P]] groups [0, 1] base(%[[FLAT]])
// CHECK: tensor.expand_shape %[[Y]] {{\[\[}}0, 1], [2]]
func.func @depths(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %b = tensor.dim %x, %c0 : tensor<?x?x8xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x8xf32>
  %k = arith.floordivsi %s, %c2 : index
  %se = tensor.empty(%b, %s) : tensor<?x?xf32>
  %sz = linalg.fill ins(%zero : f32) outs(%se : tensor<?x?xf32>) -> tensor<?x?xf32>
  %score = linalg.generic {indexing_maps = [#id, affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x : tensor<?x?x8xf32>) outs(%sz : tensor<?x?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  } -> tensor<?x?xf32>
  %best, %at = gate.topk %score count %k {largest = true} : tensor<?x?xf32> -> tensor<?x?xf32>, tensor<?x?xi64> loc("top")
  %v = tensor.expand_shape %at [[0], [1, 2]] output_shape [%b, %k, 1] : tensor<?x?xi64> into tensor<?x?x1xi64>
  %ie = tensor.empty(%b, %k) : tensor<?x?x8xi64>
  %index = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1, 0)>, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%v : tensor<?x?x1xi64>) outs(%ie : tensor<?x?x8xi64>) {
  ^bb0(%a: i64, %o: i64):
    linalg.yield %a : i64
  } -> tensor<?x?x8xi64>
  %rows = gate.gather_nd %x, %v {batch_dims = 1 : i64} : tensor<?x?x8xf32>, tensor<?x?x1xi64> -> tensor<?x?x8xf32>
  %flat = tensor.collapse_shape %rows [[0, 1], [2]] : tensor<?x?x8xf32> into tensor<?x8xf32>
  %f = gate.contract rows(%flat : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %wide = tensor.expand_shape %f [[0, 1], [2]] output_shape [%b, %k, 8] : tensor<?x8xf32> into tensor<?x?x8xf32>
  %y = gate.scatter_elements %wide at %index into %x {axis = 1 : i64, reduction = #gate.reduction<add>} : tensor<?x?x8xf32>, tensor<?x?x8xi64>, tensor<?x?x8xf32> loc("y")
  return %y : tensor<?x?x8xf32>
}

// -----

// Positions that data gives may repeat.
// CHECK-LABEL: func.func @repeated
// CHECK-NOT: gate.partition
// CHECK: gate.scatter_nd
func.func @repeated(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %at: tensor<?x1xi64>) -> tensor<?x8xf32> {
  %rows = gate.gather_nd %x, %at {batch_dims = 0 : i64} : tensor<?x8xf32>, tensor<?x1xi64> -> tensor<?x8xf32>
  %f = gate.contract rows(%rows : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  %y = gate.scatter_nd %f at %at into %x {reduction = #gate.reduction<add>} : tensor<?x8xf32>, tensor<?x1xi64>, tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
