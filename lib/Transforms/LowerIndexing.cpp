// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Computes the places that gathers and scatters name.
//   before: nonzero, gather_nd, scatter_nd, scatter_elements, cumsum
//   after:  linalg.generic (row-major numbers of slices), runtime_call
//           (find_true, gather_slices, scatter_slices, reduce_slices, cumsum)
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Transforms/Passes.h"
#include "lib/Transforms/PlanSizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/TypeSwitch.h"

namespace gatecc {
#define GEN_PASS_DEF_LOWERINDEXING
#include "gatecc/Transforms/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

RankedTensorType typeOf(Value tensor) {
  return cast<RankedTensorType>(tensor.getType());
}

/// What to do with an index that is out of range.
enum class OutOfRange { Clamp, Skip };

class IndexingBuilder {
public:
  IndexingBuilder(RewriterBase &rewriter, Operation *op)
      : rewriter(rewriter), b(op->getLoc(), rewriter) {
    rewriter.setInsertionPoint(op);
    b.setInsertionPoint(op);
  }

  void lower(gate::NonZeroOp op);
  void lower(gate::GatherNDOp op);
  void lower(gate::ScatterNDOp op);
  void lower(gate::ScatterElementsOp op);
  void lower(gate::CumSumOp op);

private:
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  Value int32(int64_t value) {
    return arith::ConstantIntOp::create(b, b.getI32Type(), value);
  }
  Value sizeOf(Value tensor, int64_t dim) {
    return b.createOrFold<tensor::DimOp>(tensor, dim);
  }
  /// The product of the extents of dimensions [first, last).
  Value product(Value tensor, int64_t first, int64_t last) {
    Value result = index(1);
    for (int64_t dim = first; dim < last; ++dim)
      result = b.createOrFold<arith::MulIOp>(result, sizeOf(tensor, dim));
    return result;
  }
  Value bytes(Value elements, Type type) {
    int64_t width = (type.getIntOrFloatBitWidth() + 7) / 8;
    return b.createOrFold<arith::MulIOp>(elements, index(width));
  }
  SmallVector<OpFoldResult> sizes(Value tensor) {
    return tensor::getMixedSizes(rewriter, b.getLoc(), tensor);
  }

  /// raw + (raw < 0 ? size : 0), and whether it is in range.
  static std::pair<Value, Value> fromEither(ImplicitLocOpBuilder &at, Value raw,
                                            Value size);
  /// For each index vector the row-major number of its slice of `data`, as if
  /// the first `batch` dimensions were indexed by the vector's own place; -1
  /// where an index is out of range and `mode` says so.
  Value placesOfVectors(Value data, Value indices, int64_t batch,
                        OutOfRange mode);
  void scatter(Operation *op, Value updates, Value places, Value data,
               Value slice, Value count, gate::Reduction reduction);
  Value callOnto(StringRef callee, ValueRange arguments, Value init,
                 bool updates);

  RewriterBase &rewriter;
  ImplicitLocOpBuilder b;
};

Value IndexingBuilder::callOnto(StringRef callee, ValueRange arguments,
                                Value init, bool updates) {
  auto call =
      createRuntimeCall(rewriter, b.getLoc(), callee, arguments, init, {});
  call.setUpdates(updates);
  return call.getTensors()[0];
}

void IndexingBuilder::lower(gate::NonZeroOp op) {
  Value input = op.getInput();
  int64_t rank = typeOf(input).getRank();
  Value total = product(input, 0, rank);
  auto counted = gate::RuntimeCallOp::create(
      b, TypeRange(), b.getI64Type(), "gatecc_count_true",
      ValueRange{input, total}, ValueRange(), ArrayRef<int64_t>(),
      /*frame=*/false, /*updates=*/false);
  Value count =
      arith::IndexCastOp::create(b, b.getIndexType(), counted.getScalar());
  count = gate::BoundOp::create(b, count, total);
  Value init =
      tensor::EmptyOp::create(b, ArrayRef<OpFoldResult>{count}, b.getI64Type());
  Value places = callOnto("gatecc_find_true", {input, total, count}, init,
                          /*updates=*/false);
  // Coordinates from row-major numbers.
  SmallVector<Value> extents;
  for (int64_t dim = 0; dim < rank; ++dim)
    extents.push_back(sizeOf(input, dim));
  Value out = tensor::EmptyOp::create(
      b, ArrayRef<OpFoldResult>{b.getIndexAttr(rank), count}, b.getI64Type());
  MLIRContext *context = b.getContext();
  AffineMap maps[] = {AffineMap::get(2, 0, getAffineDimExpr(1, context)),
                      AffineMap::getMultiDimIdentityMap(2, context)};
  auto coordinates = linalg::GenericOp::create(
      b, out.getType(), places, out, maps,
      SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
      [&](OpBuilder &inner, Location loc, ValueRange x) {
        ImplicitLocOpBuilder at(loc, inner);
        Value row = linalg::IndexOp::create(at, 0);
        Value rest =
            arith::IndexCastOp::create(at, at.getIndexType(), x.front());
        Value result = rest;
        for (int64_t dim = rank - 1; dim >= 0; --dim) {
          Value coordinate = arith::RemUIOp::create(at, rest, extents[dim]);
          rest = arith::DivUIOp::create(at, rest, extents[dim]);
          Value here =
              arith::CmpIOp::create(at, arith::CmpIPredicate::eq, row,
                                    arith::ConstantIndexOp::create(at, dim));
          result = arith::SelectOp::create(at, here, coordinate, result);
        }
        Value cast = arith::IndexCastOp::create(at, at.getI64Type(), result);
        linalg::YieldOp::create(at, cast);
      });
  for (Operation *user : llvm::make_early_inc_range(op->getUsers()))
    if (auto dim = dyn_cast<tensor::DimOp>(user))
      if (dim.getConstantIndex() == 1)
        rewriter.replaceOp(dim, count);
  rewriter.replaceOp(op, coordinates.getResults());
}

std::pair<Value, Value> IndexingBuilder::fromEither(ImplicitLocOpBuilder &at,
                                                    Value raw, Value size) {
  Value i = raw;
  if (!i.getType().isIndex())
    i = arith::IndexCastOp::create(at, at.getIndexType(), raw);
  Value zero = arith::ConstantIndexOp::create(at, 0);
  Value negative =
      arith::CmpIOp::create(at, arith::CmpIPredicate::slt, i, zero);
  i = arith::SelectOp::create(at, negative, arith::AddIOp::create(at, i, size),
                              i);
  // Without its sign a negative number is larger than any size.
  Value inside = arith::CmpIOp::create(at, arith::CmpIPredicate::ult, i, size);
  return {i, inside};
}

Value IndexingBuilder::placesOfVectors(Value data, Value indices, int64_t batch,
                                       OutOfRange mode) {
  RankedTensorType type = typeOf(indices);
  int64_t rank = type.getRank() - 1, length = type.getDimSize(rank);
  SmallVector<OpFoldResult> shape = sizes(indices);
  shape.pop_back();
  Value init = tensor::EmptyOp::create(b, shape, b.getI64Type());
  SmallVector<Value> extents;
  for (int64_t dim = 0; dim < batch + length; ++dim)
    extents.push_back(sizeOf(data, dim));
  MLIRContext *context = b.getContext();
  // One input for each place in the vectors.
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (int64_t i = 0; i < length; ++i) {
    inputs.push_back(indices);
    SmallVector<AffineExpr> exprs;
    for (int64_t dim = 0; dim < rank; ++dim)
      exprs.push_back(getAffineDimExpr(dim, context));
    exprs.push_back(getAffineConstantExpr(i, context));
    maps.push_back(AffineMap::get(rank, 0, exprs, context));
  }
  maps.push_back(AffineMap::getMultiDimIdentityMap(rank, context));
  auto generic = linalg::GenericOp::create(
      b, init.getType(), inputs, init, maps,
      SmallVector<utils::IteratorType>(rank, utils::IteratorType::parallel),
      [&](OpBuilder &inner, Location loc, ValueRange x) {
        ImplicitLocOpBuilder at(loc, inner);
        Value zero = arith::ConstantIndexOp::create(at, 0);
        Value place = zero, valid;
        for (int64_t dim = 0; dim < batch + length; ++dim) {
          Value extent = extents[dim], i;
          if (dim < batch) {
            i = linalg::IndexOp::create(at, dim);
          } else {
            Value inside;
            std::tie(i, inside) = fromEither(at, x[dim - batch], extent);
            if (mode == OutOfRange::Skip) {
              valid = valid ? arith::AndIOp::create(at, valid, inside) : inside;
            } else {
              Value last = arith::SubIOp::create(
                  at, extent, arith::ConstantIndexOp::create(at, 1));
              i = arith::MaxSIOp::create(
                  at, arith::MinSIOp::create(at, i, last), zero);
            }
          }
          place = arith::AddIOp::create(
              at, arith::MulIOp::create(at, place, extent), i);
        }
        if (valid)
          place = arith::SelectOp::create(
              at, valid, place, arith::ConstantIndexOp::create(at, -1));
        Value cast = arith::IndexCastOp::create(at, at.getI64Type(), place);
        linalg::YieldOp::create(at, cast);
      });
  return generic.getResult(0);
}

void IndexingBuilder::lower(gate::GatherNDOp op) {
  Value data = op.getData(), indices = op.getIndices();
  int64_t batch = int64_t(op.getBatchDims());
  int64_t last = typeOf(indices).getRank() - 1;
  int64_t indexed = batch + typeOf(indices).getDimSize(last);
  Value places = placesOfVectors(data, indices, batch, OutOfRange::Clamp);
  Value slice = product(data, indexed, typeOf(data).getRank());
  SmallVector<OpFoldResult> shape = sizes(indices);
  shape.pop_back();
  SmallVector<OpFoldResult> tail = sizes(data);
  shape.append(tail.begin() + indexed, tail.end());
  // Extents that the result's type alone knows to be static stay so.
  RankedTensorType type = typeOf(op.getResult());
  for (auto [dim, extent] : llvm::enumerate(type.getShape()))
    if (!ShapedType::isDynamic(extent))
      shape[dim] = b.getIndexAttr(extent);
  Type element = typeOf(data).getElementType();
  Value init = tensor::EmptyOp::create(b, shape, element);
  Value result =
      callOnto("gatecc_gather_slices",
               {data, bytes(slice, element), product(data, 0, indexed), places,
                product(indices, 0, last)},
               init, /*updates=*/false);
  if (result.getType() != type)
    result = tensor::CastOp::create(b, type, result);
  rewriter.replaceOp(op, result);
}

void IndexingBuilder::scatter(Operation *op, Value updates, Value places,
                              Value data, Value slice, Value count,
                              gate::Reduction reduction) {
  Type element = typeOf(data).getElementType();
  Value n = product(places, 0, typeOf(places).getRank());
  Value result;
  if (reduction == gate::Reduction::None) {
    result = callOnto("gatecc_scatter_slices",
                      {updates, bytes(slice, element), count, places, n}, data,
                      /*updates=*/true);
  } else {
    std::string callee = std::string("gatecc_reduce_slices_") +
                         (isa<FloatType>(element) ? "f" : "i") +
                         std::to_string(element.getIntOrFloatBitWidth());
    result = callOnto(
        callee, {int32(int64_t(reduction)), updates, slice, count, places, n},
        data, /*updates=*/true);
  }
  rewriter.replaceOp(op, result);
}

void IndexingBuilder::lower(gate::ScatterNDOp op) {
  Value data = op.getData(), indices = op.getIndices();
  int64_t length = typeOf(indices).getDimSize(typeOf(indices).getRank() - 1);
  Value places = placesOfVectors(data, indices, /*batch=*/0, OutOfRange::Skip);
  Value slice = product(data, length, typeOf(data).getRank());
  scatter(op, op.getUpdates(), places, data, slice, product(data, 0, length),
          op.getReduction());
}

void IndexingBuilder::lower(gate::ScatterElementsOp op) {
  Value data = op.getData(), indices = op.getIndices();
  int64_t rank = typeOf(data).getRank(), axis = int64_t(op.getAxis());
  SmallVector<Value> extents;
  for (int64_t dim = 0; dim < rank; ++dim)
    extents.push_back(sizeOf(data, dim));
  Value init = tensor::EmptyOp::create(b, sizes(indices), b.getI64Type());
  AffineMap identity = AffineMap::getMultiDimIdentityMap(rank, b.getContext());
  auto places = linalg::GenericOp::create(
      b, init.getType(), indices, init, ArrayRef<AffineMap>{identity, identity},
      SmallVector<utils::IteratorType>(rank, utils::IteratorType::parallel),
      [&](OpBuilder &inner, Location loc, ValueRange x) {
        ImplicitLocOpBuilder at(loc, inner);
        Value place = arith::ConstantIndexOp::create(at, 0), valid;
        for (int64_t dim = 0; dim < rank; ++dim) {
          Value i, inside;
          if (dim == axis) {
            std::tie(i, inside) = fromEither(at, x.front(), extents[dim]);
          } else {
            i = linalg::IndexOp::create(at, dim);
            inside = arith::CmpIOp::create(at, arith::CmpIPredicate::ult, i,
                                           extents[dim]);
          }
          valid = valid ? arith::AndIOp::create(at, valid, inside) : inside;
          place = arith::AddIOp::create(
              at, arith::MulIOp::create(at, place, extents[dim]), i);
        }
        place = arith::SelectOp::create(at, valid, place,
                                        arith::ConstantIndexOp::create(at, -1));
        Value cast = arith::IndexCastOp::create(at, at.getI64Type(), place);
        linalg::YieldOp::create(at, cast);
      });
  scatter(op, op.getUpdates(), places.getResult(0), data, index(1),
          product(data, 0, rank), op.getReduction());
}

void IndexingBuilder::lower(gate::CumSumOp op) {
  Value input = op.getInput();
  int64_t rank = typeOf(input).getRank(), axis = int64_t(op.getAxis());
  Type element = typeOf(input).getElementType();
  std::string callee = std::string("gatecc_cumsum_") +
                       (isa<FloatType>(element) ? "f" : "i") +
                       std::to_string(element.getIntOrFloatBitWidth());
  Value init = tensor::EmptyOp::create(b, sizes(input), element);
  Value result = callOnto(callee,
                          {input, product(input, 0, axis), sizeOf(input, axis),
                           product(input, axis + 1, rank),
                           int32(op.getExclusive()), int32(op.getReverse())},
                          init, /*updates=*/false);
  rewriter.replaceOp(op, result);
}

struct LowerIndexingPass
    : public gatecc::impl::LowerIndexingBase<LowerIndexingPass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      llvm::TypeSwitch<Operation *>(op)
          .Case<gate::NonZeroOp, gate::GatherNDOp, gate::ScatterNDOp,
                gate::ScatterElementsOp, gate::CumSumOp>(
              [&](auto each) { IndexingBuilder(rewriter, op).lower(each); });
  }
};

} // namespace
