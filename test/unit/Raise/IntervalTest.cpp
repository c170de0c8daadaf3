// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Intervals hold what f32 arithmetic gives: functions as networks have them, on
// numbers at and between the ends of their intervals, infinities included.
#include "lib/Raise/Interval.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "gtest/gtest.h"
#include <cfloat>
#include <cmath>

using namespace mlir;
using namespace gatecc::raise;

namespace {
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class IntervalTest : public ::testing::Test {
protected:
  IntervalTest() : builder(&context) {
    context.loadDialect<arith::ArithDialect, math::MathDialect,
                        linalg::LinalgDialect>();
    block.addArgument(builder.getF32Type(), builder.getUnknownLoc());
    block.addArgument(builder.getF32Type(), builder.getUnknownLoc());
    builder.setInsertionPointToEnd(&block);
  }

  Value x() { return block.getArgument(0); }
  Value y() { return block.getArgument(1); }
  Value number(double value) {
    return arith::ConstantOp::create(builder, builder.getUnknownLoc(),
                                     builder.getF32FloatAttr(value));
  }
  template <typename Op, typename... Operands> Value op(Operands... operands) {
    return Op::create(builder, builder.getUnknownLoc(), operands...);
  }
  Value sigmoid(Value value) {
    Value e = op<math::ExpOp>(op<arith::NegFOp>(value));
    return op<arith::DivFOp>(number(1), op<arith::AddFOp>(e, number(1)));
  }
  /// The interval of `value` for x and y in these.
  Interval of(Value value, Interval x, Interval y = {}) {
    if (!terminator)
      terminator =
          linalg::YieldOp::create(builder, builder.getUnknownLoc(), value);
    DenseMap<Value, Interval> known{{block.getArgument(0), x},
                                    {block.getArgument(1), y}};
    return evaluateScalar(value, block, known);
  }

  MLIRContext context;
  OpBuilder builder;
  Block block;
  Operation *terminator = nullptr;
};

bool holds(Interval interval, float number) {
  return std::isnan(number) ? interval.mayBeNaN
                            : double(number) >= interval.low &&
                                  double(number) <= interval.high;
}

const float kEnds[] = {-kInfinity, -FLT_MAX, -1e20f, -100, -1.5f,   -0.0f,
                       1e-40f,     0.5f,     3,      1e5f, FLT_MAX, kInfinity};

/// Tries a function on intervals between all pairs of ends.
template <typename Function>
void tryAll(llvm::function_ref<Interval(Interval)> evaluate,
            Function function) {
  for (float low : kEnds)
    for (float high : kEnds) {
      if (!(low <= high))
        continue;
      Interval interval = evaluate({low, high});
      for (float number : kEnds)
        if (number >= low && number <= high)
          EXPECT_TRUE(holds(interval, function(number)))
              << number << " in [" << low << ", " << high << "] gives "
              << function(number) << ", not in [" << interval.low << ", "
              << interval.high << "]";
    }
}
} // namespace

TEST_F(IntervalTest, Silu) {
  Value silu = op<arith::MulFOp>(x(), sigmoid(x()));
  tryAll([&](Interval each) { return of(silu, each); },
         [](float v) { return v * (1 / (std::exp(-v) + 1)); });
  Interval bounded = of(silu, Interval::symmetric(1e30));
  EXPECT_TRUE(bounded.isFinite()); // exp overflows on the way, harmlessly
}

TEST_F(IntervalTest, Square) {
  Value square = op<arith::MulFOp>(x(), x());
  tryAll([&](Interval each) { return of(square, each); },
         [](float v) { return v * v; });
  EXPECT_EQ(of(square, {-2, 1}).low, 0);
}

TEST_F(IntervalTest, Gelu) {
  Value erf = op<math::ErfOp>(op<arith::MulFOp>(x(), number(M_SQRT1_2)));
  Value gelu = op<arith::MulFOp>(op<arith::MulFOp>(x(), number(0.5)),
                                 op<arith::AddFOp>(erf, number(1)));
  tryAll(
      [&](Interval each) { return of(gelu, each); },
      [](float v) { return v * 0.5f * (std::erf(v * float(M_SQRT1_2)) + 1); });
  EXPECT_TRUE(of(gelu, Interval::symmetric(1e38)).isFinite());
}

TEST_F(IntervalTest, QuotientsDifferencesRoots) {
  Value quotient = op<arith::DivFOp>(number(2), x());
  Value difference = op<arith::SubFOp>(x(), x());
  Value root = op<math::SqrtOp>(op<arith::MaximumFOp>(x(), number(0)));
  tryAll([&](Interval each) { return of(quotient, each); },
         [](float v) { return 2 / v; });
  tryAll([&](Interval each) { return of(difference, each); },
         [](float v) { return v - v; });
  tryAll([&](Interval each) { return of(root, each); },
         [](float v) { return std::sqrt(std::max(v, 0.0f)); });
}

TEST_F(IntervalTest, ZeroTimesWhatMayBeInfiniteIsAnything) {
  Value product = op<arith::MulFOp>(x(), y());
  EXPECT_TRUE(of(product, {-FLT_MAX, FLT_MAX}, {0, 0}).isZero());
  EXPECT_TRUE(of(product, {-FLT_MAX, double(kInfinity)}, {0, 0}).mayBeNaN);
  EXPECT_TRUE(of(product, {0, 1, /*mayBeNaN=*/true}, {0, 0}).mayBeNaN);
}

TEST_F(IntervalTest, OpsThatAreNotKnownGiveAnything) {
  Value power = op<math::PowFOp>(x(), y());
  EXPECT_TRUE(of(power, {1, 2}, {1, 2}).mayBeNaN);
  EXPECT_FALSE(of(power, {1, 2}, {2, 2}).mayBeNaN);
  EXPECT_TRUE(of(power, {-1, 2}, {0.5, 0.5}).mayBeNaN);
}
