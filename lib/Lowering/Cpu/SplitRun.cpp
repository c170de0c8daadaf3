// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Divides a long @gatecc_run in functions.
//   before: func @gatecc_run(%frame) { 100000 ops }
//   after:  func @gatecc_run(%frame) { call @step_0(%frame) -> ...; ... }
//           func private @step_0(%frame) { a few hundred ops }
// What LLVM does takes longer than in proportion to a function's length, and
// what calls leave on the stack of a function lies there at once. Branches and
// bodies of loops are divided in the same way, the inner ones first.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace gatecc {
#define GEN_PASS_DEF_SPLITRUN
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

/// A value that takes at most so many ops is computed anew in each step that
/// needs it, instead of being returned by one and passed to the others.
constexpr unsigned kMaxCopiedOps = 32;

/// Whether the results are the same wherever in a run the op stands: numbers,
/// sizes and addresses made of such.
bool isPlaceless(Operation *op) {
  return op->getNumRegions() == 0 && isPure(op) &&
         !op->hasTrait<OpTrait::IsTerminator>();
}

/// What `op` and the ops in its regions take from outside.
llvm::SetVector<Value> usedValues(Operation *op) {
  llvm::SetVector<Value> used;
  used.insert(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), used);
  return used;
}

class Splitter {
public:
  Splitter(func::FuncOp run, int64_t opsPerStep);
  void split(Block &block);

private:
  using Step = SmallVector<Operation *, 0>;
  bool isCopied(Operation *op) const { return copiedOps.contains(op); }
  SmallVector<Step, 0> divide(Block &block);
  void share(Value value, Operation *user);
  void emit(const Step &step);
  void erase(Operation *op);

  func::FuncOp run;
  OpBuilder builder;
  int64_t opsPerStep;
  unsigned numSteps = 0; // that have been emitted
  /// Those that are in no step, with how many ops they are made of.
  DenseMap<Operation *, unsigned> copiedOps;
  /// Of the block that is being divided.
  DenseMap<Operation *, unsigned> stepOf;
  /// What is used outside of the step that makes it.
  DenseSet<Value> shared;
};

Splitter::Splitter(func::FuncOp run, int64_t opsPerStep)
    : run(run), builder(run.getContext()), opsPerStep(opsPerStep) {
  run->walk<WalkOrder::PreOrder>([&](Operation *op) {
    unsigned copied = isPlaceless(op) ? 1 : kMaxCopiedOps + 1;
    for (Value operand : op->getOperands())
      copied += copiedOps.lookup(operand.getDefiningOp());
    if (copied <= kMaxCopiedOps)
      copiedOps[op] = copied;
  });
}

SmallVector<Splitter::Step, 0> Splitter::divide(Block &block) {
  SmallVector<Step, 0> steps;
  int64_t size = opsPerStep;
  for (Operation &op : block.without_terminator()) {
    if (isCopied(&op))
      continue;
    if (size >= opsPerStep) {
      steps.emplace_back();
      size = 0;
    }
    op.walk([&](Operation *) { ++size; });
    for (Value value : usedValues(&op))
      size += copiedOps.lookup(value.getDefiningOp());
    stepOf[&op] = steps.size();
    steps.back().push_back(&op);
  }
  return steps;
}

/// `user` needs `value`.
void Splitter::share(Value value, Operation *user) {
  Operation *op = value.getDefiningOp();
  if (isCopied(op)) {
    for (Value operand : op->getOperands())
      share(operand, user);
  } else if (stepOf.lookup(op) != stepOf.lookup(user)) {
    shared.insert(value);
  }
}

void Splitter::emit(const Step &step) {
  Location loc = step.front()->getLoc();
  Block *block = new Block;
  SmallVector<Value> operands{run.getArgument(0)};
  IRMapping mapping;
  mapping.map(run.getArgument(0),
              block->addArgument(run.getArgument(0).getType(), loc));
  OpBuilder at(run.getContext());
  at.setInsertionPointToEnd(block);
  // A copy of what makes the value, or an argument.
  std::function<void(Value)> take = [&](Value value) {
    if (mapping.contains(value))
      return;
    Operation *op = value.getDefiningOp();
    if (!isCopied(op)) {
      operands.push_back(value);
      mapping.map(value, block->addArgument(value.getType(), loc));
      return;
    }
    for (Value operand : op->getOperands())
      take(operand);
    at.clone(*op, mapping);
  };
  SmallVector<Value> made, returned;
  for (Operation *op : step) {
    for (Value value : usedValues(op))
      take(value);
    at.clone(*op, mapping);
    for (Value result : op->getResults())
      if (shared.contains(result)) {
        made.push_back(result);
        returned.push_back(mapping.lookup(result));
      }
  }
  func::ReturnOp::create(at, loc, returned);

  builder.setInsertionPointToEnd(run->getParentOfType<ModuleOp>().getBody());
  auto function = func::FuncOp::create(
      builder, loc, ("step_" + Twine(numSteps++)).str(),
      builder.getFunctionType(block->getArgumentTypes(),
                              ValueRange(returned).getTypes()));
  function.setPrivate();
  function.getBody().push_back(block);
  // Inlined into their only caller, steps would be one function again.
  function->setAttr("passthrough",
                    builder.getStrArrayAttr({"noinline", "gatecc-step"}));
  // What is copied may stand between the ops of a step.
  builder.setInsertionPoint(step.front());
  auto call = func::CallOp::create(builder, loc, function, operands);
  for (auto [value, result] : llvm::zip(made, call.getResults()))
    value.replaceAllUsesWith(result);
}

void Splitter::erase(Operation *op) {
  op->walk([&](Operation *inner) { copiedOps.erase(inner); });
  op->erase();
}

void Splitter::split(Block &block) {
  SmallVector<Step, 0> steps = divide(block);
  // What is on the stack of a step would end with it.
  if (steps.size() >= 2 && block.getOps<memref::AllocaOp>().empty()) {
    SmallVector<Operation *, 0> old(
        llvm::make_pointer_range(block.without_terminator()));
    for (Operation &op : block)
      if (!isCopied(&op))
        for (Value value : usedValues(&op))
          share(value, &op);
    for (const Step &step : steps)
      emit(step);
    // What is left are copies that the terminator uses.
    for (Operation *op : llvm::reverse(old))
      if (!isCopied(op) || op->use_empty())
        erase(op);
  }
  stepOf.clear();
  shared.clear();
}

struct SplitRunPass : public gatecc::impl::SplitRunBase<SplitRunPass> {
  using SplitRunBase::SplitRunBase;

  void runOnOperation() override {
    auto run = getOperation().lookupSymbol<func::FuncOp>("gatecc_run");
    if (!run || !run.getBody().hasOneBlock()) {
      getOperation().emitError("expects a function @gatecc_run of one block");
      return signalPassFailure();
    }
    SmallVector<Block *> blocks;
    run.walk([&](Operation *op) {
      if (isa<func::FuncOp, scf::IfOp, scf::ForOp, scf::WhileOp>(op))
        for (Region &region : op->getRegions())
          for (Block &block : region)
            blocks.push_back(&block);
    });
    Splitter splitter(run, ops);
    for (Block *block : blocks)
      splitter.split(*block);
  }
};

} // namespace
