// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loads compiled libraries with dlopen.
#include "lib/Driver/LoadedLibrary.h"

#include "gatecc/Driver/Driver.h"
#include <dlfcn.h>

using namespace gatecc;

std::unique_ptr<LoadedLibrary> LoadedLibrary::open(llvm::StringRef path,
                                                   std::string &error) {
  // Without a slash, dlopen would search the system's folders.
  std::string file = path.contains('/') ? path.str() : "./" + path.str();
  void *handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    error = ::dlerror();
    if (!llvm::StringRef(error).contains(path))
      error = path.str() + ": " + error;
    return nullptr;
  }
  auto get = reinterpret_cast<gatecc_get_library_fn>(
      ::dlsym(handle, GATECC_GET_LIBRARY_SYMBOL));
  const gatecc_library *library = get ? get(GATECC_ABI_VERSION) : nullptr;
  if (!library) {
    error = path.str() + (get ? ": the library has another version of gatecc's "
                                "interface; compile the model again"
                              : ": it is not a library that gatecc has made");
    ::dlclose(handle);
    return nullptr;
  }
  return std::unique_ptr<LoadedLibrary>(new LoadedLibrary(handle, library));
}

LoadedLibrary::~LoadedLibrary() { ::dlclose(handle); }

int gatecc::exitCodeOf(gatecc_status status) {
  if (status == GATECC_OK)
    return kExitSuccess;
  return status == GATECC_INTERNAL ? kExitInternal : kExitInput;
}

const char *gatecc::statusText(gatecc_status status) {
  switch (status) {
  case GATECC_OK:
    return "success";
  case GATECC_INVALID_ARGUMENT:
    return "an argument is wrong";
  case GATECC_UNSUPPORTED_CPU:
    return "this CPU lacks instructions that the library uses";
  case GATECC_OUT_OF_MEMORY:
    return "out of memory";
  case GATECC_WEIGHTS:
    return "the weights cannot be loaded";
  case GATECC_CANCELLED:
    return "cancelled";
  case GATECC_RUNTIME:
    return "the network met a value that it cannot process";
  default:
    return "an internal error of the library";
  }
}
