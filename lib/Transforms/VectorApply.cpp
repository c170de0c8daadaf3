// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Inlines experts that are a few vectors each.
//   before: apply { sum(%row * %down) ... * %up }, combine
//   after:  the body on [R, choices, ...], which reads rows of %down and %up
//           where the ids [R, choices] say; a sum over the choices
// Nothing is gained by sorting these slots: a vector is read once for each slot
// either way, in the order in which it is stored, without packing. Of many
// thousands of experts most have no slot, so that a task for each, or a plan
// with an offset for each, would cost more than their work.
#include "lib/Transforms/VectorApply.h"

#include "lib/Transforms/PlanSizes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace gatecc;
using gate::ApplyOp;
using gate::CombineOp;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

namespace {
/// What a value of the body holds: rows of the apply's inputs, one for each
/// slot, or what is the same for all slots of a group.
enum class Kind { Row, Slot, Param, Outside };
} // namespace

static bool isView(Operation *op) {
  return isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}

static Kind kindOf(Value value, ApplyOp apply) {
  Block &body = apply.getBodies().front().front();
  while (value.getParentBlock() == &body && isView(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  if (value.getParentBlock() != &body)
    return Kind::Outside;
  auto argument = dyn_cast<BlockArgument>(value);
  if (!argument)
    return Kind::Slot;
  return argument.getArgNumber() < apply.getInputs().size() ? Kind::Row
                                                            : Kind::Param;
}

static SmallVector<ReassociationIndices> groupsOf(Operation *view) {
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(view))
    return expand.getReassociationIndices();
  return cast<tensor::CollapseShapeOp>(view).getReassociationIndices();
}

/// Whether a view has the slots along its first dimension, before and after.
static bool keepsSlots(Operation *view, Kind kind) {
  auto wide = typeOf(isa<tensor::ExpandShapeOp>(view) ? view->getResult(0)
                                                      : view->getOperand(0));
  SmallVector<ReassociationIndices> groups = groupsOf(view);
  if (kind == Kind::Outside || kind == Kind::Param || groups.empty())
    return kind == Kind::Param && wide.hasStaticShape();
  return wide.getNumDynamicDims() == 1 && wide.isDynamicDim(0) &&
         llvm::all_of(ArrayRef(groups.front()).drop_front(),
                      [&](int64_t dim) { return wide.getDimSize(dim) == 1; });
}

/// Whether the first loop of an op numbers the slots of all that it reads of
/// the body's rows, and of its results.
static bool isBySlot(linalg::LinalgOp op, ApplyOp apply) {
  AffineExpr slot = getAffineDimExpr(0, op.getContext());
  if (!op.hasPureTensorSemantics() || op.getNumLoops() == 0 ||
      op.getIteratorTypesArray()[0] != utils::IteratorType::parallel)
    return false;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<RankedTensorType>(operand.get().getType()))
      continue;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    Kind kind = kindOf(operand.get(), apply);
    if (kind == Kind::Param || kind == Kind::Outside) {
      if (map.isFunctionOfDim(0))
        return false;
    } else if (map.getNumResults() == 0 || map.getResult(0) != slot ||
               llvm::any_of(map.getResults().drop_front(), [](AffineExpr expr) {
                 return expr.isFunctionOfDim(0);
               })) {
      return false;
    }
  }
  // What asks for its place, or reads tensors at places of its own.
  return !op->getRegion(0)
              .walk([](Operation *inner) {
                bool reads =
                    llvm::any_of(inner->getOperands(), [](Value operand) {
                      return isa<ShapedType>(operand.getType());
                    });
                return reads || isa<linalg::IndexOp>(inner)
                           ? WalkResult::interrupt()
                           : WalkResult::advance();
              })
              .wasInterrupted();
}

bool gatecc::isVectorApply(ApplyOp apply) {
  if (!apply.getPlan().getDefiningOp<gate::AssignOp>() ||
      apply.getParams().empty() || apply.getNumResults() != 1)
    return false;
  // One that others read as well is built anyway.
  for (Operation *user : apply.getPlan().getUsers())
    if (user != apply &&
        (!isa<CombineOp>(user) || user->getOperand(0) != apply.getResult(0)))
      return false;
  for (Value param : apply.getParams())
    if (typeOf(param).getRank() != 2)
      return false;
  for (Operation *user : apply.getResult(0).getUsers()) {
    auto combine = dyn_cast<CombineOp>(user);
    if (!combine || combine.getPlan() != apply.getPlan() ||
        !typeOf(combine.getResult()).getElementType().isF32())
      return false;
  }
  Block &body = apply.getBodies().front().front();
  unsigned numInputs = apply.getInputs().size();
  Value yielded = body.getTerminator()->getOperand(0);
  if (yielded.getParentBlock() != &body || isa<BlockArgument>(yielded))
    return false;
  return llvm::all_of(body.without_terminator(), [&](Operation &op) {
    if (op.hasTrait<OpTrait::ConstantLike>())
      return true;
    if (auto dim = dyn_cast<tensor::DimOp>(op))
      return isa<BlockArgument>(dim.getSource()) &&
             cast<BlockArgument>(dim.getSource()).getArgNumber() < numInputs &&
             dim.getConstantIndex() == 0;
    if (auto empty = dyn_cast<tensor::EmptyOp>(op))
      return empty.getType().getRank() > 0 && empty.getType().isDynamicDim(0) &&
             empty.getType().getNumDynamicDims() == 1;
    if (isView(&op))
      return keepsSlots(&op, kindOf(op.getResult(0), apply));
    auto structured = dyn_cast<linalg::LinalgOp>(op);
    return structured && isa<linalg::GenericOp, linalg::FillOp>(op) &&
           isBySlot(structured, apply);
  });
}

namespace {

class VectorInliner {
public:
  VectorInliner(ApplyOp apply, RewriterBase &rewriter)
      : apply(apply), assign(apply.getPlan().getDefiningOp<gate::AssignOp>()),
        rewriter(rewriter), loc(apply.getLoc()),
        body(apply.getBodies().front().front()) {}

  void run();

private:
  OpFoldResult choices() {
    return rewriter.getIndexAttr(apply.getPlan().getType().getChoices());
  }
  /// [n, ...] as [R, choices, ...]
  RankedTensorType byRow(RankedTensorType type) {
    SmallVector<int64_t> shape{ShapedType::kDynamic,
                               apply.getPlan().getType().getChoices()};
    llvm::append_range(shape, type.getShape().drop_front());
    return RankedTensorType::get(shape, type.getElementType());
  }
  Value tableOf(Value param) {
    return apply.getParams()[cast<BlockArgument>(param).getArgNumber() -
                             apply.getInputs().size()];
  }
  Value gather(Value param);
  void inlineOp(Operation &op);
  void inlineView(Operation &op);
  void inlineStructured(linalg::LinalgOp op);
  /// The loop along which an operand reads a parameter, so that the body can
  /// read its table by itself.
  std::optional<unsigned> loopOfParam(linalg::LinalgOp op, OpOperand &operand);
  void sumChoices(CombineOp combine, Value slots);

  Value widened(Value narrow);
  void recordSite();

  ApplyOp apply;
  gate::AssignOp assign;
  RewriterBase &rewriter;
  Location loc;
  Block &body;
  Value rows, ids, indices; // ids: [R, choices] of i32
  IRMapping mapping;
  DenseMap<Value, Value> gathered;
};

} // namespace

/// The row of its group for each choice, as a tensor.
Value VectorInliner::gather(Value param) {
  Value &rowsOfParam = gathered[param];
  if (rowsOfParam)
    return rowsOfParam;
  Value table = tableOf(param);
  if (!indices) {
    RankedTensorType type = typeOf(ids);
    SmallVector<int64_t> shape(type.getShape());
    shape.push_back(1);
    indices = tensor::ExpandShapeOp::create(
        rewriter, loc, RankedTensorType::get(shape, type.getElementType()), ids,
        ArrayRef{ReassociationIndices{0}, ReassociationIndices{1, 2}},
        SmallVector<OpFoldResult>{rows, choices(), rewriter.getIndexAttr(1)});
  }
  return rowsOfParam =
             gate::GatherNDOp::create(rewriter, loc, byRow(typeOf(table)),
                                      table, indices, /*batch_dims=*/0);
}

std::optional<unsigned> VectorInliner::loopOfParam(linalg::LinalgOp op,
                                                   OpOperand &operand) {
  if (!isa<BlockArgument>(operand.get()) || op.isDpsInit(&operand) ||
      kindOf(operand.get(), apply) != Kind::Param)
    return std::nullopt;
  AffineMap map = op.getMatchingIndexingMap(&operand);
  auto loop = dyn_cast<AffineDimExpr>(map.getResult(0));
  return loop ? std::optional(loop.getPosition()) : std::nullopt;
}

/// The row of a table that an id names, or the first one where it names none.
static Value rowOfId(OpBuilder &b, Location loc, Value id, int64_t groups) {
  auto constant = [&](int64_t value) {
    return arith::ConstantIntOp::create(b, loc, id.getType(), value)
        .getResult();
  };
  Value isThere = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, id,
                                        constant(groups));
  Value row = arith::SelectOp::create(b, loc, isThere, id, constant(0));
  return arith::IndexCastOp::create(b, loc, b.getIndexType(), row);
}

void VectorInliner::inlineStructured(linalg::LinalgOp op) {
  MLIRContext *context = op.getContext();
  AffineExpr row = getAffineDimExpr(0, context),
             choice = getAffineDimExpr(1, context);
  SmallVector<AffineExpr> places{row};
  for (unsigned loop = 1; loop < op.getNumLoops(); ++loop)
    places.push_back(getAffineDimExpr(loop + 1, context));
  SmallVector<Value> inputs, inits;
  SmallVector<AffineMap> maps;
  // Operands that are rows of tables, and the loops along these rows.
  SmallVector<std::pair<unsigned, unsigned>> reads;
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    SmallVector<AffineExpr> exprs;
    for (AffineExpr expr : map.getResults())
      exprs.push_back(expr.replaceDims(places));
    bool isTensor = isa<RankedTensorType>(operand.get().getType());
    Kind kind = isTensor ? kindOf(operand.get(), apply) : Kind::Outside;
    if (kind == Kind::Param)
      exprs.insert(exprs.begin(), {row, choice});
    else if (kind == Kind::Slot)
      exprs.insert(exprs.begin() + 1, choice);
    if (std::optional<unsigned> loop = loopOfParam(op, operand)) {
      reads.push_back({operand.getOperandNumber(), *loop + 1});
      continue;
    }
    Value value = kind == Kind::Param && isa<BlockArgument>(operand.get())
                      ? gather(operand.get())
                      : mapping.lookupOrDefault(operand.get());
    if (op.isDpsInit(&operand) && !reads.empty() && inits.empty()) {
      // The ids of the tables' rows are the last input.
      inputs.push_back(ids);
      maps.push_back(
          AffineMap::get(op.getNumLoops() + 1, 0, {row, choice}, context));
    }
    maps.push_back(AffineMap::get(op.getNumLoops() + 1, 0, exprs, context));
    (op.isDpsInit(&operand) ? inits : inputs).push_back(value);
  }
  SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
  iterators.insert(iterators.begin(), utils::IteratorType::parallel);
  SmallVector<Type> types =
      llvm::map_to_vector(op->getResultTypes(), [&](Type type) -> Type {
        return byRow(cast<RankedTensorType>(type));
      });
  int64_t groups = apply.getPlan().getType().getGroups();
  auto clone = linalg::GenericOp::create(
      rewriter, op.getLoc(), types, inputs, inits, maps, iterators,
      [&](OpBuilder &b, Location where, ValueRange x) {
        Block &old = op->getRegion(0).front();
        IRMapping scalars;
        Value tableRow;
        unsigned next = 0;
        for (BlockArgument argument : old.getArguments()) {
          auto *read = llvm::find_if(reads, [&](auto each) {
            return each.first == argument.getArgNumber();
          });
          if (read == reads.end()) {
            // Behind the inputs are the ids.
            if (!reads.empty() && next == inputs.size() - 1)
              ++next;
            scalars.map(argument, x[next++]);
            continue;
          }
          if (!tableRow)
            tableRow = rowOfId(b, where, x[inputs.size() - 1], groups);
          Value column = linalg::IndexOp::create(b, where, read->second);
          Value table = tableOf(op->getOperand(argument.getArgNumber()));
          scalars.map(argument,
                      tensor::ExtractOp::create(b, where, table,
                                                ValueRange{tableRow, column})
                          .getResult());
        }
        for (Operation &inner : old.without_terminator())
          b.clone(inner, scalars);
        SmallVector<Value> results;
        for (Value value : old.getTerminator()->getOperands())
          results.push_back(scalars.lookupOrDefault(value));
        linalg::YieldOp::create(b, where, results);
      });
  mapping.map(op->getResults(), clone.getResults());
}

void VectorInliner::inlineView(Operation &op) {
  Kind kind = kindOf(op.getResult(0), apply);
  bool isParam = kind == Kind::Param && isa<BlockArgument>(op.getOperand(0));
  Value source =
      isParam ? gather(op.getOperand(0)) : mapping.lookup(op.getOperand(0));
  // The dimensions of the choices, and of rows for what had none.
  int64_t added = kind == Kind::Row ? 0 : kind == Kind::Slot ? 1 : 2;
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0; dim < added; ++dim)
    groups.push_back({dim});
  for (ReassociationIndices group : groupsOf(&op)) {
    for (int64_t &dim : group)
      dim += added;
    groups.push_back(group);
  }
  RankedTensorType type = typeOf(op.getResult(0));
  SmallVector<int64_t> shape{typeOf(source).getDimSize(0)};
  if (added > 0)
    shape.push_back(apply.getPlan().getType().getChoices());
  llvm::append_range(shape, added == 2 ? type.getShape()
                                       : type.getShape().drop_front());
  type = type.clone(shape);
  Value view;
  if (isa<tensor::CollapseShapeOp>(op)) {
    view = tensor::CollapseShapeOp::create(rewriter, loc, type, source, groups);
  } else {
    SmallVector<OpFoldResult> sizes =
        getAsIndexOpFoldResult(rewriter.getContext(), shape);
    if (type.isDynamicDim(0))
      sizes[0] = rows;
    view = tensor::ExpandShapeOp::create(rewriter, loc, type, source, groups,
                                         sizes);
  }
  mapping.map(op.getResult(0), view);
}

void VectorInliner::inlineOp(Operation &op) {
  if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
    RankedTensorType type = byRow(empty.getType());
    mapping.map(empty.getResult(),
                tensor::EmptyOp::create(rewriter, loc, type, rows).getResult());
  } else if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    auto clone = linalg::FillOp::create(
        rewriter, loc, mapping.lookupOrDefault(fill.getInputs()[0]),
        mapping.lookup(fill.getOutputs()[0]));
    mapping.map(fill.getResult(0), clone.getResult(0));
  } else if (isView(&op)) {
    inlineView(op);
  } else if (auto structured = dyn_cast<linalg::LinalgOp>(op)) {
    inlineStructured(structured);
  } else {
    rewriter.clone(op, mapping);
  }
}

/// result[t] = sum over j of weights[t, j] * slots[t, j], in order, without the
/// choices that are in no group.
void VectorInliner::sumChoices(CombineOp combine, Value slots) {
  rewriter.setInsertionPoint(combine);
  Value weights = assign.getWeights();
  RankedTensorType type = typeOf(combine.getResult());
  Value zero =
      arith::ConstantOp::create(rewriter, loc, rewriter.getF32FloatAttr(0));
  OpFoldResult count = type.isDynamicDim(0)
                           ? OpFoldResult(combine.getRows())
                           : rewriter.getIndexAttr(type.getDimSize(0));
  Value empty = tensor::EmptyOp::create(
      rewriter, loc, {count, rewriter.getIndexAttr(type.getDimSize(1))},
      type.getElementType());
  Value init = linalg::FillOp::create(rewriter, loc, zero, empty).getResult(0);
  AffineMap all = rewriter.getMultiDimIdentityMap(3),
            byChoice = all.dropResult(2);
  SmallVector<Value> inputs{slots, ids};
  SmallVector<AffineMap> maps{all, byChoice};
  if (weights) {
    inputs.push_back(weights);
    maps.push_back(byChoice);
  }
  maps.push_back(all.dropResult(1));
  int64_t groups = apply.getPlan().getType().getGroups();
  auto sum = linalg::GenericOp::create(
      rewriter, loc, init.getType(), inputs, init, maps,
      ArrayRef{utils::IteratorType::parallel, utils::IteratorType::reduction,
               utils::IteratorType::parallel},
      [&](OpBuilder &at, Location where, ValueRange x) {
        Value limit =
            arith::ConstantIntOp::create(at, where, x[1].getType(), groups);
        Value isThere = arith::CmpIOp::create(
            at, where, arith::CmpIPredicate::ult, x[1], limit);
        Value slot =
            weights ? arith::MulFOp::create(at, where, x[2], x[0]).getResult()
                    : x[0];
        Value added = arith::AddFOp::create(at, where, x.back(), slot);
        linalg::YieldOp::create(
            at, where,
            arith::SelectOp::create(at, where, isThere, added, x.back())
                .getResult());
      });
  rewriter.replaceOp(combine, sum.getResults());
  // What is summed is computed there, and never stored.
  OpOperand &summed = sum->getOpOperand(0);
  if (slots.hasOneUse() && linalg::areElementwiseOpsFusable(&summed))
    if (FailureOr<linalg::ElementwiseOpFusionResult> fused =
            linalg::fuseElementwiseOps(rewriter, &summed);
        succeeded(fused))
      for (auto [old, value] : fused->replacements)
        rewriter.replaceAllUsesWith(old, value);
}

/// Ids as i64.
Value VectorInliner::widened(Value narrow) {
  Value init = tensor::EmptyOp::create(
      rewriter, loc, tensor::getMixedSizes(rewriter, loc, narrow),
      rewriter.getI64Type());
  AffineMap identity = rewriter.getMultiDimIdentityMap(2);
  return linalg::GenericOp::create(
             rewriter, loc, init.getType(), narrow, init,
             ArrayRef{identity, identity},
             SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
             [](OpBuilder &at, Location where, ValueRange x) {
               linalg::YieldOp::create(
                   at, where,
                   arith::ExtSIOp::create(at, where, at.getI64Type(), x[0])
                       .getResult());
             })
      .getResult(0);
}

/// Nobody builds the plan, so that its choices are counted here.
void VectorInliner::recordSite() {
  FlatSymbolRefAttr site = assign.getSiteAttr();
  if (!site)
    return;
  SitePlace place = findSite(assign, site);
  gate::PlanType plan = assign.getPlan().getType();
  auto index = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(rewriter, loc, value);
  };
  createRuntimeCall(rewriter, loc, "gatecc_record_choices",
                    {index(place.number), index(place.first), ids,
                     index(plan.getChoices()), index(plan.getGroups()), rows},
                    {})
      .setFrame(true);
}

void VectorInliner::run() {
  rewriter.setInsertionPoint(assign);
  ids = assign.getIds();
  rows = tensor::DimOp::create(rewriter, loc, ids, 0);
  if (!typeOf(ids).getElementType().isInteger(64))
    ids = widened(ids);
  recordSite();
  rewriter.setInsertionPoint(apply);
  for (auto [argument, input] :
       llvm::zip(body.getArguments(), apply.getInputs()))
    mapping.map(argument, input);
  // The number of slots is asked for to make tensors, which are made by row.
  for (Operation &op : body.without_terminator())
    if (!isa<tensor::DimOp>(op))
      inlineOp(op);
  Value slots = mapping.lookup(body.getTerminator()->getOperand(0));
  SmallVector<CombineOp> combines;
  for (Operation *user : apply.getResult(0).getUsers())
    combines.push_back(cast<CombineOp>(user));
  rewriter.setInsertionPoint(apply);
  for (CombineOp combine : combines)
    sumChoices(combine, slots);
  rewriter.eraseOp(apply);
  rewriter.eraseOp(assign);
}

LogicalResult gatecc::inlineVectorApply(ApplyOp apply, RewriterBase &rewriter) {
  VectorInliner(apply, rewriter).run();
  return success();
}
