// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows that go to places of experts, as a plan: what has been found to decide
// about them, and the test under which the graph does what it did.
#ifndef GATECC_LIB_RAISE_CAPACITYPLAN_H
#define GATECC_LIB_RAISE_CAPACITYPLAN_H

#include "ExpertRegion.h"
#include "RowTensors.h"

namespace gatecc::raise {

/// One choice of each row, [n] each.
struct PlacedChoice {
  /// The expert, or -1, and its weight.
  mlir::Value ids, weights;
  /// The place that the row fills, or the number of all of them.
  mlir::Value cells;
  /// Whether the graph does something else than "the row, weighted".
  mlir::Value isOdd;
};

/// Creates one for `rows` rows by a loop over them: `body` yields its four
/// numbers, from those of `inputs`, [rows] each.
PlacedChoice
emitChoice(GraphBuilder &graph, mlir::Value rows, mlir::ValueRange inputs,
           llvm::function_ref<void(mlir::OpBuilder &, mlir::Location,
                                   mlir::ValueRange)>
               body);

struct CapacityPlan {
  int64_t experts = 0;
  mlir::Value tokens; // [T, D]; T is not static
  mlir::Value count;  // of all places of all experts
  llvm::SmallVector<PlacedChoice> choices;
  mlir::Value ids, weights; // [T, k], of the plan
};

/// Tensors that are tested, each with the magnitude that is too large.
using TestedTensors = llvm::ArrayRef<std::pair<mlir::Value, double>>;

/// Creates plan, apply and combine, and the test under which `otherwise` makes
/// the result, from all experts as they are applied: [T, F].
mlir::Value
emitCapacity(GraphBuilder &graph, const CapacityPlan &plan,
             ExpertRegion &region, mlir::Value slots, TestedTensors tested,
             mlir::FlatSymbolRefAttr site,
             llvm::function_ref<mlir::Value(gate::ApplyOp)> otherwise);

/// Whom a row lies with, by its number.
using ExpertOfRow = llvm::function_ref<mlir::Value(
    mlir::OpBuilder &, mlir::Location, mlir::Value)>;

/// The experts of `count` rows, as ids [count, 1].
mlir::Value expertsOfPlaces(GraphBuilder &graph, mlir::Value count,
                            ExpertOfRow expertOf);

/// The work of all experts on rows [n, D] that lie in their places: [n, F].
mlir::Value emitAllPlaces(GraphBuilder &graph, gate::ApplyOp apply,
                          mlir::Value sent, mlir::Value count,
                          ExpertOfRow expertOf);

/// [n] of each choice as [n, k].
mlir::Value asColumns(GraphBuilder &graph, mlir::ValueRange choices);

/// Moves what nothing outside of a block uses into it.
void sinkInto(mlir::Block &block);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_CAPACITYPLAN_H
