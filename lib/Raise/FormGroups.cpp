// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pass that turns work demanded under a row condition into groups.
#include "GraphBlocks.h"
#include "GroupBuilder.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "gatecc/Raise/Passes.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <map>

namespace gatecc {
#define GEN_PASS_DEF_FORMGROUPS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// One condition may have several groups, with work for all rows between them.
static constexpr unsigned kMaxGroups = 16;

namespace {
/// A condition by its values: terms are numbered anew by each analysis.
using Key = std::vector<std::pair<void *, bool>>;

Key keyOf(Demand &demand, const Term &term) {
  Key key;
  for (Literal literal : demand.basis(term))
    key.push_back(
        {demand.atom(literal.atom).getAsOpaquePointer(), literal.negated});
  return key;
}

struct FormGroups : gatecc::impl::FormGroupsBase<FormGroups> {
  using FormGroupsBase::FormGroupsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (auto function : module.getOps<func::FuncOp>())
      forEachGraphBlock(function, [&](Block &block) {
        removeDeadOps(block);
        formInBlock(block);
      });
    SmallVector<Attribute> report = readReport(module);
    createSites(module, report);
    reportRefusals(module, report);
    writeReport(module, report);
  }

private:
  /// Whether this pass made the plan.
  static bool isFormed(Value plan) {
    Operation *partition = plan.getDefiningOp();
    return partition && partition->hasAttr(kFormedAttr);
  }

  static void removeDeadOps(Block &block) {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
  }

  void formInBlock(Block &block) {
    std::map<Key, unsigned> tries;
    while (auto group = formNext(block, tries))
      formInBlock(group->apply.getBodies()[0].front());
  }

  /// Forms the group with the weakest condition that is worth it; deeper ones
  /// are then found inside it. Conditions that would only gather rows for a
  /// deeper group come last.
  std::optional<Group> formNext(Block &block, std::map<Key, unsigned> &tries) {
    Demand demand(block);
    SmallVector<Term> terms;
    for (Operation &op : block.without_terminator()) {
      const Term &term = demand.of(&op);
      if (!term.empty() && !llvm::is_contained(terms, term))
        terms.push_back(term);
    }
    SmallVector<std::pair<size_t, unsigned>> order;
    for (auto [index, term] : llvm::enumerate(terms))
      order.push_back({term.size(), index});
    llvm::sort(order);
    for (bool isStrict : {true, false})
      for (auto [size, index] : order)
        if (auto group = form(block, demand, terms[index], isStrict, tries))
          return group;
    return std::nullopt;
  }

  std::optional<Group> form(Block &block, Demand &demand, const Term &term,
                            bool isStrict, std::map<Key, unsigned> &tries) {
    Key key = keyOf(demand, term);
    if (key.empty() || tries[key] == kMaxGroups)
      return std::nullopt;
    GroupSlice slice = findSlice(block, demand, term);
    if (!isWorthIt(demand, slice, isStrict))
      return std::nullopt;
    ++tries[key];
    NamedAttrList formed = describeSlice(demand, slice);
    auto group = buildGroup(block, demand, slice);
    if (group) {
      group->partition->setAttr(kFormedAttr,
                                formed.getDictionary(&getContext()));
      removeDeadOps(block);
    }
    return group;
  }

  /// Whether the group holds a product, or much else, that is in no group yet;
  /// if strict, one that still fewer rows need does not count.
  bool isWorthIt(Demand &demand, const GroupSlice &slice, bool isStrict) {
    double cost = 0;
    Term basis = demand.basis(slice.term);
    for (Operation *op : slice.ops) {
      auto apply = dyn_cast<gate::ApplyOp>(op);
      if (slice.bases.contains(op) || (apply && isFormed(apply.getPlan())) ||
          (isStrict && demand.basis(demand.of(op)) != basis))
        continue;
      if (isProduct(op))
        return true;
      cost += rowCost(op);
    }
    return cost >= minCost;
  }

  /// What the site will be called after, and the nodes that it may skip.
  NamedAttrList describeSlice(Demand &demand, const GroupSlice &slice) {
    Builder builder(&getContext());
    SmallVector<StringRef> nodes;
    for (Operation *op : slice.ops)
      if (isProduct(op))
        if (StringRef name = nodeName(op->getLoc());
            !name.empty() && !llvm::is_contained(nodes, name))
          nodes.push_back(name);
    SmallVector<StringRef> widened(slice.widened.begin(), slice.widened.end());
    for (Operation *op : slice.ops)
      if (auto note = op->getAttrOfType<StringAttr>(kBasisAttr))
        if (!llvm::is_contained(widened, note.getValue()))
          widened.push_back(note.getValue());
    Literal first = demand.basis(slice.term)[0];
    NamedAttrList formed;
    formed.append("name",
                  builder.getStringAttr(nodeName(demand.atom(first.atom))));
    formed.append("nodes", builder.getStrArrayAttr(nodes));
    formed.append("notes", builder.getStrArrayAttr(widened));
    return formed;
  }
};
} // namespace
