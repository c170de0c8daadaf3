// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// 16-bit floats, integer powers, 128-bit division: against plain definitions.

#include "conversions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace gatecc_runtime;

extern "C" {
float __powisf2(float, int);
double __powidf2(double, int);
__extension__ typedef unsigned __int128 U128;
__extension__ typedef __int128 S128;
}

namespace {
// The value of 16 bits with E exponent and M mantissa bits.
double valueOf(uint16_t bits, int e, int m) {
  int exponent = bits >> m & ((1 << e) - 1), mantissa = bits & ((1 << m) - 1);
  int bias = (1 << (e - 1)) - 1;
  double v = exponent == (1 << e) - 1
                 ? (mantissa ? NAN : INFINITY)
                 : std::ldexp(mantissa + (exponent ? 1 << m : 0),
                              (exponent ? exponent : 1) - bias - m);
  return bits & 0x8000 ? -v : v;
}

// Checks that `got` is the nearest 16-bit value to x, ties to even: the middle
// between neighbours is exact in double for both formats.
void expectNearest(double x, uint16_t got, int e, int m) {
  uint16_t infinity = uint16_t(((1 << e) - 1) << m);
  if (x != x) {
    ASSERT_GT(got & 0x7fff, infinity);
    ASSERT_TRUE(got & 1 << (m - 1)) << "a quiet NaN";
    return;
  }
  ASSERT_EQ(std::signbit(x), (got & 0x8000) != 0);
  double a = std::fabs(x);
  uint16_t low = 0, high = infinity; // the last value <= a
  while (high - low > 1) {
    uint16_t mid = uint16_t((low + high) / 2);
    (valueOf(mid, e, m) <= a ? low : high) = mid;
  }
  if (a >= valueOf(infinity, e, m))
    low = infinity;
  double down = valueOf(low, e, m);
  // Above the largest value, the next step counts as if it were a number.
  double step = low == infinity       ? 0
                : low + 1 == infinity ? down - valueOf(low - 1, e, m)
                                      : valueOf(low + 1, e, m) - down;
  double middle = down + step / 2;
  uint16_t expected = low;
  if (step && (a > middle || (a == middle && (low & 1))))
    expected = low + 1;
  ASSERT_EQ(got & 0x7fff, expected) << std::hexfloat << x;
}
} // namespace

TEST(Conversions, WidenAndBack) {
  for (uint32_t b = 0; b < 0x10000; ++b) {
    uint16_t bits = uint16_t(b);
    double half = valueOf(bits, 5, 10);
    float h = halfToFloat(bits);
    if (half != half) {
      ASSERT_TRUE(h != h);
      ASSERT_EQ(doubleToHalf(h), bits | 0x200);
    } else {
      ASSERT_EQ(h, half);
      ASSERT_EQ(std::signbit(h), std::signbit(half));
      ASSERT_EQ(doubleToHalf(h), bits);
    }
    float f = bfloatToFloat(bits);
    if (f != f) {
      ASSERT_EQ(floatToBfloat(f), bits | 0x40);
    } else {
      ASSERT_EQ(floatToBfloat(f), bits);
      ASSERT_EQ(doubleToBfloat(f), bits);
    }
  }
}

TEST(Conversions, NearestEven) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 300000; ++i) {
    uint32_t bits = uint32_t(random());
    if (i % 3 == 0)
      bits &= 0xffff8000; // on the middle between two bfloats
    if (i % 3 == 1) {     // around the range of halves
      bits = (bits & 0x807fffff) | (100 + bits % 48) << 23;
      if (i % 2)
        bits &= 0xfffff000;
    }
    float x = bitsTo<float>(bits);
    expectNearest(x, floatToBfloat(x), 8, 7);
    expectNearest(x, doubleToHalf(x), 5, 10);
    double d = bitsTo<double>(random());
    expectNearest(d, doubleToHalf(d), 5, 10);
    expectNearest(d, doubleToBfloat(d), 8, 7);
    d = x * (1 + 1e-12); // would be rounded twice by way of a float
    expectNearest(d, doubleToHalf(d), 5, 10);
    expectNearest(d, doubleToBfloat(d), 8, 7);
    if (HasFatalFailure())
      return;
  }
}

TEST(Conversions, Powers) {
  EXPECT_EQ(__powisf2(3.0f, 5), 243.0f);
  EXPECT_EQ(__powisf2(2.0f, -3), 0.125f);
  EXPECT_EQ(__powidf2(7.0, 0), 1.0);
  EXPECT_EQ(__powidf2(2.0, INT32_MIN), 0.0);
}

#ifdef __clang__
extern "C" {
__bf16 __truncsfbf2(float);
__bf16 __truncdfbf2(double);
_Float16 __truncsfhf2(float);
_Float16 __truncdfhf2(double);
float __extendhfsf2(_Float16);
double __extendhfdf2(_Float16);
U128 __udivti3(U128, U128);
U128 __umodti3(U128, U128);
S128 __divti3(S128, S128);
S128 __modti3(S128, S128);
}

TEST(Conversions, CallingConvention) {
  EXPECT_EQ(bitsTo<uint16_t>(__truncsfbf2(1.5f)), 0x3fc0);
  EXPECT_EQ(bitsTo<uint16_t>(__truncdfbf2(-2.0)), 0xc000);
  EXPECT_EQ(bitsTo<uint16_t>(__truncsfhf2(1.0f)), 0x3c00);
  EXPECT_EQ(bitsTo<uint16_t>(__truncdfhf2(65520.0)), 0x7c00);
  EXPECT_EQ(__extendhfsf2(bitsTo<_Float16>(uint16_t(0x3e00))), 1.5f);
  EXPECT_EQ(__extendhfdf2(bitsTo<_Float16>(uint16_t(0x0001))),
            std::ldexp(1.0, -24));
}

TEST(Conversions, Division128) {
  std::mt19937_64 random(12);
  for (int i = 0; i < 2000; ++i) {
    U128 a = U128(random()) << 64 | random(), b = random() >> (random() % 64);
    if (i % 2)
      b |= U128(random() >> (random() % 64)) << 64;
    if (b == 0)
      b = 1;
    U128 q = __udivti3(a, b), r = __umodti3(a, b);
    ASSERT_TRUE(r < b && q * b + r == a);
    S128 sa = S128(a), sb = S128(b);
    S128 sq = __divti3(sa, sb), sr = __modti3(sa, sb);
    ASSERT_TRUE(U128(sq) * U128(sb) + U128(sr) == a);
    ASSERT_TRUE(sr == 0 || (sr < 0) == (sa < 0));
  }
}
#endif
