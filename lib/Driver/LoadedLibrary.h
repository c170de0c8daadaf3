// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A compiled library, loaded into this process.
#ifndef GATECC_LIB_DRIVER_LOADEDLIBRARY_H
#define GATECC_LIB_DRIVER_LOADEDLIBRARY_H

#include "gatecc/runtime.h"
#include "llvm/ADT/StringRef.h"
#include <memory>
#include <string>

namespace gatecc {

class LoadedLibrary {
public:
  /// Null, with `error`, if it is none that this gatecc understands.
  static std::unique_ptr<LoadedLibrary> open(llvm::StringRef path,
                                             std::string &error);
  ~LoadedLibrary();
  LoadedLibrary(const LoadedLibrary &) = delete;
  LoadedLibrary &operator=(const LoadedLibrary &) = delete;

  const gatecc_library &operator*() const { return *library; }
  const gatecc_library *operator->() const { return library; }

private:
  LoadedLibrary(void *handle, const gatecc_library *library)
      : handle(handle), library(library) {}
  void *handle;
  const gatecc_library *library;
};

/// The exit status that a status of a library leads to: GATECC_INTERNAL is a
/// mistake of gatecc, everything else is the caller's or the system's.
int exitCodeOf(gatecc_status status);
/// What a status means, for when there is no message.
const char *statusText(gatecc_status status);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_LOADEDLIBRARY_H
