// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The region of an apply while it is made: its arguments as they are met, and
// the few ops that experts are made of.
#include "ExpertRegion.h"

#include "FloatCasts.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

ExpertRegion::ExpertRegion(GraphBuilder &graph)
    : graph(graph), body(graph.getContext()), block(std::make_unique<Block>()) {
  body.setInsertionPointToEnd(block.get());
}
ExpertRegion::~ExpertRegion() = default;

Value ExpertRegion::slotCount() {
  // Of an argument: a product that something else asks for its size is not
  // the elementwise op's alone.
  if (!count) {
    OpBuilder::InsertionGuard guard(body);
    body.setInsertionPointToStart(block.get());
    count = tensor::DimOp::create(body, graph.getLoc(),
                                  inputArguments[inputs.front()], 0);
  }
  return count;
}

Value ExpertRegion::slice(Value rows, Columns columns) {
  auto type = typeOf(rows);
  if (columns == Columns{0, type.getDimSize(1), 1})
    return rows;
  OpFoldResult one = body.getIndexAttr(1);
  return tensor::ExtractSliceOp::create(
      body, graph.getLoc(), rows,
      ArrayRef<OpFoldResult>{body.getIndexAttr(0),
                             body.getIndexAttr(columns.offset)},
      ArrayRef<OpFoldResult>{slotCount(), body.getIndexAttr(columns.size)},
      ArrayRef<OpFoldResult>{one, body.getIndexAttr(columns.step)});
}

Value ExpertRegion::argument(Value tensor, RankedTensorType type,
                             SmallVectorImpl<Value> &tensors,
                             DenseMap<Value, Value> &arguments) {
  Value &argument = arguments[tensor];
  if (!argument) {
    argument = block->addArgument(type, graph.getLoc());
    tensors.push_back(tensor);
  }
  return argument;
}

Value ExpertRegion::input(Value tensor) {
  SmallVector<int64_t> shape(typeOf(tensor).getShape());
  shape.front() = ShapedType::kDynamic;
  return argument(tensor,
                  RankedTensorType::get(shape, typeOf(tensor).getElementType()),
                  inputs, inputArguments);
}

Value ExpertRegion::column(Value tensor) {
  return argument(tensor,
                  RankedTensorType::get({ShapedType::kDynamic, 1},
                                        typeOf(tensor).getElementType()),
                  inputs, inputArguments);
}

Value ExpertRegion::param(Value tensor) {
  return argument(tensor,
                  RankedTensorType::get(typeOf(tensor).getShape().drop_front(),
                                        typeOf(tensor).getElementType()),
                  params, paramArguments);
}

Value raise::asRows(GraphBuilder &graph, Value value, unsigned rows) {
  RankedTensorType type = typeOf(value);
  unsigned rank = type.getRank();
  OpBuilder &b = graph.getBuilder();
  ReassociationIndices first, rest;
  for (unsigned dim = 0; dim < rank; ++dim)
    (dim < rows ? first : rest).push_back(dim);
  if (rest.empty()) {
    if (rows > 1)
      value = tensor::CollapseShapeOp::create(b, graph.getLoc(), value,
                                              ArrayRef{first});
    Value size = tensor::DimOp::create(b, graph.getLoc(), value, 0);
    auto wide = RankedTensorType::get({typeOf(value).getDimSize(0), 1},
                                      type.getElementType());
    SmallVector<OpFoldResult> sizes{wide.isDynamicDim(0)
                                        ? OpFoldResult(size)
                                        : b.getIndexAttr(wide.getDimSize(0)),
                                    b.getIndexAttr(1)};
    return tensor::ExpandShapeOp::create(b, graph.getLoc(), wide, value,
                                         ArrayRef{ReassociationIndices{0, 1}},
                                         sizes);
  }
  if (first.size() == 1 && rest.size() == 1)
    return value;
  return tensor::CollapseShapeOp::create(b, graph.getLoc(), value,
                                         ArrayRef{first, rest});
}

Value ExpertRegion::contract(Value rows, Value weights, Type element) {
  auto type = RankedTensorType::get(
      {ShapedType::kDynamic, typeOf(weights).getDimSize(1)}, element);
  return gate::ContractOp::create(body, graph.getLoc(), type, rows, weights);
}

Value ExpertRegion::widened(Value rows) {
  RankedTensorType type = typeOf(rows);
  if (!gate::isNarrowFloat(type.getElementType()))
    return rows;
  return castFloats(body, graph.getLoc(), rows,
                    gate::computedIn(type.getElementType()),
                    {slotCount(), body.getIndexAttr(type.getDimSize(1))});
}

Value raise::repeatRows(GraphBuilder &graph, Value rows, OpFoldResult times) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, rows);
  sizes.insert(sizes.begin() + 1, times);
  Value init = tensor::EmptyOp::create(
      b, loc, sizes, cast<RankedTensorType>(rows.getType()).getElementType());
  AffineMap identity = b.getMultiDimIdentityMap(3);
  Value wide =
      linalg::GenericOp::create(
          b, loc, init.getType(), rows, init,
          ArrayRef{identity.dropResult(1), identity},
          SmallVector<utils::IteratorType>(3, utils::IteratorType::parallel),
          [](OpBuilder &at, Location where, ValueRange x) {
            linalg::YieldOp::create(at, where, x[0]);
          })
          .getResult(0);
  return tensor::CollapseShapeOp::create(
      b, loc, wide,
      ArrayRef{ReassociationIndices{0, 1}, ReassociationIndices{2}});
}

Value raise::withDynamicRows(GraphBuilder &graph, Value value) {
  SmallVector<int64_t> shape(typeOf(value).getShape());
  if (ShapedType::isDynamic(shape.front()))
    return value;
  shape.front() = ShapedType::kDynamic;
  return tensor::CastOp::create(
      graph.getBuilder(), graph.getLoc(),
      RankedTensorType::get(shape, typeOf(value).getElementType()), value);
}

static bool isScalarArithmetic(Operation &op) {
  return op.getNumRegions() == 0 &&
         isa<arith::ArithDialect, math::MathDialect>(op.getDialect());
}

Attribute raise::foldScalar(Operation *op, ArrayRef<Attribute> operands) {
  SmallVector<OpFoldResult> results;
  if (llvm::is_contained(operands, Attribute()) ||
      failed(op->fold(operands, results)) || results.size() != 1)
    return {};
  if (auto attribute = dyn_cast<Attribute>(results[0]))
    return attribute;
  for (auto [operand, attribute] : llvm::zip(op->getOperands(), operands))
    if (operand == cast<Value>(results[0]))
      return attribute;
  return {};
}

bool raise::isElementwise(linalg::GenericOp op) {
  if (op.getNumLoops() != op.getNumParallelLoops() ||
      op->getNumResults() != 1 ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity() ||
      !op.getRegionOutputArgs()[0].use_empty())
    return false;
  return llvm::all_of(op.getBody()->without_terminator(), isScalarArithmetic);
}

std::optional<ColumnReduction>
raise::matchColumnReduction(linalg::GenericOp op) {
  if (op.getNumDpsInputs() != 1 || op->getNumResults() != 1 ||
      op.getNumReductionLoops() != 1 ||
      !op.getMatchingIndexingMap(op.getDpsInputOperand(0)).isIdentity() ||
      !llvm::all_of(op.getBody()->without_terminator(), isScalarArithmetic))
    return std::nullopt;
  SmallVector<unsigned> reduced;
  op.getReductionDims(reduced);
  auto fill = op.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
  ColumnReduction found{reduced[0], op.getStaticLoopRanges()[reduced[0]], {}};
  Attribute start;
  if (!fill || ShapedType::isDynamic(found.size) ||
      !matchPattern(fill.getInputs()[0], m_Constant(&start)))
    return std::nullopt;
  found.start = cast<TypedAttr>(start);
  return found;
}

Value ExpertRegion::sumColumns(linalg::GenericOp op, ValueRange operands,
                               ArrayRef<AffineMap> maps, TypedAttr start) {
  Location loc = op.getLoc();
  Value size = slotCount();
  Type element = typeOf(op.getResult(0)).getElementType();
  Value empty = tensor::EmptyOp::create(body, loc, OpFoldResult(size), element);
  Value first = arith::ConstantOp::create(body, loc, start);
  Value init = linalg::FillOp::create(body, loc, first, empty).getResult(0);
  SmallVector<AffineMap> all(maps);
  all.push_back(body.getMultiDimIdentityMap(2).dropResult(1));
  auto result = linalg::GenericOp::create(
      body, loc, init.getType(), operands, init, all,
      ArrayRef{utils::IteratorType::parallel, utils::IteratorType::reduction});
  IRMapping mapping;
  op.getRegion().cloneInto(&result.getRegion(), mapping);
  return tensor::ExpandShapeOp::create(
      body, loc, RankedTensorType::get({ShapedType::kDynamic, 1}, element),
      result.getResult(0), ArrayRef{ReassociationIndices{0, 1}},
      SmallVector<OpFoldResult>{size, body.getIndexAttr(1)});
}

Value ExpertRegion::reduce(linalg::GenericOp op, Value rows) {
  return sumColumns(op, rows, body.getMultiDimIdentityMap(2),
                    matchColumnReduction(op)->start);
}

Value ExpertRegion::dot(linalg::GenericOp op, Value rows, Value vector,
                        bool isSwapped) {
  AffineMap identity = body.getMultiDimIdentityMap(2);
  SmallVector<Value, 2> operands{rows, vector};
  SmallVector<AffineMap, 2> maps{identity, identity.dropResult(0)};
  if (isSwapped) {
    std::swap(operands[0], operands[1]);
    std::swap(maps[0], maps[1]);
  }
  Type element = typeOf(op.getResult(0)).getElementType();
  return sumColumns(op, operands, maps, body.getZeroAttr(element));
}

/// One loop nest for all elementwise work between two products: an operand
/// that is elementwise work of the same size is computed in place. So products
/// find all that follows them in one op, whatever its values are used for.
FailureOr<Value> ExpertRegion::elementwise(linalg::GenericOp op,
                                           ArrayRef<Value> operands,
                                           ArrayRef<AffineMap> maps,
                                           Columns columns) {
  Location loc = op.getLoc();
  AffineMap identity = AffineMap::getMultiDimIdentityMap(2, graph.getContext());
  SmallVector<Value> inputs;
  SmallVector<AffineMap> inputMaps;
  auto add = [&](Value value, AffineMap map) -> unsigned {
    for (unsigned i = 0; i < inputs.size(); ++i)
      if (inputs[i] == value && inputMaps[i] == map)
        return i;
    inputs.push_back(value);
    inputMaps.push_back(map);
    return inputs.size() - 1;
  };
  // For each operand, its numbers among the inputs.
  SmallVector<SmallVector<unsigned>> numbers;
  SmallVector<linalg::GenericOp> producers;
  if (this->inputs.empty())
    return failure();
  for (auto [operand, map] : llvm::zip_equal(operands, maps)) {
    auto producer = operand.getDefiningOp<linalg::GenericOp>();
    if (producer && (map != identity || producer->getBlock() != block.get()))
      producer = {};
    producers.push_back(producer);
    auto &list = numbers.emplace_back();
    if (!producer) {
      list.push_back(add(operand, map));
      continue;
    }
    for (OpOperand *inner : producer.getDpsInputOperands())
      list.push_back(add(inner->get(), producer.getMatchingIndexingMap(inner)));
  }
  Value init = tensor::EmptyOp::create(
      body, loc,
      ArrayRef<OpFoldResult>{slotCount(), body.getIndexAttr(columns.size)},
      typeOf(op.getResult(0)).getElementType());
  inputMaps.push_back(identity);
  auto result = linalg::GenericOp::create(
      body, loc, init.getType(), inputs, init, inputMaps,
      SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
      [&](OpBuilder &at, Location, ValueRange arguments) {
        auto inlined = [&](linalg::GenericOp each, ValueRange values) {
          IRMapping mapping;
          for (auto [argument, value] :
               llvm::zip(each.getBody()->getArguments(), values))
            mapping.map(argument, value);
          for (Operation &inner : each.getBody()->without_terminator())
            at.clone(inner, mapping);
          return mapping.lookupOrDefault(
              each.getBody()->getTerminator()->getOperand(0));
        };
        SmallVector<Value> values;
        for (auto [producer, list] : llvm::zip_equal(producers, numbers)) {
          SmallVector<Value> scalars;
          for (unsigned number : list)
            scalars.push_back(arguments[number]);
          values.push_back(producer ? inlined(producer, scalars)
                                    : scalars.front());
        }
        linalg::YieldOp::create(at, loc, inlined(op, values));
      });
  return result.getResult(0);
}

gate::ApplyOp ExpertRegion::finish(Value plan, Value slots,
                                   ArrayRef<Value> tensors) {
  OpBuilder &b = graph.getBuilder();
  Location loc = graph.getLoc();
  int64_t groups = cast<gate::PlanType>(plan.getType()).getGroups();
  gate::YieldOp::create(body, loc, slots);
  auto apply = gate::ApplyOp::create(
      b, loc, slots.getType(), plan, tensors.empty() ? getInputs() : tensors,
      params, b.getDenseI64ArrayAttr({0, groups}), 1);
  // Arguments were made as they were met; an apply has inputs first.
  SmallVector<Value> order;
  for (Value tensor : inputs)
    order.push_back(inputArguments[tensor]);
  for (Value tensor : params)
    order.push_back(paramArguments[tensor]);
  Block *target = new Block;
  apply.getBodies().front().push_back(target);
  for (Value old : order)
    old.replaceAllUsesWith(target->addArgument(old.getType(), loc));
  target->getOperations().splice(target->end(), block->getOperations());
  return apply;
}

bool raise::computeAlike(linalg::GenericOp a, linalg::GenericOp b) {
  return a.getIndexingMaps() == b.getIndexingMaps() &&
         OperationEquivalence::isRegionEquivalentTo(
             &a.getRegion(), &b.getRegion(),
             OperationEquivalence::IgnoreLocations);
}
