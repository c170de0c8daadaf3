// Groups other than plain exits.
// RUN: gate-opt %s --form-groups -split-input-file | FileCheck %s

// Rows that are done keep their hidden state, and one head serves them all.
// CHECK: kind = "exit", nodes = ["f2", "f3"]
// CHECK: gate.site {{.*}}cost = array<f64: 1.380000e+02, 2.760000e+02, 4.040000e+02>
// CHECK-LABEL: func.func @frozen
// CHECK: %[[H1:.*]] = gate.contract
// CHECK: gate.partition %{{.*}} {site = @site}
// CHECK: gate.partition %{{.*}} {exit = 1 : i64, site = @site}
// CHECK: %[[H3:.*]] = gate.merge {{.*}} base(%[[H1]])
// CHECK: gate.contract rows(%[[H3]]
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
func.func @frozen(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %t: tensor<?xf32>) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %h1 = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("h1")
  %m1_e = tensor.empty(%n) : tensor<?xf32>
  %m1_f = linalg.fill ins(%zero : f32) outs(%m1_e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%h1 : tensor<?x8xf32>) outs(%m1_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("m1")
  %e1_e = tensor.empty(%n) : tensor<?xi1>
  %e1 = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%m1, %t : tensor<?xf32>, tensor<?xf32>) outs(%e1_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("e1")
  %f2 = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f2")
  %h2_e = tensor.empty(%n) : tensor<?x8xf32>
  %h2 = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e1, %h1, %f2 : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%h2_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h2")
  %m2_e = tensor.empty(%n) : tensor<?xf32>
  %m2_f = linalg.fill ins(%zero : f32) outs(%m2_e : tensor<?xf32>) -> tensor<?xf32>
  %m2 = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%h2 : tensor<?x8xf32>) outs(%m2_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("m2")
  %e2_e = tensor.empty(%n) : tensor<?xi1>
  %e2 = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%m2, %t : tensor<?xf32>, tensor<?xf32>) outs(%e2_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("e2")
  %done2_e = tensor.empty(%n) : tensor<?xi1>
  %done2 = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%e1, %e2 : tensor<?xi1>, tensor<?xi1>) outs(%done2_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.ori %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("done2")
  %f3 = gate.contract rows(%h2 : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f3")
  %h3_e = tensor.empty(%n) : tensor<?x8xf32>
  %h3 = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%done2, %h2, %f3 : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%h3_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("h3")
  %y = gate.contract rows(%h3 : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// A mixture of experts goes into the group as a whole: decision, work, sum.
// CHECK: nodes = ["router", "moe"]
// CHECK-LABEL: func.func @moe
// CHECK: gate.apply %{{.*}} ranges [0, 1]
// CHECK-NEXT: ^bb0(%[[X:.*]]: tensor<?x8xf32>):
// CHECK: %[[N:.*]] = tensor.dim %[[X]]
// CHECK: %[[P:.*]] = gate.route
// CHECK: gate.apply %[[P]] ranges [0, 4] ins(%[[X]] :
// CHECK: gate.combine %{{.*}}, %[[P]] rows(%[[N]])
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
func.func @moe(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %rw: tensor<8x4xf32>, %ew: tensor<4x8x8xf32>, %t: tensor<?xf32>) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %h1 = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("h1")
  %m1_e = tensor.empty(%n) : tensor<?xf32>
  %m1_f = linalg.fill ins(%zero : f32) outs(%m1_e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%h1 : tensor<?x8xf32>) outs(%m1_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("m1")
  %e1_e = tensor.empty(%n) : tensor<?xi1>
  %e1 = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%m1, %t : tensor<?xf32>, tensor<?xf32>) outs(%e1_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("e1")
  %logits = gate.contract rows(%h1 : tensor<?x8xf32>) weights(%rw : tensor<8x4xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("router")
  %p = gate.route %logits {score = #gate.score<softmax>, normalize = true} : tensor<?x4xf32> -> !gate.plan<groups = 4, choices = 2> loc("moe")
  %sl = gate.apply %p ranges [0, 4] ins(%h1 : tensor<?x8xf32>) params(%ew : tensor<4x8x8xf32>) : !gate.plan<groups = 4, choices = 2> -> tensor<?x8xf32> {
  ^bb0(%rows: tensor<?x8xf32>, %we: tensor<8x8xf32>):
    %z = gate.contract rows(%rows : tensor<?x8xf32>) weights(%we : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
    ^bb0(%a: f32):
      gate.yield %a : f32
    }
    gate.yield %z : tensor<?x8xf32>
  } loc("moe")
  %l2 = gate.combine %sl, %p rows(%n) : tensor<?x8xf32>, !gate.plan<groups = 4, choices = 2> -> tensor<?x8xf32> loc("moe")
  %y_e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%e1, %h1, %l2 : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// Two skipped layers, one behind the other: one site each.
// CHECK: gate.site @site {{.*}}name = "c"
// CHECK: gate.site @site_0 {{.*}}name = "d"
// CHECK-LABEL: func.func @two_layers
// CHECK: gate.partition %{{.*}} {site = @site}
// CHECK: %[[Y1:.*]] = gate.merge {{.*}} base(%arg0)
// CHECK: gate.partition %{{.*}} {site = @site_0}
// CHECK: gate.merge {{.*}} base(%[[Y1]])
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
func.func @two_layers(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?xi1> loc("c"), %d: tensor<?xi1> loc("d")) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %y1_e = tensor.empty(%n) : tensor<?x8xf32>
  %y1 = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %f, %x : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y1_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y1")
  %g = gate.contract rows(%y1 : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %y2_e = tensor.empty(%n) : tensor<?x8xf32>
  %y2 = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%d, %y1, %g : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y2_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y2")
  return %y2 : tensor<?x8xf32>
}

// -----

// Work under two conditions at once is gathered once.
// CHECK-LABEL: func.func @conjunction
// CHECK-COUNT-2: arith.xori
// CHECK: arith.andi
// CHECK: gate.partition
// CHECK: gate.merge {{.*}} base(%arg0)
// CHECK-NEXT: return
// CHECK-NOT: gate.partition
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
func.func @conjunction(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?xi1> loc("c"), %d: tensor<?xi1> loc("d")) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %s_e = tensor.empty(%n) : tensor<?x8xf32>
  %s = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %x, %f : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%s_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("s")
  %y_e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%d, %x, %s : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// A skipped layer inside a skipped layer.
// CHECK: cost = array<f64: 3.840000e+02, 0.000000e+00>
// CHECK: cost = array<f64: 1.280000e+02, 0.000000e+00>
// CHECK-LABEL: func.func @inside
// CHECK: gate.partition %arg2 {site = @site}
// CHECK-NEXT: gate.apply {{.*}} ins(%arg0, %arg3 :
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<?x8xf32>, %[[D:.*]]: tensor<?xi1>):
// CHECK: gate.partition %[[D]] {site = @site_0}
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
func.func @inside(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?xi1> loc("c"), %d: tensor<?xi1> loc("d")) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %g = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %f = gate.contract rows(%g : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %s_e = tensor.empty(%n) : tensor<?x8xf32>
  %s = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%d, %f, %g : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%s_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("s")
  %h = gate.contract rows(%s : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("h")
  %y_e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %h, %x : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// A sum over all rows stands between two layers under one condition:
// each has a group of its own.
// CHECK: note = "'g' is not in this group: it reads 'shift', which needs results of the group for other rows too"
// CHECK: name = "c#2"
// CHECK-LABEL: func.func @widened
// CHECK: gate.partition %arg2 {site = @site}
// CHECK: gate.merge
// CHECK: gate.partition %arg2 {site = @site_0}
// CHECK: gate.merge {{.*}} base(%arg0)
// CHECK-NEXT: return
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
#col = affine_map<(d0, d1) -> (d1)>
func.func @widened(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?xi1> loc("c")) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %m_e = tensor.empty(%n) : tensor<?xf32>
  %m_f = linalg.fill ins(%zero : f32) outs(%m_e : tensor<?xf32>) -> tensor<?xf32>
  %m = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%f : tensor<?x8xf32>) outs(%m_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("m")
  %s_e = tensor.empty(%n) : tensor<?x8xf32>
  %s = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %f, %x : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%s_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("s")
  %te = tensor.empty() : tensor<8xf32>
  %tf = linalg.fill ins(%zero : f32) outs(%te : tensor<8xf32>) -> tensor<8xf32>
  %sum = linalg.generic {indexing_maps = [#id, #col], iterator_types = ["reduction", "parallel"]} ins(%s : tensor<?x8xf32>) outs(%tf : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<8xf32> loc("sum")
  %shift_e = tensor.empty(%n) : tensor<?x8xf32>
  %shift = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel"]} ins(%s, %sum : tensor<?x8xf32>, tensor<8xf32>) outs(%shift_e : tensor<?x8xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %r = arith.addf %a0, %a1 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("shift")
  %g = gate.contract rows(%shift : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %y_e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %g, %x : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}
