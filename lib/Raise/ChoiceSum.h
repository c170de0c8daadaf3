// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The sum over the choices of a row, which ends the work of experts. Graphs
// write it as a sum of rows that have been weighed, or as a product of the rows
// with the numbers that weigh them.
#ifndef GATECC_LIB_RAISE_CHOICESUM_H
#define GATECC_LIB_RAISE_CHOICESUM_H

#include "ExpertWork.h"

namespace gatecc::raise {

struct ChoiceSum {
  /// What is added up, along `axis`.
  mlir::Value input;
  unsigned axis = 0;
  /// How many of the result's first dimensions are rows.
  unsigned resultRows = 0;
};

/// The sum that `op` is over the choices of the work, if it is one. A product
///   sum over j of (a[t, j] * w[t, j]) * b[t, j, d]
/// becomes the sum of (a * b) * w, made at the graph builder's place: `w`, of
/// which the work computes nothing, is then the last factor of each row.
std::optional<ChoiceSum> matchChoiceSum(GraphBuilder &graph,
                                        mlir::Operation *op, ExpertWork &work);

/// Erases what has been made between two ops for a sum that is not raised after
/// all; a null `begin` is the start of the block.
void discardUnused(mlir::Operation *begin, mlir::Operation *end,
                   ExpertWork &work);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_CHOICESUM_H
