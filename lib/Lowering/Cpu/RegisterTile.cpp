// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits register tiles: every accumulator adds its products in the order of k,
// one (fused) multiply-add after the other, whatever the shape of the tile, so
// a row has the same bits in any batch and under any schedule. Integers are
// summed exactly within a block, and blocks are added in order; pairs of bf16
// are added in the order of the instruction, one pair after the other.
#include "lib/Lowering/Cpu/RegisterTile.h"

#include "lib/Lowering/Cpu/TileFunction.h"
#include "lib/Lowering/Cpu/VectorizeBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace gatecc;
using gate::PanelFormat;
using gate::PanelLayout;

/// Rows whose accumulators leave registers for what the format needs besides:
/// the two halves of a pair of bf16; both halves of bytes, and a mask, of int4,
/// and products where they are not added at once, or in place of an operand.
static int64_t getMaxRowsOf(const TileFacts &facts, PanelFormat format,
                            int64_t rows) {
  if (facts.registers > 16)
    return rows;
  if (format == PanelFormat::Bf16)
    return std::min<int64_t>(rows, 5);
  if (format == PanelFormat::Int4)
    return std::min<int64_t>(rows, facts.vnni ? 5 : facts.fma ? 4 : 3);
  return rows;
}

RegisterTiles::RegisterTiles(ModuleOp module, Isa isa,
                             const PanelLayout &layout, Type element)
    : module(module), isa(isa), layout(layout), element(element) {
  const TileFacts &facts = getTileFacts(isa);
  width = facts.vectorBytes * 8 / element.getIntOrFloatBitWidth();
  vectors = layout.columns() / width;
  if (usesAmx()) {
    // Two registers of rows by two of weights: each is used twice.
    maxRows = vectors <= 2 ? 2 * kAmxRows : kAmxRows;
    return;
  }
  maxRows = std::max<int64_t>(1, facts.rows * facts.vectors / vectors);
  maxRows = getMaxRowsOf(facts, layout.format, maxRows);
}

int64_t RegisterTiles::getNumPanels(int64_t rows) const {
  int64_t fit = maxRows / rows;
  return fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
}

int64_t RegisterTiles::getBlockRows() const {
  constexpr int64_t kRows = 96;
  return kRows / maxRows * maxRows;
}

int64_t RegisterTiles::getBlockPanels() const {
  // On the stack.
  constexpr int64_t kAccumulatorBytes = 48 * 1024;
  int64_t panelBytes =
      getBlockRows() * layout.columns() * element.getIntOrFloatBitWidth() / 8;
  return std::max<int64_t>(4, kAccumulatorBytes / panelBytes);
}

int64_t RegisterTiles::getDepthStep() const {
  constexpr int64_t kRows = 512;
  return std::max<int64_t>(1, kRows / layout.unitRows());
}

int64_t RegisterTiles::getUnitsAhead() const {
  // What memory sends in its latency: of 1 to 8 KB, 2 KB were the best.
  constexpr int64_t kBytes = 2048;
  MemRefType packed = getPackedType();
  int64_t unitBytes =
      packed.getShape().back() * packed.getElementTypeBitWidth() / 8;
  return llvm::divideCeil(kBytes, unitBytes);
}

MemRefType RegisterTiles::getAccumulatorType() const {
  return MemRefType::get({getBlockPanels(), getBlockRows(), layout.columns()},
                         element);
}

MemRefType RegisterTiles::getSlotsType() const {
  return MemRefType::get({getBlockRows()},
                         IndexType::get(element.getContext()));
}

/// Rows of any distance, each contiguous.
static MemRefType getRowType(Type element) {
  int64_t dynamic = ShapedType::kDynamic;
  return MemRefType::get(
      {dynamic, dynamic}, element,
      StridedLayoutAttr::get(element.getContext(), dynamic, {dynamic, 1}));
}

MemRefType RegisterTiles::getRowsType() const {
  return getRowType(layout.rowType(element));
}

MemRefType RegisterTiles::getRowScalesType() const {
  return getRowType(element);
}

MemRefType RegisterTiles::getPackedType() const {
  int64_t dynamic = ShapedType::kDynamic;
  return MemRefType::get({dynamic, dynamic, dynamic, layout.unitElements()},
                         layout.elementType(element));
}

namespace {

/// Emits the body of one tile.
class TileEmitter : TileFunction {
public:
  TileEmitter(func::FuncOp tile, const PanelLayout &layout, Type element,
              int64_t width, const TileFacts &facts, int64_t tileRows,
              int64_t panels);
  void emit();

private:
  using Accumulators = SmallVector<Value>;
  using AddProduct =
      llvm::function_ref<Value(Value weights, Value row, Value sum)>;
  /// What row r, or vector i of weights, has for a step.
  using LoadStep = llvm::function_ref<Value(int64_t, int64_t step)>;
  /// Adds the products of a line of a block, whose rows of K begin at `at`.
  using AddLine = llvm::function_ref<Accumulators(
      Value at, llvm::function_ref<Value(int64_t)> loadLine, ValueRange sums)>;

  Value constant(int32_t value) {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(sumType, value));
  }
  Value addProduct(Value x, Value w, Value sum);
  /// Loads `count` elements at `element` of a unit of a panel.
  Value loadUnit(int64_t panelOffset, Value unit, Value at, int64_t count);
  Value loadUnit(int64_t panelOffset, Value unit, int64_t at, int64_t count) {
    return loadUnit(panelOffset, unit, index(at), count);
  }
  /// Where accumulator (r, i) is kept between calls; i counts vectors.
  SmallVector<Value> home(int64_t r, int64_t i) {
    return {add(firstPanel, i / vectors), add(firstRow, r),
            index(i % vectors * width)};
  }
  void emitFloats();
  Accumulators startFloats();
  Accumulators addFloats(Value unit, int64_t halves, ValueRange sums);
  Accumulators addBf16Pairs(Value unit, ValueRange sums);
  void emitIntegers();
  Accumulators addPairs(Value unit, Value element,
                        llvm::function_ref<Value(int64_t)> loadWeights,
                        ValueRange sums);
  Accumulators addProducts(int64_t steps, LoadStep loadRow,
                           LoadStep loadWeights, ValueRange sums,
                           AddProduct add);
  Value rowElement(Value unit, Value at);
  Value loadRow(int64_t r, Value at, Type lane);
  Accumulators addLines(Value unit, Value begin, Value end, int64_t lineRows,
                        int64_t laneBytes, ValueRange sums, AddLine addLine);
  Accumulators startIntegers(Value unit);
  Accumulators addInt8(Value unit);
  Accumulators addInt8Quads(Value unit);
  Accumulators addInt4Stretch(Value unit, Value begin, Value end,
                              ValueRange sums, AddProduct addBytes);
  Accumulators addInt4(Value unit);
  void addBlock(Value unit, ValueRange sums);

  Type element;
  int64_t width, tileRows, vectors, count; // count: vectors of all panels
  const TileFacts &facts;
  VectorType vectorType, sumType;
  SmallVector<Value> sources; // the rows that are read
};

TileEmitter::TileEmitter(func::FuncOp tile, const PanelLayout &layout,
                         Type element, int64_t width, const TileFacts &facts,
                         int64_t tileRows, int64_t panels)
    : TileFunction(tile, layout, panels), element(element), width(width),
      tileRows(tileRows), vectors(layout.columns() / width),
      count(panels * vectors), facts(facts) {
  vectorType = VectorType::get({width}, element);
  sumType = VectorType::get({width}, b.getI32Type());
  for (int64_t r = 0; r < tileRows; ++r)
    sources.push_back(memref::LoadOp::create(b, slots, add(firstRow, r)));
}

void TileEmitter::emit() {
  OpBuilder::InsertionGuard guard(b);
  if (layout.isInteger())
    emitIntegers();
  else
    emitFloats();
  b.setInsertionPointToEnd(rows.getParentBlock());
  func::ReturnOp::create(b);
}

Value TileEmitter::addProduct(Value x, Value w, Value sum) {
  // Without FMA instructions math.fma would be a call.
  if (facts.fma)
    return math::FmaOp::create(b, x, w, sum);
  return arith::AddFOp::create(b, arith::MulFOp::create(b, x, w), sum);
}

Value TileEmitter::loadUnit(int64_t panelOffset, Value unit, Value at,
                            int64_t elements) {
  auto type = VectorType::get(
      {elements}, cast<MemRefType>(packed.getType()).getElementType());
  return vector::LoadOp::create(
      b, type, packed, ValueRange{group, add(panel, panelOffset), unit, at});
}

TileEmitter::Accumulators TileEmitter::startFloats() {
  auto start = scf::IfOp::create(
      b, SmallVector<Type>(tileRows * count, Type(vectorType)), fromZero, true,
      true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(start.thenBlock());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
  scf::YieldOp::create(b, Accumulators(tileRows * count, zero));
  b.setInsertionPointToStart(start.elseBlock());
  Accumulators loaded;
  for (int64_t r = 0; r < tileRows; ++r)
    for (int64_t i = 0; i < count; ++i)
      loaded.push_back(
          vector::LoadOp::create(b, vectorType, accumulators, home(r, i)));
  scf::YieldOp::create(b, loaded);
  return start.getResults();
}

TileEmitter::Accumulators TileEmitter::addFloats(Value unit, int64_t halves,
                                                 ValueRange sums) {
  int64_t unitRows = layout.unitRows();
  Value k = unitRows == 1
                ? unit
                : arith::MulIOp::create(b, unit, index(unitRows)).getResult();
  SmallVector<Value> pairs(count);
  auto loadWeights = [&](int64_t i, int64_t half) -> Value {
    int64_t at = i % vectors * width;
    if (layout.format == PanelFormat::Plain)
      return loadUnit(i / vectors, unit, at, width);
    if (layout.format == PanelFormat::F16)
      return arith::ExtFOp::create(b, vectorType,
                                   loadUnit(i / vectors, unit, at, width));
    // The upper half of a word is the number of odd k, the lower that of
    // even k; a bf16 is the upper half of an f32.
    if (half == 0)
      pairs[i] = vector::BitCastOp::create(
          b, sumType, loadUnit(i / vectors, unit, 2 * at, 2 * width));
    Value word =
        half ? arith::AndIOp::create(b, pairs[i], constant(~0xffff)).getResult()
             : arith::ShLIOp::create(b, pairs[i], constant(16)).getResult();
    return vector::BitCastOp::create(b, vectorType, word);
  };
  auto loadScalar = [&](int64_t r, int64_t half) {
    return broadcastTo(
        b, b.getLoc(),
        memref::LoadOp::create(b, rows, ValueRange{sources[r], add(k, half)}),
        width);
  };
  return addProducts(halves, loadScalar, loadWeights, sums,
                     [&](Value weights, Value scalar, Value sum) {
                       return addProduct(scalar, weights, sum);
                     });
}

TileEmitter::Accumulators TileEmitter::addBf16Pairs(Value unit,
                                                    ValueRange sums) {
  Value at = rowElement(unit, index(0));
  return addProducts(
      1, [&](int64_t r, int64_t) { return loadRow(r, at, b.getBF16Type()); },
      [&](int64_t i, int64_t) {
        return loadUnit(i / vectors, unit, i % vectors * 2 * width, 2 * width);
      },
      sums,
      [&](Value weights, Value row, Value sum) -> Value {
        return gate::DotBf16Op::create(b, weights, row, sum);
      });
}

/// Adds to every accumulator the products of its row and its weights, one step
/// after the other. What there is less of is loaded first and stays; the other
/// side passes through one register.
TileEmitter::Accumulators
TileEmitter::addProducts(int64_t steps, LoadStep loadRow, LoadStep loadWeights,
                         ValueRange sums, AddProduct add) {
  Accumulators next(sums);
  if (tileRows < count) {
    SmallVector<Value> kept;
    for (int64_t step = 0; step < steps; ++step)
      for (int64_t r = 0; r < tileRows; ++r)
        kept.push_back(loadRow(r, step));
    for (int64_t i = 0; i < count; ++i)
      for (int64_t step = 0; step < steps; ++step) {
        Value weights = loadWeights(i, step);
        for (int64_t r = 0; r < tileRows; ++r) {
          Value &sum = next[r * count + i];
          sum = add(weights, kept[step * tileRows + r], sum);
        }
      }
    return next;
  }
  for (int64_t step = 0; step < steps; ++step) {
    SmallVector<Value> kept;
    for (int64_t i = 0; i < count; ++i)
      kept.push_back(loadWeights(i, step));
    for (int64_t r = 0; r < tileRows; ++r) {
      Value row = loadRow(r, step);
      for (int64_t i = 0; i < count; ++i) {
        Value &sum = next[r * count + i];
        sum = add(kept[i], row, sum);
      }
    }
  }
  return next;
}

void TileEmitter::emitFloats() {
  int64_t unitRows = layout.unitRows();
  Value stop = end;
  Value whole; // units that have all their rows
  if (layout.format == PanelFormat::Bf16) {
    whole = arith::DivUIOp::create(b, memref::DimOp::create(b, rows, 1),
                                   index(unitRows));
    stop = arith::MinSIOp::create(b, end, whole);
  }
  auto loop = scf::ForOp::create(b, begin, stop, index(1), startFloats());
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value unit = loop.getInductionVar();
    emitFetch(unit, {}, 1);
    ValueRange before = loop.getRegionIterArgs();
    scf::YieldOp::create(b, layout.format == PanelFormat::Bf16Pairs
                                ? addBf16Pairs(unit, before)
                                : addFloats(unit, unitRows, before));
  }
  Accumulators sums(loop.getResults());
  if (whole) {
    Value rest = arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, end, stop);
    auto last = scf::IfOp::create(
        b, SmallVector<Type>(sums.size(), Type(vectorType)), rest, true, true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(last.thenBlock());
    scf::YieldOp::create(b, addFloats(stop, 1, sums));
    b.setInsertionPointToStart(last.elseBlock());
    scf::YieldOp::create(b, sums);
    sums.assign(last.getResults().begin(), last.getResults().end());
  }
  for (int64_t r = 0; r < tileRows; ++r)
    for (int64_t i = 0; i < count; ++i)
      vector::StoreOp::create(b, sums[r * count + i], accumulators, home(r, i));
}

/// The element of a row that is `at` in the block of a unit.
Value TileEmitter::rowElement(Value unit, Value at) {
  return arith::AddIOp::create(
      b, arith::MulIOp::create(b, unit, index(layout.rowUnitElements())), at);
}

/// Four bytes of a row, from an element on, repeated in a vector of `lane`s.
Value TileEmitter::loadRow(int64_t r, Value at, Type lane) {
  Type stored = cast<MemRefType>(rows.getType()).getElementType();
  auto loaded = VectorType::get({32 / stored.getIntOrFloatBitWidth()}, stored);
  auto type =
      VectorType::get({width * 32 / lane.getIntOrFloatBitWidth()}, lane);
  Value word = vector::ExtractOp::create(
      b,
      vector::BitCastOp::create(
          b, VectorType::get({1}, b.getI32Type()),
          vector::LoadOp::create(b, loaded, rows, ValueRange{sources[r], at})),
      0);
  return vector::BitCastOp::create(
      b, type, vector::BroadcastOp::create(b, sumType, word));
}

/// Adds the products of the pair of every row at `at` with pairs of weights.
TileEmitter::Accumulators
TileEmitter::addPairs(Value unit, Value at,
                      llvm::function_ref<Value(int64_t)> loadWeights,
                      ValueRange sums) {
  Value element = rowElement(unit, at);
  return addProducts(
      1,
      [&](int64_t r, int64_t) { return loadRow(r, element, b.getI16Type()); },
      [&](int64_t i, int64_t) { return loadWeights(i); }, sums,
      [&](Value weights, Value row, Value sum) -> Value {
        return gate::DotPairsOp::create(b, weights, row, sum);
      });
}

/// Loops over lines `begin` to `end` of a block: `lineRows` rows of K, of which
/// a lane has `laneBytes` bytes.
TileEmitter::Accumulators
TileEmitter::addLines(Value unit, Value begin, Value end, int64_t lineRows,
                      int64_t laneBytes, ValueRange sums, AddLine addLine) {
  auto loop = scf::ForOp::create(b, begin, end, index(1), sums);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value number = loop.getInductionVar();
  emitFetch(unit, number, layout.block / lineRows);
  Value line =
      arith::MulIOp::create(b, number, index(laneBytes * layout.columns()));
  Value at = arith::MulIOp::create(b, number, index(lineRows));
  auto loadLine = [&](int64_t i) {
    return loadUnit(i / vectors, unit,
                    add(line, laneBytes * (i % vectors) * width),
                    laneBytes * width);
  };
  scf::YieldOp::create(b, addLine(at, loadLine, loop.getRegionIterArgs()));
  return loop.getResults();
}

/// What the sums of a block start from: zero, or the correction for a zero
/// point that all weights have.
TileEmitter::Accumulators TileEmitter::startIntegers(Value unit) {
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(sumType));
  Accumulators start(tileRows * count, zero);
  if (!layout.impliedZero())
    return start;
  // A row has the sum of the block twice, to be multiplied as a pair.
  auto pairsType = VectorType::get({2 * width}, b.getI16Type());
  Value half = arith::ConstantOp::create(
      b, DenseElementsAttr::get(
             pairsType, b.getI16IntegerAttr(-layout.impliedZero() / 2)));
  Value sums = rowElement(unit, index(layout.block));
  for (int64_t r = 0; r < tileRows; ++r) {
    Value correction = gate::DotPairsOp::create(
        b, half, loadRow(r, sums, b.getI16Type()), zero);
    std::fill_n(start.begin() + r * count, count, correction);
  }
  return start;
}

TileEmitter::Accumulators TileEmitter::addInt8(Value unit) {
  auto pairsType = VectorType::get({2 * width}, b.getI16Type());
  return addLines(unit, index(0), index(layout.block / 2), 2, 2,
                  startIntegers(unit),
                  [&](Value at, auto loadLine, ValueRange sums) {
                    auto loadWeights = [&](int64_t i) -> Value {
                      return arith::ExtSIOp::create(b, pairsType, loadLine(i));
                    };
                    return addPairs(unit, at, loadWeights, sums);
                  });
}

TileEmitter::Accumulators TileEmitter::addInt8Quads(Value unit) {
  return addLines(unit, index(0), index(layout.block / 4), 4, 4,
                  startIntegers(unit),
                  [&](Value at, auto loadLine, ValueRange sums) {
                    Value element = rowElement(unit, at);
                    return addProducts(
                        1,
                        [&](int64_t r, int64_t) {
                          return loadRow(r, element, b.getI8Type());
                        },
                        [&](int64_t i, int64_t) { return loadLine(i); }, sums,
                        [&](Value weights, Value row, Value sum) -> Value {
                          return gate::DotBytesOp::create(b, weights, row, sum);
                        });
                  });
}

/// Adds products of four rows of K, then of the next four, for every eight from
/// `begin` to `end`.
TileEmitter::Accumulators TileEmitter::addInt4Stretch(Value unit, Value begin,
                                                      Value end,
                                                      ValueRange sums,
                                                      AddProduct addBytes) {
  auto bytesType = VectorType::get({4 * width}, b.getI8Type());
  return addLines(
      unit, begin, end, 8, 4, sums,
      [&](Value at, auto loadLine, ValueRange sums) {
        Value elements[] = {rowElement(unit, at), rowElement(unit, add(at, 4))};
        SmallVector<Value> words(count);
        auto loadWeights = [&](int64_t i, int64_t half) -> Value {
          if (half == 0)
            words[i] = vector::BitCastOp::create(b, sumType, loadLine(i));
          Value shifted = words[i];
          if (half)
            shifted = arith::ShRUIOp::create(b, shifted, constant(4));
          return vector::BitCastOp::create(
              b, bytesType,
              arith::AndIOp::create(b, shifted, constant(0x0f0f0f0f)));
        };
        return addProducts(
            2,
            [&](int64_t r, int64_t half) {
              return loadRow(r, elements[half], b.getI8Type());
            },
            loadWeights, sums, addBytes);
      });
}

TileEmitter::Accumulators TileEmitter::addInt4(Value unit) {
  if (facts.vnni || !facts.byteProducts)
    return addInt4Stretch(
        unit, index(0), index(layout.block / 8), startIntegers(unit),
        [&](Value weights, Value row, Value sum) -> Value {
          return gate::DotBytesOp::create(b, weights, row, sum);
        });
  // Sums of up to 32 rows of K fit 16 bits: each is of 16 products of at most
  // 15 * 127.
  auto shortType = VectorType::get({2 * width}, b.getI16Type());
  Value none = arith::ConstantOp::create(b, b.getZeroAttr(shortType));
  Value ones = arith::ConstantOp::create(
      b, DenseElementsAttr::get(shortType, b.getI16IntegerAttr(1)));
  constexpr int64_t kStretch = 4; // of eight rows each
  Accumulators next;
  for (int64_t begin = 0; begin < layout.block / 8; begin += kStretch) {
    int64_t end = std::min(begin + kStretch, layout.block / 8);
    Accumulators stretch = addInt4Stretch(
        unit, index(begin), index(end), Accumulators(tileRows * count, none),
        [&](Value weights, Value row, Value sum) -> Value {
          return arith::AddIOp::create(
              b, sum, gate::MultiplyBytesOp::create(b, weights, row));
        });
    // Not earlier: there are no registers for them in the loop.
    if (next.empty())
      next = startIntegers(unit);
    for (auto [sum, part] : llvm::zip_equal(next, stretch))
      sum = gate::DotPairsOp::create(b, part, ones, sum);
  }
  return next;
}

/// Scales the sums of one block and adds them to the accumulators.
void TileEmitter::addBlock(Value unit, ValueRange sums) {
  auto bytesOf = [&](int64_t i, int64_t at, int64_t bytes) {
    return loadUnit(i / vectors, unit, at + i % vectors * width * bytes,
                    width * bytes);
  };
  Accumulators all(sums);
  if (layout.zeros) {
    auto loadZeros = [&](int64_t i) -> Value {
      return arith::ExtSIOp::create(
          b, VectorType::get({2 * width}, b.getI16Type()),
          bytesOf(i, layout.zerosAt(), 2));
    };
    all = addPairs(unit, index(layout.block), loadZeros, all);
  }
  SmallVector<Value> scales;
  for (int64_t i = 0; i < count; ++i)
    scales.push_back(vector::BitCastOp::create(
        b, vectorType, bytesOf(i, layout.scalesAt(), 4)));
  for (int64_t r = 0; r < tileRows; ++r) {
    Value rowScale = broadcastTo(
        b, b.getLoc(),
        memref::LoadOp::create(b, rowScales, ValueRange{sources[r], unit}),
        width);
    for (int64_t i = 0; i < count; ++i) {
      Value scale = arith::MulFOp::create(b, rowScale, scales[i]);
      Value sum = arith::SIToFPOp::create(b, vectorType, all[r * count + i]);
      Value old =
          vector::LoadOp::create(b, vectorType, accumulators, home(r, i));
      vector::StoreOp::create(b, addProduct(sum, scale, old), accumulators,
                              home(r, i));
    }
  }
  // Accumulators are in memory because there are no registers for them beside
  // the sums. Without this fence, which is no instruction, LLVM carries them
  // from block to block in registers, which it spills: 5 to 10 % of a layer.
  LLVM::FenceOp::create(b, LLVM::AtomicOrdering::seq_cst, "singlethread");
}

void TileEmitter::emitIntegers() {
  auto clear = scf::IfOp::create(b, fromZero, /*withElseRegion=*/false);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(clear.thenBlock());
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
    for (int64_t r = 0; r < tileRows; ++r)
      for (int64_t i = 0; i < count; ++i)
        vector::StoreOp::create(b, zero, accumulators, home(r, i));
  }
  auto loop = scf::ForOp::create(b, begin, end, index(1));
  b.setInsertionPointToStart(loop.getBody());
  Value unit = loop.getInductionVar();
  addBlock(unit, layout.format == PanelFormat::Int8        ? addInt8(unit)
                 : layout.format == PanelFormat::Int8Quads ? addInt8Quads(unit)
                                                           : addInt4(unit));
}

} // namespace

void gatecc::keepOutOfLine(func::FuncOp function) {
  Builder b(function.getContext());
  function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
}

void gatecc::forRange(ImplicitLocOpBuilder &b, Value begin, Value end,
                      Value step, llvm::function_ref<void(Value)> body) {
  scf::buildLoopNest(b, b.getLoc(), begin, end, step,
                     [&](OpBuilder &, Location, ValueRange indices) {
                       body(indices.front());
                     });
}

std::string RegisterTiles::getName() const {
  std::string name;
  llvm::raw_string_ostream os(name);
  os << '_';
  if (layout.format == PanelFormat::Plain)
    os << element;
  else
    os << stringifyPanelFormat(layout.format);
  if (layout.isInteger())
    os << '_' << layout.block << (layout.zeros ? "z" : "");
  os << '_' << layout.columns();
  return name;
}

func::FuncOp
RegisterTiles::getFunction(const Twine &symbol, ArrayRef<Type> types,
                           llvm::function_ref<void(func::FuncOp)> emit) {
  std::string name = symbol.str();
  if (auto function = module.lookupSymbol<func::FuncOp>(name))
    return function;
  auto b = ImplicitLocOpBuilder::atBlockEnd(module.getLoc(), module.getBody());
  SmallVector<Type> all{getRowsType()};
  if (layout.isInteger())
    all.push_back(getRowScalesType());
  llvm::append_range(all, types);
  auto function = func::FuncOp::create(b, name, b.getFunctionType(all, {}));
  function.setPrivate();
  keepOutOfLine(function);
  emit(function);
  return function;
}

func::FuncOp RegisterTiles::get(int64_t rows, int64_t panels) {
  Type index = IndexType::get(element.getContext());
  Type flag = IntegerType::get(element.getContext(), 1);
  return getFunction(
      "tile" + getName() + "_" + Twine(rows) + "x" + Twine(panels),
      {getSlotsType(), index, getPackedType(), index, index, index, index,
       getAccumulatorType(), index, flag, index, index, index, index},
      [&](func::FuncOp tile) {
        if (usesAmx())
          return emitAmxTile(tile, layout, rows, panels);
        TileEmitter(tile, layout, element, width, getTileFacts(isa), rows,
                    panels)
            .emit();
      });
}
