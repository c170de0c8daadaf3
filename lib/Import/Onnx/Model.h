// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An ONNX model as views into its file. Numbers of tensors and of attribute
// lists are not decoded here: they are read from `message` when they are
// needed.
#ifndef GATECC_LIB_IMPORT_ONNX_MODEL_H
#define GATECC_LIB_IMPORT_ONNX_MODEL_H

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gatecc::proto {

struct Tensor {
  llvm::StringRef message; // the whole TensorProto, for its typed data
  llvm::StringRef name;
  llvm::SmallVector<int64_t, 4> dims;
  int64_t dataType = 0;
  std::optional<llvm::StringRef> raw;
  bool isExternal = false, isSegment = false;
  std::vector<std::pair<llvm::StringRef, llvm::StringRef>> external;
};

/// Field numbers of a TensorProto's typed data.
enum TensorField : uint32_t {
  FloatData = 4,
  Int32Data = 5,
  Int64Data = 7,
  DoubleData = 10,
  Uint64Data = 11
};

/// One dimension of a declared shape: a size, a name, or neither.
struct Dimension {
  std::optional<int64_t> size;
  llvm::StringRef name;
};

struct ValueInfo {
  llvm::StringRef name;
  bool isTensor = false, isOther = false; // a tensor, or a type of another kind
  int64_t elementType = 0;
  std::optional<std::vector<Dimension>> shape;
};

struct Graph;

enum class AttributeKind : int64_t {
  Undefined = 0,
  Float = 1,
  Int = 2,
  String = 3,
  Tensor = 4,
  Graph = 5,
  Floats = 6,
  Ints = 7,
  Strings = 8
  // 9 to 14: lists of tensors and graphs, sparse tensors, types
};

struct Attribute {
  llvm::StringRef message; // the whole AttributeProto, for `floats` and `ints`
  llvm::StringRef name;
  llvm::StringRef
      reference;    // the attribute of the enclosing function, or empty
  int64_t kind = 0; // an AttributeKind
  float f = 0;
  int64_t i = 0;
  llvm::StringRef s;
  std::vector<llvm::StringRef> strings;
  std::vector<Tensor> tensor; // at most one
  std::vector<Graph> graph;   // at most one
};

/// Field numbers of an AttributeProto's lists.
enum AttributeField : uint32_t { Floats = 7, Ints = 8 };

struct Node {
  llvm::StringRef name, op, domain, overload;
  std::vector<llvm::StringRef> inputs, outputs;
  std::vector<Attribute> attributes;
};

struct Graph {
  llvm::StringRef name;
  std::vector<Node> nodes;
  std::vector<Tensor> initializers;
  std::vector<ValueInfo> inputs, outputs, values;
  bool hasSparseInitializer = false;
};

struct OpsetImport {
  llvm::StringRef domain;
  int64_t version = 0;
};

struct Function {
  llvm::StringRef name, domain, overload;
  std::vector<llvm::StringRef> inputs, outputs, attributes;
  std::vector<Attribute> defaults;
  std::vector<Node> nodes;
  std::vector<OpsetImport> opsets;
};

struct Model {
  int64_t irVersion = 0;
  std::vector<OpsetImport> opsets;
  std::optional<Graph> graph;
  std::vector<Function> functions;
};

/// Reads a model. On failure `error` says what is malformed.
std::optional<Model> parseModel(llvm::StringRef file, std::string &error);

} // namespace gatecc::proto

#endif // GATECC_LIB_IMPORT_ONNX_MODEL_H
