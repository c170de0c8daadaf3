// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Routing against a computation in double, and the exponential inside it.

#include "exponential.h"
#include "kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

namespace {
struct Routes {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routes route(const std::vector<float> &logits, int64_t rows, int64_t experts,
             int64_t k, int score, bool normalize, float scale, bool drop,
             bool tiesHigh) {
  Routes r{std::vector<int32_t>(rows * k, -9), std::vector<float>(rows * k)};
  gatecc_route_f32(logits.data(), rows, experts, k, score, normalize, scale,
                   drop, tiesHigh, r.ids.data(), r.weights.data());
  return r;
}

void checkRow(const float *x, int64_t experts, int64_t k, int score,
              bool normalize, float scale, bool drop, bool tiesHigh,
              const int32_t *ids, const float *weights) {
  std::vector<int> order(experts);
  std::iota(order.begin(), order.end(), 0);
  if (tiesHigh)
    std::reverse(order.begin(), order.end());
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    if (x[a] != x[a] || x[b] != x[b])
      return x[a] == x[a] && x[b] != x[b];
    return x[a] > x[b];
  });
  order.resize(k);
  std::vector<double> w(k);
  auto softmax = [&](const std::vector<int> &over) {
    double m = -INFINITY, sum = 0;
    for (int e : over)
      m = x[e] != x[e] || m != m ? NAN : std::max<double>(m, x[e]);
    for (int e : over)
      sum += std::exp(double(x[e]) - m);
    for (int64_t j = 0; j < k; ++j)
      w[j] = std::exp(double(x[order[j]]) - m) / sum;
  };
  if (score == 0) {
    std::vector<int> all(experts);
    std::iota(all.begin(), all.end(), 0);
    softmax(all);
  } else if (score == 1) {
    softmax(order);
  } else {
    for (int64_t j = 0; j < k; ++j)
      w[j] = score == 2 ? 1 / (1 + std::exp(-double(x[order[j]])))
                        : double(x[order[j]]);
  }
  if (normalize && score != 1) {
    double sum = std::accumulate(w.begin(), w.end(), 0.0);
    double total = 0;
    for (double v : w)
      total += std::fabs(v);
    if (std::fabs(sum) < 1e-4 * total)
      return; // cancellation: nothing to compare
    for (double &v : w)
      v = float(sum) == 0 ? 0 : v / sum;
  }
  for (int64_t j = 0; j < k; ++j) {
    double expected = w[j] * scale;
    if (drop && float(expected) <= 0 && expected == expected) {
      ASSERT_EQ(ids[j], -1);
      ASSERT_EQ(weights[j], 0);
      continue;
    }
    if (std::fabs(expected) < 1e-44 && ids[j] == -1)
      continue; // rounds to zero in float
    ASSERT_EQ(ids[j], order[j]);
    if (expected != expected)
      ASSERT_TRUE(weights[j] != weights[j]);
    else if (std::isinf(expected))
      ASSERT_EQ(weights[j], expected);
    else
      // The difference to the maximum, up to 200 here, is rounded in float.
      ASSERT_NEAR(weights[j], expected,
                  (score == 3 && normalize ? 1e-2 : 2e-5) *
                          std::fabs(expected) +
                      3e-45);
  }
}
} // namespace

TEST(Route, Fuzz) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 3);
  for (int round = 0; round < 3000; ++round) {
    int64_t experts = 1 + random() % (round % 10 ? 20 : 300);
    int64_t k = 1 + random() % std::min<int64_t>(experts, round % 7 ? 8 : 300);
    int64_t rows = random() % 4;
    int score = random() % 4;
    bool normalize = random() % 2, drop = random() % 2, high = random() % 2;
    float scale = random() % 2 ? 1.0f : 2.5f;
    std::vector<float> x(rows * experts);
    int special = random() % 4;
    for (float &v : x) {
      v = special == 1 ? float(int(random() % 5) - 2) : normal(random);
      if (special == 2 && random() % 16 == 0)
        v = std::vector<float>{NAN, INFINITY, -INFINITY, -200.0f}[random() % 4];
      if (special == 3)
        v *= 40;
    }
    Routes r = route(x, rows, experts, k, score, normalize, scale, drop, high);
    for (int64_t t = 0; t < rows; ++t) {
      SCOPED_TRACE(testing::Message() << "round " << round << " score " << score
                                      << " special " << special);
      checkRow(&x[t * experts], experts, k, score, normalize, scale, drop, high,
               &r.ids[t * k], &r.weights[t * k]);
      if (HasFatalFailure())
        return;
      for (int64_t j = 0; j < k; ++j) {
        ASSERT_GE(r.ids[t * k + j], -1);
        ASSERT_LT(r.ids[t * k + j], experts);
      }
    }
  }
}

TEST(Route, TiesBothWays) {
  std::vector<float> x = {1, 1, 1, 1, 0};
  EXPECT_EQ(route(x, 1, 5, 2, 0, true, 1, false, false).ids,
            (std::vector<int32_t>{0, 1}));
  Routes high = route(x, 1, 5, 2, 0, true, 1, false, true);
  EXPECT_EQ(high.ids, (std::vector<int32_t>{3, 2}));
  EXPECT_EQ(high.weights, (std::vector<float>{0.5f, 0.5f}));
}

TEST(Route, NanPropagatesAndStays) {
  std::vector<float> x = {1, NAN, 3, 2};
  Routes r = route(x, 1, 4, 2, 0, true, 1, true, false);
  EXPECT_EQ(r.ids, (std::vector<int32_t>{2, 3}));
  EXPECT_TRUE(std::isnan(r.weights[0]) && std::isnan(r.weights[1]));
  // Over the selected, the NaN is not among them.
  r = route(x, 1, 4, 2, 1, true, 1, true, false);
  EXPECT_NEAR(r.weights[0], 0.731058579, 1e-6);
  r = route({NAN, NAN, NAN}, 1, 3, 3, 1, false, 1, true, false);
  EXPECT_EQ(r.ids, (std::vector<int32_t>{0, 1, 2}));
  r = route({-INFINITY, -INFINITY}, 1, 2, 1, 0, false, 1, true, false);
  EXPECT_EQ(r.ids[0], 0);
  EXPECT_TRUE(std::isnan(r.weights[0]));
}

TEST(Route, DropsWhatDoesNotCount) {
  std::vector<float> x = {0, -300, -INFINITY};
  Routes r = route(x, 1, 3, 3, 0, true, 1, true, false);
  EXPECT_EQ(r.ids, (std::vector<int32_t>{0, -1, -1}));
  EXPECT_EQ(r.weights, (std::vector<float>{1, 0, 0}));
  r = route(x, 1, 3, 3, 0, true, 1, false, false);
  EXPECT_EQ(r.ids, (std::vector<int32_t>{0, 1, 2}));
  // A sum of zero gives zero weights, not NaN.
  r = route({-200, -200}, 1, 2, 2, 2, true, 1, true, false);
  EXPECT_EQ(r.ids, (std::vector<int32_t>{-1, -1}));
}

TEST(Route, DoesNotDependOnTheBatch) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 2);
  for (int64_t experts : {1, 7, 8, 9, 64, 129}) {
    const int64_t rows = 33, k = std::min<int64_t>(experts, 5);
    std::vector<float> x(rows * experts);
    for (float &v : x)
      v = normal(random);
    for (int score = 0; score < 4; ++score) {
      Routes whole = route(x, rows, experts, k, score, true, 1, true, false);
      for (int64_t t = 0; t < rows; ++t) {
        std::vector<float> row(&x[t * experts], &x[t * experts] + experts);
        Routes one = route(row, 1, experts, k, score, true, 1, true, false);
        EXPECT_EQ(0, std::memcmp(&whole.weights[t * k], one.weights.data(),
                                 k * sizeof(float)));
        EXPECT_EQ(0, std::memcmp(&whole.ids[t * k], one.ids.data(),
                                 k * sizeof(int32_t)));
      }
    }
  }
}

TEST(Exponential, WithinTwoUlp) {
  using namespace gatecc_runtime;
  double worst = 0;
  // Every 97th float from -0 to -104.5.
  for (uint32_t bits = 0x80000000u; bits < 0xc2d10000u; bits += 97 * 8) {
    Float8 x;
    for (int l = 0; l < 8; ++l) {
      uint32_t b = bits + 97 * l;
      float v;
      memcpy(&v, &b, 4);
      x[l] = v;
    }
    Float8 y = expOfNonpositive(x);
    for (int l = 0; l < 8; ++l) {
      double exact = std::exp(double(x[l]));
      float nearest = float(exact);
      double ulp = double(std::nextafterf(nearest, 2.0f)) - nearest;
      worst = std::max(worst, std::fabs(y[l] - exact) / ulp);
    }
  }
  EXPECT_LT(worst, 2.0);
  RecordProperty("worst_ulp", std::to_string(worst));
  EXPECT_EQ(expOfNonpositive(splat(0.0f))[3], 1.0f);
  EXPECT_EQ(expOfNonpositive(splat(-0.0f))[3], 1.0f);
  EXPECT_EQ(expOfNonpositive(splat(-INFINITY))[0], 0.0f);
  EXPECT_EQ(expOfNonpositive(splat(-1e30f))[0], 0.0f);
  EXPECT_TRUE(std::isnan(expOfNonpositive(splat(NAN))[7]));
}

TEST(Route, MixedTakesWeightsFromElsewhere) {
  std::vector<float> logits{1, 5, 3, NAN, 2, 2, 2, 2, 0, 1, 2, 3};
  std::vector<float> mixing{.5f, .25f, .75f, 9, 3, 1, 9, 9, 1, 1, -1, 1};
  std::vector<int32_t> ids(6);
  std::vector<float> weights(6);
  auto mix = [&](bool normalize, float scale, bool drop, bool high) {
    gatecc_route_mixed_f32(logits.data(), mixing.data(), 3, 4, 2, normalize,
                           scale, drop, high, ids.data(), weights.data());
  };
  mix(false, 2, false, false);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 0, 1, 3, 2}));
  EXPECT_EQ(weights, (std::vector<float>{.5f, 1.5f, 6, 2, 2, -2}));
  // The sum of the last row is 0, which makes its weights 0.
  mix(true, 1, true, false);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 0, 1, -1, -1}));
  EXPECT_EQ(weights, (std::vector<float>{.25f, .75f, .75f, .25f, 0, 0}));
  mix(false, 1, true, true);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 3, 2, 3, -1}));
}

TEST(Route, DividesByAnySum) {
  std::vector<float> logits{1, 3, 2, 0, 0, 0, 1, 2, NAN};
  std::vector<float> mixing{.5f, 1.5f, .5f, 0, 0, 0, NAN, 1, 1};
  std::vector<int32_t> ids(6);
  std::vector<float> weights(6);
  int32_t score = GATECC_SCORE_NONE;
  auto route = [&](float offset, float least, float scale) {
    gatecc_route_divided_f32(logits.data(), mixing.data(), 3, 3, 2, score,
                             offset, least, scale, 0, 0, ids.data(),
                             weights.data());
  };
  route(0, -INFINITY, 2);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 0, 1, 1, 0}));
  EXPECT_EQ(weights[0], 1.5f);
  EXPECT_EQ(weights[1], .5f);
  for (int j = 2; j < 6; ++j) // 0 / 0, and a NaN in the sum
    EXPECT_TRUE(std::isnan(weights[j]));
  route(1, -INFINITY, 1);
  EXPECT_EQ(weights[0], .5f);
  EXPECT_EQ(weights[2], 0.0f);
  route(0, 4, 1);
  EXPECT_EQ(weights[0], .375f);
  EXPECT_EQ(weights[3], 0.0f);
  EXPECT_TRUE(std::isnan(weights[4]));
  // Sigmoids of what is chosen; those of -1000 are 0, as is their sum.
  score = GATECC_SCORE_SIGMOID;
  mixing = {0, 0, 0, 0, 0, -1000, NAN, 1, 1};
  route(1, -INFINITY, 1);
  EXPECT_EQ(weights[0], .25f);
  EXPECT_EQ(weights[1], .25f);
  EXPECT_TRUE(std::isnan(weights[5]));
  logits[3] = -1, mixing[4] = -1000;
  route(0, -INFINITY, 1);
  EXPECT_EQ(ids[2], 1);
  EXPECT_TRUE(std::isnan(weights[2]));
}
