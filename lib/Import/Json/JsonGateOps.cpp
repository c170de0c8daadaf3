// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The ops of `gate` in a JSON network: decisions, work on groups, merges.
#include "lib/Import/Json/JsonImporter.h"

#include "dialects/Gate/IR/GateOps.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace gatecc;

/// Offsets of groups are an array in memory, and costs one of the library.
static constexpr int64_t maxGroups = 1 << 20;

//===-- What the ops share
//-------------------------------------------------------===//

LogicalResult JsonImporter::checkCounts(const Node &node, size_t inputs,
                                        size_t outputs,
                                        ArrayRef<StringRef> attributes) {
  if (node.inputs->items.size() != inputs)
    return fail(node, *node.inputs,
                "should have " + Twine(inputs) + " inputs, has " +
                    Twine(node.inputs->items.size()));
  if (node.outputs->items.size() != outputs)
    return fail(node, *node.outputs,
                "should have " + Twine(outputs) + " outputs, has " +
                    Twine(node.outputs->items.size()));
  return node.attributes ? checkKeys(*node.attributes, attributes) : success();
}

FailureOr<Value> JsonImporter::tensorOperand(const Node &node, unsigned index,
                                             Scope &scope) {
  const JsonValue &operand = node.inputs->items[index];
  FailureOr<Value> value = readOperand(operand, scope);
  if (failed(value))
    return failure();
  if (!*value || !isa<RankedTensorType>(value->getType()))
    return fail(node, operand, "should be a tensor");
  return *value;
}

FailureOr<Value> JsonImporter::planOperand(const Node &node, unsigned index,
                                           Scope &scope) {
  const JsonValue &operand = node.inputs->items[index];
  FailureOr<Value> value = readOperand(operand, scope);
  if (failed(value))
    return failure();
  if (!*value || !plans.contains(*value))
    return fail(node, operand, "should be a plan");
  return *value;
}

FailureOr<int64_t>
JsonImporter::integerAttribute(const Node &node, const char *name,
                               std::optional<int64_t> absent) {
  const JsonValue *value =
      node.attributes ? node.attributes->get(name) : nullptr;
  if (!value) {
    if (absent)
      return *absent;
    return fail(node, *node.json,
                Twine("the attribute '") + name + "' is missing");
  }
  if (value->kind != JsonValue::Int)
    return fail(node, *value,
                Twine("should be an integer, but is ") + value->describe());
  return value->integer;
}

FailureOr<FloatAttr> JsonImporter::floatAttribute(const Node &node,
                                                  const char *name) {
  const JsonValue *value =
      node.attributes ? node.attributes->get(name) : nullptr;
  if (!value)
    return FloatAttr();
  if (!value->isNumber())
    return fail(node, *value,
                Twine("should be a number, but is ") + value->describe());
  return builder.getF32FloatAttr(static_cast<float>(value->number));
}

FailureOr<bool> JsonImporter::boolAttribute(const Node &node, const char *name,
                                            bool absent) {
  const JsonValue *value =
      node.attributes ? node.attributes->get(name) : nullptr;
  if (!value)
    return absent;
  if (value->kind != JsonValue::Bool)
    return fail(node, *value,
                Twine("should be true or false, but is ") + value->describe());
  return value->boolean;
}

FailureOr<std::pair<int64_t, int64_t>>
JsonImporter::rangeAttribute(const Node &node, int64_t groups,
                             std::pair<int64_t, int64_t> absent) {
  const JsonValue *value =
      node.attributes ? node.attributes->get("groups") : nullptr;
  if (!value)
    return absent;
  if (value->kind != JsonValue::Array || value->items.size() != 2 ||
      value->items[0].kind != JsonValue::Int ||
      value->items[1].kind != JsonValue::Int)
    return fail(node, *value, "should be two integers [first, last]");
  int64_t first = value->items[0].integer, last = value->items[1].integer;
  if (first < 0 || last <= first || last > groups)
    return fail(node, *value,
                "is no range of the plan's " + Twine(groups) +
                    " groups: 0 <= first < last <= groups");
  return std::make_pair(first, last);
}

FlatSymbolRefAttr JsonImporter::importSite(const Node &node, StringRef kind,
                                           int64_t groups) {
  // Which groups does an apply on this plan work on?
  SmallVector<double> cost(groups, 0.0);
  for (const JsonValue *apply : applies.lookup(node.outputs->items[0].text)) {
    const JsonValue *attributes = apply->get("attributes");
    int64_t first = 0, last = groups;
    const JsonValue *range = attributes ? attributes->get("groups") : nullptr;
    if (range && range->items.size() == 2) {
      first = std::max<int64_t>(range->items[0].integer, 0);
      last = std::min<int64_t>(range->items[1].integer, groups);
    }
    for (int64_t group = first; group < last; ++group)
      cost[group] = 1.0;
  }
  // Of several groups for each of which there is work, a row for which nothing
  // is skipped passes through all.
  double full = 0;
  for (double one : cost)
    full += one;
  return graph->site(kind, cost, full > 0 ? full : 1.0);
}

LogicalResult JsonImporter::definePlan(const Node &node, Value plan,
                                       const Extent &rows, Scope &scope) {
  auto type = cast<gate::PlanType>(plan.getType());
  plans.try_emplace(plan, Plan{rows, type.getGroups(), type.getChoices()});
  return define(node, 0, plan, scope);
}

//===-- Decisions
//--------------------------------------------------------------------===//

LogicalResult JsonImporter::importTopK(const Node &node, Scope &scope) {
  if (failed(checkCounts(node, 1, 2, {"k", "largest"})))
    return failure();
  FailureOr<Value> input = tensorOperand(node, 0, scope);
  FailureOr<int64_t> k = integerAttribute(node, "k", std::nullopt);
  FailureOr<bool> largest = boolAttribute(node, "largest", true);
  if (failed(input) || failed(k) || failed(largest))
    return failure();
  Extents shape = graph->shapeOf(*input);
  if (shape.size() != 2)
    return fail(node, *node.inputs, "should be a tensor of rank 2");
  if (*k < 1 || !shape[1].isConstant() || *k > shape[1].getConstant())
    return fail(node, *node.json,
                "k should lie between 1 and the number of columns, which must "
                "be fixed");
  shape[1] = Extent(*k);
  Type element = cast<RankedTensorType>(input->getType()).getElementType();
  auto op = gate::TopKOp::create(
      builder, node.loc, graph->typeOf(shape, element),
      graph->typeOf(shape, builder.getI64Type()), *input, /*count=*/Value(),
      builder.getI64IntegerAttr(*k), builder.getBoolAttr(*largest));
  graph->setShape(op.getValues(), shape);
  graph->setShape(op.getIndices(), shape);
  return success(succeeded(define(node, 0, op.getValues(), scope)) &&
                 succeeded(define(node, 1, op.getIndices(), scope)));
}

LogicalResult JsonImporter::importRoute(const Node &node, Scope &scope) {
  if (failed(checkCounts(node, 1, 1,
                         {"top_k", "score", "normalize", "scale", "sum_offset",
                          "sum_min", "drop_nonpositive"})))
    return failure();
  FailureOr<Value> logits = tensorOperand(node, 0, scope);
  FailureOr<int64_t> topK = integerAttribute(node, "top_k", std::nullopt);
  FailureOr<bool> normalize = boolAttribute(node, "normalize", false);
  FailureOr<bool> drop = boolAttribute(node, "drop_nonpositive", false);
  if (failed(logits) || failed(topK) || failed(normalize) || failed(drop))
    return failure();
  Extents shape = graph->shapeOf(*logits);
  if (shape.size() != 2 || !shape[1].isConstant() ||
      !cast<RankedTensorType>(logits->getType()).getElementType().isF32())
    return fail(node, *node.inputs,
                "the logits should be f32 [rows, groups] with a fixed number "
                "of groups");
  int64_t groups = shape[1].getConstant();
  if (groups < 1 || groups > maxGroups)
    return fail(node, *node.inputs,
                "a plan has between 1 and a million groups, not " +
                    Twine(groups));
  if (*topK < 1 || *topK > groups)
    return fail(node, *node.json,
                "top_k should lie between 1 and the number of groups, " +
                    Twine(groups));
  const JsonValue *scoreName =
      node.attributes ? node.attributes->get("score") : nullptr;
  std::optional<gate::ScoreKind> score = gate::ScoreKind::Softmax;
  if (scoreName)
    score = scoreName->kind == JsonValue::String
                ? gate::symbolizeScoreKind(scoreName->text)
                : std::nullopt;
  if (!score)
    return fail(
        node, *scoreName,
        "should be one of softmax, softmax_selected, sigmoid, identity");
  FailureOr<FloatAttr> scale = floatAttribute(node, "scale"),
                       offset = floatAttribute(node, "sum_offset"),
                       least = floatAttribute(node, "sum_min");
  if (failed(scale) || failed(offset) || failed(least))
    return failure();
  bool isDivided = *normalize && (*score == gate::ScoreKind::Identity ||
                                  *score == gate::ScoreKind::Sigmoid);
  if (*offset && !isDivided)
    return fail(node, *node.attributes->get("sum_offset"),
                "is for a score identity or sigmoid that is normalized");
  if (*least && !*offset)
    return fail(node, *node.attributes->get("sum_min"),
                "is for a sum_offset, which may be 0");
  auto op = gate::RouteOp::create(
      builder, node.loc, gate::PlanType::get(context, groups, *topK), *logits,
      /*mixing=*/Value(), gate::ScoreKindAttr::get(context, *score),
      builder.getBoolAttr(*normalize), *offset, *least,
      *scale ? *scale : builder.getF32FloatAttr(1.0f),
      builder.getBoolAttr(*drop), builder.getBoolAttr(false),
      importSite(node, "experts", groups));
  return definePlan(node, op.getPlan(), shape[0], scope);
}

LogicalResult JsonImporter::importPartition(const Node &node, Scope &scope) {
  if (failed(checkCounts(node, 1, 1, {"groups"})))
    return failure();
  FailureOr<Value> selector = tensorOperand(node, 0, scope);
  if (failed(selector))
    return failure();
  Extents shape = graph->shapeOf(*selector);
  Type element = cast<RankedTensorType>(selector->getType()).getElementType();
  bool isPredicate = element.isInteger(1);
  if (!isPredicate && !element.isSignlessInteger(32))
    return fail(node, *node.inputs, "the selector should be bool or i32");
  if (shape.empty() || shape.size() > 2 ||
      (shape.size() == 2 && !shape[1].isOne()))
    return fail(node, *node.inputs,
                "the selector should be of shape [rows] or [rows, 1]");
  FailureOr<int64_t> groups = integerAttribute(
      node, "groups", isPredicate ? std::optional<int64_t>(2) : std::nullopt);
  if (failed(groups))
    return failure();
  if (*groups < 1 || *groups > maxGroups || (isPredicate && *groups != 2))
    return fail(node, *node.json,
                isPredicate ? "a predicate makes 2 groups"
                            : "groups should lie between 1 and a million");
  auto op = gate::PartitionOp::create(
      builder, node.loc, gate::PlanType::get(context, *groups, 1), *selector,
      /*step=*/Value(),
      importSite(node, isPredicate ? "skip" : "experts", *groups),
      builder.getI64IntegerAttr(0));
  return definePlan(node, op.getPlan(), shape[0], scope);
}

//===-- Work
//-------------------------------------------------------------------------===//

LogicalResult JsonImporter::importApply(const Node &node, Scope &scope) {
  if (failed(checkCounts(node, 2, 1, {"groups"})))
    return failure();
  FailureOr<Value> rows = tensorOperand(node, 0, scope);
  FailureOr<Value> plan = planOperand(node, 1, scope);
  const JsonValue *body = require(*node.json, "body", JsonValue::Object);
  if (failed(rows) || failed(plan) || !body)
    return failure();
  if (failed(checkKeys(*body, {"rows", "params", "nodes", "result"})))
    return failure();
  const JsonValue *rowsName = require(*body, "rows", JsonValue::String);
  const JsonValue *nodes = require(*body, "nodes", JsonValue::Array);
  const JsonValue *resultName = require(*body, "result", JsonValue::String);
  if (!rowsName || !nodes || !resultName)
    return failure();
  Plan source = plans.find(*plan)->second;
  FailureOr<std::pair<int64_t, int64_t>> range =
      rangeAttribute(node, source.groups, {0, source.groups});
  if (failed(range))
    return failure();
  Extents shape = graph->shapeOf(*rows);
  if (shape.empty() || shape[0] != source.rows)
    return fail(node, node.inputs->items[0],
                "the rows are " + graph->text(shape) +
                    ", but the plan is one of " + graph->text(source.rows) +
                    " rows");

  OperationState state(node.loc, gate::ApplyOp::getOperationName());
  SmallVector<int64_t> tail;
  Type rowsType = graph->typeOf(
      shape, cast<RankedTensorType>(rows->getType()).getElementType());
  Scope inner;
  Values params;
  SmallVector<StringRef> paramNames;
  if (const JsonValue *object = body->get("params")) {
    if (object->kind != JsonValue::Object)
      return fail(*object,
                  Twine("should be an object, but is ") + object->describe());
    for (auto [name, operand] : llvm::zip(object->keys, object->items)) {
      FailureOr<Value> param = readOperand(operand, scope);
      if (failed(param))
        return failure();
      auto type = *param ? dyn_cast<RankedTensorType>(param->getType())
                         : RankedTensorType();
      if (!type || !graph->isConstant(*param))
        return fail(node, operand,
                    "a param should be an '@weight' or a constant");
      if (type.getRank() < 1 ||
          type.getDimSize(0) != range->second - range->first)
        return fail(node, operand,
                    "a param's first dimension should be the number of groups "
                    "of the body, " +
                        Twine(range->second - range->first));
      params.push_back(*param);
      paramNames.push_back(name);
    }
  }
  // The shape of the result is known once the body is built.
  state.addTypes(rowsType);
  state.addOperands({*plan, *rows});
  state.addOperands(params);
  state.addAttribute(
      "ranges", builder.getDenseI64ArrayAttr({range->first, range->second}));
  state.addAttribute("operandSegmentSizes",
                     builder.getDenseI32ArrayAttr(
                         {1, 1, static_cast<int32_t>(params.size())}));
  Region *region = state.addRegion();
  auto op = cast<gate::ApplyOp>(builder.create(state));
  (void)region;

  OpBuilder::InsertionGuard guard(builder);
  Block *block = builder.createBlock(&op.getBodies()[0]);
  auto define = [&](const JsonValue &where, StringRef name,
                    Value value) -> LogicalResult {
    if (name.empty() || name.starts_with("@") ||
        !inner.try_emplace(name, value).second)
      return fail(node, where,
                  "'" + name + "' is no name, or one that is taken");
    return success();
  };
  SmallVector<int64_t> blockShape(cast<RankedTensorType>(rowsType).getShape());
  blockShape[0] = ShapedType::kDynamic;
  auto rowsElement = cast<RankedTensorType>(rowsType).getElementType();
  Value argument = block->addArgument(
      RankedTensorType::get(blockShape, rowsElement), node.loc);
  if (failed(define(*rowsName, rowsName->text, argument)))
    return failure();
  for (auto [name, param] : llvm::zip(paramNames, params)) {
    auto type = cast<RankedTensorType>(param.getType());
    Value slice =
        block->addArgument(RankedTensorType::get(type.getShape().drop_front(),
                                                 type.getElementType()),
                           node.loc);
    graph->setParam(slice);
    if (failed(define(*body->get("params"), name, slice)))
      return failure();
  }
  graph->setRows(argument, ArrayRef<Extent>(shape).drop_front());
  builder.setInsertionPointToEnd(block);
  Extent blockRows = graph->shapeOf(argument)[0];
  if (failed(importNodes(*nodes, inner, /*inBody=*/true)))
    return failure();
  auto result = inner.find(resultName->text);
  if (result == inner.end())
    return fail(node, *resultName,
                "the body makes no value '" + resultName->text + "'");
  Extents resultShape = graph->shapeOf(result->second);
  if (resultShape.empty() || resultShape[0] != blockRows)
    return fail(node, *resultName,
                "the result should have a row for each of the group's "
                "rows, but has the shape " +
                    graph->text(resultShape));
  gate::YieldOp::create(builder, node.loc, result->second);

  auto resultType = cast<RankedTensorType>(result->second.getType());
  op->getResult(0).setType(resultType);
  graph->setNode(node.name, node.op, node.loc);
  builder.setInsertionPointAfter(op);
  graph->setSlots(op->getResult(0), ArrayRef<Extent>(resultShape).drop_front());
  return this->define(node, 0, op->getResult(0), scope);
}

//===-- Merges
//-----------------------------------------------------------------------===//

LogicalResult JsonImporter::importCombine(const Node &node, Scope &scope) {
  if (failed(checkCounts(node, 2, 1, {})))
    return failure();
  FailureOr<Value> slots = tensorOperand(node, 0, scope);
  FailureOr<Value> plan = planOperand(node, 1, scope);
  if (failed(slots) || failed(plan))
    return failure();
  auto apply = slots->getDefiningOp<gate::ApplyOp>();
  if (!apply || apply.getPlan() != *plan)
    return fail(
        node, node.inputs->items[0],
        "should be the slots that a gate.apply makes from the same plan");
  Plan source = plans.find(*plan)->second;
  if (apply.getRanges()[0] != 0 || apply.getRanges()[1] != source.groups)
    return fail(node, node.inputs->items[0],
                "should be made for all groups of the plan; rows of other "
                "groups have no "
                "value");
  Extents shape = graph->shapeOf(*slots);
  Type element = cast<RankedTensorType>(slots->getType()).getElementType();
  if (shape.size() != 2 || !isa<FloatType>(element))
    return fail(node, node.inputs->items[0],
                "should be a float tensor of rank 2");
  shape[0] = source.rows;
  auto op =
      gate::CombineOp::create(builder, node.loc, graph->typeOf(shape, element),
                              *slots, *plan, graph->materialize(source.rows));
  graph->setShape(op.getResult(), shape);
  return define(node, 0, op.getResult(), scope);
}

LogicalResult JsonImporter::importMerge(const Node &node, Scope &scope) {
  if (failed(checkCounts(node, 3, 1, {"groups"})))
    return failure();
  FailureOr<Value> slots = tensorOperand(node, 0, scope);
  FailureOr<Value> plan = planOperand(node, 1, scope);
  FailureOr<Value> base = tensorOperand(node, 2, scope);
  if (failed(slots) || failed(plan) || failed(base))
    return failure();
  Plan source = plans.find(*plan)->second;
  if (source.choices != 1)
    return fail(node, node.inputs->items[1],
                "should be a plan with one choice per row");
  FailureOr<std::pair<int64_t, int64_t>> range =
      rangeAttribute(node, source.groups, {0, 1});
  if (failed(range))
    return failure();
  auto apply = slots->getDefiningOp<gate::ApplyOp>();
  if (!apply || apply.getPlan() != *plan)
    return fail(
        node, node.inputs->items[0],
        "should be the slots that a gate.apply makes from the same plan");
  if (range->first < apply.getRanges()[0] ||
      range->second > apply.getRanges()[1])
    return fail(node, *node.json,
                "takes rows of groups that the gate.apply leaves out");
  Extents shape = graph->shapeOf(*slots), baseShape = graph->shapeOf(*base);
  Type element = cast<RankedTensorType>(slots->getType()).getElementType();
  shape[0] = source.rows;
  if (baseShape != shape ||
      element != cast<RankedTensorType>(base->getType()).getElementType())
    return fail(node, node.inputs->items[2],
                "the base is " + graph->text(baseShape) + ", but should be " +
                    graph->text(shape) + " and of the slots' dtype");
  auto op = gate::MergeOp::create(
      builder, node.loc, base->getType(), *slots, *plan,
      builder.getDenseI64ArrayAttr({range->first, range->second}), *base);
  graph->setShape(op.getResult(), shape);
  return define(node, 0, op.getResult(), scope);
}
