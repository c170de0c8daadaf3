// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Lowers packed contractions to tasks and register tiles.
//   site:        tasks over (row block of a group, range of panels) -> call
//   @contract_N: for some panels { add products to accumulators; epilogue;
//   store }
// Rows are read through their numbers and never packed.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"
#include "lib/Lowering/Cpu/RegisterTile.h"
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

/// About how many tasks a site is shared out in when it has few row blocks.
constexpr int64_t kTasksPerSite = 128;
/// The fewest panels of a task: with many rows, reading the rows costs as much
/// as several panels. But there should be this many tasks all the same.
constexpr int64_t kPanelsOfTile = 4, kPanelsOfBlock = 16, kFewestTasks = 16;

/// What a kernel depends on; sites with the same kind share one function.
class KernelEmitter {
public:
  KernelEmitter(PackedContractOp site, Isa isa, ModuleOp module)
      : site(site), module(module), b(site.getLoc(), site.getContext()),
        layout(site.getLayout()),
        element(site.getEpilogue().front().getArgument(0).getType()),
        numWeights(site.getNumWeights()),
        tile(
            getTileShape(isa, numWeights, element.getIntOrFloatBitWidth() / 8)),
        tiles(module, isa, layout, element) {
    width = tile.lanes / tile.vectors;
    grouped = bool(site.getOffsets());
  }

  /// Text that is equal for equal kernels.
  std::string key() {
    std::string text;
    llvm::raw_string_ostream os(text);
    os << element << '/' << numWeights << '/'
       << stringifyPanelFormat(layout.format) << layout.block << layout.zeros
       << '/' << bool(site.getSource()) << grouped << site.getExtents()
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

private:
  MemRefType dynamicType(Type type) {
    auto memref = cast<MemRefType>(type);
    SmallVector<int64_t> shape(memref.getRank(), ShapedType::kDynamic);
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
  Value compare(arith::CmpIPredicate predicate, Value x, Value y) {
    return arith::CmpIOp::create(b, predicate, x, y);
  }
  IntegerAttr alignment() { return b.getI64IntegerAttr(64); }
  void emitEpilogues(Value firstPanel, Value endPanel);
  void emitEpilogue(Value slot, Value column, ArrayRef<Value> accumulators,
                    Value mask);
  Value loadColumns(Value buffer, ValueRange indices, Type element, Value mask);

  PackedContractOp site;
  ModuleOp module;
  ImplicitLocOpBuilder b;
  gate::PanelLayout layout;
  Type element; // of accumulators
  int64_t numWeights;
  TileShape tile;
  RegisterTiles tiles;
  int64_t width;
  bool grouped;

  // Of the kernel under construction: arguments, accumulators and row numbers
  // of the block, and its number of rows and tiles.
  Value rows, rowScales, packed, init, group, firstRow;
  Value accumulators, slots, count;
  SmallVector<Value> extras;
};

SmallVector<Type> KernelEmitter::argumentTypes() {
  Type indexType = b.getIndexType();
  SmallVector<Type> types{tiles.getRowsType(), tiles.getPackedType()};
  if (site.getSource())
    types.push_back(dynamicType(site.getSource().getType()));
  if (site.getRowScales())
    types.push_back(tiles.getRowScalesType());
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
  keepOutOfLine(kernel);
  Block *entry = kernel.addEntryBlock();
  b.setInsertionPointToStart(entry);
  unsigned next = 0;
  rows = entry->getArgument(next++);
  packed = entry->getArgument(next++);
  Value source = site.getSource() ? entry->getArgument(next++) : Value();
  if (site.getRowScales())
    rowScales = entry->getArgument(next++);
  for (unsigned i = 0; i < site.getExtras().size(); ++i)
    extras.push_back(entry->getArgument(next++));
  init = entry->getArgument(next++);
  group = entry->getArgument(next++);
  firstRow = entry->getArgument(next);
  Value lastRow = entry->getArgument(next + 1);
  Value firstPanel = entry->getArgument(next + 2),
        lastPanel = entry->getArgument(next + 3);

  Value zero = index(0), one = index(1);
  accumulators =
      memref::AllocaOp::create(b, tiles.getAccumulatorType(), alignment());
  slots = memref::AllocaOp::create(b, tiles.getSlotsType(), alignment());
  count = arith::SubIOp::create(b, lastRow, firstRow);
  forRange(b, zero, count, one, [&](Value i) {
    Value slot = arith::AddIOp::create(b, firstRow, i);
    if (source)
      slot = arith::IndexCastOp::create(
          b, b.getIndexType(), memref::LoadOp::create(b, source, slot));
    memref::StoreOp::create(b, slot, slots, i);
  });
  Value image;
  if (tiles.usesAmx()) {
    image = allocateAmxImage(b);
    gate::AmxConfigureOp::create(b, image);
  }
  Value panelStep = index(tiles.getBlockPanels());
  forRange(b, firstPanel, lastPanel, panelStep, [&](Value panel) {
    Value panelEnd = arith::MinSIOp::create(
        b, arith::AddIOp::create(b, panel, panelStep), lastPanel);
    SmallVector<Value> operands{rows};
    if (rowScales)
      operands.push_back(rowScales);
    operands.append(
        {slots, count, packed, group, panel, panelEnd, accumulators});
    func::CallOp::create(b, tiles.getRowBlock(), operands);
    emitEpilogues(panel, panelEnd);
  });
  if (image)
    gate::AmxReleaseOp::create(b, image);
  func::ReturnOp::create(b);
  return kernel;
}

void KernelEmitter::emitEpilogues(Value firstPanel, Value endPanel) {
  Value zero = index(0), one = index(1);
  Value columns = memref::DimOp::create(b, init, 1);
  forRange(b, firstPanel, endPanel, one, [&](Value panel) {
    Value local = arith::SubIOp::create(b, panel, firstPanel);
    Value column = arith::MulIOp::create(b, panel, index(tile.lanes));
    // A panel that reaches beyond the last column is stored through a mask.
    Value end = arith::AddIOp::create(b, column, index(tile.lanes));
    Value whole = compare(arith::CmpIPredicate::sle, end, columns);
    auto emitRows = [&](bool masked) {
      forRange(b, zero, count, one, [&](Value row) {
        Value slot = arith::AddIOp::create(b, firstRow, row);
        for (int64_t v = 0; v < tile.vectors; ++v) {
          Value at = arith::AddIOp::create(b, column, index(v * width));
          Value mask;
          if (masked)
            mask = vector::CreateMaskOp::create(
                b, VectorType::get({width}, b.getI1Type()),
                ValueRange{arith::SubIOp::create(b, columns, at)});
          SmallVector<Value> sums;
          for (int64_t w = 0; w < numWeights; ++w)
            sums.push_back(vector::LoadOp::create(
                b, VectorType::get({width}, element), accumulators,
                ValueRange{local, row, index((w * tile.vectors + v) * width)}));
          emitEpilogue(slot, at, sums, mask);
        }
      });
    };
    auto branch = scf::IfOp::create(b, whole, /*withElseRegion=*/true);
    b.setInsertionPointToStart(branch.thenBlock());
    emitRows(false);
    b.setInsertionPointToStart(branch.elseBlock());
    emitRows(true);
    b.setInsertionPointAfter(branch);
  });
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

void KernelEmitter::emitEpilogue(Value slot, Value column,
                                 ArrayRef<Value> accumulators, Value mask) {
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
  Value block = index(tiles.getBlockRows());
  Value numRows = memref::DimOp::create(b, site.getInit(), 0);

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
    blocks = arith::CeilDivSIOp::create(b, numRows, block);
  }
  // With few blocks of rows, panels are shared out too: enough tasks for
  // threads to end together.
  Value one = index(1);
  Value parts = arith::MaxSIOp::create(
      b,
      arith::DivSIOp::create(b, index(kTasksPerSite),
                             arith::MaxSIOp::create(b, blocks, one)),
      one);
  // With more rows than one tile of each block takes, some block has several.
  Value tiled = arith::MulIOp::create(b, blocks, index(tiles.getMaxRows()));
  Value fewest = arith::SelectOp::create(
      b, compare(arith::CmpIPredicate::sgt, numRows, tiled),
      index(kPanelsOfBlock), index(kPanelsOfTile));
  Value share = arith::CeilDivSIOp::create(
      b, arith::MulIOp::create(b, blocks, index(panels)), index(kFewestTasks));
  fewest = arith::MinSIOp::create(
      b, fewest, arith::MaxSIOp::create(b, share, index(kPanelsOfTile)));
  Value perTask = arith::MaxSIOp::create(
      b, arith::CeilDivSIOp::create(b, index(panels), parts), fewest);
  Value ranges = arith::CeilDivSIOp::create(b, index(panels), perTask);
  Value count = arith::MulIOp::create(b, blocks, ranges);
  auto tasks = gate::TasksOp::create(b, count);
  Block *body = b.createBlock(&tasks.getBody(), {}, {indexType}, {b.getLoc()});
  Value task = body->getArgument(0);
  Value rowBlock = arith::DivSIOp::create(b, task, ranges);
  Value range = arith::RemSIOp::create(b, task, ranges);
  Value groupIndex = index(0), begin = index(0), local = rowBlock;
  Value groupBlocks = blocks;
  Value limit = memref::DimOp::create(b, site.getInit(), 0);
  if (grouped) {
    Value task64 = arith::IndexCastOp::create(b, b.getI64Type(), rowBlock);
    auto find = gate::RuntimeCallOp::create(
        b, TypeRange{}, b.getI64Type(), "gatecc_find_group",
        ValueRange{firstBlock, index(groups), task64}, ValueRange{},
        ArrayRef<int64_t>{}, false, false);
    groupIndex = arith::IndexCastOp::create(b, indexType, find.getScalar());
    Value next = arith::AddIOp::create(b, groupIndex, one);
    auto load = [&](Value buffer, Value at) -> Value {
      return arith::IndexCastOp::create(b, indexType,
                                        memref::LoadOp::create(b, buffer, at));
    };
    begin = load(site.getOffsets(), groupIndex);
    limit = load(site.getOffsets(), next);
    Value first = load(firstBlock, groupIndex);
    local = arith::SubIOp::create(b, rowBlock, first);
    groupBlocks = arith::SubIOp::create(b, load(firstBlock, next), first);
  }
  // Blocks of one group have about as many rows, in whole tiles.
  Value step = index(tiles.getMaxRows());
  Value rowShare = arith::CeilDivSIOp::create(
      b, arith::SubIOp::create(b, limit, begin), groupBlocks);
  Value size = arith::MulIOp::create(
      b, arith::CeilDivSIOp::create(b, rowShare, step), step);
  Value first = arith::MinSIOp::create(
      b, arith::AddIOp::create(b, begin, arith::MulIOp::create(b, local, size)),
      limit);
  Value last =
      arith::MinSIOp::create(b, arith::AddIOp::create(b, first, size), limit);
  Value firstPanel = arith::MulIOp::create(b, range, perTask);
  Value lastPanel = arith::MinSIOp::create(
      b, arith::AddIOp::create(b, firstPanel, perTask), index(panels));

  SmallVector<Value> operands{site.getRows(), site.getPacked()};
  if (site.getSource())
    operands.push_back(site.getSource());
  if (site.getRowScales())
    operands.push_back(site.getRowScales());
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
