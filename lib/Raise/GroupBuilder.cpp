// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builds partition, apply and merges for one slice.
#include "GroupBuilder.h"

#include "RowCost.h"
#include "gatecc/Raise/RowCondition.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

static RankedTensorType withDynamicRows(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(tensor.getShape());
  shape[0] = ShapedType::kDynamic;
  return RankedTensorType::get(shape, tensor.getElementType(),
                               tensor.getEncoding());
}

/// The extent of an argument; the program's own value for it, if there is one.
static OpFoldResult argumentExtent(OpBuilder &builder, BlockArgument argument,
                                   int64_t dim) {
  auto type = cast<RankedTensorType>(argument.getType());
  if (!type.isDynamicDim(dim))
    return builder.getIndexAttr(type.getDimSize(dim));
  tensor::DimOp first;
  for (Operation *user : argument.getUsers())
    if (auto op = dyn_cast<tensor::DimOp>(user))
      if (op.getConstantIndex() == dim &&
          op->getBlock() == argument.getOwner() &&
          (!first || op->isBeforeInBlock(first)))
        first = op;
  if (first)
    return first.getResult();
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(argument.getOwner());
  return tensor::DimOp::create(builder, argument.getLoc(), argument, dim)
      .getResult();
}

/// Merges stand on merges; the size of what is further away is asked for.
static constexpr unsigned kMaxExtentSteps = 256;

static std::optional<SmallVector<OpFoldResult>>
extents(OpBuilder &builder, Value value, unsigned &steps) {
  auto type = cast<RankedTensorType>(value.getType());
  SmallVector<OpFoldResult> sizes;
  for (int64_t extent : type.getShape())
    sizes.push_back(builder.getIndexAttr(extent));
  if (type.hasStaticShape())
    return sizes;
  Operation *op = value.getDefiningOp();
  if (!op) {
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      sizes[dim] = argumentExtent(builder, cast<BlockArgument>(value), dim);
    return sizes;
  }
  if (auto empty = dyn_cast<tensor::EmptyOp>(op))
    return empty.getMixedSizes();
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    return getMixedValues(expand.getStaticOutputShape(),
                          expand.getOutputShape(), builder);
  if (steps == 0)
    return std::nullopt;
  --steps;
  if (auto structured = dyn_cast<DestinationStyleOpInterface>(op))
    return extents(builder,
                   structured.getTiedOpOperand(cast<OpResult>(value))->get(),
                   steps);
  if (isa<tensor::CastOp>(op))
    return extents(builder, op->getOperand(0), steps);
  if (auto merge = dyn_cast<gate::MergeOp>(op))
    return extents(builder, merge.getBase(), steps);
  auto uses = rowUses(op);
  if (!uses || ShapedType::isDynamicShape(type.getShape().drop_front()))
    return std::nullopt;
  // Only the rows are open: they are those of an operand.
  for (auto [operand, use] : llvm::zip(op->getOperands(), *uses))
    if (use.kind == RowUse::Follows)
      if (auto from = extents(builder, operand, steps)) {
        sizes[0] = from->front();
        return sizes;
      }
  return std::nullopt;
}

/// Extents as they are known without the value itself, if they are.
static std::optional<SmallVector<OpFoldResult>> extents(OpBuilder &builder,
                                                        Value value) {
  unsigned steps = kMaxExtentSteps;
  return extents(builder, value, steps);
}

/// The number of rows of a value that stays where it is.
static OpFoldResult rowExtent(OpBuilder &builder, Value value) {
  if (auto sizes = extents(builder, value))
    return sizes->front();
  return tensor::getMixedSize(builder, value.getLoc(), value, 0);
}

/// An elementwise op on `inputs`, read through `maps`.
static Value
buildElementwise(OpBuilder &builder, Location loc, RankedTensorType type,
                 ArrayRef<OpFoldResult> sizes, ValueRange inputs,
                 ArrayRef<AffineMap> maps,
                 llvm::function_ref<Value(OpBuilder &, ValueRange)> body) {
  Value init =
      tensor::EmptyOp::create(builder, loc, sizes, type.getElementType());
  if (init.getType() != type)
    init = tensor::CastOp::create(builder, loc, type, init);
  SmallVector<AffineMap> all(maps);
  all.push_back(builder.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, TypeRange{type}, inputs, ValueRange{init}, all,
             loops,
             [&](OpBuilder &inner, Location innerLoc, ValueRange arguments) {
               linalg::YieldOp::create(inner, innerLoc, body(inner, arguments));
             })
      .getResult(0);
}

static Value buildFill(OpBuilder &builder, Location loc, RankedTensorType type,
                       ArrayRef<OpFoldResult> sizes, Value scalar) {
  Value init =
      tensor::EmptyOp::create(builder, loc, sizes, type.getElementType());
  if (init.getType() != type)
    init = tensor::CastOp::create(builder, loc, type, init);
  return linalg::FillOp::create(builder, loc, scalar, init).getResult(0);
}

/// The predicate of the rows for which all literals of the term hold.
static Value buildPredicate(OpBuilder &builder, Demand &demand,
                            const Term &term, OpFoldResult rows) {
  Value predicate;
  bool isUniform = llvm::all_of(term, [&](Literal literal) {
    Type type = demand.atom(literal.atom).getType();
    return type == demand.atom(term[0].atom).getType() &&
           cast<RankedTensorType>(type).getRank() <= 2;
  });
  for (Literal literal : term) {
    Value bits = demand.atom(literal.atom);
    Location loc = bits.getLoc();
    auto type = cast<RankedTensorType>(bits.getType());
    if (!isUniform && type.getRank() > 1) {
      ReassociationIndices all =
          llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
      bits = tensor::CollapseShapeOp::create(builder, loc, bits, ArrayRef{all});
      type = cast<RankedTensorType>(bits.getType());
    }
    SmallVector<OpFoldResult> sizes{
        type.isDynamicDim(0)
            ? rows
            : OpFoldResult(builder.getIndexAttr(type.getDimSize(0)))};
    sizes.append(type.getRank() - 1, builder.getIndexAttr(1));
    AffineMap identity = builder.getMultiDimIdentityMap(type.getRank());
    if (literal.negated) {
      Value one =
          arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true));
      bits = buildElementwise(
          builder, loc, type, sizes, bits, identity,
          [&](OpBuilder &inner, ValueRange arguments) -> Value {
            return arith::XOrIOp::create(inner, loc, arguments[0], one);
          });
    }
    if (predicate &&
        predicate.getType() != type) // one extent known, the other not
      bits = tensor::CastOp::create(builder, loc, predicate.getType(), bits);
    predicate =
        predicate
            ? buildElementwise(
                  builder, loc, cast<RankedTensorType>(predicate.getType()),
                  sizes, {predicate, bits}, {identity, identity},
                  [&](OpBuilder &inner, ValueRange arguments) -> Value {
                    return arith::AndIOp::create(inner, loc, arguments[0],
                                                 arguments[1]);
                  })
            : bits;
  }
  return predicate;
}

namespace {
/// Rewrites the ops of a slice for the rows of the group.
class BodyBuilder {
public:
  BodyBuilder(OpBuilder &builder, Demand &demand, const GroupSlice &slice,
              Location loc)
      : demand(demand), slice(slice), body(new Block),
        builder(builder.getContext()) {
    this->builder.setInsertionPointToEnd(body);
    rows = UnrealizedConversionCastOp::create(this->builder, loc,
                                              TypeRange{builder.getIndexType()},
                                              ValueRange{})
               .getResult(0);
  }

  void rewrite(Operation *op) {
    if (op->getNumResults() == 1 && simplify(op))
      return;
    auto uses = rowUses(op);
    SmallVector<Value> operands;
    for (auto [operand, use] : llvm::zip(op->getOperands(), *uses))
      operands.push_back(use.kind == RowUse::Whole ? operand : rowsOf(operand));
    SmallVector<Value> results;
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
      auto sizes = getMixedValues(expand.getStaticOutputShape(),
                                  expand.getOutputShape(), builder);
      sizes[0] = rows;
      results.push_back(tensor::ExpandShapeOp::create(
          builder, op->getLoc(), withDynamicRows(expand.getType()), operands[0],
          expand.getReassociationIndices(), sizes));
    } else if (auto cut = dyn_cast<tensor::ExtractSliceOp>(op)) {
      auto sizes = cut.getMixedSizes();
      sizes[0] = rows;
      results.push_back(tensor::ExtractSliceOp::create(
          builder, op->getLoc(), withDynamicRows(cut.getType()), operands[0],
          cut.getMixedOffsets(), sizes, cut.getMixedStrides()));
    } else {
      Operation *clone = op->clone();
      clone->setOperands(operands);
      if (auto combine = dyn_cast<gate::CombineOp>(clone))
        combine.getRowsMutable().assign(rows);
      for (Value result : clone->getResults())
        if (isa<RankedTensorType>(result.getType()) &&
            !isa<gate::ApplyOp>(clone))
          result.setType(withDynamicRows(result.getType()));
      builder.insert(clone);
      llvm::append_range(results, clone->getResults());
    }
    for (auto [from, to] : llvm::zip(op->getResults(), results))
      inner[from] = to;
  }

  /// The value on the rows of the group.
  Value rowsOf(Value value) {
    auto found = inner.find(value);
    if (found != inner.end())
      return found->second;
    Value made = make(value);
    return inner[value] = made;
  }

  /// Ends the body, drops what is not needed; the values that are inputs.
  SmallVector<Value> finish(ValueRange yields, Location loc, Value fallback) {
    gate::YieldOp::create(builder, loc, yields);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*body)))
      if (&op != rows.getDefiningOp() && isOpTriviallyDead(&op))
        op.erase();
    SmallVector<Value> kept;
    for (unsigned i = 0; i < body->getNumArguments();) {
      if (body->getArgument(i).use_empty()) {
        body->eraseArgument(i);
        inputs.erase(inputs.begin() + i);
      } else {
        ++i;
      }
    }
    Operation *placeholder = rows.getDefiningOp();
    if (!rows.use_empty()) {
      if (inputs.empty()) {
        inputs.push_back(fallback);
        body->addArgument(withDynamicRows(fallback.getType()), loc);
      }
      builder.setInsertionPoint(placeholder);
      Value extent =
          tensor::DimOp::create(builder, loc, body->getArgument(0), 0);
      rows.replaceAllUsesWith(extent);
    }
    placeholder->erase();
    return inputs;
  }

  Block *take() { return body; }

private:
  Value make(Value value) {
    Location loc = value.getLoc();
    auto type = withDynamicRows(value.getType());
    // What the group's condition decides is a constant in it.
    if (auto bit = demand.evaluate(value, slice.term))
      if (auto sizes = extents(builder, value)) {
        sizes->front() = rows;
        return buildFill(builder, loc, type, *sizes, constantBit(loc, *bit));
      }
    if (isUniformRows(value)) {
      if (auto fill = value.getDefiningOp<linalg::FillOp>())
        return linalg::FillOp::create(builder, loc, fill.getInputs()[0],
                                      rowsOf(fill.getDpsInits()[0]))
            .getResult(0);
      auto sizes = value.getDefiningOp<tensor::EmptyOp>().getMixedSizes();
      sizes[0] = rows;
      return tensor::EmptyOp::create(builder, loc, sizes,
                                     type.getElementType());
    }
    inputs.push_back(value);
    return body->addArgument(type, loc);
  }

  Value constantBit(Location loc, bool bit) {
    return arith::ConstantOp::create(builder, loc, builder.getBoolAttr(bit));
  }

  /// Selections and logic that the group's condition decides.
  bool simplify(Operation *op) {
    Value result = op->getResult(0);
    if (demand.evaluate(result, slice.term) && extents(builder, result)) {
      inner[result] = make(result);
      return true;
    }
    auto match = matchElementary(op);
    if (!match)
      return false;
    int64_t kept = -1;
    if (match->kind == Elementary::Select) {
      if (auto taken = demand.evaluate(match->operands[0], slice.term))
        kept = *taken ? 1 : 2;
    } else if (match->kind == Elementary::And ||
               match->kind == Elementary::Or) {
      for (int64_t i : {0, 1})
        if (demand.evaluate(match->operands[i], slice.term))
          kept = 1 - i;
    }
    if (kept < 0 || match->inputs[kept] < 0)
      return false;
    int64_t input = match->inputs[kept];
    Value source = match->operands[kept];
    if (isIdentityOperand(op, input)) {
      inner[result] = rowsOf(source);
      return true;
    }
    auto uses = rowUses(op);
    auto generic = cast<linalg::GenericOp>(op);
    Value read = (*uses)[input].kind == RowUse::Whole ? source : rowsOf(source);
    auto sizes = extents(builder, result);
    if (!sizes)
      return false;
    sizes->front() = rows;
    inner[result] = buildElementwise(
        builder, op->getLoc(), withDynamicRows(result.getType()), *sizes, read,
        generic.getIndexingMapsArray()[input],
        [](OpBuilder &, ValueRange arguments) { return arguments[0]; });
    return true;
  }

  Demand &demand;
  const GroupSlice &slice;
  Block *body;
  OpBuilder builder;
  Value rows;
  SmallVector<Value> inputs;
  llvm::DenseMap<Value, Value> inner;
};
} // namespace

/// The value of a result on the rows that the group does not take; zero where
/// nobody needs them.
static Value buildBase(OpBuilder &builder, Value result, const Base &base,
                       Value slots, OpFoldResult rows) {
  Location loc = result.getLoc();
  if (base.kind == Base::Existing)
    return base.value;
  auto type = cast<RankedTensorType>(result.getType());
  auto own = extents(builder, result);
  SmallVector<OpFoldResult> sizes =
      own ? *own : tensor::getMixedSizes(builder, loc, slots);
  sizes[0] = type.isDynamicDim(0)
                 ? rows
                 : OpFoldResult(builder.getIndexAttr(type.getDimSize(0)));
  if (base.kind == Base::Broadcast) {
    auto generic = cast<linalg::GenericOp>(base.generic);
    return buildElementwise(
        builder, loc, type, sizes, base.value,
        generic.getIndexingMapsArray()[base.input],
        [](OpBuilder &, ValueRange arguments) { return arguments[0]; });
  }
  Value scalar;
  if (base.kind == Base::Scalar) {
    scalar = base.value;
    // A constant of the body it was found in.
    Attribute constant;
    if (matchPattern(scalar, m_Constant(&constant)))
      scalar =
          arith::ConstantOp::create(builder, loc, cast<TypedAttr>(constant));
  } else if (base.kind == Base::Bit) {
    scalar =
        arith::ConstantOp::create(builder, loc, builder.getBoolAttr(base.bit));
  } else {
    scalar = arith::ConstantOp::create(
        builder, loc, builder.getZeroAttr(type.getElementType()));
  }
  return buildFill(builder, loc, type, sizes, scalar);
}

DetachedOps::~DetachedOps() {
  for (Operation *op : ops)
    op->destroy();
}

void DetachedOps::add(Operation *op) {
  op->dropAllReferences();
  op->remove();
  ops.push_back(op);
}

/// Takes out the ops of a slice, whose results nothing else uses, and what
/// nothing uses without them.
static void detach(Block &block, const GroupSlice &slice,
                   DetachedOps &detached) {
  SmallVector<Operation *> open(slice.ops.begin(), slice.ops.end());
  while (!open.empty()) {
    Operation *op = open.pop_back_val();
    if (op->getBlock() != &block ||
        !(slice.ops.contains(op) ? op->use_empty() : isOpTriviallyDead(op)))
      continue;
    forEachUsedValue(op, [&](Value used) {
      if (Operation *def = used.getDefiningOp())
        open.push_back(def);
    });
    detached.add(op);
  }
}

std::optional<Group> raise::buildGroup(Block &block, Demand &demand,
                                       const GroupSlice &slice,
                                       DetachedOps &detached) {
  auto isOutside = [&](OpOperand &use) {
    return !slice.ops.contains(block.findAncestorOpInBlock(*use.getOwner()));
  };
  SmallVector<Value> results;
  for (Operation *op : slice.ops)
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUses(), isOutside))
        results.push_back(result);
  if (results.empty())
    return std::nullopt;

  // Everything is built behind the last op of the slice and the conditions;
  // what uses the slice and stands before that moves behind it.
  Term basis = demand.basis(slice.term);
  Operation *last = slice.ops.back();
  for (Literal literal : basis)
    if (Operation *op = demand.atom(literal.atom).getDefiningOp())
      if (op->getBlock() == &block && last->isBeforeInBlock(op))
        last = op;
  Operation *next = last->getNextNode();
  for (Operation *op : slice.behind)
    if (op->isBeforeInBlock(last))
      op->moveBefore(next);
  OpBuilder builder(block.getParentOp()->getContext());
  builder.setInsertionPointAfter(last);

  Location loc = demand.atom(basis[0].atom).getLoc();
  // The results' own extent, where there is one, is the program's name for it.
  auto resultExtents = extents(builder, results.front());
  OpFoldResult rows = resultExtents
                          ? resultExtents->front()
                          : rowExtent(builder, demand.atom(basis[0].atom));
  Value predicate = buildPredicate(builder, demand, basis, rows);
  auto plan = gate::PlanType::get(builder.getContext(), 2, 1);
  auto partition = gate::PartitionOp::create(
      builder, loc, plan, predicate, /*step=*/Value(), FlatSymbolRefAttr());

  BodyBuilder body(builder, demand, slice, loc);
  for (Operation *op : slice.ops)
    body.rewrite(op);
  SmallVector<Value> yields;
  SmallVector<Type> types;
  for (Value result : results) {
    yields.push_back(body.rowsOf(result));
    types.push_back(yields.back().getType());
  }
  SmallVector<Value> inputs = body.finish(yields, loc, predicate);
  auto apply = gate::ApplyOp::create(builder, loc, types, partition.getPlan(),
                                     inputs, ValueRange(),
                                     builder.getDenseI64ArrayAttr({0, 1}), 1);
  apply.getBodies()[0].push_back(body.take());

  for (auto [result, slots] : llvm::zip(results, apply.getResults())) {
    auto found = slice.bases.find(result.getDefiningOp());
    Base base = found == slice.bases.end() ? Base() : found->second;
    Value other = buildBase(builder, result, base, slots, rows);
    Value merged = gate::MergeOp::create(
        builder, result.getLoc(), other.getType(), slots, partition.getPlan(),
        builder.getDenseI64ArrayAttr({0, 1}), other);
    result.replaceUsesWithIf(merged, isOutside);
  }
  detach(block, slice, detached);
  return Group{partition, apply};
}
