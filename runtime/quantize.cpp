// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows as integers of 8 bits with a scale for each block, for products with
// integer weights.

#include "kernels.h"

#include <string.h>

namespace {
constexpr float kRound = 12582912.0f; // 1.5 * 2^23

template <typename T> struct Quantization {
  const float *x;
  int64_t rows, k, block;
  T *q;
  float *scales;
  int64_t rowsPerTask;
};

// count > 0 elements, and the zeros that fill the block. Division, not
// multiplication with a reciprocal: the reference has the same bits.
template <typename T>
inline __attribute__((always_inline)) float
quantizeBlock(const float *__restrict x, int64_t count, int64_t block,
              T *__restrict q) {
  // As integers, so that infinities and NaNs are the largest of all.
  uint32_t most = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t word;
    memcpy(&word, x + i, sizeof word);
    word &= 0x7fffffff;
    most = word > most ? word : most;
  }
  float scale;
  memcpy(&scale, &most, sizeof scale);
  scale /= 127.0f;
  bool isNumber = most < 0x7f800000;
  if (!isNumber || scale == 0.0f) {
    memset(q, 0, static_cast<size_t>(block) * sizeof(T) + 2 * sizeof(int16_t));
    return isNumber ? 0.0f : __builtin_nanf("");
  }
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    // Rounds to nearest, ties to even, without a call on CPUs that have no
    // instruction for it: the sum has no room for a fraction.
    float scaled = (x[i] / scale + kRound) - kRound;
    // The scale of tiny numbers is rounded a lot.
    scaled = scaled < -127.0f ? -127.0f : scaled;
    scaled = scaled > 127.0f ? 127.0f : scaled;
    int32_t integer = static_cast<int32_t>(scaled);
    q[i] = static_cast<T>(integer);
    sum += integer;
  }
  for (int64_t i = count; i < block; ++i)
    q[i] = 0;
  const int16_t twice[2] = {static_cast<int16_t>(sum),
                            static_cast<int16_t>(sum)};
  memcpy(q + block, twice, sizeof twice);
  return scale;
}

template <typename T> void quantizeRows(void *closure, int64_t task) {
  const Quantization<T> &c = *static_cast<const Quantization<T> *>(closure);
  const int64_t blockElements =
      c.block + static_cast<int64_t>(2 * sizeof(int16_t) / sizeof(T));
  int64_t begin = task * c.rowsPerTask;
  int64_t end = begin + c.rowsPerTask < c.rows ? begin + c.rowsPerTask : c.rows;
  int64_t blocks = (c.k + c.block - 1) / c.block;
  for (int64_t r = begin; r < end; ++r)
    for (int64_t j = 0; j < blocks; ++j) {
      const float *x = c.x + r * c.k + j * c.block;
      T *q = c.q + (r * blocks + j) * blockElements;
      int64_t left = c.k - j * c.block;
      // The usual case with a length that the compiler knows.
      c.scales[r * blocks + j] =
          c.block == 32 && left >= 32
              ? quantizeBlock(x, 32, 32, q)
              : quantizeBlock(x, left < c.block ? left : c.block, c.block, q);
    }
}
template <typename T>
void quantize(const gatecc_frame *f, const float *x, int64_t rows, int64_t k,
              int64_t block, T *q, float *scales) {
  constexpr int64_t kElementsPerTask = 16384;
  int64_t rowsPerTask = kElementsPerTask / (k + 1);
  if (rowsPerTask < 1)
    rowsPerTask = 1;
  Quantization<T> c = {x, rows, k, block, q, scales, rowsPerTask};
  gatecc_parallel_for(f, (rows + rowsPerTask - 1) / rowsPerTask,
                      quantizeRows<T>, &c);
}
} // namespace

extern "C" void gatecc_quantize_rows_i16(const gatecc_frame *f, const float *x,
                                         int64_t rows, int64_t k, int64_t block,
                                         int16_t *q, float *scales) {
  quantize(f, x, rows, k, block, q, scales);
}

extern "C" void gatecc_quantize_rows_i8(const gatecc_frame *f, const float *x,
                                        int64_t rows, int64_t k, int64_t block,
                                        int8_t *q, float *scales) {
  quantize(f, x, rows, k, block, q, scales);
}
