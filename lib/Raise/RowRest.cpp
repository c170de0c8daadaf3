// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Proves that rows with a bit keep what a loop carries. A bit that is made from
// the rows themselves then stays what it is; one that compares the number of
// the iteration with something of the row does where it can change only once.
#include "RowRest.h"

#include "RowLoop.h"
#include "SlotIndex.h"
#include "gatecc/Raise/RowCondition.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Conditions are a few ops deep; a graph may be any depth.
static constexpr unsigned kMaxDepth = 64;
/// So many conditions are tried for a loop.
static constexpr unsigned kMaxCandidates = 16;

/// Whether an operand is read row by row.
static bool readsRows(linalg::GenericOp op, int64_t input) {
  AffineMap map = input < 0
                      ? AffineMap()
                      : op.getMatchingIndexingMap(op.getDpsInputOperand(input));
  return map && map.getNumResults() > 0 &&
         map.getResult(0) == getAffineDimExpr(0, op.getContext());
}

namespace {
/// What values are in rows whose bit is set.
class AtRest {
public:
  explicit AtRest(RowRest rest) : rest(rest) {}

  /// The bit of a row condition, if it is known.
  std::optional<bool> bitOf(Value condition, unsigned depth = 0);
  /// The same of an operand of an elementwise op.
  std::optional<bool> bitOf(Operation *op, const Elementary &match,
                            unsigned index, unsigned depth) {
    return readsRows(cast<linalg::GenericOp>(op), match.inputs[index])
               ? bitOf(match.operands[index], depth)
               : std::nullopt;
  }
  /// Whether `value` is what `state` is.
  bool keeps(Value value, Value state, unsigned depth = 0);

private:
  bool addsNothing(Value value);

  RowRest rest;
  llvm::DenseMap<Value, std::optional<bool>> bits;
};
} // namespace

std::optional<bool> AtRest::bitOf(Value condition, unsigned depth) {
  std::optional<ConditionRoot> root =
      condition ? rowCondition(condition) : std::nullopt;
  if (!root || depth == kMaxDepth)
    return std::nullopt;
  Value value = root->value;
  Operation *op = value.getDefiningOp();
  if (auto found = bits.find(value); found != bits.end())
    return found->second ? std::optional(*found->second != root->negated)
                         : std::nullopt;
  std::optional<bool> bit;
  auto match = matchElementary(op);
  if (value == rest.bits) {
    bit = rest.value;
  } else if (match && (match->kind == Elementary::And ||
                       match->kind == Elementary::Or)) {
    bool deciding = match->kind == Elementary::Or;
    std::optional<bool> left = bitOf(op, *match, 0, depth + 1),
                        right = bitOf(op, *match, 1, depth + 1);
    if (left == deciding || right == deciding)
      bit = deciding;
    else if (left && right)
      bit = !deciding;
  } else if (match && match->kind == Elementary::Select) {
    if (std::optional<bool> taken = bitOf(op, *match, 0, depth + 1))
      bit = bitOf(op, *match, *taken ? 1 : 2, depth + 1);
  }
  bits[value] = bit;
  return bit ? std::optional(*bit != root->negated) : std::nullopt;
}

/// A bit as an integer, where it is 0.
bool AtRest::addsNothing(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 1 || !llvm::hasNItems(*op.getBody(), 2))
    return false;
  auto number = op.getBody()
                    ->getTerminator()
                    ->getOperand(0)
                    .getDefiningOp<arith::ExtUIOp>();
  return number && number.getIn() == op.getBody()->getArgument(0) &&
         readsRows(op, 0) && bitOf(op.getDpsInputs()[0]) == false;
}

bool AtRest::keeps(Value value, Value state, unsigned depth) {
  while (auto cast = value.getDefiningOp<tensor::CastOp>())
    value = cast.getSource();
  if (value == state)
    return true;
  if (depth == kMaxDepth)
    return false;
  if (typeOf(value).getElementType().isInteger(1)) {
    std::optional<bool> now = bitOf(state), next = bitOf(value);
    if (now && next)
      return *now == *next;
  }
  if (auto sum = matchBinary<arith::AddIOp>(value))
    for (unsigned side : {0u, 1u})
      if (isIdentityOperand(sum, side) && readsRows(sum, 1 - side) &&
          addsNothing(sum.getDpsInputs()[1 - side]))
        return keeps(sum.getDpsInputs()[side], state, depth + 1);
  Operation *op = value.getDefiningOp();
  auto match = matchElementary(op);
  auto keepsOperand = [&](unsigned index) {
    return isIdentityOperand(op, match->inputs[index]) &&
           keeps(match->operands[index], state, depth + 1);
  };
  if (match && match->kind == Elementary::Copy)
    return keepsOperand(0);
  if (!match || match->kind != Elementary::Select)
    return false;
  if (std::optional<bool> taken = bitOf(op, *match, 0, 0))
    return keepsOperand(*taken ? 1 : 2);
  return keepsOperand(1) && keepsOperand(2);
}

//===-- Numbers of iterations ---------------------------------------------===//

/// Whether a number, or a tensor of one, grows from iteration to iteration.
static bool isGrowing(Value value, const RowLoop &loop) {
  for (unsigned step = 0; step < kMaxDepth; ++step) {
    Operation *op = value.getDefiningOp();
    if (!op)
      break;
    if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      if (generic.getNumDpsInputs() != 1 ||
          !llvm::hasNItems(*generic.getBody(), 2))
        return false;
      Operation *cast =
          generic.getBody()->getTerminator()->getOperand(0).getDefiningOp();
      if (!isa<arith::SIToFPOp, arith::ExtSIOp>(cast) ||
          cast->getOperand(0) != generic.getBody()->getArgument(0))
        return false;
      value = generic.getDpsInputs()[0];
    } else if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::SIToFPOp,
                   tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                   tensor::CastOp>(op) ||
               (isa<tensor::FromElementsOp>(op) && op->getNumOperands() == 1)) {
      value = op->getOperand(0);
    } else {
      return false;
    }
  }
  auto argument = dyn_cast<BlockArgument>(value);
  Block *body = loop.getBody();
  if (!argument || argument.getOwner() != body)
    return false;
  if (auto counted = dyn_cast<scf::ForOp>(body->getParentOp()))
    return argument == counted.getInductionVar();
  auto next = body->getTerminator()
                  ->getOperand(argument.getArgNumber())
                  .getDefiningOp<arith::AddIOp>();
  APInt step;
  return next && next.getLhs() == argument &&
         matchPattern(next.getRhs(), m_ConstantInt(&step)) &&
         step.isStrictlyPositive();
}

/// Whether bits that are `value` once stay so, as the iterations go on.
static bool changesOnce(RowRest rest, const RowLoop &loop,
                        const llvm::DenseSet<Value> &timed) {
  auto op = rest.bits.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 2 || !llvm::hasNItems(*op.getBody(), 2))
    return false;
  Block &body = *op.getBody();
  Operation *compare = body.getTerminator()->getOperand(0).getDefiningOp();
  std::optional<bool> isLess;
  if (auto integers = dyn_cast_or_null<arith::CmpIOp>(compare)) {
    using P = arith::CmpIPredicate;
    P predicate = integers.getPredicate();
    if (predicate == P::slt || predicate == P::sle)
      isLess = true;
    if (predicate == P::sgt || predicate == P::sge)
      isLess = false;
  } else if (auto floats = dyn_cast_or_null<arith::CmpFOp>(compare)) {
    using P = arith::CmpFPredicate;
    P predicate = floats.getPredicate();
    if (predicate == P::OLT || predicate == P::OLE)
      isLess = true;
    if (predicate == P::OGT || predicate == P::OGE)
      isLess = false;
  }
  if (!isLess)
    return false;
  for (unsigned side : {0u, 1u}) {
    auto number = dyn_cast<BlockArgument>(compare->getOperand(side)),
         limit = dyn_cast<BlockArgument>(compare->getOperand(1 - side));
    if (!number || !limit || number.getOwner() != &body ||
        limit.getOwner() != &body)
      return false;
    // number < limit: true, then false.
    if (isGrowing(op->getOperand(number.getArgNumber()), loop) &&
        !timed.contains(op->getOperand(limit.getArgNumber())))
      return rest.value == ((side == 0) != *isLess);
  }
  return false;
}

std::optional<RowRest> raise::findRest(const RowLoop &loop,
                                       const llvm::DenseSet<Value> &timed) {
  SmallVector<Value> conditions;
  llvm::DenseSet<Value> seen;
  auto visit = [&](Value condition) {
    std::optional<ConditionRoot> root =
        condition ? rowCondition(condition) : std::nullopt;
    if (root && conditions.size() < kMaxCandidates &&
        seen.insert(root->value).second)
      conditions.push_back(root->value);
  };
  for (const RowLoop::State &state : loop.getStates())
    if (auto match = matchElementary(loop.getYielded(state).getDefiningOp());
        match && match->kind == Elementary::Select)
      visit(match->operands[0]);
  for (size_t i = 0; i < conditions.size(); ++i)
    if (auto match = matchElementary(conditions[i].getDefiningOp());
        match &&
        (match->kind == Elementary::And || match->kind == Elementary::Or))
      for (Value operand : match->operands)
        visit(operand);
  for (Value bits : conditions)
    for (bool value : {false, true}) {
      RowRest rest{bits, value};
      if (timed.contains(bits) && !changesOnce(rest, loop, timed))
        continue;
      AtRest known(rest);
      if (llvm::all_of(loop.getStates(), [&](const RowLoop::State &state) {
            return known.keeps(loop.getYielded(state), state.argument);
          }))
        return rest;
    }
  return std::nullopt;
}
