// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which elements of a matrix of weights [T, E] can be other than zero.
#ifndef GATECC_LIB_RAISE_ROUTINGMATRIX_H
#define GATECC_LIB_RAISE_ROUTINGMATRIX_H

#include "ExpertLanes.h"

namespace gatecc::raise {

/// The ids [T, k] of a choice among `experts` that a weight was computed from,
/// the nearest one; null if there is none.
mlir::Value findChoice(const Lanes &weights, int64_t experts);

/// Whether the weight of an expert that a token's ids do not name is +0 or -0,
/// for whatever values. With `assumeFinite`, for values that are finite and
/// whose quotients are.
bool isZeroElsewhere(const Lanes &weights, mlir::Value ids, int64_t experts,
                     bool assumeFinite);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROUTINGMATRIX_H
