// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits the loops over the register tiles of a block of rows:
//   for a stretch of k { for panel { for tile of rows { add products } } }
// All tiles use a stretch of a panel while it is in the nearest caches, and
// meanwhile fetch the stretch that comes next. A block of a single tile takes
// panels whole, several at a time where its rows are few.
#include "lib/Lowering/Cpu/RegisterTile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace gatecc;

namespace {

class RowBlockEmitter {
public:
  RowBlockEmitter(func::FuncOp block, RegisterTiles &tiles);
  void emit();

private:
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value subtract(Value x, Value y) { return arith::SubIOp::create(b, x, y); }
  Value multiply(Value x, Value y) { return arith::MulIOp::create(b, x, y); }
  Value smaller(Value x, Value y) { return arith::MinSIOp::create(b, x, y); }
  Value choose(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, condition, x, y);
  }
  Value isLess(Value x, Value y) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::slt, x, y);
  }
  void switchRows(Value number, int64_t most,
                  llvm::function_ref<void(int64_t)> body);
  /// What a tile fetches: see RegisterTiles::get.
  struct Fetch {
    Value panel, unit, element, step;
  };
  void callTile(int64_t tileRows, int64_t panels, Value row, Value panel,
                Value k, Value kEnd, const Fetch &fetch);
  Value emitSeveralPanels(Value k, Value kEnd);
  void emitPanels(Value begin, Value k, Value kEnd);

  RegisterTiles &tiles;
  ImplicitLocOpBuilder b;
  Value rows, rowScales, slots, count, packed, group, firstPanel, endPanel,
      accumulators;
  int64_t rowStep, maxSteps; // a step is of rowStep rows
  Value steps, numTiles, areSeveral, depth;
};

RowBlockEmitter::RowBlockEmitter(func::FuncOp block, RegisterTiles &tiles)
    : tiles(tiles), b(block.getLoc(), block.getContext()),
      rowStep(tiles.getRowStep()), maxSteps(tiles.getMaxRows() / rowStep) {
  Block *entry = block.addEntryBlock();
  b.setInsertionPointToStart(entry);
  auto *next = entry->args_begin();
  rows = *next++;
  if (tiles.getLayout().isInteger())
    rowScales = *next++;
  for (Value *argument :
       {&slots, &count, &packed, &group, &firstPanel, &endPanel, &accumulators})
    *argument = *next++;
}

void RowBlockEmitter::emit() {
  Value zero = index(0), one = index(1);
  steps =
      rowStep == 1
          ? count
          : arith::CeilDivSIOp::create(b, count, index(rowStep)).getResult();
  numTiles = arith::CeilDivSIOp::create(b, steps, index(maxSteps));
  areSeveral = isLess(one, numTiles);
  depth = memref::DimOp::create(b, packed, 2);
  // Without products the accumulators still have to become zero.
  Value depthEnd = arith::MaxSIOp::create(b, depth, one);
  Value step = choose(areSeveral, index(tiles.getDepthStep()), depthEnd);
  forRange(b, zero, depthEnd, step, [&](Value k) {
    Value kEnd = smaller(add(k, step), depth);
    emitPanels(emitSeveralPanels(k, kEnd), k, kEnd);
  });
  func::ReturnOp::create(b);
}

void RowBlockEmitter::switchRows(Value number, int64_t most,
                                 llvm::function_ref<void(int64_t)> body) {
  SmallVector<int64_t> cases;
  for (int64_t n = 1; n <= most; ++n)
    cases.push_back(n);
  auto choice =
      scf::IndexSwitchOp::create(b, TypeRange{}, number, cases, cases.size());
  OpBuilder::InsertionGuard guard(b);
  for (auto [n, region] : llvm::zip(cases, choice.getCaseRegions())) {
    b.createBlock(&region);
    body(n);
    scf::YieldOp::create(b);
  }
  b.createBlock(&choice.getDefaultRegion());
  scf::YieldOp::create(b);
}

void RowBlockEmitter::callTile(int64_t tileRows, int64_t panels, Value row,
                               Value panel, Value k, Value kEnd,
                               const Fetch &fetch) {
  Value fromZero =
      arith::CmpIOp::create(b, arith::CmpIPredicate::eq, k, index(0));
  SmallVector<Value> operands{rows};
  if (rowScales)
    operands.push_back(rowScales);
  operands.append({slots, row, packed, group, panel, k, kEnd, accumulators,
                   subtract(panel, firstPanel), fromZero, fetch.panel,
                   fetch.unit, fetch.element, fetch.step});
  func::CallOp::create(b, tiles.get(tileRows, panels), operands);
}

/// As many panels as can be taken several at a time; returns the next one.
Value RowBlockEmitter::emitSeveralPanels(Value k, Value kEnd) {
  int64_t most = 0;
  while (most < maxSteps && tiles.getNumPanels((most + 1) * rowStep) > 1)
    ++most;
  Value few = isLess(steps, index(most + 1));
  auto branch =
      scf::IfOp::create(b, TypeRange{b.getIndexType()}, few, true, true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, ValueRange{firstPanel});
  b.setInsertionPointToStart(branch.thenBlock());
  Value four = isLess(steps, index(maxSteps / 4 + 1));
  Value atOnce = choose(four, index(4), index(2));
  Value end = subtract(
      endPanel,
      arith::RemSIOp::create(b, subtract(endPanel, firstPanel), atOnce));
  forRange(b, firstPanel, end, atOnce, [&](Value panel) {
    Value zero = index(0);
    switchRows(steps, most, [&](int64_t n) {
      callTile(n * rowStep, tiles.getNumPanels(n * rowStep), zero, panel, k,
               kEnd, {panel, k, zero, zero});
    });
  });
  scf::YieldOp::create(b, ValueRange{end});
  return branch.getResult(0);
}

void RowBlockEmitter::emitPanels(Value begin, Value k, Value kEnd) {
  Value zero = index(0), one = index(1);
  // The rows of the block are shared out evenly: 7 are 4 and 3, not 6 and 1.
  Value divisor = arith::MaxSIOp::create(b, numTiles, one);
  Value low = arith::DivSIOp::create(b, steps, divisor);
  Value more = arith::RemSIOp::create(b, steps, divisor);
  Value length = subtract(kEnd, k);
  Value ahead = index(tiles.getUnitsAhead());
  Value whole = index(tiles.getLayout().unitElements());
  Value step = arith::CeilDivSIOp::create(b, whole, divisor);
  forRange(b, begin, endPanel, one, [&](Value panel) {
    Value next = add(panel, one);
    Value isInside = isLess(next, endPanel);
    Value nextK = choose(isInside, k, smaller(kEnd, subtract(depth, length)));
    Fetch fetch = {choose(isInside, next, firstPanel), nextK, {}, step};
    // A single tile reads panels once, from end to end, and stays ahead of
    // itself by more than the machine does, which stops at pages.
    fetch.panel = choose(areSeveral, fetch.panel, panel);
    fetch.unit = choose(areSeveral, fetch.unit, add(k, ahead));
    fetch.step = choose(areSeveral, step, whole);
    forRange(b, zero, numTiles, one, [&](Value t) {
      fetch.element = multiply(t, multiply(length, step));
      Value row = add(multiply(t, low), smaller(t, more));
      if (rowStep > 1)
        row = multiply(row, index(rowStep));
      Value size = choose(isLess(t, more), add(low, one), low);
      switchRows(size, maxSteps, [&](int64_t n) {
        callTile(n * rowStep, 1, row, panel, k, kEnd, fetch);
      });
    });
  });
}

} // namespace

func::FuncOp RegisterTiles::getRowBlock() {
  Type index = IndexType::get(element.getContext());
  return getFunction(
      "rows" + getName(),
      {getSlotsType(), index, getPackedType(), index, index, index,
       getAccumulatorType()},
      [&](func::FuncOp block) { RowBlockEmitter(block, *this).emit(); });
}
