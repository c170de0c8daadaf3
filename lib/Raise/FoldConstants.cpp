// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Computes elementwise ops on constants: the roots of a normalization's
// variances, a weight in another type. Raising knows constants, not what makes
// them.
#include "gatecc/Raise/Passes.h"

#include "FloatCasts.h"
#include "RowCost.h"
#include "SlotIndex.h"
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Import/GraphBuilder.h"
#include "lib/Import/Source/Elements.h"
#include "lib/Import/Source/SourceFile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "runtime/conversions.h"
#include <cstring>

namespace gatecc {
#define GEN_PASS_DEF_FOLDCONSTANTS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Larger results are made in each run: to compute them here takes long.
static constexpr int64_t kMaxElements = 1 << 16;
/// As are larger weights in a wider type, which take room in the library.
static constexpr int64_t kMaxWidened = 1 << 26;

namespace {
class ConstantFolder {
public:
  explicit ConstantFolder(ModuleOp module)
      : builder(module.getContext()), graph(module, builder) {}

  void fold(linalg::GenericOp op);

private:
  /// The elements of a constant of so many at most, or null.
  DenseElementsAttr read(Value value, int64_t most = kMaxElements);
  DenseElementsAttr readFile(gate::WeightOp weight);
  /// What an op computes from constants, or null.
  DenseElementsAttr compute(linalg::GenericOp op);
  /// A constant in f32 that is f16 or bf16, or null.
  DenseElementsAttr widen(linalg::GenericOp op);

  OpBuilder builder;
  GraphBuilder graph;
  llvm::StringMap<std::unique_ptr<llvm::MemoryBuffer>> files;
};
} // namespace

DenseElementsAttr ConstantFolder::readFile(gate::WeightOp weight) {
  auto type = cast<RankedTensorType>(weight.getType());
  Type element = type.getElementType();
  if (element.getIntOrFloatBitWidth() % 8 != 0) // Those are packed.
    return {};
  std::unique_ptr<llvm::MemoryBuffer> &file = files[*weight.getFile()];
  if (!file) {
    auto opened = openSource(*weight.getFile());
    if (!opened) {
      llvm::consumeError(opened.takeError());
      return {};
    }
    file = std::move(*opened);
  }
  SmallVector<int64_t> strides(*weight.getStrides());
  int64_t each = elementBytes(element), offset = weight.getOffset();
  __int128 end = __int128(offset) + each;
  for (auto [size, stride] : llvm::zip_equal(type.getShape(), strides))
    end += __int128(size - 1) * stride;
  if (offset < 0 || end > __int128(file->getBufferSize()))
    return {};
  StringRef bytes = file->getBuffer().drop_front(offset);
  if (strides == contiguousStrides(type))
    return denseFromBytes(type, bytes.take_front(type.getNumElements() * each));
  std::string picked;
  for (int64_t i = 0, count = type.getNumElements(); i < count; ++i) {
    int64_t at = 0;
    for (int64_t dim = type.getRank() - 1, rest = i; dim >= 0; --dim) {
      at += rest % type.getDimSize(dim) * strides[dim];
      rest /= type.getDimSize(dim);
    }
    picked += bytes.substr(at, each);
  }
  return denseFromBytes(type, picked);
}

DenseElementsAttr ConstantFolder::read(Value value, int64_t most) {
  DenseElementsAttr constant;
  if (matchPattern(value, m_Constant(&constant)))
    return constant.getNumElements() <= most || constant.isSplat()
               ? constant
               : DenseElementsAttr();
  auto weight = value.getDefiningOp<gate::WeightValueOp>();
  if (!weight || typeOf(value).getNumElements() > most)
    return {};
  auto op = SymbolTable::lookupNearestSymbolFrom<gate::WeightOp>(
      weight, weight.getWeightAttr());
  if (!op)
    return {};
  return op.getFile() ? readFile(op)
                      : dyn_cast_or_null<DenseElementsAttr>(op.getValueAttr());
}

/// What the body of an op yields for constants, or null.
static Attribute evaluate(Block &body, DenseMap<Value, Attribute> known) {
  auto look = [&](Value value) -> Attribute {
    if (Attribute attribute = known.lookup(value))
      return attribute;
    Attribute constant;
    matchPattern(value, m_Constant(&constant));
    return constant;
  };
  for (Operation &op : body.without_terminator()) {
    SmallVector<Attribute> operands;
    for (Value operand : op.getOperands())
      operands.push_back(look(operand));
    SmallVector<OpFoldResult> results;
    if (op.hasTrait<OpTrait::ConstantLike>())
      continue;
    if (llvm::is_contained(operands, Attribute()) ||
        failed(op.fold(operands, results)) ||
        results.size() != op.getNumResults())
      return {};
    for (auto [result, folded] : llvm::zip(op.getResults(), results)) {
      auto value = dyn_cast<Value>(folded);
      known[result] = value ? look(value) : cast<Attribute>(folded);
    }
  }
  return look(body.getTerminator()->getOperand(0));
}

DenseElementsAttr ConstantFolder::widen(linalg::GenericOp op) {
  RankedTensorType type = typeOf(op->getResult(0));
  Value source = matchFloatCast(op->getResult(0));
  Type from = source ? typeOf(source).getElementType() : Type();
  if (!source || !type.getElementType().isF32() || !gate::isNarrowFloat(from))
    return {};
  DenseElementsAttr narrow = read(source, kMaxWidened);
  if (!narrow || narrow.isSplat())
    return {};
  std::vector<float> elements(type.getNumElements());
  const char *at = narrow.getRawData().data();
  for (float &element : elements) {
    uint16_t bits;
    std::memcpy(&bits, at, sizeof(bits));
    at += sizeof(bits);
    element = from.isF16() ? gatecc_runtime::halfToFloat(bits)
                           : gatecc_runtime::bfloatToFloat(bits);
  }
  return DenseElementsAttr::get(type, ArrayRef(elements));
}

DenseElementsAttr ConstantFolder::compute(linalg::GenericOp op) {
  RankedTensorType type = typeOf(op->getResult(0));
  Block &body = *op.getBody();
  if (type.getNumElements() > kMaxElements ||
      !type.getElementType().isIntOrFloat() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity() ||
      !body.getArguments().back().use_empty() ||
      llvm::any_of(body, [](Operation &inner) {
        return inner.getNumRegions() > 0 || !isMemoryEffectFree(&inner);
      }))
    return {};
  SmallVector<DenseElementsAttr> inputs;
  SmallVector<AffineMap> maps;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    DenseElementsAttr elements = isa<RankedTensorType>(operand->get().getType())
                                     ? read(operand->get())
                                     : DenseElementsAttr();
    if (!elements)
      return {};
    inputs.push_back(elements);
    maps.push_back(op.getMatchingIndexingMap(operand));
  }
  bool isSplat = llvm::all_of(
      inputs, [](DenseElementsAttr each) { return each.isSplat(); });
  int64_t count = isSplat ? 1 : type.getNumElements();
  SmallVector<Attribute> elements;
  for (int64_t i = 0; i < count; ++i) {
    SmallVector<int64_t> place(type.getRank());
    for (int64_t dim = type.getRank() - 1, rest = i; dim >= 0; --dim) {
      place[dim] = rest % type.getDimSize(dim);
      rest /= type.getDimSize(dim);
    }
    DenseMap<Value, Attribute> known;
    for (auto [argument, input, map] :
         llvm::zip(body.getArguments(), inputs, maps)) {
      ArrayRef<int64_t> shape =
          cast<RankedTensorType>(input.getType()).getShape();
      int64_t at = 0;
      for (auto [size, index] : llvm::zip(shape, map.compose(place)))
        at = at * size + index;
      known[argument] = input.getValues<Attribute>()[input.isSplat() ? 0 : at];
    }
    Attribute element = evaluate(body, std::move(known));
    if (!element)
      return {};
    elements.push_back(element);
  }
  return DenseElementsAttr::get(type, elements);
}

void ConstantFolder::fold(linalg::GenericOp op) {
  if (op->getNumResults() != 1 || op.getNumReductionLoops() > 0 ||
      !op.hasPureTensorSemantics() ||
      !typeOf(op->getResult(0)).hasStaticShape() ||
      typeOf(op->getResult(0)).getNumElements() == 0)
    return;
  DenseElementsAttr elements = widen(op);
  if (!elements)
    elements = compute(op);
  if (!elements)
    return;
  builder.setInsertionPoint(op);
  StringRef name = nodeName(op.getLoc());
  graph.setNode(name, "", op.getLoc());
  op->getResult(0).replaceAllUsesWith(
      graph.denseConstant((name + ".constant").str(), elements));
  op.erase();
}

namespace {
struct FoldConstants : gatecc::impl::FoldConstantsBase<FoldConstants> {
  void runOnOperation() override {
    ConstantFolder folder(getOperation());
    SmallVector<linalg::GenericOp> ops;
    getOperation().walk([&](linalg::GenericOp op) { ops.push_back(op); });
    for (linalg::GenericOp op : ops)
      folder.fold(op);
  }
};
} // namespace
