// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs a library on zeros, or on the bytes of its inputs in the file DATA, and
// prints what was decided. Named dimensions are BATCH; `run` refuses 2*BATCH.
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gatecc/runtime.h"

static int fail(const char *why) { return fprintf(stderr, "%s\n", why), 1; }

int main(int argc, char **argv) {
  if (argc < 3)
    return fail("usage: main LIBRARY BATCH [DATA]");
  void *handle = dlopen(argv[1], RTLD_NOW);
  if (!handle)
    return fail(dlerror());
  gatecc_get_library_fn get;
  *(void **)&get = dlsym(handle, GATECC_GET_LIBRARY_SYMBOL);
  const gatecc_library *lib = get ? get(GATECC_ABI_VERSION) : NULL;
  gatecc_context *ctx;
  if (!lib || lib->create(NULL, &ctx) != GATECC_OK)
    return fail("not a library for this version and this machine");
  lib->enable_statistics(ctx, 1);

  gatecc_named_tensor in[lib->num_inputs + 1], out[lib->num_outputs + 1];
  FILE *file = fopen(argc > 3 ? argv[3] : "/dev/zero", "rb");
  for (int32_t i = 0; i < lib->num_inputs; ++i) {
    const gatecc_tensor_info *info = &lib->inputs[i];
    int64_t *shape = calloc((size_t)info->rank + 1, sizeof *shape);
    size_t bytes = info->dtype.bits / 8;
    for (int32_t d = 0; d < info->rank; bytes *= (size_t)shape[d++])
      shape[d] = info->shape[d].symbol ? atoll(argv[2]) : info->shape[d].extent;
    void *data = malloc(bytes + 1);
    if (!file || !data || fread(data, 1, bytes, file) != bytes)
      return fail("the data are missing or too short");
    DLTensor t = {data, {kDLCPU, 0}, info->rank, info->dtype, shape, NULL, 0};
    in[i] = (gatecc_named_tensor){info->name, t};
  }
  for (int32_t i = 0; i < lib->num_outputs; ++i) // in memory of the context
    out[i] = (gatecc_named_tensor){.name = lib->outputs[i].name};
  if (lib->run(ctx, in, lib->num_inputs, out, lib->num_outputs) != GATECC_OK)
    return fail(lib->error_message(ctx));

  for (int32_t i = 0; i < lib->num_sites; ++i) { // the results: out[].tensor
    int64_t rows;
    const int64_t *groups;
    int32_t n;
    lib->statistics(ctx, i, &rows, &groups, &n, NULL);
    printf("site %s: rows %" PRId64 ", groups", lib->sites[i].name, rows);
    for (int32_t g = 0; g < n; ++g)
      printf(" %" PRId64, groups[g]);
    printf("\n");
  }
  for (int32_t i = 0; i < lib->num_inputs; ++i)
    free(in[i].tensor.data), free(in[i].tensor.shape);
  lib->destroy(ctx);
  return fclose(file) | dlclose(handle);
}
