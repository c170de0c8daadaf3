// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a context holds, and the pieces of the runtime that share it.

#ifndef GATECC_RUNTIME_CONTEXT_H
#define GATECC_RUNTIME_CONTEXT_H

#include "../include/gatecc/runtime.h"
#include "program.h"

#include <pthread.h>
#include <setjmp.h>

// A buffer of a context that grows and is kept between runs.
struct gatecc_buffer {
  unsigned char *data;
  int64_t capacity;
};

// A block of the growable region; its memory follows, 64-aligned.
struct gatecc_block {
  gatecc_block *next;
  int64_t capacity;
  int64_t used;
  unsigned char pad[40];
};
static_assert(sizeof(gatecc_block) == 64, "the memory of a block is aligned");

struct gatecc_pool; // pool.cpp

struct gatecc_context {
  const gatecc_program_target *target;
  const unsigned char *weights;
  gatecc_allocator allocator;
  gatecc_host_pool hostPool; // parallel_for NULL: none
  gatecc_pool *pool;         // NULL: host pool, or one thread

  // State of the run. `running` and `cancelled` are touched by other threads;
  // so is `status`, by tasks.
  int32_t running;
  int32_t cancelled;
  int32_t status;     // first error of the run
  int32_t inParallel; // a parallel_for is in progress: others run inline
  int32_t regionLock;
  int32_t leftEarly; // the outermost parallel_for ended the run
  jmp_buf *runExit;  // where the outermost parallel_for leaves a failed run

  gatecc_buffer arena;
  gatecc_block *region;         // the block in use, then the full ones
  gatecc_buffer *outputBuffers; // [num_outputs]
  int64_t *symbols;             // [num_symbols]
  unsigned char *symbolBound;   // [num_symbols]
  void **inputs;                // [num_inputs]
  const int64_t **inputShapes;  // [num_inputs]
  unsigned char *seen;          // [the larger of num_inputs, num_outputs]
  void **outputs;               // [num_outputs]
  int64_t **outputShapes;       // [num_outputs], of owned outputs

  int32_t collectStatistics;
  int32_t statisticsValid;
  int64_t numGroups; // over all sites
  int64_t *siteRows;
  int64_t *siteGroups;

  char message[512];
};

#pragma GCC visibility push(hidden)
namespace gatecc_runtime {

// --- memory.cpp
void *allocateAligned(const gatecc_allocator &allocator, int64_t bytes);
void releaseAligned(const gatecc_allocator &allocator, void *pointer);
// Makes room for `bytes`; the old contents are lost. False: no memory.
bool reserveBuffer(const gatecc_allocator &allocator, gatecc_buffer &buffer,
                   int64_t bytes);
// Forgets what a run allocated; keeps the largest block, or frees all.
void resetRegion(gatecc_context &context, bool keepLargest);

// --- shape.cpp
// The value of an extent; -1 when it does not fit.
int64_t evaluateExtent(const gatecc_extent &extent, const int64_t *symbols);
// Elements and bytes of a tensor; -1 when that does not fit.
int64_t tensorBytes(const gatecc_program_tensor &tensor,
                    const int64_t *symbols);
// Whether each run decides an extent of the tensor.
bool isDecided(const gatecc_program_tensor &tensor);
// Finds the symbols from the shapes of all inputs (shapes[i] of rank
// inputs[i].rank) and checks that they agree; writes why not to message.
gatecc_status bindSymbols(const gatecc_program &program,
                          const int64_t *const *shapes, int64_t *symbols,
                          unsigned char *bound, char *message,
                          size_t messageBytes);
// Writes "2*B*S", as far as it fits, and a zero byte; returns its full length.
size_t extentText(const gatecc_program &program, const gatecc_extent &extent,
                  char *text, size_t textBytes);

// --- arguments.cpp
// Checks the tensors of a run and fills in context.inputs, outputs, symbols.
gatecc_status takeArguments(gatecc_context &context,
                            const gatecc_named_tensor *inputs,
                            int32_t numInputs, gatecc_named_tensor *outputs,
                            int32_t numOutputs);

// Fills in the caller's tensors of the outputs whose size the run has decided.
void describeOutputs(gatecc_context &context, gatecc_named_tensor *outputs,
                     int32_t numOutputs);

// --- pool.cpp
// A pool with `workers` threads besides the caller; NULL when there are none.
gatecc_pool *createPool(int32_t workers);
void destroyPool(gatecc_pool *pool);
int32_t countCpus();

// --- weights.cpp
// The weights, mapped if this is the first context. NULL: see message.
const unsigned char *acquireWeights(const gatecc_program &program,
                                    const char *path, bool verify,
                                    gatecc_status *status, char *message,
                                    size_t messageBytes);
void releaseWeights(const gatecc_program &program);
// XXH64 with seed 0.
uint64_t hashBytes(const unsigned char *data, uint64_t bytes);

// --- run.cpp
gatecc_status supported();
gatecc_status createContext(const gatecc_options *options,
                            gatecc_context **context);
gatecc_status runContext(gatecc_context *context,
                         const gatecc_named_tensor *inputs, int32_t numInputs,
                         gatecc_named_tensor *outputs, int32_t numOutputs);
gatecc_status queryMemory(const gatecc_binding *bindings, int32_t numBindings,
                          gatecc_memory *memory);
void cancelRun(gatecc_context *context);
const char *errorMessage(const gatecc_context *context);
void destroyContext(gatecc_context *context);

// --- statistics.cpp
int64_t groupsOf(const gatecc_program_site &site);
gatecc_status enableStatistics(gatecc_context *context, int32_t enabled);
gatecc_status siteStatistics(gatecc_context *context, int32_t site,
                             int64_t *rows, const int64_t **groups,
                             int32_t *numGroups, double *skipped);

} // namespace gatecc_runtime
#pragma GCC visibility pop

#endif // GATECC_RUNTIME_CONTEXT_H
