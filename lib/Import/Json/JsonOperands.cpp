// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operands, constants and attributes of a JSON network's nodes.
#include "lib/Import/Json/JsonImporter.h"
#include "lib/Import/Source/Elements.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace gatecc;

static Type typeOf(Builder builder, char kind, unsigned bits) {
  switch (kind) {
  case 'f':
    return bits == 64   ? Type(builder.getF64Type())
           : bits == 32 ? Type(builder.getF32Type())
                        : Type(builder.getF16Type());
  case 'b':
    return builder.getBF16Type();
  case 'i':
    return builder.getIntegerType(bits);
  case 'u':
    return builder.getIntegerType(bits, /*isSigned=*/false);
  default:
    return {};
  }
}

Type gatecc::jsonType(MLIRContext *context, StringRef dtype) {
  auto [kind, bits] = llvm::StringSwitch<std::pair<char, unsigned>>(dtype)
                          .Case("f64", {'f', 64})
                          .Case("f32", {'f', 32})
                          .Case("f16", {'f', 16})
                          .Case("bf16", {'b', 16})
                          .Case("i64", {'i', 64})
                          .Case("i32", {'i', 32})
                          .Case("i8", {'i', 8})
                          .Case("u8", {'u', 8})
                          .Case("bool", {'i', 1})
                          .Default({0, 0});
  return typeOf(Builder(context), kind, bits);
}

Type gatecc::safetensorsType(MLIRContext *context, StringRef dtype) {
  if (dtype == "BOOL")
    return IntegerType::get(context, 1);
  if (Type type = jsonType(context, dtype.lower()))
    return type;
  auto [kind, bits] = llvm::StringSwitch<std::pair<char, unsigned>>(dtype)
                          .Case("I16", {'i', 16})
                          .Case("U16", {'u', 16})
                          .Case("U32", {'u', 32})
                          .Case("U64", {'u', 64})
                          .Default({0, 0});
  return typeOf(Builder(context), kind, bits);
}

FailureOr<Type> JsonImporter::readType(const JsonValue &value) {
  if (value.kind == JsonValue::String)
    if (Type type = jsonType(context, value.text))
      return type;
  return fail(value,
              "should be one of f64, f32, f16, bf16, i64, i32, i8, u8, bool");
}

FailureOr<Value> JsonImporter::readOperand(const JsonValue &operand,
                                           Scope &scope) {
  if (operand.isNumber() || operand.kind == JsonValue::Object)
    return readConstant(operand);
  if (operand.kind != JsonValue::String)
    return fail(operand,
                "should be the name of a value, an '@weight' or a constant");
  StringRef name = operand.text;
  if (name.empty())
    return Value();
  if (name.starts_with("@"))
    return readWeight(operand);
  auto it = scope.find(name);
  if (it == scope.end())
    return fail(operand,
                "no input and no earlier node makes a value '" + name + "'" +
                    (&scope != &values && values.contains(name)
                         ? " that is visible here; a body sees only its rows, "
                           "its params and its own values"
                         : ""));
  return it->second;
}

FailureOr<Value> JsonImporter::readWeight(const JsonValue &operand) {
  StringRef name = StringRef(operand.text).drop_front();
  if (!weights)
    return fail(operand,
                "the document names no file of weights (key 'weights')");
  auto it = weights->tensors.find(name);
  if (it == weights->tensors.end())
    return fail(operand, "the weights' file has no tensor '" + name + "'");
  SafeTensor &tensor = it->second;
  Type element = safetensorsType(context, tensor.dtype);
  if (!element)
    return fail(operand, "tensor '" + name + "' has dtype '" + tensor.dtype +
                             "', which gatecc does not support");
  if (tensor.shape.size() > maxRank)
    return fail(operand, "tensor '" + name + "' has more than " +
                             Twine(maxRank) + " dimensions");
  if (!fitsMemory(tensor.shape, element))
    return fail(operand,
                "tensor '" + name + "' has more elements than memory can hold");
  auto type = RankedTensorType::get(tensor.shape, element);
  int64_t size = type.getNumElements() * elementBytes(element);
  if (tensor.size != static_cast<uint64_t>(size))
    return fail(operand, "tensor '" + name + "' has " + Twine(tensor.size) +
                             " bytes of data where its shape and dtype need " +
                             Twine(size));
  StringRef bytes = weights->buffer->getBuffer().substr(tensor.offset, size);
  if (element.isInteger(1) && !tensor.areBoolsChecked) {
    if (!areBools(bytes))
      return fail(operand,
                  "tensor '" + name + "' holds bools that are neither 0 nor 1");
    tensor.areBoolsChecked = true;
  }
  if (size <= smallConstantBytes)
    return graph->denseConstant(name, denseFromBytes(type, bytes));
  return graph->weight(name, type, weightsPath, tensor.offset,
                       contiguousStrides(type));
}

FailureOr<Value> JsonImporter::readConstant(const JsonValue &operand) {
  const JsonValue *literal = &operand;
  Type element = builder.getF32Type();
  if (operand.kind == JsonValue::Object) {
    if (failed(checkKeys(operand, {"value", "dtype"})))
      return failure();
    literal = operand.get("value");
    if (!literal)
      return fail(operand, "the key 'value' is missing");
    if (const JsonValue *dtype = operand.get("dtype")) {
      FailureOr<Type> type = readType(*dtype);
      if (failed(type))
        return failure();
      element = *type;
    }
  }
  SmallVector<int64_t> shape;
  for (const JsonValue *v = literal; v->kind == JsonValue::Array;
       v = &v->items[0]) {
    shape.push_back(v->items.size());
    if (v->items.empty())
      break;
  }
  if (shape.size() > maxRank)
    return fail(*literal, "has more than " + Twine(maxRank) + " dimensions");
  SmallVector<Attribute> elements;
  if (failed(readElements(*literal, element, 0, shape, elements)))
    return failure();
  auto type = RankedTensorType::get(shape, element);
  return graph->denseConstant("constant",
                              DenseElementsAttr::get(type, elements));
}

LogicalResult JsonImporter::readElements(const JsonValue &value, Type element,
                                         unsigned depth,
                                         ArrayRef<int64_t> shape,
                                         SmallVectorImpl<Attribute> &elements) {
  if (depth < shape.size()) {
    if (value.kind != JsonValue::Array ||
        static_cast<int64_t>(value.items.size()) != shape[depth])
      return fail(value, "should be an array of " + Twine(shape[depth]) +
                             " like the others at its depth");
    for (const JsonValue &item : value.items)
      if (failed(readElements(item, element, depth + 1, shape, elements)))
        return failure();
    return success();
  }
  if (auto type = dyn_cast<FloatType>(element)) {
    if (!value.isNumber())
      return fail(value,
                  Twine("should be a number, but is ") + value.describe());
    // Beyond the range of f16 and f32 lies infinity.
    elements.push_back(FloatAttr::get(type, value.number));
    return success();
  }
  auto type = cast<IntegerType>(element);
  if (type.getWidth() == 1) {
    if (value.kind != JsonValue::Bool)
      return fail(value,
                  Twine("should be true or false, but is ") + value.describe());
    elements.push_back(builder.getBoolAttr(value.boolean));
    return success();
  }
  if (value.kind != JsonValue::Int)
    return fail(value,
                Twine("should be an integer, but is ") + value.describe());
  bool fits =
      type.isUnsigned()
          ? value.integer >= 0 && llvm::isUIntN(type.getWidth(), value.integer)
          : llvm::isIntN(type.getWidth(), value.integer);
  if (!fits)
    return fail(value, Twine(value.integer) + " is out of range for its dtype");
  elements.push_back(IntegerAttr::get(
      type, llvm::APInt(64, static_cast<uint64_t>(value.integer))
                .trunc(type.getWidth())));
  return success();
}

FailureOr<DictionaryAttr> JsonImporter::readAttributes(const Node &node) {
  SmallVector<NamedAttribute> attrs;
  if (!node.attributes)
    return builder.getDictionaryAttr(attrs);
  for (auto [key, value] :
       llvm::zip(node.attributes->keys, node.attributes->items)) {
    if (key.empty())
      return fail(node, value, "an attribute has no name");
    Attribute attr;
    switch (value.kind) {
    case JsonValue::Int:
      attr = builder.getI64IntegerAttr(value.integer);
      break;
    case JsonValue::Bool:
      attr = builder.getI64IntegerAttr(value.boolean);
      break;
    case JsonValue::Float:
      attr = builder.getF32FloatAttr(static_cast<float>(value.number));
      break;
    case JsonValue::String:
      attr = builder.getStringAttr(value.text);
      break;
    case JsonValue::Array: {
      const std::vector<JsonValue> &items = value.items;
      auto are = [&items](auto test) { return llvm::all_of(items, test); };
      if (are([](const JsonValue &v) { return v.kind == JsonValue::Int; }))
        attr = builder.getDenseI64ArrayAttr(llvm::map_to_vector(
            items, [](const JsonValue &v) { return v.integer; }));
      else if (are([](const JsonValue &v) { return v.isNumber(); }))
        attr = builder.getDenseF32ArrayAttr(
            llvm::map_to_vector(items, [](const JsonValue &v) {
              return static_cast<float>(v.number);
            }));
      else if (are([](const JsonValue &v) {
                 return v.kind == JsonValue::String;
               }))
        attr = builder.getArrayAttr(
            llvm::map_to_vector(items, [&](const JsonValue &v) -> Attribute {
              return builder.getStringAttr(v.text);
            }));
      break;
    }
    default:
      break;
    }
    if (!attr)
      return fail(node, value,
                  "attribute '" + key +
                      "' should be a number, a string, or an array of "
                      "numbers or of strings");
    attrs.push_back(builder.getNamedAttr(key, attr));
  }
  return builder.getDictionaryAttr(attrs);
}
