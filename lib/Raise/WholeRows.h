// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Scatters of all elements of rows, as scatters of rows.
#ifndef GATECC_LIB_RAISE_WHOLEROWS_H
#define GATECC_LIB_RAISE_WHOLEROWS_H

#include "mlir/IR/Block.h"

namespace gatecc::raise {

/// Exporters write y[mask] = rows element by element: the mask is repeated
/// along the columns, and the rows are flattened; and torch.index_copy with an
/// index that is repeated along the columns. Makes them writes of rows.
void writeWholeRows(mlir::Block &block);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_WHOLEROWS_H
