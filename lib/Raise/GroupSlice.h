// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The ops that one group takes over: those whose results only its rows need,
// and the selections behind them that fall away on all other rows.
#ifndef GATECC_LIB_RAISE_GROUPSLICE_H
#define GATECC_LIB_RAISE_GROUPSLICE_H

#include "gatecc/Raise/Demand.h"
#include "llvm/ADT/SetVector.h"

namespace gatecc::raise {

/// What a value is on the rows that a group does not take.
struct Base {
  enum Kind {
    None,      ///< nothing that is known without the group's work
    Existing,  ///< `value`, of the same type
    Scalar,    ///< the scalar `value` everywhere
    Bit,       ///< `bit` everywhere
    Broadcast, ///< `value`, read as operand `input` of `generic` reads it
  };
  Kind kind = None;
  mlir::Value value;
  bool bit = false;
  mlir::Operation *generic = nullptr;
  int64_t input = -1;

  /// Whether both are known and the same value.
  bool isSame(const Base &other) const {
    return kind != None && kind == other.kind && value == other.value &&
           bit == other.bit && generic == other.generic && input == other.input;
  }
};

struct GroupSlice {
  Term term;
  /// In block order.
  llvm::SetVector<mlir::Operation *> ops;
  /// For the ops that are needed for other rows as well: their value there.
  llvm::DenseMap<mlir::Operation *, Base> bases;
  /// Ops outside that use the group's results, directly or not, up to the last
  /// op and condition of the group.
  llvm::SetVector<mlir::Operation *> behind;
  /// Why ops that only the group's rows need were left outside.
  llvm::SmallVector<std::string> widened;
};

/// `needed`: the ops whose term implies `term`, in block order.
GroupSlice findSlice(mlir::Block &block, Demand &demand, const Term &term,
                     llvm::ArrayRef<mlir::Operation *> needed);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_GROUPSLICE_H
