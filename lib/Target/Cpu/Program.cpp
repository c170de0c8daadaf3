// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads the description of a network from its module.
#include "gatecc/Target/Program.h"

#include "dialects/Gate/IR/GateOps.h"
#include "lib/Target/Cpu/DecidedExtent.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace gatecc;

std::optional<ExtentDescription>
gatecc::parseExtent(StringRef text, std::vector<std::string> &symbols,
                    bool mayAdd) {
  ExtentDescription extent;
  SmallVector<StringRef> parts;
  text.split(parts, '*');
  for (StringRef part : parts) {
    part = part.trim();
    if (part.empty())
      return std::nullopt;
    if (llvm::isDigit(part.front())) {
      int64_t number;
      if (part.getAsInteger(10, number) ||
          __builtin_mul_overflow(extent.coefficient, number,
                                 &extent.coefficient))
        return std::nullopt;
      continue;
    }
    auto found = llvm::find(symbols, part);
    if (found == symbols.end()) {
      if (!mayAdd)
        return std::nullopt;
      symbols.push_back(part.str());
      found = std::prev(symbols.end());
    }
    extent.factors.push_back(found - symbols.begin());
  }
  if (!extent.factors.empty() && extent.coefficient < 1)
    return std::nullopt;
  return extent;
}

/// DLPack's code of an element type, or nothing.
static LogicalResult readType(Type type, TensorDescription &tensor) {
  unsigned bits = type.isIntOrFloat() ? type.getIntOrFloatBitWidth() : 0;
  if (type.isInteger(1)) {
    tensor.dtypeCode = 6;
    tensor.dtypeBits = 8;
    return success();
  }
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
    return failure();
  tensor.dtypeBits = bits;
  if (type.isF16() || type.isF32() || type.isF64())
    tensor.dtypeCode = 2;
  else if (type.isBF16())
    tensor.dtypeCode = 4;
  else if (type.isUnsignedInteger())
    tensor.dtypeCode = 1;
  else if (isa<IntegerType>(type))
    tensor.dtypeCode = 0;
  else
    return failure();
  return success();
}

static FailureOr<TensorDescription>
readTensor(ModuleOp module, Attribute name, Type type, Attribute dims,
           std::vector<std::string> &symbols, bool isInput) {
  TensorDescription tensor;
  const char *what = isInput ? "an input" : "an output";
  auto text = dyn_cast_or_null<StringAttr>(name);
  if (!text)
    return module.emitError() << what << " has no gate.name";
  tensor.name = text.str();
  auto ranked = dyn_cast_or_null<RankedTensorType>(type);
  auto array = dyn_cast_or_null<ArrayAttr>(dims);
  if (!ranked || !array || int64_t(array.size()) != ranked.getRank())
    return module.emitError() << what << " '" << tensor.name
                              << "' needs a ranked tensor type and a gate.dims "
                                 "entry for each dimension";
  if (failed(readType(ranked.getElementType(), tensor)))
    return module.emitError()
           << what << " '" << tensor.name << "' has the element type "
           << ranked.getElementType() << ", which a library cannot take";
  for (auto [dim, size] : llvm::zip_equal(array, ranked.getShape())) {
    std::optional<ExtentDescription> extent;
    if (auto number = dyn_cast<IntegerAttr>(dim)) {
      if (number.getInt() >= 0)
        extent = ExtentDescription{number.getInt(), {}};
    } else if (auto symbol = dyn_cast<StringAttr>(dim);
               symbol && symbol == "?" && !isInput &&
               ShapedType::isDynamic(size)) {
      extent = ExtentDescription{kDecidedExtent, {}};
    } else if (symbol) {
      extent = parseExtent(symbol, symbols, isInput);
      if (extent && isInput &&
          (extent->factors.size() > 1 ||
           (extent->factors.size() == 1 && extent->coefficient != 1)))
        extent.reset();
    }
    if (!extent || (!ShapedType::isDynamic(size) &&
                    (!extent->factors.empty() || extent->coefficient != size)))
      return module.emitError()
             << what << " '" << tensor.name << "' has the dimension " << dim
             << ", which is not "
             << (isInput ? "one symbol or"
                         : "a product of "
                           "the inputs' symbols, nor")
             << " the size in its type " << ranked;
    tensor.shape.push_back(std::move(*extent));
  }
  return tensor;
}

LogicalResult gatecc::recordProgram(ModuleOp module) {
  auto main = module.lookupSymbol<func::FuncOp>("main");
  if (!main)
    return module.emitError("the model has no function @main");
  Builder builder(module.getContext());
  auto record = [&](Attribute name, Type type, Attribute dims) -> Attribute {
    NamedAttrList entry;
    if (name)
      entry.set("name", name);
    entry.set("type", TypeAttr::get(type));
    if (dims)
      entry.set("dims", dims);
    return entry.getDictionary(module.getContext());
  };
  SmallVector<Attribute> inputs, outputs;
  for (unsigned i = 0; i < main.getNumArguments(); ++i)
    inputs.push_back(record(main.getArgAttr(i, "gate.name"),
                            main.getArgumentTypes()[i],
                            main.getArgAttr(i, "gate.dims")));
  for (unsigned i = 0; i < main.getNumResults(); ++i)
    outputs.push_back(record(main.getResultAttr(i, "gate.name"),
                             main.getResultTypes()[i],
                             main.getResultAttr(i, "gate.dims")));
  module->setAttr(
      kProgramRecord,
      builder.getDictionaryAttr({
          {builder.getStringAttr("inputs"), builder.getArrayAttr(inputs)},
          {builder.getStringAttr("outputs"), builder.getArrayAttr(outputs)},
      }));
  return success();
}

FailureOr<ProgramDescription> gatecc::describeProgram(ModuleOp module) {
  if (!module->hasAttr(kProgramRecord) && failed(recordProgram(module)))
    return failure();
  auto record = module->getAttrOfType<DictionaryAttr>(kProgramRecord);
  if (!record)
    return module.emitError("expects a dictionary in gatecc.program");
  ProgramDescription program;
  auto readAll = [&](StringRef which, bool isInput,
                     std::vector<TensorDescription> &list) -> LogicalResult {
    auto entries = record.getAs<ArrayAttr>(which);
    if (!entries)
      return module.emitError()
             << "expects the list '" << which << "' in gatecc.program";
    for (Attribute attribute : entries) {
      auto entry = dyn_cast<DictionaryAttr>(attribute);
      auto type = entry ? entry.getAs<TypeAttr>("type") : nullptr;
      FailureOr<TensorDescription> tensor = readTensor(
          module, entry ? entry.get("name") : nullptr,
          type ? type.getValue() : Type(), entry ? entry.get("dims") : nullptr,
          program.symbols, isInput);
      if (failed(tensor))
        return failure();
      if (llvm::any_of(list,
                       [&](auto &other) { return other.name == tensor->name; }))
        return module.emitError()
               << "two " << which << " are named '" << tensor->name << "'";
      list.push_back(std::move(*tensor));
    }
    return success();
  };
  if (failed(readAll("inputs", true, program.inputs)) ||
      failed(readAll("outputs", false, program.outputs)))
    return failure();

  if (auto name = module->getAttrOfType<StringAttr>("gatecc.name"))
    program.modelName = name.str();
  if (auto hash = module->getAttrOfType<StringAttr>("gatecc.source_hash"))
    program.sourceHash = hash.str();
  for (gate::SiteOp op : module.getOps<gate::SiteOp>()) {
    SiteDescription site;
    site.name = op.getName().str();
    site.kind = op.getKind().str();
    site.numGroups = op.getCost().empty() ? -1 : int32_t(op.getCost().size());
    site.groupCost = op.getCost().vec();
    site.fullCost = op.getFullCost().convertToDouble();
    program.sites.push_back(std::move(site));
  }
  return program;
}
