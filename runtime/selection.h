// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The selection of the k best elements of a row, with no memory but the place
// where its result goes: insertion for small k, a heap for large k.

#ifndef GATECC_RUNTIME_SELECTION_H
#define GATECC_RUNTIME_SELECTION_H

#include <stdint.h>

namespace gatecc_runtime {

// Whether the element a comes before b, both at unknown places: a NaN comes
// after every number. False on ties.
template <bool Largest, typename T> inline bool precedes(T a, T b) {
  bool better = Largest ? a > b : a < b;
  return better | ((b != b) & (a == a)); // NOLINT(misc-redundant-expression)
}

// The same with ties broken by the position in the order of the scan.
template <bool Largest, typename T>
inline bool precedesAt(T a, int64_t ia, T b, int64_t ib) {
  if (precedes<Largest>(a, b))
    return true;
  if (precedes<Largest>(b, a))
    return false;
  return ia < ib;
}

// Restores the heap (worst element on top) below `hole`.
template <bool Largest, typename T, typename Index>
inline void siftDown(T *values, Index *indices, int64_t size, int64_t hole,
                     T value, Index index) {
  for (;;) {
    int64_t child = 2 * hole + 1;
    if (child >= size)
      break;
    if (child + 1 < size &&
        precedesAt<Largest>(values[child], indices[child], values[child + 1],
                            indices[child + 1]))
      ++child;
    if (!precedesAt<Largest>(value, index, values[child], indices[child]))
      break;
    values[hole] = values[child];
    indices[hole] = indices[child];
    hole = child;
  }
  values[hole] = value;
  indices[hole] = index;
}

// Writes the k best of x[0..n) to values and indices, best first, k <= n.
// Reversed scans from the end, so that ties go to the higher index; indices
// then count from the end during the scan and are turned around at the end.
template <bool Largest, bool Reversed, typename T, typename Index>
void selectBest(const T *x, int64_t n, int64_t k, T *values, Index *indices) {
  constexpr int64_t kInsertionLimit = 32;
  constexpr int64_t kBlock = 32;
  if (k <= 0)
    return;
  auto at = [&](int64_t i) { return Reversed ? x[n - 1 - i] : x[i]; };

  if (k <= kInsertionLimit) {
    int64_t size = 0;
    auto insert = [&](T value, int64_t i) {
      int64_t p = size < k ? size++ : k - 1;
      while (p > 0 && precedes<Largest>(value, values[p - 1])) {
        values[p] = values[p - 1];
        indices[p] = indices[p - 1];
        --p;
      }
      values[p] = value;
      indices[p] = static_cast<Index>(i);
    };
    int64_t i = 0;
    for (; i < k; ++i)
      insert(at(i), i);
    // Most blocks of a long row hold nothing better than what is there.
    for (; i + kBlock <= n; i += kBlock) {
      T worst = values[k - 1];
      int any = 0;
      for (int64_t j = 0; j < kBlock; ++j)
        any |= precedes<Largest>(at(i + j), worst);
      if (!any)
        continue;
      for (int64_t j = 0; j < kBlock; ++j)
        if (precedes<Largest>(at(i + j), values[k - 1]))
          insert(at(i + j), i + j);
    }
    for (; i < n; ++i)
      if (precedes<Largest>(at(i), values[k - 1]))
        insert(at(i), i);
  } else {
    for (int64_t i = 0; i < k; ++i) {
      values[i] = at(i);
      indices[i] = static_cast<Index>(i);
    }
    for (int64_t i = k / 2; i-- > 0;)
      siftDown<Largest>(values, indices, k, i, values[i], indices[i]);
    for (int64_t i = k; i < n; ++i)
      if (precedes<Largest>(at(i), values[0]))
        siftDown<Largest>(values, indices, k, int64_t(0), at(i),
                          static_cast<Index>(i));
    for (int64_t size = k - 1; size > 0; --size) {
      T value = values[size];
      Index index = indices[size];
      values[size] = values[0];
      indices[size] = indices[0];
      siftDown<Largest>(values, indices, size, int64_t(0), value, index);
    }
  }
  if (Reversed)
    for (int64_t j = 0; j < k; ++j)
      indices[j] = static_cast<Index>(n - 1 - indices[j]);
}

} // namespace gatecc_runtime

#endif // GATECC_RUNTIME_SELECTION_H
