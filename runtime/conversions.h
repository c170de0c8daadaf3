// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Conversions between floating point formats, on bits: round to nearest, ties
// to even; overflow to infinity; a NaN stays a NaN, quiet, with the upper bits
// of its payload.

#ifndef GATECC_RUNTIME_CONVERSIONS_H
#define GATECC_RUNTIME_CONVERSIONS_H

#include <stdint.h>
#include <string.h>

namespace gatecc_runtime {

template <typename To, typename From> inline To bitsTo(From from) {
  static_assert(sizeof(To) == sizeof(From), "a reinterpretation");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// To a 16-bit format with ExponentBits and MantissaBits. From double, in which
// every float and half is exact, so that there is only one rounding.
template <int ExponentBits, int MantissaBits>
inline uint16_t narrowTo16(double value) {
  constexpr int kBias = (1 << (ExponentBits - 1)) - 1;
  constexpr uint16_t kInfinity =
      uint16_t(((1 << ExponentBits) - 1) << MantissaBits);
  uint64_t bits = bitsTo<uint64_t>(value);
  uint16_t sign = uint16_t(bits >> 48 & 0x8000);
  uint64_t mantissa = bits & 0xfffffffffffffu;
  int exponent = int(bits >> 52 & 0x7ff);
  if (exponent == 0x7ff) {
    if (!mantissa)
      return sign | kInfinity;
    uint16_t payload = uint16_t(mantissa >> (52 - MantissaBits));
    return uint16_t(sign | kInfinity | 1 << (MantissaBits - 1) | payload);
  }
  if (exponent == 0)
    return sign; // a double's subnormal is far below half of the smallest
  int target = exponent - 1023 + kBias;
  mantissa |= uint64_t(1) << 52;
  int drop = 52 - MantissaBits;
  if (target <= 0) { // a subnormal, or zero
    drop += 1 - target;
    target = 0;
    if (drop > 54)
      return sign;
  } else {
    mantissa &= ~(uint64_t(1) << 52);
  }
  uint64_t kept = mantissa >> drop;
  uint64_t rest = mantissa & ((uint64_t(1) << drop) - 1);
  uint64_t half = uint64_t(1) << (drop - 1);
  // A carry out of the mantissa raises the exponent, up to infinity.
  uint64_t result = (uint64_t(target) << MantissaBits) + kept;
  result += rest > half || (rest == half && (kept & 1));
  return sign | (result > kInfinity ? kInfinity : uint16_t(result));
}

inline uint16_t floatToBfloat(float value) {
  uint32_t bits = bitsTo<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline uint16_t doubleToBfloat(double value) { return narrowTo16<8, 7>(value); }
inline uint16_t doubleToHalf(double value) { return narrowTo16<5, 10>(value); }

inline float bfloatToFloat(uint16_t bits) {
  return bitsTo<float>(uint32_t(bits) << 16);
}

inline float halfToFloat(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16;
  uint32_t exponent = bits >> 10 & 31;
  uint32_t mantissa = bits & 0x3ff;
  if (exponent == 31)
    return bitsTo<float>(sign | 0x7f800000 | mantissa << 13 |
                         (mantissa ? 0x400000u : 0u));
  if (exponent == 0) // mantissa * 2^-24, exact
    return bitsTo<float>(sign | bitsTo<uint32_t>(float(int32_t(mantissa)) *
                                                 5.9604644775390625e-8f));
  return bitsTo<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

} // namespace gatecc_runtime

#endif // GATECC_RUNTIME_CONVERSIONS_H
