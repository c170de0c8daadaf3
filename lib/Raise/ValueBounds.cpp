// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Intervals through the ops that layers are made of. A product with weights is
// bounded by the sums of magnitudes of their columns, in whatever order it is
// summed up. Intervals forget that a row is compared with its own maximum and
// divided by its own sum; a softmax is therefore looked for.
#include "ValueBounds.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include <cfloat>
#include <cmath>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// So many terms have a sum in f32 that is off by an error that is counted.
static constexpr double kMaxCountedTerms = 0x1p+20;
/// More elements than a tensor can have.
static constexpr double kMaxTerms = 0x1p+40;
/// Powers of two between which a limit of inputs is looked for.
static constexpr int kLeastExponent = -20, kLargestExponent = 127;

std::optional<double>
raise::largestHarmless(llvm::function_ref<bool(double)> isHarmless) {
  if (isHarmless(FLT_MAX))
    return FLT_MAX;
  int low = kLeastExponent - 1, high = kLargestExponent + 1;
  while (high - low > 1) {
    int middle = (low + high) / 2;
    (isHarmless(std::ldexp(1.0, middle)) ? low : high) = middle;
  }
  return low < kLeastExponent ? std::nullopt
                              : std::optional(std::ldexp(1.0, low));
}

Interval ValueBounds::of(Value value) {
  if (auto it = known.find(value); it != known.end())
    return it->second;
  if (!isa<RankedTensorType>(value.getType())) {
    FloatAttr number;
    if (matchPattern(value, m_Constant(&number)) &&
        gate::computedIn(number.getType()).isF32() &&
        !number.getValue().isNaN())
      return {number.getValueAsDouble(), number.getValueAsDouble()};
    return Interval::anything();
  }
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    return of(fill.getInputs()[0]);
  Interval interval = Interval::anything();
  if (std::optional<Norms> found = norms.of(constantOf(value)))
    interval = Interval::symmetric(found->element);
  else if (std::optional<double> bound = norms.boundOf(value))
    interval = Interval::symmetric(*bound);
  known[value] = interval;
  return interval;
}

Interval ValueBounds::evaluateContract(gate::ContractOp op) {
  Interval rows = of(op.getRows());
  std::optional<Norms> found = op.isPlainProduct()
                                   ? norms.of(constantOf(op.getWeights()[0]))
                                   : std::nullopt;
  double depth = double(typeOf(op.getRows()).getDimSize(1));
  // A zero times an infinite weight, or the reverse, is NaN.
  if (!found || rows.mayBeNaN || !(found->column >= 0) ||
      depth > kMaxCountedTerms || std::isinf(rows.magnitude()) ||
      std::isinf(found->element))
    return Interval::anything();
  Interval result =
      roundedTo(typeOf(op.getResult()).getElementType(),
                rounded(Interval::symmetric(rows.magnitude() * found->column),
                        2 * depth + 8));
  // An infinite partial sum may meet one of the other sign.
  return result.isFinite() ? result : Interval::anything();
}

//===-- Rows and their own maximum or sum ---------------------------------===//

namespace {
/// A reduction, in a value that may have dimensions of one element more.
struct Reduced {
  linalg::GenericOp op;
  /// For each dimension of the value the input's dimension that it follows; -1
  /// where it has one element.
  SmallVector<int64_t> dims;
};
} // namespace

template <typename Op> static bool combinesElements(linalg::GenericOp op) {
  Block &body = *op.getBody();
  auto combine =
      body.getTerminator()->getOperand(0).template getDefiningOp<Op>();
  return combine && llvm::hasNItems(body, 2) &&
         llvm::is_contained(combine->getOperands(), body.getArgument(0)) &&
         llvm::is_contained(combine->getOperands(), body.getArgument(1));
}

/// `value` as the reduction of one tensor, whose elements `Op` combines.
template <typename Op> static std::optional<Reduced> matchReduced(Value value) {
  auto view = value.getDefiningOp<tensor::ExpandShapeOp>();
  Value source = view ? Value(view.getSrc()) : value;
  auto op = source.getDefiningOp<linalg::GenericOp>();
  if (!op || op->getNumResults() != 1 || op.getNumDpsInputs() != 1 ||
      op.getNumReductionLoops() == 0 ||
      !op.getMatchingIndexingMap(op.getDpsInputOperand(0)).isIdentity() ||
      !combinesElements<Op>(op))
    return std::nullopt;
  SmallVector<int64_t> kept;
  for (AffineExpr expr :
       op.getMatchingIndexingMap(op.getDpsInitOperand(0)).getResults())
    kept.push_back(cast<AffineDimExpr>(expr).getPosition());
  Reduced reduced{op, kept};
  if (!view)
    return reduced;
  reduced.dims.assign(typeOf(value).getRank(), -1);
  if (view.getReassociationIndices().empty()) // of a scalar
    return kept.empty() ? std::optional(reduced) : std::nullopt;
  for (auto [group, dim] : llvm::zip(view.getReassociationIndices(), kept)) {
    int64_t place = group.front();
    for (int64_t each : group)
      if (!isOne(value, each))
        place = each;
    for (int64_t each : group)
      if (each != place && !isOne(value, each))
        return std::nullopt;
    reduced.dims[place] = dim;
  }
  return reduced;
}

/// Whether an op reads, at the element of an operand that it reads as
/// `element`, the reduction of that element's row.
static bool readsOwn(linalg::LinalgOp op, OpOperand &element, OpOperand &row,
                     const Reduced &reduced) {
  linalg::GenericOp reduction = reduced.op;
  if (reduction.getDpsInputs()[0] != element.get())
    return false;
  AffineMap map = op.getMatchingIndexingMap(&element),
            rowMap = op.getMatchingIndexingMap(&row);
  for (auto [dim, expr] : llvm::zip(reduced.dims, rowMap.getResults()))
    if (dim >= 0 && expr != map.getResult(dim) && !isOne(element.get(), dim))
      return false;
  return true;
}

/// Whether a tensor is exp(a - max of a's row): there is a 1 in each row over
/// the dimensions that `summed` sums up.
static bool isPowerOfOwnMaximum(Value value, linalg::GenericOp summed) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op->getNumResults() != 1 || op.getNumDpsInputs() != 2 ||
      op.getNumLoops() != op.getNumParallelLoops())
    return false;
  Block &body = *op.getBody();
  auto power = body.getTerminator()->getOperand(0).getDefiningOp<math::ExpOp>();
  auto shifted = power ? power.getOperand().getDefiningOp<arith::SubFOp>()
                       : arith::SubFOp();
  if (!shifted || shifted.getLhs() != body.getArgument(0) ||
      shifted.getRhs() != body.getArgument(1))
    return false;
  std::optional<Reduced> maximum =
      matchReduced<arith::MaximumFOp>(op.getDpsInputs()[1]);
  OpOperand &element = *op.getDpsInputOperand(0);
  if (!maximum || !op.getMatchingIndexingMap(&element).isIdentity() ||
      !readsOwn(op, element, *op.getDpsInputOperand(1), *maximum))
    return false;
  // Summed up along what the maximum was taken along, at least.
  linalg::GenericOp found = maximum->op;
  return found.getNumLoops() == summed.getNumLoops() &&
         llvm::all_of(
             llvm::zip(found.getIteratorTypesArray(),
                       summed.getIteratorTypesArray()),
             [](auto types) {
               return std::get<0>(types) == utils::IteratorType::parallel ||
                      std::get<1>(types) == utils::IteratorType::reduction;
             });
}

/// Sets what a scalar op gives for an element and the reduction of its row.
void ValueBounds::setRelated(linalg::LinalgOp op, Operation *scalar,
                             DenseMap<Value, Interval> &scalars) {
  if (!isa<arith::SubFOp, arith::DivFOp>(scalar))
    return;
  OpOperand *sides[2];
  for (unsigned side : {0u, 1u}) {
    auto argument = dyn_cast<BlockArgument>(scalar->getOperand(side));
    if (!argument || argument.getOwner() != op.getBlock() ||
        argument.getArgNumber() >= op.getNumDpsInputs())
      return;
    sides[side] = op.getDpsInputOperand(argument.getArgNumber());
  }
  Value result = scalar->getResult(0);
  Interval element = of(sides[0]->get()), row = of(sides[1]->get());
  if (isa<arith::SubFOp>(scalar)) {
    std::optional<Reduced> maximum =
        matchReduced<arith::MaximumFOp>(sides[1]->get());
    if (maximum && element.isFinite() && !row.mayBeNaN &&
        row.high <= double(FLT_MAX) &&
        readsOwn(op, *sides[0], *sides[1], *maximum))
      scalars[result] =
          roundedTo(result.getType(), rounded({element.low - row.high, 0}));
    return;
  }
  std::optional<Reduced> sum = matchReduced<arith::AddFOp>(sides[1]->get());
  if (sum && element.isFinite() && element.low >= 0 && row.isFinite() &&
      readsOwn(op, *sides[0], *sides[1], *sum) &&
      isPowerOfOwnMaximum(sides[0]->get(), sum->op))
    scalars[result] = roundedTo(result.getType(), {0, 1.001});
}

//===-- Structured ops ----------------------------------------------------===//

/// The sum of `count` terms (or of any number) and a start, in any order.
static Interval sumOf(Interval start, Interval term,
                      std::optional<double> count) {
  double most = count.value_or(kMaxTerms);
  Interval exact{most * term.low, most * term.high,
                 start.mayBeNaN || term.mayBeNaN};
  if (!count) {
    exact.low = std::min(exact.low, 0.0);
    exact.high = std::max(exact.high, 0.0);
  }
  exact.low += start.low;
  exact.high += start.high;
  // Where errors are not counted: rounding a sum up adds no more than the
  // smaller of its sides, so that n terms have at most n^2 times the largest.
  bool isCounted = most <= kMaxCountedTerms;
  if (!isCounted) {
    exact.low *= most;
    exact.high *= most;
  }
  Interval result = rounded(exact, isCounted ? 2 * most + 8 : 1);
  return result.isFinite() ? result : Interval::anything();
}

Interval ValueBounds::evaluateLinalg(linalg::LinalgOp op) {
  Block &body = *op.getBlock();
  DenseMap<Value, Interval> scalars;
  for (OpOperand *operand : op.getDpsInputOperands())
    scalars[op.getMatchingBlockArgument(operand)] = of(operand->get());
  body.walk([&](tensor::ExtractOp read) {
    if (read.getTensor().getParentBlock() != read->getBlock())
      scalars[read.getResult()] = of(read.getTensor());
  });
  for (Operation &scalar : body.without_terminator())
    setRelated(op, &scalar, scalars);
  Value yielded = body.getTerminator()->getOperand(0);
  if (op.getNumReductionLoops() == 0)
    return evaluateScalar(yielded, body, scalars);
  // Sums and maxima of terms that do not look at what was gathered so far.
  BlockArgument gathered = body.getArguments().back();
  Operation *combine = yielded.getDefiningOp();
  // Each step would be rounded to less than is counted.
  if (gate::isNarrowFloat(yielded.getType()))
    return Interval::anything();
  if (!isa_and_nonnull<arith::AddFOp, arith::MaximumFOp, arith::MinimumFOp>(
          combine) ||
      !gathered.hasOneUse() || *gathered.user_begin() != combine)
    return Interval::anything();
  Value term = combine->getOperand(0) == gathered ? combine->getOperand(1)
                                                  : combine->getOperand(0);
  Interval each = evaluateScalar(term, body, scalars),
           start = of(op.getDpsInitOperand(0)->get());
  double count = 1;
  bool isKnown = true;
  for (auto [type, extent] :
       llvm::zip(op.getIteratorTypesArray(), op.getStaticLoopRanges()))
    if (type == utils::IteratorType::reduction) {
      isKnown &= !ShapedType::isDynamic(extent);
      count *= double(extent);
    }
  if (isa<arith::AddFOp>(combine))
    return sumOf(start, each, isKnown ? std::optional(count) : std::nullopt);
  Interval reached = join(start, each);
  // The first term is at least as good as the start.
  if (isKnown && count > 0)
    (isa<arith::MaximumFOp>(combine) ? reached.low : reached.high) =
        isa<arith::MaximumFOp>(combine) ? std::max(start.low, each.low)
                                        : std::min(start.high, each.high);
  return reached;
}

void ValueBounds::visit(Operation *op) {
  if (op->getNumResults() == 0 ||
      !isa<RankedTensorType>(op->getResult(0).getType()))
    return;
  Interval result = Interval::anything();
  if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp,
          tensor::ExtractSliceOp>(op)) {
    result = of(op->getOperand(0));
  } else if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    result = of(concat.getInputs().front());
    for (Value input : concat.getInputs().drop_front())
      result = join(result, of(input));
  } else if (auto gather = dyn_cast<gate::GatherNDOp>(op)) {
    result = of(gather.getData());
  } else if (auto contract = dyn_cast<gate::ContractOp>(op)) {
    result = evaluateContract(contract);
  } else if (auto structured = dyn_cast<linalg::LinalgOp>(op);
             structured && op->getNumResults() == 1 &&
             structured.hasPureTensorSemantics()) {
    result = evaluateLinalg(structured);
  } else if (norms.of(op->getResult(0))) {
    return; // a constant
  }
  known[op->getResult(0)] = result;
  for (Value other : op->getResults().drop_front())
    known[other] = Interval::anything();
}
