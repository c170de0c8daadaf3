// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The translation of a JSON network into the gate level.
#ifndef GATECC_LIB_IMPORT_JSON_JSONIMPORTER_H
#define GATECC_LIB_IMPORT_JSON_JSONIMPORTER_H

#include "gatecc/Import/GraphBuilder.h"
#include "gatecc/Import/Operators.h"
#include "lib/Import/Json/JsonText.h"
#include "lib/Import/Json/Safetensors.h"
#include "lib/Import/Source/SourceFile.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringSet.h"

namespace gatecc {

class JsonImporter {
public:
  JsonImporter(mlir::MLIRContext *context, llvm::StringRef path,
               llvm::StringRef text, const JsonValue &root);
  mlir::OwningOpRef<mlir::ModuleOp> run();

private:
  /// The names that nodes see; those of an apply's body see no others.
  using Scope = llvm::StringMap<mlir::Value>;
  using Values = llvm::SmallVector<mlir::Value>;

  /// What a plan was made from.
  struct Plan {
    Extent rows;
    int64_t groups, choices;
  };

  /// One node of the document.
  struct Node {
    const JsonValue *json;
    llvm::StringRef op, name;
    mlir::Location loc;
    const JsonValue *inputs, *outputs, *attributes; // attributes may be null
  };

  //===-- Errors and the shape of the document
  //------------------------------===//

  mlir::Location locOf(const JsonValue &value);
  unsigned lineOf(size_t offset);
  mlir::LogicalResult fail(const JsonValue &value, const llvm::Twine &reason);
  mlir::LogicalResult fail(const Node &node, const JsonValue &value,
                           const llvm::Twine &reason);
  /// Checks that `object` is one and has no keys but these.
  mlir::LogicalResult checkKeys(const JsonValue &object,
                                llvm::ArrayRef<llvm::StringRef> keys);
  /// The member of a kind; an error if it is missing or of another kind.
  const JsonValue *require(const JsonValue &object, const char *key,
                           JsonValue::Kind kind);
  mlir::FailureOr<mlir::Type> readType(const JsonValue &value);
  mlir::FailureOr<Node> readNode(const JsonValue &json, bool needsName);
  mlir::LogicalResult checkOperators(const JsonValue &nodes,
                                     std::vector<std::string> &unsupported);
  /// Runs `build` and puts the JSON pointer of `value` before its errors.
  mlir::LogicalResult located(const JsonValue &value,
                              llvm::function_ref<mlir::LogicalResult()> build);

  //===-- The document
  //---------------------------------------------------------===//

  mlir::LogicalResult importInputs(const JsonValue &inputs);
  mlir::LogicalResult importOutputs(const JsonValue &outputs);
  mlir::LogicalResult openWeights();
  /// Notes which gate.apply nodes work on which plan.
  void indexApplies(const JsonValue &nodes);
  mlir::LogicalResult importNodes(const JsonValue &nodes, Scope &scope,
                                  bool inBody);
  mlir::LogicalResult importOperator(const Node &node, Scope &scope);
  mlir::LogicalResult define(const Node &node, unsigned output,
                             mlir::Value value, Scope &scope);

  //===-- Operands, constants, attributes
  //--------------------------------------===//

  /// The value of an operand; null where an optional one is absent.
  mlir::FailureOr<mlir::Value> readOperand(const JsonValue &operand,
                                           Scope &scope);
  mlir::FailureOr<mlir::Value> readWeight(const JsonValue &operand);
  mlir::FailureOr<mlir::Value> readConstant(const JsonValue &operand);
  mlir::LogicalResult
  readElements(const JsonValue &value, mlir::Type element, unsigned depth,
               llvm::ArrayRef<int64_t> shape,
               llvm::SmallVectorImpl<mlir::Attribute> &elements);
  mlir::FailureOr<mlir::DictionaryAttr> readAttributes(const Node &node);

  //===-- Ops of gate
  //------------------------------------------------------------===//

  mlir::LogicalResult importTopK(const Node &node, Scope &scope);
  mlir::LogicalResult importRoute(const Node &node, Scope &scope);
  mlir::LogicalResult importPartition(const Node &node, Scope &scope);
  mlir::LogicalResult importApply(const Node &node, Scope &scope);
  mlir::LogicalResult importCombine(const Node &node, Scope &scope);
  mlir::LogicalResult importMerge(const Node &node, Scope &scope);
  mlir::LogicalResult checkCounts(const Node &node, size_t inputs,
                                  size_t outputs,
                                  llvm::ArrayRef<llvm::StringRef> attributes);
  mlir::FailureOr<mlir::Value> tensorOperand(const Node &node, unsigned index,
                                             Scope &scope);
  mlir::FailureOr<mlir::Value> planOperand(const Node &node, unsigned index,
                                           Scope &scope);
  mlir::FailureOr<int64_t> integerAttribute(const Node &node, const char *name,
                                            std::optional<int64_t> absent);
  /// As f32; null if absent.
  mlir::FailureOr<mlir::FloatAttr> floatAttribute(const Node &node,
                                                  const char *name);
  mlir::FailureOr<bool> boolAttribute(const Node &node, const char *name,
                                      bool absent);
  mlir::FailureOr<std::pair<int64_t, int64_t>>
  rangeAttribute(const Node &node, int64_t groups,
                 std::pair<int64_t, int64_t> absent);
  /// The site of a decision whose plan is its first output: groups that no
  /// apply works on cost nothing.
  mlir::FlatSymbolRefAttr importSite(const Node &node, llvm::StringRef kind,
                                     int64_t groups);
  mlir::LogicalResult definePlan(const Node &node, mlir::Value plan,
                                 const Extent &rows, Scope &scope);

  mlir::MLIRContext *context;
  llvm::StringRef path, text;
  const JsonValue &root;
  mlir::Location fileLoc;
  mlir::OpBuilder builder;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::optional<GraphBuilder> graph;
  mlir::Block *entry = nullptr;
  DataFiles dataFiles;
  std::string weightsPath;
  std::optional<Safetensors> weights;
  Scope values;
  llvm::DenseMap<mlir::Value, Plan> plans;
  llvm::StringSet<> nodeNames;
  std::vector<size_t> lineStarts;
  llvm::StringMap<llvm::SmallVector<const JsonValue *, 1>> applies; // by plan
};

/// The type of a dtype of the JSON form, or of safetensors if so; null if none.
mlir::Type jsonType(mlir::MLIRContext *context, llvm::StringRef dtype);
mlir::Type safetensorsType(mlir::MLIRContext *context, llvm::StringRef dtype);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_JSON_JSONIMPORTER_H
