// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Windows that slide over the trailing dimensions of a tensor: what pooling and
// convolution share.
#ifndef GATECC_LIB_IMPORT_OPERATORS_WINDOWS_H
#define GATECC_LIB_IMPORT_OPERATORS_WINDOWS_H

#include "gatecc/Import/Operators.h"

namespace gatecc {

/// Windows over the dimensions 2, 3, ... of a tensor: window o of an axis reads
/// the elements o * stride + w * dilation - before, 0 <= w < kernel.
struct Windows {
  llvm::SmallVector<int64_t> kernel, strides, dilations;
  Extents before, after; // padding
  Extents input, output; // the extents of the axes, and the numbers of windows
  unsigned rank() const { return kernel.size(); }
};

/// The windows that the attributes strides, dilations, pads, auto_pad and
/// ceil_mode describe on dimensions 2, 3, ... of a tensor of `shape`.
mlir::FailureOr<Windows> windowsOf(GraphBuilder &builder,
                                   const OperatorCall &call,
                                   llvm::ArrayRef<Extent> shape,
                                   llvm::ArrayRef<int64_t> kernel);
/// The attribute `name` with one number above 0 for each axis, 1 if absent.
mlir::FailureOr<llvm::SmallVector<int64_t>>
positiveList(GraphBuilder &builder, const OperatorCall &call,
             llvm::StringRef name, unsigned rank);
/// The place that window `output` reads at `offset` along an axis.
mlir::Value windowPlace(mlir::OpBuilder &at, mlir::Location loc,
                        const Windows &windows, unsigned axis,
                        mlir::Value before, mlir::Value output,
                        mlir::Value offset);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_WINDOWS_H
