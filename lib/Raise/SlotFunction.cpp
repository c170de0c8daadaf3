// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Evaluates integer tensors for single slots, by folding the scalar ops that
// compute them.
#include "SlotFunction.h"

#include "GroupCounts.h"
#include "IntegerBounds.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// More ids than these are no experts.
static constexpr int64_t kMaxGroups = 1 << 20;

/// 0, 1, 2, ...
static bool isIota(Value tensor) {
  std::optional<Positions> positions = matchPositions(tensor);
  return positions && isConstantIntValue(positions->offset, 0);
}

/// Ops that compute or move integers element by element.
static bool isPointwise(Operation *op) {
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return generic.getNumLoops() == generic.getNumParallelLoops();
  return isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp,
             tensor::ExtractSliceOp, tensor::ConcatOp, linalg::TransposeOp>(op);
}

static bool isSort(gate::TopKOp op) {
  if (op.getLargest() ||
      !isa<IntegerType>(
          cast<RankedTensorType>(op.getInput().getType()).getElementType()))
    return false;
  OpFoldResult count =
      op.getCount() ? OpFoldResult(op.getCount()) : OpFoldResult(op.getKAttr());
  return isWholeSize(count, op.getInput(), 1);
}

int64_t SlotFunctions::idCount(Value ids) {
  // A mask has no more than itself to choose from.
  if (typeOf(ids).getElementType().isInteger(1))
    return 0;
  Interval bounds = boundsOfIntegers(ids);
  return bounds.low >= 0 && bounds.high < double(kMaxGroups)
             ? int64_t(bounds.high) + 1
             : 0;
}

bool SlotFunctions::isLookedUp(Value ids) {
  auto gather = ids.getDefiningOp<gate::GatherNDOp>();
  Operation *table = gather ? gather.getData().getDefiningOp() : nullptr;
  return table && (isa<gate::WeightValueOp>(table) ||
                   table->hasTrait<OpTrait::ConstantLike>());
}

int64_t SlotFunctions::choicesOf(Value ids) {
  auto type = cast<RankedTensorType>(ids.getType());
  return type.getRank() < 2 || type.isDynamicDim(type.getRank() - 1)
             ? 1
             : type.getShape().back();
}

/// The order of all slots whose numbers `indices` hold.
SlotOrder SlotFunctions::orderOfSlots(Value indices) {
  SlotOrder order = orderOf(indices);
  if (!order || order.group >= 0)
    return {};
  int64_t choices = choicesOf(order.ids);
  std::optional<SlotPart> part = partOf(indices, 0, order, choices);
  return part == SlotPart::Slot || (choices == 1 && part == SlotPart::Token)
             ? order
             : SlotOrder();
}

SlotOrder SlotFunctions::inverseOf(Value indices) {
  indices = withoutViews(indices);
  // Positions written to the slots' places, or slots sorted once more.
  if (auto scatter = indices.getDefiningOp<gate::ScatterNDOp>())
    return scatter.getReduction() == gate::Reduction::None &&
                   isIota(scatter.getUpdates())
               ? orderOfSlots(scatter.getIndices())
               : SlotOrder();
  if (auto scatter = indices.getDefiningOp<gate::ScatterElementsOp>())
    return scatter.getReduction() == gate::Reduction::None &&
                   scatter.getAxis() == 0 && isIota(scatter.getUpdates())
               ? orderOfSlots(scatter.getIndices())
               : SlotOrder();
  if (auto topk = indices.getDefiningOp<gate::TopKOp>();
      topk && indices == topk.getIndices() && isSort(topk)) {
    return orderOfSlots(withoutReshapes(topk.getInput()));
  }
  return {};
}

std::optional<SlotFunctions::Restored>
SlotFunctions::restoredRows(Value value) {
  if (std::optional<RowGather> gather = matchRowGather(value)) {
    SlotOrder order = inverseOf(gather->indices);
    return order ? std::optional(Restored{gather->data, order}) : std::nullopt;
  }
  // Every slot has its place in the sort, so that none keeps what was there;
  // rows beyond the slots would.
  std::optional<RowScatter> scatter =
      value.getDefiningOp() ? matchRowScatter(value.getDefiningOp())
                            : std::nullopt;
  if (!scatter || scatter->reduction != gate::Reduction::None)
    return std::nullopt;
  SlotOrder order = orderOfSlots(scatter->indices);
  if (!order)
    return std::nullopt;
  Decision decision{order.ids, choicesOf(order.ids), idCount(order.ids)};
  std::optional<OpFoldResult> size = sizeMadeWith(scatter->data, 0);
  if (!size || !GroupCounts(decision, *this).isAllSlots(*size))
    return std::nullopt;
  return Restored{scatter->updates, order};
}

SlotOrder SlotFunctions::orderOf(Value indices) {
  if (auto it = orders.find(indices); it != orders.end())
    return it->second;
  SmallVector<Value> work{indices};
  llvm::DenseSet<Value> seen{indices};
  SlotOrder found;
  bool isOne = true;
  while (!work.empty() && isOne) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || op->hasTrait<OpTrait::ConstantLike>() ||
        isa<gate::WeightValueOp>(op))
      continue;
    SlotOrder order;
    if (auto nonzero = dyn_cast<gate::NonZeroOp>(op)) {
      const Mask &mask = maskOf(nonzero);
      if (mask.ids)
        order = {op, mask.ids, mask.group};
    } else if (auto topk = dyn_cast<gate::TopKOp>(op)) {
      if (isSort(topk))
        order = {op, withoutViews(topk.getInput()), -1};
    } else if (isPointwise(op)) {
      for (Value operand : op->getOperands())
        if (isa<RankedTensorType>(operand.getType()) &&
            !operand.getDefiningOp<tensor::EmptyOp>() &&
            seen.insert(operand).second)
          work.push_back(operand);
      continue;
    }
    isOne = order && (!found || found == order);
    found = order;
  }
  return orders[indices] = isOne ? found : SlotOrder();
}

/// The only tensor that a mask is computed from that is no constant, or `end`
/// if everything comes from there. `passed` gets what is in between, from the
/// mask on.
static Value onlySource(Value mask, Value end, SmallVectorImpl<Value> &passed) {
  SmallVector<Value> work{mask};
  llvm::DenseSet<Value> seen{mask};
  Value found;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (op && (op->hasTrait<OpTrait::ConstantLike>() ||
               isa<gate::WeightValueOp, linalg::FillOp>(op)))
      continue;
    bool isInteger = isa<IntegerType>(
        cast<RankedTensorType>(value.getType()).getElementType());
    if (op && isPointwise(op) && isInteger && value != end) {
      passed.push_back(value);
      bool isAnyInteger = false;
      SmallVector<Value> operands;
      for (Value operand : op->getOperands()) {
        auto type = dyn_cast<RankedTensorType>(operand.getType());
        if (!type || operand.getDefiningOp<tensor::EmptyOp>())
          continue;
        isAnyInteger |= isa<IntegerType>(type.getElementType());
        operands.push_back(operand);
      }
      // A comparison of floats makes a mask, too, but no ids.
      if (!isAnyInteger)
        return {};
      for (Value operand : operands)
        if (seen.insert(operand).second)
          work.push_back(operand);
      continue;
    }
    if (!isInteger || (found && found != value))
      return {};
    found = value;
  }
  return found;
}

/// The ids that a mask tests: what it is computed from, or, where that is not
/// known to be ids (a token's number, several searches), what was made of it.
static Value testedTensor(Value mask) {
  constexpr unsigned maxTries = 8;
  SmallVector<Value> passed, ignored;
  Value source = onlySource(mask, Value(), passed);
  if (source && SlotFunctions::idCount(source) > 0)
    return source;
  for (auto [tries, ids] : llvm::enumerate(llvm::reverse(passed))) {
    if (tries == maxTries)
      break;
    // Numbers that are 0 or 1 are masks themselves.
    if (SlotFunctions::idCount(ids) > 2 &&
        onlySource(mask, ids, ignored) == ids)
      return ids;
  }
  return source;
}

const SlotFunctions::Mask &SlotFunctions::maskOf(gate::NonZeroOp op) {
  auto [it, isNew] = masks.try_emplace(op);
  if (!isNew)
    return it->second;
  Mask mask;
  mask.ids = testedTensor(op.getInput());
  unsigned rank = cast<RankedTensorType>(op.getInput().getType()).getRank();
  bool known = false;
  if (mask.ids && rank == 1)
    known =
        tryMask(op, {Place::Flat}, mask) || tryMask(op, {Place::Token}, mask);
  if (mask.ids && rank == 2)
    known = tryMask(op, {Place::Token, Place::Choice}, mask) ||
            tryMask(op, {Place::Choice, Place::Token}, mask);
  if (!known)
    mask = Mask();
  return masks[op] = mask;
}

int64_t SlotFunctions::tokenDimOf(gate::NonZeroOp op) {
  const Mask &mask = maskOf(op);
  return mask.dims.size() == 2
             ? llvm::find(mask.dims, Place::Token) - mask.dims.begin()
             : -1;
}

/// Whether the mask, its dimensions being those, is true for one id only.
bool SlotFunctions::tryMask(gate::NonZeroOp op, ArrayRef<Place::Kind> dims,
                            Mask &mask) {
  int64_t count = idCount(mask.ids);
  if (count <= 0)
    return false;
  auto type = cast<RankedTensorType>(mask.ids.getType());
  int64_t choices = type.getRank() < 2 ? 1 : type.getShape().back();
  SmallVector<Place> places;
  for (Place::Kind kind : dims)
    places.push_back({kind, 0});
  int64_t group = onlyId(op.getInput(), places, choices, count, mask.ids);
  if (group < 0)
    return false;
  mask.group = group;
  mask.dims.assign(dims.begin(), dims.end());
  return true;
}

Attribute SlotFunctions::evaluate(Value value, ArrayRef<Place> places,
                                  const Point &point, Value ids) {
  auto type = cast<RankedTensorType>(value.getType());
  auto integer = [&](int64_t number) -> Attribute {
    return IntegerAttr::get(type.getElementType(), number);
  };
  if (value == ids) {
    // A token's one choice is its slot, and has no dimension that counts.
    bool isOnly = point.choices == 1;
    if (places.empty() || places.size() > 2)
      return {};
    bool hasChoices = places.size() == 2;
    bool isRow = places[0].kind == Place::Token ||
                 (places[0].kind == Place::Flat && (isOnly || !hasChoices));
    bool isChoice =
        !hasChoices || places[1].kind == Place::Choice ||
        (isOnly && places[1].kind == Place::Number && isOne(value, 1));
    return isRow && isChoice ? integer(point.group) : Attribute();
  }
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant))) {
    if (constant.isSplat())
      return constant.getSplatValue<Attribute>();
    uint64_t index = 0;
    for (auto [place, size] : llvm::zip_equal(places, type.getShape())) {
      if (place.kind != Place::Number || place.number >= size)
        return {};
      index = index * size + place.number;
    }
    return constant.getValues<Attribute>()[index];
  }
  if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    Attribute scalar;
    matchPattern(fill.getInputs()[0], m_Constant(&scalar));
    return scalar;
  }
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return evaluateGeneric(generic, places, point, ids);
  if (isa<tensor::CastOp>(op))
    return evaluate(op->getOperand(0), places, point, ids);
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    SmallVector<Place> source(places.size());
    for (auto [to, from] : llvm::enumerate(transpose.getPermutation()))
      source[from] = places[to];
    return evaluate(transpose.getInput(), source, point, ids);
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    SmallVector<Place> source;
    unsigned next = 0;
    for (unsigned dim = 0; dim < slice.getSourceType().getRank(); ++dim) {
      Place place = dropped[dim] ? Place() : places[next++];
      if (place.kind == Place::Number) {
        if (slice.isDynamicOffset(dim) || slice.isDynamicStride(dim))
          return {};
        place.number = slice.getStaticOffset(dim) +
                       place.number * slice.getStaticStride(dim);
      } else if (slice.isDynamicOffset(dim) || slice.getStaticOffset(dim) ||
                 slice.isDynamicStride(dim) ||
                 slice.getStaticStride(dim) != 1 ||
                 !isWholeSize(slice.getMixedSizes()[dim], slice.getSource(),
                              dim)) {
        return {};
      }
      source.push_back(place);
    }
    return evaluate(slice.getSource(), source, point, ids);
  }
  if (auto concat = dyn_cast<tensor::ConcatOp>(op)) {
    SmallVector<Place> source(places);
    Place &place = source[concat.getDim()];
    if (place.kind != Place::Number)
      return {};
    for (Value input : concat.getInputs()) {
      int64_t size =
          cast<RankedTensorType>(input.getType()).getDimSize(concat.getDim());
      if (ShapedType::isDynamic(size))
        return {};
      if (place.number < size)
        return evaluate(input, source, point, ids);
      place.number -= size;
    }
    return {};
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    RankedTensorType wide = collapse.getSrcType();
    SmallVector<Place> source;
    for (auto [place, group] :
         llvm::zip_equal(places, collapse.getReassociationIndices())) {
      SmallVector<int64_t> real;
      for (int64_t dim : group)
        if (wide.getDimSize(dim) != 1)
          real.push_back(dim);
      int64_t rest = place.number;
      SmallVector<Place> parts(group.size());
      for (int64_t i = int64_t(group.size()) - 1; i >= 0; --i) {
        int64_t size = wide.getDimSize(group[i]);
        if (size == 1)
          continue;
        if (place.kind == Place::Number) {
          bool isFirst = group[i] == real.front();
          if (ShapedType::isDynamic(size) && !isFirst)
            return {};
          parts[i].number = isFirst ? rest : rest % size;
          rest = isFirst ? 0 : rest / size;
        } else if (real.size() == 1) {
          parts[i] = place;
        } else if (place.kind == Place::Flat && real.size() == 2 &&
                   wide.getDimSize(real.back()) == point.choices) {
          parts[i].kind =
              group[i] == real.back() ? Place::Choice : Place::Token;
        } else {
          return {};
        }
      }
      source.append(parts);
    }
    return evaluate(collapse.getSrc(), source, point, ids);
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    SmallVector<Place> source;
    for (ReassociationIndices group : expand.getReassociationIndices()) {
      SmallVector<Place> real;
      Place number;
      bool allNumbers = true;
      for (int64_t dim : group) {
        if (type.getDimSize(dim) == 1)
          continue;
        real.push_back(places[dim]);
        allNumbers &= places[dim].kind == Place::Number;
        if (allNumbers && real.size() > 1 && type.isDynamicDim(dim))
          return {};
        number.number =
            number.number * type.getDimSize(dim) + places[dim].number;
      }
      if (allNumbers)
        source.push_back(real.size() == 1 ? real[0] : number);
      else if (real.size() == 1)
        source.push_back(real[0]);
      else if (real.size() == 2 && real[0].kind == Place::Token &&
               real[1].kind == Place::Choice)
        source.push_back({Place::Flat, 0});
      else
        return {};
    }
    return evaluate(expand.getSrc(), source, point, ids);
  }
  if (auto nonzero = dyn_cast<gate::NonZeroOp>(op)) {
    const Mask &mask = maskOf(nonzero);
    if (!mask.ids || places[0].kind != Place::Number ||
        places[0].number >= int64_t(mask.dims.size()) ||
        places[1].kind != Place::Slot)
      return {};
    switch (mask.dims[places[0].number]) {
    case Place::Token:
      return integer(point.token);
    case Place::Choice:
      return integer(point.choice);
    default:
      return integer(point.token * point.choices + point.choice);
    }
  }
  if (auto topk = dyn_cast<gate::TopKOp>(op)) {
    if (!isSort(topk) || places.back().kind != Place::Slot)
      return {};
    return value == topk.getIndices()
               ? integer(point.token * point.choices + point.choice)
               : integer(point.group);
  }
  return {};
}

static bool isNumber(Attribute attribute, int64_t expected) {
  if (auto integer = dyn_cast_or_null<IntegerAttr>(attribute))
    return integer.getType().isInteger(1)
               ? integer.getValue().getZExtValue() == uint64_t(expected)
               : integer.getValue().getSExtValue() == expected;
  auto real = dyn_cast_or_null<FloatAttr>(attribute);
  return real && real.getValueAsDouble() == double(expected);
}

/// How far a number is from the id of a probe, if it is that id with some
/// constant added; no graph has numbers near it.
std::optional<int64_t> SlotFunctions::Probe::distance(Attribute number) {
  auto integer = dyn_cast_or_null<IntegerAttr>(number);
  if (!integer || integer.getValue().getBitWidth() < 32)
    return std::nullopt;
  int64_t distance = integer.getValue().getSExtValue() - id;
  return std::abs(distance) < (1 << 20) ? std::optional(distance)
                                        : std::nullopt;
}

/// Notes what an op does with the id of a probe.
void SlotFunctions::Probe::see(Operation *op, ArrayRef<Attribute> operands,
                               Attribute result) {
  unsigned count = llvm::count_if(
      operands, [](Attribute operand) { return bool(distance(operand)); });
  // The condition of a selection is one bit.
  if (count == 0 || isa<arith::SelectOp>(op))
    return;
  bool isFirst = bool(distance(operands[0]));
  if (isa<arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp, arith::IndexCastOp>(
          op)) {
    isOpaque |= distance(result) != distance(operands[0]);
    return;
  }
  if (count == 1 &&
      (isa<arith::AddIOp>(op) || (isa<arith::SubIOp>(op) && isFirst))) {
    isOpaque |= !distance(result);
    return;
  }
  auto compare = dyn_cast<arith::CmpIOp>(op);
  auto number = compare && count == 1
                    ? dyn_cast<IntegerAttr>(operands[isFirst ? 1 : 0])
                    : IntegerAttr();
  if (!number || (compare.getPredicate() != arith::CmpIPredicate::eq &&
                  compare.getPredicate() != arith::CmpIPredicate::ne))
    isOpaque = true;
  else
    compared.push_back(number.getValue().getSExtValue() -
                       *distance(operands[isFirst ? 0 : 1]));
}

int64_t SlotFunctions::onlyId(Value value, ArrayRef<Place> places,
                              int64_t choices, int64_t count, Value ids) {
  auto at = [&](int64_t id) {
    return evaluate(value, places, {0, 0, choices, id}, ids);
  };
  // Ids that are only compared for being equal to some numbers are all alike,
  // but for those numbers.
  SmallVector<int64_t> candidates;
  Probe seen;
  probe = &seen;
  Attribute others = at(Probe::id);
  probe = nullptr;
  if (!seen.isOpaque && isNumber(others, 0) && count < Probe::id) {
    int64_t limit = isLookedUp(ids) ? kMaxGroups : count;
    for (int64_t number : seen.compared)
      if (number >= 0 && number < limit &&
          !llvm::is_contained(candidates, number))
        candidates.push_back(number);
  } else {
    candidates = llvm::to_vector(llvm::seq<int64_t>(0, count));
  }
  int64_t only = -1;
  for (int64_t id : candidates) {
    Attribute bit = at(id);
    if (isNumber(bit, 1) && only < 0)
      only = id;
    else if (!isNumber(bit, 0))
      return -1;
  }
  return only;
}

/// Folds the body of an elementwise op; `input` gives the scalar of an operand
/// and `index` that of a loop.
Attribute SlotFunctions::foldBody(
    linalg::GenericOp op, function_ref<Attribute(OpOperand *)> input,
    function_ref<Attribute(linalg::IndexOp)> index, Probe *probe) {
  DenseMap<Value, Attribute> scalars;
  Block &block = *op.getBody();
  auto scalarOf = [&](Value value) -> Attribute {
    Attribute attribute;
    if (value.getParentBlock() != &block) {
      matchPattern(value, m_Constant(&attribute));
      return attribute;
    }
    if (auto argument = dyn_cast<BlockArgument>(value);
        argument && !scalars.contains(value)) {
      if (argument.getArgNumber() >= op.getNumDpsInputs())
        return {};
      Attribute scalar = input(op.getDpsInputOperand(argument.getArgNumber()));
      scalars[value] = scalar;
    }
    return scalars.lookup(value);
  };
  for (Operation &each : block.without_terminator()) {
    if (auto loop = dyn_cast<linalg::IndexOp>(each)) {
      scalars[loop] = index(loop);
      continue;
    }
    SmallVector<Attribute> operands;
    for (Value operand : each.getOperands())
      operands.push_back(scalarOf(operand));
    SmallVector<OpFoldResult> results;
    if (llvm::is_contained(operands, Attribute()) || each.getNumResults() != 1)
      return {};
    if (!each.hasTrait<OpTrait::ConstantLike>() &&
        (failed(each.fold(operands, results)) || results.size() != 1))
      return {};
    if (results.empty()) {
      Attribute constant;
      matchPattern(each.getResult(0), m_Constant(&constant));
      results.push_back(constant);
    }
    scalars[each.getResult(0)] = isa<Attribute>(results[0])
                                     ? cast<Attribute>(results[0])
                                     : scalarOf(cast<Value>(results[0]));
    if (probe)
      probe->see(&each, operands, scalars[each.getResult(0)]);
  }
  return scalarOf(block.getTerminator()->getOperand(0));
}

bool SlotFunctions::maps(linalg::GenericOp op, int64_t from, int64_t to) {
  Type type = getElementTypeOrSelf(op.getDpsInputOperand(0)->get().getType());
  Attribute given = isa<FloatType>(type)
                        ? Attribute(FloatAttr::get(type, double(from)))
                        : Attribute(IntegerAttr::get(type, from));
  Attribute result = foldBody(
      op, [&](OpOperand *) { return given; },
      [](linalg::IndexOp) { return Attribute(); }, /*probe=*/nullptr);
  return isNumber(result, to);
}

/// Whether an elementwise op gives back one of its inputs, perhaps as another
/// type of integer.
static bool isMove(linalg::GenericOp op) {
  Value yielded = op.getBody()->getTerminator()->getOperand(0);
  if (Operation *cast = yielded.getDefiningOp();
      isa_and_nonnull<arith::ExtSIOp, arith::TruncIOp, arith::IndexCastOp>(
          cast))
    yielded = cast->getOperand(0);
  auto argument = dyn_cast<BlockArgument>(yielded);
  return argument && argument.getOwner() == op.getBody() &&
         argument.getArgNumber() < op.getNumDpsInputs();
}

Attribute SlotFunctions::evaluateGeneric(linalg::GenericOp op,
                                         ArrayRef<Place> places,
                                         const Point &point, Value ids) {
  if (op.getNumLoops() != op.getNumParallelLoops() ||
      op->getNumResults() != 1 ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return {};
  auto input = [&](OpOperand *operand) -> Attribute {
    if (!isa<RankedTensorType>(operand->get().getType()))
      return {};
    SmallVector<Place> source;
    for (AffineExpr expr : op.getMatchingIndexingMap(operand).getResults()) {
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        source.push_back(places[dim.getPosition()]);
      else if (auto number = dyn_cast<AffineConstantExpr>(expr))
        source.push_back({Place::Number, number.getValue()});
      else
        return {};
    }
    return evaluate(operand->get(), source, point, ids);
  };
  hasComputed |= !isMove(op);
  auto loop = [&](linalg::IndexOp index) -> Attribute {
    Place place = places[index.getDim()];
    if (place.kind != Place::Number)
      return {};
    return IntegerAttr::get(index.getType(), place.number);
  };
  return foldBody(op, input, loop, probe);
}

SmallVector<SlotFunctions::Place> SlotFunctions::placesOf(Value indices,
                                                          int64_t column) {
  int64_t rank = cast<RankedTensorType>(indices.getType()).getRank();
  if (rank == 2 && indices.getDefiningOp<gate::TopKOp>())
    return {{Place::Number, 0}, {Place::Slot, 0}}; // a sort of one row
  if (rank == 2)
    return {{Place::Slot, 0}, {Place::Number, column}};
  return rank == 1 ? SmallVector<Place>{{Place::Slot, 0}}
                   : SmallVector<Place>();
}

bool SlotFunctions::isGroupOf(Value indices, const SlotOrder &order,
                              const Decision &decision) {
  SmallVector<Place> places = placesOf(indices, 0);
  if (places.empty())
    return false;
  for (int64_t group = 0; group < decision.groups; ++group) {
    auto number = dyn_cast_or_null<IntegerAttr>(
        evaluate(indices, places, {1, 0, decision.choices, group}, order.ids));
    if (!number || number.getValue().getSExtValue() != group)
      return false;
  }
  return true;
}

bool SlotFunctions::countsGroup(linalg::GenericOp sum, int64_t group,
                                const Decision &decision) {
  Block &body = *sum.getBody();
  Operation *add = body.getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_nonnull<arith::AddIOp, arith::AddFOp>(add) ||
      !llvm::hasNItems(body.begin(), body.end(), 2) ||
      !isZero(sum.getDpsInitOperand(0)->get()) ||
      !sum.getMatchingIndexingMap(sum.getDpsInputOperand(0)).isIdentity())
    return false;
  Value input = sum.getDpsInputOperand(0)->get();
  unsigned rank = cast<RankedTensorType>(input.getType()).getRank();
  SmallVector<unsigned> reduced;
  sum.getReductionDims(reduced);
  if (rank == reduced.size() + 1 && (rank == 3 || rank == 2)) {
    // A hit for each slot: [T, k, E] or [T * k, E].
    SmallVector<Place> places;
    if (rank == 3)
      places = {{Place::Token, 0}, {Place::Choice, 0}, {Place::Number, group}};
    else
      places = {{Place::Flat, 0}, {Place::Number, group}};
    if (reduced.back() != rank - 2)
      return false;
    if (onlyId(input, places, decision.choices, decision.groups,
               decision.ids) == group)
      return true;
  }
  // A one for each chosen group of a token, which are all different.
  while (auto generic = input.getDefiningOp<linalg::GenericOp>()) {
    if (generic.getNumDpsInputs() != 1 || !maps(generic, 1, 1) ||
        !maps(generic, 0, 0))
      break;
    input = generic.getDpsInputOperand(0)->get();
  }
  auto scatter = input.getDefiningOp<gate::ScatterElementsOp>();
  return scatter && rank == 2 && reduced == SmallVector<unsigned>{0} &&
         scatter.getAxis() == 1 && isZero(scatter.getData()) &&
         scatter.getIndices() == decision.ids &&
         decision.ids.getDefiningOp<gate::TopKOp>() &&
         isFilledWithOne(scatter.getUpdates());
}

std::optional<SlotPart> SlotFunctions::partOf(Value indices, int64_t column,
                                              const SlotOrder &order,
                                              int64_t choices) {
  SmallVector<Place> places = placesOf(indices, column);
  if (places.empty())
    return std::nullopt;
  // Sums, products, quotients and remainders by constants are affine on each
  // class of remainders: more points than two periods of k tell them apart.
  // The others are for thresholds.
  SmallVector<int64_t> tokens =
      llvm::to_vector(llvm::seq<int64_t>(0, 4 * choices + 4));
  for (int64_t bit = 6; bit < 24; ++bit)
    for (int64_t off : {-1, 0, 1})
      tokens.push_back(((int64_t(1) << bit) + off) / choices);
  // What is only moved is the same part of every slot.
  hasComputed = false;
  evaluate(indices, places, {0, 0, choices, 0}, order.ids);
  if (!hasComputed)
    tokens = {1, 4 * choices + 3};
  bool isToken = true, isChoice = true, isSlot = true;
  for (int64_t token : tokens)
    for (int64_t choice = 0; choice < choices; ++choice) {
      int64_t group = order.group >= 0 ? order.group : token % 3;
      auto number = dyn_cast_or_null<IntegerAttr>(evaluate(
          indices, places, {token, choice, choices, group}, order.ids));
      if (!number)
        return std::nullopt;
      int64_t found = number.getValue().getSExtValue();
      isToken &= found == token;
      isChoice &= found == choice;
      isSlot &= found == token * choices + choice;
    }
  if (isToken)
    return SlotPart::Token;
  if (isSlot)
    return SlotPart::Slot;
  if (isChoice)
    return SlotPart::Choice;
  return std::nullopt;
}
