// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The commands of gatecc: each returns an ExitCode.
#ifndef GATECC_LIB_DRIVER_COMMANDS_H
#define GATECC_LIB_DRIVER_COMMANDS_H

#include "gatecc/Driver/Driver.h"
#include "lib/Driver/Options.h"

namespace gatecc {
int compileModel(const CompileCommand &command);
/// The same for a module in memory that is at the level `level`, Import or
/// Gate, and stays where it is.
int compileModule(const CompileCommand &command, mlir::ModuleOp module,
                  Level level);
int verifyModel(const VerifyCommand &command);
int runLibrary(const RunCommand &command);
int inspectLibrary(const InspectCommand &command);

/// All that models and text at any level may hold.
const mlir::DialectRegistry &compilerDialects();

/// Tells the user that gatecc, and not the input, is at fault.
void printInternalError(llvm::StringRef what);
} // namespace gatecc

#endif // GATECC_LIB_DRIVER_COMMANDS_H
