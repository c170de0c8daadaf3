// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits the tiles of AMX: a register holds the sums of 16 rows and 16 columns,
// and one instruction adds the products of 32 rows of K to it. The order over
// k is that of the instruction, so that a row has the same bits in any batch
// only if all tiles of a contraction are of this kind, those of a single row
// too. Registers always have 16 rows: with a single row the time is that of
// reading the weights anyway, and they are configured once for each task.
#include "lib/Lowering/Cpu/RegisterTile.h"
#include "lib/Lowering/Cpu/TileFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace gatecc;

namespace {

constexpr int64_t kRegisters = 8, kColumns = 16;

class AmxTileEmitter : TileFunction {
public:
  AmxTileEmitter(func::FuncOp tile, const gate::PanelLayout &layout,
                 int64_t tileRows, int64_t panels);
  void emit();

private:
  /// Registers: sums of row tile r and column tile c; rows; weights, of which
  /// there are as many as are left, so that loads need not wait for products.
  int64_t sums(int64_t r, int64_t c) const { return r * columnTiles + c; }
  int64_t rowsOf(int64_t r) const { return rowTiles * columnTiles + r; }
  int64_t weightsOf(int64_t c) const {
    int64_t first = rowsOf(rowTiles);
    return first + c % (kRegisters - first);
  }
  void forSums(llvm::function_ref<void(int64_t number, ValueRange home)> body);
  void addUnit(Value unit);

  int64_t rowTiles, vectors, columnTiles; // vectors: column tiles of a panel
  Value image, firstSource, rowStride, weightStride, sumStride;
};

AmxTileEmitter::AmxTileEmitter(func::FuncOp tile,
                               const gate::PanelLayout &layout,
                               int64_t tileRows, int64_t panels)
    : TileFunction(tile, layout, panels), rowTiles(tileRows / kAmxRows),
      vectors(layout.columns() / kColumns), columnTiles(panels * vectors) {
  image = allocateAmxImage(b);
  // The rows of a block follow one another: see gate.packed_contract.
  firstSource = memref::LoadOp::create(b, slots, firstRow);
  rowStride =
      memref::ExtractStridedMetadataOp::create(b, rows).getStrides().front();
  weightStride = index(2 * layout.columns());
  sumStride = index(layout.columns());
}

void AmxTileEmitter::forSums(
    llvm::function_ref<void(int64_t number, ValueRange home)> body) {
  for (int64_t r = 0; r < rowTiles; ++r)
    for (int64_t c = 0; c < columnTiles; ++c)
      body(sums(r, c),
           {add(firstPanel, c / vectors), add(firstRow, r * kAmxRows),
            index(c % vectors * kColumns)});
}

/// Adds the products of 32 rows of K.
void AmxTileEmitter::addUnit(Value unit) {
  Value k = arith::MulIOp::create(b, unit, index(layout.unitRows()));
  for (int64_t r = 0; r < rowTiles; ++r)
    gate::AmxLoadOp::create(b, image, rowsOf(r), rows,
                            ValueRange{add(firstSource, r * kAmxRows), k},
                            rowStride);
  // A part of what comes next for each line of 64 bytes that a tile may have to
  // fetch: there are at least two tiles where something is fetched at all.
  int64_t lines = layout.unitElements() / 2 / (kColumns * 2);
  int64_t step = std::max<int64_t>(1, lines / columnTiles), line = 0;
  for (int64_t c = 0; c < columnTiles; ++c) {
    gate::AmxLoadOp::create(b, image, weightsOf(c), packed,
                            ValueRange{group, add(panel, c / vectors), unit,
                                       index(c % vectors * 2 * kColumns)},
                            weightStride);
    for (int64_t r = 0; r < rowTiles; ++r)
      gate::AmxDotBf16Op::create(b, image, sums(r, c), rowsOf(r), weightsOf(c));
    for (int64_t end = std::min(lines, line + step); line < end; ++line)
      emitFetch(unit, index(line), lines);
  }
}

void AmxTileEmitter::emit() {
  auto start = scf::IfOp::create(b, fromZero, /*withElseRegion=*/true);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(start.thenBlock());
    forSums([&](int64_t number, ValueRange) {
      gate::AmxZeroOp::create(b, image, number);
    });
    b.setInsertionPointToStart(start.elseBlock());
    forSums([&](int64_t number, ValueRange home) {
      gate::AmxLoadOp::create(b, image, number, accumulators, home, sumStride);
    });
  }
  forRange(b, begin, end, index(1), [&](Value unit) { addUnit(unit); });
  forSums([&](int64_t number, ValueRange home) {
    gate::AmxStoreOp::create(b, image, number, accumulators, home, sumStride);
  });
  func::ReturnOp::create(b);
}

} // namespace

Value gatecc::allocateAmxImage(ImplicitLocOpBuilder &b) {
  return memref::AllocaOp::create(
      b, MemRefType::get({kRegisters, kAmxRows, kColumns}, b.getI32Type()),
      b.getI64IntegerAttr(64));
}

void gatecc::emitAmxTile(func::FuncOp tile, const gate::PanelLayout &layout,
                         int64_t tileRows, int64_t panels) {
  AmxTileEmitter(tile, layout, tileRows, panels).emit();
}
