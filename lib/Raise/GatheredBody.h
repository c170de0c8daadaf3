// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The work of experts that an id for each row names, in whatever shape: weights
// that are gathered, or results of all experts of which one is read. The
// dimensions that the ids share with the rows say whose they are.
#ifndef GATECC_LIB_RAISE_GATHEREDBODY_H
#define GATECC_LIB_RAISE_GATHEREDBODY_H

#include "DenseBody.h"
#include "llvm/ADT/DenseSet.h"

namespace gatecc::raise {

class GatheredBody : public DenseBody {
public:
  /// `inside` are ops that depend on what the ids `decided` gather; other
  /// values are rows, or those of all experts.
  GatheredBody(GraphBuilder &graph, int64_t experts, RowShape shape,
               mlir::Value decided,
               const llvm::DenseSet<mlir::Operation *> &inside)
      : DenseBody(graph, experts, std::move(shape)), decided(decided),
        inside(inside) {}

  /// The ids along the rows; noted as weights are met, if not given.
  void setIds(Lanes lanes) { ids = std::move(lanes); }
  /// The ids of all rows, [N, 1], made at the graph builder's place; null if
  /// there are none, or for other rows.
  mlir::Value rowIds();

protected:
  bool isWork(const Lanes &lanes) override;
  /// What does not depend on all dimensions of rows is repeated along others.
  bool areRows(const Lanes &) override { return true; }
  bool areWeights(const Lanes &lanes) override;
  std::optional<Lanes> weightSource(const Lanes &lanes,
                                    Columns &columns) override;
  mlir::FailureOr<mlir::Value> buildNew(const Lanes &lanes,
                                        Columns columns) override;

private:
  /// The stack that weights are gathered from.
  std::optional<Lanes> stackOf(const Lanes &lanes);

  mlir::Value decided;
  const llvm::DenseSet<mlir::Operation *> &inside;
  Lanes ids;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_GATHEREDBODY_H
