// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// If: exactly one of two bodies runs. Where the condition is known at compile
// time, its body takes the place of the node.
#include "lib/Import/Operators/Families.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

FailureOr<Region *> gatecc::bodyOf(GraphBuilder &g, const OperatorCall &call,
                                   StringRef name) {
  if (Region *body = call.bodies ? call.bodies->find(name) : nullptr)
    return body;
  return g.fail("has no graph '" + name + "'");
}

FailureOr<Value> gatecc::onlyElement(GraphBuilder &g, Value tensor,
                                     const Twine &what) {
  Extents shape = g.shapeOf(tensor);
  if (!productOf(shape).isOne())
    return g.fail(what + " has the shape " + g.text(shape) +
                  "; one element is expected");
  SmallVector<Value> zeros(shape.size(), g.materialize(Extent(0)));
  return Value(
      tensor::ExtractOp::create(g.getBuilder(), g.getLoc(), tensor, zeros));
}

Value gatecc::withType(GraphBuilder &g, Value value, Type type) {
  if (value.getType() == type)
    return value;
  Value result =
      tensor::CastOp::create(g.getBuilder(), g.getLoc(), type, value);
  g.setShape(result, g.shapeOf(value));
  return result;
}

/// Builds the one branch that ever runs.
static OperatorResults buildKnown(GraphBuilder &g, const OperatorCall &call,
                                  Region &branch) {
  FailureOr<SmallVector<Value>> results = call.bodies->build(branch, {});
  if (succeeded(results) && results->size() != call.numResults)
    return g.fail("has " + Twine(call.numResults) +
                  " outputs, but its branch makes " + Twine(results->size()));
  return results;
}

OperatorResults
gatecc::buildBranches(GraphBuilder &g, Value condition, size_t numResults,
                      function_ref<OperatorResults()> thenBranch,
                      function_ref<OperatorResults()> elseBranch) {
  // The types of the results are known when both branches are there.
  OpBuilder &b = g.getBuilder();
  Location loc = g.getLoc();
  auto draft = scf::IfOp::create(b, loc, TypeRange(), condition,
                                 /*addThenBlock=*/true, /*addElseBlock=*/true);
  function_ref<OperatorResults()> branches[] = {thenBranch, elseBranch};
  Block *blocks[] = {draft.thenBlock(), draft.elseBlock()};
  // Without results the op is built with its terminators.
  for (Block *block : blocks)
    if (!block->empty())
      block->back().erase();
  SmallVector<Value> values[2];
  for (unsigned i = 0; i < 2; ++i) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(blocks[i]);
    OperatorResults built = branches[i]();
    if (failed(built))
      return failure();
    values[i] = *built;
  }
  if (values[0].size() != values[1].size() || values[0].size() != numResults)
    return g.fail("has " + Twine(numResults) +
                  " outputs, but its branches make " + Twine(values[0].size()) +
                  " and " + Twine(values[1].size()));

  SmallVector<Type> types;
  SmallVector<Extents> shapes[2];
  for (auto [index, a, c] : llvm::enumerate(values[0], values[1])) {
    Extents shape = g.shapeOf(a), other = g.shapeOf(c);
    if (elementOf(a) != elementOf(c)) {
      std::string types;
      llvm::raw_string_ostream(types)
          << elementOf(a) << " in then_branch and " << elementOf(c);
      return g.fail("output " + Twine(index) + " is of " + types +
                    " in else_branch");
    }
    if (shape.size() != other.size())
      return g.fail("output " + Twine(index) + " has the shape " +
                    g.text(shape) + " in then_branch and " + g.text(other) +
                    " in else_branch; gatecc needs equal ranks");
    shapes[0].push_back(shape);
    shapes[1].push_back(other);
    SmallVector<int64_t> sizes;
    for (auto [size, otherSize] : llvm::zip(shape, other))
      sizes.push_back(size == otherSize && size.isConstant()
                          ? size.getConstant()
                          : ShapedType::kDynamic);
    types.push_back(RankedTensorType::get(sizes, elementOf(a)));
  }
  for (unsigned i = 0; i < 2; ++i) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(blocks[i]);
    for (auto [value, type] : llvm::zip(values[i], types))
      value = withType(g, value, type);
    scf::YieldOp::create(b, loc, values[i]);
  }
  auto branch =
      scf::IfOp::create(b, loc, types, condition, /*withElseRegion=*/true);
  branch.getThenRegion().takeBody(draft.getThenRegion());
  branch.getElseRegion().takeBody(draft.getElseRegion());
  draft.erase();

  // An extent in which the branches differ is known when one of them has run.
  for (auto [index, result] : llvm::enumerate(branch.getResults())) {
    Extents shape;
    for (auto [dim, size] : llvm::enumerate(shapes[0][index])) {
      if (size == shapes[1][index][dim]) {
        shape.push_back(size);
        continue;
      }
      Value extent = tensor::DimOp::create(b, loc, result, int64_t(dim));
      shape.push_back(
          g.opaqueSymbol((g.getNodeName() + "_d" + Twine(dim)).str(), extent));
    }
    g.setShape(result, shape);
  }
  return SmallVector<Value>(branch.getResults());
}

OperatorResults gatecc::lowerIf(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Region *> branches[] = {bodyOf(g, call, "then_branch"),
                                    bodyOf(g, call, "else_branch")};
  if (failed(branches[0]) || failed(branches[1]))
    return failure();
  for (FailureOr<Region *> branch : branches)
    if ((*branch)->getNumArguments())
      return g.fail("its branches may have no inputs");
  if (!elementOf(call.operand(0)).isInteger(1))
    return g.fail("expects a condition of bool");
  if (auto known = g.knownConstants(call.operand(0)))
    if (known->size() == 1)
      return buildKnown(g, call, **branches[known->front() ? 0 : 1]);
  FailureOr<Value> condition = onlyElement(g, call.operand(0), "the condition");
  if (failed(condition))
    return failure();

  return buildBranches(
      g, *condition, call.numResults,
      [&] { return call.bodies->build(**branches[0], {}); },
      [&] { return call.bodies->build(**branches[1], {}); });
}
