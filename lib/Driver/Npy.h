// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// NumPy's .npy files: arrays that `gatecc run` reads and writes.
#ifndef GATECC_LIB_DRIVER_NPY_H
#define GATECC_LIB_DRIVER_NPY_H

#include "gatecc/runtime.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>
#include <vector>

namespace gatecc {

/// An array in C order, little-endian.
struct NpyArray {
  /// Code and bits as in the file. NumPy has no bfloat16: such a tensor is a
  /// file of uint16 (or V2), see adoptType.
  DLDataType type = {kDLFloat, 32, 1};
  /// V2: two bytes that mean nothing to NumPy.
  bool isOpaque = false;
  std::vector<int64_t> shape;
  std::vector<uint8_t> data;

  /// Reads the bits as `wanted` where that is a documented view: float16 and
  /// bfloat16 from uint16 or V2. Leaves other types alone.
  void adoptType(DLDataType wanted);
};

/// Parses a whole file; without a result, `error` says why.
std::optional<NpyArray> parseNpy(llvm::StringRef file, std::string &error);

/// Reads a file as an array for a tensor of the type `wanted`, if that is known
/// (see adoptType); without a result, `error` names the file and says why.
std::optional<NpyArray> readNpy(llvm::StringRef file,
                                std::optional<DLDataType> wanted,
                                std::string &error);

/// The file of an array. bfloat16 becomes uint16.
std::string formatNpy(DLDataType type, llvm::ArrayRef<int64_t> shape,
                      llvm::StringRef data);

/// "f32", "bf16", "i64", "u8", "bool": as in the JSON form.
std::string typeName(DLDataType type);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_NPY_H
