// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A compiled library for the C++ examples: loaded, given made-up float inputs,
// run, its outputs as bytes.

#ifndef GATECC_EXAMPLES_MODEL_H
#define GATECC_EXAMPLES_MODEL_H

#include "gatecc/runtime.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

class Model {
public:
  explicit Model(const char *path) : handle(dlopen(path, RTLD_NOW)) {
    if (!handle)
      throw std::runtime_error(dlerror());
    auto get = reinterpret_cast<gatecc_get_library_fn>(
        dlsym(handle, GATECC_GET_LIBRARY_SYMBOL));
    library = get ? get(GATECC_ABI_VERSION) : nullptr;
    if (!library)
      throw std::runtime_error("not a library for this ABI");
  }
  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;
  ~Model() { dlclose(handle); } // after all contexts have ended

  const gatecc_library *operator->() const { return library; }

  // Runs once; every symbolic dimension is `batch`. Returns all outputs.
  std::vector<char> run(gatecc_context *context, int64_t batch) const {
    std::vector<gatecc_named_tensor> in(library->num_inputs);
    std::vector<std::vector<int64_t>> shapes(in.size());
    std::vector<std::vector<char>> data(in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      const gatecc_tensor_info &info = library->inputs[i];
      size_t elements = 1;
      for (int32_t d = 0; d < info.rank; ++d) {
        shapes[i].push_back(extent(info.shape[d], batch));
        elements *= size_t(shapes[i].back());
      }
      data[i].resize(elements * (info.dtype.bits / 8) + 8);
      if (info.dtype.code == kDLFloat && info.dtype.bits == 32)
        for (size_t e = 0; e < elements; ++e) {
          float value = float(e * 37 % 101) / 50.0f - 1.0f;
          std::memcpy(&data[i][e * 4], &value, 4);
        }
      DLTensor tensor = {data[i].data(),   {kDLCPU, 0}, info.rank, info.dtype,
                         shapes[i].data(), nullptr,     0};
      in[i] = {info.name, tensor};
    }
    std::vector<gatecc_named_tensor> out(library->num_outputs);
    for (size_t i = 0; i < out.size(); ++i)
      out[i].name = library->outputs[i].name;
    if (library->run(context, in.data(), int32_t(in.size()), out.data(),
                     int32_t(out.size())) != GATECC_OK)
      throw std::runtime_error(library->error_message(context));
    std::vector<char> result;
    for (const gatecc_named_tensor &o : out) {
      size_t bytes = o.tensor.dtype.bits / 8;
      for (int32_t d = 0; d < o.tensor.ndim; ++d)
        bytes *= size_t(o.tensor.shape[d]);
      const char *begin = static_cast<const char *>(o.tensor.data);
      result.insert(result.end(), begin, begin + bytes);
    }
    return result;
  }

private:
  // "B" is batch, "2*B*S" is 2 * batch * batch.
  static int64_t extent(const gatecc_dim &dim, int64_t batch) {
    if (dim.extent >= 0)
      return dim.extent;
    int64_t product = 1;
    std::string text = dim.symbol;
    for (size_t at = 0; at != std::string::npos;) {
      size_t star = text.find('*', at);
      char first = text[at];
      product *= first >= '0' && first <= '9'
                     ? std::strtoll(text.c_str() + at, nullptr, 10)
                     : batch;
      at = star == std::string::npos ? star : star + 1;
    }
    return product;
  }

  void *handle;
  const gatecc_library *library;
};

#endif // GATECC_EXAMPLES_MODEL_H
