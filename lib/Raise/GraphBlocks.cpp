// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds branches, bodies of loops, and groups, that compute with tensors.
#include "GraphBlocks.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace gatecc;

/// Ifs and loops inside a loop nest of scalars have no tensors to compute.
static bool holdsGraphs(Operation *op) {
  return isa<scf::IfOp, scf::ForOp, scf::WhileOp>(op) &&
         llvm::any_of(op->getResultTypes(),
                      [](Type type) { return isa<RankedTensorType>(type); });
}

/// The work on the rows of one group, whatever they were found by; those that a
/// loop takes out one by one are looked at no further.
static Block *groupBody(Operation *op) {
  auto apply = dyn_cast<gate::ApplyOp>(op);
  auto partition = apply ? apply.getPlan().getDefiningOp<gate::PartitionOp>()
                         : gate::PartitionOp();
  bool isGroup = partition && !partition.getStep() &&
                 apply.getParams().empty() && apply.getBodies().size() == 1 &&
                 apply.getRanges()[1] - apply.getRanges()[0] == 1;
  return isGroup ? &apply.getBodies()[0].front() : nullptr;
}

void raise::forEachGraphBlock(func::FuncOp function,
                              function_ref<void(Block &)> visit) {
  if (!llvm::hasSingleElement(function.getBody()))
    return;
  // Outer blocks before inner ones, to be gone through backwards.
  SmallVector<Block *> blocks{&function.front()};
  for (size_t i = 0; i < blocks.size(); ++i)
    for (Operation &op : *blocks[i])
      if (holdsGraphs(&op)) {
        for (Region &region : op.getRegions())
          for (Block &block : region)
            blocks.push_back(&block);
      } else if (Block *body = groupBody(&op)) {
        blocks.push_back(body);
      }
  for (Block *block : llvm::reverse(blocks))
    visit(*block);
}
