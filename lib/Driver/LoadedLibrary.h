// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A compiled library, loaded into this process.
#ifndef GATECC_LIB_DRIVER_LOADEDLIBRARY_H
#define GATECC_LIB_DRIVER_LOADEDLIBRARY_H

#include "gatecc/runtime.h"
#include "llvm/ADT/ArrayRef.h"
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

  /// Makes a context; without one it is null, and `error` says why.
  gatecc_status createContext(gatecc_options options, gatecc_context *&context,
                              std::string &error) const;
  /// Why a call with this context has ended with `status`.
  std::string explain(gatecc_context *context, gatecc_status status) const;

private:
  LoadedLibrary(void *handle, const gatecc_library *library)
      : handle(handle), library(library) {}
  void *handle;
  const gatecc_library *library;
};

/// A tensor in C order for a library to read or to fill; it refers to all that
/// it is made of.
gatecc_named_tensor makeTensor(const std::string &name, void *data,
                               DLDataType type,
                               llvm::MutableArrayRef<int64_t> shape);

/// The exit status that a status of a library leads to: GATECC_INTERNAL is a
/// mistake of gatecc, everything else is the caller's or the system's.
int exitCodeOf(gatecc_status status);
/// What a status means, for when there is no message.
const char *statusText(gatecc_status status);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_LOADEDLIBRARY_H
