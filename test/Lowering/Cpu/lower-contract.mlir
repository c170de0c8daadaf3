// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One kernel for sites of one kind, called by tasks over row blocks and panels;
// it calls loops over register tiles that all kernels of a type share.
// RUN: gate-opt %s --lower-contract=isa=avx2 --canonicalize --cse -split-input-file | FileCheck %s

// CHECK-LABEL: func.func @gatecc_run
// CHECK: gate.tasks
// CHECK: func.call @contract_0(
// The second site is of the same kind.
// CHECK: gate.tasks
// CHECK: func.call @contract_0(
// CHECK-NOT: gate.packed_contract
// CHECK: func.func private @contract_0(%{{.*}}: memref<?x?xf32, strided<[?, 1], offset: ?>>
// CHECK: memref.alloca() {{.*}} : memref<8x96x16xf32>
// CHECK: func.call @rows_f32_16(
// Columns beyond the last panel are neither read nor written.
// CHECK: scf.if
// CHECK: vector.store
// CHECK: else
// CHECK: vector.create_mask
// CHECK: vector.maskedstore
// CHECK-LABEL: func.func private @rows_f32_16
// A few rows take several panels at a time.
// CHECK: scf.index_switch
// CHECK: case 1 {
// CHECK: func.call @tile_f32_16_1x4(
// CHECK: case 2 {
// CHECK: func.call @tile_f32_16_2x2(
// CHECK: case 3 {
// CHECK: func.call @tile_f32_16_3x2(
// CHECK-NOT: case
// CHECK: default
// Each number of rows up to a full tile's has its own.
// CHECK: scf.index_switch
// CHECK: func.call @tile_f32_16_1x1(
// CHECK: case 6 {
// CHECK: func.call @tile_f32_16_6x1(
// The full tile: 6 rows by 2 vectors. One load of the panel serves all rows, and
// what comes next is fetched meanwhile.
// CHECK-LABEL: func.func private @tile_f32_16_6x1
// CHECK-SAME: passthrough = ["noinline"]
// CHECK: %{{.*}}:12 = scf.if
// CHECK: %{{.*}}:12 = scf.for %[[K:.*]] = %{{.*}} to %{{.*}} step %c1 iter_args
// CHECK: memref.prefetch
// CHECK-COUNT-2: vector.load %{{.*}}, vector<8xf32>
// CHECK-NOT: vector.load
// CHECK-COUNT-12: math.fma
// CHECK: scf.yield
// CHECK-COUNT-12: vector.store
// CHECK: return
func.func @gatecc_run(%frame: !llvm.ptr, %x: memref<?x4xf32>, %w: memref<1x2x4x16xf32>, %y: memref<?x20xf32>, %bias: memref<20xf32>) -> i32 {
  gate.packed_contract rows(%x : memref<?x4xf32>) packed(%w : memref<1x2x4x16xf32>) extras(%bias : memref<20xf32>) [#gate.extent<column>] outs(%y : memref<?x20xf32>) lanes 16 {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    gate.yield %s : f32
  }
  gate.packed_contract rows(%x : memref<?x4xf32>) packed(%w : memref<1x2x4x16xf32>) extras(%bias : memref<20xf32>) [#gate.extent<column>] outs(%y : memref<?x20xf32>) lanes 16 {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    gate.yield %s : f32
  }
  %z = arith.constant 0 : i32
  return %z : i32
}

// -----

// With a plan, tasks are row blocks of groups, and rows are read through `source`.
// CHECK-LABEL: func.func @other
// CHECK: gate.runtime_call "gatecc_group_tasks"
// CHECK: gate.tasks
// CHECK: gate.runtime_call "gatecc_find_group"
// CHECK: func.call @contract_0(
// CHECK: func.func private @contract_0(
// CHECK: memref.load %{{.*}} : memref<?xi32
// CHECK: func.call @rows_f32_16(
func.func @other(%frame: !llvm.ptr, %x: memref<?x4xf32>, %w: memref<2x1x4x16xf32>, %y: memref<?x20xf32>, %offsets: memref<3xi32>, %source: memref<?xi32>) {
  gate.packed_contract rows(%x : memref<?x4xf32>) packed(%w : memref<2x1x4x16xf32>) offsets(%offsets : memref<3xi32>) source(%source : memref<?xi32>)
      extras() [] outs(%y : memref<?x20xf32>) lanes 16 {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}
