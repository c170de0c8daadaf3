// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A top-k, the scores that it chose, their sum and a scale become one op on the scores
// that it chose by; sizes of the choices are those of the scores. The report says which
// router it is.
// RUN: gate-opt %s --form-routes --canonicalize --cse -split-input-file | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#col = affine_map<(d0, d1) -> (d0, 0)>

// CHECK: gatecc.report = [{{.*}}reason = "R1: softmax, the 2 best, normalised, scaled", site = "s"}]
// CHECK-LABEL: func.func @normalized
// CHECK: arith.divf
// CHECK-NOT: gate.topk
// CHECK: %[[P:.*]] = gate.route %{{.*}} {normalize = true, scale = 2.500000e+00 : f32, score = #gate.score<identity>, site = @s} : tensor<?x8xf32> -> <groups = 8, choices = 2>
// CHECK-NOT: arith.divf
// CHECK: return %[[P]], %{{.*}} : !gate.plan
gate.site @s {name = "s", kind = "experts", cost = array<f64: 1.0>, full_cost = 1.0 : f64, nodes = []}
func.func @normalized(%x: tensor<?x8xf32>) -> (!gate.plan<groups = 8, choices = 2>, index) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %scale = arith.constant 2.5 : f32
  %t = tensor.dim %x, %c0 : tensor<?x8xf32>
  %er = tensor.empty(%t) : tensor<?xf32>
  %fm = linalg.fill ins(%low : f32) outs(%er : tensor<?xf32>) -> tensor<?xf32>
  %m = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<?x8xf32>) outs(%fm : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  %es = tensor.empty(%t) : tensor<?x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %m : tensor<?x8xf32>, tensor<?xf32>) outs(%es : tensor<?x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %r = math.exp %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%er : tensor<?xf32>) -> tensor<?xf32>
  %all = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%e : tensor<?x8xf32>) outs(%f1 : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%e, %all : tensor<?x8xf32>, tensor<?xf32>) outs(%es : tensor<?x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.divf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32>
  %v, %i = gate.topk %s {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %sum = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%v : tensor<?x2xf32>) outs(%f1 : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  %wide = tensor.expand_shape %sum [[0, 1]] output_shape [%t, 1] : tensor<?xf32> into tensor<?x1xf32>
  %e2 = tensor.empty(%t) : tensor<?x2xf32>
  %n = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%v, %wide : tensor<?x2xf32>, tensor<?x1xf32>) outs(%e2 : tensor<?x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.divf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %w = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%n : tensor<?x2xf32>) outs(%e2 : tensor<?x2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.mulf %a, %scale : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %p = gate.assign %i weights(%w : tensor<?x2xf32>) {site = @s} : tensor<?x2xi64> -> !gate.plan<groups = 8, choices = 2>
  %tokens = tensor.dim %i, %c0 : tensor<?x2xi64>
  return %p, %tokens : !gate.plan<groups = 8, choices = 2>, index
}

// -----

// A factor that is no sum of the choices, a smallest-first choice, and ids that someone
// else reads: these plans keep their choices.
#id = affine_map<(d0, d1) -> (d0, d1)>
// CHECK: gatecc.report = [
// CHECK-SAME: reason = "other: logits, the 2 best, weighed in another way", site = "a"
// CHECK-SAME: reason = "other: ids that are not the best of any scores", site = "b"
// CHECK-SAME: reason = "other: logits, the 2 best", site = "c"
// CHECK-LABEL: func.func @kept
// CHECK-NOT: gate.route
// CHECK-COUNT-3: gate.assign
gate.site @a {name = "a", kind = "experts", cost = array<f64: 1.0>, full_cost = 1.0 : f64, nodes = []}
gate.site @b {name = "b", kind = "experts", cost = array<f64: 1.0>, full_cost = 1.0 : f64, nodes = []}
gate.site @c {name = "c", kind = "experts", cost = array<f64: 1.0>, full_cost = 1.0 : f64, nodes = []}
func.func @kept(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>, %f: tensor<?x2xf32>) -> (!gate.plan<groups = 8, choices = 2>, !gate.plan<groups = 8, choices = 2>, !gate.plan<groups = 8, choices = 2>, tensor<?x2xi64>) {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%t) : tensor<?x2xf32>
  %v, %i = gate.topk %x {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %w = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%v, %f : tensor<?x2xf32>, tensor<?x2xf32>) outs(%e : tensor<?x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %p = gate.assign %i weights(%w : tensor<?x2xf32>) {site = @a} : tensor<?x2xi64> -> !gate.plan<groups = 8, choices = 2>
  %v2, %i2 = gate.topk %x {k = 2 : i64, largest = false} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %q = gate.assign %i2 weights(%v2 : tensor<?x2xf32>) {site = @b} : tensor<?x2xi64> -> !gate.plan<groups = 8, choices = 2>
  %v3, %i3 = gate.topk %y {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %r = gate.assign %i3 weights(%v3 : tensor<?x2xf32>) {site = @c} : tensor<?x2xi64> -> !gate.plan<groups = 8, choices = 2>
  return %p, %q, %r, %i3 : !gate.plan<groups = 8, choices = 2>, !gate.plan<groups = 8, choices = 2>, !gate.plan<groups = 8, choices = 2>, tensor<?x2xi64>
}

// -----

// Scores of which nothing is known: their sum, no less than a bound, divides as it is.
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#col = affine_map<(d0, d1) -> (d0, 0)>
// CHECK-LABEL: func.func @any_sum
// CHECK: gate.route %{{.*}} {normalize = true, score = #gate.score<identity>, sum_min = 9.99999996E-13 : f32, sum_offset = 0.000000e+00 : f32} : tensor<?x8xf32>
// CHECK-NOT: arith.divf
func.func @any_sum(%s: tensor<?x8xf32>) -> !gate.plan<groups = 8, choices = 2> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %least = arith.constant 1.0e-12 : f32
  %t = tensor.dim %s, %c0 : tensor<?x8xf32>
  %v, %i = gate.topk %s {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %e1 = tensor.empty(%t) : tensor<?xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%v : tensor<?x2xf32>) outs(%f1 : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %o, %a : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  %wide = tensor.expand_shape %sum [[0, 1]] output_shape [%t, 1] : tensor<?xf32> into tensor<?x1xf32>
  %ew = tensor.empty(%t) : tensor<?x1xf32>
  %clip = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%wide : tensor<?x1xf32>) outs(%ew : tensor<?x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %least : f32
    linalg.yield %r : f32
  } -> tensor<?x1xf32>
  %e2 = tensor.empty(%t) : tensor<?x2xf32>
  %n = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%v, %clip : tensor<?x2xf32>, tensor<?x1xf32>) outs(%e2 : tensor<?x2xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.divf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %p = gate.assign %i weights(%n : tensor<?x2xf32>) : tensor<?x2xi64> -> !gate.plan<groups = 8, choices = 2>
  return %p : !gate.plan<groups = 8, choices = 2>
}

// -----

// Sigmoids of what the logits chose: the choice stays the logits', where sigmoids of some
// would be the same number.
#id = affine_map<(d0, d1) -> (d0, d1)>
// CHECK: gatecc.report = [{{.*}}reason = "R3: logits, the 2 best, sigmoid of them", site = "s"}]
// CHECK-LABEL: func.func @sigmoid_of_chosen
// CHECK-SAME: (%[[L:.*]]: tensor<?x8xf32>)
// CHECK-NOT: math.exp
// CHECK: gate.route %[[L]] {score = #gate.score<sigmoid>, site = @s} : tensor<?x8xf32>
gate.site @s {name = "s", kind = "experts", cost = array<f64: 1.0>, full_cost = 1.0 : f64, nodes = []}
func.func @sigmoid_of_chosen(%l: tensor<?x8xf32>) -> !gate.plan<groups = 8, choices = 2> {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f32
  %t = tensor.dim %l, %c0 : tensor<?x8xf32>
  %v, %i = gate.topk %l {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %e = tensor.empty(%t) : tensor<?x2xf32>
  %w = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%v : tensor<?x2xf32>) outs(%e : tensor<?x2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %n = arith.negf %a : f32
    %x = math.exp %n : f32
    %d = arith.addf %x, %one : f32
    %r = arith.divf %one, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %p = gate.assign %i weights(%w : tensor<?x2xf32>) {site = @s} : tensor<?x2xi64> -> !gate.plan<groups = 8, choices = 2>
  return %p : !gate.plan<groups = 8, choices = 2>
}
