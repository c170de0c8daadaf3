// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Merges elementwise ops with the elementwise ops that feed them.
//   before: %b = generic(exp %a);  %c = generic(%b + %x)
//   after:  %c = generic(exp %a + %x)
// The patterns are MLIR's. They would also move an op that stands before a loop
// into it, where each iteration did its work again.
#include "gatecc/Transforms/Passes.h"
#include "lib/Transforms/EnclosingLoop.h"
#include "lib/Transforms/FusedBody.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gatecc {
#define GEN_PASS_DEF_FUSEELEMENTWISE
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

struct FuseElementwisePass
    : public gatecc::impl::FuseElementwiseBase<FuseElementwisePass> {
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    linalg::ControlFusionFn mayFuse = [](OpOperand *operand) {
      Operation *producer = operand->get().getDefiningOp();
      if (!producer || !producer->hasOneUse() ||
          !inSameLoop(producer, operand->getOwner()))
        return false;
      auto first = dyn_cast<linalg::GenericOp>(producer),
           second = dyn_cast<linalg::GenericOp>(operand->getOwner());
      return !first || !second ||
             mayBecomeOne(*first.getBody(), *second.getBody());
    };
    RewritePatternSet patterns(context);
    linalg::populateElementwiseOpsFusionPatterns(patterns, mayFuse);
    linalg::populateFoldReshapeOpsByExpansionPatterns(patterns, mayFuse);
    linalg::populateConstantFoldLinalgOperations(patterns, mayFuse);
    tensor::populateBubbleUpExpandShapePatterns(patterns);
    affine::AffineApplyOp::getCanonicalizationPatterns(patterns, context);
    linalg::GenericOp::getCanonicalizationPatterns(patterns, context);
    tensor::ExpandShapeOp::getCanonicalizationPatterns(patterns, context);
    tensor::CollapseShapeOp::getCanonicalizationPatterns(patterns, context);
    context->getLoadedDialect<linalg::LinalgDialect>()
        ->getCanonicalizationPatterns(patterns);
    // From the top down, as it takes less time.
    if (failed(applyPatternsGreedily(
            getOperation(), std::move(patterns),
            GreedyRewriteConfig().setUseTopDownTraversal())))
      signalPassFailure();
  }
};

} // namespace
