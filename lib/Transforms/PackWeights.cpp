// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives contractions their weights in panels of the target's register tile.
//   before: contract rows(%x) weights(%g, %u) plan(%p)
//   after:  packed_contract rows(%x) packed(@g_u) offsets(...) source(...)
// The packing itself happens when the library is written; the IR holds names.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Target/Tiles.h"
#include "gatecc/Transforms/Passes.h"
#include "lib/Transforms/PlanSizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

namespace gatecc {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using gate::ContractOp;

namespace {

struct PackWeightsPass : public gatecc::impl::PackWeightsBase<PackWeightsPass> {
  using PackWeightsBase::PackWeightsBase;

  void runOnOperation() override {
    if (failed(checkPlans(getOperation())))
      return signalPassFailure();
    SmallVector<ContractOp> contracts;
    getOperation()->walk([&](ContractOp op) { contracts.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (ContractOp contract : contracts)
      if (failed(pack(contract, rewriter)))
        return signalPassFailure();
  }

private:
  /// The symbol of the gate.weight behind `value`.
  FailureOr<FlatSymbolRefAttr> findWeight(ContractOp contract, Value value);
  LogicalResult pack(ContractOp contract, RewriterBase &rewriter);
  FlatSymbolRefAttr getPacked(ContractOp contract, ArrayRef<Attribute> sources,
                              RankedTensorType type, int64_t lanes);

  DenseMap<std::pair<ArrayAttr, int64_t>, FlatSymbolRefAttr> packedWeights;
  DenseMap<Attribute, FlatSymbolRefAttr> constants;
};

FailureOr<FlatSymbolRefAttr> PackWeightsPass::findWeight(ContractOp contract,
                                                         Value value) {
  if (auto use = value.getDefiningOp<gate::WeightValueOp>())
    return use.getWeightAttr();
  ElementsAttr elements;
  if (!matchPattern(value, m_Constant(&elements)))
    return contract.emitError(
        "a contraction whose weight is no constant is not supported");
  FlatSymbolRefAttr &symbol = constants[elements];
  if (!symbol) {
    OpBuilder builder = OpBuilder::atBlockBegin(getOperation().getBody());
    std::string name = ("constant_" + Twine(constants.size())).str();
    while (getOperation().lookupSymbol(name))
      name += "_";
    gate::WeightOp::create(builder, contract.getLoc(), name,
                           cast<RankedTensorType>(value.getType()),
                           StringAttr(), 0, DenseI64ArrayAttr(), elements);
    symbol = FlatSymbolRefAttr::get(&getContext(), name);
  }
  return symbol;
}

FlatSymbolRefAttr PackWeightsPass::getPacked(ContractOp contract,
                                             ArrayRef<Attribute> sources,
                                             RankedTensorType type,
                                             int64_t lanes) {
  ArrayAttr key = ArrayAttr::get(&getContext(), sources);
  FlatSymbolRefAttr &symbol = packedWeights[{key, lanes}];
  if (symbol)
    return symbol;
  std::string name = "packed";
  for (Attribute source : sources)
    name += ("_" + cast<FlatSymbolRefAttr>(source).getValue()).str();
  while (getOperation().lookupSymbol(name))
    name += "_";
  OpBuilder builder(getOperation().getContext());
  builder.setInsertionPointAfter(getOperation().lookupSymbol(
      cast<FlatSymbolRefAttr>(sources.back()).getValue()));
  gate::PackedWeightOp::create(builder, contract.getLoc(), name, type, key,
                               lanes);
  symbol = FlatSymbolRefAttr::get(&getContext(), name);
  return symbol;
}

LogicalResult PackWeightsPass::pack(ContractOp contract,
                                    RewriterBase &rewriter) {
  Location loc = contract.getLoc();
  auto type = cast<RankedTensorType>(contract.getWeights()[0].getType());
  Type element = type.getElementType();
  if (!element.isF32() && !element.isF64())
    return contract.emitError("contractions of ")
           << element << " are not supported yet";
  SmallVector<Attribute> sources;
  for (Value weight : contract.getWeights()) {
    FailureOr<FlatSymbolRefAttr> symbol = findWeight(contract, weight);
    if (failed(symbol))
      return failure();
    sources.push_back(*symbol);
  }
  int64_t numWeights = sources.size();
  TileShape tile = getTileShape(parseIsa(isa), numWeights,
                                element.getIntOrFloatBitWidth() / 8);
  ArrayRef<int64_t> shape = type.getShape();
  int64_t n = shape.back(), k = shape[shape.size() - 2];
  auto packedType = RankedTensorType::get({type.getRank() == 3 ? shape[0] : 1,
                                           (n + tile.lanes - 1) / tile.lanes, k,
                                           numWeights * tile.lanes},
                                          element);
  FlatSymbolRefAttr symbol =
      getPacked(contract, sources, packedType, tile.lanes);

  rewriter.setInsertionPoint(contract);
  Value packed = gate::WeightValueOp::create(rewriter, loc, packedType, symbol);
  Value offsets, source, count;
  if (Value plan = contract.getPlan()) {
    PlanSizes sizes(rewriter, loc, plan);
    offsets = sizes.offsets();
    count = sizes.slots();
    if (contract.getGathered())
      source = sizes.source();
  } else {
    count = tensor::DimOp::create(rewriter, loc, contract.getRows(), 0);
  }
  auto result = cast<RankedTensorType>(contract.getResult().getType());
  SmallVector<OpFoldResult> sizes{
      result.isDynamicDim(0) ? OpFoldResult(count)
                             : rewriter.getIndexAttr(result.getDimSize(0)),
      rewriter.getIndexAttr(n)};
  Value init =
      tensor::EmptyOp::create(rewriter, loc, sizes, result.getElementType());
  auto call = gate::PackedContractOp::create(
      rewriter, loc, result, contract.getRows(), packed, offsets, source,
      contract.getExtras(), init, contract.getExtents(), tile.lanes);
  call.getEpilogue().takeBody(contract.getEpilogue());
  rewriter.replaceOp(contract, call.getResult());
  return success();
}

} // namespace
