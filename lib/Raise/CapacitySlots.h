// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts with room for C rows each, which are rows of a buffer [E * C, D] that
// others are scattered to; the results are gathered from where they were sent.
#ifndef GATECC_LIB_RAISE_CAPACITYSLOTS_H
#define GATECC_LIB_RAISE_CAPACITYSLOTS_H

#include "CapacityPlan.h"
#include "ExpertLanes.h"

namespace gatecc::raise {

/// Rows that are written to places.
struct SlotWrite {
  mlir::Value indices; // [N.., 1]
  /// [N.., D], and what they are multiplied with, a number for each row, if
  /// that is given and places add up.
  mlir::Value rows, sent;
  bool adds = false;
};

/// y[n, :] = weights[n] * data[indices[n], :]
struct SlotRead {
  mlir::Operation *read = nullptr;
  mlir::Value data, indices; // [E * C + .., F], [N.., 1]
  /// From the read to y: views of rows, and products with numbers of rows.
  llvm::SmallVector<mlir::Operation *> chain;
  llvm::SmallVector<mlir::Value> weights;

  mlir::Value result() const {
    return (chain.empty() ? read : chain.back())->getResult(0);
  }
};

struct CapacitySlots {
  int64_t experts = 0;
  /// Of one tensor: the work, and zeros after it.
  llvm::SmallVector<SlotRead, 1> reads;
  llvm::SmallVector<mlir::Value> zeros;
  Lanes work; // [E * C, F], or [C, F] each
  /// What adds up several reads, or the choices of one read, [T, k, F].
  mlir::Operation *sum = nullptr;
  int64_t choices = 1; // of one read
  /// rows[e * C + c, :], and how they are written, the last ones first.
  mlir::Value sent;
  llvm::SmallVector<SlotWrite> writes;
  mlir::Value empty; // what they are written to
  /// For each read, what wrote its rows.
  llvm::SmallVector<unsigned, 1> own;
  mlir::Value tokens; // [N, D], or [T, D] for N = T * choices

  mlir::Operation *root() const {
    return sum ? sum : reads.front().result().getDefiningOp();
  }
};

/// A read of rows of what may be the work of experts, up to the product with
/// the weights, and, if `joins`, the others that it is added up with; nothing
/// if it is none.
std::optional<CapacitySlots> matchSlotReads(mlir::Operation *op, bool joins);

/// Completes it by what the rows that experts read were written with: the rows
/// of tokens, made at the graph builder's place; null if it is none.
mlir::Value matchSlotWrites(GraphBuilder &graph, const Lanes &rows,
                            CapacitySlots &found);

/// Creates plan, apply and combine, and the test under which rows are scattered
/// and gathered instead: [T, F], or null if a size is not known.
mlir::Value emitSlots(GraphBuilder &graph, const CapacitySlots &found,
                      ExpertRegion &region, mlir::Value slots,
                      std::optional<double> limit,
                      mlir::FlatSymbolRefAttr site);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_CAPACITYSLOTS_H
