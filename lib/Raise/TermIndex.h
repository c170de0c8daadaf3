// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The terms of a block's ops, each once, and the ops that are needed under
// each. A block may have as many terms as ops; what implies a term is found
// through the rarest of its literals.
#ifndef GATECC_LIB_RAISE_TERMINDEX_H
#define GATECC_LIB_RAISE_TERMINDEX_H

#include "gatecc/Raise/Demand.h"
#include <map>
#include <vector>

namespace gatecc::raise {

class TermIndex {
public:
  TermIndex(mlir::Block &block, const Demand &demand);

  /// All but `true`, in the order in which ops first have them.
  llvm::ArrayRef<Term> getTerms() const { return terms; }
  /// The ops whose term implies this one, in block order.
  std::vector<mlir::Operation *> opsUnder(const Term &term) const;

private:
  using Numbers = std::vector<unsigned>;

  const Demand &demand;
  std::vector<Term> terms;
  std::vector<std::vector<mlir::Operation *>> ops; // of each term
  std::map<Literal, Numbers> holders;              // terms with a literal
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_TERMINDEX_H
