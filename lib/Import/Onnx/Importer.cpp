// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Imports an ONNX model: its interface, initializers and opsets. The
// nodes are in NodeImport.cpp.
#include "lib/Import/Onnx/Importer.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Import/Onnx.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace gatecc;
using llvm::enumerate;
using llvm::Expected;
using llvm::StringMap;

OnnxImporter::OnnxImporter(MLIRContext *context, StringRef path,
                           StringRef bytes, const proto::Model &model)
    : context(context), path(path), bytes(bytes), model(model),
      fileLoc(FileLineColLoc::get(context, path, 0, 0)), builder(context),
      tensors(context, path, bytes) {}

LogicalResult OnnxImporter::fail(const Twine &reason) {
  return emitError(fileLoc) << reason;
}

OwningOpRef<ModuleOp> OnnxImporter::run() {
  module = ModuleOp::create(fileLoc);
  Operation *op = module.get();
  op->setAttr("gatecc.name",
              builder.getStringAttr(llvm::sys::path::stem(path)));
  op->setAttr("gatecc.source", builder.getStringAttr(path));
  op->setAttr("gatecc.source_hash", builder.getStringAttr(hashSource(bytes)));
  symbols.emplace(op);
  func::FuncOp function;
  if (failed(indexFunctions()) || failed(importMain(function)))
    return {};
  return std::move(module);
}

LogicalResult OnnxImporter::readOpsets(ArrayRef<proto::OpsetImport> imports,
                                       const Frame *outer, const Twine &owner,
                                       StringMap<int64_t> &opsets) {
  for (const proto::OpsetImport &import : imports) {
    StringRef domain = canonicalDomain(import.domain);
    if (import.version < 1)
      return fail(owner + " imports version " + Twine(import.version) +
                  " of domain '" + domain + "'; versions begin at 1");
    auto [it, isNew] = opsets.try_emplace(domain, import.version);
    if (!isNew && it->second != import.version)
      return fail(owner + " imports two versions of domain '" + domain + "'");
  }
  if (outer)
    for (const auto &entry : outer->opsets)
      opsets.try_emplace(entry.getKey(), entry.getValue());
  return success();
}

static std::string functionKey(StringRef domain, StringRef name,
                               StringRef overload) {
  return (canonicalDomain(domain) + Twine('\0') + name + Twine('\0') + overload)
      .str();
}

LogicalResult OnnxImporter::indexFunctions() {
  for (const proto::Function &function : model.functions)
    if (!functions
             .try_emplace(
                 functionKey(function.domain, function.name, function.overload),
                 &function)
             .second)
      return fail("function '" + function.domain + "::" + function.name +
                  "' is defined twice");
  return success();
}

const proto::Function *
OnnxImporter::findFunction(const proto::Node &node) const {
  return functions.lookup(functionKey(node.domain, node.op, node.overload));
}

/// Names of inputs and outputs go into C strings and JSON.
static bool isPortableName(StringRef name) {
  const llvm::UTF8 *begin = name.bytes_begin();
  return !name.empty() && !name.contains('\0') &&
         llvm::isLegalUTF8String(&begin, name.bytes_end());
}

/// The name of a dimension as gate.dims has it: an identifier, different for
/// different names. A product such as "2*B" must not be mistaken for one.
Attribute OnnxImporter::dimAttribute(const proto::Dimension &dimension,
                                     StringRef unnamed) {
  if (dimension.size)
    return builder.getI64IntegerAttr(*dimension.size);
  int64_t number; // some exporters write sizes as names
  if (!dimension.name.getAsInteger(10, number) && number >= 0)
    return builder.getI64IntegerAttr(number);
  StringRef key = dimension.name.empty() ? unnamed : dimension.name;
  std::string &name = dimNames[key];
  if (name.empty()) {
    std::string base;
    for (char c : key)
      base += llvm::isAlnum(c) || c == '_' || c == '.' ? c : '_';
    if (base.empty() || llvm::isDigit(base[0]))
      base = "_" + base;
    name = base;
    unsigned &suffix = dimSuffixes[base];
    while (!usedDimNames.insert(name).second)
      name = base + "_" + std::to_string(++suffix);
  }
  return builder.getStringAttr(name);
}

/// The type that the file declares for a value; null if it declares none.
FailureOr<Type> OnnxImporter::declaredType(const proto::ValueInfo &info) {
  Type element = info.isTensor && !info.isOther
                     ? onnxElementType(context, info.elementType)
                     : Type();
  if (!element)
    return Type();
  if (!info.shape)
    return Type(UnrankedTensorType::get(element));
  if (info.shape->size() > maxRank)
    return fail("value '" + info.name + "' has " + Twine(info.shape->size()) +
                " dimensions; at most " + Twine(maxRank) + " are supported");
  SmallVector<int64_t> shape;
  for (auto [index, dimension] : enumerate(*info.shape)) {
    int64_t size = dimension.size.value_or(ShapedType::kDynamic);
    if (dimension.size && size < 0)
      return fail("dimension " + Twine(index) + " of value '" + info.name +
                  "' is " + Twine(size) +
                  "; give it a size, or a name if it is not fixed");
    int64_t number;
    if (!dimension.size && !dimension.name.getAsInteger(10, number) &&
        number >= 0)
      size = number;
    shape.push_back(size);
  }
  if (!fitsMemory(shape, element))
    return fail("value '" + info.name +
                "' has more elements than memory can hold");
  return Type(RankedTensorType::get(shape, element));
}

LogicalResult OnnxImporter::importInput(const proto::ValueInfo &info,
                                        Block *block, Scope &scope,
                                        SmallVectorImpl<Attribute> &attrs) {
  if (!isPortableName(info.name))
    return fail("an input has no name, or one that is no UTF-8 text");
  if (!info.isTensor || info.isOther)
    return fail("input '" + info.name +
                "' is declared as no tensor; inputs can only be tensors");
  if (!onnxElementType(context, info.elementType))
    return fail("input '" + info.name + "' has element type " +
                onnxTypeName(info.elementType) +
                ", which gatecc does not support");
  if (!info.shape)
    return fail(
        "input '" + info.name +
        "' has no shape; declare its dimensions, by name where they vary");
  FailureOr<Type> type = declaredType(info);
  if (failed(type))
    return failure();
  SmallVector<Attribute> dims;
  for (auto [index, dimension] : enumerate(*info.shape))
    dims.push_back(
        dimAttribute(dimension, (info.name + "_d" + Twine(index)).str()));
  attrs.push_back(builder.getDictionaryAttr(
      {builder.getNamedAttr("gate.name", builder.getStringAttr(info.name)),
       builder.getNamedAttr("gate.dims", builder.getArrayAttr(dims))}));
  Location loc = NameLoc::get(builder.getStringAttr(info.name), fileLoc);
  if (!scope.values.try_emplace(info.name, block->addArgument(*type, loc))
           .second)
    return fail("input '" + info.name + "' is declared twice");
  return success();
}

/// What the file says of an output; the sizes that hold are inferred later.
Attribute OnnxImporter::outputAttributes(const proto::ValueInfo &info) {
  SmallVector<NamedAttribute> attrs{
      builder.getNamedAttr("gate.name", builder.getStringAttr(info.name))};
  if (info.isTensor && info.shape) {
    SmallVector<Attribute> dims;
    for (auto [index, dimension] : enumerate(*info.shape)) {
      // A name that no input has may be an expression of such names.
      bool isText = !dimension.size && !dimension.name.empty() &&
                    !dimNames.contains(dimension.name) &&
                    llvm::isPrint(dimension.name[0]) &&
                    !llvm::isDigit(dimension.name[0]);
      dims.push_back(
          isText ? builder.getStringAttr(dimension.name)
                 : dimAttribute(dimension,
                                (info.name + "_d" + Twine(index)).str()));
    }
    attrs.push_back(
        builder.getNamedAttr("gate.dims", builder.getArrayAttr(dims)));
  }
  return builder.getDictionaryAttr(attrs);
}

LogicalResult OnnxImporter::importMain(func::FuncOp &function) {
  const proto::Graph &graph = *model.graph;
  Frame frame;
  if (failed(readOpsets(model.opsets, nullptr, "the model", frame.opsets)))
    return failure();
  if (graph.outputs.empty())
    return fail("the graph has no outputs");

  function =
      func::FuncOp::create(fileLoc, "main", builder.getFunctionType({}, {}));
  symbols->insert(function);
  main = function;
  Block *block = function.addEntryBlock();
  builder.setInsertionPointToEnd(block);

  // An initializer gives an input a default: gatecc takes it as fixed.
  llvm::StringSet<> defaults;
  for (const proto::Tensor &tensor : graph.initializers)
    defaults.insert(tensor.name);
  Scope scope;
  SmallVector<Attribute> inputAttrs, outputAttrs;
  for (const proto::ValueInfo &info : graph.inputs)
    if (!defaults.contains(info.name))
      if (failed(importInput(info, block, scope, inputAttrs)))
        return failure();
  FailureOr<SmallVector<Value>> results = importGraph(graph, scope, frame);
  if (failed(results))
    return failure();

  llvm::StringSet<> names;
  for (const proto::ValueInfo &info : graph.outputs) {
    if (!isPortableName(info.name))
      return fail("an output has no name, or one that is no UTF-8 text");
    if (!names.insert(info.name).second)
      return fail("output '" + info.name + "' is listed twice");
    if (info.isOther)
      return fail("output '" + info.name +
                  "' is no tensor; outputs can only be tensors");
    if (info.isTensor && info.elementType != 0 &&
        !onnxElementType(context, info.elementType))
      return fail("output '" + info.name + "' has element type " +
                  onnxTypeName(info.elementType) +
                  ", which gatecc does not support");
    outputAttrs.push_back(outputAttributes(info));
  }
  func::ReturnOp::create(builder, fileLoc, *results);
  function.setType(builder.getFunctionType(block->getArgumentTypes(),
                                           ValueRange(*results).getTypes()));
  function.setAllArgAttrs(inputAttrs);
  function.setAllResultAttrs(outputAttrs);
  return success();
}

LogicalResult OnnxImporter::importInitializers(const proto::Graph &graph,
                                               Scope &scope) {
  if (graph.hasSparseInitializer)
    return fail(
        "the model holds sparse initializers, which gatecc does not support");
  for (const proto::Tensor &tensor : graph.initializers) {
    if (tensor.name.empty())
      return fail("an initializer has no name");
    Expected<TensorContent> content = tensors.read(tensor);
    if (!content)
      return fail("initializer '" + tensor.name + "' " +
                  llvm::toString(content.takeError()));
    Location loc = NameLoc::get(builder.getStringAttr(tensor.name), fileLoc);
    Value value = importTensor(*content, tensor.name, loc);
    if (!scope.values.try_emplace(tensor.name, value).second)
      return fail("initializer '" + tensor.name +
                  "' has the name of another one or of an input");
  }
  return success();
}

Value OnnxImporter::importTensor(const TensorContent &content, StringRef name,
                                 Location loc) {
  RankedTensorType type = content.type;
  int64_t size = type.getNumElements() * elementBytes(type.getElementType());
  if (content.value && (content.value.isSplat() || size <= smallConstantBytes))
    return arith::ConstantOp::create(builder, loc, type, content.value);
  FlatSymbolRefAttr weight = importWeight(content, name, loc);
  return gate::WeightValueOp::create(builder, loc, type, weight);
}

FlatSymbolRefAttr OnnxImporter::importWeight(const TensorContent &content,
                                             StringRef name, Location loc) {
  RankedTensorType type = content.type;
  OpBuilder detached(context);
  OperationState state(loc, gate::WeightOp::getOperationName());
  state.addAttribute("sym_name",
                     builder.getStringAttr(name.empty() ? "weight" : name));
  state.addAttribute("type", TypeAttr::get(type));
  if (content.value) {
    state.addAttribute("value", content.value);
  } else {
    state.addAttribute("file", builder.getStringAttr(content.file));
    state.addAttribute("offset", builder.getI64IntegerAttr(content.offset));
    state.addAttribute("strides",
                       builder.getDenseI64ArrayAttr(contiguousStrides(type)));
  }
  Operation *weight = detached.create(state);
  return FlatSymbolRefAttr::get(symbols->insert(weight, Block::iterator(main)));
}

FailureOr<SmallVector<Value>>
OnnxImporter::importGraph(const proto::Graph &graph, Scope &scope,
                          Frame &frame) {
  for (const std::vector<proto::ValueInfo> *infos :
       {&graph.values, &graph.outputs})
    for (const proto::ValueInfo &info : *infos) {
      FailureOr<Type> type = declaredType(info);
      if (failed(type))
        return failure();
      if (*type)
        scope.types[info.name] = *type;
    }
  if (failed(importInitializers(graph, scope)) ||
      failed(importNodes(graph.nodes, scope, frame)))
    return failure();
  SmallVector<Value> results;
  for (const proto::ValueInfo &info : graph.outputs) {
    std::optional<Value> value = lookup(info.name, scope);
    if (!value || !*value)
      return fail("output '" + info.name + "' of graph '" + graph.name +
                  "' is made by no node");
    results.push_back(*value);
  }
  return results;
}

std::optional<Value> OnnxImporter::lookup(StringRef name, const Scope &scope) {
  for (const Scope *s = &scope; s; s = s->parent)
    if (auto it = s->values.find(name); it != s->values.end())
      return it->second;
  return std::nullopt;
}

Type OnnxImporter::resultType(StringRef name, const Scope &scope) {
  if (auto it = scope.types.find(name); it != scope.types.end())
    return it->second;
  return onnx::ValueType::get(context);
}

OwningOpRef<ModuleOp> gatecc::importOnnx(MLIRContext &context, StringRef path) {
  context.loadDialect<arith::ArithDialect, func::FuncDialect, gate::GateDialect,
                      onnx::OnnxDialect, tensor::TensorDialect>();
  Location loc = FileLineColLoc::get(&context, path, 0, 0);
  Expected<std::unique_ptr<llvm::MemoryBuffer>> buffer = openSource(path);
  if (!buffer) {
    emitError(loc) << "the model file " << llvm::toString(buffer.takeError());
    return {};
  }
  StringRef bytes = (*buffer)->getBuffer();
  if (bytes.empty()) {
    emitError(loc) << "the model file is empty";
    return {};
  }
  std::string error;
  std::optional<proto::Model> model = proto::parseModel(bytes, error);
  if (!model) {
    emitError(loc) << "not a readable ONNX model: " << error
                   << "; is the file complete?";
    return {};
  }
  if (!model->graph || model->irVersion < 1) {
    emitError(loc) << "not an ONNX model: it has no "
                   << (model->graph ? "IR version" : "graph")
                   << "; is the file complete?";
    return {};
  }
  return OnnxImporter(&context, path, bytes, *model).run();
}
