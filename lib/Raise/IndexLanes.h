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

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_INDEXLANES_H
