// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds sums over the choices of a row.
#include "ChoiceSum.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

namespace {

/// A product that sums over choices, written as a sum of products.
class ProductSum {
public:
  ProductSum(GraphBuilder &graph, linalg::GenericOp op, ExpertWork &work)
      : b(graph.getBuilder()), loc(op.getLoc()), op(op), work(work) {}

  std::optional<ChoiceSum> split();

private:
  bool isInside(Value value) const {
    Operation *source = value.getDefiningOp();
    return source && work.inside.contains(source);
  }
  template <typename Op> Op note(Op made, bool isWork) {
    if (isWork)
      work.inside.insert(made);
    return made;
  }
  /// Sorts the loops: rows, choices, columns. Loops of one iteration are left
  /// out. False if `numbers` are not one for each row and choice.
  bool sortLoops(const ProductMatch &product, AffineMap numbers,
                 AffineMap rows);
  /// Takes the factors that the work does not compute off the numbers: null if
  /// there are none; `numbers` is null if nothing else is left.
  Value takeFactors(Value &numbers);
  Value multiply(Value a, AffineMap aMap, Value b, AffineMap bMap,
                 ArrayRef<OpFoldResult> sizes, bool isWork);

  OpBuilder &b;
  Location loc;
  linalg::GenericOp op;
  ExpertWork &work;
  SmallVector<unsigned> loops;
  ChoiceSum sum;
};

} // namespace

bool ProductSum::sortLoops(const ProductMatch &product, AffineMap numbers,
                           AffineMap rows) {
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  bool hasColumns = false;
  loops.clear();
  for (AffineExpr expr :
       op.getMatchingIndexingMap(op.getDpsInitOperand(0)).getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      return false;
    unsigned loop = dim.getPosition();
    bool isRow = !hasColumns && numbers.isFunctionOfDim(loop);
    if (extents[loop] == 1 && !hasColumns &&
        !(isRow && rows.isFunctionOfDim(loop))) {
      ++sum.resultRows;
      continue;
    }
    if (!rows.isFunctionOfDim(loop) ||
        (hasColumns && numbers.isFunctionOfDim(loop)))
      return false;
    if (isRow) {
      ++sum.resultRows;
    } else if (!hasColumns) {
      hasColumns = true;
      sum.axis = loops.size();
      loops.push_back(product.reduced);
    }
    loops.push_back(loop);
  }
  return hasColumns && sum.axis > 0 &&
         numbers.isFunctionOfDim(product.reduced) &&
         rows.isFunctionOfDim(product.reduced);
}

Value ProductSum::multiply(Value x, AffineMap xMap, Value y, AffineMap yMap,
                           ArrayRef<OpFoldResult> sizes, bool isWork) {
  Value init = tensor::EmptyOp::create(b, loc, sizes, b.getF32Type());
  unsigned rank = sizes.size();
  return note(linalg::GenericOp::create(
                  b, loc, init.getType(), ValueRange{x, y}, init,
                  ArrayRef{xMap, yMap, b.getMultiDimIdentityMap(rank)},
                  SmallVector<utils::IteratorType>(
                      rank, utils::IteratorType::parallel),
                  [](OpBuilder &at, Location where, ValueRange values) {
                    linalg::YieldOp::create(
                        at, where,
                        arith::MulFOp::create(at, where, values[0], values[1])
                            .getResult());
                  }),
              isWork)
      .getResult(0);
}

Value ProductSum::takeFactors(Value &numbers) {
  if (!isInside(numbers)) {
    Value all = numbers;
    numbers = Value();
    return all;
  }
  // Views between the numbers and the products that they are made by.
  SmallVector<Operation *> views;
  Value inner = numbers, factors;
  while (true) {
    Operation *source = inner.getDefiningOp();
    if (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp,
                        tensor::CastOp>(source) &&
        !factors) {
      views.push_back(source);
      inner = source->getOperand(0);
      continue;
    }
    linalg::GenericOp product = matchBinary<arith::MulFOp>(inner);
    if (!product || !isInside(inner) ||
        !llvm::all_of(product.getIndexingMapsArray(),
                      [](AffineMap map) { return map.isIdentity(); }))
      break;
    Value left = product.getDpsInputs()[0], right = product.getDpsInputs()[1];
    if (isInside(left) == isInside(right))
      break;
    Value factor = isInside(left) ? right : left;
    inner = isInside(left) ? left : right;
    AffineMap identity = b.getMultiDimIdentityMap(typeOf(factor).getRank());
    factors = factors ? multiply(factor, identity, factors, identity,
                                 tensor::getMixedSizes(b, loc, factor),
                                 /*isWork=*/false)
                      : factor;
  }
  if (!factors)
    return {};
  auto viewed = [&](Value value, bool isWork) {
    for (Operation *view : llvm::reverse(views)) {
      IRMapping mapping;
      mapping.map(view->getOperand(0), value);
      value = note(b.clone(*view, mapping), isWork)->getResult(0);
    }
    return value;
  };
  numbers = viewed(inner, /*isWork=*/true);
  return viewed(factors, /*isWork=*/false);
}

std::optional<ChoiceSum> ProductSum::split() {
  std::optional<ProductMatch> found = matchProduct(op.getResult(0));
  if (!found)
    return std::nullopt;
  ProductMatch product = withoutTransposes(*found);
  if (!typeOf(product.a).getElementType().isF32() ||
      !typeOf(product.b).getElementType().isF32())
    return std::nullopt;
  if (!sortLoops(product, product.aMap, product.bMap)) {
    std::swap(product.a, product.b);
    std::swap(product.aMap, product.bMap);
    sum = {};
    if (!sortLoops(product, product.aMap, product.bMap))
      return std::nullopt;
  }
  if (!isInside(product.a) && !isInside(product.b))
    return std::nullopt;
  SmallVector<Range> ranges =
      cast<linalg::LinalgOp>(op.getOperation()).createLoopRanges(b, loc);
  SmallVector<OpFoldResult> sizes;
  SmallVector<AffineExpr> places(op.getNumLoops(), b.getAffineConstantExpr(0));
  for (auto [place, loop] : llvm::enumerate(loops)) {
    sizes.push_back(ranges[loop].size);
    places[loop] = b.getAffineDimExpr(place);
  }
  auto placed = [&](AffineMap map) {
    return map.replaceDimsAndSymbols(places, {}, loops.size(), 0);
  };
  Value numbers = product.a, rows = product.b;
  AffineMap numberMap = placed(product.aMap), rowMap = placed(product.bMap);
  Value factors = takeFactors(numbers);
  if (numbers) {
    rows = multiply(numbers, numberMap, rows, rowMap, sizes, /*isWork=*/true);
    rowMap = b.getMultiDimIdentityMap(loops.size());
  }
  if (factors)
    rows = multiply(rows, rowMap, factors, numberMap, sizes, /*isWork=*/true);
  sum.input = rows;
  return sum;
}

/// Whether the last dimensions of the ids are so many choices; the decision
/// then has them all, whatever dimensions (heads) they are along.
static bool haveChoices(Decision &decision, int64_t choices) {
  int64_t count = 1;
  for (int64_t extent : llvm::reverse(typeOf(decision.ids).getShape())) {
    if (ShapedType::isDynamic(extent) || count == choices)
      break;
    count *= extent;
  }
  if (count == choices)
    decision.choices = choices;
  return count == choices;
}

std::optional<ChoiceSum>
raise::matchChoiceSum(GraphBuilder &graph, Operation *op, ExpertWork &work) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumReductionLoops() != 1 ||
      generic->getNumResults() != 1 ||
      !typeOf(op->getResult(0)).getElementType().isF32())
    return std::nullopt;
  SmallVector<unsigned> reduced;
  generic.getReductionDims(reduced);
  int64_t extent = generic.getStaticLoopRanges()[reduced.front()],
          choices = work.decision.choices;
  std::optional<SumMatch> sum = matchSum(op);
  if ((sum && sum->axis == 0) || (!sum && !matchProduct(op->getResult(0))))
    return std::nullopt;
  if (extent != choices &&
      (ShapedType::isDynamic(extent) || !work.links.empty() ||
       !haveChoices(work.decision, extent)))
    return std::nullopt;
  if (sum)
    return ChoiceSum{sum->input, sum->axis, sum->axis};
  std::optional<ChoiceSum> split = ProductSum(graph, generic, work).split();
  if (!split)
    work.decision.choices = choices;
  return split;
}

void raise::discardUnused(Operation *begin, Operation *end, ExpertWork &work) {
  Operation *op = end->getPrevNode();
  while (op != begin) {
    Operation *previous = op->getPrevNode();
    if (op->use_empty()) {
      work.inside.erase(op);
      op->erase();
    }
    op = previous;
  }
}
