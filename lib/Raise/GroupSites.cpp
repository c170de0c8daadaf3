// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Names exit networks and skipped layers, and counts what their rows cost.
#include "GroupSites.h"

#include "GroupBuilder.h"
#include "RowCost.h"
#include "SlotIndex.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

SmallVector<Attribute> raise::readReport(ModuleOp module) {
  auto entries = module->getAttrOfType<ArrayAttr>(kReportAttr);
  return entries ? llvm::to_vector(entries.getValue())
                 : SmallVector<Attribute>();
}

void raise::writeReport(ModuleOp module, ArrayRef<Attribute> report) {
  if (!report.empty())
    module->setAttr(kReportAttr, ArrayAttr::get(module.getContext(), report));
}

Attribute raise::reportEntry(MLIRContext *context, StringRef site,
                             StringRef kind, ArrayAttr nodes,
                             StringRef decision, StringRef reason) {
  Builder builder(context);
  NamedAttrList entry;
  entry.append("site", builder.getStringAttr(site));
  entry.append("kind", builder.getStringAttr(kind));
  entry.append("nodes", nodes);
  entry.append("decision", builder.getStringAttr(decision));
  entry.append("reason", builder.getStringAttr(reason));
  return entry.getDictionary(context);
}

/// A partition that was formed, with what belongs to it.
namespace {
struct ExitLevel {
  gate::PartitionOp partition;
  gate::ApplyOp apply;
  SmallVector<gate::MergeOp> merges;
  DictionaryAttr formed;
};
} // namespace

static std::optional<ExitLevel> levelOf(Operation *op) {
  auto partition = dyn_cast<gate::PartitionOp>(op);
  auto formed = partition ? op->getAttrOfType<DictionaryAttr>(kFormedAttr)
                          : DictionaryAttr();
  if (!formed)
    return std::nullopt;
  ExitLevel level{partition, {}, {}, formed};
  for (Operation *user : partition.getPlan().getUsers())
    if (auto apply = dyn_cast<gate::ApplyOp>(user))
      level.apply = apply;
    else if (auto merge = dyn_cast<gate::MergeOp>(user))
      level.merges.push_back(merge);
  return level.apply ? std::optional(level) : std::nullopt;
}

/// The partition inside that decides which of the rows go on: the last one
/// whose merged rows the region yields.
static std::optional<ExitLevel> deeperLevel(const ExitLevel &level) {
  Block &body = gate::ApplyOp(level.apply).getBodies()[0].front();
  for (Operation &op : llvm::reverse(body))
    if (auto inner = levelOf(&op))
      for (gate::MergeOp merge : inner->merges)
        if (llvm::is_contained(merge->getUsers(), body.getTerminator()))
          return inner;
  return std::nullopt;
}

/// Whether all elements of `value` are one number.
static bool isFilled(Value value) {
  value = withoutReshapes(value);
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant)))
    return constant.isSplat();
  return value.getDefiningOp<linalg::FillOp>() != nullptr;
}

/// Whether rows that are not taken keep what they came in with.
static bool passesThrough(const ExitLevel &level) {
  return llvm::any_of(level.merges, [&](gate::MergeOp merge) {
    return llvm::is_contained(gate::ApplyOp(level.apply).getInputs(),
                              merge.getBase()) ||
           (isFilled(merge.getBase()) &&
            isa<FloatType>(merge.getType().getElementType()));
  });
}

/// What a row has cost when the first decision is made, and what it leaves
/// with.
static double costBefore(const ExitLevel &level) {
  Block *block = gate::PartitionOp(level.partition)->getBlock();
  SmallVector<Value> work;
  auto push = [&](Value value) { work.push_back(value); };
  forEachUsedValue(level.partition, push);
  forEachUsedValue(level.apply, push);
  for (gate::MergeOp merge : level.merges)
    work.push_back(merge.getBase());
  llvm::DenseSet<Operation *> seen{level.partition, level.apply};
  double cost = 0;
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (!op || op->getBlock() != block || !seen.insert(op).second)
      continue;
    cost += rowCost(op);
    forEachUsedValue(op, push);
  }
  return cost;
}

SiteNamer::SiteNamer(ModuleOp module) : symbols(module) {
  for (auto site : module.getOps<gate::SiteOp>())
    taken.insert(site.getName());
}

std::string SiteNamer::uniqueName(StringRef wanted) {
  std::string name = wanted.str();
  for (unsigned n = 2; !taken.insert(name).second; ++n)
    name = (wanted + "#" + Twine(n)).str();
  return name;
}

void SiteNamer::insert(gate::SiteOp site, Block::iterator place) {
  symbols.insert(site, place);
}

static void createSite(SmallVectorImpl<ExitLevel> &chain, SiteNamer &namer,
                       SmallVectorImpl<Attribute> &report) {
  MLIRContext *context = chain[0].partition.getContext();
  OpBuilder builder(context);
  auto known = chain[0].formed.getAs<StringAttr>("kind");
  bool isSkip = chain.size() == 1 && (known || passesThrough(chain[0]));
  StringRef kind = !isSkip ? "exit" : known ? known.getValue() : "skip";
  SmallVector<double> cost;
  if (isSkip) {
    cost = {rowCost(chain[0].apply), 0.0};
  } else {
    cost.push_back(costBefore(chain[0]));
    for (unsigned i = 0; i < chain.size(); ++i) {
      double all = rowCost(chain[i].apply);
      double deeper = i + 1 < chain.size() ? rowCost(chain[i + 1].apply) : 0.0;
      cost.push_back(cost.back() + all - deeper);
    }
  }
  SmallVector<StringRef> nodes, notes;
  std::string deciders;
  auto addStrings = [](SmallVector<StringRef> &to, Attribute strings) {
    for (auto string : cast<ArrayAttr>(strings).getAsValueRange<StringAttr>())
      if (!llvm::is_contained(to, string))
        to.push_back(string);
  };
  for (ExitLevel &level : chain) {
    addStrings(nodes, level.formed.get("nodes"));
    addStrings(notes, level.formed.get("notes"));
    StringRef name = cast<StringAttr>(level.formed.get("name")).getValue();
    std::string quoted =
        name.empty() ? "its condition" : "'" + name.str() + "'";
    deciders += (deciders.empty() ? "" : ", ") + quoted;
  }
  StringRef wanted = cast<StringAttr>(chain[0].formed.get("name")).getValue();
  std::string name = namer.uniqueName(wanted.empty() ? kind : wanted);
  std::string reason =
      isSkip
          ? "only the rows that " + deciders + " selects are computed"
          : "rows that leave at " + deciders + " are not computed any further";
  std::string note = llvm::join(notes, "; ");
  if (!note.empty())
    reason += "; " + note;

  Location loc = chain[0].partition.getLoc();
  auto site = gate::SiteOp::create(
      builder, loc, builder.getStringAttr("site"), builder.getStringAttr(name),
      builder.getStringAttr(kind), builder.getDenseF64ArrayAttr(cost),
      builder.getF64FloatAttr(isSkip ? cost.front() : cost.back()),
      builder.getStrArrayAttr(nodes), builder.getStringAttr(note));
  Operation *function = chain[0].partition->getParentOfType<func::FuncOp>();
  namer.insert(site, function->getIterator());
  for (auto [index, level] : llvm::enumerate(chain)) {
    level.partition.setSiteAttr(FlatSymbolRefAttr::get(site.getSymNameAttr()));
    level.partition.setExit(index);
    level.partition->removeAttr(kFormedAttr);
  }
  report.push_back(reportEntry(
      context, name, kind, builder.getStrArrayAttr(nodes), "taken", reason));
}

void raise::createSites(ModuleOp module, SmallVectorImpl<Attribute> &report) {
  SmallVector<Operation *> formed;
  module.walk<WalkOrder::PreOrder>([&](gate::PartitionOp op) {
    if (op->hasAttr(kFormedAttr))
      formed.push_back(op);
  });
  SiteNamer namer(module);
  for (Operation *op : formed) {
    auto level = levelOf(op);
    SmallVector<ExitLevel> chain;
    for (; level; level = deeperLevel(*level))
      chain.push_back(*level);
    if (!chain.empty())
      createSite(chain, namer, report);
  }
}
