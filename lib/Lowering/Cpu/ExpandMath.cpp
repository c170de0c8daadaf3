// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Replaces exp, tanh, erf and their like by one polynomial each, the same for
// vectors and scalars, so that a value does not depend on where it stands.
// f64 and what has no polynomial here stays a call of libm, lane by lane.
// Arithmetic on f16 and bf16 becomes arithmetic in f32 with a rounding after
// each op, which is what it means.
#include "dialects/Gate/IR/FloatTypes.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gatecc {
#define GEN_PASS_DEF_EXPANDMATH
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

/// Without fused multiply-add in the target, llvm.fma would be a call of libm.
struct SplitFma : OpRewritePattern<math::FmaOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::FmaOp op,
                                PatternRewriter &rewriter) const override {
    Value product =
        arith::MulFOp::create(rewriter, op.getLoc(), op.getA(), op.getB());
    rewriter.replaceOpWithNewOp<arith::AddFOp>(op, product, op.getC());
    return success();
  }
};

/// A sum, product, quotient or root in f32 that is rounded to 16 bits is the
/// exact one rounded once: f32 has more than twice their digits.
struct WidenNarrow : RewritePattern {
  explicit WidenNarrow(MLIRContext *context)
      : RewritePattern(MatchAnyOpTypeTag(), /*benefit=*/1, context) {}

  static bool isNarrow(Type type) {
    return gate::isNarrowFloat(getElementTypeOrSelf(type));
  }
  static Type widened(Type type) {
    if (!isNarrow(type))
      return type;
    Type f32 = Float32Type::get(type.getContext());
    auto shaped = dyn_cast<ShapedType>(type);
    return shaped ? Type(shaped.clone(f32)) : f32;
  }

  LogicalResult matchAndRewrite(Operation *op,
                                PatternRewriter &rewriter) const override {
    if (!isa_and_nonnull<arith::ArithDialect, math::MathDialect>(
            op->getDialect()) ||
        isa<arith::ExtFOp, arith::TruncFOp, arith::BitcastOp, arith::ConstantOp,
            arith::SelectOp>(op))
      return rewriter.notifyMatchFailure(op, "computes nothing");
    if (llvm::none_of(op->getOperandTypes(), isNarrow) &&
        llvm::none_of(op->getResultTypes(), isNarrow))
      return rewriter.notifyMatchFailure(op, "is in f32 or wider");
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(isNarrow(operand.getType())
                             ? arith::ExtFOp::create(rewriter, op->getLoc(),
                                                     widened(operand.getType()),
                                                     operand)
                                   .getResult()
                             : operand);
    OperationState state(op->getLoc(), op->getName(), operands,
                         llvm::map_to_vector(op->getResultTypes(), widened),
                         op->getAttrs());
    state.propertiesAttr = op->getPropertiesAsAttribute();
    SmallVector<Value> results(rewriter.create(state)->getResults());
    for (auto [result, type] : llvm::zip_equal(results, op->getResultTypes()))
      if (result.getType() != type)
        result = arith::TruncFOp::create(rewriter, op->getLoc(), type, result);
    rewriter.replaceOp(op, results);
    return success();
  }
};

struct ExpandMathPass : public gatecc::impl::ExpandMathBase<ExpandMathPass> {
  using ExpandMathBase::ExpandMathBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateMathPolynomialApproximationPatterns(patterns, [](StringRef name) {
      return llvm::is_contained(
          {"math.exp", "math.expm1", "math.tanh", "math.erf", "math.log",
           "math.log1p", "math.log2", "math.sin", "math.cos", "math.atan",
           "math.atan2", "math.acos", "math.asin", "math.cbrt"},
          name);
    });
    math::populateExpansionPatterns(patterns, {"rsqrt", "exp2"});
    // Without them LLVM calls a function for each lane.
    arith::populateExpandBFloat16Patterns(patterns);
    patterns.add<WidenNarrow>(&getContext());
    if (!fma)
      patterns.add<SplitFma>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
