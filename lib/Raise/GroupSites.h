// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sites and report entries for the groups that were formed, and the reasons
// for those that were not.
#ifndef GATECC_LIB_RAISE_GROUPSITES_H
#define GATECC_LIB_RAISE_GROUPSITES_H

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringSet.h"

namespace gatecc::raise {

/// Module attribute: [{site, kind, nodes, decision, reason}].
inline constexpr llvm::StringLiteral kReportAttr = "gatecc.report";

/// Of a selection: why it may stand in the place of a product by zero.
inline constexpr llvm::StringLiteral kBasisAttr = "gatecc.basis";

/// The entries that earlier passes have made.
llvm::SmallVector<mlir::Attribute> readReport(mlir::ModuleOp module);
/// Makes `report` the module's; an empty one leaves no attribute.
void writeReport(mlir::ModuleOp module, llvm::ArrayRef<mlir::Attribute> report);

mlir::Attribute reportEntry(mlir::MLIRContext *context, llvm::StringRef site,
                            llvm::StringRef kind, mlir::ArrayAttr nodes,
                            llvm::StringRef decision, llvm::StringRef reason);

/// Keeps the names of sites different (`#n` where one repeats).
class SiteNamer {
public:
  explicit SiteNamer(mlir::ModuleOp module);
  std::string uniqueName(llvm::StringRef wanted);
  void insert(gate::SiteOp site, mlir::Block::iterator place);

private:
  mlir::SymbolTable symbols;
  llvm::StringSet<> taken;
};

/// Gives every formed partition its site: one for each chain of nested exits,
/// one for each skipped layer.
void createSites(mlir::ModuleOp module,
                 llvm::SmallVectorImpl<mlir::Attribute> &report);

/// Says for each selection that is left why its branches are computed for all
/// rows.
void reportRefusals(mlir::ModuleOp module,
                    llvm::SmallVectorImpl<mlir::Attribute> &report);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_GROUPSITES_H
