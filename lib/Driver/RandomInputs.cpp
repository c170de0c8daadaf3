// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes random inputs.
#include "lib/Driver/RandomInputs.h"

#include "dialects/Onnx/IR/OnnxOps.h"
#include "gatecc/Target/Program.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/SetVector.h"
#include <algorithm>
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace gatecc;

/// Inputs together are at most as large.
static constexpr uint64_t kMaxBytes = uint64_t(1) << 34;

/// From the standard normal distribution. The standard does not say how
/// std::normal_distribution draws.
static double drawNormal(std::mt19937_64 &random) {
  double u = double((random() >> 11) + 1) * 0x1p-53,
         v = double(random() >> 11) * 0x1p-53;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v);
}

static uint64_t drawBits(DLDataType type, int64_t limit,
                         std::mt19937_64 &random) {
  bool isFloat = type.code == kDLFloat || type.code == kDLBfloat;
  if (!isFloat) {
    uint64_t values = type.code == kDLBool ? 2 : uint64_t(limit);
    // The numbers must fit into the type.
    unsigned bits = type.bits - (type.code == kDLInt ? 1 : 0);
    if (bits < 64)
      values = std::min(values, uint64_t(1) << bits);
    return random() % values;
  }
  llvm::APFloat value(drawNormal(random));
  bool lost;
  value.convert(type.code == kDLBfloat ? llvm::APFloat::BFloat()
                : type.bits == 16      ? llvm::APFloat::IEEEhalf()
                : type.bits == 32      ? llvm::APFloat::IEEEsingle()
                                       : llvm::APFloat::IEEEdouble(),
                llvm::APFloat::rmNearestTiesToEven, &lost);
  return value.bitcastToAPInt().getZExtValue();
}

void gatecc::fillRandom(NpyArray &array, int64_t limit,
                        std::mt19937_64 &random) {
  size_t bytes = array.type.bits / 8;
  for (size_t at = 0; at < array.data.size(); at += bytes) {
    uint64_t bits = drawBits(array.type, limit, random);
    std::memcpy(&array.data[at], &bits, bytes); // little-endian
  }
}

/// How many rows the table has that `use` chooses rows of; 0 if it does not.
static int64_t rowsChosenBy(onnx::NodeOp node, Value index) {
  if (node.getOpType() != "Gather" || !node.getDomain().empty() ||
      node.getNumPositions() != 2 || node.getInputAt(1) != index)
    return 0;
  auto table = dyn_cast<RankedTensorType>(node.getInputAt(0).getType());
  auto axis = dyn_cast_or_null<IntegerAttr>(node.getNodeAttr("axis"));
  int64_t dim = axis ? axis.getInt() : 0;
  if (!table || dim < -table.getRank() || dim >= table.getRank())
    return 0;
  dim += dim < 0 ? table.getRank() : 0;
  return table.isDynamicDim(dim) ? 0 : table.getDimSize(dim);
}

std::vector<int64_t> gatecc::findIndexLimits(ModuleOp module) {
  constexpr int64_t kBits = 2;
  std::vector<int64_t> limits;
  auto main = module.lookupSymbol<func::FuncOp>("main");
  if (!main || main.isExternal())
    return limits;
  for (BlockArgument input : main.getArguments()) {
    int64_t limit = 0;
    llvm::SmallSetVector<Value, 8> same;
    same.insert(input);
    for (unsigned i = 0; i < same.size(); ++i)
      for (Operation *user : same[i].getUsers()) {
        auto node = dyn_cast<onnx::NodeOp>(user);
        if (!node)
          continue;
        if (int64_t rows = rowsChosenBy(node, same[i]))
          limit = limit ? std::min(limit, rows) : rows;
        bool isMove =
            llvm::is_contained({"Cast", "Reshape", "Flatten", "Squeeze",
                                "Unsqueeze", "Identity", "Transpose", "Expand"},
                               node.getOpType());
        if (isMove && node.getNumResults() && node.getInputAt(0) == same[i])
          same.insert(node.getResult(0));
      }
    limits.push_back(limit ? limit : kBits);
  }
  return limits;
}

std::vector<int64_t> gatecc::chooseExtents(unsigned count, unsigned run,
                                           std::mt19937_64 &random) {
  static constexpr int64_t sizes[] = {1, 2, 7, 64};
  constexpr unsigned kinds = std::size(sizes);
  std::vector<int64_t> extents;
  for (unsigned i = 0; i < count; ++i) {
    if (run < kinds)
      extents.push_back(sizes[(run + i) % kinds]);
    else if (run == kinds)
      extents.push_back(i == 0 ? 0 : sizes[i % kinds]);
    else
      extents.push_back(1 + int64_t(random() % 64));
  }
  return extents;
}

/// The extents of an input; false if it would be too large.
static bool shapeOf(const gatecc_tensor_info &info,
                    std::vector<std::string> &symbols,
                    llvm::ArrayRef<int64_t> extents,
                    std::vector<int64_t> &shape, uint64_t &elements) {
  elements = 1;
  for (const gatecc_dim &dim : llvm::ArrayRef(info.shape, size_t(info.rank))) {
    int64_t size = dim.extent;
    if (size < 0) {
      auto parsed = parseExtent(dim.symbol, symbols, /*mayAdd=*/false);
      if (!parsed)
        return false;
      size = parsed->coefficient;
      for (int32_t factor : parsed->factors)
        if (__builtin_mul_overflow(size, extents[factor], &size))
          return false;
    }
    shape.push_back(size);
    if (__builtin_mul_overflow(elements, uint64_t(size), &elements))
      return false;
  }
  return true;
}

std::optional<std::vector<NamedArray>>
gatecc::makeInputs(const gatecc_library &library,
                   llvm::ArrayRef<int64_t> limits,
                   llvm::ArrayRef<int64_t> extents, std::mt19937_64 &random,
                   std::string &error) {
  std::vector<std::string> symbols(library.symbols,
                                   library.symbols + library.num_symbols);
  std::vector<NamedArray> arrays;
  uint64_t total = 0;
  for (int32_t i = 0; i < library.num_inputs; ++i) {
    const gatecc_tensor_info &info = library.inputs[i];
    NpyArray array;
    array.type = info.dtype;
    uint64_t elements;
    if (!shapeOf(info, symbols, extents, array.shape, elements) ||
        elements > kMaxBytes ||
        (total += elements * (info.dtype.bits / 8)) > kMaxBytes) {
      error = std::string("input '") + info.name +
              "' is too large for random numbers";
      return std::nullopt;
    }
    array.data.resize(elements * (info.dtype.bits / 8));
    fillRandom(array, size_t(i) < limits.size() ? limits[i] : 2, random);
    arrays.emplace_back(info.name, std::move(array));
  }
  return arrays;
}
