// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Replaces exp, tanh, erf and their like by one polynomial each, the same for
// vectors and scalars, so that a value does not depend on where it stands.
// f64 and what has no polynomial here stays a call of libm, lane by lane.
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
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
    if (!fma)
      patterns.add<SplitFma>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
