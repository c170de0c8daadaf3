// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions that LLVM's code generator calls by name and that are in
// compiler-rt, not in libc: 16-bit floats, integer powers, 128-bit division.
// They are marked used, because the calls appear only when code is generated.

#include "conversions.h"

using namespace gatecc_runtime;

#define GATECC_SHIM                                                            \
  extern "C" __attribute__((used, visibility("hidden"), noinline))

// The types carry the calling convention (a register of floats); the bodies
// never compute with them, which would call these functions again.
#ifdef __clang__
GATECC_SHIM __bf16 __truncsfbf2(float x) {
  return bitsTo<__bf16>(floatToBfloat(x));
}
GATECC_SHIM __bf16 __truncdfbf2(double x) {
  return bitsTo<__bf16>(doubleToBfloat(x));
}
GATECC_SHIM float __extendbfsf2(__bf16 x) {
  return bfloatToFloat(bitsTo<uint16_t>(x));
}
GATECC_SHIM _Float16 __truncsfhf2(float x) {
  return bitsTo<_Float16>(doubleToHalf(static_cast<double>(x)));
}
GATECC_SHIM _Float16 __truncdfhf2(double x) {
  return bitsTo<_Float16>(doubleToHalf(x));
}
GATECC_SHIM float __extendhfsf2(_Float16 x) {
  return halfToFloat(bitsTo<uint16_t>(x));
}
GATECC_SHIM double __extendhfdf2(_Float16 x) {
  return static_cast<double>(halfToFloat(bitsTo<uint16_t>(x)));
}
#endif

template <typename T> static inline T integerPower(T x, int n) {
  // As compiler-rt: by squaring, and one division for a negative power.
  bool negative = n < 0;
  T result = 1;
  for (;;) {
    if (n & 1)
      result *= x;
    n /= 2;
    if (n == 0)
      break;
    x *= x;
  }
  return negative ? 1 / result : result;
}

GATECC_SHIM float __powisf2(float x, int n) { return integerPower(x, n); }
GATECC_SHIM double __powidf2(double x, int n) { return integerPower(x, n); }

__extension__ typedef unsigned __int128 Unsigned128;
__extension__ typedef __int128 Signed128;

static inline Unsigned128 divide(Unsigned128 a, Unsigned128 b,
                                 Unsigned128 *rest) {
  Unsigned128 quotient = 0, r = 0;
  for (int bit = 127; bit >= 0; --bit) {
    bool carry = r >> 127;
    r = r << 1 | (a >> bit & 1);
    if (carry || r >= b) {
      r -= b;
      quotient |= Unsigned128(1) << bit;
    }
  }
  *rest = r;
  return quotient;
}

static inline Unsigned128 magnitude(Signed128 x) {
  return x < 0 ? 0 - Unsigned128(x) : Unsigned128(x);
}

GATECC_SHIM Unsigned128 __udivti3(Unsigned128 a, Unsigned128 b) {
  Unsigned128 rest;
  return divide(a, b, &rest);
}
GATECC_SHIM Unsigned128 __umodti3(Unsigned128 a, Unsigned128 b) {
  Unsigned128 rest;
  divide(a, b, &rest);
  return rest;
}
GATECC_SHIM Signed128 __divti3(Signed128 a, Signed128 b) {
  Unsigned128 rest;
  Unsigned128 q = divide(magnitude(a), magnitude(b), &rest);
  return Signed128((a < 0) != (b < 0) ? 0 - q : q);
}
GATECC_SHIM Signed128 __modti3(Signed128 a, Signed128 b) {
  Unsigned128 rest;
  divide(magnitude(a), magnitude(b), &rest);
  return Signed128(a < 0 ? 0 - rest : rest);
}
