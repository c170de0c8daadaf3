// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts with room for 3 rows each, which masks fill and empty: a plan of the masks'
// elements where a token's numbers say, and the products with them for a batch that
// fails the tests; masks with more elements than that stay.
// RUN: gate-opt %s --form-capacity-experts --canonicalize --cse | FileCheck %s

#id = affine_map<(t, e, c) -> (t, e, c)>
#token = affine_map<(t, e, c) -> (t)>
#a = affine_map<(m, k, n) -> (m, k)>
#b = affine_map<(m, k, n) -> (k, n)>
#y = affine_map<(m, k, n) -> (m, n)>
#rows = affine_map<(e, c, k, n) -> (e, c, k)>
#stack = affine_map<(e, c, k, n) -> (e, k, n)>
#work = affine_map<(e, c, k, n) -> (e, c, n)>

// CHECK: gatecc.report = [
// CHECK-SAME: decision = "taken", kind = "experts", {{.*}}reason = "by test of all rows: a row runs those of its 1 experts that have room for it, which depends on the batch; a batch with two rows in one place, a row that is sent in part, an input that is NaN or larger than {{[^,]*}}, a weight that is NaN or larger than 1.10e+12 is multiplied with the masks"
// CHECK-SAME: decision = "refused", kind = "experts", {{.*}}is not known to hold one place of one expert for each choice of a token, and zeros"
// CHECK-LABEL: func.func @capacity
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>, %[[IDS:.*]]: tensor<?xi64>, %[[POS:.*]]: tensor<?xi64>, %[[W:.*]]: tensor<?xf32>)
// CHECK: %[[C:.*]]:4 = linalg.generic {{.*}} outs({{.*}} : tensor<?xi64>, tensor<?xf32>, tensor<?xi64>, tensor<?xi1>)
// CHECK-DAG: tensor.extract %[[IDS]]
// CHECK-DAG: tensor.extract %[[POS]]
// CHECK-DAG: tensor.extract %[[W]]
// CHECK-DAG: %[[ID:.*]] = tensor.expand_shape %[[C]]#0
// CHECK-DAG: %[[BY:.*]] = tensor.expand_shape %[[C]]#1
// CHECK-DAG: %[[HITS:.*]] = gate.scatter_elements %{{.*}} at %[[C]]#2 into %{{.*}} {axis = 0 : i64, reduction = #gate.reduction<add>}
// CHECK: arith.maxsi
// CHECK: %[[P:.*]] = gate.assign %[[ID]] weights(%[[BY]] : tensor<?x1xf32>) {site = @{{.*}}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK: %[[S:.*]] = gate.apply %[[P]] ranges [0, 2] ins(%[[X]] : tensor<?x4xf32>) params(%{{.*}} : tensor<2x4x4xf32>)
// CHECK: %[[Y:.*]] = gate.combine %[[S]], %[[P]]
// CHECK: %[[R:.*]] = scf.if %{{.*}} -> (tensor<?x4xf32>) {
// CHECK:   tensor<?x2x3xf32>
// CHECK:   %[[Q:.*]] = gate.assign %{{.*}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK:   gate.apply %[[Q]] ranges [0, 2]
// CHECK:   gate.combine
// CHECK: } else {
// CHECK:   scf.yield %[[Y]]
// CHECK: return %[[R]]
gate.weight @w : tensor<2x4x4xf32> {value = dense<0.5> : tensor<2x4x4xf32>}
func.func @capacity(%x: tensor<?x4xf32>, %ids: tensor<?xi64>, %pos: tensor<?xi64>, %weights: tensor<?xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%t) : tensor<?x2x3xf32>
  %mask = linalg.generic {indexing_maps = [#token, #token, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%ids, %pos : tensor<?xi64>, tensor<?xi64>) outs(%e : tensor<?x2x3xf32>) {
  ^bb0(%i: i64, %p: i64, %o: f32):
    %expert = linalg.index 1 : index
    %place = linalg.index 2 : index
    %en = arith.index_cast %expert : index to i64
    %pn = arith.index_cast %place : index to i64
    %own = arith.cmpi eq, %i, %en : i64
    %here = arith.cmpi eq, %p, %pn : i64
    %both = arith.andi %own, %here : i1
    %one = arith.uitofp %both : i1 to f32
    linalg.yield %one : f32
  } -> tensor<?x2x3xf32>
  %weighing = linalg.generic {indexing_maps = [#id, #token, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%mask, %weights : tensor<?x2x3xf32>, tensor<?xf32>) outs(%e : tensor<?x2x3xf32>) {
  ^bb0(%m: f32, %w: f32, %o: f32):
    %r = arith.mulf %m, %w : f32
    linalg.yield %r : f32
  } -> tensor<?x2x3xf32>
  %et = tensor.empty(%t) : tensor<2x3x?xf32>
  %turned = linalg.transpose ins(%mask : tensor<?x2x3xf32>) outs(%et : tensor<2x3x?xf32>) permutation = [1, 2, 0]
  %flat = tensor.collapse_shape %turned [[0, 1], [2]] : tensor<2x3x?xf32> into tensor<6x?xf32>
  %er = tensor.empty() : tensor<6x4xf32>
  %fr = linalg.fill ins(%zero : f32) outs(%er : tensor<6x4xf32>) -> tensor<6x4xf32>
  %sent = linalg.generic {indexing_maps = [#a, #b, #y], iterator_types = ["parallel", "reduction", "parallel"]} ins(%flat, %x : tensor<6x?xf32>, tensor<?x4xf32>) outs(%fr : tensor<6x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<6x4xf32>
  %apart = tensor.expand_shape %sent [[0, 1], [2]] output_shape [2, 3, 4] : tensor<6x4xf32> into tensor<2x3x4xf32>
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
  %by = tensor.collapse_shape %weighing [[0], [1, 2]] : tensor<?x2x3xf32> into tensor<?x6xf32>
  %es = tensor.empty(%t) : tensor<?x4xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<?x4xf32>) -> tensor<?x4xf32>
  %sum = linalg.generic {indexing_maps = [#a, #b, #y], iterator_types = ["parallel", "reduction", "parallel"]} ins(%by, %joined : tensor<?x6xf32>, tensor<6x4xf32>) outs(%fs : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x4xf32>
  return %sum : tensor<?x4xf32>
}

// Two groups of tokens, each with 3 places of each expert: one plan of all tokens.
#gid = affine_map<(g, s, e, c) -> (g, s, e, c)>
#gtoken = affine_map<(g, s, e, c) -> (g, s)>
#ga = affine_map<(g, m, k, n) -> (g, m, k)>
#gb = affine_map<(g, m, k, n) -> (g, k, n)>
#gy = affine_map<(g, m, k, n) -> (g, m, n)>

// CHECK-LABEL: func.func @groups
// CHECK-SAME: (%[[X:.*]]: tensor<2x?x4xf32>, %[[IDS:.*]]: tensor<2x?xi64>, %[[POS:.*]]: tensor<2x?xi64>, %[[W:.*]]: tensor<2x?xf32>)
// CHECK-DAG: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0, 1], [2]]
// CHECK: %[[C:.*]]:4 = linalg.generic {{.*}} outs({{.*}} : tensor<?xi64>, tensor<?xf32>, tensor<?xi64>, tensor<?xi1>)
// CHECK: %[[T:.*]] = linalg.index 0
// CHECK-DAG: %[[S:.*]] = arith.remui %[[T]], %{{.*}}
// CHECK-DAG: %[[G:.*]] = arith.divui %[[T]], %{{.*}}
// CHECK: tensor.extract %[[IDS]][%[[G]], %[[S]]]
// CHECK: tensor.extract %[[POS]][%[[G]], %[[S]]]
// CHECK: gate.scatter_elements %{{.*}} at %[[C]]#2 into
// CHECK: %[[P:.*]] = gate.assign %{{.*}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK: gate.apply %[[P]] ranges [0, 2] ins(%[[ROWS]] : tensor<?x4xf32>)
// CHECK: %[[Y:.*]] = gate.combine
// CHECK: scf.if
// CHECK:   %[[BACK:.*]] = gate.combine {{.*}} rows(%c12)
// CHECK:   tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2]] output_shape [2, 6, 4]
// CHECK: } else {
// CHECK:   scf.yield %[[Y]]
// CHECK: tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2]] {{.*}} into tensor<2x?x4xf32>
func.func @groups(%x: tensor<2x?x4xf32>, %ids: tensor<2x?xi64>, %pos: tensor<2x?xi64>, %weights: tensor<2x?xf32>) -> tensor<2x?x4xf32> {
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c1 : tensor<2x?x4xf32>
  %e = tensor.empty(%t) : tensor<2x?x2x3xf32>
  %mask = linalg.generic {indexing_maps = [#gtoken, #gtoken, #gid], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%ids, %pos : tensor<2x?xi64>, tensor<2x?xi64>) outs(%e : tensor<2x?x2x3xf32>) {
  ^bb0(%i: i64, %p: i64, %o: f32):
    %expert = linalg.index 2 : index
    %place = linalg.index 3 : index
    %en = arith.index_cast %expert : index to i64
    %pn = arith.index_cast %place : index to i64
    %own = arith.cmpi eq, %i, %en : i64
    %here = arith.cmpi eq, %p, %pn : i64
    %both = arith.andi %own, %here : i1
    %one = arith.uitofp %both : i1 to f32
    linalg.yield %one : f32
  } -> tensor<2x?x2x3xf32>
  %weighing = linalg.generic {indexing_maps = [#gid, #gtoken, #gid], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%mask, %weights : tensor<2x?x2x3xf32>, tensor<2x?xf32>) outs(%e : tensor<2x?x2x3xf32>) {
  ^bb0(%m: f32, %w: f32, %o: f32):
    %r = arith.mulf %m, %w : f32
    linalg.yield %r : f32
  } -> tensor<2x?x2x3xf32>
  %et = tensor.empty(%t) : tensor<2x2x3x?xf32>
  %turned = linalg.transpose ins(%mask : tensor<2x?x2x3xf32>) outs(%et : tensor<2x2x3x?xf32>) permutation = [0, 2, 3, 1]
  %flat = tensor.collapse_shape %turned [[0], [1, 2], [3]] : tensor<2x2x3x?xf32> into tensor<2x6x?xf32>
  %er = tensor.empty() : tensor<2x6x4xf32>
  %fr = linalg.fill ins(%zero : f32) outs(%er : tensor<2x6x4xf32>) -> tensor<2x6x4xf32>
  %sent = linalg.generic {indexing_maps = [#ga, #gb, #gy], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%flat, %x : tensor<2x6x?xf32>, tensor<2x?x4xf32>) outs(%fr : tensor<2x6x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x6x4xf32>
  %apart = tensor.expand_shape %sent [[0], [1, 2], [3]] output_shape [2, 2, 3, 4] : tensor<2x6x4xf32> into tensor<2x2x3x4xf32>
  %ea = tensor.empty() : tensor<2x2x3x4xf32>
  %byexpert = linalg.transpose ins(%apart : tensor<2x2x3x4xf32>) outs(%ea : tensor<2x2x3x4xf32>) permutation = [1, 0, 2, 3]
  %rows = tensor.collapse_shape %byexpert [[0], [1, 2], [3]] : tensor<2x2x3x4xf32> into tensor<2x6x4xf32>
  %stack = gate.weight_value @w : tensor<2x4x4xf32>
  %done = linalg.generic {indexing_maps = [#rows, #stack, #work], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%rows, %stack : tensor<2x6x4xf32>, tensor<2x4x4xf32>) outs(%fr : tensor<2x6x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x6x4xf32>
  %split = tensor.expand_shape %done [[0], [1, 2], [3]] output_shape [2, 2, 3, 4] : tensor<2x6x4xf32> into tensor<2x2x3x4xf32>
  %bygroup = linalg.transpose ins(%split : tensor<2x2x3x4xf32>) outs(%ea : tensor<2x2x3x4xf32>) permutation = [1, 0, 2, 3]
  %joined = tensor.collapse_shape %bygroup [[0], [1, 2], [3]] : tensor<2x2x3x4xf32> into tensor<2x6x4xf32>
  %by = tensor.collapse_shape %weighing [[0], [1], [2, 3]] : tensor<2x?x2x3xf32> into tensor<2x?x6xf32>
  %es = tensor.empty(%t) : tensor<2x?x4xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x?x4xf32>) -> tensor<2x?x4xf32>
  %sum = linalg.generic {indexing_maps = [#ga, #gb, #gy], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%by, %joined : tensor<2x?x6xf32>, tensor<2x6x4xf32>) outs(%fs : tensor<2x?x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x?x4xf32>
  return %sum : tensor<2x?x4xf32>
}

// Room for one row of each expert: neither masks nor rows have a dimension of places.
#oid = affine_map<(t, e) -> (t, e)>
#otoken = affine_map<(t, e) -> (t)>

// CHECK-LABEL: func.func @one_place
// CHECK-SAME: (%[[X:.*]]: tensor<?x4xf32>, %[[IDS:.*]]: tensor<?xi64>, %[[W:.*]]: tensor<?xf32>)
// CHECK: %[[C:.*]]:4 = linalg.generic {{.*}} outs({{.*}} : tensor<?xi64>, tensor<?xf32>, tensor<?xi64>, tensor<?xi1>)
// CHECK: gate.scatter_elements %{{.*}} at %[[C]]#2 into
// CHECK: %[[P:.*]] = gate.assign %{{.*}} : tensor<?x1xi64> -> <groups = 2, choices = 1>
// CHECK: gate.apply %[[P]] ranges [0, 2] ins(%[[X]] : tensor<?x4xf32>)
// CHECK: scf.if
// CHECK:   gate.combine {{.*}} rows(%c2)
func.func @one_place(%x: tensor<?x4xf32>, %ids: tensor<?xi64>, %weights: tensor<?xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%t) : tensor<?x2xf32>
  %mask = linalg.generic {indexing_maps = [#otoken, #oid], iterator_types = ["parallel", "parallel"]} ins(%ids : tensor<?xi64>) outs(%e : tensor<?x2xf32>) {
  ^bb0(%i: i64, %o: f32):
    %expert = linalg.index 1 : index
    %en = arith.index_cast %expert : index to i64
    %own = arith.cmpi eq, %i, %en : i64
    %one = arith.uitofp %own : i1 to f32
    linalg.yield %one : f32
  } -> tensor<?x2xf32>
  %weighing = linalg.generic {indexing_maps = [#oid, #otoken, #oid], iterator_types = ["parallel", "parallel"]} ins(%mask, %weights : tensor<?x2xf32>, tensor<?xf32>) outs(%e : tensor<?x2xf32>) {
  ^bb0(%m: f32, %w: f32, %o: f32):
    %r = arith.mulf %m, %w : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %et = tensor.empty(%t) : tensor<2x?xf32>
  %turned = linalg.transpose ins(%mask : tensor<?x2xf32>) outs(%et : tensor<2x?xf32>) permutation = [1, 0]
  %er = tensor.empty() : tensor<2x4xf32>
  %fr = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %sent = linalg.generic {indexing_maps = [#a, #b, #y], iterator_types = ["parallel", "reduction", "parallel"]} ins(%turned, %x : tensor<2x?xf32>, tensor<?x4xf32>) outs(%fr : tensor<2x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x4xf32>
  %apart = tensor.expand_shape %sent [[0, 1], [2]] output_shape [2, 1, 4] : tensor<2x4xf32> into tensor<2x1x4xf32>
  %stack = gate.weight_value @w : tensor<2x4x4xf32>
  %ew = tensor.empty() : tensor<2x1x4xf32>
  %fw = linalg.fill ins(%zero : f32) outs(%ew : tensor<2x1x4xf32>) -> tensor<2x1x4xf32>
  %done = linalg.generic {indexing_maps = [#rows, #stack, #work], iterator_types = ["parallel", "parallel", "reduction", "parallel"]} ins(%apart, %stack : tensor<2x1x4xf32>, tensor<2x4x4xf32>) outs(%fw : tensor<2x1x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<2x1x4xf32>
  %joined = tensor.collapse_shape %done [[0, 1], [2]] : tensor<2x1x4xf32> into tensor<2x4xf32>
  %es = tensor.empty(%t) : tensor<?x4xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<?x4xf32>) -> tensor<?x4xf32>
  %sum = linalg.generic {indexing_maps = [#a, #b, #y], iterator_types = ["parallel", "reduction", "parallel"]} ins(%weighing, %joined : tensor<?x2xf32>, tensor<2x4xf32>) outs(%fs : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x4xf32>
  return %sum : tensor<?x4xf32>
}

// CHECK-LABEL: func.func @from_a_place_on
// CHECK-NOT: gate.assign
// CHECK: return
func.func @from_a_place_on(%x: tensor<?x4xf32>, %ids: tensor<?xi64>, %pos: tensor<?xi64>, %weights: tensor<?xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %t = tensor.dim %x, %c0 : tensor<?x4xf32>
  %e = tensor.empty(%t) : tensor<?x2x3xf32>
  %mask = linalg.generic {indexing_maps = [#token, #token, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%ids, %pos : tensor<?xi64>, tensor<?xi64>) outs(%e : tensor<?x2x3xf32>) {
  ^bb0(%i: i64, %p: i64, %o: f32):
    %expert = linalg.index 1 : index
    %place = linalg.index 2 : index
    %en = arith.index_cast %expert : index to i64
    %pn = arith.index_cast %place : index to i64
    %own = arith.cmpi eq, %i, %en : i64
    %here = arith.cmpi sle, %p, %pn : i64
    %both = arith.andi %own, %here : i1
    %one = arith.uitofp %both : i1 to f32
    linalg.yield %one : f32
  } -> tensor<?x2x3xf32>
  %weighing = linalg.generic {indexing_maps = [#id, #token, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%mask, %weights : tensor<?x2x3xf32>, tensor<?xf32>) outs(%e : tensor<?x2x3xf32>) {
  ^bb0(%m: f32, %w: f32, %o: f32):
    %r = arith.mulf %m, %w : f32
    linalg.yield %r : f32
  } -> tensor<?x2x3xf32>
  %et = tensor.empty(%t) : tensor<2x3x?xf32>
  %turned = linalg.transpose ins(%mask : tensor<?x2x3xf32>) outs(%et : tensor<2x3x?xf32>) permutation = [1, 2, 0]
  %flat = tensor.collapse_shape %turned [[0, 1], [2]] : tensor<2x3x?xf32> into tensor<6x?xf32>
  %er = tensor.empty() : tensor<6x4xf32>
  %fr = linalg.fill ins(%zero : f32) outs(%er : tensor<6x4xf32>) -> tensor<6x4xf32>
  %sent = linalg.generic {indexing_maps = [#a, #b, #y], iterator_types = ["parallel", "reduction", "parallel"]} ins(%flat, %x : tensor<6x?xf32>, tensor<?x4xf32>) outs(%fr : tensor<6x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<6x4xf32>
  %apart = tensor.expand_shape %sent [[0, 1], [2]] output_shape [2, 3, 4] : tensor<6x4xf32> into tensor<2x3x4xf32>
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
  %by = tensor.collapse_shape %weighing [[0], [1, 2]] : tensor<?x2x3xf32> into tensor<?x6xf32>
  %es = tensor.empty(%t) : tensor<?x4xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<?x4xf32>) -> tensor<?x4xf32>
  %sum = linalg.generic {indexing_maps = [#a, #b, #y], iterator_types = ["parallel", "reduction", "parallel"]} ins(%by, %joined : tensor<?x6xf32>, tensor<6x4xf32>) outs(%fs : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %o, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x4xf32>
  return %sum : tensor<?x4xf32>
}
