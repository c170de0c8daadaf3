// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives a script, inputs and a model to a Python interpreter.
#include "lib/Driver/OnnxRuntime.h"

#include "gatecc/Target/OutputFile.h"
#include "lib/Driver/OnnxRuntimeScript.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"

using namespace llvm;
using namespace gatecc;

static OnnxRuntimeRun withReason(const Twine &reason) {
  OnnxRuntimeRun run;
  run.reason = reason.str();
  return run;
}

static std::string findInterpreter() {
  if (std::optional<std::string> named = sys::Process::GetEnv("GATECC_PYTHON"))
    return *named;
  ErrorOr<std::string> found = sys::findProgramByName("python3");
  return found ? *found : "";
}

static std::string textOf(const NpyArray &array) {
  return std::string(array.data.begin(), array.data.end());
}

/// Sorts what the script has written into cases.
static OnnxRuntimeRun sortResults(std::vector<NamedArray> arrays,
                                  size_t count) {
  OnnxRuntimeRun run;
  run.cases.resize(count);
  for (auto &[key, array] : arrays) {
    StringRef name = key;
    if (name == "version") {
      run.version = textOf(array);
      continue;
    }
    bool isOutput = name.consume_front("out");
    size_t number;
    if ((!isOutput && !name.consume_front("error")) ||
        name.consumeInteger(10, number) || number >= count)
      continue;
    if (isOutput && name.consume_front("."))
      run.cases[number].outputs.emplace_back(name.str(), std::move(array));
    else if (!isOutput)
      run.cases[number].reason = textOf(array);
  }
  return run;
}

OnnxRuntimeRun gatecc::runOnnxRuntime(StringRef model,
                                      ArrayRef<std::vector<NamedArray>> cases,
                                      StringRef folder) {
  std::string interpreter = findInterpreter();
  if (interpreter.empty())
    return withReason("there is no python3");
  std::vector<NamedArray> inputs;
  for (auto [number, arrays] : enumerate(cases))
    for (const auto &[name, array] : arrays)
      inputs.emplace_back("in" + std::to_string(number) + "." + name, array);
  std::string given = (folder + "/in.npz").str(),
              results = (folder + "/out.npz").str(),
              printed = (folder + "/printed").str(), error;
  std::string archive = formatNpz(inputs);
  if (archive.empty())
    return withReason("the inputs are too large");
  if (!writeOutput(given, archive, error))
    return withReason("cannot write '" + given + "': " + error);
  StringRef arguments[] = {interpreter, "-c",  kOnnxRuntimeScript,
                           model,       given, results};
  std::optional<StringRef> redirects[] = {StringRef(), StringRef(printed),
                                          StringRef()};
  constexpr unsigned kSeconds = 3600;
  int status =
      sys::ExecuteAndWait(interpreter, arguments, std::nullopt, redirects,
                          kSeconds, /*MemoryLimit=*/0, &error);
  if (status == 0) {
    std::optional<std::vector<NamedArray>> arrays = readNpz(results, error);
    return arrays ? sortResults(std::move(*arrays), cases.size())
                  : withReason(error);
  }
  auto text = MemoryBuffer::getFile(printed);
  StringRef reason = text ? (*text)->getBuffer().trim() : StringRef();
  if (status < 0 || reason.empty())
    return withReason("'" + interpreter + "' has failed" +
                      (error.empty() ? "" : ": " + error));
  return withReason(reason);
}
