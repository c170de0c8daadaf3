// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Model files, and the data files beside them that they may refer to.
#ifndef GATECC_LIB_IMPORT_SOURCE_SOURCEFILE_H
#define GATECC_LIB_IMPORT_SOURCE_SOURCEFILE_H

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>
#include <string>

namespace gatecc {

/// Maps a regular file. The message of an error gives the reason only.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
openSource(llvm::StringRef path);

/// SHA-256 of bytes as hexadecimal digits.
std::string hashSource(llvm::StringRef bytes);

/// The data files of one model: each must be a regular file inside the model's
/// folder, also after symbolic links are followed.
class DataFiles {
public:
  explicit DataFiles(llvm::StringRef modelPath) : modelPath(modelPath) {}

  struct DataFile {
    std::string path; // the model's folder joined with the name
    uint64_t size;
  };
  llvm::Expected<DataFile> find(llvm::StringRef name);

private:
  std::string modelPath;
  llvm::StringMap<DataFile> found;
};

/// An error that is a message.
llvm::Error sourceError(const llvm::Twine &message);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_SOURCE_SOURCEFILE_H
