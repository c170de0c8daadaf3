// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Loop and Scan: scf.for where the number of iterations is known when the loop
// begins, else scf.while. Carried values keep their shapes; what is collected
// from each iteration goes into one tensor with a place for each.
#include "lib/Import/Operators/Families.h"

#include "dialects/Onnx/IR/OnnxOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

/// Trip counts from here on mean "until the condition ends it": exporters write
/// the largest integer. No memory is planned for so many iterations.
static constexpr int64_t manyTrips = int64_t(1) << 31;

namespace {
/// What one iteration leaves.
struct Iteration {
  Value goesOn; // i1; null if nothing ends the loop early
  SmallVector<Value> carried, collected;
};
/// Builds an iteration: from its number and the carried values.
using IterationBody =
    llvm::function_ref<FailureOr<Iteration>(Value, ValueRange)>;

/// How the elements of one output lie in it.
struct Collection {
  int64_t axis = 0;
  bool isReversed = false, isUsed = true;
};

class LoopBuilder {
public:
  LoopBuilder(GraphBuilder &g, ArrayRef<std::string> names, ValueRange inits,
              ArrayRef<Collection> collections)
      : g(g), b(g.getBuilder()), loc(g.getLoc()), names(names),
        collections(collections) {
    for (Value init : inits)
      carried.push_back(
          withType(g, init, g.typeOf(g.shapeOf(init), elementOf(init))));
  }

  /// A loop of `trips` iterations.
  FailureOr<SmallVector<Value>> buildFor(const Extent &trips,
                                         IterationBody body);
  /// A loop while a condition holds; `limit`, where there is one, is the most
  /// iterations.
  FailureOr<SmallVector<Value>>
  buildWhile(Value condition, std::optional<Extent> limit, IterationBody body);

private:
  void registerShapes(ValueRange values) {
    for (auto [value, init] : llvm::zip(values, carried))
      g.setShape(value, g.shapeOf(init));
  }
  LogicalResult checkCarried(Iteration &iteration);
  /// The tensors that the iterations fill, with `places` places each.
  LogicalResult createBuffers(const Iteration &iteration, Region &loop,
                              const std::optional<Extent> &places);
  /// Puts the elements of iteration `position` into `buffers`.
  SmallVector<Value> collect(const Iteration &iteration, ValueRange into,
                             Value position, Value last);

  GraphBuilder &g;
  OpBuilder &b;
  Location loc;
  ArrayRef<std::string> names;
  ArrayRef<Collection> collections;
  SmallVector<Value> carried, buffers; // of unused collections: null
};
} // namespace

LogicalResult LoopBuilder::checkCarried(Iteration &iteration) {
  for (auto [index, init, value] :
       llvm::enumerate(carried, iteration.carried)) {
    if (elementOf(init) != elementOf(value)) {
      std::string types;
      llvm::raw_string_ostream(types) << elementOf(init) << " at first and "
                                      << elementOf(value) << " after the body";
      return g.fail("carried value '" + names[index] + "' is of " + types);
    }
    if (g.shapeOf(init) != g.shapeOf(value))
      return g.fail("carried value '" + names[index] + "' has the shape " +
                    g.text(g.shapeOf(init)) + " at first and " +
                    g.text(g.shapeOf(value)) +
                    " after the body; gatecc needs a shape that all "
                    "iterations keep");
    value = withType(g, value, init.getType());
  }
  return success();
}

LogicalResult LoopBuilder::createBuffers(const Iteration &iteration,
                                         Region &loop,
                                         const std::optional<Extent> &places) {
  for (auto [index, element, how] :
       llvm::enumerate(iteration.collected, collections)) {
    buffers.push_back({});
    if (!how.isUsed)
      continue;
    if (!places)
      return g.fail("scan output " + Twine(index) +
                    " has an element for each iteration, but how many there "
                    "are at most is not known before the loop; give the loop "
                    "a trip count");
    Extents shape = g.shapeOf(element);
    for (const Extent &extent : shape)
      if (!extent.isConstant() &&
          loop.isAncestor(g.materialize(extent).getParentRegion()))
        return g.fail("scan output " + Twine(index) +
                      " has elements of the shape " + g.text(shape) +
                      ", which each iteration decides for itself; gatecc "
                      "needs a shape that is known before the loop");
    if (how.axis > int64_t(shape.size()) ||
        how.axis < -int64_t(shape.size()) - 1)
      return g.fail("axis " + Twine(how.axis) +
                    " is out of range for scan output " + Twine(index));
    int64_t axis = how.axis < 0 ? how.axis + shape.size() + 1 : how.axis;
    shape.insert(shape.begin() + axis, *places);
    buffers.back() = g.empty(shape, elementOf(element));
  }
  return success();
}

SmallVector<Value> LoopBuilder::collect(const Iteration &iteration,
                                        ValueRange into, Value position,
                                        Value last) {
  SmallVector<Value> results;
  for (auto [element, how, buffer] :
       llvm::zip(iteration.collected, collections, buffers)) {
    if (!buffer)
      continue;
    Extents shape = g.shapeOf(buffer);
    int64_t axis = how.axis < 0 ? how.axis + shape.size() : how.axis;
    Value place = position;
    if (how.isReversed)
      place = arith::SubIOp::create(b, loc, last, position);
    SmallVector<OpFoldResult> sizes = g.fold(shape),
                              offsets(shape.size(), b.getIndexAttr(0)),
                              strides(shape.size(), b.getIndexAttr(1));
    sizes[axis] = b.getIndexAttr(1);
    offsets[axis] = place;
    Value old = into[results.size()];
    results.push_back(tensor::InsertSliceOp::create(b, loc, element, old,
                                                    offsets, sizes, strides));
  }
  return results;
}

FailureOr<SmallVector<Value>> LoopBuilder::buildFor(const Extent &trips,
                                                    IterationBody body) {
  Value begin = g.materialize(Extent(0)), step = g.materialize(Extent(1)),
        end = g.materialize(trips);
  auto noBody = [](OpBuilder &, Location, Value, ValueRange) {};
  // The shapes of what is collected are known when the body is there.
  auto draft = scf::ForOp::create(b, loc, begin, end, step, carried, noBody);
  registerShapes(draft.getRegionIterArgs());
  Iteration iteration;
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(draft.getBody());
    FailureOr<Iteration> built =
        body(draft.getInductionVar(), draft.getRegionIterArgs());
    if (failed(built) || failed(checkCarried(*built)))
      return failure();
    iteration = *built;
  }
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(draft);
  if (failed(createBuffers(iteration, draft.getRegion(), trips)))
    return failure();
  SmallVector<Value> inits(carried);
  llvm::append_range(
      inits, llvm::make_filter_range(buffers, [](Value v) { return bool(v); }));
  auto loop = scf::ForOp::create(b, loc, begin, end, step, inits, noBody);
  loop.getRegion().takeBody(draft.getRegion());
  draft.erase();
  Block *block = loop.getBody();
  for (Value init : ArrayRef(inits).drop_front(carried.size()))
    block->addArgument(init.getType(), loc);
  b.setInsertionPointToEnd(block);
  Value last = arith::SubIOp::create(b, loc, end, step);
  SmallVector<Value> yielded(iteration.carried);
  llvm::append_range(
      yielded,
      collect(iteration, loop.getRegionIterArgs().drop_front(carried.size()),
              loop.getInductionVar(), last));
  scf::YieldOp::create(b, loc, yielded);

  registerShapes(loop.getResults());
  SmallVector<Value> results(loop.getResults().take_front(carried.size()));
  ResultRange filled = loop.getResults().drop_front(carried.size());
  for (Value buffer : buffers) {
    results.push_back(buffer ? filled.front() : Value());
    if (!buffer)
      continue;
    g.setShape(filled.front(), g.shapeOf(buffer));
    filled = filled.drop_front();
  }
  return results;
}

FailureOr<SmallVector<Value>>
LoopBuilder::buildWhile(Value condition, std::optional<Extent> limit,
                        IterationBody body) {
  Value begin = g.materialize(Extent(0)), step = g.materialize(Extent(1)),
        most = limit ? g.materialize(*limit) : Value();
  std::optional<Extent> places = limit;
  if (limit && limit->isConstant() && limit->getConstant() >= manyTrips)
    places = std::nullopt;

  // Carried are the number of the iteration, whether it runs, and the values.
  SmallVector<Value> inits{begin, condition};
  llvm::append_range(inits, carried);
  auto addBlock = [&](Region &region) {
    OpBuilder::InsertionGuard guard(b);
    SmallVector<Type> types(ValueRange(inits).getTypes());
    return b.createBlock(&region, region.end(), types,
                         SmallVector<Location>(types.size(), loc));
  };
  auto draft =
      scf::WhileOp::create(b, loc, ValueRange(inits).getTypes(), inits);
  Block *block = addBlock(draft.getAfter());
  registerShapes(block->getArguments().drop_front(2));
  Iteration iteration;
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(block);
    FailureOr<Iteration> built =
        body(block->getArgument(0), block->getArguments().drop_front(2));
    if (failed(built) || failed(checkCarried(*built)))
      return failure();
    iteration = *built;
  }
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(draft);
  if (failed(createBuffers(iteration, draft.getAfter(), places)))
    return failure();
  for (Value buffer : buffers)
    if (buffer)
      inits.push_back(buffer);
  auto loop = scf::WhileOp::create(b, loc, ValueRange(inits).getTypes(), inits);
  loop.getAfter().takeBody(draft.getAfter());
  draft.erase();

  Block *before = addBlock(loop.getBefore());
  b.setInsertionPointToEnd(before);
  Value runs = before->getArgument(1);
  if (most) {
    Value isBelow = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                          before->getArgument(0), most);
    runs = arith::AndIOp::create(b, loc, isBelow, runs);
  }
  scf::ConditionOp::create(b, loc, runs, before->getArguments());

  unsigned fixed = 2 + carried.size();
  for (Value init : ArrayRef(inits).drop_front(fixed))
    block->addArgument(init.getType(), loc);
  b.setInsertionPointToEnd(block);
  Value position = block->getArgument(0);
  Value goesOn = iteration.goesOn;
  if (!goesOn)
    goesOn = arith::ConstantIntOp::create(b, loc, b.getI1Type(), 1);
  SmallVector<Value> yielded{arith::AddIOp::create(b, loc, position, step),
                             goesOn};
  llvm::append_range(yielded, iteration.carried);
  llvm::append_range(yielded,
                     collect(iteration, block->getArguments().drop_front(fixed),
                             position, Value()));
  scf::YieldOp::create(b, loc, yielded);

  b.setInsertionPointAfter(loop);
  SmallVector<Value> results(
      loop.getResults().drop_front(2).take_front(carried.size()));
  registerShapes(results);
  ResultRange filled = loop.getResults().drop_front(fixed);
  std::optional<Extent> count;
  for (Value buffer : buffers) {
    results.push_back({});
    if (!buffer)
      continue;
    if (!count) {
      Value done = gate::BoundOp::create(b, loc, loop.getResult(0), most);
      count = g.opaqueSymbol((g.getNodeName() + "_trips").str(), done);
    }
    Extents shape = g.shapeOf(buffer);
    g.setShape(filled.front(), shape);
    shape[0] = *count;
    results.back() = g.slice(filled.front(), Extents(shape.size(), Extent(0)),
                             shape, SmallVector<int64_t>(shape.size(), 1));
    filled = filled.drop_front();
  }
  return results;
}

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
          int64_t axis = (*lists[0])[index];
          Extents shape = g.shapeOf(input);
          Value place = position;
          if ((*lists[1])[index]) {
            Value last = arith::SubIOp::create(b, loc, g.materialize(*trips),
                                               g.materialize(Extent(1)));
            place = arith::SubIOp::create(b, loc, last, position);
          }
          SmallVector<OpFoldResult> sizes = g.fold(shape),
                                    offsets(shape.size(), b.getIndexAttr(0)),
                                    strides(shape.size(), b.getIndexAttr(1));
          sizes[axis] = b.getIndexAttr(1);
          offsets[axis] = place;
          shape.erase(shape.begin() + axis);
          Value element = tensor::ExtractSliceOp::create(
              b, loc, g.typeOf(shape, elementOf(input)), input, offsets, sizes,
              strides);
          g.setShape(element, shape);
          arguments.push_back(element);
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
