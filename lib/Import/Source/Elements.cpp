// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sizes of elements in files, and constants from their bytes.
#include "lib/Import/Source/Elements.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace gatecc;

int64_t gatecc::elementBytes(Type element) {
  return llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
}

bool gatecc::fitsMemory(ArrayRef<int64_t> shape, Type element) {
  int64_t size = elementBytes(element);
  bool overflow = false;
  for (int64_t extent : shape)
    overflow |= llvm::MulOverflow(size, std::max<int64_t>(extent, 1), size);
  return !overflow;
}

bool gatecc::areBools(StringRef bytes) {
  return llvm::all_of(bytes, [](char byte) { return byte == 0 || byte == 1; });
}

bool gatecc::repeatsOneElement(RankedTensorType type, StringRef bytes) {
  int64_t count = type.getNumElements();
  if (count == 0)
    return false;
  size_t size = bytes.size() / count;
  return size > 0 && bytes.drop_front(size) == bytes.drop_back(size);
}

DenseElementsAttr gatecc::denseFromBytes(RankedTensorType type,
                                         StringRef bytes) {
  int64_t count = type.getNumElements();
  if (count == 0)
    return DenseElementsAttr::get(type, ArrayRef<Attribute>());
  if (repeatsOneElement(type, bytes))
    bytes = bytes.take_front(bytes.size() / count);
  if (type.getElementType().isInteger(1)) {
    SmallVector<bool> bools(
        llvm::map_range(bytes, [](char c) { return c != 0; }));
    return DenseElementsAttr::get(type, ArrayRef<bool>(bools));
  }
  return DenseElementsAttr::getFromRawBuffer(
      type, ArrayRef<char>(bytes.data(), bytes.size()));
}

SmallVector<int64_t> gatecc::contiguousStrides(RankedTensorType type) {
  SmallVector<int64_t> strides(type.getRank());
  int64_t stride = elementBytes(type.getElementType());
  for (int64_t d = type.getRank() - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= type.getDimSize(d);
  }
  return strides;
}
