// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows indices along lanes to where they are counted or chosen.
#include "IndexLanes.h"

#include "RowSelection.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How many ops may lie between an index and its origin.
static constexpr unsigned kMaxViews = 64;

/// The dimension whose index each element of a constant is, or -1.
static int64_t countedDim(DenseElementsAttr constant) {
  ArrayRef<int64_t> shape = constant.getType().getShape();
  int64_t inner = 1;
  for (int64_t dim = shape.size() - 1; dim >= 0; inner *= shape[dim--]) {
    if (shape[dim] == 1)
      continue;
    int64_t place = 0;
    bool counts = llvm::all_of(constant.getValues<APInt>(), [&](APInt element) {
      return element.getSExtValue() == place++ / inner % shape[dim];
    });
    if (counts)
      return dim;
  }
  return -1;
}

/// The part of a concatenation of coordinates that holds the element.
static std::optional<Lanes> partOf(tensor::ConcatOp op, Lanes lanes,
                                   Columns &columns) {
  const Axes &axes = lanes.dims[op.getDim()];
  if (axes.size() != 1 || axes.front().kind != Axis::Column)
    return std::nullopt;
  for (Value input : op.getInputs()) {
    int64_t size = typeOf(input).getDimSize(op.getDim());
    if (ShapedType::isDynamic(size))
      return std::nullopt;
    if (columns.offset < size) {
      lanes.values = {input};
      if (size == 1)
        lanes.dims[op.getDim()].clear();
      else
        lanes.dims[op.getDim()].front().size = size;
      return lanes;
    }
    columns.offset -= size;
  }
  return std::nullopt;
}

/// Whether a condition asks for each element whether it is below 0.
static bool asksForNegative(Value condition) {
  auto op = condition.getDefiningOp<linalg::GenericOp>();
  auto test = op ? op.getBody()
                       ->getTerminator()
                       ->getOperand(0)
                       .getDefiningOp<arith::CmpIOp>()
                 : arith::CmpIOp();
  if (!test || test.getPredicate() != arith::CmpIPredicate::slt)
    return false;
  auto right = dyn_cast<BlockArgument>(test.getRhs());
  return isConstantIntValue(test.getRhs(), 0) ||
         (right && right.getArgNumber() < op.getNumDpsInputs() &&
          isZero(op.getDpsInputs()[right.getArgNumber()]));
}

/// Ids that a search has found are not negative.
static bool isFound(Value ids) {
  Operation *op = ids.getDefiningOp();
  return isa_and_nonnull<gate::TopKOp>(op) ||
         (isa_and_nonnull<linalg::GenericOp>(op) && op->getNumResults() == 2);
}

std::optional<IndexLanes> raise::readIndex(Lanes lanes, Columns columns) {
  bool isWrapped = false;
  for (unsigned step = 0; step < kMaxViews; ++step) {
    Operation *op = lanes.front().getDefiningOp();
    DenseElementsAttr constant;
    if (matchPattern(lanes.front(), m_Constant(&constant))) {
      int64_t dim = countedDim(constant);
      if (dim < 0 || lanes.dims[dim].empty())
        return std::nullopt;
      return IndexLanes{lanes.dims[dim], {}};
    }
    if (auto concat = dyn_cast_or_null<tensor::ConcatOp>(op)) {
      std::optional<Lanes> part = partOf(concat, lanes, columns);
      if (!part)
        return std::nullopt;
      lanes = *part;
      continue;
    }
    if (op)
      if (auto source = movedFrom(lanes, columns, /*keepsTokens=*/false)) {
        lanes = *source;
        continue;
      }
    auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
    OpOperand *operand = nullptr;
    if (generic && generic->getNumResults() == 1 &&
        generic.getNumLoops() == generic.getNumParallelLoops() &&
        generic.getMatchingIndexingMap(generic.getDpsInitOperand(0))
            .isIdentity()) {
      Block &body = *generic.getBody();
      Value yielded = body.getTerminator()->getOperand(0);
      Value scalar = withoutRange(yielded, [](OpFoldResult) { return false; });
      if (auto index = scalar.getDefiningOp<linalg::IndexOp>())
        return lanes.dims[index.getDim()].empty()
                   ? std::nullopt
                   : std::optional(IndexLanes{lanes.dims[index.getDim()], {}});
      isWrapped |= bool(yielded.getDefiningOp<arith::SelectOp>());
      if (auto select = scalar.getDefiningOp<arith::SelectOp>()) {
        auto condition = dyn_cast<BlockArgument>(select.getCondition());
        if (condition && condition.getArgNumber() < generic.getNumDpsInputs() &&
            asksForNegative(generic.getDpsInputs()[condition.getArgNumber()]))
          scalar = select.getFalseValue();
      }
      auto argument = dyn_cast<BlockArgument>(scalar);
      if (argument && argument.getOwner() == &body &&
          argument.getArgNumber() < generic.getNumDpsInputs())
        operand = generic.getDpsInputOperand(argument.getArgNumber());
    }
    if (!operand)
      break;
    std::optional<SmallVector<Axes>> dims =
        axesOf(generic.getMatchingIndexingMap(operand), lanes.dims);
    if (!dims)
      return std::nullopt;
    lanes = lanes.operand(operand->getOperandNumber(), *dims);
  }
  auto integer = dyn_cast<IntegerType>(typeOf(lanes.front()).getElementType());
  bool areTokens = llvm::all_of(lanes.dims, [](const Axes &axes) {
    return llvm::all_of(
        axes, [](const Axis &axis) { return axis.kind == Axis::Token; });
  });
  if (!integer || integer.getWidth() < 32 || !areTokens ||
      (isWrapped && !isFound(lanes.front())))
    return std::nullopt;
  return IndexLanes{{}, lanes};
}
