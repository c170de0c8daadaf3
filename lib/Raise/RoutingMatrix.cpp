// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Evaluates the weight of an expert under the assumption that none of its
// token's ids names it. Whatever a graph scatters, compares or masks to get
// there, what it writes at the ids' places is not looked at.
#include "RoutingMatrix.h"

#include "ExpertRegion.h"
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
/// How many tensors of integers are tried as ids, at most, and how many ops
/// may make a weight zero.
static constexpr unsigned kMaxCandidates = 16;

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
  /// The ids are in [0, experts) if `areInRange`.
  Elsewhere(Value ids, int64_t expert, int64_t experts, bool assumeFinite,
            bool areInRange)
      : ids(withoutViews(ids)), expert(expert), experts(experts),
        assumeFinite(assumeFinite), areInRange(areInRange) {}

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
  bool assumeFinite, areInRange;
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
  bool isEquality = predicate == arith::CmpIPredicate::eq ||
                    predicate == arith::CmpIPredicate::ne;
  if (!areInRange && (!isEquality || right.getSExtValue() != expert + offset))
    return {};
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
  return foldScalar(op, operands);
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
  if (!areInRange || withoutViews(op.getIndices()) != ids ||
      placeOf(lanes.dims[axis], columns) != expert)
    return {};
  // Row t of the ids must be for token t, or the tokens of sequence t.
  Lanes rows = lanes;
  rows.dims[axis].clear();
  uint64_t last;
  if (std::optional<unsigned> count = rows.leadingRowDims(last);
      !count || *count > axis)
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
    uint64_t last;
    return !isNarrow && !lanes.isPerExpert() && lanes.leadingRowDims(last)
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

static bool isZeroElsewhere(const Lanes &weights, Value ids, int64_t experts,
                            bool assumeFinite, bool areInRange) {
  for (int64_t expert = 0; expert < experts; ++expert) {
    Lanes lanes = weights;
    if (weights.values.size() > 1)
      lanes.values = {weights.values[expert]};
    if (!isZeroFloat(Elsewhere(ids, expert, experts, assumeFinite, areInRange)
                         .evaluate(lanes, {0, 1, 1})))
      return false;
  }
  return true;
}

bool raise::isZeroElsewhere(const Lanes &weights, Value ids, int64_t experts,
                            bool assumeFinite) {
  return ::isZeroElsewhere(weights, ids, experts, assumeFinite,
                           /*areInRange=*/true);
}

/// Whether ids were looked up in a table of numbers in [0, experts).
static bool areLookedUp(Value ids, int64_t experts) {
  auto gather = ids.getDefiningOp<gate::GatherNDOp>();
  DenseIntElementsAttr table;
  return gather && matchPattern(gather.getData(), m_Constant(&table)) &&
         llvm::all_of(table.getValues<APInt>(), [&](const APInt &id) {
           return id.getSExtValue() >= 0 && id.getSExtValue() < experts;
         });
}

Value raise::findComparedIds(const Lanes &weights, int64_t experts) {
  SmallVector<Value> open{weights.front()}, candidates;
  llvm::DenseSet<Value> seen(open.begin(), open.end());
  for (unsigned next = 0; next < open.size() && next < kMaxRouterOps &&
                          candidates.size() < kMaxCandidates;
       ++next) {
    if (typeOf(open[next]).getElementType().isInteger(64))
      candidates.push_back(open[next]);
    Operation *op = open[next].getDefiningOp();
    if (!op || isProduct(op))
      continue;
    for (Value operand : op->getOperands())
      if (isa<RankedTensorType>(operand.getType()) &&
          !operand.getDefiningOp<tensor::EmptyOp>() &&
          !matchPattern(operand, m_Constant()) && seen.insert(operand).second)
        open.push_back(operand);
  }
  // Where all are compared, the last one is what the others were made of.
  for (Value ids : llvm::reverse(candidates))
    if (withoutViews(ids) == ids &&
        ::isZeroElsewhere(weights, ids, experts, /*assumeFinite=*/false,
                          areLookedUp(ids, experts)))
      return ids;
  return {};
}

//===-- Weights of which any may be zero ----------------------------------===//

static bool canBeZero(Value value, unsigned depth);

/// The same for a scalar of an op's body.
static bool canScalarBeZero(linalg::GenericOp op, Value scalar,
                            unsigned depth) {
  if (depth == 0)
    return false;
  if (auto argument = dyn_cast<BlockArgument>(scalar))
    return argument.getOwner() == op.getBody() &&
           argument.getArgNumber() < op.getNumDpsInputs() &&
           canBeZero(op.getDpsInputs()[argument.getArgNumber()], depth - 1);
  Operation *def = scalar.getDefiningOp();
  auto isZeroScalar = [](Value each) {
    return matchPattern(each, m_AnyZeroFloat());
  };
  auto canOperand = [&](Value each) {
    return canScalarBeZero(op, each, depth - 1);
  };
  if (auto select = dyn_cast<arith::SelectOp>(def))
    return llvm::any_of(select->getOperands().drop_front(), [&](Value each) {
      return isZeroScalar(each) || canOperand(each);
    });
  if (isa<arith::MaximumFOp, arith::MaxNumFOp>(def))
    return llvm::any_of(def->getOperands(), isZeroScalar);
  if (isa<arith::UIToFPOp>(def))
    return def->getOperand(0).getType().isInteger(1);
  if (isa<arith::MulFOp>(def))
    return llvm::any_of(def->getOperands(), canOperand);
  if (isa<arith::DivFOp>(def))
    return canOperand(def->getOperand(0));
  // A sum of such weights, or one element after another.
  if (isa<arith::AddFOp>(def))
    return llvm::all_of(def->getOperands(), [&](Value each) {
      auto argument = dyn_cast<BlockArgument>(each);
      bool isSum = argument && argument.getOwner() == op.getBody() &&
                   argument.getArgNumber() >= op.getNumDpsInputs();
      return isSum || canOperand(each);
    });
  return false;
}

static bool canBeZero(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || depth == 0)
    return false;
  if (isa<gate::ScatterElementsOp, gate::ScatterNDOp>(op))
    return isZero(op->getOperand(2));
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp,
          tensor::ExtractSliceOp, tensor::ConcatOp, linalg::TransposeOp>(op))
    return canBeZero(op->getOperand(0), depth - 1);
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && generic->getNumResults() == 1 &&
         canScalarBeZero(
             generic, generic.getBody()->getTerminator()->getOperand(0), depth);
}

bool raise::canBeZero(const Lanes &weights) {
  return ::canBeZero(weights.front(), kMaxCandidates);
}
