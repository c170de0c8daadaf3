// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts that choose their rows: each takes the C tokens that score best for
// it, and what it makes of them is added up where they came from.
#ifndef GATECC_LIB_RAISE_EXPERTCHOICE_H
#define GATECC_LIB_RAISE_EXPERTCHOICE_H

#include "CapacityExperts.h"

namespace gatecc::raise {

/// Rows [E, C, F] that an op scatters to tokens; nothing if it does not. Only
/// experts, work and place are filled in.
std::optional<CapacityExperts> matchScatteredRows(mlir::Operation *op);

/// What a top-k chose for the rows of experts: [E * C, D] of the tokens, or a
/// number for each. Null if it is something else.
mlir::Value matchChosenRows(GraphBuilder &graph, const Lanes &rows,
                            const CapacityExperts &found);

/// Creates plan, apply and combine of rows that lie in the order of their
/// experts: [E * C, F].
mlir::Value emitChosenRows(GraphBuilder &graph, const CapacityExperts &found,
                           ExpertRegion &region, mlir::Value slots,
                           mlir::FlatSymbolRefAttr site);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTCHOICE_H
