// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits register tiles: every accumulator adds its products in the order of k,
// one (fused) multiply-add after the other, whatever the shape of the tile, so
// a row has the same bits in any batch and under any schedule.
#include "lib/Lowering/Cpu/RegisterTile.h"

#include "lib/Lowering/Cpu/VectorizeBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace gatecc;

RegisterTiles::RegisterTiles(ModuleOp module, Isa isa, Type element,
                             int64_t lanes)
    : module(module), element(element), lanes(lanes) {
  TileFacts facts = getTileFacts(isa);
  width = facts.vectorBytes * 8 / element.getIntOrFloatBitWidth();
  vectors = lanes / width;
  maxRows = std::max<int64_t>(1, facts.rows * facts.vectors / vectors);
  fma = facts.fma;
}

int64_t RegisterTiles::getNumPanels(int64_t rows) const {
  int64_t fit = maxRows / rows;
  return fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
}

int64_t RegisterTiles::getBlockPanels() const {
  int64_t panelBytes = kBlockRows * lanes * element.getIntOrFloatBitWidth() / 8;
  return std::max<int64_t>(4, kAccumulatorBytes / panelBytes);
}

MemRefType RegisterTiles::getAccumulatorType() const {
  return MemRefType::get({getBlockPanels(), kBlockRows, lanes}, element);
}

MemRefType RegisterTiles::getSlotsType() const {
  return MemRefType::get({kBlockRows}, IndexType::get(element.getContext()));
}

MemRefType RegisterTiles::getRowsType() const {
  int64_t dynamic = ShapedType::kDynamic;
  return MemRefType::get(
      {dynamic, dynamic}, element,
      StridedLayoutAttr::get(element.getContext(), dynamic, {dynamic, 1}));
}

MemRefType RegisterTiles::getPackedType() const {
  int64_t dynamic = ShapedType::kDynamic;
  return MemRefType::get({dynamic, dynamic, dynamic, lanes}, element);
}

void gatecc::keepOutOfLine(func::FuncOp function) {
  Builder b(function.getContext());
  function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
}

func::FuncOp RegisterTiles::get(int64_t rows, int64_t panels) {
  std::string name;
  llvm::raw_string_ostream(name)
      << "tile_" << element << '_' << lanes << '_' << rows << 'x' << panels;
  if (auto tile = module.lookupSymbol<func::FuncOp>(name))
    return tile;
  Type index = IndexType::get(module.getContext());
  Type i1 = IntegerType::get(module.getContext(), 1);
  auto builder =
      ImplicitLocOpBuilder::atBlockEnd(module.getLoc(), module.getBody());
  auto tile = func::FuncOp::create(
      builder, name,
      builder.getFunctionType({getRowsType(), getSlotsType(), index,
                               getPackedType(), index, index, index, index,
                               getAccumulatorType(), index, i1, index, index,
                               index, index},
                              {}));
  tile.setPrivate();
  keepOutOfLine(tile);
  emit(tile, rows, panels);
  return tile;
}

void RegisterTiles::emit(func::FuncOp tile, int64_t tileRows, int64_t panels) {
  Block *entry = tile.addEntryBlock();
  auto b = ImplicitLocOpBuilder::atBlockBegin(tile.getLoc(), entry);
  auto arguments = entry->getArguments();
  Value rows = arguments[0], slots = arguments[1], firstRow = arguments[2],
        packed = arguments[3], group = arguments[4], panel = arguments[5],
        begin = arguments[6], end = arguments[7], accumulators = arguments[8],
        firstPanel = arguments[9], fromZero = arguments[10],
        nextPanel = arguments[11], nextDepth = arguments[12],
        nextElement = arguments[13], nextStep = arguments[14];
  auto vectorType = VectorType::get({width}, element);
  auto index = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  auto add = [&](Value value, int64_t offset) -> Value {
    return offset ? arith::AddIOp::create(b, value, index(offset)).getResult()
                  : value;
  };

  SmallVector<Value> sources;
  for (int64_t r = 0; r < tileRows; ++r)
    sources.push_back(memref::LoadOp::create(b, slots, add(firstRow, r)));
  // Where accumulator (r, p, v) is kept between calls.
  auto home = [&](int64_t r, int64_t p, int64_t v) -> SmallVector<Value> {
    return {add(firstPanel, p), add(firstRow, r), index(v * width)};
  };
  auto forEach = [&](auto function) {
    for (int64_t r = 0; r < tileRows; ++r)
      for (int64_t p = 0; p < panels; ++p)
        for (int64_t v = 0; v < vectors; ++v)
          function(r, p, v);
  };
  int64_t count = tileRows * panels * vectors;
  auto start = scf::IfOp::create(b, SmallVector<Type>(count, Type(vectorType)),
                                 fromZero, true, true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(start.thenBlock());
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
    scf::YieldOp::create(b, SmallVector<Value>(count, zero));
    b.setInsertionPointToStart(start.elseBlock());
    SmallVector<Value> loaded;
    forEach([&](int64_t r, int64_t p, int64_t v) {
      loaded.push_back(
          vector::LoadOp::create(b, vectorType, accumulators, home(r, p, v)));
    });
    scf::YieldOp::create(b, loaded);
  }

  auto loop = scf::ForOp::create(b, begin, end, index(1), start.getResults());
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value k = loop.getInductionVar();
    if (panels == 1) {
      // One at a time: a burst of prefetches would hold up the loads.
      Value passed = arith::MulIOp::create(
          b, arith::SubIOp::create(b, k, begin), nextStep);
      memref::PrefetchOp::create(
          b, packed,
          ValueRange{group, nextPanel, nextDepth,
                     arith::AddIOp::create(b, nextElement, passed)},
          /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
    }
    // What there is less of is loaded first and stays; the other side passes
    // through one register.
    SmallVector<Value> weights(panels * vectors), scalars(tileRows);
    auto loadWeights = [&](int64_t i) {
      weights[i] =
          vector::LoadOp::create(b, vectorType, packed,
                                 ValueRange{group, add(panel, i / vectors), k,
                                            index(i % vectors * width)});
    };
    auto loadScalar = [&](int64_t r) {
      scalars[r] = broadcastTo(
          b, b.getLoc(),
          memref::LoadOp::create(b, rows, ValueRange{sources[r], k}), width);
    };
    SmallVector<Value> next(count);
    auto addProduct = [&](int64_t r, int64_t i) {
      int64_t at = r * panels * vectors + i;
      Value sum = loop.getRegionIterArgs()[at];
      // Without FMA instructions math.fma would be a call.
      if (fma)
        next[at] = math::FmaOp::create(b, scalars[r], weights[i], sum);
      else
        next[at] = arith::AddFOp::create(
            b, arith::MulFOp::create(b, scalars[r], weights[i]), sum);
    };
    auto rowNumbers = llvm::seq<int64_t>(tileRows);
    auto weightNumbers = llvm::seq<int64_t>(panels * vectors);
    if (tileRows < panels * vectors) {
      llvm::for_each(rowNumbers, loadScalar);
      for (int64_t i : weightNumbers) {
        loadWeights(i);
        for (int64_t r : rowNumbers)
          addProduct(r, i);
      }
    } else {
      llvm::for_each(weightNumbers, loadWeights);
      for (int64_t r : rowNumbers) {
        loadScalar(r);
        for (int64_t i : weightNumbers)
          addProduct(r, i);
      }
    }
    scf::YieldOp::create(b, next);
  }
  forEach([&](int64_t r, int64_t p, int64_t v) {
    vector::StoreOp::create(b, loop.getResult((r * panels + p) * vectors + v),
                            accumulators, home(r, p, v));
  });
  func::ReturnOp::create(b);
}
