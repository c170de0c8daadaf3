// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The hand-written program: see FakeProgram.h.

#include "FakeProgram.h"
#include "gatecc/runtime.h"
#include "kernels.h"

#include <string.h>
#include <unistd.h>

int32_t fakeMode = FakeNormal;
int32_t fakeReached = 0;
int32_t fakeStarted = 0;

alignas(64) static const float weightData[4] = {1.0f, 2.0f, 3.0f, 4.0f};

namespace {
struct Rows {
  const gatecc_frame *frame;
  const float *x;
  float *y;
};

void scaleRow(void *closure, int64_t row) {
  const Rows &rows = *static_cast<const Rows *>(closure);
  const gatecc_frame *f = rows.frame;
  __atomic_fetch_add(&fakeStarted, 1, __ATOMIC_RELAXED);
  if (fakeMode == FakeFailInTask && row == 3) {
    gatecc_fail(f, GATECC_RUNTIME,
                "node 'g' (Gather): index 9 is out of range");
    gatecc_fail(f, GATECC_INTERNAL, "a second error, not reported");
  }
  if (fakeMode == FakeBlock)
    usleep(1000);
  const float *w = reinterpret_cast<const float *>(f->weights);
  float *temporary = reinterpret_cast<float *>(f->arena) + row * 4;
  if (fakeMode == FakeAllocate) {
    temporary = static_cast<float *>(gatecc_allocate(f, 16 + row * 1000));
    if (!temporary || reinterpret_cast<uintptr_t>(temporary) % 64)
      return gatecc_fail(f, GATECC_INTERNAL, "bad memory");
  }
  if (fakeMode == FakeAllocateTooMuch && row == 0 &&
      !gatecc_allocate(f, int64_t(1) << 60))
    return;
  for (int j = 0; j < 4; ++j)
    temporary[j] = rows.x[row * 4 + j] * w[j];
  memcpy(rows.y + row * 4, temporary, 16);
}

int32_t run(const gatecc_frame *f) {
  if (fakeMode == FakeReturnStatus)
    return GATECC_RUNTIME;
  int64_t batch = f->symbols[0];
  Rows rows = {f, static_cast<const float *>(f->inputs[0]),
               static_cast<float *>(f->outputs[0])};
  gatecc_parallel_for(f, fakeMode == FakeBlock ? 100000 : batch, scaleRow,
                      &rows);
  __atomic_store_n(&fakeReached, 1, __ATOMIC_RELAXED);
  int32_t *count = static_cast<int32_t *>(f->outputs[1]);
  for (int64_t i = 0; i < 2 * batch; ++i)
    count[i] = 7;
  if (f->site_rows) {
    f->site_rows[0] += batch;
    f->site_groups[0] += batch;
    f->site_groups[2] += batch;
    f->site_rows[1] += batch;
    f->site_groups[4 + 1] += batch;
  }
  return GATECC_OK;
}

int64_t arenaBytes(const int64_t *symbols) {
  int64_t bytes;
  return __builtin_mul_overflow(symbols[0], 16, &bytes) ? -1 : bytes;
}

int32_t runNever(const gatecc_frame *) { return GATECC_INTERNAL; }

const int32_t factorB[] = {0};
const int32_t factorS[] = {1};
const int32_t factorsBS[] = {0, 1};
const gatecc_extent extentsX[] = {{GATECC_EXTENT_MONOMIAL, 1, 1, factorB},
                                  {GATECC_EXTENT_CONSTANT, 4, 0, nullptr}};
const gatecc_extent extentsMask[] = {{GATECC_EXTENT_MONOMIAL, 1, 2, factorsBS},
                                     {GATECC_EXTENT_MONOMIAL, 1, 1, factorS}};
const gatecc_extent extentsCount[] = {{GATECC_EXTENT_MONOMIAL, 2, 1, factorB}};
const gatecc_program_tensor inputs[] = {{"x", kDLFloat, 32, 2, extentsX},
                                        {"mask", kDLBool, 8, 2, extentsMask}};
const gatecc_program_tensor outputs[] = {
    {"y", kDLFloat, 32, 2, extentsX}, {"count", kDLInt, 32, 1, extentsCount}};
const char *const symbols[] = {"B", "S"};
const double costs[] = {1, 1, 1, 1};
const gatecc_program_site sites[] = {{"router", "experts", 4, costs, 4},
                                     {"halting", "halt", -1, nullptr, 0}};
const gatecc_program_target targets[] = {
    {"x86-64", 0, run, arenaBytes, 1},
    {"impossible", UINT64_C(1) << 63, runNever, arenaBytes, 9},
    {"x86-64-v1-lesser", 0, runNever, arenaBytes, 0}};
} // namespace

extern "C" const gatecc_program gatecc_program_constant = {
    "0.1",
    "fake",
    "0123456789abcdef",
    sizeof weightData,
    2,
    2,
    2,
    2,
    3,
    inputs,
    outputs,
    symbols,
    sites,
    targets,
    reinterpret_cast<const unsigned char *>(weightData),
    nullptr,
    nullptr};
