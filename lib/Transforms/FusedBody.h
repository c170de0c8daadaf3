// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How long the body of an op may become by fusion. Each step of a chain clones
// what was fused before, and a loop's values have to stay in registers.
#ifndef GATECC_LIB_TRANSFORMS_FUSEDBODY_H
#define GATECC_LIB_TRANSFORMS_FUSEDBODY_H

#include "mlir/IR/Block.h"

namespace gatecc {

inline constexpr size_t maxFusedOps = 100;

/// Whether both bodies may become one.
inline bool mayBecomeOne(mlir::Block &a, mlir::Block &b) {
  return a.getOperations().size() + b.getOperations().size() <= maxFusedOps;
}

} // namespace gatecc

#endif // GATECC_LIB_TRANSFORMS_FUSEDBODY_H
