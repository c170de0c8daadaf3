// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The levels of the IR and the pipelines that lead from one to the next.
#ifndef GATECC_PIPELINES_PIPELINES_H
#define GATECC_PIPELINES_PIPELINES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>
#include <vector>

namespace gatecc {
struct CpuTarget;

/// What a module may hold: see docs/Architecture.md. Object and Library are
/// made from modules at Llvm by lib/Target.
enum class Level { Import, Gate, Schedule, Kernel, Llvm, Object, Library };

/// "import", "gate", ...
llvm::StringRef levelName(Level level);
std::optional<Level> parseLevel(llvm::StringRef name);

/// What the pipelines are asked for, apart from the level and the CPU.
struct CompileOptions {
  /// Names of optimisations that must not run, of disablablePasses().
  std::vector<std::string> disabled;
  /// Ties of routers as ONNX Runtime's CPU kernels break them.
  bool tiesOrtCpu = false;
  /// Values are finite: work of weight zero may be skipped without proof.
  bool assumeFinite = false;
  /// The format of the experts' weights: f32, bf16, int8 or int4.
  std::string experts = "f32";
  /// How many elements of a weight's column share a scale: 32, 64 or 128.
  int64_t block = 32;
  /// Integers have zero points, so that they span [min w, max w].
  bool zeroPoints = false;
  /// Verify after each pass, which takes a tenth of the time, and not only
  /// where a level ends.
  bool verifyEach = false;
  /// The process ends where the run leaves a buffer.
  bool checkAccesses = false;
  /// Print the stages and their times to standard error.
  bool verbose = false;

  bool isDisabled(llvm::StringRef pass) const {
    for (const std::string &name : disabled)
      if (name == pass)
        return true;
    return false;
  }
};

/// The names that --disable takes.
llvm::ArrayRef<llvm::StringRef> disablablePasses();
/// Those of passes that find work to skip: form-*.
llvm::ArrayRef<llvm::StringRef> raisingPasses();

/// Reads an ONNX or JSON model into a module at the level Import. On failure a
/// diagnostic names the file, the node and the reason.
mlir::LogicalResult importModel(mlir::MLIRContext &context,
                                llvm::StringRef path,
                                mlir::OwningOpRef<mlir::ModuleOp> &module);

/// Lowers a module from one level to a later one (at most Llvm). `cpu` is not
/// null from the level Schedule on. Between Kernel and Llvm the caller places
/// the weights (layoutWeights in gatecc/Target/Weights.h), so that the
/// attribute `gate.offset` is on every weight that code reads.
mlir::LogicalResult runPipeline(mlir::ModuleOp module, Level from, Level upTo,
                                const CompileOptions &options,
                                const CpuTarget *cpu);

/// The operators that a model may use, one a line, for --list-ops.
void listOperators(llvm::raw_ostream &os);

} // namespace gatecc

#endif // GATECC_PIPELINES_PIPELINES_H
