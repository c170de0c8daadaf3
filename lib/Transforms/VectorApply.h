// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An apply whose groups have single vectors for parameters, such as the experts
// of product keys.
#ifndef GATECC_LIB_TRANSFORMS_VECTORAPPLY_H
#define GATECC_LIB_TRANSFORMS_VECTORAPPLY_H

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/IR/PatternMatch.h"

namespace gatecc {

/// Whether all parameters are rows of tables, the body is work on single rows
/// that can be done in any order, and the slots are only combined.
bool isVectorApply(gate::ApplyOp apply);

/// Inlines such an apply, with its combines, in the order of rows and choices.
llvm::LogicalResult inlineVectorApply(gate::ApplyOp apply,
                                      mlir::RewriterBase &rewriter);

} // namespace gatecc

#endif // GATECC_LIB_TRANSFORMS_VECTORAPPLY_H
