// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits experts with room for C rows as experts that rows choose:
//   %id, %w, %cell, %odd = for each choice of each token, the masks' elements
//   %y = combine of the apply on assign %id weights(%w)
//   scf.if (any odd, two tokens in one cell, a number too large) {
//     the products with the masks, around the same experts on all E * C rows
//   } else { %y }
// So nothing has to be known about how a graph gives tokens their places.
#include "CapacityExperts.h"

#include "RowTensors.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
/// One choice of each token, [T] each.
struct Choices {
  /// The expert, or -1; its weight; the place that the token fills, or the
  /// number of all of them.
  Value ids, weights, cells;
  /// Whether the masks say something else than "the row, weighted".
  Value isOdd;
};

class CapacityEmitter {
public:
  CapacityEmitter(GraphBuilder &graph, const CapacityExperts &found,
                  CapacityMask &masks, ExpertRegion &region)
      : graph(graph), b(graph.getBuilder()), loc(graph.getLoc()), found(found),
        masks(masks), region(region),
        tokens(withDynamicRows(graph, found.tokens)) {
    rows = tensor::DimOp::create(b, loc, tokens, 0);
  }

  Value run(Value slots, std::optional<double> limit, ArrayRef<Value> factors,
            FlatSymbolRefAttr site);

private:
  bool findSizes();
  Value sizeOf(const Axis &rowAxis);
  /// The indices of a token along the factors of all tokens.
  SmallVector<CapacityMask::TokenIndex> indicesOf(OpBuilder &at, Location where,
                                                  Value token);
  std::optional<Choices> choicesOf(const Cell &cell);
  /// [T] of each choice as [T, k].
  Value joined(ArrayRef<Value> columns);
  /// Whether two choices fill one place.
  Value isAnyFilledTwice(ArrayRef<Choices> choices);
  Value isAny(Value bits);
  Value isAnyBeyond(Value tensor, double limit);
  /// Rows in the order of those that were sent as the work that is brought
  /// back.
  Value asWork(Value rows);
  /// The source's products with the masks, in a region of their own.
  Value emitMasked(Block &block, gate::ApplyOp apply, Type type);

  Value constant(TypedAttr value) {
    return arith::ConstantOp::create(b, loc, value);
  }
  Value either(Value a, Value other) {
    return a ? arith::OrIOp::create(b, loc, a, other).getResult() : other;
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
  if (!ShapedType::isDynamic(found.place.size)) {
    places = constant(b.getIndexAttr(found.place.size));
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

std::optional<Choices> CapacityEmitter::choicesOf(const Cell &cell) {
  Type i64 = b.getI64Type(), f32 = b.getF32Type(), i1 = b.getI1Type();
  SmallVector<Value> inits;
  SmallVector<Type> types;
  for (Type element : {i64, f32, i64, i1}) {
    inits.push_back(
        tensor::EmptyOp::create(b, loc, OpFoldResult(rows), element));
    types.push_back(inits.back().getType());
  }
  bool isComputed = true;
  auto op = linalg::GenericOp::create(
      b, loc, types, ValueRange(), inits,
      SmallVector<AffineMap>(4, b.getMultiDimIdentityMap(1)),
      ArrayRef{utils::IteratorType::parallel},
      [&](OpBuilder &at, Location where, ValueRange old) {
        SmallVector<CapacityMask::TokenIndex> indices =
            indicesOf(at, where, linalg::IndexOp::create(at, where, 0));
        Value experts =
            arith::ConstantIndexOp::create(at, where, found.experts);
        CapacityMask::Point point{at, where, indices, Value(), {}, places};
        Value hasExpert, hasPlace, sent, weight;
        point.expert = masks.readIndex(*cell.expert, experts, point, hasExpert);
        if (point.expert)
          point.place = masks.readIndex(*cell.place, places, point, hasPlace);
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
  return Choices{op.getResult(0), op.getResult(1), op.getResult(2),
                 op.getResult(3)};
}

Value CapacityEmitter::joined(ArrayRef<Value> columns) {
  SmallVector<Value> wide;
  for (Value column : columns) {
    auto type = RankedTensorType::get({ShapedType::kDynamic, 1},
                                      typeOf(column).getElementType());
    wide.push_back(tensor::ExpandShapeOp::create(
        b, loc, type, column, ArrayRef{ReassociationIndices{0, 1}},
        SmallVector<OpFoldResult>{rows, b.getIndexAttr(1)}));
  }
  return wide.size() == 1
             ? wide.front()
             : tensor::ConcatOp::create(b, loc, 1, wide).getResult();
}

Value CapacityEmitter::isAny(Value bits) {
  Value any =
      foldColumns(b, loc, bits, b.getBoolAttr(false),
                  [](OpBuilder &at, Location where, ValueRange x) -> Value {
                    return arith::OrIOp::create(at, where, x[0], x[1]);
                  });
  return tensor::ExtractOp::create(b, loc, any, ValueRange());
}

Value CapacityEmitter::isAnyBeyond(Value tensor, double limit) {
  // Rows first, for they are many and may be looked at side by side.
  while (typeOf(tensor).getRank() > 0)
    tensor = largestMagnitudes(b, loc, tensor, typeOf(tensor).getRank() - 1);
  Value largest = math::AbsFOp::create(
      b, loc, tensor::ExtractOp::create(b, loc, tensor, ValueRange()));
  return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UGT, largest,
                               constant(b.getF32FloatAttr(float(limit))));
}

Value CapacityEmitter::isAnyFilledTwice(ArrayRef<Choices> choices) {
  auto filled = [&](Value size, int64_t number) {
    Value empty =
        tensor::EmptyOp::create(b, loc, OpFoldResult(size), b.getI64Type());
    return linalg::FillOp::create(b, loc, constant(b.getI64IntegerAttr(number)),
                                  empty)
        .getResult(0);
  };
  Value hits = filled(count, 0), ones = filled(rows, 1);
  // An index beyond the last place, of a choice that fills none, is skipped.
  for (const Choices &each : choices)
    hits = gate::ScatterElementsOp::create(
        b, loc, hits.getType(), ones, each.cells, hits, b.getI64IntegerAttr(0),
        gate::ReductionAttr::get(b.getContext(), gate::Reduction::Add));
  Value most =
      foldColumns(b, loc, hits, b.getI64IntegerAttr(0),
                  [](OpBuilder &at, Location where, ValueRange x) -> Value {
                    return arith::MaxSIOp::create(at, where, x[0], x[1]);
                  });
  return arith::CmpIOp::create(
      b, loc, arith::CmpIPredicate::sgt,
      tensor::ExtractOp::create(b, loc, most, ValueRange()),
      constant(b.getI64IntegerAttr(1)));
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

Value CapacityEmitter::emitMasked(Block &block, gate::ApplyOp apply,
                                  Type type) {
  OpBuilder::InsertionGuard restore(b);
  b.setInsertionPointToStart(&block);
  Value sent = withDynamicRows(
      graph, asRows(graph, dispatch.getResult(0), found.dispatchRows));
  Value perPlace = elementwiseOf(
      b, loc, {}, ArrayRef<OpFoldResult>{count, b.getIndexAttr(1)},
      b.getI64Type(), [&](OpBuilder &at, Location where, ValueRange) -> Value {
        Value expert = linalg::IndexOp::create(at, where, 0);
        auto *own = llvm::find_if(found.rowAxes, [](const Axis &axis) {
          return axis.kind == Axis::Expert;
        });
        for (const Axis &axis :
             llvm::reverse(ArrayRef<Axis>(own + 1, found.rowAxes.end())))
          expert = arith::DivUIOp::create(at, where, expert, sizeOf(axis));
        if (own != found.rowAxes.begin())
          expert = arith::RemUIOp::create(at, where, expert, sizeOf(*own));
        return arith::IndexCastOp::create(at, where, at.getI64Type(), expert);
      });
  auto plan = gate::AssignOp::create(
      b, loc, gate::PlanType::get(b.getContext(), found.experts, 1), perPlace,
      Value(), FlatSymbolRefAttr());
  auto all = cast<gate::ApplyOp>(b.clone(*apply));
  all.getPlanMutable().assign(plan);
  all.getInputsMutable().assign(sent);
  Value work = gate::CombineOp::create(b, loc, all.getResult(0).getType(),
                                       all.getResult(0), plan, count);
  OpOperand *operand = combine.getDpsInputOperand(found.workSide);
  work = asWork(work);
  if (work.getType() != operand->get().getType())
    work = tensor::CastOp::create(b, loc, operand->get().getType(), work);
  Operation *masked = b.clone(*combine);
  masked->setOperand(operand->getOperandNumber(), work);
  Value result = asRows(graph, masked->getResult(0), found.shape.rowDims);
  if (result.getType() != type)
    result = tensor::CastOp::create(b, loc, type, result);
  return result;
}

Value CapacityEmitter::run(Value slots, std::optional<double> limit,
                           ArrayRef<Value> factors, FlatSymbolRefAttr site) {
  SmallVector<Choices> choices;
  if (!findSizes())
    return {};
  for (const Cell &cell : found.cells) {
    std::optional<Choices> each = choicesOf(cell);
    if (!each)
      return {};
    choices.push_back(*each);
  }
  SmallVector<Value> ids, weights;
  Value fails = isAnyFilledTwice(choices);
  for (const Choices &each : choices) {
    ids.push_back(each.ids);
    weights.push_back(each.weights);
    fails = either(fails, isAny(each.isOdd));
  }
  if (limit)
    fails = either(fails, isAnyBeyond(tokens, *limit));
  for (Value factor : factors)
    fails = either(fails, isAnyBeyond(factor, CapacityMask::kFactorLimit));
  auto plan = gate::AssignOp::create(
      b, loc,
      gate::PlanType::get(b.getContext(), found.experts, choices.size()),
      joined(ids), joined(weights), site);
  gate::ApplyOp apply = region.finish(plan, slots, tokens);
  Value sum = gate::CombineOp::create(b, loc, apply.getResult(0).getType(),
                                      apply.getResult(0), plan, rows);
  auto branch = scf::IfOp::create(b, loc, sum.getType(), fails,
                                  /*withElseRegion=*/true);
  Block &masked = branch.getThenRegion().front();
  Value result = emitMasked(masked, apply, sum.getType());
  OpBuilder::InsertionGuard restore(b);
  b.setInsertionPointToEnd(&masked);
  scf::YieldOp::create(b, loc, result);
  b.setInsertionPointToEnd(&branch.getElseRegion().front());
  scf::YieldOp::create(b, loc, sum);
  return branch.getResult(0);
}

Value raise::emitCapacity(GraphBuilder &graph, const CapacityExperts &found,
                          CapacityMask &masks, ExpertRegion &region,
                          Value slots, std::optional<double> limit,
                          ArrayRef<Value> factors, FlatSymbolRefAttr site) {
  return CapacityEmitter(graph, found, masks, region)
      .run(slots, limit, factors, site);
}

void raise::sinkInto(Block &block) {
  Block *outer = block.getParentOp()->getBlock();
  DenseMap<Operation *, int64_t> uses; // that are not inside yet
  SmallVector<Operation *> inside;
  for (Operation &op : block)
    inside.push_back(&op);
  while (!inside.empty()) {
    Operation *user = inside.pop_back_val();
    user->walk([&](Operation *each) {
      for (Value operand : each->getOperands()) {
        Operation *op = operand.getDefiningOp();
        if (!op || op->getBlock() != outer ||
            op->hasTrait<OpTrait::ConstantLike>() ||
            isa<gate::WeightValueOp>(op) || !isMemoryEffectFree(op))
          continue;
        auto [it, isNew] = uses.try_emplace(op, 0);
        if (isNew)
          it->second = llvm::range_size(op->getUses());
        if (--it->second > 0)
          continue;
        op->moveBefore(&block, block.begin());
        inside.push_back(op);
      }
    });
  }
}
