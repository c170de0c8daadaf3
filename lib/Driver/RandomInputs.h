// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Inputs for networks that nobody has given any: the same on every machine for
// the same seed.
#ifndef GATECC_LIB_DRIVER_RANDOMINPUTS_H
#define GATECC_LIB_DRIVER_RANDOMINPUTS_H

#include "lib/Driver/Npz.h"
#include "mlir/IR/BuiltinOps.h"
#include <random>

namespace gatecc {

/// Fills an array of floats from the standard normal distribution, one of
/// integers from 0 to `limit` - 1 and one of bools with both values.
void fillRandom(NpyArray &array, int64_t limit, std::mt19937_64 &random);

/// For each input of `module`, which is at the level Import, how many values an
/// integer may take: as many as the smallest table has rows that it chooses
/// rows of (token ids), through moves and casts; 2 if there is none.
std::vector<int64_t> findIndexLimits(mlir::ModuleOp module);

/// The values that run number `run` gives to `count` symbolic dimensions: 1, 2,
/// 7 and 64 in turn, each dimension one further than the one before it; then a
/// run in which the first dimension is 0; then random ones.
std::vector<int64_t> chooseExtents(unsigned count, unsigned run,
                                   std::mt19937_64 &random);

/// Makes all inputs of `library`; without a result, `error` says why.
std::optional<std::vector<NamedArray>>
makeInputs(const gatecc_library &library, llvm::ArrayRef<int64_t> limits,
           llvm::ArrayRef<int64_t> extents, std::mt19937_64 &random,
           std::string &error);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_RANDOMINPUTS_H
