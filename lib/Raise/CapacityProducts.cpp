// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matches the products with masks that bring tokens to the places of experts,
// and back: their loops, by what the tokens of the result are numbered by. A
// loop of tokens that both the mask and the experts' rows have is one of groups
// of tokens, each of which has places of its own.
#include "CapacityExperts.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How many views are between a tensor and what it was joined from.
static constexpr unsigned kMaxViews = 32;

Axis CapacityExperts::rowAxis(unsigned factor) const {
  uint64_t count = rowFactors(), width = kAllTokens / count;
  Axis axis = factor < groups.size() ? groups[factor] : *place;
  axis.kind = Axis::Token;
  axis.first = factor * width;
  axis.last = factor + 1 == count ? kAllTokens : axis.first + width;
  return axis;
}

const Axis *CapacityExperts::behindRowAxis(const Axis &axis) const {
  for (unsigned factor = 0; factor < rowFactors(); ++factor)
    if (areSameAxes({rowAxis(factor)}, {axis}))
      return factor < groups.size() ? &groups[factor] : &*place;
  return nullptr;
}

bool CapacityBody::areWeights(const Lanes &lanes) {
  if (hasNumbers)
    return DenseBody::areWeights(lanes);
  Lanes source = lanes;
  Columns columns{0, 1, 1};
  for (unsigned step = 0; step < kMaxViews; ++step) {
    if (llvm::all_of(source.values,
                     [&](Value value) { return graph.isConstant(value); }))
      return true;
    std::optional<Lanes> next = weightSource(source, columns);
    if (!next)
      return false;
    source = *next;
  }
  return false;
}

std::optional<JoinedDims> raise::findJoinedDims(Value value, int64_t dim) {
  for (unsigned step = 0; step < kMaxViews; ++step) {
    Operation *op = value.getDefiningOp();
    if (auto cast = dyn_cast_or_null<tensor::CastOp>(op)) {
      value = cast.getSource();
    } else if (auto transpose = dyn_cast_or_null<linalg::TransposeOp>(op)) {
      dim = transpose.getPermutation()[dim];
      value = transpose.getInput();
    } else if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op)) {
      for (auto [from, group] :
           llvm::enumerate(expand.getReassociationIndices())) {
        if (!llvm::is_contained(group, dim))
          continue;
        if (llvm::any_of(group, [&](int64_t other) {
              return other != dim && !isOne(value, other);
            }))
          return std::nullopt;
        dim = int64_t(from);
        break;
      }
      value = expand.getSrc();
    } else if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(op)) {
      SmallVector<int64_t> real;
      SmallVector<ReassociationIndices> groups =
          collapse.getReassociationIndices();
      for (int64_t each : groups[dim])
        if (!isOne(collapse.getSrc(), each))
          real.push_back(each);
      if (real.size() == 2)
        return JoinedDims{collapse.getSrc(), real[0], real[1]};
      if (real.size() != 1)
        return std::nullopt;
      dim = real.front();
      value = collapse.getSrc();
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

/// The dimensions of an operand [tokens.., what the product sums over,
/// tokens.., columns], each of which may be one of one element.
namespace {
struct RowOperand {
  unsigned summed = 0, columns = 0;
};
} // namespace

static std::optional<RowOperand>
matchRowOperand(AffineMap map, unsigned reduced, ArrayRef<Axes> loops) {
  std::optional<unsigned> summed, columns;
  for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (!loop)
      continue;
    if (loop.getPosition() == reduced) {
      summed = dim;
      continue;
    }
    for (const Axis &axis : loops[loop.getPosition()]) {
      if (axis.kind == Axis::Column)
        columns = dim;
      else if (axis.kind != Axis::Token)
        return std::nullopt;
    }
  }
  if (!summed || !columns || *columns + 1 != map.getNumResults())
    return std::nullopt;
  return RowOperand{*summed, *columns};
}

/// All tokens, or all places, along a dimension.
static Axis wholeAxis(Axis::Kind kind, Value tensor, int64_t dim) {
  return {kind, typeOf(tensor).getDimSize(dim), 0, kAllTokens, tensor, dim};
}

static bool hasOne(ArrayRef<Axes> dims, Axis::Kind kind) {
  unsigned count = 0;
  for (const Axes &axes : dims)
    for (const Axis &axis : axes)
      count += axis.kind == kind;
  return count == 1;
}

std::optional<CapacityExperts> raise::matchCombine(linalg::GenericOp op) {
  std::optional<RowShape> shape = rowShapeOf(op);
  std::optional<ProductMatch> product =
      shape ? matchProduct(shape->result()) : std::nullopt;
  if (!product || !typeOf(shape->result()).getElementType().isF32())
    return std::nullopt;
  std::optional<SmallVector<Axes>> loops = loopAxes(op, shape->lanes());
  if (!loops)
    return std::nullopt;
  for (unsigned side : {0u, 1u}) {
    AffineMap map = side == 0 ? product->aMap : product->bMap,
              other = side == 0 ? product->bMap : product->aMap;
    Value work = side == 0 ? product->a : product->b;
    std::optional<RowOperand> rows =
        matchRowOperand(map, product->reduced, *loops);
    if (!rows)
      continue;
    std::optional<JoinedDims> joined = findJoinedDims(work, rows->summed);
    int64_t experts = joined ? typeOf(joined->tensor).getDimSize(joined->first)
                             : typeOf(work).getDimSize(rows->summed);
    if (ShapedType::isDynamic(experts) || experts < 2 ||
        matchPattern(work, m_Constant()) ||
        work.getDefiningOp<gate::WeightValueOp>())
      continue;
    CapacityExperts found;
    found.experts = experts;
    found.combine = op;
    found.shape = *shape;
    found.workSide = side;
    if (joined)
      found.place = wholeAxis(Axis::Slot, joined->tensor, joined->second);
    SmallVector<Axes> parts = *loops;
    Axes &summed = parts[product->reduced];
    summed = {Axis{Axis::Expert, experts}};
    if (joined)
      summed.push_back(*found.place);
    auto weightDims = axesOf(other, parts);
    for (AffineExpr expr : map.getResults())
      if (auto loop = dyn_cast<AffineDimExpr>(expr))
        for (const Axis &axis : (*loops)[loop.getPosition()])
          if (axis.kind == Axis::Token)
            found.groups.push_back(axis);
    unsigned group = 0;
    for (AffineExpr expr : map.getResults())
      if (auto loop = dyn_cast<AffineDimExpr>(expr))
        for (Axis &axis : parts[loop.getPosition()])
          if (axis.kind == Axis::Token)
            axis = found.rowAxis(group++);
    if (joined)
      summed.back() = found.rowAxis(group);
    auto workDims = axesOf(map, parts);
    if (!weightDims || !workDims || !hasOne(*weightDims, Axis::Expert))
      return std::nullopt;
    found.weights = {{side == 0 ? product->b : product->a}, *weightDims};
    found.work = {{work}, *workDims};
    if (found.weights.has(Axis::Column))
      continue;
    return found;
  }
  return std::nullopt;
}

/// The factors of the tokens that are none of groups, in order.
static Axes tokensOfGroup(const CapacityExperts &found) {
  Axes rest;
  for (const Axes &axes : found.shape.dims)
    for (const Axis &axis : axes)
      if (axis.kind == Axis::Token &&
          llvm::none_of(found.groups, [&](const Axis &group) {
            return areSameAxes({group}, {axis});
          }))
        rest.push_back(axis);
  return rest;
}

/// Whether the first dimensions of a tensor number all tokens, in order.
static bool areTokens(Value tensor, ArrayRef<Axes> dims,
                      const CapacityExperts &found) {
  uint64_t next = 0;
  for (auto [dim, axes] : llvm::enumerate(dims)) {
    SmallVector<int64_t> same;
    for (const Axis &axis : axes) {
      if (axis.kind != Axis::Token || axis.first != next)
        return false;
      next = axis.last;
      same.push_back(axis.dim);
    }
    if (!haveSameExtent(tensor, ArrayRef<int64_t>(int64_t(dim)),
                        found.shape.result(), same))
      return false;
  }
  return next == kAllTokens;
}

Value raise::matchDispatch(GraphBuilder &graph, const Lanes &rows,
                           CapacityExperts &found) {
  std::optional<ProductMatch> product =
      rows.values.size() == 1 ? matchProduct(rows.front()) : std::nullopt;
  if (!product)
    return {};
  auto op = rows.front().getDefiningOp<linalg::GenericOp>();
  if (found.dispatch)
    return found.dispatch == op ? found.tokens : Value();
  std::optional<SmallVector<Axes>> loops = loopAxes(op, rows);
  if (!loops)
    return {};
  SmallVector<Axis> rowAxes;
  unsigned rowDims = 0;
  for (auto [dim, axes] : llvm::enumerate(rows.dims))
    for (const Axis &axis : axes) {
      const Axis *behind = found.behindRowAxis(axis);
      if (axis.kind == Axis::Token && !behind)
        return {};
      rowAxes.push_back(behind ? *behind : axis);
      if (axis.kind != Axis::Column)
        rowDims = dim + 1;
    }
  // Experts, groups and places, if any, each of them once, and then columns.
  if (rowAxes.size() != found.rowFactors() + 2 ||
      rowAxes.pop_back_val().kind != Axis::Column ||
      !hasOne(rows.dims, Axis::Expert) || rows.dims[rowDims - 1].empty() ||
      rows.dims[rowDims - 1].back().kind == Axis::Column)
    return {};
  for (Axes &axes : *loops)
    for (Axis &axis : axes)
      if (axis.kind == Axis::Token)
        axis = *found.behindRowAxis(axis);
  SmallVector<Axes> numbered = *loops;
  numbered[product->reduced] = tokensOfGroup(found);
  for (unsigned side : {0u, 1u}) {
    AffineMap map = side == 0 ? product->aMap : product->bMap,
              other = side == 0 ? product->bMap : product->aMap;
    Value tokens = side == 0 ? product->a : product->b;
    std::optional<RowOperand> operand =
        matchRowOperand(map, product->reduced, *loops);
    if (!operand || typeOf(tokens).isDynamicDim(operand->columns))
      continue;
    auto tokenDims = axesOf(map, numbered), maskDims = axesOf(other, numbered);
    if (!tokenDims || !maskDims ||
        !areTokens(tokens, ArrayRef(*tokenDims).drop_back(), found))
      return {};
    Lanes mask{{side == 0 ? product->b : product->a}, *maskDims};
    if (!mask.has(Axis::Expert) ||
        mask.has(Axis::Slot) != found.place.has_value() ||
        mask.has(Axis::Column))
      return {};
    found.dispatch = op;
    found.dispatchRows = rowDims;
    found.rowAxes = rowAxes;
    found.mask = std::move(mask);
    return found.tokens = asRows(graph, tokens, operand->columns);
  }
  return {};
}
