// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows rounded to bf16, in their order and by a source.

#include "conversions.h"
#include "kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

using gatecc_runtime::floatToBfloat;

TEST(Bfloat, RoundsRows) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  // Shorter, as long, and longer than what a task takes.
  for (int64_t k : {1, 31, 32, 20000})
    for (int64_t stride : {k, k + 33})
      for (bool hasSource : {false, true}) {
        std::vector<float> x(5 * k);
        for (float &value : x)
          value = normal(random);
        x[0] = NAN;
        x[x.size() - 1] = -INFINITY;
        std::vector<int32_t> source = {4, 0, 0, 2, 1, 4, 3};
        int64_t rows = hasSource ? int64_t(source.size()) : 5;
        std::vector<uint16_t> out(rows * stride + 1, 0x1234);
        gatecc_round_rows_bf16(nullptr, x.data(),
                               hasSource ? source.data() : nullptr, rows, k,
                               stride, out.data());
        EXPECT_EQ(out[rows * stride], 0x1234);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t i = 0; i < stride; ++i) {
            int64_t from = hasSource ? source[r] : r;
            uint16_t expected = i < k ? floatToBfloat(x[from * k + i]) : 0;
            ASSERT_EQ(out[r * stride + i], expected) << r << ", " << i;
          }
      }
}

TEST(Bfloat, NoRows) {
  uint16_t out = 0x1234;
  gatecc_round_rows_bf16(nullptr, nullptr, nullptr, 0, 8, 8, &out);
  EXPECT_EQ(out, 0x1234);
}
