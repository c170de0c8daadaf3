// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// TopK against a stable sort.

#include "kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace {
template <typename T> struct Kernel;
template <> struct Kernel<float> {
  static constexpr auto call = gatecc_topk_f32;
};
template <> struct Kernel<double> {
  static constexpr auto call = gatecc_topk_f64;
};
template <> struct Kernel<int32_t> {
  static constexpr auto call = gatecc_topk_i32;
};
template <> struct Kernel<int64_t> {
  static constexpr auto call = gatecc_topk_i64;
};

bool isNan(double x) { return x != x; }

template <typename T>
void check(const std::vector<T> &x, int64_t rows, int64_t n, int64_t k,
           bool largest) {
  std::vector<T> values(rows * k + 1, T(123));
  std::vector<int64_t> indices(rows * k + 1, -77);
  Kernel<T>::call(x.data(), rows, n, k, largest, values.data(), indices.data());
  EXPECT_EQ(indices[rows * k], -77);
  for (int64_t r = 0; r < rows; ++r) {
    const T *row = x.data() + r * n;
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      T u = row[a], v = row[b];
      if (u != u || v != v)
        return u == u && v != v;
      return largest ? u > v : u < v;
    });
    for (int64_t j = 0; j < k; ++j) {
      ASSERT_EQ(indices[r * k + j], order[j])
          << "row " << r << " choice " << j << " n " << n << " k " << k;
      T expected = row[order[j]], got = values[r * k + j];
      ASSERT_TRUE(got == expected || (got != got && expected != expected));
      ASSERT_EQ(std::signbit(double(got)), std::signbit(double(expected)));
    }
  }
}

template <typename T> void fuzz(unsigned seed) {
  std::mt19937 random(seed);
  for (int round = 0; round < 600; ++round) {
    int64_t n = round % 40 == 0 ? 3000 : 1 + random() % 150;
    int64_t k = random() % 3 == 0   ? n
                : random() % 2 == 0 ? 1 + random() % std::min<int64_t>(n, 8)
                                    : random() % (n + 1);
    int64_t rows = random() % 4;
    int range = random() % 2 ? 3 : 100000; // with and without many ties
    std::vector<T> x(rows * n);
    for (T &v : x) {
      v = T(int(random() % (2 * range + 1)) - range);
      if (std::numeric_limits<T>::has_quiet_NaN) {
        switch (random() % 12) {
        case 0:
          v = std::numeric_limits<T>::quiet_NaN();
          break;
        case 1:
          v = T(-0.0);
          break;
        case 2:
          v = std::numeric_limits<T>::infinity();
          break;
        case 3:
          v = -std::numeric_limits<T>::infinity();
          break;
        }
      }
    }
    check(x, rows, n, k, round & 1);
  }
}
} // namespace

TEST(TopK, FuzzF32) { fuzz<float>(1); }
TEST(TopK, FuzzF64) { fuzz<double>(2); }
TEST(TopK, FuzzI32) { fuzz<int32_t>(3); }
TEST(TopK, FuzzI64) { fuzz<int64_t>(4); }

TEST(TopK, NanIsLastForBothDirections) {
  float nan = NAN;
  std::vector<float> x = {nan, 1, -INFINITY, nan, INFINITY};
  for (int k = 0; k <= 5; ++k) {
    check(x, 1, 5, k, true);
    check(x, 1, 5, k, false);
  }
  std::vector<float> all(70, nan);
  check(all, 1, 70, 70, true);
  check(all, 1, 70, 3, false);
}

TEST(TopK, ZerosTie) {
  float x[] = {-0.0f, 0.0f, -0.0f};
  float values[3];
  int64_t indices[3];
  gatecc_topk_f32(x, 1, 3, 3, 1, values, indices);
  EXPECT_EQ(indices[0], 0);
  EXPECT_EQ(indices[1], 1);
  EXPECT_EQ(indices[2], 2);
  EXPECT_TRUE(std::signbit(values[0]) && !std::signbit(values[1]));
}

TEST(TopK, ExtremeIntegers) {
  std::vector<int64_t> x = {INT64_MIN, INT64_MAX, 0, INT64_MAX, INT64_MIN};
  check(x, 1, 5, 5, true);
  check(x, 1, 5, 5, false);
  EXPECT_FALSE(isNan(0));
}
