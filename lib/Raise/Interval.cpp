// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Interval arithmetic in double, rounded outwards, on the scalar ops of arith
// and math.
#include "Interval.h"

#include "dialects/Gate/IR/FloatTypes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/TypeSwitch.h"
#include <algorithm>
#include <cfloat>
#include <cmath>

using namespace mlir;
using namespace gatecc;
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

Interval gatecc::raise::roundedTo(Type type, Interval exact) {
  if (!gate::isNarrowFloat(type))
    return exact;
  // f16 has 11 digits and bf16 8.
  double ulp = type.isF16() ? 0x1p-10 : 0x1p-7;
  double least = type.isF16() ? 0x1p-24 : 0x1p-126;
  double most = type.isF16() ? 65504.0 : 0x1.fep127;
  auto outwards = [&](double bound, double away) {
    if (bound == 0 || std::isinf(bound))
      return bound;
    bound += away * (std::fabs(bound) * ulp + least);
    return std::fabs(bound) > most ? std::copysign(kInfinity, bound) : bound;
  };
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
        double bits = op->getOperand(0).getType().getIntOrFloatBitWidth();
        return x[0].low < 0 ? Interval{0, std::ldexp(1.0, bits)}
                            : rounded(x[0]);
      })
      .Case([&](arith::SIToFPOp) {
        // A bit is -1 to what takes its sign.
        return op->getOperand(0).getType().isInteger(1) ? Interval{-1, 0}
                                                        : rounded(x[0]);
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
      .Case<arith::ExtFOp, arith::TruncFOp>([&](Operation *) { return x[0]; })
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

/// Whole numbers up to here are doubles.
static constexpr double kMostExact = 0x1p+53;

/// The values of a type of integers; bits are 0 and 1.
static Interval valuesOf(Type type) {
  double bits = isa<IndexType>(type) ? 64 : type.getIntOrFloatBitWidth();
  return bits == 1 ? Interval{0, 1}
                   : Interval{-std::ldexp(1.0, bits - 1),
                              std::ldexp(1.0, bits - 1) - 1};
}

/// Integer arithmetic wraps around, so that what may leave the type, or is too
/// large to be counted here, is anything.
static Interval asInteger(Interval exact, Type type) {
  Interval whole = valuesOf(type);
  bool fits = exact.low >= std::max(whole.low, -kMostExact) &&
              exact.high <= std::min(whole.high, kMostExact);
  return fits ? Interval{exact.low, exact.high} : whole;
}

static Interval evaluateInteger(Operation *op, ArrayRef<Interval> x) {
  Type type = op->getResult(0).getType();
  Type from = op->getNumOperands() ? op->getOperand(0).getType() : type;
  Interval whole = valuesOf(type);
  bool isConstant = x.size() == 2 && x[1].low == x[1].high;
  Interval result =
      llvm::TypeSwitch<Operation *, Interval>(op)
          .Case([&](arith::AddIOp) {
            return Interval{x[0].low + x[1].low, x[0].high + x[1].high};
          })
          .Case([&](arith::SubIOp) {
            return Interval{x[0].low - x[1].high, x[0].high - x[1].low};
          })
          .Case([&](arith::MulIOp) {
            double products[] = {x[0].low * x[1].low, x[0].low * x[1].high,
                                 x[0].high * x[1].low, x[0].high * x[1].high};
            return Interval{
                *std::min_element(std::begin(products), std::end(products)),
                *std::max_element(std::begin(products), std::end(products))};
          })
          .Case([&](arith::DivSIOp) {
            return isConstant && x[1].low > 0
                       ? Interval{std::trunc(x[0].low / x[1].low),
                                  std::trunc(x[0].high / x[1].low)}
                       : whole;
          })
          .Case([&](arith::RemSIOp) {
            double most = std::fabs(x[1].low) - 1;
            return isConstant && most >= 0
                       ? Interval{x[0].low >= 0 ? 0 : std::max(x[0].low, -most),
                                  x[0].high <= 0 ? 0
                                                 : std::min(x[0].high, most)}
                       : whole;
          })
          .Case([&](arith::MaxSIOp) {
            return Interval{std::max(x[0].low, x[1].low),
                            std::max(x[0].high, x[1].high)};
          })
          .Case([&](arith::MinSIOp) {
            return Interval{std::min(x[0].low, x[1].low),
                            std::min(x[0].high, x[1].high)};
          })
          .Case([&](arith::AndIOp) {
            if (x[0].low < 0 && x[1].low < 0)
              return whole;
            return Interval{0, x[0].low < 0   ? x[1].high
                               : x[1].low < 0 ? x[0].high
                                              : std::min(x[0].high, x[1].high)};
          })
          .Case([&](arith::SelectOp) { return join(x[1], x[2]); })
          // A bit is -1 to what takes its sign.
          .Case<arith::ExtSIOp, arith::IndexCastOp>([&](Operation *) {
            return from.isInteger(1) ? Interval{-1, 0} : x[0];
          })
          .Case([&](arith::ExtUIOp) { return x[0].low < 0 ? whole : x[0]; })
          .Case([&](arith::TruncIOp) { return x[0]; })
          .Default([&](Operation *) { return whole; });
  // The others give back what they were given, or something nearer to 0.
  if (isa<arith::AddIOp, arith::SubIOp, arith::MulIOp, arith::DivSIOp>(op))
    return asInteger(result, type);
  return result.low >= whole.low && result.high <= whole.high ? result : whole;
}

/// A constant, or what is known.
static Interval lookUp(Value value, const DenseMap<Value, Interval> &known) {
  auto it = known.find(value);
  if (value.getType().isIntOrIndex()) {
    Interval whole = valuesOf(value.getType());
    if (it != known.end())
      return {std::max(it->second.low, whole.low),
              std::min(it->second.high, whole.high)};
    IntegerAttr integer;
    if (!matchPattern(value, m_Constant(&integer)) ||
        !integer.getValue().isSignedIntN(64))
      return whole;
    double number = value.getType().isInteger(1)
                        ? integer.getValue().getZExtValue()
                        : integer.getValue().getSExtValue();
    return asInteger({number, number}, value.getType());
  }
  if (it != known.end())
    return it->second;
  FloatAttr constant;
  if (!matchPattern(value, m_Constant(&constant)) ||
      !gate::computedIn(constant.getType()).isF32())
    return Interval::anything();
  double number = constant.getValueAsDouble();
  return std::isnan(number) ? Interval::anything() : Interval{number, number};
}

/// A choice of integers by a comparison of one of them with a constant: each
/// side is chosen where the comparison says so.
static Interval evaluateChoice(arith::SelectOp select,
                               const DenseMap<Value, Interval> &known) {
  Interval taken = lookUp(select.getTrueValue(), known),
           other = lookUp(select.getFalseValue(), known);
  auto compare = select.getCondition().getDefiningOp<arith::CmpIOp>();
  if (!compare)
    return join(taken, other);
  Value number = compare.getLhs();
  Interval all = lookUp(number, known), limit = lookUp(compare.getRhs(), known);
  bool isBelow = compare.getPredicate() == arith::CmpIPredicate::slt,
       isAbove = compare.getPredicate() == arith::CmpIPredicate::sge;
  if ((!isBelow && !isAbove) || limit.low != limit.high)
    return join(taken, other);
  Interval low{all.low, std::min(all.high, limit.low - 1)},
      high{std::max(all.low, limit.low), all.high};
  auto narrowed = [&](Value value, Interval wide, Interval part) {
    auto sum = value.getDefiningOp<arith::AddIOp>();
    if (value == number)
      return part;
    if (!sum || sum.getLhs() != number)
      return wide;
    Interval added = lookUp(sum.getRhs(), known);
    return asInteger({part.low + added.low, part.high + added.high},
                     value.getType());
  };
  Interval chosen =
               narrowed(select.getTrueValue(), taken, isBelow ? low : high),
           left = narrowed(select.getFalseValue(), other, isBelow ? high : low);
  // A side that is never chosen has no values.
  if ((isBelow ? low : high).low > (isBelow ? low : high).high)
    return left;
  if ((isBelow ? high : low).low > (isBelow ? high : low).high)
    return chosen;
  return join(chosen, left);
}

Interval gatecc::raise::evaluateScalar(Value value, Block &block,
                                       DenseMap<Value, Interval> &known) {
  for (Operation &op : block.without_terminator()) {
    if (op.getNumResults() != 1 || known.contains(op.getResult(0)))
      continue;
    Value result = op.getResult(0);
    if (auto choice = dyn_cast<scf::IfOp>(op)) {
      known[result] = join(evaluateScalar(choice.thenYield()->getOperand(0),
                                          *choice.thenBlock(), known),
                           evaluateScalar(choice.elseYield()->getOperand(0),
                                          *choice.elseBlock(), known));
      continue;
    }
    SmallVector<Interval> operands;
    for (Value operand : op.getOperands())
      operands.push_back(lookUp(operand, known));
    Attribute constant;
    if (matchPattern(result, m_Constant(&constant))) {
      known[result] = lookUp(result, known);
      continue;
    }
    if (result.getType().isIntOrIndex()) {
      auto select = dyn_cast<arith::SelectOp>(op);
      known[result] = select ? evaluateChoice(select, known)
                             : evaluateInteger(&op, operands);
      continue;
    }
    if (!gate::computedIn(result.getType()).isF32()) {
      known[result] = Interval::anything();
      continue;
    }
    known[result] = roundedTo(result.getType(),
                              evaluateOp(&op, operands, [&](unsigned other) {
                                return op.getOperand(0) == op.getOperand(other);
                              }));
  }
  return lookUp(value, known);
}
