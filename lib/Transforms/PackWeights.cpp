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

/// The longest block of integers; the sum of its row has to fit 16 bits.
constexpr int64_t kMaxBlock = 128;

struct PackWeightsPass : public gatecc::impl::PackWeightsBase<PackWeightsPass> {
  using PackWeightsBase::PackWeightsBase;

  void runOnOperation() override {
    if (failed(checkPlans(getOperation())))
      return signalPassFailure();
    SmallVector<ContractOp> contracts;
    getOperation()->walk([&](ContractOp op) { contracts.push_back(op); });
    SymbolTable moduleSymbols(getOperation());
    symbols = &moduleSymbols;
    IRRewriter rewriter(&getContext());
    for (ContractOp contract : contracts)
      if (failed(pack(contract, rewriter)))
        return signalPassFailure();
  }

private:
  /// The weights of one contraction before packing.
  struct Sources {
    SmallVector<Attribute> values, scales, zeros;
    int64_t bits = 0, block = 0; // of integers
  };
  /// The symbol of the gate.weight behind `value`.
  FailureOr<FlatSymbolRefAttr> findWeight(ContractOp contract, Value value);
  FailureOr<Sources> findSources(ContractOp contract);
  FailureOr<gate::PanelLayout> chooseLayout(ContractOp contract,
                                            const Sources &sources);
  LogicalResult pack(ContractOp contract, RewriterBase &rewriter);
  FlatSymbolRefAttr getPacked(ContractOp contract, const Sources &sources,
                              RankedTensorType type,
                              const gate::PanelLayout &layout);

  SymbolTable *symbols = nullptr;
  DenseMap<Attribute, FlatSymbolRefAttr> packedWeights; // by all they are
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
    OpBuilder builder(&getContext());
    std::string name = ("constant_" + Twine(constants.size())).str();
    auto weight = gate::WeightOp::create(
        builder, contract.getLoc(), name,
        cast<RankedTensorType>(value.getType()), StringAttr(), 0,
        DenseI64ArrayAttr(), elements, ArrayAttr());
    symbol = FlatSymbolRefAttr::get(
        symbols->insert(weight, getOperation().getBody()->begin()));
  }
  return symbol;
}

FailureOr<PackWeightsPass::Sources>
PackWeightsPass::findSources(ContractOp contract) {
  Sources sources;
  for (Value weight : contract.getWeights()) {
    if (auto quantized = weight.getDefiningOp<gate::DequantizeOp>()) {
      FailureOr<FlatSymbolRefAttr> values = findWeight(contract,
                                                       quantized.getValues()),
                                   scales = findWeight(contract,
                                                       quantized.getScales());
      if (failed(values) || failed(scales))
        return failure();
      sources.values.push_back(*values);
      sources.scales.push_back(*scales);
      if (quantized.getZeros()) {
        FailureOr<FlatSymbolRefAttr> zeros =
            findWeight(contract, quantized.getZeros());
        if (failed(zeros))
          return failure();
        sources.zeros.push_back(*zeros);
      }
      sources.bits = quantized.getBits();
      sources.block = quantized.getBlock();
      continue;
    }
    FailureOr<FlatSymbolRefAttr> symbol = findWeight(contract, weight);
    if (failed(symbol))
      return failure();
    sources.values.push_back(*symbol);
  }
  size_t count = contract.getWeights().size(), scaled = sources.scales.size(),
         shifted = sources.zeros.size();
  auto mixed = [&](size_t some) { return some != 0 && some != count; };
  if (mixed(scaled) || mixed(shifted))
    return contract.emitError("weights of one contraction that are stored in "
                              "different ways are not supported");
  return sources;
}

/// Whether the rows of a contraction were sent by a router to experts whose
/// weights may be rounded.
static bool isRounded(ContractOp contract) {
  if (!contract.getPlan())
    return false;
  Operation *decision = contract.getPlan().getDefiningOp();
  return llvm::isa<gate::RouteOp, gate::AssignOp>(decision) &&
         !decision->hasAttr(gate::kExactExperts);
}

FailureOr<gate::PanelLayout>
PackWeightsPass::chooseLayout(ContractOp contract, const Sources &sources) {
  using gate::PanelFormat;
  auto type = cast<RankedTensorType>(contract.getWeights()[0].getType());
  Type element = type.getElementType();
  if (!gate::isNarrowFloat(element) && !element.isF32() && !element.isF64())
    return contract.emitError("contractions of ")
           << element << " are not supported yet";
  int64_t numWeights = contract.getWeights().size();
  TileShape tile =
      getTileShape(parseIsa(isa), numWeights,
                   gate::computedIn(element).getIntOrFloatBitWidth() / 8);
  gate::PanelLayout layout = {PanelFormat::Plain, numWeights, tile.lanes,
                              type.getDimSize(type.getRank() - 2)};
  if (element.isF64())
    return layout;
  if (!sources.scales.empty()) {
    layout.format = sources.bits == 4 ? PanelFormat::Int4 : PanelFormat::Int8;
    layout.block = sources.block;
  } else if (isRounded(contract) && experts != "f32") {
    layout.format = experts == "bf16"   ? PanelFormat::Bf16
                    : experts == "int8" ? PanelFormat::Int8
                                        : PanelFormat::Int4;
    layout.block = block;
  } else if (element.isBF16()) {
    layout.format = PanelFormat::Bf16;
  } else if (element.isF16() && getTileFacts(parseIsa(isa)).halves) {
    layout.format = PanelFormat::F16;
  }
  const TileFacts &facts = getTileFacts(parseIsa(isa));
  if (layout.format == PanelFormat::Int8 && facts.vnni)
    layout.format = PanelFormat::Int8Quads;
  if (layout.format == PanelFormat::Bf16 && facts.bf16)
    layout.format = facts.amx && layout.columns() <= kAmxColumns
                        ? PanelFormat::Bf16Tiles
                        : PanelFormat::Bf16Pairs;
  if (!layout.isInteger()) {
    layout.block = 0;
    return layout;
  }
  // A long block is cut: its parts share its scale.
  if (layout.block > kMaxBlock &&
      (layout.block % kMaxBlock == 0 || layout.block >= layout.k))
    layout.block = kMaxBlock;
  if (layout.block % 8 || layout.block > kMaxBlock)
    return contract.emitError("blocks of ")
           << layout.block << " rows are not supported: neither a multiple of "
           << "8 up to " << kMaxBlock << " nor one of " << kMaxBlock;
  layout.zeros =
      !sources.zeros.empty() || (zeroPoints && sources.scales.empty());
  return layout;
}

FlatSymbolRefAttr PackWeightsPass::getPacked(ContractOp contract,
                                             const Sources &sources,
                                             RankedTensorType type,
                                             const gate::PanelLayout &layout) {
  OpBuilder b(&getContext());
  std::string name = "packed";
  for (Attribute source : sources.values)
    name += ("_" + cast<FlatSymbolRefAttr>(source).getValue()).str();
  auto list = [&](ArrayRef<Attribute> symbols) {
    return symbols.empty() ? ArrayAttr() : b.getArrayAttr(symbols);
  };
  auto weight = gate::PackedWeightOp::create(
      b, contract.getLoc(), b.getStringAttr(name), TypeAttr::get(type),
      list(sources.values), b.getI64IntegerAttr(layout.lanes),
      gate::PanelFormatAttr::get(&getContext(), layout.format),
      b.getI64IntegerAttr(layout.block),
      layout.zeros ? b.getUnitAttr() : UnitAttr(),
      zeroPoints && layout.isInteger() && sources.scales.empty()
          ? b.getUnitAttr()
          : UnitAttr(),
      list(sources.scales), list(sources.zeros),
      b.getI64IntegerAttr(sources.bits), b.getI64IntegerAttr(sources.block),
      b.getI64IntegerAttr(sources.scales.empty() ? 0 : layout.k));
  FlatSymbolRefAttr &symbol = packedWeights[weight->getAttrDictionary()];
  if (symbol) {
    weight.erase();
    return symbol;
  }
  // Beside its sources: that is where its verifier looks for them first.
  Operation *last =
      symbols->lookup(cast<FlatSymbolRefAttr>(sources.values.back()).getAttr());
  return symbol = FlatSymbolRefAttr::get(
             symbols->insert(weight, std::next(last->getIterator())));
}

/// Rows as integers, and their scales: what integer weights are multiplied
/// with.
static std::pair<Value, Value> quantizeRows(RewriterBase &rewriter,
                                            Location loc, Value rows,
                                            const gate::PanelLayout &layout) {
  auto type = cast<RankedTensorType>(rows.getType());
  OpFoldResult count = tensor::getMixedSize(rewriter, loc, rows, 0);
  auto empty = [&](int64_t columns, Type element) -> Value {
    return tensor::EmptyOp::create(
        rewriter, loc, {count, rewriter.getIndexAttr(columns)}, element);
  };
  auto index = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(rewriter, loc, value);
  };
  auto call = createRuntimeCall(
      rewriter, loc,
      layout.hasByteRows() ? "gatecc_quantize_rows_i8"
                           : "gatecc_quantize_rows_i16",
      {rows, getValueOrCreateConstantIndexOp(rewriter, loc, count),
       index(type.getDimSize(1)), index(layout.block)},
      {empty(layout.rowElements(), layout.rowType(type.getElementType())),
       empty(layout.units(), rewriter.getF32Type())});
  call.setFrame(true);
  return {call.getTensors()[0], call.getTensors()[1]};
}

/// Rows rounded to bf16: what weights of bf16 are multiplied with where there
/// are instructions for it. Tile registers are loaded from rows at one
/// distance, so that for them the rows of slots are gathered here.
static Value roundRows(RewriterBase &rewriter, Location loc, Value rows,
                       Value source, OpFoldResult count,
                       const gate::PanelLayout &layout) {
  auto type = cast<RankedTensorType>(rows.getType());
  auto index = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(rewriter, loc, value);
  };
  Value number = getValueOrCreateConstantIndexOp(rewriter, loc, count);
  // The last tile of all reads as many rows as any other.
  OpFoldResult size = count;
  if (layout.format == gate::PanelFormat::Bf16Tiles)
    size = arith::AddIOp::create(rewriter, loc, number, index(kAmxRows - 1))
               .getResult();
  Value init = tensor::EmptyOp::create(
      rewriter, loc, {size, rewriter.getIndexAttr(layout.rowElements())},
      layout.rowType(type.getElementType()));
  SmallVector<Value> arguments{rows};
  SmallVector<int64_t> nulls;
  if (source)
    arguments.push_back(source);
  else
    nulls.push_back(1);
  arguments.append(
      {number, index(type.getDimSize(1)), index(layout.rowElements())});
  auto call = createRuntimeCall(rewriter, loc, "gatecc_round_rows_bf16",
                                arguments, init, nulls);
  call.setFrame(true);
  return call.getTensors()[0];
}

LogicalResult PackWeightsPass::pack(ContractOp contract,
                                    RewriterBase &rewriter) {
  Location loc = contract.getLoc();
  FailureOr<Sources> sources = findSources(contract);
  if (failed(sources))
    return failure();
  FailureOr<gate::PanelLayout> layout = chooseLayout(contract, *sources);
  if (failed(layout))
    return failure();
  auto type = cast<RankedTensorType>(contract.getWeights()[0].getType());
  int64_t n = type.getShape().back();
  auto packedType =
      RankedTensorType::get({type.getRank() == 3 ? type.getDimSize(0) : 1,
                             (n + layout->lanes - 1) / layout->lanes,
                             layout->units(), layout->unitElements()},
                            layout->elementType(type.getElementType()));
  FlatSymbolRefAttr symbol = getPacked(contract, *sources, packedType, *layout);

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
  Value rows = contract.getRows(), rowScales;
  if (layout->isInteger())
    std::tie(rows, rowScales) = quantizeRows(rewriter, loc, rows, *layout);
  if (layout->format == gate::PanelFormat::Bf16Pairs) {
    OpFoldResult all = tensor::getMixedSize(rewriter, loc, rows, 0);
    rows = roundRows(rewriter, loc, rows, Value(), all, *layout);
  } else if (layout->format == gate::PanelFormat::Bf16Tiles) {
    rows = roundRows(rewriter, loc, rows, source, count, *layout);
    source = Value();
  }
  auto call = gate::PackedContractOp::create(
      rewriter, loc, result, rows, packed, offsets, source, rowScales,
      contract.getExtras(), init, contract.getExtents(), layout->lanes,
      layout->format, layout->block, layout->zeros);
  call.getEpilogue().takeBody(contract.getEpilogue());
  rewriter.replaceOp(contract, call.getResult());
  return success();
}

} // namespace
