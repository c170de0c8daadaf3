// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What all forms of experts end in: assign, apply, combine, a site and an entry
// in the report.
#ifndef GATECC_LIB_RAISE_EXPERTWORK_H
#define GATECC_LIB_RAISE_EXPERTWORK_H

#include "ExpertBody.h"
#include "ExpertLanes.h"

namespace gatecc::raise {

/// A part of the sum over the slots of a decision: `result` adds up `sums` and,
/// at their tokens' places, `updates` for the slots of `order`.
struct SlotLink {
  llvm::SmallVector<mlir::Value, 2> sums;
  mlir::Value updates, result; // no updates: a sum of sums
  SlotOrder order;
  /// The rows are written over those of the sum instead. There is one group
  /// that has a row, so that nothing but where the sum starts is overwritten.
  bool overwrites = false;
  /// Constants that are added to each element, too.
  llvm::SmallVector<mlir::FloatAttr, 1> numbers = {};
};
/// `known` are the results of other links.
std::optional<SlotLink> matchSlotLink(SlotFunctions &functions,
                                      mlir::Operation *op,
                                      const llvm::DenseSet<mlir::Value> &known);

/// One decision, with the ops that are the work of its experts.
struct ExpertWork {
  Decision decision;
  llvm::DenseSet<mlir::Operation *> inside;
  /// Of these, the products of two tensors, in the order of the graph.
  llvm::SmallVector<mlir::Operation *> products;
  bool isRaised = false;
  unsigned number = 0; // in the order of the graph
  std::string refusal;
  llvm::SmallVector<SlotLink> links;
  llvm::DenseSet<mlir::Value> linkResults;
  /// Groups that the graph has no work for: rows get nothing from them.
  llvm::SmallVector<int64_t> missing;
};

/// Calls `find` for each block that computes with tensors, inner ones first,
/// with a graph builder, and erases what is not used any more.
void findExperts(mlir::ModuleOp module,
                 llvm::function_ref<void(GraphBuilder &, mlir::Block &)> find);

/// [T.., k] as [T, k], whatever dimensions of one element it has.
mlir::Value asChoices(GraphBuilder &graph, mlir::Value value, int64_t choices);

/// The elements of `data` at ids [T, k]: [T, k]. `data` is [E], or, with one
/// dimension of batches, [T, E].
mlir::Value readAtIds(mlir::OpBuilder &b, mlir::Location loc, mlir::Value data,
                      mlir::Value ids, int64_t batchDims);

/// Creates the plan, the apply, and the sum over choices, at the graph
/// builder's place: [T, columns], in f32. `ids` are [T, k], `weights` [T, k],
/// of any narrower type, or null; `makeApply` creates the apply on a plan, with
/// what `products` have become.
mlir::Value
emitExperts(GraphBuilder &graph, ExpertWork &work, mlir::Value ids,
            mlir::Value weights, llvm::ArrayRef<mlir::Operation *> products,
            llvm::function_ref<gate::ApplyOp(mlir::Value)> makeApply,
            llvm::SmallVectorImpl<mlir::Attribute> &report);
/// The same for the choices of the decision and what was built for them;
/// `slots` is the region's result.
mlir::Value emitExperts(GraphBuilder &graph, ExpertWork &work, ExpertBody &body,
                        mlir::Value slots, mlir::Value weights,
                        llvm::SmallVectorImpl<mlir::Attribute> &report);

/// [T, N] in the shape of a result.
mlir::Value restoreShape(GraphBuilder &graph, mlir::Value combined,
                         const RowShape &shape);

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

/// Raises products with gathered weights whose results are not added up over
/// the choices of a row: each slot is a row of a plan of its own. False if
/// there is none; then `work.refusal` says why if there are products.
bool raiseGathered(GraphBuilder &graph, ExpertWork &work,
                   llvm::SmallVectorImpl<mlir::Attribute> &report);
/// The same for an op that reads, by an id for each row, from the results of
/// all experts.
bool raiseResultRead(GraphBuilder &graph, mlir::Operation *op,
                     llvm::SmallVectorImpl<mlir::Attribute> &report);

/// Erases the checks between the decision and `end` that say no more than that
/// the counts of its groups are counts.
void eraseCertainChecks(const ExpertWork &work, SlotFunctions &functions,
                        mlir::Operation *end);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTWORK_H
