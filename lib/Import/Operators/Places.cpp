// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Tensors made element by element from the indices of each place.
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

Value gatecc::fillPlaces(GraphBuilder &g, ArrayRef<Extent> shape, Type element,
                         ScalarBody body) {
  unsigned rank = shape.size();
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  return g
      .generic({}, g.empty(shape, element),
               g.getBuilder().getMultiDimIdentityMap(rank), iterators,
               [&](OpBuilder &at, Location loc, ValueRange) {
                 SmallVector<Value> indices;
                 for (unsigned dim = 0; dim < rank; ++dim)
                   indices.push_back(linalg::IndexOp::create(at, loc, dim));
                 return SmallVector<Value>{body(at, loc, indices)};
               })
      .front();
}

Value gatecc::readInside(OpBuilder &at, Location loc, Value tensor,
                         ValueRange indices, ValueRange sizes, Value outside) {
  Value inside;
  for (auto [index, size] : llvm::zip(indices, sizes)) {
    if (!size)
      continue;
    // As unsigned numbers, those below 0 are the largest.
    Value fits =
        arith::CmpIOp::create(at, loc, arith::CmpIPredicate::ult, index, size);
    inside = inside ? arith::AndIOp::create(at, loc, inside, fits) : fits;
  }
  if (!inside)
    return tensor::ExtractOp::create(at, loc, tensor, indices);
  return scf::IfOp::create(
             at, loc, inside,
             [&](OpBuilder &then, Location where) {
               Value element =
                   tensor::ExtractOp::create(then, where, tensor, indices);
               scf::YieldOp::create(then, where, element);
             },
             [&](OpBuilder &otherwise, Location where) {
               scf::YieldOp::create(otherwise, where, outside);
             })
      .getResult(0);
}
