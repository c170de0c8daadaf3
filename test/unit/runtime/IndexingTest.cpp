// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Indexing by data: places that are out of range, NaN, wrapping integers.
#include "kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace {
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
} // namespace

TEST(Indexing, TrueElements) {
  const uint8_t x[] = {0, 1, 1, 0, 1};
  EXPECT_EQ(gatecc_count_true(x, 5), 3);
  EXPECT_EQ(gatecc_count_true(x, 0), 0);
  std::vector<int64_t> places(3, -1);
  gatecc_find_true(x, 5, 3, places.data());
  EXPECT_EQ(places, (std::vector<int64_t>{1, 2, 4}));
  places.assign(3, -1);
  gatecc_find_true(x, 5, 1, places.data()); // never more than there is room for
  EXPECT_EQ(places, (std::vector<int64_t>{1, -1, -1}));
}

TEST(Indexing, PlacesOutOfRange) {
  const float data[] = {1, 2, 3, 4};
  const int64_t places[] = {1, -1, 2, kMost, kLeast, 0};
  std::vector<float> out(12, 9);
  gatecc_gather_slices(data, 8, 2, places, 6, out.data());
  EXPECT_EQ(out, (std::vector<float>{3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2}));
  std::vector<float> to(4, 0);
  gatecc_scatter_slices(out.data(), 8, 2, places, 6, to.data());
  EXPECT_EQ(to, (std::vector<float>{1, 2, 3, 4}));
  gatecc_reduce_slices_f32(GATECC_REDUCE_ADD, out.data(), 2, 2, places, 6,
                           to.data());
  EXPECT_EQ(to, (std::vector<float>{2, 4, 6, 8}));
}

TEST(Indexing, ExtremaKeepNaN) {
  const int64_t places[] = {0, 0, 1};
  const double updates[] = {std::nan(""), 1, 2};
  for (int32_t reduction : {GATECC_REDUCE_MAX, GATECC_REDUCE_MIN}) {
    double data[] = {0, std::nan("")};
    gatecc_reduce_slices_f64(reduction, updates, 1, 2, places, 3, data);
    EXPECT_TRUE(std::isnan(data[0]));
    EXPECT_TRUE(std::isnan(data[1]));
  }
}

TEST(Indexing, IntegersWrapAround) {
  const int64_t place = 0, update = 1;
  int64_t data = kMost;
  gatecc_reduce_slices_i64(GATECC_REDUCE_ADD, &update, 1, 1, &place, 1, &data);
  EXPECT_EQ(data, kLeast);
  const int64_t x[] = {kMost, 1, 1};
  int64_t sums[3];
  gatecc_cumsum_i64(x, 1, 3, 1, /*exclusive=*/0, /*reverse=*/0, sums);
  EXPECT_EQ(sums[1], kLeast);
  EXPECT_EQ(sums[2], kLeast + 1);
  gatecc_cumsum_i64(x, 1, 3, 1, /*exclusive=*/1, /*reverse=*/1, sums);
  EXPECT_EQ(sums[0], 2);
  EXPECT_EQ(sums[2], 0);
}
