// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Translation to LLVM IR, the run-time library as bitcode, LLVM's -O3, ELF.
#include "gatecc/Target/Object.h"

#include "dialects/Gate/IR/GateOps.h"
#include "lib/Target/Cpu/Embedded.h"
#include "lib/Target/Cpu/SplitModule.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"
#include <thread>

using namespace mlir;
using namespace gatecc;
using llvm::Function;
using llvm::GlobalValue;
using llvm::Module;

void gatecc::registerLLVMTranslations(DialectRegistry &registry) {
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}

/// Functions of the run-time library that work on a context. They exist once,
/// in its embedded object; all others are pure code on pointers and are
/// compiled again for the CPU of each version that calls them.
static bool isSharedFunction(StringRef name) {
  return name == "gatecc_parallel_for" || name == "gatecc_allocate" ||
         name == "gatecc_allocate_output" || name == "gatecc_fail" ||
         name == "gatecc_get_library";
}

namespace {
/// Keeps LLVM from printing by itself, or from ending the process.
class Reporter : public llvm::DiagnosticHandler {
public:
  explicit Reporter(MLIRContext &target) : target(target) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo &info) override {
    if (info.getSeverity() == llvm::DS_Error) {
      std::string text;
      llvm::raw_string_ostream stream(text);
      llvm::DiagnosticPrinterRawOStream printer(stream);
      info.print(printer);
      emitError(UnknownLoc::get(&target)) << "LLVM: " << text;
    }
    return true;
  }

private:
  MLIRContext &target;
};
} // namespace

std::unique_ptr<llvm::LLVMContext>
gatecc::createLLVMContext(MLIRContext &diagnostics) {
  auto context = std::make_unique<llvm::LLVMContext>();
  context->setDiagnosticHandler(std::make_unique<Reporter>(diagnostics),
                                /*RespectFilters=*/false);
  return context;
}

std::unique_ptr<Module>
gatecc::translateVersion(ModuleOp module, const VersionDescription &version,
                         llvm::LLVMContext &context) {
  // Weights and sites have done their part; code refers to them by number.
  OwningOpRef<ModuleOp> copy = module.clone();
  for (Operation &op : llvm::make_early_inc_range(copy->getOps()))
    if (isa<gate::WeightOp, gate::PackedWeightOp, gate::SiteOp>(op))
      op.erase();
  std::unique_ptr<Module> result =
      translateModuleToLLVMIR(*copy, context, "gatecc");
  if (!result)
    return nullptr;
  result->setSourceFileName("gatecc");
  auto rename = [&](StringRef from, StringRef to, const char *type) {
    Function *function = result->getFunction(from);
    if (!function || function->isDeclaration()) {
      module.emitError() << "the module does not define " << from << " : "
                         << type;
      return false;
    }
    function->setName(to);
    function->setLinkage(GlobalValue::ExternalLinkage);
    function->setVisibility(GlobalValue::HiddenVisibility);
    return true;
  };
  if (!rename("gatecc_run", version.run, "(ptr) -> i32") ||
      !rename("gatecc_arena_bytes", version.arenaBytes, "(ptr) -> i64"))
    return nullptr;
  for (Function &function : *result) {
    if (function.isDeclaration())
      continue;
    stampFunction(function, version.cpu);
    function.setDoesNotThrow();
    if (function.getName() != version.run &&
        function.getName() != version.arenaBytes)
      function.setLinkage(GlobalValue::InternalLinkage);
  }
  return result;
}

/// The run-time library, as code for `cpu`; functions are read when they are
/// needed.
static std::unique_ptr<Module> readRuntime(const CpuTarget &cpu,
                                           llvm::LLVMContext &context,
                                           MLIRContext &diagnostics) {
  llvm::Expected<std::unique_ptr<Module>> runtime = llvm::getLazyBitcodeModule(
      llvm::MemoryBufferRef(runtimeBitcode(), "gatecc_runtime"), context);
  if (!runtime) {
    emitError(UnknownLoc::get(&diagnostics))
        << "the embedded run-time library: "
        << llvm::toString(runtime.takeError());
    return nullptr;
  }
  for (Function &function : **runtime) {
    if (function.isDeclaration())
      continue;
    stampFunction(function, cpu);
    function.setDoesNotThrow();
    function.setUWTableKind(llvm::UWTableKind::None);
  }
  return std::move(*runtime);
}

/// Gives a module the machine's layout, runs -O3 and emits an object.
static FailureOr<ObjectBuffer> emitObject(Module &module, const CpuTarget &cpu,
                                          MLIRContext &diagnostics) {
  auto fail = [&](const llvm::Twine &what) {
    emitError(UnknownLoc::get(&diagnostics))
        << "code for " << cpu.name << ": " << what;
    return failure();
  };
  std::string text;
  std::unique_ptr<llvm::TargetMachine> machine = createMachine(cpu, text);
  if (!machine)
    return fail(text);
  module.setTargetTriple(machine->getTargetTriple());
  module.setDataLayout(machine->createDataLayout());
  if (!module.getModuleFlag("PIC Level"))
    module.setPICLevel(llvm::PICLevel::BigPIC);
  module.setSourceFileName("gatecc");
  llvm::raw_string_ostream stream(text);
  if (llvm::verifyModule(module, &stream))
    return fail("LLVM refuses the module: " + text);

  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  // The run-time library's loops gain from vectors. Generated code has them,
  // and tiles as wide as they should be: to unroll them costs a third of the
  // time and gains nothing.
  tuning.LoopVectorization = tuning.LoopInterleaving = true;
  tuning.SLPVectorization = tuning.LoopUnrolling = false;
  llvm::PassBuilder builder(machine.get(), tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(module, modules);

  ObjectBuffer object;
  llvm::raw_svector_ostream out(object);
  llvm::legacy::PassManager emitter;
  if (machine->addPassesToEmitFile(emitter, out, nullptr,
                                   llvm::CodeGenFileType::ObjectFile))
    return fail("LLVM cannot emit objects");
  emitter.run(module);
  return object;
}

FailureOr<std::vector<ObjectBuffer>>
gatecc::emitVersion(std::unique_ptr<Module> module, const CpuTarget &cpu,
                    MLIRContext &diagnostics) {
  llvm::LLVMContext &context = module->getContext();
  std::unique_ptr<Module> runtime = readRuntime(cpu, context, diagnostics);
  if (!runtime)
    return failure();
  // Lists of functions to keep would bring everything in.
  for (const char *list : {"llvm.used", "llvm.compiler.used",
                           "llvm.global_ctors", "llvm.global_dtors"})
    if (llvm::GlobalVariable *global = runtime->getNamedGlobal(list))
      global->eraseFromParent();
  llvm::StringSet<> kernels;
  for (Function &function : *runtime) {
    if (function.isDeclaration() || function.hasLocalLinkage())
      continue;
    if (isSharedFunction(function.getName()))
      function.deleteBody();
    else
      kernels.insert(function.getName());
  }
  runtime->setTargetTriple(module->getTargetTriple());
  runtime->setDataLayout(module->getDataLayout());
  if (llvm::Linker::linkModules(*module, std::move(runtime),
                                llvm::Linker::LinkOnlyNeeded)) {
    emitError(UnknownLoc::get(&diagnostics))
        << "the run-time library does not fit the generated code";
    return failure();
  }
  for (Function &function : *module) {
    // What is defined elsewhere is defined in this library.
    if (isSharedFunction(function.getName()))
      function.setVisibility(GlobalValue::HiddenVisibility);
    if (!function.isDeclaration() && kernels.contains(function.getName())) {
      function.setVisibility(GlobalValue::DefaultVisibility);
      function.setLinkage(GlobalValue::InternalLinkage);
      function.setComdat(nullptr);
    }
  }
  // Kernels are about half of the code: they take a thread of their own.
  ModulePart part = splitModule(*module, createLLVMContext(diagnostics));
  std::vector<ObjectBuffer> objects(part ? 2 : 1);
  bool succeeded[2] = {true, true};
  auto emit = [&](Module &half, size_t index) {
    FailureOr<ObjectBuffer> object = emitObject(half, cpu, diagnostics);
    succeeded[index] = mlir::succeeded(object);
    if (succeeded[index])
      objects[index] = std::move(*object);
  };
  std::thread thread;
  if (part)
    thread = std::thread(emit, std::ref(*part.module), 1);
  emit(*module, 0);
  if (part)
    thread.join();
  if (!succeeded[0] || !succeeded[1])
    return failure();
  return objects;
}

FailureOr<ObjectBuffer>
gatecc::emitDescription(const ProgramDescription &program,
                        llvm::LLVMContext &context, MLIRContext &diagnostics) {
  std::unique_ptr<Module> constants = emitProgram(program, context);
  return emitObject(*constants, baselineCpu(), diagnostics);
}
