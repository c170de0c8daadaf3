// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits the experts that a pass has found.
#include "ExpertWork.h"

#include "FloatCasts.h"
#include "GraphBlocks.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "SlotFunction.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

void raise::findExperts(ModuleOp module,
                        function_ref<void(GraphBuilder &, Block &)> find) {
  OpBuilder builder(module.getContext());
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!llvm::hasSingleElement(function.getBody()))
      continue;
    builder.setInsertionPointToStart(&function.front());
    GraphBuilder graph(module, builder);
    forEachGraphBlock(function, [&](Block &block) { find(graph, block); });
    GraphBuilder::eraseUnused(function.front());
  }
  GraphBuilder::eraseUnusedSymbols(module);
}

Value raise::asChoices(GraphBuilder &graph, Value value, int64_t choices) {
  OpBuilder &b = graph.getBuilder();
  RankedTensorType type = typeOf(value);
  if (type.getRank() == 2 && type.getDimSize(1) == choices)
    return value;
  if (type.getRank() == 0)
    return {};
  if (type.getRank() > 1) {
    ReassociationIndices all(
        llvm::to_vector<2>(llvm::seq<int64_t>(0, type.getRank())));
    value = tensor::CollapseShapeOp::create(b, graph.getLoc(), value,
                                            ArrayRef{all});
  }
  value = withDynamicRows(graph, value);
  Value slots = tensor::DimOp::create(b, graph.getLoc(), value, 0);
  Value rows = slots;
  if (choices > 1)
    rows = arith::DivUIOp::create(
        b, graph.getLoc(), slots,
        arith::ConstantIndexOp::create(b, graph.getLoc(), choices));
  auto wide = RankedTensorType::get({ShapedType::kDynamic, choices},
                                    type.getElementType());
  return tensor::ExpandShapeOp::create(
      b, graph.getLoc(), wide, value, ArrayRef{ReassociationIndices{0, 1}},
      SmallVector<OpFoldResult>{rows, b.getIndexAttr(choices)});
}

/// The ids as gathers read them: negative ones count from the end, others are
/// clamped. Those of a top-k over the groups are in range.
static Value idsInRange(GraphBuilder &graph, const Decision &decision,
                        Value ids) {
  int64_t count = SlotFunctions::idCount(decision.ids);
  if (count > 0 && count <= decision.groups)
    return ids;
  OpBuilder &b = graph.getBuilder();
  RankedTensorType type = typeOf(ids);
  Value init = tensor::EmptyOp::create(
      b, graph.getLoc(), tensor::getMixedSizes(b, graph.getLoc(), ids),
      type.getElementType());
  AffineMap identity = b.getMultiDimIdentityMap(2);
  auto generic = linalg::GenericOp::create(
      b, graph.getLoc(), init.getType(), ids, init,
      ArrayRef<AffineMap>{identity, identity},
      SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
      [&](OpBuilder &at, Location loc, ValueRange x) {
        auto constant = [&](int64_t value) {
          return arith::ConstantOp::create(
                     at, loc, at.getIntegerAttr(type.getElementType(), value))
              .getResult();
        };
        Value zero = constant(0);
        Value negative = arith::CmpIOp::create(
            at, loc, arith::CmpIPredicate::slt, x[0], zero);
        Value fromEnd =
            arith::AddIOp::create(at, loc, x[0], constant(decision.groups));
        Value id = arith::SelectOp::create(at, loc, negative, fromEnd, x[0]);
        id = arith::MinSIOp::create(at, loc, id, constant(decision.groups - 1));
        id = arith::MaxSIOp::create(at, loc, id, zero);
        linalg::YieldOp::create(at, loc, id);
      });
  return generic.getResult(0);
}

Value raise::readAtIds(OpBuilder &b, Location loc, Value data, Value ids,
                       int64_t batchDims) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, ids);
  sizes.push_back(b.getIndexAttr(1));
  RankedTensorType type = typeOf(ids);
  auto wide = RankedTensorType::get({type.getDimSize(0), type.getDimSize(1), 1},
                                    type.getElementType());
  Value indices = tensor::ExpandShapeOp::create(
      b, loc, wide, ids,
      ArrayRef{ReassociationIndices{0}, ReassociationIndices{1, 2}}, sizes);
  return gate::GatherNDOp::create(b, loc,
                                  type.clone(typeOf(data).getElementType()),
                                  data, indices, batchDims);
}

/// The ids with -1, which is in no plan, for groups that have no work.
static Value idsWithWork(GraphBuilder &graph, const ExpertWork &work,
                         Value ids) {
  if (work.missing.empty())
    return ids;
  OpBuilder &b = graph.getBuilder();
  SmallVector<int64_t> table =
      llvm::to_vector(llvm::seq<int64_t>(0, work.decision.groups));
  for (int64_t group : work.missing)
    table[group] = -1;
  auto tableType =
      RankedTensorType::get({work.decision.groups}, b.getI64Type());
  Value groups = graph.denseConstant(
      "experts", DenseElementsAttr::get(tableType, ArrayRef(table)));
  return readAtIds(b, graph.getLoc(), groups, ids, /*batchDims=*/0);
}

/// What computed the ids; they may be an input of the network.
static std::string describeDecider(const ExpertWork &work) {
  Operation *op = work.decision.ids.getDefiningOp();
  return op ? describe(op) : "an input";
}

Value raise::emitExperts(GraphBuilder &graph, ExpertWork &work, Value ids,
                         Value weights, ArrayRef<Operation *> products,
                         function_ref<gate::ApplyOp(Value)> makeApply,
                         SmallVectorImpl<Attribute> &report) {
  OpBuilder &b = graph.getBuilder();
  int64_t groups = work.decision.groups;
  ids = idsWithWork(graph, work, idsInRange(graph, work.decision, ids));
  if (weights)
    weights = castFloats(b, graph.getLoc(), weights, b.getF32Type());
  FlatSymbolRefAttr symbol =
      graph.site("experts", SmallVector<double>(groups, 1.0), double(groups));
  auto plan =
      gate::AssignOp::create(b, graph.getLoc(),
                             gate::PlanType::get(graph.getContext(), groups,
                                                 typeOf(ids).getDimSize(1)),
                             ids, weights, symbol);
  Value slots = makeApply(plan).getResult(0);
  Value tokens = tensor::DimOp::create(b, graph.getLoc(), ids, 0);
  work.isRaised = true;

  SmallVector<StringRef> nodes;
  for (Operation *op : products)
    if (StringRef name = nodeName(op->getLoc());
        !name.empty() && !llvm::is_contained(nodes, name))
      nodes.push_back(name);
  auto site = graph.getModule().lookupSymbol<gate::SiteOp>(symbol.getAttr());
  site.setNodesAttr(b.getStrArrayAttr(nodes));
  std::string reason = "by proof: the products are those of the experts that " +
                       describeDecider(work) + " chose, " +
                       std::to_string(work.decision.choices) + " for each row";
  if (!work.missing.empty()) {
    reason += "; the model has no work for expert ";
    llvm::raw_string_ostream os(reason);
    llvm::interleaveComma(work.missing, os);
    os << ": rows that choose it get nothing";
  }
  report.push_back(reportEntry(graph.getContext(), site.getName(), "experts",
                               site.getNodesAttr(), "taken", reason));

  auto type =
      RankedTensorType::get({ShapedType::kDynamic, typeOf(slots).getDimSize(1)},
                            typeOf(slots).getElementType());
  return gate::CombineOp::create(b, graph.getLoc(), type, slots, plan, tokens);
}

Value raise::emitExperts(GraphBuilder &graph, ExpertWork &work,
                         ExpertBody &body, Value slots, Value weights,
                         SmallVectorImpl<Attribute> &report) {
  return emitExperts(
      graph, work, asChoices(graph, work.decision.ids, work.decision.choices),
      weights, body.products(),
      [&](Value plan) { return body.finish(plan, slots); }, report);
}

Value raise::restoreShape(GraphBuilder &graph, Value combined,
                          const RowShape &shape) {
  OpBuilder &b = graph.getBuilder();
  RankedTensorType type = typeOf(shape.result());
  combined = castFloats(b, graph.getLoc(), combined, type.getElementType());
  ReassociationIndices rows, columns;
  for (unsigned dim = 0; dim < type.getRank(); ++dim)
    (dim < shape.rowDims ? rows : columns).push_back(dim);
  SmallVector<ReassociationIndices> groups{rows};
  if (columns.empty()) // one column
    combined = tensor::CollapseShapeOp::create(
        b, graph.getLoc(), combined, ArrayRef{ReassociationIndices{0, 1}});
  else
    groups.push_back(columns);
  RankedTensorType flat =
      tensor::CollapseShapeOp::inferCollapsedType(type, groups);
  if (combined.getType() != flat)
    combined = tensor::CastOp::create(b, graph.getLoc(), flat, combined);
  if (flat == type)
    return combined;
  return tensor::ExpandShapeOp::create(b, graph.getLoc(), type, combined,
                                       groups, shape.sizes(b, graph.getLoc()));
}

void raise::reportRefusal(GraphBuilder &graph, const ExpertWork &work,
                          SmallVectorImpl<Attribute> &report) {
  SmallVector<StringRef> nodes;
  for (Operation *op : work.inside)
    if (StringRef name = nodeName(op->getLoc());
        isProduct(op) && !name.empty() && !llvm::is_contained(nodes, name))
      nodes.push_back(name);
  llvm::sort(nodes);
  std::string reason = work.refusal.empty()
                           ? "no sum over the choices of a row ends the work"
                           : work.refusal;
  Builder builder(graph.getContext());
  report.push_back(reportEntry(graph.getContext(), "", "experts",
                               builder.getStrArrayAttr(nodes), "refused",
                               "experts that " + describeDecider(work) +
                                   " chose: " + reason));
}

void raise::eraseCertainChecks(const ExpertWork &work, SlotFunctions &functions,
                               Operation *end) {
  Operation *op = work.decision.ids.getDefiningOp();
  if (!op || op->getBlock() != end->getBlock())
    return;
  GroupCounts counts(work.decision, functions);
  while (op && op != end) {
    Operation *next = op->getNextNode();
    if (auto check = dyn_cast<gate::CheckOp>(op);
        check && counts.isCertain(check.getCondition()))
      check.erase();
    op = next;
  }
}
