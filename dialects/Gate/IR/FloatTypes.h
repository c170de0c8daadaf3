// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Types that numbers are kept in, and those that they are computed in.
#ifndef GATECC_DIALECTS_GATE_IR_FLOATTYPES_H
#define GATECC_DIALECTS_GATE_IR_FLOATTYPES_H

#include "mlir/IR/BuiltinTypes.h"

namespace gatecc::gate {

/// f16 and bf16: computed in f32 and rounded.
inline bool isNarrowFloat(mlir::Type type) {
  return type.isF16() || type.isBF16();
}

/// f32 for those, other types themselves.
inline mlir::Type computedIn(mlir::Type type) {
  return isNarrowFloat(type) ? mlir::Float32Type::get(type.getContext()) : type;
}

} // namespace gatecc::gate

#endif // GATECC_DIALECTS_GATE_IR_FLOATTYPES_H
