// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The work of experts as the region of an apply: rebuilt from a graph that
// computes it slot by slot, in whatever shape it does so.
#ifndef GATECC_LIB_RAISE_EXPERTBODY_H
#define GATECC_LIB_RAISE_EXPERTBODY_H

#include "ExpertRegion.h"
#include "GroupCounts.h"

namespace gatecc::raise {

/// How many dimensions of a view's source make up the first `rows` of its
/// result; dimensions of one element may change sides. Nothing if the view
/// mixes rows with columns.
std::optional<unsigned> rowsOfSource(mlir::Operation *view, unsigned rows);

/// Rebuilds values of slots as tensors [n, columns] of one group. A value is
/// given once, or once for each group where the graph has a copy for each; the
/// copies must be alike but for their constants.
class ExpertBody {
public:
  /// `inside` are the ops that belong to the experts; what they read from
  /// others are rows of tokens or constants.
  /// Where each group has a copy, `orders` are the groups' enumerations of
  /// slots, which the rows of all its values follow.
  ExpertBody(GraphBuilder &graph, const Decision &decision,
             const llvm::DenseSet<mlir::Operation *> &inside,
             SlotFunctions &functions, llvm::ArrayRef<SlotOrder> orders = {});

  /// The value as it is for the slots of a group, built into the region. Its
  /// first `rows` dimensions enumerate slots: by token and choice, or in
  /// `order` if that is given, or those of a group where there is a copy for
  /// each. Of the other dimensions at most one has more than one element. On
  /// failure reason() says what stood in the way.
  mlir::FailureOr<mlir::Value> buildSlots(llvm::ArrayRef<mlir::Value> values,
                                          unsigned rows,
                                          const SlotOrder &order = {});
  /// The rows [T, F] behind a value of slots that is the same for all choices
  /// of a token, made at the graph builder's place.
  mlir::FailureOr<mlir::Value> tokenRows(mlir::Value value, unsigned rows);
  /// Creates the apply; nothing may be built afterwards.
  gate::ApplyOp finish(mlir::Value plan, mlir::Value slots) {
    return region.finish(plan, slots);
  }

  const std::string &reason() const { return why; }
  /// How often a product was built, and from what.
  llvm::ArrayRef<mlir::Operation *> products() const { return contracted; }
  /// One more of the graph's products that the slots have become.
  void addProduct(mlir::Operation *op) { contracted.push_back(op); }

private:
  using Values = llvm::ArrayRef<mlir::Value>;
  struct Key {
    mlir::Value value;
    mlir::Operation *order;
    unsigned rows;
    int64_t offset, size, step;
    bool operator<(const Key &other) const;
  };

  mlir::FailureOr<mlir::Value> fail(const llvm::Twine &reason,
                                    mlir::Value at = {});
  /// The number of columns, or nothing where more than one dimension has them.
  std::optional<int64_t> columnsOf(mlir::Value value, unsigned rows);
  mlir::FailureOr<mlir::Value> build(Values values, unsigned rows);
  mlir::FailureOr<mlir::Value> build(Values values, unsigned rows,
                                     Columns columns);
  /// The same for a value whose slots are in another order.
  mlir::FailureOr<mlir::Value> buildIn(const SlotOrder &other,
                                       mlir::Value value, Columns columns);
  mlir::FailureOr<mlir::Value> buildNew(Values values, unsigned rows,
                                        Columns columns);
  mlir::FailureOr<mlir::Value> buildView(Values values, unsigned rows,
                                         Columns columns);
  mlir::FailureOr<mlir::Value> buildCast(Values values, unsigned rows,
                                         Columns columns);
  mlir::FailureOr<mlir::Value> buildConcat(Values values, unsigned rows,
                                           Columns columns);
  mlir::FailureOr<mlir::Value> buildSlice(Values values, unsigned rows,
                                          Columns columns);
  mlir::FailureOr<mlir::Value> buildElementwise(Values values, unsigned rows,
                                                Columns columns);
  mlir::FailureOr<mlir::Value> buildReduction(Values values, unsigned rows);
  mlir::FailureOr<mlir::Value>
  buildGatheredProduct(mlir::Value value, unsigned rows, Columns columns);
  /// Rows times the vector of each slot's group: a number for each.
  mlir::FailureOr<mlir::Value> buildVectorProduct(mlir::Value value,
                                                  unsigned rows);
  mlir::FailureOr<mlir::Value> buildProduct(Values values, unsigned rows,
                                            Columns columns);
  mlir::FailureOr<mlir::Value> buildGather(Values values, unsigned rows,
                                           Columns columns);
  mlir::FailureOr<mlir::Value> buildScatter(Values values, unsigned rows,
                                            Columns columns);
  mlir::FailureOr<mlir::Value> leaf(mlir::Value value, unsigned rows,
                                    Columns columns);
  /// Columns that are the same for all slots, or all slots of a group: a
  /// constant, a parameter, or null.
  mlir::Value columnConstant(Values sources, bool hasColumns, Columns columns);
  mlir::Value gatheredColumns(mlir::Value value, Columns columns);
  /// Whether `indices` hold the group of each slot, in their order.
  bool areGroups(mlir::Value indices);
  GraphBuilder &graph;
  const Decision &decision;
  const llvm::DenseSet<mlir::Operation *> &inside;
  SlotFunctions &functions;
  GroupCounts counts;
  llvm::ArrayRef<SlotOrder> orders;
  ExpertRegion region;
  SlotOrder order; // of the value that is built; null: by token and choice
  std::map<Key, mlir::Value> built;
  llvm::SmallVector<mlir::Operation *> contracted;
  std::string why;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTBODY_H
