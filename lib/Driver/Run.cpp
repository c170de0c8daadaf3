// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command that runs a library on .npy files.
#include "lib/Driver/Commands.h"

#include "gatecc/Target/OutputFile.h"
#include "lib/Driver/LoadedLibrary.h"
#include "lib/Driver/Npy.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <chrono>

using namespace llvm;
using namespace gatecc;

namespace {
class Runner {
public:
  explicit Runner(const RunCommand &command) : command(command) {}
  ~Runner() {
    if (context)
      (*library)->destroy(context);
  }
  int run();

private:
  int readInputs();
  int makeContext();
  int measure();
  int writeOutputs();
  int writeStatistics();
  gatecc_status runOnce() {
    return (*library)->run(context, inputs.data(), int32_t(inputs.size()),
                           outputs.data(), int32_t(outputs.size()));
  }
  /// Asks for memory of the context in every output.
  void resetOutputs();
  int fail(gatecc_status status) {
    errs() << "gatecc: error: " << command.library << ": "
           << library->explain(context, status) << "\n";
    return exitCodeOf(status);
  }

  const RunCommand &command;
  std::unique_ptr<LoadedLibrary> library;
  gatecc_context *context = nullptr;
  std::vector<NpyArray> arrays;
  std::vector<gatecc_named_tensor> inputs, outputs;
};
} // namespace

int Runner::readInputs() {
  arrays.reserve(command.inputs.size()); // tensors point into it
  for (const auto &[name, file] : command.inputs) {
    const gatecc_library &info = **library;
    std::optional<DLDataType> wanted;
    for (int32_t i = 0; i < info.num_inputs; ++i)
      if (name == info.inputs[i].name)
        wanted = info.inputs[i].dtype;
    std::string error;
    std::optional<NpyArray> array = readNpy(file, wanted, error);
    if (!array) {
      errs() << "gatecc: error: input '" << name << "': " << error << "\n";
      return kExitInput;
    }
    arrays.push_back(std::move(*array));
    NpyArray &kept = arrays.back();
    inputs.push_back(makeTensor(name, kept.data.data(), kept.type, kept.shape));
  }
  return kExitSuccess;
}

int Runner::makeContext() {
  gatecc_options options = {};
  options.num_threads = command.threads;
  options.collect_statistics = !command.statsFile.empty();
  std::string error;
  gatecc_status status = library->createContext(options, context, error);
  if (status == GATECC_OK)
    return kExitSuccess;
  errs() << "gatecc: error: " << command.library << ": " << error << "\n";
  return exitCodeOf(status);
}

void Runner::resetOutputs() {
  outputs.clear();
  for (const auto &entry : command.outputs) {
    gatecc_named_tensor tensor = {};
    tensor.name = entry.first.c_str();
    outputs.push_back(tensor);
  }
}

int Runner::measure() {
  using Clock = std::chrono::steady_clock;
  constexpr int kWarmUps = 3;
  std::vector<double> times;
  for (int i = -kWarmUps; i < command.repeat; ++i) {
    resetOutputs();
    auto begin = Clock::now();
    gatecc_status status = runOnce();
    std::chrono::duration<double, std::milli> time = Clock::now() - begin;
    if (status != GATECC_OK)
      return fail(status);
    if (i >= 0)
      times.push_back(time.count());
  }
  std::sort(times.begin(), times.end());
  size_t half = times.size() / 2;
  double median =
      times.size() % 2 ? times[half] : (times[half - 1] + times[half]) / 2;
  std::string error,
      line = formatv("{{\"runs\":{0},\"median_ms\":{1:f6},\"min_ms\":{2:f6},"
                     "\"max_ms\":{3:f6}}\n",
                     times.size(), median, times.front(), times.back());
  if (writeOutput("", line, error))
    return kExitSuccess;
  errs() << "gatecc: error: cannot write to standard output: " << error << "\n";
  return kExitInput;
}

int Runner::writeOutputs() {
  for (auto [index, entry] : enumerate(command.outputs)) {
    const DLTensor &tensor = outputs[index].tensor;
    ArrayRef<int64_t> shape(tensor.shape, size_t(tensor.ndim));
    uint64_t bytes = tensor.dtype.bits / 8;
    for (int64_t extent : shape)
      bytes *= uint64_t(extent);
    const char *data =
        static_cast<const char *>(tensor.data) + tensor.byte_offset;
    std::string error;
    if (!writeOutput(
            entry.second,
            formatNpy(tensor.dtype, shape, StringRef(bytes ? data : "", bytes)),
            error)) {
      errs() << "gatecc: error: output '" << entry.first << "': cannot write '"
             << entry.second << "': " << error << "\n";
      return kExitInput;
    }
  }
  return kExitSuccess;
}

int Runner::writeStatistics() {
  std::string text, error;
  raw_string_ostream stream(text);
  json::OStream json(stream);
  gatecc_status status = GATECC_OK;
  json.object([&] {
    json.attributeArray("sites", [&] {
      for (int32_t i = 0; i < (*library)->num_sites; ++i) {
        int64_t rows = 0;
        const int64_t *groups = nullptr;
        int32_t count = 0;
        double skipped = 0;
        gatecc_status one = (*library)->statistics(context, i, &rows, &groups,
                                                   &count, &skipped);
        if (one != GATECC_OK) {
          status = one;
          count = 0;
        }
        const gatecc_site_info &site = (*library)->sites[i];
        json.object([&] {
          json.attribute("name", json::fixUTF8(site.name));
          json.attribute("kind", json::fixUTF8(site.kind));
          json.attribute("rows", rows);
          json.attributeArray("groups", [&] {
            for (int32_t g = 0; g < count; ++g)
              json.value(groups[g]);
          });
          json.attribute("skipped", skipped);
        });
      }
    });
  });
  stream << "\n";
  if (status != GATECC_OK)
    return fail(status);
  if (writeOutput(command.statsFile, text, error))
    return kExitSuccess;
  errs() << "gatecc: error: cannot write '" << command.statsFile
         << "': " << error << "\n";
  return kExitInput;
}

int Runner::run() {
  std::string error;
  library = LoadedLibrary::open(command.library, error);
  if (!library) {
    errs() << "gatecc: error: " << error << "\n";
    return kExitInput;
  }
  if (int status = readInputs())
    return status;
  if (int status = makeContext())
    return status;
  resetOutputs();
  if (command.repeat) {
    if (int status = measure())
      return status;
  } else if (gatecc_status status = runOnce()) {
    return fail(status);
  }
  if (int status = writeOutputs())
    return status;
  return command.statsFile.empty() ? kExitSuccess : writeStatistics();
}

int gatecc::runLibrary(const RunCommand &command) {
  return Runner(command).run();
}
