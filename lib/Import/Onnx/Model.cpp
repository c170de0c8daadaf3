// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads the messages of onnx.proto that gatecc needs; other fields are skipped.
#include "lib/Import/Onnx/Model.h"
#include "lib/Import/Onnx/Wire.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;
using namespace gatecc::proto;
using namespace gatecc;
using gatecc::wire::Field;
using gatecc::wire::Kind;

namespace {

/// Nested graphs and types; each level of a graph is three messages.
constexpr unsigned maxDepth = 160; // three for each body in a body
/// Messages, names and dimensions of one model, together.
constexpr uint64_t maxParts = 1 << 22;

class Parser {
public:
  explicit Parser(std::string &error) : error(error) {}

  bool parse(StringRef bytes, Model &model);

private:
  using Visit = function_ref<bool(const Field &)>;

  bool fail(const Twine &reason) {
    if (error.empty())
      error = reason.str();
    return false;
  }
  /// Visits every field of a message.
  bool fields(StringRef bytes, const char *message, Visit visit);
  /// Checks the wire type of a known field.
  bool expect(const Field &field, Kind kind);
  bool text(const Field &field, StringRef &out);
  bool number(const Field &field, int64_t &out);
  bool count() {
    return ++parts <= maxParts || fail("more than 4 million parts");
  }
  /// A new last element of a repeated message field.
  template <typename T>
  bool append(const Field &field, std::vector<T> &list,
              bool (Parser::*one)(StringRef, T &)) {
    if (!expect(field, Kind::Bytes) || !count())
      return false;
    list.emplace_back();
    return (this->*one)(field.bytes, list.back());
  }
  bool append(const Field &field, std::vector<StringRef> &list) {
    if (!expect(field, Kind::Bytes) || !count())
      return false;
    list.push_back(field.bytes);
    return true;
  }

  bool parse(StringRef bytes, Graph &graph);
  bool parse(StringRef bytes, Node &node);
  bool parse(StringRef bytes, Attribute &attribute);
  bool parse(StringRef bytes, Tensor &tensor);
  bool parse(StringRef bytes, ValueInfo &info);
  bool parse(StringRef bytes, Function &function);
  bool parse(StringRef bytes, OpsetImport &opset);
  bool parse(StringRef bytes, Dimension &dimension);
  bool parse(StringRef bytes, std::pair<StringRef, StringRef> &entry);
  bool parseType(StringRef bytes, ValueInfo &info);
  bool parseTensorType(StringRef bytes, ValueInfo &info);
  bool parseShape(StringRef bytes, ValueInfo &info);

  std::string &error;
  uint64_t parts = 0;
  unsigned depth = 0;
  const char *current = "";
};

} // namespace

bool Parser::fields(StringRef bytes, const char *message, Visit visit) {
  if (depth >= maxDepth)
    return fail("messages are nested more than 160 deep");
  ++depth;
  const char *outer = current;
  current = message;
  wire::Reader reader(bytes);
  Field field;
  while (reader.next(field))
    if (!visit(field))
      return false;
  if (reader.isMalformed())
    return fail(Twine("a ") + message + " is cut off or malformed");
  current = outer;
  --depth;
  return true;
}

bool Parser::expect(const Field &field, Kind kind) {
  return field.kind == kind ||
         fail(Twine("field ") + Twine(field.number) + " of a " + current +
              " has an unexpected form");
}

bool Parser::text(const Field &field, StringRef &out) {
  out = field.bytes;
  return expect(field, Kind::Bytes);
}

bool Parser::number(const Field &field, int64_t &out) {
  out = field.asInt();
  return expect(field, Kind::Varint);
}

bool Parser::parse(StringRef bytes, Model &model) {
  return fields(bytes, "ModelProto", [&](const Field &field) {
    switch (field.number) {
    case 1:
      return number(field, model.irVersion);
    case 7:
      if (!model.graph)
        model.graph.emplace();
      return expect(field, Kind::Bytes) && parse(field.bytes, *model.graph);
    case 8:
      return append<OpsetImport>(field, model.opsets, &Parser::parse);
    case 25:
      return append<Function>(field, model.functions, &Parser::parse);
    default:
      return true;
    }
  });
}

bool Parser::parse(StringRef bytes, Graph &graph) {
  return fields(bytes, "GraphProto", [&](const Field &field) {
    switch (field.number) {
    case 1:
      return append<Node>(field, graph.nodes, &Parser::parse);
    case 2:
      return text(field, graph.name);
    case 5:
      return append<Tensor>(field, graph.initializers, &Parser::parse);
    case 11:
      return append<ValueInfo>(field, graph.inputs, &Parser::parse);
    case 12:
      return append<ValueInfo>(field, graph.outputs, &Parser::parse);
    case 13:
      return append<ValueInfo>(field, graph.values, &Parser::parse);
    case 15:
      graph.hasSparseInitializer = true;
      return true;
    default:
      return true;
    }
  });
}

bool Parser::parse(StringRef bytes, Node &node) {
  return fields(bytes, "NodeProto", [&](const Field &field) {
    switch (field.number) {
    case 1:
      return append(field, node.inputs);
    case 2:
      return append(field, node.outputs);
    case 3:
      return text(field, node.name);
    case 4:
      return text(field, node.op);
    case 5:
      return append<Attribute>(field, node.attributes, &Parser::parse);
    case 7:
      return text(field, node.domain);
    case 8:
      return text(field, node.overload);
    default:
      return true;
    }
  });
}

bool Parser::parse(StringRef bytes, Attribute &attribute) {
  attribute.message = bytes;
  int64_t seen = 0; // for files of IR version 1, which give no type
  bool ok = fields(bytes, "AttributeProto", [&](const Field &field) {
    switch (field.number) {
    case 1:
      return text(field, attribute.name);
    case 2:
      seen = 1;
      attribute.f = field.asFloat();
      return expect(field, Kind::Fixed32);
    case 3:
      seen = 2;
      return number(field, attribute.i);
    case 4:
      seen = 3;
      return text(field, attribute.s);
    case 5:
      seen = 4;
      if (attribute.tensor.empty())
        return append<Tensor>(field, attribute.tensor, &Parser::parse);
      return fail("an attribute holds two tensors");
    case 6:
      seen = 5;
      if (attribute.graph.empty())
        return append<Graph>(field, attribute.graph, &Parser::parse);
      return fail("an attribute holds two graphs");
    case 7:
      seen = 6;
      return true;
    case 8:
      seen = 7;
      return true;
    case 9:
      seen = 8;
      return append(field, attribute.strings);
    case 20:
      return number(field, attribute.kind);
    case 21:
      return text(field, attribute.reference);
    default:
      return true;
    }
  });
  if (attribute.kind == 0)
    attribute.kind = seen;
  return ok;
}

bool Parser::parse(StringRef bytes, Tensor &tensor) {
  tensor.message = bytes;
  return fields(bytes, "TensorProto", [&](const Field &field) {
    switch (field.number) {
    case 1: {
      if (field.kind == Kind::Varint) {
        tensor.dims.push_back(field.asInt());
        return count();
      }
      StringRef packed = field.bytes;
      while (!packed.empty()) {
        uint64_t value;
        if (!wire::readVarint(packed, value))
          return fail("a TensorProto is cut off or malformed");
        tensor.dims.push_back(static_cast<int64_t>(value));
        if (!count())
          return false;
      }
      return expect(field, Kind::Bytes);
    }
    case 2:
      return number(field, tensor.dataType);
    case 3:
      tensor.isSegment = true;
      return true;
    case 8:
      return text(field, tensor.name);
    case 9:
      tensor.raw = field.bytes;
      return expect(field, Kind::Bytes);
    case 13:
      return append<std::pair<StringRef, StringRef>>(field, tensor.external,
                                                     &Parser::parse);
    case 14:
      tensor.isExternal = field.value == 1;
      return expect(field, Kind::Varint);
    default:
      return true;
    }
  });
}

bool Parser::parse(StringRef bytes, std::pair<StringRef, StringRef> &entry) {
  return fields(bytes, "StringStringEntryProto", [&](const Field &field) {
    if (field.number == 1)
      return text(field, entry.first);
    return field.number != 2 || text(field, entry.second);
  });
}

bool Parser::parse(StringRef bytes, OpsetImport &opset) {
  return fields(bytes, "OperatorSetIdProto", [&](const Field &field) {
    if (field.number == 1)
      return text(field, opset.domain);
    return field.number != 2 || number(field, opset.version);
  });
}

bool Parser::parse(StringRef bytes, Function &function) {
  return fields(bytes, "FunctionProto", [&](const Field &field) {
    switch (field.number) {
    case 1:
      return text(field, function.name);
    case 4:
      return append(field, function.inputs);
    case 5:
      return append(field, function.outputs);
    case 6:
      return append(field, function.attributes);
    case 7:
      return append<Node>(field, function.nodes, &Parser::parse);
    case 9:
      return append<OpsetImport>(field, function.opsets, &Parser::parse);
    case 10:
      return text(field, function.domain);
    case 11:
      return append<Attribute>(field, function.defaults, &Parser::parse);
    case 13:
      return text(field, function.overload);
    default:
      return true;
    }
  });
}

bool Parser::parse(StringRef bytes, ValueInfo &info) {
  return fields(bytes, "ValueInfoProto", [&](const Field &field) {
    if (field.number == 1)
      return text(field, info.name);
    return field.number != 2 ||
           (expect(field, Kind::Bytes) && parseType(field.bytes, info));
  });
}

bool Parser::parseType(StringRef bytes, ValueInfo &info) {
  return fields(bytes, "TypeProto", [&](const Field &field) {
    if (field.number == 1) {
      info.isTensor = true;
      return expect(field, Kind::Bytes) && parseTensorType(field.bytes, info);
    }
    // 4, 5, 7, 8, 9: sequence, map, opaque, sparse tensor, optional
    if (field.number != 6)
      info.isOther = true;
    return true;
  });
}

bool Parser::parseTensorType(StringRef bytes, ValueInfo &info) {
  return fields(bytes, "TypeProto.Tensor", [&](const Field &field) {
    if (field.number == 1)
      return number(field, info.elementType);
    if (field.number != 2)
      return true;
    if (!info.shape)
      info.shape.emplace();
    return expect(field, Kind::Bytes) && parseShape(field.bytes, info);
  });
}

bool Parser::parseShape(StringRef bytes, ValueInfo &info) {
  return fields(bytes, "TensorShapeProto", [&](const Field &field) {
    return field.number != 1 ||
           append<Dimension>(field, *info.shape, &Parser::parse);
  });
}

bool Parser::parse(StringRef bytes, Dimension &dimension) {
  return fields(bytes, "TensorShapeProto.Dimension", [&](const Field &field) {
    if (field.number == 1) {
      int64_t size;
      if (!number(field, size))
        return false;
      dimension.size = size;
    }
    return field.number != 2 || text(field, dimension.name);
  });
}

std::optional<Model> gatecc::proto::parseModel(StringRef file,
                                               std::string &error) {
  Model model;
  error.clear();
  if (!Parser(error).parse(file, model))
    return std::nullopt;
  return model;
}
