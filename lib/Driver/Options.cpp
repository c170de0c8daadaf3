// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Parses the command lines of gatecc. Options take their value as
// --name=value or --name value.
#include "lib/Driver/Options.h"

#include "gatecc/Target/Version.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace gatecc;

static const char *const kHelp =
    R"(gatecc compiles neural networks that decide what to compute.

Compile:  gatecc MODEL.onnx|MODEL.json -o OUT.so [options]
  -o FILE              the result; text levels go to standard output without it
  --mcpu=CPU[,CPU...]  the CPUs to make code for: native (default), x86-64-v2,
                       x86-64-v3, x86-64-v4, znver4, ...; the library holds a
                       version for each, and the best one is chosen when it is
                       loaded
  --compile-to=LEVEL   where to stop: import, gate, schedule, kernel, llvm, obj,
                       library (default); levels before obj are text
  --report[=FILE]      what will be skipped, and why something is not; JSON if
                       FILE ends in .json, standard error without FILE
  --weights=embed|file inside the library (default below 2 GiB), or in a file
                       beside it
  --experts=FORMAT     the weights of routed experts: f32 (default), bf16, or int8
                       or int4 with one scale for each block; the router stays
  --block=32|64|128    the size of these blocks (default 32)
  --zero-points        integers also have a zero point for each block: better
                       for weights that are not centered around 0
  --calibration [NAME=]FILE.npy
                       an input to measure on what the format of the experts
                       costs, for the report; without it, on random inputs
  --disable=PASS[,...] leave optimisations out
  --ties=onnx|ort-cpu  equal router scores: the lower expert (default), or as
                       ONNX Runtime's CPU kernels choose
  --assume-finite      no value is NaN or infinite: skip work of weight zero
                       without proof
  --verify-each        verify the program after each pass, for work on gatecc
  --check-accesses     end the process where the run leaves a buffer, for work on
                       gatecc: what is compiled without it has no such tests
  -v                   say what is done, and how long it takes

Verify:   gatecc verify MODEL.onnx|MODEL.json [options]
                       compiles with and without finding work to skip, runs
                       both, and ONNX Runtime where Python has it, and says
                       where values or decisions differ
  --inputs FILE.npz    what to run on: NAME, or in{i}.NAME for case i; out{i}.NAME
                       are compared as well
  --random N           else, N runs on random inputs (default 5): extents 1, 2, 7,
                       64 and 0, integers below the extent of the table that
                       they index, else 0 and 1
  --seed N             of the random inputs (default 0)
  --threads N          threads to use (default: all cores)
  --onnxruntime=yes|no fail without ONNX Runtime, or leave it out; the interpreter
                       is $GATECC_PYTHON, else python3
  --mcpu, --ties, --assume-finite, -v  as above

Run:      gatecc run OUT.so --input NAME=FILE.npy ... --output NAME=FILE.npy ...
  --threads N          threads to use (default: all cores)
  --repeat N           run N times after 3 warm-up runs; print the times
  --stats FILE.json    rows, groups and skipped work of each site

Inspect:  gatecc inspect OUT.so [--json] [--bind NAME=N ...]
  --bind NAME=N        also print the memory of a run with these dimensions

Other:    gatecc --help | --version | --list-ops

Exit status: 0 success; 1 the input, the data or the file system is at fault;
2 wrong usage; 3 an internal error of gatecc; 4 verify has found a difference.
)";

namespace {
/// Walks over the arguments; splits options from their values.
class Arguments {
public:
  explicit Arguments(ArrayRef<std::string> list) : list(list) {}

  /// Moves to the next argument; false at the end.
  bool next() {
    if (index == list.size())
      return false;
    StringRef argument = list[index++];
    inlineValue.reset();
    isOption =
        !onlyPositional && argument.size() > 1 && argument.starts_with("-");
    if (isOption && argument == "--") {
      onlyPositional = true;
      return next();
    }
    name = argument;
    if (isOption && argument.starts_with("--") && argument.contains('=')) {
      name = argument.take_until([](char c) { return c == '='; });
      inlineValue = argument.drop_front(name.size() + 1);
    }
    return true;
  }

  /// The value of the option, the next argument if need be.
  bool value(std::string &out) {
    if (inlineValue) {
      out = inlineValue->str();
      inlineValue.reset();
      return true;
    }
    if (index == list.size())
      return fail(Twine(name) + " needs a value");
    out = list[index++];
    return true;
  }
  bool optionalValue(std::string &out) {
    bool has = inlineValue.has_value();
    if (has)
      out = inlineValue->str();
    inlineValue.reset();
    return has;
  }
  /// NAME=REST, split at the last '='.
  bool pair(std::string &left, std::string &right) {
    std::string text;
    if (!value(text))
      return false;
    size_t at = text.rfind('=');
    if (at == std::string::npos || at == 0 || at + 1 == text.size())
      return fail(Twine(name) + " expects NAME=VALUE, got '" + text + "'");
    left = text.substr(0, at);
    right = text.substr(at + 1);
    return true;
  }
  bool number(int &out, int low, int high) {
    std::string text;
    if (!value(text))
      return false;
    if (StringRef(text).getAsInteger(10, out) || out < low || out > high)
      return fail(Twine(name) + " expects a number from " + Twine(low) +
                  " to " + Twine(high) + ", got '" + text + "'");
    return true;
  }
  bool fail(const Twine &text) {
    message = text.str();
    return false;
  }
  /// After an option was handled: no value may be left over.
  bool finish() {
    return !inlineValue || fail(Twine(name) + " takes no value");
  }
  bool unknown() { return fail("unknown option '" + Twine(name) + "'"); }
  bool positional(std::string &out, const char *what) {
    if (!out.empty())
      return fail(Twine("one ") + what + " is expected, got '" + out +
                  "' and '" + name + "'");
    if (name.empty())
      return fail(Twine("the name of the ") + what + " is empty");
    out = name.str();
    return true;
  }

  StringRef name;
  bool isOption = false;
  std::string message;

private:
  ArrayRef<std::string> list;
  size_t index = 0;
  std::optional<StringRef> inlineValue;
  bool onlyPositional = false;
};
} // namespace

static bool parseCpus(Arguments &arguments, std::vector<CpuTarget> &cpus) {
  std::string text;
  if (!arguments.value(text))
    return false;
  SmallVector<StringRef> names;
  StringRef(text).split(names, ',');
  for (StringRef name : names) {
    std::string error;
    std::optional<CpuTarget> cpu = resolveCpu(name, error);
    if (!cpu)
      return arguments.fail(Twine(arguments.name) + ": " + error);
    if (!is_contained(cpus, *cpu))
      cpus.push_back(std::move(*cpu));
  }
  return true;
}

static bool parseDisabled(Arguments &arguments, CompileOptions &options) {
  std::string text;
  if (!arguments.value(text))
    return false;
  SmallVector<StringRef> names;
  StringRef(text).split(names, ',');
  for (StringRef name : names) {
    if (!is_contained(disablablePasses(), name))
      return arguments.fail("--disable: there is no pass '" + Twine(name) +
                            "'; the passes are " +
                            join(disablablePasses(), ", "));
    options.disabled.push_back(name.str());
  }
  return true;
}

/// [NAME=]FILE, split at the last '='.
static bool parseCalibration(Arguments &arguments, CompileCommand &command) {
  std::string text;
  if (!arguments.value(text))
    return false;
  size_t at = text.rfind('=');
  std::string input = at == std::string::npos ? "" : text.substr(0, at);
  std::string file = text.substr(at == std::string::npos ? 0 : at + 1);
  if (at == 0 || file.empty())
    return arguments.fail("--calibration expects FILE or NAME=FILE, got '" +
                          text + "'");
  for (const auto &other : command.calibration) {
    if (other.first.empty() || input.empty())
      return arguments.fail("--calibration without the name of an input is for "
                            "networks with one input");
    if (other.first == input)
      return arguments.fail("--calibration " + input + " is given twice");
  }
  command.calibration.emplace_back(std::move(input), std::move(file));
  return command.report = true;
}

static bool parseCompileOption(Arguments &arguments, CompileCommand &command) {
  StringRef name = arguments.name;
  std::string text;
  if (!arguments.isOption)
    return arguments.positional(command.model, "model");
  if (name == "-o" || name == "--output")
    return arguments.value(command.output);
  if (name == "--mcpu")
    return parseCpus(arguments, command.cpus);
  if (name == "--compile-to") {
    if (!arguments.value(text))
      return false;
    std::optional<Level> level = parseLevel(text);
    if (!level)
      return arguments.fail("--compile-to: there is no level '" + text +
                            "'; the levels are import, gate, schedule, kernel, "
                            "llvm, obj and library");
    command.upTo = *level;
    return true;
  }
  if (name == "--report") {
    command.report = true;
    if (arguments.optionalValue(command.reportFile) &&
        command.reportFile.empty())
      return arguments.fail("--report= needs the name of a file");
    return true;
  }
  if (name == "--weights") {
    if (!arguments.value(text))
      return false;
    if (text != "embed" && text != "file")
      return arguments.fail("--weights expects embed or file, got '" + text +
                            "'");
    command.weights =
        text == "embed" ? WeightsPlace::Embed : WeightsPlace::File;
    return true;
  }
  if (name == "--disable")
    return parseDisabled(arguments, command.options);
  if (name == "--ties") {
    if (!arguments.value(text))
      return false;
    if (text != "onnx" && text != "ort-cpu")
      return arguments.fail("--ties expects onnx or ort-cpu, got '" + text +
                            "'");
    command.options.tiesOrtCpu = text == "ort-cpu";
    return true;
  }
  if (name == "--experts") {
    if (!arguments.value(text))
      return false;
    if (!is_contained({"f32", "bf16", "int8", "int4"}, text))
      return arguments.fail("--experts expects f32, bf16, int8 or int4, got '" +
                            text + "'");
    command.options.experts = text;
    return true;
  }
  if (name == "--block") {
    if (!arguments.value(text))
      return false;
    if (!is_contained({"32", "64", "128"}, text))
      return arguments.fail("--block expects 32, 64 or 128, got '" + text +
                            "'");
    StringRef(text).getAsInteger(10, command.options.block);
    command.hasBlock = true;
    return true;
  }
  if (name == "--zero-points")
    return command.options.zeroPoints = true;
  if (name == "--calibration")
    return parseCalibration(arguments, command);
  if (name == "--assume-finite")
    return command.options.assumeFinite = true;
  if (name == "--verify-each")
    return command.options.verifyEach = true;
  if (name == "--check-accesses")
    return command.options.checkAccesses = true;
  if (name == "-v" || name == "--verbose")
    return command.options.verbose = true;
  return arguments.unknown();
}

static bool checkCompile(Arguments &arguments, CompileCommand &command) {
  if (command.model.empty())
    return arguments.fail("no model is given");
  bool integers =
      command.options.experts == "int8" || command.options.experts == "int4";
  if (command.hasBlock && !integers)
    return arguments.fail("--block needs --experts=int8 or --experts=int4");
  if (command.options.zeroPoints && !integers)
    return arguments.fail(
        "--zero-points needs --experts=int8 or --experts=int4");
  if (!command.calibration.empty() && command.options.experts == "f32")
    return arguments.fail(
        "--calibration needs --experts=bf16, --experts=int8 or --experts=int4");
  if (!command.calibration.empty() && command.upTo == Level::Import)
    return arguments.fail("--calibration needs the level gate or a later one");
  if (command.upTo >= Level::Object && command.output.empty())
    return arguments.fail("-o is needed for a library or an object");
  if (command.upTo >= Level::Object && command.output == "-")
    return arguments.fail(
        "a library or an object cannot go to standard output");
  if (command.cpus.empty()) {
    std::string error;
    std::optional<CpuTarget> cpu = resolveCpu("native", error);
    if (!cpu)
      return arguments.fail(error);
    command.cpus.push_back(std::move(*cpu));
  }
  return true;
}

static bool parseVerifyOption(Arguments &arguments, VerifyCommand &command) {
  StringRef name = arguments.name;
  constexpr int kMaxNumber = 1 << 30;
  if (!arguments.isOption)
    return arguments.positional(command.compile.model, "model");
  if (name == "--inputs")
    return arguments.value(command.inputs);
  if (name == "--random")
    return command.isRandom = arguments.number(command.runs, 1, kMaxNumber);
  if (name == "--seed")
    return arguments.number(command.seed, 0, kMaxNumber);
  if (name == "--threads")
    return arguments.number(command.threads, 1, 1024);
  if (name == "--onnxruntime") {
    std::string text;
    if (!arguments.value(text))
      return false;
    if (text != "yes" && text != "no")
      return arguments.fail("--onnxruntime expects yes or no, got '" + text +
                            "'");
    command.onnxRuntime = text == "yes";
    return true;
  }
  if (is_contained({"--mcpu", "--ties", "--assume-finite", "-v", "--verbose"},
                   name))
    return parseCompileOption(arguments, command.compile);
  return arguments.unknown();
}

static bool checkVerify(Arguments &arguments, VerifyCommand &command) {
  if (command.isRandom && !command.inputs.empty())
    return arguments.fail("--inputs and --random exclude each other");
  // The libraries are made in a folder of their own.
  command.compile.output = "library";
  return checkCompile(arguments, command.compile);
}

static bool addPair(Arguments &arguments,
                    std::vector<std::pair<std::string, std::string>> &list) {
  std::pair<std::string, std::string> entry;
  if (!arguments.pair(entry.first, entry.second))
    return false;
  for (const auto &other : list)
    if (other.first == entry.first)
      return arguments.fail(Twine(arguments.name) + " " + entry.first +
                            " is given twice");
  list.push_back(std::move(entry));
  return true;
}

static bool parseRunOption(Arguments &arguments, RunCommand &command) {
  StringRef name = arguments.name;
  if (!arguments.isOption)
    return arguments.positional(command.library, "library");
  if (name == "--input")
    return addPair(arguments, command.inputs);
  if (name == "--output")
    return addPair(arguments, command.outputs);
  if (name == "--threads")
    return arguments.number(command.threads, 1, 1024);
  if (name == "--repeat")
    return arguments.number(command.repeat, 1, 1 << 30);
  if (name == "--stats")
    return arguments.value(command.statsFile);
  return arguments.unknown();
}

static bool parseInspectOption(Arguments &arguments, InspectCommand &command) {
  if (!arguments.isOption)
    return arguments.positional(command.library, "library");
  if (arguments.name == "--json")
    return command.json = true;
  if (arguments.name == "--bind") {
    std::string name, text;
    int64_t number;
    if (!arguments.pair(name, text))
      return false;
    if (StringRef(text).getAsInteger(10, number) || number < 0)
      return arguments.fail("--bind expects NAME=N with N >= 0, got '" + name +
                            "=" + text + "'");
    command.bindings.emplace_back(name, number);
    return true;
  }
  return arguments.unknown();
}

template <typename T>
static Command parseAll(ArrayRef<std::string> list,
                        bool (*parseOne)(Arguments &, T &),
                        bool (*check)(Arguments &, T &)) {
  Arguments arguments(list);
  T command;
  while (arguments.next())
    if (!parseOne(arguments, command) || !arguments.finish())
      return UsageError{arguments.message};
  if (!check(arguments, command))
    return UsageError{arguments.message};
  return command;
}

template <typename T>
static bool checkLibrary(Arguments &arguments, T &command) {
  return !command.library.empty() || arguments.fail("no library is given");
}

Command gatecc::parseCommand(ArrayRef<std::string> arguments) {
  if (arguments.empty())
    return UsageError{"no model is given"};
  for (const std::string &argument : arguments) {
    if (argument == "--")
      break;
    if (argument == "--help" || argument == "-h")
      return PrintCommand{kHelp};
    if (argument == "--version")
      return PrintCommand{std::string("gatecc ") + kVersion + " (LLVM " +
                          LLVM_VERSION_STRING + ")\n"};
    if (argument == "--list-ops") {
      PrintCommand print;
      raw_string_ostream stream(print.text);
      listOperators(stream);
      return print;
    }
  }
  if (arguments[0] == "verify")
    return parseAll<VerifyCommand>(arguments.drop_front(), parseVerifyOption,
                                   checkVerify);
  if (arguments[0] == "run")
    return parseAll<RunCommand>(arguments.drop_front(), parseRunOption,
                                checkLibrary);
  if (arguments[0] == "inspect")
    return parseAll<InspectCommand>(arguments.drop_front(), parseInspectOption,
                                    checkLibrary);
  return parseAll<CompileCommand>(arguments, parseCompileOption, checkCompile);
}
