// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ends long chains of branches that may return what they were given.
//   before: %a = if .. { yield f(%x) } else { yield %x }
//           %b = if .. { yield g(%a) } else { yield %a }   and so on
//   after:  each `limit` branches, the result is copied
// All tensors of such a chain may share memory. For each of them, bufferization
// looks at the uses of all others: without an end, a network that skips a
// thousand layers takes minutes. A copy of the rows costs little beside them.
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

namespace gatecc {
#define GEN_PASS_DEF_CUTALIASES
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

struct CutAliasesPass : public gatecc::impl::CutAliasesBase<CutAliasesPass> {
  using CutAliasesBase::CutAliasesBase;

  void runOnOperation() override {
    // Operands of an op, and what its regions yield, come before its results.
    getOperation()->walk([&](Operation *op) {
      if (auto branch = dyn_cast<scf::IfOp>(op))
        return countBranch(branch);
      if (isa<bufferization::AllocTensorOp>(op))
        return; // a copy
      if (auto destination = dyn_cast<DestinationStyleOpInterface>(op)) {
        for (OpResult result : op->getResults())
          count(result,
                branches.lookup(destination.getTiedOpOperand(result)->get()));
        return;
      }
      unsigned most = 0;
      for (Value operand : op->getOperands())
        most = std::max(most, branches.lookup(operand));
      for (OpResult result : op->getResults())
        count(result, most);
    });
  }

private:
  /// How many branches lie between a tensor and the start of its memory; not
  /// in the map: none.
  DenseMap<Value, unsigned> branches;

  void count(OpResult result, unsigned number) {
    if (number && isa<TensorType>(result.getType()))
      branches[result] = number;
  }

  void countBranch(scf::IfOp branch) {
    for (OpResult result : branch.getResults()) {
      unsigned position = result.getResultNumber();
      unsigned number =
          branches.lookup(branch.thenYield().getOperand(position));
      number = std::max(
          number, branches.lookup(branch.elseYield().getOperand(position)));
      if (number + 1 < limit) {
        count(result, number + 1);
        continue;
      }
      auto type = dyn_cast<RankedTensorType>(result.getType());
      if (!type)
        continue;
      OpBuilder b(branch->getContext());
      b.setInsertionPointAfter(branch);
      auto copy = bufferization::AllocTensorOp::create(b, branch.getLoc(), type,
                                                       ValueRange{}, result);
      result.replaceAllUsesExcept(copy, copy);
    }
  }
};

} // namespace
