// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which numbers a tensor of integers can hold.
#ifndef GATECC_LIB_RAISE_INTEGERBOUNDS_H
#define GATECC_LIB_RAISE_INTEGERBOUNDS_H

#include "Interval.h"
#include "mlir/IR/BuiltinTypes.h"

namespace gatecc::raise {

/// An interval that holds all elements of a tensor of integers: of constants,
/// of what a top-k or a search for the largest element chose, of what scalar
/// arithmetic makes of these. Anything, if nothing is known.
Interval boundsOfIntegers(mlir::Value tensor);

/// The number of columns in which a search for the largest or least element of
/// each row has found `ids`; 0 if they come from something else.
int64_t searchedColumns(mlir::Value ids);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_INTEGERBOUNDS_H
