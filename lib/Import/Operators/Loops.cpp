// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loop and Scan.
#include "lib/Import/Operators/LoopBuilder.h"

#include "dialects/Onnx/IR/OnnxOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace gatecc;

/// Whether the condition that a body yields never ends its loop: it is the one
/// that the body was given, or true.
static bool neverEnds(Region &body) {
  Value condition = body.front().getTerminator()->getOperand(0);
  while (auto node = condition.getDefiningOp<onnx::NodeOp>()) {
    if (node.getOpType() != "Identity" || !node.getDomain().empty() ||
        node.getNumPositions() != 1)
      return false;
    condition = node.getInputAt(0);
  }
  if (condition == body.getArgument(1))
    return true;
  auto constant = condition.getDefiningOp<arith::ConstantOp>();
  auto value = constant ? dyn_cast<DenseElementsAttr>(constant.getValue())
                        : DenseElementsAttr();
  return value && value.getElementType().isInteger(1) && value.isSplat() &&
         value.getSplatValue<bool>();
}

/// What the file calls an input of a body.
static std::string nameOf(BlockArgument argument) {
  if (auto named = dyn_cast<NameLoc>(argument.getLoc()))
    return named.getName().str();
  return std::to_string(argument.getArgNumber());
}

/// A known number, or a flag, as an input of a body: of rank 0 if the file does
/// not say otherwise.
static bool isScalarInput(BlockArgument argument) {
  auto type = dyn_cast<RankedTensorType>(argument.getType());
  return !type || type.getRank() != 1;
}

/// The trip count; none where it is absent.
static FailureOr<std::optional<Extent>> tripsOf(GraphBuilder &g,
                                                const OperatorCall &call) {
  Value count = call.operand(0);
  if (!count)
    return std::optional<Extent>();
  if (!elementOf(count).isSignlessInteger(64))
    return g.fail("expects a trip count of int64");
  std::optional<Extents> known = g.knownInts(count);
  if (known && known->size() == 1) {
    const Extent &trips = known->front();
    return std::optional(g.isKnownSize(trips) ? trips
                                              : g.maximum(trips, Extent(0)));
  }
  FailureOr<Value> element = onlyElement(g, count, "the trip count");
  if (failed(element))
    return failure();
  OpBuilder &b = g.getBuilder();
  Value trips =
      arith::IndexCastOp::create(b, g.getLoc(), b.getIndexType(), *element);
  trips =
      arith::MaxSIOp::create(b, g.getLoc(), trips, g.materialize(Extent(0)));
  return std::optional(
      g.opaqueSymbol((g.getNodeName() + "_limit").str(), trips));
}

OperatorResults gatecc::lowerLoop(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Region *> found = bodyOf(g, call, "body");
  if (failed(found))
    return failure();
  Region &body = **found;
  OpBuilder &b = g.getBuilder();
  ArrayRef<Value> inits =
      call.operands.drop_front(std::min<size_t>(2, call.operands.size()));
  if (llvm::is_contained(inits, Value()))
    return g.fail("a carried value is missing");
  size_t outputs = body.front().getTerminator()->getNumOperands();
  if (body.getNumArguments() != inits.size() + 2)
    return g.fail("its body has " + Twine(body.getNumArguments()) +
                  " inputs; " + Twine(inits.size() + 2) +
                  " are expected: the iteration, the condition and the " +
                  Twine(inits.size()) + " carried values");
  if (outputs < inits.size() + 1 || outputs - 1 != call.numResults)
    return g.fail("its body has " + Twine(outputs) + " outputs; " +
                  Twine(call.numResults + 1) +
                  " are expected: the condition and those of the node, which "
                  "begin with the " +
                  Twine(inits.size()) + " carried values");
  SmallVector<std::string> names;
  for (BlockArgument argument : body.getArguments().drop_front(2))
    names.push_back(nameOf(argument));
  SmallVector<Collection> collections(call.numResults - inits.size());
  for (auto [index, how] : llvm::enumerate(collections))
    how.isUsed = call.bodies->isUsed(inits.size() + index);

  FailureOr<std::optional<Extent>> trips = tripsOf(g, call);
  if (failed(trips))
    return failure();
  Value condition; // null: true
  if (Value operand = call.operand(1)) {
    if (!elementOf(operand).isInteger(1))
      return g.fail("expects a condition of bool");
    FailureOr<Value> element = onlyElement(g, operand, "the condition");
    if (failed(element))
      return failure();
    std::optional<SmallVector<int64_t>> known = g.knownConstants(operand);
    if (!known || known->size() != 1 || !known->front())
      condition = *element;
  }
  auto iterate = [&](bool isCounted) {
    return [&, isCounted](Value position,
                          ValueRange carried) -> FailureOr<Iteration> {
      // In a body that runs, the condition was true.
      Extent number =
          g.opaqueSymbol((g.getNodeName() + "_iteration").str(), position);
      SmallVector<Value> arguments{
          g.knownTensor(number, b.getI64Type(),
                        isScalarInput(body.getArgument(0))),
          g.knownTensor(Extent(1), b.getI1Type(),
                        isScalarInput(body.getArgument(1)))};
      llvm::append_range(arguments, carried);
      FailureOr<SmallVector<Value>> values =
          call.bodies->build(body, arguments);
      if (failed(values))
        return failure();
      Iteration iteration;
      if (!isCounted) {
        if (!elementOf(values->front()).isInteger(1))
          return g.fail("the condition that its body makes is no bool");
        FailureOr<Value> goesOn = onlyElement(
            g, values->front(), "the condition that its body makes");
        if (failed(goesOn))
          return failure();
        iteration.goesOn = *goesOn;
      }
      ArrayRef<Value> rest = ArrayRef(*values).drop_front();
      iteration.carried.assign(rest.begin(), rest.begin() + inits.size());
      iteration.collected.assign(rest.begin() + inits.size(), rest.end());
      return iteration;
    };
  };
  LoopBuilder loop(g, names, inits, collections);
  bool isCounted =
      *trips && neverEnds(body) && !condition &&
      (!(*trips)->isConstant() || (*trips)->getConstant() < manyTrips);
  if (isCounted)
    return loop.buildFor(**trips, iterate(true));
  if (!condition)
    condition = arith::ConstantIntOp::create(b, g.getLoc(), b.getI1Type(), 1);
  return loop.buildWhile(condition, *trips, iterate(false));
}

/// A list attribute of Scan: one number for each input or output, 0 by default.
static FailureOr<SmallVector<int64_t>> listOf(GraphBuilder &g,
                                              const OperatorCall &call,
                                              StringRef name, size_t count) {
  SmallVector<int64_t> list =
      call.integers(name).value_or(SmallVector<int64_t>(count, 0));
  if (list.size() != count)
    return g.fail("attribute '" + name + "' has " + Twine(list.size()) +
                  " numbers; " + Twine(count) + " are expected");
  return list;
}

OperatorResults gatecc::lowerScan(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Region *> found = bodyOf(g, call, "body");
  if (failed(found))
    return failure();
  Region &body = **found;
  OpBuilder &b = g.getBuilder();
  int64_t numInputs = call.integer("num_scan_inputs", 0);
  if (numInputs < 1 || uint64_t(numInputs) > call.operands.size())
    return g.fail("attribute 'num_scan_inputs' is " + Twine(numInputs) +
                  "; from 1 to " + Twine(call.operands.size()) +
                  " is expected, the number of inputs");
  ArrayRef<Value> inits = call.operands.drop_back(numInputs),
                  inputs = call.operands.take_back(numInputs);
  size_t outputs = body.front().getTerminator()->getNumOperands();
  if (body.getNumArguments() != call.operands.size() ||
      outputs != call.numResults || outputs < inits.size())
    return g.fail("its body has " + Twine(body.getNumArguments()) +
                  " inputs and " + Twine(outputs) + " outputs; " +
                  Twine(call.operands.size()) + " and " +
                  Twine(call.numResults) +
                  " are expected, and the first outputs are the " +
                  Twine(inits.size()) + " state variables");
  size_t numOutputs = outputs - inits.size();
  FailureOr<SmallVector<int64_t>> lists[] = {
      listOf(g, call, "scan_input_axes", numInputs),
      listOf(g, call, "scan_input_directions", numInputs),
      listOf(g, call, "scan_output_axes", numOutputs),
      listOf(g, call, "scan_output_directions", numOutputs)};
  for (FailureOr<SmallVector<int64_t>> &list : lists)
    if (failed(list))
      return failure();
  std::optional<Extent> trips;
  for (auto [index, input] : llvm::enumerate(inputs)) {
    Extents shape = g.shapeOf(input);
    FailureOr<int64_t> axis = axisOf(g, (*lists[0])[index], shape.size());
    if (failed(axis))
      return failure();
    (*lists[0])[index] = *axis;
    if (trips && *trips != shape[*axis])
      return g.fail("scan inputs 0 and " + Twine(index) + " have " +
                    g.text(*trips) + " and " + g.text(shape[*axis]) +
                    " elements along their axes, which are not known to be "
                    "equal");
    trips = shape[*axis];
  }
  SmallVector<std::string> names;
  for (BlockArgument argument : body.getArguments())
    names.push_back(nameOf(argument));
  SmallVector<Collection> collections(numOutputs);
  for (auto [index, how] : llvm::enumerate(collections))
    how = {(*lists[2])[index], (*lists[3])[index] != 0,
           call.bodies->isUsed(inits.size() + index)};

  LoopBuilder loop(g, names, inits, collections);
  return loop.buildFor(
      *trips, [&](Value position, ValueRange carried) -> FailureOr<Iteration> {
        SmallVector<Value> arguments(carried);
        Location loc = g.getLoc();
        for (auto [index, input] : llvm::enumerate(inputs)) {
          Value place = position;
          if ((*lists[1])[index]) {
            Value last = arith::SubIOp::create(b, loc, g.materialize(*trips),
                                               g.materialize(Extent(1)));
            place = arith::SubIOp::create(b, loc, last, position);
          }
          arguments.push_back(
              elementAlong(g, input, (*lists[0])[index], place));
        }
        FailureOr<SmallVector<Value>> values =
            call.bodies->build(body, arguments);
        if (failed(values))
          return failure();
        Iteration iteration;
        iteration.carried.assign(values->begin(),
                                 values->begin() + inits.size());
        iteration.collected.assign(values->begin() + inits.size(),
                                   values->end());
        return iteration;
      });
}
