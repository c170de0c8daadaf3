// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plans: order and inverse of slots, gather and scatter, combine, task lists.

#include "kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <tuple>
#include <vector>

namespace {
struct Plan {
  std::vector<int32_t> offsets, source, inverse;
  std::vector<float> weight;
};

Plan sortSlots(const std::vector<int32_t> &ids, const float *slotWeight,
               int64_t rows, int64_t k, int64_t groups) {
  Plan p;
  p.offsets.assign(groups + 2, -5);
  p.source.assign(rows * k + 1, -5);
  p.inverse.assign(rows * k + 1, -5);
  p.weight.assign(rows * k + 1, -5);
  gatecc_sort_slots(ids.data(), slotWeight, rows, k, groups, p.offsets.data(),
                    p.source.data(), slotWeight ? p.weight.data() : nullptr,
                    p.inverse.data());
  EXPECT_EQ(p.offsets[groups + 1], -5);
  EXPECT_EQ(p.inverse[rows * k], -5);
  return p;
}
} // namespace

TEST(SortSlots, IsAStableSort) {
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    int64_t rows = random() % 40, k = 1 + random() % 4, groups = random() % 9;
    int kind = round % 3;
    std::vector<int32_t> ids(rows * k);
    std::vector<float> weight(rows * k);
    for (size_t c = 0; c < ids.size(); ++c) {
      ids[c] = kind == 0   ? int32_t(random() % 11) - 1
               : kind == 1 ? 0
                           : int32_t(groups ? random() % groups : 0);
      if (random() % 50 == 0)
        ids[c] = random() % 2 ? INT32_MIN : INT32_MAX;
      weight[c] = float(c);
    }
    Plan p = sortSlots(ids, weight.data(), rows, k, groups);
    std::vector<std::tuple<int32_t, int64_t, int64_t>> expected;
    for (int64_t g = 0; g < groups; ++g) {
      ASSERT_EQ(p.offsets[g], int32_t(expected.size()));
      for (int64_t c = 0; c < rows * k; ++c)
        if (ids[c] == g)
          expected.emplace_back(g, c / k, c);
    }
    ASSERT_EQ(p.offsets[groups], int32_t(expected.size()));
    std::vector<int32_t> inverse(rows * k, -1);
    for (size_t s = 0; s < expected.size(); ++s) {
      auto [g, row, c] = expected[s];
      ASSERT_EQ(p.source[s], row);
      ASSERT_EQ(p.weight[s], weight[c]);
      inverse[c] = int32_t(s);
    }
    for (int64_t c = 0; c < rows * k; ++c)
      ASSERT_EQ(p.inverse[c], inverse[c]);
    // Slots from the end of the last group on stay unwritten.
    for (int64_t s = expected.size(); s <= rows * k; ++s)
      ASSERT_EQ(p.source[s], -5);
  }
}

TEST(SortSlots, WithoutWeights) {
  Plan p = sortSlots({1, 0, -1, 1}, nullptr, 4, 1, 2);
  EXPECT_EQ(p.offsets, (std::vector<int32_t>{0, 1, 3, -5}));
  EXPECT_EQ(p.source, (std::vector<int32_t>{1, 0, 3, -5, -5}));
  EXPECT_EQ(p.inverse, (std::vector<int32_t>{1, 0, -1, 2, -5}));
}

TEST(Rows, GatherAndScatterOfAllSizes) {
  std::mt19937 random(6);
  for (int64_t bytes : {0, 1, 2, 3, 4, 8, 12, 16, 100}) {
    const int64_t rows = 20;
    std::vector<unsigned char> x(rows * bytes), y(rows * bytes),
        z(rows * bytes, 0);
    for (auto &v : x)
      v = random();
    std::vector<int32_t> source(rows);
    for (int i = 0; i < rows; ++i)
      source[i] = (i * 7 + 3) % rows;
    gatecc_gather_rows(x.data(), bytes, source.data(), rows, y.data());
    for (int i = 0; i < rows && bytes; ++i)
      EXPECT_EQ(0, std::memcmp(&y[i * bytes], &x[source[i] * bytes], bytes));
    gatecc_scatter_rows(y.data(), bytes, source.data(), rows, z.data());
    EXPECT_EQ(x, z);
  }
}

TEST(Combine, ChoiceOrderFromPositiveZero) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  for (int64_t width : {0, 1, 7, 32, 33, 64, 200}) {
    const int64_t rows = 300, k = 3;
    std::vector<float> slots(rows * k * width), weight(rows * k);
    for (float &v : slots)
      v = normal(random);
    for (float &v : weight)
      v = normal(random);
    std::vector<int32_t> inverse(rows * k);
    for (int64_t c = 0; c < rows * k; ++c)
      inverse[c] = c % 5 == 0 || c < k ? -1 : int32_t((c * 11) % (rows * k));
    for (bool weighted : {true, false}) {
      std::vector<float> out(rows * width, -9);
      gatecc_frame frame = {};
      gatecc_combine_f32(&frame, slots.data(), width, inverse.data(),
                         weighted ? weight.data() : nullptr, rows, k,
                         out.data());
      for (int64_t t = 0; t < rows; ++t)
        for (int64_t c = 0; c < width; ++c) {
          volatile float sum = 0;
          for (int64_t j = 0; j < k; ++j)
            if (inverse[t * k + j] >= 0) {
              volatile float product = slots[inverse[t * k + j] * width + c];
              if (weighted)
                product = weight[t * k + j] * product;
              sum = sum + product;
            }
          ASSERT_EQ(out[t * width + c], float(sum));
        }
      for (int64_t c = 0; c < width; ++c) // the first row has no slot
        EXPECT_TRUE(out[c] == 0 && !std::signbit(out[c]));
    }
  }
}

TEST(Tasks, BlocksOfGroups) {
  std::vector<int32_t> offsets = {0, 0, 1, 9, 9, 17, 17};
  std::vector<int32_t> first(7);
  EXPECT_EQ(gatecc_group_tasks(offsets.data(), 6, 8, first.data()), 3);
  EXPECT_EQ(first, (std::vector<int32_t>{0, 0, 1, 2, 2, 3, 3}));
  EXPECT_EQ(gatecc_find_group(first.data(), 6, 0), 1);
  EXPECT_EQ(gatecc_find_group(first.data(), 6, 1), 2);
  EXPECT_EQ(gatecc_find_group(first.data(), 6, 2), 4);
  std::vector<int32_t> nothing = {0, 0};
  EXPECT_EQ(gatecc_group_tasks(nothing.data(), 1, 8, first.data()), 0);
  std::mt19937 random(9);
  for (int round = 0; round < 200; ++round) {
    int64_t groups = 1 + random() % 20, block = 1 + random() % 9;
    std::vector<int32_t> o(groups + 1, 0), f(groups + 1);
    for (int64_t g = 0; g < groups; ++g)
      o[g + 1] = o[g] + (random() % 2 ? random() % 30 : 0);
    int64_t n = gatecc_group_tasks(o.data(), groups, block, f.data());
    int64_t covered = 0;
    for (int64_t t = 0; t < n; ++t) {
      int64_t g = gatecc_find_group(f.data(), groups, t);
      ASSERT_LE(f[g], t);
      ASSERT_LT(t, f[g + 1]);
      int64_t begin = o[g] + (t - f[g]) * block;
      ASSERT_EQ(begin, covered);
      covered = std::min<int64_t>(begin + block, o[g + 1]);
      ASSERT_GT(covered, begin);
    }
    ASSERT_EQ(covered, o[groups]);
  }
}
