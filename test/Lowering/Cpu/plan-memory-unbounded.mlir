// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A size that only the run knows, without a bound, is an error.
// RUN: not gate-opt %s --plan-memory 2>&1 | FileCheck %s

func.func @gatecc_run(%frame: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %b = gate.symbol %frame[0] : !llvm.ptr
  %in = gate.port %frame output false 0 [%b] : !llvm.ptr -> memref<?xi32>
  %k = memref.load %in[%c0] : memref<?xi32>
  %n = arith.index_cast %k : i32 to index
  // CHECK: error: a buffer whose size has no bound in the sizes of the inputs is not supported yet
  %m = memref.alloc(%n) : memref<?xf32>
  memref.store %k, %in[%c0] : memref<?xi32>
  return %zero : i32
}
