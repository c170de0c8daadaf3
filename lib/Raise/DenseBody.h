// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The work of experts as the region of an apply: rebuilt from a graph in which
// every expert works on every row.
#ifndef GATECC_LIB_RAISE_DENSEBODY_H
#define GATECC_LIB_RAISE_DENSEBODY_H

#include "ExpertLanes.h"
#include <functional>
#include <map>
#include <string>

namespace gatecc::raise {

class DenseBody {
public:
  DenseBody(GraphBuilder &graph, int64_t experts, RowShape shape)
      : graph(graph), experts(experts), shape(std::move(shape)), region(graph) {
  }
  virtual ~DenseBody() = default;

  /// The values of all experts as the rows [n, columns] of one of them, built
  /// into the region. Rows that are the same for all experts become inputs, a
  /// number for each row and expert the routing matrix. On failure reason()
  /// says what stood in the way.
  mlir::FailureOr<mlir::Value> build(Lanes lanes);
  /// Has values looked for among rows of tokens that a graph has brought to its
  /// experts: `find` gives the tensor [T, F] that they are rows of, or null.
  void setDispatched(std::function<mlir::Value(const Lanes &)> find) {
    dispatched = std::move(find);
  }
  /// Whether `lanes` are one number for each expert and each row, or each
  /// sequence of rows.
  static bool isRouting(const Lanes &lanes);
  /// Takes them for the routing matrix; fails if there is another one.
  mlir::LogicalResult setRouting(Lanes lanes);

  /// [T, E], or null. It is an input of the region only if experts read it.
  mlir::Value getRouting() const { return routing; }
  /// [N, E] if one of its rows is that of several rows of work, or null.
  mlir::Value getDecidedRouting() const { return decidedRouting; }
  /// [N, C] for all rows of work: [T, C].
  mlir::Value forAllRows(mlir::Value decided);
  /// The values that the routing matrix consists of.
  const Lanes &getRoutingLanes() const { return routingLanes; }
  ExpertRegion &getRegion() { return region; }
  llvm::ArrayRef<mlir::Operation *> getProducts() const { return products; }
  const std::string &reason() const { return why; }

protected:
  /// Whether a value is the work of experts; others are rows or weights.
  virtual bool isWork(const Lanes &lanes) { return lanes.isPerExpert(); }
  /// Whether experts may read them as rows.
  virtual bool areRows(const Lanes &lanes) {
    return lanes.hasAllTokens() || !isWork(lanes) || isRouting(lanes);
  }
  /// Whether they are the same for all rows of an expert.
  virtual bool areWeights(const Lanes &lanes) {
    return !lanes.has(Axis::Token);
  }
  /// What weights are moved from, or taken out of.
  virtual std::optional<Lanes> weightSource(const Lanes &lanes,
                                            Columns &columns) {
    return movedFrom(lanes, columns);
  }
  virtual mlir::FailureOr<mlir::Value> buildNew(const Lanes &lanes,
                                                Columns columns);
  mlir::FailureOr<mlir::Value> buildRows(Lanes lanes, Columns columns);
  mlir::FailureOr<mlir::Value> buildWork(const Lanes &lanes, Columns columns);
  mlir::FailureOr<mlir::Value> build(Lanes lanes, Columns columns);
  mlir::FailureOr<mlir::Value> fail(const llvm::Twine &reason, const Lanes &at);
  /// Elements for all rows, [rows..] or [rows.., columns], made at the graph
  /// builder's place and repeated along the dimensions of rows that `lanes` do
  /// not follow. Null if one of theirs is none of the result's.
  mlir::Value spread(const Lanes &lanes);

  GraphBuilder &graph;
  int64_t experts;
  RowShape shape;
  ExpertRegion region;

private:
  /// The dimension of rows that is numbered like `axes`, or -1.
  int64_t rowDimOf(llvm::ArrayRef<Axis> axes) const;
  /// The tensor with a dimension for each factor of its own ones, `dims`, which
  /// become those of the new dimensions. Null if a factor is none of the rows'.
  mlir::Value withFactorsApart(mlir::Value tensor,
                               llvm::SmallVectorImpl<Axes> &dims);
  mlir::FailureOr<mlir::Value> buildElementwise(const Lanes &lanes,
                                                Columns columns);
  mlir::FailureOr<mlir::Value> buildReduction(const Lanes &lanes);
  mlir::FailureOr<mlir::Value> buildProduct(const Lanes &lanes,
                                            Columns columns);
  mlir::FailureOr<mlir::Value> buildContract(const Lanes &lanes,
                                             Columns columns);
  mlir::FailureOr<mlir::Value> buildContract(const Lanes &lanes, Lanes rows,
                                             Lanes weights, int64_t depth,
                                             Columns columns);
  /// A constant as [E, D, C] (without E where experts share it, without D where
  /// it has no depth), with some of its columns; null if it is none.
  mlir::Value constantOf(Lanes lanes, Columns columns, bool &isPerExpert);

  Lanes routingLanes;
  mlir::Value routing, decidedRouting, repetitions;
  std::function<mlir::Value(const Lanes &)> dispatched;
  unsigned depth = 0;
  std::map<std::string, mlir::Value> built;
  llvm::SmallVector<mlir::Operation *> products;
  std::string why;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_DENSEBODY_H
