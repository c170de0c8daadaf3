// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Imports ONNX nodes with their attributes and bodies; inlines functions.
#include "lib/Import/Onnx/GraphOrder.h"
#include "lib/Import/Onnx/Importer.h"
#include "lib/Import/Onnx/Wire.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace gatecc;
using llvm::enumerate;
using llvm::Expected;
using proto::AttributeKind;
using wire::Kind;

/// Functions that call functions can make a small file a huge graph.
static constexpr uint64_t maxInlinedNodes = 1 << 18;
/// Names, inputs and attributes that calls repeat, in units of one or of bytes.
static constexpr uint64_t maxCallWork = 1 << 24;
/// Bodies and calls inside each other.
static constexpr unsigned maxNesting = 48;

LogicalResult OnnxImporter::fail(const proto::Node &node, const Twine &reason) {
  return emitError(fileLoc) << describeNode(node) << ": " << reason;
}

LogicalResult OnnxImporter::spend(const proto::Node &node, uint64_t work) {
  callWork += work;
  if (callWork > maxCallWork)
    return fail(node,
                "its function makes the model too large when it is inlined");
  return success();
}

std::string OnnxImporter::nodeName(const proto::Node &node,
                                   const Frame &frame) {
  StringRef name = node.name;
  for (StringRef output : node.outputs)
    if (name.empty())
      name = output;
  return frame.prefix + name.str();
}

Location OnnxImporter::nodeLoc(StringRef name, unsigned index) {
  Location place = FileLineColLoc::get(context, path, index, 0);
  return NameLoc::get(builder.getStringAttr(name), place);
}

FailureOr<int64_t> OnnxImporter::versionOf(const proto::Node &node,
                                           StringRef domain,
                                           const Frame &frame) {
  auto it = frame.opsets.find(domain);
  if (it != frame.opsets.end())
    return it->second;
  if (domain.empty())
    return fail(
        node, "the model does not say which opset of the standard operators it "
              "uses; add an opset import of domain ''");
  // A common slip of exporters.
  if (warnedDomains.insert(domain).second)
    emitWarning(fileLoc) << "the model uses operators of domain '" << domain
                         << "' without importing it; version 1 is taken";
  return 1;
}

LogicalResult OnnxImporter::bindAttributes(const proto::Node &node,
                                           Scope &scope, Frame &frame,
                                           BoundAttributes &attributes) {
  llvm::StringSet<> names;
  for (const proto::Attribute &attribute : node.attributes) {
    if (attribute.name.empty())
      return fail(node, "an attribute has no name");
    if (!names.insert(attribute.name).second)
      return fail(node, "attribute '" + attribute.name + "' is given twice");
    if (attribute.reference.empty()) {
      attributes.push_back({&attribute, &scope, &frame, attribute.name});
      continue;
    }
    if (!frame.function)
      return fail(node, "attribute '" + attribute.name +
                            "' refers to one of a function, but is in none");
    auto it = frame.attributes.find(attribute.reference);
    if (it == frame.attributes.end())
      continue; // the caller leaves it out, and so does the node
    attributes.push_back(it->second);
    attributes.back().name = attribute.name;
  }
  return success();
}

FailureOr<Attribute>
OnnxImporter::importAttribute(const proto::Node &node,
                              const proto::Attribute &attribute) {
  switch (static_cast<AttributeKind>(attribute.kind)) {
  case AttributeKind::Float:
    return Attribute(builder.getF32FloatAttr(attribute.f));
  case AttributeKind::Int:
    return Attribute(builder.getI64IntegerAttr(attribute.i));
  case AttributeKind::String:
    return Attribute(builder.getStringAttr(attribute.s));
  case AttributeKind::Strings:
    return Attribute(builder.getStrArrayAttr(attribute.strings));
  case AttributeKind::Floats: {
    SmallVector<float> values;
    if (!wire::forEachNumber(attribute.message, proto::Floats, Kind::Fixed32,
                             [&](uint64_t bits) {
                               values.push_back(llvm::bit_cast<float>(
                                   static_cast<uint32_t>(bits)));
                               return true;
                             }))
      return fail(node, "attribute '" + attribute.name + "' is malformed");
    return Attribute(builder.getDenseF32ArrayAttr(values));
  }
  case AttributeKind::Ints: {
    SmallVector<int64_t> values;
    if (!wire::forEachNumber(attribute.message, proto::Ints, Kind::Varint,
                             [&](uint64_t value) {
                               values.push_back(static_cast<int64_t>(value));
                               return true;
                             }))
      return fail(node, "attribute '" + attribute.name + "' is malformed");
    return Attribute(builder.getDenseI64ArrayAttr(values));
  }
  case AttributeKind::Tensor: {
    if (attribute.tensor.empty())
      return fail(node,
                  "attribute '" + attribute.name + "' should hold a tensor");
    if (!onnxElementType(context, attribute.tensor[0].dataType))
      return Attribute(
          builder.getUnitAttr()); // no operator that we have takes it
    Expected<TensorContent> content = tensors.read(attribute.tensor[0]);
    if (!content)
      return fail(node, "the tensor in attribute '" + attribute.name + "' " +
                            llvm::toString(content.takeError()));
    if (content->value)
      return Attribute(content->value);
    return Attribute(importWeight(*content, attribute.name, fileLoc));
  }
  default:
    // Types, sparse tensors, lists of tensors: only operators that gatecc does
    // not have take them, and those are reported all together later.
    return Attribute(builder.getUnitAttr());
  }
}

/// Folds a Constant node; false if it holds what no tensor of ours can.
FailureOr<bool> OnnxImporter::importConstant(const proto::Node &node,
                                             const BoundAttributes &attributes,
                                             Location loc, Scope &scope) {
  if (node.outputs.size() != 1 || node.outputs[0].empty() ||
      attributes.size() != 1)
    return fail(node, "a Constant has one output and one attribute");
  const proto::Attribute &attribute = *attributes[0].attribute;
  StringRef name = attributes[0].name;
  TensorContent content;
  auto kind = static_cast<AttributeKind>(attribute.kind);
  if (name == "value" && kind == AttributeKind::Tensor &&
      !attribute.tensor.empty()) {
    Expected<TensorContent> read = tensors.read(attribute.tensor[0]);
    if (!read)
      return fail(node, "its tensor " + llvm::toString(read.takeError()));
    content = *read;
  } else if ((name == "value_float" && kind == AttributeKind::Float) ||
             (name == "value_int" && kind == AttributeKind::Int)) {
    bool isFloat = kind == AttributeKind::Float;
    content.type = RankedTensorType::get(
        {}, isFloat ? Type(builder.getF32Type()) : Type(builder.getI64Type()));
    content.value = isFloat ? DenseElementsAttr::get(content.type, attribute.f)
                            : DenseElementsAttr::get(content.type, attribute.i);
  } else if ((name == "value_floats" && kind == AttributeKind::Floats) ||
             (name == "value_ints" && kind == AttributeKind::Ints)) {
    FailureOr<Attribute> list = importAttribute(node, attribute);
    if (failed(list))
      return failure();
    auto array = cast<DenseArrayAttr>(*list);
    Type element = array.getElementType();
    StringRef data(array.getRawData().data(), array.getRawData().size());
    int64_t count = data.size() / elementBytes(element);
    content.type = RankedTensorType::get({count}, element);
    content.value = denseFromBytes(content.type, data);
  } else {
    return false;
  }
  Value value = importTensor(content, node.outputs[0], loc);
  if (!scope.values.try_emplace(node.outputs[0], value).second)
    return fail(node, "value '" + node.outputs[0] +
                          "' is already made by an input or initializer");
  return true;
}

LogicalResult OnnxImporter::importBody(const proto::Node &node,
                                       const BoundAttribute &body,
                                       Region &region) {
  if (body.attribute->graph.empty())
    return fail(node, "attribute '" + body.name + "' should hold a graph");
  const proto::Graph &graph = body.attribute->graph[0];
  if (depth >= maxNesting)
    return fail(node, "bodies and calls are nested more than 48 deep");
  ++depth;
  OpBuilder::InsertionGuard guard(builder);
  Block *block = &region.emplaceBlock();
  builder.setInsertionPointToEnd(block);
  Scope scope;
  scope.parent = body.scope;
  for (const proto::ValueInfo &info : graph.inputs) {
    FailureOr<Type> type = declaredType(info);
    if (failed(type))
      return failure();
    Value argument = block->addArgument(
        *type ? *type : onnx::ValueType::get(context),
        NameLoc::get(builder.getStringAttr(info.name), fileLoc));
    if (info.name.empty() ||
        !scope.values.try_emplace(info.name, argument).second)
      return fail(node, "an input '" + info.name + "' of attribute '" +
                            body.name + "' has no name or is declared twice");
  }
  FailureOr<SmallVector<Value>> results =
      importGraph(graph, scope, *body.frame);
  if (failed(results))
    return failure();
  onnx::YieldOp::create(builder, fileLoc, *results);
  --depth;
  return success();
}

LogicalResult OnnxImporter::importCall(const proto::Node &node,
                                       const proto::Function &function,
                                       ArrayRef<Value> inputs,
                                       const BoundAttributes &attributes,
                                       Frame &caller, Scope &callerScope) {
  for (Frame *f = &caller; f; f = f->caller)
    if (f->function == &function)
      return fail(node, "the function calls itself");
  if (depth >= maxNesting)
    return fail(node, "bodies and calls are nested more than 48 deep");
  ++depth;
  if (failed(spend(node, function.inputs.size() + function.outputs.size() +
                             function.opsets.size() +
                             function.defaults.size())))
    return failure();
  if (inputs.size() > function.inputs.size() ||
      node.outputs.size() > function.outputs.size())
    return fail(node, "has more inputs or outputs than its function");

  Frame frame;
  frame.caller = &caller;
  frame.function = &function;
  std::string name = nodeName(node, caller);
  frame.prefix = name.empty() ? name : name + "/";
  if (failed(readOpsets(function.opsets, &caller,
                        "function '" + function.name + "'", frame.opsets)))
    return failure();
  Scope scope;
  for (const proto::Attribute &attribute : function.defaults)
    frame.attributes[attribute.name] = {&attribute, &scope, &frame,
                                        attribute.name};
  for (const BoundAttribute &attribute : attributes)
    frame.attributes[attribute.name] = attribute;
  for (auto [index, formal] : enumerate(function.inputs))
    if (!scope.values
             .try_emplace(formal,
                          index < inputs.size() ? inputs[index] : Value())
             .second)
      return fail(node, "its function has two inputs '" + formal + "'");
  if (failed(importNodes(function.nodes, scope, frame)))
    return failure();
  for (auto [index, output] : enumerate(node.outputs)) {
    if (output.empty())
      continue;
    std::optional<Value> value = lookup(function.outputs[index], scope);
    if (!value || !*value)
      return fail(node, "no node of its function makes the output '" +
                            function.outputs[index] + "'");
    if (!callerScope.values.try_emplace(output, *value).second)
      return fail(node, "value '" + output +
                            "' is already made by an input or initializer");
  }
  --depth;
  return success();
}

LogicalResult OnnxImporter::importNodes(ArrayRef<proto::Node> nodes,
                                        Scope &scope, Frame &frame) {
  std::string error;
  std::optional<std::vector<unsigned>> order = orderNodes(nodes, error);
  if (!order)
    return fail(error);
  for (unsigned index : *order)
    if (failed(importNode(nodes[index], index, scope, frame)))
      return failure();
  return success();
}

LogicalResult OnnxImporter::importNode(const proto::Node &node, unsigned index,
                                       Scope &scope, Frame &frame) {
  if (node.op.empty())
    return fail(node, "has no operator");
  if (frame.function && ++numInlined > maxInlinedNodes)
    return fail(node, "the model has more than " + Twine(maxInlinedNodes) +
                          " nodes once its functions are inlined");
  StringRef domain = canonicalDomain(node.domain);
  std::string name = nodeName(node, frame);
  if (frame.function) {
    uint64_t bytes = 8 * name.size();
    for (const proto::Attribute &attribute : node.attributes)
      bytes += attribute.message.size();
    if (failed(spend(node,
                     node.inputs.size() + node.outputs.size() + bytes / 1024)))
      return failure();
  }
  Location loc = nodeLoc(name, index);

  SmallVector<Value> inputs;
  for (StringRef input : node.inputs) {
    std::optional<Value> value =
        input.empty() ? std::optional(Value()) : lookup(input, scope);
    if (!value)
      return fail(node,
                  "its input '" + input +
                      "' is no input, no initializer and made by no node");
    inputs.push_back(*value);
  }
  while (!inputs.empty() && !inputs.back())
    inputs.pop_back();
  BoundAttributes attributes;
  if (failed(bindAttributes(node, scope, frame, attributes)))
    return failure();

  if (const proto::Function *function = findFunction(node))
    return importCall(node, *function, inputs, attributes, frame, scope);
  if (domain.empty() && node.op == "Constant") {
    FailureOr<bool> folded = importConstant(node, attributes, loc, scope);
    if (failed(folded) || *folded)
      return folded;
  }
  FailureOr<int64_t> version = versionOf(node, domain, frame);
  if (failed(version))
    return failure();

  OperationState state(loc, onnx::NodeOp::getOperationName());
  state.addAttribute("op_type", builder.getStringAttr(node.op));
  if (!domain.empty())
    state.addAttribute("domain", builder.getStringAttr(domain));
  state.addAttribute("version", builder.getI64IntegerAttr(*version));
  if (!name.empty())
    state.addAttribute("node_name", builder.getStringAttr(name));
  SmallVector<int64_t> absent;
  for (auto [position, value] : enumerate(inputs)) {
    if (value)
      state.addOperands(value);
    else
      absent.push_back(position);
  }
  if (!absent.empty())
    state.addAttribute("absent", builder.getDenseI64ArrayAttr(absent));
  for (StringRef output : node.outputs)
    state.addTypes(resultType(output, scope));

  SmallVector<NamedAttribute> attrs;
  SmallVector<Attribute> bodyNames;
  for (const BoundAttribute &bound : attributes) {
    if (static_cast<AttributeKind>(bound.attribute->kind) ==
        AttributeKind::Graph) {
      bodyNames.push_back(builder.getStringAttr(bound.name));
      if (failed(importBody(node, bound, *state.addRegion())))
        return failure();
      continue;
    }
    FailureOr<Attribute> attr = importAttribute(node, *bound.attribute);
    if (failed(attr))
      return failure();
    attrs.push_back(builder.getNamedAttr(bound.name, *attr));
  }
  if (!attrs.empty())
    state.addAttribute("attrs", builder.getDictionaryAttr(attrs));
  if (!bodyNames.empty())
    state.addAttribute("body_names", builder.getArrayAttr(bodyNames));

  Operation *op = builder.create(state);
  for (auto [output, result] : llvm::zip(node.outputs, op->getResults()))
    if (!output.empty() && !scope.values.try_emplace(output, result).second)
      return fail(node, "value '" + output +
                            "' is already made by an input or initializer");
  return success();
}
