// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the ops that index by data reject: @OP_cNUMBER breaks the constraint of
// that number.
// RUN: gate-opt %s --split-input-file --verify-diagnostics

func.func @nonzero_c1(%x: tensor<?x8xf32>) {
  // expected-error @+1 {{expects a tensor of i1 of rank 1 or more}}
  %p = gate.nonzero %x : tensor<?x8xf32> -> tensor<2x?xi64>
  return
}

// -----

func.func @nonzero_c2(%x: tensor<?x8xi1>) {
  // expected-error @+1 {{expects a result of type tensor<2x?xi64>}}
  %p = gate.nonzero %x : tensor<?x8xi1> -> tensor<3x?xi64>
  return
}

// -----

func.func @gather_nd_c1(%x: tensor<?x8xf32>, %i: tensor<?x3xi64>) {
  // expected-error @+1 {{expects vectors of at most as many indices}}
  %g = gate.gather_nd %x, %i {batch_dims = 0 : i64} : tensor<?x8xf32>, tensor<?x3xi64> -> tensor<?xf32>
  return
}

// -----

func.func @gather_nd_c2(%x: tensor<?x8xf32>, %i: tensor<?x1xi8>) {
  // expected-error @+1 {{expects indices of type i32 or i64}}
  %g = gate.gather_nd %x, %i {batch_dims = 0 : i64} : tensor<?x8xf32>, tensor<?x1xi8> -> tensor<?x8xf32>
  return
}

// -----

func.func @gather_nd_c3(%x: tensor<?x8xf32>, %i: tensor<?x1xi64>) {
  // expected-error @+1 {{expects a result of shape}}
  %g = gate.gather_nd %x, %i {batch_dims = 0 : i64} : tensor<?x8xf32>, tensor<?x1xi64> -> tensor<?x9xf32>
  return
}

// -----

func.func @scatter_nd_c1(%x: tensor<?x8xf32>, %i: tensor<?x3xi64>, %u: tensor<?xf32>) {
  // expected-error @+1 {{expects vectors of at most as many indices}}
  %g = gate.scatter_nd %u at %i into %x {reduction = #gate.reduction<none>} : tensor<?xf32>, tensor<?x3xi64>, tensor<?x8xf32>
  return
}

// -----

func.func @scatter_nd_c2(%x: tensor<?x8xf32>, %i: tensor<?x1xi1>, %u: tensor<?x8xf32>) {
  // expected-error @+1 {{expects indices of type i32 or i64}}
  %g = gate.scatter_nd %u at %i into %x {reduction = #gate.reduction<none>} : tensor<?x8xf32>, tensor<?x1xi1>, tensor<?x8xf32>
  return
}

// -----

func.func @scatter_nd_c3(%x: tensor<?x8xf32>, %i: tensor<?x1xi64>, %u: tensor<?x9xf32>) {
  // expected-error @+1 {{expects updates of shape}}
  %g = gate.scatter_nd %u at %i into %x {reduction = #gate.reduction<none>} : tensor<?x9xf32>, tensor<?x1xi64>, tensor<?x8xf32>
  return
}

// -----

func.func @scatter_nd_c4(%x: tensor<?x8xf16>, %i: tensor<?x1xi64>, %u: tensor<?x8xf16>) {
  // expected-error @+1 {{cannot reduce}}
  %g = gate.scatter_nd %u at %i into %x {reduction = #gate.reduction<max>} : tensor<?x8xf16>, tensor<?x1xi64>, tensor<?x8xf16>
  return
}

// -----

func.func @scatter_elements_c1(%x: tensor<8xf32>, %i: tensor<?xi64>, %u: tensor<?xf32>) {
  // expected-error @+1 {{expects tensors of one rank above the axis}}
  %g = gate.scatter_elements %u at %i into %x {axis = 1 : i64, reduction = #gate.reduction<none>} : tensor<?xf32>, tensor<?xi64>, tensor<8xf32>
  return
}

// -----

func.func @scatter_elements_c2(%x: tensor<8xf32>, %i: tensor<?xf32>, %u: tensor<?xf32>) {
  // expected-error @+1 {{expects indices of type i32 or i64}}
  %g = gate.scatter_elements %u at %i into %x {axis = 0 : i64, reduction = #gate.reduction<none>} : tensor<?xf32>, tensor<?xf32>, tensor<8xf32>
  return
}

// -----

func.func @scatter_elements_c3(%x: tensor<8xf32>, %i: tensor<3xi64>, %u: tensor<4xf32>) {
  // expected-error @+1 {{expects updates of the indices' shape}}
  %g = gate.scatter_elements %u at %i into %x {axis = 0 : i64, reduction = #gate.reduction<none>} : tensor<4xf32>, tensor<3xi64>, tensor<8xf32>
  return
}

// -----

func.func @scatter_elements_c4(%x: tensor<8xi1>, %i: tensor<3xi64>, %u: tensor<3xi1>) {
  // expected-error @+1 {{cannot reduce}}
  %g = gate.scatter_elements %u at %i into %x {axis = 0 : i64, reduction = #gate.reduction<add>} : tensor<3xi1>, tensor<3xi64>, tensor<8xi1>
  return
}

// -----

func.func @cumsum_c1(%x: tensor<8xi64>) {
  // expected-error @+1 {{expects an axis below the rank}}
  %g = gate.cumsum %x {axis = 1 : i64, exclusive = false, reverse = false} : tensor<8xi64>
  return
}

// -----

func.func @cumsum_c2(%x: tensor<8xi8>) {
  // expected-error @+1 {{cannot add up}}
  %g = gate.cumsum %x {axis = 0 : i64, exclusive = false, reverse = false} : tensor<8xi8>
  return
}

// -----

func.func @cumsum_c3(%x: tensor<8xi64>) {
  // expected-error @+1 {{expects a result of type}}
  %g = "gate.cumsum"(%x) {axis = 0 : i64, exclusive = false, reverse = false} : (tensor<8xi64>) -> tensor<9xi64>
  return
}

// -----

func.func @check_c1(%ok: i1, %n: index) {
  // expected-error @+1 {{expects at most two values}}
  gate.check %ok, "no" (%n, %n, %n)
  return
}
