// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a library says about its network: names, shapes, sites, versions.
#ifndef GATECC_TARGET_PROGRAM_H
#define GATECC_TARGET_PROGRAM_H

#include "gatecc/Target/Cpu.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringRef.h"
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace gatecc {

/// One extent of a tensor: coefficient * the product of the factors, which are
/// indices of ProgramDescription::symbols.
struct ExtentDescription {
  int64_t coefficient = 1;
  std::vector<int32_t> factors;
};

struct TensorDescription {
  std::string name;
  uint8_t dtypeCode = 0; // as DLPack
  uint8_t dtypeBits = 0;
  std::vector<ExtentDescription> shape;
};

struct SiteDescription {
  std::string name, kind;
  int32_t numGroups = 0; // -1: decided at run time
  std::vector<double> groupCost;
  double fullCost = 0;
};

/// One version of the code, and the symbols of its functions.
struct VersionDescription {
  CpuTarget cpu;
  std::string run, arenaBytes;
};

struct ProgramDescription {
  std::string modelName, sourceHash;
  std::vector<TensorDescription> inputs, outputs;
  /// In the order in which the inputs name them: gatecc_frame::symbols.
  std::vector<std::string> symbols;
  std::vector<SiteDescription> sites;
  std::vector<VersionDescription> versions;
  uint64_t weightBytes = 0;
  /// Empty: the weights are embedded (if there are any).
  std::string weightsFile;
  uint64_t weightsHash = 0;
};

/// Parses "B", "2*B*S" or "3" into coefficient and factors. Symbols that are
/// not in `symbols` yet are added if `mayAdd`. None for other texts, or when
/// the coefficient overflows.
std::optional<ExtentDescription> parseExtent(llvm::StringRef text,
                                             std::vector<std::string> &symbols,
                                             bool mayAdd);

/// The position of each gate.site in gatecc_frame::site_rows is its position in
/// the module; groups without a number at compile time have numGroups -1 and
/// room for GATECC_DYNAMIC_GROUPS.
///
/// Reads the description of a module: at the level Gate from @main, later from
/// the attribute `gatecc.program` that recordProgram has left. Emits an error
/// if something is missing or wrong.
mlir::FailureOr<ProgramDescription> describeProgram(mlir::ModuleOp module);

/// Where recordProgram keeps what it has read.
inline constexpr const char *kProgramRecord = "gatecc.program";

/// Keeps the interface of @main, which lowering takes apart, in the attribute
/// `gatecc.program` of the module: {inputs, outputs} = arrays of
/// {name, type, dims}.
mlir::LogicalResult recordProgram(mlir::ModuleOp module);

/// A module that defines `gatecc_program` of runtime/program.h.
std::unique_ptr<llvm::Module> emitProgram(const ProgramDescription &program,
                                          llvm::LLVMContext &context);

} // namespace gatecc

#endif // GATECC_TARGET_PROGRAM_H
