// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads weights once and sums up their magnitudes.
#include "WeightNorms.h"

#include "SlotIndex.h"
#include "lib/Import/Source/Elements.h"
#include "lib/Import/Source/SourceFile.h"
#include "mlir/IR/Matchers.h"
#include "runtime/conversions.h"
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// The larger one; NaN if one is.
static double larger(double a, double b) {
  return std::isnan(a) || a > b ? a : b;
}

static Norms largerNorms(Norms a, Norms b) {
  return {larger(a.element, b.element), larger(a.column, b.column)};
}

/// Adds the rows of a matrix into sums of columns.
static Norms normsOfMatrix(int64_t rows, int64_t columns,
                           function_ref<float(int64_t, int64_t)> element) {
  Norms norms;
  SmallVector<double> sums(columns, 0.0);
  for (int64_t k = 0; k < rows; ++k)
    for (int64_t n = 0; n < columns; ++n) {
      double magnitude = std::fabs(double(element(k, n)));
      norms.element = larger(magnitude, norms.element);
      sums[n] += magnitude;
    }
  for (double sum : sums)
    norms.column = larger(sum, norms.column);
  return norms;
}

/// The element at some byte of a file.
static float readFloat(const char *at, Type type) {
  if (type.isF32()) {
    float element;
    std::memcpy(&element, at, sizeof(element));
    return element;
  }
  uint16_t bits;
  std::memcpy(&bits, at, sizeof(bits));
  return type.isF16() ? gatecc_runtime::halfToFloat(bits)
                      : gatecc_runtime::bfloatToFloat(bits);
}

static Norms normsOfValue(DenseElementsAttr value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (value.isSplat()) {
    double magnitude =
        std::fabs(value.getSplatValue<APFloat>().convertToDouble());
    int64_t depth = type.getRank() < 2 ? 1 : type.getShape().end()[-2];
    return {magnitude, magnitude * double(depth)};
  }
  SmallVector<float> elements;
  for (const APFloat &each : value.getValues<APFloat>())
    elements.push_back(float(each.convertToDouble()));
  int64_t columns = type.getShape().back();
  int64_t depth = type.getRank() < 2 ? 1 : type.getShape().end()[-2];
  Norms norms;
  for (int64_t at = 0; at < int64_t(elements.size()); at += depth * columns)
    norms = largerNorms(
        norms, normsOfMatrix(depth, columns, [&](int64_t k, int64_t n) {
          return elements[at + k * columns + n];
        }));
  return norms;
}

gate::WeightOp WeightNorms::lookUp(StringAttr symbol) {
  gate::WeightOp &weight = symbols[symbol];
  if (!weight) // Raising makes new ones.
    for (auto op : module.getOps<gate::WeightOp>())
      symbols[op.getSymNameAttr()] = op;
  return symbols.lookup(symbol);
}

std::optional<Norms> WeightNorms::of(Value constant) {
  RankedTensorType type = typeOf(constant);
  if (!gate::computedIn(type.getElementType()).isF32() || type.getRank() == 0 ||
      !type.hasStaticShape() || type.getNumElements() == 0)
    return std::nullopt;
  DenseElementsAttr value;
  if (matchPattern(constant, m_Constant(&value)))
    return normsOfValue(value);
  auto read = constant.getDefiningOp<gate::WeightValueOp>();
  gate::WeightOp weight =
      read ? lookUp(read.getWeightAttr().getAttr()) : gate::WeightOp();
  return weight ? ofWeight(weight) : std::nullopt;
}

std::optional<Norms> WeightNorms::ofWeight(gate::WeightOp weight) {
  if (auto it = known.find(weight); it != known.end())
    return it->second;
  std::optional<Norms> norms;
  if (std::optional<ArrayAttr> stack = weight.getStack()) {
    norms = Norms();
    for (auto symbol : stack->getAsRange<FlatSymbolRefAttr>()) {
      gate::WeightOp part = lookUp(symbol.getAttr());
      std::optional<Norms> each = part ? ofWeight(part) : std::nullopt;
      norms = norms && each ? std::optional(largerNorms(*norms, *each))
                            : std::nullopt;
    }
  } else if (weight.getFile()) {
    norms = ofFile(weight);
  } else if (auto value =
                 dyn_cast_or_null<DenseElementsAttr>(weight.getValueAttr())) {
    norms = normsOfValue(value);
  }
  known[weight] = norms;
  return norms;
}

std::optional<Norms> WeightNorms::ofFile(gate::WeightOp weight) {
  std::unique_ptr<llvm::MemoryBuffer> &file = files[*weight.getFile()];
  if (!file) {
    auto opened = openSource(*weight.getFile());
    if (!opened) {
      llvm::consumeError(opened.takeError());
      return std::nullopt;
    }
    file = std::move(*opened);
  }
  auto type = cast<RankedTensorType>(weight.getType());
  SmallVector<int64_t> shape(type.getShape()), strides(*weight.getStrides());
  Type element = type.getElementType();
  __int128 end = __int128(int64_t(weight.getOffset())) + elementBytes(element);
  for (auto [extent, stride] : llvm::zip_equal(shape, strides))
    end += __int128(extent - 1) * stride;
  if (int64_t(weight.getOffset()) < 0 || end > __int128(file->getBufferSize()))
    return std::nullopt;
  const char *base = file->getBufferStart() + weight.getOffset();
  while (shape.size() < 2) {
    shape.insert(shape.begin(), 1);
    strides.insert(strides.begin(), 0);
  }
  int64_t columns = shape.pop_back_val(), columnStride = strides.pop_back_val();
  int64_t depth = shape.pop_back_val(), rowStride = strides.pop_back_val();
  int64_t matrices = 1;
  for (int64_t extent : shape)
    matrices *= extent;
  Norms norms;
  for (int64_t matrix = 0; matrix < matrices; ++matrix) {
    const char *from = base;
    for (int64_t dim = int64_t(shape.size()) - 1, rest = matrix; dim >= 0;
         rest /= shape[dim--])
      from += rest % shape[dim] * strides[dim];
    norms = largerNorms(
        norms, normsOfMatrix(depth, columns, [&](int64_t k, int64_t n) {
          return readFloat(from + k * rowStride + n * columnStride, element);
        }));
  }
  return norms;
}

std::optional<double> WeightNorms::boundOf(Value rows) {
  auto gather = withoutReshapes(rows).getDefiningOp<gate::GatherNDOp>();
  std::optional<Norms> found = gather ? of(gather.getData()) : std::nullopt;
  return found && std::isfinite(found->element) ? std::optional(found->element)
                                                : std::nullopt;
}
