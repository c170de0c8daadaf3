// Layers that rows skip where a row is a block of tokens; in branches, too; and
// weights of 0 or 1 in the place of a selection.
// RUN: gate-opt %s --select-weighted=assume-finite --form-skips --canonicalize -split-input-file | FileCheck %s
// RUN: gate-opt %s --select-weighted --form-skips -split-input-file | FileCheck %s --check-prefix=PROOF

#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#bit = affine_map<(d0, d1, d2) -> (d0, 0, 0)>

// CHECK: gate.site @site {{.*}} kind = "skip", name = "keep", nodes = ["layer"]
// CHECK-LABEL: func.func @where
// CHECK-SAME: %[[X:.*]]: tensor<?x?x8xf32>, %[[W:.*]]: tensor<8x8xf32>, %[[KEEP:.*]]: tensor<?x1x1xi1>
// CHECK: scf.if
// CHECK: %[[BITS:.*]] = tensor.collapse_shape %{{.*}} {{\[\[}}0, 1, 2]] : tensor<?x1x1xi1> into tensor<?xi1>
// CHECK: %[[P:.*]] = gate.partition %[[BITS]] {site = @site}
// CHECK-NEXT: %[[A:.*]] = gate.apply %[[P]] ranges [0, 1] ins(%[[X]] : tensor<?x?x8xf32>)
// CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<?x?x8xf32>):
// CHECK: %[[N:.*]] = tensor.dim %[[ROWS]], %c0
// CHECK: %[[FLAT:.*]] = tensor.collapse_shape %[[ROWS]] {{\[\[}}0, 1], [2]]
// CHECK: %[[F:.*]] = gate.contract rows(%[[FLAT]] : tensor<?x8xf32>) weights(%[[W]]
// CHECK: %[[NEW:.*]] = tensor.expand_shape %[[F]] {{\[\[}}0, 1], [2]] output_shape [%[[N]],
// CHECK: gate.yield %[[NEW]]
// CHECK: %[[Y:.*]] = gate.merge %[[A]], %[[P]] groups [0, 1] base(%[[X]])
// CHECK-NEXT: scf.yield %[[Y]]
func.func @where(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32>, %keep: tensor<?x1x1xi1>, %any: i1) -> tensor<?x?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x8xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x8xf32>
  %be = tensor.empty(%b) : tensor<?x1x1xi1>
  %bits = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%keep, %keep : tensor<?x1x1xi1>, tensor<?x1x1xi1>) outs(%be : tensor<?x1x1xi1>) {
  ^bb0(%a: i1, %c: i1, %o: i1):
    %r = arith.xori %a, %c : i1
    linalg.yield %r : i1
  } -> tensor<?x1x1xi1> loc("keep")
  %y = scf.if %any -> (tensor<?x?x8xf32>) {
    %flat = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x8xf32> into tensor<?x8xf32>
    %f = gate.contract rows(%flat : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
    ^bb0(%a: f32):
      gate.yield %a : f32
    } loc("layer")
    %g = tensor.expand_shape %f [[0, 1], [2]] output_shape [%b, %s, 8] : tensor<?x8xf32> into tensor<?x?x8xf32>
    %e = tensor.empty(%b, %s) : tensor<?x?x8xf32>
    %z = linalg.generic {indexing_maps = [#bit, #id, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%bits, %g, %x : tensor<?x1x1xi1>, tensor<?x?x8xf32>, tensor<?x?x8xf32>) outs(%e : tensor<?x?x8xf32>) {
    ^bb0(%a: i1, %c: f32, %d: f32, %o: f32):
      %r = arith.select %a, %c, %d : f32
      linalg.yield %r : f32
    } -> tensor<?x?x8xf32> loc("y")
    scf.yield %z : tensor<?x?x8xf32>
  } else {
    scf.yield %x : tensor<?x?x8xf32>
  }
  return %y : tensor<?x?x8xf32>
}

// -----

// 0 times NaN is NaN: with weights that are not known this needs a word that there
// is none.
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#bit = affine_map<(d0, d1, d2) -> (d0, 0, 0)>

// CHECK: reason = "only the rows that 'weight' selects are computed; by --assume-finite: what a weight of 0 multiplies is taken to be finite"
// CHECK-LABEL: func.func @weighted
// CHECK: %[[CHOSEN:.*]] = linalg.generic
// CHECK: arith.cmpf une
// CHECK: %[[ZERO:.*]] = linalg.fill
// CHECK: %[[P:.*]] = gate.partition
// CHECK: %[[A:.*]] = gate.apply %[[P]]
// CHECK: gate.merge %[[A]], %[[P]] groups [0, 1] base(%[[ZERO]])
// PROOF: gatecc.report = [{decision = "refused", kind = "skip", nodes = ["y"], reason = "its weight can be 0, but 0 times a value that is not finite is NaN, and no bound of what it is made from keeps it finite {{.*}}; --assume-finite skips the work without one", site = "y"}]
// PROOF-LABEL: func.func @weighted
// PROOF-NOT: gate.partition
func.func @weighted(%x: tensor<?x?x8xf32>, %w: tensor<8x8xf32>, %keep: tensor<?x1x1xi1>) -> tensor<?x?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x8xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x8xf32>
  %be = tensor.empty(%b) : tensor<?x1x1xf32>
  %weight = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%keep : tensor<?x1x1xi1>) outs(%be : tensor<?x1x1xf32>) {
  ^bb0(%a: i1, %o: f32):
    %r = arith.uitofp %a : i1 to f32
    linalg.yield %r : f32
  } -> tensor<?x1x1xf32> loc("weight")
  %flat = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x8xf32> into tensor<?x8xf32>
  %f = gate.contract rows(%flat : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %g = tensor.expand_shape %f [[0, 1], [2]] output_shape [%b, %s, 8] : tensor<?x8xf32> into tensor<?x?x8xf32>
  %e = tensor.empty(%b, %s) : tensor<?x?x8xf32>
  %y = linalg.generic {indexing_maps = [#bit, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%weight, %g : tensor<?x1x1xf32>, tensor<?x?x8xf32>) outs(%e : tensor<?x?x8xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %r = arith.mulf %a, %c : f32
    linalg.yield %r : f32
  } -> tensor<?x?x8xf32> loc("y")
  return %y : tensor<?x?x8xf32>
}

// -----

// With known weights, rows that are too large, or NaN, are tested for; the product
// with the weight is work of the group.
#id = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#bit = affine_map<(d0, d1, d2) -> (d0, 0, 0)>

// PROOF: reason = "only the rows that 'weight' selects are computed; by row guard: a row of weight 0 is computed, too, if an input is NaN or larger than 3.40e+38"
// PROOF-LABEL: func.func @guarded
// PROOF-SAME: %[[X:.*]]: tensor<?x?x8xf32>, %[[KEEP:.*]]: tensor<?x1x1xi1>
// PROOF: %[[W:.*]] = linalg.generic
// PROOF: arith.uitofp
// PROOF: %[[ROWS:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0], [1, 2]]
// PROOF: %[[LARGEST:.*]] = linalg.generic {{.*}} iterator_types = ["parallel", "reduction"]} ins(%[[ROWS]]
// PROOF: math.absf
// PROOF: arith.maximumf
// PROOF: %[[NEEDED:.*]] = linalg.generic {{.*}} ins(%[[W]], %[[LARGEST]] : tensor<?x1x1xf32>, tensor<?xf32>)
// PROOF: arith.cmpf une
// PROOF: arith.cmpf ugt
// PROOF: arith.ori
// PROOF: %[[BITS:.*]] = tensor.collapse_shape %[[NEEDED]]
// PROOF: %[[P:.*]] = gate.partition %[[BITS]] {site = @site}
// PROOF: %[[A:.*]] = gate.apply %[[P]]
// PROOF: gate.contract
// PROOF: arith.mulf
// PROOF: gate.merge %[[A]], %[[P]] groups [0, 1]
func.func @guarded(%x: tensor<?x?x8xf32>, %keep: tensor<?x1x1xi1>) -> tensor<?x?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %x, %c0 : tensor<?x?x8xf32>
  %s = tensor.dim %x, %c1 : tensor<?x?x8xf32>
  %w = arith.constant dense<0.0625> : tensor<8x8xf32>
  %be = tensor.empty(%b) : tensor<?x1x1xf32>
  %weight = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%keep : tensor<?x1x1xi1>) outs(%be : tensor<?x1x1xf32>) {
  ^bb0(%a: i1, %o: f32):
    %r = arith.uitofp %a : i1 to f32
    linalg.yield %r : f32
  } -> tensor<?x1x1xf32> loc("weight")
  %flat = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x8xf32> into tensor<?x8xf32>
  %f = gate.contract rows(%flat : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %g = tensor.expand_shape %f [[0, 1], [2]] output_shape [%b, %s, 8] : tensor<?x8xf32> into tensor<?x?x8xf32>
  %e = tensor.empty(%b, %s) : tensor<?x?x8xf32>
  %y = linalg.generic {indexing_maps = [#bit, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%weight, %g : tensor<?x1x1xf32>, tensor<?x?x8xf32>) outs(%e : tensor<?x?x8xf32>) {
  ^bb0(%a: f32, %c: f32, %o: f32):
    %r = arith.mulf %a, %c : f32
    linalg.yield %r : f32
  } -> tensor<?x?x8xf32> loc("y")
  return %y : tensor<?x?x8xf32>
}

// -----

// The windows of a convolution read of each row what is around an element of it.
#all = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#id = affine_map<(d0, d1) -> (d0, d1)>
#bit = affine_map<(d0, d1) -> (d0, 0)>

// CHECK-LABEL: func.func @windows
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>
// CHECK: %[[A:.*]] = gate.apply %{{.*}} ranges [0, 1] ins(%[[X]] : tensor<?x8xf32>)
// CHECK-NEXT: ^bb0(%[[ROWS:.*]]: tensor<?x8xf32>):
// CHECK: %[[I:.*]] = linalg.index 0
// CHECK: tensor.extract %[[ROWS]][%[[I]],
// CHECK: gate.contract
// CHECK: gate.merge %[[A]]
func.func @windows(%x: tensor<?x8xf32>, %w: tensor<3x1xf32>, %keep: tensor<?x1xi1>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %zero = arith.constant 0.0 : f32
  %b = tensor.dim %x, %c0 : tensor<?x8xf32>
  %be = tensor.empty(%b) : tensor<?x1xi1>
  %bits = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%keep : tensor<?x1xi1>) outs(%be : tensor<?x1xi1>) {
  ^bb0(%a: i1, %o: i1):
    %r = arith.xori %a, %a : i1
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("keep")
  %we = tensor.empty(%b) : tensor<?x8x3xf32>
  %windows = linalg.generic {indexing_maps = [#all], iterator_types = ["parallel", "parallel", "parallel"]} outs(%we : tensor<?x8x3xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %k = linalg.index 2 : index
    %sum = arith.addi %j, %k : index
    %place = arith.subi %sum, %c1 : index
    %inside = arith.cmpi ult, %place, %c8 : index
    %r = scf.if %inside -> (f32) {
      %v = tensor.extract %x[%i, %place] : tensor<?x8xf32>
      scf.yield %v : f32
    } else {
      scf.yield %zero : f32
    }
    linalg.yield %r : f32
  } -> tensor<?x8x3xf32>
  %flat = tensor.collapse_shape %windows [[0, 1], [2]] : tensor<?x8x3xf32> into tensor<?x3xf32>
  %f = gate.contract rows(%flat : tensor<?x3xf32>) weights(%w : tensor<3x1xf32>) extras() [] -> tensor<?x1xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %line = tensor.collapse_shape %f [[0, 1]] : tensor<?x1xf32> into tensor<?xf32>
  %g = tensor.expand_shape %line [[0, 1]] output_shape [%b, 8] : tensor<?xf32> into tensor<?x8xf32>
  %e = tensor.empty(%b) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#bit, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%bits, %g, %x : tensor<?x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: i1, %c: f32, %d: f32, %o: f32):
    %r = arith.select %a, %c, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// The row before it is another one's.
#all = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#id = affine_map<(d0, d1) -> (d0, d1)>
#bit = affine_map<(d0, d1) -> (d0, 0)>

// CHECK-LABEL: func.func @other_rows
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>
// CHECK: tensor.extract %[[X]]
// CHECK-NOT: gate.partition
// CHECK: gate.contract
// CHECK-NOT: gate.partition
func.func @other_rows(%x: tensor<?x8xf32>, %w: tensor<1x1xf32>, %keep: tensor<?x1xi1>) -> tensor<?x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = tensor.dim %x, %c0 : tensor<?x8xf32>
  %be = tensor.empty(%b) : tensor<?x1xi1>
  %bits = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%keep : tensor<?x1xi1>) outs(%be : tensor<?x1xi1>) {
  ^bb0(%a: i1, %o: i1):
    %r = arith.xori %a, %a : i1
    linalg.yield %r : i1
  } -> tensor<?x1xi1> loc("keep")
  %we = tensor.empty(%b) : tensor<?x8x1xf32>
  %before = linalg.generic {indexing_maps = [#all], iterator_types = ["parallel", "parallel", "parallel"]} outs(%we : tensor<?x8x1xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %last = arith.subi %i, %c1 : index
    %place = arith.maxsi %last, %c0 : index
    %v = tensor.extract %x[%place, %j] : tensor<?x8xf32>
    linalg.yield %v : f32
  } -> tensor<?x8x1xf32>
  %flat = tensor.collapse_shape %before [[0, 1], [2]] : tensor<?x8x1xf32> into tensor<?x1xf32>
  %f = gate.contract rows(%flat : tensor<?x1xf32>) weights(%w : tensor<1x1xf32>) extras() [] -> tensor<?x1xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("layer")
  %line = tensor.collapse_shape %f [[0, 1]] : tensor<?x1xf32> into tensor<?xf32>
  %g = tensor.expand_shape %line [[0, 1]] output_shape [%b, 8] : tensor<?xf32> into tensor<?x8xf32>
  %e = tensor.empty(%b) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#bit, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%bits, %g, %x : tensor<?x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%e : tensor<?x8xf32>) {
  ^bb0(%a: i1, %c: f32, %d: f32, %o: f32):
    %r = arith.select %a, %c, %d : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}
