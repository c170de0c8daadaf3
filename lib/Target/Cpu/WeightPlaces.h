// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The placed weights of modules: what layout makes and evaluation reads.
#ifndef GATECC_LIB_TARGET_CPU_WEIGHTPLACES_H
#define GATECC_LIB_TARGET_CPU_WEIGHTPLACES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include <optional>

namespace gatecc {

inline constexpr const char *kWeightOffset = "gate.offset";

struct PlacedWeight {
  mlir::Operation *op; // a gate.weight or gate.packed_weight
  uint64_t offset, bytes;
};

/// Bytes of one element in the weight section (bool: 1), none if unsupported.
std::optional<unsigned> weightElementBytes(mlir::Type type);
/// Bytes of a whole weight; an error on `op` if it cannot be stored.
mlir::FailureOr<uint64_t> weightBytes(mlir::Operation *op,
                                      mlir::RankedTensorType type);
/// One entry for each place.
mlir::FailureOr<mlir::SmallVector<PlacedWeight>>
collectPlacedWeights(mlir::ArrayRef<mlir::ModuleOp> modules);

} // namespace gatecc

#endif // GATECC_LIB_TARGET_CPU_WEIGHTPLACES_H
