// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Opens model files and finds the data files beside them, which may not lie
// outside the model's folder: a model from elsewhere must not read any file.
#include "lib/Import/Source/SourceFile.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SHA256.h"

using namespace llvm;
using namespace gatecc;

Error gatecc::sourceError(const Twine &message) {
  return createStringError(inconvertibleErrorCode(), message);
}

static Expected<uint64_t> regularFileSize(StringRef path) {
  sys::fs::file_status status;
  if (std::error_code code = sys::fs::status(path, status))
    return sourceError("cannot be opened: " + code.message());
  if (status.type() == sys::fs::file_type::directory_file)
    return sourceError("is a folder; name the model file in it");
  if (status.type() != sys::fs::file_type::regular_file)
    return sourceError("is no regular file");
  return status.getSize();
}

Expected<std::unique_ptr<MemoryBuffer>> gatecc::openSource(StringRef path) {
  Expected<uint64_t> size = regularFileSize(path);
  if (!size)
    return size.takeError();
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer = MemoryBuffer::getFile(
      path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (std::error_code code = buffer.getError())
    return sourceError("cannot be read: " + code.message());
  return std::move(*buffer);
}

std::string gatecc::hashSource(StringRef bytes) {
  return toHex(SHA256::hash(arrayRefFromStringRef(bytes)), /*LowerCase=*/true);
}

Expected<DataFiles::DataFile> DataFiles::find(StringRef name) {
  if (auto it = found.find(name); it != found.end())
    return it->second;
  auto describe = [&](const Twine &reason) {
    return sourceError("names the data file '" + name + "', which " + reason);
  };
  if (name.empty())
    return sourceError("names no data file");
  if (name.contains('\0'))
    return describe("has a name with a zero byte");
  if (sys::path::is_absolute(name))
    return describe("has an absolute path; it must lie in the model's folder");
  for (auto it = sys::path::begin(name), end = sys::path::end(name); it != end;
       ++it)
    if (*it == "..")
      return describe(
          "has '..' in its path; it must lie in the model's folder");

  SmallString<256> path(sys::path::parent_path(modelPath));
  SmallString<256> folder(path.empty() ? StringRef(".") : StringRef(path));
  sys::path::append(path, name);
  Expected<uint64_t> size = regularFileSize(path);
  if (!size)
    return describe(toString(size.takeError()) + "; expected at " + path);

  SmallString<256> realFolder, realPath;
  if (std::error_code code = sys::fs::real_path(folder, realFolder))
    return describe("has a folder that cannot be resolved: " + code.message());
  if (std::error_code code = sys::fs::real_path(path, realPath))
    return describe("cannot be resolved: " + code.message());
  auto folderPart = sys::path::begin(realFolder),
       folderEnd = sys::path::end(realFolder);
  auto pathPart = sys::path::begin(realPath),
       pathEnd = sys::path::end(realPath);
  for (; folderPart != folderEnd; ++folderPart, ++pathPart)
    if (pathPart == pathEnd || *pathPart != *folderPart)
      return describe(
          "leads out of the model's folder through a symbolic link; copy "
          "the file there");
  DataFile file{std::string(path), *size};
  found[name] = file;
  return file;
}
