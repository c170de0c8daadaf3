// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// com.microsoft.MoE as route, apply and combine. The stacked expert weights
// [E, N, K] become strided views [E, K, N]; nothing is copied.
#include "lib/Import/Operators/Experts.h"

using namespace mlir;
using namespace gatecc;

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
  if (bias && failed(readBias(g, bias, name, experts, rows)))
    return failure();
  return Projection{weights, bias};
}

/// Some of the rows, transposed to [E, K, N].
static FailureOr<Projection> part(GraphBuilder &g, const Projection &whole,
                                  RowsOfFc1 which) {
  Extents shape = g.shapeOf(whole.weights);
  int64_t experts = shape[0].getConstant(), columns = shape[2].getConstant();
  Value rows =
      g.sliceConstant(whole.weights, {0, which.first, 0},
                      {experts, which.count, columns}, {1, which.step, 1});
  Value weights = rows ? g.transposeConstant(rows, {0, 2, 1}) : Value();
  Value bias = whole.bias
                   ? g.sliceConstant(whole.bias, {0, which.first},
                                     {experts, which.count}, {1, which.step})
                   : Value();
  if (!weights || (whole.bias && !bias))
    return g.fail("internal: no view of the experts' weights");
  return Projection{g.asWeight(weights), bias ? g.asWeight(bias) : Value()};
}

OperatorResults gatecc::lowerMoE(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Experts> experts = readExperts(g, call, 6);
  if (failed(experts))
    return failure();
  for (unsigned index = 2; index < call.operands.size(); ++index)
    if (call.operand(index) &&
        elementOf(call.operand(index)) != elementOf(experts->input))
      return g.fail("expects experts with the input's element type");
  Extents second = g.shapeOf(call.operand(4));
  if (second.size() != 3 || !second[2].isConstant())
    return g.fail("expects fc2_experts_weights [E, H, I], got " +
                  g.text(second));
  experts->inner = second[2].getConstant();
  int64_t e = experts->experts, h = experts->hidden, i = experts->inner;
  auto fc1 =
      projection(g, call.operand(2), call.operand(3), "fc1_experts_weights", e,
                 experts->fusion ? 2 * i : i, h);
  if (failed(fc1))
    return failure();
  auto fc2 = projection(g, call.operand(4), call.operand(5),
                        "fc2_experts_weights", e, h, i);
  if (failed(fc2))
    return failure();
  SmallVector<FailureOr<Projection>> parts;
  for (RowsOfFc1 which : partsOfFc1(*experts))
    parts.push_back(part(g, *fc1, which));
  if (call.operand(6)) {
    auto fc3 = projection(g, call.operand(6), call.operand(7),
                          "fc3_experts_weights", e, i, h);
    if (failed(fc3))
      return failure();
    parts.push_back(part(g, *fc3, {0, i, 1}));
  }
  parts.push_back(part(g, *fc2, {0, h, 1}));
  SmallVector<Projection> projections;
  for (const FailureOr<Projection> &each : parts) {
    if (failed(each))
      return failure();
    projections.push_back(*each);
  }
  return buildExperts(g, *experts, gate::ScoreKind::Softmax,
                      call.integer("normalize_routing_weights", 0) != 0,
                      call.operand(1), Value(), projections);
}
