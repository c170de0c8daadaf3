// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads a compiled library, runs it once and prints statistics.
//   main ./model.so BATCH [DATA]
// DATA is a file with the bytes of the first input; zeros are used otherwise.
// Every symbolic dimension is set to BATCH.

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gatecc/runtime.h"

int main(int argc, char **argv) {
  if (argc < 3)
    return fprintf(stderr, "usage: %s LIBRARY BATCH [DATA]\n", argv[0]), 2;
  void *handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return fprintf(stderr, "%s\n", dlerror()), 1;
  gatecc_get_library_fn get;
  *(void **)&get = dlsym(handle, GATECC_GET_LIBRARY_SYMBOL);
  const gatecc_library *lib = get ? get(GATECC_ABI_VERSION) : NULL;
  if (!lib)
    return fprintf(stderr, "%s: not a library for this ABI\n", argv[1]), 1;
  char why[512];
  gatecc_options options = {.struct_size = sizeof options,
                            .collect_statistics = 1,
                            .error_message = why,
                            .error_message_bytes = sizeof why};
  gatecc_context *ctx;
  if (lib->create(&options, &ctx) != GATECC_OK)
    return fprintf(stderr, "%s\n", why), 1;

  gatecc_named_tensor *in = calloc(lib->num_inputs + 1, sizeof *in);
  gatecc_named_tensor *out = calloc(lib->num_outputs + 1, sizeof *out);
  for (int32_t i = 0; i < lib->num_inputs; ++i) {
    const gatecc_tensor_info *info = &lib->inputs[i];
    int64_t *shape = calloc(info->rank + 1, sizeof *shape);
    size_t bytes = (info->dtype.bits + 7) / 8;
    for (int32_t d = 0; d < info->rank; ++d) {
      shape[d] = info->shape[d].extent;
      if (shape[d] < 0) { // "B" is BATCH, "2*B*S" is 2 * BATCH * BATCH
        shape[d] = 1;
        for (const char *s = info->shape[d].symbol; *s; s += *s == '*') {
          char *end;
          int64_t factor = strtoll(s, &end, 10);
          shape[d] *= end != s ? factor : strtoll(argv[2], NULL, 10);
          for (s = end; *s && *s != '*';)
            ++s;
        }
      }
      bytes *= (size_t)shape[d];
    }
    void *data = calloc(bytes + 1, 1);
    FILE *file = i == 0 && argc > 3 ? fopen(argv[3], "rb") : NULL;
    if (i == 0 && argc > 3 && (!file || fread(data, 1, bytes, file) != bytes))
      return fprintf(stderr, "%s: cannot read %zu bytes\n", argv[3], bytes), 1;
    if (file)
      fclose(file);
    DLTensor tensor = {data,  {kDLCPU, 0}, info->rank, info->dtype,
                       shape, NULL,        0};
    in[i] = (gatecc_named_tensor){info->name, tensor};
    printf("input %s: %zu bytes\n", info->name, bytes);
  }
  for (int32_t i = 0; i < lib->num_outputs; ++i)
    out[i].name = lib->outputs[i].name; // data NULL: the context provides it
  if (lib->run(ctx, in, lib->num_inputs, out, lib->num_outputs) != GATECC_OK)
    return fprintf(stderr, "%s\n", lib->error_message(ctx)), 1;

  for (int32_t i = 0; i < lib->num_outputs; ++i) {
    const DLTensor *t = &out[i].tensor;
    int64_t n = 1;
    printf("output %s: [", out[i].name);
    for (int32_t d = 0; d < t->ndim; n *= t->shape[d++])
      printf(d ? ", %" PRId64 : "%" PRId64, t->shape[d]);
    printf("]");
    if (t->dtype.code == kDLFloat && t->dtype.bits == 32)
      for (int64_t k = 0; k < n && k < 10; ++k)
        printf(" %g", ((const float *)t->data)[k]);
    printf("\n");
  }
  for (int32_t i = 0; i < lib->num_sites; ++i) {
    int64_t rows;
    const int64_t *groups;
    int32_t n;
    double skipped;
    if (lib->statistics(ctx, i, &rows, &groups, &n, &skipped) != GATECC_OK)
      return fprintf(stderr, "%s\n", lib->error_message(ctx)), 1;
    printf("site %s (%s): rows %" PRId64 ", groups", lib->sites[i].name,
           lib->sites[i].kind, rows);
    for (int32_t g = 0; g < n; ++g)
      printf(" %" PRId64, groups[g]);
    printf(", skipped %.1f %%\n", 100 * skipped);
  }
  for (int32_t i = 0; i < lib->num_inputs; ++i) {
    free(in[i].tensor.data);
    free(in[i].tensor.shape);
  }
  free(in);
  free(out);
  lib->destroy(ctx);
  return dlclose(handle);
}
