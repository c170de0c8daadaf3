// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The translation of a parsed ONNX model into the import level.
#ifndef GATECC_LIB_IMPORT_ONNX_IMPORTER_H
#define GATECC_LIB_IMPORT_ONNX_IMPORTER_H

#include "dialects/Onnx/IR/OnnxOps.h"
#include "lib/Import/Onnx/Model.h"
#include "lib/Import/Onnx/TensorData.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace gatecc {

/// The standard operators have two spellings of their domain.
inline llvm::StringRef canonicalDomain(llvm::StringRef domain) {
  return domain == "ai.onnx" ? llvm::StringRef() : domain;
}

class OnnxImporter {
public:
  OnnxImporter(mlir::MLIRContext *context, llvm::StringRef path,
               llvm::StringRef bytes, const proto::Model &model);
  mlir::OwningOpRef<mlir::ModuleOp> run();

private:
  struct Frame;
  /// The names that nodes of one graph or function see. A null value is an
  /// optional input of a function that its caller leaves out.
  struct Scope {
    Scope *parent = nullptr;
    llvm::StringMap<mlir::Value> values;
    llvm::StringMap<mlir::Type> types; // declared by the graph
  };
  /// An attribute and the place that its body's names refer to.
  struct BoundAttribute {
    const proto::Attribute *attribute;
    Scope *scope;
    Frame *frame;
    llvm::StringRef name; // that the node gives it
  };
  using BoundAttributes = llvm::SmallVector<BoundAttribute>;
  /// The model itself, or one call of a function.
  struct Frame {
    Frame *caller = nullptr;
    const proto::Function *function = nullptr;
    std::string prefix; // of node names
    llvm::StringMap<int64_t> opsets;
    llvm::StringMap<BoundAttribute> attributes;
  };

  mlir::LogicalResult fail(const llvm::Twine &reason);
  mlir::LogicalResult fail(const proto::Node &node, const llvm::Twine &reason);
  /// Counts work that calls of functions repeat; fails when it is too much.
  mlir::LogicalResult spend(const proto::Node &node, uint64_t work);
  mlir::Location nodeLoc(llvm::StringRef name, unsigned index);
  std::string nodeName(const proto::Node &node, const Frame &frame);

  mlir::LogicalResult readOpsets(llvm::ArrayRef<proto::OpsetImport> imports,
                                 const Frame *outer, const llvm::Twine &owner,
                                 llvm::StringMap<int64_t> &opsets);
  mlir::LogicalResult indexFunctions();
  /// The model's function that a node calls, or null.
  const proto::Function *findFunction(const proto::Node &node) const;
  mlir::LogicalResult importMain(mlir::func::FuncOp &function);
  mlir::LogicalResult
  importInput(const proto::ValueInfo &info, mlir::Block *block, Scope &scope,
              llvm::SmallVectorImpl<mlir::Attribute> &attrs);
  mlir::Attribute outputAttributes(const proto::ValueInfo &info);
  mlir::Attribute dimAttribute(const proto::Dimension &dimension,
                               llvm::StringRef unnamed);
  mlir::FailureOr<mlir::Type> declaredType(const proto::ValueInfo &info);

  mlir::LogicalResult importInitializers(const proto::Graph &graph,
                                         Scope &scope);
  mlir::FailureOr<llvm::SmallVector<mlir::Value>>
  importGraph(const proto::Graph &graph, Scope &scope, Frame &frame);
  mlir::LogicalResult importNodes(llvm::ArrayRef<proto::Node> nodes,
                                  Scope &scope, Frame &frame);
  mlir::LogicalResult importNode(const proto::Node &node, unsigned index,
                                 Scope &scope, Frame &frame);
  mlir::LogicalResult importCall(const proto::Node &node,
                                 const proto::Function &function,
                                 llvm::ArrayRef<mlir::Value> inputs,
                                 const BoundAttributes &attributes,
                                 Frame &frame, Scope &scope);
  mlir::LogicalResult importBody(const proto::Node &node,
                                 const BoundAttribute &body,
                                 mlir::Region &region);
  mlir::FailureOr<bool> importConstant(const proto::Node &node,
                                       const BoundAttributes &attributes,
                                       mlir::Location loc, Scope &scope);
  mlir::LogicalResult bindAttributes(const proto::Node &node, Scope &scope,
                                     Frame &frame, BoundAttributes &attributes);
  mlir::FailureOr<mlir::Attribute>
  importAttribute(const proto::Node &node, const proto::Attribute &attribute);
  mlir::Value importTensor(const TensorContent &content, llvm::StringRef name,
                           mlir::Location loc);
  mlir::FlatSymbolRefAttr importWeight(const TensorContent &content,
                                       llvm::StringRef name,
                                       mlir::Location loc);
  mlir::FailureOr<int64_t> versionOf(const proto::Node &node,
                                     llvm::StringRef domain,
                                     const Frame &frame);

  /// The value of that name in the innermost scope that has it.
  std::optional<mlir::Value> lookup(llvm::StringRef name, const Scope &scope);
  /// The type of a value that a node makes.
  mlir::Type resultType(llvm::StringRef name, const Scope &scope);

  mlir::MLIRContext *context;
  llvm::StringRef path, bytes;
  const proto::Model &model;
  mlir::Location fileLoc;
  mlir::OpBuilder builder;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::optional<mlir::SymbolTable> symbols;
  mlir::Operation *main = nullptr;
  TensorReader tensors;
  llvm::StringMap<const proto::Function *> functions;
  llvm::StringSet<> warnedDomains;
  llvm::StringMap<std::string> dimNames;
  llvm::StringSet<> usedDimNames;
  llvm::StringMap<unsigned> dimSuffixes; // the last one tried, for a name
  uint64_t numInlined = 0, callWork = 0;
  unsigned depth = 0;
};

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_ONNX_IMPORTER_H
