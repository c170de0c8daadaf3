// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs lld in this process. Its inputs are files in memory, so that no name of
// a temporary file gets into messages or libraries.
#include "gatecc/Target/Link.h"

#include "gatecc/Target/OutputFile.h"
#include "lib/Target/Cpu/Embedded.h"
#include "lld/Common/Driver.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include <cerrno>
#include <cstring>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

LLD_HAS_DRIVER(elf)

using namespace llvm;
using namespace gatecc;

namespace {
/// A file in memory, with a path for as long as this object lives.
class MemoryFile {
public:
  MemoryFile(StringRef name, StringRef contents)
      : file(::memfd_create(name.str().c_str(), MFD_CLOEXEC)) {
    while (file >= 0 && !contents.empty()) {
      ssize_t count = ::write(file, contents.data(), contents.size());
      if (count < 0 && errno != EINTR) {
        ::close(file);
        file = -1;
      } else if (count > 0) {
        contents = contents.drop_front(count);
      }
    }
  }
  ~MemoryFile() {
    if (file >= 0)
      ::close(file);
  }
  MemoryFile(const MemoryFile &) = delete;
  MemoryFile &operator=(const MemoryFile &) = delete;
  bool isOpen() const { return file >= 0; }
  std::string path() const { return "/proc/self/fd/" + std::to_string(file); }

private:
  int file;
};
} // namespace

static const char *const kExports =
    "{ global: gatecc_get_library; local: *; };\n";

bool gatecc::linkObjects(ArrayRef<ObjectBuffer> objects,
                         StringRef weightsObject, StringRef path, LinkKind kind,
                         LinkError &error) {
  SmallVector<std::unique_ptr<MemoryFile>> files;
  std::vector<std::string> arguments{"ld.lld"};
  auto add = [&](StringRef name, StringRef contents, StringRef prefix = "") {
    files.push_back(std::make_unique<MemoryFile>(name, contents));
    arguments.push_back(prefix.str() + files.back()->path());
    return files.back()->isOpen();
  };
  bool opened = true;
  if (kind == LinkKind::Library) {
    for (const char *option :
         {"-shared", "-z", "defs", "-z", "relro", "-z", "now", "-z",
          "noexecstack", "-Bsymbolic", "--gc-sections", "--hash-style=gnu",
          "--build-id=sha1", "--as-needed", "--fatal-warnings"})
      arguments.push_back(option);
    opened &= add("exports", kExports, "--version-script=");
  } else {
    arguments.push_back("-r");
  }
  for (const ObjectBuffer &object : objects)
    opened &= add("object", StringRef(object.data(), object.size()));
  opened &= add("runtime", runtimeObject());
  if (!weightsObject.empty())
    arguments.push_back(weightsObject.str());
  if (kind == LinkKind::Library)
    opened &= add("libc", stubLibc()) && add("libm", stubLibm());
  if (!opened) {
    error.message =
        std::string("memory for the linker's inputs: ") + std::strerror(errno);
    error.isFileSystem = true;
    return false;
  }
  // lld writes through a mapping of a file that it does not allocate: a full
  // disk would end this process. So the space is asked for first, with some
  // for headers and padding.
  uint64_t bytes = runtimeObject().size() + (64 << 10), weightsBytes = 0;
  for (const ObjectBuffer &object : objects)
    bytes += object.size();
  if (!weightsObject.empty() &&
      sys::fs::file_size(weightsObject, weightsBytes)) {
    error = {"the weights cannot be read again", /*isFileSystem=*/true};
    return false;
  }
  error.isFileSystem = !checkSpace(path, bytes + weightsBytes, error.message);
  if (error.isFileSystem)
    return false;
  arguments.push_back("-o");
  arguments.push_back(path.str());

  std::vector<const char *> pointers;
  for (const std::string &argument : arguments)
    pointers.push_back(argument.c_str());
  std::string text;
  raw_string_ostream stream(text);
  // lld keeps its state in globals.
  static std::mutex mutex;
  static bool canRunAgain = true;
  std::lock_guard<std::mutex> lock(mutex);
  if (!canRunAgain) {
    error.message = "the linker broke down in an earlier compilation";
    return false;
  }
  lld::Result result =
      lld::lldMain(pointers, stream, stream, {{lld::Gnu, &lld::elf::link}});
  canRunAgain = result.canRunAgain;
  if (result.retCode == 0)
    return true;
  error.message = StringRef(text).trim().str();
  error.isFileSystem = StringRef(text).contains("cannot open output file") ||
                       StringRef(text).contains("failed to write");
  return false;
}
