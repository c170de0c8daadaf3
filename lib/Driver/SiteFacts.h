// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the deciding op of a site says of it, for the report.
#ifndef GATECC_LIB_DRIVER_SITEFACTS_H
#define GATECC_LIB_DRIVER_SITEFACTS_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include <string>

namespace gatecc {

struct SiteFacts {
  /// The rows that are dispatched: "B*S", or that a run decides.
  std::string rows = "decided at run time";
  int64_t choices = 1; // of each row
  /// How rows choose, in words: which scores, or whose ids.
  std::string router;
};

/// The facts of each gate.site of `module`, which is at the level Gate, by its
/// symbol. Of a chain of decisions, the first one counts.
llvm::StringMap<SiteFacts> collectSiteFacts(mlir::ModuleOp module);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_SITEFACTS_H
