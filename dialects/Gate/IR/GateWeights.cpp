// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Verifiers of weights and of the values taken from them.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace gatecc::gate;

#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateWeights.cpp.inc"

LogicalResult WeightOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape()) // C1
    return emitOpError("expects a static type, got ") << type;
  if (getFile().has_value() + getValue().has_value() + getStack().has_value() !=
      1) // C2
    return emitOpError("expects either a file or a value or a stack");
  if (getStack() && (type.getRank() == 0 ||
                     int64_t(getStack()->size()) != type.getDimSize(0))) // C4
    return emitOpError("expects a weight for each of the first dimension of ")
           << type << ", got " << getStack()->size();
  if (getValue() && getValue()->getShapedType() != type)
    return emitOpError("expects a value of type ") << type;
  if (getFile()) {
    if (!getStrides() || int64_t(getStrides()->size()) != type.getRank())
      return emitOpError("expects a stride for each of ")
             << type.getRank() << " dimensions";
    if (int64_t(getOffset()) < 0 ||
        llvm::any_of(*getStrides(), [](int64_t s) { return s < 0; })) // C3
      return emitOpError("expects an offset and strides that are not negative");
  }
  return success();
}

LogicalResult WeightOp::verifySymbolUses(SymbolTableCollection &tables) {
  if (!getStack())
    return success();
  auto type = cast<RankedTensorType>(getType());
  auto slice = RankedTensorType::get(type.getShape().drop_front(),
                                     type.getElementType());
  for (auto part : getStack()->getAsRange<FlatSymbolRefAttr>()) { // C4
    auto weight = tables.lookupNearestSymbolFrom<WeightOp>(*this, part);
    if (!weight || weight.getStack() || weight.getType() != slice)
      return emitOpError("expects ") << part << " to be a gate.weight of type "
                                     << slice << " that is no stack";
  }
  return success();
}

/// The weight of that name, searched from `op` on in both directions: packed
/// weights stand beside their sources, in modules of perhaps 100000 weights.
static WeightOp findWeight(Operation *op, Attribute name) {
  auto reference = dyn_cast<FlatSymbolRefAttr>(name);
  auto matches = [&](Operation *other) {
    auto weight = dyn_cast<WeightOp>(other);
    return reference && weight &&
           weight.getSymNameAttr() == reference.getAttr();
  };
  Operation *before = op->getPrevNode(), *after = op->getNextNode();
  for (; before || after;) {
    if (before && matches(before))
      return cast<WeightOp>(before);
    if (after && matches(after))
      return cast<WeightOp>(after);
    before = before ? before->getPrevNode() : nullptr;
    after = after ? after->getNextNode() : nullptr;
  }
  return {};
}

int64_t PackedWeightOp::getK() {
  if (getDepth())
    return getDepth();
  WeightOp source = findWeight(*this, getSources()[0]);
  auto type = cast<RankedTensorType>(source.getType());
  return type.getDimSize(type.getRank() - 2);
}

PanelLayout PackedWeightOp::getLayout() {
  return {getFormat(), int64_t(getSources().size()), int64_t(getLanes()),
          getK(),      int64_t(getBlock()),          getZeros()};
}

/// The common type of the weights that `names` holds, or null.
static RankedTensorType findCommonType(Operation *op, ArrayAttr names,
                                       size_t count) {
  Type common;
  for (Attribute name : names) {
    WeightOp weight = findWeight(op, name);
    if (!weight || (common && weight.getType() != common))
      return {};
    common = weight.getType();
  }
  if (names.size() != count)
    return {};
  return dyn_cast_or_null<RankedTensorType>(common);
}

LogicalResult PackedWeightOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  size_t count = getSources().size();
  RankedTensorType source = findCommonType(*this, getSources(), count);
  if (!source) // C1
    return emitOpError("expects gate.weight sources of one type, got ")
           << getSources();
  for (std::optional<ArrayAttr> names : {getScales(), getZeroPoints()}) // C1
    if (names && !findCommonType(*this, *names, count))
      return emitOpError("expects a gate.weight of one type for each source, "
                         "got ")
             << *names;
  int64_t lanes = getLanes();
  if (source.getRank() < 2 || source.getRank() > 3 || lanes < 1)
    return emitOpError("expects sources of rank 2 or 3 and at least one lane");
  PanelLayout layout = getLayout();
  if (layout.isInteger() && (layout.block < 8 || layout.block % 8)) // C3
    return emitOpError("expects blocks of a multiple of 8 rows, got ")
           << layout.block;
  if (bool(getScales()) != (getDepth() > 0) || // C4
      (getScales() && (!layout.isInteger() || getSourceBlock() < 1 ||
                       (int64_t(getSourceBlock()) < layout.k &&
                        int64_t(getSourceBlock()) % layout.block))))
    return emitOpError("expects depth, source_block, a multiple of block, and "
                       "a format of integers exactly with scales");
  if (getAsymmetric() &&
      (!layout.isInteger() || !layout.zeros || getScales())) // C5
    return emitOpError("expects asymmetric weights to have zeros, integers and "
                       "no scales of their own");
  if (layout.format == PanelFormat::F16 &&
      !source.getElementType().isF16()) // C6
    return emitOpError("expects sources of f16 for panels of f16, got ")
           << source;
  ArrayRef<int64_t> shape = source.getShape();
  int64_t n = getScales() ? shape[shape.size() - 2] : shape.back();
  SmallVector<int64_t> want{shape.size() == 3 ? shape[0] : 1,
                            (n + lanes - 1) / lanes, layout.units(),
                            layout.unitElements()};
  Type element = layout.elementType(getScales() ? Float32Type::get(getContext())
                                                : source.getElementType());
  if (type.getShape() != ArrayRef(want) ||
      type.getElementType() != element) // C2
    return emitOpError("expects the packed type ")
           << RankedTensorType::get(want, element) << ", got " << type;
  return success();
}

LogicalResult WeightValueOp::verifySymbolUses(SymbolTableCollection &tables) {
  Operation *symbol = tables.lookupNearestSymbolFrom(*this, getWeightAttr());
  Type type;
  if (auto weight = dyn_cast_or_null<WeightOp>(symbol))
    type = weight.getType();
  else if (auto packed = dyn_cast_or_null<PackedWeightOp>(symbol))
    type = packed.getType();
  if (!type) // C1
    return emitOpError("expects a gate.weight or gate.packed_weight named ")
           << getWeightAttr();
  if (type != getResult().getType())
    return emitOpError("expects the weight's type ")
           << type << ", got " << getResult().getType();
  return success();
}

LogicalResult DequantizeOp::verify() {
  int64_t bits = getBits(), block = getBlock();
  if (bits != 4 && bits != 8) // C1
    return emitOpError("expects 4 or 8 bits, got ") << bits;
  if (block < 1)
    return emitOpError("expects blocks of at least 1, got ") << block;
  auto result = cast<RankedTensorType>(getResult().getType());
  int64_t rank = result.getRank();
  if (rank < 2 || rank > 3 || !result.hasStaticShape() ||
      !result.getElementType().isF32() || result.getDimSize(rank - 2) < 1) // C2
    return emitOpError("expects a static result of f32 [G, K, N] or [K, N] "
                       "with K >= 1, got ")
           << result;
  int64_t k = result.getDimSize(rank - 2), n = result.getShape().back();
  int64_t blocks = llvm::divideCeil(k, block);
  SmallVector<int64_t> want(result.getShape().drop_back(2));
  want.append({n, 0});
  auto check = [&](StringRef name, Value operand, int64_t last,
                   Type element) -> LogicalResult {
    want.back() = last;
    auto type = RankedTensorType::get(want, element);
    if (operand.getType() == type)
      return success();
    return emitOpError("expects ")
           << name << " of type " << type << ", got " << operand.getType();
  };
  auto byte = IntegerType::get(getContext(), 8, IntegerType::Unsigned);
  auto bytes = [&](int64_t count) { return llvm::divideCeil(count * bits, 8); };
  if (failed(check("values", getValues(), bytes(k), byte))) // C3
    return failure();
  if (failed(check("scales", getScales(), blocks,
                   Float32Type::get(getContext())))) // C4
    return failure();
  if (getZeros() &&
      failed(check("zeros", getZeros(), bytes(blocks), byte))) // C5
    return failure();
  return success();
}

LogicalResult SiteOp::verify() {
  if (!llvm::is_contained({"experts", "exit", "skip", "select", "halt"},
                          getKind())) // C1
    return emitOpError(
               "expects kind experts, exit, skip, select or halt, got '")
           << getKind() << "'";
  if (llvm::any_of(getCost(), [](double c) { return !(c >= 0); })) // C2
    return emitOpError("expects costs that are not negative");
  return success();
}
