// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives @main the interface that the run-time library calls.
//   before: func @main(%x: tensor<?x64xf32> {gate.dims = ["B", 64]}) ->
//   tensor<?x10xf32> after:  func @gatecc_run(%frame: !llvm.ptr) -> i32, inputs
//   and outputs as
//           ports, the size B as symbol 0
// The library has checked dtypes, ranks and sizes before it calls.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"
#include "lib/Lowering/Cpu/DecidedOutput.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace gatecc {
#define GEN_PASS_DEF_BUILDENTRY
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

struct BuildEntryPass : public gatecc::impl::BuildEntryBase<BuildEntryPass> {
  void runOnOperation() override {
    auto main = getOperation().lookupSymbol<func::FuncOp>("main");
    if (!main || main.isExternal()) {
      getOperation().emitError("expects a function @main");
      return signalPassFailure();
    }
    if (failed(build(main)))
      signalPassFailure();
  }

private:
  LogicalResult build(func::FuncOp main);
};

LogicalResult BuildEntryPass::build(func::FuncOp main) {
  MLIRContext *context = &getContext();
  Location loc = main.getLoc();
  Block &entry = main.front();
  IRRewriter rewriter(context);
  rewriter.setInsertionPointToStart(&entry);
  auto pointer = LLVM::LLVMPointerType::get(context);
  unsigned numInputs = entry.getNumArguments();
  Value frame = entry.insertArgument(0u, pointer, loc);

  // Symbols are numbered by their first appearance among the inputs.
  SmallVector<std::pair<StringRef, Value>> symbols;
  auto symbolValue = [&](StringRef name) {
    for (auto &[known, value] : symbols)
      if (known == name)
        return value;
    Value value = gate::SymbolOp::create(rewriter, loc, rewriter.getIndexType(),
                                         frame, int64_t(symbols.size()));
    symbols.emplace_back(name, value);
    return value;
  };
  auto memrefType = [](Type tensor) {
    auto type = cast<RankedTensorType>(tensor);
    return MemRefType::get(type.getShape(), type.getElementType());
  };

  for (unsigned i = 0; i < numInputs; ++i) {
    BlockArgument argument = entry.getArgument(i + 1);
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    auto dims = main.getArgAttrOfType<ArrayAttr>(i, "gate.dims");
    if (!type || !dims || int64_t(dims.size()) != type.getRank())
      return main.emitError("expects a ranked tensor with gate.dims as input ")
             << i;
    SmallVector<Value> extents(type.getRank()), dynamic;
    for (int64_t d = 0; d < type.getRank(); ++d) {
      if (!type.isDynamicDim(d))
        continue;
      auto name = dyn_cast<StringAttr>(dims[d]);
      if (!name)
        return main.emitError(
                   "expects the name of a size in gate.dims of input ")
               << i;
      extents[d] = symbolValue(name.getValue());
      dynamic.push_back(extents[d]);
    }
    for (Operation *user : llvm::make_early_inc_range(argument.getUsers())) {
      auto dim = dyn_cast<tensor::DimOp>(user);
      if (dim && dim.getConstantIndex() &&
          *dim.getConstantIndex() < type.getRank() &&
          extents[*dim.getConstantIndex()])
        rewriter.replaceOp(dim, extents[*dim.getConstantIndex()]);
    }
    Value port = gate::PortOp::create(rewriter, loc, memrefType(type), frame,
                                      /*output=*/false, int64_t(i), dynamic);
    Value tensor = bufferization::ToTensorOp::create(rewriter, loc, type, port,
                                                     /*restrict=*/true,
                                                     /*writable=*/false);
    rewriter.replaceAllUsesWith(argument, tensor);
  }
  entry.eraseArguments(1, numInputs);

  Operation *terminator = entry.getTerminator();
  rewriter.setInsertionPoint(terminator);
  for (auto [index, value] : llvm::enumerate(terminator->getOperands())) {
    auto type = cast<RankedTensorType>(value.getType());
    auto dims = main.getResultAttrOfType<ArrayAttr>(index, "gate.dims");
    if (!dims || int64_t(dims.size()) != type.getRank())
      return main.emitError("expects gate.dims on result ") << index;
    bool isDecided = llvm::is_contained(dims, rewriter.getStringAttr("?"));
    SmallVector<Value> dynamic;
    for (int64_t d = 0; d < type.getRank(); ++d) {
      if (!type.isDynamicDim(d))
        continue;
      if (isDecided) {
        dynamic.push_back(tensor::DimOp::create(rewriter, loc, value, d));
        continue;
      }
      // A product of sizes: "2*B*S".
      auto text = dyn_cast<StringAttr>(dims[d]);
      if (!text)
        return main.emitError(
                   "expects a size expression in gate.dims of result ")
               << index;
      Value extent;
      SmallVector<StringRef> factors;
      text.getValue().split(factors, '*');
      for (StringRef factor : factors) {
        factor = factor.trim();
        int64_t number;
        Value value;
        if (!factor.getAsInteger(10, number)) {
          value = arith::ConstantIndexOp::create(rewriter, loc, number);
        } else {
          auto *known = llvm::find_if(
              symbols, [&](auto &s) { return s.first == factor; });
          if (known == symbols.end())
            return main.emitError("the size of result ")
                   << index << " is not determined by the inputs: '" << factor
                   << "'";
          value = known->second;
        }
        extent = extent ? arith::MulIOp::create(rewriter, loc, extent, value)
                              .getResult()
                        : value;
      }
      dynamic.push_back(extent);
    }
    Value port;
    if (isDecided) {
      auto memory = gate::AllocateOp::create(rewriter, loc, memrefType(type),
                                             frame, dynamic);
      memory->setAttr(kOutputOfAllocate, rewriter.getI64IntegerAttr(index));
      port = memory;
    } else {
      port = gate::PortOp::create(rewriter, loc, memrefType(type), frame,
                                  /*output=*/true, int64_t(index), dynamic);
    }
    bufferization::MaterializeInDestinationOp::create(
        rewriter, loc, TypeRange{}, value, port,
        /*restrict=*/true, /*writable=*/true);
  }
  Value ok =
      arith::ConstantIntOp::create(rewriter, loc, rewriter.getI32Type(), 0);
  rewriter.replaceOpWithNewOp<func::ReturnOp>(terminator, ok);
  main.removeArgAttrsAttr();
  main.removeResAttrsAttr();
  main.setFunctionType(
      rewriter.getFunctionType({pointer}, {rewriter.getI32Type()}));
  main.setName("gatecc_run");
  return success();
}

} // namespace
