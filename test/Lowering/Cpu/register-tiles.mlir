// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The tiles of weights that are not plain, each with the products of one unit.
// RUN: gate-opt %s --lower-contract=isa=avx2 --canonicalize --cse -split-input-file | FileCheck %s
// RUN: gate-opt %s --lower-contract=isa=avx2+vnni --canonicalize --cse -split-input-file | FileCheck %s --check-prefix=VNNI
// RUN: gate-opt %s --lower-contract=isa=sse2 -split-input-file | FileCheck %s --check-prefix=SSE2
// RUN: gate-opt %s --lower-contract=isa=sse -split-input-file -o /dev/null

// A pair of bf16 in a word: the even one is shifted up, the odd one is masked.
// Sums stay in registers: 5 rows, for there are two halves of two vectors.
// CHECK-LABEL: func.func private @tile_bf16_16_5x1
// CHECK: scf.for {{.*}} iter_args
// CHECK: vector.load %{{.*}} : memref<?x?x?x32xbf16>, vector<16xbf16>
// CHECK: arith.shli
// CHECK-COUNT-10: math.fma
// CHECK: arith.andi
// CHECK-COUNT-10: math.fma
// CHECK: scf.yield
// The last row of an odd K has no second half.
// CHECK: scf.if
// CHECK-COUNT-10: math.fma
// CHECK: scf.yield
// CHECK: return
// CHECK-NOT: @tile_bf16_16_6x1
func.func @bf16(%frame: !llvm.ptr, %x: memref<?x5xf32>, %w: memref<1x2x3x32xbf16>, %y: memref<?x20xf32>) {
  gate.packed_contract rows(%x : memref<?x5xf32>) packed(%w : memref<1x2x3x32xbf16>) extras() [] outs(%y : memref<?x20xf32>) lanes 16
      attributes {format = #gate.panel<bf16>} {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// Integers are summed over a block, then scaled and added.
// CHECK-LABEL: func.func private @tile_int8_32_16_6x1
// CHECK: scf.for
// CHECK: %{{.*}}:12 = scf.for %{{.*}} = %c0 to %c16 step %c1 iter_args
// CHECK-COUNT-2: arith.extsi %{{.*}} : vector<16xi8> to vector<16xi16>
// CHECK-COUNT-12: gate.dot_pairs
// CHECK: scf.yield
// CHECK-NOT: gate.dot_pairs
// CHECK-COUNT-12: math.fma
// CHECK: return
func.func @int8(%frame: !llvm.ptr, %q: memref<?x68xi16>, %s: memref<?x2xf32>, %w: memref<1x2x2x576xi8>, %y: memref<?x20xf32>) {
  gate.packed_contract rows(%q : memref<?x68xi16>) packed(%w : memref<1x2x2x576xi8>) row_scales(%s : memref<?x2xf32>) extras() [] outs(%y : memref<?x20xf32>) lanes 16
      attributes {format = #gate.panel<int8>, block = 32 : i64} {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// Low and high halves of bytes, summed in 16 bits over 32 rows of K; the zero
// points are one more pair.
// CHECK-LABEL: func.func private @tile_int4_32z_16_4x1
// CHECK: %{{.*}}:8 = scf.for %{{.*}} = %c0 to %c4 step %c1 iter_args{{.*}} -> (vector<16xi16>
// CHECK: arith.andi
// CHECK-COUNT-8: gate.multiply_bytes
// CHECK: arith.shrui
// CHECK-COUNT-8: gate.multiply_bytes
// CHECK: scf.yield
// CHECK-COUNT-16: gate.dot_pairs
// CHECK-COUNT-8: math.fma
// CHECK: return
// CHECK-NOT: @tile_int4_32z_16_5x1
// With VNNI they are summed in 32 bits at once, and a row more fits.
// VNNI-LABEL: func.func private @tile_int4_32z_16_5x1
// VNNI: %{{.*}}:10 = scf.for %{{.*}} = %c0 to %c4 step %c1 iter_args{{.*}} -> (vector<8xi32>
// VNNI: arith.andi
// VNNI-COUNT-10: gate.dot_bytes
// VNNI: arith.shrui
// VNNI-COUNT-10: gate.dot_bytes
// VNNI: scf.yield
// VNNI-COUNT-10: gate.dot_pairs
// VNNI-COUNT-10: math.fma
// VNNI: return
// Without products of bytes dot_bytes is lowered to others.
// SSE2-NOT: gate.multiply_bytes
func.func @int4(%frame: !llvm.ptr, %q: memref<?x72xi8>, %s: memref<?x2xf32>, %w: memref<1x2x2x352xi8>, %y: memref<?x20xf32>) {
  gate.packed_contract rows(%q : memref<?x72xi8>) packed(%w : memref<1x2x2x352xi8>) row_scales(%s : memref<?x2xf32>) extras() [] outs(%y : memref<?x20xf32>) lanes 16
      attributes {format = #gate.panel<int4>, block = 32 : i64, zeros} {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// Four bytes of every column are multiplied with four of a row.
// CHECK-LABEL: func.func private @tile_int8q_32z_16_6x1
// CHECK: %{{.*}}:12 = scf.for %{{.*}} = %c0 to %c8 step %c1 iter_args{{.*}} -> (vector<8xi32>
// CHECK-COUNT-2: vector.load %{{.*}} : memref<?x?x?x608xi8>, vector<32xi8>
// CHECK-COUNT-12: gate.dot_bytes
// CHECK: scf.yield
// CHECK-COUNT-12: gate.dot_pairs
// CHECK-COUNT-12: math.fma
// CHECK: return
func.func @int8q(%frame: !llvm.ptr, %q: memref<?x72xi8>, %s: memref<?x2xf32>, %w: memref<1x2x2x608xi8>, %y: memref<?x20xf32>) {
  gate.packed_contract rows(%q : memref<?x72xi8>) packed(%w : memref<1x2x2x608xi8>) row_scales(%s : memref<?x2xf32>) extras() [] outs(%y : memref<?x20xf32>) lanes 16
      attributes {format = #gate.panel<int8q>, block = 32 : i64, zeros} {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// A zero point that all weights have is multiplied once for each row.
// CHECK-LABEL: func.func private @tile_int8q_32_16_6x1
// CHECK-DAG: arith.constant dense<-64> : vector<16xi16>
// CHECK-COUNT-6: gate.dot_pairs
// CHECK: %{{.*}}:12 = scf.for %{{.*}} = %c0 to %c8 step %c1 iter_args{{.*}} -> (vector<8xi32>
// CHECK-COUNT-12: gate.dot_bytes
// CHECK: scf.yield
// CHECK-NOT: gate.dot_pairs
// CHECK-COUNT-12: math.fma
// CHECK: return
func.func @implied(%frame: !llvm.ptr, %q: memref<?x72xi8>, %s: memref<?x2xf32>, %w: memref<1x2x2x576xi8>, %y: memref<?x20xf32>) {
  gate.packed_contract rows(%q : memref<?x72xi8>) packed(%w : memref<1x2x2x576xi8>) row_scales(%s : memref<?x2xf32>) extras() [] outs(%y : memref<?x20xf32>) lanes 16
      attributes {format = #gate.panel<int8q>, block = 32 : i64} {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}
