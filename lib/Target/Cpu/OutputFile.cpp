// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files that appear whole or not at all. A full disk, a size limit, and a
// folder that cannot be written are errors with the system's reason.
#include "gatecc/Target/OutputFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;
using namespace gatecc;

static bool fail(std::string &error, int code) {
  error = std::strerror(code);
  return false;
}

std::unique_ptr<TemporaryFile> TemporaryFile::create(StringRef output,
                                                     std::string &error) {
  // The name is no part of the result, so it may be random. The permissions
  // are those of an ordinary new file.
  SmallString<128> model(sys::path::parent_path(output)), name;
  sys::path::append(model, ".gatecc-%%%%%%%%.tmp");
  int file = -1;
  if (std::error_code code = sys::fs::createUniqueFile(model, file, name)) {
    error = code.message();
    return nullptr;
  }
  ::close(file);
  sys::RemoveFileOnSignal(name);
  return std::unique_ptr<TemporaryFile>(new TemporaryFile(name.str().str()));
}

TemporaryFile::~TemporaryFile() {
  if (name.empty())
    return;
  ::unlink(name.c_str());
  sys::DontRemoveFileOnSignal(name);
}

bool TemporaryFile::moveTo(StringRef target, std::string &error) {
  if (::rename(name.c_str(), target.str().c_str()) != 0)
    return fail(error, errno);
  sys::DontRemoveFileOnSignal(name);
  name.clear();
  return true;
}

std::unique_ptr<MappedOutput>
MappedOutput::create(StringRef path, uint64_t size, std::string &error) {
  int file =
      ::open(path.str().c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) {
    fail(error, errno);
    return nullptr;
  }
  void *bytes = MAP_FAILED;
  int code = ::posix_fallocate(file, 0, off_t(size));
  if (code == 0) {
    bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED)
      code = errno;
  }
  ::close(file);
  if (bytes == MAP_FAILED) {
    ::unlink(path.str().c_str());
    fail(error, code);
    return nullptr;
  }
  return std::unique_ptr<MappedOutput>(
      new MappedOutput(static_cast<uint8_t *>(bytes), size));
}

MappedOutput::~MappedOutput() {
  if (bytes)
    ::munmap(bytes, size);
}

bool MappedOutput::commit(std::string &error) {
  uint8_t *mapping = bytes;
  bytes = nullptr;
  return ::munmap(mapping, size) == 0 || fail(error, errno);
}

bool gatecc::checkSpace(StringRef output, uint64_t bytes, std::string &error) {
  std::unique_ptr<TemporaryFile> file = TemporaryFile::create(output, error);
  if (!file)
    return false;
  int descriptor = ::open(file->path().c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0)
    return fail(error, errno);
  int code = ::posix_fallocate(descriptor, 0, off_t(bytes));
  ::close(descriptor);
  return code == 0 || fail(error, code);
}

bool gatecc::isSpecialFile(StringRef path) {
  struct stat status;
  return ::stat(path.str().c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

static bool writeAll(int file, StringRef text, std::string &error) {
  while (!text.empty()) {
    ssize_t count = ::write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return fail(error, errno);
    text = text.drop_front(count);
  }
  return true;
}

bool gatecc::writeOutput(StringRef path, StringRef text, std::string &error) {
  if (path.empty() || path == "-")
    return writeAll(STDOUT_FILENO, text, error);
  bool direct = isSpecialFile(path);
  std::unique_ptr<TemporaryFile> temporary;
  if (!direct && !(temporary = TemporaryFile::create(path, error)))
    return false;
  int file = ::open(direct ? path.str().c_str() : temporary->path().c_str(),
                    O_WRONLY | O_CLOEXEC);
  if (file < 0)
    return fail(error, errno);
  bool written = writeAll(file, text, error);
  if (::close(file) != 0 && written)
    written = fail(error, errno);
  return written && (direct || temporary->moveTo(path, error));
}
