// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Command lines and what they mean.
#include "lib/Driver/Options.h"

#include <gtest/gtest.h>

using namespace gatecc;

template <typename T> static T parse(std::vector<std::string> arguments) {
  Command command = parseCommand(arguments);
  if (auto *error = std::get_if<UsageError>(&command))
    ADD_FAILURE() << error->message;
  auto *result = std::get_if<T>(&command);
  EXPECT_TRUE(result);
  return result ? *result : T();
}

TEST(Options, CompileDefaults) {
  auto command = parse<CompileCommand>({"m.onnx", "-o", "m.so"});
  EXPECT_EQ(command.model, "m.onnx");
  EXPECT_EQ(command.output, "m.so");
  EXPECT_EQ(command.upTo, Level::Library);
  EXPECT_EQ(command.cpus.size(), 1u);
  EXPECT_EQ(command.weights, WeightsPlace::Automatic);
  EXPECT_FALSE(command.report || command.options.tiesOrtCpu ||
               command.options.assumeFinite || command.options.verifyEach ||
               command.options.checkAccesses || command.options.verbose);
  EXPECT_EQ(command.options.experts, "f32");
  EXPECT_EQ(command.options.block, 32);
}

TEST(Options, CompileAll) {
  auto command = parse<CompileCommand>(
      {"--mcpu=x86-64-v2,x86-64-v3", "--mcpu", "x86-64-v3", "--compile-to",
       "gate", "--report=r.json", "--weights=file", "--ties=ort-cpu",
       "--assume-finite", "--experts=int4", "--block", "128", "--verify-each",
       "--check-accesses", "-v", "--", "-m.onnx"});
  EXPECT_EQ(command.model, "-m.onnx");
  EXPECT_EQ(command.cpus.size(), 2u);
  EXPECT_EQ(command.upTo, Level::Gate);
  EXPECT_TRUE(command.report);
  EXPECT_EQ(command.reportFile, "r.json");
  EXPECT_EQ(command.weights, WeightsPlace::File);
  EXPECT_TRUE(command.options.tiesOrtCpu && command.options.assumeFinite &&
              command.options.verifyEach && command.options.checkAccesses &&
              command.options.verbose);
  EXPECT_EQ(command.options.experts, "int4");
  EXPECT_EQ(command.options.block, 128);
  EXPECT_TRUE(
      parse<CompileCommand>({"m", "-o", "x", "--report"}).reportFile.empty());
}

TEST(Options, Verify) {
  auto command = parse<VerifyCommand>({"verify", "m.onnx"});
  EXPECT_EQ(command.compile.model, "m.onnx");
  EXPECT_EQ(command.runs, 5);
  EXPECT_TRUE(command.inputs.empty() && !command.onnxRuntime);
  command = parse<VerifyCommand>({"verify", "--random=9", "m.onnx", "--seed",
                                  "3", "--threads=2", "--onnxruntime=no",
                                  "--assume-finite", "--mcpu=x86-64-v3"});
  EXPECT_EQ(command.runs, 9);
  EXPECT_EQ(command.seed, 3);
  EXPECT_EQ(command.threads, 2);
  EXPECT_EQ(command.onnxRuntime, false);
  EXPECT_TRUE(command.compile.options.assumeFinite);
  EXPECT_EQ(command.compile.cpus[0].name, "x86-64-v3");
  command = parse<VerifyCommand>({"verify", "m", "--inputs=a.npz"});
  EXPECT_EQ(command.inputs, "a.npz");
}

TEST(Options, Calibration) {
  auto command = parse<CompileCommand>({"m", "-o", "x", "--experts=int8",
                                        "--calibration=a=b=c.npy",
                                        "--calibration", "d=e.npy"});
  EXPECT_TRUE(command.report);
  EXPECT_EQ(command.calibration[0],
            std::make_pair(std::string("a=b"), std::string("c.npy")));
  EXPECT_EQ(command.calibration[1],
            std::make_pair(std::string("d"), std::string("e.npy")));
  command = parse<CompileCommand>(
      {"m", "-o", "x", "--experts=bf16", "--calibration=x.npy"});
  EXPECT_EQ(command.calibration[0],
            std::make_pair(std::string(), std::string("x.npy")));
}

TEST(Options, RunSplitsAtTheLastEqualsSign) {
  auto command = parse<RunCommand>({"run", "m.so", "--input", "a=b=c.npy",
                                    "--output=y=z=d.npy", "--threads", "3",
                                    "--repeat=7", "--stats", "s.json"});
  EXPECT_EQ(command.inputs[0],
            std::make_pair(std::string("a=b"), std::string("c.npy")));
  EXPECT_EQ(command.outputs[0],
            std::make_pair(std::string("y=z"), std::string("d.npy")));
  EXPECT_EQ(command.threads, 3);
  EXPECT_EQ(command.repeat, 7);
  EXPECT_EQ(command.statsFile, "s.json");
}

TEST(Options, Inspect) {
  auto command = parse<InspectCommand>(
      {"inspect", "m.so", "--json", "--bind", "B=64", "--bind=S=0"});
  EXPECT_TRUE(command.json);
  ASSERT_EQ(command.bindings.size(), 2u);
  EXPECT_EQ(command.bindings[0].second, 64);
  EXPECT_EQ(command.bindings[1].first, "S");
}

TEST(Options, UsageErrors) {
  for (std::vector<std::string> arguments :
       std::vector<std::vector<std::string>>{{},
                                             {""},
                                             {"m"},
                                             {"m", "-o"},
                                             {"m", "n", "-o", "x"},
                                             {"m", "--mcpu="},
                                             {"m", "-x"},
                                             {"m", "--experts=fp8"},
                                             {"m", "--experts"},
                                             {"m", "-o", "x", "--block=32"},
                                             {"run"},
                                             {"run", "a", "b"},
                                             {"run", "a", "--input", "=b"},
                                             {"run", "a", "--input", "b="},
                                             {"run", "a", "--threads", "1025"},
                                             {"inspect"},
                                             {"inspect", "a", "--bind", "B=x"},
                                             {"inspect", "a", "--json=1"}})
    EXPECT_TRUE(std::holds_alternative<UsageError>(parseCommand(arguments)));
}
