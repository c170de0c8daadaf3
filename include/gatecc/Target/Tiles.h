// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The one table of tile facts: what the packer, the emitter and the tests read.
#ifndef GATECC_TARGET_TILES_H
#define GATECC_TARGET_TILES_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <iterator>

namespace gatecc {

/// The instruction sets that code generation tells apart: rows of kTileFacts.
enum class Isa {
  Sse2,
  Sse,
  Avx2,
  Avx2Vnni,
  Avx512,
  Avx512Vnni,
  Avx512Bf16,
  Avx512Amx
};

struct TileFacts {
  /// The value of the passes' option `isa`.
  llvm::StringLiteral name;
  int64_t vectorBytes;
  int64_t registers;
  /// Vectors of accumulators for each row of a tile, and rows of a full tile:
  /// they leave room for the panel's vectors and one broadcast.
  int64_t vectors, rows;
  bool fma;
  /// Whether there is an instruction for `multiply_bytes`.
  bool byteProducts;
  /// Whether there is an instruction for `dot_bytes`.
  bool vnni;
  /// Whether there is one for `dot_bf16`, and whether there are the `amx_*`
  /// ops. CPUs that have the one have all before it.
  bool bf16, amx;
  /// Whether there is an instruction that widens f16 (every CPU with AVX2 has
  /// it).
  bool halves;
};

inline constexpr TileFacts kTileFacts[] = {
    {"sse2", 16, 16, 2, 4, false, false, false, false, false, false},
    {"sse", 16, 16, 2, 4, false, true, false, false, false, false},
    {"avx2", 32, 16, 2, 6, true, true, false, false, false, true},
    {"avx2+vnni", 32, 16, 2, 6, true, true, true, false, false, true},
    {"avx512", 64, 32, 2, 8, true, true, false, false, false, true},
    {"avx512+vnni", 64, 32, 2, 8, true, true, true, false, false, true},
    {"avx512+bf16", 64, 32, 2, 8, true, true, true, true, false, true},
    {"avx512+amx", 64, 32, 2, 8, true, true, true, true, true, true},
};
inline const TileFacts &getTileFacts(Isa isa) { return kTileFacts[int(isa)]; }

/// Rows of a tile register of AMX, and the most columns of a panel: its sums, a
/// register of rows and one of weights are eight registers.
inline constexpr int64_t kAmxRows = 16, kAmxColumns = 6 * 16;

/// How `numWeights` weights that share their rows are laid out in one tile:
/// `vectors` for each weight, `rows` in a full tile.
struct TileShape {
  int64_t lanes, vectors, rows;
};
inline TileShape getTileShape(Isa isa, int64_t numWeights,
                              int64_t elementBytes) {
  const TileFacts &facts = getTileFacts(isa);
  int64_t vectors =
      numWeights >= facts.vectors ? 1 : facts.vectors / numWeights;
  int64_t width = facts.vectorBytes / elementBytes;
  int64_t rows = facts.rows;
  while (rows > 1 && rows * vectors * numWeights > facts.rows * facts.vectors)
    --rows;
  return {vectors * width, vectors, rows};
}

/// A name of the table; anything else is Sse.
inline Isa parseIsa(llvm::StringRef name) {
  for (int i = 0; i < int(std::size(kTileFacts)); ++i)
    if (name == kTileFacts[i].name)
      return Isa(i);
  return Isa::Sse;
}

} // namespace gatecc

#endif // GATECC_TARGET_TILES_H
