// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a loop carries stays in the buffer that it came in.
// RUN: gate-opt %s --carry-in-place | FileCheck %s

// CHECK-LABEL: func.func @computed
// CHECK: scf.for {{.*}} iter_args(%[[H:.*]] = %{{.*}}, %[[S:.*]] = %{{.*}})
// CHECK:   %[[N:.*]] = linalg.exp
// CHECK-NOT: alloc_tensor
// CHECK:   %[[I:.*]] = tensor.insert_slice
// CHECK:   %[[M:.*]] = bufferization.materialize_in_destination %[[N]] in %[[H]]
// CHECK:   %[[O:.*]] = bufferization.materialize_in_destination %[[I]] in %[[S]]
// CHECK:   scf.yield %[[M]], %[[O]]
func.func @computed(%x: tensor<4xf32>, %s0: tensor<?x4xf32>, %n: index) -> (tensor<4xf32>, tensor<?x4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y:2 = scf.for %i = %c0 to %n step %c1 iter_args(%h = %x, %s = %s0) -> (tensor<4xf32>, tensor<?x4xf32>) {
    %e = tensor.empty() : tensor<4xf32>
    %next = linalg.exp ins(%h : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %t = tensor.insert_slice %next into %s[%i, 0] [1, 4] [1, 1] : tensor<4xf32> into tensor<?x4xf32>
    scf.yield %next, %t : tensor<4xf32>, tensor<?x4xf32>
  }
  return %y#0, %y#1 : tensor<4xf32>, tensor<?x4xf32>
}

// Values that change places are copied before either is overwritten.
// CHECK-LABEL: func.func @swapped
// CHECK: iter_args(%[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}})
// CHECK: %[[B2:.*]] = bufferization.alloc_tensor() copy(%[[B]])
// CHECK: %[[A2:.*]] = bufferization.alloc_tensor() copy(%[[A]])
// CHECK: %[[M:.*]] = bufferization.materialize_in_destination %[[B2]] in %[[A]]
// CHECK: %[[N:.*]] = bufferization.materialize_in_destination %[[A2]] in %[[B]]
// CHECK: scf.yield %[[M]], %[[N]]
func.func @swapped(%x: tensor<4xf32>, %z: tensor<4xf32>, %n: index) -> (tensor<4xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %z) -> (tensor<4xf32>, tensor<4xf32>) {
    scf.yield %b, %a : tensor<4xf32>, tensor<4xf32>
  }
  return %y#0, %y#1 : tensor<4xf32>, tensor<4xf32>
}

// So is what a branch may have left where it was; what stays is not touched.
// CHECK-LABEL: func.func @branch
// CHECK: iter_args(%[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}})
// CHECK: %[[R:.*]] = scf.if
// CHECK: %[[C:.*]] = bufferization.alloc_tensor() copy(%[[R]])
// CHECK: %[[M:.*]] = bufferization.materialize_in_destination %[[C]] in %[[A]]
// CHECK: scf.yield %[[M]], %[[B]]
func.func @branch(%x: tensor<4xf32>, %z: tensor<4xf32>, %n: index, %c: i1) -> (tensor<4xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %z) -> (tensor<4xf32>, tensor<4xf32>) {
    %r = scf.if %c -> tensor<4xf32> {
      scf.yield %b : tensor<4xf32>
    } else {
      %e = tensor.empty() : tensor<4xf32>
      %next = linalg.exp ins(%a : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
      scf.yield %next : tensor<4xf32>
    }
    scf.yield %r, %b : tensor<4xf32>, tensor<4xf32>
  }
  return %y#0, %y#1 : tensor<4xf32>, tensor<4xf32>
}

// A loop whose condition forwards some of its arguments forwards them all, in
// their order.
// CHECK-LABEL: func.func @reordered
// CHECK: %[[L:.*]]:3 = scf.while (%[[I:.*]] = %{{.*}}, %[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}}) : (index, tensor<4xf32>, tensor<4xf32>) -> (index, tensor<4xf32>, tensor<4xf32>)
// CHECK: scf.condition(%{{.*}}) %[[I]], %[[A]], %[[B]]
// CHECK: ^bb0(%[[I2:.*]]: index, %[[A2:.*]]: tensor<4xf32>, %[[B2:.*]]: tensor<4xf32>):
// CHECK: %[[J:.*]] = arith.addi %[[I2]]
// CHECK: linalg.exp ins(%[[B2]]
// CHECK: materialize_in_destination %{{.*}} in %[[A2]]
// CHECK: materialize_in_destination %{{.*}} in %[[B2]]
// CHECK: return %[[L]]#2, %[[L]]#1
func.func @reordered(%x: tensor<4xf32>, %z: tensor<4xf32>, %n: index) -> (tensor<4xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y:3 = scf.while (%i = %c0, %a = %x, %b = %z) : (index, tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, index, tensor<4xf32>) {
    %c = arith.cmpi slt, %i, %n : index
    scf.condition(%c) %b, %i, %a : tensor<4xf32>, index, tensor<4xf32>
  } do {
  ^bb0(%b: tensor<4xf32>, %i: index, %a: tensor<4xf32>):
    %j = arith.addi %i, %c1 : index
    %e = tensor.empty() : tensor<4xf32>
    %next = linalg.exp ins(%b : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %d = tensor.empty() : tensor<4xf32>
    %other = linalg.exp ins(%a : tensor<4xf32>) outs(%d : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %j, %next, %other : index, tensor<4xf32>, tensor<4xf32>
  }
  return %y#0, %y#2 : tensor<4xf32>, tensor<4xf32>
}
