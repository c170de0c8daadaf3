// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Packs weights into panels: copies, widens, rounds to bf16, quantises to
// integers.
#include "lib/Target/Cpu/PackPanels.h"

#include "runtime/conversions.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace gatecc;
using gate::PanelFormat;
using gate::PanelLayout;
using llvm::ArrayRef;

void gatecc::copyElements(uint8_t *out, const uint8_t *in, int64_t count,
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

namespace {

/// A stretch of one column as integers: w = scale * (q[i] - zero). They have a
/// sign, or they are in [0, 2^bits).
struct Integers {
  bool hasSign = true;
  float scale = 0;
  int32_t zero = 0;
  llvm::SmallVector<int32_t, 128> q;
};

/// Reads columns of a source.
class ColumnReader {
public:
  ColumnReader(const PanelSource &source, int64_t k) : source(source), k(k) {
    const View &values = source.values;
    size_t group = values.shape.size() == 3;
    // Quantised weights are [N, K].
    size_t column = group + !source.isQuantized();
    columnStride = values.strides[column];
    depthStride = values.strides[group + source.isQuantized()];
    hasGroups = group;
    groups = group ? values.shape[0] : 1;
    columns = values.shape[column];
  }

  int64_t groups, columns;

  /// w[first .. first + count) of a column, as f32; 0 beyond the ends.
  void readFloats(int64_t group, int64_t column, int64_t first, int64_t count,
                  float *out) const {
    int64_t inside = column < columns ? std::min(count, k - first) : 0;
    for (int64_t i = std::max<int64_t>(inside, 0); i < count; ++i)
      out[i] = 0.0f;
    if (inside <= 0)
      return;
    const uint8_t *in = at(group, column) + first * depthStride;
    if (source.element.isF32())
      return copyElements(reinterpret_cast<uint8_t *>(out), in, inside,
                          depthStride, sizeof(float));
    bool isHalf = source.element.isF16();
    for (int64_t i = 0; i < inside; ++i) {
      uint16_t bits;
      std::memcpy(&bits, in + i * depthStride, sizeof bits);
      out[i] = isHalf ? gatecc_runtime::halfToFloat(bits)
                      : gatecc_runtime::bfloatToFloat(bits);
    }
  }

  /// The same as integers of `bits` bits; all have one scale.
  void readIntegers(int64_t group, int64_t column, int64_t first, int64_t count,
                    int64_t bits, Integers &out) const {
    int64_t inside = column < columns ? std::min(count, k - first) : 0;
    out.q.assign(count, 0);
    out.scale = 0;
    out.zero = 0;
    out.hasSign = !source.isQuantized() && !source.asymmetric;
    if (inside <= 0)
      return;
    if (source.isQuantized()) {
      int64_t block = first / source.block;
      out.scale = scale(group, column, block);
      out.zero = zero(group, column, block);
      for (int64_t i = 0; i < inside; ++i)
        out.q[i] = integer(group, column, first + i);
      // Beyond K rows are 0: any integer will do.
      for (int64_t i = inside; i < count; ++i)
        out.q[i] = out.zero;
      return;
    }
    llvm::SmallVector<float, 128> values(count);
    readFloats(group, column, first, count, values.data());
    float low = 0, high = 0;
    bool finite = true;
    for (float value : values) {
      low = std::min(low, value);
      high = std::max(high, value);
      finite &= std::isfinite(value);
    }
    float lowest = 0, limit = float((1 << bits) - 1);
    if (source.asymmetric) {
      out.scale = high / limit - low / limit;
    } else {
      limit = bits == 4 ? 7 : 127;
      lowest = -limit;
      out.scale = std::max(high, -low) / limit;
    }
    // Weights that are no numbers make results that are none.
    if (!finite)
      out.scale = std::nanf("");
    if (!finite || out.scale == 0)
      return;
    if (source.asymmetric)
      out.zero = int32_t(std::min(std::nearbyint(-low / out.scale), limit));
    for (int64_t i = 0; i < count; ++i) {
      float scaled = std::nearbyint(values[i] / out.scale) + float(out.zero);
      out.q[i] = int32_t(std::min(std::max(scaled, lowest), limit));
    }
  }

private:
  const uint8_t *at(int64_t group, int64_t column) const {
    const View &values = source.values;
    return (hasGroups ? values.slice(group) : values.base) +
           column * columnStride;
  }
  int32_t integer(int64_t group, int64_t column, int64_t row) const {
    const uint8_t *in = at(group, column);
    if (source.bits == 8)
      return in[row * depthStride];
    return in[row / 2 * depthStride] >> (row % 2 * 4) & 15;
  }
  static const uint8_t *element(const View &view, int64_t group, int64_t column,
                                int64_t last) {
    size_t rank = view.shape.size();
    return (rank == 3 ? view.slice(group) : view.base) +
           column * view.strides[rank - 2] + last * view.strides[rank - 1];
  }
  float scale(int64_t group, int64_t column, int64_t block) const {
    float value;
    std::memcpy(&value, element(source.scales, group, column, block),
                sizeof value);
    return value;
  }
  int32_t zero(int64_t group, int64_t column, int64_t block) const {
    if (source.zeros.shape.empty())
      return source.bits == 4 ? 8 : 128;
    if (source.bits == 8)
      return *element(source.zeros, group, column, block);
    return *element(source.zeros, group, column, block / 2) >> (block % 2 * 4) &
           15;
  }

  const PanelSource &source;
  int64_t k, columnStride, depthStride;
  bool hasGroups;
};

/// Writes one column of an integer block.
void putIntegers(const PanelLayout &layout, const Integers &in, int64_t column,
                 uint8_t *block) {
  int64_t columns = layout.columns();
  int32_t zero = in.zero;
  if (layout.format == PanelFormat::Int8Quads) {
    int32_t bias = in.hasSign ? 128 : 0;
    zero += bias;
    for (int64_t r = 0; r < layout.block; ++r)
      block[r / 4 * 4 * columns + 4 * column + r % 4] = uint8_t(in.q[r] + bias);
  } else if (layout.format == PanelFormat::Int8) {
    int32_t bias = in.hasSign ? 0 : 128;
    zero -= bias;
    for (int64_t r = 0; r < layout.block; ++r)
      block[r / 2 * 2 * columns + 2 * column + r % 2] = uint8_t(in.q[r] - bias);
  } else {
    int32_t bias = in.hasSign ? 8 : 0;
    zero += bias;
    for (int64_t a = 0; a < layout.block / 8; ++a) {
      uint32_t word = 0;
      for (int64_t r = 0; r < 8; ++r)
        word |= uint32_t(in.q[8 * a + r] + bias) << 4 * (2 * (r % 4) + r / 4);
      std::memcpy(block + 4 * (a * columns + column), &word, sizeof word);
    }
  }
  if (layout.zeros) {
    int32_t half = std::clamp(-zero, -128, 127);
    block[layout.zerosAt() + 2 * column] = uint8_t(half);
    block[layout.zerosAt() + 2 * column + 1] = uint8_t(-zero - half);
  }
  std::memcpy(block + layout.scalesAt() + 4 * column, &in.scale,
              sizeof in.scale);
}

} // namespace

/// Panels that hold the elements of one source as they are.
static void copyPanels(const PanelLayout &layout, const View &source,
                       int64_t index, uint8_t *out) {
  bool hasGroups = source.shape.size() == 3;
  int64_t groups = hasGroups ? source.shape[0] : 1;
  int64_t n = source.shape[hasGroups + 1];
  int64_t kStride = source.strides[hasGroups];
  int64_t nStride = source.strides[hasGroups + 1];
  int64_t size = source.elementBytes, lanes = layout.lanes;
  int64_t panels = (n + lanes - 1) / lanes, lineBytes = layout.columns() * size;
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t p = 0; p < panels; ++p) {
      const uint8_t *in =
          (hasGroups ? source.slice(g) : source.base) + p * lanes * nStride;
      int64_t columns = std::min(lanes, n - p * lanes);
      uint8_t *panel =
          out + (g * panels + p) * layout.k * lineBytes + index * lanes * size;
      for (int64_t row = 0; row < layout.k;
           ++row, in += kStride, panel += lineBytes) {
        copyElements(panel, in, columns, nStride, size);
        std::memset(panel + columns * size, 0, (lanes - columns) * size);
      }
    }
}

/// One source of panels that are not copies.
static void convertPanels(const PanelLayout &layout, const PanelSource &source,
                          int64_t index, uint8_t *out) {
  ColumnReader reader(source, layout.k);
  int64_t lanes = layout.lanes, first = index * lanes;
  int64_t panels = (reader.columns + lanes - 1) / lanes;
  bool isBf16 = layout.isBf16();
  int64_t unitBytes = layout.unitElements() * (layout.isInteger() ? 1
                                               : isBf16           ? 2
                                                                  : 4);
  int64_t bits = layout.format == PanelFormat::Int4 ? 4 : 8;
  Integers integers;
  llvm::SmallVector<float, 128> column(
      layout.isInteger() ? 0 : layout.units() * layout.unitRows());
  for (int64_t g = 0; g < reader.groups; ++g)
    for (int64_t p = 0; p < panels; ++p) {
      uint8_t *panel = out + (g * panels + p) * layout.units() * unitBytes;
      for (int64_t l = 0; l < lanes; ++l) {
        int64_t n = p * lanes + l, c = first + l;
        if (layout.isInteger()) {
          for (int64_t u = 0; u < layout.units(); ++u) {
            reader.readIntegers(g, n, u * layout.block, layout.block, bits,
                                integers);
            putIntegers(layout, integers, c, panel + u * unitBytes);
          }
          continue;
        }
        reader.readFloats(g, n, 0, column.size(), column.data());
        if (!isBf16)
          for (int64_t k = 0; k < layout.k; ++k)
            std::memcpy(panel + k * unitBytes + sizeof(float) * c, &column[k],
                        sizeof(float));
        // Pairs of rows of K lie one after another, whatever a unit has of
        // them.
        for (size_t k = 0; isBf16 && k < column.size(); ++k) {
          uint16_t rounded = gatecc_runtime::floatToBfloat(column[k]);
          size_t at =
              2 * (k / 2 * size_t(layout.columns()) + size_t(c)) + k % 2;
          std::memcpy(panel + 2 * at, &rounded, sizeof rounded);
        }
      }
    }
}

void gatecc::packPanels(const PanelLayout &layout,
                        ArrayRef<PanelSource> sources, uint8_t *out) {
  auto areKept = [&](const PanelSource &source) {
    return layout.format == PanelFormat::F16 ||
           (layout.format == PanelFormat::Plain &&
            source.values.elementBytes >= sizeof(float));
  };
  for (auto [index, source] : llvm::enumerate(sources))
    if (areKept(source))
      copyPanels(layout, source.values, index, out);
    else
      convertPanels(layout, source, index, out);
}
