// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What well-formed JSON networks become.
#include "JsonWriter.h"

namespace {

using JsonImport = JsonImportTest;

TEST_F(JsonImport, OperatorsAndConstants) {
  std::string text = show(document(
      R"({"op": "Relu", "name": "r", "inputs": ["x"], "outputs": ["h"]},
         {"op": "Add", "name": "a", "inputs": ["h", 0.5], "outputs": ["y"]})"));
  EXPECT_HAS(
      text,
      R"(%arg0: tensor<?x4xf32> {gate.dims = ["B", 4], gate.name = "x"})");
  EXPECT_HAS(text,
             R"(-> (tensor<?x4xf32> {gate.dims = ["B", 4], gate.name = "y"}))");
  EXPECT_HAS(text, "gatecc.name = \"test\"");
  EXPECT_HAS(text, "arith.maximumf");
  EXPECT_HAS(text, "5.000000e-01 : f32");
}

TEST_F(JsonImport, ConstantsOfEveryType) {
  auto add = [&](const std::string &dtype, const std::string &literal) {
    return show(
        R"({"gatecc": 1, "name": "t", "inputs": [{"name": "x", "dtype": ")" +
        dtype +
        R"(", "shape": [2]}], "outputs": ["y"], "nodes": [
      {"op": ")" +
        (dtype == "bool" ? "And" : "Mul") +
        R"(", "name": "n", "outputs": ["y"], "inputs": ["x", {"value": )" +
        literal + R"(, "dtype": ")" + dtype + R"("}]}]})");
  };
  EXPECT_HAS(add("i64", "[-1, 9007199254740993]"),
             "dense<[-1, 9007199254740993]> : tensor<2xi64>");
  EXPECT_HAS(add("i32", "[1, -2]"), "dense<[1, -2]> : tensor<2xi32>");
  EXPECT_HAS(add("i8", "[127, -128]"), "dense<[127, -128]> : tensor<2xi8>");
  EXPECT_HAS(add("f64", "[0.1, 1e300]"), "tensor<2xf64>");
  EXPECT_HAS(add("f16", "[1.5, 2]"),
             "dense<[1.500000e+00, 2.000000e+00]> : tensor<2xf16>");
  EXPECT_HAS(add("bf16", "[1.5, 2]"), "tensor<2xbf16>");
  EXPECT_HAS(add("bool", "[true, false]"),
             "dense<[true, false]> : tensor<2xi1>");
}

TEST_F(JsonImport, WeightsStayInTheirFile) {
  std::string header = R"({"__metadata__": {"a": "b"},
    "w": {"dtype": "F32", "shape": [4, 100], "data_offsets": [16, 1616]},
    "b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})";
  writeSafetensors(header, rawBytes(std::vector<float>(404, 2.0f)));
  std::string text = show(document(
      R"({"op": "Add", "name": "a", "inputs": ["x", "@b"], "outputs": ["h"]},
         {"op": "MatMul", "name": "m", "inputs": ["h", "@w"], "outputs": ["y"]})",
      R"("weights": "w.safetensors",)"));
  EXPECT_HAS(text, "gate.weight @w : tensor<4x100xf32> {file = \"" +
                       pathOf("w.safetensors") + "\", offset = " +
                       std::to_string(8 + header.size() + 16) +
                       " : i64, strides = array<i64: 400, 4>}");
  EXPECT_HAS(text, "gate.contract");
}

TEST_F(JsonImport, Experts) {
  writeSafetensors(
      R"({"w": {"dtype": "F32", "shape": [4, 4, 80], "data_offsets": [0, 5120]}})",
      std::string(5120, 0));
  std::string text =
      show(document(experts(), R"("weights": "w.safetensors",)"));
  EXPECT_HAS(
      text,
      "gate.route %arg0 {normalize = true, scale = 2.000000e+00 : f32, score = "
      "#gate.score<sigmoid>, site = @site} : tensor<?x4xf32> -> <groups = 4, "
      "choices = 2>");
  EXPECT_HAS(text, "gate.apply");
  EXPECT_HAS(text, "params(%");
  EXPECT_HAS(text, "gate.combine");
  EXPECT_HAS(text, "name = \"route\"");
  EXPECT_HAS(text, "full_cost = 4.000000e+00");
}

TEST_F(JsonImport, PartitionAndMerge) {
  std::string text = show(document(R"(
    {"op": "ReduceMax", "name": "m", "inputs": ["x", {"value": [1], "dtype": "i64"}], "outputs": ["s"]},
    {"op": "Greater", "name": "g", "inputs": ["s", 0.5], "outputs": ["live"]},
    {"op": "gate.partition", "name": "p", "inputs": ["live"], "outputs": ["plan"]},
    {"op": "gate.apply", "name": "a", "inputs": ["x", "plan"], "outputs": ["slots"],
     "attributes": {"groups": [0, 1]},
     "body": {"rows": "r", "nodes": [{"op": "Relu", "inputs": ["r"], "outputs": ["o"]}], "result": "o"}},
    {"op": "gate.merge", "name": "y", "inputs": ["slots", "plan", "x"], "outputs": ["y"]})"));
  EXPECT_HAS(text, "gate.partition");
  EXPECT_HAS(text, "ranges [0, 1]");
  EXPECT_HAS(text, "gate.merge");
  EXPECT_HAS(text, "cost = array<f64: 1.000000e+00, 0.000000e+00>, full_cost = "
                   "1.000000e+00");
  EXPECT_HAS(text, "kind = \"skip\"");
}

TEST_F(JsonImport, TopK) {
  EXPECT_HAS(
      show(document(
          R"({"op": "gate.topk", "name": "t", "inputs": ["x"], "outputs": ["y", ""],
                               "attributes": {"k": 2, "largest": false}})")),
      "gate.topk %arg0 {k = 2 : i64, largest = false}");
}

} // namespace
