// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where weights lie in a library, and how their bytes get there.
#ifndef GATECC_TARGET_WEIGHTS_H
#define GATECC_TARGET_WEIGHTS_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace gatecc {

/// Places the weights that code reads: sets `gate.offset` (i64, bytes from the
/// start of the weight section, a multiple of 64) on every gate.weight and
/// gate.packed_weight that a gate.weight_value or gate.weight_buffer names.
/// Equal weights of different modules (the versions for different CPUs), or of
/// one, share their place. Returns the size of the section.
mlir::FailureOr<uint64_t> layoutWeights(llvm::ArrayRef<mlir::ModuleOp> modules);

/// The size of the section of modules whose weights have been placed.
mlir::FailureOr<uint64_t> placedBytes(llvm::ArrayRef<mlir::ModuleOp> modules);

enum class WeightContainer {
  Object, // a relocatable ELF object that defines gatecc_weights
  File    // the weight file of runtime/program.h
};

/// Evaluates all placed weights into a new file at `path`, which is a part of
/// `result` (for messages): the sources are mapped and read once, nothing is
/// held in memory. `hash` is XXH64 of the data. Errors, also a full disk, are
/// diagnostics.
mlir::LogicalResult writeWeights(llvm::ArrayRef<mlir::ModuleOp> modules,
                                 WeightContainer container,
                                 llvm::StringRef path, llvm::StringRef result,
                                 uint64_t &hash);

/// The bytes of the placed weights, for tests: writes into `data`, which holds
/// placedBytes() zeros.
mlir::LogicalResult evaluateWeights(llvm::ArrayRef<mlir::ModuleOp> modules,
                                    llvm::MutableArrayRef<uint8_t> data);

} // namespace gatecc

#endif // GATECC_TARGET_WEIGHTS_H
