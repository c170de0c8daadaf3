// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GraphBuilder, sizes: symbols and the SSA values of extents, shapes of
// tensors, integer tensors known at compile time, rows of an apply, errors and
// sites.
#include "gatecc/Import/GraphBuilder.h"
#include "lib/Import/Operators/SymbolPlace.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace gatecc;

/// Integer tensors of at most so many elements are tracked element by element.

GraphBuilder::GraphBuilder(ModuleOp module, OpBuilder &builder)
    : module(module), builder(builder), symbolTable(module),
      loc(module.getLoc()) {
  for (auto site : module.getOps<gate::SiteOp>())
    ++siteNames[site.getName()];
}

void GraphBuilder::setNode(StringRef name, StringRef op, Location location) {
  nodeName = name.str();
  nodeOp = op.str();
  loc = location;
}

LogicalResult GraphBuilder::fail(const Twine &reason) {
  return emitError(loc) << "node '" << nodeName << "' (" << nodeOp
                        << "): " << reason;
}

//===-- Symbols and extents
//-------------------------------------------------===//

Block *GraphBuilder::entryBlock() {
  Operation *op = builder.getInsertionBlock()->getParentOp();
  while (!op->hasTrait<OpTrait::IsIsolatedFromAbove>() && op->getParentOp())
    op = op->getParentOp();
  return &op->getRegion(0).front();
}

/// Whether `a` comes before `b` in their block. The block numbers its ops anew
/// when it is asked after some were added; here the later one is near the
/// block's end, or near the other one.
static bool isBefore(Operation *a, Operation *b) {
  for (Operation *afterA = a, *afterB = b;;) {
    afterA = afterA->getNextNode();
    afterB = afterB->getNextNode();
    if (afterA == b || !afterB)
      return true;
    if (afterB == a || !afterA)
      return false;
  }
}

/// Sets the insertion point to where all of `values` are defined, as early as
/// possible: in the innermost of their blocks, after the last of them.
void GraphBuilder::insertAfter(ArrayRef<Value> values) {
  Block *block = entryBlock();
  for (Value value : values)
    if (value.getParentBlock() != block &&
        block->getParentOp()->isProperAncestor(
            value.getParentBlock()->getParentOp()))
      block = value.getParentBlock();
  Operation *last = nullptr;
  for (Value value : values) {
    Operation *op = value.getDefiningOp();
    if (op && op->getBlock() == block &&
        (!last || (last != op && isBefore(last, op))))
      last = op;
  }
  if (last)
    builder.setInsertionPointAfter(last);
  else
    builder.setInsertionPointToStart(block);
}

void GraphBuilder::insertInBlockAfter(ArrayRef<Value> values) {
  Block *block = builder.getInsertionBlock();
  insertAfter(values);
  if (builder.getInsertionBlock() != block)
    builder.setInsertionPointToStart(block);
}

Extent GraphBuilder::inputSymbol(StringRef name, Value source, unsigned dim) {
  auto found = inputs.find(name.str());
  if (found != inputs.end())
    return found->second;
  OpBuilder::InsertionGuard guard(builder);
  insertAfter(source);
  Value size =
      tensor::DimOp::create(builder, module.getLoc(), source, int64_t(dim));
  return inputs[name.str()] = opaqueSymbol(name, size, /*isInput=*/true);
}

Extent GraphBuilder::opaqueSymbol(StringRef name, Value size, bool isInput,
                                  bool isSize) {
  symbols.push_back({name.str(), size, isInput, isSize});
  Extent extent = Extent::symbol(symbols.size() - 1);
  materialized[extent] = size;
  return extent;
}

Value GraphBuilder::materialize(const Extent &extent) {
  Value &value = materialized[extent];
  if (value)
    return value;
  OpBuilder::InsertionGuard guard(builder);
  if (extent.isConstant()) {
    builder.setInsertionPointToStart(entryBlock());
    return value = arith::ConstantIndexOp::create(builder, module.getLoc(),
                                                  extent.getConstant());
  }
  SmallVector<Value> factors;
  for (unsigned id : extent.getSymbols())
    factors.push_back(symbols[id].value);
  Value coefficient;
  if (extent.getCoefficient() != 1) {
    coefficient = materialize(Extent(extent.getCoefficient()));
    factors.push_back(coefficient);
  }
  insertAfter(factors);
  Value result = factors.front();
  for (Value factor : ArrayRef(factors).drop_front())
    result = arith::MulIOp::create(builder, module.getLoc(), result, factor);
  // The map may have grown: `value` may still be used, std::map is stable.
  return value = result;
}

OpFoldResult GraphBuilder::fold(const Extent &extent) {
  if (extent.isConstant())
    return builder.getIndexAttr(extent.getConstant());
  return materialize(extent);
}

SmallVector<OpFoldResult> GraphBuilder::fold(ArrayRef<Extent> extents) {
  return llvm::map_to_vector(extents, [&](const Extent &e) { return fold(e); });
}

std::string GraphBuilder::text(const Extent &extent) const {
  if (extent.isConstant())
    return std::to_string(extent.getConstant());
  std::string result;
  if (extent.getCoefficient() != 1)
    result = std::to_string(extent.getCoefficient());
  for (unsigned id : extent.getSymbols())
    result += (result.empty() ? "" : "*") + symbols[id].name;
  return result;
}

std::string GraphBuilder::text(ArrayRef<Extent> extents) const {
  return "[" +
         llvm::join(
             llvm::map_range(extents, [&](const Extent &e) { return text(e); }),
             ", ") +
         "]";
}

Attribute GraphBuilder::dimAttribute(const Extent &extent) {
  if (extent.isConstant())
    return builder.getI64IntegerAttr(extent.getConstant());
  for (unsigned id : extent.getSymbols())
    if (!symbols[id].isInput)
      return builder.getStringAttr("?");
  return builder.getStringAttr(text(extent));
}

bool GraphBuilder::isSize(const Extent &extent) const {
  return extent.getCoefficient() >= 0 &&
         llvm::all_of(extent.getSymbols(),
                      [&](unsigned id) { return symbols[id].isSize; });
}

Extent
GraphBuilder::derived(char kind, const Extent &a, const Extent &b,
                      function_ref<Value(OpBuilder &, Value, Value)> build) {
  auto key = std::make_tuple(kind, a, b);
  auto found = derivedSymbols.find(key);
  if (found != derivedSymbols.end())
    return found->second;
  Value left = materialize(a), right = materialize(b);
  OpBuilder::InsertionGuard guard(builder);
  insertAfter({left, right});
  Value value = build(builder, left, right);
  bool size = kind != '-' && isSize(a) && isSize(b);
  if (kind == 'M') // maximum
    size = isSize(a) || isSize(b);
  std::string name =
      kind == 'm' || kind == 'M'
          ? (kind == 'm' ? "min(" : "max(") + text(a) + "," + text(b) + ")"
      : kind == 'b'
          ? text(a)
          : "(" + text(a) + (kind == 'c' ? '/' : kind) + text(b) + ")";
  Extent extent = opaqueSymbol(name, value, /*isInput=*/false, size);
  return derivedSymbols[key] = extent;
}

Extent GraphBuilder::add(const Extent &a, const Extent &b) {
  int64_t sum;
  if (a.isConstant(0))
    return b;
  if (b.isConstant(0))
    return a;
  if (a.getSymbols() == b.getSymbols() &&
      !llvm::AddOverflow(a.getCoefficient(), b.getCoefficient(), sum)) {
    Extent result(sum);
    for (unsigned id : a.getSymbols())
      result *= Extent::symbol(id);
    return result;
  }
  bool swap = b < a;
  return derived(
      '+', swap ? b : a, swap ? a : b, [&](OpBuilder &at, Value x, Value y) {
        return Value(arith::AddIOp::create(at, module.getLoc(), x, y));
      });
}

Extent GraphBuilder::subtract(const Extent &a, const Extent &b) {
  if (a == b)
    return Extent(0);
  int64_t difference;
  if (b.isConstant(0))
    return a;
  if (a.getSymbols() == b.getSymbols() &&
      !llvm::SubOverflow(a.getCoefficient(), b.getCoefficient(), difference) &&
      (a.isConstant() || difference > 0)) {
    Extent result(difference);
    for (unsigned id : a.getSymbols())
      result *= Extent::symbol(id);
    return result;
  }
  return derived('-', a, b, [&](OpBuilder &at, Value x, Value y) {
    return Value(arith::SubIOp::create(at, module.getLoc(), x, y));
  });
}

Extent GraphBuilder::minimum(const Extent &a, const Extent &b) {
  if (a.getSymbols() == b.getSymbols() &&
      (a.isConstant() || (isSize(a) && isSize(b))))
    return a.getCoefficient() < b.getCoefficient() ? a : b;
  if (b < a)
    return minimum(b, a);
  if (a.isConstant() && a.getConstant() <= 0 && isSize(b))
    return a;
  if (b.isConstant() && b.getConstant() <= 0 && isSize(a))
    return b;
  return derived('m', a, b, [&](OpBuilder &at, Value x, Value y) {
    return Value(arith::MinSIOp::create(at, module.getLoc(), x, y));
  });
}

Extent GraphBuilder::maximum(const Extent &a, const Extent &b) {
  if (a.getSymbols() == b.getSymbols() &&
      (a.isConstant() || (isSize(a) && isSize(b))))
    return a.getCoefficient() < b.getCoefficient() ? b : a;
  if (b < a)
    return maximum(b, a);
  if (a.isConstant() && a.getConstant() <= 0 && isSize(b))
    return b;
  if (b.isConstant() && b.getConstant() <= 0 && isSize(a))
    return a;
  return derived('M', a, b, [&](OpBuilder &at, Value x, Value y) {
    return Value(arith::MaxSIOp::create(at, module.getLoc(), x, y));
  });
}

Extent GraphBuilder::ceilDivide(const Extent &a, int64_t divisor) {
  if (auto exact = a.dividedBy(Extent(divisor)))
    return *exact;
  if (a.isConstant())
    return Extent(llvm::divideCeilSigned(a.getConstant(), divisor));
  return derived('c', a, Extent(divisor), [&](OpBuilder &at, Value x, Value y) {
    return Value(arith::CeilDivSIOp::create(at, module.getLoc(), x, y));
  });
}

Extent GraphBuilder::floorDivide(const Extent &a, int64_t divisor) {
  if (auto exact = a.dividedBy(Extent(divisor)))
    return *exact;
  if (a.isConstant())
    return Extent(llvm::divideFloorSigned(a.getConstant(), divisor));
  return derived('/', a, Extent(divisor), [&](OpBuilder &at, Value x, Value y) {
    return Value(arith::FloorDivSIOp::create(at, module.getLoc(), x, y));
  });
}

//===-- Shapes and known values
//----------------------------------------------===//

void GraphBuilder::setShape(Value value, ArrayRef<Extent> shape) {
  shapes[value] = Extents(shape.begin(), shape.end());
}

Extents GraphBuilder::shapeOf(Value value) {
  auto found = shapes.find(value);
  if (found != shapes.end())
    return found->second;
  auto type = ::mlir::cast<RankedTensorType>(value.getType());
  Extents shape;
  for (auto [dim, size] : llvm::enumerate(type.getShape())) {
    if (!ShapedType::isDynamic(size)) {
      shape.push_back(Extent(size));
      continue;
    }
    OpBuilder::InsertionGuard guard(builder);
    insertAfter(value);
    Value extent =
        tensor::DimOp::create(builder, module.getLoc(), value, int64_t(dim));
    shape.push_back(opaqueSymbol("?" + std::to_string(symbols.size()), extent));
  }
  return shapes[value] = shape;
}

RankedTensorType GraphBuilder::typeOf(ArrayRef<Extent> shape, Type element) {
  SmallVector<int64_t> sizes;
  for (const Extent &extent : shape)
    sizes.push_back(extent.isConstant() ? extent.getConstant()
                                        : ShapedType::kDynamic);
  return RankedTensorType::get(sizes, element);
}

std::optional<Extents> GraphBuilder::knownInts(Value value) {
  auto found = known.find(value);
  if (found != known.end())
    return found->second;
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || type.getRank() > 1 || !type.getElementType().isSignlessInteger())
    return std::nullopt;
  if (type.hasStaticShape() && type.getNumElements() == 0)
    return Extents(); // Whatever it is, it holds nothing.
  DenseElementsAttr attribute = constantValue(value);
  if (!attribute || attribute.getNumElements() > maxKnownElements)
    return std::nullopt;
  Extents result;
  for (const APInt &element : attribute.getValues<APInt>())
    result.push_back(Extent(type.getElementType().isInteger(1)
                                ? element.getZExtValue()
                                : element.getSExtValue()));
  return result;
}

std::optional<SmallVector<int64_t>> GraphBuilder::knownConstants(Value value) {
  std::optional<Extents> extents = knownInts(value);
  if (!extents)
    return std::nullopt;
  SmallVector<int64_t> result;
  for (const Extent &extent : *extents) {
    if (!extent.isConstant())
      return std::nullopt;
    result.push_back(extent.getConstant());
  }
  return result;
}

Value GraphBuilder::knownTensor(ArrayRef<Extent> values, Type element,
                                bool scalar) {
  auto type = RankedTensorType::get(
      scalar ? ArrayRef<int64_t>() : ArrayRef<int64_t>(int64_t(values.size())),
      element);
  Value result;
  if (llvm::all_of(values, [](const Extent &e) { return e.isConstant(); })) {
    SmallVector<Attribute> elements;
    unsigned width = element.getIntOrFloatBitWidth();
    for (const Extent &value : values)
      elements.push_back(IntegerAttr::get(
          element,
          APInt(64, uint64_t(value.getConstant())).zextOrTrunc(width)));
    result = constant(DenseElementsAttr::get(type, elements));
  } else {
    SmallVector<Value> elements;
    for (const Extent &value : values)
      elements.push_back(arith::IndexCastOp::create(builder, loc, element,
                                                    materialize(value)));
    result = tensor::FromElementsOp::create(builder, loc, type, elements);
  }
  if (int64_t(values.size()) <= maxKnownElements)
    known[result] = Extents(values.begin(), values.end());
  return result;
}

FailureOr<Value> GraphBuilder::countTensor(const Extent &count, Type element) {
  if (count.isConstant()) {
    Attribute value;
    if (isa<FloatType>(element))
      value = builder.getFloatAttr(element, double(count.getConstant()));
    else
      value = builder.getIntegerAttr(element, count.getConstant());
    return constant(
        DenseElementsAttr::get(RankedTensorType::get({}, element), value));
  }
  return cast(knownTensor(count, builder.getI64Type(), /*scalar=*/true),
              element);
}

//===-- Rows of an apply
//-------------------------------------------------------===//

void GraphBuilder::setRows(Value argument, ArrayRef<Extent> tail,
                           Value sameRows) {
  Extents shape{Extent(0)};
  if (sameRows) {
    shape[0] = shapeOf(sameRows).front();
  } else {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(argument.getParentBlock());
    Value rows = tensor::DimOp::create(builder, loc, argument, int64_t(0));
    shape[0] = opaqueSymbol("rows" + std::to_string(symbols.size()), rows);
  }
  shape.append(tail.begin(), tail.end());
  setShape(argument, shape);
}

void GraphBuilder::setSlots(Value result, ArrayRef<Extent> tail) {
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointAfterValue(result);
  Value slots = tensor::DimOp::create(builder, loc, result, int64_t(0));
  Extents shape{opaqueSymbol("slots" + std::to_string(symbols.size()), slots)};
  shape.append(tail.begin(), tail.end());
  setShape(result, shape);
}

void GraphBuilder::setParam(Value argument) { params.insert(argument); }

//===-- Sites
//--------------------------------------------------------------------===//

FlatSymbolRefAttr GraphBuilder::site(StringRef kind, ArrayRef<double> cost,
                                     double fullCost) {
  std::string name = nodeName.empty() ? nodeOp : nodeName;
  unsigned repeat = ++siteNames[name];
  std::string unique = repeat == 1 ? name : name + "#" + std::to_string(repeat);
  OpBuilder at(module.getContext());
  auto op = gate::SiteOp::create(
      at, loc, builder.getStringAttr("site"), builder.getStringAttr(unique),
      builder.getStringAttr(kind), builder.getDenseF64ArrayAttr(cost),
      builder.getF64FloatAttr(fullCost), builder.getStrArrayAttr({name}),
      builder.getStringAttr(""));
  symbolTable.insert(op, placeOfSymbols(module));
  return FlatSymbolRefAttr::get(op.getSymNameAttr());
}

//===-- Cleaning up
//----------------------------------------------------------------===//

void GraphBuilder::eraseUnused(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
    if (isOpTriviallyDead(&op)) {
      op.erase();
      continue;
    }
    for (Region &region : op.getRegions())
      for (Block &inner : region)
        eraseUnused(inner);
  }
}

void GraphBuilder::eraseUnusedSymbols(ModuleOp module) {
  DenseSet<Attribute> used;
  module.walk([&](Operation *op) {
    op->getAttrDictionary().walk([&](SymbolRefAttr reference) {
      used.insert(reference.getRootReference());
    });
  });
  for (Operation &op : llvm::make_early_inc_range(module.getOps()))
    if (isa<gate::WeightOp, gate::SiteOp>(op) &&
        !used.contains(SymbolTable::getSymbolName(&op)))
      op.erase();
}
