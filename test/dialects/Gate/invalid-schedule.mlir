// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One case, or more, for each numbered constraint of weights and of the ops of the
// schedule and kernel levels: @OP_cNUMBER.
// RUN: gate-opt %s -split-input-file -verify-diagnostics

func.func @packed_contract_c1(%x: tensor<?x4xf32>, %w: tensor<1x2x4x4xf32>, %k: tensor<1x2x5x4xf32>, %g: tensor<2x2x4x4xf32>, %y: tensor<?x7xf32>, %m: memref<?x7xf32>) {
  // expected-error @+1 {{expects as many units of packed weights as rows of 'tensor<?x4xf32>' need}}
  %r = gate.packed_contract rows(%x : tensor<?x4xf32>) packed(%k : tensor<1x2x5x4xf32>) extras() [] outs(%y : tensor<?x7xf32>) lanes 4 -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c1_blocks(%q: tensor<?x36xi16>, %s: tensor<?x1xf32>, %w: tensor<1x2x1x48xi8>, %y: tensor<?x7xf32>) {
  // A block of 32 has 34 integers.
  // expected-error @+1 {{expects as many units of packed weights as rows of 'tensor<?x36xi16>' need}}
  %r = gate.packed_contract rows(%q : tensor<?x36xi16>) packed(%w : tensor<1x2x1x48xi8>) row_scales(%s : tensor<?x1xf32>) extras() [] outs(%y : tensor<?x7xf32>) lanes 4
      attributes {format = #gate.panel<int8>, block = 32 : i64} -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c5(%x: tensor<?x4xf32>, %s: tensor<?x1xf32>, %w: tensor<1x2x4x4xf32>, %y: tensor<?x7xf32>) {
  // expected-error @+1 {{expects scales of rows exactly for integer weights}}
  %r = gate.packed_contract rows(%x : tensor<?x4xf32>) packed(%w : tensor<1x2x4x4xf32>) row_scales(%s : tensor<?x1xf32>) extras() [] outs(%y : tensor<?x7xf32>) lanes 4 -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c1_bf16(%x: tensor<?x96xbf16>, %w: tensor<1x1x1x1024xbf16>, %y: tensor<?x7xf32>) {
  // 32 rows of K are a row of 32 elements.
  // expected-error @+1 {{expects as many units of packed weights as rows of 'tensor<?x96xbf16>' need}}
  %r = gate.packed_contract rows(%x : tensor<?x96xbf16>) packed(%w : tensor<1x1x1x1024xbf16>) extras() [] outs(%y : tensor<?x7xf32>) lanes 32
      attributes {format = #gate.panel<bf16t>} -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c5_absent(%q: tensor<?x34xi16>, %w: tensor<1x2x1x48xi8>, %y: tensor<?x7xf32>) {
  // expected-error @+1 {{expects scales of rows exactly for integer weights}}
  %r = gate.packed_contract rows(%q : tensor<?x34xi16>) packed(%w : tensor<1x2x1x48xi8>) extras() [] outs(%y : tensor<?x7xf32>) lanes 4
      attributes {format = #gate.panel<int8>, block = 32 : i64} -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c6(%x: tensor<?x4xf32>, %w: tensor<1x2x2x8xbf16>, %y: tensor<?x7xf32>) {
  // expected-error @+1 {{expects rows of 'bf16', got 'tensor<?x4xf32>'}}
  %r = gate.packed_contract rows(%x : tensor<?x4xf32>) packed(%w : tensor<1x2x2x8xbf16>) extras() [] outs(%y : tensor<?x7xf32>) lanes 4
      attributes {format = #gate.panel<bf16p>} -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c7(%x: tensor<?x32xbf16>, %s: tensor<?xi32>, %w: tensor<1x1x1x1024xbf16>, %y: tensor<?x7xf32>) {
  // expected-error @+1 {{expects rows in the order of slots, not a source}}
  %r = gate.packed_contract rows(%x : tensor<?x32xbf16>) packed(%w : tensor<1x1x1x1024xbf16>) source(%s : tensor<?xi32>) extras() [] outs(%y : tensor<?x7xf32>) lanes 32
      attributes {format = #gate.panel<bf16t>} -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @dot_bf16_c1(%a: vector<6xbf16>, %s: vector<3xf32>) {
  // expected-error @+1 {{must be vector of bfloat16 type values of length 8/16/32}}
  %r = gate.dot_bf16 %a, %a, %s : vector<6xbf16>
  return
}

// -----

func.func @amx_configure_c1(%m: memref<4xi32>) {
  // expected-error @+1 {{must be memref<8x16x16xi32>}}
  "gate.amx_configure"(%m) : (memref<4xi32>) -> ()
  return
}

// -----

func.func @amx_release_c1(%m: memref<4xi32>) {
  // expected-error @+1 {{must be memref<8x16x16xi32>}}
  "gate.amx_release"(%m) : (memref<4xi32>) -> ()
  return
}

// -----

func.func @amx_zero_c1(%m: memref<8x16x16xi32>) {
  // expected-error @+1 {{whose maximum value is 7}}
  gate.amx_zero %m[8]
  return
}

// -----

func.func @amx_load_c1(%m: memref<8x16x16xi32>, %x: memref<16x32xbf16>, %i: index) {
  // expected-error @+1 {{whose maximum value is 7}}
  gate.amx_load %m[8], %x[%i, %i] stride %i : memref<16x32xbf16>
  return
}

// -----

func.func @amx_load_c2(%m: memref<8x16x16xi32>, %x: memref<16x32xbf16>, %i: index) {
  // expected-error @+1 {{expects an index for each dimension of a buffer with contiguous rows, got 1}}
  gate.amx_load %m[4], %x[%i] stride %i : memref<16x32xbf16>
  return
}

// -----

func.func @amx_store_c1(%m: memref<8x16x16xi32>, %x: memref<16x32xf32>, %i: index) {
  // expected-error @+1 {{whose minimum value is 0}}
  gate.amx_store %m[-1], %x[%i, %i] stride %i : memref<16x32xf32>
  return
}

// -----

func.func @amx_store_c2(%m: memref<8x16x16xi32>, %x: memref<16x32xf32, strided<[32, 2]>>, %i: index) {
  // expected-error @+1 {{expects an index for each dimension of a buffer with contiguous rows, got 2}}
  gate.amx_store %m[0], %x[%i, %i] stride %i : memref<16x32xf32, strided<[32, 2]>>
  return
}

// -----

func.func @amx_dot_bf16_c1(%m: memref<8x16x16xi32>) {
  // expected-error @+1 {{expects three registers, got 0, 4 and 4}}
  gate.amx_dot_bf16 %m[0], 4, 4
  return
}

// -----

func.func @multiply_bytes_c1(%a: vector<8xi8>) {
  // expected-error @+1 {{must be vector of 8-bit signless integer values of length 16/32/64}}
  %r = gate.multiply_bytes %a, %a : vector<8xi8>
  return
}

// -----

func.func @dot_bytes_c1(%a: vector<12xi8>, %s: vector<3xi32>) {
  // expected-error @+1 {{must be vector of 8-bit signless integer values of length 16/32/64}}
  %r = gate.dot_bytes %a, %a, %s : vector<12xi8>
  return
}

// -----

func.func @dot_pairs_c1(%a: vector<6xi16>, %s: vector<3xi32>) {
  // expected-error @+1 {{must be vector of 16-bit signless integer values of length 8/16/32}}
  %r = gate.dot_pairs %a, %a, %s : vector<6xi16>
  return
}

// -----

func.func @packed_contract_c2(%x: tensor<?x4xf32>, %w: tensor<1x2x4x4xf32>, %k: tensor<1x2x5x4xf32>, %g: tensor<2x2x4x4xf32>, %y: tensor<?x7xf32>, %m: memref<?x7xf32>) {
  // expected-error @+1 {{expects panels of accumulators * lanes columns}}
  %r = gate.packed_contract rows(%x : tensor<?x4xf32>) packed(%w : tensor<1x2x4x4xf32>) extras() [] outs(%y : tensor<?x7xf32>) lanes 8 -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c3(%x: tensor<?x4xf32>, %w: tensor<1x2x4x4xf32>, %k: tensor<1x2x5x4xf32>, %g: tensor<2x2x4x4xf32>, %y: tensor<?x7xf32>, %m: memref<?x7xf32>) {
  // expected-error @+1 {{expects one group of weights without offsets}}
  %r = gate.packed_contract rows(%x : tensor<?x4xf32>) packed(%g : tensor<2x2x4x4xf32>) extras() [] outs(%y : tensor<?x7xf32>) lanes 4 -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @packed_contract_c4(%x: tensor<?x4xf32>, %w: tensor<1x2x4x4xf32>, %k: tensor<1x2x5x4xf32>, %g: tensor<2x2x4x4xf32>, %y: tensor<?x7xf32>, %m: memref<?x7xf32>) {
  // expected-error @+1 {{expects a result exactly if its destination is a tensor}}
  %r = gate.packed_contract rows(%x : tensor<?x4xf32>) packed(%w : tensor<1x2x4x4xf32>) extras() [] outs(%m : memref<?x7xf32>) lanes 4 -> tensor<?x7xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @runtime_call_c1(%x: tensor<?xf32>) {
  // expected-error @+1 {{expects a result for each destination tensor}}
  gate.runtime_call "f"() outs(%x : tensor<?xf32>)
  return
}

// -----

func.func @runtime_call_c2(%m: memref<4x4xf32, strided<[8, 1]>>) {
  // expected-error @+1 {{expects contiguous buffers}}
  gate.runtime_call "f"(%m : memref<4x4xf32, strided<[8, 1]>>) outs()
  return
}

// -----

func.func @tasks_c1(%n: index) {
  // expected-error @+1 {{expects a body that takes one index}}
  gate.tasks %n {
  ^bb0(%i: i32):
  }
  return
}

// -----

func.func @plan_tensors_c1(%p: !gate.plan<groups = 2, choices = 1>) {
  // expected-error @+1 {{expects the tensors of}}
  %o, %s, %i, %w = gate.plan_tensors %p : !gate.plan<groups = 2, choices = 1> -> tensor<2xi32>, tensor<?xi32>, tensor<?x1xi32>, tensor<?x1xf32>
  return
}

// -----

func.func @symbol_c1(%f: !llvm.ptr) {
  // expected-error @+1 {{expects an index that is not negative, got -1}}
  %b = gate.symbol %f[-1] : !llvm.ptr
  return
}

// -----

func.func @port_c1(%f: !llvm.ptr) {
  // expected-error @+1 {{expects a ranked buffer without layout and one size for each dynamic extent}}
  %b = gate.port %f output false 0 [] : !llvm.ptr -> memref<?x4xf32>
  return
}

// -----

func.func @allocate_c1(%f: !llvm.ptr, %n: index) {
  // expected-error @+1 {{expects a ranked buffer without layout and one size for each dynamic extent}}
  %b = gate.allocate %f[%n] : !llvm.ptr -> memref<4xf32>
  return
}

// -----

func.func @arena_c1(%f: !llvm.ptr, %n: index) {
  // expected-error @+1 {{expects a ranked buffer without layout and one size for each dynamic extent}}
  %b = gate.arena %f + %n[%n] : !llvm.ptr -> memref<4xf32>
  return
}

// -----

func.func @arena_c1_layout(%f: !llvm.ptr, %n: index) {
  // expected-error @+1 {{expects a ranked buffer without layout}}
  %b = gate.arena %f + %n[] : !llvm.ptr -> memref<4xf32, strided<[2]>>
  return
}

// -----

func.func @weight_buffer_c1(%f: !llvm.ptr) {
  // expected-error @+1 {{expects a gate.weight or gate.packed_weight of the result's shape and element type, got @none}}
  %b = gate.weight_buffer %f @none : !llvm.ptr -> memref<4xf32>
  return
}

// -----

func.func private @task(index)
func.func @launch_c1(%f: !llvm.ptr, %n: index) {
  // expected-error @+1 {{expects a function of the captures and an index, got @task}}
  gate.launch %f @task %n(%n) : !llvm.ptr, index
  return
}

// -----

func.func @weight_value_c1() {
  // expected-error @+1 {{expects a gate.weight or gate.packed_weight named @none}}
  %w = gate.weight_value @none : tensor<4xf32>
  return
}

// -----

gate.weight @w : tensor<2xf32> {value = dense<1.0> : tensor<2xf32>}
func.func @weight_value_c1_type() {
  // expected-error @+1 {{expects the weight's type 'tensor<2xf32>', got 'tensor<4xf32>'}}
  %w = gate.weight_value @w : tensor<4xf32>
  return
}

// -----

func.func @bound_c1(%n: i32) {
  // expected-error @+1 {{op operand #0 must be index, but got 'i32'}}
  %b = "gate.bound"(%n, %n) : (i32, i32) -> i32
  return
}

// -----

// @weight_c1
// expected-error @+1 {{expects a static type, got 'tensor<?xf32>'}}
gate.weight @w : tensor<?xf32> {file = "w.bin", strides = array<i64: 4>}

// -----

// @weight_c2
// expected-error @+1 {{expects either a file or a value or a stack}}
gate.weight @w : tensor<2xf32>

// -----

// @weight_c2_stride
// expected-error @+1 {{expects a stride for each of 2 dimensions}}
gate.weight @w : tensor<2x2xf32> {file = "w.bin", strides = array<i64: 4>}

// -----

// @weight_c2_value
// expected-error @+1 {{expects a value of type 'tensor<2xf32>'}}
gate.weight @w : tensor<2xf32> {value = dense<1.0> : tensor<3xf32>}

// -----

// @weight_c3
// expected-error @+1 {{expects an offset and strides that are not negative}}
gate.weight @w : tensor<2xf32> {file = "w.bin", offset = -4 : i64, strides = array<i64: 4>}

// -----

// @weight_c4
gate.weight @a : tensor<3xf32> {file = "w.bin", strides = array<i64: 4>}
// expected-error @+1 {{expects a weight for each of the first dimension of 'tensor<2x3xf32>', got 1}}
gate.weight @w : tensor<2x3xf32> {stack = [@a]}

// -----

// @weight_c4_type
gate.weight @a : tensor<4xf32> {file = "w.bin", strides = array<i64: 4>}
// expected-error @+1 {{expects @a to be a gate.weight of type 'tensor<3xf32>' that is no stack}}
gate.weight @w : tensor<1x3xf32> {stack = [@a]}

// -----

// @packed_weight_c1
// expected-error @+1 {{expects gate.weight sources of one type, got [@none]}}
gate.packed_weight @p : tensor<1x1x4x4xf32> {sources = [@none], lanes = 4 : i64}

// -----

// @packed_weight_c1_rank
gate.weight @v : tensor<4xf32> {file = "w.bin", strides = array<i64: 4>}
// expected-error @+1 {{expects sources of rank 2 or 3 and at least one lane}}
gate.packed_weight @p : tensor<1x1x4x4xf32> {sources = [@v], lanes = 4 : i64}

// -----

// @packed_weight_c2
gate.weight @w : tensor<4x3xf32> {file = "w.bin", strides = array<i64: 12, 4>}
// expected-error @+1 {{expects the packed type 'tensor<1x2x4x2xf32>', got 'tensor<1x1x4x2xf32>'}}
gate.packed_weight @p : tensor<1x1x4x2xf32> {sources = [@w], lanes = 2 : i64}

// -----

// @packed_weight_c1_scales
gate.weight @q : tensor<3x4xui8> {file = "w.bin", strides = array<i64: 4, 1>}
// expected-error @+1 {{expects a gate.weight of one type for each source, got [@none]}}
gate.packed_weight @p : tensor<1x2x1x24xi8> {sources = [@q], scales = [@none], lanes = 2 : i64, depth = 4 : i64, bits = 8 : i64, source_block = 8 : i64, block = 8 : i64, format = #gate.panel<int8>}

// -----

// @packed_weight_c3
gate.weight @w : tensor<4x3xf32> {file = "w.bin", strides = array<i64: 12, 4>}
// expected-error @+1 {{expects blocks of a multiple of 8 rows, got 12}}
gate.packed_weight @p : tensor<1x2x1x32xi8> {sources = [@w], lanes = 2 : i64, format = #gate.panel<int8>, block = 12 : i64}

// -----

// @packed_weight_c4
gate.weight @q : tensor<3x4xui8> {file = "w.bin", strides = array<i64: 4, 1>}
gate.weight @s : tensor<3x1xf32> {file = "w.bin", strides = array<i64: 4, 4>}
// expected-error @+1 {{expects depth, source_block, a multiple of block, and a format of integers exactly with scales}}
gate.packed_weight @p : tensor<1x2x1x24xi8> {sources = [@q], scales = [@s], lanes = 2 : i64, bits = 8 : i64, source_block = 8 : i64, block = 8 : i64, format = #gate.panel<int8>}

// -----

// @packed_weight_c4_format
gate.weight @q : tensor<3x4xui8> {file = "w.bin", strides = array<i64: 4, 1>}
gate.weight @s : tensor<3x1xf32> {file = "w.bin", strides = array<i64: 4, 4>}
// expected-error @+1 {{expects depth, source_block, a multiple of block, and a format of integers exactly with scales}}
gate.packed_weight @p : tensor<1x2x2x4xbf16> {sources = [@q], scales = [@s], lanes = 2 : i64, bits = 8 : i64, source_block = 8 : i64, depth = 4 : i64, format = #gate.panel<bf16>}

// -----

// @packed_weight_c5
gate.weight @w : tensor<4x3xf32> {file = "w.bin", strides = array<i64: 12, 4>}
// expected-error @+1 {{expects asymmetric weights to have zeros, integers and no scales of their own}}
gate.packed_weight @p : tensor<1x2x1x24xi8> {sources = [@w], lanes = 2 : i64, format = #gate.panel<int8>, block = 8 : i64, asymmetric}

// -----

// @packed_weight_c6
gate.weight @w : tensor<4x3xf32> {file = "w.bin", strides = array<i64: 12, 4>}
// expected-error @+1 {{expects sources of f16 for panels of f16}}
gate.packed_weight @p : tensor<1x2x4x2xf16> {sources = [@w], lanes = 2 : i64, format = #gate.panel<f16>}

// -----

// @site_c1
// expected-error @+1 {{expects kind experts, exit, skip, select or halt, got 'door'}}
gate.site @s {name = "s", kind = "door", cost = array<f64: 1.0>, full_cost = 1.0 : f64, nodes = []}

// -----

// @site_c2
// expected-error @+1 {{expects costs that are not negative}}
gate.site @s {name = "s", kind = "exit", cost = array<f64: 1.0, -1.0>, full_cost = 1.0 : f64, nodes = []}

// -----

// @dequantize_c1
func.func @dequantize_c1(%q: tensor<3x9xui8>, %s: tensor<3x1xf32>) {
  // expected-error @+1 {{expects 4 or 8 bits, got 2}}
  %w = gate.dequantize %q, %s {bits = 2 : i64, block = 9 : i64} : tensor<3x9xui8>, tensor<3x1xf32> -> tensor<9x3xf32>
  return
}

// -----

// @dequantize_c1_block
func.func @dequantize_c1_block(%q: tensor<3x9xui8>, %s: tensor<3x1xf32>) {
  // expected-error @+1 {{expects blocks of at least 1, got 0}}
  %w = gate.dequantize %q, %s {bits = 8 : i64, block = 0 : i64} : tensor<3x9xui8>, tensor<3x1xf32> -> tensor<9x3xf32>
  return
}

// -----

// @dequantize_c2
func.func @dequantize_c2(%q: tensor<3x9xui8>, %s: tensor<3x1xf32>) {
  // expected-error @+1 {{expects a static result of f32}}
  %w = gate.dequantize %q, %s {bits = 8 : i64, block = 9 : i64} : tensor<3x9xui8>, tensor<3x1xf32> -> tensor<9x3xf64>
  return
}

// -----

// @dequantize_c2_empty
func.func @dequantize_c2_empty(%q: tensor<3x0xui8>, %s: tensor<3x0xf32>) {
  // expected-error @+1 {{expects a static result of f32 [G, K, N] or [K, N] with K >= 1}}
  %w = gate.dequantize %q, %s {bits = 8 : i64, block = 9 : i64} : tensor<3x0xui8>, tensor<3x0xf32> -> tensor<0x3xf32>
  return
}

// -----

// @dequantize_c3
func.func @dequantize_c3(%q: tensor<3x9xui8>, %s: tensor<3x1xf32>) {
  // expected-error @+1 {{expects values of type 'tensor<3x5xui8>', got 'tensor<3x9xui8>'}}
  %w = gate.dequantize %q, %s {bits = 4 : i64, block = 9 : i64} : tensor<3x9xui8>, tensor<3x1xf32> -> tensor<9x3xf32>
  return
}

// -----

// @dequantize_c3_type
func.func @dequantize_c3_type(%q: tensor<3x9xi8>, %s: tensor<3x1xf32>) {
  // expected-error @+1 {{expects values of type 'tensor<3x9xui8>', got 'tensor<3x9xi8>'}}
  %w = gate.dequantize %q, %s {bits = 8 : i64, block = 9 : i64} : tensor<3x9xi8>, tensor<3x1xf32> -> tensor<9x3xf32>
  return
}

// -----

// @dequantize_c4
func.func @dequantize_c4(%q: tensor<3x9xui8>, %s: tensor<3x2xf32>) {
  // expected-error @+1 {{expects scales of type 'tensor<3x3xf32>', got 'tensor<3x2xf32>'}}
  %w = gate.dequantize %q, %s {bits = 8 : i64, block = 4 : i64} : tensor<3x9xui8>, tensor<3x2xf32> -> tensor<9x3xf32>
  return
}

// -----

// @dequantize_c5
func.func @dequantize_c5(%q: tensor<3x5xui8>, %s: tensor<3x3xf32>, %z: tensor<3x3xui8>) {
  // expected-error @+1 {{expects zeros of type 'tensor<3x2xui8>', got 'tensor<3x3xui8>'}}
  %w = gate.dequantize %q, %s zeros(%z) {bits = 4 : i64, block = 4 : i64} : tensor<3x5xui8>, tensor<3x3xf32>, tensor<3x3xui8> -> tensor<9x3xf32>
  return
}
