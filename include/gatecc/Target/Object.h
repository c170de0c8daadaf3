// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// From modules in the LLVM dialect to ELF objects, through LLVM's optimiser.
#ifndef GATECC_TARGET_OBJECT_H
#define GATECC_TARGET_OBJECT_H

#include "gatecc/Target/Cpu.h"
#include "gatecc/Target/Program.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <memory>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace gatecc {

/// The translations from MLIR that modules at the level Llvm need.
void registerLLVMTranslations(mlir::DialectRegistry &registry);

/// A context whose errors become diagnostics of `diagnostics`.
std::unique_ptr<llvm::LLVMContext>
createLLVMContext(mlir::MLIRContext &diagnostics);

/// The LLVM module of one version of the code. `module` is at the level Llvm
/// and defines gatecc_run : (ptr frame) -> i32 and gatecc_arena_bytes : (ptr
/// symbols) -> i64, which become `version.run` and `version.arenaBytes`, the
/// only symbols that stay visible. Every function is marked as code for the
/// version's CPU. Functions of the run-time library are declared only.
std::unique_ptr<llvm::Module>
translateVersion(mlir::ModuleOp module, const VersionDescription &version,
                 llvm::LLVMContext &context);

using ObjectBuffer = llvm::SmallVector<char, 0>;

/// Links the kernels of the run-time library that the module calls into it,
/// optimises and emits ELF objects, on two threads. Errors are diagnostics.
mlir::FailureOr<std::vector<ObjectBuffer>>
emitVersion(std::unique_ptr<llvm::Module> module, const CpuTarget &cpu,
            mlir::MLIRContext &diagnostics);

/// The object that holds the program's description.
mlir::FailureOr<ObjectBuffer> emitDescription(const ProgramDescription &program,
                                              llvm::LLVMContext &context,
                                              mlir::MLIRContext &diagnostics);

} // namespace gatecc

#endif // GATECC_TARGET_OBJECT_H
