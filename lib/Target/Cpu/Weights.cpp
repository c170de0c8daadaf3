// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Evaluates weights: strided copies and panel packing from mapped files.
#include "gatecc/Target/Weights.h"

#include "dialects/Gate/IR/GateOps.h"
#include "lib/Target/Cpu/WeightPlaces.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cstring>

using namespace mlir;
using namespace gatecc;

namespace {
/// A tensor in memory: bytes of element i are at base + sum i_d * strides_d.
struct View {
  const uint8_t *base = nullptr;
  SmallVector<int64_t> shape, strides;
  unsigned elementBytes = 0;
};

class Evaluator {
public:
  LogicalResult evaluate(const PlacedWeight &weight, uint8_t *out);

private:
  FailureOr<View> view(gate::WeightOp op);
  FailureOr<View> viewOfFile(gate::WeightOp op, RankedTensorType type,
                             unsigned elementBytes);
  FailureOr<View> viewOfValue(gate::WeightOp op, RankedTensorType type,
                              unsigned elementBytes);

  llvm::StringMap<std::unique_ptr<llvm::MemoryBuffer>> files;
  SmallVector<std::vector<uint8_t>> values; // bytes that views point to
};
} // namespace

static void copyElements(uint8_t *out, const uint8_t *in, int64_t count,
                         int64_t stride, unsigned elementBytes) {
  if (stride == int64_t(elementBytes)) {
    std::memcpy(out, in, count * elementBytes);
    return;
  }
  // One loop for each size, so that the compiler knows it.
  auto loop = [&](auto size) {
    for (int64_t i = 0; i < count; ++i)
      std::memcpy(out + i * size, in + i * stride, size);
  };
  switch (elementBytes) {
  case 1:
    return loop(std::integral_constant<int, 1>());
  case 2:
    return loop(std::integral_constant<int, 2>());
  case 4:
    return loop(std::integral_constant<int, 4>());
  default:
    return loop(std::integral_constant<int, 8>());
  }
}

/// Copies the dimensions from `dim` on to consecutive bytes at `out`.
static void copyView(const View &view, size_t dim, const uint8_t *in,
                     uint8_t *out) {
  size_t rank = view.shape.size();
  if (rank == 0) {
    std::memcpy(out, in, view.elementBytes);
    return;
  }
  if (dim + 1 == rank)
    return copyElements(out, in, view.shape[dim], view.strides[dim],
                        view.elementBytes);
  int64_t rowBytes = view.elementBytes;
  for (size_t d = dim + 1; d < rank; ++d)
    rowBytes *= view.shape[d];
  // Transposed: a tile of columns at a time, so that the lines of the source
  // that a row touches are still in the cache for the next row.
  if (dim + 2 == rank && view.strides[dim] < view.strides[dim + 1]) {
    constexpr int64_t kTile = 64;
    for (int64_t j = 0; j < view.shape[dim + 1]; j += kTile)
      for (int64_t i = 0; i < view.shape[dim]; ++i)
        copyElements(out + i * rowBytes + j * view.elementBytes,
                     in + i * view.strides[dim] + j * view.strides[dim + 1],
                     std::min(kTile, view.shape[dim + 1] - j),
                     view.strides[dim + 1], view.elementBytes);
    return;
  }
  for (int64_t i = 0; i < view.shape[dim]; ++i)
    copyView(view, dim + 1, in + i * view.strides[dim], out + i * rowBytes);
}

FailureOr<View> Evaluator::viewOfFile(gate::WeightOp op, RankedTensorType type,
                                      unsigned elementBytes) {
  StringRef path = *op.getFile();
  std::unique_ptr<llvm::MemoryBuffer> &file = files[path];
  if (!file) {
    auto opened = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                              /*RequiresNullTerminator=*/false);
    if (!opened)
      return op.emitError("cannot read the weights in '")
             << path << "': " << opened.getError().message();
    file = std::move(*opened);
  }
  // The last byte that the view touches, exactly.
  __int128 end = __int128(int64_t(op.getOffset())) + elementBytes;
  bool isEmpty = false;
  for (auto [extent, stride] :
       llvm::zip_equal(type.getShape(), *op.getStrides())) {
    isEmpty |= extent == 0;
    end += __int128(extent - 1) * stride;
  }
  if (!isEmpty &&
      (int64_t(op.getOffset()) < 0 || end > __int128(file->getBufferSize())))
    return op.emitError("the weight '")
           << op.getSymName() << "' of type " << type << " at byte "
           << op.getOffset() << " lies beyond the end of '" << path << "' ("
           << file->getBufferSize() << " bytes); the file is too short";
  View view;
  view.base = reinterpret_cast<const uint8_t *>(file->getBufferStart());
  if (!isEmpty)
    view.base += op.getOffset();
  view.shape.assign(type.getShape().begin(), type.getShape().end());
  view.strides.assign(op.getStrides()->begin(), op.getStrides()->end());
  view.elementBytes = elementBytes;
  return view;
}

FailureOr<View> Evaluator::viewOfValue(gate::WeightOp op, RankedTensorType type,
                                       unsigned elementBytes) {
  View view;
  view.elementBytes = elementBytes;
  view.shape.assign(type.getShape().begin(), type.getShape().end());
  view.strides.resize(type.getRank());
  int64_t stride = elementBytes;
  for (int64_t d = type.getRank() - 1; d >= 0; --d) {
    view.strides[d] = stride;
    stride *= type.getDimSize(d);
  }
  std::vector<uint8_t> bytes(type.getNumElements() * elementBytes);
  auto store = [&](size_t i, const llvm::APInt &value) {
    uint64_t word = value.getZExtValue();
    std::memcpy(bytes.data() + i * elementBytes, &word, elementBytes);
  };
  ElementsAttr value = *op.getValue();
  if (auto dense = dyn_cast<DenseIntElementsAttr>(value)) {
    for (auto [i, element] : llvm::enumerate(dense.getValues<llvm::APInt>()))
      store(i, element);
  } else if (auto dense = dyn_cast<DenseFPElementsAttr>(value)) {
    for (auto [i, element] : llvm::enumerate(dense.getValues<llvm::APFloat>()))
      store(i, element.bitcastToAPInt());
  } else if (auto resource = dyn_cast<DenseResourceElementsAttr>(value)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob || blob->getData().size() != bytes.size())
      return op.emitError("the value of the weight '")
             << op.getSymName() << "' does not have " << bytes.size()
             << " bytes";
    llvm::copy(blob->getDataAs<uint8_t>(), bytes.begin());
  } else {
    return op.emitError("the value of the weight '")
           << op.getSymName() << "' is neither dense nor a resource";
  }
  values.push_back(std::move(bytes));
  view.base = values.back().data();
  return view;
}

FailureOr<View> Evaluator::view(gate::WeightOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  if (failed(weightBytes(op, type)))
    return failure();
  unsigned elementBytes = *weightElementBytes(type.getElementType());
  return op.getFile() ? viewOfFile(op, type, elementBytes)
                      : viewOfValue(op, type, elementBytes);
}

/// The panels of one source in [G, P, K, W * lanes]: see gate.packed_weight.
static void packPanels(const View &source, int64_t weights, int64_t index,
                       int64_t lanes, uint8_t *out) {
  bool hasGroups = source.shape.size() == 3;
  int64_t groups = hasGroups ? source.shape[0] : 1;
  int64_t k = source.shape[hasGroups], n = source.shape[hasGroups + 1];
  int64_t groupStride = hasGroups ? source.strides[0] : 0;
  int64_t kStride = source.strides[hasGroups];
  int64_t nStride = source.strides[hasGroups + 1];
  int64_t size = source.elementBytes;
  int64_t panels = (n + lanes - 1) / lanes, lineBytes = weights * lanes * size;
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t p = 0; p < panels; ++p) {
      const uint8_t *in = source.base + g * groupStride + p * lanes * nStride;
      int64_t columns = std::min(lanes, n - p * lanes);
      uint8_t *panel =
          out + (g * panels + p) * k * lineBytes + index * lanes * size;
      for (int64_t row = 0; row < k; ++row, in += kStride, panel += lineBytes) {
        copyElements(panel, in, columns, nStride, size);
        std::memset(panel + columns * size, 0, (lanes - columns) * size);
      }
    }
}

LogicalResult Evaluator::evaluate(const PlacedWeight &weight, uint8_t *out) {
  if (weight.bytes == 0)
    return success();
  if (auto op = dyn_cast<gate::WeightOp>(weight.op)) {
    FailureOr<View> source = view(op);
    if (failed(source))
      return failure();
    copyView(*source, 0, source->base, out);
  } else {
    auto packed = cast<gate::PackedWeightOp>(weight.op);
    auto module = packed->getParentOfType<ModuleOp>();
    int64_t count = packed.getSources().size();
    for (auto [index, reference] : llvm::enumerate(packed.getSources())) {
      FailureOr<View> source = view(module.lookupSymbol<gate::WeightOp>(
          cast<FlatSymbolRefAttr>(reference).getAttr()));
      if (failed(source))
        return failure();
      packPanels(*source, count, index, packed.getLanes(), out);
    }
  }
  values.clear();
  return success();
}

LogicalResult gatecc::evaluateWeights(ArrayRef<ModuleOp> modules,
                                      MutableArrayRef<uint8_t> data) {
  FailureOr<SmallVector<PlacedWeight>> placed = collectPlacedWeights(modules);
  if (failed(placed))
    return failure();
  Evaluator evaluator;
  for (const PlacedWeight &weight : *placed) {
    if (weight.offset + weight.bytes > data.size())
      return weight.op->emitError("lies beyond the weight section");
    if (failed(evaluator.evaluate(weight, data.data() + weight.offset)))
      return failure();
  }
  return success();
}
