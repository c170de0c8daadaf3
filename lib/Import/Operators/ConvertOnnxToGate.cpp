// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// convert-onnx-to-gate: walks the graph of the import level in order and lowers
// each node through the table of operators.
#include "dialects/Onnx/IR/OnnxOps.h"
#include "gatecc/Import/Operators.h"
#include "gatecc/Import/Passes.h"

#include "llvm/ADT/ScopeExit.h"

using namespace mlir;

namespace gatecc {
#define GEN_PASS_DEF_CONVERTONNXTOGATE
#include "gatecc/Import/Passes.h.inc"
} // namespace gatecc

using namespace gatecc;

/// At most so many nodes are named in one error.
static constexpr unsigned maxListed = 100;

namespace {
class Conversion {
  /// The bodies of one node.
  struct Bodies : OperatorBodies {
    Bodies(Conversion &conversion, onnx::NodeOp node)
        : conversion(conversion), node(node) {}
    Region *find(StringRef name) override { return node.getBody(name); }
    FailureOr<SmallVector<Value>> build(Region &body,
                                        ValueRange arguments) override {
      return conversion.convertBody(node, body, arguments);
    }
    bool isUsed(unsigned result) override {
      return !node.getResult(result).use_empty();
    }
    Conversion &conversion;
    onnx::NodeOp node;
  };

public:
  Conversion(func::FuncOp source)
      : source(source), module(source->getParentOfType<ModuleOp>()),
        builder(source.getContext()), graph(module, builder) {}

  LogicalResult run();

private:
  void findNeeded();
  LogicalResult checkOperators();
  LogicalResult convertArguments();
  LogicalResult convertNodes(Block &block);
  LogicalResult convertNode(onnx::NodeOp node);
  FailureOr<SmallVector<Value>> convertBody(onnx::NodeOp node, Region &body,
                                            ValueRange arguments);
  LogicalResult checkDeclared(Type declared, Value value, const Twine &what);
  LogicalResult convertReturn(Operation *terminator);

  func::FuncOp source, target;
  ModuleOp module;
  OpBuilder builder;
  GraphBuilder graph;
  DenseSet<Operation *> needed;
  DenseMap<Value, Value> values;
};
} // namespace

/// The operations that the function's results depend on, and those of the
/// bodies of such operations.
void Conversion::findNeeded() {
  SmallVector<Operation *> work{source.front().getTerminator()};
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp())
        if (needed.insert(producer).second)
          work.push_back(producer);
    if (auto node = dyn_cast<onnx::NodeOp>(op))
      for (Region &body : node.getBodies())
        work.push_back(body.front().getTerminator());
  }
}

LogicalResult Conversion::checkOperators() {
  SmallVector<onnx::NodeOp> unsupported;
  source.walk<WalkOrder::PreOrder>([&](onnx::NodeOp node) {
    if (needed.contains(node) &&
        !findOperator(node.getOpType(), node.getDomain(), node.getVersion()))
      unsupported.push_back(node);
  });
  if (unsupported.empty())
    return success();
  std::string list;
  for (auto [index, node] : llvm::enumerate(unsupported)) {
    if (index == maxListed) {
      list +=
          "\n  and " + std::to_string(unsupported.size() - maxListed) + " more";
      break;
    }
    list += ("\n  node '" + node.getNodeName() + "': " + node.getOpType() +
             ", domain '" + node.getDomain() + "', opset " +
             Twine(node.getVersion()))
                .str();
  }
  return emitError(unsupported.front().getLoc())
         << unsupported.size()
         << (unsupported.size() == 1 ? " node needs" : " nodes need")
         << " operators that gatecc does not support (gatecc --list-ops lists "
            "those that it "
            "does):"
         << list;
}

LogicalResult Conversion::convertArguments() {
  Block *block = target.addEntryBlock();
  builder.setInsertionPointToEnd(block);
  for (auto [index, argument] : llvm::enumerate(block->getArguments())) {
    auto type = cast<RankedTensorType>(argument.getType());
    auto dims = source.getArgAttrOfType<ArrayAttr>(index, "gate.dims");
    Extents shape;
    for (int64_t dim = 0; dim < type.getRank(); ++dim) {
      auto symbol = dims ? dyn_cast<StringAttr>(dims[dim]) : StringAttr();
      shape.push_back(symbol
                          ? graph.inputSymbol(symbol.getValue(), argument, dim)
                          : Extent(type.getDimSize(dim)));
    }
    graph.setShape(argument, shape);
    values[source.getArgument(index)] = argument;
  }
  return success();
}

/// Compares what the file declares with what was inferred.
LogicalResult Conversion::checkDeclared(Type declared, Value value,
                                        const Twine &what) {
  auto want = dyn_cast<TensorType>(declared);
  auto have = dyn_cast<RankedTensorType>(value.getType());
  if (!want || !have)
    return success();
  bool same = want.getElementType() == have.getElementType();
  if (auto ranked = dyn_cast<RankedTensorType>(want))
    same &= succeeded(verifyCompatibleShape(ranked, have));
  if (same)
    return success();
  return emitError(graph.getLoc()) << what << " is declared as " << declared
                                   << ", but the graph computes " << have;
}

LogicalResult Conversion::convertNode(onnx::NodeOp node) {
  SmallVector<Value> operands;
  for (unsigned position = 0; position < node.getNumPositions(); ++position) {
    Value operand = node.getInputAt(position);
    operands.push_back(operand ? values.lookup(operand) : Value());
    if (operand && !operands.back())
      return node.emitError("node '")
             << node.getNodeName() << "' (" << node.getOpType() << "): input "
             << position << " is an output that gatecc does not make";
  }
  Bodies bodies(*this, node);
  // Outputs that nothing reads need not be made.
  unsigned used = node.getNumResults();
  while (used > 0 && node.getResult(used - 1).use_empty())
    --used;
  OperatorCall call{node.getOpType(),
                    node.getDomain(),
                    int64_t(node.getVersion()),
                    operands,
                    node.getAttrs(),
                    node.getLoc(),
                    used,
                    node.getNodeName(),
                    &bodies};
  // Split, and what has bodies, makes as many outputs as the node lists.
  if (node.getOpType() == "Split" || !node.getBodies().empty())
    call.numResults = node.getNumResults();
  OperatorResults results = lowerOperator(graph, call);
  if (failed(results))
    return failure();
  for (auto [result, value] : llvm::zip(node.getResults(), *results)) {
    values[result] = value;
    if (value &&
        failed(checkDeclared(result.getType(), value,
                             "an output of node '" + node.getNodeName() +
                                 "' (" + node.getOpType() + ")")))
      return failure();
  }
  return success();
}

LogicalResult Conversion::convertNodes(Block &block) {
  for (Operation &op : block.without_terminator()) {
    if (!needed.contains(&op))
      continue;
    if (auto node = dyn_cast<onnx::NodeOp>(op)) {
      if (failed(convertNode(node)))
        return failure();
      continue;
    }
    if (!isa<arith::ConstantOp, gate::WeightValueOp>(op))
      return op.emitError("is not part of the import level");
    values[op.getResult(0)] = builder.clone(op)->getResult(0);
  }
  return success();
}

FailureOr<SmallVector<Value>>
Conversion::convertBody(onnx::NodeOp node, Region &body, ValueRange arguments) {
  for (auto [index, formal, value] :
       llvm::enumerate(body.getArguments(), arguments)) {
    values[formal] = value;
    if (failed(checkDeclared(formal.getType(), value,
                             "input " + Twine(index) + " of a body of node '" +
                                 node.getNodeName() + "' (" + node.getOpType() +
                                 ")")))
      return failure();
  }
  if (failed(convertNodes(body.front())))
    return failure();
  graph.setNode(node.getNodeName(), node.getOpType(), node.getLoc());
  SmallVector<Value> results;
  for (auto [index, operand] :
       llvm::enumerate(body.front().getTerminator()->getOperands())) {
    results.push_back(values.lookup(operand));
    if (!results.back() || !isa<RankedTensorType>(results.back().getType()))
      return graph.fail("output " + Twine(index) +
                        " of its body is a value that gatecc does not make");
  }
  return results;
}

LogicalResult Conversion::convertReturn(Operation *terminator) {
  SmallVector<Value> results;
  SmallVector<Attribute> attributes;
  for (auto [index, operand] : llvm::enumerate(terminator->getOperands())) {
    Value value = values.lookup(operand);
    auto name = source.getResultAttrOfType<StringAttr>(index, "gate.name");
    if (!name)
      name = builder.getStringAttr("output" + std::to_string(index));
    if (!value || !isa<RankedTensorType>(value.getType()))
      return emitError(source.getLoc())
             << "output '" << name.getValue()
             << "' is a value that gatecc does not make";
    SmallVector<Attribute> dims;
    for (const Extent &extent : graph.shapeOf(value))
      dims.push_back(graph.dimAttribute(extent));
    if (auto declared =
            source.getResultAttrOfType<ArrayAttr>(index, "gate.dims")) {
      bool fits = declared.size() == dims.size();
      for (unsigned dim = 0; fits && dim < dims.size(); ++dim)
        fits = !isa<IntegerAttr>(declared[dim]) ||
               !isa<IntegerAttr>(dims[dim]) || declared[dim] == dims[dim];
      if (!fits)
        return emitError(source.getLoc())
               << "output '" << name.getValue()
               << "' is declared with the dimensions " << declared
               << ", but the graph computes " << builder.getArrayAttr(dims);
    }
    results.push_back(value);
    attributes.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("gate.dims", builder.getArrayAttr(dims)),
         builder.getNamedAttr("gate.name", name)}));
  }
  func::ReturnOp::create(builder, terminator->getLoc(), results);
  target.setType(builder.getFunctionType(target.getArgumentTypes(),
                                         ValueRange(results).getTypes()));
  target.setAllResultAttrs(attributes);
  return success();
}

LogicalResult Conversion::run() {
  findNeeded();
  if (failed(checkOperators()))
    return failure();
  SmallVector<Type> types;
  SmallVector<Attribute> attributes;
  for (auto [index, type] : llvm::enumerate(source.getArgumentTypes())) {
    auto ranked = dyn_cast<RankedTensorType>(type);
    auto dims = source.getArgAttrOfType<ArrayAttr>(index, "gate.dims");
    if (!ranked || (dims && int64_t(dims.size()) != ranked.getRank()) ||
        (!dims && !ranked.hasStaticShape()))
      return emitError(source.getLoc())
             << "input " << index
             << " needs a shape with gate.dims for each dimension, got "
             << type;
    SmallVector<int64_t> shape(ranked.getShape());
    SmallVector<Attribute> list;
    for (auto [dim, size] : llvm::enumerate(shape)) {
      auto fixed = dims ? dyn_cast<IntegerAttr>(dims[dim])
                        : builder.getI64IntegerAttr(size);
      size = fixed ? fixed.getInt() : ShapedType::kDynamic;
      list.push_back(fixed ? fixed : dims[dim]);
      if (size < 0 && !isa<StringAttr>(list.back()))
        return emitError(source.getLoc())
               << "input " << index << " has a dimension " << size;
    }
    auto name = source.getArgAttrOfType<StringAttr>(index, "gate.name");
    if (!name)
      name = builder.getStringAttr("input" + std::to_string(index));
    types.push_back(RankedTensorType::get(shape, ranked.getElementType()));
    attributes.push_back(builder.getDictionaryAttr(
        {builder.getNamedAttr("gate.dims", builder.getArrayAttr(list)),
         builder.getNamedAttr("gate.name", name)}));
  }
  builder.setInsertionPoint(source);
  target = func::FuncOp::create(builder, source.getLoc(), source.getSymName(),
                                builder.getFunctionType(types, {}));
  llvm::scope_exit abandon([&] { target.erase(); });
  target.setAllArgAttrs(attributes);
  if (failed(convertArguments()))
    return failure();
  if (failed(convertNodes(source.front())) ||
      failed(convertReturn(source.front().getTerminator())))
    return failure();
  abandon.release();
  source.erase();
  GraphBuilder::eraseUnused(target.front());
  GraphBuilder::eraseUnusedSymbols(module);
  return success();
}

/// Networks in the JSON form are imported at the gate level.
static bool speaksGate(func::FuncOp main) {
  bool hasOther = false;
  for (Operation &op : main.front()) {
    if (isa<onnx::NodeOp>(op))
      return false;
    hasOther |=
        !isa<arith::ConstantOp, gate::WeightValueOp, func::ReturnOp>(op);
  }
  return hasOther;
}

namespace {
struct ConvertOnnxToGate
    : gatecc::impl::ConvertOnnxToGateBase<ConvertOnnxToGate> {
  void runOnOperation() override {
    auto main = getOperation().lookupSymbol<func::FuncOp>("main");
    if (!main || main.isExternal() || !main.getBody().hasOneBlock()) {
      getOperation().emitError("expects a function @main with one block");
      return signalPassFailure();
    }
    if (speaksGate(main))
      return;
    // Two functions of one name may not live in one symbol table.
    if (failed(Conversion(main).run()))
      signalPassFailure();
  }
};
} // namespace
