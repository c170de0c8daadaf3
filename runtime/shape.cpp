// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Symbolic extents: their values, their text, and the values of the symbols
// from the shapes of the inputs.

#include "context.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

using namespace gatecc_runtime;

int64_t gatecc_runtime::evaluateExtent(const gatecc_extent &extent,
                                       const int64_t *symbols) {
  int64_t value = extent.coefficient;
  if (extent.kind == GATECC_EXTENT_CONSTANT)
    return value;
  bool zero = false;
  bool overflow = false;
  for (int32_t i = 0; i < extent.num_factors; ++i) {
    int64_t factor = symbols[extent.factors[i]];
    zero |= factor == 0;
    overflow |= __builtin_mul_overflow(value, factor, &value);
  }
  return zero ? 0 : overflow ? -1 : value;
}

int64_t gatecc_runtime::tensorBytes(const gatecc_program_tensor &tensor,
                                    const int64_t *symbols) {
  int64_t bytes = (tensor.dtype_bits + 7) / 8;
  bool zero = false;
  bool overflow = false;
  for (int32_t d = 0; d < tensor.rank; ++d) {
    int64_t extent = evaluateExtent(tensor.shape[d], symbols);
    if (extent < 0)
      return -1;
    zero |= extent == 0;
    overflow |= __builtin_mul_overflow(bytes, extent, &bytes);
  }
  return zero ? 0 : overflow ? -1 : bytes;
}

bool gatecc_runtime::isDecided(const gatecc_program_tensor &tensor) {
  for (int32_t d = 0; d < tensor.rank; ++d)
    if (tensor.shape[d].kind == GATECC_EXTENT_DECIDED)
      return true;
  return false;
}

size_t gatecc_runtime::extentText(const gatecc_program &program,
                                  const gatecc_extent &extent, char *text,
                                  size_t textBytes) {
  size_t length = 0;
  auto append = [&](const char *piece) {
    for (; *piece; ++piece, ++length)
      if (length + 1 < textBytes)
        text[length] = *piece;
  };
  if (extent.kind == GATECC_EXTENT_DECIDED)
    append("?");
  char number[24];
  snprintf(number, sizeof number, "%" PRId64, extent.coefficient);
  int32_t factors =
      extent.kind == GATECC_EXTENT_MONOMIAL ? extent.num_factors : 0;
  if (extent.kind == GATECC_EXTENT_CONSTANT ||
      (extent.kind == GATECC_EXTENT_MONOMIAL && extent.coefficient != 1))
    append(number);
  for (int32_t i = 0; i < factors; ++i) {
    if (length)
      append("*");
    append(program.symbols[extent.factors[i]]);
  }
  if (textBytes)
    text[length < textBytes ? length : textBytes - 1] = 0;
  return length;
}

namespace {
enum class Solution { Known, Solved, Open, Wrong };

// Tries to find the one symbol of an extent that is not bound yet.
Solution solve(const gatecc_extent &extent, int64_t value, int64_t *symbols,
               unsigned char *bound) {
  int32_t unknown = -1;
  int64_t known = extent.coefficient;
  bool overflow = false;
  for (int32_t i = 0; i < extent.num_factors; ++i) {
    int32_t s = extent.factors[i];
    if (bound[s])
      overflow |= __builtin_mul_overflow(known, symbols[s], &known);
    else if (unknown < 0)
      unknown = s;
    else
      return Solution::Open;
  }
  if (unknown < 0)
    return Solution::Known;
  if (known == 0) {
    // 0 * S says nothing about S; another extent may.
    return value == 0 ? Solution::Open : Solution::Wrong;
  }
  if (overflow || value % known != 0)
    return Solution::Wrong;
  symbols[unknown] = value / known;
  bound[unknown] = 1;
  return Solution::Solved;
}
} // namespace

gatecc_status gatecc_runtime::bindSymbols(const gatecc_program &program,
                                          const int64_t *const *shapes,
                                          int64_t *symbols,
                                          unsigned char *bound, char *message,
                                          size_t messageBytes) {
  memset(bound, 0, static_cast<size_t>(program.num_symbols));
  for (int32_t s = 0; s < program.num_symbols; ++s)
    symbols[s] = 0;
  char text[96];
  // Each round binds a symbol or ends.
  for (bool progress = true; progress;) {
    progress = false;
    for (int32_t i = 0; i < program.num_inputs; ++i) {
      const gatecc_program_tensor &input = program.inputs[i];
      for (int32_t d = 0; d < input.rank; ++d) {
        const gatecc_extent &extent = input.shape[d];
        if (extent.kind == GATECC_EXTENT_CONSTANT)
          continue;
        switch (solve(extent, shapes[i][d], symbols, bound)) {
        case Solution::Solved:
          progress = true;
          break;
        case Solution::Wrong:
          extentText(program, extent, text, sizeof text);
          snprintf(message, messageBytes,
                   "input '%s': dimension %" PRId32 " is %" PRId64
                   ", which is no possible value of %s with the other "
                   "dimensions given",
                   input.name, d, shapes[i][d], text);
          return GATECC_INVALID_ARGUMENT;
        default:
          break;
        }
      }
    }
  }
  // A symbol that is still open has a factor 0 beside it wherever it occurs
  // (or is part of a product of several such): it is 0 then.
  for (int32_t i = 0; i < program.num_inputs; ++i) {
    const gatecc_program_tensor &input = program.inputs[i];
    for (int32_t d = 0; d < input.rank; ++d) {
      const gatecc_extent &extent = input.shape[d];
      int64_t value = evaluateExtent(extent, symbols);
      if (value == shapes[i][d])
        continue;
      extentText(program, extent, text, sizeof text);
      bool open = false;
      for (int32_t k = 0;
           extent.kind != GATECC_EXTENT_CONSTANT && k < extent.num_factors; ++k)
        open |= !bound[extent.factors[k]];
      if (open)
        snprintf(message, messageBytes,
                 "input '%s': dimension %" PRId32 " is %s, and the inputs do "
                 "not say how large each of its factors is",
                 input.name, d, text);
      else if (extent.kind == GATECC_EXTENT_CONSTANT)
        snprintf(message, messageBytes,
                 "input '%s': dimension %" PRId32 " is %" PRId64
                 ", %s is needed",
                 input.name, d, shapes[i][d], text);
      else if (value < 0)
        snprintf(message, messageBytes,
                 "input '%s': dimension %" PRId32 " (%s) is too large",
                 input.name, d, text);
      else
        snprintf(message, messageBytes,
                 "input '%s': dimension %" PRId32 " is %" PRId64
                 ", but %s is %" PRId64 " in the other dimensions given",
                 input.name, d, shapes[i][d], text, value);
      return GATECC_INVALID_ARGUMENT;
    }
  }
  return GATECC_OK;
}
