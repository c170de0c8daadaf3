// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// No damage to an ONNX file makes the importer crash: cut off anywhere, bytes
// flipped, spans copied. What it accepts all the same must verify.
#include "OnnxWriter.h"

#include <random>

using namespace onnxtest;

namespace {

using OnnxFuzz = OnnxImportTest;

/// A file with every kind of thing in it.
std::string wholeModel() {
  std::vector<float> big(300, 0.5f);
  Message inner = Message()
                      .bytes(1, "f")
                      .bytes(4, "a")
                      .bytes(4, "b")
                      .bytes(5, "r")
                      .bytes(10, "d")
                      .message(11, intAttribute("axis", 7))
                      .message(7, node("Softmax", {"a"}, {"r"}, "soft", "",
                                       {referAttribute("axis", "axis", 2)}))
                      .message(9, opset("", 18));
  Graph branch;
  branch.nodes = {node("Neg", {"h"}, {"n"}, "inner")};
  branch.outputs = {value("n", {"B", "4"})};
  Graph graph;
  graph.inputs = {value("x", {"B", "4"}), value("c", {}, Bool)};
  graph.outputs = {value("y", {"B", "4"})};
  graph.values = {value("h", {"B", "4"})};
  graph.initializers = {
      tensor("w", {3, 100}, Float, rawBytes(big)),
      Message().number(1, 2).number(2, Int64).bytes(8, "i").number(7, 5).number(
          7, 6),
      externalTensor("e", {2}, "data.bin", "0", "8")};
  graph.nodes = {
      node("Constant", {}, {"k"}, "", "", {floatAttribute("value_float", 2)}),
      node("f", {"x"}, {"h"}, "call", "d", {intAttribute("axis", 1)}),
      node("If", {"c"}, {"p"}, "choice", "",
           {graphAttribute("then_branch", branch.write()),
            graphAttribute("else_branch", branch.write())}),
      node("Sum", {"p", "", "w", "i", "e", "k"}, {"y"}, "sum", "",
           {Message()
                .bytes(1, "fs")
                .bytes(7, rawBytes<float>({1, 2}))
                .number(20, 6),
            Message().bytes(1, "is").number(8, 1).number(20, 7)})};
  return model(graph, {opset("", 21), opset("d", 1)}, {inner});
}

TEST_F(OnnxFuzz, WholeIsFine) {
  write("data.bin", "12345678");
  EXPECT_TRUE(importBytes(wholeModel())) << diagnostics;
}

TEST_F(OnnxFuzz, CutAnywhere) {
  write("data.bin", "12345678");
  std::string whole = wholeModel();
  for (size_t size = 0; size < whole.size(); ++size)
    importBytes(whole.substr(0, size));
}

TEST_F(OnnxFuzz, EveryByteFlipped) {
  write("data.bin", "12345678");
  std::string whole = wholeModel();
  std::mt19937 random(1);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] ^= 1 << random() % 8;
    importBytes(damaged);
    damaged[i] = static_cast<char>(random());
    importBytes(damaged);
  }
}

TEST_F(OnnxFuzz, ManyDamages) {
  write("data.bin", "12345678");
  std::string whole = wholeModel();
  std::mt19937 random(2);
  for (int round = 0; round < 1500; ++round) {
    std::string damaged = whole;
    for (unsigned times = 1 + random() % 8; times--;) {
      size_t at = random() % damaged.size();
      size_t from = random() % damaged.size(), span = random() % 16;
      switch (random() % 4) {
      case 0:
        damaged[at] = static_cast<char>(random());
        break;
      case 1:
        damaged.insert(at, damaged.substr(from, span));
        break;
      case 2:
        damaged.erase(at, span);
        break;
      case 3:
        damaged[at] = "\0\1\x7f\x80\xff"[random() % 5];
        break;
      }
      if (damaged.empty())
        break;
    }
    importBytes(damaged);
  }
}

TEST_F(OnnxFuzz, RandomBytes) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::string bytes(random() % 200, 0);
    for (char &byte : bytes)
      byte = static_cast<char>(random());
    importBytes(bytes);
  }
}

} // namespace
