// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts whose results stay apart: a row's weights are gathered, or its result
// is read from those of all experts, and no sum over its choices follows.
//   before: %w = gather_nd %stack, %ids; %y = %x * %w
//   after:  %p = assign %ids; apply %p { contract }; combine
// Each choice of a token is a row of the plan, so that combine only moves.
#include "ExpertWork.h"
#include "GatheredBody.h"
#include "IndexLanes.h"
#include "RowCost.h"
#include "RowSelection.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How far behind a product its bias is looked for.
static constexpr unsigned kMaxSteps = 16;

/// Emits what was built for the rows of an op's result, which it replaces.
static void emitRows(GraphBuilder &graph, ExpertWork &work, GatheredBody &body,
                     Value slots, Value ids, RowShape shape,
                     SmallVectorImpl<Attribute> &report) {
  Value combined = emitExperts(
      graph, work, ids, /*weights=*/{}, body.getProducts(),
      [&](Value plan) { return body.getRegion().finish(plan, slots); }, report);
  shape.result().replaceAllUsesWith(restoreShape(graph, combined, shape));
}

//===-- Gathered weights --------------------------------------------------===//

/// Whether an operand of an op is gathered from a constant by the ids of the
/// work: a bias for each row.
static bool readsGathered(linalg::GenericOp op, const ExpertWork &work) {
  return llvm::any_of(op.getDpsInputs(), [&](Value operand) {
    std::optional<RowGather> gather = matchRowGather(withoutReshapes(operand));
    return gather &&
           withoutViews(gather->indices) == withoutViews(work.decision.ids);
  });
}

/// The op that adds the last gathered bias to a product, or the product.
static linalg::GenericOp endOf(linalg::GenericOp product,
                               const ExpertWork &work) {
  linalg::GenericOp end = product;
  Value value = product.getResult(0);
  for (unsigned step = 0; step < kMaxSteps && value.hasOneUse(); ++step) {
    Operation *user = *value.getUsers().begin();
    auto generic = dyn_cast<linalg::GenericOp>(user);
    if (generic ? !isElementwise(generic)
                : !isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp,
                       linalg::TransposeOp>(user))
      break;
    if (generic && readsGathered(generic, work))
      end = generic;
    value = user->getResult(0);
  }
  return end;
}

/// Raises the work up to the result of `end`, and notes its products.
static bool raiseUpTo(GraphBuilder &graph, ExpertWork &work,
                      linalg::GenericOp end,
                      llvm::DenseSet<Operation *> &raised,
                      SmallVectorImpl<Attribute> &report) {
  std::optional<RowShape> shape = rowShapeOf(end);
  if (!shape)
    return false;
  graph.getBuilder().setInsertionPoint(end);
  graph.setNode(nodeName(work.decision.ids), "experts", end.getLoc());
  GatheredBody body(graph, work.decision.groups, *shape,
                    withoutViews(work.decision.ids), work.inside);
  FailureOr<Value> slots = body.build(shape->lanes());
  Value ids;
  if (succeeded(slots) && !body.getProducts().empty())
    ids = body.rowIds();
  if (!ids) {
    if (work.refusal.empty())
      work.refusal = body.reason();
    return false;
  }
  emitRows(graph, work, body, *slots, ids, *shape, report);
  raised.insert_range(body.getProducts());
  return true;
}

bool raise::raiseGathered(GraphBuilder &graph, ExpertWork &work,
                          SmallVectorImpl<Attribute> &report) {
  llvm::DenseSet<Operation *> raised;
  // The last product first: those before it may be part of the same work.
  for (Operation *op : llvm::reverse(work.products)) {
    auto product = cast<linalg::GenericOp>(op);
    if (raised.contains(op) || product.getResult(0).use_empty())
      continue;
    linalg::GenericOp end = endOf(product, work);
    if (!raiseUpTo(graph, work, end, raised, report) && end != product)
      raiseUpTo(graph, work, product, raised, report);
  }
  return !raised.empty();
}

//===-- Results of all experts --------------------------------------------===//

namespace {
/// A read from the results of all experts, and the ids along its result.
struct ResultRead {
  Lanes results, ids;
  int64_t experts = 0;
};
} // namespace

/// Reads one coordinate, in dimension `dim` of the results.
static bool readCoordinate(ResultRead &read,
                           const std::optional<IndexLanes> &index,
                           unsigned dim) {
  if (!index)
    return false;
  Value results = read.results.front();
  if (!index->tokens.empty()) {
    if (index->tokens.size() != 1)
      return false;
    const Axis &axis = index->tokens.front();
    read.results.dims[dim] = index->tokens;
    return axis.kind == Axis::Token &&
           haveSameExtent(results, dim, axis.tensor, axis.dim);
  }
  int64_t experts = typeOf(results).getDimSize(dim);
  if (read.experts != 0 || ShapedType::isDynamic(experts) || experts < 2)
    return false;
  read.experts = experts;
  read.ids = index->ids;
  read.results.dims[dim] = {Axis{Axis::Expert, experts}};
  return true;
}

/// Reads a number for each row as the coordinates in the dimensions that the
/// results' first one was collapsed from.
static bool readFlatCoordinates(ResultRead &read, const Lanes &indices) {
  auto view = read.results.front().getDefiningOp<tensor::CollapseShapeOp>();
  Columns columns{0, 1, 1};
  std::optional<Lanes> source =
      view ? movedFrom(read.results, columns) : std::nullopt;
  if (!source)
    return false;
  SmallVector<int64_t> dims;
  SmallVector<ReassociationIndices> groups = view.getReassociationIndices();
  for (int64_t dim : groups.front())
    if (view.getSrcType().getDimSize(dim) != 1)
      dims.push_back(dim);
  std::optional<SmallVector<IndexLanes, 0>> index =
      readFlatIndex(indices, view.getSrc(), dims);
  if (!index)
    return false;
  ResultRead flat{*source, {}};
  for (auto [dim, coordinate] : llvm::zip_equal(dims, *index))
    if (!readCoordinate(flat, coordinate, dim))
      return false;
  read = flat;
  return true;
}

static std::optional<ResultRead> matchResultRead(Operation *op,
                                                 ArrayRef<Axes> dims) {
  ResultRead read;
  bool isRead = false;
  if (std::optional<ElementRead> elements = matchElementRead(op)) {
    read.results = {{elements->data}, llvm::to_vector(dims)};
    Lanes indices{{elements->indices}, llvm::to_vector(dims)};
    isRead =
        readCoordinate(read, readIndex(indices, {0, 1, 1}), elements->axis);
  } else if (auto gather = dyn_cast<gate::GatherNDOp>(op)) {
    unsigned rows = typeOf(gather.getIndices()).getRank() - 1,
             batch = gather.getBatchDims();
    int64_t count = typeOf(gather.getIndices()).getShape().back();
    Lanes indices{{gather.getIndices()},
                  llvm::to_vector(dims.take_front(rows))};
    indices.dims.push_back({Axis{Axis::Column, count}});
    if (count == 1)
      indices.dims.back().clear();
    read.results = {{gather.getData()},
                    llvm::to_vector(dims.take_front(batch))};
    read.results.dims.resize(batch + count);
    read.results.dims.append(dims.begin() + rows, dims.end());
    isRead = batch == 0 && count == 1 && readFlatCoordinates(read, indices);
    if (!isRead) {
      isRead = true;
      for (int64_t column = 0; column < count && isRead; ++column)
        isRead = readCoordinate(read, readIndex(indices, {column, 1, 1}),
                                batch + column);
    }
  }
  return isRead && read.experts != 0 && read.results.has(Axis::Token) &&
                 read.results.has(Axis::Column)
             ? std::optional(read)
             : std::nullopt;
}

bool raise::raiseResultRead(GraphBuilder &graph, Operation *op,
                            SmallVectorImpl<Attribute> &report) {
  // Rows of a constant are weights or embeddings.
  auto gather = dyn_cast<gate::GatherNDOp>(op);
  if ((!gather && !isa<linalg::GenericOp>(op)) || op->getNumResults() != 1 ||
      (gather && graph.isConstant(gather.getData())))
    return false;
  std::optional<RowShape> shape = rowShapeOf(op);
  std::optional<ResultRead> read =
      shape ? matchResultRead(op, shape->dims) : std::nullopt;
  if (!read)
    return false;
  Value decided = read->ids.front();
  graph.getBuilder().setInsertionPoint(op);
  graph.setNode(nodeName(decided), "experts", op->getLoc());
  ExpertWork work;
  work.decision = {decided, SlotFunctions::choicesOf(decided), read->experts};
  GatheredBody body(graph, read->experts, *shape, /*decided=*/{}, work.inside);
  body.setIds(read->ids);
  FailureOr<Value> slots = body.build(read->results);
  if (failed(slots) || body.getProducts().empty())
    return false;
  Value ids = body.rowIds();
  if (!ids)
    return false;
  emitRows(graph, work, body, *slots, ids, *shape, report);
  return true;
}
