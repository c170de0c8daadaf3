// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whether the rows of what a loop carries go their own ways.
#include "RowLoop.h"

#include "RowCost.h"
#include "SlotIndex.h"
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Raise/RowCondition.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// The size of an argument's first dimension: taken from the argument, or from
/// another one with a dimension of the same name.
static Value argumentRows(BlockArgument argument) {
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  auto sizeOf = [](Value value, int64_t dim) -> Value {
    for (Operation *user : value.getUsers())
      if (auto op = dyn_cast<tensor::DimOp>(user))
        if (op.getSource() == value && op.getConstantIndex() == dim)
          return op.getResult();
    return {};
  };
  if (Value size = sizeOf(argument, 0); size || !function)
    return size;
  auto dimsOf = [&](unsigned number) {
    return function.getArgAttrOfType<ArrayAttr>(number, "gate.dims");
  };
  ArrayAttr own = dimsOf(argument.getArgNumber());
  if (!own || own.empty())
    return {};
  for (BlockArgument other : argument.getOwner()->getArguments())
    if (ArrayAttr dims = dimsOf(other.getArgNumber()))
      for (auto [dim, name] : llvm::enumerate(dims))
        if (name == own[0])
          if (Value size = sizeOf(other, dim))
            return size;
  return {};
}

/// The number of rows of `value` as it is known without it; null if it is not.
static Value leadingExtent(Value value) {
  while (value) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type || type.getRank() < 1 || !type.isDynamicDim(0))
      return {};
    Operation *op = value.getDefiningOp();
    if (!op)
      return argumentRows(cast<BlockArgument>(value));
    if (auto empty = dyn_cast<tensor::EmptyOp>(op))
      return empty.getDynamicSizes().front();
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
      return expand.getOutputShape().front();
    if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
      value = destination.getTiedOpOperand(cast<OpResult>(value))->get();
    else if (isa<tensor::CastOp>(op))
      value = op->getOperand(0);
    else
      return {};
  }
  return {};
}

RowLoop::RowLoop(Operation *op) {
  SmallVector<State> carried;
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    body = loop.getBody();
    for (auto [index, argument] : llvm::enumerate(loop.getRegionIterArgs()))
      carried.push_back({argument,
                         unsigned(index + loop.getNumControlOperands()),
                         unsigned(index)});
  } else {
    auto whileLoop = cast<scf::WhileOp>(op);
    body = whileLoop.getAfterBody();
    for (auto [argument, value] :
         llvm::zip(whileLoop.getAfterArguments(),
                   whileLoop.getConditionOp().getArgs()))
      if (auto before = dyn_cast<BlockArgument>(value);
          before && before.getOwner() == whileLoop.getBeforeBody())
        carried.push_back(
            {argument, before.getArgNumber(), before.getArgNumber()});
  }
  DominanceInfo dominance;
  for (const State &state : carried) {
    Value size = leadingExtent(op->getOperand(state.init));
    auto type = dyn_cast<RankedTensorType>(state.argument.getType());
    if (!size || !type || !type.getElementType().isSignlessIntOrFloat() ||
        !dominance.properlyDominates(size, op))
      continue;
    if (!rows)
      rows = size;
    if (size == rows)
      states.push_back(state);
  }
}

bool RowLoop::isCandidate() const {
  return llvm::any_of(states, [&](const State &state) {
    auto match = matchElementary(getYielded(state).getDefiningOp());
    return match && match->kind == Elementary::Select &&
           (match->operands[1] == state.argument ||
            match->operands[2] == state.argument);
  });
}

bool RowLoop::isMultipleOfRows(Value index) const {
  if (index == rows)
    return true;
  auto product = index.getDefiningOp<arith::MulIOp>();
  return product && (isMultipleOfRows(product.getLhs()) ||
                     isMultipleOfRows(product.getRhs()));
}

bool RowLoop::dependsOnRows(Value index) const {
  if (index == rows)
    return true;
  Operation *def = index.getDefiningOp();
  return def && isa<arith::ArithDialect>(def->getDialect()) &&
         llvm::any_of(def->getOperands(),
                      [&](Value operand) { return dependsOnRows(operand); });
}

/// Whether the first of `sizes` counts rows and no other one does.
static bool countsRowsFirst(const RowLoop &loop, ArrayRef<OpFoldResult> sizes) {
  if (!isa<Value>(sizes.front()) ||
      !loop.isMultipleOfRows(cast<Value>(sizes.front())))
    return false;
  return llvm::none_of(sizes.drop_front(), [&](OpFoldResult size) {
    return isa<Value>(size) && loop.dependsOnRows(cast<Value>(size));
  });
}

std::optional<SmallVector<RowUse>> RowLoop::usesOf(Operation *op) const {
  SmallVector<RowUse> uses(op->getNumOperands());
  // The elements of a row stay together, whatever becomes of its dimensions.
  if (isa<tensor::CollapseShapeOp>(op)) {
    uses[0] = {RowUse::Follows, 0};
    return uses;
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    if (!countsRowsFirst(*this, expand.getMixedOutputShape()))
      return std::nullopt;
    uses[0] = {RowUse::Follows, 0};
    return uses;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    if (slice.getDroppedDims().test(0) ||
        !isConstantIntValue(slice.getMixedOffsets()[0], 0) ||
        !isConstantIntValue(slice.getMixedStrides()[0], 1) ||
        !countsRowsFirst(*this, slice.getMixedSizes()) ||
        llvm::any_of(slice.getOffsets(),
                     [&](Value offset) { return dependsOnRows(offset); }))
      return std::nullopt;
    uses[0] = {RowUse::Follows, 0};
    return uses;
  }
  if (!isa<linalg::LinalgOp, tensor::CastOp, tensor::ConcatOp,
           gate::ContractOp>(op))
    return std::nullopt;
  return rowUses(op);
}

/// Whether a uniform value can be made for other rows.
bool RowLoop::canRemake(Value uniform) const {
  Operation *def = uniform.getDefiningOp();
  if (auto fill = dyn_cast<linalg::FillOp>(def))
    return !touched.contains(fill.getInputs()[0]) &&
           canRemake(fill.getDpsInits()[0]);
  return countsRowsFirst(*this, cast<tensor::EmptyOp>(def).getMixedSizes());
}

std::string RowLoop::check(Operation *op) {
  std::string name = describe(op);
  std::optional<SmallVector<RowUse>> uses = usesOf(op);
  for (Value result : op->getResults())
    if (auto type = dyn_cast<RankedTensorType>(result.getType());
        !type || type.getRank() < 1 || !type.isDynamicDim(0))
      uses = std::nullopt;
  if (!uses || !isMemoryEffectFree(op))
    return name + " does not keep rows apart";
  llvm::DenseSet<Value> following;
  for (auto [operand, use] : llvm::zip(op->getOperands(), *uses)) {
    if (use.kind == RowUse::Plan)
      return name + " dispatches rows itself";
    if (use.kind != RowUse::Follows)
      continue;
    following.insert(operand);
    if (touched.contains(operand))
      continue;
    if (timed.contains(operand) && timedWork.empty())
      timedWork = name;
    if (isUniformRows(operand) && canRemake(operand))
      continue;
    if (leadingExtent(operand) != rows &&
        !haveSameExtent(operand, 0, states.front().argument, 0))
      return name + " reads other rows";
    captured.insert(operand);
  }
  std::string reason;
  forEachUsedValue(op, [&](Value used) {
    if (following.contains(used) || !reason.empty())
      return;
    if (timed.contains(used) && timedWork.empty())
      timedWork = name;
    if (touched.contains(used))
      reason = name + " reads all rows";
  });
  return reason;
}

/// What all rows share may be computed from the new states, not from products
/// on the way to them.
std::string RowLoop::checkRest() {
  llvm::DenseSet<Value> made;
  llvm::DenseSet<unsigned> yields;
  for (const State &state : states) {
    made.insert(getYielded(state));
    yields.insert(state.yield);
  }
  SmallVector<Value> open;
  for (auto [index, value] :
       llvm::enumerate(body->getTerminator()->getOperands()))
    if (!yields.contains(index))
      open.push_back(value);
  llvm::DenseSet<Operation *> seen, rowWork(work.begin(), work.end());
  while (!open.empty()) {
    Value value = open.pop_back_val();
    Operation *def = value.getDefiningOp();
    if (!def || def->getBlock() != body || made.contains(value) ||
        !seen.insert(def).second)
      continue;
    if (rowWork.contains(def) && isProduct(def))
      return describe(def) + " is also needed for all rows together";
    forEachUsedValue(def, [&](Value used) { open.push_back(used); });
  }
  return "";
}

/// Whether bits can be had for all rows before anything else: neither a product
/// nor a new state is needed for them.
bool RowLoop::isMadeFirst(Value bits) const {
  llvm::DenseSet<Value> made;
  for (const State &state : states)
    made.insert(getYielded(state));
  SmallVector<Value> open{bits};
  llvm::DenseSet<Operation *> seen;
  while (!open.empty()) {
    Value value = open.pop_back_val();
    Operation *def = value.getDefiningOp();
    if (made.contains(value))
      return false;
    if (!def || def->getBlock() != body || !seen.insert(def).second)
      continue;
    if (isProduct(def))
      return false;
    forEachUsedValue(def, [&](Value used) { open.push_back(used); });
  }
  return true;
}

std::string RowLoop::analyze() {
  for (const State &state : states)
    touched.insert(state.argument);
  for (BlockArgument argument : body->getArguments())
    if (!touched.contains(argument))
      timed.insert(argument);
  for (Operation &inner : body->without_terminator()) {
    bool isTouched = false, isTimed = false;
    forEachUsedValue(&inner, [&](Value used) {
      isTouched |= touched.contains(used);
      isTimed |= timed.contains(used);
    });
    for (Value result : inner.getResults()) {
      if (isTouched)
        touched.insert(result);
      if (isTimed)
        timed.insert(result);
    }
  }
  SmallVector<Value> open;
  for (const State &state : states) {
    if (!touched.contains(getYielded(state)))
      return "a carried value is not made from its rows";
    open.push_back(getYielded(state));
  }
  llvm::DenseSet<Operation *> needed;
  while (!open.empty()) {
    Value value = open.pop_back_val();
    Operation *def = value.getDefiningOp();
    if (def && touched.contains(value) && needed.insert(def).second)
      forEachUsedValue(def, [&](Value used) {
        if (isa<TensorType>(used.getType()))
          open.push_back(used);
      });
  }
  bool holdsProduct = false;
  for (Operation &inner : body->without_terminator()) {
    if (!needed.contains(&inner))
      continue;
    if (std::string reason = check(&inner); !reason.empty())
      return reason;
    work.push_back(&inner);
    holdsProduct |= isProduct(&inner);
  }
  if (!holdsProduct)
    return "there is no product in it";
  if (!timedWork.empty()) {
    rest = findRest(*this, timed);
    if (!rest)
      return timedWork +
             " depends on what all rows share from step to step, and no "
             "condition is known to keep a row as it is from some step on";
    isRestFirst = isMadeFirst(rest->bits);
    if (!isRestFirst && !touched.contains(rest->bits))
      captured.insert(rest->bits);
  }
  return checkRest();
}
