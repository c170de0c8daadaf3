// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Demand analysis over the ops of one block, in reverse order.
#include "gatecc/Raise/Demand.h"

#include "RowCost.h"
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
  auto *place = llvm::lower_bound(term, literal);
  if (place != term.end() && *place == literal)
    return false;
  term.insert(place, literal);
  return true;
}

static void intersect(Term &term, const Term &other) {
  llvm::erase_if(term,
                 [&](Literal literal) { return !contains(other, literal); });
}

Demand::Demand(Block &block) : block(block) {
  // Number the conditions in program order, whatever order they are met in.
  for (Operation &op : block) {
    for (Value result : op.getResults())
      if (auto root = rowCondition(result))
        atomOf(root->value);
    double before = 0;
    forEachUsedValue(
        &op, [&](Value used) { before = std::max(before, depth(used)); });
    depths[&op] = before + 1 + rowCost(&op);
    numbers.try_emplace(&op, numbers.size());
  }
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

const std::optional<Demand::Logic> &Demand::logic(unsigned atom) {
  if (auto found = logics.find(atom); found != logics.end())
    return found->second;
  std::optional<Logic> result;
  Operation *op = atoms[atom].getDefiningOp();
  if (op && !op->getBlock())
    return logics[atom] = result; // it was taken out, its operands with it
  auto match = matchElementary(op);
  if (match &&
      (match->kind == Elementary::And || match->kind == Elementary::Or)) {
    auto left = literal(match->operands[0]),
         right = literal(match->operands[1]);
    if (left && right)
      result = Logic{match->kind == Elementary::Or, {*left, *right}};
  }
  return logics[atom] = result;
}

/// Adds what follows from one literal; `added` lists what is new.
void Demand::addConsequences(Term &term, Literal known,
                             SmallVectorImpl<Literal> &added) {
  const auto &op = logic(known.atom);
  if (!op)
    return;
  auto add = [&](Literal literal) {
    if (insert(term, literal))
      added.push_back(literal);
  };
  // The conjunction, or the negated disjunction, fixes both sides.
  bool isOr = op->isOr;
  if (known.negated == isOr) {
    for (Literal side : op->sides)
      add(isOr ? !side : side);
    return;
  }
  // Otherwise one side fixes the other.
  for (unsigned i : {0u, 1u})
    if (contains(term, isOr ? !op->sides[i] : op->sides[i]))
      add(isOr ? op->sides[1 - i] : !op->sides[1 - i]);
}

void Demand::close(Term &term) {
  for (size_t size = 0; size != term.size();) {
    size = term.size();
    SmallVector<Literal> work(term.begin(), term.end());
    while (!work.empty())
      addConsequences(term, work.pop_back_val(), work);
  }
  if (term.size() > kMaxLiterals)
    term.truncate(kMaxLiterals);
}

std::optional<bool> Demand::evaluate(Value condition, const Term &known) {
  auto root = literal(condition);
  if (!root)
    return std::nullopt;
  llvm::DenseMap<unsigned, std::optional<bool>> seen;
  auto value = evaluate(root->atom, known, seen);
  return value ? std::optional(*value != root->negated) : std::nullopt;
}

std::optional<bool>
Demand::evaluate(unsigned atom, const Term &known,
                 llvm::DenseMap<unsigned, std::optional<bool>> &seen) {
  if (contains(known, {atom, false}))
    return true;
  if (contains(known, {atom, true}))
    return false;
  const std::optional<Logic> op = logic(atom);
  if (!op)
    return std::nullopt;
  if (auto found = seen.find(atom); found != seen.end())
    return found->second;
  std::optional<bool> value = !op->isOr;
  for (Literal side : op->sides) {
    auto bit = evaluate(side.atom, known, seen);
    if (bit && (*bit != side.negated) == op->isOr) {
      value = op->isOr;
      break;
    }
    if (!bit)
      value = std::nullopt;
  }
  return seen[atom] = value;
}

Term Demand::basis(const Term &term) {
  // Later conditions are made of earlier ones: drop those that follow.
  Term kept(term);
  for (Literal literal : llvm::reverse(term)) {
    Term others;
    for (Literal other : kept)
      if (!(other == literal))
        others.push_back(other);
    llvm::DenseMap<unsigned, std::optional<bool>> seen;
    auto value = evaluate(literal.atom, others, seen);
    if (value && *value != literal.negated)
      kept = others;
  }
  return kept;
}

bool Demand::dependsOn(Value value, Operation *op) {
  // Ops before `op` do not depend on it: only what lies between is searched.
  auto first = numbers.find(op);
  if (first == numbers.end())
    return false;
  SmallVector<Operation *> work;
  llvm::DenseSet<Operation *> seen;
  auto visit = [&](Value used) {
    Operation *source = used.getDefiningOp();
    auto number = numbers.find(source);
    if (number != numbers.end() && number->second >= first->second &&
        seen.insert(source).second)
      work.push_back(source);
  };
  visit(value);
  while (!work.empty() && !seen.contains(op))
    forEachUsedValue(work.pop_back_val(), visit);
  return seen.contains(op);
}

/// The cost of the longest way from the block's arguments to a value.
double Demand::depth(Value value) {
  Operation *op = value.getDefiningOp();
  auto found = depths.find(op);
  return found == depths.end() ? 0 : found->second;
}

/// Of two conditions the one that may be left out must not feed the other; it
/// should be one that nothing else asks for, or else the one that is known
/// later.
bool Demand::isLazyOperand(Value value, Value other) {
  if (value.hasOneUse() != other.hasOneUse())
    return value.hasOneUse();
  if (depth(value) != depth(other))
    return depth(value) > depth(other);
  Operation *op = value.getDefiningOp(), *otherOp = other.getDefiningOp();
  return op && otherOp && op->getBlock() == otherOp->getBlock() &&
         otherOp->isBeforeInBlock(op);
}

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
  if (auto match = matchElementary(op);
      match && match->kind == Elementary::Select) {
    auto condition =
        follows(match->inputs[0]) ? literal(match->operands[0]) : std::nullopt;
    if (condition)
      for (unsigned branch : {1u, 2u})
        // One operand in two places is needed on both sides.
        if (follows(match->inputs[branch]) &&
            match->inputs[1] != match->inputs[2] &&
            match->inputs[branch] != match->inputs[0])
          wanted[match->inputs[branch]] =
              plus(branch == 1 ? condition : !*condition);
  } else if (match &&
             (match->kind == Elementary::And ||
              match->kind == Elementary::Or) &&
             follows(match->inputs[0]) && follows(match->inputs[1]) &&
             match->inputs[0] != match->inputs[1]) {
    auto left = literal(match->operands[0]),
         right = literal(match->operands[1]);
    if (left && right && rowCondition(op->getResult(0))) {
      // Lazy in one operand only.
      unsigned lazy =
          isLazyOperand(match->operands[0], match->operands[1]) ? 0 : 1;
      Literal strict = lazy == 0 ? *right : *left;
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
