// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products and convolutions with what ONNX Runtime's optimizer has fused into
// them: transpositions, a factor, a sum, an activation.
#include "lib/Import/Operators/Families.h"

using namespace mlir;
using namespace gatecc;

/// The operator `name` on a fused node's value, with attributes of its own.
static OperatorResults activated(GraphBuilder &g, const OperatorCall &call,
                                 StringRef name, Value value,
                                 ArrayRef<NamedAttribute> attributes) {
  const Operator *row = findOperator(name, "", anyVersion);
  if (!row || row->function != &lowerActivation)
    return g.fail("does not support the activation '" + name + "'");
  OperatorCall then = call;
  then.op = row->name;
  then.operands = value;
  then.attributes = g.getBuilder().getDictionaryAttr(attributes);
  return lowerActivation(g, then);
}

/// The operand with its last two dimensions exchanged if `isTransposed`. Before
/// that its first dimension goes behind the others but the last one if `first`.
static Value rearranged(GraphBuilder &g, Value operand, bool isTransposed,
                        bool first) {
  int64_t rank = g.rankOf(operand);
  if (rank < 2)
    return operand;
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  if (first)
    std::rotate(order.begin(), order.begin() + 1, order.end() - 1);
  if (isTransposed)
    std::swap(order[rank - 2], order[rank - 1]);
  return llvm::is_sorted(order) ? operand : g.transpose(operand, order);
}

OperatorResults gatecc::lowerFusedMatMul(GraphBuilder &g,
                                         const OperatorCall &call) {
  if (failed(checkFloat(g, call.operand(0))) ||
      failed(checkNumbers(g, call.operands)))
    return failure();
  Value a = rearranged(g, call.operand(0), call.integer("transA", 0),
                       call.integer("transBatchA", 0));
  Value b = rearranged(g, call.operand(1), call.integer("transB", 0),
                       call.integer("transBatchB", 0));
  FailureOr<Value> product = g.matmul(a, b);
  double alpha = call.number("alpha", 1.0);
  if (failed(product) || alpha == 1.0)
    return one(product);
  return one(g.elementwiseWide(*product, elementOf(*product),
                               [&](OpBuilder &at, Location loc, ValueRange x) {
                                 Scalars s(at, loc);
                                 return s.mul(s.like(x[0], alpha), x[0]);
                               }));
}

OperatorResults gatecc::lowerFusedGemm(GraphBuilder &g,
                                       const OperatorCall &call) {
  OperatorResults sum = lowerGemm(g, call);
  StringRef activation = call.string("activation", "");
  if (failed(sum) || activation.empty())
    return sum;
  StringRef prefix = "activation_";
  SmallVector<NamedAttribute> attributes;
  for (NamedAttribute attribute : call.attributes)
    if (StringRef name = attribute.getName(); name.consume_front(prefix))
      attributes.push_back(
          g.getBuilder().getNamedAttr(name, attribute.getValue()));
  return activated(g, call, activation, sum->front(), attributes);
}

OperatorResults gatecc::lowerFusedConv(GraphBuilder &g,
                                       const OperatorCall &call) {
  OperatorResults made = lowerConv(g, call);
  if (failed(made))
    return failure();
  Value result = made->front();
  if (Value other = call.operand(3)) {
    if (failed(checkNumbers(g, {result, other})))
      return failure();
    if (g.shapeOf(other) != g.shapeOf(result))
      return g.fail("expects a sum Z of the shape " +
                    g.text(g.shapeOf(result)) + ", got " +
                    g.text(g.shapeOf(other)));
    FailureOr<Value> sum =
        g.elementwiseWide({result, other}, elementOf(result),
                          [](OpBuilder &at, Location loc, ValueRange x) {
                            return Scalars(at, loc).add(x[0], x[1]);
                          });
    if (failed(sum))
      return failure();
    result = *sum;
  }
  StringRef activation = call.string("activation", "");
  if (activation.empty())
    return SmallVector<Value>{result};
  auto given = dyn_cast_or_null<DenseF32ArrayAttr>(
      call.attributes.get("activation_params"));
  ArrayRef<float> parameters = given ? given.asArrayRef() : ArrayRef<float>();
  if (activation == "Clip") {
    if (parameters.size() != 2)
      return g.fail("expects two activation_params for Clip");
    return one(g.elementwiseWide(
        result, elementOf(result),
        [&](OpBuilder &at, Location loc, ValueRange x) {
          Scalars s(at, loc);
          return s.min(s.like(x[0], parameters[1]),
                       s.max(s.like(x[0], parameters[0]), x[0]));
        }));
  }
  SmallVector<NamedAttribute> attributes;
  StringRef names[] = {"alpha", "beta"};
  for (auto [name, value] : llvm::zip(names, parameters))
    attributes.push_back(g.getBuilder().getNamedAttr(
        name, g.getBuilder().getF32FloatAttr(value)));
  return activated(g, call, activation, result, attributes);
}
