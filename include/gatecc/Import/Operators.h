// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// ONNX operators as gate-level IR: the call of an operator and the table of
// those that gatecc supports.
#ifndef GATECC_IMPORT_OPERATORS_H
#define GATECC_IMPORT_OPERATORS_H

#include "gatecc/Import/GraphBuilder.h"
#include <limits>

namespace gatecc {

/// The graphs that a node has as attributes: what If, Loop and Scan run.
class OperatorBodies {
public:
  virtual ~OperatorBodies() = default;
  /// The body of that name; null if the node has none.
  virtual mlir::Region *find(llvm::StringRef name) = 0;
  /// Builds the body's nodes where the graph's builder stands, with `arguments`
  /// as the body's inputs, and returns its outputs.
  virtual mlir::FailureOr<llvm::SmallVector<mlir::Value>>
  build(mlir::Region &body, mlir::ValueRange arguments) = 0;
  /// Whether anything reads an output of the node.
  virtual bool isUsed(unsigned result) = 0;
};

/// One node of an ONNX graph. Attribute values: i64 IntegerAttr, f32 FloatAttr,
/// StringAttr, ArrayAttr or DenseArrayAttr of them, DenseElementsAttr.
struct OperatorCall {
  llvm::StringRef op, domain; // domain "" or "ai.onnx" is the standard one
  int64_t version;            // opset version of the domain in the model
  llvm::ArrayRef<mlir::Value> operands; // null where an optional one is absent
  mlir::DictionaryAttr attributes;
  mlir::Location loc;
  unsigned numResults;
  llvm::StringRef nodeName;
  OperatorBodies *bodies = nullptr;

  mlir::Value operand(unsigned index) const {
    return index < operands.size() ? operands[index] : mlir::Value();
  }
  bool has(llvm::StringRef name) const {
    return attributes && attributes.get(name);
  }
  int64_t integer(llvm::StringRef name, int64_t absent) const;
  double number(llvm::StringRef name, double absent) const;
  llvm::StringRef string(llvm::StringRef name, llvm::StringRef absent) const;
  std::optional<llvm::SmallVector<int64_t>>
  integers(llvm::StringRef name) const;
};

using OperatorResults = mlir::FailureOr<llvm::SmallVector<mlir::Value>>;
using OperatorFunction = OperatorResults (*)(GraphBuilder &,
                                             const OperatorCall &);

/// A row of the table of operators.
struct Operator {
  llvm::StringLiteral name, domain;
  int64_t minVersion, maxVersion;
  OperatorFunction function;
  unsigned minOperands, maxOperands;
  llvm::StringLiteral note; // limits, in one line; may be empty
};
inline constexpr int64_t anyVersion = std::numeric_limits<int64_t>::max();

/// The whole table, sorted by domain and name.
llvm::ArrayRef<Operator> listOperators();
/// The row for an operator at an opset version, or null.
const Operator *findOperator(llvm::StringRef op, llvm::StringRef domain,
                             int64_t version);
/// Builds one node. A null result stands for an optional output that gatecc
/// does not make; errors are reported with node name, operator and reason.
OperatorResults lowerOperator(GraphBuilder &builder, const OperatorCall &call);

} // namespace gatecc

#endif // GATECC_IMPORT_OPERATORS_H
