// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows the weights of chosen experts back to the scores that chose them.
//   weights = [scale *] f(scores[ids]) [/ (sum over the choices [+ o])]
// Each tensor is taken as its elements in linear order, whatever its shape:
// those of one row are neighbours.
#include "RouterForm.h"

#include "FloatCasts.h"
#include "IntegerBounds.h"
#include "gatecc/Raise/RowCondition.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

//===-- Elementwise and reducing ops --------------------------------------===//

namespace {

/// An elementwise op with one scalar op: of two tensors, or of a tensor and a
/// constant (then `right` is null).
struct Binary {
  Operation *scalar = nullptr;
  linalg::GenericOp op;
  OpOperand *left = nullptr, *right = nullptr;
  FloatAttr constant;
};

} // namespace

static bool hasParallelLoops(linalg::GenericOp op) {
  return op && op->getNumResults() == 1 &&
         op.getNumLoops() == op.getNumParallelLoops() &&
         op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity();
}

/// The operand of `op` whose element `scalar` is, or null.
static OpOperand *operandOf(linalg::GenericOp op, Value scalar) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  return argument && argument.getOwner() == op.getBody() &&
                 argument.getArgNumber() < op.getNumDpsInputs()
             ? op.getDpsInputOperand(argument.getArgNumber())
             : nullptr;
}

static std::optional<Binary> matchScalar(linalg::GenericOp op,
                                         Operation *scalar) {
  if (!scalar || scalar->getNumOperands() != 2)
    return std::nullopt;
  Binary match;
  match.scalar = scalar;
  match.op = op;
  match.left = operandOf(op, scalar->getOperand(0));
  match.right = operandOf(op, scalar->getOperand(1));
  if (match.left && match.right)
    return match;
  unsigned constant = match.left ? 1 : 0;
  if ((constant == 0 && !scalar->hasTrait<OpTrait::IsCommutative>()) ||
      !matchPattern(scalar->getOperand(constant), m_Constant(&match.constant)))
    return std::nullopt;
  if (constant == 0)
    match.left = match.right;
  match.right = nullptr;
  return match.left ? std::optional(match) : std::nullopt;
}

static std::optional<Binary> readBinary(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!hasParallelLoops(op) ||
      !llvm::hasNItems(op.getBody()->begin(), op.getBody()->end(), 2))
    return std::nullopt;
  return matchScalar(
      op, op.getBody()->getTerminator()->getOperand(0).getDefiningOp());
}

/// Whether an operand is read at the result's own place.
static bool isOwn(Binary match, OpOperand *operand) {
  return match.op.getMatchingIndexingMap(operand).isIdentity();
}

/// Whether an operand has one element for each row, the rows being all loops
/// but the last ones, which hold `columns` elements.
static bool isOfRow(Binary match, OpOperand *operand, int64_t columns) {
  unsigned rows = match.op.getNumLoops();
  SmallVector<int64_t> sizes = match.op.getStaticLoopRanges();
  for (int64_t rest = columns; rows > 0 && rest != 1; --rows) {
    int64_t size = sizes[rows - 1];
    if (size <= 0 || rest % size != 0)
      return false;
    rest /= size;
  }
  std::optional<RowLoops> loops =
      rowLoopsOf(match.op.getMatchingIndexingMap(operand), rows);
  if (!loops || loops->count != rows)
    return false;
  for (unsigned loop = rows; loop < match.op.getNumLoops(); ++loop)
    if (sizes[loop] != 1 &&
        match.op.getMatchingIndexingMap(operand).isFunctionOfDim(loop))
      return false;
  return true;
}

/// The reduction of each row of `columns` elements by one scalar op.
template <typename Op>
static Value matchRowReduction(Value value, int64_t columns) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 1 || op->getNumResults() != 1 ||
      op.getNumReductionLoops() != 1 ||
      !op.getMatchingIndexingMap(op.getDpsInputOperand(0)).isIdentity() ||
      !llvm::hasNItems(op.getBody()->begin(), op.getBody()->end(), 2))
    return {};
  auto scalar =
      op.getBody()->getTerminator()->getOperand(0).template getDefiningOp<Op>();
  if (!scalar || !isa<BlockArgument>(scalar->getOperand(0)) ||
      !isa<BlockArgument>(scalar->getOperand(1)) ||
      scalar->getOperand(0) == scalar->getOperand(1))
    return {};
  SmallVector<unsigned> reduced;
  op.getReductionDims(reduced);
  Value input = op.getDpsInputOperand(0)->get();
  ArrayRef<int64_t> shape = typeOf(input).getShape();
  if (shape[reduced[0]] != columns ||
      llvm::any_of(shape.drop_front(reduced[0] + 1),
                   [](int64_t size) { return size != 1; }))
    return {};
  auto fill =
      op.getDpsInitOperand(0)->get().template getDefiningOp<linalg::FillOp>();
  FloatAttr start;
  if (!fill || !matchPattern(fill.getInputs()[0], m_Constant(&start)))
    return {};
  bool isNeutral =
      isa<arith::AddFOp>(scalar)
          ? start.getValue().isZero()
          : start.getValue().isInfinity() && start.getValue().isNegative();
  return isNeutral ? input : Value();
}

/// The input of a softmax over rows of `columns` elements, or null. `visit`
/// sees the ops that it consists of.
static Value matchSoftmax(Value value, int64_t columns,
                          function_ref<void(Operation *)> visit) {
  auto strip = [&](Value v) {
    while (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp,
                           tensor::CastOp>(v.getDefiningOp())) {
      visit(v.getDefiningOp());
      v = v.getDefiningOp()->getOperand(0);
    }
    return v;
  };
  value = strip(value);
  std::optional<Binary> quotient = readBinary(value);
  if (!quotient || !isa<arith::DivFOp>(quotient->scalar) || !quotient->right ||
      !isOwn(*quotient, quotient->left) ||
      !isOfRow(*quotient, quotient->right, columns))
    return {};
  Value exponential = strip(quotient->left->get());
  Value sum = strip(quotient->right->get());
  Value summed = matchRowReduction<arith::AddFOp>(sum, columns);
  if (!summed || strip(summed) != exponential)
    return {};
  auto exp = exponential.getDefiningOp<linalg::GenericOp>();
  if (!hasParallelLoops(exp))
    return {};
  auto scalar = exp.getBody()
                    ->getTerminator()
                    ->getOperand(0)
                    .getDefiningOp<math::ExpOp>();
  if (!scalar)
    return {};
  // The difference in the same op or in one of its own.
  std::optional<Binary> difference;
  Value shifted = exponential;
  if (OpOperand *operand = operandOf(exp, scalar.getOperand())) {
    shifted = strip(operand->get());
    difference = readBinary(shifted);
  } else {
    difference = matchScalar(exp, scalar.getOperand().getDefiningOp());
  }
  if (!difference || !isa<arith::SubFOp>(difference->scalar) ||
      !difference->right || !isOwn(*difference, difference->left) ||
      !isOfRow(*difference, difference->right, columns))
    return {};
  Value input = strip(difference->left->get());
  Value maximum = strip(difference->right->get());
  Value compared = matchRowReduction<arith::MaximumFOp>(maximum, columns);
  if (!compared || strip(compared) != input)
    return {};
  for (Value part : {value, exponential, sum, shifted, maximum})
    visit(part.getDefiningOp());
  return input;
}

/// Whether an elementwise op is 1 / (1 + exp(-x)).
static bool isSigmoid(linalg::GenericOp op) {
  if (!hasParallelLoops(op) || op.getNumDpsInputs() != 1)
    return false;
  auto quotient = op.getBody()
                      ->getTerminator()
                      ->getOperand(0)
                      .getDefiningOp<arith::DivFOp>();
  auto sum = quotient ? quotient.getRhs().getDefiningOp<arith::AddFOp>()
                      : arith::AddFOp();
  if (!sum || !matchPattern(quotient.getLhs(), m_OneFloat()))
    return false;
  for (unsigned side : {0u, 1u}) {
    auto exp = sum->getOperand(side).getDefiningOp<math::ExpOp>();
    auto negated =
        exp ? exp.getOperand().getDefiningOp<arith::NegFOp>() : arith::NegFOp();
    if (negated && operandOf(op, negated.getOperand()) &&
        matchPattern(sum->getOperand(1 - side), m_OneFloat()))
      return true;
  }
  return false;
}

//===-- Reads by ids ------------------------------------------------------===//

/// The tensor [T.., G] of whose rows an op reads the elements `ids`, however
/// it keeps them in range; all ids are in [0, groups).
static Value matchReadByIds(Value value, Value ids, int64_t groups) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!hasParallelLoops(op) || op.getNumDpsInputs() != 1 ||
      withoutViews(op.getDpsInputOperand(0)->get()) != ids ||
      !op.getMatchingIndexingMap(op.getDpsInputOperand(0)).isIdentity())
    return {};
  auto read = op.getBody()
                  ->getTerminator()
                  ->getOperand(0)
                  .getDefiningOp<tensor::ExtractOp>();
  if (!read || read.getTensor().getParentBlock() == op.getBody() ||
      read.getIndices().empty() ||
      typeOf(read.getTensor()).getShape().back() != groups ||
      read.getIndices().size() != op.getNumLoops())
    return {};
  for (auto [loop, index] : llvm::enumerate(read.getIndices().drop_back())) {
    auto own = index.getDefiningOp<linalg::IndexOp>();
    if (!own || own.getDim() != loop)
      return {};
  }
  // The scalar code between the id and the index gives back each id.
  Type idType = op.getBody()->getArgument(0).getType();
  for (int64_t id = 0; id < groups; ++id) {
    DenseMap<Value, Attribute> known{
        {op.getBody()->getArgument(0), IntegerAttr::get(idType, id)}};
    for (Operation &each : op.getBody()->without_terminator()) {
      SmallVector<Attribute> operands;
      for (Value operand : each.getOperands()) {
        Attribute constant = known.lookup(operand);
        if (!constant)
          matchPattern(operand, m_Constant(&constant));
        operands.push_back(constant);
      }
      SmallVector<OpFoldResult> results;
      if (&each == read || isa<linalg::IndexOp>(each) ||
          llvm::is_contained(operands, Attribute()) ||
          each.getNumResults() != 1 || failed(each.fold(operands, results)) ||
          results.size() != 1)
        continue;
      auto result = dyn_cast<Attribute>(results[0]);
      if (auto same = dyn_cast<Value>(results[0]))
        if (result = known.lookup(same); !result)
          matchPattern(same, m_Constant(&result));
      known[each.getResult(0)] = result;
    }
    auto index =
        dyn_cast_or_null<IntegerAttr>(known.lookup(read.getIndices().back()));
    if (!index || index.getValue().getSExtValue() != id)
      return {};
  }
  return read.getTensor();
}

//===-- Routers -----------------------------------------------------------===//

namespace {

class RouterReader {
public:
  RouterReader(Value ids, Value weights) : weights(weights) {
    // Choices of experts that are not there are gone from the ids.
    if (std::optional<RowGather> table = matchRowGather(ids);
        table && isa_and_nonnull<arith::ConstantOp, gate::WeightValueOp>(
                     table->data.getDefiningOp()))
      ids = table->indices, isDirect = false;
    idsOp = withoutViews(ids).getDefiningOp();
    fused.topk = dyn_cast_or_null<gate::TopKOp>(idsOp);
    if (fused.topk && (withoutViews(ids) != fused.topk.getIndices() ||
                       !fused.topk.getLargest() || !fused.topk.getKAttr()))
      fused.topk = {};
    this->ids = ids;
  }

  RouterForm read();

private:
  enum class Source { None, Chosen, Read, Softmax, Function };

  /// The value behind views, which are noted, and behind changes of the float
  /// type, which a route does not have.
  Value strip(Value value);
  void note(Operation *op) { fused.ops.insert(op); }
  void readWeights();
  /// The divisor of `dividend`: its sum over the choices, or more.
  bool readDivisor(Value divisor, Value dividend);
  void readScores(Value scores);
  bool canFuse();
  std::string text();

  Value ids, weights;
  Operation *idsOp = nullptr;
  bool isDirect = true;
  FusedRouter fused;
  int64_t choices = 0, groups = 0;
  Source source = Source::None;
  bool isExact = true; // all factors are understood and can be said by a route
  bool isNormalized = false, isScaled = false, hasExpertScale = false;
  // Of the scores that choose:
  bool hasBias = false, hasGroups = false, isSoftmax = false,
       isSigmoidScore = false;
};

} // namespace

Value RouterReader::strip(Value value) {
  while (true) {
    bool isCast = bool(matchFloatCast(value));
    if (!isCast &&
        !isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp,
                         tensor::CastOp>(value.getDefiningOp()))
      return value;
    isExact &= !isCast;
    note(value.getDefiningOp());
    value = value.getDefiningOp()->getOperand(0);
  }
}

bool RouterReader::readDivisor(Value divisor, Value dividend) {
  divisor = strip(divisor);
  FloatAttr offset, least;
  while (std::optional<Binary> change = readBinary(divisor)) {
    if (change->right || !isOwn(*change, change->left))
      return false;
    // From the outside in: max(sum + offset, least).
    if (isa<arith::MaximumFOp>(change->scalar) && !least && !offset)
      least = change->constant;
    else if (isa<arith::AddFOp>(change->scalar) && !offset)
      offset = change->constant;
    else
      return false;
    note(change->op);
    divisor = strip(change->left->get());
  }
  Value summed = matchRowReduction<arith::AddFOp>(divisor, choices);
  if (!summed || strip(summed) != dividend)
    return false;
  note(divisor.getDefiningOp());
  FloatType f32 = Float32Type::get(dividend.getContext());
  fused.sumOffset = offset ? offset : FloatAttr::get(f32, 0.0);
  fused.sumMin = least;
  return true;
}

void RouterReader::readWeights() {
  Value value = strip(weights);
  while (true) {
    if (value == fused.topk.getValues()) {
      source = Source::Chosen;
      return;
    }
    if (Value read = matchReadByIds(value, fused.topk.getIndices(), groups)) {
      note(value.getDefiningOp());
      strip(value.getDefiningOp()->getOperand(0)); // the ids, in its shape
      source = Source::Read;
      // A view of the scores is not one of the weights: it may be used by all.
      fused.mixing = withoutReshapes(read);
      return;
    }
    if (Value inner =
            matchSoftmax(value, choices, [&](Operation *op) { note(op); })) {
      fused.softmaxOfChosen = true;
      isExact &= !isNormalized && !fused.sigmoidOfChosen;
      value = strip(inner);
      if (value == fused.topk.getValues()) {
        source = Source::Softmax;
        return;
      }
      isExact = false; // of what else was read
      continue;
    }
    if (auto generic = value.getDefiningOp<linalg::GenericOp>();
        generic && isSigmoid(generic)) {
      // The last function of a score, of which all else is made.
      isExact &= !fused.sigmoidOfChosen && !fused.softmaxOfChosen;
      fused.sigmoidOfChosen = true;
      note(generic);
      value = strip(generic.getDpsInputOperand(0)->get());
      continue;
    }
    std::optional<Binary> match = readBinary(value);
    if (!match)
      return;
    note(match->op);
    isExact &= !fused.sigmoidOfChosen;
    if (isa<arith::MulFOp>(match->scalar) && match->constant &&
        isOwn(*match, match->left)) {
      // A route scales last, and once.
      isExact &= !isScaled && !isNormalized;
      isScaled = true;
      fused.scale = match->constant;
      value = strip(match->left->get());
      continue;
    }
    if (isa<arith::MulFOp>(match->scalar) && match->right) {
      bool found = false;
      for (OpOperand *side : {match->left, match->right}) {
        std::optional<RowGather> table =
            matchRowGather(withoutReshapes(side->get()));
        if (!table || withoutViews(table->indices) != fused.topk.getIndices())
          continue;
        hasExpertScale = found = true;
        isExact = false;
        value =
            strip((side == match->left ? match->right : match->left)->get());
        break;
      }
      if (!found)
        return;
      continue;
    }
    if (isa<arith::DivFOp>(match->scalar) && match->right && !isNormalized &&
        isOwn(*match, match->left) && isOfRow(*match, match->right, choices)) {
      Value dividend = strip(match->left->get());
      if (!readDivisor(match->right->get(), dividend))
        return;
      isNormalized = fused.normalize = true;
      value = dividend;
      continue;
    }
    return;
  }
}

bool raise::isChosenByTopK(Value value) {
  SmallVector<Value> work{value};
  llvm::DenseSet<Value> seen{value};
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (!op || seen.size() > 64)
      continue;
    if (isa<gate::TopKOp>(op))
      return true;
    if (isa<linalg::GenericOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp,
            tensor::CastOp, gate::ScatterElementsOp, gate::ScatterNDOp>(op))
      for (Value operand : op->getOperands())
        if (isa<RankedTensorType>(operand.getType()) &&
            seen.insert(operand).second)
          work.push_back(operand);
  }
  return false;
}

void RouterReader::readScores(Value scores) {
  for (unsigned steps = 0; steps < 8; ++steps) {
    scores = withoutFloatCasts(withoutReshapes(scores));
    if (matchSoftmax(scores, groups, [](Operation *) {})) {
      isSoftmax = true;
      return;
    }
    auto generic = scores.getDefiningOp<linalg::GenericOp>();
    if (!generic)
      return;
    if (isSigmoid(generic)) {
      isSigmoidScore = true;
      return;
    }
    if (std::optional<Elementary> select = matchElementary(generic);
        select && select->kind == Elementary::Select) {
      Value kept =
          select->operands[1] ? select->operands[1] : select->operands[2];
      if (!kept || !isChosenByTopK(select->operands[0]))
        return;
      hasGroups = true;
      scores = kept;
      continue;
    }
    std::optional<Binary> match = readBinary(scores);
    if (!match || !match->right)
      return;
    Value left = match->left->get(), right = match->right->get();
    if (isa<arith::AddFOp>(match->scalar)) {
      auto isConstant = [](Value value) {
        return isa_and_nonnull<gate::WeightValueOp, arith::ConstantOp>(
            withoutReshapes(value).getDefiningOp());
      };
      if (!isConstant(left) && !isConstant(right))
        return;
      hasBias = true;
      scores = isConstant(left) ? right : left;
      continue;
    }
    if (isa<arith::MulFOp>(match->scalar) &&
        (isChosenByTopK(left) != isChosenByTopK(right))) {
      hasGroups = true;
      scores = isChosenByTopK(left) ? right : left;
      continue;
    }
    return;
  }
}

bool RouterReader::canFuse() {
  auto scores = typeOf(fused.topk.getInput());
  if (!isDirect || !isExact || !scores.getElementType().isF32())
    return false;
  if (source == Source::Read) {
    if (fused.mixing == fused.topk.getInput())
      fused.mixing = {};
    else if (fused.mixing.getType() != scores ||
             !haveSameExtent(fused.mixing, 0, fused.topk.getInput(), 0))
      return false;
  } else if (source != Source::Chosen && source != Source::Softmax) {
    return false;
  }
  if ((source == Source::Softmax && isNormalized) ||
      (fused.sigmoidOfChosen && fused.mixing))
    return false;
  fused.isSumPositive = isSoftmax && !hasBias && !hasGroups && !fused.mixing &&
                        !fused.sumMin && fused.sumOffset &&
                        fused.sumOffset.getValue().isZero();
  // All of it goes away, or nothing: sizes and the plan alone stay.
  note(fused.topk);
  for (Operation *op : fused.ops)
    for (Operation *user : op->getUsers())
      if (!fused.ops.contains(user) &&
          !isa<tensor::DimOp, gate::AssignOp>(user))
        return false;
  return true;
}

std::string RouterReader::text() {
  bool isBest = source == Source::Chosen || source == Source::Read;
  StringRef form = "other";
  if (hasExpertScale)
    form = "R7";
  else if (hasGroups)
    form = source == Source::Chosen ? "R5" : "R4";
  else if (hasBias || (isSigmoidScore && isBest) || fused.sigmoidOfChosen)
    form = "R3";
  else if (source == Source::Softmax)
    form = "R2";
  else if (isSoftmax && isBest)
    form = "R1";
  std::string text = form.str() + ": ";
  text += isSoftmax ? "softmax" : isSigmoidScore ? "sigmoid" : "logits";
  if (hasBias)
    text += ", a bias for the choice";
  if (hasGroups)
    text += ", the best groups of experts";
  text +=
      ", the " + (choices == 1 ? "" : std::to_string(choices) + " ") + "best";
  if (source == Source::None)
    return text + ", weighed in another way";
  if (fused.sigmoidOfChosen)
    text += ", sigmoid of them";
  if (fused.softmaxOfChosen)
    text += ", softmax over them";
  if (isNormalized)
    text += ", normalised";
  if (isScaled)
    text += ", scaled";
  if (hasExpertScale)
    text += ", a scale for each expert";
  return text;
}

RouterForm RouterReader::read() {
  if (!fused.topk) {
    // Ids that are not known to be in range have been brought there.
    if (auto clamp = dyn_cast_or_null<linalg::GenericOp>(idsOp);
        hasParallelLoops(clamp) && clamp.getNumDpsInputs() == 1)
      idsOp = withoutViews(clamp.getDpsInputOperand(0)->get()).getDefiningOp();
    auto concat = dyn_cast_or_null<tensor::ConcatOp>(idsOp);
    if (concat && concat.getDim() == 1 &&
        llvm::all_of(concat.getInputs(), [](Value part) {
          return searchedColumns(withoutViews(part)) > 0;
        }))
      return {"R6: one choice after another, each by a maximum of its own", {}};
    return {"other: ids that are not the best of any scores", {}};
  }
  choices = *fused.topk.getK();
  groups = typeOf(fused.topk.getInput()).getDimSize(1);
  if (ShapedType::isDynamic(groups))
    return {"other: a number of experts that the run decides", {}};
  strip(ids);
  if (weights)
    readWeights();
  readScores(fused.topk.getInput());
  // A bias that the weights have, too, is the logits' own.
  hasBias &= source == Source::Read && fused.mixing != fused.topk.getInput();
  RouterForm form{text(), {}};
  if (weights && canFuse())
    form.fused = std::move(fused);
  return form;
}

RouterForm raise::describeRouter(Value ids, Value weights) {
  return RouterReader(ids, weights).read();
}

RouterForm raise::describeRouter(gate::RouteOp route) {
  int64_t choices = route.getPlan().getType().getChoices();
  std::string best =
      "the " + (choices == 1 ? "" : std::to_string(choices) + " ") + "best";
  std::string text;
  switch (route.getScore()) {
  case gate::ScoreKind::Softmax:
    text = "R1: softmax, " + best;
    break;
  case gate::ScoreKind::SoftmaxSelected:
    text = "R2: logits, " + best + ", softmax over them";
    break;
  case gate::ScoreKind::Sigmoid:
    text = "R3: sigmoid, " + best;
    break;
  case gate::ScoreKind::Identity:
    text = "R3: scores, " + best + (route.getMixing() ? ", other weights" : "");
    break;
  }
  if (route.getNormalize() &&
      route.getScore() != gate::ScoreKind::SoftmaxSelected)
    text += ", normalised";
  if (route.getScale().convertToFloat() != 1.0f)
    text += ", scaled";
  return {text, {}};
}
