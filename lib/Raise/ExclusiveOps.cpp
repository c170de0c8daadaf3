// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Counts the uses of ops from one use backwards: an op all of whose uses were
// met has no other.
#include "ExclusiveOps.h"

#include "SlotIndex.h"
#include "gatecc/Raise/RowIndependence.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

llvm::SetVector<Operation *> gatecc::raise::exclusiveTo(OpOperand &use) {
  Block *block = use.getOwner()->getBlock();
  llvm::SetVector<Operation *> ops;
  llvm::DenseMap<Operation *, unsigned> unmet;
  SmallVector<Operation *> open;
  auto count = [&](OpOperand &operand) {
    Operation *def = operand.get().getDefiningOp();
    if (!def || def->getBlock() != block || !isMemoryEffectFree(def))
      return;
    auto [place, isNew] = unmet.try_emplace(def, 0);
    if (isNew)
      for (Value result : def->getResults())
        place->second += std::distance(result.use_begin(), result.use_end());
    if (--place->second == 0)
      open.push_back(def);
  };
  count(use);
  while (!open.empty()) {
    Operation *op = open.pop_back_val();
    ops.insert(op);
    op->walk([&](Operation *inner) {
      for (OpOperand &operand : inner->getOpOperands())
        count(operand);
    });
  }
  SmallVector<Operation *> sorted = ops.takeVector();
  llvm::sort(sorted,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  ops.insert(sorted.begin(), sorted.end());
  return ops;
}

static bool hasRows(Value value, Value rows, unsigned dims) {
  if (typeOf(value).getRank() < int64_t(dims))
    return false;
  for (unsigned dim = 0; dim < dims; ++dim)
    if (!haveSameExtent(value, dim, rows, dim))
      return false;
  return true;
}

/// A view, or views of views, that others share.
static SmallVector<Operation *> viewsOf(Value value) {
  SmallVector<Operation *> views;
  while (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp,
                         tensor::CastOp>(value.getDefiningOp())) {
    views.push_back(value.getDefiningOp());
    value = views.back()->getOperand(0);
  }
  return views;
}

void gatecc::raise::readRowsApart(llvm::SetVector<Operation *> &ops, Value rows,
                                  unsigned dims) {
  SmallVector<Operation *> all;
  for (Operation *op : ops) {
    OpBuilder b(op);
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      Operation *def = value.getDefiningOp();
      if (!def || ops.contains(def) ||
          !isa<RankedTensorType>(value.getType()) ||
          typeOf(value).getRank() == 0 || isUniformRows(value) ||
          hasRows(value, rows, dims))
        continue;
      SmallVector<Operation *> views = viewsOf(value);
      if (!views.empty() && hasRows(views.back()->getOperand(0), rows, dims)) {
        Value source = views.back()->getOperand(0);
        for (Operation *view : llvm::reverse(views)) {
          Operation *copy = b.clone(*view);
          copy->setOperand(0, source);
          source = copy->getResult(0);
          all.push_back(copy);
        }
        operand.set(source);
        continue;
      }
      for (Operation *user : value.getUsers()) {
        auto apart = dyn_cast<tensor::ExpandShapeOp>(user);
        if (!apart || ops.contains(apart) ||
            apart->getBlock() != op->getBlock() ||
            !apart->isBeforeInBlock(op) ||
            !hasRows(apart.getResult(), rows, dims))
          continue;
        auto together = tensor::CollapseShapeOp::create(
            b, apart.getLoc(), value.getType(), apart.getResult(),
            apart.getReassociationIndices());
        all.push_back(together);
        operand.set(together);
        break;
      }
    }
    all.push_back(op);
  }
  ops = llvm::SetVector<Operation *>(all.begin(), all.end());
}
