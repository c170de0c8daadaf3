// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows that are selected by index: which integer tensors name rows, and what
// reads or writes those rows. That the rows of a selection differ and exist
// comes from the op that enumerates them: the true elements of a mask, or the
// best columns of each row of scores.
#ifndef GATECC_LIB_RAISE_ROWSELECTION_H
#define GATECC_LIB_RAISE_ROWSELECTION_H

#include "SlotFunction.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/DenseMap.h"

namespace gatecc::raise {

/// What a dimension of an index tensor stands for.
enum class IndexDim {
  Unit,   ///< one element
  Batch,  ///< the row of scores that a top-k chose from
  Slot,   ///< the rows that were chosen, one after another
  Column, ///< the coordinates of a row
  Repeat, ///< the same for all
};

/// Steps from rows to slots: results of gate.nonzero and indices of gate.topk,
/// each of which enumerates slots of the one before.
using RowPath = llvm::SmallVector<mlir::Value, 2>;

/// A tensor of coordinates of rows.
struct RowIndex {
  RowPath path;
  llvm::SmallVector<IndexDim, 3> dims;
  /// The dimension of the rows that each column is a coordinate of.
  llvm::SmallVector<int64_t, 2> coordinates;
  /// Of an index that was gathered itself: element s is outer[last[s]].
  mlir::Value outer, last;
};

/// Rows of `data` that are read, or written, at `indices`.
struct RowAccess {
  mlir::Value data, indices;
  RowPath path;
  /// How many leading dimensions are the rows of the data, and the slots of
  /// what is read or written.
  unsigned rowDims = 0, slotDims = 0;
  /// Where rows are one dimension of a mask of two, and at most one element of
  /// a row is true: that dimension. Data of two dimensions of rows has elements
  /// for those of the mask.
  int64_t maskDim = -1;
};

/// Whether a step reorders all slots of the one before, as a sort does.
bool isPermutation(mlir::Value step);
/// The mask or the scores whose elements are the rows that a step chooses from.
mlir::Value rowSpaceOf(mlir::Value step);

/// The scalar that an index in range [0, size) is made of without being
/// changed: casts, the wrap of negative indices and clamps fall away.
mlir::Value withoutRange(mlir::Value scalar,
                         llvm::function_ref<bool(mlir::OpFoldResult)> isSize);

/// result[i.., indices[i..], ..] read from the same places but one.
struct ElementRead {
  mlir::Value data, indices;
  int64_t axis;
};
std::optional<ElementRead> matchElementRead(mlir::Operation *op);

/// The index tensors of a block.
class RowIndices {
public:
  /// Takes in an op; those that it depends on come first.
  void visit(mlir::Operation *op);

  const RowIndex *find(mlir::Value value) const {
    auto found = known.find(value);
    return found == known.end() ? nullptr : &found->second;
  }

  /// Has to be called before an op is erased.
  void forget(mlir::Operation *op) {
    for (mlir::Value result : op->getResults()) {
      known.erase(result);
      maskDims.erase(result);
    }
  }

  /// Makes a read of a tensor [rows, choices] that was flattened, at row *
  /// choices + choice, one of that tensor at [row, choice].
  void readByCoordinates(gate::GatherNDOp op) const;

  /// A gather of rows.
  std::optional<RowAccess> matchRead(mlir::Operation *op) const;
  /// A scatter of rows.
  std::optional<RowAccess> matchWrite(mlir::Operation *op) const;

private:
  std::optional<RowIndex> compute(mlir::Operation *op) const;
  std::optional<RowIndex> computeGeneric(mlir::linalg::GenericOp op) const;
  std::optional<RowIndex> compose(const RowAccess &read) const;
  std::optional<RowIndex> reshape(mlir::Operation *op) const;
  std::optional<RowIndex> concatenate(mlir::tensor::ConcatOp op) const;
  std::optional<RowIndex> slice(mlir::tensor::ExtractSliceOp op) const;
  bool isNegative(mlir::Value condition) const;
  std::optional<RowAccess> vectors(mlir::Value data, mlir::Value indices,
                                   unsigned batchDims) const;
  std::optional<RowAccess> elements(mlir::Value data, mlir::Value indices,
                                    int64_t axis) const;

  /// A mask of choices: the dimension of its rows, or -1.
  int64_t maskDimOf(mlir::Value step) const {
    auto found = maskDims.find(step);
    return found == maskDims.end() ? -1 : found->second;
  }

  llvm::DenseMap<mlir::Value, RowIndex> known;
  llvm::DenseMap<mlir::Value, int64_t> maskDims;
  SlotFunctions functions;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROWSELECTION_H
