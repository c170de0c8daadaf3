// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Collects the ops of a group, in one pass in block order, from the first op
// that only the group needs to the last one that reads its results.
#include "GroupSlice.h"

#include "RowCost.h"
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Raise/RowCondition.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
/// Finds what a value is where `known` holds, without the work of the group.
class Cofactor {
public:
  Cofactor(Demand &demand, const Term &known,
           llvm::function_ref<bool(Value)> isInside)
      : demand(demand), known(known), isInside(isInside) {}

  Base get(Value value) {
    if (!isInside(value))
      return make(Base::Existing, value);
    if (auto found = seen.find(value); found != seen.end())
      return found->second;
    Base base = compute(value);
    seen[value] = base;
    return base;
  }

private:
  static Base make(Base::Kind kind, Value value) {
    Base base;
    base.kind = kind;
    base.value = value;
    return base;
  }

  Base compute(Value value) {
    if (auto bit = demand.evaluate(value, known)) {
      Base base = make(Base::Bit, Value());
      base.bit = *bit;
      return base;
    }
    Operation *op = value.getDefiningOp();
    auto match = matchElementary(op);
    if (!match)
      return {};
    switch (match->kind) {
    case Elementary::Select: {
      if (auto taken = demand.evaluate(match->operands[0], known))
        return operand(op, *match, *taken ? 1 : 2);
      Base left = operand(op, *match, 1);
      return left.isSame(operand(op, *match, 2)) ? left : Base();
    }
    case Elementary::Copy:
      return operand(op, *match, 0);
    case Elementary::And:
    case Elementary::Or:
      for (unsigned i : {0u, 1u})
        if (demand.evaluate(match->operands[i], known))
          return operand(op, *match, 1 - i);
      return {};
    case Elementary::Not:
      return {};
    }
    return {};
  }

  Base operand(Operation *op, const Elementary &match, unsigned index) {
    int64_t input = match.inputs[index];
    if (input < 0) {
      Value scalar = op->getRegion(0)
                         .front()
                         .getTerminator()
                         ->getOperand(0)
                         .getDefiningOp()
                         ->getOperand(index);
      Operation *maker = scalar.getDefiningOp();
      bool isAbove = scalar.getParentRegion() != &op->getRegion(0);
      if (isAbove || (maker && maker->hasTrait<OpTrait::ConstantLike>()))
        return make(Base::Scalar, scalar);
      return {};
    }
    Base base = get(match.operands[index]);
    if (isIdentityOperand(op, input))
      return base;
    if (base.kind != Base::Existing)
      return {};
    Base read = make(Base::Broadcast, base.value);
    read.generic = op;
    read.input = input;
    return read;
  }

  Demand &demand;
  const Term &known;
  llvm::function_ref<bool(Value)> isInside;
  llvm::DenseMap<Value, Base> seen;
};

/// One attempt; ops in `banned` stay outside.
class SliceFinder {
public:
  SliceFinder(Block &block, Demand &demand,
              const llvm::DenseSet<Operation *> &banned, GroupSlice &slice)
      : block(block), demand(demand), banned(banned), slice(slice) {}

  void run(ArrayRef<Operation *> needed) {
    if (needed.empty())
      return;
    Operation *first = needed.front();
    ahead.insert(needed.begin(), needed.end());
    // What reads the group and stands before a condition has to move.
    for (Literal literal : slice.term)
      if (Operation *op = demand.atom(literal.atom).getDefiningOp();
          op && demand.numberOf(op) > demand.numberOf(first))
        ahead.insert(op);
    for (Operation *op = first; op != block.getTerminator() && !ahead.empty();
         op = op->getNextNode()) {
      ahead.erase(op);
      place(op);
      if (!slice.ops.contains(op))
        continue;
      for (Operation *user : op->getUsers())
        if (Operation *outer = block.findAncestorOpInBlock(*user);
            outer && !outer->hasTrait<OpTrait::IsTerminator>())
          ahead.insert(outer);
    }
  }

private:
  static bool canMove(Operation *op) {
    return op->getNumResults() > 0 && !isUniformRows(op->getResult(0)) &&
           isMemoryEffectFree(op);
  }

  bool isInside(Value value) const {
    Operation *op = value.getDefiningOp();
    return op && (slice.ops.contains(op) || slice.behind.contains(op));
  }

  /// What is read row by row may come from anywhere, what is read whole only
  /// from outside, plans and slots only from inside.
  bool operandsFit(Operation *op) const {
    auto uses = rowUses(op);
    if (!uses)
      return false;
    llvm::DenseSet<Value> operands;
    for (auto [operand, use] : llvm::zip(op->getOperands(), *uses)) {
      operands.insert(operand);
      bool inSlice = slice.ops.contains(operand.getDefiningOp());
      if ((use.kind == RowUse::Whole && inSlice) ||
          (use.kind == RowUse::Plan && !inSlice))
        return false;
      if (use.kind == RowUse::Follows && isPlanSpace(operand))
        return false;
    }
    bool fits = true;
    if (op->getNumRegions())
      forEachUsedValue(op, [&](Value used) {
        fits &= operands.contains(used) ||
                !slice.ops.contains(used.getDefiningOp());
      });
    return fits;
  }

  void place(Operation *op) {
    bool usesSlice = false, usesBehind = false;
    Operation *behind = nullptr;
    forEachUsedValue(op, [&](Value used) {
      Operation *def = used.getDefiningOp();
      usesSlice |= def && slice.ops.contains(def);
      if (def && slice.behind.contains(def)) {
        usesBehind = true;
        behind = def;
      }
    });
    bool isNeededHereOnly = containsAll(demand.of(op), slice.term) &&
                            canMove(op) && !banned.contains(op);
    if (isNeededHereOnly && !usesBehind && operandsFit(op)) {
      slice.ops.insert(op);
      return;
    }
    if (!usesSlice && !usesBehind)
      return;
    if (isNeededHereOnly && usesBehind && isProduct(op))
      slice.widened.push_back(
          describe(op) + " is not in this group: it reads " + describe(behind) +
          ", which needs results of the group for other rows too");
    if (!usesBehind && !isNeededHereOnly && canMove(op) && operandsFit(op)) {
      Base base = baseOf(op);
      if (base.kind != Base::None) {
        slice.bases[op] = base;
        slice.ops.insert(op);
        return;
      }
    }
    slice.behind.insert(op);
  }

  Base baseOf(Operation *op) {
    if (!matchElementary(op) && !rowCondition(op->getResult(0)))
      return {};
    // Rows outside the group that need this op: its own term holds, and a
    // literal of the group's that is not among its own is false.
    auto inside = [&](Value value) {
      return value == op->getResult(0) || isInside(value);
    };
    std::optional<Base> common;
    for (Literal literal : demand.basis(slice.term)) {
      Term known = demand.of(op);
      if (contains(known, literal))
        continue;
      auto *place = llvm::lower_bound(known, !literal);
      if (place == known.end() || !(*place == !literal))
        known.insert(place, !literal);
      demand.close(known);
      Base base = Cofactor(demand, known, inside).get(op->getResult(0));
      if (common && !common->isSame(base))
        return {};
      common = base;
    }
    return common.value_or(Base());
  }

  Block &block;
  Demand &demand;
  const llvm::DenseSet<Operation *> &banned;
  GroupSlice &slice;
  llvm::DenseSet<Operation *> ahead; // what the pass has to reach
};
} // namespace

GroupSlice raise::findSlice(Block &block, Demand &demand, const Term &term,
                            ArrayRef<Operation *> needed) {
  llvm::DenseSet<Operation *> banned;
  while (true) {
    GroupSlice slice;
    slice.term = term;
    SliceFinder(block, demand, banned, slice).run(needed);
    // A plan and its slots do not leave the group.
    bool changed = false;
    for (Operation *op : slice.ops)
      for (Value result : op->getResults())
        if (isPlanSpace(result))
          for (Operation *user : result.getUsers())
            if (!slice.ops.contains(block.findAncestorOpInBlock(*user)))
              changed |= banned.insert(op).second;
    if (!changed)
      return slice;
  }
}
