// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds experts in graphs that compute all of them for all rows, and weigh what
// a row did not choose with zero.
//   before: %y = sum over e of %r[t, e] * f_e(x[t]), %r zero beside k ids
//   after:  %p = assign %ids weights(%r at %ids); apply %p { f }; combine
// A sum begins a candidate: along a dimension, as the last product of an
// einsum, or as a chain of additions of terms that are computed alike.
#include "DenseExperts.h"
#include "ExpertWork.h"
#include "FloatCasts.h"
#include "GroupSites.h"
#include "RoutingMatrix.h"
#include "RowCost.h"
#include "gatecc/Raise/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/FormatVariadic.h"

namespace gatecc {
#define GEN_PASS_DEF_FORMDENSEEXPERTS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
class DenseFinder {
public:
  DenseFinder(GraphBuilder &graph, WeightNorms &norms,
              SmallVectorImpl<Attribute> &report, bool assumeFinite)
      : graph(graph), report(report), norms(norms), assumeFinite(assumeFinite) {
  }

  void run(Block &block);

private:
  bool matchSumRoot(Operation *op, DenseExperts &found, DenseBody *&body);
  bool matchProductRoot(Operation *op, DenseExperts &found, DenseBody *&body);
  bool matchChainRoot(Operation *op, DenseExperts &found);
  /// What a value is computed by, whatever its constants and where its slices
  /// are.
  llvm::hash_code shapeOf(Value value, unsigned depth = 0);

  bool tryRoot(Operation *op);
  bool takeWeights(DenseExperts &found, DenseBody &body);
  Value emit(const DenseExperts &found, DenseBody &body, Value slots, Value ids,
             const RowGuard &guard, bool isProved);
  void refuse(DenseBody &body, Value ids, StringRef reason);

  GraphBuilder &graph;
  SmallVectorImpl<Attribute> &report;
  WeightNorms &norms;
  bool assumeFinite;
  DenseMap<Value, llvm::hash_code> shapes;
  std::unique_ptr<DenseBody> current;
};
} // namespace

//===-- Sums --------------------------------------------------------------===//

bool DenseFinder::matchSumRoot(Operation *op, DenseExperts &found,
                               DenseBody *&body) {
  std::optional<SumMatch> sum = matchSum(op);
  if (!sum)
    return false;
  auto generic = cast<linalg::GenericOp>(op);
  int64_t experts = typeOf(sum->input).getDimSize(sum->axis);
  if (ShapedType::isDynamic(experts) || experts < 2)
    return false;
  std::optional<SmallVector<Axes>> loops = loopAxes(generic, found.sum.lanes());
  if (!loops)
    return false;
  (*loops)[sum->axis] = {Axis{Axis::Expert, experts}};
  found.experts = experts;
  found.terms = {{sum->input}, *loops};
  current = std::make_unique<DenseBody>(graph, experts, found.sum);
  body = current.get();
  return true;
}

/// A product that sums over experts has the weights on one side.
bool DenseFinder::matchProductRoot(Operation *op, DenseExperts &found,
                                   DenseBody *&body) {
  std::optional<ProductMatch> product =
      op->getNumResults() == 1 ? matchProduct(op->getResult(0)) : std::nullopt;
  if (!product)
    return false;
  auto generic = cast<linalg::GenericOp>(op);
  int64_t experts = generic.getStaticLoopRanges()[product->reduced];
  std::optional<SmallVector<Axes>> loops = loopAxes(generic, found.sum.lanes());
  if (!loops || ShapedType::isDynamic(experts) || experts < 2)
    return false;
  (*loops)[product->reduced] = {Axis{Axis::Expert, experts}};
  auto aDims = axesOf(product->aMap, *loops),
       bDims = axesOf(product->bMap, *loops);
  if (!aDims || !bDims)
    return false;
  Lanes a{{product->a}, *aDims}, b{{product->b}, *bDims};
  if (DenseBody::isRouting(b))
    std::swap(a, b);
  if (!DenseBody::isRouting(a) || !b.hasAllTokens() || !b.has(Axis::Column))
    return false;
  current = std::make_unique<DenseBody>(graph, experts, found.sum);
  body = current.get();
  if (failed(body->setRouting(a)))
    return false;
  found.experts = experts;
  found.terms = b;
  found.isWeighted = true;
  return true;
}

llvm::hash_code DenseFinder::shapeOf(Value value, unsigned depth) {
  if (auto it = shapes.find(value); it != shapes.end())
    return it->second;
  Operation *op = value.getDefiningOp();
  llvm::hash_code hash = llvm::hash_value(value.getType().getAsOpaquePointer());
  bool isWork = op && depth < 64 &&
                isa<linalg::GenericOp, gate::ContractOp, tensor::ExtractSliceOp,
                    tensor::CollapseShapeOp, tensor::ExpandShapeOp,
                    tensor::ConcatOp, linalg::TransposeOp>(op);
  if (isWork) {
    hash = llvm::hash_combine(hash, op->getName().getAsOpaquePointer());
    for (Region &region : op->getRegions())
      region.walk([&](Operation *inner) {
        hash = llvm::hash_combine(hash, inner->getName().getAsOpaquePointer());
      });
    for (Value operand : op->getOperands())
      if (isa<RankedTensorType>(operand.getType()))
        hash = llvm::hash_combine(hash, shapeOf(operand, depth + 1));
  }
  shapes[value] = hash;
  return hash;
}

/// Terms of one form, at least two, among those that are added up.
bool DenseFinder::matchChainRoot(Operation *op, DenseExperts &found) {
  Value result = op->getNumResults() == 1 ? op->getResult(0) : Value();
  if (!result || addendsOf(result).empty() ||
      (result.hasOneUse() &&
       llvm::any_of(result.getUsers(), [](Operation *user) {
         return user->getNumResults() == 1 &&
                !addendsOf(user->getResult(0)).empty();
       })))
    return false;
  SmallVector<Value> terms, pending{result};
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    SmallVector<Value> addends;
    if (value == result || value.hasOneUse())
      addends = addendsOf(value);
    if (addends.empty())
      terms.push_back(value);
    pending.append(addends.rbegin(), addends.rend());
  }
  llvm::MapVector<size_t, SmallVector<Value>> groups;
  for (Value term : terms)
    if (term.getDefiningOp())
      groups[size_t(shapeOf(term))].push_back(term);
  SmallVector<Value> *largest = nullptr;
  for (auto &[hash, group] : groups)
    if (group.size() >= 2 && (!largest || group.size() > largest->size()))
      largest = &group;
  if (!largest)
    return false;
  llvm::SmallDenseSet<Value> chosen(largest->begin(), largest->end());
  if (chosen.size() != largest->size())
    return false; // one of them is added twice
  for (Value term : terms)
    if (!chosen.contains(term))
      found.others.push_back(term);
  found.experts = largest->size();
  found.terms = {*largest, found.sum.dims};
  return true;
}

//===-- Raising -----------------------------------------------------------===//

/// Takes the weights off the terms if they are a factor of them.
bool DenseFinder::takeWeights(DenseExperts &found, DenseBody &body) {
  Lanes lanes = found.terms;
  int64_t size = 1;
  for (const Axes &axes : lanes.dims)
    for (const Axis &axis : axes)
      if (axis.kind == Axis::Column)
        size = axis.size;
  Columns whole{0, size, 1}, columns = whole;
  for (unsigned step = 0; step < 32; ++step) {
    std::optional<Lanes> source;
    if (llvm::all_of(lanes.values, matchFloatCast))
      source = lanes.operand(0, lanes.dims);
    else
      source = movedFrom(lanes, columns);
    if (!source || !(columns == whole) || !source->hasAllTokens())
      break;
    lanes = *source;
  }
  for (Value value : lanes.values)
    if (!matchBinary<arith::MulFOp>(value))
      return false;
  auto op = lanes.front().getDefiningOp<linalg::GenericOp>();
  for (Value value : lanes.values)
    if (value.getDefiningOp<linalg::GenericOp>().getIndexingMaps() !=
        op.getIndexingMaps())
      return false;
  std::optional<SmallVector<Axes>> loops = loopAxes(op, lanes);
  for (unsigned side : {0u, 1u}) {
    auto factorDims =
        loops ? axesOf(op.getMatchingIndexingMap(op.getDpsInputOperand(side)),
                       *loops)
              : std::nullopt;
    auto termDims =
        loops
            ? axesOf(op.getMatchingIndexingMap(op.getDpsInputOperand(1 - side)),
                     *loops)
            : std::nullopt;
    if (!factorDims || !termDims)
      return false;
    Lanes factor = lanes.operand(side, *factorDims),
          term = lanes.operand(1 - side, *termDims);
    if (!DenseBody::isRouting(factor) || !term.has(Axis::Column) ||
        !term.hasAllTokens() || failed(body.setRouting(factor)))
      continue;
    found.terms = term;
    found.isWeighted = true;
    return true;
  }
  return false;
}

static SmallVector<StringRef> productNames(DenseBody &body) {
  SmallVector<StringRef> nodes;
  llvm::SmallDenseSet<StringRef> seen;
  for (Operation *op : body.getProducts())
    if (StringRef name = nodeName(op->getLoc());
        !name.empty() && seen.insert(name).second)
      nodes.push_back(name);
  return nodes;
}

static std::string describeChoice(Value ids) {
  Operation *op = ids.getDefiningOp();
  return op ? describe(op) : "an input";
}

void DenseFinder::refuse(DenseBody &body, Value ids, StringRef reason) {
  Builder builder(graph.getContext());
  report.push_back(reportEntry(
      graph.getContext(), "", "experts",
      builder.getStrArrayAttr(productNames(body)), "refused",
      (Twine("experts of which a row weighs all") +
       (ids ? " but those that " + describeChoice(ids) + " chose with zero"
            : "") +
       ": " + reason)
          .str()));
}

/// How many ids a row has: [T, k] of a top-k, one of a search.
static int64_t choicesOf(Value ids) {
  return ids.getDefiningOp<gate::TopKOp>() ? typeOf(ids).getDimSize(1) : 1;
}

/// "by row guard: ...", "by proof: ..." or "by --assume-finite: ...".
static std::string reasonOf(Value ids, const RowGuard &guard,
                            bool assumeFinite) {
  std::string chosen = "the experts whose weight is not zero";
  if (ids)
    chosen = "the experts that " + describeChoice(ids) + " chose, " +
             std::to_string(choicesOf(ids)) + " for each row";
  std::string reason = assumeFinite ? "by --assume-finite: " : "by proof: ";
  if (!guard.isNeeded())
    return reason + "only " + chosen +
           (ids ? ", have a weight that is not zero" : "");
  std::string tests;
  std::optional<double> least;
  for (std::optional<double> limit : guard.limits)
    if (limit && (!least || *limit < *least))
      least = limit;
  if (least)
    tests = llvm::formatv("an input that is NaN or larger than {0:e2}", *least);
  if (guard.testsWeights)
    tests += (tests.empty() ? "" : " or ") +
             std::string("a weight that is not zero beside them");
  return "by row guard: a row runs " + chosen + "; one with " + tests +
         " runs all";
}

Value DenseFinder::emit(const DenseExperts &found, DenseBody &body, Value slots,
                        Value ids, const RowGuard &guard, bool isProved) {
  OpBuilder &b = graph.getBuilder();
  FlatSymbolRefAttr symbol =
      graph.site("experts", SmallVector<double>(found.experts, 1.0),
                 double(found.experts));
  auto site = graph.getModule().lookupSymbol<gate::SiteOp>(symbol.getAttr());
  site.setNodesAttr(b.getStrArrayAttr(productNames(body)));
  report.push_back(reportEntry(
      graph.getContext(), site.getName(), "experts", site.getNodesAttr(),
      "taken", reasonOf(ids, guard, assumeFinite && !isProved)));
  if (ids)
    ids = body.forAllRows(
        asChoices(graph, withDynamicRows(graph, ids), choicesOf(ids)));
  Value sum = emitDense(graph, found, body, slots, ids, guard, symbol);
  sum = restoreShape(graph, sum, found.sum);
  RankedTensorType type = typeOf(sum);
  for (Value other : found.others) {
    AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
    Value init = tensor::EmptyOp::create(
        b, graph.getLoc(), tensor::getMixedSizes(b, graph.getLoc(), sum),
        type.getElementType());
    sum = linalg::GenericOp::create(
              b, graph.getLoc(), type, ValueRange{other, sum}, init,
              SmallVector<AffineMap>(3, identity),
              SmallVector<utils::IteratorType>(type.getRank(),
                                               utils::IteratorType::parallel),
              [](OpBuilder &at, Location loc, ValueRange x) {
                linalg::YieldOp::create(
                    at, loc,
                    arith::AddFOp::create(at, loc, x[0], x[1]).getResult());
              })
              .getResult(0);
  }
  return sum;
}

bool DenseFinder::tryRoot(Operation *op) {
  OpBuilder &b = graph.getBuilder();
  b.setInsertionPoint(op);
  graph.setNode(nodeName(op->getLoc()), "experts", op->getLoc());
  std::optional<RowShape> shape = rowShapeOf(op);
  if (!shape)
    return false;
  DenseExperts found;
  found.sum = *shape;
  DenseBody *body = nullptr;
  if (!matchSumRoot(op, found, body) && !matchProductRoot(op, found, body)) {
    if (!matchChainRoot(op, found))
      return false;
    current = std::make_unique<DenseBody>(graph, found.experts, found.sum);
    body = current.get();
  }
  if (!found.isWeighted)
    takeWeights(found, *body);
  FailureOr<Value> slots = body->build(found.terms);
  // Sums of something else are everywhere: only one with work of experts in it
  // is worth a word.
  if (!body->getRouting())
    return false;
  Value ids = findChoice(body->getRoutingLanes(), found.experts);
  bool isCompared = !ids;
  if (isCompared)
    ids = findComparedIds(body->getRoutingLanes(), found.experts);
  // A row may weigh any number of experts, and rank all of them before.
  bool isOpen = (!ids || choicesOf(ids) == found.experts) &&
                canBeZero(body->getRoutingLanes());
  if (isOpen)
    ids = {};
  if (failed(slots)) {
    if ((ids || isOpen) && !body->getProducts().empty())
      refuse(*body, ids, body->reason());
    return false;
  }
  if (body->getProducts().empty())
    return false;
  bool isInside =
      llvm::is_contained(body->getRegion().getInputs(), body->getRouting());
  Value rows;
  for (Value input : body->getRegion().getInputs())
    if (input != body->getRouting())
      rows = input;
  if (!rows || (!found.isWeighted && !isInside))
    return false;
  if (!ids && !isOpen) {
    refuse(*body, ids,
           "no top-k is behind the weights, so that any of them may differ "
           "from zero");
    return false;
  }
  // Ids [T, k] of a top-k, or [T..] of a search.
  unsigned idDims = isOpen ? 0
                           : typeOf(ids).getRank() -
                                 (ids.getDefiningOp<gate::TopKOp>() ? 1 : 0);
  if (Value decided = body->getDecidedRouting())
    rows = decided;
  Value count = tensor::DimOp::create(b, graph.getLoc(), rows, 0);
  if (!isOpen &&
      !isProductOfDims(count, ids,
                       llvm::to_vector(llvm::seq<int64_t>(0, idDims)))) {
    refuse(*body, ids, "the choice is not known to be one for each row");
    return false;
  }
  slots = body->getRegion().widened(*slots);
  std::string reason;
  std::optional<RowGuard> guard =
      findGuard(*body, *slots, found.isWeighted, norms, assumeFinite, reason);
  if (!guard) {
    refuse(*body, ids, reason);
    return false;
  }
  bool isProved =
      isCompared || isOpen ||
      isZeroElsewhere(body->getRoutingLanes(), ids, found.experts, false);
  guard->testsWeights =
      !isProved && !(assumeFinite && isZeroElsewhere(body->getRoutingLanes(),
                                                     ids, found.experts, true));
  graph.setNode(nodeName(isOpen ? body->getRoutingLanes().front() : ids),
                "experts", op->getLoc());
  Value sum = emit(found, *body, *slots, ids, *guard,
                   isProved &&
                       llvm::none_of(guard->limits,
                                     [](auto limit) { return bool(limit); }) &&
                       !assumeFinite);
  op->getResult(0).replaceAllUsesWith(sum);
  return true;
}

void DenseFinder::run(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator()))
    if (isa<linalg::GenericOp>(op) && !op.use_empty())
      tryRoot(&op);
  current.reset();
}

namespace {
struct FormDenseExperts : gatecc::impl::FormDenseExpertsBase<FormDenseExperts> {
  using FormDenseExpertsBase::FormDenseExpertsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    WeightNorms norms(module);
    findExperts(module, [&](GraphBuilder &graph, Block &block) {
      DenseFinder(graph, norms, report, assumeFinite).run(block);
    });
    writeReport(module, report);
  }
};
} // namespace
