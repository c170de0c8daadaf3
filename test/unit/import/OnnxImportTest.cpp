// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What well-formed ONNX files become.
#include "OnnxWriter.h"

using namespace onnxtest;

namespace {

using OnnxImport = OnnxImportTest;

Graph relu() {
  Graph graph;
  graph.inputs = {value("x", {"B", "4"})};
  graph.outputs = {value("y", {"B", "4"})};
  graph.nodes = {node("Relu", {"x"}, {"y"}, "act")};
  return graph;
}

TEST_F(OnnxImport, NamesAndDimensions) {
  Graph graph = relu();
  graph.inputs = {value("x", {"B", "4"}),
                  value("in 2", {"", "past + 1", "B", "32"})};
  // A name that is a number is one.
  graph.inputs.push_back(Message().bytes(1, "z").message(
      2, Message().message(
             1, Message().number(1, Float).message(
                    2, Message().message(1, Message().bytes(2, "32"))))));
  std::string text = show(model(graph));
  EXPECT_HAS(
      text,
      R"(%arg0: tensor<?x4xf32> {gate.dims = ["B", 4], gate.name = "x"})");
  EXPECT_HAS(
      text,
      R"(gate.dims = ["in_2_d0", "past___1", "B", 32], gate.name = "in 2")");
  EXPECT_HAS(text, R"(tensor<32xf32> {gate.dims = [32], gate.name = "z"})");
  EXPECT_HAS(
      text,
      R"(onnx.node "Relu"(%arg0) {node_name = "act", version = 21 : i64})");
  EXPECT_HAS(text, "gatecc.name = \"model\"");
  EXPECT_HAS(text, "gatecc.source_hash = \"");
}

TEST_F(OnnxImport, InitializersInPlace) {
  Graph graph = relu();
  std::vector<float> big(300);
  for (size_t i = 0; i < big.size(); ++i)
    big[i] = i;
  graph.nodes = {node("Sum", {"x", "w", "s", "f", "i", "b"}, {"y"})};
  Message packed =
      Message().number(1, 300).number(2, Float).bytes(8, "f").bytes(
          4, rawBytes(big));
  Message ints =
      Message().number(1, 2).number(2, Int64).bytes(8, "i").number(7, 5).number(
          7, static_cast<uint64_t>(-7));
  graph.initializers = {tensor("w", {3, 100}, Float, rawBytes(big)),
                        tensor("s", {2}, Float, rawBytes<float>({1.5, -2})),
                        packed, ints,
                        tensor("b", {2}, Bool, std::string("\1\0", 2))};
  std::string bytes = model(graph);
  size_t place = bytes.find(rawBytes(big));
  std::string text = show(bytes);
  EXPECT_HAS(text, "gate.weight @w : tensor<3x100xf32> {file = \"" +
                       pathOf("model.onnx") +
                       "\", offset = " + std::to_string(place) +
                       " : i64, strides = array<i64: 400, 4>}");
  EXPECT_HAS(text, "gate.weight @f : tensor<300xf32> {file = ");
  EXPECT_HAS(text, "dense<[1.500000e+00, -2.000000e+00]> : tensor<2xf32>");
  EXPECT_HAS(text, "dense<[5, -7]> : tensor<2xi64>");
  EXPECT_HAS(text, "dense<[true, false]> : tensor<2xi1>");
}

TEST_F(OnnxImport, ConstantsAreFolded) {
  Graph graph = relu();
  graph.nodes = {
      node("Constant", {}, {"c"}, "", "", {floatAttribute("value_float", 2)}),
      node("Constant", {}, {"d"}, "", "",
           {Message()
                .bytes(1, "value_ints")
                .number(8, 3)
                .number(8, 4)
                .number(20, 7)}),
      node("Constant", {}, {"e"}, "", "",
           {Message()
                .bytes(1, "value")
                .message(5, tensor("", {0, 3}, Float, ""))
                .number(20, 4)}),
      node("F", {"x", "c", "d", "e"}, {"y"}, "", "my.domain")};
  std::string text = show(model(graph));
  EXPECT_HAS(text, "dense<2.000000e+00> : tensor<f32>");
  EXPECT_HAS(text, "dense<[3, 4]> : tensor<2xi64>");
  EXPECT_HAS(text, "dense<> : tensor<0x3xf32>");
  EXPECT_EQ(text.find("\"Constant\""), std::string::npos);
  EXPECT_HAS(text, "domain = \"my.domain\"");
  EXPECT_HAS(diagnostics, "without importing it; version 1 is taken");
}

TEST_F(OnnxImport, AbsentInputsAndOutputs) {
  Graph graph = relu();
  graph.nodes = {node("Clip", {"x", "", "m", "", ""}, {"y", ""}, "c")};
  graph.initializers = {tensor("m", {}, Float, rawBytes<float>({6}))};
  std::string text = show(model(graph));
  EXPECT_HAS(
      text, "\"Clip\"(%arg0, %cst) {absent = array<i64: 1>, node_name = \"c\"");
  EXPECT_HAS(text, "-> (tensor<?x4xf32>, !onnx.value)");
}

TEST_F(OnnxImport, NodesInAnyOrder) {
  Graph graph = relu();
  graph.nodes = {node("Second", {"h"}, {"y"}), node("First", {"x"}, {"h"})};
  std::string text = show(model(graph));
  EXPECT_LT(text.find("First"), text.find("Second"));
}

TEST_F(OnnxImport, BodiesSeeOuterValues) {
  Graph branch, graph = relu();
  branch.nodes = {node("Neg", {"h"}, {"n"}, "inner")};
  branch.outputs = {value("n", {"B", "4"})};
  graph.nodes = {node("If", {"c"}, {"y"}, "choice", "",
                      {graphAttribute("then_branch", branch.write()),
                       graphAttribute("else_branch", branch.write())}),
                 node("Abs", {"x"}, {"h"}), node("Shape", {"h"}, {"c"})};
  std::string text = show(model(graph));
  EXPECT_LT(text.find("\"Abs\""), text.find("\"If\""));
  EXPECT_HAS(text, "onnx.yield");
  EXPECT_HAS(text, "body_names = [\"then_branch\", \"else_branch\"]");
}

TEST_F(OnnxImport, FunctionsAreInlined) {
  // outer(x; k=2) = inner(x; axis=k); inner(a, b?; axis=7) = Softmax(Clip(a,
  // b); axis)
  Message inner = Message()
                      .bytes(1, "inner")
                      .bytes(4, "a")
                      .bytes(4, "b")
                      .bytes(5, "r")
                      .bytes(10, "local")
                      .message(11, intAttribute("axis", 7))
                      .message(7, node("Clip", {"a", "b"}, {"t"}, "clip"))
                      .message(7, node("Softmax", {"t"}, {"r"}, "soft", "",
                                       {referAttribute("axis", "axis", 2)}))
                      .message(9, opset("", 18));
  Message outer = Message()
                      .bytes(1, "outer")
                      .bytes(4, "a")
                      .bytes(5, "r")
                      .bytes(10, "local")
                      .bytes(6, "k")
                      .message(7, node("inner", {"a"}, {"r"}, "in", "local",
                                       {referAttribute("axis", "k", 2)}))
                      .message(9, opset("", 18))
                      .message(9, opset("local", 1));
  Graph graph = relu();
  graph.nodes = {
      node("outer", {"x"}, {"h"}, "first", "local", {intAttribute("k", 1)}),
      node("outer", {"h"}, {"y"}, "second", "local")};
  std::string text =
      show(model(graph, {opset("", 21), opset("local", 1)}, {inner, outer}));
  EXPECT_HAS(text, "{attrs = {axis = 1 : i64}, node_name = \"first/in/soft\", "
                   "version = 18 : i64}");
  EXPECT_HAS(text, "{attrs = {axis = 7 : i64}, node_name = \"second/in/soft\", "
                   "version = 18 : i64}");
  EXPECT_HAS(text, "\"Clip\"(%arg0) {node_name = \"first/in/clip\"");
}

TEST_F(OnnxImport, ExternalData) {
  std::vector<float> big(300, 1.0f), same(300, 3.0f), small{1, 2};
  big.back() = 2;
  write("w.bin", "12345678" + rawBytes(big) + rawBytes(small) + rawBytes(same));
  Graph graph = relu();
  graph.nodes = {node("F", {"x", "w", "s", "e"}, {"y"})};
  graph.initializers = {externalTensor("w", {300}, "w.bin", "8", "1200"),
                        externalTensor("s", {2}, "./w.bin", "1208", "8"),
                        externalTensor("e", {300}, "w.bin", "1216", "")};
  std::string text = show(model(graph));
  EXPECT_HAS(text, "gate.weight @w : tensor<300xf32> {file = \"" +
                       pathOf("w.bin") + "\", offset = 8 : i64");
  EXPECT_HAS(text, "dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>");
  // What repeats one element is a constant of any size.
  EXPECT_HAS(text, "dense<3.000000e+00> : tensor<300xf32>");
}

TEST_F(OnnxImport, AttributesOfEveryKind) {
  Graph graph = relu();
  Message floats =
      Message().bytes(1, "fs").bytes(7, rawBytes<float>({1, 2})).number(20, 6);
  Message strings =
      Message().bytes(1, "ss").bytes(9, "a").bytes(9, "b").number(20, 8);
  Message text1 = Message().bytes(1, "s").bytes(4, "hi").number(20, 3);
  Message type = Message().bytes(1, "t").message(14, Message()).number(20, 13);
  Message untyped = Message().bytes(1, "u").number(3, 9);
  Message constant = Message().bytes(1, "v").number(20, 4).message(
      5, tensor("", {1}, Int64, rawBytes<int64_t>({3})));
  graph.nodes = {node("F", {"x"}, {"y"}, "", "",
                      {floats, strings, text1, type, untyped, constant})};
  EXPECT_HAS(
      show(model(graph)),
      "attrs = {fs = array<f32: 1.000000e+00, 2.000000e+00>, s = \"hi\", "
      "ss = [\"a\", \"b\"], t, u = 9 : i64, v = dense<3> : tensor<1xi64>}");
}

} // namespace
