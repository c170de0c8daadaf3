// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes what the deciding nodes of a network read and decide outputs of it.
#ifndef GATECC_LIB_DRIVER_EXPOSEDECISIONS_H
#define GATECC_LIB_DRIVER_EXPOSEDECISIONS_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include <string>
#include <vector>

namespace gatecc {

/// The node that a site is named after, and the outputs that tell of it.
struct ExposedDecision {
  std::string site;
  /// What the node compares: the scores of a top-k, both sides of a comparison.
  std::vector<std::string> operands;
  /// The chosen indices, or the bits.
  std::string decision;
};

/// Adds outputs to @main of `module`, which is at the level Import, for those
/// of `sites` whose node chooses or compares and stands in no body.
std::vector<ExposedDecision> exposeDecisions(mlir::ModuleOp module,
                                             llvm::ArrayRef<std::string> sites);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_EXPOSEDECISIONS_H
