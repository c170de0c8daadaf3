// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Each way in which a JSON network can be wrong gives an error with its place.
#include "JsonWriter.h"

#include <random>
#include <unistd.h>

namespace {

class JsonBadInput : public JsonImportTest {
protected:
  /// `whole` with the first `from` replaced.
  static std::string replace(std::string whole, const std::string &from,
                             const std::string &to) {
    size_t at = whole.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? whole : whole.replace(at, from.size(), to);
  }
  void expectReplaced(const std::string &from, const std::string &to,
                      const std::string &reason) {
    expectError(replace(good, from, to), reason);
  }
  std::string good = document(
      R"({"op": "Relu", "name": "r", "inputs": ["x"], "outputs": ["y"]})");
};

TEST_F(JsonBadInput, Text) {
  EXPECT_TRUE(importBytes(good)) << diagnostics;
  expectError("", "the model file is empty");
  expectError("{", "not JSON: ");
  expectError("{\n\"gatecc\": 1,\n?", "3: not JSON: syntax error");
  expectError("\xff\xfe", "not JSON");
  expectError("[1, 2]", "should be an object, but is an array");
  expectError(std::string(100000, '['), "nested more than 64 deep");
  expectError(R"({"gatecc": 1, "gatecc": 1})",
              "the key \"gatecc\" is given twice");
  expectError("{}", "the key 'gatecc' is missing");
  expectError(R"({"gatecc": 1e999})", "not JSON");
}

TEST_F(JsonBadInput, Document) {
  expectReplaced("\"gatecc\": 1", "\"gatecc\": 2", "1: /gatecc: is version 2");
  expectReplaced("\"gatecc\": 1", "\"gatecc\": \"1\"",
                 "/gatecc: should be an integer, but is a string");
  expectReplaced("\"name\": \"test\"", "\"name\": \"\"",
                 "/name: should be a name");
  expectReplaced("\"outputs\"", "\"output\"",
                 "3: /output: the key 'output' has no meaning here");
  expectReplaced("[\"y\"]", "[]", "/outputs: the network has no outputs");
  expectReplaced("[\"y\"]", "[\"z\"]",
                 "3: /outputs/0: no node makes a value 'z'");
  expectReplaced("[\"y\"]", "[\"y\", \"y\"]",
                 "/outputs/1: output 'y' is listed twice");
  expectReplaced("\"f32\"", "\"f31\"", "/inputs/0/dtype: should be one of f64");
  expectReplaced("\"B\"", "\"2*B\"", "/inputs/0/shape/0: should be a size");
  expectReplaced("\"B\"", "-1", "/inputs/0/shape/0: should be a size");
  expectReplaced("\"B\"", "1.5", "/inputs/0/shape/0: should be a size");
  expectReplaced("\"B\"", "9000000000000000000", "more elements than memory");
  expectReplaced("\"name\": \"x\"", "\"name\": \"@x\"",
                 "/inputs/0/name: should be a name");
}

TEST_F(JsonBadInput, Nodes) {
  expectReplaced(
      "\"Relu\"", "\"Foo\"",
      "does not support the operator /nodes/0/op 'Foo' (node 'r', line 4)");
  expectReplaced("\"Relu\"", "7",
                 "/nodes/0/op: should be a string, but is an integer");
  expectReplaced("\"name\": \"r\", ", "",
                 "/nodes/0: the key 'name' is missing");
  expectReplaced(
      "[\"x\"]", "[\"z\"]",
      "/nodes/0/inputs/0: no input and no earlier node makes a value 'z'");
  expectReplaced("[\"x\"]", "[\"@w\"]",
                 "/nodes/0/inputs/0: the document names no file of weights");
  expectReplaced("[\"x\"]", "[]",
                 "/nodes/0: node 'r' (Relu): expects 1 inputs, got 0");
  expectReplaced("[\"x\"]", "[null]",
                 "/nodes/0/inputs/0: should be the name of a value");
  expectReplaced("[\"x\"]", "[{\"value\": [1, [2]]}]",
                 "/nodes/0/inputs/0/value/1: should be a number");
  expectReplaced("[\"x\"]", "[{\"value\": [[1], [2, 3]]}]",
                 "/nodes/0/inputs/0/value/1: should be an array of 1");
  expectReplaced("[\"x\"]", "[{\"value\": 300, \"dtype\": \"u8\"}]",
                 "300 is out of range for its dtype");
  expectReplaced("[\"x\"]", "[{\"value\": 1.5, \"dtype\": \"i64\"}]",
                 "should be an integer, but is a number");
  expectReplaced("[\"x\"]", "[{\"value\": 1, \"dtype\": \"bool\"}]",
                 "should be true or false");
  expectReplaced("\"outputs\": [\"y\"]}", "\"outputs\": [\"x\"]}",
                 "node 'r' (Relu): a value 'x' exists already");
  expectReplaced("\"outputs\": [\"y\"]}", "\"outputs\": [\"@y\"]}",
                 "no name begins with '@'");
  expectReplaced("\"outputs\": [\"y\"]}", "\"outputs\": [\"y\", \"z\"]}",
                 "/nodes/0: node 'r' (Relu): has 2 outputs");
  expectReplaced("\"outputs\": [\"y\"]}",
                 "\"outputs\": [\"y\"], \"attributes\": {\"a\": {}}}",
                 "/nodes/0/attributes/a: node 'r' (Relu): attribute 'a'");
  expectReplaced("\"outputs\": [\"y\"]}", "\"outputs\": [\"y\"], \"body\": {}}",
                 "only gate.apply has a body");
}

TEST_F(JsonBadInput, Weights) {
  auto expectWeights = [&](const std::string &file, const std::string &reason) {
    expectError(
        document(
            R"({"op": "Add", "name": "a", "inputs": ["x", "@w"], "outputs": ["y"]})",
            "\"weights\": \"" + file + "\","),
        reason);
  };
  auto expectHeader = [&](const std::string &header,
                          const std::string &reason) {
    writeSafetensors(header, "1234567890123456");
    expectWeights("w.safetensors", reason);
  };
  auto entry = [](const std::string &dtype, const std::string &shape,
                  const std::string &offsets) {
    return R"({"w": {"dtype": ")" + dtype + R"(", "shape": )" + shape +
           R"(, "data_offsets": )" + offsets + "}}";
  };
  expectWeights("none",
                "/weights: names the data file 'none', which cannot be opened");
  expectWeights("../w", "has '..' in its path");
  expectWeights("/etc/passwd", "has an absolute path");
  ASSERT_EQ(symlink("/etc/passwd", pathOf("link").c_str()), 0);
  expectWeights("link", "leads out of the model's folder");
  write("short", "123");
  expectWeights("short", "too short for a safetensors file");
  write("cut", rawBytes<uint64_t>({100}) + "{}");
  expectWeights("cut", "its header should take 100 bytes");
  write("huge", rawBytes<uint64_t>({UINT64_MAX}) + "{}");
  expectWeights("huge", "no safetensors file");
  expectHeader("nonsense", "has a malformed header");
  expectHeader("[]", "has a header that is no object");
  expectHeader("{}", "/nodes/0/inputs/1: the weights' file has no tensor 'w'");
  expectHeader(R"({"w": {}})", "lacks dtype, shape or data_offsets");
  expectHeader(entry("F32", "[4]", "[0, 17]"),
               "lies at bytes 0 to 17 of the 16");
  expectHeader(entry("F32", "[4]", "[8, 4]"), "lies at bytes 8 to 4");
  expectHeader(entry("F32", "[-4]", "[0, 16]"), "an extent that is no size");
  expectHeader(entry("F32", "[3]", "[0, 16]"),
               "has 16 bytes of data where its shape and dtype need 12");
  expectHeader(entry("F8_E4M3", "[16]", "[0, 16]"),
               "has dtype 'F8_E4M3', which gatecc does not support");
  expectHeader(entry("BOOL", "[4]", "[0, 4]"), "neither 0 nor 1");
  expectHeader(
      entry("F32", "[9223372036854775807, 9223372036854775807]", "[0, 16]"),
      "more elements than memory");
}

TEST_F(JsonBadInput, GateOps) {
  writeSafetensors(
      R"({"w": {"dtype": "F32", "shape": [4, 4, 80], "data_offsets": [0, 5120]},
                       "v": {"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}})",
      std::string(5120, 0));
  std::string whole = document(experts(), R"("weights": "w.safetensors",)");
  auto expectChanged = [&](const std::string &from, const std::string &to,
                           const std::string &reason) {
    expectError(replace(whole, from, to), reason);
  };
  EXPECT_TRUE(importBytes(whole)) << diagnostics;
  expectChanged("\"top_k\": 2", "\"top_k\": 5",
                "node 'route' (gate.route): top_k should lie between 1 and");
  expectChanged("\"top_k\": 2", "\"top_k\": 0",
                "top_k should lie between 1 and");
  expectChanged("\"top_k\": 2, ", "", "the attribute 'top_k' is missing");
  expectChanged("\"scale\": 2", "\"sum_offset\": \"1\"",
                "should be a number, but is");
  expectChanged("\"scale\": 2", "\"sum_min\": 1",
                "is for a sum_offset, which may be 0");
  expectChanged("\"normalize\": true", "\"sum_offset\": 1",
                "is for a score identity or sigmoid that is normalized");
  expectChanged("\"score\": \"sigmoid\"", "\"sum_offset\": 1",
                "is for a score identity or sigmoid that is normalized");
  expectChanged(
      "\"sigmoid\"", "\"tanh\"",
      "/nodes/0/attributes/score: node 'route' (gate.route): should be one of");
  expectChanged("\"normalize\": true", "\"normalize\": 1",
                "should be true or false");
  expectChanged("\"normalize\"", "\"normalise\"",
                "the key 'normalise' has no meaning here");
  expectChanged("[\"x\", \"plan\"]", "[\"x\"]", "should have 2 inputs, has 1");
  expectChanged(
      "[\"x\", \"plan\"]", "[\"x\", \"x\"]",
      "/nodes/1/inputs/1: node 'apply' (gate.apply): should be a plan");
  expectChanged("[\"x\", \"plan\"]", "[\"plan\", \"plan\"]",
                "should be a tensor");
  expectChanged("[\"x\", \"plan\"]", "[{\"value\": [[1]]}, \"plan\"]",
                "but the plan is one of B rows");
  expectChanged("\"w\": \"@w\"", "\"w\": \"@v\"",
                "/nodes/1/body/params/w: node 'apply' (gate.apply): a param's "
                "first dimension");
  expectChanged("\"w\": \"@w\"", "\"w\": \"x\"", "a param should be");
  expectChanged("\"w\": \"@w\"", "\"r\": \"@w\"",
                "'r' is no name, or one that is taken");
  expectChanged("\"MatMul\"", "\"gate.topk\"",
                "a body can hold no ops of gate");
  expectChanged("[\"r\", \"w\"]", "[\"x\", \"w\"]",
                "a body sees only its rows");
  expectChanged("\"result\": \"o\"", "\"result\": \"p\"",
                "the body makes no value 'p'");
  expectChanged("\"result\": \"o\"", "\"result\": \"w\"",
                "a row for each of the group's rows");
  expectChanged("[\"slots\", \"plan\"]", "[\"x\", \"plan\"]",
                "should be the slots that a gate.apply makes");
  expectChanged("\"outputs\": [\"y\"],", "\"outputs\": [\"plan\"],",
                "'plan' is a plan; outputs can only be tensors");
  expectChanged(
      "\"outputs\": [\"slots\"],",
      "\"outputs\": [\"slots\"], \"attributes\": {\"groups\": [0, 5]},",
      "is no range of the plan's 4 groups");
  expectChanged("\"name\": \"apply\"", "\"name\": \"route\"",
                "has the name of another node");
}

TEST_F(JsonBadInput, DamagedText) {
  writeSafetensors(
      R"({"w": {"dtype": "F32", "shape": [4, 4, 80], "data_offsets": [0, 5120]}})",
      std::string(5120, 0));
  std::string whole = document(experts(), R"("weights": "w.safetensors",)");
  for (size_t size = 0; size < whole.size(); size += 3)
    importBytes(whole.substr(0, size));
  std::mt19937 random(4);
  const std::string alphabet = "\"{}[],:0149-.eB@xyrwplan \n\\\x7f\xff";
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = whole;
    for (unsigned times = 1 + random() % 3; times--;)
      damaged[random() % damaged.size()] = alphabet[random() % alphabet.size()];
    importBytes(damaged);
  }
}

TEST_F(JsonBadInput, DamagedWeights) {
  std::string header =
      R"({"w": {"dtype": "F32", "shape": [4, 4, 80], "data_offsets": [0, 5120]}})";
  std::string file = rawBytes(std::vector<uint64_t>{header.size()}) + header +
                     std::string(5120, 0);
  std::string whole = document(experts(), R"("weights": "w.safetensors",)");
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    std::string damaged = file;
    damaged[random() % (header.size() + 8)] =
        "0149\"{}[],: F\xff"[random() % 14];
    write("w.safetensors", damaged);
    importBytes(whole);
  }
}

} // namespace
