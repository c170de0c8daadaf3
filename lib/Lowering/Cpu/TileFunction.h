// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the functions of all tiles have in common: arguments, and fetching.
#ifndef GATECC_LIB_LOWERING_CPU_TILEFUNCTION_H
#define GATECC_LIB_LOWERING_CPU_TILEFUNCTION_H

#include "dialects/Gate/IR/GateOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace gatecc {

/// The function of a tile under construction; see RegisterTiles::get.
struct TileFunction {
  TileFunction(mlir::func::FuncOp tile, const gate::PanelLayout &layout,
               int64_t panels);

  mlir::Value index(int64_t value);
  mlir::Value add(mlir::Value value, int64_t offset);
  /// Fetches part `part` of `parts` of what comes next while a tile is at
  /// `unit`: one line at a time, for a burst of prefetches would hold up loads.
  void emitFetch(mlir::Value unit, mlir::Value part, int64_t parts);

  mlir::ImplicitLocOpBuilder b;
  const gate::PanelLayout &layout;
  int64_t panels;
  mlir::Value rows, rowScales, slots, firstRow, packed, group, panel, begin,
      end, accumulators, firstPanel, fromZero, nextPanel, nextUnit, nextElement,
      nextStep;
};

} // namespace gatecc

#endif // GATECC_LIB_LOWERING_CPU_TILEFUNCTION_H
