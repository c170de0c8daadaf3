// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What counts as a difference of values, and what as a close call.
#include "lib/Driver/Comparison.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

using namespace gatecc;

template <typename T>
static NpyArray make(DLDataType type, std::vector<int64_t> shape,
                     std::vector<T> values) {
  NpyArray array;
  array.type = type;
  array.shape = std::move(shape);
  array.data.resize(values.size() * sizeof(T));
  std::memcpy(array.data.data(), values.data(), array.data.size());
  return array;
}

static NpyArray floats(std::vector<int64_t> shape, std::vector<float> values) {
  return make<float>({kDLFloat, 32, 1}, std::move(shape), std::move(values));
}

static NpyArray ints(std::vector<int64_t> shape, std::vector<int64_t> values) {
  return make<int64_t>({kDLInt, 64, 1}, std::move(shape), std::move(values));
}

static NpyArray bits(std::vector<uint8_t> values) {
  return make<uint8_t>({kDLBool, 8, 1}, {int64_t(values.size())}, values);
}

TEST(Comparison, FloatsWithinTheToleranceOfTheirRow) {
  NpyArray expected = floats({2, 2}, {1, 1000, 1, 1});
  EXPECT_EQ(compareValues(floats({2, 2}, {1.05f, 1000, 1, 1}), expected).text,
            "");
  ValueDifference second =
      compareValues(floats({2, 2}, {1, 1000, 1, 1.05f}), expected);
  EXPECT_EQ(second.rows, 1);
  EXPECT_NE(second.text.find("1 of 2 rows"), std::string::npos);
  EXPECT_NE(second.text.find("at [1, 1]"), std::string::npos);
  EXPECT_NEAR(second.largest, 0.05, 1e-6);
}

TEST(Comparison, WhatIsNoNumberMustBeTheSame) {
  NpyArray odd = floats({3}, {NAN, INFINITY, -INFINITY});
  EXPECT_EQ(compareValues(odd, odd).text, "");
  for (auto other : {floats({3}, {0, INFINITY, -INFINITY}),
                     floats({3}, {NAN, NAN, -INFINITY}),
                     floats({3}, {NAN, INFINITY, INFINITY})}) {
    EXPECT_NE(compareValues(other, odd).text, "");
    EXPECT_NE(compareValues(odd, other).text, "");
  }
}

TEST(Comparison, IntegersShapesAndTypes) {
  EXPECT_EQ(compareValues(ints({2}, {1, -2}), ints({2}, {1, -2})).text, "");
  EXPECT_NE(compareValues(ints({2}, {1, -2}), ints({2}, {1, 2})).text, "");
  EXPECT_EQ(compareValues(floats({1, 2}, {1, 2}), floats({2}, {1, 2})).text,
            "f32 [1, 2] instead of f32 [2]");
  EXPECT_EQ(compareValues(ints({0, 3}, {}), ints({0, 3}, {})).text, "");
  EXPECT_EQ(compareValues(floats({}, {1}), floats({}, {1})).text, "");
  EXPECT_NE(compareValues(floats({}, {1}), floats({}, {2})).text, "");
}

TEST(Comparison, HalvesAreRead) {
  // 1.0, and the next numbers after it.
  auto half = [](uint8_t code, uint16_t value) {
    return make<uint16_t>({code, 16, 1}, {1}, {value});
  };
  EXPECT_EQ(compareValues(half(kDLFloat, 0x3c01), half(kDLFloat, 0x3c00)).text,
            "");
  EXPECT_NE(compareValues(half(kDLFloat, 0x3c40), half(kDLFloat, 0x3c00)).text,
            "");
  EXPECT_EQ(
      compareValues(half(kDLBfloat, 0x3f81), half(kDLBfloat, 0x3f80)).text, "");
  EXPECT_NE(
      compareValues(half(kDLBfloat, 0x3f90), half(kDLBfloat, 0x3f80)).text, "");
}

TEST(Comparison, CloseChoices) {
  // Rows: clear, close, a tie, close among the chosen ones only, not a number.
  NpyArray scores = floats({5, 3}, {.1f, .7f, .2f, .3f, .3001f, .1f, 1, 1, 0,
                                    .5f, .5f, .1f, NAN, 1, 2});
  NpyArray one = ints({5, 1}, {1, 1, 0, 0, 2});
  EXPECT_EQ(countCloseCalls({scores}, one), 4);
  NpyArray two = ints({5, 2}, {1, 2, 1, 0, 0, 1, 0, 1, 2, 1});
  EXPECT_EQ(countCloseCalls({scores}, two), 1);
  // The smallest of each row.
  EXPECT_EQ(countCloseCalls({floats({1, 3}, {1, 2, 3})}, ints({1, 1}, {0})), 0);
  EXPECT_EQ(
      countCloseCalls({floats({1, 3}, {1, 1.0001f, 3})}, ints({1, 1}, {0})), 1);
  // All are chosen; there are none; shapes that say nothing.
  EXPECT_EQ(countCloseCalls({floats({1, 2}, {1, 1})}, ints({1, 2}, {0, 1})), 0);
  EXPECT_EQ(countCloseCalls({floats({0, 2}, {})}, ints({0, 1}, {})), 0);
  EXPECT_FALSE(countCloseCalls({floats({3}, {1, 2, 3})}, ints({1, 1}, {0})));
  EXPECT_FALSE(countCloseCalls({}, ints({1}, {0})));
  // Ids that are none.
  EXPECT_EQ(countCloseCalls({floats({1, 2}, {1, 2})}, ints({1, 1}, {-7})), 0);
}

TEST(Comparison, CloseComparisons) {
  NpyArray left = floats({3}, {.5f, .9001f, NAN}), limit = floats({1}, {.9f});
  EXPECT_EQ(countCloseCalls({left, limit}, bits({0, 1, 0})), 2);
  EXPECT_EQ(countCloseCalls({left, left}, bits({0, 1, 0})), 3);
  EXPECT_FALSE(countCloseCalls({left}, bits({0, 1, 0})));
  EXPECT_FALSE(countCloseCalls({left, floats({2}, {1, 2})}, bits({0, 1, 0})));
}

TEST(Comparison, CountsGroups) {
  EXPECT_EQ(countGroups(ints({2, 2}, {0, 2, 2, 1}), 3),
            std::vector<int64_t>({1, 1, 2}));
  EXPECT_FALSE(countGroups(ints({1}, {3}), 3));
  EXPECT_FALSE(countGroups(ints({1}, {-1}), 3));
  EXPECT_FALSE(countGroups(floats({1}, {0}), 3));
  EXPECT_EQ(countGroups(bits({1, 0, 1}), 2), std::vector<int64_t>({2, 1}));
  EXPECT_FALSE(countGroups(bits({1}), 3));
}
