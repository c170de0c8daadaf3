// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What an index along lanes is: the number of its own token, or an id that
// something has decided on.
#ifndef GATECC_LIB_RAISE_INDEXLANES_H
#define GATECC_LIB_RAISE_INDEXLANES_H

#include "ExpertLanes.h"

namespace gatecc::raise {

struct IndexLanes {
  /// The factors of tokens that the index numbers; or, if there are none,
  Axes tokens;
  /// the ids, as they were decided on.
  Lanes ids;
};

/// Reads the elements `columns` (one of them) of `lanes` through views, casts,
/// concatenations of coordinates and the wrap of negative indices.
std::optional<IndexLanes> readIndex(Lanes lanes, Columns columns);

/// The same for an index into some dimensions of `data` that were collapsed to
/// one: a sum of coordinates, each times the size of the dimensions inside of
/// its own. In order of `dims`; ids exist in the dimension that they index,
/// other than, maybe, in the outermost one.
std::optional<llvm::SmallVector<IndexLanes, 0>>
readFlatIndex(const Lanes &lanes, mlir::Value data,
              llvm::ArrayRef<int64_t> dims);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_INDEXLANES_H
