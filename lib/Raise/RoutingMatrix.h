// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which elements of a matrix of weights [T, E] can be other than zero.
#ifndef GATECC_LIB_RAISE_ROUTINGMATRIX_H
#define GATECC_LIB_RAISE_ROUTINGMATRIX_H

#include "ExpertLanes.h"

namespace gatecc::raise {

/// The ids [T, k] of a choice among `experts` that a weight was computed from,
/// the nearest one; null if there is none.
mlir::Value findChoice(const Lanes &weights, int64_t experts);

/// The same for ids that were looked up or given, one for each token, and are
/// compared with the experts' numbers: a weight is proved to be zero where its
/// expert is not named.
mlir::Value findComparedIds(const Lanes &weights, int64_t experts);

/// Whether weights can be zero by more than chance: something sets them to zero
/// (a mask, a selection, a ReLU).
bool canBeZero(const Lanes &weights);

/// Whether the weight of an expert that a token's ids do not name is +0 or -0,
/// for whatever values; ids are in [0, experts). With `assumeFinite`, for
/// values that are finite and whose quotients are.
bool isZeroElsewhere(const Lanes &weights, mlir::Value ids, int64_t experts,
                     bool assumeFinite);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROUTINGMATRIX_H
