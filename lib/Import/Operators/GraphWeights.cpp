// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GraphBuilder, constants: weights in files and their strided views, small
// constants and theirs.
#include "gatecc/Import/GraphBuilder.h"
#include "lib/Import/Operators/SymbolPlace.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;

/// Larger constants become weights.
static constexpr int64_t maxConstantBytes = 1024;

Value GraphBuilder::constant(TypedAttr value) {
  return arith::ConstantOp::create(builder, loc, value);
}

Value GraphBuilder::scalar(Type type, double value) {
  if (isa<FloatType>(type))
    return constant(builder.getFloatAttr(type, value));
  return constant(builder.getIntegerAttr(type, int64_t(value)));
}

gate::WeightOp GraphBuilder::createWeight(StringRef name,
                                          RankedTensorType type) {
  OpBuilder at(module.getContext());
  auto op = gate::WeightOp::create(
      at, loc, builder.getStringAttr(name.empty() ? "w" : name),
      TypeAttr::get(type), StringAttr(), at.getI64IntegerAttr(0),
      DenseI64ArrayAttr(), ElementsAttr(), ArrayAttr());
  symbolTable.insert(op, placeOfSymbols(module));
  return op;
}

Value GraphBuilder::weightValue(gate::WeightOp weight) {
  return gate::WeightValueOp::create(
      builder, loc, weight.getType(),
      FlatSymbolRefAttr::get(weight.getSymNameAttr()));
}

Value GraphBuilder::weight(StringRef name, RankedTensorType type,
                           StringRef file, int64_t offset,
                           ArrayRef<int64_t> strides) {
  auto key = builder.getDictionaryAttr(
      {builder.getNamedAttr("type", TypeAttr::get(type)),
       builder.getNamedAttr("file", builder.getStringAttr(file)),
       builder.getNamedAttr("offset", builder.getI64IntegerAttr(offset)),
       builder.getNamedAttr("strides", builder.getDenseI64ArrayAttr(strides))});
  gate::WeightOp &op = weights[key];
  if (!op) {
    op = createWeight(name, type);
    op.setFile(file);
    op.setOffset(offset);
    op.setStrides(strides);
  }
  return weightValue(op);
}

Value GraphBuilder::denseConstant(StringRef name, DenseElementsAttr value) {
  auto type = ::mlir::cast<RankedTensorType>(value.getType());
  int64_t bytes = type.getNumElements() *
                  ((type.getElementType().getIntOrFloatBitWidth() + 7) / 8);
  if (value.isSplat() || bytes <= maxConstantBytes)
    return constant(value);
  gate::WeightOp op = createWeight(name, type);
  op.setValueAttr(value);
  return weightValue(op);
}

bool GraphBuilder::isConstant(Value value) {
  return params.contains(value) || viewOf(value).has_value();
}

DenseElementsAttr GraphBuilder::constantValue(Value value) {
  DenseElementsAttr attribute;
  if (matchPattern(value, m_Constant(&attribute)))
    return attribute;
  if (auto op = value.getDefiningOp<gate::WeightValueOp>())
    if (auto weight = symbolTable.lookup<gate::WeightOp>(op.getWeight()))
      return dyn_cast_or_null<DenseElementsAttr>(weight.getValueAttr());
  return {};
}

Value GraphBuilder::asWeight(Value value) {
  if (value.getDefiningOp<gate::WeightValueOp>())
    return value;
  DenseElementsAttr attribute = constantValue(value);
  if (!attribute)
    return {};
  auto key =
      builder.getDictionaryAttr(builder.getNamedAttr("value", attribute));
  gate::WeightOp &op = weights[key];
  if (!op) {
    op = createWeight(nodeName + ".constant",
                      ::mlir::cast<RankedTensorType>(value.getType()));
    op.setValueAttr(attribute);
  }
  return weightValue(op);
}

std::optional<GraphBuilder::View> GraphBuilder::viewOf(Value value) {
  View view;
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return std::nullopt;
  view.element = type.getElementType();
  view.shape.assign(type.getShape().begin(), type.getShape().end());
  if (auto op = value.getDefiningOp<gate::WeightValueOp>()) {
    auto weight = symbolTable.lookup<gate::WeightOp>(op.getWeight());
    if (weight && weight.getFile()) {
      view.weight = weight;
      view.strides.assign(weight.getStrides()->begin(),
                          weight.getStrides()->end());
      view.offset = weight.getOffset();
      return view;
    }
  }
  view.value = constantValue(value);
  if (!view.value)
    return std::nullopt;
  view.strides.assign(view.shape.size(), 1);
  for (int64_t dim = int64_t(view.shape.size()) - 2; dim >= 0; --dim)
    view.strides[dim] = view.strides[dim + 1] * view.shape[dim + 1];
  return view;
}

/// The elements of `source` at `places`.
static DenseElementsAttr pick(DenseElementsAttr source, RankedTensorType type,
                              ArrayRef<int64_t> places) {
  unsigned bits = type.getElementType().getIntOrFloatBitWidth();
  if (bits % 8 != 0) { // Bits lie closer than bytes.
    auto values = source.getValues<Attribute>();
    SmallVector<Attribute> elements;
    for (int64_t place : places)
      elements.push_back(values[place]);
    return DenseElementsAttr::get(type, elements);
  }
  size_t size = bits / 8;
  std::vector<char> bytes;
  bytes.reserve(places.size() * size);
  for (int64_t place : places) {
    ArrayRef<char> element = source.getRawData().slice(place * size, size);
    bytes.insert(bytes.end(), element.begin(), element.end());
  }
  return DenseElementsAttr::getFromRawBuffer(type, bytes);
}

Value GraphBuilder::makeView(View view) {
  auto type = RankedTensorType::get(view.shape, view.element);
  if (view.weight)
    return weight(
        (view.weight.getSymName().split(".view").first + ".view").str(), type,
        *view.weight.getFile(), view.offset, view.strides);
  if (view.value.isSplat())
    return constant(view.value.resizeSplat(type));
  int64_t count = type.getNumElements();
  SmallVector<int64_t> index(view.shape.size(), 0);
  std::vector<int64_t> places; // in the source, in the order of the view
  places.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    int64_t at = view.offset;
    for (auto [position, stride] : llvm::zip(index, view.strides))
      at += position * stride;
    places.push_back(at);
    for (int64_t dim = int64_t(index.size()) - 1; dim >= 0; --dim) {
      if (++index[dim] < view.shape[dim])
        break;
      index[dim] = 0;
    }
  }
  return denseConstant(nodeName + ".view", pick(view.value, type, places));
}

Value GraphBuilder::sliceConstant(Value value, ArrayRef<int64_t> offsets,
                                  ArrayRef<int64_t> sizes,
                                  ArrayRef<int64_t> steps) {
  std::optional<View> view = viewOf(value);
  if (!view)
    return {};
  auto is = [](int64_t number) {
    return [number](int64_t each) { return each == number; };
  };
  if (ArrayRef<int64_t>(view->shape) == sizes && llvm::all_of(offsets, is(0)) &&
      llvm::all_of(steps, is(1)))
    return value;
  for (unsigned dim = 0; dim < view->shape.size(); ++dim) {
    if (view->weight && steps[dim] < 0)
      return {};
    if (sizes[dim] > 0)
      view->offset += offsets[dim] * view->strides[dim];
    view->shape[dim] = sizes[dim];
    view->strides[dim] *= steps[dim];
  }
  return makeView(*view);
}

Value GraphBuilder::transposeConstant(Value value,
                                      ArrayRef<int64_t> permutation) {
  std::optional<View> view = viewOf(value);
  if (!view)
    return {};
  View result = *view;
  for (auto [to, from] : llvm::enumerate(permutation)) {
    result.shape[to] = view->shape[from];
    result.strides[to] = view->strides[from];
  }
  return makeView(result);
}

Value GraphBuilder::reshapeConstant(Value value, ArrayRef<int64_t> shape) {
  std::optional<View> view = viewOf(value);
  if (!view)
    return {};
  int64_t total = 1, wanted = 1;
  for (int64_t size : view->shape)
    total *= size;
  for (int64_t size : shape)
    wanted *= size;
  if (total != wanted)
    return {};
  View result = *view;
  result.shape.assign(shape.begin(), shape.end());
  result.strides.assign(shape.size(), 0);
  // Dimensions of the source without those of one element.
  SmallVector<int64_t> sizes, strides;
  for (auto [size, stride] : llvm::zip(view->shape, view->strides))
    if (size != 1) {
      sizes.push_back(size);
      strides.push_back(stride);
    }
  if (total == 0)
    return makeView(result);
  unsigned from = 0, to = 0;
  while (from < sizes.size()) {
    // The smallest groups of dimensions that hold equally many elements.
    unsigned fromEnd = from + 1, toEnd = to;
    int64_t have = sizes[from], want = 1;
    while (toEnd < shape.size() && shape[toEnd] == 1)
      ++toEnd;
    to = toEnd;
    want = shape[toEnd++];
    while (have != want) {
      if (have < want)
        have *= sizes[fromEnd++];
      else
        want *= shape[toEnd++];
    }
    for (unsigned dim = from; dim + 1 < fromEnd; ++dim)
      if (strides[dim] != sizes[dim + 1] * strides[dim + 1])
        return {};
    int64_t stride = strides[fromEnd - 1];
    for (unsigned dim = toEnd; dim-- > to;) {
      result.strides[dim] = stride;
      stride *= shape[dim];
    }
    from = fromEnd;
    to = toEnd;
  }
  return makeView(result);
}

Value GraphBuilder::stackConstants(ArrayRef<Value> parts) {
  SmallVector<View> views;
  for (Value part : parts) {
    Value weight = asWeight(part);
    std::optional<View> view = weight ? viewOf(weight) : std::nullopt;
    if (!view || part.getType() != parts.front().getType() ||
        bool(view->weight) !=
            bool(views.empty() ? view->weight : views.front().weight) ||
        view->strides !=
            (views.empty() ? view->strides : views.front().strides))
      return {};
    views.push_back(*view);
  }
  auto type = ::mlir::cast<RankedTensorType>(parts.front().getType());
  SmallVector<int64_t> shape{int64_t(parts.size())};
  shape.append(type.getShape().begin(), type.getShape().end());
  auto stacked = RankedTensorType::get(shape, type.getElementType());
  SmallVector<Attribute> symbols;
  for (Value part : parts)
    symbols.push_back(
        asWeight(part).getDefiningOp<gate::WeightValueOp>().getWeightAttr());
  auto list = builder.getArrayAttr(symbols);
  gate::WeightOp &op = weights[list];
  if (!op) {
    op = createWeight(nodeName + ".stack", stacked);
    op.setStackAttr(list);
  }
  return weightValue(op);
}
