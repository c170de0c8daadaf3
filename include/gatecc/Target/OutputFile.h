// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files that appear whole or not at all: written beside, then renamed.
#ifndef GATECC_TARGET_OUTPUTFILE_H
#define GATECC_TARGET_OUTPUTFILE_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <memory>
#include <string>

namespace gatecc {

/// The name of a file that does not exist yet, in the folder of `output`, and
/// that is removed when this object or the process ends, unless it was moved.
class TemporaryFile {
public:
  static std::unique_ptr<TemporaryFile> create(llvm::StringRef output,
                                               std::string &error);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile &) = delete;
  TemporaryFile &operator=(const TemporaryFile &) = delete;

  const std::string &path() const { return name; }
  /// Renames it to `target`.
  bool moveTo(llvm::StringRef target, std::string &error);

private:
  explicit TemporaryFile(std::string name) : name(std::move(name)) {}
  std::string name;
};

/// A new file of a known size, written through a mapping. Its space is
/// allocated first, so that a full disk is an error and not a signal.
class MappedOutput {
public:
  static std::unique_ptr<MappedOutput>
  create(llvm::StringRef path, uint64_t size, std::string &error);
  ~MappedOutput();
  MappedOutput(const MappedOutput &) = delete;
  MappedOutput &operator=(const MappedOutput &) = delete;

  uint8_t *data() { return bytes; }
  /// Ends writing.
  bool commit(std::string &error);

private:
  MappedOutput(uint8_t *bytes, uint64_t size) : bytes(bytes), size(size) {}
  uint8_t *bytes;
  uint64_t size;
};

/// Whether a file of this size could be written beside `output` now: allocates
/// it and gives it back. For writers that use a mapping without allocating.
bool checkSpace(llvm::StringRef output, uint64_t bytes, std::string &error);

/// Writes `text` to `path`: beside and renamed for ordinary files, directly
/// for others such as /dev/null; "" or "-" is standard output.
bool writeOutput(llvm::StringRef path, llvm::StringRef text,
                 std::string &error);

/// Whether something of its own kind (a device, a folder) lies at `path`, that
/// must not be replaced.
bool isSpecialFile(llvm::StringRef path);

} // namespace gatecc

#endif // GATECC_TARGET_OUTPUTFILE_H
