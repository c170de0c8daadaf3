// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Moves elementwise work into the epilogue of the contraction that feeds it.
//   before: contract, contract, generic(mul(silu(a), b))
//   after:  one contract with two weights, whose epilogue is the generic's body
// Legal when the contractions have no other user: an epilogue's result is all
// that leaves the registers. The order over k is not touched.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Transforms/Passes.h"
#include "lib/Transforms/EnclosingLoop.h"
#include "lib/Transforms/FusedBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace gatecc {
#define GEN_PASS_DEF_FUSEEPILOGUE
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using gate::ContractOp;
using gate::ExtentKind;

namespace {

/// What follows `input` of the generic, seen as an epilogue operand; none if
/// the epilogue cannot read it.
std::optional<ExtentKind> classifyExtent(Type type, AffineMap map) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return ExtentKind::Scalar;
  AffineExpr row = getAffineDimExpr(0, map.getContext());
  AffineExpr column = getAffineDimExpr(1, map.getContext());
  if (map.isIdentity())
    return ExtentKind::Full;
  if (map.getNumResults() == 1 && map.getResult(0) == column)
    return ExtentKind::Column;
  if (map.getNumResults() == 1 && map.getResult(0) == row)
    return ExtentKind::Row;
  return std::nullopt;
}

bool isScalarCompute(linalg::GenericOp generic) {
  return llvm::all_of(
      generic.getBody()->without_terminator(), [](Operation &op) {
        return isa<arith::ArithDialect, math::MathDialect>(op.getDialect());
      });
}

struct MoveGenericIntoEpilogue : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp generic,
                                PatternRewriter &rewriter) const override {
    if (generic.getNumResults() != 1 || generic.getNumLoops() != 2 ||
        generic.getNumParallelLoops() != 2 ||
        !generic.hasPureTensorSemantics() ||
        !generic.getIndexingMapsArray().back().isIdentity())
      return rewriter.notifyMatchFailure(
          generic, "no elementwise op on rows and columns");
    if (!isScalarCompute(generic) ||
        !generic.getRegionOutputArgs()[0].use_empty())
      return rewriter.notifyMatchFailure(
          generic, "body is not scalar arithmetic on inputs");

    // The first contraction decides; others join if they share its rows.
    SmallVector<unsigned> joined;
    ContractOp lead;
    for (auto [index, input] : llvm::enumerate(generic.getInputs())) {
      auto contract = input.getDefiningOp<ContractOp>();
      if (!contract || !llvm::all_equal(contract->getUsers()) ||
          *contract->getUsers().begin() != generic ||
          !inSameLoop(contract, generic) ||
          !mayBecomeOne(contract.getEpilogue().front(), *generic.getBody()) ||
          !generic.getIndexingMapsArray()[index].isIdentity())
        continue;
      if (!lead)
        lead = contract;
      else if (contract.getRows() != lead.getRows() ||
               contract.getPlan() != lead.getPlan() ||
               contract.getGathered() != lead.getGathered() ||
               contract.getWeights()[0].getType() !=
                   lead.getWeights()[0].getType() ||
               contract == lead)
        continue;
      joined.push_back(index);
    }
    if (!lead)
      return rewriter.notifyMatchFailure(generic,
                                         "feeds on no contraction of its own");
    if (!isa<FloatType>(getElementTypeOrSelf(generic.getResult(0).getType())))
      return rewriter.notifyMatchFailure(generic, "result is not float");

    SmallVector<ContractOp> contracts;
    SmallVector<Value> weights, extras;
    SmallVector<Attribute> extents;
    for (unsigned index : joined)
      contracts.push_back(
          generic.getInputs()[index].getDefiningOp<ContractOp>());
    for (ContractOp contract : contracts)
      llvm::append_range(weights, contract.getWeights());
    for (ContractOp contract : contracts) {
      llvm::append_range(extras, contract.getExtras());
      llvm::append_range(extents, contract.getExtents());
    }
    SmallVector<std::pair<unsigned, TypedAttr>> splats;
    SmallVector<unsigned> own;
    for (auto [index, input] : llvm::enumerate(generic.getInputs())) {
      if (llvm::is_contained(joined, index))
        continue;
      DenseElementsAttr constant;
      if (matchPattern(input, m_Constant(&constant)) && constant.isSplat()) {
        splats.emplace_back(index, constant.getSplatValue<TypedAttr>());
        continue;
      }
      std::optional<ExtentKind> extent = classifyExtent(
          input.getType(), generic.getIndexingMapsArray()[index]);
      if (!extent)
        return rewriter.notifyMatchFailure(generic,
                                           "an operand follows other axes");
      if (*extent == ExtentKind::Column && lead.getPlan())
        return rewriter.notifyMatchFailure(generic,
                                           "a column operand of slots");
      if (!isa<FloatType>(getElementTypeOrSelf(input.getType())))
        return rewriter.notifyMatchFailure(generic, "an operand is not float");
      own.push_back(index);
      extras.push_back(input);
      extents.push_back(gate::ExtentKindAttr::get(getContext(), *extent));
    }

    auto fused = ContractOp::create(
        rewriter, generic.getLoc(), generic.getResult(0).getType(),
        lead.getRows(), weights, extras, lead.getPlan(),
        rewriter.getArrayAttr(extents), lead.getGatheredAttr());
    Block *block = rewriter.createBlock(&fused.getEpilogue());
    auto addArguments = [&](Block::BlockArgListType arguments,
                            IRMapping &mapping) {
      for (BlockArgument argument : arguments)
        mapping.map(argument,
                    block->addArgument(argument.getType(), argument.getLoc()));
    };
    SmallVector<IRMapping> mappings(contracts.size());
    for (auto [contract, mapping] : llvm::zip(contracts, mappings))
      addArguments(contract.getEpilogue().getArguments().take_front(
                       contract.getWeights().size()),
                   mapping);
    for (auto [contract, mapping] : llvm::zip(contracts, mappings))
      addArguments(contract.getEpilogue().getArguments().drop_front(
                       contract.getWeights().size()),
                   mapping);
    IRMapping body;
    Block *source = generic.getBody();
    for (unsigned index : own)
      body.map(source->getArgument(index),
               block->addArgument(source->getArgument(index).getType(),
                                  generic.getLoc()));
    for (auto [index, value] : splats)
      body.map(source->getArgument(index),
               arith::ConstantOp::create(rewriter, generic.getLoc(), value)
                   .getResult());
    for (auto [contract, mapping, index] :
         llvm::zip(contracts, mappings, joined)) {
      for (Operation &op : contract.getEpilogue().front().without_terminator())
        rewriter.clone(op, mapping);
      Value yielded =
          contract.getEpilogue().front().getTerminator()->getOperand(0);
      body.map(source->getArgument(index), mapping.lookupOrDefault(yielded));
    }
    for (Operation &op : source->without_terminator())
      rewriter.clone(op, body);
    gate::YieldOp::create(
        rewriter, generic.getLoc(),
        body.lookupOrDefault(source->getTerminator()->getOperand(0)));
    rewriter.replaceOp(generic, fused.getResult());
    for (ContractOp contract : contracts)
      rewriter.eraseOp(contract);
    return success();
  }
};

struct FuseEpiloguePass
    : public gatecc::impl::FuseEpilogueBase<FuseEpiloguePass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<MoveGenericIntoEpilogue>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
