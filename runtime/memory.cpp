// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The memory of a context: buffers that grow, and the region that serves
// values whose size is known only during a run.

#include "context.h"
#include "kernels.h"

#include <stdlib.h>

using namespace gatecc_runtime;

void *gatecc_runtime::allocateAligned(const gatecc_allocator &allocator,
                                      int64_t bytes) {
  if (bytes < 64)
    bytes = bytes < 0 ? -1 : 64;
  if (bytes < 0 || bytes > INT64_MAX - 64)
    return nullptr;
  size_t size = (static_cast<size_t>(bytes) + 63) & ~size_t(63);
  if (allocator.allocate)
    return allocator.allocate(allocator.user, size, 64);
  void *pointer = nullptr;
  return posix_memalign(&pointer, 64, size) == 0 ? pointer : nullptr;
}

void gatecc_runtime::releaseAligned(const gatecc_allocator &allocator,
                                    void *pointer) {
  if (!pointer)
    return;
  if (allocator.allocate)
    allocator.release(allocator.user, pointer);
  else
    free(pointer);
}

bool gatecc_runtime::reserveBuffer(const gatecc_allocator &allocator,
                                   gatecc_buffer &buffer, int64_t bytes) {
  if (bytes < 0)
    return false;
  if (buffer.data && buffer.capacity >= bytes)
    return true;
  releaseAligned(allocator, buffer.data);
  buffer.capacity = 0;
  buffer.data = static_cast<unsigned char *>(allocateAligned(allocator, bytes));
  if (!buffer.data)
    return false;
  buffer.capacity = bytes;
  return true;
}

void gatecc_runtime::resetRegion(gatecc_context &context, bool keepLargest) {
  gatecc_block *largest = nullptr;
  if (keepLargest)
    for (gatecc_block *b = context.region; b; b = b->next)
      if (!largest || b->capacity > largest->capacity)
        largest = b;
  for (gatecc_block *b = context.region; b;) {
    gatecc_block *next = b->next;
    if (b != largest)
      releaseAligned(context.allocator, b);
    b = next;
  }
  context.region = largest;
  if (largest) {
    largest->next = nullptr;
    largest->used = 0;
  }
}

// Takes `bytes` (a multiple of 64) from the region, under its lock.
static void *takeFromRegion(gatecc_context &context, int64_t bytes) {
  constexpr int64_t kBlockBytes = int64_t(1) << 20;
  gatecc_block *block = context.region;
  if (!block || block->capacity - block->used < bytes) {
    int64_t capacity = bytes > kBlockBytes ? bytes : kBlockBytes;
    gatecc_block *fresh = static_cast<gatecc_block *>(allocateAligned(
        context.allocator, capacity + int64_t(sizeof(gatecc_block))));
    if (!fresh)
      return nullptr;
    fresh->next = block;
    fresh->capacity = capacity;
    fresh->used = 0;
    context.region = block = fresh;
  }
  unsigned char *data = reinterpret_cast<unsigned char *>(block + 1);
  data += block->used;
  block->used += bytes;
  return data;
}

extern "C" void *gatecc_allocate(const gatecc_frame *f, int64_t bytes) {
  gatecc_context *context = static_cast<gatecc_context *>(f->context);
  void *result = nullptr;
  if (context && bytes >= 0 && bytes <= INT64_MAX / 2) {
    while (__atomic_exchange_n(&context->regionLock, 1, __ATOMIC_ACQUIRE))
      __builtin_ia32_pause();
    result = takeFromRegion(*context, bytes ? (bytes + 63) & ~int64_t(63) : 64);
    __atomic_store_n(&context->regionLock, 0, __ATOMIC_RELEASE);
  }
  if (!result)
    gatecc_fail(f, GATECC_OUT_OF_MEMORY,
                "not enough memory for a value whose size is decided during "
                "the run");
  return result;
}

extern "C" void *gatecc_take(const gatecc_frame *f, int64_t bytes) {
  void *result = gatecc_allocate(f, bytes);
  if (!result)
    gatecc_check_cancelled(f);
  return result;
}
