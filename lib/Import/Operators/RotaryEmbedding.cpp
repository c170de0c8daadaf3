// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RotaryEmbedding of the standard and of ONNX Runtime: pairs of elements of a
// head are turned by an angle that depends on the token's position.
#include "lib/Import/Operators/Families.h"
#include "lib/Import/Operators/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

namespace {
struct Rotation {
  Value input;     // [B, S, H, D] or [B, H, S, D]
  unsigned tokens; // the dimension S of it
  Value cos, sin;  // [positions, R / 2], or [B, S, R / 2]
  Value positions; // [B, S], [1] for the first one, or null
  Extent size;     // R, how many elements of a head are turned
  bool interleaved;
};
} // namespace

static FailureOr<Rotation> rotation(GraphBuilder &g, const OperatorCall &call) {
  bool isMicrosoft = call.domain == "com.microsoft";
  Rotation r;
  r.input = call.operand(0);
  r.positions = call.operand(isMicrosoft ? 1 : 3);
  r.cos = call.operand(isMicrosoft ? 2 : 1);
  r.sin = call.operand(isMicrosoft ? 3 : 2);
  r.interleaved = call.integer("interleaved", 0) != 0;
  if (failed(checkFloat(g, r.input)) ||
      failed(checkNumbers(g, {r.input, r.cos, r.sin})))
    return failure();
  if (isMicrosoft && (call.integer("is_packed_batching", 0) != 0 ||
                      call.number("scale", 1.0) != 1.0))
    return g.fail("does not support is_packed_batching and scale");
  Extents shape = g.shapeOf(r.input), angles = g.shapeOf(r.cos);
  if ((shape.size() != 3 && shape.size() != 4) || angles.empty())
    return g.fail("expects an input of rank 3 or 4, got " + g.text(shape));
  int64_t given = call.integer("rotary_embedding_dim", 0);
  r.tokens = 2;
  if (shape.size() == 3) {
    Extent heads(call.integer("num_heads", 0));
    // ONNX Runtime takes the size of a head from the caches.
    if (heads.isConstant(0) && isMicrosoft && given == 0)
      if (auto count = shape[2].dividedBy(angles.back() * Extent(2)))
        heads = *count;
    std::optional<Extent> size = shape[2].dividedBy(heads);
    if (!size || heads.getCoefficient() < 1)
      return g.fail("cannot divide " + g.text(shape[2]) + " into " +
                    g.text(heads) + " heads");
    FailureOr<Value> apart =
        g.reshape(r.input, {shape[0], shape[1], heads, *size});
    if (failed(apart))
      return failure();
    r.input = *apart;
    r.tokens = 1;
  }
  Extents whole = g.shapeOf(r.input);
  r.size = given ? Extent(given) : whole[3];
  if (!r.size.dividedBy(Extent(2)) || given < 0 ||
      (whole[3].isConstant() && given > whole[3].getConstant()) ||
      (given && !whole[3].isConstant()))
    return g.fail("supports only rotary_embedding_dim that is even and at most "
                  "the constant size of a head, " +
                  g.text(whole[3]));
  Extents expected{whole[0], whole[r.tokens], *r.size.dividedBy(Extent(2))};
  if (r.positions) {
    Extents places = g.shapeOf(r.positions);
    bool isFirst = isMicrosoft && places == Extents{Extent(1)};
    if (!elementOf(r.positions).isInteger(64) ||
        (!isFirst && places != Extents(expected.begin(), expected.end() - 1)))
      return g.fail("expects position_ids of type int64 and shape " +
                    g.text(ArrayRef(expected).drop_back()) + ", got " +
                    g.text(places));
    if (angles.size() != 2 || angles[0].isConstant(0))
      return g.fail("expects caches of rank 2 with at least one position");
    expected = {angles[0], expected[2]};
  }
  if (angles != expected || g.shapeOf(r.sin) != expected)
    return g.fail("expects caches of shape " + g.text(expected) + ", got " +
                  g.text(angles) + " and " + g.text(g.shapeOf(r.sin)));
  return r;
}

OperatorResults gatecc::lowerRotaryEmbedding(GraphBuilder &g,
                                             const OperatorCall &call) {
  FailureOr<Rotation> r = rotation(g, call);
  if (failed(r))
    return failure();
  Extents shape = g.shapeOf(r->input), angles = g.shapeOf(r->cos);
  Type element = elementOf(r->input);
  FailureOr<Value> input = widened(g, r->input), cos = widened(g, r->cos),
                   sin = widened(g, r->sin);
  if (failed(input) || failed(cos) || failed(sin))
    return failure();
  Value size = g.materialize(r->size),
        half = g.materialize(*r->size.dividedBy(Extent(2)));
  SmallVector<Value> sizes;
  for (const Extent &extent : angles)
    sizes.push_back(g.materialize(extent));
  AffineMap map = g.getBuilder().getMultiDimIdentityMap(4);
  SmallVector<utils::IteratorType> iterators(4, utils::IteratorType::parallel);
  FailureOr<Value> turned =
      g.generic(
           *input, g.empty(shape, elementOf(*input)), {map, map}, iterators,
           [&](OpBuilder &at, Location loc, ValueRange x) {
             Scalars s(at, loc);
             SmallVector<Value> indices;
             for (unsigned dim = 0; dim < 4; ++dim)
               indices.push_back(linalg::IndexOp::create(at, loc, dim));
             Value d = indices[3], one = s.like(d, 1), zero = s.like(d, 0);
             Value inside = s.less(d, size), isFirst, pair, partner;
             if (r->interleaved) {
               isFirst = s.equal(arith::AndIOp::create(at, loc, d, one), zero);
               pair = arith::ShRUIOp::create(at, loc, d, one);
               partner = arith::XOrIOp::create(at, loc, d, one);
             } else {
               isFirst = s.less(d, half);
               pair = s.select(isFirst, d, s.sub(d, half));
               partner = s.select(isFirst, s.add(d, half), s.sub(d, half));
             }
             // Elements behind the turned ones read themselves, and stay.
             SmallVector<Value> other(indices);
             other[3] = s.select(inside, partner, d);
             pair = s.select(inside, pair, zero);
             SmallVector<Value> angle{indices[0], indices[r->tokens], pair};
             if (r->positions) {
               bool fromFirst = g.rankOf(r->positions) == 1;
               Value position = tensor::ExtractOp::create(
                   at, loc, r->positions,
                   fromFirst ? ValueRange(zero)
                             : ValueRange{indices[0], indices[r->tokens]});
               position = arith::IndexCastOp::create(at, loc, at.getIndexType(),
                                                     position);
               if (fromFirst)
                 position = s.add(position, indices[r->tokens]);
               // A position out of range is clamped into the range.
               position = s.min(position, s.sub(sizes[0], one));
               angle = {s.max(position, zero), pair};
             }
             Value none = s.like(x[0], 0);
             Value c = readInside(at, loc, *cos, angle, sizes, none);
             Value n = readInside(at, loc, *sin, angle, sizes, none);
             Value v = tensor::ExtractOp::create(at, loc, *input, other);
             Value first = s.sub(s.mul(c, x[0]), s.mul(n, v));
             Value second = s.add(s.mul(n, v), s.mul(c, x[0]));
             return SmallVector<Value>{
                 s.select(inside, s.select(isFirst, first, second), x[0])};
           })
          .front();
  turned = g.cast(*turned, element);
  if (failed(turned))
    return failure();
  return one(g.reshape(*turned, g.shapeOf(call.operand(0))));
}
