// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Recognises how graphs index: views, gathers of rows, broadcasts, products.
#include "SlotIndex.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include <map>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// The only operation of an elementwise body on one input, or null; `copies`
/// if it yields what it reads.
static Operation *singleUnary(linalg::GenericOp op, bool &copies) {
  copies = false;
  if (op.getNumDpsInputs() != 1 || op->getNumResults() != 1 ||
      op.getNumLoops() != op.getNumParallelLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return nullptr;
  Block &body = *op.getBody();
  Value yielded = body.getTerminator()->getOperand(0);
  if (yielded == body.getArgument(0)) {
    copies = true;
    return nullptr;
  }
  Operation *only = yielded.getDefiningOp();
  if (!only || only->getNumOperands() != 1 ||
      only->getOperand(0) != body.getArgument(0) ||
      !llvm::hasNItems(body.begin(), body.end(), 2))
    return nullptr;
  return only;
}

Value raise::withoutReshapes(Value value) {
  while (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(
      value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return value;
}

std::optional<RowLoops> raise::rowLoopsOf(AffineMap map, unsigned rows) {
  RowLoops loops;
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (!loop || loop.getPosition() >= rows)
      continue;
    if (loop.getPosition() != loops.count++)
      return std::nullopt;
    loops.dims = position + 1;
  }
  return loops;
}

bool raise::isOnePerRow(linalg::GenericOp op, OpOperand *operand,
                        unsigned rows) {
  AffineMap map = op.getMatchingIndexingMap(operand);
  std::optional<RowLoops> loops = rowLoopsOf(map, rows);
  RankedTensorType result = typeOf(op.getResult(0));
  return loops && loops->count == rows &&
         llvm::all_of(map.getResults(), [&](AffineExpr expr) {
           auto loop = dyn_cast<AffineDimExpr>(expr);
           return !loop || loop.getPosition() < rows ||
                  result.getDimSize(loop.getPosition()) == 1;
         });
}

Value raise::withoutViews(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp, tensor::CastOp>(
            op)) {
      value = op->getOperand(0);
      continue;
    }
    auto generic = dyn_cast<linalg::GenericOp>(op);
    bool copies;
    Operation *only = generic ? singleUnary(generic, copies) : nullptr;
    if (!isa_and_nonnull<arith::ExtSIOp, arith::TruncIOp, arith::IndexCastOp>(
            only) ||
        !generic.getMatchingIndexingMap(generic.getDpsInputOperand(0))
             .isIdentity())
      return value;
    value = generic.getDpsInputOperand(0)->get();
  }
  return value;
}

std::optional<RowGather> raise::matchRowGather(Value value) {
  auto gather = value.getDefiningOp<gate::GatherNDOp>();
  if (!gather || gather.getBatchDims() != 0)
    return std::nullopt;
  auto indices = cast<RankedTensorType>(gather.getIndices().getType());
  if (indices.getShape().back() != 1)
    return std::nullopt;
  return RowGather{gather.getData(), gather.getIndices()};
}

Value raise::matchBroadcast(Value value) {
  auto generic = value.getDefiningOp<linalg::GenericOp>();
  bool copies = false;
  if (!generic || singleUnary(generic, copies) || !copies)
    return {};
  return generic.getDpsInputOperand(0)->get();
}

std::optional<RowScatter> raise::matchRowScatter(Operation *op) {
  if (auto scatter = dyn_cast<gate::ScatterNDOp>(op)) {
    if (typeOf(scatter.getIndices()).getShape().back() != 1)
      return std::nullopt;
    return RowScatter{scatter.getData(), scatter.getUpdates(),
                      scatter.getIndices(), scatter.getReduction()};
  }
  auto scatter = dyn_cast<gate::ScatterElementsOp>(op);
  if (!scatter || scatter.getAxis() != 0 ||
      typeOf(scatter.getIndices()).getRank() != 2)
    return std::nullopt;
  // One place for all columns of a row, and all columns of the data.
  RankedTensorType data = typeOf(scatter.getData());
  Value narrow = matchBroadcast(scatter.getIndices());
  auto broadcast = scatter.getIndices().getDefiningOp<linalg::GenericOp>();
  if (!narrow || !isOnePerRow(broadcast, broadcast.getDpsInputOperand(0), 1) ||
      data.isDynamicDim(1) ||
      typeOf(scatter.getUpdates()).getDimSize(1) != data.getDimSize(1))
    return std::nullopt;
  return RowScatter{scatter.getData(), scatter.getUpdates(), narrow,
                    scatter.getReduction()};
}

SmallVector<Value> raise::addendsOf(Value value,
                                    SmallVectorImpl<FloatAttr> *numbers) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op->getNumResults() != 1 ||
      op.getNumLoops() != op.getNumParallelLoops() ||
      !llvm::all_of(op.getIndexingMapsArray(),
                    [](AffineMap map) { return map.isIdentity(); }))
    return {};
  Block &body = *op.getBody();
  unsigned count = 0;
  SmallVector<Value> addends, pending{body.getTerminator()->getOperand(0)};
  while (!pending.empty()) {
    Value scalar = pending.pop_back_val();
    if (auto add = scalar.getDefiningOp<arith::AddFOp>()) {
      if (!add->hasOneUse())
        return {};
      pending.append({add.getRhs(), add.getLhs()});
      continue;
    }
    ++count;
    if (matchPattern(scalar, m_AnyZeroFloat()))
      continue;
    FloatAttr number;
    if (numbers && matchPattern(scalar, m_Constant(&number))) {
      numbers->push_back(number);
      continue;
    }
    auto argument = dyn_cast<BlockArgument>(scalar);
    if (!argument || argument.getArgNumber() >= op.getNumDpsInputs())
      return {};
    addends.push_back(op.getDpsInputs()[argument.getArgNumber()]);
  }
  return count < 2 ? SmallVector<Value>() : addends;
}

bool raise::startsAtZero(linalg::GenericOp op) {
  auto fill = op.getDpsInitOperand(0)->get().getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
}

std::optional<ProductMatch> raise::matchProduct(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 2 || op->getNumResults() != 1 ||
      op.getNumReductionLoops() != 1 || !startsAtZero(op))
    return std::nullopt;
  Block &body = *op.getBody();
  auto sum = body.getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!sum)
    return std::nullopt;
  Value product = sum.getLhs() == body.getArgument(2)   ? sum.getRhs()
                  : sum.getRhs() == body.getArgument(2) ? sum.getLhs()
                                                        : Value();
  auto multiply =
      product ? product.getDefiningOp<arith::MulFOp>() : arith::MulFOp();
  auto isFactor = [&](Value scalar, unsigned argument) {
    if (auto widened = scalar.getDefiningOp<arith::ExtFOp>())
      scalar = widened.getIn();
    return scalar == body.getArgument(argument);
  };
  if (!multiply ||
      !((isFactor(multiply.getLhs(), 0) && isFactor(multiply.getRhs(), 1)) ||
        (isFactor(multiply.getLhs(), 1) && isFactor(multiply.getRhs(), 0))))
    return std::nullopt;
  SmallVector<unsigned> reduced;
  op.getReductionDims(reduced);
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  return ProductMatch{op.getDpsInputOperand(0)->get(),
                      op.getDpsInputOperand(1)->get(), maps[0], maps[1],
                      reduced.front()};
}

static void skipTransposes(Value &operand, AffineMap &map) {
  while (auto transpose = operand.getDefiningOp<linalg::TransposeOp>()) {
    SmallVector<AffineExpr> exprs(map.getNumResults());
    for (auto [result, source] : llvm::enumerate(transpose.getPermutation()))
      exprs[source] = map.getResult(result);
    map = AffineMap::get(map.getNumDims(), 0, exprs, map.getContext());
    operand = transpose.getInput();
  }
}

ProductMatch raise::withoutTransposes(ProductMatch product) {
  skipTransposes(product.a, product.aMap);
  skipTransposes(product.b, product.bMap);
  return product;
}

std::optional<SumMatch> raise::matchSum(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumDpsInputs() != 1 ||
      generic->getNumResults() != 1 || generic.getNumReductionLoops() != 1 ||
      !generic.getMatchingIndexingMap(generic.getDpsInputOperand(0))
           .isIdentity() ||
      !startsAtZero(generic))
    return std::nullopt;
  Block &body = *generic.getBody();
  auto sum = body.getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!sum || !llvm::hasNItems(body.begin(), body.end(), 2) ||
      llvm::any_of(sum->getOperands(), [&](Value operand) {
        return operand.getDefiningOp() != nullptr;
      }))
    return std::nullopt;
  SmallVector<unsigned> reduced;
  generic.getReductionDims(reduced);
  return SumMatch{generic.getDpsInputOperand(0)->get(), reduced.front()};
}

//===-- Sizes -------------------------------------------------------------===//

namespace {
/// A size as a coefficient and factors that are not looked into any further.
struct SizeTerms {
  /// Dimensions of what branches and loops yield, each of which is asked for
  /// once.
  using Branches = std::map<std::pair<void *, int64_t>, SizeTerms>;

  int64_t coefficient = 1;
  SmallVector<void *> factors;
  Branches *branches = nullptr;
  /// Of a carried dimension that changes: certain, whatever is assumed.
  bool isNumbered = false;

  void multiplyIf(scf::IfOp op, unsigned result, int64_t dim);
  void multiplyCarried(scf::ForOp op, BlockArgument argument, int64_t dim);

  void multiply(OpFoldResult size);
  void multiplyDim(Value tensor, int64_t dim);
  bool operator==(const SizeTerms &other) const {
    return coefficient == other.coefficient && factors == other.factors;
  }
};
} // namespace

void SizeTerms::multiply(OpFoldResult size) {
  if (std::optional<int64_t> constant = getConstantIntValue(size)) {
    coefficient *= *constant;
    return;
  }
  Value value = cast<Value>(size);
  if (auto bound = value.getDefiningOp<gate::BoundOp>())
    return multiply(bound.getValue());
  if (auto product = value.getDefiningOp<arith::MulIOp>()) {
    multiply(product.getLhs());
    multiply(product.getRhs());
    return;
  }
  if (auto dim = value.getDefiningOp<tensor::DimOp>())
    if (std::optional<int64_t> index = dim.getConstantIndex())
      return multiplyDim(dim.getSource(), *index);
  factors.push_back(value.getAsOpaquePointer());
}

/// The name of a dimension of a network's input, or null.
static StringAttr nameOfDim(BlockArgument argument, int64_t dim) {
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  auto dims = function ? function.getArgAttrOfType<ArrayAttr>(
                             argument.getArgNumber(), "gate.dims")
                       : ArrayAttr();
  return dims && dim < int64_t(dims.size()) ? dyn_cast<StringAttr>(dims[dim])
                                            : StringAttr();
}

/// The dimension of another tensor that this one is the same as.
static std::optional<std::pair<Value, int64_t>> sameDim(Value tensor,
                                                        int64_t dim) {
  Operation *op = tensor.getDefiningOp();
  if (auto gather = dyn_cast_or_null<gate::GatherNDOp>(op)) {
    auto indices = cast<RankedTensorType>(gather.getIndices().getType());
    if (dim < indices.getRank() - 1)
      return std::pair(gather.getIndices(), dim);
  }
  if (auto contract = dyn_cast_or_null<gate::ContractOp>(op);
      contract && !contract.getPlan() && dim == 0)
    return std::pair(contract.getRows(), int64_t(0));
  if (auto topk = dyn_cast_or_null<gate::TopKOp>(op); topk && dim == 0)
    return std::pair(topk.getInput(), int64_t(0));
  if (isa_and_nonnull<gate::MergeOp, gate::ScatterNDOp,
                      gate::ScatterElementsOp>(op))
    return std::pair(op->getOperand(2), dim);
  if (auto cast = dyn_cast_or_null<tensor::CastOp>(op))
    return std::pair(cast.getSource(), dim);
  if (auto concat = dyn_cast_or_null<tensor::ConcatOp>(op);
      concat && int64_t(concat.getDim()) != dim)
    return std::pair(Value(concat.getInputs().front()), dim);
  if (auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op))
    return std::pair(
        linalgOp.getDpsInitOperand(cast<OpResult>(tensor).getResultNumber())
            ->get(),
        dim);
  return std::nullopt;
}

void SizeTerms::multiplyDim(Value tensor, int64_t dim) {
  // No recursion: products follow on products.
  while (cast<RankedTensorType>(tensor.getType()).isDynamicDim(dim)) {
    auto same = sameDim(tensor, dim);
    if (!same)
      break;
    std::tie(tensor, dim) = *same;
  }
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(dim)) {
    coefficient *= type.getDimSize(dim);
    return;
  }
  if (auto empty = tensor.getDefiningOp<tensor::EmptyOp>())
    return multiply(empty.getMixedSizes()[dim]);
  if (auto expand = tensor.getDefiningOp<tensor::ExpandShapeOp>())
    return multiply(expand.getMixedOutputShape()[dim]);
  if (auto slice = tensor.getDefiningOp<tensor::ExtractSliceOp>()) {
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    int64_t source = -1;
    for (int64_t kept = -1; kept < dim;)
      kept += dropped.test(++source) ? 0 : 1;
    return multiply(slice.getMixedSizes()[source]);
  }
  if (auto combine = tensor.getDefiningOp<gate::CombineOp>();
      combine && dim == 0)
    return multiply(combine.getRows());
  if (auto collapse = tensor.getDefiningOp<tensor::CollapseShapeOp>()) {
    SmallVector<ReassociationIndices> groups =
        collapse.getReassociationIndices();
    for (int64_t source : groups[dim])
      multiplyDim(collapse.getSrc(), source);
    return;
  }
  if (auto topk = tensor.getDefiningOp<gate::TopKOp>())
    return multiply(topk.getCount());
  if (auto branch = tensor.getDefiningOp<scf::IfOp>())
    return multiplyIf(branch, cast<OpResult>(tensor).getResultNumber(), dim);
  if (auto argument = dyn_cast<BlockArgument>(tensor))
    if (auto loop = dyn_cast<scf::ForOp>(argument.getOwner()->getParentOp());
        loop && argument.getArgNumber() > 0)
      return multiplyCarried(loop, argument, dim);
  // All rows of a group are the same ones.
  if (auto argument = dyn_cast<BlockArgument>(tensor); argument && dim == 0)
    if (auto apply =
            dyn_cast<gate::ApplyOp>(argument.getOwner()->getParentOp());
        apply && argument.getArgNumber() < apply.getInputs().size()) {
      factors.push_back(argument.getOwner());
      return;
    }
  // Dimensions of inputs that have one name have one size.
  if (auto argument = dyn_cast<BlockArgument>(tensor))
    if (StringAttr name = nameOfDim(argument, dim)) {
      factors.push_back(const_cast<void *>(name.getAsOpaquePointer()));
      return;
    }
  // Dimensions of one tensor have no values of their own: number them.
  factors.push_back(static_cast<char *>(tensor.getAsOpaquePointer()) + dim + 1);
}

/// The dimension of what both branches yield, if they agree.
void SizeTerms::multiplyIf(scf::IfOp op, unsigned result, int64_t dim) {
  Branches own;
  Branches &known = branches ? *branches : own;
  Value tensor = op.getResult(result);
  std::pair<void *, int64_t> key{tensor.getAsOpaquePointer(), dim};
  auto found = known.find(key);
  if (found == known.end()) {
    SizeTerms sides[2];
    for (auto [side, region] : llvm::zip(sides, op->getRegions())) {
      side.branches = &known;
      side.multiplyDim(region.front().getTerminator()->getOperand(result), dim);
      llvm::sort(side.factors);
    }
    if (!(sides[0] == sides[1])) {
      sides[0] = SizeTerms();
      sides[0].factors.push_back(static_cast<char *>(key.first) + dim + 1);
    }
    sides[0].branches = nullptr;
    found = known.emplace(key, sides[0]).first;
  }
  coefficient *= found->second.coefficient;
  llvm::append_range(factors, found->second.factors);
}

/// The dimension of what a loop begins with, if it carries on with that.
void SizeTerms::multiplyCarried(scf::ForOp op, BlockArgument argument,
                                int64_t dim) {
  Branches own;
  Branches &known = branches ? *branches : own;
  std::pair<void *, int64_t> key{argument.getAsOpaquePointer(), dim};
  auto found = known.find(key);
  if (found == known.end()) {
    SizeTerms first, next;
    first.branches = next.branches = &known;
    first.multiplyDim(op.getTiedLoopInit(argument)->get(), dim);
    llvm::sort(first.factors);
    first.branches = nullptr;
    // The body yields it if it was given it.
    known.emplace(key, first);
    next.multiplyDim(op.getTiedLoopYieldedValue(argument)->get(), dim);
    llvm::sort(next.factors);
    if (!(first == next)) {
      // What has been found under the assumption goes with it.
      for (auto it = known.begin(); it != known.end();)
        it = it->second.isNumbered ? std::next(it) : known.erase(it);
      first = SizeTerms();
      first.isNumbered = true;
      first.factors.push_back(static_cast<char *>(key.first) + dim + 1);
    }
    found = known.insert_or_assign(key, first).first;
  }
  coefficient *= found->second.coefficient;
  llvm::append_range(factors, found->second.factors);
}

/// Consecutive integers, as a range of constants was folded to.
static std::optional<Positions> constantPositions(DenseElementsAttr constant) {
  if (!isa<IntegerType>(constant.getElementType()) || constant.empty())
    return std::nullopt;
  int64_t first = constant.getValues<APInt>()[0].getSExtValue();
  for (auto [index, number] : llvm::enumerate(constant.getValues<APInt>()))
    if (number.getSExtValue() != first + int64_t(index))
      return std::nullopt;
  Builder builder(constant.getContext());
  return Positions{builder.getIndexAttr(first),
                   builder.getIndexAttr(constant.getNumElements())};
}

std::optional<Positions> raise::matchPositions(Value indices) {
  indices = withoutReshapes(indices);
  auto generic = indices.getDefiningOp<linalg::GenericOp>();
  auto type = cast<RankedTensorType>(indices.getType());
  DenseElementsAttr constant;
  if (type.getRank() == 1 && matchPattern(indices, m_Constant(&constant)))
    return constantPositions(constant);
  if (!generic || generic.getNumDpsInputs() != 0 || type.getRank() != 1)
    return std::nullopt;
  Builder builder(indices.getContext());
  Positions found{builder.getIndexAttr(0), OpFoldResult()};
  Value value = generic.getBody()->getTerminator()->getOperand(0);
  while (true) {
    if (auto cast = value.getDefiningOp<arith::IndexCastOp>()) {
      value = cast.getIn();
    } else if (auto add = value.getDefiningOp<arith::AddIOp>()) {
      bool isLeft = add.getLhs().getDefiningOp<linalg::IndexOp>();
      Value offset = isLeft ? add.getRhs() : add.getLhs();
      if (offset.getParentBlock() == generic.getBody())
        return std::nullopt;
      found.offset = offset;
      value = isLeft ? add.getLhs() : add.getRhs();
    } else {
      break;
    }
  }
  if (!value.getDefiningOp<linalg::IndexOp>())
    return std::nullopt;
  auto empty =
      generic.getDpsInitOperand(0)->get().getDefiningOp<tensor::EmptyOp>();
  if (!empty)
    return std::nullopt;
  found.size = empty.getMixedSizes()[0];
  return found;
}

/// The scalar that a tensor is filled with, in any way, or null.
static Attribute filledWith(Value value) {
  Attribute scalar;
  DenseElementsAttr constant;
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    matchPattern(fill.getInputs()[0], m_Constant(&scalar));
  else if (matchPattern(value, m_Constant(&constant)) && constant.isSplat())
    scalar = constant.getSplatValue<Attribute>();
  else if (auto generic = value.getDefiningOp<linalg::GenericOp>();
           generic && generic.getNumDpsInputs() == 0)
    matchPattern(generic.getBody()->getTerminator()->getOperand(0),
                 m_Constant(&scalar));
  return scalar;
}

bool raise::isZero(Value value) {
  Attribute scalar = filledWith(value);
  if (auto integer = dyn_cast_or_null<IntegerAttr>(scalar))
    return integer.getValue().isZero();
  auto real = dyn_cast_or_null<FloatAttr>(scalar);
  return real && real.getValue().isZero();
}

bool raise::isFilledWithOne(Value value) {
  Attribute scalar = filledWith(value);
  if (auto integer = dyn_cast_or_null<IntegerAttr>(scalar))
    return integer.getValue().isOne();
  auto real = dyn_cast_or_null<FloatAttr>(scalar);
  return real && real.getValueAsDouble() == 1.0;
}

std::optional<OpFoldResult> raise::sizeMadeWith(Value tensor, int64_t dim) {
  auto type = typeOf(tensor);
  if (!type.isDynamicDim(dim))
    return OpFoldResult(
        Builder(tensor.getContext()).getIndexAttr(type.getDimSize(dim)));
  while (auto op = tensor.getDefiningOp<linalg::LinalgOp>())
    tensor =
        op.getDpsInitOperand(cast<OpResult>(tensor).getResultNumber())->get();
  auto empty = tensor.getDefiningOp<tensor::EmptyOp>();
  return empty ? std::optional(empty.getMixedSizes()[dim]) : std::nullopt;
}

bool raise::isWholeSize(OpFoldResult size, Value tensor, int64_t dim) {
  return isProductOfDims(size, tensor, dim);
}

bool raise::haveSameExtent(Value a, ArrayRef<int64_t> aDims, Value b,
                           ArrayRef<int64_t> bDims) {
  SizeTerms left, right;
  for (int64_t dim : aDims)
    left.multiplyDim(a, dim);
  for (int64_t dim : bDims)
    right.multiplyDim(b, dim);
  llvm::sort(left.factors);
  llvm::sort(right.factors);
  return left == right;
}

bool raise::isProductOfDims(OpFoldResult size, Value tensor,
                            ArrayRef<int64_t> dims) {
  SizeTerms terms, product;
  terms.multiply(size);
  for (int64_t dim : dims)
    product.multiplyDim(tensor, dim);
  llvm::sort(terms.factors);
  llvm::sort(product.factors);
  return terms == product;
}
