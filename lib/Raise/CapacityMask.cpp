// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows a mask back through the scalars that compute it. Each of them is
// known by a constant and the elements where it may differ from that: a
// comparison of a token's number with the experts' or places' own is false but
// for one, zero times anything finite is zero, and so on.
#include "CapacityMask.h"

#include "ExpertRegion.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cfloat>
#include <cmath>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Of ops that make a mask, and of those that are looked at, the same one
/// perhaps for several choices.
static constexpr unsigned kMaxMaskDepth = 128, kMaxMaskSteps = 4096;
static constexpr int64_t kMaxChoices = 16;
/// Whole numbers up to here are floats.
static constexpr double kMostExact = double(1 << 24);

bool CellIndex::operator==(const CellIndex &other) const {
  return wraps == other.wraps &&
         lanes.key(columns) == other.lanes.key(other.columns);
}

/// The element behind views and copies.
static CellIndex copyOf(Lanes lanes, Columns columns) {
  for (unsigned step = 0; step < kMaxMaskDepth; ++step) {
    Columns moved = columns;
    std::optional<Lanes> source = movedFrom(lanes, moved);
    if (!source)
      break;
    lanes = *source;
    columns = moved;
  }
  return {lanes, columns, false};
}

//===-- Cells -------------------------------------------------------------===//

static void join(SmallVectorImpl<Cell> &cells, ArrayRef<Cell> others) {
  for (const Cell &cell : others)
    if (!llvm::is_contained(cells, cell))
      cells.push_back(cell);
}

/// Where both may differ from zero, or some more elements.
static Cells intersect(ArrayRef<Cell> a, ArrayRef<Cell> b) {
  Cells cells;
  if (a.size() * b.size() > size_t(kMaxChoices * kMaxChoices))
    return Cells(a);
  for (const Cell &first : a)
    for (const Cell &second : b)
      join(cells, Cell{first.expert ? first.expert : second.expert,
                       first.place ? first.place : second.place});
  return cells;
}

//===-- Numbers -----------------------------------------------------------===//

static std::optional<double> numberOf(Attribute attribute) {
  if (auto integer = dyn_cast_or_null<IntegerAttr>(attribute))
    return integer.getType().isInteger(1)
               ? double(integer.getValue().getZExtValue())
               : double(integer.getValue().getSExtValue());
  if (auto real = dyn_cast_or_null<FloatAttr>(attribute))
    return real.getValueAsDouble();
  return std::nullopt;
}

static bool isZeroNumber(Attribute attribute) {
  std::optional<double> number = numberOf(attribute);
  return number && *number == 0;
}

static double magnitudeOf(Attribute attribute) {
  std::optional<double> number = numberOf(attribute);
  return number && !std::isnan(*number)
             ? std::fabs(*number)
             : std::numeric_limits<double>::infinity();
}

CapacityMask::Known CapacityMask::leaf(Value value) {
  Known result;
  Type element = getElementTypeOrSelf(value.getType());
  if (element.isF32()) {
    result.bound = kFactorLimit;
    result.factors = {value};
  } else if (auto integer = dyn_cast<IntegerType>(element)) {
    result.bound = std::ldexp(1.0, integer.isInteger(1) ? 0 : 64);
  }
  return result;
}

static double boundOf(Operation *op, ArrayRef<double> x) {
  // More than rounding adds.
  constexpr double more = 1.001;
  return llvm::TypeSwitch<Operation *, double>(op)
      .Case<arith::MulFOp, arith::MulIOp>(
          [&](Operation *) { return x[0] * x[1] * more; })
      .Case<arith::AddFOp, arith::AddIOp, arith::SubFOp, arith::SubIOp>(
          [&](Operation *) { return (x[0] + x[1]) * more; })
      .Case<arith::MaximumFOp, arith::MinimumFOp, arith::MaxSIOp,
            arith::MinSIOp>([&](Operation *) { return std::max(x[0], x[1]); })
      .Case([&](arith::SelectOp) { return std::max(x[1], x[2]); })
      .Case<arith::UIToFPOp, arith::SIToFPOp, arith::ExtUIOp, arith::ExtSIOp,
            arith::ExtFOp, arith::IndexCastOp, arith::NegFOp, math::AbsFOp>(
          [&](Operation *) { return x[0] * more; })
      .Case<arith::CmpIOp, arith::CmpFOp>([](Operation *) { return 1.0; })
      .Default([&](Operation *) {
        return op->getResult(0).getType().isInteger(1)
                   ? 1.0
                   : std::numeric_limits<double>::infinity();
      });
}

//===-- Scalars -----------------------------------------------------------===//

/// The dimension that experts or places are numbered along.
static std::optional<Axis> axisOf(ArrayRef<Axes> loops, Axis::Kind kind) {
  for (const Axes &axes : loops)
    for (const Axis &axis : axes)
      if (axis.kind == kind)
        return axis;
  return std::nullopt;
}

static bool isSizeOf(Value number, const Axis &axis) {
  if (std::optional<int64_t> constant = getConstantIntValue(number))
    return *constant == axis.size;
  if (!axis.tensor)
    return false;
  if (auto cast = number.getDefiningOp<arith::IndexCastOp>())
    return isWholeSize(OpFoldResult(cast.getIn()), axis.tensor, axis.dim);
  // The number that became the size.
  std::optional<OpFoldResult> size = sizeMadeWith(axis.tensor, axis.dim);
  auto made = size ? dyn_cast<Value>(*size) : Value();
  auto cast =
      made ? made.getDefiningOp<arith::IndexCastOp>() : arith::IndexCastOp();
  return cast && cast.getIn() == number;
}

/// The number that is compared with an element's own, counted from either end:
/// i == x or i == x + size.
static Value matchEitherEnd(Operation *op,
                            function_ref<bool(Value, Value)> isOwnAndSize) {
  if (!isa<arith::OrIOp>(op))
    return {};
  for (unsigned side : {0u, 1u}) {
    auto plain = op->getOperand(side).getDefiningOp<arith::CmpIOp>();
    auto shifted = op->getOperand(1 - side).getDefiningOp<arith::CmpIOp>();
    if (!plain || !shifted ||
        plain.getPredicate() != arith::CmpIPredicate::eq ||
        shifted.getPredicate() != arith::CmpIPredicate::eq)
      continue;
    for (unsigned own : {0u, 1u})
      for (unsigned shiftedOwn : {0u, 1u}) {
        Value number = plain->getOperand(1 - own);
        auto sum =
            shifted->getOperand(1 - shiftedOwn).getDefiningOp<arith::AddIOp>();
        if (plain->getOperand(own) != shifted->getOperand(shiftedOwn) || !sum)
          continue;
        for (unsigned left : {0u, 1u})
          if (sum->getOperand(left) == number &&
              isOwnAndSize(plain->getOperand(own), sum->getOperand(1 - left)))
            return number;
      }
  }
  return {};
}

CapacityMask::Known CapacityMask::evaluateEquality(const Known &number,
                                                   Axis axis, bool wraps) {
  Known result;
  result.bound = 1;
  if (!number.copy || number.copy->lanes.has(axis.kind) || number.counted)
    return result;
  bool isStatic = !ShapedType::isDynamic(axis.size);
  CellIndex index = *number.copy;
  bool isFloat = isa<FloatType>(typeOf(index.lanes.front()).getElementType());
  if (isStatic ? double(axis.size) > kMostExact : isFloat)
    return result;
  index.wraps = wraps;
  std::optional<double> rest = numberOf(number.rest);
  bool isOutside =
      rest && ((isStatic && *rest >= double(axis.size)) ||
               (wraps ? isStatic && *rest < -double(axis.size) : *rest < 0));
  if (isOutside)
    result.cells = number.cells;
  else
    result.cells.emplace_back();
  for (Cell &cell : result.cells) {
    auto &own = axis.kind == Axis::Expert ? cell.expert : cell.place;
    if (!own)
      own = index;
  }
  result.rest = BoolAttr::get(index.lanes.front().getContext(), false);
  return result;
}

/// Zero times what is finite.
CapacityMask::Known CapacityMask::evaluateProduct(Operation *op,
                                                  ArrayRef<Known> x) {
  Known result;
  for (unsigned side : {0u, 1u}) {
    if (!isZeroNumber(x[side].rest))
      continue;
    if (isa<arith::MulFOp>(op)) {
      if (x[1 - side].bound > double(FLT_MAX))
        continue;
      factors.insert_range(x[1 - side].factors);
    }
    result.cells = result.rest ? intersect(result.cells, x[side].cells)
                               : Cells(x[side].cells);
    result.rest = x[side].rest;
  }
  return result;
}

CapacityMask::Known CapacityMask::evaluateScalar(Operation *op,
                                                 const Scalars &scalars,
                                                 ArrayRef<Known> x,
                                                 ArrayRef<Axes> loops) {
  bool isEquality = false;
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    isEquality = compare.getPredicate() == arith::CmpIPredicate::eq;
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    isEquality = compare.getPredicate() == arith::CmpFPredicate::OEQ;
  if (isEquality)
    for (unsigned side : {0u, 1u})
      if (x[side].counted)
        if (auto axis = axisOf(loops, *x[side].counted))
          return evaluateEquality(x[1 - side], *axis, /*wraps=*/false);
  std::optional<Axis> axis;
  if (Value number = matchEitherEnd(op, [&](Value own, Value size) {
        auto it = scalars.find(own);
        axis = it != scalars.end() && it->second.counted
                   ? axisOf(loops, *it->second.counted)
                   : std::nullopt;
        return axis && isSizeOf(size, *axis);
      }))
    return evaluateEquality(scalars.lookup(number), *axis, /*wraps=*/true);

  Known result;
  if (isa<arith::MulFOp, arith::MulIOp, arith::AndIOp>(op))
    result = evaluateProduct(op, x);
  if (isa<arith::SelectOp>(op)) {
    auto condition = dyn_cast_or_null<IntegerAttr>(x[0].rest);
    if (condition) {
      // What is not taken counts where the condition is another one.
      bool isSecond = condition.getValue().isZero();
      const Known &taken = x[isSecond ? 2 : 1], &other = x[isSecond ? 1 : 2];
      result.rest = taken.rest;
      result.cells = other.rest && other.rest == taken.rest
                         ? intersect(x[0].cells, other.cells)
                         : Cells(x[0].cells);
      join(result.cells, taken.cells);
    } else if (x[1].rest && x[1].rest == x[2].rest) {
      result.rest = x[1].rest;
      result.cells = x[1].cells;
      join(result.cells, x[2].cells);
    }
  } else if (!result.rest) {
    SmallVector<Attribute> rests;
    for (const Known &each : x) {
      rests.push_back(each.rest);
      join(result.cells, each.cells);
    }
    result.rest = foldScalar(op, rests);
  }
  SmallVector<double> bounds;
  for (const Known &each : x) {
    bounds.push_back(each.bound);
    result.factors.append(each.factors);
  }
  result.bound = boundOf(op, bounds);
  if (isa<arith::ExtSIOp, arith::IndexCastOp>(op))
    result.copy = x[0].copy;
  if (isa<arith::ExtSIOp, arith::IndexCastOp, arith::SIToFPOp, arith::UIToFPOp>(
          op))
    result.counted = x[0].counted;
  return result;
}

//===-- Tensors -----------------------------------------------------------===//

CapacityMask::Known CapacityMask::evaluateConstant(DenseElementsAttr constant,
                                                   const Lanes &lanes,
                                                   Columns columns) {
  Known result;
  auto type = cast<RankedTensorType>(constant.getType());
  if (!isa<IntegerType, FloatType>(type.getElementType()))
    return result;
  if (constant.isSplat()) {
    result.rest = constant.getSplatValue<Attribute>();
    result.bound = magnitudeOf(result.rest);
    return result;
  }
  // 0, 1, 2, ... along one dimension?
  SmallVector<bool> isOwn(type.getRank(), true);
  SmallVector<int64_t> place(type.getRank(), 0);
  uint64_t wanted = 0;
  bool isOne = true;
  for (auto [axes, size] : llvm::zip_equal(lanes.dims, type.getShape())) {
    bool isNumber = axes.size() == 1 && axes[0].kind == Axis::Column &&
                    columns.size == 1 && columns.offset < size;
    isOne &= axes.empty() || isNumber;
    wanted = wanted * size + (isNumber ? columns.offset : 0);
  }
  result.bound = 0;
  for (auto [flat, element] :
       llvm::enumerate(constant.getValues<Attribute>())) {
    result.bound = std::max(result.bound, magnitudeOf(element));
    if (isOne && flat == wanted)
      result.rest = element;
    std::optional<double> number = numberOf(element);
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      isOwn[dim] &= number && *number == double(place[dim]);
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      if (++place[dim] < type.getDimSize(dim))
        break;
      place[dim] = 0;
    }
  }
  for (auto [axes, own] : llvm::zip_equal(lanes.dims, isOwn))
    if (own && axes.size() == 1 &&
        (axes[0].kind == Axis::Expert || axes[0].kind == Axis::Slot))
      result.counted = axes[0].kind;
  return result;
}

std::optional<SmallVector<Axes>> CapacityMask::loopsOf(linalg::GenericOp op,
                                                       const Lanes &lanes,
                                                       int64_t &rounds) {
  rounds = 1;
  if (op->getNumResults() != 1 || op.getNumReductionLoops() > 1 ||
      llvm::any_of(op.getBody()->without_terminator(), [](Operation &each) {
        return each.getNumResults() != 1 || each.getNumRegions() != 0 ||
               !(isa<arith::ArithDialect, math::MathDialect>(
                     each.getDialect()) ||
                 isa<linalg::IndexOp>(each));
      }))
    return std::nullopt;
  std::optional<SmallVector<Axes>> loops = loopAxes(op, lanes);
  SmallVector<unsigned> reduced;
  op.getReductionDims(reduced);
  if (!loops || (reduced.empty() && !op.getRegionOutputArgs()[0].use_empty()))
    return std::nullopt;
  for (unsigned loop : reduced) {
    rounds = op.getStaticLoopRanges()[loop];
    if (rounds < 1 || rounds > kMaxChoices ||
        (rounds > 1 && lanes.has(Axis::Column)))
      return std::nullopt;
    (*loops)[loop] = Axes();
    if (rounds > 1)
      (*loops)[loop].push_back(Axis{Axis::Column, rounds});
  }
  return loops;
}

CapacityMask::Known CapacityMask::evaluateGeneric(linalg::GenericOp op,
                                                  const Lanes &lanes,
                                                  Columns columns) {
  int64_t rounds;
  std::optional<SmallVector<Axes>> loops = loopsOf(op, lanes, rounds);
  if (!loops)
    return leaf(lanes.front());
  Known result;
  bool isReduction = op.getNumReductionLoops() == 1;
  auto constant = [](Attribute attribute) {
    Known known;
    known.rest = attribute;
    known.bound = magnitudeOf(attribute);
    return known;
  };
  if (isReduction) {
    Attribute start;
    auto fill = op.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
    if (!fill || !matchPattern(fill.getInputs()[0], m_Constant(&start)))
      return leaf(lanes.front());
    result = constant(start);
  }
  Block &body = *op.getBody();
  for (int64_t round = 0; round < rounds; ++round) {
    Scalars scalars;
    for (OpOperand *operand : op.getDpsInputOperands()) {
      auto dims = axesOf(op.getMatchingIndexingMap(operand), *loops);
      if (!dims || !isa<RankedTensorType>(operand->get().getType()))
        return leaf(lanes.front());
      Lanes source = lanes.operand(operand->getOperandNumber(), *dims);
      Columns wanted = columnsIn(source, columns, round, rounds);
      Known each = evaluate(source, wanted);
      each.copy = copyOf(source, wanted);
      scalars[op.getMatchingBlockArgument(operand)] = std::move(each);
    }
    if (isReduction)
      scalars[op.getRegionOutputArgs()[0]] = result;
    auto lookUp = [&](Value value) {
      Attribute number;
      if (value.getParentBlock() != &body)
        return matchPattern(value, m_Constant(&number)) ? constant(number)
                                                        : Known();
      return scalars.lookup(value);
    };
    for (Operation &each : body.without_terminator()) {
      Attribute number;
      if (matchPattern(&each, m_Constant(&number))) {
        scalars[each.getResult(0)] = constant(number);
        continue;
      }
      if (auto index = dyn_cast<linalg::IndexOp>(each)) {
        const Axes &axes = (*loops)[index.getDim()];
        Known own;
        if (axes.size() == 1 &&
            (axes[0].kind == Axis::Expert || axes[0].kind == Axis::Slot))
          own.counted = axes[0].kind;
        scalars[index] = own;
        continue;
      }
      SmallVector<Known, 0> operands;
      for (Value operand : each.getOperands())
        operands.push_back(lookUp(operand));
      Known scalar = evaluateScalar(&each, scalars, operands, *loops);
      scalars[each.getResult(0)] = std::move(scalar);
    }
    result = lookUp(body.getTerminator()->getOperand(0));
  }
  result.copy.reset();
  return result;
}

/// Updates may be anything, elsewhere there is what there was.
CapacityMask::Known CapacityMask::evaluateScatter(gate::ScatterElementsOp op,
                                                  const Lanes &lanes,
                                                  Columns columns) {
  unsigned axis = op.getAxis();
  int64_t choices = typeOf(op.getIndices()).getDimSize(axis);
  const Axes &axes = lanes.dims[axis];
  if (axes.size() != 1 ||
      (axes[0].kind != Axis::Expert && axes[0].kind != Axis::Slot) ||
      lanes.has(Axis::Column) || choices < 1 || choices > kMaxChoices ||
      op.getReduction() != gate::Reduction::None)
    return leaf(lanes.front());
  for (unsigned dim = 0; dim < lanes.dims.size(); ++dim)
    if (dim != axis && !haveSameExtent(op.getIndices(), dim, op.getData(), dim))
      return leaf(lanes.front());
  Lanes data = lanes, indices = lanes;
  data.values = {op.getData()};
  indices.values = {op.getIndices()};
  indices.dims[axis] = Axes();
  if (choices > 1)
    indices.dims[axis].push_back(Axis{Axis::Column, choices});
  Known result = evaluate(data, columns), updates = leaf(op.getUpdates());
  for (int64_t choice = 0; choice < choices; ++choice) {
    CellIndex index = copyOf(indices, {choices > 1 ? choice : 0, 1, 1});
    index.wraps = true;
    Cell cell;
    (axes[0].kind == Axis::Expert ? cell.expert : cell.place) = index;
    join(result.cells, cell);
  }
  result.bound = std::max(result.bound, updates.bound);
  result.factors.append(updates.factors);
  result.counted.reset();
  return result;
}

CapacityMask::Known CapacityMask::evaluateNew(const Lanes &lanes,
                                              Columns columns) {
  Value value = lanes.front();
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant)))
    return evaluateConstant(constant, lanes, columns);
  if (auto fill = value.getDefiningOp<linalg::FillOp>()) {
    Known result;
    matchPattern(fill.getInputs()[0], m_Constant(&result.rest));
    result.bound = magnitudeOf(result.rest);
    return result;
  }
  if (!lanes.has(Axis::Expert) && !lanes.has(Axis::Slot))
    return leaf(value);
  Columns moved = columns;
  if (std::optional<Lanes> source = movedFrom(lanes, moved))
    return evaluate(*source, moved);
  if (auto generic = value.getDefiningOp<linalg::GenericOp>())
    return evaluateGeneric(generic, lanes, columns);
  if (auto scatter = value.getDefiningOp<gate::ScatterElementsOp>())
    return evaluateScatter(scatter, lanes, columns);
  return leaf(value);
}

CapacityMask::Known CapacityMask::evaluate(Lanes lanes, Columns columns) {
  if (lanes.values.size() != 1 || depth == kMaxMaskDepth ||
      ++steps > kMaxMaskSteps)
    return {};
  std::string key = lanes.key(columns);
  if (auto it = known.find(key); it != known.end())
    return it->second;
  ++depth;
  Known result = evaluateNew(lanes, columns);
  --depth;
  // What is nothing but a number may be tested as it is.
  if (!result.rest && !result.counted && !lanes.has(Axis::Slot))
    result = leaf(lanes.front());
  return known[key] = result;
}

std::optional<Cells> CapacityMask::cellsOf(const Lanes &mask, bool hasPlaces) {
  Known result = evaluate(mask, {0, 1, 1});
  if (!isZeroNumber(result.rest) || result.cells.size() > kMaxChoices ||
      llvm::any_of(result.cells, [&](const Cell &cell) {
        return !cell.expert || cell.place.has_value() != hasPlaces ||
               cell.expert->lanes.has(Axis::Slot);
      }))
    return std::nullopt;
  return result.cells;
}
