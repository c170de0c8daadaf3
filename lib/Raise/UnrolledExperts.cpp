// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts one after another: for each, the positions where its number was
// chosen (nonzero of a mask), rows gathered from there, its own ops, and the
// results added to a sum at the rows' places.
#include "ExpertWork.h"
#include "RowCost.h"
#include "SlotFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {

/// One expert's part of the sum: `result` is `sum` with `updates` added at the
/// tokens of the slots of `order`.
struct Link {
  Value sum, updates, result;
  SlotOrder order;
};

struct Chain : ExpertWork {
  SmallVector<Link> links;
};

class UnrolledFinder {
public:
  UnrolledFinder(GraphBuilder &graph, SmallVectorImpl<Attribute> &report)
      : graph(graph), report(report) {}
  void run(Block &block);

private:
  Chain *chainOf(Operation *op);
  bool isTokenOf(Value indices, const SlotOrder &order);
  std::optional<Link> matchLink(Operation *op);
  std::optional<Link> matchScatter(Operation *op, Value updates, Value indices,
                                   Value sum);
  bool raise(Chain &chain);
  FailureOr<Value> takeWeights(SmallVectorImpl<Value> &updates, Chain &chain,
                               ArrayRef<SlotOrder> orders);
  Value slotWeights(Value value, const SlotOrder &order, int64_t choices);

  GraphBuilder &graph;
  SmallVectorImpl<Attribute> &report;
  SlotFunctions functions;
  llvm::MapVector<Value, std::unique_ptr<Chain>> chains; // by ids
  DenseMap<Operation *, Chain *> chainOfOp;
};

RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

int64_t choicesOf(Value ids) {
  RankedTensorType type = typeOf(ids);
  return type.getRank() < 2 ? 1 : type.getShape().back();
}

bool UnrolledFinder::isTokenOf(Value indices, const SlotOrder &order) {
  return order && functions.orderOf(indices) == order &&
         functions.partOf(indices, 0, order, choicesOf(order.ids)) ==
             SlotPart::Token;
}

/// Rows of tokens gathered for the slots of one group start its work.
Chain *UnrolledFinder::chainOf(Operation *op) {
  if (op->getNumResults() == 1)
    if (std::optional<RowGather> gather = matchRowGather(op->getResult(0));
        gather && isa<FloatType>(typeOf(gather->data).getElementType()) &&
        typeOf(gather->data).getRank() > 1) {
      SlotOrder order = functions.orderOf(gather->indices);
      if (order && order.group >= 0) {
        std::unique_ptr<Chain> &chain = chains[order.ids];
        if (!chain) {
          chain = std::make_unique<Chain>();
          chain->number = chains.size();
          chain->decision = {order.ids, choicesOf(order.ids),
                             SlotFunctions::idCount(order.ids)};
        }
        return chain.get();
      }
    }
  Chain *found = nullptr;
  for (Value operand : op->getOperands())
    if (Operation *source = operand.getDefiningOp())
      if (Chain *chain = chainOfOp.lookup(source);
          chain && (!found || found->number < chain->number))
        found = chain;
  return found;
}

std::optional<Link> UnrolledFinder::matchScatter(Operation *op, Value updates,
                                                 Value indices, Value sum) {
  SlotOrder order = functions.orderOf(indices);
  if (!order || order.group < 0 || !isTokenOf(indices, order))
    return std::nullopt;
  return Link{sum, updates, op->getResult(0), order};
}

/// add(a, b) of two tensors, elementwise.
linalg::GenericOp matchAdd(Operation *op) {
  auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
  if (!generic || generic.getNumDpsInputs() != 2 ||
      generic.getNumLoops() != generic.getNumParallelLoops() ||
      !llvm::all_of(generic.getIndexingMapsArray(),
                    [](AffineMap map) { return map.isIdentity(); }))
    return {};
  Block &body = *generic.getBody();
  auto add = body.getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!add || !llvm::hasNItems(body.begin(), body.end(), 2) ||
      llvm::any_of(add->getOperands(), [](Value operand) {
        return operand.getDefiningOp() != nullptr;
      }))
    return {};
  return generic;
}

/// Filled with zeros, in any way.
bool isZero(Value value) {
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    return matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant)))
    return constant.isSplat() && isa<FloatType>(constant.getElementType()) &&
           constant.getSplatValue<APFloat>().isZero();
  auto generic = value.getDefiningOp<linalg::GenericOp>();
  if (!generic || generic.getNumDpsInputs() != 0)
    return false;
  Value yielded = generic.getBody()->getTerminator()->getOperand(0);
  return matchPattern(yielded, m_AnyZeroFloat());
}

/// The three ways to add rows at their places.
std::optional<Link> UnrolledFinder::matchLink(Operation *op) {
  if (auto scatter = dyn_cast<gate::ScatterNDOp>(op)) {
    if (typeOf(scatter.getIndices()).getShape().back() != 1)
      return std::nullopt;
    if (scatter.getReduction() == gate::Reduction::Add)
      return matchScatter(op, scatter.getUpdates(), scatter.getIndices(),
                          scatter.getData());
    // Each token is in a group once: read, add, write back.
    if (scatter.getReduction() != gate::Reduction::None)
      return std::nullopt;
    linalg::GenericOp add = matchAdd(scatter.getUpdates().getDefiningOp());
    for (unsigned side : {0u, 1u})
      if (add)
        if (auto read = matchRowGather(add.getDpsInputOperand(side)->get());
            read && read->data == scatter.getData())
          if (auto link =
                  matchScatter(op, add.getDpsInputOperand(1 - side)->get(),
                               scatter.getIndices(), scatter.getData()))
            if (isTokenOf(read->indices, link->order))
              return link;
    return std::nullopt;
  }
  // A sum of zeros into which the rows are scattered.
  linalg::GenericOp add = matchAdd(op);
  for (unsigned side : {0u, 1u})
    if (add)
      if (auto scatter = add.getDpsInputOperand(side)
                             ->get()
                             .getDefiningOp<gate::ScatterElementsOp>();
          scatter && scatter.getAxis() == 0 && isZero(scatter.getData()) &&
          typeOf(scatter.getIndices()).getRank() == 2) {
        Value indices = scatter.getIndices();
        if (Value narrow = matchBroadcast(indices))
          if (auto link = matchScatter(op, scatter.getUpdates(), narrow,
                                       add.getDpsInputOperand(1 - side)->get()))
            return link;
      }
  return std::nullopt;
}

void UnrolledFinder::run(Block &block) {
  for (Operation &op : block.without_terminator()) {
    Chain *chain = chainOf(&op);
    if (!chain)
      continue;
    chainOfOp[&op] = chain;
    if (std::optional<Link> link = matchLink(&op);
        link && link->order.ids == chain->decision.ids)
      chain->links.push_back(*link);
    else
      chain->inside.insert(&op);
  }
  for (auto &[ids, chain] : chains)
    if (!raise(*chain))
      reportRefusal(graph, *chain, report);
}

/// The weights [T, k] that `value` [n] or [n, 1] takes for each slot, or null.
Value UnrolledFinder::slotWeights(Value value, const SlotOrder &order,
                                  int64_t choices) {
  while (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(
      value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  auto gather = value.getDefiningOp<gate::GatherNDOp>();
  if (!gather || gather.getBatchDims() != 0 ||
      functions.orderOf(gather.getIndices()) != order)
    return {};
  Value data = gather.getData();
  RankedTensorType type = typeOf(data);
  auto part = [&](int64_t column) {
    return functions.partOf(gather.getIndices(), column, order, choices);
  };
  int64_t count = typeOf(gather.getIndices()).getShape().back();
  bool isRead = false;
  if (count == 1)
    isRead = part(0) == (choices == 1 ? SlotPart::Token : SlotPart::Slot);
  if (count == 2)
    isRead = part(0) == SlotPart::Token && part(1) == SlotPart::Choice &&
             type.getDimSize(1) == choices;
  // Nothing is left of a row but its one element.
  for (int64_t size : type.getShape().drop_front(count))
    isRead &= size == 1;
  return isRead && type.getElementType().isF32() ? data : Value();
}

/// Takes the factor that each slot has off the updates: the weights [T, k].
FailureOr<Value> UnrolledFinder::takeWeights(SmallVectorImpl<Value> &updates,
                                             Chain &chain,
                                             ArrayRef<SlotOrder> orders) {
  SmallVector<Value> inner;
  Value weights;
  for (auto [update, order] : llvm::zip_equal(updates, orders)) {
    linalg::GenericOp multiply = matchMultiply(update);
    Value found;
    for (unsigned side : {0u, 1u}) {
      if (!multiply || found)
        break;
      OpOperand *factor = multiply.getDpsInputOperand(side),
                *work = multiply.getDpsInputOperand(1 - side);
      if (!multiply.getMatchingIndexingMap(work).isIdentity() ||
          typeOf(factor->get()).getNumDynamicDims() != 1)
        continue;
      found = slotWeights(factor->get(), order, chain.decision.choices);
      if (found)
        inner.push_back(work->get());
    }
    if (!found || (weights && weights != found))
      return Value();
    weights = found;
  }
  updates = inner;
  return asChoices(graph, weights, chain.decision.choices);
}

bool UnrolledFinder::raise(Chain &chain) {
  auto refuse = [&](const Twine &reason) {
    chain.refusal = reason.str();
    return false;
  };
  if (chain.links.empty())
    return refuse("their results are not added up row by row");
  // From the first sum to the last.
  DenseMap<Value, Link *> next;
  for (Link &link : chain.links)
    next[link.sum] = &link;
  Value start;
  for (Link &link : chain.links) {
    bool isFirst = llvm::none_of(
        chain.links, [&](Link &other) { return other.result == link.sum; });
    if (isFirst && start)
      return refuse("their results are added up in more than one place");
    if (isFirst)
      start = link.sum;
  }
  int64_t groups = chain.decision.groups;
  SmallVector<Value> updates(groups);
  SmallVector<SlotOrder> orders(groups);
  Value last = start;
  for (unsigned i = 0; i < chain.links.size(); ++i) {
    Link *link = next.lookup(last);
    if (!link)
      return refuse("their results are not added up one after another");
    if (link->order.group >= groups || updates[link->order.group])
      return refuse("expert " + Twine(link->order.group) + " is there twice");
    updates[link->order.group] = link->updates;
    orders[link->order.group] = link->order;
    for (Operation *user : link->result.getUsers())
      if (Link *after = next.lookup(link->result);
          after && user != after->result.getDefiningOp() &&
          !matchRowGather(user->getResult(0)))
        return refuse("a sum of some of them is used by " + describe(user));
    last = link->result;
  }
  std::string missing;
  for (auto [expert, update] : llvm::enumerate(updates))
    if (!update)
      missing += (missing.empty() ? "" : ", ") + std::to_string(expert);
  if (!missing.empty()) {
    mlir::emitWarning(last.getLoc())
        << "the model has no work for expert " << missing << " of " << groups
        << ": rows that choose it get nothing; an exporter that traced the "
           "network has dropped experts that its example did not choose";
    return refuse("there is no expert " + missing);
  }
  if (!typeOf(last).getElementType().isF32() || typeOf(last).getRank() != 2)
    return refuse("their sum is no f32 tensor of rank 2");

  Operation *place = last.getDefiningOp();
  OpBuilder &b = graph.getBuilder();
  b.setInsertionPoint(place);
  graph.setNode(nodeName(chain.decision.ids), "experts", place->getLoc());
  FailureOr<Value> weights = takeWeights(updates, chain, orders);
  ExpertBody body(graph, chain.decision, chain.inside, &functions, orders);
  FailureOr<Value> slots = body.build(updates, 1);
  if (failed(slots))
    return refuse(body.reason());
  Value combined = emitExperts(graph, chain, body, *slots, *weights, report);
  RankedTensorType type = typeOf(last);
  if (combined.getType() != type)
    combined = tensor::CastOp::create(b, graph.getLoc(), type, combined);
  if (!isZero(start)) {
    AffineMap identity = b.getMultiDimIdentityMap(2);
    Value init = tensor::EmptyOp::create(
        b, graph.getLoc(), tensor::getMixedSizes(b, graph.getLoc(), start),
        type.getElementType());
    combined =
        linalg::GenericOp::create(
            b, graph.getLoc(), type, ValueRange{start, combined}, init,
            SmallVector<AffineMap>(3, identity),
            SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
            [](OpBuilder &at, Location loc, ValueRange x) {
              linalg::YieldOp::create(
                  at, loc,
                  arith::AddFOp::create(at, loc, x[0], x[1]).getResult());
            })
            .getResult(0);
  }
  last.replaceAllUsesWith(combined);
  return true;
}

} // namespace

void raise::formUnrolledExperts(GraphBuilder &graph, Block &block,
                                SmallVectorImpl<Attribute> &report) {
  UnrolledFinder(graph, report).run(block);
}
