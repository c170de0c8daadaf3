// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Has every iteration of a loop of the network look whether the run was
// cancelled.
//   before: scf.while (...) do { ... }
//   after:  scf.while (...) do { gate.runtime_call "gatecc_check_cancelled"()
//   ... }
// Loops without tasks would otherwise never notice, and those of a network may
// have no end.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gatecc {
#define GEN_PASS_DEF_CHECKCANCELLATION
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

struct CheckCancellationPass
    : public gatecc::impl::CheckCancellationBase<CheckCancellationPass> {
  void runOnOperation() override {
    getOperation()->walk([](Operation *op) {
      Block *body = nullptr;
      if (auto loop = dyn_cast<scf::ForOp>(op))
        body = loop.getBody();
      else if (auto loop = dyn_cast<scf::WhileOp>(op))
        body = loop.getAfterBody();
      if (!body)
        return;
      OpBuilder b = OpBuilder::atBlockBegin(body);
      gate::RuntimeCallOp::create(b, op->getLoc(), TypeRange(), Type(),
                                  "gatecc_check_cancelled", ValueRange(),
                                  ValueRange(), ArrayRef<int64_t>(),
                                  /*frame=*/true, /*updates=*/false);
    });
  }
};

} // namespace
