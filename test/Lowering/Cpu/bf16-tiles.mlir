// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The tiles of weights of bf16 whose rows are bf16, too.
// RUN: gate-opt %s --lower-contract=isa=avx512+bf16 --canonicalize --cse -split-input-file | FileCheck %s

// One op adds the products of two rows of K; the last pair is as any other.
// CHECK-LABEL: func.func private @tile_bf16p_32_8x1
// CHECK: %{{.*}}:16 = scf.for {{.*}} iter_args
// CHECK-COUNT-2: vector.load %{{.*}} : memref<?x?x?x64xbf16>, vector<32xbf16>
// CHECK: vector.load %{{.*}} : memref<?x?xbf16, strided<[?, 1], offset: ?>>, vector<2xbf16>
// CHECK-COUNT-16: gate.dot_bf16
// CHECK: scf.yield
// CHECK-NOT: gate.dot_bf16
// CHECK: return
func.func @pairs(%frame: !llvm.ptr, %x: memref<?x6xbf16>, %w: memref<1x2x3x64xbf16>, %y: memref<?x40xf32>) {
  gate.packed_contract rows(%x : memref<?x6xbf16>) packed(%w : memref<1x2x3x64xbf16>) extras() [] outs(%y : memref<?x40xf32>) lanes 32
      attributes {format = #gate.panel<bf16p>} {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// The kernel has the registers for all its tiles.
// CHECK-LABEL: func.func private @contract_0
// CHECK: gate.amx_configure
// CHECK: call @rows_bf16t_32
// CHECK: gate.amx_release
// CHECK-NEXT: return
// Registers 0 to 3 are sums, 4 and 5 rows, 6 and 7 weights. The last rows of a block are not
// told from others, so that there are two numbers of rows only.
// CHECK-LABEL: func.func private @tile_bf16t_32_16x2
// CHECK-LABEL: func.func private @tile_bf16t_32_16x1
// CHECK-LABEL: func.func private @tile_bf16t_32_32x1
// CHECK: scf.if
// CHECK-COUNT-4: gate.amx_zero
// CHECK: else
// CHECK-COUNT-4: gate.amx_load
// CHECK: scf.for
// CHECK: gate.amx_load %[[I:.*]][4], %[[X:[a-z0-9]*]][{{.*}}] stride %[[S:.*]] : memref<?x?xbf16, strided<[?, 1], offset: ?>>
// CHECK: gate.amx_load %[[I]][5], %[[X]][{{.*}}] stride %[[S]] : memref
// CHECK: gate.amx_load %[[I]][6], %[[W:[a-z0-9]*]][{{.*}}, %c0] stride %c64 : memref<?x?x?x1024xbf16>
// CHECK: gate.amx_dot_bf16 %[[I]][0], 4, 6
// CHECK: gate.amx_dot_bf16 %[[I]][2], 5, 6
// CHECK: gate.amx_load %[[I]][7], %[[W]][{{.*}}, %c32] stride %c64 : memref
// CHECK: gate.amx_dot_bf16 %[[I]][1], 4, 7
// CHECK: gate.amx_dot_bf16 %[[I]][3], 5, 7
// CHECK: gate.amx_store %[[I]][0], %[[A:[a-z0-9]*]][{{.*}}, %c0] stride %c32 : memref<4x96x32xf32>
// CHECK: gate.amx_store %[[I]][1], %[[A]][{{.*}}, %c16] stride %c32 : memref<4x96x32xf32>
// CHECK-COUNT-2: gate.amx_store
// CHECK: return
// CHECK-NOT: func.func private @tile_bf16t
func.func @tiles(%frame: !llvm.ptr, %x: memref<?x96xbf16>, %w: memref<1x2x2x1024xbf16>, %y: memref<?x40xf32>) {
  gate.packed_contract rows(%x : memref<?x96xbf16>) packed(%w : memref<1x2x2x1024xbf16>) extras() [] outs(%y : memref<?x40xf32>) lanes 32
      attributes {format = #gate.panel<bf16t>} {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// Three weights of 16 columns: three sums, one register of rows.
// CHECK-LABEL: func.func private @tile_bf16t_48_16x1
// CHECK-COUNT-3: gate.amx_dot_bf16
// CHECK-NOT: @tile_bf16t
func.func @three(%frame: !llvm.ptr, %x: memref<?x32xbf16>, %w: memref<1x1x1x1536xbf16>, %y: memref<?x16xf32>) {
  gate.packed_contract rows(%x : memref<?x32xbf16>) packed(%w : memref<1x1x1x1536xbf16>) extras() [] outs(%y : memref<?x16xf32>) lanes 16
      attributes {format = #gate.panel<bf16t>} {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %ab = arith.mulf %a, %b : f32
    %abc = arith.mulf %ab, %c : f32
    gate.yield %abc : f32
  }
  return
}
