// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Each way in which an ONNX file can be wrong gives an error that says which.
#include "OnnxWriter.h"

#include <unistd.h>

using namespace onnxtest;

namespace {

class OnnxBadInput : public OnnxImportTest {
protected:
  void SetUp() override {
    OnnxImportTest::SetUp();
    graph.inputs = {value("x", {"B", "4"})};
    graph.outputs = {value("y", {"B", "4"})};
    graph.nodes = {node("Relu", {"x"}, {"y"}, "act")};
  }
  void expectGraphError(const std::string &reason) {
    expectError(model(graph), reason);
  }
  void expectTensorError(const Message &initializer,
                         const std::string &reason) {
    graph.initializers = {initializer};
    expectGraphError("initializer 'w' ");
    EXPECT_HAS(diagnostics, reason);
  }
  Graph graph;
};

TEST_F(OnnxBadInput, Files) {
  EXPECT_FALSE(importFile(pathOf("missing.onnx")));
  EXPECT_HAS(diagnostics, "cannot be opened");
  EXPECT_FALSE(importFile(std::string(folder)));
  EXPECT_HAS(diagnostics, "is a folder");
  EXPECT_FALSE(importFile("/dev/zero"));
  EXPECT_HAS(diagnostics, "is no regular file");
  expectError("", "the model file is empty");
  expectError("hello, world", "not ");
  expectError(Message().number(1, 10).text, "it has no graph");
  expectError(Message().message(7, graph.write()).text, "it has no IR version");
  std::string whole = model(graph);
  expectError(whole.substr(0, whole.size() - 1), "cut off or malformed");
}

TEST_F(OnnxBadInput, NestedTooDeep) {
  Message body = Graph().write();
  for (int i = 0; i < 100; ++i) {
    Graph outer;
    outer.nodes = {node("If", {}, {}, "", "", {graphAttribute("g", body)})};
    body = outer.write();
  }
  expectError(Message().number(1, 10).message(7, body).text,
              "nested more than 160 deep");
}

TEST_F(OnnxBadInput, Names) {
  graph.nodes = {node("Add", {"x", "nothing"}, {"y"}, "sum")};
  expectGraphError("node 'sum' (Add): its input 'nothing' is no input");
  graph.nodes = {node("A", {"x"}, {"y"}, "n1"), node("B", {"x"}, {"y"}, "n2")};
  expectGraphError(
      "value 'y' is made twice, by node 'n1' (A) and by node 'n2' (B)");
  graph.nodes = {node("A", {"x"}, {"x"}, "n1")};
  expectGraphError("cycle: node 'n1' (A) needs node 'n1' (A)");
  graph.nodes = {node("A", {}, {"x"}, "n1")};
  expectGraphError("value 'x' is already made by an input");
  graph.nodes = {node("A", {"b"}, {"a"}, "n1"), node("B", {"a"}, {"b"}, "n2")};
  expectGraphError(
      "cycle: node 'n1' (A) needs node 'n2' (B) needs node 'n1' (A)");
  graph.nodes = {node("A", {"x"}, {"z"}, "n1")};
  expectGraphError("output 'y' of graph 'g' is made by no node");
  graph.nodes = {node("", {"x"}, {"y"}, "n1")};
  expectGraphError("has no operator");
}

TEST_F(OnnxBadInput, Interface) {
  graph.inputs.push_back(value("x", {"4"}));
  expectGraphError("input 'x' is declared twice");
  graph.inputs = {value("x", {"-1"})};
  expectGraphError("dimension 0 of value 'x' is -1");
  graph.inputs = {value("x", std::vector<std::string>(17, "1"))};
  expectGraphError("has 17 dimensions");
  graph.inputs = {value("x", {"4611686018427387904", "4611686018427387904"})};
  expectGraphError("more elements than memory can hold");
  graph.inputs = {value("x", {"B"}, String)};
  expectGraphError("has element type STRING");
  graph.inputs = {value("x", {"B"}, 1000)};
  expectGraphError("has element type number 1000");
  graph.inputs = {value("", {"B"})};
  expectGraphError("an input has no name");
  graph.inputs = {value("\xff", {"B"})};
  expectGraphError("no UTF-8 text");
  graph.inputs = {Message().bytes(1, "x")};
  expectGraphError("declared as no tensor");
  graph.inputs = {Message().bytes(1, "x").message(
      2, Message().message(1, Message().number(1, Float)))};
  expectGraphError("has no shape");
  graph.inputs = {value("x", {"B"})};
  graph.outputs.push_back(graph.outputs[0]);
  expectGraphError("output 'y' is listed twice");
  graph.outputs = {};
  expectGraphError("no outputs");
}

TEST_F(OnnxBadInput, Initializers) {
  expectTensorError(tensor("w", {2}, Float, "1234"),
                    "holds 4 bytes of data where its shape and type need 8");
  expectTensorError(tensor("w", {-2}, Float, ""), "has a dimension of size -2");
  expectTensorError(tensor("w", {1}, Float8, "1"),
                    "has element type FLOAT8E4M3FN");
  expectTensorError(tensor("w", {1}, String, "1"), "has element type STRING");
  expectTensorError(tensor("w", {1}, 0, "1"), "has element type UNDEFINED");
  expectTensorError(tensor("w", {1}, Bool, "\2"), "neither 0 nor 1");
  expectTensorError(tensor("w", {1LL << 62, 1LL << 62}, Float, ""),
                    "more elements than memory");
  expectTensorError(tensor("w", std::vector<int64_t>(17, 1), Float, "1234"),
                    "has 17 dimensions");
  Message typed =
      Message().number(1, 2).number(2, Int64).bytes(8, "w").number(7, 1);
  expectTensorError(typed, "holds 1 elements where its shape needs 2");
  typed.number(7, 2).number(7, 3);
  expectTensorError(typed, "holds more elements");
  expectTensorError(Message().number(1, 1 << 30).number(2, Int64).bytes(8, "w"),
                    "holds fewer elements");
  graph.initializers = {tensor("", {1}, Float, "1234")};
  expectGraphError("an initializer has no name");
  graph.initializers = {tensor("v", {1}, Float, "1234"),
                        tensor("v", {1}, Float, "1234")};
  expectGraphError("initializer 'v' has the name of another one");
}

TEST_F(OnnxBadInput, ExternalData) {
  write("short.bin", "12345678");
  auto expectExternal =
      [&](const std::string &location, const std::string &reason,
          const std::string &offset = "", const std::string &length = "") {
        expectTensorError(externalTensor("w", {2}, location, offset, length),
                          reason);
      };
  expectExternal("none.bin",
                 "the data file 'none.bin', which cannot be opened");
  expectExternal("", "names no data file");
  expectExternal("/etc/passwd", "has an absolute path");
  expectExternal("../short.bin", "has '..' in its path");
  expectExternal("a/../../short.bin", "has '..' in its path");
  expectExternal(std::string("a\0b", 3), "zero byte");
  expectExternal("short.bin", "has only 8", "1");
  expectExternal("short.bin", "has only 8", "18446744073709551615");
  expectExternal("short.bin", "which is no number", "-1");
  expectExternal("short.bin", "which is no number", "99999999999999999999999");
  expectExternal("short.bin", "has external data of 4 bytes where", "", "4");
  expectExternal(".", "is a folder");
  ASSERT_EQ(symlink("/etc/passwd", pathOf("link.bin").c_str()), 0);
  expectExternal("link.bin", "leads out of the model's folder");
  ASSERT_EQ(symlink("/etc", pathOf("etc").c_str()), 0);
  expectExternal("etc/passwd", "leads out of the model's folder");
  // A link to a file inside is fine.
  ASSERT_EQ(symlink("short.bin", pathOf("inside.bin").c_str()), 0);
  graph.initializers = {externalTensor("w", {2}, "inside.bin", "", "")};
  EXPECT_TRUE(importBytes(model(graph)));
}

TEST_F(OnnxBadInput, Opsets) {
  expectError(model(graph, {}),
              "node 'act' (Relu): the model does not say which opset");
  expectError(model(graph, {opset("", 0)}), "versions begin at 1");
  expectError(model(graph, {opset("", 21), opset("ai.onnx", 20)}),
              "imports two versions");
}

TEST_F(OnnxBadInput, Attributes) {
  auto expectAttributeError = [&](std::vector<Message> attributes,
                                  const std::string &reason) {
    graph.nodes = {node("F", {"x"}, {"y"}, "n", "", attributes)};
    expectGraphError(reason);
  };
  expectAttributeError({intAttribute("", 1)}, "an attribute has no name");
  expectAttributeError({intAttribute("a", 1), intAttribute("a", 1)},
                       "attribute 'a' is given twice");
  expectAttributeError({referAttribute("a", "b", 2)},
                       "refers to one of a function");
  expectAttributeError({Message().bytes(1, "a").number(20, 4)},
                       "should hold a tensor");
  expectAttributeError({Message().bytes(1, "a").number(20, 5)},
                       "should hold a graph");
  expectAttributeError({Message().bytes(1, "a").number(20, 7).fixed32(8, 1)},
                       "is malformed");
  expectAttributeError({Message().bytes(1, "a").number(20, 6).bytes(7, "abc")},
                       "is malformed");
}

TEST_F(OnnxBadInput, Functions) {
  Message loop = Message()
                     .bytes(1, "f")
                     .bytes(4, "a")
                     .bytes(5, "r")
                     .bytes(10, "d")
                     .message(7, node("f", {"a"}, {"r"}, "again", "d"));
  graph.nodes = {node("f", {"x"}, {"y"}, "n", "d")};
  expectError(model(graph, {opset("", 21), opset("d", 1)}, {loop}),
              "node 'again' (f): the function calls itself");
  expectError(model(graph, {opset("", 21), opset("d", 1)}, {loop, loop}),
              "defined twice");
  Message none =
      Message().bytes(1, "f").bytes(4, "a").bytes(5, "r").bytes(10, "d");
  expectError(model(graph, {opset("", 21), opset("d", 1)}, {none}),
              "no node of its function makes the output 'r'");
  // 2 calls per level, 40 levels: refused after many nodes, not run.
  std::vector<Message> bombs;
  for (int i = 0; i < 40; ++i) {
    std::string next = "f" + std::to_string(i + 1);
    bombs.push_back(Message()
                        .bytes(1, i ? "f" + std::to_string(i) : "f")
                        .bytes(4, "a")
                        .bytes(5, "r")
                        .bytes(10, "d")
                        .message(7, node(next, {"a"}, {"t"}, "", "d"))
                        .message(7, node(next, {"t"}, {"r"}, "", "d")));
  }
  expectError(model(graph, {opset("", 21), opset("d", 1)}, bombs),
              "once its functions are inlined");
}

} // namespace
