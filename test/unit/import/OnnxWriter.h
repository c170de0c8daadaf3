// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes small ONNX files, right and wrong ones, and imports them.
#ifndef GATECC_TEST_UNIT_IMPORT_ONNXWRITER_H
#define GATECC_TEST_UNIT_IMPORT_ONNXWRITER_H

#include "ImportTest.h"
#include "gatecc/Import/Onnx.h"

namespace onnxtest {

/// A protobuf message that is being written.
class Message {
public:
  Message &number(unsigned field, uint64_t value) {
    varint(field << 3);
    varint(value);
    return *this;
  }
  Message &bytes(unsigned field, const std::string &value) {
    varint(field << 3 | 2);
    varint(value.size());
    text += value;
    return *this;
  }
  Message &message(unsigned field, const Message &value) {
    return bytes(field, value.text);
  }
  Message &fixed32(unsigned field, float value) {
    varint(field << 3 | 5);
    text.append(reinterpret_cast<const char *>(&value), 4);
    return *this;
  }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      text += static_cast<char>(value | 0x80);
    text += static_cast<char>(value);
  }
  std::string text;
};

enum DataType { Float = 1, Int64 = 7, String = 8, Bool = 9, Float8 = 17 };

inline Message tensor(const std::string &name, std::vector<int64_t> dims,
                      int dataType, const std::string &raw) {
  Message m;
  for (int64_t dim : dims)
    m.number(1, dim);
  return m.number(2, dataType).bytes(8, name).bytes(9, raw);
}

inline Message externalTensor(const std::string &name,
                              std::vector<int64_t> dims,
                              const std::string &location,
                              const std::string &offset,
                              const std::string &length) {
  Message m;
  for (int64_t dim : dims)
    m.number(1, dim);
  m.number(2, Float).bytes(8, name).number(14, 1);
  auto entry = [&](const std::string &key, const std::string &value) {
    if (!value.empty())
      m.message(13, Message().bytes(1, key).bytes(2, value));
  };
  entry("location", location);
  entry("offset", offset);
  entry("length", length);
  return m;
}

/// A dimension is a number, a name, or "" for neither.
inline Message value(const std::string &name, std::vector<std::string> dims,
                     int dataType = Float) {
  Message shape;
  for (const std::string &dim : dims) {
    Message d;
    if (!dim.empty() && (isdigit(dim[0]) || dim[0] == '-'))
      d.number(1, std::stoll(dim));
    else if (!dim.empty())
      d.bytes(2, dim);
    shape.message(1, d);
  }
  Message type = Message().number(1, dataType).message(2, shape);
  return Message().bytes(1, name).message(2, Message().message(1, type));
}

inline Message node(const std::string &op, std::vector<std::string> inputs,
                    std::vector<std::string> outputs,
                    const std::string &name = "",
                    const std::string &domain = "",
                    std::vector<Message> attributes = {}) {
  Message m;
  for (const std::string &input : inputs)
    m.bytes(1, input);
  for (const std::string &output : outputs)
    m.bytes(2, output);
  m.bytes(3, name).bytes(4, op);
  if (!domain.empty())
    m.bytes(7, domain);
  for (const Message &attribute : attributes)
    m.message(5, attribute);
  return m;
}

inline Message intAttribute(const std::string &name, int64_t value) {
  return Message().bytes(1, name).number(3, value).number(20, 2);
}
inline Message floatAttribute(const std::string &name, float value) {
  return Message().bytes(1, name).fixed32(2, value).number(20, 1);
}
inline Message graphAttribute(const std::string &name, const Message &graph) {
  return Message().bytes(1, name).message(6, graph).number(20, 5);
}
inline Message referAttribute(const std::string &name,
                              const std::string &target, int kind) {
  return Message().bytes(1, name).bytes(21, target).number(20, kind);
}

struct Graph {
  std::vector<Message> nodes, initializers, inputs, outputs, values;

  Message write() const {
    Message m;
    for (const Message &part : nodes)
      m.message(1, part);
    m.bytes(2, "g");
    for (const Message &part : initializers)
      m.message(5, part);
    for (const Message &part : inputs)
      m.message(11, part);
    for (const Message &part : outputs)
      m.message(12, part);
    for (const Message &part : values)
      m.message(13, part);
    return m;
  }
};

inline Message opset(const std::string &domain, int64_t version) {
  return Message().bytes(1, domain).number(2, version);
}

inline std::string model(const Graph &graph,
                         std::vector<Message> opsets = {opset("", 21)},
                         std::vector<Message> functions = {}) {
  Message m =
      Message().number(1, 10).bytes(2, "test").message(7, graph.write());
  for (const Message &import : opsets)
    m.message(8, import);
  for (const Message &function : functions)
    m.message(25, function);
  return m.text;
}

class OnnxImportTest : public ImportTest {
protected:
  OnnxImportTest() : ImportTest(gatecc::importOnnx, "model.onnx") {}
};

} // namespace onnxtest

#endif // GATECC_TEST_UNIT_IMPORT_ONNXWRITER_H
