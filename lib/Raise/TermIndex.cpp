// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Terms by their literals.
#include "TermIndex.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

TermIndex::TermIndex(Block &block, const Demand &demand) : demand(demand) {
  std::map<Term, unsigned> numbers;
  for (Operation &op : block.without_terminator()) {
    const Term &term = demand.of(&op);
    if (term.empty())
      continue;
    auto [place, isNew] = numbers.try_emplace(term, terms.size());
    if (isNew) {
      for (Literal literal : term)
        holders[literal].push_back(terms.size());
      terms.push_back(term);
      ops.emplace_back();
    }
    ops[place->second].push_back(&op);
  }
}

std::vector<Operation *> TermIndex::opsUnder(const Term &term) const {
  const Numbers *fewest = nullptr;
  for (Literal literal : term) {
    auto found = holders.find(literal);
    if (found == holders.end())
      return {};
    if (!fewest || found->second.size() < fewest->size())
      fewest = &found->second;
  }
  std::vector<Operation *> under;
  if (!fewest)
    return under;
  for (unsigned number : *fewest)
    if (containsAll(terms[number], term))
      llvm::append_range(under, ops[number]);
  llvm::sort(under, [&](Operation *a, Operation *b) {
    return demand.numberOf(a) < demand.numberOf(b);
  });
  return under;
}
