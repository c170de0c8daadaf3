// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C interface of a compiled library: what a library holds, how to run it.
// Plain C99 (and C++17). A library exports one symbol, gatecc_get_library.
//
//   void *handle = dlopen("./model.so", RTLD_NOW | RTLD_LOCAL);
//   gatecc_get_library_fn get =
//       (gatecc_get_library_fn)dlsym(handle, GATECC_GET_LIBRARY_SYMBOL);
//   const gatecc_library *lib = get(GATECC_ABI_VERSION);
//   gatecc_context *ctx;
//   if (lib->create(NULL, &ctx) != GATECC_OK) ...
//   if (lib->run(ctx, inputs, 1, outputs, 1) != GATECC_OK)
//     puts(lib->error_message(ctx));
//   lib->destroy(ctx);                      /* before dlclose */
//
// Threads. Functions of different contexts may be called from different
// threads at the same time. One context serves one call at a time; the only
// function that may be called on a context while it runs is `cancel`.
// No function throws, exits or aborts on a mistake of the caller.
//
// Time and sizes. All sizes are in bytes, all shapes in elements.

#ifndef GATECC_RUNTIME_H
#define GATECC_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

// ---------------------------------------------------------------------------
// Tensors: the layout of DLPack. A host that uses dlpack.h includes it before
// this header; otherwise the few types needed are declared here (under the
// include guard of dlpack.h, so that a later include of it changes nothing).
// ---------------------------------------------------------------------------
#if !defined(DLPACK_DLPACK_H_) && !defined(DLPACK_VERSION) &&                  \
    !defined(DLPACK_MAJOR_VERSION)
#define DLPACK_DLPACK_H_

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
typedef enum : int32_t {
#else
typedef enum {
#endif
  kDLCPU = 1,
  kDLCUDA = 2
} DLDeviceType;

typedef struct DLDevice {
  DLDeviceType device_type;
  int32_t device_id;
} DLDevice;

typedef enum {
  kDLInt = 0U,
  kDLUInt = 1U,
  kDLFloat = 2U,
  kDLBfloat = 4U,
  kDLComplex = 5U,
  kDLBool = 6U
} DLDataTypeCode;

typedef struct DLDataType {
  uint8_t code;   // a DLDataTypeCode
  uint8_t bits;   // bits of one element; a bool has 8
  uint16_t lanes; // 1
} DLDataType;

typedef struct DLTensor {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;       // [ndim]
  int64_t *strides;     // [ndim], in elements; NULL: contiguous, last fastest
  uint64_t byte_offset; // of the first element from data
} DLTensor;

#ifdef __cplusplus
}
#endif
#endif // DLPACK_DLPACK_H_

#ifdef __cplusplus
extern "C" {
#endif

// The version of everything below. A change that an old host would not survive
// makes a new number; fields are only ever added at the end of a struct, whose
// struct_size says how much of it there is.
#define GATECC_ABI_VERSION 1u

// ---------------------------------------------------------------------------
// Status
// ---------------------------------------------------------------------------
typedef int32_t gatecc_status;
enum {
  GATECC_OK = 0,
  // A name, dtype, rank, size, pointer or option is wrong. Nothing was run.
  GATECC_INVALID_ARGUMENT = 1,
  // This CPU lacks instructions that every target of the library uses.
  GATECC_UNSUPPORTED_CPU = 2,
  GATECC_OUT_OF_MEMORY = 3,
  // The weight file is missing, unreadable, too short or another one.
  GATECC_WEIGHTS = 4,
  // `cancel` was called. The contents of the outputs are undefined.
  GATECC_CANCELLED = 5,
  // The model met a value that it cannot process, such as a shape that its
  // elements do not fill. The contents of the outputs are undefined.
  GATECC_RUNTIME = 6,
  // A mistake of gatecc itself; please report it.
  GATECC_INTERNAL = 7
};

// ---------------------------------------------------------------------------
// What a library holds. All of it is constant and lives as long as the library
// stays loaded. Strings are UTF-8.
// ---------------------------------------------------------------------------
typedef struct gatecc_dim {
  int64_t extent;     // >= 0: fixed; -1: given by `symbol`
  const char *symbol; // NULL when fixed; else "B", or a product: "2*B*S";
                      // in outputs also "?": each run decides it
} gatecc_dim;

typedef struct gatecc_tensor_info {
  const char *name;
  DLDataType dtype;
  int32_t rank;
  const gatecc_dim *shape; // [rank]
} gatecc_tensor_info;

// A site is a place that decides which work is done: one routed layer, or one
// whole network with early exits.
typedef struct gatecc_site_info {
  const char *name;   // of the deciding ONNX node; "#2" and so on on repeats
  const char *kind;   // "experts", "exit", "skip", "select" or "halt"
  int32_t num_groups; // -1: decided at run time
} gatecc_site_info;

// A CPU that the library holds code for. The best one that this machine can
// run is taken.
typedef struct gatecc_target_info {
  const char *cpu;      // as given to --mcpu, for example "x86-64-v3"
  const char *features; // what it requires: "sse3 ssse3 ... avx2 fma"
} gatecc_target_info;

// ---------------------------------------------------------------------------
// Options of a context. A host sets struct_size to sizeof(gatecc_options) and
// leaves at zero what it does not care about.
// ---------------------------------------------------------------------------

// A thread pool of the host. parallel_for calls task(closure, i) exactly once
// for every i in [0, n), from any threads, in any order, in parallel or not,
// and returns when all calls have returned. It is called from the thread that
// called `run`, never from inside a task, and n is at least 2. With a host pool
// a context starts no threads, and num_threads only says how many to expect.
// Tasks use at most 128 KB of stack, and so does `run` in its own thread.
typedef struct gatecc_host_pool {
  void (*parallel_for)(void *pool, int64_t n,
                       void (*task)(void *closure, int64_t index),
                       void *closure);
  void *pool;
} gatecc_host_pool;

// An allocator of the host, for the memory that a context uses in its runs
// (arena, growable region, outputs that it owns). May be called from a pool
// thread. allocate returns NULL on failure; alignment is a power of two of at
// least 64. Both functions are given, or none.
typedef struct gatecc_allocator {
  void *(*allocate)(void *user, size_t bytes, size_t alignment);
  void (*release)(void *user, void *pointer);
  void *user;
} gatecc_allocator;

typedef struct gatecc_options {
  uint32_t struct_size; // sizeof(gatecc_options)
  // Threads that work on one run, the caller's included; 0: as many as CPUs
  // that this process may run on. At most 1024. Results do not depend on it.
  int32_t num_threads;
  gatecc_host_pool pool;      // parallel_for NULL: a pool of the context's own
  gatecc_allocator allocator; // allocate NULL: malloc
  // Where the weight file is, for a library whose weights are not embedded.
  // NULL: beside the library, under the name that it had when it was made.
  const char *weights_path;
  int32_t collect_statistics;       // not 0: as after enable_statistics(ctx, 1)
  int32_t skip_weight_verification; // not 0: do not hash the weight file's data
  // Where `create` writes why it failed (ends with a zero byte), or NULL.
  char *error_message;
  size_t error_message_bytes;
} gatecc_options;

// ---------------------------------------------------------------------------
// Running
// ---------------------------------------------------------------------------
typedef struct gatecc_context gatecc_context; // pool, arena, statistics

typedef struct gatecc_named_tensor {
  const char *name; // of an input or output of the library
  DLTensor tensor;
} gatecc_named_tensor;

// The value of a dimension, for `memory`.
typedef struct gatecc_binding {
  const char *symbol; // one of gatecc_library::symbols
  int64_t value;      // >= 0
} gatecc_binding;

typedef struct gatecc_memory {
  uint32_t struct_size; // sizeof(gatecc_memory), set by the caller
  uint32_t reserved;
  int64_t arena_bytes;  // working memory of a run; more may be needed where the
                        // size of a value is decided by its contents
  int64_t input_bytes;  // all inputs together
  int64_t output_bytes; // all outputs together, without those with an extent
                        // "?"
} gatecc_memory;

typedef struct gatecc_library {
  uint32_t struct_size;
  uint32_t abi_version;
  const char *compiler_version;
  const char *model_name;
  const char *source_hash; // of the model that was compiled, hexadecimal
  uint64_t weight_bytes;
  const char *weights_file; // base name; NULL: embedded in the library
  int32_t num_inputs;
  int32_t num_outputs;
  int32_t num_symbols;
  int32_t num_sites;
  int32_t num_targets;
  int32_t reserved;
  const gatecc_tensor_info *inputs;
  const gatecc_tensor_info *outputs;
  const char *const *symbols; // the named dimensions: "B", "S"
  const gatecc_site_info *sites;
  const gatecc_target_info *targets;

  // GATECC_OK, or GATECC_UNSUPPORTED_CPU when `create` would say so.
  gatecc_status (*supported)(void);

  // Makes a context. `options` may be NULL, and is not kept: only the pool, the
  // allocator and what `user` and `pool` point to must live as long as the
  // context. On failure *context is NULL and options->error_message says why.
  // If a thread cannot be started, the context works with fewer.
  // The weight file is mapped by the first context and unmapped with the last;
  // it must not be changed meanwhile.
  gatecc_status (*create)(const gatecc_options *options,
                          gatecc_context **context);

  // Runs the network once. Inputs: every input by its name, in any order; on
  // the CPU, contiguous (strides NULL, or those of a contiguous tensor), with
  // the dtype, rank and extents that the library declares; dimensions with the
  // same symbol agree. They are read only, and never copied or kept.
  // Outputs: all or some, by name, in any order.
  //  - data not NULL: a buffer of the caller's, with dtype, ndim and shape
  //    filled in and right. It must not overlap an input or another output.
  //    Not for an output with an extent "?", whose size is known afterwards.
  //  - data NULL: the context provides memory and fills in the tensor; data
  //    and shape stay valid until the context's next run or its end.
  // A data pointer plus byte_offset is aligned to the size of an element.
  // A tensor without elements may have any data pointer.
  // Returns GATECC_INVALID_ARGUMENT also when the context is already running.
  gatecc_status (*run)(gatecc_context *context,
                       const gatecc_named_tensor *inputs, int32_t num_inputs,
                       gatecc_named_tensor *outputs, int32_t num_outputs);

  // What a run needs for the given dimensions; every symbol is bound once.
  gatecc_status (*memory)(const gatecc_binding *bindings, int32_t num_bindings,
                          gatecc_memory *memory);

  // Turns the collection of statistics on or off, from the next run on.
  gatecc_status (*enable_statistics)(gatecc_context *context, int32_t enabled);

  // Statistics of the last run, for one site (an index into `sites`). Any of
  // the pointers may be NULL. *groups stays valid until the next run.
  //   experts: rows = tokens, groups[e] = slots of expert e
  //   exit:    rows = samples, groups[i] = samples that leave at exit i, the
  //            last one: reached the end
  //   skip:    groups = {run, passed};  select: groups = {kept, not kept}
  //   halt:    groups[i] = rows that stopped after step i + 1
  // *skipped is the share of the work that was not done, 0 with no rows.
  // GATECC_INVALID_ARGUMENT when the last run did not collect statistics.
  gatecc_status (*statistics)(gatecc_context *context, int32_t site,
                              int64_t *rows, const int64_t **groups,
                              int32_t *num_groups, double *skipped);

  // Asks the run in progress, if there is one, to end soon with
  // GATECC_CANCELLED. May be called from any thread and from a signal handler.
  // Has no effect on later runs.
  void (*cancel)(gatecc_context *context);

  // Why the last call on the context failed, in words that name the tensor;
  // "" if it did not. Valid until the next call on the context.
  const char *(*error_message)(const gatecc_context *context);

  // Ends a context: joins its threads and frees its memory. NULL is allowed.
  // All contexts must have ended before the library is closed with dlclose.
  void (*destroy)(gatecc_context *context);
} gatecc_library;

// The library's description, or NULL when it does not know `abi_version`.
#define GATECC_GET_LIBRARY_SYMBOL "gatecc_get_library"
typedef const gatecc_library *(*gatecc_get_library_fn)(uint32_t abi_version);
const gatecc_library *gatecc_get_library(uint32_t abi_version);

#ifdef __cplusplus
}
#endif

#endif // GATECC_RUNTIME_H
