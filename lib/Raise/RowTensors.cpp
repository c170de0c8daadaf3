// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builds elementwise ops and folds of columns.
#include "RowTensors.h"

#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

Value raise::elementwiseOf(OpBuilder &b, Location loc, ValueRange inputs,
                           ArrayRef<OpFoldResult> sizes, Type element,
                           ScalarBody body) {
  SmallVector<AffineMap> maps;
  for (Value input : inputs)
    maps.push_back(b.getMultiDimIdentityMap(sizes.size())
                       .getMajorSubMap(typeOf(input).getRank()));
  maps.push_back(b.getMultiDimIdentityMap(sizes.size()));
  Value init = tensor::EmptyOp::create(b, loc, sizes, element);
  return linalg::GenericOp::create(
             b, loc, init.getType(), inputs, init, maps,
             SmallVector<utils::IteratorType>(sizes.size(),
                                              utils::IteratorType::parallel),
             [&](OpBuilder &at, Location where, ValueRange x) {
               linalg::YieldOp::create(at, where, body(at, where, x));
             })
      .getResult(0);
}

Value raise::filledWithBit(OpBuilder &b, Location loc,
                           ArrayRef<OpFoldResult> sizes, bool bit) {
  Value empty = tensor::EmptyOp::create(b, loc, sizes, b.getI1Type());
  Value scalar = arith::ConstantOp::create(b, loc, b.getBoolAttr(bit));
  return linalg::FillOp::create(b, loc, scalar, empty).getResult(0);
}

Value raise::foldColumns(OpBuilder &b, Location loc, Value input,
                         TypedAttr start, ScalarBody body) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, input);
  unsigned rank = sizes.size();
  Value init = linalg::FillOp::create(
                   b, loc, arith::ConstantOp::create(b, loc, start).getResult(),
                   tensor::EmptyOp::create(b, loc, ArrayRef(sizes).drop_back(),
                                           start.getType())
                       .getResult())
                   .getResult(0);
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  iterators.back() = utils::IteratorType::reduction;
  AffineMap identity = b.getMultiDimIdentityMap(rank);
  return linalg::GenericOp::create(
             b, loc, init.getType(), input, init,
             ArrayRef{identity, identity.dropResult(rank - 1)}, iterators,
             [&](OpBuilder &at, Location where, ValueRange x) {
               linalg::YieldOp::create(at, where, body(at, where, x));
             })
      .getResult(0);
}

/// The tensor with its dimensions from `first` on as one, which is there even
/// if they were none.
static Value withOneLastDim(OpBuilder &b, Location loc, Value tensor,
                            unsigned first) {
  RankedTensorType type = typeOf(tensor);
  unsigned rank = type.getRank();
  if (rank == first + 1)
    return tensor;
  SmallVector<ReassociationIndices> groups(first + 1);
  if (rank > first) {
    for (unsigned dim = 0; dim < rank; ++dim)
      groups[std::min(dim, first)].push_back(dim);
    return tensor::CollapseShapeOp::create(b, loc, tensor, groups);
  }
  SmallVector<int64_t> shape(type.getShape());
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, tensor);
  shape.push_back(1);
  sizes.push_back(b.getIndexAttr(1));
  groups.resize(rank); // none of a scalar
  for (unsigned dim = 0; dim < rank; ++dim)
    groups[dim] = {dim};
  if (rank > 0)
    groups.back().push_back(rank);
  return tensor::ExpandShapeOp::create(
      b, loc, RankedTensorType::get(shape, type.getElementType()), tensor,
      groups, sizes);
}

Value raise::largestMagnitudes(OpBuilder &b, Location loc, Value tensor,
                               unsigned rowDims) {
  tensor = withOneLastDim(b, loc, tensor, rowDims);
  SmallVector<OpFoldResult>
      sizes; // No more than are used: others look for uses.
  for (unsigned dim = 0; dim < rowDims; ++dim)
    sizes.push_back(tensor::getMixedSize(b, loc, tensor, dim));
  Type element = b.getF32Type();
  Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
  Value init = linalg::FillOp::create(
                   b, loc, zero,
                   tensor::EmptyOp::create(b, loc, sizes, element).getResult())
                   .getResult(0);
  SmallVector<utils::IteratorType> loops(rowDims,
                                         utils::IteratorType::parallel);
  loops.push_back(utils::IteratorType::reduction);
  AffineMap all = b.getMultiDimIdentityMap(rowDims + 1);
  return linalg::GenericOp::create(
             b, loc, init.getType(), tensor, init,
             ArrayRef<AffineMap>{all, all.dropResult(rowDims)}, loops,
             [](OpBuilder &at, Location where, ValueRange x) {
               Value number = x[0];
               if (gate::isNarrowFloat(number.getType()))
                 number =
                     arith::ExtFOp::create(at, where, at.getF32Type(), number);
               Value magnitude = math::AbsFOp::create(at, where, number);
               Value largest =
                   arith::MaximumFOp::create(at, where, magnitude, x[1]);
               linalg::YieldOp::create(at, where, largest);
             })
      .getResult(0);
}
