// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The passes between one level and the next, for the driver and for gate-opt.
#ifndef GATECC_PIPELINES_STAGES_H
#define GATECC_PIPELINES_STAGES_H

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <string>
#include <vector>

namespace mlir {
class OpPassManager;
}

namespace gatecc {

struct StageOptions {
  /// The instruction set: a name of the table in gatecc/Target/Tiles.h.
  std::string isa = "avx2";
  /// The format of the experts' weights, and how many k share a scale.
  std::string experts = "f32";
  int64_t block = 32;
  bool zeroPoints = false;
  /// No value is NaN or infinite.
  bool assumeFinite = false;
  /// Every access to a buffer is checked by the run.
  bool checkAccesses = false;
  /// Optimisations that must not run.
  std::vector<std::string> disabled;

  bool isDisabled(llvm::StringRef pass) const {
    return llvm::is_contained(disabled, pass);
  }
};

void buildImportToGate(mlir::OpPassManager &pm, const StageOptions &options);
void buildGateToSchedule(mlir::OpPassManager &pm, const StageOptions &options);
void buildScheduleToKernel(mlir::OpPassManager &pm,
                           const StageOptions &options);
void buildKernelToLlvm(mlir::OpPassManager &pm, const StageOptions &options);

/// Makes them available to gate-opt under the names import-to-gate,
/// gate-to-schedule, schedule-to-kernel and kernel-to-llvm.
void registerStagePipelines();

} // namespace gatecc

#endif // GATECC_PIPELINES_STAGES_H
