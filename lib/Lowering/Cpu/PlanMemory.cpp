// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives every buffer a place in the run's arena.
//   before: %b = memref.alloc(%n) : memref<?x64xf32>
//   after:  %b = gate.arena %frame + %offset[%n] : memref<?x64xf32>
// A buffer's size is bounded by a polynomial in the input dimensions
// (`gate.bound` says what a run-time size cannot exceed). Places are reused by
// buffers of later lifetimes whose bound is, coefficient by coefficient, no
// larger. A buffer without a bound is taken from the growable region of the
// context when the run gets there:
//   after:  %b = gate.allocate %frame[%n] : memref<?x64xf32>
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include <queue>

namespace gatecc {
#define GEN_PASS_DEF_PLANMEMORY
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

constexpr int64_t kAlignment = 64;

/// A sum of products of symbols with non-negative coefficients.
struct Polynomial {
  std::map<SmallVector<int64_t>, int64_t> terms;

  static Polynomial constant(int64_t value) {
    Polynomial p;
    if (value)
      p.terms[{}] = value;
    return p;
  }
  Polynomial operator+(const Polynomial &other) const {
    Polynomial sum = *this;
    for (auto &[factors, coefficient] : other.terms)
      sum.terms[factors] += coefficient;
    return sum;
  }
  Polynomial operator*(const Polynomial &other) const {
    Polynomial product;
    for (auto &[a, ca] : terms)
      for (auto &[b, cb] : other.terms) {
        SmallVector<int64_t> factors(a);
        factors.append(b.begin(), b.end());
        llvm::sort(factors);
        product.terms[factors] += ca * cb;
      }
    return product;
  }
  /// At least as large as either.
  Polynomial max(const Polynomial &other) const {
    Polynomial result = *this;
    for (auto &[factors, coefficient] : other.terms)
      result.terms[factors] = std::max(result.terms[factors], coefficient);
    return result;
  }
  /// No larger for all non-negative values of the symbols.
  bool fitsIn(const Polynomial &other) const {
    for (auto &[factors, coefficient] : terms) {
      auto it = other.terms.find(factors);
      if (it == other.terms.end() || it->second < coefficient)
        return false;
    }
    return true;
  }
};

/// Upper bounds of sizes, found once for each: branches after branches ask for
/// the same ones again and again.
class Bounds {
public:
  /// Of the index `value`; none if it is not known.
  std::optional<Polynomial> getBound(Value value);

private:
  std::optional<Polynomial> getBound(AffineExpr expression, ValueRange dims,
                                     ValueRange symbols);
  std::optional<Polynomial> getExtentBound(Value buffer, int64_t index);
  std::optional<Polynomial> findBound(Value value);
  std::optional<Polynomial> findExtentBound(Value buffer, int64_t index);

  DenseMap<Value, std::optional<Polynomial>> bounds;
  DenseMap<std::pair<Value, int64_t>, std::optional<Polynomial>> extentBounds;
};

std::optional<Polynomial> Bounds::getBound(Value value) {
  if (auto found = bounds.find(value); found != bounds.end())
    return found->second;
  std::optional<Polynomial> bound = findBound(value);
  bounds[value] = bound;
  return bound;
}

std::optional<Polynomial> Bounds::getExtentBound(Value buffer, int64_t index) {
  std::pair<Value, int64_t> key{buffer, index};
  if (auto found = extentBounds.find(key); found != extentBounds.end())
    return found->second;
  std::optional<Polynomial> bound = findExtentBound(buffer, index);
  extentBounds[key] = bound;
  return bound;
}

/// An upper bound of an expression of sizes, which are not negative.
std::optional<Polynomial>
Bounds::getBound(AffineExpr expression, ValueRange dims, ValueRange symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expression))
    return constant.getValue() >= 0
               ? std::optional(Polynomial::constant(constant.getValue()))
               : std::nullopt;
  if (auto dim = dyn_cast<AffineDimExpr>(expression))
    return getBound(dims[dim.getPosition()]);
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expression))
    return getBound(symbols[symbol.getPosition()]);
  auto binary = cast<AffineBinaryOpExpr>(expression);
  std::optional<Polynomial> a = getBound(binary.getLHS(), dims, symbols);
  // A quotient or a remainder is no larger than what is divided.
  if (!a || (expression.getKind() != AffineExprKind::Add &&
             expression.getKind() != AffineExprKind::Mul))
    return a;
  std::optional<Polynomial> b = getBound(binary.getRHS(), dims, symbols);
  if (!b)
    return std::nullopt;
  return expression.getKind() == AffineExprKind::Add ? *a + *b : *a * *b;
}

/// What both branches give as a result of an scf.if; null if it is of no
/// scf.if.
std::pair<Value, Value> getBranchValues(Value value) {
  auto branch = value.getDefiningOp<scf::IfOp>();
  if (!branch)
    return {};
  unsigned number = cast<OpResult>(value).getResultNumber();
  return {branch.thenYield().getOperand(number),
          branch.elseYield().getOperand(number)};
}

/// What a loop is given for a result or an argument of its body that is a
/// buffer: loops keep carried tensors in one buffer (carry-in-place).
Value getLoopInit(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    Operation *parent = argument.getOwner()->getParentOp();
    if (auto loop = dyn_cast<scf::ForOp>(parent)) {
      OpOperand *init = loop.getTiedLoopInit(argument);
      return init ? init->get() : Value();
    }
    if (auto loop = dyn_cast<scf::WhileOp>(parent))
      return argument.getOwner() == loop.getBeforeBody()
                 ? loop.getInits()[argument.getArgNumber()]
                 : loop.getConditionOp().getArgs()[argument.getArgNumber()];
    return {};
  }
  auto result = cast<OpResult>(value);
  if (auto loop = dyn_cast<scf::ForOp>(result.getOwner()))
    return loop.getInitArgs()[result.getResultNumber()];
  if (auto loop = dyn_cast<scf::WhileOp>(result.getOwner()))
    return loop.getConditionOp().getArgs()[result.getResultNumber()];
  return {};
}

std::optional<Polynomial> Bounds::findBound(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op) {
    // The number of an iteration is below the end of its loop.
    auto loop = dyn_cast<scf::ForOp>(value.getParentBlock()->getParentOp());
    return loop && value == loop.getInductionVar()
               ? getBound(loop.getUpperBound())
               : std::nullopt;
  }
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
    ValueRange operands = apply.getMapOperands();
    unsigned numDims = apply.getMap().getNumDims();
    return getBound(apply.getMap().getResult(0), operands.take_front(numDims),
                    operands.drop_front(numDims));
  }
  if (auto [a, b] = getBranchValues(value); a) {
    std::optional<Polynomial> left = getBound(a), right = getBound(b);
    return left && right ? std::optional(left->max(*right)) : std::nullopt;
  }
  if (auto constant = dyn_cast<arith::ConstantIndexOp>(op))
    return constant.value() >= 0
               ? std::optional(Polynomial::constant(constant.value()))
               : std::nullopt;
  if (auto symbol = dyn_cast<gate::SymbolOp>(op)) {
    Polynomial p;
    p.terms[{int64_t(symbol.getIndex())}] = 1;
    return p;
  }
  if (auto bound = dyn_cast<gate::BoundOp>(op))
    return getBound(bound.getUpper());
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    std::optional<int64_t> index = dim.getConstantIndex();
    return index ? getExtentBound(dim.getSource(), *index) : std::nullopt;
  }
  if (isa<arith::AddIOp, arith::MulIOp>(op)) {
    std::optional<Polynomial> a = getBound(op->getOperand(0)),
                              b = getBound(op->getOperand(1));
    if (!a || !b)
      return std::nullopt;
    return isa<arith::AddIOp>(op) ? *a + *b : *a * *b;
  }
  // Sizes are not negative: a quotient by at least 1 is no larger than its
  // dividend, a minimum no larger than either side.
  if (isa<arith::DivSIOp, arith::DivUIOp, arith::CeilDivSIOp,
          arith::FloorDivSIOp>(op)) {
    auto divisor = op->getOperand(1).getDefiningOp<arith::ConstantIndexOp>();
    return divisor && divisor.value() >= 1 ? getBound(op->getOperand(0))
                                           : std::nullopt;
  }
  if (isa<arith::MinSIOp, arith::MinUIOp>(op)) {
    std::optional<Polynomial> a = getBound(op->getOperand(0));
    return a ? a : getBound(op->getOperand(1));
  }
  if (isa<arith::MaxSIOp, arith::MaxUIOp>(op)) {
    std::optional<Polynomial> a = getBound(op->getOperand(0)),
                              b = getBound(op->getOperand(1));
    if (!a || !b)
      return std::nullopt;
    return a->max(*b);
  }
  return std::nullopt;
}

/// An upper bound of an extent of `buffer`.
std::optional<Polynomial> Bounds::findExtentBound(Value buffer, int64_t index) {
  auto type = cast<MemRefType>(buffer.getType());
  if (!type.isDynamicDim(index))
    return Polynomial::constant(type.getDimSize(index));
  if (Value init = getLoopInit(buffer))
    return getExtentBound(init, index);
  Operation *op = buffer.getDefiningOp();
  if (auto [a, b] = getBranchValues(buffer); a) {
    std::optional<Polynomial> left = getExtentBound(a, index),
                              right = getExtentBound(b, index);
    return left && right ? std::optional(left->max(*right)) : std::nullopt;
  }
  unsigned position = type.getDynamicDimIndex(index);
  if (auto alloc = dyn_cast_or_null<memref::AllocOp>(op))
    return getBound(alloc.getDynamicSizes()[position]);
  if (auto port = dyn_cast_or_null<gate::PortOp>(op))
    return getBound(port.getSizes()[position]);
  if (auto cast = dyn_cast_or_null<memref::CastOp>(op))
    return getExtentBound(cast.getSource(), index);
  if (auto expand = dyn_cast_or_null<memref::ExpandShapeOp>(op))
    return getBound(expand.getOutputShape()[position]);
  if (auto collapse = dyn_cast_or_null<memref::CollapseShapeOp>(op)) {
    Polynomial product = Polynomial::constant(1);
    SmallVector<ReassociationIndices> groups =
        collapse.getReassociationIndices();
    for (int64_t source : groups[index]) {
      std::optional<Polynomial> bound =
          getExtentBound(collapse.getSrc(), source);
      if (!bound)
        return std::nullopt;
      product = product * *bound;
    }
    return product;
  }
  auto subview = dyn_cast_or_null<memref::SubViewOp>(op);
  if (subview && subview.getSourceType().getRank() == type.getRank())
    return getBound(subview.getDynamicSize(index));
  return std::nullopt;
}

/// Places of one size, which lie one after another.
struct PlaceKind {
  Polynomial size;
  unsigned count = 0;

  /// Whether one of them is free at a position; positions are asked in order.
  bool hasFree(int64_t position) {
    while (!taken.empty() && taken.top().first < position) {
      free.push(taken.top().second);
      taken.pop();
    }
    return !free.empty();
  }
  /// A free place, or a new one, taken up to a position.
  unsigned take(int64_t last) {
    unsigned place = count;
    if (free.empty()) {
      ++count;
    } else {
      place = free.top();
      free.pop();
    }
    taken.push({last, place});
    return place;
  }

private:
  using Taken = std::pair<int64_t, unsigned>; // last position, place
  std::priority_queue<Taken, std::vector<Taken>, std::greater<>> taken;
  std::priority_queue<unsigned> free;
};
using PlaceKinds = std::vector<std::unique_ptr<PlaceKind>>;

struct Buffer {
  memref::AllocOp alloc;
  Polynomial bytes;
  int64_t begin, end; // first and last position at which it is live
  PlaceKind *kind = nullptr;
  unsigned place = 0; // of that kind
};

struct PlanMemoryPass : public gatecc::impl::PlanMemoryBase<PlanMemoryPass> {
  void runOnOperation() override {
    auto run = getOperation().lookupSymbol<func::FuncOp>("gatecc_run");
    if (!run) {
      getOperation().emitError("expects a function @gatecc_run");
      return signalPassFailure();
    }
    unbounded.clear();
    SmallVector<Buffer> buffers;
    if (failed(collect(run, buffers)))
      return signalPassFailure();
    PlaceKinds kinds = assign(buffers);
    rewrite(run, buffers, kinds);
    IRRewriter rewriter(&getContext());
    for (memref::AllocOp alloc : unbounded) {
      rewriter.setInsertionPoint(alloc);
      rewriter.replaceOpWithNewOp<gate::AllocateOp>(
          alloc, alloc.getType(), run.getArgument(0), alloc.getDynamicSizes());
    }
    emitArenaBytes(run, kinds);
  }

private:
  LogicalResult collect(func::FuncOp run, SmallVectorImpl<Buffer> &buffers);
  PlaceKinds assign(SmallVectorImpl<Buffer> &buffers);
  void rewrite(func::FuncOp run, ArrayRef<Buffer> buffers,
               const PlaceKinds &kinds);
  void emitArenaBytes(func::FuncOp run, const PlaceKinds &kinds);

  SmallVector<memref::AllocOp> unbounded;
};

/// The value of `polynomial`, rounded up to the alignment.
Value materialize(OpBuilder &builder, Location loc,
                  const Polynomial &polynomial,
                  function_ref<Value(int64_t)> symbol) {
  auto constant = [&](int64_t value) {
    return arith::ConstantIndexOp::create(builder, loc, value).getResult();
  };
  Value sum = constant(kAlignment - 1);
  for (auto &[factors, coefficient] : polynomial.terms) {
    Value product = constant(coefficient);
    for (int64_t factor : factors)
      product = arith::MulIOp::create(builder, loc, product, symbol(factor));
    sum = arith::AddIOp::create(builder, loc, sum, product);
  }
  return arith::AndIOp::create(builder, loc, sum, constant(-kAlignment));
}

/// The size of `count` places.
Value multiply(OpBuilder &builder, Location loc, Value size, unsigned count) {
  if (count == 1)
    return size;
  Value number = arith::ConstantIndexOp::create(builder, loc, count);
  return arith::MulIOp::create(builder, loc, size, number);
}

LogicalResult PlanMemoryPass::collect(func::FuncOp run,
                                      SmallVectorImpl<Buffer> &buffers) {
  DenseMap<Operation *, std::pair<int64_t, int64_t>> positions; // first, last
  int64_t next = 0;
  std::function<void(Operation *)> number = [&](Operation *op) {
    int64_t first = next++;
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Operation &nested : block)
          number(&nested);
    positions[op] = {first, next++};
  };
  number(run);

  Bounds bounds;
  BufferViewFlowAnalysis views(run);
  WalkResult result = run.walk([&](memref::AllocOp alloc) {
    Polynomial bytes = Polynomial::constant(
        std::max<int64_t>(1, alloc.getType().getElementTypeBitWidth() / 8));
    for (int64_t extent : alloc.getType().getShape())
      if (!ShapedType::isDynamic(extent))
        bytes = bytes * Polynomial::constant(extent);
    for (Value size : alloc.getDynamicSizes()) {
      std::optional<Polynomial> bound = bounds.getBound(size);
      if (!bound) {
        if (alloc->getParentOfType<gate::TasksOp>()) {
          alloc.emitError("a task may not hold a buffer whose size has no "
                          "bound in the sizes of the inputs");
          return WalkResult::interrupt();
        }
        unbounded.push_back(alloc);
        return WalkResult::advance();
      }
      bytes = bytes * *bound;
    }
    Buffer buffer{alloc, bytes, positions[alloc].first,
                  positions[alloc].second};
    for (Value view : views.resolve(alloc.getResult())) {
      // Its place would be given to the next iteration's buffer.
      Operation *around = view.getParentBlock()->getParentOp();
      if (isa<BlockArgument>(view) && isa<LoopLikeOpInterface>(around) &&
          around->isProperAncestor(alloc)) {
        alloc.emitError("a buffer that a loop carries from one iteration to "
                        "the next is not supported");
        return WalkResult::interrupt();
      }
      for (Operation *user : view.getUsers()) {
        // Inside a loop that does not hold the buffer, it lives to the loop's
        // end.
        Operation *last = user;
        for (Operation *parent = user->getParentOp();
             parent && !parent->isProperAncestor(alloc);
             parent = parent->getParentOp())
          if (isa<LoopLikeOpInterface, gate::TasksOp>(parent))
            last = parent;
        buffer.end = std::max(buffer.end, positions[last].second);
      }
    }
    buffers.push_back(buffer);
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

PlaceKinds PlanMemoryPass::assign(SmallVectorImpl<Buffer> &buffers) {
  PlaceKinds kinds;
  for (Buffer &buffer : buffers) {
    PlaceKind *chosen = nullptr;
    for (auto &kind : kinds)
      if (buffer.bytes.fitsIn(kind->size) && kind->hasFree(buffer.begin) &&
          (!chosen || kind->size.fitsIn(chosen->size)))
        chosen = kind.get();
    if (!chosen) {
      auto same = llvm::find_if(kinds, [&](auto &kind) {
        return kind->size.terms == buffer.bytes.terms;
      });
      if (same == kinds.end())
        same = kinds.insert(kinds.end(), std::make_unique<PlaceKind>());
      chosen = same->get();
      chosen->size = buffer.bytes;
    }
    buffer.kind = chosen;
    buffer.place = chosen->take(buffer.end);
  }
  return kinds;
}

void PlanMemoryPass::rewrite(func::FuncOp run, ArrayRef<Buffer> buffers,
                             const PlaceKinds &kinds) {
  Location loc = run.getLoc();
  Value frame = run.getArgument(0);
  IRRewriter rewriter(&getContext());
  rewriter.setInsertionPointToStart(&run.front());
  auto symbol = [&](int64_t index) -> Value {
    return gate::SymbolOp::create(rewriter, loc, rewriter.getIndexType(), frame,
                                  index);
  };
  // Few ops for each place, however many there are: a run is divided in
  // functions, each of which computes the places that it needs.
  DenseMap<const PlaceKind *, SmallVector<Value>> offsets;
  Value end = arith::ConstantIndexOp::create(rewriter, loc, 0);
  for (const std::unique_ptr<PlaceKind> &kind : kinds) {
    Value size = materialize(rewriter, loc, kind->size, symbol);
    auto after = [&](unsigned count) -> Value {
      return arith::AddIOp::create(rewriter, loc, end,
                                   multiply(rewriter, loc, size, count));
    };
    SmallVector<Value> &own = offsets[kind.get()];
    own.push_back(end);
    for (unsigned place = 1; place < kind->count; ++place)
      own.push_back(after(place));
    end = after(kind->count);
  }
  for (const Buffer &buffer : buffers) {
    memref::AllocOp alloc = buffer.alloc;
    rewriter.setInsertionPoint(alloc);
    rewriter.replaceOpWithNewOp<gate::ArenaOp>(
        alloc, alloc.getType(), frame, offsets[buffer.kind][buffer.place],
        alloc.getDynamicSizes());
  }
}

void PlanMemoryPass::emitArenaBytes(func::FuncOp run, const PlaceKinds &kinds) {
  Location loc = run.getLoc();
  OpBuilder builder(&getContext());
  builder.setInsertionPointAfter(run);
  Type i64 = builder.getI64Type();
  auto function = func::FuncOp::create(
      builder, loc, "gatecc_arena_bytes",
      builder.getFunctionType({LLVM::LLVMPointerType::get(&getContext())},
                              {i64}));
  Block *entry = function.addEntryBlock();
  builder.setInsertionPointToStart(entry);
  auto symbol = [&](int64_t index) -> Value {
    Value address = LLVM::GEPOp::create(
        builder, loc, entry->getArgument(0).getType(), i64,
        entry->getArgument(0), ArrayRef<LLVM::GEPArg>{int32_t(index)});
    Value value = LLVM::LoadOp::create(builder, loc, i64, address);
    return arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                      value);
  };
  Value total = arith::ConstantIndexOp::create(builder, loc, 0);
  for (const std::unique_ptr<PlaceKind> &kind : kinds) {
    Value size = materialize(builder, loc, kind->size, symbol);
    total = arith::AddIOp::create(builder, loc, total,
                                  multiply(builder, loc, size, kind->count));
  }
  Value result = arith::IndexCastOp::create(builder, loc, i64, total);
  func::ReturnOp::create(builder, loc, result);
}

} // namespace
