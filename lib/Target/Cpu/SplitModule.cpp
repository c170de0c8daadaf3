// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Divides a module in kernels and the rest; the way to another context is
// bitcode.
#include "lib/Target/Cpu/SplitModule.h"

#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/Instructions.h"
#include "llvm/Support/MemoryBufferRef.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace gatecc;
using llvm::Function;
using llvm::GlobalValue;
using llvm::GlobalVariable;
using llvm::Module;

static bool isKernel(const GlobalValue &value) {
  auto *function = llvm::dyn_cast<Function>(&value);
  return function && !function->isDeclaration() &&
         function->hasFnAttribute(llvm::Attribute::NoInline) &&
         !function->hasFnAttribute("gatecc-step"); // split-run
}

static bool isCalledByRest(const Function &kernel) {
  return llvm::any_of(kernel.users(), [](const llvm::User *user) {
    auto *instruction = llvm::dyn_cast<llvm::Instruction>(user);
    return !instruction || !isKernel(*instruction->getFunction());
  });
}

ModulePart
gatecc::splitModule(Module &module,
                    std::unique_ptr<llvm::LLVMContext> contextOfPart) {
  std::string suffix;
  bool hasKernels = false;
  for (const Function &function : module) {
    hasKernels |= isKernel(function);
    if (suffix.empty() && !function.isDeclaration() &&
        !function.hasLocalLinkage())
      suffix = ("." + function.getName()).str();
  }
  // Both parts have their own copy of a constant; variables must not be copied.
  bool hasVariables =
      llvm::any_of(module.globals(), [](const GlobalVariable &global) {
        return global.hasLocalLinkage() && !global.isConstant();
      });
  if (!hasKernels || hasVariables || suffix.empty())
    return {};

  for (Function &function : module)
    if (isKernel(function) && isCalledByRest(function)) {
      function.setName(function.getName() + suffix);
      function.setLinkage(GlobalValue::ExternalLinkage);
      function.setVisibility(GlobalValue::HiddenVisibility);
    }
  llvm::ValueToValueMapTy map;
  std::unique_ptr<Module> kernels =
      llvm::CloneModule(module, map, [](const GlobalValue *value) {
        return isKernel(*value) || llvm::isa<GlobalVariable>(value);
      });
  llvm::SmallString<0> bitcode;
  llvm::raw_svector_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(*kernels, stream);
  llvm::Expected<std::unique_ptr<Module>> part = llvm::parseBitcodeFile(
      llvm::MemoryBufferRef(bitcode, module.getModuleIdentifier()),
      *contextOfPart);
  if (!part) {
    // It was written a moment ago. The whole module is as good, but slower.
    llvm::consumeError(part.takeError());
    return {};
  }
  for (Function &function : llvm::make_early_inc_range(module))
    if (isKernel(function)) {
      function.deleteBody();
      function.setLinkage(GlobalValue::ExternalLinkage);
    }
  for (Function &function : llvm::make_early_inc_range(module))
    if (function.isDeclaration() && function.use_empty())
      function.eraseFromParent();
  return {std::move(contextOfPart), std::move(*part)};
}
