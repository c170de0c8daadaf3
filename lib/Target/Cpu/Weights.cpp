// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Evaluates weights: strided copies and panel packing from mapped files.
#include "gatecc/Target/Weights.h"

#include "dialects/Gate/IR/GateOps.h"
#include "lib/Target/Cpu/PackPanels.h"
#include "lib/Target/Cpu/WeightPlaces.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cstring>

using namespace mlir;
using namespace gatecc;

namespace {
class Evaluator {
public:
  LogicalResult evaluate(const PlacedWeight &weight, uint8_t *out);

private:
  /// The weight that `name` is in the module of `user`.
  gate::WeightOp find(Operation *user, Attribute name);
  FailureOr<View> view(gate::WeightOp op);
  FailureOr<std::vector<PanelSource>> panelSources(gate::PackedWeightOp op);
  FailureOr<View> viewOfFile(gate::WeightOp op, RankedTensorType type,
                             unsigned elementBytes);
  FailureOr<View> viewOfValue(gate::WeightOp op, RankedTensorType type,
                              unsigned elementBytes);
  FailureOr<View> viewOfStack(gate::WeightOp op, RankedTensorType type,
                              unsigned elementBytes);

  SymbolTableCollection tables;
  llvm::StringMap<std::unique_ptr<llvm::MemoryBuffer>> files;
  SmallVector<std::vector<uint8_t>> values; // bytes that views point to
};
} // namespace

/// Copies the dimensions from `dim` on to consecutive bytes at `out`.
static void copyView(const View &view, size_t dim, const uint8_t *in,
                     uint8_t *out) {
  size_t rank = view.shape.size();
  if (dim == rank)
    return void(std::memcpy(out, in, view.elementBytes));
  if (dim + 1 == rank && (dim > 0 || view.parts.empty()))
    return copyElements(out, in, view.shape[dim], view.strides[dim],
                        view.elementBytes);
  int64_t rowBytes = view.elementBytes;
  for (size_t d = dim + 1; d < rank; ++d)
    rowBytes *= view.shape[d];
  // Transposed: a tile of columns at a time, so that the lines of the source
  // that a row touches are still in the cache for the next row.
  bool isStack = dim == 0 && !view.parts.empty();
  if (dim + 2 == rank && !isStack &&
      view.strides[dim] < view.strides[dim + 1]) {
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
    copyView(view, dim + 1,
             dim == 0 ? view.slice(i) : in + i * view.strides[dim],
             out + i * rowBytes);
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

gate::WeightOp Evaluator::find(Operation *user, Attribute name) {
  return tables.lookupNearestSymbolFrom<gate::WeightOp>(
      user, cast<FlatSymbolRefAttr>(name));
}

FailureOr<View> Evaluator::viewOfStack(gate::WeightOp op, RankedTensorType type,
                                       unsigned elementBytes) {
  View stack;
  stack.elementBytes = elementBytes;
  stack.shape.assign(type.getShape().begin(), type.getShape().end());
  for (auto symbol : op.getStack()->getAsRange<FlatSymbolRefAttr>()) {
    FailureOr<View> part = view(find(op, symbol));
    if (failed(part))
      return failure();
    if (stack.parts.empty()) {
      stack.strides.assign(1, 0);
      stack.strides.append(part->strides.begin(), part->strides.end());
    }
    if (ArrayRef(stack.strides).drop_front() != ArrayRef(part->strides))
      return op.emitError("stacks weights whose strides differ, such as those "
                          "of ")
             << symbol;
    stack.parts.push_back(part->base);
  }
  return stack;
}

FailureOr<View> Evaluator::view(gate::WeightOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  if (failed(weightBytes(op, type)))
    return failure();
  unsigned elementBytes = *weightElementBytes(type.getElementType());
  if (op.getStack())
    return viewOfStack(op, type, elementBytes);
  return op.getFile() ? viewOfFile(op, type, elementBytes)
                      : viewOfValue(op, type, elementBytes);
}

FailureOr<std::vector<PanelSource>>
Evaluator::panelSources(gate::PackedWeightOp op) {
  auto viewOf = [&](ArrayAttr names, size_t index) {
    return view(find(op, names[index]));
  };
  std::vector<PanelSource> sources;
  for (size_t i = 0; i < op.getSources().size(); ++i) {
    PanelSource source;
    FailureOr<View> values = viewOf(op.getSources(), i), scales = View(),
                    zeros = View();
    if (op.getScales())
      scales = viewOf(*op.getScales(), i);
    if (op.getZeroPoints())
      zeros = viewOf(*op.getZeroPoints(), i);
    if (failed(values) || failed(scales) || failed(zeros))
      return failure();
    source.values = *values;
    source.element =
        getElementTypeOrSelf(find(op, op.getSources()[i]).getType());
    source.scales = *scales;
    source.zeros = *zeros;
    source.bits = op.getBits();
    source.block = op.getSourceBlock();
    source.asymmetric = op.getAsymmetric();
    sources.push_back(std::move(source));
  }
  return sources;
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
    FailureOr<std::vector<PanelSource>> sources =
        panelSources(cast<gate::PackedWeightOp>(weight.op));
    if (failed(sources))
      return failure();
    packPanels(cast<gate::PackedWeightOp>(weight.op).getLayout(), *sources,
               out);
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
