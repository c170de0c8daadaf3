// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives every op in destination style a destination of its own.
//   before: %f = fill %empty;  %a = reduce outs(%f);  %b = reduce outs(%f)
//   after:  the second has a fill, or a copy, of its own
// So has a branch that yields an output as it is.
// Outputs are written to the caller's buffers, which bufferization takes for
// memory of no one else. If the chain of values in such a buffer forked, the
// other branch could be computed in the same buffer.
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

namespace gatecc {
#define GEN_PASS_DEF_UNSHAREINITS
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

struct UnshareInitsPass
    : public gatecc::impl::UnshareInitsBase<UnshareInitsPass> {
  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (!isa<bufferization::MaterializeInDestinationOp>(op) &&
          isa<DestinationStyleOpInterface, scf::ForOp, scf::WhileOp>(op))
        ops.push_back(op);
    });
    // Consumers first: the fill that is copied for one of them then gets an
    // empty tensor of its own.
    DenseSet<Value> taken;
    // What becomes an output has the output's buffer.
    getOperation()->walk([&](bufferization::MaterializeInDestinationOp op) {
      taken.insert(op.getSource());
    });
    // A branch that leaves such a value as it is must not give that buffer to
    // the result, to which others write.
    getOperation()->walk([&](scf::YieldOp yield) {
      if (!isa<scf::IfOp>(yield->getParentOp()))
        return;
      for (OpOperand &operand : yield->getOpOperands())
        if (taken.contains(operand.get()) &&
            operand.get().getParentRegion() != yield->getParentRegion())
          operand.set(copy(yield, operand.get()));
    });
    for (Operation *op : llvm::reverse(ops))
      for (OpOperand &init : destinationsOf(op))
        if (isa<TensorType>(init.get().getType()) &&
            !taken.insert(init.get()).second)
          init.set(copy(op, init.get()));
  }

private:
  static MutableOperandRange destinationsOf(Operation *op) {
    if (auto loop = dyn_cast<scf::ForOp>(op))
      return loop.getInitArgsMutable();
    if (auto loop = dyn_cast<scf::WhileOp>(op))
      return loop.getInitsMutable();
    return cast<DestinationStyleOpInterface>(op).getDpsInitsMutable();
  }
  static Value copy(Operation *user, Value value) {
    OpBuilder b(user);
    Location loc = user->getLoc();
    Operation *op = value.getDefiningOp();
    if (isa_and_nonnull<tensor::EmptyOp>(op))
      return b.clone(*op)->getResult(0);
    if (auto fill = dyn_cast_or_null<linalg::FillOp>(op)) {
      auto type = cast<RankedTensorType>(value.getType());
      Value empty = tensor::EmptyOp::create(
          b, loc, tensor::getMixedSizes(b, loc, fill.getOutputs()[0]),
          type.getElementType());
      return linalg::FillOp::create(b, loc, fill.getInputs(), empty)
          .getResult(0);
    }
    return bufferization::AllocTensorOp::create(
        b, loc, cast<RankedTensorType>(value.getType()), ValueRange{}, value);
  }
};

} // namespace
