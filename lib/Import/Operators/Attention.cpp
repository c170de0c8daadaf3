// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Attention: two batched products around a softmax. Query heads that share a
// key head are rows of one product, so that keys need not be repeated.
// FlexAttention: the same with graphs that change scores and weights.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Normalization.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// Sizes: batch, query and key heads, queries, keys.
struct Attention {
  Value query, key, value; // [B, H, S, D], [B, G, T, D], [B, G, T, V]
  Value mask, lengths;     // or null
  bool flat;               // are the inputs [B, S, H * D]?
  Extent past = Extent(0); // keys from the cache
};
} // namespace

FailureOr<Value> gatecc::byHead(GraphBuilder &g, Value input, int64_t heads,
                                StringRef name) {
  Extents shape = g.shapeOf(input);
  if (heads < 1)
    return g.fail("expects the attribute " + name +
                  " where the inputs have rank 3");
  std::optional<Extent> size = shape[2].dividedBy(Extent(heads));
  if (!size)
    return g.fail("cannot divide " + g.text(shape[2]) + " into " +
                  Twine(heads) + " heads");
  FailureOr<Value> apart =
      g.reshape(input, {shape[0], shape[1], Extent(heads), *size});
  if (failed(apart))
    return failure();
  return g.transpose(*apart, {0, 2, 1, 3});
}

static FailureOr<Attention> attention(GraphBuilder &g,
                                      const OperatorCall &call) {
  Attention a;
  a.query = call.operand(0);
  a.key = call.operand(1);
  a.value = call.operand(2);
  a.mask = call.operand(3);
  a.lengths = call.operand(6);
  if (failed(checkFloat(g, a.query)) ||
      failed(checkNumbers(g, {a.query, a.key, a.value})))
    return failure();
  unsigned rank = g.rankOf(a.query);
  if ((rank != 3 && rank != 4) || g.rankOf(a.key) != rank ||
      g.rankOf(a.value) != rank)
    return g.fail("expects queries, keys and values of one rank, 3 or 4");
  a.flat = rank == 3;
  if (a.flat) {
    int64_t heads = call.integer("kv_num_heads", 0);
    FailureOr<Value> q =
        byHead(g, a.query, call.integer("q_num_heads", 0), "q_num_heads");
    FailureOr<Value> k = byHead(g, a.key, heads, "kv_num_heads");
    FailureOr<Value> v = byHead(g, a.value, heads, "kv_num_heads");
    if (failed(q) || failed(k) || failed(v))
      return failure();
    a.query = *q;
    a.key = *k;
    a.value = *v;
  }
  Value pastKey = call.operand(4), pastValue = call.operand(5);
  if (!pastKey != !pastValue || (pastKey && a.lengths))
    return g.fail("expects past_key and past_value together, and without "
                  "nonpad_kv_seqlen");
  if (pastKey) {
    if (g.rankOf(pastKey) != 4 || g.rankOf(pastValue) != 4 ||
        failed(checkNumbers(g, {a.query, pastKey, pastValue})))
      return g.fail("expects past_key and past_value of rank 4");
    a.past = g.shapeOf(pastKey)[2];
    FailureOr<Value> k = g.concat({pastKey, a.key}, 2);
    FailureOr<Value> v = g.concat({pastValue, a.value}, 2);
    if (failed(k) || failed(v))
      return failure();
    a.key = *k;
    a.value = *v;
  }
  Extents q = g.shapeOf(a.query), k = g.shapeOf(a.key), v = g.shapeOf(a.value);
  if (q[0] != k[0] || q[0] != v[0] || q[3] != k[3] || k[1] != v[1] ||
      k[2] != v[2] || !q[1].dividedBy(k[1]))
    return g.fail("the shapes of queries " + g.text(q) + ", keys " + g.text(k) +
                  " and values " + g.text(v) + " are not known to fit");
  if (a.lengths && (g.shapeOf(a.lengths) != Extents{q[0]} ||
                    !elementOf(a.lengths).isInteger(64)))
    return g.fail("expects an int64 in nonpad_kv_seqlen for each of the " +
                  g.text(q[0]) + " samples");
  return a;
}

/// What is added to the scores: 0 or the mask's number where a query may attend
/// to a key, -inf elsewhere; null if each may to each.
static FailureOr<Value> biasOf(GraphBuilder &g, const OperatorCall &call,
                               const Attention &a, Type element) {
  bool causal = call.integer("is_causal", 0) != 0;
  int64_t left = call.integer("left_window_size", -1),
          right = call.integer("right_window_size", -1);
  if (left < -1 || right < -1)
    return g.fail("expects window sizes of -1 or more");
  bool placed = causal || left >= 0 || right >= 0;
  if (!placed && !a.mask && !a.lengths)
    return Value();
  Extents scores = g.shapeOf(a.query);
  scores[3] = g.shapeOf(a.key)[2];
  Extents shape(scores.begin() + 2, scores.end()), maskShape;
  bool isBool = a.mask && elementOf(a.mask).isInteger(1);
  if (a.mask) {
    maskShape = g.shapeOf(a.mask);
    if (maskShape.empty() || maskShape.size() > 4)
      return g.fail("expects a mask of rank 1 to 4");
    if (!isBool && failed(checkFloat(g, a.mask)))
      return failure();
    Extents spread = maskShape;
    spread.back() = scores[3]; // A shorter mask hides the keys behind it.
    FailureOr<Extents> all = g.broadcast({shape, spread});
    FailureOr<Extents> fits =
        succeeded(all) ? g.broadcast({*all, scores}) : all;
    if (failed(fits))
      return failure();
    if (*fits != scores)
      return g.fail("the mask " + g.text(maskShape) +
                    " cannot be broadcast to the scores " + g.text(scores));
    shape = *all;
  }
  if (a.lengths && shape.size() < 4)
    shape.insert(shape.begin(), 4 - shape.size(), Extent(1));
  if (a.lengths)
    shape[0] = scores[0];
  SmallVector<Value> maskSizes;
  for (const Extent &extent : maskShape)
    maskSizes.push_back(g.materialize(extent));
  Value past = g.materialize(a.past), queries = g.materialize(scores[2]);
  unsigned rank = shape.size();
  return fillPlaces(
      g, shape, element,
      [&](OpBuilder &at, Location loc, ValueRange indices) -> Value {
        Scalars s(at, loc);
        Value none = s.number(element, 0),
              hidden =
                  s.number(element, -std::numeric_limits<double>::infinity());
        Value query = indices[rank - 2], key = indices[rank - 1];
        Value bias = none;
        if (a.mask) {
          SmallVector<Value> places;
          for (auto [dim, extent] : llvm::enumerate(maskShape)) {
            bool isKey = dim + 1 == maskShape.size();
            Value index = indices[dim + rank - maskShape.size()];
            places.push_back(extent.isOne() && !isKey ? s.like(index, 0)
                                                      : index);
          }
          Value outside =
              isBool ? s.number(at.getI1Type(), 0)
                     : s.number(elementOf(a.mask),
                                -std::numeric_limits<double>::infinity());
          Value given = readInside(at, loc, a.mask, places, maskSizes, outside);
          if (isBool)
            bias = s.select(given, none, hidden);
          else if (given.getType() == element)
            bias = given;
          else if (given.getType().getIntOrFloatBitWidth() <
                   element.getIntOrFloatBitWidth())
            bias = arith::ExtFOp::create(at, loc, element, given);
          else
            bias = arith::TruncFOp::create(at, loc, element, given);
        }
        Value length, offset = past, open;
        auto restrict = [&](Value condition) {
          open = open ? arith::AndIOp::create(at, loc, open, condition)
                      : condition;
        };
        if (a.lengths) {
          length = tensor::ExtractOp::create(at, loc, a.lengths, indices[0]);
          length =
              arith::IndexCastOp::create(at, loc, at.getIndexType(), length);
          offset = s.sub(length, queries);
          restrict(s.less(key, length));
        }
        if (placed) {
          Value ahead = s.sub(key, s.add(query, offset));
          if (causal)
            restrict(s.lessOrEqual(ahead, s.like(ahead, 0)));
          if (left >= 0)
            restrict(s.lessOrEqual(s.like(ahead, -double(left)), ahead));
          if (right >= 0)
            restrict(s.lessOrEqual(ahead, s.like(ahead, double(right))));
        }
        return open ? s.select(open, bias, hidden) : bias;
      });
}

static FailureOr<Value> times(GraphBuilder &g, Value value, double factor) {
  return g.elementwise(value, elementOf(value),
                       [&](OpBuilder &at, Location loc, ValueRange x) {
                         Scalars s(at, loc);
                         return s.mul(x[0], s.like(x[0], factor));
                       });
}

/// softmax(scores + bias); rows that may attend to nothing are 0.
static FailureOr<Value> weightsOf(GraphBuilder &g, const OperatorCall &call,
                                  Value biased, Value bias) {
  Type element = elementOf(biased);
  int64_t precision = call.integer("softmax_precision", 0);
  if (!llvm::is_contained<int64_t>({0, 1, 10, 11, 16}, precision))
    return g.fail("does not support the softmax_precision " + Twine(precision));
  if (precision == 11) {
    FailureOr<Value> wide = g.cast(biased, g.getBuilder().getF64Type());
    if (failed(wide))
      return failure();
    biased = *wide;
  }
  FailureOr<Value> weights = softmax(g, biased, 3, /*isLog=*/false);
  if (succeeded(weights))
    weights = g.cast(*weights, element);
  if (failed(weights) || !bias)
    return weights;
  Value widest = g.reduce(bias, g.rankOf(bias) - 1, /*keepDims=*/true,
                          g.constant(lowest(element)),
                          [](OpBuilder &at, Location loc, ValueRange x) {
                            return Scalars(at, loc).max(x[1], x[0]);
                          });
  return g.elementwise(
      {*weights, widest}, element,
      [](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value hidden = s.like(x[1], -std::numeric_limits<double>::infinity());
        return s.select(s.equal(x[1], hidden), s.like(x[0], 0), x[0]);
      });
}

/// The scores, or weights, as the node's graph of that name has changed them.
static FailureOr<Value> modified(GraphBuilder &g, const OperatorCall &call,
                                 StringRef name, Value scores, Type given) {
  Region *body = call.bodies ? call.bodies->find(name) : nullptr;
  if (!body)
    return scores;
  if (body->getNumArguments() != 1)
    return g.fail("its graph '" + name + "' has " +
                  Twine(body->getNumArguments()) +
                  " inputs; the scores are expected");
  FailureOr<Value> rounded = g.cast(scores, given);
  if (failed(rounded))
    return failure();
  FailureOr<SmallVector<Value>> made = call.bodies->build(*body, *rounded);
  if (failed(made))
    return failure();
  if (made->size() != 1 || elementOf(made->front()) != given ||
      g.shapeOf(made->front()) != g.shapeOf(scores))
    return g.fail("its graph '" + name +
                  "' does not keep the shape and the type of the scores");
  return g.cast(made->front(), elementOf(scores));
}

OperatorResults gatecc::lowerAttention(GraphBuilder &g,
                                       const OperatorCall &call) {
  FailureOr<Attention> a = attention(g, call);
  if (failed(a))
    return failure();
  Type given = elementOf(a->query);
  Extents q = g.shapeOf(a->query), k = g.shapeOf(a->key),
          v = g.shapeOf(a->value);
  int64_t mode = call.integer("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3)
    return g.fail("does not support the qk_matmul_output_mode " + Twine(mode));
  double scale = call.number("scale", 0);
  if (!call.has("scale")) {
    if (!q[3].isConstant() || q[3].isConstant(0))
      return g.fail("supports heads of a size that is not constant only with "
                    "the attribute scale, got " +
                    g.text(q[3]));
    scale = 1.0 / std::sqrt(double(q[3].getConstant()));
  }
  if (scale < 0)
    return g.fail("expects a scale that is not negative");
  FailureOr<Value> query = widened(g, a->query), key = widened(g, a->key),
                   value = widened(g, a->value);
  if (failed(query) || failed(key) || failed(value))
    return failure();
  query = times(g, *query, std::sqrt(scale));
  key = times(g, *key, std::sqrt(scale));
  if (failed(query) || failed(key))
    return failure();
  // Queries of the heads that share a key head, one after another.
  Extent together = *q[1].dividedBy(k[1]) * q[2];
  query = g.reshape(*query, {q[0], k[1], together, q[3]});
  if (failed(query))
    return failure();
  FailureOr<Value> product = g.matmul(*query, g.transpose(*key, {0, 1, 3, 2}));
  Extents scoreShape{q[0], q[1], q[2], k[2]};
  if (succeeded(product))
    product = g.reshape(*product, scoreShape);
  if (failed(product))
    return failure();
  Type element = elementOf(*product);
  FailureOr<Value> capped = *product;
  if (double cap = call.number("softcap", 0); cap > 0)
    capped = g.elementwise(
        *product, element, [&](OpBuilder &at, Location loc, ValueRange x) {
          Scalars s(at, loc);
          Value limit = s.like(x[0], cap);
          Value bounded = math::TanhOp::create(at, loc, s.div(x[0], limit));
          return s.mul(bounded, limit);
        });
  FailureOr<Value> bias = biasOf(g, call, *a, element);
  if (failed(capped) || failed(bias))
    return failure();
  FailureOr<Value> biased = *capped;
  if (*bias)
    biased = g.elementwise({*capped, *bias}, element,
                           [](OpBuilder &at, Location loc, ValueRange x) {
                             return Scalars(at, loc).add(x[0], x[1]);
                           });
  if (succeeded(biased))
    biased = modified(g, call, "score_mod", *biased, given);
  FailureOr<Value> weights =
      succeeded(biased) ? weightsOf(g, call, *biased, *bias) : biased;
  if (succeeded(weights))
    weights = modified(g, call, "prob_mod", *weights, given);
  if (failed(weights))
    return failure();
  FailureOr<Value> rows = g.reshape(*weights, {q[0], k[1], together, k[2]});
  FailureOr<Value> result = succeeded(rows) ? g.matmul(*rows, *value) : rows;
  if (succeeded(result))
    result = g.reshape(*result, {q[0], q[1], q[2], v[3]});
  if (succeeded(result) && a->flat)
    result = g.reshape(g.transpose(*result, {0, 2, 1, 3}),
                       {q[0], q[2], q[1] * v[3]});
  if (succeeded(result))
    result = g.cast(*result, given);
  FailureOr<Value> scores = g.cast(mode == 0   ? *product
                                   : mode == 1 ? *capped
                                   : mode == 2 ? *biased
                                               : *weights,
                                   given);
  if (failed(result) || failed(scores))
    return failure();
  return SmallVector<Value>{*result, a->key, a->value, *scores};
}
