// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Imports a JSON network: its interface and its nodes. Operands are in
// JsonOperands.cpp, the ops of `gate` in JsonGateOps.cpp.
#include "lib/Import/Json/JsonImporter.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Import/Json.h"
#include "lib/Import/Source/Elements.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace gatecc;

/// The version of the ONNX operators that the JSON form speaks.
static constexpr int64_t opset = 21;

/// Where each line of the text begins.
static std::vector<size_t> findLines(StringRef text) {
  std::vector<size_t> starts{0};
  for (size_t at = text.find('\n'); at != StringRef::npos;
       at = text.find('\n', at + 1))
    starts.push_back(at + 1);
  return starts;
}

JsonImporter::JsonImporter(MLIRContext *context, StringRef path, StringRef text,
                           const JsonValue &root)
    : context(context), path(path), text(text), root(root),
      fileLoc(FileLineColLoc::get(context, path, 0, 0)), builder(context),
      dataFiles(path), lineStarts(findLines(text)) {}

//===-- Errors and the shape of the document
//--------------------------------===//

/// The line, from 1, of a byte.
static unsigned findLine(ArrayRef<size_t> lineStarts, size_t offset) {
  return llvm::upper_bound(lineStarts, offset) - lineStarts.begin();
}

static Location textLocation(MLIRContext *context, StringRef path,
                             ArrayRef<size_t> lineStarts, size_t offset) {
  unsigned line = findLine(lineStarts, offset);
  return FileLineColLoc::get(context, path, line,
                             1 + offset - lineStarts[line - 1]);
}

Location JsonImporter::locOf(const JsonValue &value) {
  return textLocation(context, path, lineStarts, value.offset);
}

unsigned JsonImporter::lineOf(size_t offset) {
  return findLine(lineStarts, offset);
}

/// "/nodes/3/inputs/1: ", or nothing for the document itself.
static std::string pointerPrefix(const JsonValue &root,
                                 const JsonValue &value) {
  std::string pointer = jsonPointer(root, &value);
  return pointer.empty() ? pointer : pointer + ": ";
}

LogicalResult JsonImporter::fail(const JsonValue &value, const Twine &reason) {
  return emitError(locOf(value)) << pointerPrefix(root, value) << reason;
}

LogicalResult JsonImporter::fail(const Node &node, const JsonValue &value,
                                 const Twine &reason) {
  return fail(value, "node '" + node.name + "' (" + node.op + "): " + reason);
}

LogicalResult JsonImporter::located(const JsonValue &value,
                                    llvm::function_ref<LogicalResult()> build) {
  std::vector<std::pair<DiagnosticSeverity, std::string>> reported;
  LogicalResult result = success();
  {
    ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
      reported.emplace_back(diagnostic.getSeverity(), diagnostic.str());
      return success();
    });
    result = build();
  }
  Location loc = locOf(value);
  std::string prefix = pointerPrefix(root, value);
  for (auto &[severity, message] : reported) {
    if (severity == DiagnosticSeverity::Error)
      emitError(loc) << prefix << message;
    else if (severity == DiagnosticSeverity::Warning)
      emitWarning(loc) << prefix << message;
  }
  return result;
}

LogicalResult JsonImporter::checkKeys(const JsonValue &object,
                                      ArrayRef<StringRef> keys) {
  if (object.kind != JsonValue::Object)
    return fail(object,
                Twine("should be an object, but is ") + object.describe());
  for (auto [index, key] : llvm::enumerate(object.keys))
    if (!llvm::is_contained(keys, StringRef(key)))
      return fail(object.items[index], "the key '" + key +
                                           "' has no meaning here; known are " +
                                           llvm::join(keys, ", "));
  return success();
}

static const char *describeKind(JsonValue::Kind kind) {
  JsonValue value;
  value.kind = kind;
  return value.describe();
}

const JsonValue *JsonImporter::require(const JsonValue &object, const char *key,
                                       JsonValue::Kind kind) {
  const JsonValue *value = object.get(key);
  if (!value) {
    (void)fail(object, Twine("the key '") + key + "' is missing");
    return nullptr;
  }
  if (value->kind != kind) {
    (void)fail(*value, Twine("should be ") + describeKind(kind) + ", but is " +
                           value->describe());
    return nullptr;
  }
  return value;
}

FailureOr<JsonImporter::Node> JsonImporter::readNode(const JsonValue &json,
                                                     bool needsName) {
  if (failed(checkKeys(
          json, {"op", "name", "inputs", "outputs", "attributes", "body"})))
    return failure();
  const JsonValue *op = require(json, "op", JsonValue::String);
  const JsonValue *inputs = require(json, "inputs", JsonValue::Array);
  const JsonValue *outputs = require(json, "outputs", JsonValue::Array);
  const JsonValue *name = json.get("name"),
                  *attributes = json.get("attributes");
  if (!op || !inputs || !outputs)
    return failure();
  if (needsName || name) {
    name = require(json, "name", JsonValue::String);
    if (!name)
      return failure();
    if (name->text.empty())
      return fail(*name, "is empty");
    if (needsName && !nodeNames.insert(name->text).second)
      return fail(*name,
                  "node '" + name->text + "' has the name of another node");
  }
  if (attributes && attributes->kind != JsonValue::Object)
    return fail(*attributes,
                Twine("should be an object, but is ") + attributes->describe());
  for (const JsonValue &output : outputs->items)
    if (output.kind != JsonValue::String ||
        StringRef(output.text).starts_with("@"))
      return fail(output,
                  "should be the name of a value; no name begins with '@'");
  if (json.get("body") && op->text != "gate.apply")
    return fail(*json.get("body"), "only gate.apply has a body");
  std::string label = name ? name->text : op->text;
  Location loc = NameLoc::get(builder.getStringAttr(label), locOf(json));
  return Node{
      &json,     op->text, name ? StringRef(name->text) : StringRef(op->text),
      loc,       inputs,   outputs,
      attributes};
}

static bool isGateOp(StringRef op) {
  return llvm::is_contained({"gate.topk", "gate.route", "gate.partition",
                             "gate.apply", "gate.combine", "gate.merge"},
                            op);
}

/// Collects the operators that gatecc lacks, so that one run reports all.
LogicalResult
JsonImporter::checkOperators(const JsonValue &nodes,
                             std::vector<std::string> &unsupported) {
  for (const JsonValue &json : nodes.items) {
    const JsonValue *op = json.get("op"), *body = json.get("body");
    if (op && op->kind == JsonValue::String && !isGateOp(op->text) &&
        !findOperator(op->text, "", opset)) {
      const JsonValue *name = json.get("name");
      unsupported.push_back((Twine(jsonPointer(root, op)) + " '" + op->text +
                             "' (node '" + (name ? name->text : "") +
                             "', line " + Twine(lineOf(op->offset)) + ")")
                                .str());
    }
    if (body)
      if (const JsonValue *inner = body->get("nodes"))
        if (failed(checkOperators(*inner, unsupported)))
          return failure();
  }
  return success();
}

//===-- The document
//-----------------------------------------------------------===//

OwningOpRef<ModuleOp> JsonImporter::run() {
  module = ModuleOp::create(fileLoc);
  if (failed(checkKeys(
          root, {"gatecc", "name", "weights", "inputs", "outputs", "nodes"})))
    return {};
  const JsonValue *version = require(root, "gatecc", JsonValue::Int);
  const JsonValue *name = require(root, "name", JsonValue::String);
  const JsonValue *inputs = require(root, "inputs", JsonValue::Array);
  const JsonValue *outputs = require(root, "outputs", JsonValue::Array);
  const JsonValue *nodes = require(root, "nodes", JsonValue::Array);
  if (!version || !name || !inputs || !outputs || !nodes)
    return {};
  if (version->integer != 1) {
    (void)fail(*version, "is version " + Twine(version->integer) +
                             " of the format; this gatecc reads version 1");
    return {};
  }
  if (name->text.empty() || StringRef(name->text).contains('\0')) {
    (void)fail(*name, "should be a name");
    return {};
  }
  std::vector<std::string> unsupported;
  if (failed(checkOperators(*nodes, unsupported)))
    return {};
  if (!unsupported.empty()) {
    emitError(fileLoc) << "gatecc does not support the operator"
                       << (unsupported.size() > 1 ? "s " : " ")
                       << llvm::join(unsupported, ", ")
                       << "; gatecc --list-ops lists those that it does";
    return {};
  }
  Operation *op = module.get();
  op->setAttr("gatecc.name", builder.getStringAttr(name->text));
  op->setAttr("gatecc.source", builder.getStringAttr(path));
  auto function =
      func::FuncOp::create(fileLoc, "main", builder.getFunctionType({}, {}));
  module->push_back(function);
  entry = function.addEntryBlock();
  builder.setInsertionPointToEnd(entry);
  graph.emplace(*module, builder);
  indexApplies(*nodes);
  if (failed(openWeights()) || failed(importInputs(*inputs)) ||
      failed(importNodes(*nodes, values, /*inBody=*/false)) ||
      failed(importOutputs(*outputs)))
    return {};
  // The text names the weights' file but says nothing of its content.
  std::string hashed = text.str();
  if (weights)
    hashed += hashSource(weights->buffer->getBuffer());
  op->setAttr("gatecc.source_hash", builder.getStringAttr(hashSource(hashed)));
  GraphBuilder::eraseUnused(*entry);
  GraphBuilder::eraseUnusedSymbols(*module);
  return std::move(module);
}

static bool isIdentifier(StringRef name) {
  return !name.empty() && !llvm::isDigit(name[0]) &&
         llvm::all_of(name,
                      [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

LogicalResult JsonImporter::importInputs(const JsonValue &inputs) {
  auto function = cast<func::FuncOp>(entry->getParentOp());
  SmallVector<Attribute> argAttrs;
  SmallVector<std::pair<Value, const JsonValue *>> arguments;
  for (const JsonValue &input : inputs.items) {
    if (failed(checkKeys(input, {"name", "dtype", "shape"})))
      return failure();
    const JsonValue *name = require(input, "name", JsonValue::String);
    const JsonValue *dtype = require(input, "dtype", JsonValue::String);
    const JsonValue *shape = require(input, "shape", JsonValue::Array);
    if (!name || !dtype || !shape)
      return failure();
    if (name->text.empty() || name->text[0] == '@' ||
        StringRef(name->text).contains('\0'))
      return fail(*name, "should be a name; no name begins with '@'");
    FailureOr<Type> element = readType(*dtype);
    if (failed(element))
      return failure();
    if (shape->items.size() > maxRank)
      return fail(*shape, "has more than " + Twine(maxRank) + " dimensions");
    SmallVector<int64_t> sizes;
    SmallVector<Attribute> dims;
    for (const JsonValue &extent : shape->items) {
      if (extent.kind == JsonValue::Int && extent.integer >= 0) {
        sizes.push_back(extent.integer);
        dims.push_back(builder.getI64IntegerAttr(extent.integer));
      } else if (extent.kind == JsonValue::String &&
                 isIdentifier(extent.text)) {
        sizes.push_back(ShapedType::kDynamic);
        dims.push_back(builder.getStringAttr(extent.text));
      } else {
        return fail(
            extent,
            "should be a size, or the name of one (letters, digits, _)");
      }
    }
    if (!fitsMemory(sizes, *element))
      return fail(*shape, "has more elements than memory can hold");
    Location loc =
        NameLoc::get(builder.getStringAttr(name->text), locOf(input));
    Value argument =
        entry->addArgument(RankedTensorType::get(sizes, *element), loc);
    if (!values.try_emplace(name->text, argument).second)
      return fail(*name, "input '" + name->text + "' is declared twice");
    arguments.push_back({argument, shape});
    argAttrs.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("gate.name", builder.getStringAttr(name->text)),
         builder.getNamedAttr("gate.dims", builder.getArrayAttr(dims))}));
  }
  function.setType(builder.getFunctionType(entry->getArgumentTypes(), {}));
  function.setAllArgAttrs(argAttrs);
  for (auto [argument, shape] : arguments) {
    Extents extents;
    for (auto [index, extent] : llvm::enumerate(shape->items))
      extents.push_back(extent.kind == JsonValue::Int
                            ? Extent(extent.integer)
                            : graph->inputSymbol(extent.text, argument, index));
    graph->setShape(argument, extents);
  }
  builder.setInsertionPointToEnd(entry);
  return success();
}

LogicalResult JsonImporter::importOutputs(const JsonValue &outputs) {
  auto function = cast<func::FuncOp>(entry->getParentOp());
  if (outputs.items.empty())
    return fail(outputs, "the network has no outputs");
  Values results;
  SmallVector<Attribute> attrs;
  llvm::StringSet<> names;
  for (const JsonValue &output : outputs.items) {
    if (output.kind != JsonValue::String)
      return fail(output, "should be the name of a value");
    auto it = values.find(output.text);
    if (it == values.end())
      return fail(output, "no node makes a value '" + output.text + "'");
    if (!isa<RankedTensorType>(it->second.getType()))
      return fail(output, "'" + output.text +
                              "' is a plan; outputs can only be tensors");
    if (!names.insert(output.text).second)
      return fail(output, "output '" + output.text + "' is listed twice");
    if (StringRef(output.text).contains('\0'))
      return fail(output, "has a name with a zero character");
    SmallVector<Attribute> dims;
    for (const Extent &extent : graph->shapeOf(it->second))
      dims.push_back(graph->dimAttribute(extent));
    results.push_back(it->second);
    attrs.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("gate.name", builder.getStringAttr(output.text)),
         builder.getNamedAttr("gate.dims", builder.getArrayAttr(dims))}));
  }
  func::ReturnOp::create(builder, fileLoc, results);
  function.setType(builder.getFunctionType(entry->getArgumentTypes(),
                                           ValueRange(results).getTypes()));
  function.setAllResultAttrs(attrs);
  return success();
}

LogicalResult JsonImporter::openWeights() {
  const JsonValue *name = root.get("weights");
  if (!name)
    return success();
  if (name->kind != JsonValue::String)
    return fail(*name, Twine("should be a string, but is ") + name->describe());
  llvm::Expected<DataFiles::DataFile> file = dataFiles.find(name->text);
  if (!file)
    return fail(*name, llvm::toString(file.takeError()));
  weightsPath = file->path;
  llvm::Expected<Safetensors> read = readSafetensors(file->path);
  if (!read)
    return fail(*name, "the file '" + name->text + "' " +
                           llvm::toString(read.takeError()));
  weights = std::move(*read);
  return success();
}

void JsonImporter::indexApplies(const JsonValue &nodes) {
  for (const JsonValue &node : nodes.items) {
    const JsonValue *op = node.get("op"), *inputs = node.get("inputs");
    if (op && op->text == "gate.apply" && inputs && inputs->items.size() == 2)
      applies[inputs->items[1].text].push_back(&node);
  }
}

LogicalResult JsonImporter::importNodes(const JsonValue &nodes, Scope &scope,
                                        bool inBody) {
  for (const JsonValue &json : nodes.items) {
    FailureOr<Node> node = readNode(json, /*needsName=*/!inBody);
    if (failed(node))
      return failure();
    auto import = llvm::StringSwitch<LogicalResult (JsonImporter::*)(
        const Node &, Scope &)>(node->op)
                      .Case("gate.topk", &JsonImporter::importTopK)
                      .Case("gate.route", &JsonImporter::importRoute)
                      .Case("gate.partition", &JsonImporter::importPartition)
                      .Case("gate.apply", &JsonImporter::importApply)
                      .Case("gate.combine", &JsonImporter::importCombine)
                      .Case("gate.merge", &JsonImporter::importMerge)
                      .Default(&JsonImporter::importOperator);
    if (inBody && isGateOp(node->op))
      return fail(*node, json, "a body can hold no ops of gate");
    graph->setNode(node->name, node->op, node->loc);
    if (failed((this->*import)(*node, scope)))
      return failure();
  }
  return success();
}

LogicalResult JsonImporter::define(const Node &node, unsigned output,
                                   Value value, Scope &scope) {
  const JsonValue &name = node.outputs->items[output];
  if (name.text.empty())
    return success();
  if (!value)
    return fail(node, name, "gatecc does not make this output");
  if (!scope.try_emplace(name.text, value).second)
    return fail(node, name, "a value '" + name.text + "' exists already");
  return success();
}

LogicalResult JsonImporter::importOperator(const Node &node, Scope &scope) {
  Values operands;
  for (const JsonValue &operand : node.inputs->items) {
    FailureOr<Value> value = readOperand(operand, scope);
    if (failed(value))
      return failure();
    operands.push_back(*value);
  }
  while (!operands.empty() && !operands.back())
    operands.pop_back();
  FailureOr<DictionaryAttr> attributes = readAttributes(node);
  if (failed(attributes))
    return failure();
  OperatorCall call{node.op,
                    "",
                    opset,
                    operands,
                    *attributes,
                    node.loc,
                    static_cast<unsigned>(node.outputs->items.size()),
                    node.name};
  OperatorResults results = failure();
  if (failed(located(*node.json, [&] {
        results = lowerOperator(*graph, call);
        return LogicalResult(results);
      })))
    return failure();
  for (size_t i = 0; i < node.outputs->items.size(); ++i)
    if (failed(define(node, i, i < results->size() ? (*results)[i] : Value(),
                      scope)))
      return failure();
  return success();
}

OwningOpRef<ModuleOp> gatecc::importJson(MLIRContext &context, StringRef path) {
  context.loadDialect<arith::ArithDialect, func::FuncDialect, gate::GateDialect,
                      linalg::LinalgDialect, math::MathDialect, scf::SCFDialect,
                      tensor::TensorDialect>();
  Location loc = FileLineColLoc::get(&context, path, 0, 0);
  llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>> buffer = openSource(path);
  if (!buffer) {
    emitError(loc) << "the model file " << llvm::toString(buffer.takeError());
    return {};
  }
  StringRef text = (*buffer)->getBuffer();
  if (text.empty()) {
    emitError(loc) << "the model file is empty";
    return {};
  }
  JsonValue root;
  std::string error;
  size_t offset = 0;
  if (!parseJson(text.data(), text.size(), root, error, offset)) {
    emitError(textLocation(&context, path, findLines(text), offset))
        << "not JSON: " << error;
    return {};
  }
  return JsonImporter(&context, path, text, root).run();
}
