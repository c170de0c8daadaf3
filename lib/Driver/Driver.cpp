// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The tool's entry: parses the command line, runs the command, turns a crash
// into an exit status.
#include "gatecc/Driver/Driver.h"

#include "gatecc/Target/OutputFile.h"
#include "lib/Driver/Commands.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/raw_ostream.h"
#include <csignal>

using namespace gatecc;

static int runCommand(const Command &command) {
  if (auto *compile = std::get_if<CompileCommand>(&command))
    return compileModel(*compile);
  if (auto *verify = std::get_if<VerifyCommand>(&command))
    return verifyModel(*verify);
  if (auto *run = std::get_if<RunCommand>(&command))
    return runLibrary(*run);
  if (auto *inspect = std::get_if<InspectCommand>(&command))
    return inspectLibrary(*inspect);
  if (auto *print = std::get_if<PrintCommand>(&command)) {
    std::string error;
    if (writeOutput("", print->text, error))
      return kExitSuccess;
    llvm::errs() << "gatecc: error: cannot write to standard output: " << error
                 << "\n";
    return kExitInput;
  }
  llvm::errs() << "gatecc: error: " << std::get<UsageError>(command).message
               << " (gatecc --help lists the options)\n";
  return kExitUsage;
}

void gatecc::printInternalError(llvm::StringRef what) {
  llvm::errs() << "gatecc: internal error: " << what
               << "; this is a mistake of gatecc, please report it with the "
                  "model and the command line\n";
}

int gatecc::runDriver(int argc, const char *const *argv) {
  // A file-size limit shall be an error of the write, not a signal.
  std::signal(SIGXFSZ, SIG_IGN);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  int status = kExitInternal;
  llvm::CrashRecoveryContext::Enable();
  llvm::CrashRecoveryContext recovery;
  recovery.DumpStackAndCleanupOnFailure = true;
  // A stack of its own, so that deep IR does not meet a small limit.
  constexpr unsigned kStackBytes = 256u << 20;
  if (!recovery.RunSafelyOnThread(
          [&] { status = runCommand(parseCommand(arguments)); }, kStackBytes)) {
    printInternalError("gatecc has crashed");
    return kExitInternal;
  }
  return status;
}
