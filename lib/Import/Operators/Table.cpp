// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The table of ONNX operators that gatecc supports, and the call through it.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Resize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace gatecc;

static constexpr llvm::StringLiteral ms = "com.microsoft",
                                     preview = "ai.onnx.preview";

static constexpr llvm::StringLiteral axesOfRun =
    "axes that the run knows: up to 16 sets of them";

/// Loop has optional operands and any number of others.
static constexpr unsigned maxLoopOperands = 1 << 20;

// Operator, domain, first and last opset, function, fewest and most operands,
// limits.
static constexpr Operator operators[] = {
    {"Abs", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"Acos", "", 7, anyVersion, lowerUnary, 1, 1, ""},
    {"Acosh", "", 9, anyVersion, lowerUnary, 1, 1, ""},
    {"Add", "", 7, anyVersion, orUnsigned<lowerArithmetic>, 2, 2, ""},
    {"And", "", 7, anyVersion, lowerLogic, 2, 2, ""},
    {"ArgMax", "", 1, anyVersion, lowerArgExtremum, 1, 1,
     "NaN ranks after every number"},
    {"ArgMin", "", 1, anyVersion, lowerArgExtremum, 1, 1,
     "NaN ranks after every number"},
    {"Asin", "", 7, anyVersion, lowerUnary, 1, 1, ""},
    {"Asinh", "", 9, anyVersion, lowerUnary, 1, 1, ""},
    {"Atan", "", 7, anyVersion, lowerUnary, 1, 1, ""},
    {"Atanh", "", 9, anyVersion, lowerUnary, 1, 1, ""},
    {"Attention", "", 23, anyVersion, lowerAttention, 3, 7, ""},
    {"AveragePool", "", 7, anyVersion, lowerAveragePool, 1, 1, ""},
    {"BatchNormalization", "", 9, anyVersion, lowerBatchNorm, 5, 5, ""},
    {"BitCast", "", 26, anyVersion, lowerBitCast, 1, 1, ""},
    {"BitShift", "", 11, anyVersion, orUnsigned<lowerBitShift>, 2, 2, ""},
    {"BitwiseAnd", "", 18, anyVersion, orUnsigned<lowerBitwise>, 2, 2, ""},
    {"BitwiseNot", "", 18, anyVersion, orUnsigned<lowerBitwise>, 1, 1, ""},
    {"BitwiseOr", "", 18, anyVersion, orUnsigned<lowerBitwise>, 2, 2, ""},
    {"BitwiseXor", "", 18, anyVersion, orUnsigned<lowerBitwise>, 2, 2, ""},
    {"BlackmanWindow", "", 17, anyVersion, lowerWindow, 1, 1, ""},
    {"Cast", "", 6, anyVersion, lowerCast, 1, 1,
     "numbers and bool; float to integer saturates, NaN gives 0"},
    {"CastLike", "", 15, anyVersion, lowerCastLike, 2, 2, "as Cast"},
    {"CausalConvWithState", "", 27, anyVersion, lowerCausalConv, 2, 4, ""},
    {"Ceil", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"Celu", "", 12, anyVersion, lowerActivation, 1, 1, ""},
    {"CenterCropPad", "", 18, anyVersion, lowerCenterCropPad, 2, 2, ""},
    {"Clip", "", 6, anyVersion, orUnsigned<lowerClip>, 1, 3, ""},
    {"Compress", "", 9, anyVersion, lowerCompress, 2, 2, ""},
    {"Concat", "", 4, anyVersion, lowerConcat, 1, ~0u, ""},
    {"Constant", "", 1, anyVersion, lowerConstant, 0, 0,
     "no sparse or string values"},
    {"ConstantOfShape", "", 9, anyVersion, lowerConstantOfShape, 1, 1, ""},
    {"Conv", "", 1, anyVersion, lowerConv, 2, 3, ""},
    {"ConvInteger", "", 10, anyVersion, lowerConvInteger, 2, 4, ""},
    {"ConvTranspose", "", 1, anyVersion, lowerConvTranspose, 2, 3, ""},
    {"Cos", "", 7, anyVersion, lowerUnary, 1, 1, ""},
    {"Cosh", "", 9, anyVersion, lowerUnary, 1, 1, ""},
    {"CumProd", "", 26, anyVersion, withAxes<lowerCumProd>, 2, 2, ""},
    {"CumSum", "", 11, anyVersion, withAxes<lowerCumSum>, 2, 2, ""},
    {"DepthToSpace", "", 1, anyVersion, lowerDepthToSpace, 1, 1, ""},
    {"DequantizeLinear", "", 10, anyVersion, lowerDequantizeLinear, 2, 3,
     "integers of 8, 16 and 32 bits"},
    {"Div", "", 7, anyVersion, orUnsigned<lowerArithmetic>, 2, 2,
     "integer x / 0 is 0"},
    {"Dropout", "", 7, anyVersion, lowerDropout, 1, 3, "inference only"},
    {"DynamicQuantizeLinear", "", 11, anyVersion, lowerDynamicQuantizeLinear, 1,
     1, ""},
    {"Einsum", "", 12, anyVersion, orUnsigned<lowerEinsum>, 1, ~0u, ""},
    {"Elu", "", 6, anyVersion, lowerActivation, 1, 1, ""},
    {"Equal", "", 7, anyVersion, orUnsigned<lowerCompare>, 2, 2, "no strings"},
    {"Erf", "", 9, anyVersion, lowerUnary, 1, 1, ""},
    {"Exp", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"Expand", "", 8, anyVersion, lowerExpand, 2, 2, ""},
    {"EyeLike", "", 9, anyVersion, lowerEyeLike, 1, 1, ""},
    {"Flatten", "", 1, anyVersion, lowerFlatten, 1, 1, ""},
    {"Floor", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"GRU", "", 7, anyVersion, lowerRecurrent, 3, 6,
     "a constant number of up to 256 steps"},
    {"Gather", "", 1, anyVersion, lowerGather, 2, 2,
     "an index out of range is clamped into the range"},
    {"GatherElements", "", 11, anyVersion, lowerGatherElements, 2, 2,
     "an index out of range is clamped into the range"},
    {"GatherND", "", 11, anyVersion, lowerGatherND, 2, 2,
     "an index out of range is clamped into the range"},
    {"Gelu", "", 20, anyVersion, lowerActivation, 1, 1, ""},
    {"Gemm", "", 7, anyVersion, orUnsigned<lowerGemm>, 2, 3, ""},
    {"GlobalAveragePool", "", 1, anyVersion, lowerGlobalPool, 1, 1, ""},
    {"GlobalLpPool", "", 2, anyVersion, lowerGlobalPool, 1, 1, ""},
    {"GlobalMaxPool", "", 1, anyVersion, lowerGlobalPool, 1, 1, ""},
    {"Greater", "", 7, anyVersion, orUnsigned<lowerCompare>, 2, 2, ""},
    {"GreaterOrEqual", "", 12, anyVersion, orUnsigned<lowerCompare>, 2, 2, ""},
    {"GroupNormalization", "", 18, anyVersion, lowerGroupNorm, 3, 3, ""},
    {"HammingWindow", "", 17, anyVersion, lowerWindow, 1, 1, ""},
    {"HannWindow", "", 17, anyVersion, lowerWindow, 1, 1, ""},
    {"HardSigmoid", "", 6, anyVersion, lowerActivation, 1, 1, ""},
    {"HardSwish", "", 14, anyVersion, lowerActivation, 1, 1, ""},
    {"Hardmax", "", 1, anyVersion, lowerHardmax, 1, 1,
     "NaN ranks after every number"},
    {"Identity", "", 1, anyVersion, lowerIdentity, 1, 1, "tensors only"},
    {"If", "", 1, anyVersion, lowerIf, 1, 1,
     "tensors only; branches agree in element types and ranks"},
    {"InstanceNormalization", "", 6, anyVersion, lowerGroupNorm, 3, 3, ""},
    {"IsInf", "", 10, anyVersion, lowerIsInf, 1, 1, ""},
    {"IsNaN", "", 9, anyVersion, lowerIsNaN, 1, 1, ""},
    {"LRN", "", 1, anyVersion, lowerLRN, 1, 1, ""},
    {"LSTM", "", 7, anyVersion, lowerRecurrent, 3, 8,
     "a constant number of up to 256 steps"},
    {"LayerNormalization", "", 1, anyVersion, lowerLayerNorm, 2, 3, ""},
    {"LeakyRelu", "", 6, anyVersion, lowerActivation, 1, 1, ""},
    {"Less", "", 7, anyVersion, orUnsigned<lowerCompare>, 2, 2, ""},
    {"LessOrEqual", "", 12, anyVersion, orUnsigned<lowerCompare>, 2, 2, ""},
    {"LinearAttention", "", 27, anyVersion, lowerLinearAttention, 3, 6,
     "heads of a constant size"},
    {"Log", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"LogSoftmax", "", 1, anyVersion, lowerSoftmax, 1, 1, ""},
    {"Loop", "", 1, anyVersion, lowerLoop, 0, maxLoopOperands,
     "tensors only; carried values keep their shapes; a trip count where there "
     "are scan outputs"},
    {"LpNormalization", "", 1, anyVersion, lowerLpNorm, 1, 1, ""},
    {"LpPool", "", 2, anyVersion, lowerAveragePool, 1, 1, ""},
    {"MatMul", "", 1, anyVersion, orUnsigned<lowerMatMul>, 2, 2, ""},
    {"MatMulInteger", "", 10, anyVersion, lowerMatMulInteger, 2, 4, ""},
    {"Max", "", 8, anyVersion, orUnsigned<lowerExtremum>, 1, ~0u, ""},
    {"MaxPool", "", 1, anyVersion, orUnsigned<lowerMaxPool>, 1, 1, ""},
    {"Mean", "", 8, anyVersion, orUnsigned<lowerExtremum>, 1, ~0u, ""},
    {"MeanVarianceNormalization", "", 9, anyVersion, lowerMeanVarianceNorm, 1,
     1, ""},
    {"Min", "", 8, anyVersion, orUnsigned<lowerExtremum>, 1, ~0u, ""},
    {"Mish", "", 18, anyVersion, lowerActivation, 1, 1, ""},
    {"Mod", "", 10, anyVersion, orUnsigned<lowerMod>, 2, 2,
     "integer x mod 0 is 0"},
    {"Mul", "", 7, anyVersion, orUnsigned<lowerArithmetic>, 2, 2, ""},
    {"Neg", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"NegativeLogLikelihoodLoss", "", 12, anyVersion, lowerLoss, 2, 3, ""},
    {"NonZero", "", 9, anyVersion, lowerNonZero, 1, 1, ""},
    {"Not", "", 1, anyVersion, lowerLogic, 1, 1, ""},
    {"OneHot", "", 9, anyVersion, lowerOneHot, 3, 3, ""},
    {"Or", "", 7, anyVersion, lowerLogic, 2, 2, ""},
    {"PRelu", "", 7, anyVersion, lowerPRelu, 2, 2, ""},
    {"Pad", "", 2, anyVersion, lowerPad, 1, 4, ""},
    {"Pow", "", 7, anyVersion, orUnsigned<lowerPow>, 2, 2, ""},
    {"QLinearConv", "", 10, anyVersion, lowerQLinearConv, 8, 9, ""},
    {"QLinearMatMul", "", 10, anyVersion, lowerQLinearMatMul, 8, 8, ""},
    {"QuantizeLinear", "", 10, anyVersion, lowerQuantizeLinear, 2, 3,
     "integers of 8 and 16 bits"},
    {"RMSNormalization", "", 23, anyVersion, lowerRMSNorm, 2, 2, ""},
    {"RNN", "", 7, anyVersion, lowerRecurrent, 3, 6,
     "a constant number of up to 256 steps"},
    {"Range", "", 11, anyVersion, lowerRange, 3, 3, "integers"},
    {"Reciprocal", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"ReduceL1", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceL2", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceLogSum", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceLogSumExp", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1,
     2, axesOfRun},
    {"ReduceMax", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceMean", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceMin", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceProd", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceSum", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1, 2,
     axesOfRun},
    {"ReduceSumSquare", "", 1, anyVersion, orUnsigned<withAxes<lowerReduce>>, 1,
     2, axesOfRun},
    {"Relu", "", 6, anyVersion, lowerActivation, 1, 1, ""},
    {"Reshape", "", 5, anyVersion, lowerReshape, 2, 2, ""},
    {"Resize", "", 10, anyVersion, lowerResize, 1, 4, ""},
    {"ReverseSequence", "", 10, anyVersion, lowerReverseSequence, 2, 2, ""},
    {"RotaryEmbedding", "", 23, anyVersion, lowerRotaryEmbedding, 3, 4,
     "a position out of range is clamped into the range"},
    {"Round", "", 11, anyVersion, lowerUnary, 1, 1, ""},
    {"Scan", "", 9, anyVersion, lowerScan, 1, ~0u,
     "state variables keep their shapes"},
    {"Scatter", "", 9, 10, lowerScatterElements, 3, 3, "as ScatterElements"},
    {"ScatterElements", "", 11, anyVersion, lowerScatterElements, 3, 3,
     "an update out of range is skipped; of updates that meet without a "
     "reduction the last one counts"},
    {"ScatterND", "", 11, anyVersion, lowerScatterND, 3, 3,
     "an update out of range is skipped; of updates that meet without a "
     "reduction the last one counts"},
    {"Selu", "", 6, anyVersion, lowerActivation, 1, 1, ""},
    {"Shape", "", 1, anyVersion, lowerShape, 1, 1, ""},
    {"Shrink", "", 9, anyVersion, lowerActivation, 1, 1, ""},
    {"Sigmoid", "", 6, anyVersion, lowerActivation, 1, 1, ""},
    {"Sign", "", 9, anyVersion, lowerUnary, 1, 1, ""},
    {"SimplifiedLayerNormalization", "", 1, anyVersion, lowerRMSNorm, 2, 2, ""},
    {"Sin", "", 7, anyVersion, lowerUnary, 1, 1, ""},
    {"Sinh", "", 9, anyVersion, lowerUnary, 1, 1, ""},
    {"Size", "", 1, anyVersion, lowerSize, 1, 1, ""},
    {"Slice", "", 1, anyVersion, lowerSlice, 1, 5, ""},
    {"Softmax", "", 1, anyVersion, lowerSoftmax, 1, 1, ""},
    {"SoftmaxCrossEntropyLoss", "", 12, anyVersion, lowerLoss, 2, 3, ""},
    {"Softplus", "", 1, anyVersion, lowerActivation, 1, 1, ""},
    {"Softsign", "", 1, anyVersion, lowerActivation, 1, 1, ""},
    {"SpaceToDepth", "", 1, anyVersion, lowerDepthToSpace, 1, 1, ""},
    {"Split", "", 2, anyVersion, lowerSplit, 1, 2, ""},
    {"Sqrt", "", 6, anyVersion, lowerUnary, 1, 1, ""},
    {"Squeeze", "", 1, anyVersion, lowerSqueeze, 1, 2, axesOfRun},
    {"Sub", "", 7, anyVersion, orUnsigned<lowerArithmetic>, 2, 2, ""},
    {"Sum", "", 8, anyVersion, orUnsigned<lowerExtremum>, 1, ~0u, ""},
    {"SwiGLU", "", 28, anyVersion, lowerSwiGLU, 2, 2, ""},
    {"Swish", "", 24, anyVersion, lowerActivation, 1, 1, ""},
    {"Tan", "", 7, anyVersion, lowerUnary, 1, 1, ""},
    {"Tanh", "", 6, anyVersion, lowerActivation, 1, 1, ""},
    {"TensorScatter", "", 24, anyVersion, lowerTensorScatter, 2, 3,
     "an update out of range is skipped"},
    {"ThresholdedRelu", "", 10, anyVersion, lowerActivation, 1, 1, ""},
    {"Tile", "", 6, anyVersion, lowerTile, 2, 2, ""},
    {"TopK", "", 1, anyVersion, lowerTopK, 1, 2,
     "NaN ranks after every number"},
    {"Transpose", "", 1, anyVersion, lowerTranspose, 1, 1, ""},
    {"Trilu", "", 14, anyVersion, lowerTrilu, 1, 2, ""},
    {"Unsqueeze", "", 1, anyVersion, withAxes<lowerUnsqueeze, true>, 1, 2,
     axesOfRun},
    {"Upsample", "", 9, 9, lowerResize, 2, 2, ""},
    {"Where", "", 9, anyVersion, lowerWhere, 3, 3, ""},
    {"Xor", "", 7, anyVersion, lowerLogic, 2, 2, ""},
    {"FlexAttention", preview, 1, anyVersion, lowerAttention, 3, 3, ""},
    {"BiasGelu", ms, 1, anyVersion, lowerActivation, 2, 2, ""},
    {"FastGelu", ms, 1, anyVersion, lowerActivation, 1, 2, ""},
    {"FusedConv", ms, 1, anyVersion, lowerFusedConv, 2, 4, ""},
    {"FusedGemm", ms, 1, anyVersion, lowerFusedGemm, 2, 3, ""},
    {"FusedMatMul", ms, 1, anyVersion, lowerFusedMatMul, 2, 2, ""},
    {"Gelu", ms, 1, anyVersion, lowerActivation, 1, 1, ""},
    {"MatMulNBits", ms, 1, anyVersion, lowerMatMulNBits, 3, 6,
     "4 and 8 bits, constant weights, f32; no g_idx; rows are quantised to 8 "
     "bits whatever accuracy_level says"},
    {"MoE", ms, 1, anyVersion, lowerMoE, 5, 8,
     "constant experts; no use_sparse_mixer"},
    {"QMoE", ms, 1, anyVersion, lowerQMoE, 7, 21,
     "4 and 8 bits, constant experts, scales of f32; rows are quantised to 8 "
     "bits whatever accuracy_level says; no use_sparse_mixer"},
    {"QuickGelu", ms, 1, anyVersion, lowerActivation, 1, 1, ""},
    {"RotaryEmbedding", ms, 1, anyVersion, lowerRotaryEmbedding, 4, 4,
     "no is_packed_batching, no scale; a position out of range is clamped"},
    {"SimplifiedLayerNormalization", ms, 1, anyVersion, lowerRMSNorm, 2, 2, ""},
    {"SkipLayerNormalization", ms, 1, anyVersion, lowerSkipNorm, 3, 5, ""},
    {"SkipSimplifiedLayerNormalization", ms, 1, anyVersion, lowerSkipNorm, 3, 4,
     ""},
};

/// More elements than any machine's memory holds; sizes in bytes stay in an
/// int64.
static constexpr int64_t maxElements = int64_t(1) << 48;

ArrayRef<Operator> gatecc::listOperators() { return operators; }

const Operator *gatecc::findOperator(StringRef op, StringRef domain,
                                     int64_t version) {
  if (domain == "ai.onnx")
    domain = "";
  for (const Operator &row : operators)
    if (row.name == op && row.domain == domain && row.minVersion <= version &&
        version <= row.maxVersion)
      return &row;
  return nullptr;
}

OperatorResults gatecc::lowerOperator(GraphBuilder &builder,
                                      const OperatorCall &call) {
  builder.setNode(call.nodeName, call.op, call.loc);
  const Operator *row = findOperator(call.op, call.domain, call.version);
  if (!row)
    return builder.fail("is not supported in opset " + Twine(call.version) +
                        " of domain '" + call.domain +
                        "'; gatecc --list-ops lists the operators that are");
  if (call.operands.size() < row->minOperands ||
      call.operands.size() > row->maxOperands)
    return builder.fail("expects " + Twine(row->minOperands) +
                        (row->maxOperands == row->minOperands ? ""
                         : row->maxOperands == ~0u
                             ? " or more"
                             : " to " + Twine(row->maxOperands)) +
                        " inputs, got " + Twine(call.operands.size()));
  for (auto [index, operand] : llvm::enumerate(call.operands)) {
    // The bias between the experts' weights is the one optional input in the
    // middle.
    bool optional = (index >= row->minOperands && row->maxOperands != ~0u) ||
                    (row->function == lowerMoE && index == 3) ||
                    (row->function == lowerQMoE && index == 4);
    if (!operand && !optional)
      return builder.fail("input " + Twine(index) + " is missing");
    if (operand && !isa<RankedTensorType>(operand.getType()))
      return builder.fail("input " + Twine(index) + " is no tensor");
  }
  if (std::optional<SmallVector<Value>> folded = foldKnown(builder, call))
    return *folded;
  OperatorResults results = row->function(builder, call);
  if (failed(results))
    return failure();
  if (call.numResults > results->size())
    return builder.fail("has " + Twine(call.numResults) +
                        " outputs, of which gatecc makes " +
                        Twine(results->size()));
  for (Value result : *results)
    if (result &&
        productOf(builder.shapeOf(result)).getCoefficient() > maxElements)
      return builder.fail("makes a tensor of shape " +
                          builder.text(builder.shapeOf(result)) +
                          ", more than memory can hold");
  return results;
}

//===-- Attributes
//---------------------------------------------------------------===//

int64_t OperatorCall::integer(StringRef name, int64_t absent) const {
  Attribute attribute = attributes ? attributes.get(name) : Attribute();
  if (auto value = dyn_cast_or_null<IntegerAttr>(attribute))
    return value.getType().isInteger(1) ? value.getValue().getZExtValue()
                                        : value.getValue().getSExtValue();
  return absent;
}

double OperatorCall::number(StringRef name, double absent) const {
  Attribute attribute = attributes ? attributes.get(name) : Attribute();
  if (auto value = dyn_cast_or_null<FloatAttr>(attribute))
    return value.getValueAsDouble();
  if (auto value = dyn_cast_or_null<IntegerAttr>(attribute))
    return double(value.getValue().getSExtValue());
  return absent;
}

StringRef OperatorCall::string(StringRef name, StringRef absent) const {
  Attribute attribute = attributes ? attributes.get(name) : Attribute();
  auto value = dyn_cast_or_null<StringAttr>(attribute);
  return value ? value.getValue() : absent;
}

std::optional<SmallVector<int64_t>>
OperatorCall::integers(StringRef name) const {
  Attribute attribute = attributes ? attributes.get(name) : Attribute();
  SmallVector<int64_t> result;
  if (auto dense = dyn_cast_or_null<DenseI64ArrayAttr>(attribute)) {
    result.assign(dense.asArrayRef().begin(), dense.asArrayRef().end());
  } else if (auto list = dyn_cast_or_null<ArrayAttr>(attribute)) {
    for (Attribute element : list) {
      auto integer = dyn_cast<IntegerAttr>(element);
      if (!integer)
        return std::nullopt;
      result.push_back(integer.getInt());
    }
  } else {
    return std::nullopt;
  }
  return result;
}

//===-- What the families share
//----------------------------------------------------===//

OperatorResults gatecc::one(FailureOr<Value> value) {
  if (failed(value))
    return failure();
  return SmallVector<Value>{*value};
}

FailureOr<int64_t> gatecc::axisOf(GraphBuilder &g, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return g.fail("axis " + Twine(axis) +
                  " is out of range for a tensor of rank " + Twine(rank));
  return axis < 0 ? axis + rank : axis;
}

OperatorResults gatecc::onUnsigned(GraphBuilder &g, const OperatorCall &call,
                                   OperatorFunction function) {
  SmallVector<Value> operands(call.operands);
  Type narrow, wide;
  for (Value &operand : operands) {
    Type type = operand ? elementOf(operand) : Type();
    if (!type || !type.isUnsignedInteger() || type.getIntOrFloatBitWidth() > 32)
      continue;
    narrow = type;
    wide = g.getBuilder().getIntegerType(
        type.getIntOrFloatBitWidth() < 32 ? 32 : 64);
    FailureOr<Value> widened = g.cast(operand, wide);
    if (failed(widened))
      return failure();
    operand = *widened;
  }
  if (!narrow)
    return function(g, call);
  OperatorCall widened = call;
  widened.operands = operands;
  OperatorResults results = function(g, widened);
  if (failed(results) || elementOf(results->front()) != wide)
    return results;
  FailureOr<Value> first = g.cast(results->front(), narrow);
  if (failed(first))
    return failure();
  results->front() = *first;
  return results;
}

FailureOr<Value> gatecc::widened(GraphBuilder &g, Value value) {
  return g.cast(value, gate::computedIn(elementOf(value)));
}

LogicalResult gatecc::checkComputedAs(GraphBuilder &g, Value operand,
                                      Value other) {
  if (gate::computedIn(elementOf(operand)) !=
      gate::computedIn(elementOf(other)))
    return g.fail("expects inputs of one element type");
  return success();
}

LogicalResult gatecc::checkNumbers(GraphBuilder &g, ValueRange operands) {
  Type type = elementOf(operands.front());
  for (Value operand : operands)
    if (elementOf(operand) != type)
      return g.fail("expects inputs of one element type");
  if (auto integer = dyn_cast<IntegerType>(type))
    if (!integer.isSignless() || integer.getWidth() == 1)
      return g.fail(
          "does not support this element type in gatecc; cast it first");
  return success();
}

LogicalResult gatecc::checkFloat(GraphBuilder &g, Value operand) {
  if (!isFloatTensor(operand))
    return g.fail("expects a tensor of floats");
  return success();
}

LogicalResult gatecc::checkBool(GraphBuilder &g, ValueRange operands) {
  for (Value operand : operands)
    if (!elementOf(operand).isInteger(1))
      return g.fail("expects tensors of bool");
  return success();
}

SmallVector<int64_t> gatecc::axisLast(int64_t axis, int64_t rank) {
  SmallVector<int64_t> result;
  for (int64_t dim = 0; dim < rank; ++dim)
    if (dim != axis)
      result.push_back(dim);
  result.push_back(axis);
  return result;
}

SmallVector<int64_t> gatecc::axisBack(int64_t axis, int64_t rank) {
  SmallVector<int64_t> result;
  for (int64_t dim = 0; dim < rank; ++dim)
    result.push_back(dim < axis ? dim : dim == axis ? rank - 1 : dim - 1);
  return result;
}

TypedAttr gatecc::lowest(Type type) {
  if (auto isFloat = dyn_cast<FloatType>(type))
    return FloatAttr::get(type,
                          APFloat::getInf(isFloat.getFloatSemantics(), true));
  return IntegerAttr::get(
      type, APInt::getSignedMinValue(type.getIntOrFloatBitWidth()));
}

TypedAttr gatecc::highest(Type type) {
  if (auto isFloat = dyn_cast<FloatType>(type))
    return FloatAttr::get(type, APFloat::getInf(isFloat.getFloatSemantics()));
  return IntegerAttr::get(
      type, APInt::getSignedMaxValue(type.getIntOrFloatBitWidth()));
}
