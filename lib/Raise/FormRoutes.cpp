// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Names the router of each site, and makes it one op where that says the same.
//   before: %v, %i = topk %s; %w = %v / sum %v; %p = assign %i weights(%w)
//   after:  %p = route %s {score = identity, normalize}
#include "GroupSites.h"
#include "RouterForm.h"
#include "gatecc/Raise/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"

namespace gatecc {
#define GEN_PASS_DEF_FORMROUTES
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {

struct FormRoutes : gatecc::impl::FormRoutesBase<FormRoutes> {
  void runOnOperation() override;

private:
  void fuse(RewriterBase &rewriter, gate::AssignOp assign,
            const FusedRouter &router);
};

/// Whether the experts are vectors, which are read by the ids themselves.
static bool haveVectors(gate::AssignOp assign) {
  return llvm::any_of(assign.getPlan().getUsers(), [](Operation *user) {
    auto apply = dyn_cast<gate::ApplyOp>(user);
    return apply && !apply.getParams().empty() &&
           llvm::all_of(apply.getParams(), [](Value param) {
             return typeOf(param).getRank() == 2;
           });
  });
}

void FormRoutes::fuse(RewriterBase &rewriter, gate::AssignOp assign,
                      const FusedRouter &router) {
  gate::TopKOp topk = router.topk;
  Value scores = topk.getInput();
  gate::PlanType plan = assign.getPlan().getType();
  if (typeOf(scores).getDimSize(1) != plan.getGroups() ||
      *topk.getK() != uint64_t(plan.getChoices()))
    return; // more experts than scores
  // Sizes that were asked of the ids are those of the scores.
  for (Value result : topk->getResults())
    for (Operation *user : llvm::make_early_inc_range(result.getUsers()))
      if (auto dim = dyn_cast<tensor::DimOp>(user);
          dim && dim.getConstantIndex() == 0) {
        rewriter.setInsertionPoint(dim);
        rewriter.replaceOpWithNewOp<tensor::DimOp>(dim, scores, 0);
      }
  rewriter.setInsertionPoint(assign);
  auto score = router.softmaxOfChosen   ? gate::ScoreKind::SoftmaxSelected
               : router.sigmoidOfChosen ? gate::ScoreKind::Sigmoid
                                        : gate::ScoreKind::Identity;
  FloatAttr scale =
      router.scale ? router.scale : rewriter.getF32FloatAttr(1.0f);
  rewriter.replaceOpWithNewOp<gate::RouteOp>(
      assign, plan, scores, router.mixing,
      gate::ScoreKindAttr::get(&getContext(), score),
      rewriter.getBoolAttr(router.normalize),
      router.isSumPositive ? FloatAttr() : router.sumOffset, router.sumMin,
      scale, rewriter.getBoolAttr(false), rewriter.getBoolAttr(false),
      assign.getSiteAttr());
}

void FormRoutes::runOnOperation() {
  SmallVector<Operation *> decisions;
  getOperation()->walk([&](Operation *op) {
    if (isa<gate::RouteOp, gate::AssignOp>(op))
      decisions.push_back(op);
  });
  ModuleOp module = getOperation();
  SymbolTable symbols(module);
  SmallVector<Attribute> report = readReport(module);
  IRRewriter rewriter(&getContext());
  for (Operation *op : decisions) {
    auto assign = dyn_cast<gate::AssignOp>(op);
    RouterForm form = assign
                          ? describeRouter(assign.getIds(), assign.getWeights())
                          : describeRouter(cast<gate::RouteOp>(op));
    auto symbol = op->getAttrOfType<FlatSymbolRefAttr>("site");
    if (auto site =
            symbol ? symbols.lookup<gate::SiteOp>(symbol.getAttr()) : nullptr)
      report.push_back(reportEntry(&getContext(), site.getName(), "experts",
                                   rewriter.getStrArrayAttr({}), "router",
                                   form.text));
    if (assign && form.fused && !haveVectors(assign))
      fuse(rewriter, assign, *form.fused);
  }
  writeReport(module, report);
}

} // namespace
