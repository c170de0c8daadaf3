// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How diagnostics of a compilation look on standard error.
#ifndef GATECC_LIB_DRIVER_DIAGNOSTICS_H
#define GATECC_LIB_DRIVER_DIAGNOSTICS_H

#include "mlir/IR/Diagnostics.h"
#include <atomic>

namespace gatecc {

/// Prints `file: node 'name': error: message`, or file:line:column for text
/// files, for as long as it lives; counts errors.
class DiagnosticPrinter {
public:
  explicit DiagnosticPrinter(mlir::MLIRContext &context);

  unsigned errors() const { return count; }
  /// While set, nothing is printed or counted.
  void setSilent(bool value) { silent = value; }

private:
  std::atomic<unsigned> count{0};
  std::atomic<bool> silent{false};
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_DIAGNOSTICS_H
