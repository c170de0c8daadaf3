// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products and quotients of extents.
#include "gatecc/Import/Extent.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace gatecc;

Extent Extent::operator*(const Extent &other) const {
  Extent result;
  if (llvm::MulOverflow(coefficient, other.coefficient, result.coefficient))
    result.coefficient = (coefficient < 0) == (other.coefficient < 0)
                             ? std::numeric_limits<int64_t>::max()
                             : std::numeric_limits<int64_t>::min();
  if (result.coefficient == 0)
    return result;
  result.symbols = symbols;
  result.symbols.append(other.symbols.begin(), other.symbols.end());
  llvm::sort(result.symbols);
  return result;
}

std::optional<Extent> Extent::dividedBy(const Extent &divisor) const {
  if (divisor.coefficient == 0 ||
      (coefficient == std::numeric_limits<int64_t>::min() &&
       divisor.coefficient == -1) ||
      coefficient % divisor.coefficient != 0)
    return std::nullopt;
  if (coefficient == 0)
    return Extent(0);
  Extent result(coefficient / divisor.coefficient);
  result.symbols = symbols;
  for (unsigned id : divisor.symbols) {
    auto *found = llvm::find(result.symbols, id);
    if (found == result.symbols.end())
      return std::nullopt;
    result.symbols.erase(found);
  }
  return result;
}

Extent gatecc::productOf(llvm::ArrayRef<Extent> extents) {
  Extent result(1);
  for (const Extent &extent : extents)
    result *= extent;
  return result;
}
