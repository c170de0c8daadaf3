// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products with gathered vectors: of each expert one number for a row.
#ifndef GATECC_LIB_RAISE_EXPERTVECTORS_H
#define GATECC_LIB_RAISE_EXPERTVECTORS_H

#include "gatecc/Import/GraphBuilder.h"

namespace gatecc::raise {

/// Whether a value is a product with rows that ids gather from a constant
/// table, each of which is summed up to a number.
bool isVectorProduct(GraphBuilder &graph, mlir::Value value);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_EXPERTVECTORS_H
