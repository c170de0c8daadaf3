// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Follows indices along lanes to where they are counted or chosen.
#include "IndexLanes.h"

#include "IntegerBounds.h"
#include "RowSelection.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// How many ops may lie between an index and its origin.
static constexpr unsigned kMaxViews = 64;
/// How deep the sums nest of which an index is made.
static constexpr unsigned kMaxSums = 8;

/// The dimension whose index times `step` each element of a constant is, or -1.
static int64_t countedDim(DenseElementsAttr constant, int64_t step = 1) {
  ArrayRef<int64_t> shape = constant.getType().getShape();
  int64_t inner = 1;
  for (int64_t dim = shape.size() - 1; dim >= 0; inner *= shape[dim--]) {
    if (shape[dim] == 1)
      continue;
    int64_t place = 0;
    bool counts = llvm::all_of(constant.getValues<APInt>(), [&](APInt element) {
      return element.getSExtValue() == place++ / inner % shape[dim] * step;
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

//===-- Indices into collapsed dimensions ---------------------------------===//

namespace {
/// A coordinate times a number that is the same for all elements.
struct IndexTerm {
  Lanes lanes;
  OpFoldResult stride;
};

/// Takes an index apart into the terms that it is a sum of.
class IndexTerms {
public:
  void add(const Lanes &lanes);
  SmallVector<IndexTerm, 0> terms;

private:
  bool addScalar(linalg::GenericOp op, const Lanes &lanes, Value scalar);
  unsigned depth = 0;
};
} // namespace

/// The number of which a tensor of one element consists, or null.
static OpFoldResult onlyElement(Value tensor) {
  tensor = withoutViews(tensor);
  DenseElementsAttr constant;
  if (matchPattern(tensor, m_Constant(&constant)) &&
      constant.getNumElements() == 1)
    return Builder(tensor.getContext())
        .getIndexAttr((*constant.value_begin<APInt>()).getSExtValue());
  auto elements = tensor.getDefiningOp<tensor::FromElementsOp>();
  return elements && elements.getElements().size() == 1
             ? OpFoldResult(elements.getElements().front())
             : OpFoldResult();
}

/// The number that a scalar is in all iterations of an op, or null.
static OpFoldResult numberOf(linalg::GenericOp op, Value scalar) {
  OpFoldResult number = scalar;
  if (auto argument = dyn_cast<BlockArgument>(scalar);
      argument && argument.getOwner() == op.getBody())
    number = argument.getArgNumber() < op.getNumDpsInputs()
                 ? onlyElement(op.getDpsInputs()[argument.getArgNumber()])
                 : OpFoldResult();
  else if (scalar.getParentBlock() == op.getBody())
    return {};
  auto value = dyn_cast_or_null<Value>(number);
  while (value) {
    if (std::optional<int64_t> constant = getConstantIntValue(value))
      return Builder(op.getContext()).getIndexAttr(*constant);
    auto cast = value.getDefiningOp<arith::IndexCastOp>();
    if (!cast)
      return value;
    value = cast.getIn();
  }
  return number;
}

static std::optional<Lanes> operandLanes(linalg::GenericOp op,
                                         const Lanes &lanes, Value scalar) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (!argument || argument.getOwner() != op.getBody() ||
      argument.getArgNumber() >= op.getNumDpsInputs())
    return std::nullopt;
  unsigned number = argument.getArgNumber();
  std::optional<SmallVector<Axes>> dims = axesOf(
      op.getMatchingIndexingMap(op.getDpsInputOperand(number)), lanes.dims);
  return dims ? std::optional(lanes.operand(number, *dims)) : std::nullopt;
}

bool IndexTerms::addScalar(linalg::GenericOp op, const Lanes &lanes,
                           Value scalar) {
  if (auto sum = scalar.getDefiningOp<arith::AddIOp>())
    return addScalar(op, lanes, sum.getLhs()) &&
           addScalar(op, lanes, sum.getRhs());
  if (auto product = scalar.getDefiningOp<arith::MulIOp>()) {
    for (unsigned side : {0u, 1u}) {
      OpFoldResult stride = numberOf(op, product->getOperand(side));
      std::optional<Lanes> factor =
          stride ? operandLanes(op, lanes, product->getOperand(1 - side))
                 : std::nullopt;
      if (!factor)
        continue;
      terms.push_back({*factor, stride});
      return true;
    }
    return false;
  }
  std::optional<Lanes> addend = operandLanes(op, lanes, scalar);
  if (!addend)
    return false;
  ++depth;
  add(*addend);
  --depth;
  return true;
}

void IndexTerms::add(const Lanes &lanes) {
  Lanes at = lanes;
  Columns columns{0, 1, 1};
  for (unsigned step = 0; step < kMaxViews && at.front().getDefiningOp();
       ++step) {
    std::optional<Lanes> source = movedFrom(at, columns, /*keepsTokens=*/false);
    if (!source)
      break;
    at = *source;
  }
  auto op = at.front().getDefiningOp<linalg::GenericOp>();
  size_t count = terms.size();
  if (op && depth < kMaxSums && op->getNumResults() == 1 &&
      op.getNumLoops() == op.getNumParallelLoops() &&
      op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity()) {
    Value scalar = op.getBody()->getTerminator()->getOperand(0);
    if (scalar.getDefiningOp<arith::AddIOp>() ||
        scalar.getDefiningOp<arith::MulIOp>())
      if (addScalar(op, at, scalar))
        return;
  }
  terms.truncate(count);
  terms.push_back({lanes, Builder(at.front().getContext()).getIndexAttr(1)});
}

/// What a term is as a coordinate in a dimension, inside of which there are
/// the dimensions `inner` of `data`.
static std::optional<IndexLanes> readTerm(const IndexTerm &term, Value data,
                                          ArrayRef<int64_t> inner) {
  if (isProductOfDims(term.stride, data, inner))
    return readIndex(term.lanes, {0, 1, 1});
  // Of a constant, the step is part of the elements.
  int64_t step = 1;
  for (int64_t dim : inner)
    step *= typeOf(data).isDynamicDim(dim) ? 0 : typeOf(data).getDimSize(dim);
  DenseElementsAttr constant;
  if (step == 0 || !isConstantIntValue(term.stride, 1) ||
      !matchPattern(term.lanes.front(), m_Constant(&constant)))
    return std::nullopt;
  int64_t dim = countedDim(constant, step);
  return dim < 0 || term.lanes.dims[dim].empty()
             ? std::nullopt
             : std::optional(IndexLanes{term.lanes.dims[dim], {}});
}

std::optional<SmallVector<IndexLanes, 0>>
raise::readFlatIndex(const Lanes &lanes, Value data, ArrayRef<int64_t> dims) {
  IndexTerms index;
  index.add(lanes);
  if (index.terms.size() != dims.size())
    return std::nullopt;
  SmallVector<IndexLanes, 0> coordinates;
  for (auto [place, dim] : llvm::enumerate(dims)) {
    ArrayRef<int64_t> inner = dims.drop_front(place + 1);
    std::optional<IndexLanes> found;
    for (const IndexTerm &term : index.terms)
      if (std::optional<IndexLanes> read = readTerm(term, data, inner)) {
        if (found)
          return std::nullopt;
        found = read;
      }
    if (!found)
      return std::nullopt;
    // An id that does not exist would name an element of its neighbour.
    if (place > 0 && found->tokens.empty()) {
      Interval bounds = boundsOfIntegers(found->ids.front());
      if (typeOf(data).isDynamicDim(dim) || !(bounds.low >= 0) ||
          !(bounds.high < typeOf(data).getDimSize(dim)))
        return std::nullopt;
    }
    coordinates.push_back(*found);
  }
  return coordinates;
}
