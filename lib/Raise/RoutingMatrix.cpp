// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Evaluates the weight of an expert under the assumption that none of its
// token's ids names it. Whatever a graph scatters, compares or masks to get
// there, what it writes at the ids' places is not looked at.
#include "RoutingMatrix.h"

#include "IntegerBounds.h"
#include "RowCost.h"
#include "SlotFunction.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include <deque>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How many ops a router has between its choice and its weights, at most.
static constexpr unsigned kMaxRouterOps = 256;
static constexpr unsigned kMaxRouterDepth = 128, kMaxRouterSteps = 4096;

//===-- Choices -----------------------------------------------------------===//

Value raise::findChoice(const Lanes &weights, int64_t experts) {
  std::deque<Operation *> queue;
  llvm::DenseSet<Operation *> seen;
  auto visit = [&](Value value) {
    Operation *op = value.getDefiningOp();
    if (op && seen.size() < kMaxRouterOps && seen.insert(op).second)
      queue.push_back(op);
  };
  // Where each expert has a weight of its own, all come from one choice.
  visit(weights.front());
  while (!queue.empty()) {
    Operation *op = queue.front();
    queue.pop_front();
    if (auto topk = dyn_cast<gate::TopKOp>(op);
        topk && topk.getK() && *topk.getK() > 0 &&
        typeOf(topk.getInput()).getDimSize(1) == experts)
      return topk.getIndices();
    if (op->getNumResults() == 2 &&
        searchedColumns(op->getResult(1)) == experts)
      return op->getResult(1);
    // What chooses is behind the logits, never before them.
    if (!isProduct(op) && op->getNumRegions() <= 1)
      llvm::for_each(op->getOperands(), visit);
  }
  return {};
}

//===-- Weights of what is not chosen -------------------------------------===//

namespace {
/// Scalars are attributes; an array of one number is one of the token's ids
/// plus that number, null anything.
class Elsewhere {
public:
  /// The ids are in [0, experts).
  Elsewhere(Value ids, int64_t expert, int64_t experts, bool assumeFinite)
      : ids(withoutViews(ids)), expert(expert), experts(experts),
        assumeFinite(assumeFinite) {}

  Attribute evaluate(Lanes lanes, Columns columns);

private:
  Attribute evaluateGeneric(linalg::GenericOp op, const Lanes &lanes,
                            Columns columns);
  Attribute evaluateScatter(gate::ScatterElementsOp op, const Lanes &lanes,
                            Columns columns);
  Attribute fold(Operation *op, ArrayRef<Attribute> operands);
  Attribute compareId(arith::CmpIPredicate predicate, int64_t offset,
                      IntegerAttr number, bool idIsLeft);
  /// The place along a dimension, or -1 if it is any.
  int64_t placeOf(const Axes &axes, Columns columns) const {
    if (axes.empty())
      return 0;
    if (axes.size() != 1)
      return -1;
    if (axes.front().kind == Axis::Expert)
      return expert;
    return axes.front().kind == Axis::Column && columns.size == 1
               ? columns.offset
               : -1;
  }

  Value ids;
  int64_t expert, experts;
  bool assumeFinite;
  unsigned depth = 0, steps = 0;
};
} // namespace

static Attribute idPlus(MLIRContext *context, int64_t offset) {
  return Builder(context).getI64ArrayAttr(offset);
}

static std::optional<int64_t> offsetOfId(Attribute scalar) {
  auto array = dyn_cast_or_null<ArrayAttr>(scalar);
  return array ? std::optional(cast<IntegerAttr>(array[0]).getInt())
               : std::nullopt;
}

static bool isZeroFloat(Attribute attribute) {
  auto number = dyn_cast_or_null<FloatAttr>(attribute);
  return number && number.getValue().isZero();
}

/// What a comparison of an id with a number gives, if it is the same for all
/// ids but that of the expert.
Attribute Elsewhere::compareId(arith::CmpIPredicate predicate, int64_t offset,
                               IntegerAttr number, bool idIsLeft) {
  APInt right = number.getValue();
  std::optional<bool> result;
  for (int64_t id = 0; id < experts; ++id) {
    if (id == expert)
      continue;
    APInt left(right.getBitWidth(), id + offset, /*isSigned=*/true,
               /*implicitTrunc=*/true);
    bool holds = arith::applyCmpPredicate(predicate, idIsLeft ? left : right,
                                          idIsLeft ? right : left);
    if (result && *result != holds)
      return {};
    result = holds;
  }
  return result ? BoolAttr::get(number.getContext(), *result) : Attribute();
}

Attribute Elsewhere::fold(Operation *op, ArrayRef<Attribute> operands) {
  if (isa<arith::ExtSIOp, arith::IndexCastOp>(op) && offsetOfId(operands[0]))
    return operands[0];
  if (isa<arith::AddIOp>(op))
    for (unsigned side : {0u, 1u})
      if (auto number = dyn_cast_or_null<IntegerAttr>(operands[1 - side]);
          number && number.getValue().isSignedIntN(32))
        if (std::optional<int64_t> offset = offsetOfId(operands[side]);
            offset && llvm::isInt<32>(*offset))
          return idPlus(op->getContext(),
                        *offset + number.getValue().getSExtValue());
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    for (unsigned side : {0u, 1u})
      if (auto number = dyn_cast_or_null<IntegerAttr>(operands[1 - side]))
        if (std::optional<int64_t> offset = offsetOfId(operands[side]))
          return compareId(compare.getPredicate(), *offset, number, side == 0);
  if (auto select = dyn_cast<arith::SelectOp>(op)) {
    auto condition = dyn_cast_or_null<IntegerAttr>(operands[0]);
    return condition ? operands[condition.getValue().isZero() ? 2 : 1]
                     : Attribute();
  }
  if (isa<arith::AndIOp>(op))
    for (Attribute operand : operands)
      if (auto bit = dyn_cast_or_null<IntegerAttr>(operand);
          bit && bit.getValue().isZero())
        return bit;
  if (assumeFinite && (isa<arith::MulFOp>(op) || isa<arith::DivFOp>(op)))
    if (isZeroFloat(operands[0]) ||
        (isa<arith::MulFOp>(op) && isZeroFloat(operands[1])))
      return isZeroFloat(operands[0]) ? operands[0] : operands[1];
  for (Attribute operand : operands)
    if (!operand || offsetOfId(operand))
      return {};
  SmallVector<OpFoldResult> results;
  if (failed(op->fold(operands, results)) || results.size() != 1)
    return {};
  if (auto attribute = dyn_cast<Attribute>(results[0]))
    return attribute;
  for (auto [operand, attribute] : llvm::zip(op->getOperands(), operands))
    if (operand == cast<Value>(results[0]))
      return attribute;
  return {};
}

Attribute Elsewhere::evaluateGeneric(linalg::GenericOp op, const Lanes &lanes,
                                     Columns columns) {
  std::optional<SmallVector<Axes>> loops = loopAxes(op, lanes);
  if (!loops || op->getNumResults() != 1 || op.getNumReductionLoops() > 1)
    return {};
  SmallVector<unsigned> reduced;
  op.getReductionDims(reduced);
  for (unsigned loop : reduced) // Any place along it.
    (*loops)[loop] = {Axis{Axis::Depth, 0}};
  Block &body = *op.getBody();
  DenseMap<Value, Attribute> scalars;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    auto dims = axesOf(op.getMatchingIndexingMap(operand), *loops);
    if (!dims)
      return {};
    Lanes source = lanes.operand(operand->getOperandNumber(), *dims);
    scalars[op.getMatchingBlockArgument(operand)] =
        evaluate(source, source.has(Axis::Column) ? columns : Columns{0, 1, 1});
  }
  Attribute start;
  if (!reduced.empty()) {
    auto fill = op.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
    if (!fill || !matchPattern(fill.getInputs()[0], m_Constant(&start)))
      return {};
    scalars[op.getRegionOutputArgs()[0]] = start;
  }
  auto lookUp = [&](Value value) {
    Attribute attribute = scalars.lookup(value);
    if (!attribute && value.getParentBlock() != &body)
      matchPattern(value, m_Constant(&attribute));
    return attribute;
  };
  for (Operation &each : body.without_terminator()) {
    if (each.getNumResults() != 1)
      return {};
    Attribute result;
    if (auto index = dyn_cast<linalg::IndexOp>(each)) {
      int64_t place = placeOf((*loops)[index.getDim()], columns);
      if (place >= 0)
        result = IntegerAttr::get(index.getType(), place);
    } else if (!matchPattern(&each, m_Constant(&result))) {
      SmallVector<Attribute> operands;
      for (Value operand : each.getOperands())
        operands.push_back(lookUp(operand));
      result = fold(&each, operands);
    }
    scalars[each.getResult(0)] = result;
  }
  Attribute result = lookUp(body.getTerminator()->getOperand(0));
  // A reduction that one element leaves as it began.
  return reduced.empty() || result == start ? result : Attribute();
}

Attribute Elsewhere::evaluateScatter(gate::ScatterElementsOp op,
                                     const Lanes &lanes, Columns columns) {
  unsigned axis = op.getAxis();
  if (withoutViews(op.getIndices()) != ids ||
      placeOf(lanes.dims[axis], columns) != expert)
    return {};
  // Row t of the ids must be for token t.
  Lanes rows = lanes;
  rows.dims[axis].clear();
  if (!rows.rowDims() || *rows.rowDims() > axis)
    return {};
  Lanes data = lanes;
  data.values = {op.getData()};
  return evaluate(data, columns);
}

Attribute Elsewhere::evaluate(Lanes lanes, Columns columns) {
  Value value = lanes.front();
  RankedTensorType type = typeOf(value);
  if (withoutViews(value) == ids) {
    // In fewer bits two ids might look alike.
    auto integer = dyn_cast<IntegerType>(type.getElementType());
    bool isNarrow = integer && integer.getWidth() < 32;
    return !isNarrow && !lanes.isPerExpert() && lanes.rowDims()
               ? idPlus(value.getContext(), 0)
               : Attribute();
  }
  Operation *op = value.getDefiningOp();
  if (!op || depth == kMaxRouterDepth || ++steps > kMaxRouterSteps)
    return {};
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant))) {
    if (constant.isSplat())
      return constant.getSplatValue<Attribute>();
    SmallVector<uint64_t> index;
    for (auto [axes, size] : llvm::zip_equal(lanes.dims, type.getShape())) {
      int64_t place = placeOf(axes, columns);
      if (place < 0 || place >= size)
        return {};
      index.push_back(place);
    }
    return constant.getValues<Attribute>()[index];
  }
  if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    Attribute scalar;
    matchPattern(fill.getInputs()[0], m_Constant(&scalar));
    return scalar;
  }
  ++depth;
  Attribute result;
  if (auto source = movedFrom(lanes, columns))
    result = evaluate(*source, columns);
  else if (auto scatter = dyn_cast<gate::ScatterElementsOp>(op))
    result = evaluateScatter(scatter, lanes, columns);
  else if (auto generic = dyn_cast<linalg::GenericOp>(op))
    result = evaluateGeneric(generic, lanes, columns);
  --depth;
  return result;
}

bool raise::isZeroElsewhere(const Lanes &weights, Value ids, int64_t experts,
                            bool assumeFinite) {
  for (int64_t expert = 0; expert < experts; ++expert) {
    Lanes lanes = weights;
    if (weights.values.size() > 1)
      lanes.values = {weights.values[expert]};
    if (!isZeroFloat(Elsewhere(ids, expert, experts, assumeFinite)
                         .evaluate(lanes, {0, 1, 1})))
      return false;
  }
  return true;
}
