// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What all forms of experts end in: assign, apply, combine, a site and an entry
// in the report.
#ifndef GATECC_LIB_RAISE_EXPERTWORK_H
#define GATECC_LIB_RAISE_EXPERTWORK_H

#include "ExpertBody.h"

namespace gatecc::raise {

/// Rows added to a sum at their tokens' places: `result` is `sum` with
/// `updates` added for the slots of `order`.
struct SlotLink {
  mlir::Value sum, updates, result;
  SlotOrder order;
};
std::optional<SlotLink> matchSlotLink(SlotFunctions &functions,
                                      mlir::Operation *op);

/// One decision, with the ops that are the work of its experts.
struct ExpertWork {
  Decision decision;
  llvm::DenseSet<mlir::Operation *> inside;
  bool isRaised = false;
  unsigned number = 0; // in the order of the graph
  std::string refusal;
  llvm::SmallVector<SlotLink> links;
  /// Groups that the graph has no work for: rows get nothing from them.
  llvm::SmallVector<int64_t> missing;
};

/// Calls `find` for each block that computes with tensors, inner ones first,
/// with a graph builder, and erases what is not used any more.
void findExperts(mlir::ModuleOp module,
                 llvm::function_ref<void(GraphBuilder &, mlir::Block &)> find);

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

/// The weights [T, k] that `value` [n] or [n, 1] takes for each slot of an
/// order, or null.
mlir::Value slotWeights(SlotFunctions &functions, mlir::Value value,
                        const SlotOrder &order, int64_t choices);

/// Raises work whose results are added up by links: one for each group, or one
/// for all slots. On failure `work.refusal` says why.
bool raiseLinks(GraphBuilder &graph, SlotFunctions &functions, ExpertWork &work,
                llvm::SmallVectorImpl<mlir::Attribute> &report);

/// Erases the checks between the decision and `end` that say no more than that
/// the counts of its groups are counts.
void eraseCertainChecks(const ExpertWork &work, SlotFunctions &functions,
                        mlir::Operation *end);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTWORK_H
