// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GraphBuilder: what importers build the gate level with. It knows the symbolic
// shape of every tensor, gives each size one SSA value, and emits the common
// forms: elementwise, reduce, reshape, slice, concat, contract, weight views.
#ifndef GATECC_IMPORT_GRAPHBUILDER_H
#define GATECC_IMPORT_GRAPHBUILDER_H

#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Import/Extent.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/StructuredOpsUtils.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"
#include <map>
#include <set>
#include <string>

namespace gatecc {

/// Builds a scalar from scalars: the body of an elementwise op or a reduction.
using ScalarBody = llvm::function_ref<mlir::Value(
    mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;

inline mlir::Type elementOf(mlir::Value value) {
  return mlir::getElementTypeOrSelf(value.getType());
}

class GraphBuilder {
public:
  /// Builds at `builder`'s insertion point, weights and sites into `module`.
  GraphBuilder(mlir::ModuleOp module, mlir::OpBuilder &builder);

  mlir::OpBuilder &getBuilder() { return builder; }
  mlir::MLIRContext *getContext() { return builder.getContext(); }
  mlir::ModuleOp getModule() { return module; }

  //===-- The node that is being built: names and places ops and errors
  //----===//

  void setNode(llvm::StringRef name, llvm::StringRef op, mlir::Location loc);
  llvm::StringRef getNodeName() const { return nodeName; }
  mlir::Location getLoc() const { return loc; }
  /// Reports "node 'name' (Op): <reason>" at the node's location.
  mlir::LogicalResult fail(const llvm::Twine &reason);

  //===-- Symbols and extents
  //------------------------------------------------===//

  /// The symbol of an input dimension; the same name gives the same symbol. The
  /// first call gives the symbol its value: dimension `dim` of `source`.
  Extent inputSymbol(llvm::StringRef name, mlir::Value source, unsigned dim);
  /// A new symbol for a size that is the SSA value `size` (of type index).
  /// `isInput` names may appear in gate.dims; `isSize` values are >= 0.
  Extent opaqueSymbol(llvm::StringRef name, mlir::Value size,
                      bool isInput = false, bool isSize = true);
  /// The one SSA value of an extent, made beside the values that it consists
  /// of.
  mlir::Value materialize(const Extent &extent);
  /// Is the extent certain to be >= 0?
  bool isKnownSize(const Extent &extent) const { return isSize(extent); }
  /// An attribute for a constant, else the SSA value.
  mlir::OpFoldResult fold(const Extent &extent);
  llvm::SmallVector<mlir::OpFoldResult> fold(llvm::ArrayRef<Extent> extents);
  /// "2*B*S", for messages and gate.dims.
  std::string text(const Extent &extent) const;
  std::string text(llvm::ArrayRef<Extent> extents) const;
  /// An i64 or string attribute for gate.dims; null if `extent` holds symbols
  /// other than those of input dimensions.
  mlir::Attribute dimAttribute(const Extent &extent);
  /// Sums and the like are no products: they get an opaque symbol, the same for
  /// the same operands. Constants fold; sizes are taken to be >= 0.
  Extent add(const Extent &a, const Extent &b);
  Extent subtract(const Extent &a, const Extent &b);
  Extent minimum(const Extent &a, const Extent &b);
  Extent maximum(const Extent &a, const Extent &b);
  /// Rounded up; `divisor` > 0.
  Extent ceilDivide(const Extent &a, int64_t divisor);
  /// Rounded down; `divisor` > 0.
  Extent floorDivide(const Extent &a, int64_t divisor);

  //===-- Sizes that only the run knows
  //----------------------------------===//

  /// The elements of a small integer tensor: those known now, else read from
  /// it during the run; none if there are many, or no one knows how many.
  std::optional<Extents> runTimeInts(mlir::Value value);
  /// Whether something other than the dimensions of inputs decides the extent.
  bool isDecidedInRun(const Extent &extent) const;
  /// Ends the run with "node 'name' (Op): <reason>" unless `condition` holds;
  /// {0} and {1} in the reason stand for two values.
  void check(mlir::Value condition, const llvm::Twine &reason,
             llvm::ArrayRef<Extent> values);
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, const Extent &a,
                      const Extent &b);
  /// Checks that a == b, a <= b, extent >= 0: now, or, where it is decided in
  /// the run, then.
  mlir::LogicalResult requireEqual(const Extent &a, const Extent &b,
                                   const llvm::Twine &reason);
  mlir::LogicalResult requireAtMost(const Extent &a, const Extent &b,
                                    const llvm::Twine &reason);
  mlir::LogicalResult requireSize(const Extent &extent,
                                  const llvm::Twine &reason);
  /// The extent, which is at most `upper`, for the planning of memory.
  Extent bounded(const Extent &extent, const Extent &upper);
  Extent choose(mlir::Value condition, const Extent &a, const Extent &b);
  /// An index that counts from the end where it is negative.
  Extent fromEither(const Extent &index, const Extent &size);
  /// a / b rounded to zero for b > 0; a where b is 0.
  Extent quotient(const Extent &a, const Extent &b);
  /// The extent in terms of what checks above this place have found equal to
  /// its symbols: [a+b, D] that passed as [2*T, D] is 2*T from there on.
  /// Symbols that were found to be a constant become it on request only: the
  /// types of tensors that have them do not say so.
  Extent canonical(Extent extent, bool withConstants = false) const;
  /// Tells that the parts, added up in order, are `total`.
  void knowSum(llvm::ArrayRef<Extent> parts, const Extent &total);

  //===-- Shapes and known values
  //---------------------------------------------===//

  /// Tells the shape of a value; its type must have the same static extents.
  void setShape(mlir::Value value, llvm::ArrayRef<Extent> shape);
  /// The shape of a tensor that was built here, registered, or has a static
  /// type.
  Extents shapeOf(mlir::Value value);
  unsigned rankOf(mlir::Value value) { return shapeOf(value).size(); }
  /// The tensor type of a shape.
  mlir::RankedTensorType typeOf(llvm::ArrayRef<Extent> shape,
                                mlir::Type element);
  /// The elements of a small integer or bool tensor of rank 0 or 1 that are
  /// known now: constants and what was computed from shapes.
  std::optional<Extents> knownInts(mlir::Value value);
  /// The same if all are plain numbers.
  std::optional<llvm::SmallVector<int64_t>> knownConstants(mlir::Value value);
  /// A tensor of known integers: rank 0 if `scalar` (one element), else rank 1.
  mlir::Value knownTensor(llvm::ArrayRef<Extent> values, mlir::Type element,
                          bool scalar);
  /// A rank 0 tensor of an extent as a number of any type.
  mlir::FailureOr<mlir::Value> countTensor(const Extent &count,
                                           mlir::Type element);

  //===-- Rows of an apply
  //----------------------------------------------------===//

  /// Registers a block argument [n, tail...] of an apply region; n is a symbol
  /// of its own, tensor.dim of the argument at the start of its block. If
  /// `sameRows` is given, the argument has as many rows as that one.
  void setRows(mlir::Value argument, llvm::ArrayRef<Extent> tail,
               mlir::Value sameRows = {});
  /// Registers a result [s, tail...] of an apply: s is a new symbol.
  void setSlots(mlir::Value result, llvm::ArrayRef<Extent> tail);
  /// Registers a block argument that holds one group's slice of stacked
  /// weights; contract() takes it as a weight.
  void setParam(mlir::Value argument);

  //===-- Constants and weights
  //-----------------------------------------------===//

  mlir::Value constant(mlir::TypedAttr value);       // tensor or scalar
  mlir::Value scalar(mlir::Type type, double value); // float or integer scalar
  /// A weight in a file; strides in bytes. The symbol is made unique from
  /// `name`.
  mlir::Value weight(llvm::StringRef name, mlir::RankedTensorType type,
                     llvm::StringRef file, int64_t offset,
                     llvm::ArrayRef<int64_t> strides);
  /// A tensor constant: arith.constant if small or a splat, else a gate.weight.
  mlir::Value denseConstant(llvm::StringRef name,
                            mlir::DenseElementsAttr value);
  /// Is it a constant, a weight or a param?
  bool isConstant(mlir::Value value);
  /// The attribute of an arith.constant or of a gate.weight that holds its
  /// value.
  mlir::DenseElementsAttr constantValue(mlir::Value value);
  /// The constant as a weight_value of a gate.weight; null if it is none.
  mlir::Value asWeight(mlir::Value value);
  /// One constant [parts, ...] of equal types, whose parts stay where they are;
  /// null if a part is no constant or their layouts differ.
  mlir::Value stackConstants(llvm::ArrayRef<mlir::Value> parts);
  /// Views of a constant without a copy (steps may be any, 0 and negative only
  /// for those that are not in a file); null where `value` is no constant.
  mlir::Value sliceConstant(mlir::Value value, llvm::ArrayRef<int64_t> offsets,
                            llvm::ArrayRef<int64_t> sizes,
                            llvm::ArrayRef<int64_t> steps);
  mlir::Value transposeConstant(mlir::Value value,
                                llvm::ArrayRef<int64_t> permutation);
  /// Null also where the new shape has no strides on the same bytes.
  mlir::Value reshapeConstant(mlir::Value value, llvm::ArrayRef<int64_t> shape);

  //===-- Sites
  //----------------------------------------------------------------===//

  /// A gate.site named after the current node (`#n` where the name repeats).
  mlir::FlatSymbolRefAttr site(llvm::StringRef kind,
                               llvm::ArrayRef<double> cost, double fullCost);

  //===-- Tensor operations
  //-----------------------------------------------------===//

  /// tensor.empty of a shape.
  mlir::Value empty(llvm::ArrayRef<Extent> shape, mlir::Type element);
  /// tensor.empty filled with a scalar.
  mlir::Value filled(llvm::ArrayRef<Extent> shape, mlir::Value value);
  /// The shape of an ONNX broadcast of shapes.
  mlir::FailureOr<Extents> broadcast(llvm::ArrayRef<Extents> shapes);
  /// One linalg.generic; inputs broadcast as in ONNX. Splat constants become
  /// scalars in the body. `atLeast` is broadcast into the result's shape too.
  mlir::FailureOr<mlir::Value> elementwise(mlir::ValueRange inputs,
                                           mlir::Type element, ScalarBody body,
                                           llvm::ArrayRef<Extent> atLeast = {});
  /// The same with f16 and bf16 operands widened to f32 for `body` and its
  /// float result rounded to `element`.
  mlir::FailureOr<mlir::Value>
  elementwiseWide(mlir::ValueRange inputs, mlir::Type element, ScalarBody body);
  /// Folds `input` along `axes` (sorted, in range), element after element in
  /// order, into a result that starts as `init`. `body` takes the element
  /// and the accumulator, whose type is that of `init`.
  mlir::Value reduce(mlir::Value input, llvm::ArrayRef<int64_t> axes,
                     bool keepDims, mlir::Value init, ScalarBody body);
  mlir::FailureOr<mlir::Value> reshape(mlir::Value input,
                                       llvm::ArrayRef<Extent> shape);
  mlir::Value transpose(mlir::Value input, llvm::ArrayRef<int64_t> permutation);
  /// Steps are positive and everything is in range.
  mlir::Value slice(mlir::Value input, llvm::ArrayRef<Extent> offsets,
                    llvm::ArrayRef<Extent> sizes,
                    llvm::ArrayRef<int64_t> steps);
  mlir::FailureOr<mlir::Value> concat(mlir::ValueRange inputs, int64_t axis);
  /// Converts elements as ONNX Cast does; float to integer saturates, NaN gives
  /// 0.
  mlir::FailureOr<mlir::Value> cast(mlir::Value input, mlir::Type element);
  /// rows [..., K] times a constant [K, N]: one gate.contract on [rows, K]. A
  /// product is rounded to the type of the rows, or to `element`. The constant
  /// may be f16 or bf16 where the rows are f32.
  mlir::FailureOr<mlir::Value> contract(mlir::Value rows, mlir::Value weight,
                                        mlir::Type element = {});
  /// ONNX MatMul of any two tensors, with types as those of contract.
  mlir::FailureOr<mlir::Value> matmul(mlir::Value a, mlir::Value b,
                                      mlir::Type element = {});
  /// A linalg.generic with maps and iterators of the caller's; `body` returns
  /// what it yields. The results have the shapes of the inits.
  llvm::SmallVector<mlir::Value>
  generic(mlir::ValueRange inputs, mlir::ValueRange inits,
          llvm::ArrayRef<mlir::AffineMap> maps,
          llvm::ArrayRef<mlir::utils::IteratorType> iterators,
          llvm::function_ref<llvm::SmallVector<mlir::Value>(
              mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>
              body);

  /// Erases what was built and is not used, from the end of `block` to its
  /// start.
  static void eraseUnused(mlir::Block &block);
  /// Erases the weights and sites that nothing refers to.
  static void eraseUnusedSymbols(mlir::ModuleOp module);

private:
  static constexpr int64_t maxKnownElements = 64;
  struct Symbol {
    std::string name;
    mlir::Value value;
    bool isInput, isSize;
  };
  /// A constant as a strided array: a weight in a file (strides in bytes), or
  /// the elements of an attribute (strides in elements).
  struct View {
    gate::WeightOp weight; // the file's weight, or null
    mlir::DenseElementsAttr value;
    mlir::Type element;
    llvm::SmallVector<int64_t> shape, strides;
    int64_t offset = 0;
  };
  std::optional<View> viewOf(mlir::Value value);
  mlir::Value makeView(View view);
  gate::WeightOp createWeight(llvm::StringRef name,
                              mlir::RankedTensorType type);
  mlir::Value weightValue(gate::WeightOp weight);
  Extent derived(char kind, const Extent &a, const Extent &b,
                 llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Value,
                                                mlir::Value)>
                     build);
  bool isSize(const Extent &extent) const;
  bool isChecked(char kind, const Extent &a, const Extent &b);
  void knowEqual(const Extent &a, const Extent &b);
  mlir::FailureOr<mlir::Value> reshapeInRun(mlir::Value input,
                                            llvm::ArrayRef<Extent> shape);
  void insertAfter(llvm::ArrayRef<mlir::Value> values);
  /// The same, but not above the block that is being built.
  void insertInBlockAfter(llvm::ArrayRef<mlir::Value> values);
  mlir::Block *entryBlock();

  mlir::ModuleOp module;
  mlir::OpBuilder &builder;
  mlir::SymbolTable symbolTable;
  mlir::Location loc;
  std::string nodeName, nodeOp;
  llvm::SmallVector<Symbol> symbols;
  std::map<std::string, Extent> inputs;
  std::map<Extent, mlir::Value> materialized;
  std::map<std::tuple<char, Extent, Extent>, Extent> derivedSymbols;
  std::set<std::tuple<mlir::Block *, char, Extent, Extent>> checked;
  /// What a symbol is equal to below a check in that block.
  llvm::DenseMap<unsigned, llvm::SmallVector<std::pair<mlir::Block *, Extent>>>
      equals;
  llvm::DenseMap<mlir::Value, Extents> shapes;
  llvm::DenseMap<mlir::Value, Extents> known;
  llvm::DenseSet<mlir::Value> params;
  llvm::DenseMap<mlir::Attribute, gate::WeightOp> weights; // by file and layout
  llvm::StringMap<unsigned> siteNames;
};

} // namespace gatecc

#endif // GATECC_IMPORT_GRAPHBUILDER_H
