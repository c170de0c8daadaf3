// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command that compiles: levels, versions for CPUs, weights, link, output.
#include "lib/Driver/Commands.h"

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/InitAll.h"
#include "gatecc/Target/Link.h"
#include "gatecc/Target/Object.h"
#include "gatecc/Target/OutputFile.h"
#include "gatecc/Target/Weights.h"
#include "lib/Driver/Calibration.h"
#include "lib/Driver/Diagnostics.h"
#include "lib/Driver/Report.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include <chrono>

using namespace mlir;
using namespace gatecc;

/// Where text of a level says what it is, for reading it again.
static const char *const kLevel = "gatecc.level";
/// From here on the weights are in a file beside the library.
static constexpr uint64_t kMaxEmbedded = uint64_t(2) << 30;

namespace {
class Compilation {
public:
  Compilation(const CompileCommand &command)
      : command(command),
        ownContext(std::make_unique<MLIRContext>(compilerDialects())),
        context(*ownContext), printer(context) {}
  /// For a module that is at the level Import or Gate already.
  Compilation(const CompileCommand &command, OwningOpRef<ModuleOp> module,
              Level level)
      : command(command), context(*module->getContext()), printer(context),
        source(std::move(module)), level(level) {}
  int run();

private:
  int readModel();
  int readText();
  int lower(ModuleOp module, Level upTo, const CpuTarget *cpu);
  int describe();
  int calibrate();
  int runCalibration(OwningOpRef<ModuleOp> module);
  int writeReportFile();
  int writeText();
  int writeBinary();
  int translate(llvm::LLVMContext &llvmContext,
                std::vector<std::unique_ptr<llvm::Module>> &modules);
  int emitAndLink(bool embedded, TemporaryFile *weightsFile);
  void keepWeights();

  /// The status for something that returned failure: the input's fault if it
  /// said why, and ours if it did not.
  int failed(const llvm::Twine &stage) {
    if (printer.errors())
      return kExitInput;
    printInternalError(stage.str() + " has failed without a reason");
    return kExitInternal;
  }
  int failedInternally(const llvm::Twine &what) {
    printInternalError(what.str());
    return kExitInternal;
  }
  int cannotWrite(StringRef path, const llvm::Twine &why) {
    llvm::errs() << "gatecc: error: cannot write '" << path << "': " << why
                 << "\n";
    return kExitInput;
  }
  /// With -v, says what took how long.
  void tell(const llvm::Twine &stage) {
    auto now = std::chrono::steady_clock::now();
    if (command.options.verbose)
      llvm::errs() << llvm::formatv(
          "gatecc: {0}: {1:f1} ms\n", stage.str(),
          std::chrono::duration<double, std::milli>(now - last).count());
    last = now;
  }

  const CompileCommand &command;
  std::unique_ptr<MLIRContext> ownContext;
  MLIRContext &context;
  DiagnosticPrinter printer;
  OwningOpRef<ModuleOp> source;
  Level level = Level::Import;
  std::vector<OwningOpRef<ModuleOp>> versions; // one for each CPU
  std::vector<OwningOpRef<ModuleOp>> weights;  // the weights of each
  Level versionLevel = Level::Gate;
  ProgramDescription program;
  std::optional<PrecisionReport> precision; // of rounded experts
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};
} // namespace

const DialectRegistry &gatecc::compilerDialects() {
  static const DialectRegistry *all = [] {
    auto *made = new DialectRegistry;
    registerAllDialects(*made);
    registerLLVMTranslations(*made);
    return made;
  }();
  return *all;
}

/// Copies the placed weights of every version: lowering to the level llvm
/// drops them, since code knows them by number.
void Compilation::keepWeights() {
  for (OwningOpRef<ModuleOp> &version : versions) {
    weights.push_back(ModuleOp::create(version->getLoc()));
    for (Operation &op : version->getOps())
      if (isa<gate::WeightOp, gate::PackedWeightOp>(op))
        weights.back()->push_back(op.clone());
  }
}

static SmallVector<ModuleOp>
listOf(std::vector<OwningOpRef<ModuleOp>> &modules) {
  SmallVector<ModuleOp> list;
  for (OwningOpRef<ModuleOp> &module : modules)
    list.push_back(*module);
  return list;
}

/// Reads text that an earlier --compile-to has written.
int Compilation::readText() {
  source = parseSourceFile<ModuleOp>(command.model, &context);
  if (!source)
    return failed("parsing '" + command.model + "'");
  level = Level::Gate;
  if (Attribute attribute = (*source)->getAttr(kLevel)) {
    auto name = dyn_cast<StringAttr>(attribute);
    std::optional<Level> parsed = name ? parseLevel(name) : std::nullopt;
    if (!parsed || *parsed >= Level::Object) {
      source->emitError() << "gatecc.level is " << attribute
                          << ", which is no level of text";
      return kExitInput;
    }
    level = *parsed;
  }
  if (level > command.upTo) {
    llvm::errs() << "gatecc: error: '" << command.model << "' is at the level "
                 << levelName(level) << " already\n";
    return kExitInput;
  }
  return kExitSuccess;
}

int Compilation::readModel() {
  if (StringRef(command.model).ends_with(".mlir"))
    return readText();
  if (mlir::failed(importModel(context, command.model, source)) || !source)
    return failed("import");
  return kExitSuccess;
}

int Compilation::lower(ModuleOp module, Level upTo, const CpuTarget *cpu) {
  Level from = cpu ? versionLevel : level;
  if (from >= upTo)
    return kExitSuccess;
  if (mlir::succeeded(runPipeline(module, from, upTo, command.options, cpu))) {
    module->setAttr(kLevel, StringAttr::get(&context, levelName(upTo)));
    return kExitSuccess;
  }
  // Broken IR is our mistake, whatever the verifier has said about it.
  printer.setSilent(true);
  bool isValid = mlir::succeeded(verify(module));
  printer.setSilent(false);
  std::string stage = ("lowering to the level " + levelName(upTo)).str();
  if (!isValid)
    return failedInternally(stage + " has made invalid IR");
  return failed(stage);
}

/// Makes a library that measures, runs it and removes it.
int Compilation::runCalibration(OwningOpRef<ModuleOp> module) {
  std::string error;
  CompileCommand inner;
  std::optional<CpuTarget> cpu = resolveCpu("native", error);
  if (!cpu) {
    precision->giveUp("this machine cannot run it: " + error);
    return kExitSuccess;
  }
  inner.cpus.push_back(*cpu);
  inner.options = command.options;
  inner.options.verbose = false;
  precision->cpu = cpu->name;
  // The result's folder has room for weights.
  SmallString<128> beside(command.output);
  if (beside.empty() || beside == "-" || isSpecialFile(beside)) {
    llvm::sys::path::system_temp_directory(/*ErasedOnReboot=*/true, beside);
    llvm::sys::path::append(beside, "gatecc-calibration");
  }
  std::unique_ptr<TemporaryFile> file = TemporaryFile::create(beside, error);
  if (!file)
    return cannotWrite(beside, error);
  inner.output = file->path();
  // Where the weights go if there are too many to embed.
  StringRef stem = inner.output;
  stem.consume_back(".so");
  std::string weightsFile = stem.str() + ".weights";
  llvm::sys::RemoveFileOnSignal(weightsFile);
  llvm::FileRemover remover(weightsFile);
  int status = Compilation(inner, std::move(module), Level::Gate).run();
  std::unique_ptr<LoadedLibrary> library;
  if (status == kExitSuccess) {
    library = LoadedLibrary::open(inner.output, error);
    if (!library)
      status = failedInternally("the calibration: " + error);
  }
  if (library) {
    gatecc_status ran = measureLayers(*library, *precision, error);
    if (ran != GATECC_OK && command.calibration.empty()) {
      // Random numbers are not what every network can process.
      precision->giveUp("the run has failed: " + error);
    } else if (ran != GATECC_OK) {
      llvm::errs() << "gatecc: error: --calibration: " << error << "\n";
      status = exitCodeOf(ran);
    }
  }
  llvm::sys::DontRemoveFileOnSignal(weightsFile);
  return status;
}

/// Measures what rounding the experts costs, for the report.
int Compilation::calibrate() {
  if (level > Level::Gate) {
    if (command.calibration.empty())
      return kExitSuccess;
    llvm::errs() << "gatecc: error: --calibration: '" << command.model
                 << "' is at the level " << levelName(level)
                 << "; a model, or text at the level gate, is needed\n";
    return kExitInput;
  }
  OwningOpRef<ModuleOp> packed = source->clone();
  OwningOpRef<ModuleOp> instrumented = source->clone();
  precision = instrumentLayers(*instrumented);
  std::string error;
  if (!prepareInputs(program, command.calibration, *precision, error)) {
    llvm::errs() << "gatecc: error: " << error << "\n";
    return kExitInput;
  }
  const CpuTarget &cpu = command.cpus.front();
  if (mlir::failed(runPipeline(*packed, Level::Gate, Level::Schedule,
                               command.options, &cpu)))
    return failed("lowering to the level schedule");
  countWeights(*packed, *precision);
  int status = precision->isMeasured() ? runCalibration(std::move(instrumented))
                                       : int(kExitSuccess);
  tell("the calibration");
  return status;
}

int Compilation::writeReportFile() {
  std::string text;
  llvm::raw_string_ostream stream(text);
  StringRef file = command.reportFile;
  writeReport(*source, precision ? &*precision : nullptr,
              file.ends_with(".json"), stream);
  if (file.empty()) {
    llvm::errs() << text;
    return kExitSuccess;
  }
  std::string error;
  if (!writeOutput(file, text, error))
    return cannotWrite(file, error);
  return kExitSuccess;
}

int Compilation::translate(llvm::LLVMContext &llvmContext,
                           std::vector<std::unique_ptr<llvm::Module>> &out) {
  for (auto [index, module] : llvm::enumerate(versions)) {
    out.push_back(
        translateVersion(*module, program.versions[index], llvmContext));
    if (!out.back())
      return failedInternally("the translation to LLVM IR has failed");
    dropUnusedFeatures(program.versions[index].cpu, *out.back());
  }
  return kExitSuccess;
}

int Compilation::writeText() {
  std::string text, error;
  llvm::raw_string_ostream stream(text);
  if (command.upTo == Level::Llvm) {
    auto llvmContext = createLLVMContext(context);
    std::vector<std::unique_ptr<llvm::Module>> translated;
    if (int status = translate(*llvmContext, translated))
      return status;
    for (auto [index, module] : llvm::enumerate(translated)) {
      if (index)
        stream << "; -----\n";
      module->print(stream, nullptr);
    }
  } else if (command.upTo <= Level::Gate) {
    (*source)->setAttr(kLevel,
                       StringAttr::get(&context, levelName(command.upTo)));
    (*source)->removeAttr(kProgramRecord);
    // Before sites exist, node names are in locations only.
    OpPrintingFlags flags;
    (*source)->print(stream,
                     flags.enableDebugInfo(command.upTo == Level::Import));
    stream << "\n";
  } else {
    for (auto [index, module] : llvm::enumerate(versions)) {
      if (index)
        stream << "// -----\n";
      stream << *module << "\n";
    }
  }
  if (!writeOutput(command.output, text, error))
    return cannotWrite(
        command.output.empty() ? "standard output" : command.output, error);
  return kExitSuccess;
}

int Compilation::emitAndLink(bool embedded, TemporaryFile *weightsFile) {
  auto llvmContext = createLLVMContext(context);
  std::vector<std::unique_ptr<llvm::Module>> translated;
  if (int status = translate(*llvmContext, translated))
    return status;
  tell("translation to LLVM IR");
  std::vector<ObjectBuffer> objects;
  auto keep = [&](FailureOr<ObjectBuffer> object) {
    if (mlir::succeeded(object))
      objects.push_back(std::move(*object));
    return mlir::succeeded(object);
  };
  for (auto [index, module] : llvm::enumerate(translated)) {
    const CpuTarget &cpu = program.versions[index].cpu;
    FailureOr<std::vector<ObjectBuffer>> parts =
        emitVersion(std::move(module), cpu, context);
    if (mlir::failed(parts))
      return failedInternally("code generation for " + cpu.name +
                              " has failed");
    llvm::move(*parts, std::back_inserter(objects));
    tell("code for " + cpu.name);
  }
  if (!keep(emitDescription(program, *llvmContext, context)))
    return failedInternally("code generation for the description has failed");
  tell("the description");

  std::string error;
  std::unique_ptr<TemporaryFile> library =
      TemporaryFile::create(command.output, error);
  if (!library)
    return cannotWrite(command.output, error);
  LinkError linkError;
  LinkKind kind =
      command.upTo == Level::Object ? LinkKind::Relocatable : LinkKind::Library;
  if (!linkObjects(objects, embedded && weightsFile ? weightsFile->path() : "",
                   library->path(), kind, linkError)) {
    if (linkError.isFileSystem)
      return cannotWrite(command.output, linkError.message);
    return failedInternally("the linker: " + linkError.message);
  }
  tell("link");
  if (weightsFile && !embedded) {
    SmallString<128> path(llvm::sys::path::parent_path(command.output));
    llvm::sys::path::append(path, program.weightsFile);
    if (!weightsFile->moveTo(path, error))
      return cannotWrite(path, error);
  }
  if (!library->moveTo(command.output, error))
    return cannotWrite(command.output, error);
  return kExitSuccess;
}

int Compilation::writeBinary() {
  if (isSpecialFile(command.output))
    return cannotWrite(command.output, "it exists and is not an ordinary file");
  FailureOr<uint64_t> bytes = placedBytes(listOf(weights));
  if (mlir::failed(bytes))
    return failed("the layout of the weights");
  program.weightBytes = *bytes;
  bool embedded =
      command.upTo == Level::Object || command.weights == WeightsPlace::Embed ||
      (command.weights == WeightsPlace::Automatic && *bytes < kMaxEmbedded);
  std::unique_ptr<TemporaryFile> file;
  if (*bytes) {
    std::string error;
    file = TemporaryFile::create(command.output, error);
    if (!file)
      return cannotWrite(command.output, error);
    if (mlir::failed(writeWeights(
            listOf(weights),
            embedded ? WeightContainer::Object : WeightContainer::File,
            file->path(), command.output, program.weightsHash)))
      return failed("the evaluation of the weights");
    if (!embedded) {
      StringRef name = llvm::sys::path::filename(command.output);
      name.consume_back(".so");
      program.weightsFile = name.str() + ".weights";
    }
    tell(llvm::Twine(*bytes) + " bytes of weights");
  }
  return emitAndLink(embedded, file.get());
}

/// From the level Gate on, or a later one that the text was at.
int Compilation::describe() {
  // At this level @main says it; the record serves the later ones.
  if (level == Level::Gate)
    (*source)->removeAttr(kProgramRecord);
  FailureOr<ProgramDescription> described = describeProgram(*source);
  if (mlir::failed(described))
    return failed("the description of the network");
  program = std::move(*described);
  return kExitSuccess;
}

int Compilation::run() {
  if (!source) {
    if (int status = readModel())
      return status;
    tell("import");
    if (command.upTo == Level::Import)
      return writeText();
  }
  if (level < Level::Gate) {
    if (int status = lower(*source, Level::Gate, nullptr))
      return status;
    level = std::max(level, Level::Gate);
    tell("the level gate");
  }
  if (int status = describe())
    return status;
  if (command.report && command.options.experts != "f32")
    if (int status = calibrate())
      return status;
  if (command.report)
    if (int status = writeReportFile())
      return status;
  if (command.upTo == Level::Gate)
    return writeText();

  versionLevel = level;
  for (auto [index, cpu] : llvm::enumerate(command.cpus)) {
    versions.push_back(source->clone());
    std::string suffix = "_" + std::to_string(index);
    program.versions.push_back(
        {cpu, "gatecc_run" + suffix, "gatecc_arena_bytes" + suffix});
    if (int status = lower(*versions.back(),
                           std::min(command.upTo, Level::Kernel), &cpu))
      return status;
    tell("the level " + levelName(std::min(command.upTo, Level::Kernel)) +
         " for " + cpu.name);
  }
  if (command.upTo <= Level::Kernel)
    return writeText();
  // Text at the level llvm has its weights placed already.
  if (level < Level::Llvm && mlir::failed(layoutWeights(listOf(versions))))
    return failed("the layout of the weights");
  keepWeights();
  versionLevel = std::max(level, Level::Kernel);
  for (auto [index, cpu] : llvm::enumerate(command.cpus)) {
    if (int status = lower(*versions[index], Level::Llvm, &cpu))
      return status;
    tell("the level llvm for " + cpu.name);
  }
  return command.upTo == Level::Llvm ? writeText() : writeBinary();
}

int gatecc::compileModel(const CompileCommand &command) {
  return Compilation(command).run();
}

int gatecc::compileModule(const CompileCommand &command, ModuleOp module,
                          Level level) {
  return Compilation(command, module.clone(), level).run();
}
