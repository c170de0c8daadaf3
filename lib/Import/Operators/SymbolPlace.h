// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where weights and sites go in a module.
#ifndef GATECC_LIB_IMPORT_OPERATORS_SYMBOLPLACE_H
#define GATECC_LIB_IMPORT_OPERATORS_SYMBOLPLACE_H

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace gatecc {

/// Behind all weights and sites, before the functions: symbols are read from
/// top to bottom. Searched from the end, as a network may have 100000 weights.
inline mlir::Block::iterator placeOfSymbols(mlir::ModuleOp module) {
  mlir::Block &body = *module.getBody();
  mlir::Block::iterator place = body.end();
  while (place != body.begin() &&
         !mlir::isa<gate::WeightOp, gate::SiteOp>(*std::prev(place)))
    --place;
  return place;
}

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_SYMBOLPLACE_H
