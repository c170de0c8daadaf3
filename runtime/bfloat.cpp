// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows rounded to bf16, for products with weights of bf16.

#include "conversions.h"
#include "kernels.h"

using namespace gatecc_runtime;

namespace {
struct Rounding {
  const float *x;
  const int32_t *source;
  int64_t rows, k, stride;
  uint16_t *out;
  int64_t rowsPerTask;
};

void roundRows(void *closure, int64_t task) {
  const Rounding &c = *static_cast<const Rounding *>(closure);
  int64_t begin = task * c.rowsPerTask;
  int64_t end = begin + c.rowsPerTask < c.rows ? begin + c.rowsPerTask : c.rows;
  for (int64_t r = begin; r < end; ++r) {
    const float *x = c.x + (c.source ? c.source[r] : r) * c.k;
    uint16_t *out = c.out + r * c.stride;
    for (int64_t i = 0; i < c.k; ++i)
      out[i] = floatToBfloat(x[i]);
    for (int64_t i = c.k; i < c.stride; ++i)
      out[i] = 0;
  }
}
} // namespace

extern "C" void gatecc_round_rows_bf16(const gatecc_frame *f, const float *x,
                                       const int32_t *source, int64_t rows,
                                       int64_t k, int64_t stride,
                                       uint16_t *out) {
  constexpr int64_t kElementsPerTask = 16384;
  int64_t rowsPerTask = kElementsPerTask / (k + 1);
  if (rowsPerTask < 1)
    rowsPerTask = 1;
  Rounding c = {x, source, rows, k, stride, out, rowsPerTask};
  gatecc_parallel_for(f, (rows + rowsPerTask - 1) / rowsPerTask, roundRows, &c);
}
