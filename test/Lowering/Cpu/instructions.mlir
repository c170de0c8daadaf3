// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ops that are one instruction each, with the instruction and without it.
// RUN: gate-opt %s --convert-gate-to-llvm="bf16=true amx=true" | FileCheck %s --check-prefix=HAS --implicit-check-not=gate.
// RUN: gate-opt %s --convert-gate-to-llvm | FileCheck %s --check-prefix=LACKS --implicit-check-not=gate. --implicit-check-not=llvm.x86

// HAS: llvm.mlir.global internal constant @gatecc_amx_configuration("\01\00{{.*}}@\00@\00@\00@\00@\00@\00@\00@\00{{.*}}\10\10\10\10\10\10\10\10\00\00\00\00\00\00\00\00") {{.*}}alignment = 64
// HAS-LABEL: llvm.func @dot_bf16
// HAS: llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"(%arg2, %arg0, %arg1)
// HAS: llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.256"
// The odd ones are added first. Subnormal operands and results become zeros.
// LACKS-LABEL: llvm.func @dot_bf16
// LACKS: llvm.and %{{.*}} : vector<16xi32>
// LACKS: llvm.intr.fma(
// LACKS: llvm.icmp "eq"
// LACKS: llvm.select
// LACKS: llvm.shl
// LACKS: llvm.intr.fma(
// LACKS: llvm.icmp "eq"
// LACKS: llvm.select
func.func @dot_bf16(%a: vector<32xbf16>, %b: vector<32xbf16>, %s: vector<16xf32>,
                    %c: vector<16xbf16>, %t: vector<8xf32>) -> (vector<16xf32>, vector<8xf32>) {
  %r = gate.dot_bf16 %a, %b, %s : vector<32xbf16>
  %q = gate.dot_bf16 %c, %c, %t : vector<16xbf16>
  return %r, %q : vector<16xf32>, vector<8xf32>
}

// HAS-LABEL: llvm.func @amx
// HAS: llvm.call_intrinsic "llvm.x86.ldtilecfg"(%{{.*}}) : (!llvm.ptr)
// HAS: llvm.call_intrinsic "llvm.x86.tilezero"(%{{.*}}) : (i8)
// HAS: llvm.call_intrinsic "llvm.x86.tileloadd64"(%{{.*}}, %{{.*}}, %{{.*}}) : (i8, !llvm.ptr, i64)
// HAS: llvm.call_intrinsic "llvm.x86.tdpbf16ps"(%{{.*}}, %{{.*}}, %{{.*}}) : (i8, i8, i8)
// HAS: llvm.call_intrinsic "llvm.x86.tilestored64"(%{{.*}}, %{{.*}}, %{{.*}}) : (i8, !llvm.ptr, i64)
// HAS: llvm.call_intrinsic "llvm.x86.tilerelease"() : ()
// LACKS-LABEL: llvm.func @amx
// LACKS-COUNT-2: llvm.intr.fma(
// LACKS: llvm.fadd
// LACKS: llvm.fadd
func.func @amx(%x: memref<?x64xbf16>, %y: memref<?x32xf32>, %i: index, %s: index) {
  %image = memref.alloca() : memref<8x16x16xi32>
  gate.amx_configure %image
  gate.amx_zero %image[0]
  gate.amx_load %image[4], %x[%i, %i] stride %s : memref<?x64xbf16>
  gate.amx_dot_bf16 %image[0], 4, 6
  gate.amx_store %image[0], %y[%i, %i] stride %s : memref<?x32xf32>
  gate.amx_release %image
  return
}
