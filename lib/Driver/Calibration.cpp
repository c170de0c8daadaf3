// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs a network that measures its layers, on inputs from files or random ones.
#include "lib/Driver/Calibration.h"

#include "lib/Driver/RandomInputs.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include <array>
#include <cmath>
#include <random>

using namespace llvm;
using namespace gatecc;

/// What symbolic dimensions are without files.
static constexpr int64_t kRows = 64;

bool PrecisionReport::isMeasured() const {
  return any_of(layers, [](const LayerPrecision &layer) {
    return !layer.output.empty() && layer.reason.empty();
  });
}

void PrecisionReport::giveUp(const Twine &reason) {
  for (LayerPrecision &layer : layers)
    if (layer.reason.empty())
      layer.reason = reason.str();
}

/// Makes an input for which there is no file.
static bool generateInput(const TensorDescription &tensor,
                          ArrayRef<int64_t> symbols, std::mt19937_64 &random,
                          NpyArray &array, std::string &error) {
  array.type = {tensor.dtypeCode, tensor.dtypeBits, 1};
  if (tensor.dtypeCode != kDLFloat || tensor.dtypeBits < 32) {
    error = "input '" + tensor.name + "' is of type " + typeName(array.type) +
            ": --calibration " + tensor.name + "=FILE.npy is needed for it";
    return false;
  }
  uint64_t bytes = tensor.dtypeBits / 8;
  for (const ExtentDescription &extent : tensor.shape) {
    int64_t size = extent.coefficient;
    for (int32_t factor : extent.factors)
      size *= symbols[factor];
    array.shape.push_back(size);
    if (__builtin_mul_overflow(bytes, uint64_t(size), &bytes) ||
        bytes > uint64_t(1) << 34) {
      error = "input '" + tensor.name + "' is too large for random numbers";
      return false;
    }
  }
  array.data.resize(bytes);
  fillRandom(array, /*limit=*/0, random);
  return true;
}

bool gatecc::prepareInputs(const ProgramDescription &program,
                           ArrayRef<std::pair<std::string, std::string>> files,
                           PrecisionReport &report, std::string &error) {
  std::vector<std::string> names;
  for (const TensorDescription &tensor : program.inputs)
    names.push_back(tensor.name);
  std::vector<const std::string *> fileOf(names.size());
  for (const auto &[name, file] : files) {
    size_t index = name.empty() ? 0 : find(names, name) - names.begin();
    if (name.empty() && names.size() != 1)
      error = "--calibration " + file +
              ": NAME=FILE is expected, the network has the inputs " +
              join(names, ", ");
    else if (index == names.size())
      error = "--calibration: the network has no input '" + name +
              "'; its inputs are " + join(names, ", ");
    if (!error.empty())
      return false;
    fileOf[index] = &file;
  }

  std::vector<int64_t> symbols(program.symbols.size(), kRows);
  std::vector<NpyArray> arrays(names.size());
  for (auto [index, tensor] : enumerate(program.inputs)) {
    if (!fileOf[index])
      continue;
    std::optional<NpyArray> array =
        readNpy(*fileOf[index],
                DLDataType{tensor.dtypeCode, tensor.dtypeBits, 1}, error);
    if (!array) {
      error = "--calibration: input '" + tensor.name + "': " + error;
      return false;
    }
    // Files say how large the symbols are that generated inputs share; whether
    // they fit is checked by the library.
    for (auto [extent, size] : zip(tensor.shape, array->shape))
      for (int32_t factor : extent.factors)
        symbols[factor] = size;
    arrays[index] = std::move(*array);
  }
  std::mt19937_64 random(0);
  for (auto [index, tensor] : enumerate(program.inputs))
    if (!fileOf[index] &&
        !generateInput(tensor, symbols, random, arrays[index], error)) {
      if (!files.empty())
        return false;
      report.giveUp(error);
      error.clear();
      return true;
    }
  for (auto [index, tensor] : enumerate(program.inputs))
    report.inputs.push_back({tensor.name,
                             fileOf[index] ? *fileOf[index] : std::string(),
                             std::move(arrays[index])});
  return true;
}

/// Takes the four numbers that a layer has returned.
static void judge(LayerPrecision &layer, ArrayRef<double> numbers) {
  double difference = numbers[0], norm = numbers[1];
  layer.rows = int64_t(numbers[2]);
  if (layer.rows == 0)
    layer.reason = "no row has reached it";
  else if (!std::isfinite(norm) || !std::isfinite(difference))
    layer.reason = "its result holds NaN or infinity";
  else if (norm == 0)
    layer.reason = "its result is 0";
  if (!layer.reason.empty())
    return;
  layer.error = std::sqrt(difference / norm);
  layer.worstRow = std::sqrt(numbers[3]);
}

gatecc_status gatecc::measureLayers(const LoadedLibrary &library,
                                    PrecisionReport &report,
                                    std::string &error) {
  constexpr size_t kNumbers = 4;
  std::vector<gatecc_named_tensor> inputs, outputs;
  for (CalibrationInput &input : report.inputs)
    inputs.push_back(makeTensor(input.name, input.array.data.data(),
                                input.array.type, input.array.shape));
  // For each layer, the four numbers that returnSums returns.
  std::vector<std::array<double, kNumbers>> numbers(report.layers.size());
  int64_t shape[] = {kNumbers};
  for (auto [layer, values] : zip(report.layers, numbers))
    if (!layer.output.empty())
      outputs.push_back(
          makeTensor(layer.output, values.data(), {kDLFloat, 64, 1}, shape));

  gatecc_context *context = nullptr;
  gatecc_status status = library.createContext({}, context, error);
  if (status != GATECC_OK)
    return status;
  status = library->run(context, inputs.data(), int32_t(inputs.size()),
                        outputs.data(), int32_t(outputs.size()));
  if (status != GATECC_OK)
    error = library.explain(context, status);
  library->destroy(context);
  if (status != GATECC_OK)
    return status;
  for (auto [layer, values] : zip(report.layers, numbers))
    if (!layer.output.empty())
      judge(layer, values);
  return GATECC_OK;
}
