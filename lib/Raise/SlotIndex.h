// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What integer tensors say about the slots of a decision: whose group a slot
// is of, which token it belongs to, where it lies.
#ifndef GATECC_LIB_RAISE_SLOTINDEX_H
#define GATECC_LIB_RAISE_SLOTINDEX_H

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gatecc::raise {

/// A choice of groups: ids [.., k], whose other dimensions are the tokens.
struct Decision {
  mlir::Value ids;
  int64_t choices = 1, groups = 0;
};

inline mlir::RankedTensorType typeOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}

/// Whether a dimension has one element.
inline bool isOne(mlir::Value value, unsigned dim) {
  return typeOf(value).getDimSize(dim) == 1;
}

/// The value behind collapse_shape and expand_shape.
mlir::Value withoutReshapes(mlir::Value value);

/// The value without changes of its shape and of its integers' width.
mlir::Value withoutViews(mlir::Value value);

/// A value that reads rows of another one: element [s, ...] of the result is
/// [indices[s], ...] of `data`.
struct RowGather {
  mlir::Value data, indices;
};
std::optional<RowGather> matchRowGather(mlir::Value value);

/// Rows that are written to, or combined with, rows of another tensor:
/// `updates` [s, ...] with [indices[s], ...] of `data`.
struct RowScatter {
  mlir::Value data, updates, indices;
  gate::Reduction reduction;
};
std::optional<RowScatter> matchRowScatter(mlir::Operation *op);

/// An elementwise copy that repeats along some of its loops.
mlir::Value matchBroadcast(mlir::Value value);

/// sum over one loop of a * b, the other loops parallel; a and b may be widened
/// for that.
struct ProductMatch {
  mlir::Value a, b;
  mlir::AffineMap aMap, bMap;
  unsigned reduced;
};
std::optional<ProductMatch> matchProduct(mlir::Value value);
/// The same product of what its operands are transposes of.
ProductMatch withoutTransposes(ProductMatch product);

/// One scalar op, and no more, on an element of each of two tensors.
template <typename Op> mlir::linalg::GenericOp matchBinary(mlir::Value value) {
  auto op = value.getDefiningOp<mlir::linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 2 ||
      op.getNumLoops() != op.getNumParallelLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return {};
  mlir::Block &body = *op.getBody();
  auto scalar =
      body.getTerminator()->getOperand(0).template getDefiningOp<Op>();
  if (!scalar || !llvm::hasNItems(body.begin(), body.end(), 2) ||
      llvm::any_of(scalar->getOperands(), [](mlir::Value operand) {
        return operand.getDefiningOp() != nullptr;
      }))
    return {};
  return op;
}

/// The loops of rows that an operand of an elementwise op follows: the first
/// `count`, within its first `dims` dimensions. Nothing if they are permuted.
struct RowLoops {
  unsigned count = 0, dims = 0;
};
std::optional<RowLoops> rowLoopsOf(mlir::AffineMap map, unsigned rows);
/// Whether an operand of an elementwise op is one number for each place in the
/// first `rows` dimensions of the result.
bool isOnePerRow(mlir::linalg::GenericOp op, mlir::OpOperand *operand,
                 unsigned rows);

/// The tensors of one shape that an op adds up element by element, in order;
/// none if it does something else. Zeros to begin with, which the body may
/// hold, are none of them; other constants are, in `numbers` if that is given.
llvm::SmallVector<mlir::Value>
addendsOf(mlir::Value value,
          llvm::SmallVectorImpl<mlir::FloatAttr> *numbers = nullptr);

/// The sum of `input` along one loop.
struct SumMatch {
  mlir::Value input;
  unsigned axis;
};
std::optional<SumMatch> matchSum(mlir::Operation *op);

/// Whether a reduction starts with zeros.
bool startsAtZero(mlir::linalg::GenericOp op);

/// The positions 0, 1, 2, ... plus an offset (null: 0) as a tensor.
struct Positions {
  mlir::OpFoldResult offset, size;
};
std::optional<Positions> matchPositions(mlir::Value indices);

/// Filled with zeros, in any way.
bool isZero(mlir::Value value);
bool isFilledWithOne(mlir::Value value);

/// Whether `size` is certain to be the product of some dimensions.
bool isProductOfDims(mlir::OpFoldResult size, mlir::Value tensor,
                     llvm::ArrayRef<int64_t> dims);

/// The size that a dimension of the tensor was made with, where it was made.
std::optional<mlir::OpFoldResult> sizeMadeWith(mlir::Value tensor, int64_t dim);

/// Whether some dimensions of two tensors certainly have the same product.
bool haveSameExtent(mlir::Value a, llvm::ArrayRef<int64_t> aDims, mlir::Value b,
                    llvm::ArrayRef<int64_t> bDims);

/// Whether `size` is certain to be all of a dimension of the tensor.
bool isWholeSize(mlir::OpFoldResult size, mlir::Value tensor, int64_t dim);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_SLOTINDEX_H
