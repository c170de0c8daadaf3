// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Demand: under which condition per row the results of an op are needed.
// A term is a conjunction of literals over row conditions; it holds for row i
// of each result if all its literals hold for row i. The empty term is `true`.
#ifndef GATECC_RAISE_DEMAND_H
#define GATECC_RAISE_DEMAND_H

#include "mlir/IR/Block.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace gatecc::raise {

/// A row condition, or its negation. Atoms are numbered by the analysis.
struct Literal {
  unsigned atom = 0;
  bool negated = false;

  Literal operator!() const { return {atom, !negated}; }
  bool operator==(Literal other) const {
    return atom == other.atom && negated == other.negated;
  }
  bool operator<(Literal other) const {
    return atom != other.atom ? atom < other.atom : negated < other.negated;
  }
};

/// A conjunction: sorted, without repetition.
using Term = llvm::SmallVector<Literal, 4>;

bool contains(const Term &term, Literal literal);
/// Whether every literal of `other` is in `term` (so `term` implies it).
bool containsAll(const Term &term, const Term &other);

/// The demand on every op of one block. What leaves the block is needed for
/// every row. Ops may be taken out of the block while the analysis is used, but
/// not be destroyed: it knows them by their addresses.
class Demand {
public:
  explicit Demand(mlir::Block &block);

  /// The closed term of an op; for one without users also `true`.
  const Term &of(mlir::Operation *op) const;

  mlir::Value atom(unsigned index) const { return atoms[index]; }

  /// The place of an op among those of the block.
  unsigned numberOf(mlir::Operation *op) const { return numbers.lookup(op); }

  /// The literal of a condition (null if it is none with one bit per row).
  std::optional<Literal> literal(mlir::Value condition);

  /// Adds what follows from the term: `not (a or b)` is `not a and not b`,
  /// `a or b` and `not a` give b, and the duals.
  void close(Term &term);

  /// Evaluates a row condition where `known` holds.
  std::optional<bool> evaluate(mlir::Value condition, const Term &known);

  /// The literals of a closed term that do not follow from the others.
  Term basis(const Term &term);

  /// Whether `value` depends on `op`, through any data path in the block.
  bool dependsOn(mlir::Value value, mlir::Operation *op);

private:
  /// A disjunction or conjunction of two row conditions.
  struct Logic {
    bool isOr;
    Literal sides[2];
  };
  const std::optional<Logic> &logic(unsigned atom);
  std::optional<bool>
  evaluate(unsigned atom, const Term &known,
           llvm::DenseMap<unsigned, std::optional<bool>> &seen);
  unsigned atomOf(mlir::Value value);
  double depth(mlir::Value value);
  bool isLazyOperand(mlir::Value value, mlir::Value other);
  void demandOperands(mlir::Operation *op);
  /// Joins `term` into the demand on the op that defines `value`.
  void demand(mlir::Value value, const Term &term);
  void addConsequences(Term &term, Literal known,
                       llvm::SmallVectorImpl<Literal> &added);

  mlir::Block &block;
  llvm::SmallVector<mlir::Value> atoms;
  llvm::DenseMap<mlir::Value, unsigned> atomNumbers;
  llvm::DenseMap<unsigned, std::optional<Logic>> logics;
  llvm::DenseMap<mlir::Operation *, Term> terms;
  llvm::DenseMap<mlir::Operation *, double> depths;
  llvm::DenseMap<mlir::Operation *, unsigned> numbers; // in block order
  Term always;
};

} // namespace gatecc::raise

#endif // GATECC_RAISE_DEMAND_H
