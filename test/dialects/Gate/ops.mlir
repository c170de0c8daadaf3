// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Every op of the gate dialect survives printing and parsing, in both forms.
// RUN: gate-opt %s | gate-opt | FileCheck %s
// RUN: gate-opt %s --mlir-print-op-generic | gate-opt | FileCheck %s

// CHECK: gate.weight @w : tensor<2x4x3xf32> {file = "w.bin", offset = 512 : i64, strides = array<i64: 48, 12, 4>}
gate.weight @w : tensor<2x4x3xf32> {file = "w.bin", offset = 512 : i64, strides = array<i64: 48, 12, 4>}
// CHECK: gate.weight @small : tensor<2xf32> {value = dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>}
gate.weight @small : tensor<2xf32> {value = dense<[1.0, 2.0]> : tensor<2xf32>}
// CHECK: gate.weight @stack : tensor<3x2xf32> {stack = [@small, @small, @small]}
gate.weight @stack : tensor<3x2xf32> {stack = [@small, @small, @small]}
// CHECK: gate.packed_weight @p : tensor<2x2x4x4xf32> {lanes = 2 : i64, sources = [@w, @w]}
gate.packed_weight @p : tensor<2x2x4x4xf32> {sources = [@w, @w], lanes = 2 : i64}
// CHECK: gate.site @s {cost = array<f64: 1.000000e+00, 0.000000e+00>, full_cost = 2.000000e+00 : f64, kind = "experts", name = "moe", nodes = ["moe"], note = "n"}
gate.site @s {name = "moe", kind = "experts", cost = array<f64: 1.0, 0.0>, full_cost = 2.0 : f64, nodes = ["moe"], note = "n"}

// CHECK-LABEL: func.func @quantized
func.func @quantized(%q: tensor<2x3x5xui8>, %s: tensor<2x3x2xf32>, %z: tensor<2x3x1xui8>, %q1: tensor<3x9xui8>, %s1: tensor<3x1xf32>) {
  // CHECK: gate.dequantize %{{.*}}, %{{.*}} zeros(%{{.*}}) {bits = 4 : i64, block = 8 : i64} : tensor<2x3x5xui8>, tensor<2x3x2xf32>, tensor<2x3x1xui8> -> tensor<2x9x3xf32>
  %w0 = gate.dequantize %q, %s zeros(%z) {bits = 4 : i64, block = 8 : i64} : tensor<2x3x5xui8>, tensor<2x3x2xf32>, tensor<2x3x1xui8> -> tensor<2x9x3xf32>
  // CHECK: gate.dequantize %{{.*}}, %{{.*}} {bits = 8 : i64, block = 9 : i64} : tensor<3x9xui8>, tensor<3x1xf32> -> tensor<9x3xf32>
  %w1 = gate.dequantize %q1, %s1 {bits = 8 : i64, block = 9 : i64} : tensor<3x9xui8>, tensor<3x1xf32> -> tensor<9x3xf32>
  return
}

// CHECK-LABEL: func.func @decisions
func.func @decisions(%x: tensor<?x8xf32>, %i: tensor<?xi1>, %g: tensor<?x1xi32>) {
  // CHECK: gate.topk %{{.*}} {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  %v, %n = gate.topk %x {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
  // CHECK: gate.route %{{.*}} {normalize = true, score = #gate.score<softmax>, site = @s} : tensor<?x8xf32> -> <groups = 8, choices = 2>
  %p0 = gate.route %x {score = #gate.score<softmax>, normalize = true, site = @s} : tensor<?x8xf32> -> !gate.plan<groups = 8, choices = 2>
  // CHECK: gate.route %{{.*}} {drop_nonpositive = true, scale = 2.500000e+00 : f32, score = #gate.score<sigmoid>, ties_high = true}
  %p1 = gate.route %x {score = #gate.score<sigmoid>, scale = 2.5 : f32, drop_nonpositive = true, ties_high = true} : tensor<?x8xf32> -> !gate.plan<groups = 8, choices = 8>
  // CHECK: gate.route %{{.*}} {score = #gate.score<softmax_selected>}
  %p2 = gate.route %x {score = #gate.score<softmax_selected>} : tensor<?x8xf32> -> !gate.plan<groups = 8, choices = 1>
  // CHECK: gate.route %{{.*}} {score = #gate.score<identity>}
  %p3 = gate.route %x {score = #gate.score<identity>} : tensor<?x8xf32> -> !gate.plan<groups = 8, choices = 1>
  // CHECK: gate.route %{{.*}} mixing(%{{.*}} : tensor<?x8xf32>) {normalize = true, score = #gate.score<identity>} : tensor<?x8xf32> -> <groups = 8, choices = 2>
  %p6 = gate.route %x mixing(%x : tensor<?x8xf32>) {score = #gate.score<identity>, normalize = true} : tensor<?x8xf32> -> !gate.plan<groups = 8, choices = 2>
  // CHECK: gate.route %{{.*}} {normalize = true, score = #gate.score<identity>, sum_min = {{.*}}, sum_offset = {{.*}}} : tensor<?x8xf32> -> <groups = 8, choices = 2>
  %p9 = gate.route %x {score = #gate.score<identity>, normalize = true, sum_offset = 0.0 : f32, sum_min = 1.0e-12 : f32} : tensor<?x8xf32> -> !gate.plan<groups = 8, choices = 2>
  // CHECK: gate.partition %{{.*}} {exit = 1 : i64, site = @s} : tensor<?xi1> -> <groups = 2, choices = 1>
  %p4 = gate.partition %i {site = @s, exit = 1 : i64} : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  // CHECK: gate.assign %{{.*}} : tensor<?x1xi32> -> <groups = 3, choices = 1>
  %pa = gate.assign %g : tensor<?x1xi32> -> !gate.plan<groups = 3, choices = 1>
  // CHECK: gate.partition %{{.*}} step(%{{.*}}) {site = @s} : tensor<?xi1> -> <groups = 2, choices = 1>
  %c7 = arith.constant 7 : index
  %p7 = gate.partition %i step(%c7) {site = @s} : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  // CHECK: gate.partition %{{.*}} : tensor<?x1xi32> -> <groups = 3, choices = 1>
  %p5 = gate.partition %g : tensor<?x1xi32> -> !gate.plan<groups = 3, choices = 1>
  return
}

// CHECK-LABEL: func.func @work
func.func @work(%x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>, %base: tensor<?x3xf32>, %rows: index,
                %p: !gate.plan<groups = 3, choices = 2>, %q: !gate.plan<groups = 2, choices = 1>) {
  // CHECK: gate.apply %{{.*}} ranges [0, 2, 2, 3] ins(%{{.*}} : tensor<?x4xf32>) params(%{{.*}} : tensor<2x4x3xf32>) : <groups = 3, choices = 2> -> tensor<?x3xf32>
  // CHECK: ^bb0(%{{.*}}: tensor<?x4xf32>, %{{.*}}: tensor<4x3xf32>):
  // CHECK: gate.contract rows(%{{.*}} : tensor<?x4xf32>) weights(%{{.*}} : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  // CHECK: gate.yield %{{.*}} : f32
  // CHECK: gate.yield %{{.*}} : tensor<?x3xf32>
  // CHECK: }, {
  %y = gate.apply %p ranges [0, 2, 2, 3] ins(%x : tensor<?x4xf32>) params(%w : tensor<2x4x3xf32>)
      : !gate.plan<groups = 3, choices = 2> -> tensor<?x3xf32> {
  ^bb0(%r: tensor<?x4xf32>, %we: tensor<4x3xf32>):
    %z = gate.contract rows(%r : tensor<?x4xf32>) weights(%we : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
    ^bb0(%a: f32):
      gate.yield %a : f32
    }
    gate.yield %z : tensor<?x3xf32>
  }, {
  ^bb0(%r: tensor<?x4xf32>):
    %z = tensor.extract_slice %r[0, 0] [%rows, 3] [1, 1] : tensor<?x4xf32> to tensor<?x3xf32>
    gate.yield %z : tensor<?x3xf32>
  }
  // CHECK: gate.combine %{{.*}}, %{{.*}} rows(%{{.*}}) : tensor<?x3xf32>, <groups = 3, choices = 2> -> tensor<?x3xf32>
  %c = gate.combine %y, %p rows(%rows) : tensor<?x3xf32>, !gate.plan<groups = 3, choices = 2> -> tensor<?x3xf32>
  // CHECK: gate.merge %{{.*}}, %{{.*}} groups [1, 2] base(%{{.*}}) : tensor<?x3xf32>, <groups = 2, choices = 1>, tensor<?x3xf32>
  %m = gate.merge %y, %q groups [1, 2] base(%base) : tensor<?x3xf32>, !gate.plan<groups = 2, choices = 1>, tensor<?x3xf32>
  // CHECK: gate.apply %{{.*}} ranges [0, 1] : <groups = 2, choices = 1> -> tensor<?x3xf32>, tensor<?x3xf32> {
  %n:2 = gate.apply %q ranges [0, 1] : !gate.plan<groups = 2, choices = 1> -> tensor<?x3xf32>, tensor<?x3xf32> {
    gate.yield %base, %base : tensor<?x3xf32>, tensor<?x3xf32>
  }
  return
}

// CHECK-LABEL: func.func @contract
func.func @contract(%x: tensor<?x4xf32>, %v: tensor<4x3xf32>, %w: tensor<2x4x3xf32>, %s: f32, %c: tensor<3xf32>,
                    %cg: tensor<2x3xf32>, %r: tensor<?xf32>, %f: tensor<?x3xf32>, %p: !gate.plan<groups = 2, choices = 1>) {
  // CHECK: gate.contract rows(%{{.*}} : tensor<?x4xf32>) weights(%{{.*}}, %{{.*}} : tensor<4x3xf32>, tensor<4x3xf32>)
  // CHECK-SAME: extras(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : f32, tensor<3xf32>, tensor<?xf32>, tensor<?x3xf32>)
  // CHECK-SAME: [#gate.extent<scalar>, #gate.extent<column>, #gate.extent<row>, #gate.extent<full>] -> tensor<?x3xf32>
  %0 = gate.contract rows(%x : tensor<?x4xf32>) weights(%v, %v : tensor<4x3xf32>, tensor<4x3xf32>)
      extras(%s, %c, %r, %f : f32, tensor<3xf32>, tensor<?xf32>, tensor<?x3xf32>)
      [#gate.extent<scalar>, #gate.extent<column>, #gate.extent<row>, #gate.extent<full>] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32, %es: f32, %ec: f32, %er: f32, %ef: f32):
    %m = math.exp %a : f32
    %n = arith.mulf %m, %ef : f32
    gate.yield %n : f32
  }
  // CHECK: gate.contract {{.*}} extras(%{{.*}} : tensor<2x3xf32>) [#gate.extent<column>] plan(%{{.*}} : !gate.plan<groups = 2, choices = 1>) gathered -> tensor<?x3xf32>
  %1 = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<2x4x3xf32>)
      extras(%cg : tensor<2x3xf32>) [#gate.extent<column>] plan(%p : !gate.plan<groups = 2, choices = 1>) gathered -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    %m = arith.addf %a, %b : f32
    gate.yield %m : f32
  }
  return
}

// CHECK-LABEL: func.func @schedule
func.func @schedule(%x: tensor<?x4xf32>, %w: tensor<2x2x4x4xf32>, %y: tensor<?x3xf32>, %n: index,
                    %p: !gate.plan<groups = 2, choices = 1>, %q: tensor<?x34xi16>, %wq: tensor<1x1x1x72xi8>,
                    %sq: tensor<?x1xf32>, %yq: tensor<?x2xf32>, %v8: vector<32xi8>, %v16: vector<16xi16>, %v32: vector<8xi32>,
                    %vb: vector<16xbf16>, %vf: vector<8xf32>) -> tensor<?x3xf32> {
  // CHECK: gate.weight_value @w : tensor<2x4x3xf32>
  %v = gate.weight_value @w : tensor<2x4x3xf32>
  // CHECK: gate.weight_value @p : tensor<2x2x4x4xf32>
  %vp = gate.weight_value @p : tensor<2x2x4x4xf32>
  // CHECK: %[[O:.*]], %[[S:.*]], %{{.*}}, %{{.*}} = gate.plan_tensors %{{.*}} : <groups = 2, choices = 1> -> tensor<3xi32>, tensor<?xi32>, tensor<?x1xi32>, tensor<?x1xf32>
  %o, %s, %i, %wt = gate.plan_tensors %p : !gate.plan<groups = 2, choices = 1> -> tensor<3xi32>, tensor<?xi32>, tensor<?x1xi32>, tensor<?x1xf32>
  // CHECK: gate.bound %{{.*}}, %{{.*}}
  %b = gate.bound %n, %n
  // CHECK: gate.packed_contract rows(%{{.*}} : tensor<?x4xf32>) packed(%{{.*}} : tensor<2x2x4x4xf32>) offsets(%[[O]] : tensor<3xi32>) source(%[[S]] : tensor<?xi32>) extras() [] outs(%{{.*}} : tensor<?x3xf32>) lanes 2 -> tensor<?x3xf32> {
  %c = gate.packed_contract rows(%x : tensor<?x4xf32>) packed(%w : tensor<2x2x4x4xf32>) offsets(%o : tensor<3xi32>)
      source(%s : tensor<?xi32>) extras() [] outs(%y : tensor<?x3xf32>) lanes 2 -> tensor<?x3xf32> {
  ^bb0(%a0: f32, %a1: f32):
    %m = arith.mulf %a0, %a1 : f32
    gate.yield %m : f32
  }
  // CHECK: gate.packed_contract rows(%{{.*}} : tensor<?x34xi16>) packed(%{{.*}} : tensor<1x1x1x72xi8>) row_scales(%{{.*}} : tensor<?x1xf32>) extras() [] outs(%{{.*}} : tensor<?x2xf32>) lanes 2 attributes {block = 32 : i64, format = #gate.panel<int8>} -> tensor<?x2xf32> {
  %cq = gate.packed_contract rows(%q : tensor<?x34xi16>) packed(%wq : tensor<1x1x1x72xi8>) row_scales(%sq : tensor<?x1xf32>)
      extras() [] outs(%yq : tensor<?x2xf32>) lanes 2 attributes {format = #gate.panel<int8>, block = 32 : i64} -> tensor<?x2xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  // CHECK: gate.dot_pairs %{{.*}}, %{{.*}}, %{{.*}} : vector<16xi16>
  %dp = gate.dot_pairs %v16, %v16, %v32 : vector<16xi16>
  // CHECK: gate.multiply_bytes %{{.*}}, %{{.*}} : vector<32xi8>
  %mb = gate.multiply_bytes %v8, %v8 : vector<32xi8>
  // CHECK: gate.dot_bytes %{{.*}}, %{{.*}}, %{{.*}} : vector<32xi8>
  %db = gate.dot_bytes %v8, %v8, %v32 : vector<32xi8>
  // CHECK: gate.dot_bf16 %{{.*}}, %{{.*}}, %{{.*}} : vector<16xbf16>
  %df = gate.dot_bf16 %vb, %vb, %vf : vector<16xbf16>
  // CHECK: gate.runtime_call "gatecc_route_f32"(%{{.*}}, %{{.*}} : tensor<?x4xf32>, index) outs(%{{.*}} : tensor<?x3xf32>) {nulls = array<i64: 1>, updates} -> tensor<?x3xf32>
  %r = gate.runtime_call "gatecc_route_f32"(%x, %n : tensor<?x4xf32>, index) outs(%c : tensor<?x3xf32>) {nulls = array<i64: 1>, updates} -> tensor<?x3xf32>
  // CHECK: gate.runtime_call "gatecc_find_group"(%{{.*}} : index) outs() {frame} scalar i64
  %k = gate.runtime_call "gatecc_find_group"(%n : index) outs() {frame} scalar i64
  return %r : tensor<?x3xf32>
}

// CHECK-LABEL: func.func @kernel
func.func @kernel(%frame: !llvm.ptr, %n: index, %v: f32) {
  // CHECK: %[[B:.*]] = gate.symbol %{{.*}}[0] : !llvm.ptr
  %b = gate.symbol %frame[0] : !llvm.ptr
  // CHECK: gate.port %{{.*}} output false 0[%[[B]]] : !llvm.ptr -> memref<?x4xf32>
  %x = gate.port %frame output false 0 [%b] : !llvm.ptr -> memref<?x4xf32>
  // CHECK: gate.weight_buffer %{{.*}} @w : !llvm.ptr -> memref<2x4x3xf32>
  %w = gate.weight_buffer %frame @w : !llvm.ptr -> memref<2x4x3xf32>
  // CHECK: gate.allocate %{{.*}}[%{{.*}}] : !llvm.ptr -> memref<?xf32>
  %g = gate.allocate %frame [%b] : !llvm.ptr -> memref<?xf32>
  memref.store %v, %g[%n] : memref<?xf32>
  // CHECK: %[[I:.*]] = memref.alloca() : memref<8x16x16xi32>
  %image = memref.alloca() : memref<8x16x16xi32>
  // CHECK: gate.amx_configure %[[I]]
  gate.amx_configure %image
  // CHECK: gate.amx_zero %[[I]][0]
  gate.amx_zero %image[0]
  // CHECK: gate.amx_load %[[I]][4], %{{.*}}[%{{.*}}, %{{.*}}] stride %{{.*}} : memref<?x4xf32>
  gate.amx_load %image[4], %x[%n, %n] stride %n : memref<?x4xf32>
  // CHECK: gate.amx_dot_bf16 %[[I]][0], 4, 6
  gate.amx_dot_bf16 %image[0], 4, 6
  // CHECK: gate.amx_store %[[I]][0], %{{.*}}[%{{.*}}, %{{.*}}] stride %{{.*}} : memref<?x4xf32>
  gate.amx_store %image[0], %x[%n, %n] stride %n : memref<?x4xf32>
  // CHECK: gate.amx_release %[[I]]
  gate.amx_release %image
  // CHECK: gate.arena %{{.*}} + %{{.*}}[%{{.*}}] : !llvm.ptr -> memref<?xf32>
  %m = gate.arena %frame + %n[%b] : !llvm.ptr -> memref<?xf32>
  // CHECK: gate.tasks %{{.*}} {
  // CHECK: ^bb0(%{{.*}}: index):
  gate.tasks %n {
  ^bb0(%i: index):
    memref.store %v, %m[%i] : memref<?xf32>
  }
  // CHECK: gate.launch %{{.*}} @task_0 %{{.*}}(%{{.*}}, %{{.*}}) : !llvm.ptr, memref<?xf32>, f32
  gate.launch %frame @task_0 %n(%m, %v) : !llvm.ptr, memref<?xf32>, f32
  return
}
func.func private @task_0(%m: memref<?xf32>, %v: f32, %i: index) {
  return
}

// CHECK-LABEL: func.func @indexing
func.func @indexing(%m: tensor<?x8xi1>, %w: tensor<8x48x32xf32>, %i: tensor<?x1xi64>, %x: tensor<?x32xf32>,
                    %u: tensor<?x32xf32>, %h: tensor<8xi64>, %j: tensor<?xi64>, %n: index, %ok: i1) {
  // CHECK: gate.nonzero %{{.*}} : tensor<?x8xi1> -> tensor<2x?xi64>
  %p = gate.nonzero %m : tensor<?x8xi1> -> tensor<2x?xi64>
  // CHECK: gate.gather_nd %{{.*}}, %{{.*}} {batch_dims = 0 : i64} : tensor<8x48x32xf32>, tensor<?x1xi64> -> tensor<?x48x32xf32>
  %g = gate.gather_nd %w, %i {batch_dims = 0 : i64} : tensor<8x48x32xf32>, tensor<?x1xi64> -> tensor<?x48x32xf32>
  // CHECK: gate.scatter_nd %{{.*}} at %{{.*}} into %{{.*}} {reduction = #gate.reduction<add>} : tensor<?x32xf32>, tensor<?x1xi64>, tensor<?x32xf32>
  %s = gate.scatter_nd %u at %i into %x {reduction = #gate.reduction<add>} : tensor<?x32xf32>, tensor<?x1xi64>, tensor<?x32xf32>
  // CHECK: gate.scatter_elements %{{.*}} at %{{.*}} into %{{.*}} {axis = 0 : i64, reduction = #gate.reduction<none>} : tensor<?xi64>, tensor<?xi64>, tensor<8xi64>
  %e = gate.scatter_elements %j at %j into %h {axis = 0 : i64, reduction = #gate.reduction<none>} : tensor<?xi64>, tensor<?xi64>, tensor<8xi64>
  // CHECK: gate.cumsum %{{.*}} {axis = 0 : i64, exclusive = true, reverse = false} : tensor<8xi64>
  %c = gate.cumsum %h {axis = 0 : i64, exclusive = true, reverse = false} : tensor<8xi64>
  // CHECK: gate.check %{{.*}}, "{0} is too much"(%{{.*}})
  gate.check %ok, "{0} is too much" (%n)
  // CHECK: gate.topk %{{.*}} count %{{.*}} {largest = false} : tensor<?x32xf32> -> tensor<?x?xf32>, tensor<?x?xi64>
  %v, %t = gate.topk %x count %n {largest = false} : tensor<?x32xf32> -> tensor<?x?xf32>, tensor<?x?xi64>
  return
}
