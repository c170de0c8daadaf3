// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// NumPy's .npz files: ZIP archives of .npy files, stored or deflated.
#ifndef GATECC_LIB_DRIVER_NPZ_H
#define GATECC_LIB_DRIVER_NPZ_H

#include "lib/Driver/Npy.h"
#include "llvm/ADT/ArrayRef.h"

namespace gatecc {

/// An array and its key: the name of its file without ".npy".
using NamedArray = std::pair<std::string, NpyArray>;

/// The arrays of a whole archive in its order; without a result, `error` says
/// why.
std::optional<std::vector<NamedArray>> parseNpz(llvm::StringRef file,
                                                std::string &error);

/// Reads a file; without a result, `error` names it and says why.
std::optional<std::vector<NamedArray>> readNpz(llvm::StringRef path,
                                               std::string &error);

/// The archive of these arrays, stored, each file of less than 4 GiB; empty if
/// it would have to be larger.
std::string formatNpz(llvm::ArrayRef<NamedArray> arrays);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_NPZ_H
