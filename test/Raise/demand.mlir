// Under which conditions ops are needed.
// RUN: gate-opt %s --test-print-demand --mlir-disable-threading -split-input-file -o /dev/null | FileCheck %s

// `a < b` and `a >= b` are both false where an operand is NaN: neither says
// anything about the other.
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
// CHECK-LABEL: demand in nan:
// CHECK-NEXT: lt: true
// CHECK-NEXT: ge: not lt{{$}}
// CHECK-NEXT: f: lt{{$}}
// CHECK-NEXT: g: not lt and ge{{$}}
// CHECK-NEXT: s: not lt{{$}}
// CHECK-NEXT: y: true
func.func @nan(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %p: tensor<?xf32>, %q: tensor<?xf32>) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %lt_e = tensor.empty(%n) : tensor<?xi1>
  %lt = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%p, %q : tensor<?xf32>, tensor<?xf32>) outs(%lt_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf olt, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("lt")
  %ge_e = tensor.empty(%n) : tensor<?xi1>
  %ge = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%p, %q : tensor<?xf32>, tensor<?xf32>) outs(%ge_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("ge")
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %g = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %s_e = tensor.empty(%n) : tensor<?x8xf32>
  %s = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%ge, %g, %x : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%s_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("s")
  %y_e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%lt, %f, %s : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// `or` is lazy in the operand that comes later, `and` likewise; never in both.
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
// CHECK-LABEL: demand in one_direction:
// CHECK: d: true
// CHECK: e: true
func.func @one_direction(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %t: tensor<?xf32>) -> (tensor<?xi1>, tensor<?xi1>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %mf_e = tensor.empty(%n) : tensor<?xf32>
  %mf_f = linalg.fill ins(%zero : f32) outs(%mf_e : tensor<?xf32>) -> tensor<?xf32>
  %mf = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%f : tensor<?x8xf32>) outs(%mf_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("mf")
  %d_e = tensor.empty(%n) : tensor<?xi1>
  %d = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%mf, %t : tensor<?xf32>, tensor<?xf32>) outs(%d_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("d")
  %g = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %mg_e = tensor.empty(%n) : tensor<?xf32>
  %mg_f = linalg.fill ins(%zero : f32) outs(%mg_e : tensor<?xf32>) -> tensor<?xf32>
  %mg = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%g : tensor<?x8xf32>) outs(%mg_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("mg")
  %e_e = tensor.empty(%n) : tensor<?xi1>
  %e = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%mg, %t : tensor<?xf32>, tensor<?xf32>) outs(%e_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("e")
  %both_e = tensor.empty(%n) : tensor<?xi1>
  %both = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%e, %d : tensor<?xi1>, tensor<?xi1>) outs(%both_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.andi %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("both")
  %any_e = tensor.empty(%n) : tensor<?xi1>
  %any = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%e, %d : tensor<?xi1>, tensor<?xi1>) outs(%any_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.ori %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("any")
  return %both, %any : tensor<?xi1>, tensor<?xi1>
}

// CHECK-LABEL: demand in or_only:
// CHECK-NEXT: f: true
// CHECK-NEXT: mf: true
// CHECK-NEXT: d: true
// CHECK-NEXT: g: not d{{$}}
// CHECK-NEXT: mg: not d{{$}}
// CHECK-NEXT: e: not d{{$}}
func.func @or_only(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %t: tensor<?xf32>) -> (tensor<?xi1>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %mf_e = tensor.empty(%n) : tensor<?xf32>
  %mf_f = linalg.fill ins(%zero : f32) outs(%mf_e : tensor<?xf32>) -> tensor<?xf32>
  %mf = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%f : tensor<?x8xf32>) outs(%mf_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("mf")
  %d_e = tensor.empty(%n) : tensor<?xi1>
  %d = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%mf, %t : tensor<?xf32>, tensor<?xf32>) outs(%d_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("d")
  %g = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %mg_e = tensor.empty(%n) : tensor<?xf32>
  %mg_f = linalg.fill ins(%zero : f32) outs(%mg_e : tensor<?xf32>) -> tensor<?xf32>
  %mg = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%g : tensor<?x8xf32>) outs(%mg_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("mg")
  %e_e = tensor.empty(%n) : tensor<?xi1>
  %e = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%mg, %t : tensor<?xf32>, tensor<?xf32>) outs(%e_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("e")
  %any_e = tensor.empty(%n) : tensor<?xi1>
  %any = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%e, %d : tensor<?xi1>, tensor<?xi1>) outs(%any_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.ori %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("any")
  return %any : tensor<?xi1>
}

// CHECK-LABEL: demand in and_only:
// CHECK: d: true
// CHECK-NEXT: g: d{{$}}
// CHECK: e: d{{$}}
func.func @and_only(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %t: tensor<?xf32>) -> (tensor<?xi1>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %mf_e = tensor.empty(%n) : tensor<?xf32>
  %mf_f = linalg.fill ins(%zero : f32) outs(%mf_e : tensor<?xf32>) -> tensor<?xf32>
  %mf = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%f : tensor<?x8xf32>) outs(%mf_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("mf")
  %d_e = tensor.empty(%n) : tensor<?xi1>
  %d = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%mf, %t : tensor<?xf32>, tensor<?xf32>) outs(%d_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("d")
  %g = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %mg_e = tensor.empty(%n) : tensor<?xf32>
  %mg_f = linalg.fill ins(%zero : f32) outs(%mg_e : tensor<?xf32>) -> tensor<?xf32>
  %mg = linalg.generic {indexing_maps = [#id, #first], iterator_types = ["parallel", "reduction"]} ins(%g : tensor<?x8xf32>) outs(%mg_f : tensor<?xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.maximumf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<?xf32> loc("mg")
  %e_e = tensor.empty(%n) : tensor<?xi1>
  %e = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%mg, %t : tensor<?xf32>, tensor<?xf32>) outs(%e_e : tensor<?xi1>) {
  ^bb0(%a0: f32, %a1: f32, %o: i1):
    %r = arith.cmpf oge, %a0, %a1 : f32
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("e")
  %all_e = tensor.empty(%n) : tensor<?xi1>
  %all = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%d, %e : tensor<?xi1>, tensor<?xi1>) outs(%all_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.andi %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("all")
  return %all : tensor<?xi1>
}

// -----

// What masks imply, through negations and reshapes.
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
#row = affine_map<(d0, d1) -> (d0, 0)>
// CHECK-LABEL: demand in implied:
// CHECK: f: not either and not all and not c and not d{{$}}
// CHECK: g: all and c and d{{$}}
func.func @implied(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?xi1> loc("c"), %d: tensor<?xi1> loc("d")) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %either_e = tensor.empty(%n) : tensor<?xi1>
  %either = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%c, %d : tensor<?xi1>, tensor<?xi1>) outs(%either_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.ori %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("either")
  %neither_e = tensor.empty(%n) : tensor<?xi1>
  %neither = linalg.generic {indexing_maps = [#id1, #id1], iterator_types = ["parallel"]} ins(%either : tensor<?xi1>) outs(%neither_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %o: i1):
    %r = arith.xori %a0, %true : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("neither")
  %wide = tensor.expand_shape %neither [[0, 1]] output_shape [%n, 1] : tensor<?xi1> into tensor<?x1xi1>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %s_e = tensor.empty(%n) : tensor<?x8xf32>
  %s = linalg.generic {indexing_maps = [#row, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%wide, %f, %x : tensor<?x1xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%s_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("s")
  %all_e = tensor.empty(%n) : tensor<?xi1>
  %all = linalg.generic {indexing_maps = [#id1, #id1, #id1], iterator_types = ["parallel"]} ins(%c, %d : tensor<?xi1>, tensor<?xi1>) outs(%all_e : tensor<?xi1>) {
  ^bb0(%a0: i1, %a1: i1, %o: i1):
    %r = arith.andi %a0, %a1 : i1
    linalg.yield %r : i1
  } -> tensor<?xi1> loc("all")
  %g = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %y_e = tensor.empty(%n) : tensor<?x8xf32>
  %y = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%all, %g, %s : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%y_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("y")
  return %y : tensor<?x8xf32>
}

// -----

// Several users: only what all of them agree on is left.
#id = affine_map<(d0, d1) -> (d0, d1)>
#id1 = affine_map<(d0) -> (d0)>
#first = affine_map<(d0, d1) -> (d0)>
// CHECK-LABEL: demand in joined:
// CHECK: f: true
// CHECK: g: c{{$}}
// CHECK: s: not c{{$}}
func.func @joined(%x: tensor<?x8xf32>, %w: tensor<8x8xf32>, %c: tensor<?xi1> loc("c"), %d: tensor<?xi1> loc("d")) -> (tensor<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %f = gate.contract rows(%x : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("f")
  %g = gate.contract rows(%f : tensor<?x8xf32>) weights(%w : tensor<8x8xf32>) extras() [] -> tensor<?x8xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  } loc("g")
  %s_e = tensor.empty(%n) : tensor<?x8xf32>
  %s = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%d, %f, %x : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%s_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("s")
  %u_e = tensor.empty(%n) : tensor<?x8xf32>
  %u = linalg.generic {indexing_maps = [#first, #id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%c, %g, %s : tensor<?xi1>, tensor<?x8xf32>, tensor<?x8xf32>) outs(%u_e : tensor<?x8xf32>) {
  ^bb0(%a0: i1, %a1: f32, %a2: f32, %o: f32):
    %r = arith.select %a0, %a1, %a2 : f32
    linalg.yield %r : f32
  } -> tensor<?x8xf32> loc("u")
  return %u : tensor<?x8xf32>
}
