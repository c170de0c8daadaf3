// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Repeats the scalar arithmetic of a region on vectors.
#ifndef GATECC_LIB_LOWERING_CPU_VECTORIZEBODY_H
#define GATECC_LIB_LOWERING_CPU_VECTORIZEBODY_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace gatecc {

/// Whether every op of `body` before its terminator is elementwise arithmetic.
bool isVectorizableBody(mlir::Block &body);

/// `value` in each of `width` lanes; a vector stays as it is.
mlir::Value broadcastTo(mlir::OpBuilder &builder, mlir::Location loc,
                        mlir::Value value, int64_t width);

/// Clones one such op on vectors of `width` lanes.
void cloneOp(mlir::OpBuilder &builder, mlir::Operation &op,
             mlir::IRMapping &mapping, int64_t width);

/// Clones the ops of `body` before its terminator on vectors of `width` lanes
/// and maps their results in `mapping`, which holds values (scalar or vector)
/// for the body's arguments. With a width of 0 the clone is scalar.
void cloneBody(mlir::OpBuilder &builder, mlir::Block &body,
               mlir::IRMapping &mapping, int64_t width);

} // namespace gatecc

#endif // GATECC_LIB_LOWERING_CPU_VECTORIZEBODY_H
