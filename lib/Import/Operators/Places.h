// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensors made element by element from the indices of each place, and reads
// that cannot leave a tensor.
#ifndef GATECC_LIB_IMPORT_OPERATORS_PLACES_H
#define GATECC_LIB_IMPORT_OPERATORS_PLACES_H

#include "gatecc/Import/GraphBuilder.h"

namespace gatecc {

/// A tensor whose element at each place is what `body` makes of the indices.
mlir::Value fillPlaces(GraphBuilder &builder, llvm::ArrayRef<Extent> shape,
                       mlir::Type element, ScalarBody body);
/// tensor[indices] where each index is in [0, its size), else `outside`. An
/// index without a size (null) is never outside.
mlir::Value readInside(mlir::OpBuilder &at, mlir::Location loc,
                       mlir::Value tensor, mlir::ValueRange indices,
                       mlir::ValueRange sizes, mlir::Value outside);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_PLACES_H
