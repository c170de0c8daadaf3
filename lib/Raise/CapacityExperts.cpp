// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits experts that masks fill with rows: for each choice of each token, the
// masks' elements there are computed without the others, and make a plan.
#include "CapacityExperts.h"

#include "CapacityPlan.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
class CapacityEmitter {
public:
  CapacityEmitter(GraphBuilder &graph, const CapacityExperts &found,
                  CapacityMask &masks, ExpertRegion &region)
      : graph(graph), b(graph.getBuilder()), loc(graph.getLoc()), found(found),
        masks(masks), region(region),
        tokens(withDynamicRows(graph, found.tokens)) {
    rows = tensor::DimOp::create(b, loc, tokens, 0);
  }

  Value run(Value slots, std::optional<double> limit, ArrayRef<Value> bounded,
            FlatSymbolRefAttr site);

private:
  bool findSizes();
  Value sizeOf(const Axis &rowAxis);
  /// The indices of a token along the factors of all tokens.
  SmallVector<CapacityMask::TokenIndex> indicesOf(OpBuilder &at, Location where,
                                                  Value token);
  std::optional<PlacedChoice> choicesOf(const Cell &cell);
  /// Rows in the order of those that were sent as the work that is brought
  /// back.
  Value asWork(Value rows);
  /// The source's products with the masks.
  Value emitMasked(gate::ApplyOp apply);

  Value constant(TypedAttr value) {
    return arith::ConstantOp::create(b, loc, value);
  }

  GraphBuilder &graph;
  OpBuilder &b;
  Location loc;
  const CapacityExperts &found;
  linalg::GenericOp dispatch = found.dispatch, combine = found.combine;
  CapacityMask &masks;
  ExpertRegion &region;
  Value tokens, rows;
  /// The factors of tokens, and how many there are of each.
  SmallVector<CapacityMask::TokenIndex> factors;
  Value groups, count, places; // G (or null), G * E * C, C
};
} // namespace

bool CapacityEmitter::findSizes() {
  auto product = [&](Value size, Value of) -> Value {
    return of ? arith::MulIOp::create(b, loc, of, size).getResult() : size;
  };
  Value sums = combine.getResult(0), sent = dispatch.getResult(0);
  for (auto [dim, axes] : llvm::enumerate(found.shape.dims)) {
    if (axes.empty() || axes.front().kind != Axis::Token)
      continue;
    std::optional<OpFoldResult> size = sizeMadeWith(sums, dim);
    if (!size)
      return false;
    factors.push_back({axes.front(), Value(),
                       getValueOrCreateConstantIndexOp(b, loc, *size)});
  }
  for (const Axis &group : found.groups)
    groups = product(sizeOf(group), groups);
  // From where the rows were sent to: the masks may be gone.
  for (unsigned dim = 0; dim < found.dispatchRows; ++dim) {
    std::optional<OpFoldResult> size = sizeMadeWith(sent, dim);
    if (!size)
      return false;
    count = product(getValueOrCreateConstantIndexOp(b, loc, *size), count);
  }
  int64_t known = found.place ? found.place->size : 1;
  if (!ShapedType::isDynamic(known)) {
    places = constant(b.getIndexAttr(known));
    return true;
  }
  Value others = constant(b.getIndexAttr(found.experts));
  if (groups) // of which there may be none
    others = product(others, arith::MaxUIOp::create(
                                 b, loc, groups, constant(b.getIndexAttr(1))));
  places = arith::DivUIOp::create(b, loc, count, others);
  return true;
}

Value CapacityEmitter::sizeOf(const Axis &rowAxis) {
  if (rowAxis.kind == Axis::Expert)
    return constant(b.getIndexAttr(found.experts));
  if (rowAxis.kind == Axis::Slot)
    return places;
  auto *factor = llvm::find_if(factors, [&](const auto &each) {
    return areSameAxes({each.axis}, {rowAxis});
  });
  return factor->size;
}

SmallVector<CapacityMask::TokenIndex>
CapacityEmitter::indicesOf(OpBuilder &at, Location where, Value token) {
  SmallVector<CapacityMask::TokenIndex> indices = factors;
  for (size_t i = indices.size(); i-- > 0;) {
    indices[i].index =
        i == 0 ? token
               : arith::RemUIOp::create(at, where, token, indices[i].size)
                     .getResult();
    if (i > 0)
      token = arith::DivUIOp::create(at, where, token, indices[i].size);
  }
  return indices;
}

std::optional<PlacedChoice> CapacityEmitter::choicesOf(const Cell &cell) {
  Type i64 = b.getI64Type();
  bool isComputed = true;
  PlacedChoice choice = emitChoice(
      graph, rows, ValueRange(),
      [&](OpBuilder &at, Location where, ValueRange old) {
        SmallVector<CapacityMask::TokenIndex> indices =
            indicesOf(at, where, linalg::IndexOp::create(at, where, 0));
        Value experts =
            arith::ConstantIndexOp::create(at, where, found.experts);
        CapacityMask::Point point{at, where, indices, Value(), {}, places};
        Value hasExpert, hasPlace, sent, weight;
        point.expert = masks.readIndex(*cell.expert, experts, point, hasExpert);
        if (point.expert && cell.place) {
          point.place = masks.readIndex(*cell.place, places, point, hasPlace);
        } else if (point.expert) {
          point.place = arith::ConstantIndexOp::create(at, where, 0);
          hasPlace = arith::ConstantOp::create(at, where, at.getBoolAttr(true));
        }
        if (point.place) {
          sent = masks.read(found.mask, {0, 1, 1}, point);
          weight = masks.read(found.weights, {0, 1, 1}, point);
        }
        if (!sent || !weight) {
          isComputed = false;
          linalg::YieldOp::create(at, where, old);
          return;
        }
        auto differs = [&](Value number, Value from) -> Value {
          return arith::CmpFOp::create(at, where, arith::CmpFPredicate::UNE,
                                       number, from);
        };
        auto all = [&](Value x, Value y) -> Value {
          return arith::AndIOp::create(at, where, x, y);
        };
        Value zero =
            arith::ConstantOp::create(at, where, at.getF32FloatAttr(0));
        Value one = arith::ConstantOp::create(at, where, at.getF32FloatAttr(1));
        Value none =
            arith::ConstantOp::create(at, where, at.getI64IntegerAttr(-1));
        Value isCell = all(hasExpert, hasPlace);
        Value isFilled = all(isCell, differs(sent, zero));
        Value isWeighted = all(isCell, differs(weight, zero));
        // What fills a place, or is weighed, must be a whole row.
        Value isOdd = all(arith::OrIOp::create(at, where, isFilled, isWeighted),
                          differs(sent, one));
        // In which order groups, experts and places are counted does not
        // matter.
        Value flat = point.expert;
        auto append = [&](Value index, Value size) {
          flat = arith::AddIOp::create(
              at, where, arith::MulIOp::create(at, where, flat, size), index);
        };
        for (const Axis &group : found.groups)
          for (const CapacityMask::TokenIndex &each : indices)
            if (areSameAxes({each.axis}, {group}))
              append(each.index, each.size);
        append(point.place, places);
        Value id = arith::IndexCastOp::create(at, where, i64, point.expert);
        Value filled = arith::IndexCastOp::create(
            at, where, i64,
            arith::SelectOp::create(at, where, isFilled, flat, count));
        linalg::YieldOp::create(
            at, where,
            ValueRange{
                arith::SelectOp::create(at, where, isWeighted, id, none),
                arith::SelectOp::create(at, where, isWeighted, weight, zero),
                filled, isOdd});
      });
  if (!isComputed)
    return std::nullopt;
  return choice;
}

Value CapacityEmitter::asWork(Value rows) {
  // Dimensions of one element come first, to be anywhere in the end.
  SmallVector<Axis> from, to;
  SmallVector<int64_t> order;
  SmallVector<ReassociationIndices> dims;
  unsigned units = llvm::count_if(
      found.work.dims, [](const Axes &axes) { return axes.empty(); });
  unsigned unit = 0, next = 0;
  for (const Axes &axes : found.work.dims) {
    ReassociationIndices &dim = dims.emplace_back();
    if (axes.empty()) {
      order.push_back(unit++);
      dim.push_back(next++);
    }
    for (const Axis &axis : axes) {
      const Axis *behind = found.behindRowAxis(axis);
      const Axis &own = behind ? *behind : axis;
      auto *place = llvm::find_if(found.rowAxes, [&](const Axis &each) {
        return areSameAxes({each}, {own});
      });
      // The columns are none of them, and come last.
      order.push_back(units + (place - found.rowAxes.begin()));
      dim.push_back(next++);
    }
  }
  bool isInOrder = llvm::is_sorted(order);
  if (isInOrder && dims.size() == 2)
    return rows;
  SmallVector<OpFoldResult> sizes(units, b.getIndexAttr(1));
  for (const Axis &axis : found.rowAxes)
    sizes.push_back(getAsOpFoldResult(sizeOf(axis)));
  sizes.push_back(b.getIndexAttr(typeOf(rows).getDimSize(1)));
  ReassociationIndices first = llvm::to_vector<2>(
                           llvm::seq<int64_t>(0, sizes.size() - 1)),
                       last{int64_t(sizes.size()) - 1};
  Type element = typeOf(rows).getElementType();
  auto type = RankedTensorType::get(decomposeMixedValues(sizes).first, element);
  RankedTensorType flat =
      tensor::CollapseShapeOp::inferCollapsedType(type, ArrayRef{first, last});
  if (rows.getType() != flat)
    rows = tensor::CastOp::create(b, loc, flat, rows);
  Value work = tensor::ExpandShapeOp::create(b, loc, type, rows,
                                             ArrayRef{first, last}, sizes);
  if (!isInOrder) {
    SmallVector<OpFoldResult> turned;
    for (int64_t dim : order)
      turned.push_back(sizes[dim]);
    Value init = tensor::EmptyOp::create(b, loc, turned, element);
    work = linalg::TransposeOp::create(b, loc, work, init, order)->getResult(0);
  }
  return dims.size() == order.size()
             ? work
             : tensor::CollapseShapeOp::create(b, loc, work, dims).getResult();
}

Value CapacityEmitter::emitMasked(gate::ApplyOp apply) {
  Value sent = asRows(graph, dispatch.getResult(0), found.dispatchRows);
  auto expertOf = [&](OpBuilder &at, Location where, Value row) -> Value {
    auto *own = llvm::find_if(found.rowAxes, [](const Axis &axis) {
      return axis.kind == Axis::Expert;
    });
    for (const Axis &axis :
         llvm::reverse(ArrayRef<Axis>(own + 1, found.rowAxes.end())))
      row = arith::DivUIOp::create(at, where, row, sizeOf(axis));
    return own == found.rowAxes.begin()
               ? row
               : arith::RemUIOp::create(at, where, row, sizeOf(*own))
                     .getResult();
  };
  Value work = asWork(emitAllPlaces(graph, apply, sent, count, expertOf));
  OpOperand *operand = combine.getDpsInputOperand(found.workSide);
  if (work.getType() != operand->get().getType())
    work = tensor::CastOp::create(b, loc, operand->get().getType(), work);
  Operation *masked = b.clone(*combine);
  masked->setOperand(operand->getOperandNumber(), work);
  return asRows(graph, masked->getResult(0), found.shape.rowDims);
}

Value CapacityEmitter::run(Value slots, std::optional<double> limit,
                           ArrayRef<Value> bounded, FlatSymbolRefAttr site) {
  CapacityPlan plan;
  if (!findSizes())
    return {};
  SmallVector<Value> ids, weights;
  for (const Cell &cell : found.cells) {
    std::optional<PlacedChoice> each = choicesOf(cell);
    if (!each)
      return {};
    plan.choices.push_back(*each);
    ids.push_back(each->ids);
    weights.push_back(each->weights);
  }
  plan.experts = found.experts;
  plan.tokens = tokens;
  plan.count = count;
  plan.ids = asColumns(graph, ids);
  plan.weights = asColumns(graph, weights);
  SmallVector<std::pair<Value, double>> tested;
  if (limit)
    tested.emplace_back(tokens, *limit);
  for (Value each : bounded)
    tested.emplace_back(each, CapacityMask::kFactorLimit);
  return raise::emitCapacity(
      graph, plan, region, slots, tested, site,
      [&](gate::ApplyOp apply) { return emitMasked(apply); });
}

Value raise::emitMaskedCapacity(GraphBuilder &graph,
                                const CapacityExperts &found,
                                CapacityMask &masks, ExpertRegion &region,
                                Value slots, std::optional<double> limit,
                                ArrayRef<Value> factors,
                                FlatSymbolRefAttr site) {
  return CapacityEmitter(graph, found, masks, region)
      .run(slots, limit, factors, site);
}
