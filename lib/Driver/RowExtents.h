// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How many rows a tensor has, in terms of the dimensions of the inputs.
#ifndef GATECC_LIB_DRIVER_ROWEXTENTS_H
#define GATECC_LIB_DRIVER_ROWEXTENTS_H

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/DenseMap.h"
#include <optional>
#include <string>
#include <vector>

namespace gatecc {

/// A number times named dimensions.
struct ExtentProduct {
  int64_t coefficient = 1;
  std::vector<std::string> names; // in the order of the tensor's dimensions

  /// "B", "2*B*S", "64".
  std::string text() const;
};

/// Reads extents off modules at the level Gate; remembers what it has seen, so
/// that many questions about one module are linear in its size.
class RowExtents {
public:
  /// The extent `dim` of `tensor`; none where a run decides it, as for the rows
  /// of a group.
  std::optional<ExtentProduct> extentOf(mlir::Value tensor, int64_t dim);

private:
  std::optional<ExtentProduct> sizeOf(mlir::Value index);
  std::optional<ExtentProduct>
  collapsedExtent(mlir::tensor::CollapseShapeOp collapse, int64_t dim);

  llvm::DenseMap<std::pair<mlir::Value, int64_t>, std::optional<ExtentProduct>>
      known;
};

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_ROWEXTENTS_H
