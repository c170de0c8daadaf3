// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The safetensors format: 8 bytes of length, a JSON header, the tensors' bytes.
#ifndef GATECC_LIB_IMPORT_JSON_SAFETENSORS_H
#define GATECC_LIB_IMPORT_JSON_SAFETENSORS_H

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>
#include <string>

namespace gatecc {

struct SafeTensor {
  std::string dtype; // "F32" and the like
  llvm::SmallVector<int64_t> shape;
  uint64_t offset, size; // in the file, in bytes; inside it
  bool areBoolsChecked = false;
};

struct Safetensors {
  std::unique_ptr<llvm::MemoryBuffer> buffer; // the mapped file
  llvm::StringMap<SafeTensor> tensors;
};

/// Reads the header of a file and checks that the tensors lie in the file. That
/// a tensor's size fits its shape is for the reader of the tensor to check.
llvm::Expected<Safetensors> readSafetensors(llvm::StringRef path);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_JSON_SAFETENSORS_H
