// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives contractions rows of f32 where a model's are f16 or bf16: register
// tiles read f32, and each element once for each panel.
//   before: %h = contract(...) {truncf} ; contract rows(%h : f16)
//   after:  %h = contract(...) {truncf, extf} ; contract rows(%h : f32)
// What computes nothing but such rows widens them itself; others are widened
// by an op of their own, once for all contractions of a block. Rounding stays
// where it was: a value is what it is in the model's type.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace gatecc {
#define GEN_PASS_DEF_WIDENROWS
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using gate::ContractOp;

namespace {

bool hasNarrowRows(ContractOp contract) {
  return gate::isNarrowFloat(
      getElementTypeOrSelf(contract.getRows().getType()));
}

RankedTensorType widenedType(Value rows) {
  return cast<RankedTensorType>(rows.getType())
      .clone(Float32Type::get(rows.getContext()));
}

/// Whether all that `value` is used for is to be the rows of contractions.
bool areOnlyRows(Value value) {
  return llvm::all_of(value.getUses(), [](OpOperand &use) {
    auto contract = dyn_cast<ContractOp>(use.getOwner());
    return contract && &use == &contract.getRowsMutable();
  });
}

struct WidenRowsPass : public gatecc::impl::WidenRowsBase<WidenRowsPass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    // By the rows and the block in which they are read.
    DenseMap<std::pair<Value, Block *>, Value> widened;
    SmallVector<ContractOp> contracts;
    getOperation().walk([&](ContractOp op) { contracts.push_back(op); });
    for (ContractOp contract : contracts) {
      if (!hasNarrowRows(contract))
        continue;
      Value rows = contract.getRows();
      if (areOnlyRows(rows) && widenProducer(rows, rewriter))
        continue;
      Value &wide = widened[{rows, contract->getBlock()}];
      if (!wide)
        wide = widen(contract, rewriter);
      contract.getRowsMutable().assign(wide);
    }
  }

private:
  /// Makes the op that computes `rows` yield f32, if it computes them element
  /// by element.
  bool widenProducer(Value rows, RewriterBase &rewriter);
  Value widen(ContractOp contract, RewriterBase &rewriter);
};

bool WidenRowsPass::widenProducer(Value rows, RewriterBase &rewriter) {
  Operation *producer = rows.getDefiningOp();
  Block *body = nullptr;
  if (auto contract = dyn_cast_or_null<ContractOp>(producer)) {
    body = &contract.getEpilogue().front();
  } else if (auto generic = dyn_cast_or_null<linalg::GenericOp>(producer)) {
    if (generic->getNumResults() != 1 ||
        generic.getNumLoops() != generic.getNumParallelLoops() ||
        !generic.getRegionOutputArgs()[0].use_empty())
      return false;
    body = generic.getBody();
    rewriter.setInsertionPoint(generic);
    Value init = generic.getDpsInits()[0];
    Value wide = tensor::EmptyOp::create(
        rewriter, generic.getLoc(),
        tensor::getMixedSizes(rewriter, generic.getLoc(), init),
        rewriter.getF32Type());
    generic.getDpsInitsMutable()[0].set(wide);
    body->getArguments().back().setType(rewriter.getF32Type());
  } else {
    return false;
  }
  Operation *yield = body->getTerminator();
  rewriter.setInsertionPoint(yield);
  yield->setOperand(0, arith::ExtFOp::create(rewriter, producer->getLoc(),
                                             rewriter.getF32Type(),
                                             yield->getOperand(0)));
  rows.setType(widenedType(rows));
  return true;
}

Value WidenRowsPass::widen(ContractOp contract, RewriterBase &rewriter) {
  Location loc = contract.getLoc();
  Value rows = contract.getRows();
  rewriter.setInsertionPoint(contract);
  Value init = tensor::EmptyOp::create(
      rewriter, loc, tensor::getMixedSizes(rewriter, loc, rows),
      rewriter.getF32Type());
  AffineMap identity = rewriter.getMultiDimIdentityMap(2);
  return linalg::GenericOp::create(
             rewriter, loc, init.getType(), rows, init,
             ArrayRef<AffineMap>{identity, identity},
             SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
             [](OpBuilder &b, Location at, ValueRange x) {
               Value wide =
                   arith::ExtFOp::create(b, at, b.getF32Type(), x.front());
               linalg::YieldOp::create(b, at, wide);
             })
      .getResult(0);
}

} // namespace
