// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Norms of weights, which are read where they lie.
#ifndef GATECC_LIB_RAISE_WEIGHTNORMS_H
#define GATECC_LIB_RAISE_WEIGHTNORMS_H

#include "dialects/Gate/IR/GateOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>
#include <optional>

namespace gatecc::raise {

/// Of all matrices [K, N] of a tensor [..., K, N].
struct Norms {
  /// The largest magnitude of an element; NaN if one is NaN.
  double element = 0;
  /// The largest sum of magnitudes of a column; NaN if an element is.
  double column = 0;
};

class WeightNorms {
public:
  explicit WeightNorms(mlir::ModuleOp module) : module(module) {}

  /// Nothing if the value is no constant of f32 or narrower, or cannot be read.
  std::optional<Norms> of(mlir::Value constant);
  /// The bound of rows that are looked up in a constant table, whatever the
  /// indices; nothing for other values, and where it is not finite.
  std::optional<double> boundOf(mlir::Value rows);

private:
  std::optional<Norms> ofWeight(gate::WeightOp weight);
  std::optional<Norms> ofFile(gate::WeightOp weight);
  gate::WeightOp lookUp(mlir::StringAttr symbol);

  mlir::ModuleOp module;
  llvm::DenseMap<mlir::StringAttr, gate::WeightOp> symbols;
  llvm::DenseMap<mlir::Operation *, std::optional<Norms>> known;
  llvm::StringMap<std::unique_ptr<llvm::MemoryBuffer>> files;
};

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_WEIGHTNORMS_H
