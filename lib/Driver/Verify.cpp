// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command that compares a network with itself, compiled without raising,
// and with ONNX Runtime. The library that is not raised also returns what its
// deciding nodes read and decide; the raised one must not, since raising asks
// who needs what.
#include "lib/Driver/Commands.h"

#include "gatecc/Target/OutputFile.h"
#include "lib/Driver/Diagnostics.h"
#include "lib/Driver/ExposeDecisions.h"
#include "lib/Driver/OnnxRuntime.h"
#include "lib/Driver/RandomInputs.h"
#include "lib/Driver/VerifyCases.h"
#include "lib/Driver/VerifyFindings.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace gatecc;

namespace {
class Verifier {
public:
  explicit Verifier(const VerifyCommand &command)
      : command(command), context(compilerDialects()), printer(context) {}
  ~Verifier() {
    if (!folder.empty())
      llvm::sys::fs::remove_directories(folder);
  }
  int run();

private:
  int prepare();
  int compile(ModuleOp module, Level level, StringRef name,
              const CompileOptions &options,
              std::unique_ptr<LoadedLibrary> &library);
  int compilePlain();
  int makeCases();
  int makeRandomCases();
  int runCases(const LoadedLibrary &library, std::vector<LibraryRun> &runs);
  int runPeer();
  int fail(const llvm::Twine &text) {
    llvm::errs() << "gatecc: error: " << text << "\n";
    return kExitInput;
  }

  const VerifyCommand &command;
  MLIRContext context;
  DiagnosticPrinter printer;
  OwningOpRef<ModuleOp> module;
  SmallString<128> folder;
  std::unique_ptr<LoadedLibrary> raised, plain;
  std::vector<ExposedDecision> decisions;
  std::vector<VerifyCase> cases;
  std::vector<LibraryRun> raisedRuns, plainRuns;
  OnnxRuntimeRun peer;
};
} // namespace

int Verifier::prepare() {
  const std::string &model = command.compile.model;
  if (StringRef(model).ends_with(".mlir"))
    return fail("'" + model + "' is text of a level; verify needs a model");
  if (mlir::failed(importModel(context, model, module)) || !module)
    return printer.errors() ? kExitInput : kExitInternal;
  if (std::error_code code =
          llvm::sys::fs::createUniqueDirectory("gatecc-verify", folder))
    return fail("cannot make a temporary folder: " + code.message());
  return kExitSuccess;
}

int Verifier::compile(ModuleOp from, Level level, StringRef name,
                      const CompileOptions &options,
                      std::unique_ptr<LoadedLibrary> &library) {
  CompileCommand compile = command.compile;
  compile.output = (folder + "/" + name + ".so").str();
  compile.options = options;
  if (int status = compileModule(compile, from, level))
    return status;
  std::string error;
  library = LoadedLibrary::open(compile.output, error);
  if (library)
    return kExitSuccess;
  printInternalError(error);
  return kExitInternal;
}

/// The form without raising, with its decisions as outputs if it can have them.
int Verifier::compilePlain() {
  CompileOptions options = command.compile.options;
  for (StringRef pass : raisingPasses())
    options.disabled.push_back(pass.str());
  std::vector<std::string> sites;
  for (int32_t i = 0; i < (*raised)->num_sites; ++i)
    sites.emplace_back((*raised)->sites[i].name);
  OwningOpRef<ModuleOp> exposed = module->clone();
  decisions = exposeDecisions(*exposed, sites);
  if (!decisions.empty()) {
    // Outputs of sizes that only a run knows are not possible.
    printer.setSilent(true);
    bool isPossible = mlir::succeeded(runPipeline(
        *exposed, Level::Import, Level::Gate, options, /*cpu=*/nullptr));
    printer.setSilent(false);
    if (isPossible)
      return compile(*exposed, Level::Gate, "plain", options, plain);
    decisions.clear();
  }
  return compile(*module, Level::Import, "plain", options, plain);
}

int Verifier::makeRandomCases() {
  std::mt19937_64 random{uint64_t(command.seed)};
  std::vector<int64_t> limits = findIndexLimits(*module);
  for (int run = 0; run < command.runs; ++run) {
    std::vector<int64_t> extents =
        chooseExtents(unsigned((*raised)->num_symbols), unsigned(run), random);
    std::string error;
    auto inputs = makeInputs(**raised, limits, extents, random, error);
    if (!inputs)
      return fail(command.compile.model + ": " + error);
    cases.push_back({"random " + std::to_string(run), std::move(*inputs), {}});
  }
  return kExitSuccess;
}

int Verifier::makeCases() {
  if (command.inputs.empty())
    return makeRandomCases();
  std::string error;
  auto arrays = readNpz(command.inputs, error);
  if (!arrays)
    return fail(error);
  if (!sortCases(**raised, std::move(*arrays), cases, error))
    return fail(command.inputs + ": " + error);
  return kExitSuccess;
}

int Verifier::runCases(const LoadedLibrary &library,
                       std::vector<LibraryRun> &runs) {
  LibraryRunner runner(library);
  std::string error;
  if (gatecc_status status = runner.open(command.threads, error)) {
    llvm::errs() << "gatecc: error: " << error << "\n";
    return exitCodeOf(status);
  }
  for (VerifyCase &one : cases) {
    runs.push_back(runner.run(one.inputs));
    const LibraryRun &run = runs.back();
    // A value that the network cannot process is a result; the rest is none.
    if (run.status == GATECC_OK || run.status == GATECC_RUNTIME)
      continue;
    llvm::errs() << "gatecc: error: " << one.name << ": " << run.error << "\n";
    return exitCodeOf(run.status);
  }
  return kExitSuccess;
}

int Verifier::runPeer() {
  if (command.onnxRuntime && !*command.onnxRuntime) {
    peer.reason = "--onnxruntime=no";
  } else if (!StringRef(command.compile.model).ends_with(".onnx")) {
    peer.reason = "the model is no ONNX file";
  } else {
    std::vector<std::vector<NamedArray>> inputs;
    for (const VerifyCase &one : cases)
      inputs.push_back(one.inputs);
    peer = runOnnxRuntime(command.compile.model, inputs, folder);
  }
  if (command.onnxRuntime && *command.onnxRuntime && !peer.reason.empty())
    return fail("ONNX Runtime cannot be compared: " + peer.reason);
  return kExitSuccess;
}

int Verifier::run() {
  if (int status = prepare())
    return status;
  if (int status = compile(*module, Level::Import, "raised",
                           command.compile.options, raised))
    return status;
  if (int status = compilePlain())
    return status;
  if (int status = makeCases())
    return status;
  if (int status = runCases(*raised, raisedRuns))
    return status;
  if (int status = runCases(*plain, plainRuns))
    return status;
  if (int status = runPeer())
    return status;

  VerifyFindings findings(decisions);
  for (auto [number, one] : llvm::enumerate(cases)) {
    findings.beginCase(one, plainRuns[number]);
    findings.compareForms(raisedRuns[number], plainRuns[number]);
    if (!one.expected.empty())
      findings.compareOutputs("the outputs of the file", raisedRuns[number],
                              one.expected);
    if (peer.reason.empty())
      findings.compareOutputs("ONNX Runtime", raisedRuns[number],
                              peer.cases[number].outputs,
                              peer.cases[number].reason);
  }
  std::string error;
  if (!writeOutput("", findings.finish((*raised)->num_sites, peer), error))
    return fail("cannot write to standard output: " + error);
  return findings.differ() ? kExitDifferent : kExitSuccess;
}

int gatecc::verifyModel(const VerifyCommand &command) {
  return Verifier(command).run();
}
