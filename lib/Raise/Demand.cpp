// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Demand analysis over the ops of one block, in reverse order.
#include "gatecc/Raise/Demand.h"

#include "gatecc/Raise/RowCondition.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Terms stay small; what does not fit widens to a weaker term.
static constexpr size_t kMaxLiterals = 256;

bool raise::contains(const Term &term, Literal literal) {
  return std::binary_search(term.begin(), term.end(), literal);
}

bool raise::containsAll(const Term &term, const Term &other) {
  return std::includes(term.begin(), term.end(), other.begin(), other.end());
}

static bool insert(Term &term, Literal literal) {
  auto place = llvm::lower_bound(term, literal);
  if (place != term.end() && *place == literal)
    return false;
  term.insert(place, literal);
  return true;
}

static void intersect(Term &term, const Term &other) {
  llvm::erase_if(term, [&](Literal literal) { return !contains(other, literal); });
}

Demand::Demand(Block &block) : block(block) {
  // Number the conditions in program order, whatever order they are met in.
  for (Operation &op : block)
    for (Value result : op.getResults())
      if (auto root = rowCondition(result))
        atomOf(root->value);
  for (Operation &op : llvm::reverse(block)) {
    Term &term = terms[&op];
    Term kept;
    for (Literal literal : term)
      if (!dependsOn(atom(literal.atom), &op))
        kept.push_back(literal);
    term = kept;
    demandOperands(&op);
  }
}

const Term &Demand::of(Operation *op) const {
  auto found = terms.find(op);
  return found == terms.end() ? always : found->second;
}

unsigned Demand::atomOf(Value value) {
  auto [place, isNew] = atomNumbers.try_emplace(value, atoms.size());
  if (isNew)
    atoms.push_back(value);
  return place->second;
}

std::optional<Literal> Demand::literal(Value condition) {
  auto root = rowCondition(condition);
  if (!root)
    return std::nullopt;
  return Literal{atomOf(root->value), root->negated};
}

/// The disjunction or conjunction that an atom is, if both sides are row
/// conditions.
static std::optional<Elementary> matchLogic(Value atom) {
  auto match = matchElementary(atom.getDefiningOp());
  if (!match || (match->kind != Elementary::And && match->kind != Elementary::Or))
    return std::nullopt;
  for (Value operand : match->operands)
    if (!rowCondition(operand))
      return std::nullopt;
  return match;
}

/// Adds what follows from one literal; true if something was added.
bool Demand::addConsequences(Term &term, Literal known) {
  auto match = matchLogic(atom(known.atom));
  if (!match)
    return false;
  Literal sides[] = {*literal(match->operands[0]), *literal(match->operands[1])};
  // The conjunction, or the negated disjunction, fixes both sides.
  bool isOr = match->kind == Elementary::Or;
  bool added = false;
  if (known.negated == isOr) {
    for (Literal side : sides)
      added |= insert(term, isOr ? !side : side);
    return added;
  }
  // Otherwise one side fixes the other.
  for (unsigned i : {0u, 1u})
    if (contains(term, isOr ? !sides[i] : sides[i]))
      added |= insert(term, isOr ? sides[1 - i] : !sides[1 - i]);
  return added;
}

void Demand::close(Term &term) {
  for (bool changed = true; changed;) {
    changed = false;
    for (Literal literal : Term(term))
      changed |= addConsequences(term, literal);
  }
  if (term.size() > kMaxLiterals)
    term.truncate(kMaxLiterals);
}

std::optional<bool> Demand::evaluate(Value condition, const Term &known) {
  llvm::DenseMap<unsigned, std::optional<bool>> seen;
  return evaluate(condition, known, seen);
}

std::optional<bool>
Demand::evaluate(Value condition, const Term &known,
                 llvm::DenseMap<unsigned, std::optional<bool>> &seen) {
  auto root = literal(condition);
  if (!root)
    return std::nullopt;
  auto result = [&](bool value) { return value != root->negated; };
  Literal positive{root->atom, false};
  if (contains(known, positive) || contains(known, !positive))
    return result(contains(known, positive));
  auto match = matchLogic(atom(root->atom));
  if (!match)
    return std::nullopt;
  if (auto found = seen.find(root->atom); found != seen.end())
    return found->second ? std::optional(result(*found->second)) : std::nullopt;
  auto left = evaluate(match->operands[0], known, seen);
  auto right = evaluate(match->operands[1], known, seen);
  bool absorbing = match->kind == Elementary::Or;
  std::optional<bool> value;
  if ((left && *left == absorbing) || (right && *right == absorbing))
    value = absorbing;
  else if (left && right)
    value = !absorbing;
  seen[root->atom] = value;
  return value ? std::optional(result(*value)) : std::nullopt;
}

Term Demand::basis(const Term &term) {
  // Later conditions are made of earlier ones: drop those that follow.
  Term kept(term);
  for (Literal literal : llvm::reverse(term)) {
    Term others;
    for (Literal other : kept)
      if (!(other == literal))
        others.push_back(other);
    auto value = evaluate(atom(literal.atom), others);
    if (value && *value != literal.negated)
      kept = others;
  }
  return kept;
}

const llvm::DenseSet<Operation *> &Demand::slice(Value value) {
  auto [place, isNew] = slices.try_emplace(value);
  if (!isNew)
    return place->second;
  llvm::DenseSet<Operation *> ops;
  SmallVector<Value> work{value};
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (op && op->getBlock() == &block && ops.insert(op).second)
      forEachUsedValue(op, [&](Value used) { work.push_back(used); });
  }
  return slices[value] = std::move(ops);
}

bool Demand::dependsOn(Value value, Operation *op) { return slice(value).contains(op); }

void Demand::demand(Value value, const Term &term) {
  Operation *op = value.getDefiningOp();
  if (!op || op->getBlock() != &block)
    return;
  auto [place, isNew] = terms.try_emplace(op, term);
  if (!isNew)
    intersect(place->second, term);
}

void Demand::demandOperands(Operation *op) {
  const Term own = of(op);
  auto uses = rowUses(op);
  // An extent is nobody's row; whoever needs the rows asks for them itself.
  if (isa<tensor::DimOp>(op) && isa<BlockArgument>(op->getOperand(0)))
    return;
  if (!uses) {
    forEachUsedValue(op, [&](Value used) { demand(used, always); });
    return;
  }
  auto plus = [&](std::optional<Literal> literal) {
    Term term = own;
    if (literal && insert(term, *literal))
      close(term);
    return term;
  };
  SmallVector<Term> wanted;
  for (RowUse use : *uses)
    wanted.push_back(use.kind == RowUse::Whole ? always : own);
  auto follows = [&](int64_t input) {
    return input >= 0 && (*uses)[input].kind == RowUse::Follows;
  };
  if (auto match = matchElementary(op); match && match->kind == Elementary::Select) {
    auto condition = follows(match->inputs[0]) ? literal(match->operands[0]) : std::nullopt;
    if (condition)
      for (unsigned branch : {1u, 2u})
        // One operand in two places is needed on both sides.
        if (follows(match->inputs[branch]) && match->inputs[1] != match->inputs[2] &&
            match->inputs[branch] != match->inputs[0])
          wanted[match->inputs[branch]] = plus(branch == 1 ? condition : !*condition);
  } else if (match && (match->kind == Elementary::And || match->kind == Elementary::Or) &&
             follows(match->inputs[0]) && follows(match->inputs[1]) &&
             match->inputs[0] != match->inputs[1]) {
    auto left = literal(match->operands[0]), right = literal(match->operands[1]);
    if (left && right && rowCondition(op->getResult(0))) {
      // Lazy in one operand only: the one that comes later, so the other one
      // does not depend on it.
      Operation *first = match->operands[0].getDefiningOp();
      Operation *second = match->operands[1].getDefiningOp();
      bool isLeftLater = first && first->getBlock() == &block &&
                         (!second || second->getBlock() != &block ||
                          second->isBeforeInBlock(first));
      unsigned lazy = isLeftLater ? 0 : 1;
      Literal strict = isLeftLater ? *right : *left;
      wanted[match->inputs[lazy]] =
          plus(match->kind == Elementary::Or ? !strict : strict);
    }
  }
  for (auto [operand, term] : llvm::zip(op->getOperands(), wanted))
    demand(operand, term);
  if (op->getNumRegions() != 0) {
    llvm::DenseSet<Value> operands(op->operand_begin(), op->operand_end());
    forEachUsedValue(op, [&](Value used) {
      if (!operands.contains(used))
        demand(used, always);
    });
  }
}
