// Early exits as batched programs write them: every stage on all rows, and
// selections that pick each row's result. All become the same groups.
// RUN: gate-opt %s --test-print-demand --mlir-disable-threading -split-input-file -o /dev/null | FileCheck %s --check-prefix=DEMAND
// RUN: gate-opt %s --form-groups -split-input-file | FileCheck %s
// RUN: gate-opt %s --cse --canonicalize --form-groups --cse --canonicalize -split-input-file | FileCheck %s --check-prefix=CLEAN

// CLEAN-COUNT-2: gate.partition
// CLEAN: // -----
// CLEAN-COUNT-2: gate.partition
// CLEAN: // -----
// CLEAN-COUNT-2: gate.partition
// CLEAN-NOT: gate.partition

// A mask of the rows that are done grows from exit to exit.
// DEMAND-LABEL: demand in main:
// DEMAND: e1: true
// DEMAND: stage2: not e1{{$}}
// DEMAND: head2: not e1{{$}}
// DEMAND: e2: not e1{{$}}
// DEMAND: res2: done2{{$}}
// DEMAND: done2: true
// DEMAND: stage3: not e1 and not e2 and not done2{{$}}
// DEMAND: head3: not e1 and not e2 and not done2{{$}}
// CHECK: gatecc.report = [{decision = "taken", kind = "exit", nodes = ["stage2", "head2", "stage3", "head3"], reason = "rows that leave at 'e1', 'e2' are not computed any further", site = "e1"}]
// Stage, head and comparison, twice, then stage and head: (128+8+8) + 64 + 4 + 1.
// CHECK: gate.site @site {cost = array<f64: 2.140000e+02, 4.280000e+02, 6.360000e+02>, full_cost = 6.360000e+02 : f64, kind = "exit", name = "e1"
// CHECK-LABEL: func.func @main(
// CHECK: %[[H1:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %arg0 : tensor<?x8xf32>, tensor<?x8xf32>)
// CHECK: %[[L1:.*]] = gate.contract rows(%[[H1]] :
// CHECK: arith.cmpf oge
// CHECK: arith.xori
// CHECK: %[[P1:.*]] = gate.partition %{{.*}} {site = @site} : tensor<?x1xi1>
// CHECK-NEXT: %[[S1:.*]] = gate.apply %[[P1]] ranges [0, 1] ins(%[[H1]] : tensor<?x8xf32>) : <groups = 2, choices = 1> -> tensor<?x4xf32> {
// CHECK-NEXT: ^bb0(%[[A1:.*]]: tensor<?x8xf32>):
// CHECK: %[[N1:.*]] = tensor.dim %[[A1]]
// CHECK: gate.contract rows(%[[A1]] :
// CHECK: tensor.empty(%[[N1]]) : tensor<?x8xf32>
// CHECK: %[[H2:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[A1]] : tensor<?x8xf32>, tensor<?x8xf32>)
// CHECK: %[[L2:.*]] = gate.contract rows(%[[H2]] :
// CHECK: tensor.expand_shape {{.*}} output_shape [%[[N1]], 1]
// CHECK: arith.cmpf oge
// CHECK: arith.xori
// CHECK: %[[P2:.*]] = gate.partition %{{.*}} {exit = 1 : i64, site = @site} : tensor<?x1xi1>
// CHECK-NEXT: %[[S2:.*]] = gate.apply %[[P2]] ranges [0, 1] ins(%[[H2]] : tensor<?x8xf32>) : <groups = 2, choices = 1> -> tensor<?x4xf32> {
// CHECK-NOT: arith.select
// CHECK-NOT: arith.ori
// CHECK: }
// CHECK: %[[M2:.*]] = gate.merge %[[S2]], %[[P2]] groups [0, 1] base(%[[L2]])
// CHECK-NEXT: gate.yield %[[M2]] : tensor<?x4xf32>
// CHECK: %[[M1:.*]] = gate.merge %[[S1]], %[[P1]] groups [0, 1] base(%[[L1]])
// CHECK-NEXT: return %[[M1]]
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#col = affine_map<(d0, d1) -> (d1)>
#red = affine_map<(d0, d1) -> (d0)>
func.func @main(%x: tensor<?x8xf32>, %w1: tensor<8x8xf32>, %b1: tensor<8xf32>, %v1: tensor<8x4xf32>, %w2: tensor<8x8xf32>, %b2: tensor<8xf32>, %v2: tensor<8x4xf32>, %w3: tensor<8x8xf32>, %b3: tensor<8xf32>, %v3: tensor<8x4xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %ninf = arith.constant 0xFF800000 : f32
  %t = arith.constant 0.9 : f32
  %true = arith.constant true
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %p1 = gate.contract rows(%x : tensor<?x8xf32>) weights(%w1 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage1")
  %q1_e = tensor.empty(%n) : tensor<?x8xf32>
  %q1 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p1, %b1 : tensor<?x8xf32>, tensor<8xf32>) outs(%q1_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q1")
  %h1_e = tensor.empty(%n) : tensor<?x8xf32>
  %h1 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q1, %x : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h1_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h1")
  %l1 = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%v1 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head1")
  %m1_e = tensor.empty(%n) : tensor<?xf32>
  %m1_f = linalg.fill ins(%ninf : f32) outs(%m1_e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%l1 : tensor<?x4xf32>) outs(%m1_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("max1")
  %c1 = tensor.expand_shape %m1 [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32> loc("c1")
  %e1_e = tensor.empty(%n) : tensor<?x1xi1>
  %e1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%c1 : tensor<?x1xf32>) outs(%e1_e : tensor<?x1xi1>) {
  ^bb0(%a0: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %t : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("e1")
  %p2 = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%w2 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage2")
  %q2_e = tensor.empty(%n) : tensor<?x8xf32>
  %q2 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p2, %b2 : tensor<?x8xf32>, tensor<8xf32>) outs(%q2_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q2")
  %h2_e = tensor.empty(%n) : tensor<?x8xf32>
  %h2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q2, %h1 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h2_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h2")
  %l2 = gate.contract rows(%h2 : tensor<?x8xf32>) weights(%v2 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head2")
  %m2_e = tensor.empty(%n) : tensor<?xf32>
  %m2_f = linalg.fill ins(%ninf : f32) outs(%m2_e : tensor<?xf32>) -> tensor<?xf32>
  %m2 = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%l2 : tensor<?x4xf32>) outs(%m2_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("max2")
  %c2 = tensor.expand_shape %m2 [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32> loc("c2")
  %e2_e = tensor.empty(%n) : tensor<?x1xi1>
  %e2 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%c2 : tensor<?x1xf32>) outs(%e2_e : tensor<?x1xi1>) {
  ^bb0(%a0: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %t : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("e2")
  %res2_e = tensor.empty(%n) : tensor<?x4xf32>
  %res2 = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e1, %l1, %l2 : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%res2_e : tensor<?x4xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32> loc("res2")
  %done2_e = tensor.empty(%n) : tensor<?x1xi1>
  %done2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e1, %e2 : tensor<?x1xi1>, tensor<?x1xi1>) outs(%done2_e : tensor<?x1xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.ori %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("done2")
  %p3 = gate.contract rows(%h2 : tensor<?x8xf32>) weights(%w3 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage3")
  %q3_e = tensor.empty(%n) : tensor<?x8xf32>
  %q3 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p3, %b3 : tensor<?x8xf32>, tensor<8xf32>) outs(%q3_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q3")
  %h3_e = tensor.empty(%n) : tensor<?x8xf32>
  %h3 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q3, %h2 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h3_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h3")
  %l3 = gate.contract rows(%h3 : tensor<?x8xf32>) weights(%v3 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head3")
  %res3_e = tensor.empty(%n) : tensor<?x4xf32>
  %res3 = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%done2, %res2, %l3 : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%res3_e : tensor<?x4xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32> loc("res3")
  return %res3 : tensor<?x4xf32>
}

// -----

// The same with all masks and selections at the end, where a mask stands behind
// the comparison that may be left out.
// DEMAND-LABEL: demand in main:
// DEMAND: stage2: not e1{{$}}
// DEMAND: e2: not e1{{$}}
// DEMAND: stage3: not e1 and not e2 and not done2{{$}}
// DEMAND: done2: true
// CHECK: gatecc.report = [{decision = "taken", kind = "exit", nodes = ["stage2", "head2", "stage3", "head3"], reason = "rows that leave at 'e1', 'e2' are not computed any further", site = "e1"}]
// Stage, head and comparison, twice, then stage and head: (128+8+8) + 64 + 4 + 1.
// CHECK: gate.site @site {cost = array<f64: 2.140000e+02, 4.280000e+02, 6.360000e+02>, full_cost = 6.360000e+02 : f64, kind = "exit", name = "e1"
// CHECK-LABEL: func.func @main(
// CHECK: %[[H1:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %arg0 : tensor<?x8xf32>, tensor<?x8xf32>)
// CHECK: %[[L1:.*]] = gate.contract rows(%[[H1]] :
// CHECK: arith.cmpf oge
// CHECK: arith.xori
// CHECK: %[[P1:.*]] = gate.partition %{{.*}} {site = @site} : tensor<?x1xi1>
// CHECK-NEXT: %[[S1:.*]] = gate.apply %[[P1]] ranges [0, 1] ins(%[[H1]] : tensor<?x8xf32>) : <groups = 2, choices = 1> -> tensor<?x4xf32> {
// CHECK-NEXT: ^bb0(%[[A1:.*]]: tensor<?x8xf32>):
// CHECK: %[[N1:.*]] = tensor.dim %[[A1]]
// CHECK: gate.contract rows(%[[A1]] :
// CHECK: tensor.empty(%[[N1]]) : tensor<?x8xf32>
// CHECK: %[[H2:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[A1]] : tensor<?x8xf32>, tensor<?x8xf32>)
// CHECK: %[[L2:.*]] = gate.contract rows(%[[H2]] :
// CHECK: tensor.expand_shape {{.*}} output_shape [%[[N1]], 1]
// CHECK: arith.cmpf oge
// CHECK: arith.xori
// CHECK: %[[P2:.*]] = gate.partition %{{.*}} {exit = 1 : i64, site = @site} : tensor<?x1xi1>
// CHECK-NEXT: %[[S2:.*]] = gate.apply %[[P2]] ranges [0, 1] ins(%[[H2]] : tensor<?x8xf32>) : <groups = 2, choices = 1> -> tensor<?x4xf32> {
// CHECK-NOT: arith.select
// CHECK-NOT: arith.ori
// CHECK: }
// CHECK: %[[M2:.*]] = gate.merge %[[S2]], %[[P2]] groups [0, 1] base(%[[L2]])
// CHECK-NEXT: gate.yield %[[M2]] : tensor<?x4xf32>
// CHECK: %[[M1:.*]] = gate.merge %[[S1]], %[[P1]] groups [0, 1] base(%[[L1]])
// CHECK-NEXT: return %[[M1]]
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#col = affine_map<(d0, d1) -> (d1)>
#red = affine_map<(d0, d1) -> (d0)>
func.func @main(%x: tensor<?x8xf32>, %w1: tensor<8x8xf32>, %b1: tensor<8xf32>, %v1: tensor<8x4xf32>, %w2: tensor<8x8xf32>, %b2: tensor<8xf32>, %v2: tensor<8x4xf32>, %w3: tensor<8x8xf32>, %b3: tensor<8xf32>, %v3: tensor<8x4xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %ninf = arith.constant 0xFF800000 : f32
  %t = arith.constant 0.9 : f32
  %true = arith.constant true
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %p1 = gate.contract rows(%x : tensor<?x8xf32>) weights(%w1 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage1")
  %q1_e = tensor.empty(%n) : tensor<?x8xf32>
  %q1 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p1, %b1 : tensor<?x8xf32>, tensor<8xf32>) outs(%q1_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q1")
  %h1_e = tensor.empty(%n) : tensor<?x8xf32>
  %h1 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q1, %x : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h1_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h1")
  %l1 = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%v1 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head1")
  %m1_e = tensor.empty(%n) : tensor<?xf32>
  %m1_f = linalg.fill ins(%ninf : f32) outs(%m1_e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%l1 : tensor<?x4xf32>) outs(%m1_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("max1")
  %c1 = tensor.expand_shape %m1 [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32> loc("c1")
  %e1_e = tensor.empty(%n) : tensor<?x1xi1>
  %e1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%c1 : tensor<?x1xf32>) outs(%e1_e : tensor<?x1xi1>) {
  ^bb0(%a0: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %t : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("e1")
  %p2 = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%w2 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage2")
  %q2_e = tensor.empty(%n) : tensor<?x8xf32>
  %q2 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p2, %b2 : tensor<?x8xf32>, tensor<8xf32>) outs(%q2_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q2")
  %h2_e = tensor.empty(%n) : tensor<?x8xf32>
  %h2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q2, %h1 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h2_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h2")
  %l2 = gate.contract rows(%h2 : tensor<?x8xf32>) weights(%v2 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head2")
  %m2_e = tensor.empty(%n) : tensor<?xf32>
  %m2_f = linalg.fill ins(%ninf : f32) outs(%m2_e : tensor<?xf32>) -> tensor<?xf32>
  %m2 = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%l2 : tensor<?x4xf32>) outs(%m2_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("max2")
  %c2 = tensor.expand_shape %m2 [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32> loc("c2")
  %e2_e = tensor.empty(%n) : tensor<?x1xi1>
  %e2 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%c2 : tensor<?x1xf32>) outs(%e2_e : tensor<?x1xi1>) {
  ^bb0(%a0: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %t : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("e2")
  %p3 = gate.contract rows(%h2 : tensor<?x8xf32>) weights(%w3 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage3")
  %q3_e = tensor.empty(%n) : tensor<?x8xf32>
  %q3 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p3, %b3 : tensor<?x8xf32>, tensor<8xf32>) outs(%q3_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q3")
  %h3_e = tensor.empty(%n) : tensor<?x8xf32>
  %h3 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q3, %h2 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h3_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h3")
  %l3 = gate.contract rows(%h3 : tensor<?x8xf32>) weights(%v3 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head3")
  %res2_e = tensor.empty(%n) : tensor<?x4xf32>
  %res2 = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e1, %l1, %l2 : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%res2_e : tensor<?x4xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32> loc("res2")
  %done2_e = tensor.empty(%n) : tensor<?x1xi1>
  %done2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e1, %e2 : tensor<?x1xi1>, tensor<?x1xi1>) outs(%done2_e : tensor<?x1xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.ori %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("done2")
  %res3_e = tensor.empty(%n) : tensor<?x4xf32>
  %res3 = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%done2, %res2, %l3 : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%res3_e : tensor<?x4xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32> loc("res3")
  return %res3 : tensor<?x4xf32>
}

// -----

// The selections are nested.
// DEMAND-LABEL: demand in main:
// DEMAND: e1: true
// DEMAND: stage2: not e1{{$}}
// DEMAND: e2: not e1{{$}}
// DEMAND: stage3: not e1 and not e2{{$}}
// DEMAND: sel2: not e1{{$}}
// DEMAND: sel1: true
// CHECK: gatecc.report = [{decision = "taken", kind = "exit", nodes = ["stage2", "head2", "stage3", "head3"], reason = "rows that leave at 'e1', 'e2' are not computed any further", site = "e1"}]
// Stage, head and comparison, twice, then stage and head: (128+8+8) + 64 + 4 + 1.
// CHECK: gate.site @site {cost = array<f64: 2.140000e+02, 4.280000e+02, 6.360000e+02>, full_cost = 6.360000e+02 : f64, kind = "exit", name = "e1"
// CHECK-LABEL: func.func @main(
// CHECK: %[[H1:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %arg0 : tensor<?x8xf32>, tensor<?x8xf32>)
// CHECK: %[[L1:.*]] = gate.contract rows(%[[H1]] :
// CHECK: arith.cmpf oge
// CHECK: arith.xori
// CHECK: %[[P1:.*]] = gate.partition %{{.*}} {site = @site} : tensor<?x1xi1>
// CHECK-NEXT: %[[S1:.*]] = gate.apply %[[P1]] ranges [0, 1] ins(%[[H1]] : tensor<?x8xf32>) : <groups = 2, choices = 1> -> tensor<?x4xf32> {
// CHECK-NEXT: ^bb0(%[[A1:.*]]: tensor<?x8xf32>):
// CHECK: %[[N1:.*]] = tensor.dim %[[A1]]
// CHECK: gate.contract rows(%[[A1]] :
// CHECK: tensor.empty(%[[N1]]) : tensor<?x8xf32>
// CHECK: %[[H2:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[A1]] : tensor<?x8xf32>, tensor<?x8xf32>)
// CHECK: %[[L2:.*]] = gate.contract rows(%[[H2]] :
// CHECK: tensor.expand_shape {{.*}} output_shape [%[[N1]], 1]
// CHECK: arith.cmpf oge
// CHECK: arith.xori
// CHECK: %[[P2:.*]] = gate.partition %{{.*}} {exit = 1 : i64, site = @site} : tensor<?x1xi1>
// CHECK-NEXT: %[[S2:.*]] = gate.apply %[[P2]] ranges [0, 1] ins(%[[H2]] : tensor<?x8xf32>) : <groups = 2, choices = 1> -> tensor<?x4xf32> {
// CHECK-NOT: arith.select
// CHECK-NOT: arith.ori
// CHECK: }
// CHECK: %[[M2:.*]] = gate.merge %[[S2]], %[[P2]] groups [0, 1] base(%[[L2]])
// CHECK-NEXT: gate.yield %[[M2]] : tensor<?x4xf32>
// CHECK: %[[M1:.*]] = gate.merge %[[S1]], %[[P1]] groups [0, 1] base(%[[L1]])
// CHECK-NEXT: return %[[M1]]
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#col = affine_map<(d0, d1) -> (d1)>
#red = affine_map<(d0, d1) -> (d0)>
func.func @main(%x: tensor<?x8xf32>, %w1: tensor<8x8xf32>, %b1: tensor<8xf32>, %v1: tensor<8x4xf32>, %w2: tensor<8x8xf32>, %b2: tensor<8xf32>, %v2: tensor<8x4xf32>, %w3: tensor<8x8xf32>, %b3: tensor<8xf32>, %v3: tensor<8x4xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %ninf = arith.constant 0xFF800000 : f32
  %t = arith.constant 0.9 : f32
  %true = arith.constant true
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %p1 = gate.contract rows(%x : tensor<?x8xf32>) weights(%w1 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage1")
  %q1_e = tensor.empty(%n) : tensor<?x8xf32>
  %q1 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p1, %b1 : tensor<?x8xf32>, tensor<8xf32>) outs(%q1_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q1")
  %h1_e = tensor.empty(%n) : tensor<?x8xf32>
  %h1 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q1, %x : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h1_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h1")
  %l1 = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%v1 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head1")
  %m1_e = tensor.empty(%n) : tensor<?xf32>
  %m1_f = linalg.fill ins(%ninf : f32) outs(%m1_e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%l1 : tensor<?x4xf32>) outs(%m1_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("max1")
  %c1 = tensor.expand_shape %m1 [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32> loc("c1")
  %e1_e = tensor.empty(%n) : tensor<?x1xi1>
  %e1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%c1 : tensor<?x1xf32>) outs(%e1_e : tensor<?x1xi1>) {
  ^bb0(%a0: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %t : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("e1")
  %p2 = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%w2 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage2")
  %q2_e = tensor.empty(%n) : tensor<?x8xf32>
  %q2 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p2, %b2 : tensor<?x8xf32>, tensor<8xf32>) outs(%q2_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q2")
  %h2_e = tensor.empty(%n) : tensor<?x8xf32>
  %h2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q2, %h1 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h2_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h2")
  %l2 = gate.contract rows(%h2 : tensor<?x8xf32>) weights(%v2 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head2")
  %m2_e = tensor.empty(%n) : tensor<?xf32>
  %m2_f = linalg.fill ins(%ninf : f32) outs(%m2_e : tensor<?xf32>) -> tensor<?xf32>
  %m2 = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%l2 : tensor<?x4xf32>) outs(%m2_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("max2")
  %c2 = tensor.expand_shape %m2 [[0, 1]] output_shape [%n, 1] : tensor<?xf32> into tensor<?x1xf32> loc("c2")
  %e2_e = tensor.empty(%n) : tensor<?x1xi1>
  %e2 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%c2 : tensor<?x1xf32>) outs(%e2_e : tensor<?x1xi1>) {
  ^bb0(%a0: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %t : f32
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("e2")
  %p3 = gate.contract rows(%h2 : tensor<?x8xf32>) weights(%w3 : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("stage3")
  %q3_e = tensor.empty(%n) : tensor<?x8xf32>
  %q3 = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%p3, %b3 : tensor<?x8xf32>, tensor<8xf32>) outs(%q3_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("q3")
  %h3_e = tensor.empty(%n) : tensor<?x8xf32>
  %h3 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%q3, %h2 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%h3_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h3")
  %l3 = gate.contract rows(%h3 : tensor<?x8xf32>) weights(%v3 : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("head3")
  %sel2_e = tensor.empty(%n) : tensor<?x4xf32>
  %sel2 = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e2, %l2, %l3 : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%sel2_e : tensor<?x4xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32> loc("sel2")
  %sel1_e = tensor.empty(%n) : tensor<?x4xf32>
  %sel1 = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e1, %l1, %sel2 : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%sel1_e : tensor<?x4xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x4xf32> loc("sel1")
  return %sel1 : tensor<?x4xf32>
}
