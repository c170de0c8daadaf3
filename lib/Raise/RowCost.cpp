// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Estimates of work per row from static extents.
#include "RowCost.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

static double known(int64_t extent) {
  return ShapedType::isDynamic(extent) ? 1.0 : extent;
}

static double contractCost(gate::ContractOp op) {
  auto rows = cast<RankedTensorType>(op.getRows().getType());
  auto result = cast<RankedTensorType>(op.getResult().getType());
  double epilogue = op.getEpilogue().front().getOperations().size() - 1;
  return known(result.getDimSize(1)) *
         (2.0 * known(rows.getDimSize(1)) * op.getWeights().size() + epilogue);
}

double raise::rowCost(Operation *op) {
  if (auto contract = dyn_cast<gate::ContractOp>(op))
    return contractCost(contract);
  if (auto apply = dyn_cast<gate::ApplyOp>(op)) {
    double cost = 0;
    for (Region &body : apply.getBodies())
      cost = std::max(cost, rowCost(body.front()));
    return cost * apply.getPlan().getType().getChoices();
  }
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  if (!structured || isa<linalg::FillOp>(op) || op->getNumResults() == 0)
    return 0;
  SmallVector<int64_t> extents = structured.getStaticLoopRanges();
  AffineMap map = structured.getIndexingMapMatchingResult(op->getResult(0));
  if (map.getNumResults() > 0)
    if (auto loop = dyn_cast<AffineDimExpr>(map.getResult(0)))
      extents[loop.getPosition()] = 1;
  double cost = op->getRegion(0).front().getOperations().size() - 1;
  for (int64_t extent : extents)
    cost *= known(extent);
  return cost;
}

double raise::rowCost(Block &block) {
  double cost = 0;
  for (Operation &op : block)
    cost += rowCost(&op);
  return cost;
}

bool raise::isProduct(Operation *op) {
  if (isa<gate::ContractOp>(op))
    return true;
  if (auto apply = dyn_cast<gate::ApplyOp>(op))
    return llvm::any_of(apply.getBodies(), [](Region &body) {
      return llvm::any_of(body.front(),
                          [](Operation &inner) { return isProduct(&inner); });
    });
  auto structured = dyn_cast<linalg::LinalgOp>(op);
  return structured && linalg::isaContractionOpInterface(structured);
}

StringRef raise::nodeName(Location location) {
  if (auto name = dyn_cast<NameLoc>(location))
    return name.getName();
  if (auto fused = dyn_cast<FusedLoc>(location))
    for (Location part : fused.getLocations())
      if (StringRef name = nodeName(part); !name.empty())
        return name;
  if (auto call = dyn_cast<CallSiteLoc>(location))
    return nodeName(call.getCallee());
  return "";
}

StringRef raise::nodeName(Value value) { return nodeName(value.getLoc()); }

std::string raise::describe(Operation *op) {
  StringRef name = nodeName(op->getLoc());
  return name.empty() ? op->getName().getStringRef().str()
                      : "'" + name.str() + "'";
}
