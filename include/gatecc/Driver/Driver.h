// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command line tool as a function.
#ifndef GATECC_DRIVER_DRIVER_H
#define GATECC_DRIVER_DRIVER_H

namespace gatecc {

/// What `gatecc` ends with.
enum ExitCode {
  kExitSuccess = 0,
  kExitInput = 1,    // the input, the data or the file system is at fault
  kExitUsage = 2,    // the command line
  kExitInternal = 3, // a mistake of gatecc
  kExitDifferent = 4 // `verify` has found a difference
};

/// Compiles, verifies, runs or inspects, as the arguments say; returns an
/// ExitCode. A crash in it is caught and reported as an internal error.
int runDriver(int argc, const char *const *argv);

} // namespace gatecc

#endif // GATECC_DRIVER_DRIVER_H
