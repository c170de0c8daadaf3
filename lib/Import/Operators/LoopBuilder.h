// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loops on tensors: carried values keep their shapes; what is collected from
// each iteration goes into one tensor with a place for each.
#ifndef GATECC_LIB_IMPORT_OPERATORS_LOOPBUILDER_H
#define GATECC_LIB_IMPORT_OPERATORS_LOOPBUILDER_H

#include "lib/Import/Operators/Families.h"

namespace gatecc {

/// What one iteration leaves.
struct Iteration {
  mlir::Value goesOn; // i1; null if nothing ends the loop early
  llvm::SmallVector<mlir::Value> carried, collected;
};
/// Builds an iteration: from its number and the carried values.
using IterationBody = llvm::function_ref<mlir::FailureOr<Iteration>(
    mlir::Value, mlir::ValueRange)>;

/// How the elements of one output lie in it.
struct Collection {
  int64_t axis = 0;
  bool isReversed = false, isUsed = true;
};

/// Trip counts from here on mean "until the condition ends it": exporters write
/// the largest integer. No memory is planned for so many iterations.
inline constexpr int64_t manyTrips = int64_t(1) << 31;

/// The element of a tensor at a place along an axis, which is left out.
mlir::Value elementAlong(GraphBuilder &builder, mlir::Value tensor,
                         int64_t axis, mlir::Value place);

class LoopBuilder {
public:
  /// `names` are those of the carried values, for errors.
  LoopBuilder(GraphBuilder &builder, llvm::ArrayRef<std::string> names,
              mlir::ValueRange inits, llvm::ArrayRef<Collection> collections);

  /// A loop of `trips` iterations. The results are the carried values, then
  /// what was collected.
  mlir::FailureOr<llvm::SmallVector<mlir::Value>> buildFor(const Extent &trips,
                                                           IterationBody body);
  /// A loop while a condition holds; `limit`, where there is one, is the most
  /// iterations.
  mlir::FailureOr<llvm::SmallVector<mlir::Value>>
  buildWhile(mlir::Value condition, std::optional<Extent> limit,
             IterationBody body);

private:
  void registerShapes(mlir::ValueRange values);
  mlir::LogicalResult checkCarried(Iteration &iteration);
  /// The tensors that the iterations fill, with `places` places each.
  mlir::LogicalResult createBuffers(const Iteration &iteration,
                                    mlir::Region &loop,
                                    const std::optional<Extent> &places);
  /// Puts the elements of iteration `position` into `buffers`.
  llvm::SmallVector<mlir::Value> collect(const Iteration &iteration,
                                         mlir::ValueRange into,
                                         mlir::Value position,
                                         mlir::Value last);

  GraphBuilder &g;
  mlir::OpBuilder &b;
  mlir::Location loc;
  llvm::ArrayRef<std::string> names;
  llvm::ArrayRef<Collection> collections;
  llvm::SmallVector<mlir::Value> carried,
      buffers; // of unused collections: null
};

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_LOOPBUILDER_H
