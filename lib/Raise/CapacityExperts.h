// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts with room for C rows each, to which products with masks bring rows of
// tokens, and take them back: what a pass has found, and what it makes of it.
#ifndef GATECC_LIB_RAISE_CAPACITYEXPERTS_H
#define GATECC_LIB_RAISE_CAPACITYEXPERTS_H

#include "CapacityMask.h"
#include "DenseExperts.h"

namespace gatecc::raise {

struct CapacityExperts {
  int64_t experts = 0;
  /// y[t, :] = sum over e, c of weights[t, e, c] * work[e, c, :]
  mlir::linalg::GenericOp combine;
  RowShape shape;        // of y
  unsigned workSide = 1; // the operand [E * C, F] that is the work
  Lanes weights, work;
  /// rows[e, c, :] = sum over t of mask[t, e, c] * tokens[t, :]
  mlir::linalg::GenericOp dispatch;
  unsigned dispatchRows = 0; // its dimensions that are experts and places
  Lanes mask;
  mlir::Value tokens; // [T, D]
  /// Where the masks may differ from zero: one for each choice of a token.
  Cells cells;
};

/// Creates plan, apply and combine, and the test under which the masks are
/// multiplied with instead: [T, F], or null if a choice cannot be computed
/// without all of its mask. `factors` are tested for the limit of the mask.
mlir::Value emitCapacity(GraphBuilder &graph, const CapacityExperts &found,
                         CapacityMask &masks, ExpertRegion &region,
                         mlir::Value slots, std::optional<double> limit,
                         llvm::ArrayRef<mlir::Value> factors,
                         mlir::FlatSymbolRefAttr site);

/// Moves what nothing outside of a block uses into it.
void sinkInto(mlir::Block &block);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_CAPACITYEXPERTS_H
