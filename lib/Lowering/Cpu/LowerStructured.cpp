// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Turns linalg ops on buffers into vector loops and tasks.
//   elementwise: for rows { for columns in vectors; for the rest one by one }
//   reductions:  over the innermost axis in eight lanes, then lane by lane,
//                then the rest; the order depends on the length only
//   products:    tiles of rows and columns in registers, along the whole of the
//                axis that is summed, in its order
//   outer loop:  tasks of about kTaskElements elements
// An op whose innermost axis is not contiguous, or that asks for its indices,
// runs one element at a time. It may ask for them to read rows of a buffer that
// numbers in other tensors name: such a row is read as vectors.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"
#include "lib/Lowering/Cpu/VectorizeBody.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"

namespace gatecc {
#define GEN_PASS_DEF_LOWERSTRUCTURED
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using linalg::LinalgOp;

namespace {

constexpr int64_t kWidth = 8;
constexpr int64_t kTaskElements = 32768;
/// A tile of a product has so many rows and vectors: accumulators that hide the
/// latency of an addition and leave registers for the operands. A single row
/// takes more vectors for that.
constexpr int64_t kTileRows = 4, kTileVectors = 2, kRowVectors = 8;
/// Rows that share a stretch of columns while it is in the nearest caches.
constexpr int64_t kUnitRows = 32;
/// Ops of a body that is worth as many copies as a tile has elements.
constexpr int64_t kMostTileOps = 8;

class LoopEmitter {
public:
  explicit LoopEmitter(LinalgOp op)
      : op(op), b(op.getLoc(), op.getContext()), body(op.getBlock()),
        maps(op.getIndexingMapsArray()), depth(op.getNumLoops()) {
    b.setInsertionPoint(op);
  }

  void emit();

private:
  /// How an operand moves along the innermost axis.
  enum class Access { Fixed, Contiguous, Other };

  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  bool isReduction(unsigned loop) {
    return op.getIteratorTypesArray()[loop] == utils::IteratorType::reduction;
  }
  Access classify(OpOperand &operand);
  /// Whether a load in the body reads elements side by side along the innermost
  /// axis, of a row that stays the same.
  bool isRowRead(memref::LoadOp load);
  /// Whether a scalar of the body stays the same along the innermost axis.
  bool isUniform(Value scalar);
  bool isVectorizable();
  /// Emits, before the innermost loop, what of a body that reads rows names the
  /// rows: stores in the loop would keep it there.
  void emitUniform();
  SmallVector<Value> indicesOf(OpOperand &operand);
  Value load(OpOperand &operand, int64_t lanes);
  void store(OpOperand &operand, Value value, int64_t lanes);
  Value loadOrScalar(OpOperand &operand, int64_t lanes);
  /// The values that the body yields for the current indices.
  SmallVector<Value> emitBody(int64_t lanes, ValueRange outputs);

  void emitLoops(unsigned loop);
  void emitInnermost();
  void emitElementwise();
  void emitScalar(Value begin, Value end);
  Operation *getCombiner();
  void emitReduction(Operation *combiner, Attribute identity);
  bool isRegular();
  bool isProduct();
  void emitProduct();
  void emitProductUnit(Value firstRow, Value lastRow);
  void emitColumns(Value begin, Value end, int64_t vectors, int64_t lanes,
                   llvm::function_ref<void()> body);
  void emitTile(int64_t rows, int64_t vectors, int64_t lanes);
  /// body: emits the work of one number of `count`, in tasks of `chunk`.
  void emitTasks(Value count, Value chunk,
                 llvm::function_ref<void(Value, Value)> body);
  Attribute getIdentity(Operation *combiner);
  Value combine(Operation *combiner, Value a, Value b);

  LinalgOp op;
  ImplicitLocOpBuilder b;
  Block *body;
  SmallVector<AffineMap> maps;
  unsigned depth;
  SmallVector<Value> begins, ends, indices;
  IRMapping uniform;
};

LoopEmitter::Access LoopEmitter::classify(OpOperand &operand) {
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  AffineMap map = maps[operand.getOperandNumber()];
  if (!type || !map.isFunctionOfDim(depth - 1))
    return Access::Fixed;
  auto last = dyn_cast<AffineDimExpr>(map.getResults().back());
  if (!last || last.getPosition() != depth - 1 || !type.isLastDimUnitStride() ||
      type.getElementType().isInteger(1))
    return Access::Other;
  for (AffineExpr other : map.getResults().drop_back())
    if (other.isFunctionOfDim(depth - 1))
      return Access::Other;
  return Access::Contiguous;
}

SmallVector<Value> LoopEmitter::indicesOf(OpOperand &operand) {
  SmallVector<Value> result;
  for (AffineExpr expression : maps[operand.getOperandNumber()].getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expression))
      result.push_back(indices[dim.getPosition()]);
    else if (auto constant = dyn_cast<AffineConstantExpr>(expression))
      result.push_back(index(constant.getValue()));
    else
      result.push_back(affine::AffineApplyOp::create(
          b, AffineMap::get(depth, 0, expression), indices));
  }
  return result;
}

Value LoopEmitter::load(OpOperand &operand, int64_t lanes) {
  auto type = dyn_cast<MemRefType>(operand.get().getType());
  if (!type)
    return operand.get();
  if (lanes == 0 || classify(operand) == Access::Fixed)
    return memref::LoadOp::create(b, operand.get(), indicesOf(operand));
  return vector::LoadOp::create(b,
                                VectorType::get({lanes}, type.getElementType()),
                                operand.get(), indicesOf(operand));
}

void LoopEmitter::store(OpOperand &operand, Value value, int64_t lanes) {
  if (lanes == 0)
    memref::StoreOp::create(b, value, operand.get(), indicesOf(operand));
  else
    vector::StoreOp::create(b, broadcastTo(b, b.getLoc(), value, lanes),
                            operand.get(), indicesOf(operand));
}

void LoopEmitter::emitUniform() {
  uniform.clear();
  if (isVectorizableBody(*body))
    return;
  for (OpOperand *input : op.getDpsInputOperands()) {
    BlockArgument argument = body->getArgument(input->getOperandNumber());
    if (!argument.use_empty() && isUniform(argument))
      uniform.map(argument, load(*input, 0));
  }
  for (Operation &nested : body->without_terminator()) {
    if (auto position = dyn_cast<linalg::IndexOp>(nested);
        position && position.getDim() + 1 != depth)
      uniform.map(position.getResult(), indices[position.getDim()]);
    else if (nested.getNumResults() == 1 && isUniform(nested.getResult(0)))
      b.clone(nested, uniform);
  }
}

SmallVector<Value> LoopEmitter::emitBody(int64_t lanes, ValueRange outputs) {
  IRMapping mapping = lanes == 0 ? IRMapping() : uniform;
  for (OpOperand *input : op.getDpsInputOperands()) {
    BlockArgument argument = body->getArgument(input->getOperandNumber());
    if (!argument.use_empty() && !mapping.contains(argument))
      mapping.map(argument, load(*input, lanes));
  }
  for (auto [i, init] : llvm::enumerate(op.getDpsInitsMutable())) {
    BlockArgument argument = body->getArgument(init.getOperandNumber());
    if (!outputs.empty())
      mapping.map(argument, outputs[i]);
    else if (!argument.use_empty())
      mapping.map(argument, load(init, lanes));
  }
  for (Operation &nested : *body)
    if (auto position = dyn_cast<linalg::IndexOp>(nested))
      mapping.map(position.getResult(), indices[position.getDim()]);
  if (lanes == 0) {
    for (Operation &nested : body->without_terminator())
      if (!isa<linalg::IndexOp>(nested))
        b.clone(nested, mapping);
  } else if (isVectorizableBody(*body)) {
    cloneBody(b, *body, mapping, lanes);
  } else {
    for (Operation &nested : body->without_terminator()) {
      if (isa<linalg::IndexOp>(nested))
        continue;
      if (auto read = dyn_cast<memref::LoadOp>(nested);
          read && isRowRead(read)) {
        SmallVector<Value> at;
        for (Value position : read.getIndices())
          at.push_back(mapping.lookupOrDefault(position));
        mapping.map(
            read.getResult(),
            vector::LoadOp::create(b, VectorType::get({lanes}, read.getType()),
                                   read.getMemRef(), at));
      } else if (nested.getNumResults() != 1 ||
                 !mapping.contains(nested.getResult(0))) {
        cloneOp(b, nested, mapping, lanes);
      }
    }
  }
  SmallVector<Value> results;
  for (Value value : body->getTerminator()->getOperands())
    results.push_back(mapping.lookupOrDefault(value));
  return results;
}

void LoopEmitter::emitScalar(Value begin, Value end) {
  // Outputs that stay in place along the axis are carried in registers.
  bool carried = llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
    return classify(init) == Access::Fixed;
  });
  SmallVector<Value> initial;
  if (carried)
    for (OpOperand &init : op.getDpsInitsMutable())
      initial.push_back(load(init, 0));
  auto loop = scf::ForOp::create(b, begin, end, index(1), initial);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    indices[depth - 1] = loop.getInductionVar();
    SmallVector<Value> results = emitBody(0, loop.getRegionIterArgs());
    if (carried) {
      scf::YieldOp::create(b, results);
    } else {
      for (auto [init, value] : llvm::zip(op.getDpsInitsMutable(), results))
        store(init, value, 0);
    }
  }
  if (carried)
    for (auto [init, value] :
         llvm::zip(op.getDpsInitsMutable(), loop.getResults()))
      store(init, value, 0);
}

/// The op that adds to the accumulator of a single-output reduction over the
/// innermost axis; null if there is none of a known kind.
Operation *LoopEmitter::getCombiner() {
  if (op.getNumDpsInits() != 1)
    return nullptr;
  BlockArgument accumulator = body->getArguments().back();
  Operation *combiner = body->getTerminator()->getOperand(0).getDefiningOp();
  if (!combiner || combiner->getBlock() != body || !accumulator.hasOneUse() ||
      *accumulator.getUsers().begin() != combiner ||
      combiner->getNumOperands() != 2)
    return nullptr;
  return getIdentity(combiner) ? combiner : nullptr;
}

Attribute LoopEmitter::getIdentity(Operation *combiner) {
  Type type = combiner->getResult(0).getType();
  if (isa<arith::AddFOp>(combiner))
    return b.getFloatAttr(type, 0.0);
  if (isa<arith::MulFOp>(combiner))
    return b.getFloatAttr(type, 1.0);
  if (isa<arith::AddIOp>(combiner))
    return b.getIntegerAttr(type, 0);
  if (auto floatType = dyn_cast<FloatType>(type)) {
    bool least = isa<arith::MaximumFOp>(combiner);
    if (least || isa<arith::MinimumFOp>(combiner))
      return b.getFloatAttr(
          type, APFloat::getInf(floatType.getFloatSemantics(), least));
  }
  return Attribute();
}

Value LoopEmitter::combine(Operation *combiner, Value left, Value right) {
  OperationState state(b.getLoc(), combiner->getName(), {left, right},
                       {left.getType()}, combiner->getAttrs());
  state.propertiesAttr = combiner->getPropertiesAsAttribute();
  return b.create(state)->getResult(0);
}

void LoopEmitter::emitReduction(Operation *combiner, Attribute identity) {
  emitUniform();
  OpOperand &init = op.getDpsInitsMutable()[0];
  Value begin = begins[depth - 1], end = ends[depth - 1];
  Value width = index(kWidth);
  Value length = arith::SubIOp::create(b, end, begin);
  Value vectorEnd =
      arith::SubIOp::create(b, end, arith::RemSIOp::create(b, length, width));
  auto vectorType = VectorType::get({kWidth}, combiner->getResult(0).getType());
  Value neutral = arith::ConstantOp::create(
      b, DenseElementsAttr::get(vectorType, identity));
  auto loop =
      scf::ForOp::create(b, begin, vectorEnd, width, ValueRange{neutral});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    indices[depth - 1] = loop.getInductionVar();
    scf::YieldOp::create(b, emitBody(kWidth, loop.getRegionIterArgs()));
  }
  Value total = load(init, 0);
  for (int64_t lane = 0; lane < kWidth; ++lane)
    total = combine(combiner, total,
                    vector::ExtractOp::create(b, loop.getResult(0),
                                              ArrayRef<int64_t>{lane}));
  store(init, total, 0);
  emitScalar(vectorEnd, end);
}

void LoopEmitter::emitElementwise() {
  emitUniform();
  Value begin = begins[depth - 1], end = ends[depth - 1];
  Value width = index(kWidth);
  Value length = arith::SubIOp::create(b, end, begin);
  Value vectorEnd =
      arith::SubIOp::create(b, end, arith::RemSIOp::create(b, length, width));
  auto loop = scf::ForOp::create(b, begin, vectorEnd, width);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    indices[depth - 1] = loop.getInductionVar();
    SmallVector<Value> results = emitBody(kWidth, {});
    for (auto [init, value] : llvm::zip(op.getDpsInitsMutable(), results))
      store(init, value, kWidth);
  }
  emitScalar(vectorEnd, end);
}

bool LoopEmitter::isUniform(Value scalar) {
  if (scalar.getParentBlock() != body)
    return true;
  if (auto argument = dyn_cast<BlockArgument>(scalar)) {
    OpOperand &operand = op->getOpOperand(argument.getArgNumber());
    return !op.isDpsInit(&operand) && classify(operand) == Access::Fixed;
  }
  if (auto position = scalar.getDefiningOp<linalg::IndexOp>())
    return position.getDim() + 1 != depth;
  Operation *source = scalar.getDefiningOp();
  return (isa<arith::ConstantOp, arith::IndexCastOp>(source) ||
          OpTrait::hasElementwiseMappableTraits(source)) &&
         llvm::all_of(source->getOperands(),
                      [&](Value operand) { return isUniform(operand); });
}

bool LoopEmitter::isRowRead(memref::LoadOp load) {
  if (load.getIndices().empty() ||
      !load.getMemRefType().isLastDimUnitStride() ||
      load.getMemRefType().getElementType().isInteger(1))
    return false;
  auto last = load.getIndices().back().getDefiningOp<linalg::IndexOp>();
  return last && last.getDim() + 1 == depth &&
         llvm::all_of(load.getIndices().drop_back(),
                      [&](Value index) { return isUniform(index); });
}

/// Whether every op of the body can be done on vectors along the innermost
/// axis.
bool LoopEmitter::isVectorizable() {
  return llvm::all_of(body->without_terminator(), [&](Operation &nested) {
    if (auto read = dyn_cast<memref::LoadOp>(nested))
      return isRowRead(read);
    // The place along the axis itself is no vector.
    if (auto position = dyn_cast<linalg::IndexOp>(nested))
      return position.getDim() + 1 != depth ||
             llvm::all_of(position->getUsers(), [&](Operation *user) {
               auto read = dyn_cast<memref::LoadOp>(user);
               return read && isRowRead(read);
             });
    return isa<arith::ConstantOp>(nested) ||
           (nested.getNumResults() == 1 && isUniform(nested.getResult(0))) ||
           OpTrait::hasElementwiseMappableTraits(&nested);
  });
}

bool LoopEmitter::isRegular() {
  return isVectorizable() &&
         llvm::none_of(op->getOpOperands(), [&](OpOperand &operand) {
           return classify(operand) == Access::Other;
         });
}

/// Whether the loops are (batch..., row, sum, column): a product of matrices.
/// Rows that are read where numbers say are read from end to end instead: tiles
/// would go from one to the other and back.
bool LoopEmitter::isProduct() {
  if (depth < 3 || op.getNumReductionLoops() != 1 || !isReduction(depth - 2) ||
      int64_t(body->getOperations().size()) > kMostTileOps ||
      !isVectorizableBody(*body) || !isRegular())
    return false;
  return llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
    return classify(init) == Access::Contiguous;
  });
}

/// Rows from indices[row] on and columns from indices[column] on; lanes 0
/// stands for one column.
void LoopEmitter::emitTile(int64_t rows, int64_t vectors, int64_t lanes) {
  unsigned rowLoop = depth - 3, sumLoop = depth - 2, columnLoop = depth - 1;
  Value row = indices[rowLoop], column = indices[columnLoop];
  auto forEach = [&](llvm::function_ref<void()> body) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < vectors; ++v) {
        indices[rowLoop] = arith::AddIOp::create(b, row, index(r));
        indices[columnLoop] =
            arith::AddIOp::create(b, column, index(v * kWidth));
        body();
      }
  };
  SmallVector<Value> initial;
  forEach([&] {
    for (OpOperand &init : op.getDpsInitsMutable())
      initial.push_back(load(init, lanes));
  });
  auto loop =
      scf::ForOp::create(b, begins[sumLoop], ends[sumLoop], index(1), initial);
  unsigned width = op.getNumDpsInits(), next = 0;
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    indices[sumLoop] = loop.getInductionVar();
    SmallVector<Value> sums;
    forEach([&] {
      llvm::append_range(
          sums, emitBody(lanes, loop.getRegionIterArgs().slice(next, width)));
      next += width;
    });
    scf::YieldOp::create(b, sums);
  }
  next = 0;
  forEach([&] {
    for (OpOperand &init : op.getDpsInitsMutable())
      store(init, loop.getResult(next++), lanes);
  });
}

/// Columns of whole steps from `begin` on, then whole vectors, then the rest.
void LoopEmitter::emitColumns(Value begin, Value end, int64_t vectors,
                              int64_t lanes, llvm::function_ref<void()> body) {
  Value step = index(std::max<int64_t>(vectors * lanes, 1));
  auto loop = scf::ForOp::create(b, begin, end, step);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  indices[depth - 1] = loop.getInductionVar();
  body();
}

void LoopEmitter::emitProductUnit(Value firstRow, Value lastRow) {
  unsigned columnLoop = depth - 1, rowLoop = depth - 3;
  Value rows = arith::SubIOp::create(b, lastRow, firstRow);
  Value tiled = arith::SubIOp::create(
      b, lastRow, arith::RemSIOp::create(b, rows, index(kTileRows)));
  auto emitAll = [&](int64_t height, int64_t vectors, Value first, Value last) {
    Value begin = begins[columnLoop], end = ends[columnLoop];
    Value length = arith::SubIOp::create(b, end, begin);
    auto wholeEnd = [&](int64_t step) {
      return arith::SubIOp::create(
          b, end, arith::RemSIOp::create(b, length, index(step)));
    };
    struct Part {
      Value end;
      int64_t vectors, lanes;
    };
    for (Part part : {Part{wholeEnd(vectors * kWidth), vectors, kWidth},
                      Part{wholeEnd(kWidth), 1, kWidth}, Part{end, 1, 0}}) {
      emitColumns(begin, part.end, part.vectors, part.lanes, [&] {
        Value column = indices[columnLoop];
        auto loop = scf::ForOp::create(b, first, last, index(height));
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToStart(loop.getBody());
        indices[rowLoop] = loop.getInductionVar();
        indices[columnLoop] = column;
        emitTile(height, part.vectors, part.lanes);
      });
      begin = part.end;
    }
  };
  emitAll(kTileRows, kTileVectors, firstRow, tiled);
  emitAll(1, kRowVectors, tiled, lastRow);
}

void LoopEmitter::emitProduct() {
  unsigned rowLoop = depth - 3;
  Value unitRows = index(kUnitRows);
  Value rowUnits = arith::CeilDivSIOp::create(b, ends[rowLoop], unitRows);
  Value units = rowUnits;
  for (unsigned loop = 0; loop < rowLoop; ++loop)
    units = arith::MulIOp::create(b, units, ends[loop]);
  Value perUnit = arith::MinSIOp::create(b, ends[rowLoop], unitRows);
  for (unsigned loop : {depth - 2, depth - 1})
    perUnit = arith::MulIOp::create(b, perUnit, ends[loop]);
  Value one = index(1);
  Value chunk = arith::MaxSIOp::create(
      b,
      arith::DivSIOp::create(b, index(kTaskElements),
                             arith::MaxSIOp::create(b, perUnit, one)),
      one);
  auto emitUnits = [&](Value begin, Value end) {
    auto loop = scf::ForOp::create(b, begin, end, one);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value rest = loop.getInductionVar();
    Value unit = arith::RemSIOp::create(b, rest, rowUnits);
    rest = arith::DivSIOp::create(b, rest, rowUnits);
    for (unsigned batch = rowLoop; batch-- > 0;) {
      indices[batch] = arith::RemSIOp::create(b, rest, ends[batch]);
      rest = arith::DivSIOp::create(b, rest, ends[batch]);
    }
    Value first = arith::MulIOp::create(b, unit, unitRows);
    Value last = arith::MinSIOp::create(
        b, arith::AddIOp::create(b, first, unitRows), ends[rowLoop]);
    emitProductUnit(first, last);
  };
  if (op->getParentOfType<gate::TasksOp>())
    return emitUnits(index(0), units);
  emitTasks(units, chunk, emitUnits);
}

void LoopEmitter::emitTasks(Value count, Value chunk,
                            llvm::function_ref<void(Value, Value)> body) {
  auto tasks =
      gate::TasksOp::create(b, arith::CeilDivSIOp::create(b, count, chunk));
  OpBuilder::InsertionGuard guard(b);
  Block *block =
      b.createBlock(&tasks.getBody(), {}, {b.getIndexType()}, {b.getLoc()});
  Value begin = arith::MulIOp::create(b, block->getArgument(0), chunk);
  Value end =
      arith::MinSIOp::create(b, arith::AddIOp::create(b, begin, chunk), count);
  body(begin, end);
}

void LoopEmitter::emitInnermost() {
  bool regular = isRegular();
  bool fixedOutputs =
      llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
        return classify(init) == Access::Fixed;
      });
  bool movingOutputs =
      llvm::all_of(op.getDpsInitsMutable(), [&](OpOperand &init) {
        return classify(init) == Access::Contiguous;
      });
  if (regular && isReduction(depth - 1) && fixedOutputs)
    if (Operation *combiner = getCombiner())
      return emitReduction(combiner, getIdentity(combiner));
  if (regular && !isReduction(depth - 1) && movingOutputs)
    return emitElementwise();
  emitScalar(begins[depth - 1], ends[depth - 1]);
}

void LoopEmitter::emitLoops(unsigned loop) {
  if (loop + 1 >= depth)
    return emitInnermost();
  auto nest = scf::ForOp::create(b, begins[loop], ends[loop], index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(nest.getBody());
  indices[loop] = nest.getInductionVar();
  emitLoops(loop + 1);
}

void LoopEmitter::emit() {
  if (depth == 0) {
    for (auto [init, value] :
         llvm::zip(op.getDpsInitsMutable(), emitBody(0, {})))
      store(init, value, 0);
    return op->erase();
  }
  indices.resize(depth);
  int64_t total = 1;
  bool dynamic = false;
  for (Range range : op.createLoopRanges(b, b.getLoc())) {
    begins.push_back(
        getValueOrCreateConstantIndexOp(b, b.getLoc(), range.offset));
    ends.push_back(getValueOrCreateConstantIndexOp(b, b.getLoc(), range.size));
    if (std::optional<int64_t> size = getConstantIntValue(range.size))
      total *= *size;
    else
      dynamic = true;
  }
  if (isProduct()) {
    emitProduct();
    return op->erase();
  }
  if (isReduction(0) || op->getParentOfType<gate::TasksOp>() ||
      (!dynamic && total < kTaskElements)) {
    emitLoops(0);
    return op->erase();
  }
  Value one = index(1), perIndex = one;
  for (unsigned loop = 1; loop < depth; ++loop)
    perIndex = arith::MulIOp::create(b, perIndex, ends[loop]);
  Value chunk = arith::DivSIOp::create(
      b, index(kTaskElements), arith::MaxSIOp::create(b, perIndex, one));
  // Whole vectors when the outer loop is the only one.
  chunk =
      arith::MaxSIOp::create(b, chunk, index(depth == 1 ? kTaskElements : 1));
  emitTasks(ends[0], chunk, [&](Value begin, Value end) {
    begins[0] = begin;
    ends[0] = end;
    emitLoops(0);
  });
  op->erase();
}

struct LowerStructuredPass
    : public gatecc::impl::LowerStructuredBase<LowerStructuredPass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<memref::CopyOp> copies;
    getOperation().walk([&](memref::CopyOp copy) { copies.push_back(copy); });
    for (memref::CopyOp copy : copies) {
      rewriter.setInsertionPoint(copy);
      linalg::makeMemRefCopyOp(rewriter, copy.getLoc(), copy.getSource(),
                               copy.getTarget());
      rewriter.eraseOp(copy);
    }
    SmallVector<LinalgOp> ops;
    getOperation().walk([&](LinalgOp op) { ops.push_back(op); });
    for (LinalgOp op : ops) {
      if (!op.hasPureBufferSemantics()) {
        op->emitError("expects buffers");
        return signalPassFailure();
      }
      LoopEmitter(op).emit();
    }
  }
};

} // namespace
