// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RNN, GRU and LSTM over a constant number of steps, one after another. The
// products with the inputs of all steps are one product.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace gatecc;

/// Each step is a copy of the cell.
static constexpr int64_t maxSteps = 256;

namespace {
/// An activation function with its numbers.
struct Function {
  std::string name;
  double alpha, beta;
};

/// An operator with the operands that all directions share.
class Recurrence {
public:
  Recurrence(GraphBuilder &g, const OperatorCall &call) : g(g), call(call) {}
  OperatorResults run();

private:
  struct States {
    Value hidden, cell; // [B, H]
  };
  LogicalResult readShapes();
  LogicalResult readFunctions();
  LogicalResult runDirection(unsigned direction, bool backwards);
  FailureOr<States> step(Value fromInput, const States &old);
  /// `value` for sequences that reach step `at`, else `otherwise`, or 0.
  FailureOr<Value> reached(int64_t at, Value value, Value otherwise);
  FailureOr<Value> part(Value operand, int64_t direction, Extents shape);
  /// The same in the type that is computed in.
  FailureOr<Value> widePart(Value operand, int64_t direction, Extents shape);
  Value columns(Value tensor, unsigned block, unsigned count = 1);
  FailureOr<Value> joined(ArrayRef<Value> operands, ScalarBody body);
  Value apply(OpBuilder &at, Location loc, unsigned function, Value x);
  Value clipped(OpBuilder &at, Location loc, Value x);

  GraphBuilder &g;
  const OperatorCall &call;
  unsigned gates = 1;
  int64_t perDirection = 1; // functions of a direction
  int64_t hidden = 0, steps = 0, directions = 1;
  bool batchFirst = false;
  Extent batch, inputs;
  Value input;             // [T, B, I]
  Value lengths;           // [B, 1], or null
  Type inputType, element; // X's, and what is computed in
  std::vector<Function> functions;
  // Of the direction that is being built:
  ArrayRef<Function> current;
  Value recurrent, recurrentBias, peepholes;
  SmallVector<SmallVector<Value>> outputs; // of each direction and step
  SmallVector<States> finals;
};
} // namespace

LogicalResult Recurrence::readShapes() {
  for (Value operand : {call.operand(0), call.operand(1), call.operand(2)})
    if (failed(checkFloat(g, operand)) || g.rankOf(operand) != 3)
      return g.fail("expects floats of rank 3 as X, W and R");
  gates = call.op == "LSTM" ? 4 : call.op == "GRU" ? 3 : 1;
  perDirection = call.op == "LSTM" ? 3 : call.op == "GRU" ? 2 : 1;
  StringRef direction = call.string("direction", "forward");
  if (!llvm::is_contained({"forward", "reverse", "bidirectional"}, direction))
    return g.fail("does not support the direction '" + direction + "'");
  directions = direction == "bidirectional" ? 2 : 1;
  batchFirst = call.integer("layout", 0) != 0;
  Extents shape = g.shapeOf(call.operand(2));
  if (!shape[2].isConstant() || shape[2].getConstant() < 1)
    return g.fail("supports only a hidden size that is constant");
  hidden = shape[2].getConstant();
  input = call.operand(0);
  if (batchFirst)
    input = g.transpose(input, {1, 0, 2});
  inputType = elementOf(input);
  element = gate::computedIn(inputType);
  FailureOr<Value> wide = g.cast(input, element);
  if (failed(wide))
    return failure();
  input = *wide;
  Extents x = g.shapeOf(input);
  if (!x[0].isConstant() || x[0].getConstant() < 1 ||
      x[0].getConstant() > maxSteps)
    return g.fail("supports only a constant number of 1 to " + Twine(maxSteps) +
                  " steps, got " + g.text(x[0]));
  steps = x[0].getConstant();
  batch = x[1];
  inputs = x[2];
  if (Value given = call.operand(4)) {
    if (g.shapeOf(given) != Extents{batch} || !elementOf(given).isInteger(32))
      return g.fail("expects an int32 in sequence_lens for each of the " +
                    g.text(batch) + " sequences");
    FailureOr<Value> column = g.reshape(given, {batch, Extent(1)});
    if (failed(column))
      return failure();
    lengths = *column;
  }
  return success();
}

LogicalResult Recurrence::readFunctions() {
  SmallVector<StringRef> names;
  if (auto list = dyn_cast_or_null<ArrayAttr>(
          call.attributes ? call.attributes.get("activations") : Attribute()))
    for (Attribute name : list)
      if (auto text = dyn_cast<StringAttr>(name))
        names.push_back(text.getValue());
  if (names.empty())
    for (int64_t i = 0; i < directions; ++i) {
      if (call.op == "RNN")
        names.push_back("Tanh");
      else
        names.append({"Sigmoid", "Tanh"});
      if (call.op == "LSTM")
        names.push_back("Tanh");
    }
  if (int64_t(names.size()) != perDirection * directions)
    return g.fail("expects " + Twine(perDirection * directions) +
                  " activations, got " + Twine(names.size()));
  if (call.has("activation_alpha") || call.has("activation_beta"))
    return g.fail("does not support activation_alpha and activation_beta");
  for (StringRef name : names) {
    if (!llvm::is_contained({"Tanh", "Sigmoid", "Relu", "Softsign", "Softplus",
                             "HardSigmoid", "LeakyRelu", "Elu"},
                            name))
      return g.fail("does not support the activation '" + name + "'");
    functions.push_back({name.str(),
                         name == "HardSigmoid" ? 0.2
                         : name == "LeakyRelu" ? 0.01
                                               : 1.0,
                         0.5});
  }
  return success();
}

Value Recurrence::clipped(OpBuilder &at, Location loc, Value x) {
  if (!call.has("clip"))
    return x;
  Scalars s(at, loc);
  double limit = call.number("clip", 0);
  return s.max(s.like(x, -limit), s.min(s.like(x, limit), x));
}

Value Recurrence::apply(OpBuilder &at, Location loc, unsigned function,
                        Value x) {
  Scalars s(at, loc);
  const Function &f = current[function];
  x = clipped(at, loc, x);
  Value zero = s.like(x, 0), alpha = s.like(x, f.alpha);
  if (f.name == "Tanh")
    return math::TanhOp::create(at, loc, x);
  if (f.name == "Sigmoid")
    return s.sigmoid(x);
  if (f.name == "Relu")
    return s.relu(x);
  if (f.name == "Softsign")
    return s.div(x, s.add(s.like(x, 1), s.abs(x)));
  if (f.name == "Softplus")
    return s.softplus(x);
  if (f.name == "HardSigmoid")
    return s.max(
        zero, s.min(s.like(x, 1), s.add(s.mul(alpha, x), s.like(x, f.beta))));
  Value low = f.name == "Elu" ? Value(math::ExpM1Op::create(at, loc, x)) : x;
  return s.select(s.less(x, zero), s.mul(alpha, low), x);
}

FailureOr<Value> Recurrence::reached(int64_t at, Value value, Value otherwise) {
  SmallVector<Value> operands{value, lengths};
  if (otherwise)
    operands.push_back(otherwise);
  return joined(operands, [&](OpBuilder &b, Location loc, ValueRange x) {
    Scalars s(b, loc);
    Value goesOn = s.less(s.like(x[1], double(at)), x[1]);
    return s.select(goesOn, x[0], x.size() > 2 ? x[2] : s.like(x[0], 0));
  });
}

/// operand[direction], which must have the shape that is given.
FailureOr<Value> Recurrence::part(Value operand, int64_t direction,
                                  Extents shape) {
  Extents whole{Extent(directions)};
  whole.append(shape.begin(), shape.end());
  if (g.shapeOf(operand) != whole || elementOf(operand) != inputType)
    return g.fail("expects an operand of shape " + g.text(whole) +
                  " and X's type, got " + g.text(g.shapeOf(operand)));
  Extents offsets(whole.size(), Extent(0));
  offsets[0] = Extent(direction);
  whole[0] = Extent(1);
  return g.reshape(
      g.slice(operand, offsets, whole, SmallVector<int64_t>(whole.size(), 1)),
      shape);
}

FailureOr<Value> Recurrence::widePart(Value operand, int64_t direction,
                                      Extents shape) {
  FailureOr<Value> value = part(operand, direction, std::move(shape));
  return succeeded(value) ? g.cast(*value, element) : value;
}

/// Blocks of `hidden` elements of the last dimension.
Value Recurrence::columns(Value tensor, unsigned block, unsigned count) {
  Extents sizes = g.shapeOf(tensor), offsets(sizes.size(), Extent(0));
  offsets.back() = Extent(hidden * block);
  sizes.back() = Extent(hidden * count);
  return g.slice(tensor, offsets, sizes, SmallVector<int64_t>(sizes.size(), 1));
}

FailureOr<Value> Recurrence::joined(ArrayRef<Value> operands, ScalarBody body) {
  return g.elementwise(operands, element, body);
}

FailureOr<Recurrence::States> Recurrence::step(Value fromInput,
                                               const States &old) {
  auto product = [&](Value state, unsigned block,
                     unsigned count) -> FailureOr<Value> {
    FailureOr<Value> value = g.matmul(state, columns(recurrent, block, count));
    if (failed(value) || !recurrentBias)
      return value;
    return joined({*value, columns(recurrentBias, block, count)},
                  [](OpBuilder &at, Location loc, ValueRange x) {
                    return Scalars(at, loc).add(x[0], x[1]);
                  });
  };
  if (call.op == "RNN") {
    FailureOr<Value> r = product(old.hidden, 0, 1);
    if (failed(r))
      return failure();
    FailureOr<Value> h =
        joined({fromInput, *r}, [&](OpBuilder &at, Location loc, ValueRange x) {
          return apply(at, loc, 0, Scalars(at, loc).add(x[0], x[1]));
        });
    if (failed(h))
      return failure();
    return States{*h, Value()};
  }
  if (call.op == "GRU") { // The gates are update, reset and hidden.
    bool resetAfter = call.integer("linear_before_reset", 0) != 0;
    FailureOr<Value> r = product(old.hidden, 0, 2);
    if (failed(r))
      return failure();
    auto gate = [&](unsigned block) {
      return joined({columns(fromInput, block), columns(*r, block)},
                    [&](OpBuilder &at, Location loc, ValueRange x) {
                      return apply(at, loc, 0,
                                   Scalars(at, loc).add(x[0], x[1]));
                    });
    };
    FailureOr<Value> update = gate(0), reset = gate(1);
    if (failed(update) || failed(reset))
      return failure();
    auto multiply = [&](Value a, Value b) {
      return joined({a, b}, [](OpBuilder &at, Location loc, ValueRange x) {
        return Scalars(at, loc).mul(x[0], x[1]);
      });
    };
    FailureOr<Value> inner = failure();
    if (resetAfter) {
      inner = product(old.hidden, 2, 1);
      if (succeeded(inner))
        inner = multiply(*reset, *inner);
    } else {
      inner = multiply(*reset, old.hidden);
      if (succeeded(inner))
        inner = product(*inner, 2, 1);
    }
    if (failed(inner))
      return failure();
    FailureOr<Value> h =
        joined({columns(fromInput, 2), *inner, *update, old.hidden},
               [&](OpBuilder &at, Location loc, ValueRange x) {
                 Scalars s(at, loc);
                 Value proposal = apply(at, loc, 1, s.add(x[0], x[1]));
                 return s.add(s.mul(s.sub(s.like(x[2], 1), x[2]), proposal),
                              s.mul(x[2], x[3]));
               });
    if (failed(h))
      return failure();
    return States{*h, Value()};
  }
  // LSTM: the gates are input, output, forget and cell.
  FailureOr<Value> r = product(old.hidden, 0, 4);
  FailureOr<Value> sums =
      succeeded(r) ? joined({fromInput, *r},
                            [](OpBuilder &at, Location loc, ValueRange x) {
                              return Scalars(at, loc).add(x[0], x[1]);
                            })
                   : r;
  if (failed(sums))
    return failure();
  bool coupled = call.integer("input_forget", 0) != 0;
  SmallVector<Value> operands{columns(*sums, 0), columns(*sums, 2),
                              columns(*sums, 3), old.cell};
  if (peepholes)
    operands.append({columns(peepholes, 0), columns(peepholes, 2)});
  FailureOr<Value> cell =
      joined(operands, [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value in = x[0], forget = x[1];
        if (peepholes) {
          in = s.add(in, s.mul(x[4], x[3]));
          forget = s.add(forget, s.mul(x[5], x[3]));
        }
        in = apply(at, loc, 0, in);
        forget = coupled ? s.sub(s.like(in, 1), in) : apply(at, loc, 0, forget);
        return s.add(s.mul(forget, x[3]), s.mul(in, apply(at, loc, 1, x[2])));
      });
  if (failed(cell))
    return failure();
  operands.assign({columns(*sums, 1), *cell});
  if (peepholes)
    operands.push_back(columns(peepholes, 1));
  FailureOr<Value> h =
      joined(operands, [&](OpBuilder &at, Location loc, ValueRange x) {
        Scalars s(at, loc);
        Value out = peepholes ? s.add(x[0], s.mul(x[2], x[1])) : x[0];
        return s.mul(apply(at, loc, 0, out), apply(at, loc, 2, x[1]));
      });
  if (failed(h))
    return failure();
  return States{*h, *cell};
}

LogicalResult Recurrence::runDirection(unsigned direction, bool backwards) {
  current = ArrayRef(functions).slice(direction * perDirection, perDirection);
  Extent width(hidden * gates);
  FailureOr<Value> w = part(call.operand(1), direction, {width, inputs});
  FailureOr<Value> r =
      part(call.operand(2), direction, {width, Extent(hidden)});
  if (failed(w) || failed(r))
    return failure();
  recurrent = g.transpose(*r, {1, 0});
  FailureOr<Value> fromInputs = g.matmul(input, g.transpose(*w, {1, 0}));
  if (failed(fromInputs))
    return failure();
  recurrentBias = {};
  if (Value bias = call.operand(3)) {
    FailureOr<Value> both =
        widePart(bias, direction, {Extent(2 * hidden * gates)});
    if (failed(both))
      return failure();
    recurrentBias = columns(*both, gates, gates);
    fromInputs = joined({*fromInputs, columns(*both, 0, gates)},
                        [](OpBuilder &at, Location loc, ValueRange x) {
                          return Scalars(at, loc).add(x[0], x[1]);
                        });
    if (failed(fromInputs))
      return failure();
  }
  bool isLstm = call.op == "LSTM";
  peepholes = {};
  if (Value given = isLstm ? call.operand(7) : Value()) {
    FailureOr<Value> p = widePart(given, direction, {Extent(3 * hidden)});
    if (failed(p))
      return failure();
    peepholes = *p;
  }
  Extents state{batch, Extent(hidden)};
  auto initial = [&](Value given) -> FailureOr<Value> {
    if (!given)
      return g.filled(state, g.scalar(element, 0));
    return widePart(batchFirst ? g.transpose(given, {1, 0, 2}) : given,
                    direction, state);
  };
  FailureOr<Value> hiddenState = initial(call.operand(5));
  FailureOr<Value> cell =
      isLstm ? initial(call.operand(6)) : FailureOr<Value>(Value());
  if (failed(hiddenState) || failed(cell))
    return failure();
  FailureOr<States> states = States{*hiddenState, *cell};
  SmallVector<Value> made(steps);
  for (int64_t i = 0; i < steps; ++i) {
    int64_t at = backwards ? steps - 1 - i : i;
    FailureOr<Value> now =
        g.reshape(g.slice(*fromInputs, {Extent(at), Extent(0), Extent(0)},
                          {Extent(1), batch, width}, {1, 1, 1}),
                  {batch, width});
    if (failed(now))
      return failure();
    States old = *states;
    states = step(*now, old);
    if (failed(states))
      return failure();
    FailureOr<Value> visible = states->hidden;
    if (lengths) { // Shorter sequences keep their state, and give 0.
      visible = reached(at, states->hidden, {});
      FailureOr<Value> kept = reached(at, states->hidden, old.hidden);
      FailureOr<Value> last = isLstm ? reached(at, states->cell, old.cell)
                                     : FailureOr<Value>(Value());
      if (failed(visible) || failed(kept) || failed(last))
        return failure();
      states = States{*kept, *last};
    }
    FailureOr<Value> output =
        g.reshape(*visible, {Extent(1), Extent(1), batch, Extent(hidden)});
    if (failed(output))
      return failure();
    made[at] = *output;
  }
  outputs.push_back(made);
  finals.push_back(*states);
  return success();
}

OperatorResults Recurrence::run() {
  if (failed(readShapes()) || failed(readFunctions()))
    return failure();
  bool backwards = call.string("direction", "forward") == "reverse";
  for (int64_t i = 0; i < directions; ++i)
    if (failed(runDirection(i, i == 1 || backwards)))
      return failure();
  SmallVector<Value> whole;
  for (const SmallVector<Value> &made : outputs) {
    FailureOr<Value> all = g.concat(made, 0);
    if (failed(all))
      return failure();
    whole.push_back(*all);
  }
  FailureOr<Value> y = g.concat(whole, 1);
  if (failed(y))
    return failure();
  SmallVector<Value> results{batchFirst ? g.transpose(*y, {2, 0, 1, 3}) : *y};
  for (unsigned which = 0; which < (call.op == "LSTM" ? 2 : 1); ++which) {
    SmallVector<Value> parts;
    for (const States &states : finals) {
      FailureOr<Value> last = g.reshape(which ? states.cell : states.hidden,
                                        {Extent(1), batch, Extent(hidden)});
      if (failed(last))
        return failure();
      parts.push_back(*last);
    }
    FailureOr<Value> state = g.concat(parts, 0);
    if (failed(state))
      return failure();
    results.push_back(batchFirst ? g.transpose(*state, {1, 0, 2}) : *state);
  }
  for (Value &result : results) {
    FailureOr<Value> rounded = g.cast(result, inputType);
    if (failed(rounded))
      return failure();
    result = *rounded;
  }
  return results;
}

OperatorResults gatecc::lowerRecurrent(GraphBuilder &g,
                                       const OperatorCall &call) {
  return Recurrence(g, call).run();
}
