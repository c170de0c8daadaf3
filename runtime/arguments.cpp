// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The tensors that a host passes to a run: every mistake is found here, before
// anything is computed, and named.

#include "context.h"
#include "kernels.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

using namespace gatecc_runtime;

static const gatecc_program &program = gatecc_program_constant;

__attribute__((format(printf, 2, 3))) static gatecc_status
refuse(gatecc_context &context, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(context.message, sizeof context.message, format, arguments);
  va_end(arguments);
  return GATECC_INVALID_ARGUMENT;
}

namespace {
struct DtypeText {
  char text[24];
  DtypeText(unsigned code, unsigned bits) {
    const char *kind = code == kDLInt      ? "int"
                       : code == kDLUInt   ? "uint"
                       : code == kDLFloat  ? "float"
                       : code == kDLBfloat ? "bfloat"
                                           : nullptr;
    if (kind)
      snprintf(text, sizeof text, "%s%u", kind, bits);
    else if (code == kDLBool && bits == 8)
      snprintf(text, sizeof text, "bool");
    else
      snprintf(text, sizeof text, "dtype %u/%u", code, bits);
  }
};
} // namespace

static int32_t findTensor(const gatecc_program_tensor *tensors, int32_t n,
                          const char *name) {
  for (int32_t i = 0; name && i < n; ++i)
    if (strcmp(tensors[i].name, name) == 0)
      return i;
  return -1;
}

// What must hold for inputs and for outputs in the caller's memory.
static gatecc_status checkLayout(gatecc_context &context, const char *what,
                                 const gatecc_program_tensor &expected,
                                 const DLTensor &given) {
  const char *name = expected.name;
  if (given.device.device_type != kDLCPU)
    return refuse(context,
                  "%s '%s': device type %d, memory of the CPU (1) is "
                  "needed",
                  what, name, static_cast<int>(given.device.device_type));
  if (given.dtype.code != expected.dtype_code ||
      given.dtype.bits != expected.dtype_bits || given.dtype.lanes != 1)
    return refuse(context, "%s '%s': %s%s given, %s is needed", what, name,
                  DtypeText(given.dtype.code, given.dtype.bits).text,
                  given.dtype.lanes == 1 ? "" : " in vectors",
                  DtypeText(expected.dtype_code, expected.dtype_bits).text);
  if (given.ndim != expected.rank)
    return refuse(context,
                  "%s '%s': rank %" PRId32 " given, %" PRId32 " is needed",
                  what, name, given.ndim, expected.rank);
  if (given.ndim > 0 && !given.shape)
    return refuse(context, "%s '%s': the shape is NULL", what, name);
  bool empty = false;
  for (int32_t d = 0; d < given.ndim; ++d) {
    if (given.shape[d] < 0)
      return refuse(context,
                    "%s '%s': dimension %" PRId32 " is negative (%" PRId64 ")",
                    what, name, d, given.shape[d]);
    empty |= given.shape[d] == 0;
  }
  if (empty)
    return GATECC_OK;
  int64_t stride = 1;
  for (int32_t d = given.ndim; d-- > 0;) {
    if (given.strides && given.shape[d] != 1 && given.strides[d] != stride)
      return refuse(context,
                    "%s '%s': the tensor is not contiguous (dimension %" PRId32
                    " has stride %" PRId64 ", %" PRId64
                    " is needed); make a contiguous copy",
                    what, name, d, given.strides[d], stride);
    if (__builtin_mul_overflow(stride, given.shape[d], &stride))
      return refuse(context, "%s '%s': the shape is too large", what, name);
  }
  if (!given.data)
    return refuse(context, "%s '%s': the data pointer is NULL", what, name);
  unsigned elementBytes = (expected.dtype_bits + 7u) / 8u;
  uintptr_t address =
      reinterpret_cast<uintptr_t>(given.data) + given.byte_offset;
  if (address % elementBytes != 0)
    return refuse(context,
                  "%s '%s': the data is not aligned to its elements of %u "
                  "bytes",
                  what, name, elementBytes);
  return GATECC_OK;
}

static void *firstElement(const DLTensor &tensor) {
  return tensor.data ? static_cast<char *>(tensor.data) + tensor.byte_offset
                     : nullptr;
}

static gatecc_status takeInputs(gatecc_context &context,
                                const gatecc_named_tensor *inputs,
                                int32_t numInputs) {
  // Which of the given tensors is which input; in the order of the program.
  const int64_t **shapes = context.inputShapes;
  unsigned char *seen = context.seen;
  memset(seen, 0, static_cast<size_t>(program.num_inputs));
  for (int32_t i = 0; i < numInputs; ++i) {
    int32_t at = findTensor(program.inputs, program.num_inputs, inputs[i].name);
    if (at < 0)
      return refuse(context, "the model has no input '%s'",
                    inputs[i].name ? inputs[i].name : "(NULL)");
    if (seen[at])
      return refuse(context, "input '%s' is given twice", inputs[i].name);
    seen[at] = 1;
    if (gatecc_status status =
            checkLayout(context, "input", program.inputs[at], inputs[i].tensor))
      return status;
    shapes[at] = inputs[i].tensor.shape;
    context.inputs[at] = firstElement(inputs[i].tensor);
  }
  for (int32_t i = 0; i < program.num_inputs; ++i)
    if (!seen[i])
      return refuse(context, "input '%s' is not given", program.inputs[i].name);
  return bindSymbols(program, shapes, context.symbols, context.symbolBound,
                     context.message, sizeof context.message);
}

static gatecc_status checkOutput(gatecc_context &context, int32_t at,
                                 const DLTensor &tensor) {
  const gatecc_program_tensor &expected = program.outputs[at];
  if (isDecided(expected))
    return refuse(context,
                  "output '%s': the run decides its size; leave the memory to "
                  "the context, with NULL as the data pointer",
                  expected.name);
  if (gatecc_status status = checkLayout(context, "output", expected, tensor))
    return status;
  for (int32_t d = 0; d < expected.rank; ++d) {
    int64_t extent = evaluateExtent(expected.shape[d], context.symbols);
    if (tensor.shape[d] != extent)
      return refuse(context,
                    "output '%s': dimension %" PRId32 " is %" PRId64
                    ", %" PRId64 " is needed",
                    expected.name, d, tensor.shape[d], extent);
  }
  return GATECC_OK;
}

// Describes memory of the context with the shape in context.outputShapes.
static void describe(gatecc_context &context, int32_t at, DLTensor &tensor) {
  const gatecc_program_tensor &output = program.outputs[at];
  tensor.data = context.outputs[at];
  tensor.device.device_type = kDLCPU;
  tensor.device.device_id = 0;
  tensor.ndim = output.rank;
  tensor.dtype.code = output.dtype_code;
  tensor.dtype.bits = output.dtype_bits;
  tensor.dtype.lanes = 1;
  tensor.shape = context.outputShapes[at];
  tensor.strides = nullptr;
  tensor.byte_offset = 0;
}

static gatecc_status ownOutput(gatecc_context &context, int32_t at,
                               DLTensor *tensor) {
  const gatecc_program_tensor &output = program.outputs[at];
  if (isDecided(output)) {
    context.outputs[at] = nullptr; // gatecc_allocate_output sets it
    return GATECC_OK;
  }
  int64_t bytes = tensorBytes(output, context.symbols);
  if (!reserveBuffer(context.allocator, context.outputBuffers[at], bytes)) {
    snprintf(context.message, sizeof context.message,
             "output '%s': not enough memory", output.name);
    return GATECC_OUT_OF_MEMORY;
  }
  context.outputs[at] = context.outputBuffers[at].data;
  if (!tensor)
    return GATECC_OK;
  for (int32_t d = 0; d < output.rank; ++d)
    context.outputShapes[at][d] =
        evaluateExtent(output.shape[d], context.symbols);
  describe(context, at, *tensor);
  return GATECC_OK;
}

static gatecc_status takeOutputs(gatecc_context &context,
                                 gatecc_named_tensor *outputs,
                                 int32_t numOutputs) {
  unsigned char *seen = context.seen;
  memset(seen, 0, static_cast<size_t>(program.num_outputs));
  // First check everything: a refused call leaves the caller's structs alone.
  for (int32_t i = 0; i < numOutputs; ++i) {
    int32_t at =
        findTensor(program.outputs, program.num_outputs, outputs[i].name);
    if (at < 0)
      return refuse(context, "the model has no output '%s'",
                    outputs[i].name ? outputs[i].name : "(NULL)");
    if (seen[at])
      return refuse(context, "output '%s' is given twice", outputs[i].name);
    seen[at] = 1;
    if (!outputs[i].tensor.data)
      continue;
    if (gatecc_status status = checkOutput(context, at, outputs[i].tensor))
      return status;
    context.outputs[at] = firstElement(outputs[i].tensor);
  }
  for (int32_t i = 0; i < numOutputs; ++i) {
    if (outputs[i].tensor.data)
      continue;
    int32_t at =
        findTensor(program.outputs, program.num_outputs, outputs[i].name);
    if (gatecc_status status = ownOutput(context, at, &outputs[i].tensor))
      return status;
  }
  // Outputs that the caller does not want are computed all the same.
  for (int32_t i = 0; i < program.num_outputs; ++i)
    if (!seen[i])
      if (gatecc_status status = ownOutput(context, i, nullptr))
        return status;
  return GATECC_OK;
}

void gatecc_runtime::describeOutputs(gatecc_context &context,
                                     gatecc_named_tensor *outputs,
                                     int32_t numOutputs) {
  for (int32_t i = 0; i < numOutputs; ++i) {
    int32_t at =
        findTensor(program.outputs, program.num_outputs, outputs[i].name);
    if (isDecided(program.outputs[at]))
      describe(context, at, outputs[i].tensor);
  }
}

extern "C" void *gatecc_allocate_output(const gatecc_frame *f, int64_t index,
                                        const int64_t *shape) {
  gatecc_context *context = static_cast<gatecc_context *>(f->context);
  if (!context)
    return nullptr;
  const gatecc_program_tensor &output = program.outputs[index];
  int64_t bytes = (output.dtype_bits + 7) / 8;
  bool empty = false, overflow = false;
  for (int32_t d = 0; d < output.rank; ++d) {
    context->outputShapes[index][d] = shape[d];
    empty |= shape[d] == 0;
    overflow |= shape[d] < 0 || __builtin_mul_overflow(bytes, shape[d], &bytes);
  }
  gatecc_buffer &buffer = context->outputBuffers[index];
  if (!reserveBuffer(context->allocator, buffer,
                     empty      ? 0
                     : overflow ? -1
                                : bytes)) {
    gatecc_fail(f, GATECC_OUT_OF_MEMORY,
                "not enough memory for an output whose size is decided during "
                "the run");
    return nullptr;
  }
  return context->outputs[index] = buffer.data;
}

extern "C" void *gatecc_take_output(const gatecc_frame *f, int64_t index,
                                    const int64_t *shape) {
  void *result = gatecc_allocate_output(f, index, shape);
  if (!result)
    gatecc_check_cancelled(f);
  return result;
}

gatecc_status gatecc_runtime::takeArguments(gatecc_context &context,
                                            const gatecc_named_tensor *inputs,
                                            int32_t numInputs,
                                            gatecc_named_tensor *outputs,
                                            int32_t numOutputs) {
  if (numInputs < 0 || (numInputs > 0 && !inputs))
    return refuse(context, "the array of inputs is NULL");
  if (numOutputs < 0 || (numOutputs > 0 && !outputs))
    return refuse(context, "the array of outputs is NULL");
  if (gatecc_status status = takeInputs(context, inputs, numInputs))
    return status;
  return takeOutputs(context, outputs, numOutputs);
}
