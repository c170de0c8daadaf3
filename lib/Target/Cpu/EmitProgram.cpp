// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits the constant `gatecc_program`: the structs of runtime/program.h, field
// for field.
#include "gatecc/Target/Program.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Target/Version.h"
#include "lib/Target/Cpu/DecidedExtent.h"
#include "runtime/program.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Module.h"

using namespace llvm;
using namespace gatecc;

static_assert(gate::SiteOp::kDynamicGroups == GATECC_DYNAMIC_GROUPS);

namespace {
class ProgramEmitter {
public:
  explicit ProgramEmitter(Module &module)
      : module(module), context(module.getContext()),
        ptr(PointerType::getUnqual(context)), i8(Type::getInt8Ty(context)),
        i32(Type::getInt32Ty(context)), i64(Type::getInt64Ty(context)),
        f64(Type::getDoubleTy(context)) {}

  void emit(const ProgramDescription &program);

private:
  Constant *number(Type *type, uint64_t value) {
    return ConstantInt::get(type, value);
  }
  Constant *real(double value) { return ConstantFP::get(f64, value); }
  Constant *null() { return ConstantPointerNull::get(ptr); }
  Constant *record(ArrayRef<Constant *> fields) {
    return ConstantStruct::getAnon(context, fields);
  }

  /// A hidden-from-everyone constant with this value; its address.
  Constant *place(Constant *value, const Twine &name) {
    auto *global =
        new GlobalVariable(module, value->getType(), /*isConstant=*/true,
                           GlobalValue::PrivateLinkage, value, name);
    global->setUnnamedAddr(GlobalValue::UnnamedAddr::Global);
    return global;
  }
  Constant *string(StringRef text) {
    Constant *&known = strings[text];
    if (!known)
      known = place(ConstantDataArray::getString(context, text), "text");
    return known;
  }
  /// An array of equal structs or scalars; null where there are none.
  Constant *array(ArrayRef<Constant *> items, const Twine &name) {
    if (items.empty())
      return null();
    auto *type = ArrayType::get(items.front()->getType(), items.size());
    return place(ConstantArray::get(type, items), name);
  }
  Constant *tensors(ArrayRef<TensorDescription> list, const Twine &name);
  Constant *function(StringRef name, Type *result) {
    FunctionCallee callee = module.getOrInsertFunction(
        name, FunctionType::get(result, {ptr}, false));
    auto *function = cast<Function>(callee.getCallee());
    function->setVisibility(GlobalValue::HiddenVisibility);
    return function;
  }

  Module &module;
  LLVMContext &context;
  PointerType *ptr;
  Type *i8, *i32, *i64, *f64;
  StringMap<Constant *> strings;
};
} // namespace

Constant *ProgramEmitter::tensors(ArrayRef<TensorDescription> list,
                                  const Twine &name) {
  SmallVector<Constant *> items;
  for (const TensorDescription &tensor : list) {
    SmallVector<Constant *> extents;
    for (const ExtentDescription &extent : tensor.shape) {
      SmallVector<Constant *> factors;
      for (int32_t factor : extent.factors)
        factors.push_back(number(i32, factor));
      int kind = extent.coefficient == kDecidedExtent ? GATECC_EXTENT_DECIDED
                 : factors.empty()                    ? GATECC_EXTENT_CONSTANT
                                                      : GATECC_EXTENT_MONOMIAL;
      extents.push_back(
          record({number(i32, kind), number(i64, extent.coefficient),
                  number(i32, factors.size()), array(factors, "factors")}));
    }
    items.push_back(
        record({string(tensor.name), number(i8, tensor.dtypeCode),
                number(i8, tensor.dtypeBits), number(i32, extents.size()),
                array(extents, "shape")}));
  }
  return array(items, name);
}

void ProgramEmitter::emit(const ProgramDescription &program) {
  SmallVector<Constant *> symbols, sites, targets;
  for (const std::string &symbol : program.symbols)
    symbols.push_back(string(symbol));
  for (const SiteDescription &site : program.sites) {
    SmallVector<Constant *> costs;
    for (double cost : site.groupCost)
      costs.push_back(real(cost));
    sites.push_back(record({string(site.name), string(site.kind),
                            number(i32, uint32_t(site.numGroups)),
                            array(costs, "costs"), real(site.fullCost)}));
  }
  for (const VersionDescription &version : program.versions)
    targets.push_back(
        record({string(version.cpu.name), number(i64, version.cpu.required),
                function(version.run, i32), function(version.arenaBytes, i64),
                number(i32, version.cpu.rank)}));

  Constant *embedded = null();
  bool inFile = !program.weightsFile.empty();
  if (program.weightBytes && !inFile) {
    auto *weights = new GlobalVariable(module, i8, /*isConstant=*/true,
                                       GlobalValue::ExternalLinkage, nullptr,
                                       "gatecc_weights");
    weights->setVisibility(GlobalValue::HiddenVisibility);
    embedded = weights;
  }
  Constant *value = record({
      string(kVersion),
      string(program.modelName),
      string(program.sourceHash),
      number(i64, program.weightBytes),
      number(i32, program.inputs.size()),
      number(i32, program.outputs.size()),
      number(i32, program.symbols.size()),
      number(i32, program.sites.size()),
      number(i32, program.versions.size()),
      tensors(program.inputs, "inputs"),
      tensors(program.outputs, "outputs"),
      array(symbols, "symbols"),
      array(sites, "sites"),
      array(targets, "targets"),
      embedded,
      inFile ? string(program.weightsFile) : null(),
      string(utohexstr(program.weightsHash, /*LowerCase=*/true, /*Width=*/16)),
  });
  auto *global =
      new GlobalVariable(module, value->getType(), /*isConstant=*/true,
                         GlobalValue::ExternalLinkage, value, "gatecc_program");
  global->setVisibility(GlobalValue::HiddenVisibility);
}

std::unique_ptr<Module> gatecc::emitProgram(const ProgramDescription &program,
                                            LLVMContext &context) {
  auto module = std::make_unique<Module>("gatecc", context);
  ProgramEmitter(*module).emit(program);
  return module;
}
