// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The work of experts as the region of an apply: rebuilt from a graph that
// computes it slot by slot, in whatever shape it does so.
#ifndef GATECC_LIB_RAISE_EXPERTBODY_H
#define GATECC_LIB_RAISE_EXPERTBODY_H

#include "GroupCounts.h"
#include "gatecc/Import/GraphBuilder.h"

namespace gatecc::raise {

/// How many dimensions of a view's source make up the first `rows` of its
/// result; dimensions of one element may change sides. Nothing if the view
/// mixes rows with columns.
std::optional<unsigned> rowsOfSource(mlir::Operation *view, unsigned rows);

/// Some columns of a value.
struct Columns {
  int64_t offset = 0, size = 0, step = 1;
  bool operator==(const Columns &other) const {
    return offset == other.offset && size == other.size && step == other.step;
  }
};

/// Which slots the rows of a value are, one after another.
enum class RowOrder {
  ByChoice, // token by token, in the order of its choices
  ByGroup,  // sorted by their groups
  OfGroup   // those of one group
};

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
  ~ExpertBody();

  /// The value as it is for the slots of a group, built into the region. Its
  /// first `rows` dimensions enumerate slots as `order` says; of the others at
  /// most one has more than one element. On failure reason() says what stood
  /// in the way.
  mlir::FailureOr<mlir::Value> build(llvm::ArrayRef<mlir::Value> values,
                                     unsigned rows, RowOrder order);
  /// The rows [T, F] behind a value of slots that is the same for all choices
  /// of a token, made at the graph builder's place.
  mlir::FailureOr<mlir::Value> tokenRows(mlir::Value value, unsigned rows);
  /// Creates the apply; nothing may be built afterwards.
  gate::ApplyOp finish(mlir::Value plan, mlir::Value slots);

  const std::string &reason() const { return why; }
  /// How often a product was built, and from what.
  llvm::ArrayRef<mlir::Operation *> products() const { return contracted; }

private:
  using Values = llvm::ArrayRef<mlir::Value>;
  struct Key {
    mlir::Value value;
    RowOrder order;
    unsigned rows;
    int64_t offset, size, step;
    bool operator<(const Key &other) const;
  };

  mlir::FailureOr<mlir::Value> fail(const llvm::Twine &reason,
                                    mlir::Value at = {});
  /// The number of columns, or nothing where more than one dimension has them.
  std::optional<int64_t> columnsOf(mlir::Value value, unsigned rows);
  mlir::FailureOr<mlir::Value> build(Values values, unsigned rows,
                                     Columns columns);
  /// The same for rows in another order than those that are being built.
  mlir::FailureOr<mlir::Value> buildIn(RowOrder other, Values values,
                                       Columns columns);
  /// Whether the rows that are being built are those of all slots, sorted.
  bool isByGroup() const {
    return order == RowOrder::ByGroup ||
           (order == RowOrder::OfGroup && decision.groups == 1);
  }
  mlir::FailureOr<mlir::Value> buildNew(Values values, unsigned rows,
                                        Columns columns);
  mlir::FailureOr<mlir::Value> buildView(Values values, unsigned rows,
                                         Columns columns);
  mlir::FailureOr<mlir::Value> buildConcat(Values values, unsigned rows,
                                           Columns columns);
  mlir::FailureOr<mlir::Value> buildSlice(Values values, unsigned rows,
                                          Columns columns);
  mlir::FailureOr<mlir::Value> buildElementwise(Values values, unsigned rows,
                                                Columns columns);
  mlir::FailureOr<mlir::Value>
  emitElementwise(mlir::linalg::GenericOp op, Values operands,
                  llvm::ArrayRef<mlir::AffineMap> maps, Columns columns);
  mlir::FailureOr<mlir::Value>
  buildGatheredProduct(mlir::Value value, unsigned rows, Columns columns);
  mlir::FailureOr<mlir::Value> buildProduct(Values values, unsigned rows,
                                            Columns columns);
  mlir::FailureOr<mlir::Value> buildGather(Values values, unsigned rows,
                                           Columns columns);
  mlir::FailureOr<mlir::Value> leaf(mlir::Value value, unsigned rows,
                                    Columns columns);
  mlir::Value contract(mlir::Value rows, mlir::Value weights);
  /// Columns that are the same for all slots, or all slots of a group: a
  /// constant, a parameter, or null.
  mlir::Value columnConstant(Values sources, bool hasColumns, Columns columns);
  mlir::Value gatheredColumns(mlir::Value value, Columns columns);
  mlir::Value slice(mlir::Value rows, Columns columns);
  /// The number of slots, [n]; there must be an input.
  mlir::Value slotCount();
  /// The argument for a tensor [T, ...] or a parameter [E, ...].
  mlir::Value input(mlir::Value tensor);
  mlir::Value param(mlir::Value tensor);
  mlir::Value argument(mlir::Value tensor,
                       llvm::SmallVectorImpl<mlir::Value> &tensors,
                       llvm::DenseMap<mlir::Value, mlir::Value> &arguments);

  GraphBuilder &graph;
  const Decision &decision;
  const llvm::DenseSet<mlir::Operation *> &inside;
  SlotFunctions &functions;
  GroupCounts counts;
  llvm::ArrayRef<SlotOrder> orders;
  RowOrder order = RowOrder::ByChoice; // of the rows that are being built
  mlir::OpBuilder body;                // into `block`
  std::unique_ptr<mlir::Block> block;
  llvm::SmallVector<mlir::Value> inputs, params;
  mlir::Value count;
  llvm::DenseMap<mlir::Value, mlir::Value> inputArguments, paramArguments;
  std::map<Key, mlir::Value> built;
  llvm::SmallVector<mlir::Operation *> contracted;
  std::string why;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTBODY_H
