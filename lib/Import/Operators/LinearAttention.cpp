// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// LinearAttention: a loop over tokens that carries a state [B, H, D, V] in f32.
//   state *= exp(decay);  v = beta * (v - k state);  state += outer(k, v)
//   output = scale * q state
// Query heads that share a key head are rows of one product.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/LoopBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace gatecc;

namespace {
/// All in f32, by head; decay and beta may be null.
struct LinearAttention {
  Value query, key, value; // [B, G, H / G, T, D], [B, G, T, D], [B, G, T, V]
  Value decay, beta;       // [B, G, T, D or 1], [B, G or 1, T, 1]
  Value state;             // [B, G, D, V]
  int64_t heads, keyHeads;
  double scale;
};
} // namespace

static FailureOr<Value> multiplied(GraphBuilder &g, Value a, Value b) {
  return g.elementwise({a, b}, elementOf(a),
                       [](OpBuilder &at, Location loc, ValueRange x) {
                         return Scalars(at, loc).mul(x[0], x[1]);
                       });
}

/// [B, T, heads * D] as f32 [B, heads, T, D].
static FailureOr<Value> wideByHead(GraphBuilder &g, Value input, int64_t heads,
                                   StringRef name) {
  if (g.rankOf(input) != 3)
    return g.fail("expects inputs of rank 3, got " + g.text(g.shapeOf(input)));
  FailureOr<Value> apart = byHead(g, input, heads, name);
  return succeeded(apart) ? widened(g, *apart) : apart;
}

static FailureOr<LinearAttention> linearAttention(GraphBuilder &g,
                                                  const OperatorCall &call) {
  LinearAttention a;
  a.heads = call.integer("q_num_heads", 0);
  a.keyHeads = call.integer("kv_num_heads", 0);
  if (a.keyHeads < 1 || a.heads < 1 || a.heads % a.keyHeads != 0)
    return g.fail("expects q_num_heads to be a multiple of kv_num_heads, got " +
                  Twine(a.heads) + " and " + Twine(a.keyHeads));
  StringRef rule = call.string("update_rule", "gated_delta");
  if (!llvm::is_contained({"linear", "gated", "delta", "gated_delta"}, rule))
    return g.fail("does not know the update_rule '" + rule + "'");
  Value decay = call.operand(4), beta = call.operand(5);
  if (bool(decay) != rule.contains("gated") ||
      bool(beta) != rule.contains("delta"))
    return g.fail("expects decay and beta where the update_rule '" + rule +
                  "' has them, and only there");
  for (Value operand : call.operands)
    if (operand && (failed(checkFloat(g, operand)) ||
                    failed(checkComputedAs(g, operand, call.operand(0)))))
      return failure();
  FailureOr<Value> query =
      wideByHead(g, call.operand(0), a.heads, "q_num_heads");
  FailureOr<Value> key =
      wideByHead(g, call.operand(1), a.keyHeads, "kv_num_heads");
  FailureOr<Value> value =
      wideByHead(g, call.operand(2), a.keyHeads, "kv_num_heads");
  if (failed(query) || failed(key) || failed(value))
    return failure();
  Extents q = g.shapeOf(*query), k = g.shapeOf(*key), v = g.shapeOf(*value);
  if (k[0] != q[0] || k[2] != q[2] || k[3] != q[3] || v[0] != q[0] ||
      v[2] != q[2])
    return g.fail("expects keys and values of the queries' batch, tokens and "
                  "size, got " +
                  g.text(q) + ", " + g.text(k) + " and " + g.text(v));
  if (!q[3].isConstant() || q[3].getConstant() < 1)
    return g.fail("supports only heads of a constant size, got " +
                  g.text(q[3]));
  query =
      g.reshape(*query, {q[0], k[1], Extent(a.heads / a.keyHeads), q[2], q[3]});
  if (failed(query))
    return failure();
  a.query = *query;
  a.key = *key;
  a.value = *value;
  for (auto [given, made, isWhole] :
       {std::tuple(decay, &a.decay, true), {beta, &a.beta, false}}) {
    if (!given)
      continue;
    Extents shape = g.shapeOf(given);
    Extent width = Extent(a.keyHeads) * (isWhole ? q[3] : Extent(1));
    bool isEach = shape.size() == 3 && shape[2] == Extent(a.keyHeads);
    bool isOther =
        shape.size() == 3 && (isWhole ? shape[2] == width : shape[2].isOne());
    if ((!isEach && !isOther) || shape[0] != q[0] || shape[1] != q[2])
      return g.fail("does not support a decay or beta of shape " +
                    g.text(shape));
    FailureOr<Value> apart = wideByHead(
        g, given, isEach || isWhole ? a.keyHeads : 1, "kv_num_heads");
    if (failed(apart))
      return failure();
    *made = *apart;
  }
  Extents state{q[0], k[1], q[3], v[3]};
  Value past = call.operand(3);
  if (past && g.shapeOf(past) != state)
    return g.fail("expects a past_state " + g.text(state) + ", got " +
                  g.text(g.shapeOf(past)));
  FailureOr<Value> first =
      past ? widened(g, past)
           : FailureOr<Value>(
                 g.filled(state, g.scalar(g.getBuilder().getF32Type(), 0)));
  if (failed(first))
    return failure();
  a.state = *first;
  a.scale = call.number("scale", 0);
  if (a.scale == 0)
    a.scale = 1.0 / std::sqrt(double(q[3].getConstant()));
  return a;
}

/// The state after the token at `place`, and its output [B, H, V].
static FailureOr<Iteration> step(GraphBuilder &g, const LinearAttention &a,
                                 Value place, Value before) {
  Extents shape = g.shapeOf(before); // [B, G, D, V]
  FailureOr<Value> state = before;
  if (a.decay) {
    Value decay = elementAlong(g, a.decay, 2, place);
    FailureOr<Value> factor =
        g.elementwise(decay, elementOf(decay),
                      [](OpBuilder &at, Location loc, ValueRange x) -> Value {
                        return math::ExpOp::create(at, loc, x[0]);
                      });
    if (succeeded(factor))
      factor = g.reshape(*factor,
                         {shape[0], shape[1], g.shapeOf(decay)[2], Extent(1)});
    if (failed(factor))
      return failure();
    state = multiplied(g, *state, *factor);
  }
  FailureOr<Value> key = g.reshape(elementAlong(g, a.key, 2, place),
                                   {shape[0], shape[1], Extent(1), shape[2]});
  FailureOr<Value> value = g.reshape(elementAlong(g, a.value, 2, place),
                                     {shape[0], shape[1], Extent(1), shape[3]});
  if (failed(state) || failed(key) || failed(value))
    return failure();
  if (a.beta) {
    FailureOr<Value> held = g.matmul(*key, *state);
    Value beta = elementAlong(g, a.beta, 2, place); // [B, G or 1, 1]
    FailureOr<Value> factor =
        g.reshape(beta, {shape[0], g.shapeOf(beta)[1], Extent(1), Extent(1)});
    if (failed(held) || failed(factor))
      return failure();
    value = g.elementwise({*value, *held, *factor}, elementOf(*value),
                          [](OpBuilder &at, Location loc, ValueRange x) {
                            Scalars s(at, loc);
                            return s.mul(x[2], s.sub(x[0], x[1]));
                          });
    if (failed(value))
      return failure();
  }
  FailureOr<Value> column =
      g.reshape(*key, {shape[0], shape[1], shape[2], Extent(1)});
  if (failed(column))
    return failure();
  state = g.elementwise({*state, *column, *value}, elementOf(*state),
                        [](OpBuilder &at, Location loc, ValueRange x) {
                          Scalars s(at, loc);
                          return s.add(x[0], s.mul(x[1], x[2]));
                        });
  if (failed(state))
    return failure();
  FailureOr<Value> read = g.matmul(elementAlong(g, a.query, 3, place), *state);
  if (failed(read))
    return failure();
  FailureOr<Value> output = g.elementwise(
      *read, elementOf(*read), [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        return s.mul(s.like(x[0], a.scale), x[0]);
      });
  if (succeeded(output))
    output = g.reshape(*output, {shape[0], Extent(a.heads), shape[3]});
  if (failed(output))
    return failure();
  return Iteration{Value(), {*state}, {*output}};
}

OperatorResults gatecc::lowerLinearAttention(GraphBuilder &g,
                                             const OperatorCall &call) {
  FailureOr<LinearAttention> a = linearAttention(g, call);
  if (failed(a))
    return failure();
  Extents key = g.shapeOf(a->key), state = g.shapeOf(a->state);
  std::string names[] = {"state"};
  Collection outputs[] = {{/*axis=*/2}};
  FailureOr<SmallVector<Value>> made =
      LoopBuilder(g, names, a->state, outputs)
          .buildFor(key[2], [&](Value place, ValueRange carried) {
            return step(g, *a, place, carried.front());
          });
  if (failed(made))
    return failure();
  Type given = elementOf(call.operand(0));
  FailureOr<Value> output =
      g.reshape(g.transpose(made->back(), {0, 2, 1, 3}),
                {state[0], key[2], Extent(a->heads) * state[3]});
  if (succeeded(output))
    output = g.cast(*output, given);
  FailureOr<Value> present = g.cast(
      made->front(), call.operand(3) ? elementOf(call.operand(3)) : given);
  if (failed(output) || failed(present))
    return failure();
  return SmallVector<Value>{*output, *present};
}
