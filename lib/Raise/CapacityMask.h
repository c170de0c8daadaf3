// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Masks [T, E, C] that send tokens to places of experts with room for C rows:
// which elements can differ from zero, and single elements computed without the
// others.
#ifndef GATECC_LIB_RAISE_CAPACITYMASK_H
#define GATECC_LIB_RAISE_CAPACITYMASK_H

#include "ExpertLanes.h"
#include "llvm/ADT/SetVector.h"
#include <map>

namespace gatecc::raise {

/// A number for each token, read from a tensor: an expert, or a place in one.
struct CellIndex {
  Lanes lanes;
  Columns columns;
  bool wraps = false; ///< one below zero counts from the end
  bool operator==(const CellIndex &other) const;
};

/// At most one element for each token: that of the expert and the place that
/// two numbers name. Without one of them, all along that dimension.
struct Cell {
  std::optional<CellIndex> expert, place;
  bool operator==(const Cell &other) const {
    return expert == other.expert && place == other.place;
  }
};

using Cells = llvm::SmallVector<Cell, 0>;

class CapacityMask {
public:
  /// Factors up to this magnitude, a few of them, have finite products.
  static constexpr double kFactorLimit = double(int64_t(1) << 40);

  explicit CapacityMask(int64_t experts) : experts(experts) {}

  /// The elements of a mask that may differ from zero, or nothing. Some of the
  /// others may be zero times what a network computes: see getFactors().
  /// Without `hasPlaces` there is one place, which is not numbered.
  std::optional<Cells> cellsOf(const Lanes &mask, bool hasPlaces);
  /// Tensors of floats whose elements must be within the limit for products
  /// with zero to be zero.
  llvm::ArrayRef<mlir::Value> getFactors() const {
    return factors.getArrayRef();
  }

  /// An index along a factor of the tokens, and how many there are.
  struct TokenIndex {
    Axis axis;
    mlir::Value index, size;
  };
  /// Where code for single elements is built, and for which: indices, and the
  /// number of places.
  struct Point {
    mlir::OpBuilder &builder;
    mlir::Location loc;
    llvm::ArrayRef<TokenIndex> tokens;
    mlir::Value expert, place, places;
  };
  /// The element of `lanes` at a point; null if it cannot be computed by
  /// itself.
  mlir::Value read(const Lanes &lanes, Columns columns, const Point &point);
  /// A cell's number as an index, in range, and whether it has been (i1); null
  /// as above. `size` is the number of experts or places.
  mlir::Value readIndex(const CellIndex &index, mlir::Value size,
                        const Point &point, mlir::Value &isInside);

private:
  /// What is known about a scalar wherever it is computed.
  struct Known {
    /// Its value everywhere but in `cells`; null if it may have any.
    mlir::Attribute rest;
    Cells cells;
    /// It is its own number along that dimension.
    std::optional<Axis::Kind> counted;
    /// The largest magnitude, if `factors` are within the limit.
    double bound = std::numeric_limits<double>::infinity();
    llvm::SmallVector<mlir::Value, 2> factors;
    /// The element that it is a copy of.
    std::optional<CellIndex> copy;
  };
  using Scalars = llvm::DenseMap<mlir::Value, Known>;

  Known evaluate(Lanes lanes, Columns columns);
  Known evaluateNew(const Lanes &lanes, Columns columns);
  Known evaluateConstant(mlir::DenseElementsAttr constant, const Lanes &lanes,
                         Columns columns);
  Known evaluateGeneric(mlir::linalg::GenericOp op, const Lanes &lanes,
                        Columns columns);
  Known evaluateScatter(gate::ScatterElementsOp op, const Lanes &lanes,
                        Columns columns);
  Known evaluateScalar(mlir::Operation *op, const Scalars &scalars,
                       llvm::ArrayRef<Known> x, llvm::ArrayRef<Axes> loops);
  Known evaluateEquality(const Known &number, Axis axis, bool wraps);
  Known evaluateProduct(mlir::Operation *op, llvm::ArrayRef<Known> x);
  static Known leaf(mlir::Value value);

  /// Which column of an operand a round of a sum reads.
  static Columns columnsIn(const Lanes &operand, Columns columns, int64_t round,
                           int64_t rounds) {
    if (!operand.has(Axis::Column))
      return {0, 1, 1};
    return rounds > 1 ? Columns{round, 1, 1} : columns;
  }
  /// The loops of an op for one element of its result: those that it sums over
  /// are a number each; `rounds` is how many there are.
  static std::optional<llvm::SmallVector<Axes>>
  loopsOf(mlir::linalg::GenericOp op, const Lanes &lanes, int64_t &rounds);
  mlir::Value readGeneric(mlir::linalg::GenericOp op, const Lanes &lanes,
                          Columns columns, const Point &point);
  mlir::Value extract(const Lanes &lanes, Columns columns, const Point &point);

  int64_t experts;
  unsigned depth = 0, steps = 0, reads = 0;
  std::map<std::string, Known> known;
  llvm::SetVector<mlir::Value> factors;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_CAPACITYMASK_H
