// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The life of a context: create, run, cancel, destroy; and how a run fails.

#include "context.h"
#include "cpu.h"
#include "kernels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

using namespace gatecc_runtime;

static const gatecc_program &program = gatecc_program_constant;

static const char kNoTarget[] =
    "this CPU lacks instructions that the library uses, or its system has not "
    "enabled them; compile it with an --mcpu that suits this machine";

// Memory of the bookkeeping, from malloc and zeroed.
template <typename T> static bool makeArray(T *&array, int64_t n) {
  array =
      static_cast<T *>(calloc(static_cast<size_t>(n > 0 ? n : 1), sizeof(T)));
  return array != nullptr;
}

static bool makeArrays(gatecc_context &c) {
  int32_t tensors = program.num_inputs > program.num_outputs
                        ? program.num_inputs
                        : program.num_outputs;
  for (int32_t i = 0; i < program.num_sites; ++i)
    c.numGroups += groupsOf(program.sites[i]);
  if (!makeArray(c.outputBuffers, program.num_outputs) ||
      !makeArray(c.symbols, program.num_symbols) ||
      !makeArray(c.symbolBound, program.num_symbols) ||
      !makeArray(c.inputs, program.num_inputs) ||
      !makeArray(c.inputShapes, program.num_inputs) ||
      !makeArray(c.seen, tensors) ||
      !makeArray(c.outputs, program.num_outputs) ||
      !makeArray(c.outputShapes, program.num_outputs) ||
      !makeArray(c.siteRows, program.num_sites) ||
      !makeArray(c.siteGroups, c.numGroups))
    return false;
  for (int32_t i = 0; i < program.num_outputs; ++i)
    if (!makeArray(c.outputShapes[i], program.outputs[i].rank))
      return false;
  return true;
}

gatecc_status gatecc_runtime::supported() {
  return findTarget(program) ? GATECC_OK : GATECC_UNSUPPORTED_CPU;
}

// The fields that a caller of an older version does not have are zero.
static gatecc_options takeOptions(const gatecc_options *given) {
  gatecc_options options;
  memset(&options, 0, sizeof options);
  if (given)
    memcpy(&options, given,
           given->struct_size < sizeof options ? given->struct_size
                                               : sizeof options);
  return options;
}

static gatecc_status fillContext(gatecc_context &c,
                                 const gatecc_options &options, char *message,
                                 size_t messageBytes) {
  if (options.num_threads < 0 || options.num_threads > 1024) {
    snprintf(message, messageBytes,
             "num_threads is %" PRId32 ", 0 to 1024 are possible",
             options.num_threads);
    return GATECC_INVALID_ARGUMENT;
  }
  if (!options.allocator.allocate != !options.allocator.release) {
    snprintf(message, messageBytes,
             "an allocator needs both its functions, allocate and release");
    return GATECC_INVALID_ARGUMENT;
  }
  c.target = findTarget(program);
  if (!c.target) {
    snprintf(message, messageBytes, "%s", kNoTarget);
    return GATECC_UNSUPPORTED_CPU;
  }
  c.allocator = options.allocator;
  c.hostPool = options.pool;
  c.collectStatistics = options.collect_statistics != 0;
  if (!makeArrays(c)) {
    snprintf(message, messageBytes, "not enough memory for a context");
    return GATECC_OUT_OF_MEMORY;
  }
  gatecc_status status = GATECC_OK;
  c.weights = acquireWeights(program, options.weights_path,
                             !options.skip_weight_verification, &status,
                             message, messageBytes);
  if (!c.weights)
    return status;
  if (!c.hostPool.parallel_for)
    c.pool = createPool(
        (options.num_threads ? options.num_threads : countCpus()) - 1);
  return GATECC_OK;
}

gatecc_status gatecc_runtime::createContext(const gatecc_options *given,
                                            gatecc_context **context) {
  if (!context)
    return GATECC_INVALID_ARGUMENT;
  *context = nullptr;
  gatecc_options options = takeOptions(given);
  char message[512] = "";
  gatecc_status status = GATECC_OUT_OF_MEMORY;
  gatecc_context *c = nullptr;
  if (given && given->struct_size < offsetof(gatecc_options, pool)) {
    snprintf(message, sizeof message,
             "options: struct_size is not sizeof(gatecc_options)");
    status = GATECC_INVALID_ARGUMENT;
  } else if (makeArray(c, 1)) {
    status = fillContext(*c, options, message, sizeof message);
  } else {
    snprintf(message, sizeof message, "not enough memory for a context");
  }
  if (options.error_message && options.error_message_bytes > 0)
    snprintf(options.error_message, options.error_message_bytes, "%s", message);
  if (status != GATECC_OK)
    destroyContext(c);
  else
    *context = c;
  return status;
}

void gatecc_runtime::destroyContext(gatecc_context *c) {
  if (!c)
    return;
  destroyPool(c->pool);
  if (c->weights)
    releaseWeights(program);
  releaseAligned(c->allocator, c->arena.data);
  resetRegion(*c, /*keepLargest=*/false);
  for (int32_t i = 0; c->outputBuffers && i < program.num_outputs; ++i)
    releaseAligned(c->allocator, c->outputBuffers[i].data);
  for (int32_t i = 0; c->outputShapes && i < program.num_outputs; ++i)
    free(c->outputShapes[i]);
  free(c->outputBuffers);
  free(c->symbols);
  free(c->symbolBound);
  free(c->inputs);
  free(c->inputShapes);
  free(c->seen);
  free(c->outputs);
  free(c->outputShapes);
  free(c->siteRows);
  free(c->siteGroups);
  free(c);
}

extern "C" void gatecc_fail(const gatecc_frame *f, int32_t status,
                            const char *message) {
  gatecc_context *c = static_cast<gatecc_context *>(f->context);
  int32_t none = GATECC_OK;
  if (!c || !__atomic_compare_exchange_n(
                &c->status, &none, status ? status : GATECC_INTERNAL, false,
                __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    return;
  // Nobody reads it before all tasks have ended.
  snprintf(c->message, sizeof c->message, "%s", message ? message : "");
}

// Calls compiled code; returns its status, or 0 where parallel_for left it.
static __attribute__((noinline)) int32_t enterProgram(gatecc_context &c,
                                                      const gatecc_frame &f) {
  jmp_buf exit;
  c.runExit = &exit;
  // `_setjmp` does not save the signal mask, which would be a system call.
  int32_t status = _setjmp(exit) == 0 ? c.target->run(&f) : GATECC_OK;
  c.runExit = nullptr;
  return status;
}

static gatecc_status runChecked(gatecc_context &c,
                                const gatecc_named_tensor *inputs,
                                int32_t numInputs, gatecc_named_tensor *outputs,
                                int32_t numOutputs) {
  if (gatecc_status status =
          takeArguments(c, inputs, numInputs, outputs, numOutputs))
    return status;
  int64_t arenaBytes = c.target->arena_bytes(c.symbols);
  if (!reserveBuffer(c.allocator, c.arena, arenaBytes)) {
    snprintf(c.message, sizeof c.message,
             "not enough memory for the arena of %" PRId64 " bytes",
             arenaBytes);
    return GATECC_OUT_OF_MEMORY;
  }
  bool statistics = c.collectStatistics != 0;
  if (statistics) {
    memset(c.siteRows, 0,
           static_cast<size_t>(program.num_sites) * sizeof(int64_t));
    memset(c.siteGroups, 0, static_cast<size_t>(c.numGroups) * sizeof(int64_t));
  }
  gatecc_frame frame = {&c,
                        c.weights,
                        c.arena.data,
                        c.symbols,
                        c.inputs,
                        c.outputs,
                        statistics ? c.siteRows : nullptr,
                        statistics ? c.siteGroups : nullptr};
  // Compiled code is written for the default rounding and denormal modes.
  unsigned mode = _mm_getcsr();
  _mm_setcsr(0x1f80);
  int32_t status = enterProgram(c, frame);
  _mm_setcsr(mode);
  resetRegion(c, /*keepLargest=*/true);

  int32_t failure = __atomic_load_n(&c.status, __ATOMIC_ACQUIRE);
  if (failure)
    return failure;
  if (status) {
    snprintf(c.message, sizeof c.message,
             "the compiled code ended with status %" PRId32, status);
    return status;
  }
  // Without a call of parallel_for that saw it, a request came too late.
  if (c.leftEarly)
    return GATECC_CANCELLED;
  c.statisticsValid = statistics;
  describeOutputs(c, outputs, numOutputs);
  return GATECC_OK;
}

gatecc_status gatecc_runtime::runContext(gatecc_context *context,
                                         const gatecc_named_tensor *inputs,
                                         int32_t numInputs,
                                         gatecc_named_tensor *outputs,
                                         int32_t numOutputs) {
  if (!context)
    return GATECC_INVALID_ARGUMENT;
  if (__atomic_exchange_n(&context->running, 1, __ATOMIC_ACQUIRE))
    return GATECC_INVALID_ARGUMENT; // another thread's run owns the message
  __atomic_store_n(&context->cancelled, 0, __ATOMIC_RELAXED);
  context->status = GATECC_OK;
  context->inParallel = 0;
  context->leftEarly = 0;
  context->statisticsValid = 0;
  context->message[0] = 0;
  gatecc_status status =
      runChecked(*context, inputs, numInputs, outputs, numOutputs);
  if (status == GATECC_CANCELLED && !context->message[0])
    snprintf(context->message, sizeof context->message,
             "the run was cancelled");
  __atomic_store_n(&context->running, 0, __ATOMIC_RELEASE);
  return status;
}

void gatecc_runtime::cancelRun(gatecc_context *context) {
  if (context)
    __atomic_store_n(&context->cancelled, 1, __ATOMIC_RELAXED);
}

const char *gatecc_runtime::errorMessage(const gatecc_context *context) {
  return context ? context->message : "there is no context";
}

// Adds up the sizes of tensors; false when they do not fit.
static bool addBytes(const gatecc_program_tensor *tensors, int32_t n,
                     const int64_t *symbols, int64_t *total) {
  for (int32_t i = 0; i < n; ++i) {
    int64_t bytes =
        isDecided(tensors[i]) ? 0 : tensorBytes(tensors[i], symbols);
    if (bytes < 0 || __builtin_add_overflow(*total, bytes, total))
      return false;
  }
  return true;
}

gatecc_status gatecc_runtime::queryMemory(const gatecc_binding *bindings,
                                          int32_t numBindings,
                                          gatecc_memory *memory) {
  if (!memory || memory->struct_size < sizeof(gatecc_memory) ||
      numBindings != program.num_symbols || (numBindings > 0 && !bindings))
    return GATECC_INVALID_ARGUMENT;
  const gatecc_program_target *target = findTarget(program);
  if (!target)
    return GATECC_UNSUPPORTED_CPU;
  int64_t *symbols = nullptr;
  if (!makeArray(symbols, program.num_symbols))
    return GATECC_OUT_OF_MEMORY;
  gatecc_status status = GATECC_OK;
  for (int32_t s = 0; s < program.num_symbols && status == GATECC_OK; ++s) {
    symbols[s] = -1;
    for (int32_t i = 0; i < numBindings; ++i)
      if (bindings[i].symbol &&
          strcmp(bindings[i].symbol, program.symbols[s]) == 0)
        symbols[s] = bindings[i].value;
    if (symbols[s] < 0)
      status = GATECC_INVALID_ARGUMENT;
  }
  if (status == GATECC_OK) {
    memory->input_bytes = memory->output_bytes = 0;
    memory->arena_bytes = target->arena_bytes(symbols);
    if (memory->arena_bytes < 0 ||
        !addBytes(program.inputs, program.num_inputs, symbols,
                  &memory->input_bytes) ||
        !addBytes(program.outputs, program.num_outputs, symbols,
                  &memory->output_bytes))
      status = GATECC_OUT_OF_MEMORY;
  }
  free(symbols);
  return status;
}
