// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Conditions with one bit per row, and the elementwise ops that make and use
// them.
#ifndef GATECC_RAISE_ROWCONDITION_H
#define GATECC_RAISE_ROWCONDITION_H

#include "mlir/IR/Operation.h"
#include "mlir/IR/Value.h"
#include <optional>
#include <utility>

namespace gatecc::raise {

/// A row condition reduced to the value that decides it: reshapes, broadcasts
/// and negations are peeled off.
struct ConditionRoot {
  mlir::Value value;
  bool negated = false;
};

/// An elementwise op on whole tensors that gatecc looks through.
struct Elementary {
  enum Kind { Copy, Not, And, Or, Select };
  Kind kind;
  /// Operands in the order of the scalar op; null where the scalar is not an
  /// element of an operand. `inputs` are their numbers.
  llvm::SmallVector<mlir::Value, 3> operands;
  llvm::SmallVector<int64_t, 3> inputs;
};

/// Matches a linalg.generic whose body is one such op.
std::optional<Elementary> matchElementary(mlir::Operation *op);

/// The root of `value` if it is an i1 tensor with one bit for each index of
/// dimension 0, whatever its other dimensions.
std::optional<ConditionRoot> rowCondition(mlir::Value value);

/// Whether the operand with this number is read at the result's own indices
/// and has its type.
bool isIdentityOperand(mlir::Operation *op, int64_t input);

} // namespace gatecc::raise

#endif // GATECC_RAISE_ROWCONDITION_H
