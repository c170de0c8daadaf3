// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads rows, choices and routers off gate.route, gate.assign, gate.partition.
#include "lib/Driver/SiteFacts.h"

#include "dialects/Gate/IR/GateOps.h"
#include "lib/Driver/RowExtents.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace gatecc;

static std::string describeRoute(gate::RouteOp route) {
  gate::PlanType plan = route.getPlan().getType();
  std::string text = llvm::formatv("{0}, {1} of {2} groups",
                                   gate::stringifyScoreKind(route.getScore()),
                                   plan.getChoices(), plan.getGroups());
  if (route.getMixing())
    text += ", chosen by other scores than they are weighed with";
  if (route.getNormalize())
    text += ", normalized";
  if (float scale = route.getScale().convertToFloat(); scale != 1)
    text += llvm::formatv(", times {0}", scale).str();
  if (route.getDropNonpositive())
    text += ", choices of weight 0 or less are absent";
  return text;
}

static std::string describeAssign(gate::AssignOp assign) {
  gate::PlanType plan = assign.getPlan().getType();
  return llvm::formatv("ids that the graph computes, {0} of {1} groups, {2}",
                       plan.getChoices(), plan.getGroups(),
                       assign.getWeights() ? "with weights" : "not weighed");
}

/// The tensor whose rows are dispatched, and the words for how.
static std::pair<Value, std::string> describe(Operation *op) {
  if (auto route = dyn_cast<gate::RouteOp>(op))
    return {route.getLogits(), describeRoute(route)};
  if (auto assign = dyn_cast<gate::AssignOp>(op))
    return {assign.getIds(), describeAssign(assign)};
  if (auto partition = dyn_cast<gate::PartitionOp>(op)) {
    bool isBit = getElementTypeOrSelf(partition.getSelector()).isInteger(1);
    return {partition.getSelector(),
            isBit ? "a condition for each row" : "a group for each row"};
  }
  return {};
}

llvm::StringMap<SiteFacts> gatecc::collectSiteFacts(ModuleOp module) {
  llvm::StringMap<SiteFacts> all;
  RowExtents extents;
  module.walk<WalkOrder::PreOrder>([&](Operation *op) {
    auto symbol = op->getAttrOfType<FlatSymbolRefAttr>("site");
    auto [rows, router] =
        symbol ? describe(op) : std::pair<Value, std::string>();
    if (!rows)
      return;
    auto [entry, isNew] = all.try_emplace(symbol.getValue());
    if (!isNew)
      return;
    SiteFacts &facts = entry->second;
    facts.router = router;
    if (auto plan = dyn_cast<gate::PlanType>(op->getResult(0).getType()))
      facts.choices = plan.getChoices();
    if (std::optional<ExtentProduct> extent = extents.extentOf(rows, 0))
      facts.rows = extent->text();
  });
  return all;
}
