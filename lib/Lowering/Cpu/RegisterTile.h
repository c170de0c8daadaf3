// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The innermost loops of contractions: functions that add products of some rows
// and some panels to accumulators. They know no epilogue, so all contractions
// of a library share them, and there may be one for each number of rows.
#ifndef GATECC_LIB_LOWERING_CPU_REGISTERTILE_H
#define GATECC_LIB_LOWERING_CPU_REGISTERTILE_H

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Target/Tiles.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace gatecc {

/// The tiles for panels of one layout and type of accumulators.
class RegisterTiles {
public:
  RegisterTiles(mlir::ModuleOp module, Isa isa, const gate::PanelLayout &layout,
                mlir::Type element);

  /// Whether tiles are in the tile registers of AMX, which the caller of a row
  /// block configures.
  bool usesAmx() const { return layout.format == gate::PanelFormat::Bf16Tiles; }
  /// Rows of a full tile.
  int64_t getMaxRows() const { return maxRows; }
  /// Tiles have a multiple of so many rows. Rows of a tile that are beyond
  /// those of a block are read and computed like others, and then never used.
  int64_t getRowStep() const { return usesAmx() ? kAmxRows : 1; }
  /// Panels that a tile of `rows` rows takes at a time: with few rows, one
  /// panel has too few accumulators to hide the latency of an addition.
  int64_t getNumPanels(int64_t rows) const;
  /// The most rows of a block: whole tiles.
  int64_t getBlockRows() const;
  /// Panels whose accumulators a block keeps.
  int64_t getBlockPanels() const;

  /// [panel][row][lane]
  mlir::MemRefType getAccumulatorType() const;
  /// The row of the source that each row of a block reads.
  mlir::MemRefType getSlotsType() const;
  mlir::MemRefType getRowsType() const;
  /// [row][block], of integers.
  mlir::MemRefType getRowScalesType() const;
  mlir::MemRefType getPackedType() const;
  /// Units of a panel after which the next panel's turn comes: a stretch that
  /// stays in the nearest caches for all tiles of a block.
  int64_t getDepthStep() const;
  /// How many units ahead a tile fetches that reads its panel alone.
  int64_t getUnitsAhead() const;

  /// The function that adds, for `rows` rows of a block from the given one and
  /// `panels` panels, the products of the units k0..k1-1, in this order:
  ///   (rows, [row scales,] slots, first row, packed, group, panel, k0, k1,
  ///   accumulators,
  ///    first panel of the accumulators, whether to start from zero,
  ///    panel, depth, element and step of what to fetch into the second-level
  ///    cache meanwhile: element + (k - k0) * step of the panel at that depth)
  /// A tile of several panels fetches nothing.
  mlir::func::FuncOp get(int64_t rows, int64_t panels);

  /// The function that adds all products of a block of rows with some panels to
  /// zeroed accumulators:
  ///   (rows, [row scales,] slots, number of rows, packed, group, first panel,
  ///    end of panels, accumulators)
  mlir::func::FuncOp getRowBlock();

  const gate::PanelLayout &getLayout() const { return layout; }

private:
  /// The function of a name, made if there is none yet: it takes rows, [row
  /// scales,] and `types`, and `emit` adds its body.
  mlir::func::FuncOp
  getFunction(const llvm::Twine &symbol, llvm::ArrayRef<mlir::Type> types,
              llvm::function_ref<void(mlir::func::FuncOp)> emit);
  /// What tells these tiles from others, for the names of functions.
  std::string getName() const;

  mlir::ModuleOp module;
  Isa isa;
  gate::PanelLayout layout;
  mlir::Type element;
  int64_t width, vectors, maxRows;
};

/// What the `amx_*` ops of a function take as the image of the registers.
mlir::Value allocateAmxImage(mlir::ImplicitLocOpBuilder &b);

/// The body of a tile of AMX, whose rows are a multiple of kAmxRows.
void emitAmxTile(mlir::func::FuncOp tile, const gate::PanelLayout &layout,
                 int64_t tileRows, int64_t panels);

/// Keeps LLVM from copying a function into its callers, which are many.
void keepOutOfLine(mlir::func::FuncOp function);

/// Emits a loop, with what `body` inserts by the same builder.
void forRange(mlir::ImplicitLocOpBuilder &b, mlir::Value begin, mlir::Value end,
              mlir::Value step, llvm::function_ref<void(mlir::Value)> body);

} // namespace gatecc

#endif // GATECC_LIB_LOWERING_CPU_REGISTERTILE_H
