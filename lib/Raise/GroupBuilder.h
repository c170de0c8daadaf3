// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Moves a slice into the region of an apply on the rows that need it.
#ifndef GATECC_LIB_RAISE_GROUPBUILDER_H
#define GATECC_LIB_RAISE_GROUPBUILDER_H

#include "GroupSlice.h"
#include "dialects/Gate/IR/GateOps.h"

namespace gatecc::raise {

/// Marks the partitions made here: {name, nodes, notes} and, if it is known,
/// the kind of their site. Gone after the pass.
inline constexpr llvm::StringLiteral kFormedAttr = "gatecc.formed";

struct Group {
  gate::PartitionOp partition;
  gate::ApplyOp apply;
};

/// Nothing if no result of the slice is used.
std::optional<Group> buildGroup(mlir::Block &block, Demand &demand,
                                const GroupSlice &slice);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_GROUPBUILDER_H
