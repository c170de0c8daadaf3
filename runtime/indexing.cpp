// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Indexing by data: positions of true elements, gathers and scatters of slices
// at computed places, running sums. No place is trusted.

#include "kernels.h"

#include <string.h>

extern "C" int64_t gatecc_count_true(const uint8_t *x, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i)
    count += x[i] & 1;
  return count;
}

extern "C" void gatecc_find_true(const uint8_t *x, int64_t n, int64_t count,
                                 int64_t *places) {
  int64_t found = 0;
  for (int64_t i = 0; i < n && found < count; ++i)
    if (x[i] & 1)
      places[found++] = i;
}

extern "C" void gatecc_gather_slices(const void *data, int64_t slice_bytes,
                                     int64_t count, const int64_t *places,
                                     int64_t n, void *out) {
  const char *from = static_cast<const char *>(data);
  char *to = static_cast<char *>(out);
  for (int64_t i = 0; i < n; ++i, to += slice_bytes) {
    if (places[i] >= 0 && places[i] < count)
      memcpy(to, from + places[i] * slice_bytes,
             static_cast<size_t>(slice_bytes));
    else
      memset(to, 0, static_cast<size_t>(slice_bytes));
  }
}

extern "C" void gatecc_scatter_slices(const void *updates, int64_t slice_bytes,
                                      int64_t count, const int64_t *places,
                                      int64_t n, void *data) {
  const char *from = static_cast<const char *>(updates);
  char *to = static_cast<char *>(data);
  for (int64_t i = 0; i < n; ++i, from += slice_bytes)
    if (places[i] >= 0 && places[i] < count)
      memcpy(to + places[i] * slice_bytes, from,
             static_cast<size_t>(slice_bytes));
}

namespace {
// Integers wrap around: they are added and multiplied without their sign.
template <typename T> struct Arithmetic {
  typedef T type;
};
template <> struct Arithmetic<int32_t> {
  typedef uint32_t type;
};
template <> struct Arithmetic<int64_t> {
  typedef uint64_t type;
};

template <typename T> inline T sum(T a, T b) {
  typedef typename Arithmetic<T>::type U;
  return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
}

template <int32_t Reduction, typename T> inline T reduced(T a, T b) {
  typedef typename Arithmetic<T>::type U;
  switch (Reduction) {
  case GATECC_REDUCE_ADD:
    return sum(a, b);
  case GATECC_REDUCE_MUL:
    return static_cast<T>(static_cast<U>(a) * static_cast<U>(b));
  case GATECC_REDUCE_MAX:           // A NaN on either side is the result.
    return a > b || a != a ? a : b; // NOLINT(misc-redundant-expression)
  default:
    return a < b || a != a ? a : b; // NOLINT(misc-redundant-expression)
  }
}

template <int32_t Reduction, typename T>
void reduceSlices(const T *updates, int64_t slice, int64_t count,
                  const int64_t *places, int64_t n, T *data) {
  for (int64_t i = 0; i < n; ++i, updates += slice) {
    if (places[i] < 0 || places[i] >= count)
      continue;
    T *row = data + places[i] * slice;
    for (int64_t j = 0; j < slice; ++j)
      row[j] = reduced<Reduction>(row[j], updates[j]);
  }
}

template <typename T>
void reduceSlices(int32_t reduction, const T *updates, int64_t slice,
                  int64_t count, const int64_t *places, int64_t n, T *data) {
  switch (reduction) {
  case GATECC_REDUCE_ADD:
    return reduceSlices<GATECC_REDUCE_ADD>(updates, slice, count, places, n,
                                           data);
  case GATECC_REDUCE_MUL:
    return reduceSlices<GATECC_REDUCE_MUL>(updates, slice, count, places, n,
                                           data);
  case GATECC_REDUCE_MAX:
    return reduceSlices<GATECC_REDUCE_MAX>(updates, slice, count, places, n,
                                           data);
  default:
    return reduceSlices<GATECC_REDUCE_MIN>(updates, slice, count, places, n,
                                           data);
  }
}

template <typename T>
void runningSums(const T *x, int64_t outer, int64_t n, int64_t inner,
                 int32_t exclusive, int32_t reverse, T *out) {
  for (int64_t o = 0; o < outer; ++o, x += n * inner, out += n * inner)
    for (int64_t j = 0; j < n; ++j) {
      int64_t to = reverse ? n - 1 - j : j;
      int64_t before = reverse ? to + 1 : to - 1;
      const T *added = x + (exclusive ? before : to) * inner;
      for (int64_t i = 0; i < inner; ++i) {
        if (j == 0)
          out[to * inner + i] = exclusive ? T(0) : added[i];
        else
          out[to * inner + i] = sum(out[before * inner + i], added[i]);
      }
    }
}
} // namespace

#define GATECC_FOR_NUMBERS(DEFINE)                                             \
  DEFINE(f32, float)                                                           \
  DEFINE(f64, double)                                                          \
  DEFINE(i32, int32_t)                                                         \
  DEFINE(i64, int64_t)

#define GATECC_REDUCE_SLICES(NAME, TYPE)                                       \
  extern "C" void gatecc_reduce_slices_##NAME(                                 \
      int32_t reduction, const TYPE *updates, int64_t slice, int64_t count,    \
      const int64_t *places, int64_t n, TYPE *data) {                          \
    reduceSlices(reduction, updates, slice, count, places, n, data);           \
  }
GATECC_FOR_NUMBERS(GATECC_REDUCE_SLICES)

#define GATECC_CUMSUM(NAME, TYPE)                                              \
  extern "C" void gatecc_cumsum_##NAME(                                        \
      const TYPE *x, int64_t outer, int64_t n, int64_t inner,                  \
      int32_t exclusive, int32_t reverse, TYPE *out) {                         \
    runningSums(x, outer, n, inner, exclusive, reverse, out);                  \
  }
GATECC_FOR_NUMBERS(GATECC_CUMSUM)
