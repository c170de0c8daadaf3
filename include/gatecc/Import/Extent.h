// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sizes of dimensions as an integer times a product of symbols. Two sizes are
// known to be the same exactly if their extents are equal.
#ifndef GATECC_IMPORT_EXTENT_H
#define GATECC_IMPORT_EXTENT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <cstdint>
#include <optional>
#include <tuple>

namespace gatecc {

/// coefficient * symbol_1 * symbol_2 * ...; the symbols are numbers given out
/// by a GraphBuilder, sorted, repeated for powers. Constants have no symbols;
/// only they may be negative (in shape computations, -1 stands for "infer").
class Extent {
public:
  Extent(int64_t constant = 1) : coefficient(constant) {}
  static Extent symbol(unsigned id) {
    Extent result(1);
    result.symbols.push_back(id);
    return result;
  }

  bool isConstant() const { return symbols.empty(); }
  bool isConstant(int64_t value) const {
    return isConstant() && coefficient == value;
  }
  bool isOne() const { return isConstant(1); }
  int64_t getCoefficient() const { return coefficient; }
  /// The value of a constant extent.
  int64_t getConstant() const { return coefficient; }
  llvm::ArrayRef<unsigned> getSymbols() const { return symbols; }

  /// Saturates at the limits of int64.
  Extent operator*(const Extent &other) const;
  Extent &operator*=(const Extent &other) { return *this = *this * other; }
  /// The extent q with q * divisor == *this, whatever the symbols' values.
  std::optional<Extent> dividedBy(const Extent &divisor) const;

  bool operator==(const Extent &other) const {
    return coefficient == other.coefficient && symbols == other.symbols;
  }
  bool operator!=(const Extent &other) const { return !(*this == other); }
  bool operator<(const Extent &other) const {
    return std::tie(coefficient, symbols) <
           std::tie(other.coefficient, other.symbols);
  }

private:
  int64_t coefficient;
  llvm::SmallVector<unsigned, 2> symbols;
};

/// The extents of a tensor, or the elements of a small integer tensor.
using Extents = llvm::SmallVector<Extent, 4>;

/// The number of elements of a tensor of this shape.
Extent productOf(llvm::ArrayRef<Extent> extents);

} // namespace gatecc

#endif // GATECC_IMPORT_EXTENT_H
