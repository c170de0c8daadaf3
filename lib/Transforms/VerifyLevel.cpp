// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rejects what may not live at a level of the IR, with the op named.
// The levels and their contents are those of docs/Architecture.md.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"

namespace gatecc {
#define GEN_PASS_DEF_VERIFYLEVEL
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

struct LevelContents {
  StringLiteral name;
  /// Dialects all of whose ops are legal, but for tensors at the kernel level.
  ArrayRef<StringLiteral> dialects;
  bool tensors;
};

const StringLiteral kImport[] = {"builtin", "func", "onnx"};
const StringLiteral kStructured[] = {"builtin", "func", "linalg", "tensor",
                                     "arith",   "math", "scf"};
const StringLiteral kKernel[] = {"builtin", "func",  "scf",  "vector",
                                 "memref",  "arith", "math", "affine",
                                 "llvm",    "ub"};
const StringLiteral kLlvm[] = {"builtin", "llvm"};
const LevelContents kLevels[] = {{"import", kImport, true},
                                 {"gate", kStructured, true},
                                 {"schedule", kStructured, true},
                                 {"kernel", kKernel, false},
                                 {"llvm", kLlvm, false}};

/// What of `gate` may live at a level: weights and sites are named at all.
bool isLegalGateOp(Operation *op, StringRef level) {
  using namespace gate;
  if (isa<WeightOp, PackedWeightOp, SiteOp>(op))
    return true;
  if (level == "import")
    return isa<WeightValueOp>(op);
  if (level == "gate")
    return isa<TopKOp, RouteOp, PartitionOp, AssignOp, ApplyOp, YieldOp,
               CombineOp, MergeOp, ContractOp, WeightValueOp, DequantizeOp,
               BoundOp, NonZeroOp, GatherNDOp, ScatterNDOp, ScatterElementsOp,
               CumSumOp, CheckOp>(op);
  if (level == "schedule")
    return isa<PackedContractOp, YieldOp, RuntimeCallOp, BoundOp, CheckOp,
               WeightValueOp>(op);
  if (level == "kernel")
    return isa<RuntimeCallOp, BoundOp, CheckOp, AllocateOp, LaunchOp, SymbolOp,
               PortOp, WeightBufferOp, ArenaOp, DotBytesOp, DotPairsOp,
               MultiplyBytesOp, DotBf16Op, AmxConfigureOp, AmxReleaseOp,
               AmxZeroOp, AmxLoadOp, AmxStoreOp, AmxDotBf16Op>(op);
  return false;
}

struct VerifyLevelPass : public gatecc::impl::VerifyLevelBase<VerifyLevelPass> {
  using VerifyLevelBase::VerifyLevelBase;

  void runOnOperation() override {
    const LevelContents *contents = llvm::find_if(
        kLevels, [&](const LevelContents &l) { return l.name == level; });
    if (contents == std::end(kLevels)) {
      getOperation().emitError("verify-level: there is no level '")
          << level << "'";
      return signalPassFailure();
    }
    bool valid = true;
    getOperation()->walk([&](Operation *op) {
      if (valid && !isLegal(op, *contents)) {
        op->emitOpError("may not occur at the level '") << level << "'";
        valid = false;
      }
    });
    if (!valid)
      signalPassFailure();
  }

private:
  static bool isLegal(Operation *op, const LevelContents &contents) {
    StringRef dialect = op->getName().getDialectNamespace();
    if (dialect == "gate") {
      if (!isLegalGateOp(op, contents.name))
        return false;
    } else if (contents.name == "import" && isa<arith::ConstantOp>(op)) {
      return true;
    } else if (!llvm::is_contained(contents.dialects, dialect)) {
      return false;
    }
    auto isTensor = [](Type type) { return isa<TensorType>(type); };
    return contents.tensors || isa<gate::WeightOp, gate::PackedWeightOp>(op) ||
           (llvm::none_of(op->getOperandTypes(), isTensor) &&
            llvm::none_of(op->getResultTypes(), isTensor));
  }
};

} // namespace
