// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One polynomial for scalars and vectors; f64 stays a call of libm.
// RUN: gate-opt %s --expand-math | FileCheck %s
// RUN: gate-opt %s --expand-math=fma=false | FileCheck %s --check-prefix=NOFMA

// The same number of the same operations on one value and on eight.
// CHECK-LABEL: func.func @exp
// CHECK-NOT: math.exp %{{.*}} : f32
// CHECK-COUNT-9: math.fma %{{.*}} : f32
// CHECK-NOT: math.fma %{{.*}} : f32
// CHECK-COUNT-9: math.fma %{{.*}} : vector<8xf32>
// CHECK: math.exp %{{.*}} : f64
// Without fused multiply-add in the target there is none in the code.
// NOFMA-NOT: math.fma
func.func @exp(%x: f32, %v: vector<8xf32>, %d: f64) -> (f32, vector<8xf32>, f64) {
  %0 = math.exp %x : f32
  %1 = math.exp %v : vector<8xf32>
  %2 = math.exp %d : f64
  return %0, %1, %2 : f32, vector<8xf32>, f64
}

// CHECK-LABEL: func.func @others
// CHECK-NOT: math.tanh
// CHECK-NOT: math.erf
// CHECK-NOT: math.log
// CHECK-NOT: math.rsqrt
// CHECK: math.sqrt
func.func @others(%x: f32) -> (f32, f32, f32, f32) {
  %0 = math.tanh %x : f32
  %1 = math.erf %x : f32
  %2 = math.log %x : f32
  %3 = math.rsqrt %x : f32
  return %0, %1, %2, %3 : f32, f32, f32, f32
}

// Narrow arithmetic is done in f32 and rounded op by op; bf16 by integers.
// CHECK-LABEL: func.func @narrow
// CHECK: %[[A:.*]] = arith.extf %{{.*}} : vector<8xf16> to vector<8xf32>
// CHECK: %[[S:.*]] = arith.addf %{{.*}} : vector<8xf32>
// CHECK: %[[R:.*]] = arith.truncf %[[S]] : vector<8xf32> to vector<8xf16>
// CHECK: %[[W:.*]] = arith.extf %[[R]] : vector<8xf16> to vector<8xf32>
// CHECK: %[[P:.*]] = arith.mulf %[[W]], %{{.*}} : vector<8xf32>
// CHECK: arith.truncf %[[P]] : vector<8xf32> to vector<8xf16>
// CHECK-NOT: arith.extf %{{.*}} : bf16
// CHECK-NOT: arith.truncf %{{.*}} : f32 to bf16
// CHECK: arith.cmpf olt, %{{.*}}, %{{.*}} : f32
func.func @narrow(%v: vector<8xf16>, %b: bf16) -> (vector<8xf16>, bf16, i1) {
  %0 = arith.addf %v, %v : vector<8xf16>
  %1 = arith.mulf %0, %v : vector<8xf16>
  %2 = arith.addf %b, %b : bf16
  %3 = arith.cmpf olt, %2, %b : bf16
  return %1, %2, %3 : vector<8xf16>, bf16, i1
}
