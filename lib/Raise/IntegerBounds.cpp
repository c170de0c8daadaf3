// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows integers back to what bounds them.
#include "IntegerBounds.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How far numbers are followed, and how many tensors are looked at.
static constexpr unsigned kMaxIntegerDepth = 32, kMaxIntegerSteps = 128;

/// The ids of a search are those of a reduction that carries the place of the
/// element that it has chosen, 0 before there is one.
int64_t raise::searchedColumns(Value ids) {
  auto generic = ids.getDefiningOp<linalg::GenericOp>();
  if (!generic || generic->getNumResults() != 2 ||
      ids != generic.getResult(1) || generic.getNumReductionLoops() != 1 ||
      generic.getNumDpsInputs() != 1 ||
      !typeOf(ids).getElementType().isInteger(64) ||
      !isZero(generic.getDpsInitOperand(1)->get()))
    return 0;
  SmallVector<unsigned> reduced;
  generic.getReductionDims(reduced);
  auto choice = generic.getBody()
                    ->getTerminator()
                    ->getOperand(1)
                    .getDefiningOp<arith::SelectOp>();
  if (!choice || choice.getFalseValue() != generic.getRegionOutputArgs()[1])
    return 0;
  auto place = choice.getTrueValue().getDefiningOp<arith::IndexCastOp>();
  auto index = place ? place.getIn().getDefiningOp<linalg::IndexOp>() : nullptr;
  int64_t columns = generic.getStaticLoopRanges()[reduced.front()];
  return index && index.getDim() == reduced.front() &&
                 !ShapedType::isDynamic(columns)
             ? columns
             : 0;
}

namespace {
class Bounds {
public:
  Interval of(Value tensor);

private:
  Interval ofNew(Value tensor);
  Interval ofGeneric(linalg::GenericOp op);

  DenseMap<Value, Interval> known;
  unsigned depth = 0, steps = 0;
};
} // namespace

/// [0, size), or not below 0.
static Interval belowSize(int64_t size) {
  Interval result = Interval::anything();
  result.low = 0;
  if (!ShapedType::isDynamic(size))
    result.high = double(std::max<int64_t>(size - 1, 0));
  return result;
}

static Interval ofConstant(DenseIntElementsAttr constant) {
  Interval result;
  bool isFirst = true;
  bool isBit = constant.getElementType().isInteger(1);
  auto join = [&](const APInt &number) {
    double value =
        isBit ? double(number.getZExtValue()) : number.getSExtValue();
    result = isFirst ? Interval{value, value}
                     : raise::join(result, Interval{value, value});
    isFirst = false;
  };
  if (constant.isSplat())
    join(constant.getSplatValue<APInt>());
  else
    for (const APInt &number : constant.getValues<APInt>())
      join(number);
  return result;
}

/// The tensor whose elements a mask compares with one number for equality, and
/// the number.
static std::optional<std::pair<Value, int64_t>> equalTo(Value mask) {
  auto op = mask.getDefiningOp<linalg::GenericOp>();
  if (!op || op->getNumResults() != 1 || op.getNumDpsInputs() != 1 ||
      llvm::any_of(op.getIndexingMapsArray(),
                   [](AffineMap map) { return !map.isIdentity(); }))
    return std::nullopt;
  auto test = op.getBody()
                  ->getTerminator()
                  ->getOperand(0)
                  .getDefiningOp<arith::CmpIOp>();
  std::optional<int64_t> number =
      test ? getConstantIntValue(test.getRhs()) : std::nullopt;
  if (!number || test.getPredicate() != arith::CmpIPredicate::eq ||
      test.getLhs() != op.getBody()->getArgument(0))
    return std::nullopt;
  return std::pair(op.getDpsInputs()[0], *number);
}

/// Whether a choice keeps a number only where it differs from another one, that
/// a mask has compared it with: then it is in what is left of `all`.
static bool leavesOut(linalg::GenericOp op, arith::SelectOp select,
                      Interval &all) {
  auto condition = dyn_cast<BlockArgument>(select.getCondition()),
       kept = dyn_cast<BlockArgument>(select.getFalseValue());
  auto isElement = [&](BlockArgument argument) {
    return argument && argument.getOwner() == op.getBody() &&
           argument.getArgNumber() < op.getNumDpsInputs() &&
           op.getMatchingIndexingMap(
                 op.getDpsInputOperand(argument.getArgNumber()))
               .isIdentity();
  };
  if (!isElement(condition) || !isElement(kept))
    return false;
  auto compared = equalTo(op.getDpsInputs()[condition.getArgNumber()]);
  if (!compared || compared->first != op.getDpsInputs()[kept.getArgNumber()] ||
      all.low == all.high)
    return false;
  double number = double(compared->second);
  all.low += all.low == number ? 1 : 0;
  all.high -= all.high == number ? 1 : 0;
  return true;
}

Interval Bounds::ofGeneric(linalg::GenericOp op) {
  if (op.getNumLoops() != op.getNumParallelLoops() ||
      op->getNumResults() != 1 || !op.getRegionOutputArgs()[0].use_empty())
    return Interval::anything();
  Block &body = *op.getBody();
  DenseMap<Value, Interval> scalars;
  for (OpOperand *operand : op.getDpsInputOperands())
    if (isa<RankedTensorType>(operand->get().getType()))
      scalars[op.getMatchingBlockArgument(operand)] = of(operand->get());
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  for (Operation &each : body.without_terminator()) {
    if (auto index = dyn_cast<linalg::IndexOp>(each))
      scalars[index] = belowSize(sizes[index.getDim()]);
    else if (auto read = dyn_cast<tensor::ExtractOp>(each))
      scalars[read] = of(read.getTensor());
    else if (auto select = dyn_cast<arith::SelectOp>(each)) {
      auto kept = scalars.find(select.getFalseValue());
      Interval left = kept == scalars.end() ? Interval() : kept->second;
      if (kept == scalars.end() || !leavesOut(op, select, left))
        continue;
      IntegerAttr instead;
      if (matchPattern(select.getTrueValue(), m_Constant(&instead)))
        scalars[select] = raise::join(
            left, {double(instead.getInt()), double(instead.getInt())});
    }
  }
  return evaluateScalar(body.getTerminator()->getOperand(0), body, scalars);
}

Interval Bounds::ofNew(Value tensor) {
  DenseIntElementsAttr constant;
  if (matchPattern(tensor, m_Constant(&constant)) && !constant.empty())
    return ofConstant(constant);
  Operation *op = tensor.getDefiningOp();
  if (!op)
    return Interval::anything();
  if (int64_t columns = searchedColumns(tensor))
    return belowSize(columns);
  return llvm::TypeSwitch<Operation *, Interval>(op)
      .Case([&](gate::TopKOp topk) {
        return tensor == topk.getIndices()
                   ? belowSize(typeOf(topk.getInput()).getDimSize(1))
                   : of(topk.getInput());
      })
      .Case<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
            tensor::ExtractSliceOp, linalg::TransposeOp>(
          [&](Operation *view) { return of(view->getOperand(0)); })
      .Case([&](tensor::ConcatOp concat) {
        Interval result = of(concat.getInputs().front());
        for (Value each : concat.getInputs().drop_front())
          result = raise::join(result, of(each));
        return result;
      })
      .Case([&](gate::GatherNDOp gather) {
        // An empty dimension reads as 0.
        bool isWhole = typeOf(gather.getData()).hasStaticShape() &&
                       typeOf(gather.getData()).getNumElements() > 0;
        Interval data = of(gather.getData());
        return isWhole ? data : raise::join(data, Interval{0, 0});
      })
      .Case([&](linalg::FillOp fill) {
        IntegerAttr number;
        if (!matchPattern(fill.getInputs()[0], m_Constant(&number)))
          return Interval::anything();
        double value = number.getType().isInteger(1)
                           ? double(number.getValue().getZExtValue())
                           : number.getValue().getSExtValue();
        return Interval{value, value};
      })
      .Case([&](linalg::GenericOp generic) { return ofGeneric(generic); })
      .Default([](Operation *) { return Interval::anything(); });
}

Interval Bounds::of(Value tensor) {
  if (!isa<IntegerType>(typeOf(tensor).getElementType()))
    return Interval::anything();
  if (auto it = known.find(tensor); it != known.end())
    return it->second;
  if (depth == kMaxIntegerDepth || ++steps > kMaxIntegerSteps)
    return Interval::anything();
  ++depth;
  Interval result = ofNew(tensor);
  --depth;
  return known[tensor] = result;
}

Interval raise::boundsOfIntegers(Value tensor) { return Bounds().of(tensor); }
