// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A pass for tests: the demand on each named op of a function.
#include "RowCost.h"
#include "gatecc/Raise/Demand.h"
#include "gatecc/Raise/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace gatecc {
#define GEN_PASS_DEF_TESTPRINTDEMAND
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
struct TestPrintDemand : gatecc::impl::TestPrintDemandBase<TestPrintDemand> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    llvm::outs() << "demand in " << function.getName() << ":\n";
    for (Block &block : function.getBody()) {
      Demand demand(block);
      for (Operation &op : block.without_terminator()) {
        StringRef name = nodeName(op.getLoc());
        if (name.empty())
          continue;
        llvm::outs() << "  " << name << ":";
        const Term &term = demand.of(&op);
        if (term.empty())
          llvm::outs() << " true";
        for (auto [index, literal] : llvm::enumerate(term)) {
          StringRef atom = nodeName(demand.atom(literal.atom));
          llvm::outs() << (index ? " and" : "")
                       << (literal.negated ? " not " : " ")
                       << (atom.empty() ? StringRef("?") : atom);
        }
        llvm::outs() << "\n";
      }
    }
  }
};
} // namespace
