// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Divides a long @gatecc_run in functions.
//   before: func @gatecc_run(%frame) { 100000 ops }
//   after:  func @gatecc_run(%frame) { call @step_0(%frame) -> ...; ... }
//           func private @step_0(%frame) { a few hundred ops }
// What LLVM does takes longer than in proportion to a function's length, and
// the closures of all launches in a function lie on its stack at once.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"

namespace gatecc {
#define GEN_PASS_DEF_SPLITRUN
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

/// Ops that each step has copies of, instead of taking their results from
/// another one: they read the frame and compute an address.
bool isCopied(Operation *op) {
  return op && (op->hasTrait<OpTrait::ConstantLike>() ||
                isa<gate::SymbolOp, gate::PortOp, gate::WeightBufferOp,
                    gate::ArenaOp>(op));
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
  /// Returns false where it leaves the function as it is.
  bool split();

private:
  using Step = SmallVector<Operation *, 0>;
  void findShared();
  void share(Value value);
  void emit(const Step &step, unsigned number);

  func::FuncOp run;
  Block &body;
  OpBuilder builder;
  SmallVector<Step, 0> steps;
  DenseMap<Operation *, unsigned> stepOf;
  /// What a later step takes from the one that makes it.
  DenseSet<Value> shared;
  DenseSet<Operation *> copies; // that `share` has seen
  IRMapping results;            // from shared values to results of calls
};

Splitter::Splitter(func::FuncOp run, int64_t opsPerStep)
    : run(run), body(run.front()), builder(run.getContext()) {
  int64_t size = opsPerStep;
  for (Operation &op : body) {
    if (size >= opsPerStep) {
      steps.emplace_back();
      size = 0;
    }
    op.walk([&](Operation *) { ++size; });
    stepOf[&op] = steps.size() - 1;
    steps.back().push_back(&op);
  }
}

/// `value` is used by another step than that which makes it.
void Splitter::share(Value value) {
  SmallVector<Value> work{value};
  while (!work.empty()) {
    Value next = work.pop_back_val();
    Operation *op = next.getDefiningOp();
    if (!isCopied(op)) {
      shared.insert(next);
    } else if (copies.insert(op).second) {
      llvm::append_range(work, op->getOperands());
    }
  }
}

void Splitter::findShared() {
  for (auto [number, step] : llvm::enumerate(steps))
    for (Operation *op : step)
      for (Value value : usedValues(op))
        if (Operation *source = value.getDefiningOp();
            source && stepOf.lookup(source) != number)
          share(value);
}

void Splitter::emit(const Step &step, unsigned number) {
  Location loc = step.front()->getLoc();
  Block *block = new Block;
  SmallVector<Value> operands{run.getArgument(0)};
  IRMapping mapping;
  mapping.map(run.getArgument(0),
              block->addArgument(run.getArgument(0).getType(), loc));
  OpBuilder at(run.getContext());
  at.setInsertionPointToEnd(block);
  // Of steps before: a copy of what makes the value, or an argument.
  std::function<void(Value)> take = [&](Value value) {
    if (mapping.contains(value))
      return;
    Operation *op = value.getDefiningOp();
    if (!isCopied(op)) {
      operands.push_back(results.lookupOrDefault(value));
      mapping.map(value, block->addArgument(value.getType(), loc));
      return;
    }
    for (Value operand : op->getOperands())
      take(operand);
    at.clone(*op, mapping);
  };
  SmallVector<Value> made;
  for (Operation *op : step) {
    for (Value value : usedValues(op))
      take(value);
    at.clone(*op, mapping);
    llvm::append_range(
        made, llvm::make_filter_range(op->getResults(), [&](Value result) {
          return shared.contains(result);
        }));
  }
  SmallVector<Value> returned;
  for (Value value : made)
    returned.push_back(mapping.lookup(value));
  func::ReturnOp::create(at, loc, returned);

  builder.setInsertionPointToEnd(run->getParentOfType<ModuleOp>().getBody());
  auto function = func::FuncOp::create(
      builder, loc, ("step_" + Twine(number)).str(),
      builder.getFunctionType(block->getArgumentTypes(),
                              ValueRange(returned).getTypes()));
  function.setPrivate();
  function.getBody().push_back(block);
  // Inlined into their only caller, steps would be one function again.
  function->setAttr("passthrough",
                    builder.getStrArrayAttr({"noinline", "gatecc-step"}));
  builder.setInsertionPoint(body.getTerminator());
  auto call = func::CallOp::create(builder, loc, function, operands);
  results.map(made, call.getResults());
}

bool Splitter::split() {
  // What is on the stack of a step would end with it.
  if (steps.size() < 2 || !body.getOps<memref::AllocaOp>().empty())
    return false;
  Operation *end = body.getTerminator();
  steps.back().pop_back();
  builder.setInsertionPoint(end);
  for (OpOperand &status : end->getOpOperands()) {
    Operation *constant = status.get().getDefiningOp();
    if (!constant || !constant->hasTrait<OpTrait::ConstantLike>())
      return false;
    status.set(builder.clone(*constant)->getResult(0));
  }
  findShared();
  for (auto [number, step] : llvm::enumerate(steps))
    if (!step.empty())
      emit(step, number);
  for (Step &step : llvm::reverse(steps))
    for (Operation *op : llvm::reverse(step))
      op->erase();
  return true;
}

struct SplitRunPass : public gatecc::impl::SplitRunBase<SplitRunPass> {
  using SplitRunBase::SplitRunBase;

  void runOnOperation() override {
    auto run = getOperation().lookupSymbol<func::FuncOp>("gatecc_run");
    if (!run || !run.getBody().hasOneBlock()) {
      getOperation().emitError("expects a function @gatecc_run of one block");
      return signalPassFailure();
    }
    if (!Splitter(run, ops).split())
      markAllAnalysesPreserved();
  }
};

} // namespace
