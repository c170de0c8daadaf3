// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows an extent through ops that keep it to where it is given.
#include "lib/Driver/RowExtents.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/LoopLikeInterface.h"

using namespace mlir;
using namespace gatecc;

std::string ExtentProduct::text() const {
  std::string text = llvm::join(names, "*");
  if (names.empty())
    return std::to_string(coefficient);
  return coefficient == 1 ? text : std::to_string(coefficient) + "*" + text;
}

/// None if either is none, or the number overflows.
static std::optional<ExtentProduct>
multiply(std::optional<ExtentProduct> left,
         const std::optional<ExtentProduct> &right) {
  if (!left || !right ||
      __builtin_mul_overflow(left->coefficient, right->coefficient,
                             &left->coefficient))
    return std::nullopt;
  llvm::append_range(left->names, right->names);
  return left;
}

/// What @main says of its argument.
static std::optional<ExtentProduct> declaredExtent(BlockArgument argument,
                                                   int64_t dim) {
  auto main = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  auto dims = main ? main.getArgAttrOfType<ArrayAttr>(argument.getArgNumber(),
                                                      "gate.dims")
                   : ArrayAttr();
  auto name = dims && dim < int64_t(dims.size())
                  ? dyn_cast<StringAttr>(dims[dim])
                  : StringAttr();
  if (!name)
    return std::nullopt;
  return ExtentProduct{1, {name.str()}};
}

/// An extent of another tensor that is the same one; null if there is none.
static std::pair<Value, int64_t> sameExtent(Value tensor, int64_t dim) {
  if (auto argument = dyn_cast<BlockArgument>(tensor)) {
    Operation *parent = argument.getOwner()->getParentOp();
    // What a condition passes on goes to the body, and out of the loop.
    if (auto loop = dyn_cast<scf::WhileOp>(parent);
        loop && argument.getOwner() == loop.getAfterBody())
      return {loop.getConditionOp().getArgs()[argument.getArgNumber()], dim};
    auto loop = dyn_cast<LoopLikeOpInterface>(parent);
    OpOperand *init = loop ? loop.getTiedLoopInit(argument) : nullptr;
    return {init ? init->get() : Value(), dim};
  }
  Operation *op = tensor.getDefiningOp();
  unsigned number = cast<OpResult>(tensor).getResultNumber();
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return {loop.getConditionOp().getArgs()[number], dim};
  if (auto loop = dyn_cast<LoopLikeOpInterface>(op))
    if (number < loop.getInits().size())
      return {loop.getInits()[number], dim};
  if (auto destination = dyn_cast<DestinationStyleOpInterface>(op))
    return {destination.getDpsInits()[number], dim};
  if (isa<tensor::CastOp>(op))
    return {op->getOperand(0), dim};
  // The rows of what is computed for each row are those of its operand.
  if (dim == 0 && isa<gate::TopKOp>(op))
    return {op->getOperand(0), 0};
  if (auto contract = dyn_cast<gate::ContractOp>(op);
      contract && dim == 0 && !contract.getPlan())
    return {contract.getRows(), 0};
  if (auto concat = dyn_cast<tensor::ConcatOp>(op);
      concat && int64_t(concat.getDim()) != dim)
    return {concat.getInputs().front(), dim};
  if (auto merge = dyn_cast<gate::MergeOp>(op); merge && merge.getBase())
    return {merge.getBase(), dim};
  return {};
}

std::optional<ExtentProduct>
RowExtents::collapsedExtent(tensor::CollapseShapeOp collapse, int64_t dim) {
  std::optional<ExtentProduct> product = ExtentProduct();
  SmallVector<ReassociationIndices> groups = collapse.getReassociationIndices();
  for (int64_t source : groups[dim])
    product = multiply(product, extentOf(collapse.getSrc(), source));
  return product;
}

std::optional<ExtentProduct> RowExtents::extentOf(Value tensor, int64_t dim) {
  SmallVector<std::pair<Value, int64_t>> path;
  std::optional<ExtentProduct> result;
  while (tensor) {
    auto type = dyn_cast<RankedTensorType>(tensor.getType());
    if (!type || dim >= type.getRank())
      break;
    if (!type.isDynamicDim(dim)) {
      result = ExtentProduct{type.getDimSize(dim), {}};
      break;
    }
    if (auto found = known.find({tensor, dim}); found != known.end()) {
      result = found->second;
      break;
    }
    path.emplace_back(tensor, dim);
    auto [next, nextDim] = sameExtent(tensor, dim);
    if (!next) {
      if (auto argument = dyn_cast<BlockArgument>(tensor))
        result = declaredExtent(argument, dim);
      else if (auto empty = tensor.getDefiningOp<tensor::EmptyOp>())
        result = sizeOf(empty.getDynamicSize(dim));
      else if (auto expand = tensor.getDefiningOp<tensor::ExpandShapeOp>())
        result =
            sizeOf(llvm::dyn_cast<Value>(expand.getMixedOutputShape()[dim]));
      else if (auto collapse = tensor.getDefiningOp<tensor::CollapseShapeOp>())
        result = collapsedExtent(collapse, dim);
    }
    tensor = next;
    dim = nextDim;
  }
  for (const auto &seen : path)
    known[seen] = result;
  return result;
}

std::optional<ExtentProduct> RowExtents::sizeOf(Value index) {
  if (!index)
    return std::nullopt;
  APInt constant;
  if (matchPattern(index, m_ConstantInt(&constant)))
    return ExtentProduct{constant.getSExtValue(), {}};
  if (auto dim = index.getDefiningOp<tensor::DimOp>()) {
    std::optional<int64_t> number = dim.getConstantIndex();
    return number ? extentOf(dim.getSource(), *number) : std::nullopt;
  }
  auto product = index.getDefiningOp<arith::MulIOp>();
  if (!product)
    return std::nullopt;
  return multiply(sizeOf(product.getLhs()), sizeOf(product.getRhs()));
}
