// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Compares results of two ways to compute a network: values within a tolerance,
// decisions exactly where they are no close call.
#ifndef GATECC_LIB_DRIVER_COMPARISON_H
#define GATECC_LIB_DRIVER_COMPARISON_H

#include "lib/Driver/Npy.h"
#include "llvm/ADT/ArrayRef.h"

namespace gatecc {

/// Rows are what the last dimension spans.
struct ValueDifference {
  /// What differs, in words; empty if all values are the same.
  std::string text;
  int64_t rows = 0;   // how many differ
  double largest = 0; // relative to the largest value of its row
};

/// Floats differ if they are further apart than the tolerance of their type
/// times the largest number of the row: 1e-4 for f32, 1e-11 for f64, 1e-2 for
/// f16, 5e-2 for bf16. NaN and infinities, integers and bools must be equal.
ValueDifference compareValues(const NpyArray &actual, const NpyArray &expected);

/// Decisions that are closer are reported, and no failure.
inline constexpr double kCloseCall = 1e-3;

/// How many rows are a close call: their margin, relative to the larger of the
/// two numbers that it lies between, is at most kCloseCall, or not a number.
/// For `decision` of indices [.., k] and one operand [.., n] the margin lies
/// between the worst number that was chosen and the best that was not; for bits
/// and two operands, between these. None if the shapes are others.
std::optional<int64_t> countCloseCalls(llvm::ArrayRef<NpyArray> operands,
                                       const NpyArray &decision);

/// How many elements of a decision fall into each of `groups` groups: indices
/// by their value; bits that are set into group 0, others into group 1. None
/// if it is of another type, or an index is in no group.
std::optional<std::vector<int64_t>> countGroups(const NpyArray &decision,
                                                size_t groups);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_COMPARISON_H
