// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes the report of a compilation as text or JSON.
#include "lib/Driver/Report.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Target/Program.h"
#include "lib/Driver/SiteFacts.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// A place that raising has looked at.
struct Candidate {
  std::string site, kind, reason;
  SmallVector<std::string> nodes;
  bool isTaken = false, isRouter = false;
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
                          text("decision") == "taken",
                          text("decision") == "router"});
  }
  return candidates;
}

/// Why a site was formed, and what else is to be said about it.
static std::string noteOf(gate::SiteOp site, ArrayRef<Candidate> candidates) {
  std::string note = site.getNote().value_or("").str();
  for (const Candidate &candidate : candidates)
    if (candidate.isTaken && candidate.site == site.getName() &&
        !candidate.reason.empty()) {
      // The reason of a group ends with the notes of its site.
      bool repeats = StringRef(candidate.reason).ends_with(note);
      note = repeats || note.empty() ? candidate.reason
                                     : note + "; " + candidate.reason;
    }
  return note;
}

/// What decides at a site: a router of a known form, or whatever makes ids.
static StringRef routerOf(gate::SiteOp site, ArrayRef<Candidate> candidates,
                          const SiteFacts &fact) {
  for (const Candidate &candidate : candidates)
    if (candidate.isRouter && candidate.site == site.getName())
      return candidate.reason;
  return fact.router;
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

/// The option that a reason names; "" if it names none.
static StringRef flagOf(StringRef reason) {
  constexpr StringRef flag = "--assume-finite";
  return reason.contains(flag) ? flag : "";
}

/// Why nothing changes where work is skipped. A selection drops what it does
/// not select; a product by zero does not, if the other side is not finite.
static StringRef basisOf(StringRef note) {
  for (StringRef basis : {"row guard", "--assume-finite", "test of all rows"})
    if (note.contains(("by " + basis).str()))
      return basis;
  return "proof";
}

/// Where the values of an input come from.
static std::string originOf(const CalibrationInput &input) {
  return input.file.empty() ? "generated (standard normal, seed 0)"
                            : input.file;
}

static void writeJson(const PrecisionReport &precision,
                      llvm::json::OStream &json) {
  json.attribute("cpu", precision.cpu);
  json.attributeArray("inputs", [&] {
    for (const CalibrationInput &input : precision.inputs)
      json.object([&] {
        json.attribute("name", llvm::json::fixUTF8(input.name));
        json.attribute("dtype", typeName(input.array.type));
        json.attributeArray("shape", [&] {
          for (int64_t extent : input.array.shape)
            json.value(extent);
        });
        json.attribute("from", llvm::json::fixUTF8(originOf(input)));
      });
  });
  json.attributeArray("layers", [&] {
    for (const LayerPrecision &layer : precision.layers)
      json.object([&] {
        json.attribute("name", llvm::json::fixUTF8(layer.name));
        json.attribute("format", layer.format);
        json.attribute("block", layer.block);
        json.attribute("weight_bytes", layer.weightBytes);
        json.attribute("f32_bytes", layer.f32Bytes);
        if (!layer.reason.empty()) {
          json.attribute("not_measured", llvm::json::fixUTF8(layer.reason));
          return;
        }
        json.attribute("rows", layer.rows);
        json.attribute("error", layer.error);
        json.attribute("worst_row", layer.worstRow);
      });
  });
}

static void writeText(const PrecisionReport &precision, llvm::raw_ostream &os) {
  for (const LayerPrecision &layer : precision.layers) {
    os << "experts of '" << layer.name << "': ";
    if (layer.format.empty())
      os << "not rounded";
    else
      os << layer.format;
    if (layer.block)
      os << ", blocks of " << layer.block;
    if (layer.weightBytes)
      os << ", " << layer.weightBytes << " bytes of weights (" << layer.f32Bytes
         << " in f32)";
    if (layer.reason.empty())
      os << llvm::formatv("\n  relative error {0:e3} (worst row {1:e3}) on {2} "
                          "rows\n",
                          layer.error, layer.worstRow, layer.rows);
    else
      os << "\n  relative error not measured: " << layer.reason << "\n";
  }
  if (precision.layers.empty())
    os << "no routed layer, so that no weights are rounded\n";
  if (precision.cpu.empty())
    return;
  os << "measured on";
  for (const CalibrationInput &input : precision.inputs) {
    os << (&input == &precision.inputs.front() ? " " : "; ") << input.name
       << ": " << typeName(input.array.type) << " [";
    llvm::interleaveComma(input.array.shape, os);
    os << "], " << originOf(input);
  }
  os << "\n";
}

static StringRef nodeOf(Operation *op) {
  StringRef name;
  op->getLoc()->walk([&](Location location) {
    if (auto named = dyn_cast<NameLoc>(location))
      name = named.getName().getValue();
    return name.empty() ? WalkResult::advance() : WalkResult::interrupt();
  });
  return name;
}

static constexpr StringRef kLeftOpen =
    "where its indices repeat, which ONNX leaves open, the last update counts";

/// Nodes that ONNX gives a meaning for some inputs only.
static SmallVector<StringRef> findLeftOpen(ModuleOp module) {
  SmallVector<StringRef> nodes;
  module.walk([&](Operation *op) {
    auto places = dyn_cast<gate::ScatterNDOp>(op);
    auto elements = dyn_cast<gate::ScatterElementsOp>(op);
    if ((places && places.getReduction() == gate::Reduction::None) ||
        (elements && elements.getReduction() == gate::Reduction::None))
      nodes.push_back(nodeOf(op));
  });
  return nodes;
}

static void writeJson(ModuleOp module, const PrecisionReport *precision,
                      llvm::raw_ostream &os) {
  llvm::json::OStream json(os, 1);
  SmallVector<Candidate> candidates = readCandidates(module);
  llvm::StringMap<SiteFacts> facts = collectSiteFacts(module);
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
          const SiteFacts &fact = facts[site.getSymName()];
          json.attribute("rows", llvm::json::fixUTF8(fact.rows));
          json.attribute("choices", fact.choices);
          json.attribute("router",
                         llvm::json::fixUTF8(routerOf(site, candidates, fact)));
          writeNodes(readNames(site.getNodes()));
          json.attributeArray("cost", [&] {
            for (double cost : site.getCost())
              json.value(cost);
          });
          json.attribute("full_cost", site.getFullCost().convertToDouble());
          json.attribute("effect", effectOf(site.getKind()));
          std::string note = noteOf(site, candidates);
          json.attribute("basis", basisOf(note));
          json.attribute("note", llvm::json::fixUTF8(note));
        });
    });
    json.attributeArray("refused", [&] {
      for (const Candidate &candidate : candidates)
        if (!candidate.isTaken && !candidate.isRouter)
          json.object([&] {
            json.attribute("kind", candidate.kind);
            writeNodes(candidate.nodes);
            json.attribute("reason", llvm::json::fixUTF8(candidate.reason));
            StringRef flag = flagOf(candidate.reason);
            if (flag.empty())
              json.attribute("flag", nullptr);
            else
              json.attribute("flag", flag);
          });
    });
    json.attributeArray("left_open", [&] {
      for (StringRef node : findLeftOpen(module))
        json.object([&] {
          json.attribute("node", llvm::json::fixUTF8(node));
          json.attribute("effect", kLeftOpen);
        });
    });
    if (precision)
      json.attributeObject("experts", [&] { writeJson(*precision, json); });
  });
  os << "\n";
}

static void writeText(ModuleOp module, const PrecisionReport *precision,
                      llvm::raw_ostream &os) {
  auto sites = llvm::to_vector(module.getOps<gate::SiteOp>());
  SmallVector<Candidate> candidates = readCandidates(module);
  llvm::StringMap<SiteFacts> facts = collectSiteFacts(module);
  os << sites.size() << (sites.size() == 1 ? " site" : " sites")
     << " where rows are dispatched\n";
  for (gate::SiteOp site : sites) {
    os << "site '" << site.getName() << "': " << site.getKind();
    if (site.getCost().empty())
      os << ", groups decided at run time";
    else
      os << ", " << site.getCost().size() << " groups";
    const SiteFacts &fact = facts[site.getSymName()];
    os << "\n  rows: " << fact.rows
       << "; router: " << routerOf(site, candidates, fact);
    os << "\n  nodes: ";
    llvm::interleaveComma(readNames(site.getNodes()), os);
    os << "\n  " << effectOf(site.getKind()) << "\n";
    if (std::string note = noteOf(site, candidates); !note.empty())
      os << "  " << note << "\n";
  }
  for (const Candidate &candidate : candidates)
    if (!candidate.isTaken && !candidate.isRouter) {
      os << "not skipped: ";
      llvm::interleaveComma(candidate.nodes, os);
      os << "\n  " << candidate.reason << "\n";
    }
  for (StringRef node : findLeftOpen(module))
    os << "node '" << node << "': " << kLeftOpen << "\n";
  if (precision)
    writeText(*precision, os);
}

void gatecc::writeReport(ModuleOp module, const PrecisionReport *precision,
                         bool asJson, llvm::raw_ostream &os) {
  asJson ? writeJson(module, precision, os) : writeText(module, precision, os);
}
