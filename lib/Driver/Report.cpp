// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes the report of a compilation as text or JSON.
#include "lib/Driver/Report.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Target/Program.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// A place that was looked at and left as it was.
struct Refusal {
  SmallVector<std::string> nodes;
  std::string reason;
};
} // namespace

static SmallVector<std::string> readNames(ArrayAttr names) {
  SmallVector<std::string> list;
  if (names)
    for (Attribute name : names)
      if (auto text = dyn_cast<StringAttr>(name))
        list.push_back(text.str());
  return list;
}

static SmallVector<Refusal> readRefusals(ModuleOp module) {
  SmallVector<Refusal> refusals;
  auto list = module->getAttrOfType<ArrayAttr>("gatecc.refused");
  if (!list)
    return refusals;
  for (auto entry : list.getAsRange<DictionaryAttr>()) {
    Refusal refusal;
    refusal.nodes = readNames(entry.getAs<ArrayAttr>("nodes"));
    if (auto reason = entry.getAs<StringAttr>("reason"))
      refusal.reason = reason.str();
    refusals.push_back(std::move(refusal));
  }
  return refusals;
}

/// What is skipped at a site of this kind.
static StringRef effectOf(StringRef kind) {
  if (kind == "experts")
    return "each row runs the experts that it chose; the others are skipped";
  if (kind == "exit")
    return "rows that have left are taken out of the batch; later stages run "
           "on the rest";
  if (kind == "skip")
    return "the layer runs on the rows that need it";
  if (kind == "select")
    return "the work runs on the rows that are kept";
  return "rows that have halted are taken out of further steps";
}

static void writeJson(ModuleOp module, llvm::raw_ostream &os) {
  llvm::json::OStream json(os, 1);
  auto writeNodes = [&](ArrayRef<std::string> nodes) {
    json.attributeArray("nodes", [&] {
      for (const std::string &node : nodes)
        json.value(llvm::json::fixUTF8(node));
    });
  };
  json.object([&] {
    if (auto name = module->getAttrOfType<StringAttr>("gatecc.name"))
      json.attribute("model", llvm::json::fixUTF8(name.getValue()));
    json.attributeArray("sites", [&] {
      for (gate::SiteOp site : module.getOps<gate::SiteOp>())
        json.object([&] {
          json.attribute("name", llvm::json::fixUTF8(site.getName()));
          json.attribute("kind", site.getKind());
          if (site.getCost().empty())
            json.attribute("groups", nullptr);
          else
            json.attribute("groups", int64_t(site.getCost().size()));
          writeNodes(readNames(site.getNodes()));
          json.attributeArray("cost", [&] {
            for (double cost : site.getCost())
              json.value(cost);
          });
          json.attribute("full_cost", site.getFullCost().convertToDouble());
          json.attribute("effect", effectOf(site.getKind()));
          json.attribute("note", llvm::json::fixUTF8(site.getNote().value_or("")));
        });
    });
    json.attributeArray("refused", [&] {
      for (const Refusal &refusal : readRefusals(module))
        json.object([&] {
          writeNodes(refusal.nodes);
          json.attribute("reason", llvm::json::fixUTF8(refusal.reason));
        });
    });
  });
  os << "\n";
}

static void writeText(ModuleOp module, llvm::raw_ostream &os) {
  auto sites = llvm::to_vector(module.getOps<gate::SiteOp>());
  SmallVector<Refusal> refusals = readRefusals(module);
  os << sites.size() << (sites.size() == 1 ? " site" : " sites")
     << " where rows are dispatched\n";
  for (gate::SiteOp site : sites) {
    os << "site '" << site.getName() << "': " << site.getKind();
    if (site.getCost().empty())
      os << ", groups decided at run time";
    else
      os << ", " << site.getCost().size() << " groups";
    os << "\n  nodes: ";
    llvm::interleaveComma(readNames(site.getNodes()), os);
    os << "\n  " << effectOf(site.getKind()) << "\n";
    if (site.getNote())
      os << "  " << *site.getNote() << "\n";
  }
  for (const Refusal &refusal : refusals) {
    os << "not skipped: ";
    llvm::interleaveComma(refusal.nodes, os);
    os << "\n  " << refusal.reason << "\n";
  }
}

void gatecc::writeReport(ModuleOp module, bool asJson, llvm::raw_ostream &os) {
  asJson ? writeJson(module, os) : writeText(module, os);
}
