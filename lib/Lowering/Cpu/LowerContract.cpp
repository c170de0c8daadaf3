// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Emits the register tiles of packed contractions.
//   site:    tasks over (row block of a group, range of panels) -> call
//   @contract_N kernel:  for panel { for row tile { for k { broadcast * panel
//   -> registers };
//            epilogue; store } }, with a variant for each rest of rows
// Every accumulator adds its products in the order of k, whatever the tile, so
// a row has the same bits in any batch. A is read through row indices and never
// packed; a panel is read once for a block of rows and stays in cache for it.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"
#include "gatecc/Target/Tiles.h"
#include "lib/Lowering/Cpu/VectorizeBody.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/RegionUtils.h"

namespace gatecc {
#define GEN_PASS_DEF_LOWERCONTRACT
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using gate::ExtentKind;
using gate::PackedContractOp;

namespace {

/// Rows of a block: enough tiles to reuse a panel, few enough for the rows to
/// stay in the second-level cache.
constexpr int64_t kTilesPerBlock = 8;
/// About how many tasks a site is shared out in when it has few row blocks.
constexpr int64_t kTasksPerSite = 64;

/// What a kernel depends on; sites with the same kind share one function.
class KernelEmitter {
public:
  KernelEmitter(PackedContractOp site, Isa isa, ModuleOp module)
      : site(site), facts(getTileFacts(isa)), module(module),
        b(site.getLoc(), site.getContext()) {
    element = cast<MemRefType>(site.getPacked().getType()).getElementType();
    numWeights = site.getNumWeights();
    tile = getTileShape(isa, numWeights, element.getIntOrFloatBitWidth() / 8);
    width = tile.lanes / tile.vectors;
    grouped = bool(site.getOffsets());
  }

  /// Text that is equal for equal kernels.
  std::string key() {
    std::string text;
    llvm::raw_string_ostream os(text);
    os << element << '/' << numWeights << '/' << bool(site.getSource())
       << grouped << site.getExtents()
       << cast<MemRefType>(site.getInit().getType()).getElementType();
    // Names of values are numbered within the op: equal bodies print equally.
    for (Operation &op : site.getEpilogue().front()) {
      os << '\n'
         << op.getName() << op.getAttrDictionary()
         << op.getPropertiesAsAttribute();
      for (Value operand : op.getOperands())
        os << ' ' << position(operand);
    }
    return text;
  }

  func::FuncOp emitKernel(StringRef name);
  void emitSite(func::FuncOp kernel);
  int64_t blockRows() const { return tile.rows * kTilesPerBlock; }

private:
  MemRefType dynamicType(Type type, int64_t keepLast = 0) {
    auto memref = cast<MemRefType>(type);
    SmallVector<int64_t> shape(memref.getRank(), ShapedType::kDynamic);
    if (keepLast)
      shape.back() = keepLast;
    if (keepLast)
      return MemRefType::get(shape, memref.getElementType());
    SmallVector<int64_t> strides(memref.getRank(), ShapedType::kDynamic);
    strides.back() = 1;
    return MemRefType::get(shape, memref.getElementType(),
                           StridedLayoutAttr::get(site.getContext(),
                                                  ShapedType::kDynamic,
                                                  strides));
  }
  int position(Value value) {
    Block &block = site.getEpilogue().front();
    if (auto argument = dyn_cast<BlockArgument>(value))
      return argument.getArgNumber();
    Operation *op = value.getDefiningOp();
    return 1000 + int(std::distance(block.begin(), op->getIterator()));
  }
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  SmallVector<Type> argumentTypes();
  SmallVector<Value> arguments();
  void emitTile(int64_t rows, Value firstRow, Value panel, Value column);
  void emitEpilogue(int64_t row, int64_t vector, Value slot, Value column,
                    ArrayRef<Value> accumulators, Value mask);
  Value loadColumns(Value buffer, ValueRange indices, Type element, Value mask);

  PackedContractOp site;
  TileFacts facts;
  TileShape tile;
  ModuleOp module;
  ImplicitLocOpBuilder b;
  Type element;
  int64_t numWeights, width;
  bool grouped;

  // Arguments of the kernel under construction.
  Value rows, packed, source, init, group;
  SmallVector<Value> extras;
};

SmallVector<Type> KernelEmitter::argumentTypes() {
  Type indexType = b.getIndexType();
  SmallVector<Type> types{
      dynamicType(site.getRows().getType()),
      dynamicType(site.getPacked().getType(), numWeights * tile.lanes)};
  if (site.getSource())
    types.push_back(dynamicType(site.getSource().getType()));
  for (Value extra : site.getExtras())
    types.push_back(isa<MemRefType>(extra.getType())
                        ? Type(dynamicType(extra.getType()))
                        : extra.getType());
  types.push_back(dynamicType(site.getInit().getType()));
  types.append(5, indexType); // group, first and last row, first and last panel
  return types;
}

func::FuncOp KernelEmitter::emitKernel(StringRef name) {
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<Type> types = argumentTypes();
  auto kernel = func::FuncOp::create(b, name, b.getFunctionType(types, {}));
  kernel.setPrivate();
  Block *entry = kernel.addEntryBlock();
  b.setInsertionPointToStart(entry);
  unsigned next = 0;
  rows = entry->getArgument(next++);
  packed = entry->getArgument(next++);
  if (site.getSource())
    source = entry->getArgument(next++);
  for (unsigned i = 0; i < site.getExtras().size(); ++i)
    extras.push_back(entry->getArgument(next++));
  init = entry->getArgument(next++);
  group = entry->getArgument(next++);
  Value firstRow = entry->getArgument(next),
        lastRow = entry->getArgument(next + 1);
  Value firstPanel = entry->getArgument(next + 2),
        lastPanel = entry->getArgument(next + 3);

  Value one = index(1), step = index(tile.rows);
  Value count = arith::SubIOp::create(b, lastRow, firstRow);
  Value rest = arith::RemSIOp::create(b, count, step);
  Value lastFull = arith::SubIOp::create(b, lastRow, rest);
  auto panels = scf::ForOp::create(b, firstPanel, lastPanel, one);
  b.setInsertionPointToStart(panels.getBody());
  Value panel = panels.getInductionVar();
  Value column = arith::MulIOp::create(b, panel, index(tile.lanes));
  if (tile.rows > 1) {
    auto tiles = scf::ForOp::create(b, firstRow, lastFull, step);
    b.setInsertionPointToStart(tiles.getBody());
    emitTile(tile.rows, tiles.getInductionVar(), panel, column);
    b.setInsertionPointAfter(tiles);
    // The rest, in tiles of powers of two: fewer variants than one for each
    // number of rows, and the same order over k in all of them.
    Value next = lastFull;
    for (int64_t size = llvm::bit_floor(uint64_t(tile.rows - 1)); size >= 1;
         size /= 2) {
      Value left = arith::SubIOp::create(b, lastRow, next);
      Value fits = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, left,
                                         index(size));
      auto branch =
          scf::IfOp::create(b, TypeRange{b.getIndexType()}, fits, true, true);
      {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(branch.thenBlock());
        emitTile(size, next, panel, column);
        scf::YieldOp::create(
            b, ValueRange{arith::AddIOp::create(b, next, index(size))});
        b.setInsertionPointToStart(branch.elseBlock());
        scf::YieldOp::create(b, ValueRange{next});
      }
      next = branch.getResult(0);
    }
  } else {
    auto tiles = scf::ForOp::create(b, firstRow, lastRow, one);
    b.setInsertionPointToStart(tiles.getBody());
    emitTile(1, tiles.getInductionVar(), panel, column);
  }
  b.setInsertionPointToEnd(entry);
  func::ReturnOp::create(b);
  return kernel;
}

void KernelEmitter::emitTile(int64_t tileRows, Value firstRow, Value panel,
                             Value column) {
  Type i = b.getIndexType();
  auto vectorType = VectorType::get({width}, element);
  SmallVector<Value> slots, sources;
  for (int64_t r = 0; r < tileRows; ++r) {
    Value slot =
        r ? arith::AddIOp::create(b, firstRow, index(r)).getResult() : firstRow;
    slots.push_back(slot);
    if (source) {
      Value row = memref::LoadOp::create(b, source, slot);
      slot = arith::IndexCastOp::create(b, i, row);
    }
    sources.push_back(slot);
  }
  int64_t vectors = tile.vectors * numWeights;
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
  SmallVector<Value> initial(tileRows * vectors, zero);
  Value depth = memref::DimOp::create(b, rows, 1);
  auto loop = scf::ForOp::create(b, index(0), depth, index(1), initial);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value k = loop.getInductionVar();
    SmallVector<Value> panelVectors, next;
    for (int64_t v = 0; v < vectors; ++v)
      panelVectors.push_back(vector::LoadOp::create(
          b, vectorType, packed,
          ValueRange{group, panel, k, index(v * width)}));
    for (int64_t r = 0; r < tileRows; ++r) {
      Value scalar = memref::LoadOp::create(b, rows, ValueRange{sources[r], k});
      Value broadcast = broadcastTo(b, b.getLoc(), scalar, width);
      for (int64_t v = 0; v < vectors; ++v) {
        Value accumulator = loop.getRegionIterArgs()[r * vectors + v];
        if (facts.fma)
          next.push_back(
              math::FmaOp::create(b, broadcast, panelVectors[v], accumulator));
        else
          next.push_back(arith::AddFOp::create(
              b, arith::MulFOp::create(b, broadcast, panelVectors[v]),
              accumulator));
      }
    }
    scf::YieldOp::create(b, next);
  }

  // A panel that reaches beyond the last column is stored through a mask.
  Value columns = memref::DimOp::create(b, init, 1);
  Value end = arith::AddIOp::create(b, column, index(tile.lanes));
  Value whole =
      arith::CmpIOp::create(b, arith::CmpIPredicate::sle, end, columns);
  // Tiles for the rest of the rows always use it: half the code.
  auto emitStores = [&](bool masked) {
    for (int64_t v = 0; v < tile.vectors; ++v) {
      Value at = arith::AddIOp::create(b, column, index(v * width));
      Value mask;
      if (masked) {
        Value left = arith::SubIOp::create(b, columns, at);
        mask = vector::CreateMaskOp::create(
            b, VectorType::get({width}, b.getI1Type()), left);
      }
      for (int64_t r = 0; r < tileRows; ++r) {
        SmallVector<Value> accumulators;
        for (int64_t w = 0; w < numWeights; ++w)
          accumulators.push_back(
              loop.getResult(r * vectors + w * tile.vectors + v));
        emitEpilogue(r, v, slots[r], at, accumulators, mask);
      }
    }
  };
  if (tileRows < tile.rows)
    return emitStores(true);
  auto branch = scf::IfOp::create(b, TypeRange{}, whole, /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  emitStores(false);
  scf::YieldOp::create(b);
  b.setInsertionPointToStart(branch.elseBlock());
  emitStores(true);
  scf::YieldOp::create(b);
}

Value KernelEmitter::loadColumns(Value buffer, ValueRange indices, Type type,
                                 Value mask) {
  auto vectorType = VectorType::get({width}, type);
  if (!mask)
    return vector::LoadOp::create(b, vectorType, buffer, indices);
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(vectorType));
  return vector::MaskedLoadOp::create(b, vectorType, buffer, indices, mask,
                                      zero);
}

void KernelEmitter::emitEpilogue(int64_t row, int64_t vector, Value slot,
                                 Value column, ArrayRef<Value> accumulators,
                                 Value mask) {
  Block &body = site.getEpilogue().front();
  IRMapping mapping;
  for (auto [argument, accumulator] :
       llvm::zip(body.getArguments(), accumulators))
    mapping.map(argument, accumulator);
  for (auto [i, extra] : llvm::enumerate(extras)) {
    Type type = getElementTypeOrSelf(extra.getType());
    Value value;
    switch (site.getExtent(i)) {
    case ExtentKind::Scalar:
      value = extra;
      break;
    case ExtentKind::Column:
      value = grouped ? loadColumns(extra, {group, column}, type, mask)
                      : loadColumns(extra, {column}, type, mask);
      break;
    case ExtentKind::Row:
      value = memref::LoadOp::create(b, extra, slot);
      break;
    case ExtentKind::Full:
      value = loadColumns(extra, {slot, column}, type, mask);
      break;
    }
    mapping.map(body.getArgument(numWeights + i), value);
  }
  cloneBody(b, body, mapping, width);
  Value result = broadcastTo(
      b, b.getLoc(),
      mapping.lookupOrDefault(body.getTerminator()->getOperand(0)), width);
  if (mask)
    vector::MaskedStoreOp::create(b, init, ValueRange{slot, column}, mask,
                                  result);
  else
    vector::StoreOp::create(b, result, init, ValueRange{slot, column});
}

void KernelEmitter::emitSite(func::FuncOp kernel) {
  b.setInsertionPoint(site);
  auto packedType = cast<MemRefType>(site.getPacked().getType());
  Type indexType = b.getIndexType();
  int64_t panels = packedType.getDimSize(1), groups = packedType.getDimSize(0);
  Value block = index(blockRows());

  Value blocks, firstBlock;
  if (grouped) {
    firstBlock = memref::AllocOp::create(
        b, MemRefType::get({groups + 1}, b.getI32Type()));
    auto call = gate::RuntimeCallOp::create(
        b, TypeRange{}, b.getI64Type(), "gatecc_group_tasks",
        ValueRange{site.getOffsets(), index(groups), block},
        ValueRange{firstBlock}, ArrayRef<int64_t>{}, false, false);
    blocks = arith::IndexCastOp::create(b, indexType, call.getScalar());
  } else {
    Value count = memref::DimOp::create(b, site.getInit(), 0);
    blocks = arith::CeilDivSIOp::create(b, count, block);
  }
  // With few blocks of rows, panels are shared out too: enough tasks for
  // threads to end together.
  Value wanted = arith::DivSIOp::create(
      b, index(kTasksPerSite), arith::MaxSIOp::create(b, blocks, index(1)));
  Value parts = arith::MinSIOp::create(
      b, arith::MaxSIOp::create(b, wanted, index(1)), index(panels));
  Value perTask = arith::CeilDivSIOp::create(b, index(panels), parts);
  Value ranges = arith::CeilDivSIOp::create(b, index(panels), perTask);
  Value count = arith::MulIOp::create(b, blocks, ranges);
  auto tasks = gate::TasksOp::create(b, count);
  Block *body = b.createBlock(&tasks.getBody(), {}, {indexType}, {b.getLoc()});
  Value task = body->getArgument(0);
  Value rowBlock = arith::DivSIOp::create(b, task, ranges);
  Value range = arith::RemSIOp::create(b, task, ranges);
  Value groupIndex, first, limit;
  if (grouped) {
    Value task64 = arith::IndexCastOp::create(b, b.getI64Type(), rowBlock);
    auto find = gate::RuntimeCallOp::create(
        b, TypeRange{}, b.getI64Type(), "gatecc_find_group",
        ValueRange{firstBlock, index(groups), task64}, ValueRange{},
        ArrayRef<int64_t>{}, false, false);
    groupIndex = arith::IndexCastOp::create(b, indexType, find.getScalar());
    auto load = [&](Value buffer, Value at) -> Value {
      return arith::IndexCastOp::create(b, indexType,
                                        memref::LoadOp::create(b, buffer, at));
    };
    Value begin = load(site.getOffsets(), groupIndex);
    limit =
        load(site.getOffsets(), arith::AddIOp::create(b, groupIndex, index(1)));
    Value local =
        arith::SubIOp::create(b, rowBlock, load(firstBlock, groupIndex));
    first =
        arith::AddIOp::create(b, begin, arith::MulIOp::create(b, local, block));
  } else {
    groupIndex = index(0);
    first = arith::MulIOp::create(b, rowBlock, block);
    limit = memref::DimOp::create(b, site.getInit(), 0);
  }
  Value last =
      arith::MinSIOp::create(b, arith::AddIOp::create(b, first, block), limit);
  Value firstPanel = arith::MulIOp::create(b, range, perTask);
  Value lastPanel = arith::MinSIOp::create(
      b, arith::AddIOp::create(b, firstPanel, perTask), index(panels));

  SmallVector<Value> operands{site.getRows(), site.getPacked()};
  if (site.getSource())
    operands.push_back(site.getSource());
  llvm::append_range(operands, site.getExtras());
  operands.push_back(site.getInit());
  for (auto [operand, type] : llvm::zip(operands, kernel.getArgumentTypes()))
    if (operand.getType() != type)
      operand = memref::CastOp::create(b, type, operand);
  operands.append({groupIndex, first, last, firstPanel, lastPanel});
  func::CallOp::create(b, kernel, operands);
  site.erase();
}

/// Canonicalization moves constants out of epilogues; a kernel needs them
/// inside.
void sinkConstants(PackedContractOp site) {
  Block &body = site.getEpilogue().front();
  OpBuilder builder = OpBuilder::atBlockBegin(&body);
  llvm::SetVector<Value> used;
  getUsedValuesDefinedAbove(site.getEpilogue(), used);
  for (Value value : used)
    if (Operation *op = value.getDefiningOp();
        op && op->hasTrait<OpTrait::ConstantLike>())
      replaceAllUsesInRegionWith(value, builder.clone(*op)->getResult(0),
                                 site.getEpilogue());
}

struct LowerContractPass
    : public gatecc::impl::LowerContractBase<LowerContractPass> {
  using LowerContractBase::LowerContractBase;

  void runOnOperation() override {
    SmallVector<PackedContractOp> sites;
    getOperation()->walk([&](PackedContractOp op) { sites.push_back(op); });
    std::map<std::string, func::FuncOp> kernels;
    for (PackedContractOp site : sites) {
      sinkConstants(site);
      llvm::SetVector<Value> captured;
      getUsedValuesDefinedAbove(site.getEpilogue(), captured);
      if (!captured.empty() ||
          !isVectorizableBody(site.getEpilogue().front())) {
        site.emitError(
            "an epilogue with other than elementwise arithmetic on its own "
            "arguments is not supported");
        return signalPassFailure();
      }
      KernelEmitter emitter(site, parseIsa(isa), getOperation());
      func::FuncOp &kernel = kernels[emitter.key()];
      if (!kernel)
        kernel =
            emitter.emitKernel(("contract_" + Twine(kernels.size() - 1)).str());
      emitter.emitSite(kernel);
    }
  }
};

} // namespace
