// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The one table of tile facts: what the packer, the emitter and the tests read.
#ifndef GATECC_TARGET_TILES_H
#define GATECC_TARGET_TILES_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace gatecc {

/// The instruction sets that code generation tells apart.
enum class Isa { Sse, Avx2, Avx512 };

struct TileFacts {
  int64_t vectorBytes;
  /// Vectors of accumulators for each row of a tile, and rows of a full tile.
  int64_t vectors, rows;
  bool fma;
};

/// Register tiles that leave room for the panel's vectors and one broadcast:
/// 16 registers on SSE and AVX2, 32 on AVX-512.
inline TileFacts getTileFacts(Isa isa) {
  switch (isa) {
  case Isa::Sse:
    return {16, 2, 4, false};
  case Isa::Avx2:
    return {32, 2, 6, true};
  case Isa::Avx512:
    return {64, 2, 8, true};
  }
  return {16, 2, 4, false};
}

/// How `numWeights` weights that share their rows are laid out in one tile:
/// `vectors` for each weight, `rows` in a full tile.
struct TileShape {
  int64_t lanes, vectors, rows;
};
inline TileShape getTileShape(Isa isa, int64_t numWeights,
                              int64_t elementBytes) {
  TileFacts facts = getTileFacts(isa);
  int64_t vectors =
      numWeights >= facts.vectors ? 1 : facts.vectors / numWeights;
  int64_t width = facts.vectorBytes / elementBytes;
  int64_t rows = facts.rows;
  while (rows > 1 && rows * vectors * numWeights > facts.rows * facts.vectors)
    --rows;
  return {vectors * width, vectors, rows};
}

/// "sse", "avx2", "avx512"; anything else is Sse.
inline Isa parseIsa(llvm::StringRef name) {
  return name == "avx512" ? Isa::Avx512 : name == "avx2" ? Isa::Avx2 : Isa::Sse;
}

} // namespace gatecc

#endif // GATECC_TARGET_TILES_H
