// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Links objects into a shared library, in process.
#ifndef GATECC_TARGET_LINK_H
#define GATECC_TARGET_LINK_H

#include "gatecc/Target/Object.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <string>

namespace gatecc {

enum class LinkKind {
  Library,    // a shared library that exports gatecc_get_library only
  Relocatable // one object that holds all
};

struct LinkError {
  std::string message;
  /// The file system refused, and not: gatecc made objects that do not link.
  bool isFileSystem = false;
};

/// Links `objects`, the run-time library and the object file `weightsObject`
/// (if not "") into `path`, which is overwritten; a partial file may be left
/// there on failure. The same objects make the same bytes, whatever the path.
/// Any thread may call this; one links at a time.
bool linkObjects(llvm::ArrayRef<ObjectBuffer> objects,
                 llvm::StringRef weightsObject, llvm::StringRef path,
                 LinkKind kind, LinkError &error);

} // namespace gatecc

#endif // GATECC_TARGET_LINK_H
