// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts that all rows run, weighted by a matrix that is zero but for a few of
// them: what a pass has found, and what it makes of it.
#ifndef GATECC_LIB_RAISE_DENSEEXPERTS_H
#define GATECC_LIB_RAISE_DENSEEXPERTS_H

#include "DenseBody.h"
#include "WeightNorms.h"

namespace gatecc::raise {

struct DenseExperts {
  /// The sum over experts, or the chain of additions.
  RowShape sum;
  /// What is added up, without the weights if `isWeighted`.
  Lanes terms;
  int64_t experts = 0;
  /// Whether the routing matrix is a factor of the terms.
  bool isWeighted = false;
  /// Terms of a chain that are no experts.
  llvm::SmallVector<mlir::Value> others;
};

/// What stands between a row and its skipped experts.
struct RowGuard {
  /// The magnitude up to which inputs have been proved to do no harm, for each
  /// input of the region; nothing where there is nothing to test.
  llvm::SmallVector<std::optional<double>> limits;
  /// Whether weights beside the chosen ones have to be looked for.
  bool testsWeights = false;

  bool isNeeded() const {
    return testsWeights ||
           llvm::any_of(limits, [](const auto &limit) { return bool(limit); });
  }
};

/// The guard that skipping needs: nothing with the reason where no guard can
/// help.
std::optional<RowGuard> findGuard(DenseBody &body, mlir::Value slots,
                                  bool isWeighted, WeightNorms &norms,
                                  bool assumeFinite, std::string &refusal);

/// Creates plan, apply and combine, and under the guard those that run all
/// experts, at the graph builder's place: [T, columns]. `ids` are [T, k], or
/// null where a row runs the experts whose weights are not zero.
mlir::Value emitDense(GraphBuilder &graph, const DenseExperts &found,
                      DenseBody &body, mlir::Value slots, mlir::Value ids,
                      const RowGuard &guard, mlir::FlatSymbolRefAttr site);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_DENSEEXPERTS_H
