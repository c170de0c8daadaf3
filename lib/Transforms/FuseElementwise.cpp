// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Merges elementwise ops with the elementwise ops that feed them.
//   before: %b = generic(exp %a);  %c = generic(%b + %x)
//   after:  %c = generic(exp %a + %x)
// The patterns are MLIR's. They would also move an op that stands before a loop
// into it, where each iteration did its work again; and an activation into the
// product that follows, which did its work again for each column.
#include "gatecc/Transforms/Passes.h"
#include "lib/Transforms/EnclosingLoop.h"
#include "lib/Transforms/FusedBody.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Math/IR/Math.h"
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

/// Whether what `producer` computes once for each element of the operand would
/// be computed several times: in a reduction anything but moves and casts,
/// which cost next to nothing; elsewhere what takes many instructions, such as
/// the activation of one number for a row that scales all its columns.
bool repeatsWork(OpOperand &operand, Operation *producer) {
  auto consumer = dyn_cast<linalg::LinalgOp>(operand.getOwner());
  auto work = dyn_cast<linalg::GenericOp>(producer);
  if (!consumer || !work)
    return false;
  AffineMap map = consumer.getMatchingIndexingMap(&operand);
  bool isReduction = consumer.getNumReductionLoops() > 0;
  SmallVector<int64_t> extents = consumer.getStaticLoopRanges();
  bool oncePerElement =
      llvm::all_of(llvm::seq(consumer.getNumLoops()), [&](unsigned loop) {
        return map.isFunctionOfDim(loop) ||
               (!isReduction && extents[loop] == 1);
      });
  return !oncePerElement &&
         llvm::any_of(work.getBody()->without_terminator(), [&](Operation &op) {
           return isReduction ? !isa<CastOpInterface>(op)
                              : isa<math::ExpOp, math::ErfOp, math::TanhOp,
                                    math::LogOp, math::PowFOp>(op);
         });
}

struct FuseElementwisePass
    : public gatecc::impl::FuseElementwiseBase<FuseElementwisePass> {
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    linalg::ControlFusionFn mayFuse = [](OpOperand *operand) {
      Operation *producer = operand->get().getDefiningOp();
      if (!producer || !producer->hasOneUse() ||
          !inSameLoop(producer, operand->getOwner()) ||
          repeatsWork(*operand, producer))
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
      return signalPassFailure();
    expandIndices();
  }

private:
  /// What asks for its indices computes them from those of the reshaped loops.
  void expandIndices() {
    IRRewriter rewriter(&getContext());
    getOperation().walk([&](affine::AffineApplyOp op) {
      rewriter.setInsertionPoint(op);
      std::optional<SmallVector<Value>> values = affine::expandAffineMap(
          rewriter, op.getLoc(), op.getAffineMap(), op.getMapOperands());
      if (values)
        rewriter.replaceOp(op, *values);
    });
  }
};

} // namespace
