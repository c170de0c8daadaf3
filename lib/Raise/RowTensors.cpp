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

Value raise::largestMagnitudes(OpBuilder &b, Location loc, Value input) {
  return foldColumns(
      b, loc, input, b.getF32FloatAttr(0),
      [](OpBuilder &at, Location where, ValueRange x) -> Value {
        Value number = x[0];
        if (gate::isNarrowFloat(number.getType()))
          number = arith::ExtFOp::create(at, where, at.getF32Type(), number);
        Value magnitude = math::AbsFOp::create(at, where, number);
        return arith::MaximumFOp::create(at, where, magnitude, x[1]);
      });
}
