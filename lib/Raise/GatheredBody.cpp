// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Takes gathered weights for the weights of the expert that a row's id names,
// and what is no such work for rows.
#include "GatheredBody.h"

#include "ExpertWork.h"
#include "FloatCasts.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How many views and broadcasts may lie between weights and their gather.
static constexpr unsigned kMaxMoves = 64;

static bool areTokens(const Axes &axes) {
  return llvm::all_of(
      axes, [](const Axis &axis) { return axis.kind == Axis::Token; });
}

bool GatheredBody::isWork(const Lanes &lanes) {
  Operation *op = lanes.front().getDefiningOp();
  return lanes.isPerExpert() || (op && inside.contains(op));
}

std::optional<Lanes> GatheredBody::stackOf(const Lanes &lanes) {
  std::optional<RowGather> gather =
      matchRowGather(withoutWidening(lanes.front()));
  if (!gather || withoutViews(gather->indices) != decided ||
      !graph.isConstant(gather->data) ||
      typeOf(gather->data).getDimSize(0) != experts)
    return std::nullopt;
  unsigned count = typeOf(gather->indices).getRank() - 1;
  ArrayRef<Axes> dims = lanes.dims;
  if (!llvm::all_of(dims.take_front(count), areTokens))
    return std::nullopt;
  // The same ids in the shape that they were decided in.
  Lanes chosen{{gather->indices}, llvm::to_vector(dims.take_front(count))};
  chosen.dims.push_back({});
  while (chosen.front() != decided) {
    Columns none;
    bool isView = !chosen.front().getDefiningOp<linalg::GenericOp>();
    std::optional<Lanes> source =
        isView ? movedFrom(chosen, none)
               : std::optional(chosen.operand(0, chosen.dims));
    if (!source)
      return std::nullopt;
    chosen = *source;
  }
  if (ids.values.empty())
    ids = chosen;
  else if (!llvm::equal(ids.dims, chosen.dims, areSameAxes))
    return std::nullopt;
  Lanes stack{{gather->data}, {Axes{Axis{Axis::Expert, experts}}}};
  stack.dims.append(dims.begin() + count, dims.end());
  return stack;
}

std::optional<Lanes> GatheredBody::weightSource(const Lanes &lanes,
                                                Columns &columns) {
  if (std::optional<Lanes> stack = stackOf(lanes))
    return stack;
  // Weights may be repeated for rows that have the same ones.
  return movedFrom(lanes, columns, /*keepsTokens=*/false);
}

bool GatheredBody::areWeights(const Lanes &lanes) {
  if (!lanes.has(Axis::Token))
    return true;
  Lanes source = lanes;
  for (unsigned step = 0; step < kMaxMoves && isWork(source); ++step) {
    if (stackOf(source))
      return true;
    Columns any{0, 1, 1};
    std::optional<Lanes> next = movedFrom(source, any, /*keepsTokens=*/false);
    if (!next)
      return false;
    source = *next;
  }
  return false;
}

FailureOr<Value> GatheredBody::buildNew(const Lanes &lanes, Columns columns) {
  if (isWork(lanes)) {
    FailureOr<Value> built = buildWork(lanes, columns);
    // What does not keep rows apart is made outside.
    if (succeeded(built) || lanes.isPerExpert())
      return built;
  }
  return buildRows(lanes, columns);
}

Value GatheredBody::rowIds() {
  if (ids.values.empty())
    return {};
  Value value = ids.rowDims() ? ids.front() : spread(ids);
  return value ? asChoices(graph, value, 1) : Value();
}
