// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Bits that say which rows of a loop are at rest, whatever the iteration.
#ifndef GATECC_LIB_RAISE_ROWREST_H
#define GATECC_LIB_RAISE_ROWREST_H

#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseSet.h"
#include <optional>

namespace gatecc::raise {

class RowLoop;

/// Rows whose bit is `value` keep all that the loop carries of them, in this
/// iteration and in all further ones.
struct RowRest {
  mlir::Value bits;
  bool value = false;
};

/// Looks for such bits among the conditions of the selections that keep rows.
/// `timed` is what changes from iteration to iteration for all rows alike.
std::optional<RowRest> findRest(const RowLoop &loop,
                                const llvm::DenseSet<mlir::Value> &timed);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROWREST_H
