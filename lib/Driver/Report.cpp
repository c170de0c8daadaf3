// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes the report of a compilation as text or JSON.
#include "lib/Driver/Report.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Target/Program.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// A place that raising has looked at.
struct Candidate {
  std::string site, kind, reason;
  SmallVector<std::string> nodes;
  bool isTaken = false;
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

static SmallVector<Candidate> readCandidates(ModuleOp module) {
  SmallVector<Candidate> candidates;
  auto list = module->getAttrOfType<ArrayAttr>("gatecc.report");
  if (!list)
    return candidates;
  for (Attribute attribute : list) {
    auto entry = dyn_cast<DictionaryAttr>(attribute);
    if (!entry)
      continue;
    auto text = [&](StringRef name) {
      auto value = entry.getAs<StringAttr>(name);
      return value ? value.str() : std::string();
    };
    candidates.push_back({text("site"), text("kind"), text("reason"),
                          readNames(entry.getAs<ArrayAttr>("nodes")),
                          text("decision") == "taken"});
  }
  return candidates;
}

/// Why a site was formed, and what else is to be said about it.
static std::string noteOf(gate::SiteOp site, ArrayRef<Candidate> candidates) {
  std::string note = site.getNote().value_or("").str();
  for (const Candidate &candidate : candidates)
    if (candidate.isTaken && candidate.site == site.getName() &&
        !candidate.reason.empty())
      note += (note.empty() ? "" : "; ") + candidate.reason;
  return note;
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
  SmallVector<Candidate> candidates = readCandidates(module);
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
          json.attribute("note", llvm::json::fixUTF8(noteOf(site, candidates)));
        });
    });
    json.attributeArray("refused", [&] {
      for (const Candidate &candidate : candidates)
        if (!candidate.isTaken)
          json.object([&] {
            json.attribute("kind", candidate.kind);
            writeNodes(candidate.nodes);
            json.attribute("reason", llvm::json::fixUTF8(candidate.reason));
          });
    });
  });
  os << "\n";
}

static void writeText(ModuleOp module, llvm::raw_ostream &os) {
  auto sites = llvm::to_vector(module.getOps<gate::SiteOp>());
  SmallVector<Candidate> candidates = readCandidates(module);
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
    if (std::string note = noteOf(site, candidates); !note.empty())
      os << "  " << note << "\n";
  }
  for (const Candidate &candidate : candidates)
    if (!candidate.isTaken) {
      os << "not skipped: ";
      llvm::interleaveComma(candidate.nodes, os);
      os << "\n  " << candidate.reason << "\n";
    }
}

void gatecc::writeReport(ModuleOp module, bool asJson, llvm::raw_ostream &os) {
  asJson ? writeJson(module, os) : writeText(module, os);
}
