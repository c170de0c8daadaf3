// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sizes and offsets as sums of how many slots the groups of a decision have,
// however a graph counts them.
#ifndef GATECC_LIB_RAISE_GROUPCOUNTS_H
#define GATECC_LIB_RAISE_GROUPCOUNTS_H

#include "SlotFunction.h"

namespace gatecc::raise {

class GroupCounts {
public:
  GroupCounts(const Decision &decision, SlotFunctions &functions)
      : decision(decision), functions(functions) {}

  /// The coefficients of the groups' counts in a scalar; null if it is no
  /// such sum. Valid until the next call.
  const llvm::SmallVector<int64_t> *sumOf(mlir::OpFoldResult scalar);
  /// Whether [offset, offset + size) are the slots of `group` in the order of
  /// groups.
  bool isGroup(mlir::OpFoldResult offset, mlir::OpFoldResult size,
               int64_t group);
  /// Whether the positions in `indices` [n] or [n, 1] are those.
  bool isGroup(mlir::Value indices, int64_t group);
  /// Whether a size is that of all groups together.
  bool isAllSlots(mlir::OpFoldResult size);
  /// Whether a condition on counts is certain to hold: none is negative, all
  /// together are the slots.
  bool isCertain(mlir::Value condition);

private:
  using Sum = std::optional<llvm::SmallVector<int64_t>>;
  Sum compute(mlir::Value scalar);
  Sum computeElement(mlir::Value tensor, llvm::ArrayRef<int64_t> place);
  Sum countOf(int64_t group) const;
  bool isSlotCount(mlir::OpFoldResult size);
  bool isIdentity(mlir::linalg::GenericOp op);

  const Decision &decision;
  SlotFunctions &functions;
  llvm::DenseMap<mlir::Value, bool> areGroups; // tensors of ids
  llvm::DenseMap<mlir::Value, Sum> sums;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, Sum> elements;
  Sum zero;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_GROUPCOUNTS_H
