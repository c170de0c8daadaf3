// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The command lines of gatecc, parsed. No global state.
#ifndef GATECC_LIB_DRIVER_OPTIONS_H
#define GATECC_LIB_DRIVER_OPTIONS_H

#include "gatecc/Pipelines/Pipelines.h"
#include "gatecc/Target/Cpu.h"
#include "llvm/ADT/ArrayRef.h"
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace gatecc {

enum class WeightsPlace { Automatic, Embed, File };

struct CompileCommand {
  std::string model, output;
  std::vector<CpuTarget> cpus;
  Level upTo = Level::Library;
  bool report = false;
  std::string reportFile; // "": standard error
  WeightsPlace weights = WeightsPlace::Automatic;
  bool hasBlock = false; // --block is given
  /// Inputs to measure the rounding of experts on: name, file. The name is
  /// empty for the only input.
  std::vector<std::pair<std::string, std::string>> calibration;
  CompileOptions options;
};

struct VerifyCommand {
  CompileCommand compile;
  std::string inputs;    // a .npz file; "": random ones
  bool isRandom = false; // --random is given
  int runs = 5;          // on random inputs
  int seed = 0;
  int threads = 0;
  /// Whether ONNX Runtime must take part (yes), must not (no), or takes part
  /// where it is installed.
  std::optional<bool> onnxRuntime;
};

struct RunCommand {
  std::string library;
  std::vector<std::pair<std::string, std::string>> inputs,
      outputs; // name, file
  int threads = 0;
  int repeat = 0; // 0: run once, say nothing
  std::string statsFile;
};

struct InspectCommand {
  std::string library;
  bool json = false;
  std::vector<std::pair<std::string, int64_t>> bindings;
};

/// Text that was asked for (--help, ...), to be printed as it is.
struct PrintCommand {
  std::string text;
};

struct UsageError {
  std::string message;
};

using Command = std::variant<CompileCommand, VerifyCommand, RunCommand,
                             InspectCommand, PrintCommand, UsageError>;

/// Parses the arguments after the program's name.
Command parseCommand(llvm::ArrayRef<std::string> arguments);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_OPTIONS_H
