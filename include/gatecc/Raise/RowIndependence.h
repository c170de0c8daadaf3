// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Row independence: which operand dimension a dimension of a result follows.
// Element i of a dimension that follows depends on element i of the operand's
// dimension and on no other one.
#ifndef GATECC_RAISE_ROWINDEPENDENCE_H
#define GATECC_RAISE_ROWINDEPENDENCE_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace gatecc::raise {

/// How one operand takes part in the rows of a result.
struct RowUse {
  enum Kind {
    Follows, ///< row i reads index i of dimension `dim` of the operand
    Whole,   ///< every row may read all of it
    Plan,    ///< a plan over the rows, or the slots of such a plan
  };
  Kind kind = Whole;
  int64_t dim = -1;

  bool operator==(const RowUse &other) const {
    return kind == other.kind && dim == other.dim;
  }
};

/// For each operand of `op`, how dimension `dim` of result `result` uses it;
/// nothing if the dimension is not independent, which is the default.
std::optional<llvm::SmallVector<RowUse>>
followedDims(mlir::Operation *op, unsigned result, int64_t dim);

/// The same for dimension 0 of all results at once: nothing unless all of them
/// agree, and unless every operand that follows does so in its dimension 0.
/// Values that the op's regions use from above count as used whole.
std::optional<llvm::SmallVector<RowUse>> rowUses(mlir::Operation *op);

/// Whether `value` holds the same for each row and can be made for any number
/// of rows: an empty tensor, or one filled with a scalar.
bool isUniformRows(mlir::Value value);

/// Whether `value` is a plan over rows or the slots of one, not rows.
bool isPlanSpace(mlir::Value value);

/// Calls `visit` for every value that `op` reads, those that its regions use
/// from above included.
void forEachUsedValue(mlir::Operation *op,
                      llvm::function_ref<void(mlir::Value)> visit);

} // namespace gatecc::raise

#endif // GATECC_RAISE_ROWINDEPENDENCE_H
