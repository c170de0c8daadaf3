// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Single elements of a mask as scalar code: what computes a tensor of places is
// repeated for one place, anything else is read from its tensor.
#include "CapacityMask.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

static constexpr unsigned kMaxReads = 1024;

/// The place along a dimension, or null.
static Value coordinate(const Axes &axes, Columns columns, int64_t experts,
                        const CapacityMask::Point &point) {
  OpBuilder &b = point.builder;
  auto number = [&](int64_t n) -> Value {
    return arith::ConstantIndexOp::create(b, point.loc, n);
  };
  Value flat;
  auto append = [&](Value place, Value size) {
    if (flat)
      place = arith::AddIOp::create(
          b, point.loc, arith::MulIOp::create(b, point.loc, flat, size), place);
    flat = place;
  };
  for (const Axis &axis : axes) {
    Value place, size;
    switch (axis.kind) {
    case Axis::Expert:
      place = point.expert;
      size = number(experts);
      break;
    case Axis::Slot:
      place = point.place;
      size = point.places;
      break;
    case Axis::Token: {
      uint64_t next = axis.first;
      for (const CapacityMask::TokenIndex &each : point.tokens) {
        if (each.axis.first != next || each.axis.last > axis.last)
          continue;
        append(each.index, each.size);
        next = each.axis.last;
      }
      if (next != axis.last)
        return {};
      continue;
    }
    case Axis::Column:
      if (columns.size != 1)
        return {};
      place = number(columns.offset);
      size = number(axis.size);
      break;
    case Axis::Depth:
      return {};
    }
    append(place, size);
  }
  return flat ? flat : number(0);
}

Value CapacityMask::extract(const Lanes &lanes, Columns columns,
                            const Point &point) {
  SmallVector<Value> indices;
  for (auto [dim, axes] : llvm::enumerate(lanes.dims)) {
    // Without places there would be nothing to read.
    bool mayBeEmpty =
        typeOf(lanes.front()).isDynamicDim(dim) &&
        llvm::any_of(axes, [](const Axis &a) { return a.kind == Axis::Slot; });
    Value index =
        mayBeEmpty ? Value() : coordinate(axes, columns, experts, point);
    if (!index)
      return {};
    indices.push_back(index);
  }
  return tensor::ExtractOp::create(point.builder, point.loc, lanes.front(),
                                   indices);
}

Value CapacityMask::readGeneric(linalg::GenericOp op, const Lanes &lanes,
                                Columns columns, const Point &point) {
  int64_t rounds;
  std::optional<SmallVector<Axes>> loops = loopsOf(op, lanes, rounds);
  if (!loops)
    return {};
  OpBuilder &b = point.builder;
  Value result;
  if (op.getNumReductionLoops() == 1) {
    auto fill = op.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
    if (!fill)
      return {};
    result = fill.getInputs()[0];
  }
  Block &body = *op.getBody();
  for (int64_t round = 0; round < rounds; ++round) {
    IRMapping mapping;
    for (OpOperand *operand : op.getDpsInputOperands()) {
      auto dims = axesOf(op.getMatchingIndexingMap(operand), *loops);
      if (!dims || !isa<RankedTensorType>(operand->get().getType()))
        return {};
      Lanes source = lanes.operand(operand->getOperandNumber(), *dims);
      Value element =
          read(source, columnsIn(source, columns, round, rounds), point);
      if (!element)
        return {};
      mapping.map(op.getMatchingBlockArgument(operand), element);
    }
    if (result)
      mapping.map(op.getRegionOutputArgs()[0], result);
    for (Operation &each : body.without_terminator()) {
      if (auto index = dyn_cast<linalg::IndexOp>(each)) {
        // Rounds are numbered by themselves.
        bool isRound = op.getIteratorTypesArray()[index.getDim()] ==
                       utils::IteratorType::reduction;
        Value place =
            isRound
                ? arith::ConstantIndexOp::create(b, point.loc, round)
                      .getResult()
                : coordinate((*loops)[index.getDim()], columns, experts, point);
        if (!place)
          return {};
        mapping.map(index.getResult(), place);
        continue;
      }
      b.clone(each, mapping);
    }
    result = mapping.lookupOrDefault(body.getTerminator()->getOperand(0));
  }
  return result;
}

Value CapacityMask::read(const Lanes &lanes, Columns columns,
                         const Point &point) {
  if (lanes.values.size() != 1 || ++reads > kMaxReads)
    return {};
  Value value = lanes.front();
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant)) && constant.isSplat())
    return arith::ConstantOp::create(
        point.builder, point.loc,
        cast<TypedAttr>(constant.getSplatValue<Attribute>()));
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    return fill.getInputs()[0];
  Columns moved = columns;
  if (std::optional<Lanes> source = movedFrom(lanes, moved))
    return read(*source, moved, point);
  if (lanes.has(Axis::Slot))
    if (auto generic = value.getDefiningOp<linalg::GenericOp>())
      if (Value element = readGeneric(generic, lanes, columns, point))
        return element;
  return extract(lanes, columns, point);
}

Value CapacityMask::readIndex(const CellIndex &index, Value size,
                              const Point &point, Value &isInside) {
  OpBuilder &b = point.builder;
  Location loc = point.loc;
  Value number = read(index.lanes, index.columns, point);
  if (!number)
    return {};
  Type i64 = b.getI64Type();
  if (auto type = dyn_cast<FloatType>(number.getType())) {
    // A float that is no number of a place must not be made one.
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
    Value limit = arith::SIToFPOp::create(
        b, loc, type, arith::IndexCastOp::create(b, loc, i64, size));
    isInside = arith::AndIOp::create(
        b, loc,
        arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGE, number, zero),
        arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, number,
                              limit));
    number = arith::SelectOp::create(b, loc, isInside, number, zero);
    return arith::IndexCastOp::create(
        b, loc, b.getIndexType(), arith::FPToSIOp::create(b, loc, i64, number));
  }
  if (!number.getType().isSignlessInteger() || number.getType().isInteger(1))
    return {};
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  Value place = arith::IndexCastOp::create(b, loc, b.getIndexType(), number);
  if (index.wraps) {
    Value isNegative =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, place, zero);
    place = arith::SelectOp::create(
        b, loc, isNegative, arith::AddIOp::create(b, loc, place, size), place);
  }
  // As unsigned numbers, those below 0 are the largest.
  isInside =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, place, size);
  return arith::SelectOp::create(b, loc, isInside, place, zero);
}
