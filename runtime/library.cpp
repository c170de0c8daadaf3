// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one exported function: the description of the library, made from the
// program's constants when it is first asked for.

#include "context.h"
#include "cpu.h"

#include <stdlib.h>
#include <string.h>

using namespace gatecc_runtime;

static const gatecc_program &program = gatecc_program_constant;

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
gatecc_library library;
void *metadata; // the arrays and texts that `library` points to

// Hands out parts of one allocation; with no memory yet, only counts.
struct Carver {
  unsigned char *memory;
  size_t used;

  template <typename T> T *take(size_t n) {
    used = (used + alignof(T) - 1) & ~(alignof(T) - 1);
    unsigned char *at = memory ? memory + used : nullptr;
    used += n * sizeof(T);
    return reinterpret_cast<T *>(at);
  }
};

const gatecc_tensor_info *describeTensors(Carver &carver,
                                          const gatecc_program_tensor *tensors,
                                          int32_t n) {
  gatecc_tensor_info *infos = carver.take<gatecc_tensor_info>(size_t(n));
  for (int32_t i = 0; i < n; ++i) {
    const gatecc_program_tensor &tensor = tensors[i];
    gatecc_dim *shape = carver.take<gatecc_dim>(size_t(tensor.rank));
    for (int32_t d = 0; d < tensor.rank; ++d) {
      const gatecc_extent &extent = tensor.shape[d];
      bool constant = extent.kind == GATECC_EXTENT_CONSTANT;
      char *text = nullptr;
      if (!constant) {
        size_t bytes = extentText(program, extent, nullptr, 0) + 1;
        text = carver.take<char>(bytes);
        if (text)
          extentText(program, extent, text, bytes);
      }
      if (shape) {
        shape[d].extent = constant ? extent.coefficient : -1;
        shape[d].symbol = text;
      }
    }
    if (infos) {
      infos[i].name = tensor.name;
      infos[i].dtype = {tensor.dtype_code, tensor.dtype_bits, 1};
      infos[i].rank = tensor.rank;
      infos[i].shape = shape;
    }
  }
  return infos;
}

// The names of the bits, separated by spaces.
const char *describeFeatures(Carver &carver, uint64_t features) {
  char *start = carver.take<char>(1);
  size_t length = 0;
  for (int bit = 0; bit < 64; ++bit) {
    const char *name = cpuFeatureName(bit);
    if (!name || !(features >> bit & 1))
      continue;
    size_t n = strlen(name) + (length ? 1 : 0);
    carver.take<char>(n);
    if (start) {
      if (length)
        start[length] = ' ';
      memcpy(start + length + (length ? 1 : 0), name, strlen(name));
    }
    length += n;
  }
  if (start)
    start[length] = 0;
  return start;
}

// Fills in what needs memory; returns how much.
size_t describe(unsigned char *memory, gatecc_library &l) {
  Carver carver = {memory, 0};
  l.inputs = describeTensors(carver, program.inputs, program.num_inputs);
  l.outputs = describeTensors(carver, program.outputs, program.num_outputs);
  gatecc_site_info *sites =
      carver.take<gatecc_site_info>(size_t(program.num_sites));
  for (int32_t i = 0; sites && i < program.num_sites; ++i)
    sites[i] = {program.sites[i].name, program.sites[i].kind,
                program.sites[i].num_groups};
  gatecc_target_info *targets =
      carver.take<gatecc_target_info>(size_t(program.num_targets));
  for (int32_t i = 0; i < program.num_targets; ++i) {
    const char *features =
        describeFeatures(carver, program.targets[i].required_features);
    if (targets)
      targets[i] = {program.targets[i].cpu, features};
  }
  l.sites = sites;
  l.targets = targets;
  return carver.used;
}

bool fillLibrary(gatecc_library &l) {
  l.abi_version = GATECC_ABI_VERSION;
  l.compiler_version = program.version;
  l.model_name = program.model_name;
  l.source_hash = program.source_hash;
  l.weight_bytes = program.weight_bytes;
  l.weights_file = program.embedded_weights ? nullptr : program.weights_file;
  l.num_inputs = program.num_inputs;
  l.num_outputs = program.num_outputs;
  l.num_symbols = program.num_symbols;
  l.num_sites = program.num_sites;
  l.num_targets = program.num_targets;
  l.symbols = program.symbols;
  l.supported = supported;
  l.create = createContext;
  l.run = runContext;
  l.memory = queryMemory;
  l.enable_statistics = enableStatistics;
  l.statistics = siteStatistics;
  l.cancel = cancelRun;
  l.error_message = errorMessage;
  l.destroy = destroyContext;
  metadata = calloc(1, describe(nullptr, l) + 1);
  if (!metadata)
    return false;
  describe(static_cast<unsigned char *>(metadata), l);
  l.struct_size = sizeof l;
  return true;
}
} // namespace

// Runs at dlclose, or at exit.
__attribute__((destructor)) static void freeMetadata() {
  pthread_mutex_lock(&mutex);
  free(metadata);
  metadata = nullptr;
  library.struct_size = 0;
  pthread_mutex_unlock(&mutex);
}

extern "C" __attribute__((visibility("default"), used)) const gatecc_library *
gatecc_get_library(uint32_t abi_version) {
  if (abi_version != GATECC_ABI_VERSION)
    return nullptr;
  pthread_mutex_lock(&mutex);
  bool filled = library.struct_size != 0 || fillLibrary(library);
  pthread_mutex_unlock(&mutex);
  return filled ? &library : nullptr;
}
