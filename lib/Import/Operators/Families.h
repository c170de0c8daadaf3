// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The functions that the table of operators names, by family, and what the
// families share.
#ifndef GATECC_LIB_IMPORT_OPERATORS_FAMILIES_H
#define GATECC_LIB_IMPORT_OPERATORS_FAMILIES_H

#include "gatecc/Import/Operators.h"
#include "lib/Import/Operators/ScalarMath.h"

namespace gatecc {

inline bool isFloatTensor(mlir::Value value) {
  return mlir::isa<mlir::FloatType>(elementOf(value));
}
/// A single result, or the failure.
OperatorResults one(mlir::FailureOr<mlir::Value> value);
/// The axis in [0, rank); reports one that is out of range.
mlir::FailureOr<int64_t> axisOf(GraphBuilder &builder, int64_t axis,
                                int64_t rank);
/// f16 and bf16 tensors as f32, others as they are.
mlir::FailureOr<mlir::Value> widened(GraphBuilder &builder, mlir::Value value);
/// Requires that both are computed in one type, `widened` or not.
mlir::LogicalResult checkComputedAs(GraphBuilder &builder, mlir::Value operand,
                                    mlir::Value other);
/// Reports element types that arith has no ops for, and operands of different
/// types. All operands must be given.
mlir::LogicalResult checkNumbers(GraphBuilder &builder,
                                 mlir::ValueRange operands);
mlir::LogicalResult checkFloat(GraphBuilder &builder, mlir::Value operand);
mlir::LogicalResult checkBool(GraphBuilder &builder, mlir::ValueRange operands);
/// The sequence of transpositions that brings `axis` last, and its inverse.
llvm::SmallVector<int64_t> axisLast(int64_t axis, int64_t rank);
llvm::SmallVector<int64_t> axisBack(int64_t axis, int64_t rank);
/// The smallest and the largest value of an element type.
mlir::TypedAttr lowest(mlir::Type type);
mlir::TypedAttr highest(mlir::Type type);
/// The one element of a tensor as a scalar; `what` names the tensor in errors.
mlir::FailureOr<mlir::Value>
onlyElement(GraphBuilder &builder, mlir::Value tensor, const llvm::Twine &what);
/// The body of that name; reports that the node has none.
mlir::FailureOr<mlir::Region *>
bodyOf(GraphBuilder &builder, const OperatorCall &call, llvm::StringRef name);
/// Runs one of two ways to make the same number of results, of equal element
/// types and ranks.
OperatorResults buildBranches(GraphBuilder &builder, mlir::Value condition,
                              size_t numResults,
                              llvm::function_ref<OperatorResults()> thenBranch,
                              llvm::function_ref<OperatorResults()> elseBranch);
/// `function`, which asks for constant axes as operand `position`, where only
/// the run knows them: a branch for each set of axes that is possible. The axes
/// are those of operand 0 that `isPossible` takes, with `addsAxes` those of
/// what it becomes.
OperatorResults
onRunTimeAxes(GraphBuilder &builder, const OperatorCall &call,
              unsigned position, bool addsAxes, OperatorFunction function,
              llvm::function_ref<bool(int64_t)> isPossible = {});
template <OperatorFunction function, bool addsAxes = false>
OperatorResults withAxes(GraphBuilder &builder, const OperatorCall &call) {
  return onRunTimeAxes(builder, call, 1, addsAxes, function);
}
/// For each dimension what is given for the axis that it is; `others` where
/// none is. Axes may be known in the run only, and negative.
mlir::FailureOr<Extents> alongDimensions(GraphBuilder &builder,
                                         llvm::ArrayRef<Extent> axes,
                                         llvm::ArrayRef<Extent> values,
                                         Extents others);
/// [B, S, heads * D] as [B, heads, S, D]; `name` is the attribute that gives
/// `heads`.
mlir::FailureOr<mlir::Value> byHead(GraphBuilder &builder, mlir::Value input,
                                    int64_t heads, llvm::StringRef name);
/// `value` with the static extents of its shape in its type, and no others.
mlir::Value withType(GraphBuilder &builder, mlir::Value value, mlir::Type type);
/// Sizes times sizes at compile time: the operators on tensors whose elements
/// are known. No value if `call` is none of those.
std::optional<llvm::SmallVector<mlir::Value>>
foldKnown(GraphBuilder &builder, const OperatorCall &call);

/// The element type of an ONNX data type number; null if gatecc lacks it.
mlir::Type elementOfNumber(mlir::MLIRContext *context, int64_t number);
/// `function`, which computes with signless numbers, on tensors of unsigned
/// numbers, too: these are widened to a signed type that holds them, and a
/// first result of that type is cut back (modulo 2^bits).
OperatorResults onUnsigned(GraphBuilder &builder, const OperatorCall &call,
                           OperatorFunction function);
template <OperatorFunction function>
OperatorResults orUnsigned(GraphBuilder &builder, const OperatorCall &call) {
  return onUnsigned(builder, call, function);
}

#define GATECC_OPERATOR(NAME)                                                  \
  OperatorResults NAME(GraphBuilder &, const OperatorCall &)
// Elementwise.cpp
GATECC_OPERATOR(lowerArithmetic);
GATECC_OPERATOR(lowerExtremum);
GATECC_OPERATOR(lowerUnary);
GATECC_OPERATOR(lowerPow);
GATECC_OPERATOR(lowerMod);
GATECC_OPERATOR(lowerClip);
GATECC_OPERATOR(lowerCast);
GATECC_OPERATOR(lowerCastLike);
GATECC_OPERATOR(lowerIdentity);
GATECC_OPERATOR(lowerDropout);
// Bits.cpp
GATECC_OPERATOR(lowerBitwise);
GATECC_OPERATOR(lowerBitShift);
GATECC_OPERATOR(lowerBitCast);
// Logic.cpp
GATECC_OPERATOR(lowerCompare);
GATECC_OPERATOR(lowerLogic);
GATECC_OPERATOR(lowerWhere);
GATECC_OPERATOR(lowerIsNaN);
GATECC_OPERATOR(lowerIsInf);
// Activations.cpp
GATECC_OPERATOR(lowerActivation);
GATECC_OPERATOR(lowerPRelu);
GATECC_OPERATOR(lowerSwiGLU);
// Products.cpp
GATECC_OPERATOR(lowerMatMul);
GATECC_OPERATOR(lowerGemm);
// Fused.cpp
GATECC_OPERATOR(lowerFusedMatMul);
GATECC_OPERATOR(lowerFusedGemm);
GATECC_OPERATOR(lowerFusedConv);
// Einsum.cpp
GATECC_OPERATOR(lowerEinsum);
// Convolution.cpp
GATECC_OPERATOR(lowerConv);
GATECC_OPERATOR(lowerConvTranspose);
GATECC_OPERATOR(lowerCausalConv);
// Pooling.cpp
GATECC_OPERATOR(lowerMaxPool);
GATECC_OPERATOR(lowerAveragePool);
GATECC_OPERATOR(lowerGlobalPool);
// Attention.cpp, LinearAttention.cpp, RotaryEmbedding.cpp
GATECC_OPERATOR(lowerAttention);
GATECC_OPERATOR(lowerLinearAttention);
GATECC_OPERATOR(lowerRotaryEmbedding);
// LinearQuantization.cpp
GATECC_OPERATOR(lowerQuantizeLinear);
GATECC_OPERATOR(lowerDequantizeLinear);
GATECC_OPERATOR(lowerDynamicQuantizeLinear);
GATECC_OPERATOR(lowerMatMulInteger);
GATECC_OPERATOR(lowerQLinearMatMul);
GATECC_OPERATOR(lowerConvInteger);
GATECC_OPERATOR(lowerQLinearConv);
// Recurrent.cpp
GATECC_OPERATOR(lowerRecurrent);
// Losses.cpp
GATECC_OPERATOR(lowerLoss);
// ChannelNormalization.cpp
GATECC_OPERATOR(lowerBatchNorm);
GATECC_OPERATOR(lowerGroupNorm);
GATECC_OPERATOR(lowerLpNorm);
GATECC_OPERATOR(lowerMeanVarianceNorm);
GATECC_OPERATOR(lowerLRN);
// Reductions.cpp
GATECC_OPERATOR(lowerReduce);
// Normalization.cpp
GATECC_OPERATOR(lowerSoftmax);
GATECC_OPERATOR(lowerLayerNorm);
GATECC_OPERATOR(lowerRMSNorm);
GATECC_OPERATOR(lowerSkipNorm);
// Shape.cpp
GATECC_OPERATOR(lowerReshape);
GATECC_OPERATOR(lowerFlatten);
GATECC_OPERATOR(lowerTranspose);
GATECC_OPERATOR(lowerSqueeze);
GATECC_OPERATOR(lowerUnsqueeze);
GATECC_OPERATOR(lowerConcat);
GATECC_OPERATOR(lowerSplit);
GATECC_OPERATOR(lowerSlice);
GATECC_OPERATOR(lowerExpand);
// Rearrange.cpp
GATECC_OPERATOR(lowerPad);
GATECC_OPERATOR(lowerCenterCropPad);
GATECC_OPERATOR(lowerDepthToSpace);
GATECC_OPERATOR(lowerReverseSequence);
GATECC_OPERATOR(lowerTensorScatter);
GATECC_OPERATOR(lowerTrilu);
GATECC_OPERATOR(lowerEyeLike);
// Creation.cpp
GATECC_OPERATOR(lowerConstant);
GATECC_OPERATOR(lowerShape);
GATECC_OPERATOR(lowerSize);
GATECC_OPERATOR(lowerConstantOfShape);
GATECC_OPERATOR(lowerRange);
GATECC_OPERATOR(lowerWindow);
// Gather.cpp
GATECC_OPERATOR(lowerGather);
GATECC_OPERATOR(lowerGatherElements);
// Indexing.cpp
GATECC_OPERATOR(lowerNonZero);
GATECC_OPERATOR(lowerCompress);
GATECC_OPERATOR(lowerGatherND);
GATECC_OPERATOR(lowerScatterND);
GATECC_OPERATOR(lowerScatterElements);
GATECC_OPERATOR(lowerOneHot);
GATECC_OPERATOR(lowerCumSum);
GATECC_OPERATOR(lowerCumProd);
GATECC_OPERATOR(lowerTile);
// Selection.cpp
GATECC_OPERATOR(lowerArgExtremum);
GATECC_OPERATOR(lowerTopK);
GATECC_OPERATOR(lowerHardmax);
// Conditions.cpp
GATECC_OPERATOR(lowerIf);
// Loops.cpp
GATECC_OPERATOR(lowerLoop);
GATECC_OPERATOR(lowerScan);
// Routed.cpp
GATECC_OPERATOR(lowerMoE);
// Quantized.cpp
GATECC_OPERATOR(lowerMatMulNBits);
GATECC_OPERATOR(lowerQMoE);
#undef GATECC_OPERATOR

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_FAMILIES_H
