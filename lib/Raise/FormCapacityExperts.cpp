// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds experts with room for C rows each, which products with masks [T, E, C]
// fill with tokens and empty again.
//   before: %r[e, c] = sum over t of %mask[t, e, c] * %x[t]
//           %y[t] = sum over e, c of %w[t, e, c] * f_e(%r[e, c])
//   after:  %p = assign ids weights; apply %p { f }; combine
// A product that sums over what was [E, C] begins a candidate; its work is
// followed to the product that sums over tokens.
#include "CapacityExperts.h"
#include "ExpertWork.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "SlotIndex.h"
#include "gatecc/Raise/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/FormatVariadic.h"

namespace gatecc {
#define GEN_PASS_DEF_FORMCAPACITYEXPERTS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How many views are between a tensor and what it was joined from.
static constexpr unsigned kMaxViews = 32;

/// Two neighbouring dimensions that have become one.
namespace {
struct JoinedDims {
  Value tensor;
  int64_t first, second;
};
} // namespace

static std::optional<JoinedDims> findJoinedDims(Value value, int64_t dim) {
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

/// Whether an operand is [what the product sums over, columns].
static bool hasColumnsAlone(AffineMap map, unsigned reduced,
                            ArrayRef<Axes> loops) {
  if (map.getNumResults() != 2 ||
      map.getResult(0) != getAffineDimExpr(reduced, map.getContext()))
    return false;
  auto column = dyn_cast<AffineDimExpr>(map.getResult(1));
  return column && loops[column.getPosition()].size() == 1 &&
         loops[column.getPosition()][0].kind == Axis::Column;
}

/// All tokens, or all places, along a dimension.
static Axis wholeAxis(Axis::Kind kind, Value tensor, int64_t dim) {
  return {kind, typeOf(tensor).getDimSize(dim), 0, kAllTokens, tensor, dim};
}

namespace {
class CapacityFinder {
public:
  CapacityFinder(GraphBuilder &graph, SmallVectorImpl<Attribute> &report,
                 bool assumeFinite)
      : graph(graph), report(report), norms(graph.getModule()),
        assumeFinite(assumeFinite) {}

  void run(Block &block);

private:
  std::optional<CapacityExperts> matchCombine(linalg::GenericOp op);
  /// The tokens that `rows` of experts and places were sent from, by one
  /// product; null if that is none.
  Value matchDispatch(const Lanes &rows, CapacityExperts &found);
  /// What takes the place of the result, or null.
  Value tryRoot(linalg::GenericOp op);
  ArrayAttr productNames(DenseBody &body);
  void refuse(DenseBody &body, const Twine &reason);

  GraphBuilder &graph;
  SmallVectorImpl<Attribute> &report;
  WeightNorms norms;
  bool assumeFinite;
};
} // namespace

std::optional<CapacityExperts>
CapacityFinder::matchCombine(linalg::GenericOp op) {
  std::optional<RowShape> shape = rowShapeOf(op);
  std::optional<ProductMatch> product =
      shape ? matchProduct(shape->result()) : std::nullopt;
  if (!product || typeOf(shape->result()).getRank() != 2 ||
      !typeOf(shape->result()).getElementType().isF32())
    return std::nullopt;
  std::optional<SmallVector<Axes>> loops = loopAxes(op, shape->lanes());
  if (!loops)
    return std::nullopt;
  for (unsigned side : {0u, 1u}) {
    AffineMap map = side == 0 ? product->aMap : product->bMap,
              other = side == 0 ? product->bMap : product->aMap;
    Value work = side == 0 ? product->a : product->b;
    if (!hasColumnsAlone(map, product->reduced, *loops))
      continue;
    std::optional<JoinedDims> joined = findJoinedDims(work, 0);
    int64_t experts =
        joined ? typeOf(joined->tensor).getDimSize(joined->first) : 0;
    if (!joined || ShapedType::isDynamic(experts) || experts < 2)
      return std::nullopt;
    CapacityExperts found;
    found.experts = experts;
    found.combine = op;
    found.shape = *shape;
    found.workSide = side;
    SmallVector<Axes> parts = *loops;
    parts[product->reduced] = {
        Axis{Axis::Expert, experts},
        wholeAxis(Axis::Slot, joined->tensor, joined->second)};
    auto weightDims = axesOf(other, parts);
    // To experts, places are what tokens are elsewhere.
    parts[product->reduced][1].kind = Axis::Token;
    auto workDims = axesOf(map, parts);
    if (!weightDims || !workDims)
      return std::nullopt;
    found.weights = {{side == 0 ? product->b : product->a}, *weightDims};
    found.work = {{work}, *workDims};
    return found;
  }
  return std::nullopt;
}

Value CapacityFinder::matchDispatch(const Lanes &rows, CapacityExperts &found) {
  std::optional<ProductMatch> product =
      rows.values.size() == 1 ? matchProduct(rows.front()) : std::nullopt;
  if (!product)
    return {};
  auto op = rows.front().getDefiningOp<linalg::GenericOp>();
  if (found.dispatch)
    return found.dispatch == op ? found.tokens : Value();
  // Experts, places, columns: the order of the rows of a plan.
  SmallVector<Axis> order;
  unsigned rowDims = 0;
  for (auto [dim, axes] : llvm::enumerate(rows.dims)) {
    order.append(axes.begin(), axes.end());
    if (order.size() == 2)
      rowDims = dim + 1;
  }
  if (order.size() != 3 || rowDims == 0 || order[0].kind != Axis::Expert ||
      order[1].kind != Axis::Token || order[2].kind != Axis::Column ||
      order[1].first != 0 || order[1].last != kAllTokens)
    return {};
  std::optional<SmallVector<Axes>> loops = loopAxes(op, rows);
  if (!loops)
    return {};
  for (unsigned side : {0u, 1u}) {
    AffineMap map = side == 0 ? product->aMap : product->bMap,
              other = side == 0 ? product->bMap : product->aMap;
    Value tokens = side == 0 ? product->a : product->b;
    if (!hasColumnsAlone(map, product->reduced, *loops) ||
        typeOf(tokens).isDynamicDim(1))
      continue;
    for (Axes &axes : *loops)
      for (Axis &axis : axes)
        if (axis.kind == Axis::Token)
          axis.kind = Axis::Slot;
    (*loops)[product->reduced] = {wholeAxis(Axis::Token, tokens, 0)};
    auto dims = axesOf(other, *loops);
    if (!dims)
      return {};
    Lanes mask{{side == 0 ? product->b : product->a}, *dims};
    if (!mask.has(Axis::Expert) || !mask.has(Axis::Slot) ||
        !haveSameExtent(tokens, 0, found.combine.getResult(0), 0))
      return {};
    found.dispatch = op;
    found.dispatchRows = rowDims;
    found.mask = std::move(mask);
    return found.tokens = tokens;
  }
  return {};
}

ArrayAttr CapacityFinder::productNames(DenseBody &body) {
  SmallVector<StringRef> nodes;
  for (Operation *op : body.getProducts())
    if (StringRef name = nodeName(op->getLoc());
        !name.empty() && !llvm::is_contained(nodes, name))
      nodes.push_back(name);
  return graph.getBuilder().getStrArrayAttr(nodes);
}

static std::string describeMask(Value mask) {
  Operation *op = withoutViews(mask).getDefiningOp();
  return op ? describe(op) : "that is an input";
}

void CapacityFinder::refuse(DenseBody &body, const Twine &reason) {
  report.push_back(reportEntry(
      graph.getContext(), "", "experts", productNames(body), "refused",
      ("experts with room for a number of rows each: " + reason).str()));
}

Value CapacityFinder::tryRoot(linalg::GenericOp op) {
  std::optional<CapacityExperts> match = matchCombine(op);
  if (!match)
    return {};
  CapacityExperts &found = *match;
  graph.getBuilder().setInsertionPoint(op);
  graph.setNode(nodeName(op.getLoc()), "experts", op.getLoc());
  DenseBody body(graph, found.experts, found.shape);
  body.setDispatched(
      [&](const Lanes &rows) { return matchDispatch(rows, found); });
  FailureOr<Value> slots = body.build(found.work);
  // Products of something else are everywhere.
  if (!found.dispatch || body.getProducts().empty())
    return {};
  if (failed(slots)) {
    refuse(body, body.reason());
    return {};
  }
  ArrayRef<Value> inputs = body.getRegion().getInputs();
  if (inputs.size() != 1 || inputs.front() != found.tokens) {
    refuse(body, "they read something else than the rows of tokens, too");
    return {};
  }
  CapacityMask masks(found.experts);
  for (const Lanes &mask : {found.mask, found.weights}) {
    std::optional<Cells> cells = masks.cellsOf(mask);
    if (!cells) {
      refuse(body, "the mask " + describeMask(mask.front()) +
                       " is not known to hold one place of one expert for "
                       "each choice of a token, and zeros");
      return {};
    }
    for (const Cell &cell : *cells)
      if (!llvm::is_contained(found.cells, cell))
        found.cells.push_back(cell);
  }
  std::string reason;
  std::optional<RowGuard> guard =
      findGuard(body, *slots, /*isWeighted=*/true, norms, assumeFinite, reason);
  if (!guard || found.cells.empty()) {
    refuse(body, guard ? "no row goes anywhere" : Twine(reason));
    return {};
  }
  std::optional<double> limit = guard->limits.front();
  ArrayRef<Value> factors = masks.getFactors();
  if (assumeFinite)
    factors = {};
  graph.setNode(nodeName(found.cells.front().expert->lanes.front()), "experts",
                op.getLoc());
  FlatSymbolRefAttr symbol =
      graph.site("experts", SmallVector<double>(found.experts, 1.0),
                 double(found.experts));
  Value sum = emitCapacity(graph, found, masks, body.getRegion(), *slots, limit,
                           factors, symbol);
  if (!sum) {
    refuse(body, "an element of a mask cannot be computed without the others");
    return {};
  }
  auto site = graph.getModule().lookupSymbol<gate::SiteOp>(symbol.getAttr());
  site.setNodesAttr(productNames(body));
  std::string tests = "two rows in one place, a row that is sent in part";
  if (limit)
    tests +=
        llvm::formatv(", an input that is NaN or larger than {0:e2}", *limit)
            .str();
  if (!factors.empty())
    tests += llvm::formatv(", a weight that is NaN or larger than {0:e2}",
                           CapacityMask::kFactorLimit)
                 .str();
  report.push_back(reportEntry(
      graph.getContext(), site.getName(), "experts", site.getNodesAttr(),
      "taken",
      llvm::formatv("by {2}: a row runs those of its {0} experts "
                    "that have room for it, which depends on the batch; a "
                    "batch with {1} is multiplied with the masks",
                    found.cells.size(), tests,
                    assumeFinite ? "--assume-finite and a test of all rows"
                                 : "test of all rows")
          .str()));
  return sum;
}

void CapacityFinder::run(Block &block) {
  SmallVector<Value> raised;
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator())) {
    auto product = dyn_cast<linalg::GenericOp>(op);
    Value sum = product && !op.use_empty() ? tryRoot(product) : Value();
    if (!sum)
      continue;
    raised.push_back(sum);
    Value result = product.getResult(0);
    if (sum.getType() != result.getType())
      sum = tensor::CastOp::create(graph.getBuilder(), graph.getLoc(),
                                   result.getType(), sum);
    result.replaceAllUsesWith(sum);
  }
  if (raised.empty())
    return;
  // The masks are needed where they are multiplied with, and nowhere else.
  GraphBuilder::eraseUnused(block);
  for (Value sum : raised)
    sinkInto(sum.getDefiningOp<scf::IfOp>().getThenRegion().front());
}

namespace {
struct FormCapacityExperts
    : gatecc::impl::FormCapacityExpertsBase<FormCapacityExperts> {
  using FormCapacityExpertsBase::FormCapacityExpertsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    findExperts(module, [&](GraphBuilder &graph, Block &block) {
      CapacityFinder(graph, report, assumeFinite).run(block);
    });
    writeReport(module, report);
  }
};
} // namespace
