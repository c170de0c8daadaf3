// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One case, or more, for each numbered constraint of decisions, work and contractions:
// @OP_cNUMBER. The other ops are in invalid-schedule.mlir.
// RUN: gate-opt %s -split-input-file -verify-diagnostics

func.func @topk_c1(%x: tensor<8xf32>) {
  // expected-error @+1 {{expects input of rank 2}}
  %v, %i = gate.topk %x {k = 2 : i64, largest = true} : tensor<8xf32> -> tensor<2xf32>, tensor<2xi64>
  return
}

// -----

func.func @topk_c2(%x: tensor<?x8xf32>) {
  // expected-error @+1 {{expects 0 <= k <= 8, got 9}}
  %v, %i = gate.topk %x {k = 9 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x9xf32>, tensor<?x9xi64>
  return
}

// -----

func.func @topk_c2_negative(%x: tensor<?x?xf32>) {
  // expected-error @+1 {{got -1}}
  %v, %i = gate.topk %x {k = -1 : i64, largest = true} : tensor<?x?xf32> -> tensor<?x0xf32>, tensor<?x0xi64>
  return
}

// -----

func.func @topk_c2_both(%x: tensor<?x?xf32>, %n: index) {
  // expected-error @+1 {{expects either k or a count}}
  %v, %i = gate.topk %x count %n {k = 1 : i64, largest = true} : tensor<?x?xf32> -> tensor<?x1xf32>, tensor<?x1xi64>
  return
}

// -----

func.func @topk_c3(%x: tensor<?x8xf32>) {
  // expected-error @+1 {{expects results of shape [T, k]}}
  %v, %i = gate.topk %x {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
  return
}

// -----

func.func @route_c1(%x: tensor<?x2xi32>) {
  // expected-error @+1 {{expects float logits of rank 2}}
  %p = gate.route %x {score = #gate.score<softmax>} : tensor<?x2xi32> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

func.func @route_c2(%x: tensor<?x3xf32>) {
  // expected-error @+1 {{expects as many logits per row as the plan has groups (2), got 3}}
  %p = gate.route %x {score = #gate.score<softmax>} : tensor<?x3xf32> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

func.func @route_c3(%x: tensor<?x2xf32>) {
  // expected-error @+1 {{expects 1 <= choices <= groups, got choices = 3, groups = 2}}
  %p = gate.route %x {score = #gate.score<softmax>} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 3>
  return
}

// -----

func.func @plan_groups(%x: tensor<?x2xf32>) {
  // expected-error @+1 {{expects at least one group, got 0}}
  %p = gate.route %x {score = #gate.score<softmax>} : tensor<?x2xf32> -> !gate.plan<groups = 0, choices = 1>
  return
}

// -----

func.func @partition_c1(%x: tensor<?x2xi1>) {
  // expected-error @+1 {{expects one selector for each row}}
  %p = gate.partition %x : tensor<?x2xi1> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

func.func @partition_c2(%x: tensor<?xi64>) {
  // expected-error @+1 {{expects selectors of type i1 or i32, got 'i64'}}
  %p = gate.partition %x : tensor<?xi64> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

func.func @partition_c3(%x: tensor<?xi1>) {
  // expected-error @+1 {{expects a plan with one choice and two groups}}
  %p = gate.partition %x : tensor<?xi1> -> !gate.plan<groups = 3, choices = 1>
  return
}

// -----

func.func @partition_c4(%x: tensor<?xi1>, %i: index) {
  // expected-error @+1 {{expects a predicate and a site beside a step}}
  %p = gate.partition %x step(%i) : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

func.func @assign_c1(%x: tensor<?x3xi32>) {
  // expected-error @+1 {{expects ids [T, 2] of type i32 or i64, got 'tensor<?x3xi32>'}}
  %p = gate.assign %x : tensor<?x3xi32> -> !gate.plan<groups = 4, choices = 2>
  return
}

// -----

func.func @assign_c1_type(%x: tensor<?x2xi1>) {
  // expected-error @+1 {{expects ids [T, 2] of type i32 or i64, got 'tensor<?x2xi1>'}}
  %p = gate.assign %x : tensor<?x2xi1> -> !gate.plan<groups = 4, choices = 2>
  return
}

// -----

func.func @assign_c2(%x: tensor<?x2xi32>, %w: tensor<?x2xf64>) {
  // expected-error @+1 {{expects weights [T, 2] of type f32, got 'tensor<?x2xf64>'}}
  %p = gate.assign %x weights(%w : tensor<?x2xf64>) : tensor<?x2xi32> -> !gate.plan<groups = 4, choices = 2>
  return
}

// -----

func.func @yield_c1() {
  // expected-error @+1 {{expects to end a region of apply, contract or packed_contract}}
  gate.yield
}

// -----

func.func @apply_c1(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{expects increasing ranges within the 2 groups of the plan, got [1, 3)}}
  %y = gate.apply %p ranges [1, 3] : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
    gate.yield %x : tensor<?x4xf32>
  }
  return
}

// -----

func.func @apply_c1_overlap(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{expects increasing ranges within the 2 groups of the plan, got [0, 2)}}
  %y = gate.apply %p ranges [0, 1, 0, 2] : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
    gate.yield %x : tensor<?x4xf32>
  }, {
    gate.yield %x : tensor<?x4xf32>
  }
  return
}

// -----

func.func @apply_c2(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{expects a pair of bounds for each of its 1 regions, got 4 bounds}}
  %y = gate.apply %p ranges [0, 1, 1, 2] : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
    gate.yield %x : tensor<?x4xf32>
  }
  return
}

// -----

func.func @apply_c3(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{expects 1 arguments in region 0, got 0}}
  %y = gate.apply %p ranges [0, 1] ins(%x : tensor<?x4xf32>) : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
    gate.yield %x : tensor<?x4xf32>
  }
  return
}

// -----

func.func @apply_c4(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{does not hold rows of 'tensor<?x4xf32>'}}
  %y = gate.apply %p ranges [0, 1] ins(%x : tensor<?x4xf32>) : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
  ^bb0(%r: tensor<?x3xf32>):
    gate.yield %x : tensor<?x4xf32>
  }
  return
}

// -----

func.func @apply_c4_param(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{is not the slice of one group of 'tensor<2x4x3xf32>' for 1 groups}}
  %y = gate.apply %p ranges [0, 1] params(%w : tensor<2x4x3xf32>) : !gate.plan<groups = 2, choices = 1> -> tensor<?x4xf32> {
  ^bb0(%r: tensor<4x3xf32>):
    gate.yield %x : tensor<?x4xf32>
  }
  return
}

// -----

func.func @apply_c5(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{which are no rows of the result 'tensor<?x3xf32>'}}
  %y = gate.apply %p ranges [0, 1] ins(%x : tensor<?x4xf32>) : !gate.plan<groups = 2, choices = 1> -> tensor<?x3xf32> {
  ^bb0(%r: tensor<?x4xf32>):
    gate.yield %r : tensor<?x4xf32>
  }
  return
}

// -----

func.func @apply_c5_count(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %w: tensor<2x4x3xf32>) {
  // expected-error @+1 {{expects region 0 to yield 1 values}}
  %y = gate.apply %p ranges [0, 1] : !gate.plan<groups = 2, choices = 1> -> tensor<?x3xf32> {
    gate.yield
  }
  return
}

// -----

func.func @combine_c1(%p: !gate.plan<groups = 2, choices = 1>, %s: tensor<?x4xi32>, %f: tensor<?x4xf32>, %n: index) {
  // expected-error @+1 {{expects float slots of rank 2}}
  %y = gate.combine %s, %p rows(%n) : tensor<?x4xi32>, !gate.plan<groups = 2, choices = 1> -> tensor<?x4xi32>
  return
}

// -----

func.func @combine_c2(%p: !gate.plan<groups = 2, choices = 1>, %s: tensor<?x4xi32>, %f: tensor<?x4xf32>, %n: index) {
  // expected-error @+1 {{expects a result with the slots' columns}}
  %y = gate.combine %f, %p rows(%n) : tensor<?x4xf32>, !gate.plan<groups = 2, choices = 1> -> tensor<?x5xf32>
  return
}

// -----

func.func @merge_c1(%p: !gate.plan<groups = 2, choices = 1>, %q: !gate.plan<groups = 2, choices = 2>, %a: tensor<?x4xf32>, %b: tensor<?x5xf32>) {
  // expected-error @+1 {{expects a plan with one choice}}
  %y = gate.merge %a, %q groups [0, 1] base(%a) : tensor<?x4xf32>, !gate.plan<groups = 2, choices = 2>, tensor<?x4xf32>
  return
}

// -----

func.func @merge_c2(%p: !gate.plan<groups = 2, choices = 1>, %q: !gate.plan<groups = 2, choices = 2>, %a: tensor<?x4xf32>, %b: tensor<?x5xf32>) {
  // expected-error @+1 {{expects slots and base that differ in their rows only}}
  %y = gate.merge %a, %p groups [0, 1] base(%b) : tensor<?x4xf32>, !gate.plan<groups = 2, choices = 1>, tensor<?x5xf32>
  return
}

// -----

func.func @merge_c3(%p: !gate.plan<groups = 2, choices = 1>, %q: !gate.plan<groups = 2, choices = 2>, %a: tensor<?x4xf32>, %b: tensor<?x5xf32>) {
  // expected-error @+1 {{expects 0 <= first < last <= 2}}
  %y = gate.merge %a, %p groups [1, 3] base(%a) : tensor<?x4xf32>, !gate.plan<groups = 2, choices = 1>, tensor<?x4xf32>
  return
}

// -----

func.func @contract_c1(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects float rows of rank 2, got 'tensor<?x4xi32>'}}
  %y = gate.contract rows(%i : tensor<?x4xi32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c2(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects weights of one type}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w, %v : tensor<4x3xf32>, tensor<5x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c2_none(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects at least one weight}}
  %y = "gate.contract"(%x) <{extents = [], operandSegmentSizes = array<i32: 1, 0, 0, 0>}> ({
  ^bb0(%a: f32):
    "gate.yield"(%a) : (f32) -> ()
  }) : (tensor<?x4xf32>) -> tensor<?x3xf32>
  return
}

// -----

func.func @contract_c2_columns(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects rows with 5 columns, got 'tensor<?x4xf32>'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%v : tensor<5x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c2_element(%x: tensor<?x4xf16>, %w: tensor<4x3xf32>) {
  // expected-error @+1 {{expects weights of the rows' element type, or f16 or bf16 for rows of f32}}
  %y = gate.contract rows(%x : tensor<?x4xf16>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c2_rank(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects weights of rank 3, got 'tensor<4x3xf32>'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] plan(%p : !gate.plan<groups = 2, choices = 1>) -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c2_groups(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32, %q: !gate.plan<groups = 3, choices = 1>) {
  // expected-error @+1 {{expects a weight for each of the 3 groups}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%g : tensor<2x4x3xf32>) extras() [] plan(%q : !gate.plan<groups = 3, choices = 1>) -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c3(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects an extent for each extra operand}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras(%c : tensor<3xf32>) [] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c3_attribute(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects #gate.extent attributes, got 1 : i64}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras(%c : tensor<3xf32>) [1] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c3_scalar(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects a scalar, got 'tensor<3xf32>'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras(%c : tensor<3xf32>) [#gate.extent<scalar>] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c3_column(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects a column operand with 3 columns, got 'tensor<2xf32>'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras(%n : tensor<2xf32>) [#gate.extent<column>] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c3_row(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects a row operand of rank 1, got 'f32'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras(%t : f32) [#gate.extent<row>] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c3_full(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects a full operand with 3 columns, got 'tensor<3xf32>'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras(%c : tensor<3xf32>) [#gate.extent<full>] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c4(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects an epilogue argument for each weight and extra}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32, %b: f32):
    gate.yield %a : f32
  }
  return
}

// -----

func.func @contract_c4_type(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects epilogue argument 0 to be 'f32', got 'f64'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f64):
    gate.yield %a : f64
  }
  return
}

// -----

func.func @contract_c4_op(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects scalar arith and math ops in the epilogue, got tensor.extract}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    %z = arith.constant 0 : index
    %e = tensor.extract %c[%z] : tensor<3xf32>
    gate.yield %e : f32
  }
  return
}

// -----

func.func @contract_c4_yield(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects the epilogue to yield one 'f32'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x3xf32> {
  ^bb0(%a: f32):
    %z = arith.constant 0 : index
    gate.yield %z : index
  }
  return
}

// -----

func.func @contract_c5(%p: !gate.plan<groups = 2, choices = 1>, %x: tensor<?x4xf32>, %i: tensor<?x4xi32>, %w: tensor<4x3xf32>, %v: tensor<5x3xf32>, %g: tensor<2x4x3xf32>, %c: tensor<3xf32>, %n: tensor<2xf32>, %f: tensor<?x3xf32>, %t: f32) {
  // expected-error @+1 {{expects a result with 3 columns, got 'tensor<?x4xf32>'}}
  %y = gate.contract rows(%x : tensor<?x4xf32>) weights(%w : tensor<4x3xf32>) extras() [] -> tensor<?x4xf32> {
  ^bb0(%a: f32):
    gate.yield %a : f32
  }
  return
}

// -----

// @route_c4
func.func @route_c4(%x: tensor<?x2xf32>, %m: tensor<?x3xf32>) {
  // expected-error @+1 {{expects mixing of type 'tensor<?x2xf32>' with the score identity, got 'tensor<?x3xf32>' and identity}}
  %p = gate.route %x mixing(%m : tensor<?x3xf32>) {score = #gate.score<identity>} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

// @route_c4_score
func.func @route_c4_score(%x: tensor<?x2xf32>) {
  // expected-error @+1 {{expects mixing of type 'tensor<?x2xf32>' with the score identity, got 'tensor<?x2xf32>' and softmax}}
  %p = gate.route %x mixing(%x : tensor<?x2xf32>) {score = #gate.score<softmax>} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

// @route_c5
func.func @route_c5(%x: tensor<?x2xf32>) {
  // expected-error @+1 {{expects a normalised score identity or sigmoid beside sum_offset, and sum_offset beside sum_min}}
  %p = gate.route %x {score = #gate.score<identity>, sum_offset = 0.0 : f32} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 1>
  return
}

// -----

// @route_c5_min
func.func @route_c5_min(%x: tensor<?x2xf32>) {
  // expected-error @+1 {{expects a normalised score identity or sigmoid beside sum_offset, and sum_offset beside sum_min}}
  %p = gate.route %x {score = #gate.score<identity>, normalize = true, sum_min = 0.5 : f32} : tensor<?x2xf32> -> !gate.plan<groups = 2, choices = 1>
  return
}
