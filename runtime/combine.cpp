// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The weighted sum of each row's slots, in choice order.

#include "kernels.h"

namespace {
struct Combination {
  const float *slots;
  int64_t width;
  const int32_t *inverse;
  const float *weight;
  int64_t rows;
  int64_t k;
  float *out;
  int64_t rowsPerTask;
};

// One row, columns [column, column + count), count <= kChunk. The partial sums
// stay in registers over all choices.
constexpr int64_t kChunk = 32;

inline __attribute__((always_inline)) void
combineColumns(const Combination &c, const int32_t *inverse,
               const float *weight, int64_t column, int64_t count,
               float *__restrict out) {
  float sum[kChunk];
  for (int64_t i = 0; i < kChunk; ++i)
    sum[i] = 0.0f;
  for (int64_t j = 0; j < c.k; ++j) {
    int64_t slot = inverse[j];
    if (slot < 0)
      continue;
    const float *row = c.slots + slot * c.width + column;
    if (weight) {
      float w = weight[j];
      for (int64_t i = 0; i < count; ++i)
        sum[i] += w * row[i];
    } else {
      for (int64_t i = 0; i < count; ++i)
        sum[i] += row[i];
    }
  }
  for (int64_t i = 0; i < count; ++i)
    out[i] = sum[i];
}

void combineRows(void *closure, int64_t task) {
  const Combination &c = *static_cast<const Combination *>(closure);
  int64_t begin = task * c.rowsPerTask;
  int64_t end = begin + c.rowsPerTask < c.rows ? begin + c.rowsPerTask : c.rows;
  for (int64_t t = begin; t < end; ++t) {
    const int32_t *inverse = c.inverse + t * c.k;
    const float *weight = c.weight ? c.weight + t * c.k : nullptr;
    float *out = c.out + t * c.width;
    int64_t column = 0;
    for (; column + kChunk <= c.width; column += kChunk)
      combineColumns(c, inverse, weight, column, kChunk, out + column);
    if (column < c.width)
      combineColumns(c, inverse, weight, column, c.width - column,
                     out + column);
  }
}
} // namespace

extern "C" void gatecc_combine_f32(const gatecc_frame *f, const float *slots,
                                   int64_t width, const int32_t *inverse,
                                   const float *weight, int64_t rows, int64_t k,
                                   float *out) {
  // A task reads about 64 KiB, so that starting it costs little beside it.
  constexpr int64_t kElementsPerTask = 16384;
  int64_t perRow = width * (k + 1) + 1;
  int64_t rowsPerTask = kElementsPerTask / perRow;
  if (rowsPerTask < 1)
    rowsPerTask = 1;
  Combination c = {slots, width, inverse, weight, rows, k, out, rowsPerTask};
  gatecc_parallel_for(f, (rows + rowsPerTask - 1) / rowsPerTask, combineRows,
                      &c);
}
