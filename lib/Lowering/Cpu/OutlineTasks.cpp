// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes the body of every tasks op a function.
//   before: gate.tasks %n { ^bb0(%i: index): ... %a ... }
//   after:  gate.launch %frame @task_0 %n(%a);  func @task_0(%a, %i)
// Constants are copied into the function, all else from above is captured.
// Tasks with the same body, in the layers of a network say, share a function,
// also where they work on different parts of a buffer.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/RegionUtils.h"

namespace gatecc {
#define GEN_PASS_DEF_OUTLINETASKS
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

struct OutlineTasksPass
    : public gatecc::impl::OutlineTasksBase<OutlineTasksPass> {
  void runOnOperation() override {
    SmallVector<gate::TasksOp> ops;
    getOperation()->walk([&](gate::TasksOp tasks) { ops.push_back(tasks); });
    IRRewriter rewriter(&getContext());
    for (gate::TasksOp tasks : ops)
      if (failed(outline(tasks, rewriter)))
        return signalPassFailure();
  }

private:
  LogicalResult outline(gate::TasksOp tasks, RewriterBase &rewriter);
  func::FuncOp findEqual(func::FuncOp function);

  /// By their text under one name.
  llvm::StringMap<func::FuncOp> functions;
};

func::FuncOp OutlineTasksPass::findEqual(func::FuncOp function) {
  std::string text;
  llvm::raw_string_ostream os(text);
  // In the scope of the module, its values would be numbered each time.
  function->print(os, OpPrintingFlags().printGenericOpForm().useLocalScope());
  auto [entry, isNew] = functions.try_emplace(text, function);
  return isNew ? func::FuncOp() : entry->second;
}

/// Whether all that an op asks a buffer for is elements and extents.
bool isElementAccess(Operation *op) {
  return isa<memref::LoadOp, memref::StoreOp, memref::DimOp, vector::LoadOp,
             vector::StoreOp>(op);
}

/// A part of a buffer as one that may begin anywhere in it.
Value withAnyOffset(RewriterBase &rewriter, Value part) {
  auto type = dyn_cast<MemRefType>(part.getType());
  auto layout = type ? dyn_cast<StridedLayoutAttr>(type.getLayout())
                     : StridedLayoutAttr();
  if (!layout || ShapedType::isDynamic(layout.getOffset()))
    return part;
  auto any = StridedLayoutAttr::get(type.getContext(), ShapedType::kDynamic,
                                    layout.getStrides());
  return memref::CastOp::create(rewriter, part.getLoc(),
                                MemRefType::get(type.getShape(),
                                                type.getElementType(), any,
                                                type.getMemorySpace()),
                                part);
}

LogicalResult OutlineTasksPass::outline(gate::TasksOp tasks,
                                        RewriterBase &rewriter) {
  auto parent = tasks->getParentOfType<func::FuncOp>();
  if (!parent || parent.getName() != "gatecc_run")
    return tasks.emitError("expects to stand in @gatecc_run");
  Location loc = tasks.getLoc();
  llvm::SetVector<Value> used;
  getUsedValuesDefinedAbove(tasks.getBody(), used);
  SmallVector<Value> captures;
  SmallVector<Operation *> constants;
  for (Value value : used) {
    Operation *op = value.getDefiningOp();
    if (op && op->hasTrait<OpTrait::ConstantLike>())
      constants.push_back(op);
    else
      captures.push_back(value);
  }
  DenseSet<Value> viewed; // whose types are those of other values
  tasks.getBody().walk([&](Operation *op) {
    if (!isElementAccess(op))
      viewed.insert(op->operand_begin(), op->operand_end());
  });
  rewriter.setInsertionPoint(tasks);
  SmallVector<Value> arguments;
  for (Value capture : captures)
    arguments.push_back(
        viewed.contains(capture) ? capture : withAnyOffset(rewriter, capture));
  SmallVector<Type> types(ValueRange(arguments).getTypes());
  types.push_back(rewriter.getIndexType());
  rewriter.setInsertionPointToEnd(getOperation().getBody());
  auto function = func::FuncOp::create(rewriter, loc, "task",
                                       rewriter.getFunctionType(types, {}));
  function.setPrivate();
  Block *entry = function.addEntryBlock();
  IRMapping mapping;
  mapping.map(captures, entry->getArguments().drop_back());
  mapping.map(tasks.getBody().getArgument(0), entry->getArguments().back());
  rewriter.setInsertionPointToStart(entry);
  for (Operation *constant : constants)
    rewriter.clone(*constant, mapping);
  for (Operation &op : tasks.getBody().front())
    rewriter.clone(op, mapping);
  func::ReturnOp::create(rewriter, loc);

  if (func::FuncOp equal = findEqual(function)) {
    rewriter.eraseOp(function);
    function = equal;
  } else {
    function.setName(("task_" + Twine(functions.size() - 1)).str());
  }

  rewriter.setInsertionPoint(tasks);
  gate::LaunchOp::create(rewriter, loc, parent.getArgument(0),
                         function.getName(), tasks.getCount(), arguments);
  rewriter.eraseOp(tasks);
  return success();
}

} // namespace
