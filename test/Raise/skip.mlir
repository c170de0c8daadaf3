// A skipped layer, an elementwise Where, and selections that stay as they are.
// RUN: gate-opt %s --test-print-demand --mlir-disable-threading -split-input-file -o /dev/null | FileCheck %s --check-prefix=DEMAND
// RUN: gate-opt %s --form-groups -split-input-file | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>

// DEMAND-LABEL: demand in skip:
// DEMAND: layer: c
// DEMAND-NEXT: y: true

// CHECK: gatecc.report = [{decision = "taken", kind = "skip", nodes = ["layer"], reason = "only the rows that 'c' selects are computed", site = "c"}]
// CHECK: gate.site @site {cost = array<f64: 1.280000e+02, 0.000000e+00>, full_cost = 1.280000e+02 : f64, kind = "skip", name = "c"
// CHECK-LABEL: func.func @skip
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>, %[[W:.*]]: tensor<8x8xf32>
func.func @skip(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %given: tensor<?x1xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %t = arith.constant 0.5 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %ce = tensor.empty(%n) : tensor<?x1xi1>
  // The condition that is not negated is the predicate as it is.
  %c = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%given : tensor<?x1xf32>) outs(%ce : tensor<?x1xi1>) {
  ^bb0(%a: f32, %o: i1):
    %r = arith.cmpf ogt, %a, %t : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("c")
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %e = tensor.empty(%n) : tensor<?x8xf32>
  // CHECK: %[[COND:.*]] = linalg.generic
  // CHECK: %[[P:.*]] = gate.partition %[[COND]] {site = @site} : tensor<?x1xi1>
  // CHECK-NEXT: %[[S:.*]] = gate.apply %[[P]] ranges [0, 1] ins(%[[X]] : tensor<?x8xf32>)
  // CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<?x8xf32>):
  // CHECK-NEXT: %[[F:.*]] = gate.contract rows(%[[ROWS]] : tensor<?x8xf32>) weights(%[[W]]
  // CHECK: gate.yield %[[F]]
  // CHECK: %[[Y:.*]] = gate.merge %[[S]], %[[P]] groups [0, 1] base(%[[X]])
  // CHECK-NEXT: return %[[Y]]
  %y = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %f, %x : tensor<?x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: i1, %b: f32, %d: f32, %o: f32):
    %r = arith.select %a, %b, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// A Where whose condition varies along the columns chooses elements, not rows.
#id = affine_map<(d0, d1) -> (d0, d1)>

// DEMAND-LABEL: demand in elementwise:
// DEMAND-NEXT: layer: true
// CHECK: gatecc.report = [{decision = "refused", kind = "skip", nodes = ["y"], reason = "the condition varies along other dimensions than the rows", site = "y"}]
// CHECK-LABEL: func.func @elementwise
// CHECK-NOT: gate.partition
func.func @elementwise(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?x8xi1>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %f, %x : tensor<?x8xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: i1, %b: f32, %d: f32, %o: f32):
    %r = arith.select %a, %b, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// One bit for the whole batch is not a condition per row either.
#id = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (0, 0)>

// DEMAND-LABEL: demand in one_bit:
// DEMAND-NEXT: layer: true
// CHECK: reason = "the condition is the same for all rows"
// CHECK-LABEL: func.func @one_bit
// CHECK-NOT: gate.partition
func.func @one_bit(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<1x1xi1>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#one, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %f, %x : tensor<1x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: i1, %b: f32, %d: f32, %o: f32):
    %r = arith.select %a, %b, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// The condition looks at the layer that it would guard.
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#first = affine_map<(d0, d1) -> (d0)>

// DEMAND-LABEL: demand in depends:
// DEMAND-NEXT: layer: true
// CHECK: reason = "its condition depends on 'layer'"
// CHECK-LABEL: func.func @depends
// CHECK-NOT: gate.partition
func.func @depends(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %me = tensor.empty(%n) : tensor<?xf32>
  %mf = linalg.fill ins(%zero : f32) outs(%me : tensor<?xf32>) -> tensor<?xf32>
  %m = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%f : tensor<?x8xf32>) outs(%mf : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32>
  %mx = tensor.expand_shape %m [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32>
  %ce = tensor.empty(%n) : tensor<?x1xi1>
  %c = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%mx : tensor<?x1xf32>) outs(%ce : tensor<?x1xi1>) {
  ^bb0(%a: f32, %o: i1):
    %r = arith.cmpf oge, %a, %zero : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %f, %x : tensor<?x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: i1, %b: f32, %d: f32, %o: f32):
    %r = arith.select %a, %b, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// A reduction over the rows needs all of them, and so does what it reads.
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#col = affine_map<(d0, d1) -> (d1)>

// DEMAND-LABEL: demand in over_rows:
// DEMAND-NEXT: layer: true
// DEMAND-NEXT: sum: true
// DEMAND-NEXT: shifted: c
// CHECK: reason = "'shifted' reads all rows of 'sum'"
// CHECK-LABEL: func.func @over_rows
// CHECK-NOT: gate.partition
func.func @over_rows(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?x1xi1> loc("c")) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %se = tensor.empty() : tensor<8xf32>
  %sf = linalg.fill ins(%zero : f32) outs(%se : tensor<8xf32>) -> tensor<8xf32>
  %s = linalg.generic {indexing_maps = [#id, #col], iterator_types = ["reduction", "parallel"]} ins(%f : tensor<?x8xf32>) outs(%sf : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<8xf32> loc("sum")
  %ge = tensor.empty(%n) : tensor<?x8xf32>
  %g = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%f, %s : tensor<?x8xf32>, tensor<8xf32>) outs(%ge : tensor<?x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.subf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("shifted")
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %g, %x : tensor<?x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: i1, %b: f32, %d: f32, %o: f32):
    %r = arith.select %a, %b, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// Work that is not worth a plan.
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>

// DEMAND-LABEL: demand in cheap:
// DEMAND-NEXT: exp: c
// CHECK: reason = "neither side holds a product"
// CHECK-LABEL: func.func @cheap
// CHECK-NOT: gate.partition
func.func @cheap(%x: tensor<?x8xf32>, %c: tensor<?x1xi1> loc("c")) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %ge = tensor.empty(%n) : tensor<?x8xf32>
  %g = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x8xf32>) outs(%ge : tensor<?x8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = math.exp %a : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("exp")
  %y = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %g, %x : tensor<?x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%ge : tensor<?x8xf32>) {
  ^bb0(%a: i1, %b: f32, %d: f32, %o: f32):
    %r = arith.select %a, %b, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}
