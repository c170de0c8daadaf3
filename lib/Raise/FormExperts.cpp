// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds experts in graphs that compute them slot by slot.
//   before: %w = gather_nd %stack, %ids; %y = sum over k of %w * x * weight
//   after:  %p = assign %ids weights(%weight); apply %p { contract }; combine
// One walk over each block: every value knows which decision it is the work
// of, and a sum over the choices of a decision ends that work. Linear in the
// number of ops.
#include "ExpertBody.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "gatecc/Raise/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace gatecc {
#define GEN_PASS_DEF_FORMEXPERTS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {

/// One decision, with the ops that are the work of its experts so far.
struct Work {
  Decision decision;
  llvm::DenseSet<Operation *> inside;
  bool isRaised = false;
  std::string refusal;
};

class ExpertFinder {
public:
  ExpertFinder(GraphBuilder &graph, SmallVectorImpl<Attribute> &report)
      : graph(graph), report(report) {}

  void run(Block &block);

private:
  /// The work that `op` belongs to because of what it reads, or null.
  Work *workOf(Operation *op);
  /// Starts or continues the work of a decision that weights are gathered by.
  Work *startWork(RowGather gather);
  bool raiseSum(Operation *op, Work &work);
  FailureOr<Value> takeWeights(Value &value, unsigned &rows, Work &work);
  Value idsInRange(const Decision &decision, Value ids);
  void reportWork(Work &work, ArrayRef<Operation *> products, StringRef site);

  GraphBuilder &graph;
  SmallVectorImpl<Attribute> &report;
  SmallVector<std::unique_ptr<Work>> works;
  DenseMap<Value, Work *> workOfIds;
  DenseMap<Operation *, Work *> workOfOp;
};

RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

Work *ExpertFinder::startWork(RowGather gather) {
  RankedTensorType stack = typeOf(gather.data);
  if (!stack.hasStaticShape() || stack.getRank() < 2 ||
      !isa<FloatType>(stack.getElementType()) ||
      !graph.isConstant(gather.data))
    return nullptr;
  Value ids = withoutViews(gather.indices);
  Work *&work = workOfIds[ids];
  if (!work) {
    // A table of single rows is an embedding, unless its rows are biases.
    if (stack.getRank() < 3)
      return nullptr;
    work = works.emplace_back(std::make_unique<Work>()).get();
    RankedTensorType type = typeOf(ids);
    work->decision.ids = ids;
    work->decision.groups = stack.getDimSize(0);
    work->decision.choices =
        type.getRank() < 2 || type.isDynamicDim(type.getRank() - 1)
            ? 1
            : type.getShape().back();
  }
  return work->decision.groups == stack.getDimSize(0) && !work->isRaised
             ? work
             : nullptr;
}

Work *ExpertFinder::workOf(Operation *op) {
  if (op->getNumResults() == 1)
    if (std::optional<RowGather> gather = matchRowGather(op->getResult(0)))
      if (Work *work = startWork(*gather))
        return work;
  Work *found = nullptr;
  for (Value operand : op->getOperands())
    if (Operation *source = operand.getDefiningOp())
      if (Work *work = workOfOp.lookup(source); work && !work->isRaised)
        found = work;
  return found;
}

void ExpertFinder::run(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator())) {
    Work *work = workOf(&op);
    if (!work)
      continue;
    if (raiseSum(&op, *work))
      continue;
    workOfOp[&op] = work;
    work->inside.insert(&op);
  }
  for (std::unique_ptr<Work> &work : works)
    if (!work->isRaised)
      reportWork(*work, {}, "");
}

/// The operands of an elementwise product of two tensors.
static linalg::GenericOp matchMultiply(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 2 ||
      op.getNumLoops() != op.getNumParallelLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return {};
  Block &body = *op.getBody();
  auto multiply =
      body.getTerminator()->getOperand(0).getDefiningOp<arith::MulFOp>();
  if (!multiply || !llvm::hasNItems(body.begin(), body.end(), 2) ||
      llvm::any_of(multiply->getOperands(), [](Value operand) {
        return operand.getDefiningOp() != nullptr;
      }))
    return {};
  return op;
}

/// [T.., k] as [T, k], whatever dimensions of one element it has.
static Value asChoices(GraphBuilder &graph, Value value, int64_t choices) {
  OpBuilder &b = graph.getBuilder();
  RankedTensorType type = typeOf(value);
  if (type.getRank() == 2 && type.getDimSize(1) == choices)
    return value;
  if (type.getRank() == 0)
    return {};
  if (type.getRank() > 1) {
    ReassociationIndices all(llvm::to_vector<2>(
        llvm::seq<int64_t>(0, type.getRank())));
    value = tensor::CollapseShapeOp::create(b, graph.getLoc(), value,
                                            ArrayRef{all});
  }
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

/// Takes a factor that is one number for each slot off `value`: the weights
/// [T, k] of the decision. Null if there is none.
FailureOr<Value> ExpertFinder::takeWeights(Value &value, unsigned &rows,
                                           Work &work) {
  Value inner = value;
  unsigned innerRows = rows;
  while (Operation *op = inner.getDefiningOp()) {
    if (!isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op))
      break;
    std::optional<unsigned> source = rowsOfSource(op, innerRows);
    if (!source)
      return Value();
    inner = op->getOperand(0);
    innerRows = *source;
  }
  linalg::GenericOp op = matchMultiply(inner);
  if (!op)
    return Value();
  for (unsigned side : {0u, 1u}) {
    OpOperand *weight = op.getDpsInputOperand(side),
              *work_ = op.getDpsInputOperand(1 - side);
    Operation *source = work_->get().getDefiningOp();
    Operation *factor = weight->get().getDefiningOp();
    if (!source || !work.inside.contains(source) ||
        (factor && work.inside.contains(factor)))
      continue;
    AffineMap map = op.getMatchingIndexingMap(weight);
    unsigned loops = 0;
    bool isScalar = true;
    for (AffineExpr expr : map.getResults())
      if (auto loop = dyn_cast<AffineDimExpr>(expr)) {
        if (loop.getPosition() < innerRows)
          isScalar &= loop.getPosition() == loops++;
        else
          isScalar &= typeOf(inner).getDimSize(loop.getPosition()) == 1;
      }
    if (!isScalar || loops != innerRows ||
        !typeOf(weight->get()).getElementType().isF32() ||
        !op.getMatchingIndexingMap(work_).isIdentity())
      continue;
    value = work_->get();
    rows = innerRows;
    return asChoices(graph, weight->get(), work.decision.choices);
  }
  return Value();
}

/// The ids as gathers read them: negative ones count from the end, others are
/// clamped. Those of a top-k over the groups are in range.
Value ExpertFinder::idsInRange(const Decision &decision, Value ids) {
  if (auto topk = decision.ids.getDefiningOp<gate::TopKOp>())
    if (decision.ids == topk.getIndices() &&
        typeOf(topk.getInput()).getDimSize(1) <= decision.groups)
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

/// [T, N] in the shape of the sum's result.
static Value restoreShape(GraphBuilder &graph, Value combined, Value result,
                          linalg::GenericOp sum, unsigned rowDims) {
  OpBuilder &b = graph.getBuilder();
  RankedTensorType type = typeOf(result);
  if (rowDims == 1 && type.getRank() == 2)
    return type == combined.getType()
               ? combined
               : tensor::CastOp::create(b, graph.getLoc(), type, combined)
                     .getResult();
  ReassociationIndices first, second;
  for (unsigned dim = 0; dim < type.getRank(); ++dim)
    (dim < rowDims ? first : second).push_back(dim);
  if (second.empty()) {
    combined = tensor::CollapseShapeOp::create(
        b, graph.getLoc(), combined, ArrayRef{ReassociationIndices{0, 1}});
    if (type.getRank() == 1)
      return combined;
    return tensor::ExpandShapeOp::create(
        b, graph.getLoc(), type, combined, ArrayRef{first},
        tensor::getMixedSizes(b, graph.getLoc(),
                              sum.getDpsInitOperand(0)->get()));
  }
  return tensor::ExpandShapeOp::create(
      b, graph.getLoc(), type, combined, ArrayRef{first, second},
      tensor::getMixedSizes(b, graph.getLoc(),
                            sum.getDpsInitOperand(0)->get()));
}

void ExpertFinder::reportWork(Work &work, ArrayRef<Operation *> products,
                              StringRef site) {
  Builder builder(graph.getContext());
  SmallVector<StringRef> nodes;
  auto add = [&](Operation *op) {
    if (StringRef name = nodeName(op->getLoc());
        !name.empty() && !llvm::is_contained(nodes, name))
      nodes.push_back(name);
  };
  for (Operation *op : products)
    add(op);
  std::string decider = describe(work.decision.ids.getDefiningOp());
  std::string reason;
  if (work.isRaised) {
    reason = "by proof: the products are those of the experts that " + decider +
             " chose, " + std::to_string(work.decision.choices) +
             " for each row";
  } else {
    if (work.refusal.empty())
      work.refusal = "no sum over the choices of a row ends the work";
    reason = "experts chosen by " + decider + ": " + work.refusal;
    for (Operation *op : work.inside)
      if (isProduct(op))
        add(op);
    llvm::sort(nodes);
  }
  report.push_back(reportEntry(graph.getContext(), site, "experts",
                               builder.getStrArrayAttr(nodes),
                               work.isRaised ? "taken" : "refused", reason));
  if (work.isRaised)
    if (auto op = graph.getModule().lookupSymbol<gate::SiteOp>(site)) {
      op.setNodesAttr(builder.getStrArrayAttr(nodes));
      report.back() =
          reportEntry(graph.getContext(), op.getName(), "experts",
                      builder.getStrArrayAttr(nodes), "taken", reason);
    }
}

bool ExpertFinder::raiseSum(Operation *op, Work &work) {
  std::optional<SumMatch> sum = matchSum(op);
  int64_t choices = work.decision.choices;
  if (!sum || sum->axis == 0 ||
      typeOf(sum->input).getDimSize(sum->axis) != choices)
    return false;
  Value result = op->getResult(0), value = sum->input;
  unsigned rows = sum->axis + 1;
  if (!typeOf(result).getElementType().isF32())
    return false;
  OpBuilder &b = graph.getBuilder();
  b.setInsertionPoint(op);
  graph.setNode(nodeName(work.decision.ids), "experts", op->getLoc());
  FailureOr<Value> weights = takeWeights(value, rows, work);
  ExpertBody body(graph, work.decision, work.inside);
  FailureOr<Value> slots = body.build(value, rows);
  if (failed(slots)) {
    work.refusal = body.reason();
    return false;
  }
  Value ids = asChoices(graph, work.decision.ids, choices);
  ids = idsInRange(work.decision, ids);
  int64_t groups = work.decision.groups;
  FlatSymbolRefAttr site = graph.site(
      "experts", SmallVector<double>(groups, 1.0), double(groups));
  auto plan = gate::AssignOp::create(
      b, graph.getLoc(),
      gate::PlanType::get(graph.getContext(), groups, choices), ids, *weights,
      site);
  gate::ApplyOp apply = body.finish(plan, *slots);
  Value tokens = tensor::DimOp::create(b, graph.getLoc(), ids, 0);
  int64_t width = typeOf(*slots).getDimSize(1);
  auto type = RankedTensorType::get({ShapedType::kDynamic, width},
                                    typeOf(result).getElementType());
  Value combined = gate::CombineOp::create(b, graph.getLoc(), type,
                                           apply.getResult(0), plan, tokens);
  result.replaceAllUsesWith(
      restoreShape(graph, combined, result, cast<linalg::GenericOp>(op),
                   sum->axis));
  work.isRaised = true;
  reportWork(work, body.products(), site.getValue());
  return true;
}

struct FormExperts : gatecc::impl::FormExpertsBase<FormExperts> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report;
    if (auto earlier = module->getAttrOfType<ArrayAttr>(kReportAttr))
      report.append(earlier.begin(), earlier.end());
    OpBuilder builder(&getContext());
    for (auto function : module.getOps<func::FuncOp>()) {
      if (!llvm::hasSingleElement(function.getBody()))
        continue;
      builder.setInsertionPointToStart(&function.front());
      GraphBuilder graph(module, builder);
      ExpertFinder(graph, report).run(function.front());
      GraphBuilder::eraseUnused(function.front());
    }
    GraphBuilder::eraseUnusedSymbols(module);
    if (!report.empty())
      module->setAttr(kReportAttr, ArrayAttr::get(&getContext(), report));
  }
};

} // namespace
