// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Compares arrays of values and of decisions.
#include "lib/Driver/Comparison.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <algorithm>
#include <cmath>
#include <cstring>

using namespace llvm;
using namespace gatecc;

static bool isFloat(DLDataType type) {
  return type.code == kDLFloat || type.code == kDLBfloat;
}

static double toleranceOf(DLDataType type) {
  if (!isFloat(type))
    return 0;
  if (type.code == kDLBfloat)
    return 5e-2;
  return type.bits == 16 ? 1e-2 : type.bits == 32 ? 1e-4 : 1e-11;
}

static size_t countOf(const NpyArray &array) {
  return array.data.size() / (array.type.bits / 8);
}

/// The bits of an element, extended by zeros.
static uint64_t bitsAt(const NpyArray &array, size_t index) {
  uint64_t bits = 0;
  size_t bytes = array.type.bits / 8;
  std::memcpy(&bits, &array.data[index * bytes], bytes);
  return bits;
}

static int64_t integerAt(const NpyArray &array, size_t index) {
  uint64_t bits = bitsAt(array, index);
  unsigned unused = 64 - array.type.bits;
  return array.type.code == kDLInt ? int64_t(bits << unused) >> unused
                                   : int64_t(bits);
}

static double floatAt(const NpyArray &array, size_t index) {
  const fltSemantics &semantics =
      array.type.code == kDLBfloat ? APFloat::BFloat()
      : array.type.bits == 16      ? APFloat::IEEEhalf()
      : array.type.bits == 32      ? APFloat::IEEEsingle()
                                   : APFloat::IEEEdouble();
  APFloat value(semantics, APInt(array.type.bits, bitsAt(array, index)));
  bool lost;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
  return value.convertToDouble();
}

static std::string textAt(const NpyArray &array, size_t index) {
  if (isFloat(array.type))
    return formatv("{0}", floatAt(array, index)).str();
  return std::to_string(integerAt(array, index));
}

static std::string shapeText(const NpyArray &array) {
  std::string text = typeName(array.type) + " [";
  for (auto [i, extent] : enumerate(array.shape))
    text += (i ? ", " : "") + std::to_string(extent);
  return text + "]";
}

/// Where the element number `index` is: "[1, 2, 3]".
static std::string placeText(const NpyArray &array, size_t index) {
  SmallVector<std::string> places;
  for (int64_t extent : reverse(array.shape)) {
    places.push_back(std::to_string(index % extent));
    index /= extent;
  }
  std::reverse(places.begin(), places.end());
  return "[" + join(places, ", ") + "]";
}

namespace {
/// The comparison of one row of floats.
struct RowDifference {
  double largest = 0;          // relative
  std::optional<size_t> first; // element that differs
};
} // namespace

static RowDifference compareRow(const NpyArray &actual,
                                const NpyArray &expected, size_t begin,
                                size_t end) {
  RowDifference row;
  double scale = 0;
  for (size_t i = begin; i < end; ++i)
    if (double b = std::abs(floatAt(expected, i)); std::isfinite(b))
      scale = std::max(scale, b);
  // A row whose numbers have cancelled out is compared with what they were.
  constexpr double kSmallest = 1e-3;
  scale = std::max(scale, kSmallest);
  double tolerance = toleranceOf(expected.type);
  for (size_t i = begin; i < end; ++i) {
    double a = floatAt(actual, i), b = floatAt(expected, i);
    bool differs = false;
    if (std::isfinite(a) && std::isfinite(b)) {
      double relative = std::abs(a - b) / scale;
      row.largest = std::max(row.largest, relative);
      differs = relative > tolerance;
    } else {
      differs = !(a == b || (std::isnan(a) && std::isnan(b)));
    }
    if (differs && !row.first)
      row.first = i;
  }
  return row;
}

static RowDifference compareExactly(const NpyArray &actual,
                                    const NpyArray &expected, size_t begin,
                                    size_t end) {
  RowDifference row;
  for (size_t i = begin; i < end && !row.first; ++i)
    if (bitsAt(actual, i) != bitsAt(expected, i))
      row.first = i;
  return row;
}

ValueDifference gatecc::compareValues(const NpyArray &actual,
                                      const NpyArray &expected) {
  ValueDifference difference;
  if (shapeText(actual) != shapeText(expected)) {
    difference.text = shapeText(actual) + " instead of " + shapeText(expected);
    difference.rows = 1;
    return difference;
  }
  size_t count = countOf(expected);
  if (count == 0)
    return difference;
  size_t width = expected.shape.empty() ? 1 : size_t(expected.shape.back());
  auto compare = isFloat(expected.type) ? compareRow : compareExactly;
  std::optional<size_t> first;
  for (size_t begin = 0; begin < count; begin += width) {
    RowDifference row = compare(actual, expected, begin, begin + width);
    difference.largest = std::max(difference.largest, row.largest);
    difference.rows += row.first.has_value();
    if (!first)
      first = row.first;
  }
  if (first)
    difference.text =
        formatv("{0} of {1} rows, first {2} instead of {3} at {4}",
                difference.rows, count / width, textAt(actual, *first),
                textAt(expected, *first), placeText(expected, *first));
  return difference;
}

static bool isClose(double left, double right) {
  double larger = std::max(std::abs(left), std::abs(right));
  // Not a number, and equal, too.
  return !(std::abs(left - right) > kCloseCall * larger);
}

/// Whether the choice of the indices [begin, begin + k) among the scores
/// [first, first + n) was a close one.
static bool isCloseChoice(const NpyArray &scores, size_t first, size_t n,
                          const NpyArray &chosen, size_t begin, size_t k) {
  std::vector<bool> isChosen(n, false);
  for (size_t i = begin; i < begin + k; ++i)
    if (int64_t id = integerAt(chosen, i); id >= 0 && size_t(id) < n)
      isChosen[id] = true;
  double low[2] = {HUGE_VAL, HUGE_VAL}, high[2] = {-HUGE_VAL, -HUGE_VAL};
  bool hasNaN = false;
  for (size_t i = 0; i < n; ++i) {
    double score = floatAt(scores, first + i);
    hasNaN |= std::isnan(score);
    low[isChosen[i]] = std::min(low[isChosen[i]], score);
    high[isChosen[i]] = std::max(high[isChosen[i]], score);
  }
  if (hasNaN)
    return true;
  if (k >= n || low[true] > high[true]) // all are chosen, or none
    return false;
  // The chosen ones are the largest, or the smallest.
  bool isLargest = low[true] >= high[false];
  return isLargest ? isClose(low[true], high[false])
                   : isClose(high[true], low[false]);
}

std::optional<int64_t> gatecc::countCloseCalls(ArrayRef<NpyArray> operands,
                                               const NpyArray &decision) {
  if (operands.empty() || !isFloat(operands[0].type) || decision.shape.empty())
    return std::nullopt;
  int64_t close = 0;
  if (decision.type.code == kDLBool) {
    if (operands.size() != 2 || !isFloat(operands[1].type))
      return std::nullopt;
    size_t count = countOf(decision);
    // A side may be one number for all.
    for (const NpyArray &side : operands)
      if (countOf(side) != count && countOf(side) != 1)
        return std::nullopt;
    for (size_t i = 0; i < count; ++i)
      close += isClose(floatAt(operands[0], countOf(operands[0]) == 1 ? 0 : i),
                       floatAt(operands[1], countOf(operands[1]) == 1 ? 0 : i));
    return close;
  }
  const NpyArray &scores = operands[0];
  if (decision.type.code != kDLInt ||
      scores.shape.size() != decision.shape.size() ||
      ArrayRef(scores.shape).drop_back() !=
          ArrayRef(decision.shape).drop_back())
    return std::nullopt;
  size_t n = size_t(scores.shape.back()), k = size_t(decision.shape.back());
  if (n == 0 || k == 0)
    return 0;
  for (size_t row = 0; row < countOf(decision) / k; ++row)
    close += isCloseChoice(scores, row * n, n, decision, row * k, k);
  return close;
}

std::optional<std::vector<int64_t>>
gatecc::countGroups(const NpyArray &decision, size_t groups) {
  bool isBits = decision.type.code == kDLBool;
  if (isFloat(decision.type) || (isBits && groups != 2))
    return std::nullopt;
  std::vector<int64_t> counts(groups, 0);
  for (size_t i = 0; i < countOf(decision); ++i) {
    int64_t value = integerAt(decision, i);
    size_t group = isBits ? value == 0 : size_t(value);
    if (value < 0 || group >= groups)
      return std::nullopt;
    ++counts[group];
  }
  return counts;
}
