// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts one after another: for each, the positions where its number was
// chosen (nonzero of a mask), rows gathered from there, its own ops, and the
// results added to a sum at the rows' places. How a graph adds them up is a
// tree, of which each scatter and each sum is a link.
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

/// The sum of two tensors of one shape.
static linalg::GenericOp matchAdd(Value value) {
  linalg::GenericOp add = matchBinary<arith::AddFOp>(value);
  return add && llvm::all_of(add.getIndexingMapsArray(),
                             [](AffineMap map) { return map.isIdentity(); })
             ? add
             : linalg::GenericOp();
}

/// The tensors that a sum over a dimension of a stack of them adds up.
static SmallVector<Value> matchStackSum(Operation *op) {
  std::optional<SumMatch> sum = matchSum(op);
  auto concat =
      sum ? withoutFloatCasts(sum->input).getDefiningOp<tensor::ConcatOp>()
          : tensor::ConcatOp();
  if (!concat || concat.getDim() != sum->axis)
    return {};
  SmallVector<Value> parts;
  RankedTensorType result = typeOf(op->getResult(0));
  for (Value input : concat.getInputs()) {
    auto apart = input.getDefiningOp<tensor::ExpandShapeOp>();
    if (!apart || !isOne(input, sum->axis) ||
        typeOf(apart.getSrc()).getShape() != result.getShape())
      return {};
    parts.push_back(apart.getSrc());
  }
  return parts;
}

/// A sum of others, or of others and what they start with.
static std::optional<SlotLink>
matchSumOfLinks(Operation *op, const llvm::DenseSet<Value> &known) {
  if (known.empty() || op->getNumResults() != 1)
    return std::nullopt;
  SlotLink link;
  link.result = op->getResult(0);
  // What is added to itself is no part of a sum.
  SmallVector<Value> addends = addendsOf(link.result, &link.numbers);
  llvm::DenseSet<Value> different(addends.begin(), addends.end());
  if (different.size() == addends.size())
    llvm::append_range(link.sums, addends);
  if (link.sums.empty()) {
    link.numbers.clear();
    llvm::append_range(link.sums, matchStackSum(op));
  }
  for (Value &sum : link.sums)
    sum = withoutFloatCasts(sum);
  return llvm::any_of(link.sums, [&](Value sum) { return known.contains(sum); })
             ? std::optional(link)
             : std::nullopt;
}

/// What a scatter makes of the rows of slots: it adds them; it writes back what
/// was read from the same places and added to; or it writes them to places that
/// nothing else is written to.
static std::optional<SlotLink> matchScatterLink(SlotFunctions &functions,
                                                const RowScatter &scatter) {
  SlotOrder order = functions.orderOf(scatter.indices);
  if (!isTokenOf(functions, scatter.indices, order))
    return std::nullopt;
  Value data = withoutFloatCasts(scatter.data);
  if (scatter.reduction == gate::Reduction::Add)
    return SlotLink{{data}, scatter.updates, {}, order};
  // A token is in a group once, and has one of all slots if it has one choice.
  bool hasOneChoice = SlotFunctions::choicesOf(order.ids) == 1;
  if (scatter.reduction != gate::Reduction::None ||
      (order.group < 0 && !hasOneChoice))
    return std::nullopt;
  linalg::GenericOp add = matchAdd(scatter.updates);
  for (unsigned side : {0u, 1u})
    if (add)
      if (auto read = matchRowGather(add.getDpsInputOperand(side)->get());
          read && read->data == scatter.data &&
          isTokenOf(functions, read->indices, order))
        return SlotLink{
            {data}, add.getDpsInputOperand(1 - side)->get(), {}, order};
  if (isZero(data))
    return SlotLink{{data}, scatter.updates, {}, order};
  if (hasOneChoice)
    return SlotLink{{data}, scatter.updates, {}, order, /*overwrites=*/true};
  return std::nullopt;
}

std::optional<SlotLink>
raise::matchSlotLink(SlotFunctions &functions, Operation *op,
                     const llvm::DenseSet<Value> &known) {
  std::optional<SlotLink> link;
  if (std::optional<RowScatter> scatter = matchRowScatter(op)) {
    link = matchScatterLink(functions, *scatter);
  } else if (isa<gate::GatherNDOp>(op)) {
    // Rows in the order of the tokens again.
    auto restored = functions.restoredRows(op->getResult(0));
    if (restored && SlotFunctions::choicesOf(restored->order.ids) == 1)
      link = SlotLink{{}, restored->rows, {}, restored->order};
  } else {
    link = matchSumOfLinks(op, known);
  }
  if (link)
    link->result = op->getResult(0);
  return link;
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

/// The matrix [T, E] of which `value` takes, for each slot of a group, the
/// element of its token and that group; null if it is something else.
static Value matrixBehind(SlotFunctions &functions, Value value,
                          const SlotOrder &order, int64_t choices) {
  auto gather = withoutReshapes(value).getDefiningOp<gate::GatherNDOp>();
  if (!gather || gather.getBatchDims() != 0 ||
      typeOf(gather.getIndices()).getShape().back() != 1 || order.group < 0 ||
      functions.orderOf(gather.getIndices()) != order ||
      functions.partOf(gather.getIndices(), 0, order, choices) !=
          SlotPart::Token)
    return {};
  auto column =
      withoutReshapes(gather.getData()).getDefiningOp<tensor::ExtractSliceOp>();
  if (!column || column.getSourceType().getRank() != 2 ||
      !gate::computedIn(column.getSourceType().getElementType()).isF32() ||
      !isConstantIntValue(column.getMixedOffsets()[0], 0) ||
      !isConstantIntValue(column.getMixedOffsets()[1], order.group) ||
      !isConstantIntValue(column.getMixedSizes()[1], 1) ||
      !isConstantIntValue(column.getMixedStrides()[0], 1) ||
      !isWholeSize(column.getMixedSizes()[0], column.getSource(), 0))
    return {};
  return column.getSource();
}

/// The elements of a matrix [T, E] at the ids of each row: [T, k].
static Value readChosen(GraphBuilder &graph, Value matrix,
                        const Decision &decision) {
  Value ids = decision.ids;
  int64_t idDims = std::max<int64_t>(typeOf(ids).getRank() - 1, 1);
  if (!haveSameExtent(matrix, 0, ids, llvm::to_vector(llvm::seq(idDims))) ||
      typeOf(matrix).getDimSize(1) != decision.groups)
    return {};
  return readAtIds(graph.getBuilder(), graph.getLoc(), matrix,
                   asChoices(graph, ids, decision.choices), /*batchDims=*/1);
}

/// Takes the factor that each slot has off the updates: the weights [T, k].
static Value takeWeights(GraphBuilder &graph, SlotFunctions &functions,
                         SmallVectorImpl<Value> &updates,
                         const Decision &decision, ArrayRef<SlotOrder> orders) {
  SmallVector<Value> inner;
  Value weights, matrix;
  for (auto [update, order] : llvm::zip_equal(updates, orders)) {
    linalg::GenericOp multiply =
        matchBinary<arith::MulFOp>(withoutFloatCasts(update));
    Value found, elements;
    for (unsigned side : {0u, 1u}) {
      if (!multiply || found || elements)
        break;
      OpOperand *factor = multiply.getDpsInputOperand(side),
                *work = multiply.getDpsInputOperand(1 - side);
      if (!multiply.getMatchingIndexingMap(work).isIdentity() ||
          !isOnePerRow(multiply, factor, 1))
        continue;
      elements =
          matrixBehind(functions, factor->get(), order, decision.choices);
      if (!elements)
        found = slotWeights(functions, factor->get(), order, decision.choices);
      if (found || elements)
        inner.push_back(work->get());
    }
    bool isFirst = inner.size() == 1;
    if (!(found || elements) ||
        (!isFirst && (weights != found || matrix != elements)))
      return Value();
    weights = found;
    matrix = elements;
  }
  Value taken = matrix ? readChosen(graph, matrix, decision) : weights;
  if (taken)
    updates = inner;
  return taken ? asChoices(graph, taken, decision.choices) : Value();
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

namespace {
/// The tree of a decision's links.
class LinkTree {
public:
  explicit LinkTree(ExpertWork &work);

  /// The one link whose result is the sum of all; null if there is none, if
  /// there is more than one, or if it adds up some twice.
  SlotLink *root() const {
    return isTree && roots.size() == 1 ? roots.front() : nullptr;
  }
  /// Whether all that is done is to write rows over others.
  bool isWritten() const {
    return llvm::all_of(members,
                        [](SlotLink *link) { return link->overwrites; });
  }
  /// What else than links is added up.
  ArrayRef<Value> starts() const { return others; }
  ArrayRef<FloatAttr> numbers() const { return constants; }
  /// What uses a sum of some links for something else, or null.
  Operation *otherUser() const;

private:
  DenseMap<Value, SlotLink *> links;
  DenseMap<Value, Operation *> parents;
  SmallVector<SlotLink *> roots, members;
  SmallVector<Value> others;
  SmallVector<FloatAttr> constants;
  bool isTree = true;
};
} // namespace

LinkTree::LinkTree(ExpertWork &work) {
  for (SlotLink &link : work.links)
    links[link.result] = &link;
  // A sum of one link and something else is part of the tree if it leads to
  // another link.
  for (SlotLink &link : llvm::reverse(work.links)) {
    unsigned parts = llvm::count_if(
        link.sums, [&](Value sum) { return links.contains(sum); });
    bool isRoot = !parents.contains(link.result);
    if (isRoot && !link.updates && parts < 2)
      continue;
    if (isRoot)
      roots.push_back(&link);
    members.push_back(&link);
    llvm::append_range(constants, link.numbers);
    for (Value sum : link.sums)
      if (links.contains(sum))
        isTree &= parents.try_emplace(sum, link.result.getDefiningOp()).second;
      else if (!isZero(sum))
        others.push_back(sum);
  }
}

Operation *LinkTree::otherUser() const {
  Operation *reader = nullptr;
  for (SlotLink *link : members) {
    Operation *parent = parents.lookup(link->result);
    if (!parent) // the root
      continue;
    forEachUserBehindFloatCasts(link->result, [&](Operation *user) {
      // Slots are put into a stack by views.
      while (user != parent && user->getNumResults() == 1 &&
             isa<tensor::ExpandShapeOp, tensor::ConcatOp>(user) &&
             user->getResult(0).hasOneUse())
        user = *user->getResult(0).user_begin();
      if (user != parent &&
          (user->getNumResults() != 1 || !matchRowGather(user->getResult(0))))
        reader = user;
    });
  }
  return reader;
}

bool raise::raiseLinks(GraphBuilder &graph, SlotFunctions &functions,
                       ExpertWork &chain, SmallVectorImpl<Attribute> &report) {
  auto refuse = [&](const Twine &reason) {
    chain.refusal = reason.str();
    return false;
  };
  LinkTree tree(chain);
  if (!tree.root())
    return refuse("their results are added up in more than one place");
  if (Operation *reader = tree.otherUser())
    return refuse("a sum of some of them is used by " + describe(reader));
  int64_t groups = chain.decision.groups;
  Value last = tree.root()->result;
  SmallVector<SlotLink *> links; // with updates
  for (SlotLink &link : chain.links)
    if (link.updates)
      links.push_back(&link);
  // One link of all slots, or one for each group.
  bool isWhole = links.size() == 1 && links[0]->order.group < 0;
  SmallVector<Value> updates(isWhole ? 1 : groups);
  SmallVector<SlotOrder> orders(updates.size());
  for (SlotLink *link : links) {
    int64_t group = isWhole ? 0 : link->order.group;
    if (group < 0 || group >= groups || updates[group])
      return refuse("expert " + Twine(group) + " is there twice");
    updates[group] = link->updates;
    orders[group] = link->order;
  }
  SmallVector<Value> starts(tree.starts());
  SmallVector<FloatAttr> numbers(tree.numbers());
  if (!(starts.empty() && numbers.empty()) &&
      llvm::any_of(links, [](SlotLink *link) { return link->overwrites; })) {
    // Rows of all groups are all rows: nothing is left of the start.
    if (!tree.isWritten() || llvm::is_contained(updates, Value()))
      return refuse("rows of some of them are written over others");
    starts.clear();
    numbers.clear();
  }
  completeExperts(chain, updates, orders, last.getLoc());
  RankedTensorType type = typeOf(last);
  if (!gate::computedIn(type.getElementType()).isF32() || type.getRank() != 2)
    return refuse("their sum is no tensor of f32, f16 or bf16 of rank 2");
  // [T, k], or [T] where a token has one.
  Value ids = chain.decision.ids;
  int64_t idDims = std::max<int64_t>(typeOf(ids).getRank() - 1, 1);
  if (!haveSameExtent(last, 0, ids, llvm::to_vector(llvm::seq(idDims))))
    return refuse("their sum is not known to have a row for each token");

  Operation *place = last.getDefiningOp();
  OpBuilder &b = graph.getBuilder();
  b.setInsertionPoint(place);
  graph.setNode(nodeName(chain.decision.ids), "experts", place->getLoc());
  Value weights =
      takeWeights(graph, functions, updates, chain.decision, orders);
  ExpertBody body(graph, chain.decision, chain.inside, functions, orders);
  FailureOr<Value> slots =
      body.buildSlots(updates, 1, isWhole ? orders.front() : SlotOrder());
  if (failed(slots))
    return refuse(body.reason());
  Value combined = emitExperts(graph, chain, body, *slots, weights, report);
  RankedTensorType wide = type.clone(b.getF32Type());
  if (combined.getType() != wide)
    combined = tensor::CastOp::create(b, graph.getLoc(), wide, combined);
  AffineMap identity = b.getMultiDimIdentityMap(2);
  for (FloatAttr number : numbers) {
    Value scalar = arith::ConstantOp::create(
        b, graph.getLoc(), b.getF32FloatAttr(float(number.getValueAsDouble())));
    Value all = tensor::EmptyOp::create(
        b, graph.getLoc(), tensor::getMixedSizes(b, graph.getLoc(), combined),
        b.getF32Type());
    starts.push_back(
        linalg::FillOp::create(b, graph.getLoc(), scalar, all).getResult(0));
  }
  for (Value start : starts) {
    start = castFloats(b, graph.getLoc(), start, b.getF32Type());
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
