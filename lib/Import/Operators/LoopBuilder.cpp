// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// scf.for where the number of iterations is known when the loop begins, else
// scf.while.
#include "lib/Import/Operators/LoopBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

Value gatecc::elementAlong(GraphBuilder &g, Value tensor, int64_t axis,
                           Value place) {
  OpBuilder &b = g.getBuilder();
  Extents shape = g.shapeOf(tensor);
  SmallVector<OpFoldResult> sizes = g.fold(shape),
                            offsets(shape.size(), b.getIndexAttr(0)),
                            strides(shape.size(), b.getIndexAttr(1));
  sizes[axis] = b.getIndexAttr(1);
  offsets[axis] = place;
  shape.erase(shape.begin() + axis);
  // Of nothing there is no slice.
  if (llvm::any_of(shape, [](const Extent &e) { return e.isConstant(0); }))
    return g.empty(shape, elementOf(tensor));
  Value element = tensor::ExtractSliceOp::create(
      b, g.getLoc(), g.typeOf(shape, elementOf(tensor)), tensor, offsets, sizes,
      strides);
  g.setShape(element, shape);
  return element;
}

LoopBuilder::LoopBuilder(GraphBuilder &g, ArrayRef<std::string> names,
                         ValueRange inits, ArrayRef<Collection> collections)
    : g(g), b(g.getBuilder()), loc(g.getLoc()), names(names),
      collections(collections) {
  for (Value init : inits)
    carried.push_back(
        withType(g, init, g.typeOf(g.shapeOf(init), elementOf(init))));
}

void LoopBuilder::registerShapes(ValueRange values) {
  for (auto [value, init] : llvm::zip(values, carried))
    g.setShape(value, g.shapeOf(init));
}

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
    if (llvm::is_contained(cast<RankedTensorType>(element.getType()).getShape(),
                           0)) {
      results.push_back(old); // nothing to insert
      continue;
    }
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
