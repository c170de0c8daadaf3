// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Small JSON networks and their weights.
#ifndef GATECC_TEST_UNIT_IMPORT_JSONWRITER_H
#define GATECC_TEST_UNIT_IMPORT_JSONWRITER_H

#include "ImportTest.h"
#include "gatecc/Import/Json.h"

class JsonImportTest : public ImportTest {
protected:
  JsonImportTest() : ImportTest(gatecc::importJson, "model.json") {}

  /// A network from x [B, 4] to y with these nodes.
  static std::string document(const std::string &nodes,
                              const std::string &more = "") {
    return R"({"gatecc": 1, "name": "test", )" + more + R"(
"inputs": [{"name": "x", "dtype": "f32", "shape": ["B", 4]}],
"outputs": ["y"],
"nodes": [)" +
           nodes + "]}";
  }
  void writeSafetensors(const std::string &header, const std::string &data) {
    write("w.safetensors",
          rawBytes(std::vector<uint64_t>{header.size()}) + header + data);
  }
  /// Four experts [4, 80] on x; needs the weight w.
  static std::string experts() {
    return R"({"op": "gate.route", "name": "route", "inputs": ["x"], "outputs": ["plan"],
 "attributes": {"top_k": 2, "score": "sigmoid", "normalize": true, "scale": 2}},
{"op": "gate.apply", "name": "apply", "inputs": ["x", "plan"], "outputs": ["slots"],
 "body": {"rows": "r", "params": {"w": "@w"},
          "nodes": [{"op": "MatMul", "inputs": ["r", "w"], "outputs": ["o"]}],
          "result": "o"}},
{"op": "gate.combine", "name": "sum", "inputs": ["slots", "plan"], "outputs": ["y"]})";
  }
};

#endif // GATECC_TEST_UNIT_IMPORT_JSONWRITER_H
