// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What all forms of experts end in: assign, apply, combine, a site and an entry
// in the report.
#ifndef GATECC_LIB_RAISE_EXPERTWORK_H
#define GATECC_LIB_RAISE_EXPERTWORK_H

#include "ExpertBody.h"

namespace gatecc::raise {

/// One decision, with the ops that are the work of its experts.
struct ExpertWork {
  Decision decision;
  llvm::DenseSet<mlir::Operation *> inside;
  bool isRaised = false;
  unsigned number = 0; // in the order of the graph
  std::string refusal;
};

/// An elementwise product of two tensors, or null.
mlir::linalg::GenericOp matchMultiply(mlir::Value value);

/// [T.., k] as [T, k], whatever dimensions of one element it has.
mlir::Value asChoices(GraphBuilder &graph, mlir::Value value, int64_t choices);

/// Creates the plan, the apply of what was built, and the sum over choices, at
/// the graph builder's place: [T, columns]. `slots` is the region's result and
/// `weights` [T, k] or null.
mlir::Value emitExperts(GraphBuilder &graph, ExpertWork &work, ExpertBody &body,
                        mlir::Value slots, mlir::Value weights,
                        llvm::SmallVectorImpl<mlir::Attribute> &report);

/// Says why a decision is left as it is.
void reportRefusal(GraphBuilder &graph, const ExpertWork &work,
                   llvm::SmallVectorImpl<mlir::Attribute> &report);

/// Experts that are unrolled: the rows of each are found in a mask, computed
/// by ops of their own, and added to those of the others.
void formUnrolledExperts(GraphBuilder &graph, mlir::Block &block,
                         llvm::SmallVectorImpl<mlir::Attribute> &report);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTWORK_H
