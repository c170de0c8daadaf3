// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Has loops keep each carried tensor in one buffer.
//   before: scf.for iter_args(%h = %h0) { %n = f(%h); yield %n }
//   after:  scf.for iter_args(%h = %h0) {
//             %n = f(%h)
//             %m = bufferization.materialize_in_destination %n in %h
//             yield %m }
// A new buffer in each iteration would have no bound. Where the new value is
// computed element by element, bufferization removes the copy. What may lie in
// the buffer of a carried tensor (two values that change places) is first
// copied out of it.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"

namespace gatecc {
#define GEN_PASS_DEF_CARRYINPLACE
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

/// Whether `value`, made in `block`, may lie in the buffer of an argument of
/// `block`.
bool mayAliasArgument(Value value, Block &block) {
  SmallVector<Value> work{value};
  DenseSet<Value> seen;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    if (!isa<TensorType>(next.getType()) || !seen.insert(next).second)
      continue;
    if (auto argument = dyn_cast<BlockArgument>(next)) {
      if (argument.getOwner() == &block)
        return true;
      // Of a loop or branch inside: what it may have been given.
      llvm::append_range(work,
                         argument.getOwner()->getParentOp()->getOperands());
      continue;
    }
    Operation *op = next.getDefiningOp();
    if (!block.findAncestorOpInBlock(*op))
      continue; // from above the loop
    if (auto destination = dyn_cast<DestinationStyleOpInterface>(op)) {
      work.push_back(destination.getTiedOpOperand(cast<OpResult>(next))->get());
      continue;
    }
    if (isa<tensor::EmptyOp, bufferization::AllocTensorOp>(op))
      continue;
    llvm::append_range(work, op->getOperands());
    for (Region &region : op->getRegions())
      for (Block &inner : region)
        llvm::append_range(work, inner.getTerminator()->getOperands());
  }
  return false;
}

/// Whether `value` is `argument` with some of its elements replaced, or not.
bool updates(Value value, BlockArgument argument) {
  while (value != argument) {
    auto result = dyn_cast<OpResult>(value);
    if (!result)
      return false;
    if (auto insert = dyn_cast<tensor::InsertSliceOp>(result.getOwner())) {
      value = insert.getDest();
    } else if (auto call = dyn_cast<gate::RuntimeCallOp>(result.getOwner());
               call && call.getUpdates()) {
      value = call.getInits()[result.getResultNumber()];
    } else if (auto branch = dyn_cast<scf::IfOp>(result.getOwner())) {
      unsigned number = result.getResultNumber();
      return updates(branch.thenYield().getOperand(number), argument) &&
             updates(branch.elseYield().getOperand(number), argument);
    } else {
      return false;
    }
  }
  return true;
}

/// Gives `loop` the arguments of its condition as arguments of its body, in the
/// same order and before all others, so that the n-th value that the body
/// yields takes the place of its n-th argument.
scf::WhileOp align(scf::WhileOp loop) {
  ValueRange arguments = loop.getBeforeArguments();
  scf::ConditionOp condition = loop.getConditionOp();
  SmallVector<Value> forwarded(arguments);
  SmallVector<unsigned> places; // of what has been forwarded so far
  for (Value value : condition.getArgs()) {
    places.push_back(llvm::find(forwarded, value) - forwarded.begin());
    if (places.back() == forwarded.size())
      forwarded.push_back(value);
  }
  OpBuilder b(loop);
  Location loc = loop.getLoc();
  auto aligned = scf::WhileOp::create(b, loc, ValueRange(forwarded).getTypes(),
                                      loop.getInits());
  aligned.getBefore().takeBody(loop.getBefore());
  aligned.getAfter().takeBody(loop.getAfter());
  condition.getArgsMutable().assign(forwarded);
  Block *body = aligned.getAfterBody();
  unsigned numOld = body->getNumArguments();
  for (Value value : forwarded)
    body->addArgument(value.getType(), loc);
  for (auto [index, place] : llvm::enumerate(places)) {
    body->getArgument(index).replaceAllUsesWith(
        body->getArgument(numOld + place));
    loop.getResult(index).replaceAllUsesWith(aligned.getResult(place));
  }
  body->eraseArguments(0, numOld);
  loop.erase();
  return aligned;
}

struct CarryInPlacePass
    : public gatecc::impl::CarryInPlaceBase<CarryInPlacePass> {
  void runOnOperation() override {
    SmallVector<Operation *> loops;
    getOperation()->walk([&](Operation *op) {
      if (isa<scf::ForOp, scf::WhileOp>(op))
        loops.push_back(op);
    });
    for (Operation *op : loops) {
      if (auto loop = dyn_cast<scf::ForOp>(op)) {
        carry(*loop.getBody(), loop.getRegionIterArgs());
        continue;
      }
      scf::WhileOp loop = align(cast<scf::WhileOp>(op));
      carry(*loop.getAfterBody(), loop.getAfterArguments());
    }
  }

private:
  static void carry(Block &block, ArrayRef<BlockArgument> arguments) {
    Operation *yield = block.getTerminator();
    OpBuilder b(yield);
    Location loc = yield->getLoc();
    // All copies are made before the first buffer is overwritten.
    for (auto [argument, operand] :
         llvm::zip(arguments, yield->getOpOperands())) {
      Value value = operand.get();
      auto type = dyn_cast<RankedTensorType>(value.getType());
      if (type && value != argument && !updates(value, argument) &&
          mayAliasArgument(value, block))
        operand.set(bufferization::AllocTensorOp::create(b, loc, type,
                                                         ValueRange{}, value));
    }
    for (auto [argument, operand] :
         llvm::zip(arguments, yield->getOpOperands())) {
      Value value = operand.get();
      if (isa<RankedTensorType>(value.getType()) && value != argument)
        operand.set(bufferization::MaterializeInDestinationOp::create(
                        b, loc, value.getType(), value, argument)
                        .getResult());
    }
  }
};

} // namespace
