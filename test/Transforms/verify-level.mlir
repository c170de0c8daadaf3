// RUN: split-file %s %t
// RUN: gate-opt %t/good.mlir --verify-level=level=gate | FileCheck %s
// RUN: not gate-opt %t/good.mlir --verify-level=level=kernel 2>&1 | FileCheck %s --check-prefix=TENSOR
// RUN: not gate-opt %t/good.mlir --verify-level=level=llvm 2>&1 | FileCheck %s --check-prefix=LLVM
// RUN: not gate-opt %t/route.mlir --verify-level=level=schedule 2>&1 | FileCheck %s --check-prefix=ROUTE
// RUN: not gate-opt %t/good.mlir --verify-level=level=nowhere 2>&1 | FileCheck %s --check-prefix=NAME

//--- good.mlir
// CHECK-LABEL: func @main
// TENSOR: error: 'math.exp' op may not occur at the level 'kernel'
// LLVM: error: 'math.exp' op may not occur at the level 'llvm'
// NAME: error: verify-level: there is no level 'nowhere'
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = math.exp %x : tensor<4xf32>
  return %y : tensor<4xf32>
}

//--- route.mlir
// ROUTE: error: 'gate.route' op may not occur at the level 'schedule'
func.func @main(%l: tensor<?x4xf32>) -> !gate.plan<groups = 4, choices = 1> {
  %p = gate.route %l {score = #gate.score<softmax>} : tensor<?x4xf32> -> !gate.plan<groups = 4, choices = 1>
  return %p : !gate.plan<groups = 4, choices = 1>
}
