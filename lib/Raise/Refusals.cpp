// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Why a selection did not become a group.
#include "GraphBlocks.h"
#include "GroupSites.h"

#include "RowCost.h"
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Raise/Demand.h"
#include "gatecc/Raise/RowCondition.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {
/// Which ops of a block are products, or depend on one.
class ProductsBehind {
public:
  explicit ProductsBehind(Block &block) {
    for (Operation &op : block) {
      bool found = isProduct(&op);
      forEachUsedValue(&op, [&](Value used) { found |= isBehind(used); });
      if (found)
        ops.insert(&op);
    }
  }
  bool isBehind(Value value) const {
    return ops.contains(value.getDefiningOp());
  }

private:
  llvm::DenseSet<Operation *> ops;
};
} // namespace

/// Why rows without `literal` need `op` too.
static std::string otherNeed(Operation *op, Literal literal, Operation *select,
                             Demand &demand) {
  if (demand.dependsOn(demand.atom(literal.atom), op))
    return "its condition depends on " + describe(op);
  for (OpOperand &use : op->getUses()) {
    Operation *user = op->getBlock()->findAncestorOpInBlock(*use.getOwner());
    if (user->hasTrait<OpTrait::IsTerminator>())
      return describe(op) + " is a result";
    if (user == select)
      continue;
    auto uses = user == use.getOwner() ? rowUses(user) : std::nullopt;
    if (!contains(demand.of(user), literal))
      return describe(op) + " is also needed by " + describe(user) +
             " for other rows";
    if (!uses || (*uses)[use.getOperandNumber()].kind == RowUse::Whole)
      return describe(user) + " reads all rows of " + describe(op);
  }
  return describe(op) + " is needed on both sides";
}

/// Walks from a branch to what it needs, as long as only rows with `literal`
/// need it, and says what ends the walk; "" if nothing heavy is lost by that.
static std::string obstacle(Value branch, Literal literal, Operation *select,
                            Demand &demand, const ProductsBehind &products,
                            double &cost) {
  Block &block = *select->getBlock();
  SmallVector<Value> work{branch};
  llvm::DenseSet<Operation *> seen{select};
  std::string reason;
  while (!work.empty()) {
    Value value = work.pop_back_val();
    Operation *op = value.getDefiningOp();
    if (!op || op->getBlock() != &block || !seen.insert(op).second)
      continue;
    bool isHeavy = products.isBehind(value);
    if (contains(demand.of(op), literal)) {
      if (!rowUses(op)) {
        if (isHeavy && reason.empty())
          reason = describe(op) + " does not keep rows apart";
        continue;
      }
      cost += rowCost(op);
      for (Value operand : op->getOperands())
        work.push_back(operand);
      continue;
    }
    if (!isHeavy || !reason.empty())
      continue;
    reason = otherNeed(op, literal, select, demand);
  }
  return reason;
}

static void reportSelect(Operation *op, const Elementary &match, Demand &demand,
                         const ProductsBehind &products,
                         SmallVectorImpl<Attribute> &report) {
  auto isHeavy = [&](unsigned branch) {
    return match.operands[branch] && products.isBehind(match.operands[branch]);
  };
  std::string reason;
  auto condition = demand.literal(match.operands[0]);
  auto uses = rowUses(op);
  if (!isHeavy(1) && !isHeavy(2)) {
    reason = "neither side holds a product";
  } else if (!condition) {
    reason = "the condition varies along other dimensions than the rows";
  } else if (!uses || (*uses)[match.inputs[0]].kind != RowUse::Follows) {
    reason = "the condition is the same for all rows";
  } else {
    double cost = 0;
    for (unsigned branch : {1u, 2u})
      if (reason.empty() && match.operands[branch])
        reason = obstacle(match.operands[branch],
                          branch == 1 ? *condition : !*condition, op, demand,
                          products, cost);
    if (reason.empty())
      reason = "too little work (" + std::to_string(int64_t(cost)) +
               " operations per row)";
  }
  StringRef name = nodeName(op->getLoc());
  Builder builder(op->getContext());
  report.push_back(reportEntry(op->getContext(), name, "skip",
                               builder.getStrArrayAttr(ArrayRef(name)),
                               "refused", reason));
}

static void reportBlock(Block &block, SmallVectorImpl<Attribute> &report) {
  std::optional<Demand> demand;
  std::optional<ProductsBehind> products;
  for (Operation &op : block) {
    if (auto match = matchElementary(&op);
        match && match->kind == Elementary::Select) {
      if (!demand) {
        demand.emplace(block);
        products.emplace(block);
      }
      reportSelect(&op, *match, *demand, *products, report);
    }
    if (auto apply = dyn_cast<gate::ApplyOp>(&op))
      for (Region &body : apply.getBodies())
        reportBlock(body.front(), report);
  }
}

void raise::reportRefusals(ModuleOp module,
                           SmallVectorImpl<Attribute> &report) {
  for (auto function : module.getOps<func::FuncOp>())
    forEachGraphBlock(function,
                      [&](Block &block) { reportBlock(block, report); });
}
