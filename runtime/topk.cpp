// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// TopK of contiguous rows.

#include "kernels.h"
#include "selection.h"

using namespace gatecc_runtime;

template <typename T>
static inline void topk(const T *x, int64_t rows, int64_t n, int64_t k,
                        int32_t largest, T *values, int64_t *indices) {
  for (int64_t r = 0; r < rows; ++r, x += n, values += k, indices += k) {
    int64_t found = k < n ? k : n;
    if (largest)
      selectBest<true, false>(x, n, found, values, indices);
    else
      selectBest<false, false>(x, n, found, values, indices);
    // Not reached from compiled code, where k <= n has been checked.
    for (int64_t j = found; j < k; ++j) {
      values[j] = 0;
      indices[j] = 0;
    }
  }
}

extern "C" void gatecc_topk_f32(const float *x, int64_t rows, int64_t n,
                                int64_t k, int32_t largest, float *values,
                                int64_t *indices) {
  topk(x, rows, n, k, largest, values, indices);
}

extern "C" void gatecc_topk_f64(const double *x, int64_t rows, int64_t n,
                                int64_t k, int32_t largest, double *values,
                                int64_t *indices) {
  topk(x, rows, n, k, largest, values, indices);
}

extern "C" void gatecc_topk_i32(const int32_t *x, int64_t rows, int64_t n,
                                int64_t k, int32_t largest, int32_t *values,
                                int64_t *indices) {
  topk(x, rows, n, k, largest, values, indices);
}

extern "C" void gatecc_topk_i64(const int64_t *x, int64_t rows, int64_t n,
                                int64_t k, int32_t largest, int64_t *values,
                                int64_t *indices) {
  topk(x, rows, n, k, largest, values, indices);
}
