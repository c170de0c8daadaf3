// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows that an iteration leaves as they were are taken out of the loop.
// RUN: gate-opt %s --split-input-file --form-while-rows | FileCheck %s

// The bit of each row and the number of the iteration are carried, too; the
// work of an iteration is done on the rows that are left.
// CHECK: gatecc.report = [{decision = "taken", kind = "halt", nodes = [], reason = "rows that an iteration leaves
// CHECK: gate.site @site {cost = array<f64>, {{.*}}kind = "halt", name = "halt"
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x4xf32> {{.*}}, %[[N:[a-z0-9]+]]: tensor<?x1xi1>
// CHECK: %[[B:.*]] = tensor.dim %[[X]]
// CHECK: %[[ALL:.*]] = linalg.fill ins(%true{{.*}} : i1)
// CHECK: scf.for {{.*}} iter_args(%[[H:.*]] = %[[X]], %[[LIVE:.*]] = %[[ALL]], %[[STEP:.*]] = %c0{{.*}})
// CHECK:   %[[P:.*]] = gate.partition %[[LIVE]] step(%[[STEP]]) {site = @site}
// CHECK:   %[[A:.*]]:2 = gate.apply %[[P]] ranges [0, 1] ins(%[[H]], %[[N]] : tensor<?x4xf32>, tensor<?x1xi1>)
// CHECK:   ^bb0(%[[ROWS:.*]]: tensor<?x4xf32>, %[[RUNS:.*]]: tensor<?x1xi1>):
// CHECK:     %[[COUNT:.*]] = tensor.dim %[[ROWS]]
// CHECK:     gate.contract rows(%[[ROWS]]
// CHECK:     tensor.empty(%[[COUNT]]) : tensor<?x4xf32>
// CHECK:     %[[NEXT:.*]] = linalg.generic
// CHECK:       arith.select
// CHECK:     %[[CHANGED:.*]] = linalg.generic
// CHECK:       arith.bitcast
// CHECK:       arith.cmpi ne
// CHECK:       arith.ori
// CHECK:     gate.yield %[[NEXT]], %[[CHANGED]]
// CHECK:   %[[M:.*]] = gate.merge %[[A]]#0, %[[P]] groups [0, 1] base(%[[H]])
// CHECK:   %[[L:.*]] = gate.merge %[[A]]#1, %[[P]] groups [0, 1] base(%[[LIVE]])
// CHECK:   %[[S:.*]] = arith.addi %[[STEP]]
// CHECK:   scf.yield %[[M]], %[[L]], %[[S]]
// CHECK-NOT: gate.contract
#all = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]},
                %n: tensor<?x1xi1> {gate.name = "n", gate.dims = ["B", 1]}) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %b = tensor.dim %x, %c0 : tensor<?x4xf32>
  %w = arith.constant dense<0.5> : tensor<4x4xf32>
  %y = scf.for %i = %c0 to %c8 step %c1 iter_args(%h = %x) -> tensor<?x4xf32> {
    %p = gate.contract rows(%h : tensor<?x4xf32>) weights(%w : tensor<4x4xf32>) extras() [] -> tensor<?x4xf32> {
    ^bb0(%a: f32):
      gate.yield %a : f32
    }
    %e = tensor.empty(%b) : tensor<?x4xf32>
    %next = linalg.generic {indexing_maps = [#row, #all, #all, #all], iterator_types = ["parallel", "parallel"]}
        ins(%n, %p, %h : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
    ^bb0(%r: i1, %u: f32, %v: f32, %o: f32):
      %s = arith.select %r, %u, %v : f32
      linalg.yield %s : f32
    } -> tensor<?x4xf32>
    scf.yield %next : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

// What depends on the iteration could change a row that was at rest, but for a bit
// that keeps it for good: rows without it are left out from the first iteration on.
// CHECK: gatecc.report = [{decision = "taken", kind = "halt", nodes = [], reason = "rows that its condition stops keep all that they carry; they are taken out of further iterations"
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<?x4xf32> {{.*}}, %[[N:[a-z0-9]+]]: tensor<?x1xi1>
// CHECK: scf.for {{.*}} iter_args(%[[H:.*]] = %[[X]], %[[LIVE:.*]] = %{{.*}}, %[[STEP:.*]] = %c0{{.*}})
// CHECK:   %[[BITS:.*]] = tensor.collapse_shape %[[N]]
// CHECK:   %[[RUNS:.*]] = linalg.generic {{.*}} ins(%[[LIVE]], %[[BITS]]
// CHECK:     arith.xori
// CHECK:     arith.andi
// CHECK:   %[[P:.*]] = gate.partition %[[RUNS]] step(%[[STEP]])
// CHECK:   %[[A:.*]] = gate.apply %[[P]] ranges [0, 1] ins(%[[H]], %[[N]] : tensor<?x4xf32>, tensor<?x1xi1>)
// CHECK:     arith.addf
// CHECK:     gate.yield
// CHECK:   %[[M:.*]] = gate.merge %[[A]], %[[P]] groups [0, 1] base(%[[H]])
// CHECK:   scf.yield %[[M]], %[[RUNS]], %
#all = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
func.func @main(%x: tensor<?x4xf32> {gate.name = "x", gate.dims = ["B", 4]},
                %n: tensor<?x1xi1> {gate.name = "n", gate.dims = ["B", 1]}) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %b = tensor.dim %x, %c0 : tensor<?x4xf32>
  %w = arith.constant dense<0.5> : tensor<4x4xf32>
  %y = scf.for %i = %c0 to %c8 step %c1 iter_args(%h = %x) -> tensor<?x4xf32> {
    %p = gate.contract rows(%h : tensor<?x4xf32>) weights(%w : tensor<4x4xf32>) extras() [] -> tensor<?x4xf32> {
    ^bb0(%a: f32):
      gate.yield %a : f32
    }
    %j = arith.index_cast %i : index to i32
    %f = arith.sitofp %j : i32 to f32
    %e = tensor.empty(%b) : tensor<?x4xf32>
    %q = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel"]}
        ins(%p : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
    ^bb0(%u: f32, %o: f32):
      %s = arith.addf %u, %f : f32
      linalg.yield %s : f32
    } -> tensor<?x4xf32>
    %next = linalg.generic {indexing_maps = [#row, #all, #all, #all], iterator_types = ["parallel", "parallel"]}
        ins(%n, %q, %h : tensor<?x1xi1>, tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) {
    ^bb0(%r: i1, %u: f32, %v: f32, %o: f32):
      %s = arith.select %r, %u, %v : f32
      linalg.yield %s : f32
    } -> tensor<?x4xf32>
    scf.yield %next : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
