// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elements of constant tensors as they lie in files.
#ifndef GATECC_LIB_IMPORT_SOURCE_ELEMENTS_H
#define GATECC_LIB_IMPORT_SOURCE_ELEMENTS_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"

namespace gatecc {

/// More dimensions than any network has.
inline constexpr size_t maxRank = 16;

/// Tensors of at most so many bytes become constants in the IR, like those that
/// repeat one element.
inline constexpr int64_t smallConstantBytes = 1024;

/// Bytes of an element in a file (a bool takes one).
int64_t elementBytes(mlir::Type element);
/// Is the number of bytes of a static shape representable?
bool fitsMemory(llvm::ArrayRef<int64_t> shape, mlir::Type element);
/// Are the bytes of all elements the same? Found at the first that differs, so
/// that the bytes of weights are hardly touched.
bool repeatsOneElement(mlir::RankedTensorType type, llvm::StringRef bytes);
/// Elements from their bytes in a file: little-endian, contiguous, of right
/// size.
mlir::DenseElementsAttr denseFromBytes(mlir::RankedTensorType type,
                                       llvm::StringRef bytes);
/// Is each byte 0 or 1?
bool areBools(llvm::StringRef bytes);
/// The byte strides of a contiguous tensor.
llvm::SmallVector<int64_t> contiguousStrides(mlir::RankedTensorType type);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_SOURCE_ELEMENTS_H
