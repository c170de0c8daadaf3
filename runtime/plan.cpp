// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plans: slots from choices, rows into and out of slots, task lists.

#include "kernels.h"

#include <string.h>

extern "C" void gatecc_sort_slots(const int32_t *ids, const float *slot_weight,
                                  int64_t rows, int64_t k, int64_t groups,
                                  int32_t *offsets, int32_t *source,
                                  float *weight, int32_t *inverse) {
  // offsets serves as the cursors: offsets[g + 1] first counts group g, then
  // holds its start, and has become its end when all slots are placed.
  memset(offsets, 0, static_cast<size_t>(groups + 1) * sizeof(int32_t));
  const int64_t choices = rows * k;
  for (int64_t c = 0; c < choices; ++c) {
    uint32_t group = static_cast<uint32_t>(ids[c]);
    if (group < static_cast<uint64_t>(groups))
      ++offsets[group + 1];
  }
  int32_t start = 0;
  for (int64_t g = 0; g < groups; ++g) {
    int32_t count = offsets[g + 1];
    offsets[g + 1] = start;
    start += count;
  }
  for (int64_t t = 0, c = 0; t < rows; ++t) {
    for (int64_t j = 0; j < k; ++j, ++c) {
      uint32_t group = static_cast<uint32_t>(ids[c]);
      if (group >= static_cast<uint64_t>(groups)) {
        inverse[c] = -1;
        continue;
      }
      int32_t slot = offsets[group + 1]++;
      source[slot] = static_cast<int32_t>(t);
      inverse[c] = slot;
      if (weight)
        weight[slot] = slot_weight ? slot_weight[c] : 1.0f;
    }
  }
}

// A copy with a constant size for the element sizes that rows of one element
// have; unaligned pointers are allowed.
template <int64_t Bytes>
static inline void gatherElements(const char *x, const int32_t *source,
                                  int64_t n, char *y) {
  for (int64_t i = 0; i < n; ++i)
    memcpy(y + i * Bytes, x + source[i] * Bytes, Bytes);
}

template <int64_t Bytes>
static inline void scatterElements(const char *y, const int32_t *source,
                                   int64_t n, char *x) {
  for (int64_t i = 0; i < n; ++i)
    memcpy(x + source[i] * Bytes, y + i * Bytes, Bytes);
}

extern "C" void gatecc_gather_rows(const void *x, int64_t row_bytes,
                                   const int32_t *source, int64_t n, void *y) {
  const char *from = static_cast<const char *>(x);
  char *to = static_cast<char *>(y);
  switch (row_bytes) {
  case 0:
    return;
  case 1:
    return gatherElements<1>(from, source, n, to);
  case 4:
    return gatherElements<4>(from, source, n, to);
  case 8:
    return gatherElements<8>(from, source, n, to);
  default:
    for (int64_t i = 0; i < n; ++i)
      memcpy(to + i * row_bytes, from + source[i] * row_bytes,
             static_cast<size_t>(row_bytes));
  }
}

extern "C" void gatecc_scatter_rows(const void *y, int64_t row_bytes,
                                    const int32_t *source, int64_t n, void *x) {
  const char *from = static_cast<const char *>(y);
  char *to = static_cast<char *>(x);
  switch (row_bytes) {
  case 0:
    return;
  case 1:
    return scatterElements<1>(from, source, n, to);
  case 4:
    return scatterElements<4>(from, source, n, to);
  case 8:
    return scatterElements<8>(from, source, n, to);
  default:
    for (int64_t i = 0; i < n; ++i)
      memcpy(to + source[i] * row_bytes, from + i * row_bytes,
             static_cast<size_t>(row_bytes));
  }
}

extern "C" int64_t gatecc_group_tasks(const int32_t *offsets, int64_t groups,
                                      int64_t block, int32_t *first) {
  int64_t total = 0;
  for (int64_t g = 0; g < groups; ++g) {
    first[g] = static_cast<int32_t>(total);
    total +=
        (static_cast<int64_t>(offsets[g + 1]) - offsets[g] + block - 1) / block;
  }
  first[groups] = static_cast<int32_t>(total);
  return total;
}

extern "C" int64_t gatecc_find_group(const int32_t *first, int64_t groups,
                                     int64_t task) {
  // The last group that starts at or before task; empty groups start where the
  // next one does, so it is not empty.
  int64_t low = 0, high = groups;
  while (high - low > 1) {
    int64_t middle = low + (high - low) / 2;
    if (first[middle] <= task)
      low = middle;
    else
      high = middle;
  }
  return low;
}
