// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Axes that only the run knows: of an operator's forms with constant axes, one
// for each set of them that is possible, one runs; or what is given for axes is
// looked for by each dimension.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include <functional>

using namespace mlir;
using namespace gatecc;

/// All sets of `count` of the axes in [0, rank).
static SmallVector<SmallVector<int64_t>>
setsOfAxes(int64_t rank, int64_t count,
           function_ref<bool(int64_t)> isPossible) {
  SmallVector<SmallVector<int64_t>> sets;
  for (uint64_t bits = 0; bits < uint64_t(1) << rank; ++bits) {
    if (llvm::popcount(bits) != count)
      continue;
    SmallVector<int64_t> axes;
    for (int64_t axis = 0; axis < rank; ++axis)
      if (bits >> axis & 1)
        axes.push_back(axis);
    if (!isPossible || llvm::all_of(axes, isPossible))
      sets.push_back(axes);
  }
  return sets;
}

/// The set of given axes as bits, the same whatever their order and signs; 0
/// where one is out of range.
static Value bitsOfAxes(GraphBuilder &g, ArrayRef<Extent> axes, int64_t rank) {
  OpBuilder &b = g.getBuilder();
  auto number = [&](int64_t value) {
    return arith::ConstantIndexOp::create(b, g.getLoc(), value).getResult();
  };
  Value bits = number(0), valid;
  for (const Extent &given : axes) {
    Scalars s(b, g.getLoc());
    Value axis = g.materialize(g.fromEither(given, Extent(rank)));
    Value inRange = arith::CmpIOp::create(
        b, g.getLoc(), arith::CmpIPredicate::ult, axis, number(rank));
    Value place = s.select(inRange, axis, number(0));
    Value bit = arith::ShLIOp::create(b, g.getLoc(), number(1), place);
    bits = arith::OrIOp::create(b, g.getLoc(), bits, bit);
    valid =
        valid ? arith::AndIOp::create(b, g.getLoc(), valid, inRange).getResult()
              : inRange;
  }
  return valid ? arith::SelectOp::create(b, g.getLoc(), valid, bits, number(0))
                     .getResult()
               : bits;
}

OperatorResults gatecc::onRunTimeAxes(GraphBuilder &g, const OperatorCall &call,
                                      unsigned position, bool addsAxes,
                                      OperatorFunction function,
                                      function_ref<bool(int64_t)> isPossible) {
  constexpr size_t kMostBranches = 16;
  constexpr int64_t kMostAxes = 8;
  Value operand = call.operand(position);
  if (!operand || g.knownConstants(operand))
    return function(g, call);
  auto given = g.runTimeInts(operand);
  if (!given)
    return function(g, call);
  int64_t count = given->size();
  int64_t rank = g.rankOf(call.operand(0)) + (addsAxes ? count : 0);
  if (rank > kMostAxes || count > rank)
    return function(g, call);
  SmallVector<SmallVector<int64_t>> sets = setsOfAxes(rank, count, isPossible);
  if (sets.empty() || sets.size() > kMostBranches)
    return function(g, call);
  auto build = [&](ArrayRef<int64_t> axes) {
    SmallVector<Value> operands(call.operands);
    Extents numbers(axes.begin(), axes.end());
    operands[position] = g.knownTensor(numbers, g.getBuilder().getI64Type(),
                                       g.rankOf(operand) == 0);
    OperatorCall known = call;
    known.operands = operands;
    return function(g, known);
  };
  if (sets.size() == 1 && count == 0)
    return build(sets.front());
  OpBuilder &b = g.getBuilder();
  Value bits = bitsOfAxes(g, *given, rank), isAny;
  SmallVector<Value> isSet;
  for (ArrayRef<int64_t> axes : sets) {
    uint64_t mask = 0;
    for (int64_t axis : axes)
      mask |= uint64_t(1) << axis;
    isSet.push_back(arith::CmpIOp::create(
        b, g.getLoc(), arith::CmpIPredicate::eq, bits,
        arith::ConstantIndexOp::create(b, g.getLoc(), int64_t(mask))));
    isAny = isAny ? arith::OrIOp::create(b, g.getLoc(), isAny, isSet.back())
                        .getResult()
                  : isSet.back();
  }
  g.check(isAny,
          "expects axes that differ, that are in range for rank " +
              Twine(rank) + " and that fit to the shape",
          {});
  std::function<OperatorResults(size_t)> buildFrom =
      [&](size_t first) -> OperatorResults {
    if (first + 1 == sets.size())
      return build(sets[first]);
    return buildBranches(
        g, isSet[first], call.numResults, [&] { return build(sets[first]); },
        [&] { return buildFrom(first + 1); });
  };
  return buildFrom(0);
}

FailureOr<Extents> gatecc::alongDimensions(GraphBuilder &g,
                                           ArrayRef<Extent> axes,
                                           ArrayRef<Extent> values,
                                           Extents result) {
  int64_t rank = result.size();
  for (auto [given, value] : llvm::zip_equal(axes, values)) {
    if (given.isConstant()) {
      FailureOr<int64_t> axis = axisOf(g, given.getConstant(), rank);
      if (failed(axis))
        return failure();
      result[*axis] = value;
      continue;
    }
    Extent axis = g.fromEither(given, Extent(rank));
    Value inRange = g.compare(arith::CmpIPredicate::ult, axis, Extent(rank));
    g.check(inRange, "axis {0} is out of range for a tensor of rank {1}",
            {given, Extent(rank)});
    for (int64_t dim = 0; dim < rank; ++dim)
      result[dim] =
          g.choose(g.compare(arith::CmpIPredicate::eq, axis, Extent(dim)),
                   value, result[dim]);
  }
  return result;
}
