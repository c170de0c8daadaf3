// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Values that hold one row, or one block of elements, for each slot of a
// selection, whatever shape they have; and work on them as the region of an
// apply.
#ifndef GATECC_LIB_RAISE_SLOTWORK_H
#define GATECC_LIB_RAISE_SLOTWORK_H

#include "RowSelection.h"
#include "llvm/ADT/SetVector.h"
#include <string>

namespace gatecc::raise {

/// How a value holds the slots of a path: its first `dims` dimensions are the
/// slots; or (blocks) dimension 0 has the elements of one slot after those of
/// the other.
struct SlotRows {
  RowPath path;
  unsigned dims = 1;
  bool isBlock = false;

  bool operator==(const SlotRows &other) const {
    return path == other.path && dims == other.dims && isBlock == other.isBlock;
  }
};

class SlotWork {
public:
  explicit SlotWork(const RowIndices &indices) : indices(indices) {}
  /// For work on the rows that a tensor has an element for each of, along its
  /// first `dims` dimensions: what `inside` reads from elsewhere row by row
  /// holds these rows.
  SlotWork(const RowIndices &indices, mlir::Value rows, unsigned dims,
           const llvm::SetVector<mlir::Operation *> &inside)
      : indices(indices), inside(&inside), seedRows{{rows}, dims, false} {}

  /// Takes in an op; those that it depends on come first.
  void visit(mlir::Operation *op);
  const SlotRows *find(mlir::Value value) const {
    auto found = known.find(value);
    return found == known.end() ? nullptr : &found->second;
  }
  /// Whether a value from elsewhere holds the rows that a condition decides
  /// about, and along how many dimensions.
  bool isSeed(mlir::Value value) const;
  unsigned getSeedDims() const { return seedRows.dims; }
  /// How a value holds slots or, where it is read row by row, would do so.
  const SlotRows *findRows(mlir::Value value) const {
    const SlotRows *rows = find(value);
    return rows ? rows : isSeed(value) ? &seedRows : nullptr;
  }

  /// What a plan, or what was made on one, is a plan over.
  const SlotRows *findPlan(mlir::Value value) const {
    auto found = plans.find(value);
    return found == plans.end() ? nullptr : &found->second;
  }

  /// Has to be called before an op is erased.
  void forget(mlir::Operation *op);

  /// Which operands of an op hold the slots of its results; nothing if it does
  /// not keep slots apart.
  std::optional<llvm::SmallVector<bool>> followed(mlir::Operation *op) const;
  /// The rows that an op brings to slots, as a tensor of all rows of which the
  /// first `rowDims` dimensions are the rows. Null if it is no such op.
  mlir::Value broughtRows(mlir::Operation *op, unsigned &rowDims) const;
  /// The tensors that the body of an op on slots reads, of each the row of its
  /// slot.
  llvm::SmallVector<mlir::Value> rowsInBody(mlir::Operation *op) const;
  /// The operand that an op only puts into another order, or null.
  mlir::Value reordered(mlir::Operation *op) const;
  /// Whether a value, the first `dims` dimensions of which are slots, is the
  /// same in all of them and can be made for any number.
  bool isUniform(mlir::Value value, unsigned dims) const;

  /// Why `value` holds no slots, "" if nothing that it depends on does.
  std::string obstacle(mlir::Value value) const;

private:
  std::optional<SlotRows> compute(mlir::Operation *op);
  std::optional<SlotRows> collapse(mlir::tensor::CollapseShapeOp op,
                                   const SlotRows &from) const;
  std::optional<SlotRows> expand(mlir::tensor::ExpandShapeOp op,
                                 const SlotRows &from) const;
  std::optional<llvm::SmallVector<bool>>
  followedByLinalg(mlir::linalg::LinalgOp op, const SlotRows &rows) const;
  const SlotRows *firstOperand(mlir::Operation *op) const;

  const RowIndices &indices;
  const llvm::SetVector<mlir::Operation *> *inside = nullptr;
  SlotRows seedRows;
  llvm::DenseMap<mlir::Value, SlotRows> known, plans;
  /// Ops that read slots and make none.
  llvm::DenseSet<mlir::Operation *> ends;
};

/// The ops that make `values` out of rows, in the order of their block.
/// Nothing is built.
struct SlotSlice {
  llvm::SetVector<mlir::Operation *> ops;
  /// Why the values cannot be made on the rows of a group.
  std::string refusal;
};
SlotSlice sliceOf(const SlotWork &work, mlir::ValueRange values);

/// Which product of a slice something else than its ends needs: it would be
/// done twice. "" if none.
std::string otherUse(const SlotSlice &slice,
                     llvm::ArrayRef<mlir::Operation *> ends);

/// Rewrites the ops of a slice for the rows of a group.
class SlotBody {
public:
  /// The rows are those of `mask` [rows, choices] if it is given: of what has
  /// an element for each of the mask, they get that at its true element.
  SlotBody(const SlotWork &work, mlir::OpBuilder &outside,
           mlir::Value mask = {});
  ~SlotBody();

  void build(const SlotSlice &slice);
  /// The value on the rows of the group, [n, ...].
  mlir::Value rowsOf(mlir::Value value);
  /// The rows of the group of a tensor of all rows.
  mlir::Value rowsOfAll(mlir::Value tensor, unsigned rowDims);
  mlir::OpBuilder &getBuilder() { return b; }

  /// [rows, choices, ...] at the true element of each row of the mask: [rows,
  /// ...], 0 where there is none.
  mlir::Value atMask(mlir::Value tensor);
  /// [rows, ...] with the rows as one dimension.
  mlir::Value flatten(mlir::Value tensor, unsigned rowDims);
  llvm::ArrayRef<mlir::Value> getInputs() const { return inputs; }
  /// Ends the region with `yields` and gives it away.
  mlir::Block *take(mlir::ValueRange yields);

private:
  void rewrite(mlir::Operation *op);
  mlir::Value rewriteReshape(mlir::Operation *op, const SlotRows &from,
                             const SlotRows &to);
  mlir::Value rewriteSlice(mlir::tensor::ExtractSliceOp op,
                           const SlotRows &rows);
  void rewriteLinalg(mlir::linalg::LinalgOp op, unsigned dims,
                     mlir::Value extent);
  mlir::Value remake(mlir::Value uniform, unsigned dims, mlir::Value extent);
  mlir::Value extentOf(mlir::Value rows);
  /// The value on the rows of the group, if it has been made or holds rows.
  mlir::Value lookup(mlir::Value value);

  const SlotWork &work;
  mlir::OpBuilder &outside, b;
  std::unique_ptr<mlir::Block> block;
  mlir::Value count, mask;
  llvm::SmallVector<mlir::Value> inputs;
  llvm::DenseMap<mlir::Value, mlir::Value> made, arguments;
  llvm::DenseMap<std::pair<mlir::Value, unsigned>, mlir::Value> flat;
};

/// What a group is called after, and the products that it may skip.
mlir::DictionaryAttr describeGroup(const SlotSlice &slice, llvm::StringRef name,
                                   llvm::StringRef kind = "",
                                   llvm::ArrayRef<llvm::StringRef> notes = {});

/// Creates partition, apply and merges: `yields` of the body on the rows of the
/// predicate, `bases` elsewhere.
llvm::SmallVector<mlir::Value>
formSlotGroup(mlir::OpBuilder &b, mlir::Location loc, mlir::Value predicate,
              SlotBody &body, mlir::ValueRange yields, mlir::ValueRange bases,
              mlir::DictionaryAttr formed);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_SLOTWORK_H
