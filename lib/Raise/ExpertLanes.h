// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensors of graphs in which every expert works on every row: what each of
// their dimensions is numbered by, followed from results to operands. Experts
// may lie along a dimension of one tensor, or have a tensor each.
#ifndef GATECC_LIB_RAISE_EXPERTLANES_H
#define GATECC_LIB_RAISE_EXPERTLANES_H

#include "ExpertRegion.h"
#include <string>

namespace gatecc::raise {

/// What a dimension, or a factor of one, is numbered by.
struct Axis {
  enum Kind {
    Expert,
    Token,  ///< [first, last) of `kAllTokens`: reshapes cut tokens into factors
    Column, ///< the elements of a row
    Depth,  ///< of a weight: what a product sums over
    Slot,   ///< a place of the rows that an expert has room for
  };
  Kind kind = Column;
  int64_t size = 1;
  uint64_t first = 0, last = 0;
  /// Tokens and slots: a tensor and its dimension of this extent.
  mlir::Value tensor = {};
  int64_t dim = 0;
};
inline constexpr uint64_t kAllTokens = uint64_t(1) << 48;

/// The factors of one dimension, outermost first; none for one of one element.
using Axes = llvm::SmallVector<Axis, 2>;
/// Whether they number the same.
bool areSameAxes(const Axes &a, const Axes &b);

struct Lanes {
  /// One for all experts, or one for each.
  llvm::SmallVector<mlir::Value> values;
  llvm::SmallVector<Axes> dims;

  mlir::Value front() const { return values.front(); }
  /// Whether a dimension is numbered by `kind`.
  bool has(Axis::Kind kind) const;
  /// Whether experts differ.
  bool isPerExpert() const { return values.size() > 1 || has(Axis::Expert); }
  /// Whether the factors of tokens are all there.
  bool hasAllTokens() const;
  /// The number of dimensions up to the last one of tokens, if these are all
  /// there, in order, and before the columns.
  std::optional<unsigned> rowDims() const;
  /// The same if the first factors are there: all up to `last`.
  std::optional<unsigned> leadingRowDims(uint64_t &last) const;
  /// Several times the same value is one.
  void mergeEqual();
  /// The same for the same first value and numbering.
  std::string key(const Columns &columns) const;
  /// The lanes of the operands with this number, whose dimensions are `dims`.
  Lanes operand(unsigned number, llvm::SmallVector<Axes> dims) const;
};

/// What an operand with `map` has along its dimensions if the loops have
/// `loops`; nothing for other expressions than loops and zeros.
std::optional<llvm::SmallVector<Axes>> axesOf(mlir::AffineMap map,
                                              llvm::ArrayRef<Axes> loops);

/// What the loops of a structured op with one result have.
std::optional<llvm::SmallVector<Axes>> loopAxes(mlir::linalg::GenericOp op,
                                                const Lanes &result);

/// The lanes that `lanes` are moved from, and which of their columns: through
/// reshapes, transpositions, copies, slices, and concatenations of experts.
/// Nothing where something is computed, or, if `keepsTokens`, repeated for
/// tokens.
std::optional<Lanes> movedFrom(Lanes lanes, Columns &columns,
                               bool keepsTokens = true);

/// An f32 result whose first `rowDims` dimensions are rows.
struct RowShape {
  mlir::Operation *op = nullptr;
  llvm::SmallVector<Axes> dims;
  unsigned rowDims = 0;

  mlir::Value result() const { return op->getResult(0); }
  Lanes lanes() const { return {{result()}, dims}; }
  /// The sizes of all dimensions, made at the builder's place before the op.
  llvm::SmallVector<mlir::OpFoldResult> sizes(mlir::OpBuilder &b,
                                              mlir::Location loc) const;
};

/// Numbers the dimensions of an op's result: the last one of more than one
/// element by columns, those before it by tokens. Nothing if there are none of
/// either.
std::optional<RowShape> rowShapeOf(mlir::Operation *op);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTLANES_H
