// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Routing: the k experts of each row and their weights.

#include "exponential.h"
#include "kernels.h"
#include "selection.h"

using namespace gatecc_runtime;

static const float kInfinity = __builtin_inff();

// The eight elements from x[i], or as many as there are, then -Inf.
static GATECC_INLINE Float8 loadOrLowest(const float *x, int64_t i, int64_t n) {
  Float8 v;
  if (i + 8 <= n) {
    __builtin_memcpy(&v, x + i, sizeof v);
    return v;
  }
  v = splat(-kInfinity);
  for (int64_t j = 0; i + j < n; ++j)
    v[j] = x[i + j];
  return v;
}

// The largest element, NaN if there is one.
static GATECC_INLINE float maximum(const float *x, int64_t n) {
  Float8 best = splat(-kInfinity);
  Mask8 nan = {0, 0, 0, 0, 0, 0, 0, 0};
  for (int64_t i = 0; i < n; i += 8) {
    Float8 v = loadOrLowest(x, i, n);
    nan |= v != v;
    best = v > best ? v : best;
  }
  float m = best[0];
  int32_t anyNan = nan[0];
  for (int j = 1; j < 8; ++j) {
    m = best[j] > m ? best[j] : m;
    anyNan |= nan[j];
  }
  return anyNan ? __builtin_nanf("") : m;
}

// The sum of exp(x[i] - m): eight partial sums over i modulo 8, then pairwise.
// The order is a function of n alone.
static GATECC_INLINE float sumOfExp(const float *x, int64_t n, float m) {
  Float8 sum = splat(0.0f);
  for (int64_t i = 0; i < n; i += 8)
    sum += expOfNonpositive(loadOrLowest(x, i, n) - m);
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) +
         ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

// weights[j] = exp(weights[j] - m) / sum.
static GATECC_INLINE void softmaxOf(float *weights, int64_t k, float m,
                                    float sum) {
  for (int64_t j = 0; j < k; j += 8) {
    Float8 e = expOfNonpositive(loadOrLowest(weights, j, k) - m) / sum;
    for (int64_t l = 0; l < 8 && j + l < k; ++l)
      weights[j + l] = e[l];
  }
}

static GATECC_INLINE void sigmoidOf(float *weights, int64_t k) {
  for (int64_t j = 0; j < k; j += 8) {
    Float8 x = loadOrLowest(weights, j, k);
    Float8 e = expOfNonpositive(x > 0.0f ? -x : x);
    Float8 y = (x > 0.0f ? splat(1.0f) : e) / (1.0f + e);
    for (int64_t l = 0; l < 8 && j + l < k; ++l)
      weights[j + l] = y[l];
  }
}

// The best `chosen` experts of each of the k places, the other places empty.
static GATECC_INLINE void choose(const float *logits, int64_t experts,
                                 int64_t chosen, int64_t k, int32_t ties_high,
                                 int32_t *ids, float *weights) {
  // Not reached from compiled code, where k <= experts has been checked.
  for (int64_t j = chosen; j < k; ++j) {
    ids[j] = -1;
    weights[j] = 0.0f;
  }
  if (ties_high)
    selectBest<true, true>(logits, experts, chosen, weights, ids);
  else
    selectBest<true, false>(logits, experts, chosen, weights, ids);
}

static GATECC_INLINE float sumOf(const float *weights, int64_t chosen) {
  float sum = 0.0f;
  for (int64_t j = 0; j < chosen; ++j)
    sum += weights[j];
  return sum;
}

// From scores to weights: by their sum, by the scale, without what is <= 0.
static GATECC_INLINE void finishWeights(int64_t chosen, bool normalize,
                                        float scale, int32_t drop_nonpositive,
                                        int32_t *ids, float *weights) {
  if (normalize) {
    float sum = sumOf(weights, chosen);
    for (int64_t j = 0; j < chosen; ++j)
      weights[j] = sum == 0.0f ? 0.0f : weights[j] / sum;
  }
  for (int64_t j = 0; j < chosen; ++j) {
    weights[j] *= scale;
    if (drop_nonpositive && weights[j] <= 0.0f) {
      weights[j] = 0.0f;
      ids[j] = -1;
    }
  }
}

extern "C" void gatecc_route_f32(const float *logits, int64_t rows,
                                 int64_t experts, int64_t k, int32_t score,
                                 int32_t normalize, float scale,
                                 int32_t drop_nonpositive, int32_t ties_high,
                                 int32_t *ids, float *weights) {
  int64_t chosen = k < experts ? k : experts;
  for (int64_t r = 0; r < rows;
       ++r, logits += experts, ids += k, weights += k) {
    choose(logits, experts, chosen, k, ties_high, ids, weights);
    switch (score) {
    case GATECC_SCORE_SOFTMAX: {
      float m = maximum(logits, experts);
      softmaxOf(weights, chosen, m, sumOfExp(logits, experts, m));
      break;
    }
    case GATECC_SCORE_SOFTMAX_SELECTED: {
      float m = maximum(weights, chosen);
      softmaxOf(weights, chosen, m, sumOfExp(weights, chosen, m));
      break;
    }
    case GATECC_SCORE_SIGMOID:
      sigmoidOf(weights, chosen);
      break;
    default:
      break;
    }
    finishWeights(chosen, normalize && score != GATECC_SCORE_SOFTMAX_SELECTED,
                  scale, drop_nonpositive, ids, weights);
  }
}

/// Chooses by `logits` and weighs by `mixing`; `finish` does the rest for the
/// ids and weights of a row.
template <typename Finish>
static void routeMixed(const float *logits, const float *mixing, int64_t rows,
                       int64_t experts, int64_t k, int32_t ties_high,
                       int32_t *ids, float *weights, Finish finish) {
  int64_t chosen = k < experts ? k : experts;
  for (int64_t r = 0; r < rows;
       ++r, logits += experts, mixing += experts, ids += k, weights += k) {
    choose(logits, experts, chosen, k, ties_high, ids, weights);
    for (int64_t j = 0; j < chosen; ++j)
      weights[j] = mixing[ids[j]];
    finish(chosen, ids, weights);
  }
}

extern "C" void gatecc_route_mixed_f32(const float *logits, const float *mixing,
                                       int64_t rows, int64_t experts, int64_t k,
                                       int32_t normalize, float scale,
                                       int32_t drop_nonpositive,
                                       int32_t ties_high, int32_t *ids,
                                       float *weights) {
  routeMixed(logits, mixing, rows, experts, k, ties_high, ids, weights,
             [=](int64_t chosen, int32_t *ids, float *weights) {
               finishWeights(chosen, normalize, scale, drop_nonpositive, ids,
                             weights);
             });
}

extern "C" void gatecc_route_divided_f32(
    const float *logits, const float *mixing, int64_t rows, int64_t experts,
    int64_t k, int32_t score, float sum_offset, float sum_min, float scale,
    int32_t drop_nonpositive, int32_t ties_high, int32_t *ids, float *weights) {
  routeMixed(logits, mixing, rows, experts, k, ties_high, ids, weights,
             [=](int64_t chosen, int32_t *ids, float *weights) {
               if (score == GATECC_SCORE_SIGMOID)
                 sigmoidOf(weights, chosen);
               float sum = sumOf(weights, chosen) + sum_offset;
               sum = sum < sum_min ? sum_min : sum; // NaN stays
               for (int64_t j = 0; j < chosen; ++j)
                 weights[j] /= sum;
               finishWeights(chosen, /*normalize=*/false, scale,
                             drop_nonpositive, ids, weights);
             });
}
