// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts one after another: for each, the positions where its number was
// chosen (nonzero of a mask), rows gathered from there, its own ops, and the
// results added to a sum at the rows' places.
#include "ExpertWork.h"
#include "FloatCasts.h"
#include "RowCost.h"
#include "SlotFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

static bool isTokenOf(SlotFunctions &functions, Value indices,
                      const SlotOrder &order) {
  return order && functions.orderOf(indices) == order &&
         functions.partOf(indices, 0, order,
                          SlotFunctions::choicesOf(order.ids)) ==
             SlotPart::Token;
}

static std::optional<SlotLink> matchScatter(SlotFunctions &functions,
                                            Operation *op, Value updates,
                                            Value indices, Value sum) {
  SlotOrder order = functions.orderOf(indices);
  if (!isTokenOf(functions, indices, order))
    return std::nullopt;
  return SlotLink{withoutFloatCasts(sum), updates, op->getResult(0), order};
}

/// The sum of two tensors of one shape.
static linalg::GenericOp matchAdd(Value value) {
  linalg::GenericOp add = matchBinary<arith::AddFOp>(value);
  return add && llvm::all_of(add.getIndexingMapsArray(),
                             [](AffineMap map) { return map.isIdentity(); })
             ? add
             : linalg::GenericOp();
}

/// x, where the body of `op` adds 0 to it: how zeros of a known shape are
/// added.
static Value matchPlusZero(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic->getNumResults() != 1 ||
      generic.getNumDpsInputs() != 1 ||
      !llvm::all_of(generic.getIndexingMapsArray(),
                    [](AffineMap map) { return map.isIdentity(); }) ||
      !llvm::hasNItems(*generic.getBody(), 2))
    return {};
  Value argument = generic.getBody()->getArgument(0);
  auto add = generic.getBody()
                 ->getTerminator()
                 ->getOperand(0)
                 .getDefiningOp<arith::AddFOp>();
  return add && ((add.getLhs() == argument &&
                  matchPattern(add.getRhs(), m_AnyZeroFloat())) ||
                 (add.getRhs() == argument &&
                  matchPattern(add.getLhs(), m_AnyZeroFloat())))
             ? generic.getDpsInputs()[0]
             : Value();
}

/// Rows scattered into zeros, one for all columns of each, and added to `sum`
/// by `op`; to the zeros if there is none.
static std::optional<SlotLink> matchIntoZeros(SlotFunctions &functions,
                                              Operation *op, Value scattered,
                                              Value sum = {}) {
  auto scatter = scattered.getDefiningOp<gate::ScatterElementsOp>();
  if (!scatter || scatter.getAxis() != 0 || !isZero(scatter.getData()) ||
      typeOf(scatter.getIndices()).getRank() != 2)
    return std::nullopt;
  Value narrow = matchBroadcast(scatter.getIndices());
  if (!narrow)
    return std::nullopt;
  auto link = matchScatter(functions, op, scatter.getUpdates(), narrow,
                           sum ? sum : scatter.getData());
  // A token is in a group once, but in all slots for each of its choices.
  bool isAdded = scatter.getReduction() == gate::Reduction::Add ||
                 (scatter.getReduction() == gate::Reduction::None && link &&
                  link->order.group >= 0);
  return isAdded ? link : std::nullopt;
}

/// The three ways to add rows at their places.
std::optional<SlotLink> raise::matchSlotLink(SlotFunctions &functions,
                                             Operation *op) {
  if (auto scatter = dyn_cast<gate::ScatterNDOp>(op)) {
    if (typeOf(scatter.getIndices()).getShape().back() != 1)
      return std::nullopt;
    if (scatter.getReduction() == gate::Reduction::Add)
      return matchScatter(functions, op, scatter.getUpdates(),
                          scatter.getIndices(), scatter.getData());
    // Each token is in a group once: read, add, write back.
    if (scatter.getReduction() != gate::Reduction::None)
      return std::nullopt;
    linalg::GenericOp add = matchAdd(scatter.getUpdates());
    for (unsigned side : {0u, 1u})
      if (add)
        if (auto read = matchRowGather(add.getDpsInputOperand(side)->get());
            read && read->data == scatter.getData())
          if (auto link = matchScatter(functions, op,
                                       add.getDpsInputOperand(1 - side)->get(),
                                       scatter.getIndices(), scatter.getData()))
            if (link->order.group >= 0 &&
                isTokenOf(functions, read->indices, link->order))
              return link;
    return std::nullopt;
  }
  if (Value only = matchPlusZero(op))
    return matchIntoZeros(functions, op, only);
  // A sum of zeros into which the rows are scattered.
  linalg::GenericOp add = op->getNumResults() == 1 ? matchAdd(op->getResult(0))
                                                   : linalg::GenericOp();
  for (unsigned side : {0u, 1u})
    if (add)
      if (auto link =
              matchIntoZeros(functions, op, add.getDpsInputOperand(side)->get(),
                             add.getDpsInputOperand(1 - side)->get()))
        return link;
  return std::nullopt;
}

Value raise::slotWeights(SlotFunctions &functions, Value value,
                         const SlotOrder &order, int64_t choices) {
  auto gather = withoutReshapes(value).getDefiningOp<gate::GatherNDOp>();
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
  return isRead && gate::computedIn(type.getElementType()).isF32() ? data
                                                                   : Value();
}

/// Takes the factor that each slot has off the updates: the weights [T, k].
static Value takeWeights(GraphBuilder &graph, SlotFunctions &functions,
                         SmallVectorImpl<Value> &updates, int64_t choices,
                         ArrayRef<SlotOrder> orders) {
  SmallVector<Value> inner;
  Value weights;
  for (auto [update, order] : llvm::zip_equal(updates, orders)) {
    linalg::GenericOp multiply =
        matchBinary<arith::MulFOp>(withoutFloatCasts(update));
    Value found;
    for (unsigned side : {0u, 1u}) {
      if (!multiply || found)
        break;
      OpOperand *factor = multiply.getDpsInputOperand(side),
                *work = multiply.getDpsInputOperand(1 - side);
      if (!multiply.getMatchingIndexingMap(work).isIdentity() ||
          !isOnePerRow(multiply, factor, 1))
        continue;
      found = slotWeights(functions, factor->get(), order, choices);
      if (found)
        inner.push_back(work->get());
    }
    if (!found || (weights && weights != found))
      return Value();
    weights = found;
  }
  updates = inner;
  return asChoices(graph, weights, choices);
}

/// Experts that the graph has no work for get no slots. Their part of each
/// stack is another expert's, so that experts keep their numbers.
static void completeExperts(ExpertWork &chain, MutableArrayRef<Value> updates,
                            MutableArrayRef<SlotOrder> orders, Location loc) {
  unsigned present =
      llvm::find_if(updates, [](Value v) { return bool(v); }) - updates.begin();
  std::string names;
  for (unsigned expert = 0; expert < updates.size(); ++expert) {
    if (updates[expert])
      continue;
    names += (names.empty() ? "" : ", ") + std::to_string(expert);
    chain.missing.push_back(expert);
  }
  if (names.empty())
    return;
  for (int64_t expert : chain.missing) {
    updates[expert] = updates[present];
    orders[expert] = orders[present];
  }
  mlir::emitWarning(loc)
      << "the model has no work for expert " << names << " of "
      << updates.size()
      << ": rows that choose it get nothing; an exporter that traced the "
         "network has dropped experts that its example did not choose";
}

bool raise::raiseLinks(GraphBuilder &graph, SlotFunctions &functions,
                       ExpertWork &chain, SmallVectorImpl<Attribute> &report) {
  auto refuse = [&](const Twine &reason) {
    chain.refusal = reason.str();
    return false;
  };
  // From the first sum to the last.
  DenseMap<Value, SlotLink *> next;
  llvm::DenseSet<Value> results;
  for (SlotLink &link : chain.links) {
    next[link.sum] = &link;
    results.insert(link.result);
  }
  Value start;
  for (SlotLink &link : chain.links) {
    bool isFirst = !results.contains(link.sum);
    if (isFirst && start)
      return refuse("their results are added up in more than one place");
    if (isFirst)
      start = link.sum;
  }
  // What is scattered into zeros needs no sum to begin with.
  if (Operation *first = start.getDefiningOp(); chain.inside.contains(first))
    if (auto link = matchIntoZeros(functions, first, start);
        link && link->order.ids == chain.decision.ids) {
      chain.links.push_back(*link);
      next.clear();
      for (SlotLink &each : chain.links)
        next[each.sum] = &each;
      start = link->sum;
    }
  int64_t groups = chain.decision.groups;
  // One link of all slots, or one for each group.
  bool isWhole = chain.links.size() == 1 && chain.links[0].order.group < 0;
  SmallVector<Value> updates(isWhole ? 1 : groups);
  SmallVector<SlotOrder> orders(updates.size());
  Value last = start;
  for (unsigned i = 0; i < chain.links.size(); ++i) {
    SlotLink *link = next.lookup(last);
    if (!link)
      return refuse("their results are not added up one after another");
    int64_t group = isWhole ? 0 : link->order.group;
    if (group < 0 || group >= groups || updates[group])
      return refuse("expert " + Twine(group) + " is there twice");
    updates[group] = link->updates;
    orders[group] = link->order;
    Operation *reader = nullptr;
    if (SlotLink *after = next.lookup(link->result))
      forEachUserBehindFloatCasts(link->result, [&](Operation *user) {
        if (user != after->result.getDefiningOp() &&
            (user->getNumResults() != 1 || !matchRowGather(user->getResult(0))))
          reader = user;
      });
    if (reader)
      return refuse("a sum of some of them is used by " + describe(reader));
    last = link->result;
  }
  completeExperts(chain, updates, orders, last.getLoc());
  RankedTensorType type = typeOf(last);
  if (!gate::computedIn(type.getElementType()).isF32() || type.getRank() != 2)
    return refuse("their sum is no tensor of f32, f16 or bf16 of rank 2");
  // [T, k], or [T] where a token has one.
  Value ids = chain.decision.ids;
  int64_t idDims = std::max<int64_t>(typeOf(ids).getRank() - 1, 1);
  if (!haveSameExtent(start, 0, ids, llvm::to_vector(llvm::seq(idDims))))
    return refuse("their sum is not known to have a row for each token");

  Operation *place = last.getDefiningOp();
  OpBuilder &b = graph.getBuilder();
  b.setInsertionPoint(place);
  graph.setNode(nodeName(chain.decision.ids), "experts", place->getLoc());
  Value weights =
      takeWeights(graph, functions, updates, chain.decision.choices, orders);
  ExpertBody body(graph, chain.decision, chain.inside, functions, orders);
  FailureOr<Value> slots =
      body.buildSlots(updates, 1, isWhole ? orders.front() : SlotOrder());
  if (failed(slots))
    return refuse(body.reason());
  Value combined = emitExperts(graph, chain, body, *slots, weights, report);
  RankedTensorType wide = type.clone(b.getF32Type());
  if (combined.getType() != wide)
    combined = tensor::CastOp::create(b, graph.getLoc(), wide, combined);
  if (!isZero(start)) {
    start = castFloats(b, graph.getLoc(), start, b.getF32Type());
    AffineMap identity = b.getMultiDimIdentityMap(2);
    Value init = tensor::EmptyOp::create(
        b, graph.getLoc(), tensor::getMixedSizes(b, graph.getLoc(), start),
        b.getF32Type());
    combined =
        linalg::GenericOp::create(
            b, graph.getLoc(), wide, ValueRange{start, combined}, init,
            SmallVector<AffineMap>(3, identity),
            SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
            [](OpBuilder &at, Location loc, ValueRange x) {
              linalg::YieldOp::create(
                  at, loc,
                  arith::AddFOp::create(at, loc, x[0], x[1]).getResult());
            })
            .getResult(0);
  }
  // A sum of f16 or bf16 is rounded here, and no earlier.
  combined = castFloats(b, graph.getLoc(), combined, type.getElementType());
  last.replaceAllUsesWith(combined);
  eraseCertainChecks(chain, functions, place);
  return true;
}
