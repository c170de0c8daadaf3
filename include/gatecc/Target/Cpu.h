// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CPUs that code is made for: names, features, machines, order of choice.
#ifndef GATECC_TARGET_CPU_H
#define GATECC_TARGET_CPU_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace llvm {
class Function;
class Module;
class TargetMachine;
} // namespace llvm

namespace gatecc {

/// One version of the code: a CPU and what it can do.
struct CpuTarget {
  /// LLVM's name of the CPU ("native" has been resolved).
  std::string name;
  /// Further features, in LLVM's form "+avx2,-xop"; empty but for "native".
  std::string features;
  /// GATECC_CPU_* bits of runtime/program.h that a machine must have.
  uint64_t required = 0;
  /// Of the versions that a machine can run, the highest rank is taken.
  int32_t rank = 0;

  /// Whether the CPU has a feature of the list in runtime/program.h, for
  /// example "fma" or "avx512f".
  bool has(llvm::StringRef feature) const;
  /// Bits of the vectors that code should use: 128, 256 or 512.
  unsigned vectorBits() const;
  bool operator==(const CpuTarget &other) const {
    return name == other.name && features == other.features;
  }
};

/// The version of a --mcpu name: "native", "x86-64-v3", "znver4", ... Without
/// a result, `error` says why not.
std::optional<CpuTarget> resolveCpu(llvm::StringRef name, std::string &error);

/// The CPU that the library's own code (not the network's) is made for: any
/// x86-64, so that it can say which instructions are missing.
CpuTarget baselineCpu();

/// Requires no longer what `module` does not use and a system may withhold:
/// AMX, which LLVM uses only where it is told to.
void dropUnusedFeatures(CpuTarget &cpu, const llvm::Module &module);

/// A machine that makes position-independent code at the highest level of
/// optimisation. Null, with `error`, only if LLVM lacks the target.
std::unique_ptr<llvm::TargetMachine> createMachine(const CpuTarget &cpu,
                                                   std::string &error);

/// Marks a function as code for `cpu`, whatever it was for before. Functions
/// inline into each other only if their marks agree.
void stampFunction(llvm::Function &function, const CpuTarget &cpu);

} // namespace gatecc

#endif // GATECC_TARGET_CPU_H
