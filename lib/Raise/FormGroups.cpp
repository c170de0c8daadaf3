// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pass that turns work demanded under a row condition into groups.
#include "GraphBlocks.h"
#include "GroupBuilder.h"
#include "GroupSites.h"
#include "RowCost.h"
#include "TermIndex.h"
#include "gatecc/Raise/Passes.h"
#include "gatecc/Raise/RowIndependence.h"

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
/// Groups in groups: what walks over regions does so by recursion. What would
/// be in a deeper one runs for all rows of the last.
static constexpr unsigned kMaxNesting = 256;

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

/// A condition, and the ops that only rows with it need.
struct Candidate {
  const Term *term;
  std::vector<Operation *> needed;
};

/// Whether this pass made the plan.
bool isFormed(Value plan) {
  Operation *partition = plan.getDefiningOp();
  return partition && partition->hasAttr(kFormedAttr);
}

/// Whether the work of an op is in no group yet.
bool isOpenWork(Operation *op) {
  auto apply = dyn_cast<gate::ApplyOp>(op);
  return !apply || !isFormed(apply.getPlan());
}

/// What one analysis of a block finds.
struct Round {
  Round(Block &block, double minCost)
      : block(block), demand(block), index(block, demand) {
    for (const Term &term : index.getTerms())
      if (Candidate candidate{&term, index.opsUnder(term)};
          holdsWork(candidate, minCost))
        candidates.push_back(std::move(candidate));
    // Of equal length, in the order of the block.
    llvm::sort(candidates, [](const Candidate &a, const Candidate &b) {
      return std::make_pair(a.term->size(), a.term) <
             std::make_pair(b.term->size(), b.term);
    });
  }

  /// Whether a group that was formed has to do with this one.
  bool hasTouched(const Candidate &candidate) const {
    auto isTouched = [&](Operation *op) {
      return op && (!op->getBlock() || touched.contains(op));
    };
    return llvm::any_of(candidate.needed, isTouched) ||
           llvm::any_of(*candidate.term, [&](Literal literal) {
             return isTouched(demand.atom(literal.atom).getDefiningOp());
           });
  }

  /// All that a group takes, reads, feeds or moves.
  void touch(const GroupSlice &slice) {
    touched.insert(slice.behind.begin(), slice.behind.end());
    for (Operation *op : slice.ops) {
      touched.insert(op);
      forEachUsedValue(op, [&](Value used) {
        if (Operation *def = used.getDefiningOp())
          touched.insert(def);
      });
      for (Operation *user : op->getUsers())
        touched.insert(block.findAncestorOpInBlock(*user));
    }
  }

  Block &block;
  Demand demand;
  TermIndex index;
  std::vector<Candidate> candidates;
  llvm::DenseSet<Operation *> touched;
  DetachedOps detached;

private:
  /// Whether there is enough work, were all of it in the group.
  static bool holdsWork(const Candidate &candidate, double minCost) {
    double cost = 0;
    for (Operation *op : candidate.needed) {
      if (!isOpenWork(op))
        continue;
      if (isProduct(op))
        return true;
      cost += rowCost(op);
    }
    return cost >= minCost;
  }
};

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
  static void removeDeadOps(Block &block) {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
  }

  void formInBlock(Block &block, unsigned nesting = 0) {
    if (nesting == kMaxNesting)
      return;
    std::map<Key, unsigned> tries;
    while (true) {
      SmallVector<Group> groups = formRound(block, tries);
      if (groups.empty())
        return;
      for (Group &group : groups)
        formInBlock(group.apply.getBodies()[0].front(), nesting + 1);
    }
  }

  /// Forms the groups with the weakest conditions that are worth it; deeper
  /// ones are then found inside them. Conditions that would only gather rows
  /// for a deeper group come last. As long as groups have nothing to do with
  /// each other, one analysis serves them all.
  SmallVector<Group> formRound(Block &block, std::map<Key, unsigned> &tries) {
    SmallVector<Group> groups;
    {
      Round round(block, minCost);
      for (bool isStrict : {true, false})
        if (groups.empty())
          for (const Candidate &candidate : round.candidates)
            if (auto group = form(block, round, candidate, isStrict, tries))
              groups.push_back(*group);
    }
    if (!groups.empty())
      removeDeadOps(block);
    return groups;
  }

  std::optional<Group> form(Block &block, Round &round,
                            const Candidate &candidate, bool isStrict,
                            std::map<Key, unsigned> &tries) {
    Demand &demand = round.demand;
    if (round.hasTouched(candidate))
      return std::nullopt;
    Key key = keyOf(demand, *candidate.term);
    if (key.empty() || tries[key] == kMaxGroups)
      return std::nullopt;
    GroupSlice slice =
        findSlice(block, demand, *candidate.term, candidate.needed);
    if (!isWorthIt(demand, slice, isStrict))
      return std::nullopt;
    ++tries[key];
    NamedAttrList formed = describeSlice(demand, slice);
    round.touch(slice);
    auto group = buildGroup(block, demand, slice, round.detached);
    if (group)
      group->partition->setAttr(kFormedAttr,
                                formed.getDictionary(&getContext()));
    return group;
  }

  /// Whether the group holds a product, or much else, that is in no group yet;
  /// if strict, one that still fewer rows need does not count.
  bool isWorthIt(Demand &demand, const GroupSlice &slice, bool isStrict) {
    double cost = 0;
    Term basis = demand.basis(slice.term);
    for (Operation *op : slice.ops) {
      if (slice.bases.contains(op) || !isOpenWork(op) ||
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
