// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Feed-forward experts of a router, as com.microsoft.MoE and QMoE describe
// them: the operands that both have, the work on the rows of a plan, and the
// way back to rows. Where the weights come from is the operators' business.
#include "lib/Import/Operators/Experts.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace gatecc;

FailureOr<Experts> gatecc::readExperts(GraphBuilder &g,
                                       const OperatorCall &call,
                                       unsigned thirdIndex) {
  Experts experts;
  experts.input = call.operand(0);
  experts.shape = g.shapeOf(experts.input);
  Extents &shape = experts.shape;
  Extents logitShape = g.shapeOf(call.operand(1));
  if (failed(checkFloat(g, experts.input)) ||
      failed(checkFloat(g, call.operand(1))))
    return failure();
  if (elementOf(experts.input).isF64())
    return g.fail("expects f32, f16 or bf16, got f64");
  if (shape.size() < 2 || shape.size() > 3 || !shape.back().isConstant())
    return g.fail("expects an input [T, H] or [B, S, H] with constant H, got " +
                  g.text(shape));
  experts.rows = productOf(Extents(shape.begin(), shape.end() - 1));
  experts.hidden = shape.back().getConstant();
  experts.activation = call.string("activation_type", "relu").str();
  experts.alpha = call.number("activation_alpha", 1.0);
  experts.beta = call.number("activation_beta", 0.0);
  if (call.has("swiglu_limit"))
    experts.limit = call.number("swiglu_limit", 0.0);
  if (logitShape.empty() || !logitShape.back().isConstant() ||
      productOf(logitShape) != experts.rows * logitShape.back())
    return g.fail(
        "expects router logits with a row of constant size for each of the " +
        g.text(experts.rows) + " rows, got " + g.text(logitShape));
  experts.experts = logitShape.back().getConstant();
  if (!llvm::is_contained({"relu", "gelu", "silu", "swiglu", "identity"},
                          experts.activation))
    return g.fail("does not know the activation '" + experts.activation + "'");
  if (call.integer("use_sparse_mixer", 0))
    return g.fail("use_sparse_mixer is not supported");
  experts.k = call.integer("k", 1);
  experts.fusion = call.integer("swiglu_fusion", 0);
  if (experts.k < 1 || experts.k > experts.experts)
    return g.fail("expects 1 <= k <= the " + Twine(experts.experts) +
                  " experts, got " + Twine(experts.k));
  if (experts.fusion < 0 || experts.fusion > 2)
    return g.fail("expects swiglu_fusion 0, 1 or 2, got " +
                  Twine(experts.fusion));
  bool swiglu = experts.activation == "swiglu";
  if (experts.fusion && !swiglu)
    return g.fail("swiglu_fusion needs the activation swiglu");
  if (swiglu && !experts.fusion && !call.operand(thirdIndex))
    return g.fail("expects fc3_experts_weights where swiglu_fusion is 0");
  if (experts.fusion && call.operand(thirdIndex))
    return g.fail("has fc3_experts_weights although swiglu_fusion is " +
                  Twine(experts.fusion));
  return experts;
}

FailureOr<Value> gatecc::readBias(GraphBuilder &g, Value bias, StringRef name,
                                  int64_t experts, int64_t columns) {
  if (!g.isConstant(bias))
    return g.fail("the bias of " + name + " is not constant");
  if (g.shapeOf(bias) != Extents{Extent(experts), Extent(columns)})
    return g.fail("the bias of " + name + " has the shape " +
                  g.text(g.shapeOf(bias)));
  return bias;
}

SmallVector<RowsOfFc1, 2> gatecc::partsOfFc1(const Experts &experts) {
  int64_t inner = experts.inner;
  switch (experts.fusion) {
  case 1:
    return {{0, inner, 2}, {1, inner, 2}};
  case 2:
    return {{0, inner, 1}, {inner, inner, 1}};
  default:
    return {{0, inner, 1}};
  }
}

static FailureOr<Value> activate(GraphBuilder &g, const Experts &experts,
                                 Value gate, Value up) {
  SmallVector<Value> operands{gate};
  if (up)
    operands.push_back(up);
  return g.elementwise(
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
    return g.elementwiseWide({*product, p.bias}, elementOf(*product),
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
  return project(*hidden, params.back());
}

OperatorResults gatecc::buildExperts(GraphBuilder &g, const Experts &experts,
                                     gate::ScoreKind score, bool normalize,
                                     Value logits, Value mixing,
                                     ArrayRef<Projection> projections) {
  OpBuilder &b = g.getBuilder();
  int64_t e = experts.experts, h = experts.hidden;
  const Extents &shape = experts.shape;
  SmallVector<Value> params;
  for (const Projection &each : projections) {
    params.push_back(each.weights);
    if (each.bias)
      params.push_back(each.bias);
  }

  // The decision.
  FailureOr<Value> input = widened(g, experts.input);
  FailureOr<Value> flat = succeeded(input)
                              ? g.reshape(*input, {experts.rows, shape.back()})
                              : input;
  auto perExpert = [&](Value value) -> FailureOr<Value> {
    FailureOr<Value> rows = g.reshape(value, {experts.rows, Extent(e)});
    return failed(rows) ? rows : widened(g, *rows);
  };
  FailureOr<Value> scores = perExpert(logits);
  FailureOr<Value> mixed = mixing ? perExpert(mixing) : Value();
  if (failed(flat) || failed(scores) || failed(mixed))
    return failure();
  auto ties = g.getModule()->getAttrOfType<StringAttr>("gatecc.ties");
  auto plan = gate::RouteOp::create(
      b, g.getLoc(), gate::PlanType::get(g.getContext(), e, experts.k), *scores,
      *mixed, gate::ScoreKindAttr::get(g.getContext(), score),
      b.getBoolAttr(normalize), /*sum_offset=*/FloatAttr(),
      /*sum_min=*/FloatAttr(), b.getF32FloatAttr(1.0f), b.getBoolAttr(true),
      b.getBoolAttr(ties && ties.getValue() == "ort-cpu"),
      g.site("experts", SmallVector<double>(e, 1.0), double(e)));

  // The work.
  Type element = elementOf(*flat);
  auto slotsType = RankedTensorType::get({ShapedType::kDynamic, h}, element);
  auto apply = gate::ApplyOp::create(b, g.getLoc(), slotsType, plan, *flat,
                                     params, b.getDenseI64ArrayAttr({0, e}), 1);
  {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Type> types{
        RankedTensorType::get({ShapedType::kDynamic, h}, element)};
    for (Value param : params) {
      auto type = cast<RankedTensorType>(param.getType());
      types.push_back(RankedTensorType::get(type.getShape().drop_front(),
                                            type.getElementType()));
    }
    Block *block =
        b.createBlock(&apply.getBodies().front(), {}, types,
                      SmallVector<Location>(types.size(), g.getLoc()));
    g.setRows(block->getArgument(0), shape.back());
    SmallVector<Projection> inside;
    unsigned next = 1;
    for (const Projection &each : projections) {
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
  Extents flatShape{experts.rows, shape.back()};
  Value result =
      gate::CombineOp::create(b, g.getLoc(), g.typeOf(flatShape, element),
                              slots, plan, g.materialize(experts.rows));
  g.setShape(result, flatShape);
  FailureOr<Value> shaped = g.reshape(result, shape);
  if (failed(shaped))
    return failure();
  return one(g.cast(*shaped, elementOf(experts.input)));
}
