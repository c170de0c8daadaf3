// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds experts in graphs that compute them slot by slot.
//   before: %w = gather_nd %stack, %ids; %y = sum over k of %w * x * weight
//   after:  %p = assign %ids weights(%weight); apply %p { contract }; combine
// One walk over each block: every value knows which decision it is the work
// of, and a sum over the choices of a decision ends that work. Linear in the
// number of ops.
#include "ChoiceSum.h"
#include "ExpertVectors.h"
#include "ExpertWork.h"
#include "FloatCasts.h"
#include "GroupSites.h"
#include "RouterForm.h"
#include "RowCost.h"
#include "WholeRows.h"
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

using Work = ExpertWork;

class ExpertFinder {
public:
  ExpertFinder(GraphBuilder &graph, SmallVectorImpl<Attribute> &report)
      : graph(graph), report(report) {}

  void run(Block &block);

private:
  /// The work that `op` belongs to because of what it reads, or null.
  Work *workOf(Operation *op);
  /// The work of a decision that has been started last, unless it is done:
  /// layers may share a decision.
  Work *openWork(Value ids) {
    Work *work = workOfIds.lookup(ids);
    return work && !work->isRaised ? work : nullptr;
  }
  Work *startWork(Value ids, int64_t groups);
  /// Starts or continues the work of a decision that weights are gathered by.
  Work *startWeights(RowGather gather, Value rows);
  Work *startRows(RowGather gather);
  bool raiseSum(Operation *op, Work &work);
  Value takeWeights(Value &value, unsigned &rows, SlotOrder &order, Work &work);

  GraphBuilder &graph;
  SmallVectorImpl<Attribute> &report;
  SlotFunctions functions;
  SmallVector<std::unique_ptr<Work>> works;
  DenseMap<Value, Work *> workOfIds;
  DenseMap<Operation *, Work *> workOfOp;
};

/// Whether products read the gathered rows as weights, in whatever shape.
static bool isMultiplied(Value rows) {
  for (Operation *user : rows.getUsers()) {
    if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp,
            linalg::TransposeOp>(user) &&
        isMultiplied(user->getResult(0)))
      return true;
    if (user->getNumResults() != 1)
      continue;
    if (matchFloatCast(user->getResult(0)) && isMultiplied(user->getResult(0)))
      return true;
    if ((matchProduct(user->getResult(0)) ||
         matchBinary<arith::MulFOp>(user->getResult(0))))
      return true;
  }
  return false;
}

Work *ExpertFinder::startWork(Value ids, int64_t groups) {
  Work *work = works.emplace_back(std::make_unique<Work>()).get();
  work->number = works.size();
  work->decision = {ids, SlotFunctions::choicesOf(ids), groups};
  return workOfIds[ids] = work;
}

Work *ExpertFinder::startWeights(RowGather gather, Value rows) {
  RankedTensorType stack = typeOf(gather.data);
  if (!stack.hasStaticShape() || stack.getRank() < 2 ||
      !isa<FloatType>(stack.getElementType()) || !graph.isConstant(gather.data))
    return nullptr;
  Value ids = withoutViews(gather.indices);
  Work *work = openWork(ids);
  if (!work) {
    // A table of single rows is an embedding, unless its rows are biases, or
    // experts that are one vector each.
    bool isVectors = stack.getRank() < 3;
    if (isVectors && (SlotFunctions::choicesOf(ids) == 1 ||
                      !isChosenByTopK(ids) || !isMultiplied(rows)))
      return nullptr;
    work = startWork(ids, stack.getDimSize(0));
  }
  return work->decision.groups == stack.getDimSize(0) ? work : nullptr;
}

/// Starts or continues the work of a decision whose slots' tokens are gathered.
Work *ExpertFinder::startRows(RowGather gather) {
  if (!isa<FloatType>(typeOf(gather.data).getElementType()) ||
      typeOf(gather.data).getRank() < 2)
    return nullptr;
  SlotOrder order = functions.orderOf(gather.indices);
  if (!order || SlotFunctions::idCount(order.ids) == 0 ||
      functions.partOf(gather.indices, 0, order,
                       SlotFunctions::choicesOf(order.ids)) != SlotPart::Token)
    return nullptr;
  Work *work = openWork(order.ids);
  return work ? work : startWork(order.ids, SlotFunctions::idCount(order.ids));
}

Work *ExpertFinder::workOf(Operation *op) {
  if (op->getNumResults() == 1)
    if (std::optional<RowGather> gather = matchRowGather(op->getResult(0)))
      for (Work *work :
           {startWeights(*gather, op->getResult(0)), startRows(*gather)})
        if (work)
          return work;
  // Of several works the last one that was started: it may read the others.
  Work *found = nullptr;
  for (Value operand : op->getOperands())
    if (Operation *source = operand.getDefiningOp())
      if (Work *work = workOfOp.lookup(source);
          work && !work->isRaised && (!found || found->number < work->number))
        found = work;
  return found;
}

/// A table of ids need not name all experts: there are as many as have their
/// rows joined, or as masks are made for.
static void countExperts(Operation *op, const std::optional<SlotLink> &link,
                         Work &work) {
  if (!SlotFunctions::isLookedUp(work.decision.ids))
    return;
  int64_t &groups = work.decision.groups;
  if (link) {
    groups = std::max(groups, link->order.group + 1);
    return;
  }
  auto concat = dyn_cast<tensor::ConcatOp>(op);
  if (concat && concat.getDim() == 0 && work.links.empty() &&
      concat.getResultType().getRank() == 2 &&
      isa<FloatType>(concat.getResultType().getElementType()))
    groups = std::max<int64_t>(groups, concat.getInputs().size());
}

void ExpertFinder::run(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(block.without_terminator())) {
    if (raiseResultRead(graph, &op, report))
      continue;
    Work *work = workOf(&op);
    if (!work)
      continue;
    countExperts(&op, std::nullopt, *work);
    if (raiseSum(&op, *work))
      continue;
    workOfOp[&op] = work;
    std::optional<SlotLink> link =
        matchSlotLink(functions, &op, work->linkResults);
    if (link && (!link->updates || link->order.ids == work->decision.ids)) {
      countExperts(&op, link, *work);
      work->links.push_back(*link);
      work->linkResults.insert(link->result);
    } else {
      work->inside.insert(&op);
    }
    if (op.getNumResults() == 1 && matchProduct(op.getResult(0)))
      work->products.push_back(&op);
  }
  for (std::unique_ptr<Work> &work : works) {
    if (work->isRaised)
      continue;
    // Products with vectors are none with matrices of one column: these would
    // be padded, and have a task for each of many experts.
    bool areVectors = llvm::any_of(work->products, [&](Operation *op) {
      return isVectorProduct(graph, op->getResult(0));
    });
    bool isRaised = !work->links.empty()
                        ? raiseLinks(graph, functions, *work, report)
                        : !areVectors && raiseGathered(graph, *work, report);
    if (!isRaised)
      reportRefusal(graph, *work, report);
  }
}

/// Takes a factor that is one number for each slot off `value`: the weights
/// [T, k] of the decision. Null if there is none. `valueOrder` becomes that
/// of its slots, where they are not by token and choice.
Value ExpertFinder::takeWeights(Value &value, unsigned &rows,
                                SlotOrder &valueOrder, Work &work) {
  Value inner = value;
  unsigned innerRows = rows;
  SlotOrder order; // of `inner`
  while (Operation *op = inner.getDefiningOp()) {
    if (Value narrow = matchFloatCast(inner)) {
      inner = narrow;
      continue;
    }
    if (innerRows == 1 && !order)
      if (auto restored = functions.restoredRows(inner);
          restored && restored->order.ids == work.decision.ids) {
        order = restored->order;
        inner = restored->rows;
        continue;
      }
    if (auto cast = dyn_cast<tensor::CastOp>(op)) {
      inner = cast.getSource();
      continue;
    }
    if (!isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op))
      break;
    std::optional<unsigned> source = rowsOfSource(op, innerRows);
    if (!source)
      return Value();
    inner = op->getOperand(0);
    innerRows = *source;
  }
  linalg::GenericOp op = matchBinary<arith::MulFOp>(inner);
  if (!op)
    return Value();
  for (unsigned side : {0u, 1u}) {
    OpOperand *weight = op.getDpsInputOperand(side),
              *product = op.getDpsInputOperand(1 - side);
    Operation *source = product->get().getDefiningOp();
    Operation *factor = weight->get().getDefiningOp();
    if (!source || !work.inside.contains(source) ||
        (factor && work.inside.contains(factor)))
      continue;
    if (order) {
      Value found =
          slotWeights(functions, weight->get(), order, work.decision.choices);
      if (!found || !op.getMatchingIndexingMap(product).isIdentity())
        continue;
      value = product->get();
      rows = innerRows;
      valueOrder = order;
      return asChoices(graph, found, work.decision.choices);
    }
    if (!isOnePerRow(op, weight, innerRows) ||
        !gate::computedIn(typeOf(weight->get()).getElementType()).isF32() ||
        !op.getMatchingIndexingMap(product).isIdentity())
      continue;
    value = product->get();
    rows = innerRows;
    return asChoices(graph, weight->get(), work.decision.choices);
  }
  return Value();
}

bool ExpertFinder::raiseSum(Operation *op, Work &work) {
  graph.getBuilder().setInsertionPoint(op);
  graph.setNode(nodeName(work.decision.ids), "experts", op->getLoc());
  int64_t choices = work.decision.choices;
  Operation *before = op->getPrevNode();
  std::optional<ChoiceSum> sum = matchChoiceSum(graph, op, work);
  if (!sum)
    return false;
  Value result = op->getResult(0), value = sum->input;
  unsigned rows = sum->axis + 1;
  SlotOrder order;
  Value weights = takeWeights(value, rows, order, work);
  ExpertBody body(graph, work.decision, work.inside, functions);
  FailureOr<Value> slots = body.buildSlots(value, rows, order);
  if (failed(slots)) {
    if (work.refusal.empty())
      work.refusal = body.reason();
    discardUnused(before, op, work);
    work.decision.choices = choices;
    return false;
  }
  if (matchProduct(op->getResult(0)))
    body.addProduct(op);
  Value combined = emitExperts(graph, work, body, *slots, weights, report);
  RowShape shape{op, {}, sum->resultRows};
  result.replaceAllUsesWith(restoreShape(graph, combined, shape));
  eraseCertainChecks(work, functions, op);
  return true;
}

struct FormExperts : gatecc::impl::FormExpertsBase<FormExperts> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Attribute> report = readReport(module);
    findExperts(module, [&](GraphBuilder &graph, Block &block) {
      writeWholeRows(block);
      ExpertFinder(graph, report).run(block);
    });
    writeReport(module, report);
  }
};

} // namespace
