// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The region of an apply while it is made: its arguments as they are met, and
// the few ops that experts are made of. All values in it are [n, columns].
#ifndef GATECC_LIB_RAISE_EXPERTREGION_H
#define GATECC_LIB_RAISE_EXPERTREGION_H

#include "gatecc/Import/GraphBuilder.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace gatecc::raise {

/// Some columns of a value.
struct Columns {
  int64_t offset = 0, size = 0, step = 1;
  bool operator==(const Columns &other) const {
    return offset == other.offset && size == other.size && step == other.step;
  }
};

/// [rows..., columns...] as [T, F], made at the graph builder's place; the
/// first `rows` dimensions are rows.
mlir::Value asRows(GraphBuilder &graph, mlir::Value value, unsigned rows);

/// [T, F] with each row repeated: [T * times, F].
mlir::Value repeatRows(GraphBuilder &graph, mlir::Value rows,
                       mlir::OpFoldResult times);

/// The value with a first dimension of a size that types do not tell.
mlir::Value withDynamicRows(GraphBuilder &graph, mlir::Value value);

/// What a scalar op makes of constant operands; null if one is null, or if it
/// cannot be folded.
mlir::Attribute foldScalar(mlir::Operation *op,
                           llvm::ArrayRef<mlir::Attribute> operands);

/// An elementwise op of scalar arithmetic, which does not read its result's
/// old value.
bool isElementwise(mlir::linalg::GenericOp op);

/// A reduction of one loop, of a constant size, by scalar arithmetic from a
/// constant on; the op reads its operand at the loops' places.
struct ColumnReduction {
  unsigned loop;
  int64_t size;
  mlir::TypedAttr start;
};
std::optional<ColumnReduction> matchColumnReduction(mlir::linalg::GenericOp op);

class ExpertRegion {
public:
  explicit ExpertRegion(GraphBuilder &graph);
  ~ExpertRegion();

  /// The argument for the rows of a tensor [T, F].
  mlir::Value input(mlir::Value tensor);
  /// The same for a number of each row: [n, 1], whatever the tensor's type. The
  /// apply gets other inputs in its place.
  mlir::Value column(mlir::Value tensor);
  /// The argument for a group's slice of a stack [E, ...].
  mlir::Value param(mlir::Value tensor);

  mlir::Value slice(mlir::Value rows, Columns columns);
  /// A product that is rounded to `element`.
  mlir::Value contract(mlir::Value rows, mlir::Value weights,
                       mlir::Type element);
  /// The product of rows with a parameter [K], as the body of `op` makes it of
  /// an element of each, `isSwapped` if the parameter's comes first: [n, 1].
  mlir::Value dot(mlir::linalg::GenericOp op, mlir::Value rows,
                  mlir::Value vector, bool isSwapped);
  /// The rows in the type that numbers like theirs are computed in.
  mlir::Value widened(mlir::Value rows);
  /// The body of `op` on operands that are read by `maps`, for some of its
  /// columns; fails before the first input was met.
  mlir::FailureOr<mlir::Value> elementwise(mlir::linalg::GenericOp op,
                                           llvm::ArrayRef<mlir::Value> operands,
                                           llvm::ArrayRef<mlir::AffineMap> maps,
                                           Columns columns);

  /// A reduction of the columns of each row, as `op` does it: [n, 1].
  mlir::Value reduce(mlir::linalg::GenericOp op, mlir::Value rows);

  llvm::ArrayRef<mlir::Value> getInputs() const { return inputs; }
  llvm::ArrayRef<mlir::Value> getParams() const { return params; }
  /// The argument of an input or a parameter.
  mlir::Value argumentOf(mlir::Value tensor) const {
    mlir::Value argument = inputArguments.lookup(tensor);
    return argument ? argument : paramArguments.lookup(tensor);
  }
  mlir::Block &getBlock() { return *block; }

  /// Creates the apply on all groups of a plan, with the region's inputs or
  /// with others in their places; nothing may be built afterwards.
  gate::ApplyOp finish(mlir::Value plan, mlir::Value slots,
                       llvm::ArrayRef<mlir::Value> tensors = {});

private:
  mlir::Value argument(mlir::Value tensor, mlir::RankedTensorType type,
                       llvm::SmallVectorImpl<mlir::Value> &tensors,
                       llvm::DenseMap<mlir::Value, mlir::Value> &arguments);
  /// The number of slots, [n]; there must be an input.
  mlir::Value slotCount();
  /// A number of each row, summed up from `start` on by the body of `op`.
  mlir::Value sumColumns(mlir::linalg::GenericOp op, mlir::ValueRange operands,
                         llvm::ArrayRef<mlir::AffineMap> maps,
                         mlir::TypedAttr start);

  GraphBuilder &graph;
  mlir::OpBuilder body; // into `block`
  std::unique_ptr<mlir::Block> block;
  llvm::SmallVector<mlir::Value> inputs, params;
  mlir::Value count;
  llvm::DenseMap<mlir::Value, mlir::Value> inputArguments, paramArguments;
};

/// Whether two ops compute the same from their operands.
bool computeAlike(mlir::linalg::GenericOp a, mlir::linalg::GenericOp b);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTREGION_H
