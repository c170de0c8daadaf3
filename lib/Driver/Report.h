// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The report: where rows or experts are dispatched, and where not and why.
#ifndef GATECC_LIB_DRIVER_REPORT_H
#define GATECC_LIB_DRIVER_REPORT_H

#include "lib/Driver/Calibration.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/raw_ostream.h"

namespace gatecc {

/// Describes a module at the level Gate: its gate.site ops, and what raising
/// has left in the attribute `gatecc.report` of the module: an array of
/// {site, kind, nodes = [names], decision = "taken"|"refused", reason}.
/// `precision` says what rounding the experts costs; null if they are f32.
void writeReport(mlir::ModuleOp module, const PrecisionReport *precision,
                 bool asJson, llvm::raw_ostream &os);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_REPORT_H
