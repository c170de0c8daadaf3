// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Feed-forward experts of a router: what com.microsoft.MoE and QMoE share.
#ifndef GATECC_LIB_IMPORT_OPERATORS_EXPERTS_H
#define GATECC_LIB_IMPORT_OPERATORS_EXPERTS_H

#include "lib/Import/Operators/Families.h"

namespace gatecc {

/// One projection of the experts: weights [E, K, N] and a bias [E, N] or null.
struct Projection {
  mlir::Value weights, bias;
};

struct Experts {
  mlir::Value input;
  Extents shape;                         // of the input
  Extent rows;                           // all of its dimensions but the last
  int64_t experts, hidden, inner = 0, k; // E, H, I
  int64_t
      fusion; // 1, 2: fc1 has gate and up, interleaved or one after the other
  std::string activation;
  double alpha, beta;
  std::optional<double> limit;
};

/// Rows of fc1 that make one projection.
struct RowsOfFc1 {
  int64_t first, count, step;
};

/// Reads and checks the input, the logits and the attributes; operand
/// `thirdIndex` is fc3's weights. `inner` is left to the caller.
mlir::FailureOr<Experts> readExperts(GraphBuilder &builder,
                                     const OperatorCall &call,
                                     unsigned thirdIndex);
/// Checks a bias [E, columns] of the weights called `name`.
mlir::FailureOr<mlir::Value> readBias(GraphBuilder &builder, mlir::Value bias,
                                      llvm::StringRef name, int64_t experts,
                                      int64_t columns);
/// Gate (or the only one) and up, if fc1 holds both.
llvm::SmallVector<RowsOfFc1, 2> partsOfFc1(const Experts &experts);

/// Routes rows, runs the experts and combines: `projections` are gate (or the
/// only one), up if there is one, and down. With `mixing` [T, E] the weights of
/// the chosen come from there. All is computed in f32, and the result rounded
/// to the input's type.
OperatorResults buildExperts(GraphBuilder &builder, const Experts &experts,
                             gate::ScoreKind score, bool normalize,
                             mlir::Value logits, mlir::Value mixing,
                             llvm::ArrayRef<Projection> projections);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_EXPERTS_H
