// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Adds outputs for decisions: results of top-k, argmax and comparisons.
#include "lib/Driver/ExposeDecisions.h"

#include "dialects/Onnx/IR/OnnxOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace gatecc;

/// Which result of a node holds its decision; none if it makes none.
static std::optional<unsigned> decisionOf(onnx::NodeOp node) {
  if (!node.getDomain().empty())
    return std::nullopt;
  if (node.getOpType() == "TopK")
    return 1;
  if (llvm::is_contained({"ArgMax", "ArgMin", "Less", "LessOrEqual", "Greater",
                          "GreaterOrEqual"},
                         node.getOpType()))
    return 0;
  return std::nullopt;
}

static std::string addOutput(func::FuncOp main, Value value,
                             const Twine &name) {
  Operation *end = main.front().getTerminator();
  unsigned index = end->getNumOperands();
  end->insertOperands(index, value);
  Builder builder(main.getContext());
  std::string text = name.str();
  (void)main.insertResult(index, value.getType(),
                          builder.getDictionaryAttr(builder.getNamedAttr(
                              "gate.name", builder.getStringAttr(text))));
  return text;
}

std::vector<ExposedDecision>
gatecc::exposeDecisions(ModuleOp module, llvm::ArrayRef<std::string> sites) {
  std::vector<ExposedDecision> exposed;
  auto main = module.lookupSymbol<func::FuncOp>("main");
  if (!main || main.isExternal())
    return exposed;
  llvm::StringMap<onnx::NodeOp> nodes;
  for (auto node : main.getOps<onnx::NodeOp>())
    nodes.try_emplace(node.getNodeName(), node);
  for (auto [number, site] : llvm::enumerate(sites)) {
    onnx::NodeOp node = nodes.lookup(site);
    std::optional<unsigned> result = node ? decisionOf(node) : std::nullopt;
    if (!result || *result >= node.getNumResults())
      continue;
    std::string prefix = "gatecc.site" + std::to_string(number);
    ExposedDecision decision;
    decision.site = site;
    unsigned operands = node.getNumResults() == 1 ? node.getNumPositions() : 1;
    for (unsigned i = 0; i < operands; ++i)
      if (Value operand = node.getInputAt(i))
        decision.operands.push_back(
            addOutput(main, operand, prefix + ".operand" + Twine(i)));
    decision.decision =
        addOutput(main, node.getResult(*result), prefix + ".decision");
    exposed.push_back(std::move(decision));
  }
  return exposed;
}
