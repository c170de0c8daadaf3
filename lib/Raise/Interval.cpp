// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Interval arithmetic in double, rounded outwards, on the scalar ops of arith
// and math.
#include "Interval.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/TypeSwitch.h"
#include <algorithm>
#include <cfloat>
#include <cmath>

using namespace mlir;
using namespace gatecc::raise;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// More than any implementation of an elementary function in f32 is off by.
static constexpr double kFunctionUlps = 1024;

Interval Interval::symmetric(double bound) {
  return bound >= 0 ? Interval{-bound, bound} : anything();
}

bool Interval::isFinite() const {
  return !mayBeNaN && low >= -double(FLT_MAX) && high <= double(FLT_MAX);
}

double Interval::magnitude() const {
  return std::max(std::fabs(low), std::fabs(high));
}

Interval gatecc::raise::rounded(Interval exact, double ulps) {
  auto outwards = [&](double bound, double away) {
    if (bound == 0 || std::isinf(bound))
      return bound;
    bound += away * (std::fabs(bound) * ulps * 0x1p-23 + 0x1p-126);
    return std::fabs(bound) > double(FLT_MAX) ? std::copysign(kInfinity, bound)
                                              : bound;
  };
  if (std::isnan(exact.low) || std::isnan(exact.high))
    return Interval::anything();
  return {outwards(exact.low, -1), outwards(exact.high, 1), exact.mayBeNaN};
}

Interval gatecc::raise::join(Interval a, Interval b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high),
          a.mayBeNaN || b.mayBeNaN};
}

//===-- Arithmetic --------------------------------------------------------===//

static Interval negate(Interval a) { return {-a.high, -a.low, a.mayBeNaN}; }

static Interval add(Interval a, Interval b) {
  bool cancels = (a.high == kInfinity && b.low == -kInfinity) ||
                 (a.low == -kInfinity && b.high == kInfinity);
  if (cancels)
    return Interval::anything();
  return rounded({a.low + b.low, a.high + b.high, a.mayBeNaN || b.mayBeNaN});
}

static bool hasZero(Interval a) { return a.low <= 0 && a.high >= 0; }
static bool hasInfinity(Interval a) { return std::isinf(a.magnitude()); }

static Interval multiply(Interval a, Interval b) {
  if ((hasZero(a) && hasInfinity(b)) || (hasZero(b) && hasInfinity(a)))
    return Interval::anything();
  double products[] = {a.low * b.low, a.low * b.high, a.high * b.low,
                       a.high * b.high};
  return rounded({*std::min_element(std::begin(products), std::end(products)),
                  *std::max_element(std::begin(products), std::end(products)),
                  a.mayBeNaN || b.mayBeNaN});
}

static Interval divide(Interval a, Interval b) {
  if (hasZero(b) || (hasInfinity(a) && hasInfinity(b)))
    return Interval::anything();
  double quotients[] = {a.low / b.low, a.low / b.high, a.high / b.low,
                        a.high / b.high};
  return rounded({*std::min_element(std::begin(quotients), std::end(quotients)),
                  *std::max_element(std::begin(quotients), std::end(quotients)),
                  a.mayBeNaN || b.mayBeNaN});
}

/// A function that does not fall, applied to both ends.
static Interval monotone(Interval a, double (*function)(double)) {
  return rounded({function(a.low), function(a.high), a.mayBeNaN},
                 kFunctionUlps);
}

static Interval clampTo(Interval a, double low, double high) {
  return {std::clamp(a.low, low, high), std::clamp(a.high, low, high),
          a.mayBeNaN};
}

static Interval absolute(Interval a) {
  return {hasZero(a) ? 0 : std::min(std::fabs(a.low), std::fabs(a.high)),
          a.magnitude(), a.mayBeNaN};
}

/// x^p for a constant p.
static Interval power(Interval a, double p) {
  if (p == 0)
    return {1, 1};
  bool isInteger = p == std::floor(p) && std::fabs(p) < 64;
  if (p < 0 || (a.low < 0 && !isInteger))
    return Interval::anything();
  bool isEven = isInteger && std::fmod(p, 2) == 0;
  Interval base = isEven ? absolute(a) : a;
  return rounded({std::pow(base.low, p), std::pow(base.high, p), a.mayBeNaN},
                 kFunctionUlps);
}

//===-- Ops ---------------------------------------------------------------===//

/// The bits of the integer that an op converts.
static int widthOf(Operation *op) {
  return int(op->getOperand(0).getType().getIntOrFloatBitWidth());
}

static Interval evaluateOp(Operation *op, ArrayRef<Interval> x,
                           function_ref<bool(unsigned)> isSame) {
  bool mayBeNaN = llvm::any_of(x, [](Interval each) { return each.mayBeNaN; });
  return llvm::TypeSwitch<Operation *, Interval>(op)
      .Case([&](arith::AddFOp) { return add(x[0], x[1]); })
      .Case([&](arith::SubFOp) { return add(x[0], negate(x[1])); })
      .Case([&](arith::MulFOp) {
        Interval product = multiply(x[0], x[1]);
        // A square is not negative.
        if (isSame(1) && !product.mayBeNaN)
          product.low = std::max(product.low, 0.0);
        return product;
      })
      .Case([&](arith::DivFOp) { return divide(x[0], x[1]); })
      .Case([&](math::FmaOp) { return add(multiply(x[0], x[1]), x[2]); })
      .Case([&](arith::UIToFPOp) {
        return Interval{0, std::ldexp(1.0, widthOf(op))};
      })
      .Case([&](arith::SIToFPOp) {
        double bound = std::ldexp(1.0, widthOf(op) - 1);
        return Interval{-bound, bound};
      })
      .Case([&](arith::NegFOp) { return negate(x[0]); })
      .Case([&](arith::MaximumFOp) {
        return Interval{std::max(x[0].low, x[1].low),
                        std::max(x[0].high, x[1].high), mayBeNaN};
      })
      .Case([&](arith::MinimumFOp) {
        return Interval{std::min(x[0].low, x[1].low),
                        std::min(x[0].high, x[1].high), mayBeNaN};
      })
      // These take the other operand where one is NaN.
      .Case<arith::MaxNumFOp, arith::MinNumFOp>(
          [&](Operation *) { return join(x[0], x[1]); })
      .Case([&](arith::SelectOp) { return join(x[1], x[2]); })
      .Case([&](math::AbsFOp) { return absolute(x[0]); })
      .Case([&](math::ExpOp) {
        Interval result = monotone(x[0], std::exp);
        result.low = std::max(result.low, 0.0);
        return result;
      })
      .Case([&](math::Exp2Op) {
        Interval result = monotone(x[0], std::exp2);
        result.low = std::max(result.low, 0.0);
        return result;
      })
      .Case([&](math::ExpM1Op) { return monotone(x[0], std::expm1); })
      .Case([&](math::TanhOp) {
        return clampTo(monotone(x[0], std::tanh), -1.0001, 1.0001);
      })
      .Case([&](math::ErfOp) {
        return clampTo(monotone(x[0], std::erf), -1.0001, 1.0001);
      })
      .Case([&](math::AtanOp) { return monotone(x[0], std::atan); })
      .Case<math::FloorOp, math::CeilOp, math::RoundOp, math::RoundEvenOp,
            math::TruncOp>([&](Operation *) {
        return Interval{std::floor(x[0].low), std::ceil(x[0].high), mayBeNaN};
      })
      .Case([&](math::SqrtOp) {
        return x[0].low < 0 ? Interval::anything() : monotone(x[0], std::sqrt);
      })
      .Case([&](math::LogOp) {
        return x[0].low < 0 ? Interval::anything() : monotone(x[0], std::log);
      })
      .Case([&](math::Log1pOp) {
        return x[0].low < -0.5 ? Interval::anything()
                               : monotone(x[0], std::log1p);
      })
      .Case<math::SinOp, math::CosOp>([&](Operation *) {
        return hasInfinity(x[0]) ? Interval::anything()
                                 : Interval{-1.0001, 1.0001, mayBeNaN};
      })
      .Case([&](math::PowFOp) {
        return x[1].low == x[1].high && !x[1].mayBeNaN ? power(x[0], x[1].low)
                                                       : Interval::anything();
      })
      .Default([](Operation *) { return Interval::anything(); });
}

/// A constant, or what is known.
static Interval lookUp(Value value, const DenseMap<Value, Interval> &known) {
  if (auto it = known.find(value); it != known.end())
    return it->second;
  FloatAttr constant;
  if (!matchPattern(value, m_Constant(&constant)) ||
      !constant.getType().isF32())
    return Interval::anything();
  double number = constant.getValueAsDouble();
  return std::isnan(number) ? Interval::anything() : Interval{number, number};
}

Interval gatecc::raise::evaluateScalar(Value value, Block &block,
                                       DenseMap<Value, Interval> &known) {
  for (Operation &op : block.without_terminator()) {
    if (op.getNumResults() != 1 || known.contains(op.getResult(0)))
      continue;
    SmallVector<Interval> operands;
    for (Value operand : op.getOperands())
      operands.push_back(lookUp(operand, known));
    Value result = op.getResult(0);
    if (!isa<FloatType>(result.getType()) || !result.getType().isF32()) {
      known[result] = Interval::anything();
      continue;
    }
    Attribute constant;
    if (matchPattern(result, m_Constant(&constant))) {
      known[result] = lookUp(result, known);
      continue;
    }
    known[result] = evaluateOp(&op, operands, [&](unsigned other) {
      return op.getOperand(0) == op.getOperand(other);
    });
  }
  return lookUp(value, known);
}
