// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the functions of all tiles have in common: arguments, and fetching.
#include "lib/Lowering/Cpu/TileFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace gatecc;

TileFunction::TileFunction(func::FuncOp tile, const gate::PanelLayout &layout,
                           int64_t panels)
    : b(tile.getLoc(), tile.getContext()), layout(layout), panels(panels) {
  Block *entry = tile.addEntryBlock();
  b.setInsertionPointToStart(entry);
  auto *next = entry->args_begin();
  rows = *next++;
  if (layout.isInteger())
    rowScales = *next++;
  for (Value *argument :
       {&slots, &firstRow, &packed, &group, &panel, &begin, &end, &accumulators,
        &firstPanel, &fromZero, &nextPanel, &nextUnit, &nextElement, &nextStep})
    *argument = *next++;
}

Value TileFunction::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

Value TileFunction::add(Value value, int64_t offset) {
  return offset ? arith::AddIOp::create(b, value, index(offset)).getResult()
                : value;
}

void TileFunction::emitFetch(Value unit, Value part, int64_t parts) {
  if (panels > 1)
    return;
  Value at = arith::AddIOp::create(
      b, nextElement,
      arith::MulIOp::create(b, arith::SubIOp::create(b, unit, begin),
                            nextStep));
  if (parts > 1)
    at = arith::AddIOp::create(
        b, at,
        arith::MulIOp::create(
            b, part, arith::CeilDivUIOp::create(b, nextStep, index(parts))));
  memref::PrefetchOp::create(b, packed,
                             ValueRange{group, nextPanel, nextUnit, at},
                             /*isWrite=*/false, /*localityHint=*/2,
                             /*isDataCache=*/true);
}
