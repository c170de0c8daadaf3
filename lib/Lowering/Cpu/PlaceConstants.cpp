// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives every constant tensor its place in memory.
//   before: %c = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
//   after:  %g = memref.get_global @constant_0;  %c = bufferization.to_tensor
//   %g
// Bufferization would do the same, but look through the whole module for an
// equal constant each time.
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"

namespace gatecc {
#define GEN_PASS_DEF_PLACECONSTANTS
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

constexpr int64_t kConstantAlignment = 64;

struct PlaceConstantsPass
    : public gatecc::impl::PlaceConstantsBase<PlaceConstantsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<arith::ConstantOp> constants;
    module.walk([&](arith::ConstantOp constant) {
      if (isa<RankedTensorType>(constant.getType()))
        constants.push_back(constant);
    });
    SymbolTable symbols(module);
    DenseMap<Attribute, memref::GlobalOp> globals;
    for (arith::ConstantOp constant : constants) {
      OpBuilder b(constant);
      Location loc = constant.getLoc();
      auto type = cast<RankedTensorType>(constant.getType());
      memref::GlobalOp &global = globals[constant.getValue()];
      if (!global) {
        OpBuilder detached(&getContext());
        global = memref::GlobalOp::create(
            detached, loc, ("constant_" + Twine(globals.size() - 1)).str(),
            b.getStringAttr("private"),
            MemRefType::get(type.getShape(), type.getElementType()),
            cast<ElementsAttr>(constant.getValue()), /*constant=*/true,
            b.getI64IntegerAttr(kConstantAlignment));
        symbols.insert(global, module.getBody()->begin());
      }
      Value memory = memref::GetGlobalOp::create(b, loc, global.getType(),
                                                 global.getSymName());
      constant.replaceAllUsesWith(
          bufferization::ToTensorOp::create(b, loc, type, memory,
                                            /*restrict=*/true,
                                            /*writable=*/false)
              .getResult());
      constant.erase();
    }
  }
};

} // namespace
