// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Computes nothing that has no elements.
//   before: %c = tensor.concat dim(0) %a, %b : .. -> tensor<0x8xf32>
//   after:  %c = tensor.empty() : tensor<0x8xf32>
// Not to save time: parts of such a tensor would start at its end, where the
// verifiers of slices and views find them out of bounds.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace gatecc {
#define GEN_PASS_DEF_DROPEMPTY
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

bool isEmpty(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.hasStaticShape() && tensor.getNumElements() == 0;
}

struct DropEmptyPass : public gatecc::impl::DropEmptyBase<DropEmptyPass> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (!op->getNumResults() || isa<tensor::EmptyOp>(op) ||
          !isMemoryEffectFree(op) ||
          !llvm::all_of(op->getResultTypes(), isEmpty))
        return WalkResult::advance();
      ops.push_back(op);
      return WalkResult::skip();
    });
    // Users first.
    for (Operation *op : llvm::reverse(ops)) {
      OpBuilder b(op);
      for (OpResult result : op->getResults())
        if (!result.use_empty())
          result.replaceAllUsesWith(
              tensor::EmptyOp::create(b, op->getLoc(), result.getType(), {}));
      op->erase();
    }
  }
};

} // namespace
