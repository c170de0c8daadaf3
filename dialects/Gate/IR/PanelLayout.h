// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How packed weights lie in memory: what the packer writes and tiles read.
#ifndef GATECC_DIALECTS_GATE_IR_PANELLAYOUT
#define GATECC_DIALECTS_GATE_IR_PANELLAYOUT

#include "dialects/Gate/IR/FloatTypes.h"
#include <cstdint>

namespace gatecc::gate {

/// A panel is a sequence of units along K; see gate.packed_weight. A unit of an
/// integer panel is a block: products, correction of zero points, scales.
struct PanelLayout {
  PanelFormat format;
  int64_t weights, lanes, k;
  /// Rows of K that share a scale, a multiple of 8; integer formats only.
  int64_t block = 0;
  /// Whether an integer block has corrections for zero points.
  bool zeros = false;

  bool isInteger() const {
    return format == PanelFormat::Int8 || hasByteRows();
  }
  /// Whether weights have no sign and a zero point, so that they are multiplied
  /// as bytes with rows of bytes.
  bool hasByteRows() const {
    return format == PanelFormat::Int8Quads || format == PanelFormat::Int4;
  }
  /// The zero point of all stored integers where a block has none of its own.
  int64_t impliedZero() const {
    return zeros                              ? 0
           : format == PanelFormat::Int4      ? 8
           : format == PanelFormat::Int8Quads ? 128
                                              : 0;
  }
  /// Whether rows are rounded to bf16 like the weights.
  bool hasBf16Rows() const {
    return format == PanelFormat::Bf16Pairs || format == PanelFormat::Bf16Tiles;
  }
  bool isBf16() const { return format == PanelFormat::Bf16 || hasBf16Rows(); }
  /// Columns of a panel, over all weights.
  int64_t columns() const { return weights * lanes; }
  /// Rows of K in a unit, and units in a panel.
  int64_t unitRows() const {
    if (format == PanelFormat::Bf16Tiles)
      return 32;
    return isInteger() ? block : isBf16() ? 2 : 1;
  }
  int64_t units() const { return (k + unitRows() - 1) / unitRows(); }
  /// Where the parts of an integer block begin, in bytes.
  int64_t zerosAt() const {
    return columns() * block / (format == PanelFormat::Int4 ? 2 : 1);
  }
  int64_t scalesAt() const { return zerosAt() + (zeros ? 2 * columns() : 0); }
  /// Elements of a unit in the packed tensor.
  int64_t unitElements() const {
    if (isInteger())
      return scalesAt() + 4 * columns();
    return columns() * unitRows();
  }
  mlir::Type elementType(mlir::Type source) const {
    mlir::MLIRContext *context = source.getContext();
    if (isInteger())
      return mlir::IntegerType::get(context, 8);
    if (isBf16())
      return mlir::BFloat16Type::get(context);
    if (format == PanelFormat::F16)
      return mlir::Float16Type::get(context);
    return computedIn(source);
  }
  /// Elements of a unit of rows that are not as the network has them. A block
  /// of quantised rows: its integers, then their sum twice, 16 bits each, to be
  /// multiplied with a correction.
  int64_t rowUnitElements() const {
    if (isInteger())
      return block + (hasByteRows() ? 4 : 2);
    return unitRows();
  }
  /// Elements of such a row. A row of bf16t is an odd number of cache lines
  /// long: 16 rows would meet in one set of a cache if it were 4 KB.
  int64_t rowElements() const {
    int64_t length = format == PanelFormat::Bf16Tiles ? units() | 1 : units();
    return length * rowUnitElements();
  }
  mlir::Type rowType(mlir::Type source) const {
    if (hasBf16Rows())
      return mlir::BFloat16Type::get(source.getContext());
    if (!isInteger())
      return source;
    return mlir::IntegerType::get(source.getContext(), hasByteRows() ? 8 : 16);
  }
};

} // namespace gatecc::gate

#endif // GATECC_DIALECTS_GATE_IR_PANELLAYOUT
