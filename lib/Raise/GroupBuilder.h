// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Moves a slice into the region of an apply on the rows that need it.
#ifndef GATECC_LIB_RAISE_GROUPBUILDER_H
#define GATECC_LIB_RAISE_GROUPBUILDER_H

#include "GroupSlice.h"
#include "dialects/Gate/IR/GateOps.h"
#include <vector>

namespace gatecc::raise {

/// Marks the partitions made here: {name, nodes, notes} and, if it is known,
/// the kind of their site. Gone after the pass.
inline constexpr llvm::StringLiteral kFormedAttr = "gatecc.formed";

struct Group {
  gate::PartitionOp partition;
  gate::ApplyOp apply;
};

/// Ops that were taken out of a block whose demand is still asked for.
class DetachedOps {
public:
  DetachedOps() = default;
  DetachedOps(const DetachedOps &) = delete;
  DetachedOps &operator=(const DetachedOps &) = delete;
  ~DetachedOps();

  void add(mlir::Operation *op);

private:
  std::vector<mlir::Operation *> ops;
};

/// Nothing if no result of the slice is used. Else the ops of the slice, and
/// what only they needed, are detached.
std::optional<Group> buildGroup(mlir::Block &block, Demand &demand,
                                const GroupSlice &slice, DetachedOps &detached);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_GROUPBUILDER_H
