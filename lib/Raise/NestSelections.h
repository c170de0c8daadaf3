// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Selections of selected rows, one inside the other.
#ifndef GATECC_LIB_RAISE_NESTSELECTIONS_H
#define GATECC_LIB_RAISE_NESTSELECTIONS_H

#include "RowSelection.h"

namespace gatecc::raise {

/// Takes in the ops of a block, and rewrites what reads or writes rows of rows,
/// so that each access is by one selection:
///   read(x, outer[last])      -> read(read(x, outer), last)
///   write(y, outer[last], u)  -> write(y, outer, write(read(y, outer), last,
///   u))
/// of which as much falls away as other accesses have just written or write
/// again.
void nestSelections(mlir::Block &block, RowIndices &indices);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_NESTSELECTIONS_H
