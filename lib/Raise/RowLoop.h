// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A loop seen as work on rows: which of the tensors that it carries have a row
// for each row of the batch, and whether each row goes its own way.
#ifndef GATECC_LIB_RAISE_ROWLOOP_H
#define GATECC_LIB_RAISE_ROWLOOP_H

#include "RowRest.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/IR/Block.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"
#include <string>

namespace gatecc::raise {

class RowLoop {
public:
  /// A carried tensor with rows: the argument of the body, and the numbers of
  /// the operand that begins it and of what the body yields for it.
  struct State {
    mlir::BlockArgument argument;
    unsigned init, yield;
  };

  /// `op` is an scf.for or an scf.while.
  explicit RowLoop(mlir::Operation *op);

  /// Whether a selection keeps one of the states in rows that do not run.
  bool isCandidate() const;
  /// Finds the work on rows; what stands in the way, or "".
  std::string analyze();

  mlir::Block *getBody() const { return body; }
  llvm::ArrayRef<State> getStates() const { return states; }
  /// What the body yields for a state.
  mlir::Value getYielded(const State &state) const {
    return body->getTerminator()->getOperand(state.yield);
  }
  /// The number of rows, a value from before the loop.
  mlir::Value getRows() const { return rows; }
  /// The ops that make the new states, in order.
  llvm::ArrayRef<mlir::Operation *> getWork() const { return work; }
  /// Values from elsewhere with a row for each of the states' rows.
  llvm::ArrayRef<mlir::Value> getCaptured() const {
    return captured.getArrayRef();
  }
  /// How an op of the work uses its operands: those that follow do so with
  /// their rows, or the blocks of their rows.
  std::optional<llvm::SmallVector<RowUse>> usesOf(mlir::Operation *op) const;
  /// Which rows are at rest. Nothing where all iterations do the same to a row,
  /// so that one that leaves it as it was says it.
  const std::optional<RowRest> &getRest() const { return rest; }
  /// Whether these are known before the work, from the states as they are.
  bool restsFirst() const { return isRestFirst; }
  /// Whether an index is the number of rows times something.
  bool isMultipleOfRows(mlir::Value index) const;
  /// Whether the number of rows takes part in an index.
  bool dependsOnRows(mlir::Value index) const;

private:
  std::string check(mlir::Operation *op);
  std::string checkRest();
  bool isMadeFirst(mlir::Value bits) const;
  bool canRemake(mlir::Value uniform) const;

  mlir::Block *body = nullptr;
  llvm::SmallVector<State> states;
  mlir::Value rows;
  llvm::SmallVector<mlir::Operation *> work;
  llvm::SetVector<mlir::Value> captured;
  /// What depends on the states, and what on anything else that changes from
  /// iteration to iteration.
  llvm::DenseSet<mlir::Value> touched, timed;
  /// The first op of the work that is not the same in all iterations.
  std::string timedWork;
  std::optional<RowRest> rest;
  bool isRestFirst = false;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROWLOOP_H
