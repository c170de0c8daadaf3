// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds branches and bodies of loops that compute with tensors.
#include "GraphBlocks.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace gatecc;

/// Ifs and loops inside a loop nest of scalars have no tensors to compute.
static bool holdsGraphs(Operation *op) {
  return isa<scf::IfOp, scf::ForOp, scf::WhileOp>(op) &&
         llvm::any_of(op->getResultTypes(),
                      [](Type type) { return isa<RankedTensorType>(type); });
}

void raise::forEachGraphBlock(func::FuncOp function,
                              function_ref<void(Block &)> visit) {
  if (!llvm::hasSingleElement(function.getBody()))
    return;
  // Outer blocks before inner ones, to be gone through backwards.
  SmallVector<Block *> blocks{&function.front()};
  for (size_t i = 0; i < blocks.size(); ++i)
    for (Operation &op : *blocks[i])
      if (holdsGraphs(&op))
        for (Region &region : op.getRegions())
          for (Block &block : region)
            blocks.push_back(&block);
  for (Block *block : llvm::reverse(blocks))
    visit(*block);
}
