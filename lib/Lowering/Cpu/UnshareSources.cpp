// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives every reader of memory that nothing writes to a tensor of its own.
//   before: %t = to_tensor %port;  f(%t);  g(%t)
//   after:  %t = to_tensor %port;  f(%t);  %u = to_tensor %port;  g(%u)
// For each use of a tensor, bufferization looks at all others of the same
// memory, which takes very long where a network's input has 10000 users.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace gatecc {
#define GEN_PASS_DEF_UNSHARESOURCES
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

bool isReadOnly(Operation *op) {
  auto tensor = dyn_cast<bufferization::ToTensorOp>(op);
  return isa<gate::WeightValueOp>(op) || (tensor && !tensor.getWritable());
}

struct UnshareSourcesPass
    : public gatecc::impl::UnshareSourcesBase<UnshareSourcesPass> {
  void runOnOperation() override {
    SmallVector<Operation *> sources;
    getOperation()->walk([&](Operation *op) {
      if (isReadOnly(op))
        sources.push_back(op);
    });
    for (Operation *op : sources) {
      auto uses = op->getResult(0).getUses();
      if (uses.empty())
        continue;
      for (OpOperand &use : llvm::make_early_inc_range(llvm::drop_begin(uses)))
        use.set(OpBuilder(use.getOwner()).clone(*op)->getResult(0));
    }
  }
};

} // namespace
