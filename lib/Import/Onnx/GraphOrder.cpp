// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Orders nodes by depth-first search, without recursion: graphs can be long.
#include "lib/Import/Onnx/GraphOrder.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;
using namespace gatecc;
using namespace gatecc::proto;

std::string gatecc::describeNode(const Node &node) {
  StringRef name = node.name;
  for (StringRef output : node.outputs)
    if (name.empty())
      name = output;
  return ("node '" + name + "' (" + node.op + ")").str();
}

/// The nodes that `node` and its bodies (nested less deep than the parser's
/// limit) need. Names that a body itself makes may hide an outer node's; the
/// extra edge then matters only to graphs that are not ordered already.
static void collectNeeds(const Node &node, const StringMap<unsigned> &makers,
                         SmallVectorImpl<unsigned> &needs) {
  auto need = [&](StringRef name) {
    if (auto it = makers.find(name); it != makers.end())
      needs.push_back(it->second);
  };
  for (StringRef input : node.inputs)
    need(input);
  for (const Attribute &attribute : node.attributes)
    for (const Graph &graph : attribute.graph) {
      for (const Node &inner : graph.nodes)
        collectNeeds(inner, makers, needs);
      for (const ValueInfo &output : graph.outputs)
        need(output.name);
    }
}

std::optional<std::vector<unsigned>> gatecc::orderNodes(ArrayRef<Node> nodes,
                                                        std::string &error) {
  StringMap<unsigned> makers;
  for (auto [index, node] : enumerate(nodes))
    for (StringRef output : node.outputs)
      if (!output.empty())
        if (auto [it, isNew] = makers.try_emplace(output, index); !isNew) {
          error = ("value '" + output + "' is made twice, by " +
                   describeNode(nodes[it->second]) + " and by " +
                   describeNode(node) + "; every value needs a name of its own")
                      .str();
          return std::nullopt;
        }

  struct Visit {
    unsigned node;
    SmallVector<unsigned, 4> needs;
    unsigned next = 0;
  };
  enum State : char { New, Open, Done };
  std::vector<char> state(nodes.size(), New);
  std::vector<unsigned> order;
  order.reserve(nodes.size());
  std::vector<Visit> stack;
  auto open = [&](unsigned node) {
    state[node] = Open;
    stack.push_back({node, {}});
    collectNeeds(nodes[node], makers, stack.back().needs);
  };
  for (unsigned root = 0; root < nodes.size(); ++root) {
    if (state[root] == New)
      open(root);
    while (!stack.empty()) {
      Visit &visit = stack.back();
      if (visit.next == visit.needs.size()) {
        state[visit.node] = Done;
        order.push_back(visit.node);
        stack.pop_back();
        continue;
      }
      unsigned needed = visit.needs[visit.next++];
      if (state[needed] == New) {
        open(needed);
      } else if (state[needed] == Open) {
        error = "the graph has a cycle: ";
        auto first =
            find_if(stack, [&](const Visit &v) { return v.node == needed; });
        constexpr unsigned maxNamed = 8;
        unsigned named = 0;
        for (; first != stack.end() && named < maxNamed; ++first, ++named)
          error += describeNode(nodes[first->node]) + " needs ";
        error += first == stack.end() ? describeNode(nodes[needed]) : "...";
        return std::nullopt;
      }
    }
  }
  return order;
}
