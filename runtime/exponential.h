// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// exp for x <= 0 on vectors of eight floats: one sequence of operations for
// every element, wherever it stands, with no fused operations, so that the
// bits are the same in every lane and on every CPU. Error below 2 ulp.

#ifndef GATECC_RUNTIME_EXPONENTIAL_H
#define GATECC_RUNTIME_EXPONENTIAL_H

#include <stdint.h>

namespace gatecc_runtime {

typedef float Float8 __attribute__((vector_size(32), aligned(4)));
typedef uint32_t Bits8 __attribute__((vector_size(32), aligned(4)));
typedef int32_t Mask8 __attribute__((vector_size(32), aligned(4)));

#define GATECC_INLINE inline __attribute__((always_inline))

GATECC_INLINE Float8 splat(float x) { return Float8{x, x, x, x, x, x, x, x}; }

// exp(x) for x <= 0; 0 below -104, NaN for NaN. exp(+0) is exactly 1. Of x > 0,
// which only NaN-producing rows ask for, the result is any number.
GATECC_INLINE Float8 expOfNonpositive(Float8 x) {
  const Float8 lowest = splat(-104.0f);
  x = x < lowest ? lowest : x; // keeps NaN
  // n = round(x / ln 2), taken from the low bits of a sum with 1.5 * 2^23.
  const Float8 magic = splat(12582912.0f);
  Float8 shifted = x * 1.44269504088896341f + magic;
  Float8 n = shifted - magic;
  Float8 r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  // exp(r) on [-ln 2 / 2, ln 2 / 2].
  Float8 p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two factors: n reaches -150, below the smallest exponent.
  Bits8 m = (Bits8)shifted - (Bits8)magic;
  Bits8 half = (Bits8)((Mask8)m >> 1);
  Float8 scale1 = (Float8)((half + 127u) << 23);
  Float8 scale2 = (Float8)((m - half + 127u) << 23);
  return (p * scale1) * scale2;
}

} // namespace gatecc_runtime

#endif // GATECC_RUNTIME_EXPONENTIAL_H
