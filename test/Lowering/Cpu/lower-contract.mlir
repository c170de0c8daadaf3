// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One kernel for sites of one kind, called by tasks over row blocks and panels;
// in it, tiles of rows with each accumulator added in the order of k.
// RUN: gate-opt %s --lower-contract=isa=avx2 --canonicalize --cse -split-input-file | FileCheck %s

// CHECK-LABEL: func.func @gatecc_run
// CHECK: gate.tasks
// CHECK: func.call @contract_0(
// The second site is of the same kind.
// CHECK: gate.tasks
// CHECK: func.call @contract_0(
// CHECK-NOT: gate.packed_contract
// CHECK: func.func private @contract_0(%arg0: memref<?x?xf32, strided<[?, 1], offset: ?>>
// The full tile: 6 rows by 2 vectors. One panel load serves all rows.
// CHECK: scf.for
// CHECK: scf.for %{{.*}} step %c6
// CHECK: %{{.*}}:12 = scf.for %[[K:.*]] = %c0 to %{{.*}} step %c1 iter_args
// CHECK-COUNT-2: vector.load %{{.*}}, vector<8xf32>
// CHECK-NOT: vector.load
// CHECK-COUNT-12: math.fma
// CHECK: scf.yield
// Columns beyond the last panel are neither read nor written.
// CHECK: scf.if
// CHECK: vector.store
// CHECK: else
// CHECK: vector.create_mask
// CHECK: vector.maskedstore
// Each rest of rows has its own tile, down to one row.
// CHECK: %{{.*}}:2 = scf.for
// CHECK-NOT: func.func private
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
// CHECK: math.fma
func.func @other(%frame: !llvm.ptr, %x: memref<?x4xf32>, %w: memref<2x1x4x16xf32>, %y: memref<?x20xf32>, %offsets: memref<3xi32>, %source: memref<?xi32>) {
  gate.packed_contract rows(%x : memref<?x4xf32>) packed(%w : memref<2x1x4x16xf32>) offsets(%offsets : memref<3xi32>) source(%source : memref<?xi32>)
      extras() [] outs(%y : memref<?x20xf32>) lanes 16 {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}
