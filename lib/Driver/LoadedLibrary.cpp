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

gatecc_status LoadedLibrary::createContext(gatecc_options options,
                                           gatecc_context *&context,
                                           std::string &error) const {
  char message[512] = "";
  options.struct_size = sizeof(options);
  options.error_message = message;
  options.error_message_bytes = sizeof(message);
  context = nullptr;
  gatecc_status status = library->create(&options, &context);
  if (status != GATECC_OK)
    error = *message ? message : statusText(status);
  return status;
}

std::string LoadedLibrary::explain(gatecc_context *context,
                                   gatecc_status status) const {
  const char *text = library->error_message(context);
  return text && *text ? text : statusText(status);
}

gatecc_named_tensor gatecc::makeTensor(const std::string &name, void *data,
                                       DLDataType type,
                                       llvm::MutableArrayRef<int64_t> shape) {
  gatecc_named_tensor tensor = {};
  tensor.name = name.c_str();
  tensor.tensor.data = data;
  tensor.tensor.device = {kDLCPU, 0};
  tensor.tensor.ndim = int32_t(shape.size());
  tensor.tensor.dtype = type;
  tensor.tensor.shape = shape.data();
  return tensor;
}

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
