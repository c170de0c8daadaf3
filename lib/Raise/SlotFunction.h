// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Integer tensors as functions of the slots of a decision. Exporters compute
// where a slot's token is, or which choice it was, by any arithmetic; here it
// is evaluated, scalar by scalar, and compared with what it could mean.
#ifndef GATECC_LIB_RAISE_SLOTFUNCTION_H
#define GATECC_LIB_RAISE_SLOTFUNCTION_H

#include "SlotIndex.h"
#include "llvm/ADT/DenseMap.h"

namespace gatecc::raise {

/// An enumeration of slots that indices come from: the positions of one group
/// (`gate.nonzero` on a mask), or all slots ordered by their groups (a
/// `gate.topk` that sorts ids). Null if none.
struct SlotOrder {
  mlir::Operation *op = nullptr;
  mlir::Value ids;
  int64_t group = -1; // of a mask

  explicit operator bool() const { return op; }
  bool operator==(const SlotOrder &other) const { return op == other.op; }
  bool operator!=(const SlotOrder &other) const { return op != other.op; }
};

/// What an index says about its slot.
enum class SlotPart { Token, Choice, Slot };

class SlotFunctions {
public:
  /// The one enumeration that an index tensor [n, ...] is computed from.
  SlotOrder orderOf(mlir::Value indices);
  /// What column `column` of `indices` [n] or [n, m] holds for each slot of
  /// `order`; nothing if it is none of the parts.
  std::optional<SlotPart> partOf(mlir::Value indices, int64_t column,
                                 const SlotOrder &order, int64_t choices);
  /// The dimension of a mask of two that numbers tokens, of each of which one
  /// element at most is true: one of their choices; -1 if there is none.
  int64_t tokenDimOf(gate::NonZeroOp op);
  /// How many different ids there can be, from 0 on; 0 if not known.
  static int64_t idCount(mlir::Value ids);
  /// Whether ids are read from a constant table, which need not name all groups
  /// that there are.
  static bool isLookedUp(mlir::Value ids);
  /// k: how many ids a token has.
  static int64_t choicesOf(mlir::Value ids);
  /// The order whose slots' positions `indices` hold, by token and choice: the
  /// inverse of a sort.
  SlotOrder inverseOf(mlir::Value indices);
  /// Rows of slots in an order that `value` holds by token and choice: gathered
  /// by the inverse of a sort, or scattered to where the slots were.
  struct Restored {
    mlir::Value rows;
    SlotOrder order;
  };
  std::optional<Restored> restoredRows(mlir::Value value);

  /// Whether an elementwise op on one input makes the number `to` of `from`.
  static bool maps(mlir::linalg::GenericOp op, int64_t from, int64_t to);
  /// Whether `indices` hold the group of each slot of an order of all slots.
  bool isGroupOf(mlir::Value indices, const SlotOrder &order,
                 const Decision &decision);
  /// Whether element `group` of a sum over tokens, or over tokens and choices,
  /// counts the slots of that group.
  bool countsGroup(mlir::linalg::GenericOp sum, int64_t group,
                   const Decision &decision);

private:
  /// A place along a dimension: a number, or the same part of every slot.
  struct Place {
    enum Kind { Number, Token, Choice, Flat, Slot } kind = Number;
    int64_t number = 0;
  };
  /// A slot, for evaluation.
  struct Point {
    int64_t token, choice, choices, group;
  };
  struct Mask {
    mlir::Value ids;
    int64_t group = -1;
    llvm::SmallVector<Place::Kind> dims;
  };

  SlotOrder orderOfSlots(mlir::Value indices);
  /// Where `indices` [n] or [n, m] hold column `column` of a slot; none for
  /// others.
  static llvm::SmallVector<Place> placesOf(mlir::Value indices, int64_t column);
  const Mask &maskOf(gate::NonZeroOp op);
  bool tryMask(gate::NonZeroOp op, llvm::ArrayRef<Place::Kind> dims,
               Mask &mask);
  /// The scalar of `value` at `places` for one slot; null if it cannot be
  /// told.
  mlir::Attribute evaluate(mlir::Value value, llvm::ArrayRef<Place> places,
                           const Point &point, mlir::Value ids);
  mlir::Attribute evaluateGeneric(mlir::linalg::GenericOp op,
                                  llvm::ArrayRef<Place> places,
                                  const Point &point, mlir::Value ids);

  /// Evaluation with an id that no graph has, to see what ids are compared
  /// with.
  struct Probe {
    static constexpr int64_t id = (int64_t(1) << 30) + 12345;
    llvm::SmallVector<int64_t> compared;
    bool isOpaque = false; // ids are used otherwise
    static std::optional<int64_t> distance(mlir::Attribute number);
    void see(mlir::Operation *op, llvm::ArrayRef<mlir::Attribute> operands,
             mlir::Attribute result);
  };
  /// The one id below `count` for which `value` is 1 at `places`, where it is 0
  /// for all others; -1 if there is none. It may be any that ids are compared
  /// with, if they are looked up.
  int64_t onlyId(mlir::Value value, llvm::ArrayRef<Place> places,
                 int64_t choices, int64_t count, mlir::Value ids);
  static mlir::Attribute
  foldBody(mlir::linalg::GenericOp op,
           llvm::function_ref<mlir::Attribute(mlir::OpOperand *)> input,
           llvm::function_ref<mlir::Attribute(mlir::linalg::IndexOp)> index,
           Probe *probe);

  Probe *probe = nullptr;
  /// Whether an evaluation has met anything but moves since it was cleared.
  bool hasComputed = false;
  llvm::DenseMap<mlir::Operation *, Mask> masks;
  llvm::DenseMap<mlir::Value, SlotOrder> orders;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_SLOTFUNCTION_H
