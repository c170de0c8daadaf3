// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// com.microsoft.MoE as route, apply and combine. The stacked expert weights
// [E, N, K] become strided views [E, K, N]; nothing is copied.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// One projection of the experts: weights [E, K, N] and a bias [E, N] or null.
struct Projection {
  Value weights, bias;
};

struct Experts {
  int64_t experts, hidden, inner; // E, H, I
  std::string activation;
  bool fused; // the first projection holds two of `inner` columns
  double alpha, beta;
  std::optional<double> limit;
  SmallVector<Projection, 3> projections; // gate (or the only one), [up], down
};
} // namespace

static FailureOr<Projection> projection(GraphBuilder &g, Value weights,
                                        Value bias, StringRef name,
                                        int64_t experts, int64_t rows,
                                        int64_t columns) {
  Extents want{Extent(experts), Extent(rows), Extent(columns)};
  if (!g.isConstant(weights))
    return g.fail(name + " are not constant; gatecc needs the experts' weights "
                         "when it compiles");
  if (g.shapeOf(weights) != want)
    return g.fail(name + " have the shape " + g.text(g.shapeOf(weights)) +
                  ", expected " + g.text(want));
  if (bias && !g.isConstant(bias))
    return g.fail("the bias of " + name + " is not constant");
  if (bias && g.shapeOf(bias) != Extents{Extent(experts), Extent(rows)})
    return g.fail("the bias of " + name + " has the shape " +
                  g.text(g.shapeOf(bias)));
  return Projection{weights, bias};
}

/// Every `step`-th of the rows from `first` on, transposed to [E, K, N].
static FailureOr<Projection> part(GraphBuilder &g, const Projection &whole,
                                  int64_t first, int64_t count, int64_t step) {
  Extents shape = g.shapeOf(whole.weights);
  int64_t experts = shape[0].getConstant(), columns = shape[2].getConstant();
  Value rows = g.sliceConstant(whole.weights, {0, first, 0},
                               {experts, count, columns}, {1, step, 1});
  Value weights = rows ? g.transposeConstant(rows, {0, 2, 1}) : Value();
  Value bias = whole.bias ? g.sliceConstant(whole.bias, {0, first},
                                            {experts, count}, {1, step})
                          : Value();
  if (!weights || (whole.bias && !bias))
    return g.fail("internal: no view of the experts' weights");
  return Projection{weights, bias};
}

static FailureOr<Value> activate(GraphBuilder &g, const Experts &experts,
                                 Value gate, Value up) {
  SmallVector<Value> operands{gate};
  if (up)
    operands.push_back(up);
  return g.elementwiseWide(
      operands, elementOf(gate),
      [&](OpBuilder &at, Location loc, ValueRange x) -> Value {
        Scalars s(at, loc);
        Value v = x[0], result;
        if (experts.activation == "swiglu") {
          Value linear = x[1];
          if (experts.limit) {
            v = s.min(v, s.like(v, *experts.limit));
            linear = s.max(linear, s.like(linear, -*experts.limit));
            linear = s.min(linear, s.like(linear, *experts.limit));
          }
          if (experts.beta != 0.0)
            linear = s.add(linear, s.like(linear, experts.beta));
          return s.mul(s.silu(v, experts.alpha), linear);
        }
        if (experts.activation == "relu")
          result = s.relu(v);
        else if (experts.activation == "gelu")
          result = s.geluTanh(v);
        else if (experts.activation == "silu")
          result = s.silu(v);
        else
          result = v;
        return x.size() > 1 ? s.mul(result, x[1]) : result;
      });
}

/// The body of the apply: rows [n, H] of one expert to slots [n, H].
static FailureOr<Value> expertBody(GraphBuilder &g, const Experts &experts,
                                   Value rows, ArrayRef<Projection> params) {
  auto project = [&](Value input, const Projection &p) -> FailureOr<Value> {
    FailureOr<Value> product = g.contract(input, p.weights);
    if (failed(product) || !p.bias)
      return product;
    return g.elementwise({*product, p.bias}, elementOf(*product),
                         [](OpBuilder &at, Location loc, ValueRange x) {
                           return Scalars(at, loc).add(x[0], x[1]);
                         });
  };
  FailureOr<Value> gate = project(rows, params.front());
  if (failed(gate))
    return failure();
  Value up;
  if (params.size() == 3) {
    FailureOr<Value> second = project(rows, params[1]);
    if (failed(second))
      return failure();
    up = *second;
  }
  FailureOr<Value> hidden = activate(g, experts, *gate, up);
  if (failed(hidden))
    return failure();
  FailureOr<Value> slots = project(*hidden, params.back());
  if (failed(slots))
    return failure();
  return widened(g, *slots);
}

OperatorResults gatecc::lowerMoE(GraphBuilder &g, const OperatorCall &call) {
  OpBuilder &b = g.getBuilder();
  Value input = call.operand(0);
  Extents shape = g.shapeOf(input), logitShape = g.shapeOf(call.operand(1));
  if (failed(checkFloat(g, input)) || failed(checkFloat(g, call.operand(1))))
    return failure();
  if (elementOf(input).isF64())
    return g.fail("expects f32, f16 or bf16, got f64");
  for (unsigned index = 2; index < call.operands.size(); ++index)
    if (call.operand(index) &&
        elementOf(call.operand(index)) != elementOf(input))
      return g.fail("expects experts with the input's element type");
  if (shape.size() < 2 || shape.size() > 3 || !shape.back().isConstant())
    return g.fail("expects an input [T, H] or [B, S, H] with constant H, got " +
                  g.text(shape));
  Extents outer(shape.begin(), shape.end() - 1);
  Extent rows = productOf(outer);
  Experts experts;
  experts.hidden = shape.back().getConstant();
  experts.activation = call.string("activation_type", "relu").str();
  experts.alpha = call.number("activation_alpha", 1.0);
  experts.beta = call.number("activation_beta", 0.0);
  if (call.has("swiglu_limit"))
    experts.limit = call.number("swiglu_limit", 0.0);
  if (logitShape.empty() || !logitShape.back().isConstant() ||
      productOf(logitShape) != rows * logitShape.back())
    return g.fail(
        "expects router logits with a row of constant size for each of the " +
        g.text(rows) + " rows, got " + g.text(logitShape));
  experts.experts = logitShape.back().getConstant();
  if (!llvm::is_contained({"relu", "gelu", "silu", "swiglu", "identity"},
                          experts.activation))
    return g.fail("does not know the activation '" + experts.activation + "'");
  if (call.integer("use_sparse_mixer", 0))
    return g.fail("use_sparse_mixer is not supported");
  int64_t k = call.integer("k", 1), fusion = call.integer("swiglu_fusion", 0);
  if (k < 1 || k > experts.experts)
    return g.fail("expects 1 <= k <= the " + Twine(experts.experts) +
                  " experts, got " + Twine(k));
  if (fusion < 0 || fusion > 2)
    return g.fail("expects swiglu_fusion 0, 1 or 2, got " + Twine(fusion));
  bool swiglu = experts.activation == "swiglu";
  if (fusion && !swiglu)
    return g.fail("swiglu_fusion needs the activation swiglu");
  if (swiglu && !fusion && !call.operand(6))
    return g.fail("expects fc3_experts_weights where swiglu_fusion is 0");
  if (fusion && call.operand(6))
    return g.fail("has fc3_experts_weights although swiglu_fusion is " +
                  Twine(fusion));

  // The weights, as views [E, K, N].
  Extents second = g.shapeOf(call.operand(4));
  if (second.size() != 3 || !second[2].isConstant())
    return g.fail("expects fc2_experts_weights [E, H, I], got " +
                  g.text(second));
  experts.inner = second[2].getConstant();
  int64_t e = experts.experts, h = experts.hidden, i = experts.inner;
  auto fc1 = projection(g, call.operand(2), call.operand(3),
                        "fc1_experts_weights", e, fusion ? 2 * i : i, h);
  if (failed(fc1))
    return failure();
  auto fc2 = projection(g, call.operand(4), call.operand(5),
                        "fc2_experts_weights", e, h, i);
  if (failed(fc2))
    return failure();
  SmallVector<FailureOr<Projection>> parts;
  parts.push_back(part(g, *fc1, 0, i, fusion == 1 ? 2 : 1));
  if (fusion) {
    parts.push_back(part(g, *fc1, fusion == 1 ? 1 : i, i, fusion == 1 ? 2 : 1));
  } else if (call.operand(6)) {
    auto fc3 = projection(g, call.operand(6), call.operand(7),
                          "fc3_experts_weights", e, i, h);
    if (failed(fc3))
      return failure();
    parts.push_back(part(g, *fc3, 0, i, 1));
  }
  parts.push_back(part(g, *fc2, 0, h, 1));
  SmallVector<Value> params;
  for (FailureOr<Projection> &each : parts) {
    if (failed(each))
      return failure();
    each->weights = g.asWeight(each->weights);
    params.push_back(each->weights);
    if (each->bias) {
      each->bias = g.asWeight(each->bias);
      params.push_back(each->bias);
    }
    experts.projections.push_back(*each);
  }

  // The decision.
  FailureOr<Value> flat = g.reshape(input, {rows, shape.back()});
  FailureOr<Value> logits = g.reshape(call.operand(1), {rows, Extent(e)});
  if (succeeded(logits))
    logits = widened(g, *logits);
  if (failed(flat) || failed(logits))
    return failure();
  auto ties = g.getModule()->getAttrOfType<StringAttr>("gatecc.ties");
  auto plan = gate::RouteOp::create(
      b, g.getLoc(), gate::PlanType::get(g.getContext(), e, k), *logits,
      gate::ScoreKindAttr::get(g.getContext(), gate::ScoreKind::Softmax),
      b.getBoolAttr(call.integer("normalize_routing_weights", 0) != 0),
      b.getF32FloatAttr(1.0f), b.getBoolAttr(true),
      b.getBoolAttr(ties && ties.getValue() == "ort-cpu"),
      g.site("experts", SmallVector<double>(e, 1.0), double(e)));

  // The work.
  Type element = elementOf(*flat);
  Type slotElement =
      element.getIntOrFloatBitWidth() < 32 ? Type(b.getF32Type()) : element;
  auto slotsType =
      RankedTensorType::get({ShapedType::kDynamic, h}, slotElement);
  auto apply = gate::ApplyOp::create(b, g.getLoc(), slotsType, plan, *flat,
                                     params, b.getDenseI64ArrayAttr({0, e}), 1);
  {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Type> types{
        RankedTensorType::get({ShapedType::kDynamic, h}, element)};
    for (Value param : params) {
      auto type = cast<RankedTensorType>(param.getType());
      types.push_back(
          RankedTensorType::get(type.getShape().drop_front(), element));
    }
    Block *block =
        b.createBlock(&apply.getBodies().front(), {}, types,
                      SmallVector<Location>(types.size(), g.getLoc()));
    g.setRows(block->getArgument(0), shape.back());
    SmallVector<Projection> inside;
    unsigned next = 1;
    for (const Projection &each : experts.projections) {
      Projection local;
      local.weights = block->getArgument(next++);
      g.setParam(local.weights);
      if (each.bias)
        local.bias = block->getArgument(next++);
      inside.push_back(local);
    }
    b.setInsertionPointToEnd(block);
    FailureOr<Value> slots =
        expertBody(g, experts, block->getArgument(0), inside);
    if (failed(slots))
      return failure();
    gate::YieldOp::create(b, g.getLoc(), *slots);
  }
  Value slots = apply->getResult(0);
  g.setSlots(slots, shape.back());

  // Back to rows.
  Extents flatShape{rows, shape.back()};
  Value result =
      gate::CombineOp::create(b, g.getLoc(), g.typeOf(flatShape, slotElement),
                              slots, plan, g.materialize(rows));
  g.setShape(result, flatShape);
  FailureOr<Value> shaped = g.reshape(result, shape);
  if (failed(shaped))
    return failure();
  return one(g.cast(*shaped, element));
}
