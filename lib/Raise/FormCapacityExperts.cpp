// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds experts with room for C rows each, which products with masks [T, E, C]
// fill with tokens and empty again.
//   before: %r[e, c] = sum over t of %mask[t, e, c] * %x[t]
//           %y[t] = sum over e, c of %w[t, e, c] * f_e(%r[e, c])
//   after:  %p = assign ids weights; apply %p { f }; combine
// A product that sums over what was [E, C] begins a candidate; its work is
// followed to the product that sums over tokens. So does a gather of rows,
// whose work is followed to the scatter that filled the places, and a scatter,
// for rows that experts have chosen.
#include "CapacityExperts.h"
#include "CapacitySlots.h"
#include "ExpertChoice.h"
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

namespace {
class CapacityFinder {
public:
  CapacityFinder(GraphBuilder &graph, SmallVectorImpl<Attribute> &report,
                 bool assumeFinite)
      : graph(graph), report(report), norms(graph.getModule()),
        assumeFinite(assumeFinite) {}

  void run(Block &block);

private:
  /// What takes the place of the result, as rows, or null.
  Value tryProduct(linalg::GenericOp op);
  /// The same for rows that are gathered; `root` is then what is replaced.
  Value trySlots(Operation *op, bool joins, Operation *&root);
  /// Gives an op that scatters rows of experts those of a plan.
  void tryScatteredRows(Operation *op);
  /// The slots of the experts' work on rows of `tokens`, or null.
  Value build(DenseBody &body, const Lanes &work, const Value &tokens);
  gate::SiteOp makeSite(DenseBody &body, Value name, int64_t experts,
                        Location loc);
  void take(DenseBody &body, gate::SiteOp site, size_t choices, StringRef tests,
            StringRef otherwise);
  /// Rows [T, F] in another shape.
  Value inShape(RankedTensorType type, ArrayRef<OpFoldResult> sizes,
                Value rows);
  ArrayAttr productNames(DenseBody &body);
  void refuse(DenseBody &body, const Twine &reason);

  GraphBuilder &graph;
  SmallVectorImpl<Attribute> &report;
  WeightNorms norms;
  DenseSet<Operation *> raisedReads;
  bool assumeFinite;
};
} // namespace

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

Value CapacityFinder::build(DenseBody &body, const Lanes &work,
                            const Value &tokens) {
  FailureOr<Value> slots = body.build(work);
  // Products of something else are everywhere.
  if (!tokens || body.getProducts().empty())
    return {};
  if (failed(slots)) {
    refuse(body, body.reason());
    return {};
  }
  ArrayRef<Value> inputs = body.getRegion().getInputs();
  if (inputs.size() != 1 || inputs.front() != tokens) {
    refuse(body, "they read something else than the rows of tokens, too");
    return {};
  }
  // One layer between two products (attentions, say) is no experts.
  return body.getRegion().getParams().empty() ? Value() : *slots;
}

gate::SiteOp CapacityFinder::makeSite(DenseBody &body, Value name,
                                      int64_t experts, Location loc) {
  graph.setNode(nodeName(name), "experts", loc);
  FlatSymbolRefAttr symbol =
      graph.site("experts", SmallVector<double>(experts, 1.0), double(experts));
  auto site = graph.getModule().lookupSymbol<gate::SiteOp>(symbol.getAttr());
  site.setNodesAttr(productNames(body));
  return site;
}

void CapacityFinder::take(DenseBody &body, gate::SiteOp site, size_t choices,
                          StringRef tests, StringRef otherwise) {
  report.push_back(reportEntry(
      graph.getContext(), site.getName(), "experts", site.getNodesAttr(),
      "taken",
      llvm::formatv("by {0}: a row runs those of its {1} experts "
                    "that have room for it, which depends on the batch; a "
                    "batch with {2} {3}",
                    assumeFinite ? "--assume-finite and a test of all rows"
                                 : "test of all rows",
                    choices, tests, otherwise)
          .str()));
}

/// What a test of inputs asks for.
static std::string describeLimit(std::optional<double> limit) {
  return limit ? llvm::formatv(", an input that is NaN or larger than {0:e2}",
                               *limit)
                     .str()
               : "";
}

Value CapacityFinder::tryProduct(linalg::GenericOp op) {
  std::optional<CapacityExperts> match = matchCombine(op);
  if (!match)
    return {};
  CapacityExperts &found = *match;
  graph.getBuilder().setInsertionPoint(op);
  graph.setNode(nodeName(op.getLoc()), "experts", op.getLoc());
  CapacityBody body(graph, found);
  body.setDispatched(
      [&](const Lanes &rows) { return matchDispatch(graph, rows, found); });
  Value slots = build(body, found.work, found.tokens);
  if (!slots)
    return {};
  CapacityMask masks(found.experts);
  for (const Lanes &mask : {found.mask, found.weights}) {
    std::optional<Cells> cells = masks.cellsOf(mask, found.place.has_value());
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
      findGuard(body, slots, /*isWeighted=*/true, norms, assumeFinite, reason);
  if (!guard || found.cells.empty()) {
    refuse(body, guard ? "no row goes anywhere" : Twine(reason));
    return {};
  }
  std::optional<double> limit = guard->limits.front();
  ArrayRef<Value> factors = masks.getFactors();
  if (assumeFinite)
    factors = {};
  gate::SiteOp site = makeSite(body, found.cells.front().expert->lanes.front(),
                               found.experts, op.getLoc());
  Value sum = emitMaskedCapacity(graph, found, masks, body.getRegion(), slots,
                                 limit, factors, FlatSymbolRefAttr::get(site));
  if (!sum) {
    refuse(body, "an element of a mask cannot be computed without the others");
    return {};
  }
  std::string tests = "two rows in one place, a row that is sent in part" +
                      describeLimit(limit);
  if (!factors.empty())
    tests += llvm::formatv(", a weight that is NaN or larger than {0:e2}",
                           CapacityMask::kFactorLimit)
                 .str();
  take(body, site, found.cells.size(), tests, "is multiplied with the masks");
  return sum;
}

Value CapacityFinder::trySlots(Operation *op, bool joins, Operation *&root) {
  std::optional<CapacitySlots> match = matchSlotReads(op, joins);
  // What has been raised is still there, for nothing.
  if (!match || raisedReads.contains(op))
    return {};
  CapacitySlots &found = *match;
  // The sum of choices is found with the rows: before it there is nothing that
  // it needs but its own init.
  graph.getBuilder().setInsertionPoint(found.root());
  graph.setNode(nodeName(op->getLoc()), "experts", op->getLoc());
  DenseBody body(graph, found.experts, {op, {}, 0});
  body.setDispatched(
      [&](const Lanes &rows) { return matchSlotWrites(graph, rows, found); });
  Value slots = build(body, found.work, found.tokens);
  if (!slots)
    return {};
  std::string reason;
  std::optional<RowGuard> guard =
      findGuard(body, slots, /*isWeighted=*/true, norms, assumeFinite, reason);
  if (!guard) {
    refuse(body, reason);
    return {};
  }
  root = found.root();
  graph.getBuilder().setInsertionPoint(root);
  gate::SiteOp site =
      makeSite(body, withoutViews(found.writes[found.own.front()].indices),
               found.experts, op->getLoc());
  std::optional<double> limit = guard->limits.front();
  Value sum = emitSlots(graph, found, body.getRegion(), slots, limit,
                        FlatSymbolRefAttr::get(site));
  if (!sum) {
    refuse(body, "the number of places is not known where rows are read");
    return {};
  }
  for (const SlotRead &read : found.reads)
    raisedReads.insert(read.read);
  take(body, site, found.choices * found.reads.size(),
       "two rows in one place, a row that is sent in part, a row that reads "
       "another one's place" +
           describeLimit(limit),
       "is scattered and gathered");
  return sum;
}

void CapacityFinder::tryScatteredRows(Operation *op) {
  std::optional<CapacityExperts> found = matchScatteredRows(op);
  if (!found)
    return;
  graph.getBuilder().setInsertionPoint(op);
  graph.setNode(nodeName(op->getLoc()), "experts", op->getLoc());
  CapacityBody body(graph, *found);
  DenseSet<Value> chosen;
  body.setDispatched([&](const Lanes &rows) {
    Value value = matchChosenRows(graph, rows, *found);
    if (value)
      chosen.insert(value);
    return value;
  });
  Value updates = found->work.front();
  FailureOr<Value> slots = body.build(found->work);
  if (chosen.empty() || body.getProducts().empty())
    return;
  if (failed(slots)) {
    refuse(body, body.reason());
    return;
  }
  if (!llvm::all_of(body.getRegion().getInputs(),
                    [&](Value input) { return chosen.contains(input); })) {
    refuse(body,
           "they read something else than the rows that were chosen, too");
    return;
  }
  // What each sequence of a batch chose is work of one and the same layer.
  if (body.getRegion().getParams().empty())
    return;
  gate::SiteOp site = makeSite(body, updates, found->experts, op->getLoc());
  Value rows = emitChosenRows(graph, *found, body.getRegion(), *slots,
                              FlatSymbolRefAttr::get(site));
  report.push_back(reportEntry(
      graph.getContext(), site.getName(), "experts", site.getNodesAttr(),
      "taken", "each expert chose its rows, which depends on the batch"));
  RankedTensorType type = typeOf(updates);
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(
      graph.getBuilder(), op->getLoc(), matchRowScatter(op)->indices);
  sizes.back() = graph.getBuilder().getIndexAttr(type.getShape().back());
  op->replaceUsesOfWith(updates, inShape(type, sizes, rows));
}

Value CapacityFinder::inShape(RankedTensorType type,
                              ArrayRef<OpFoldResult> sizes, Value rows) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  int64_t columns = type.getRank() - 1;
  if (columns > 1) {
    SmallVector<ReassociationIndices> groups{
        llvm::to_vector<2>(llvm::seq<int64_t>(0, columns)), {columns}};
    RankedTensorType flat =
        tensor::CollapseShapeOp::inferCollapsedType(type, groups);
    rows = tensor::CastOp::create(b, loc, flat, rows);
    return tensor::ExpandShapeOp::create(b, loc, type, rows, groups, sizes);
  }
  return rows.getType() == type
             ? rows
             : tensor::CastOp::create(b, loc, type, rows).getResult();
}

void CapacityFinder::run(Block &block) {
  SmallVector<Value> raised;
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator())) {
    if (op.use_empty())
      continue;
    Operation *root = &op;
    auto product = dyn_cast<linalg::GenericOp>(op);
    Value sum = product ? tryProduct(product) : Value();
    for (bool joins : {true, false})
      if (!sum)
        sum = trySlots(&op, joins, root);
    if (!sum) {
      tryScatteredRows(&op);
      continue;
    }
    raised.push_back(sum);
    OpBuilder &b = graph.getBuilder();
    Value result = root->getResult(0);
    result.replaceAllUsesWith(inShape(
        typeOf(result), RowShape{root, {}, 0}.sizes(b, graph.getLoc()), sum));
  }
  if (raised.empty())
    return;
  // What made places is needed where it is used, and nowhere else.
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
