// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes weights in the panels that gate.packed_weight describes.
#ifndef GATECC_LIB_TARGET_CPU_PACKPANELS_H
#define GATECC_LIB_TARGET_CPU_PACKPANELS_H

#include "dialects/Gate/IR/GateOps.h"
#include "llvm/ADT/SmallVector.h"
#include <vector>

namespace gatecc {

/// A tensor in memory: element i is at base + sum i_d * strides_d. In a stack
/// the first index chooses among `parts` instead.
struct View {
  const uint8_t *base = nullptr;
  llvm::SmallVector<int64_t> shape, strides;
  unsigned elementBytes = 0;
  std::vector<const uint8_t *> parts;

  /// Slice i along the first dimension.
  const uint8_t *slice(int64_t i) const {
    return parts.empty() ? base + i * strides[0] : parts[i];
  }
};

/// Copies `count` elements that are `stride` bytes apart to consecutive ones.
void copyElements(uint8_t *out, const uint8_t *in, int64_t count,
                  int64_t stride, unsigned elementBytes);

/// One weight: floats [G, K, N] or [K, N], or, with scales, integers in the
/// layout of gate.dequantize.
struct PanelSource {
  View values, scales, zeros;
  mlir::Type element; // of the values
  int64_t bits = 0, block = 0;
  bool asymmetric = false; // floats get a zero point when they are quantised

  bool isQuantized() const { return !scales.shape.empty(); }
};

/// Packs sources of one type to `out`, the whole of it.
void packPanels(const gate::PanelLayout &layout,
                llvm::ArrayRef<PanelSource> sources, uint8_t *out);

} // namespace gatecc

#endif // GATECC_LIB_TARGET_CPU_PACKPANELS_H
