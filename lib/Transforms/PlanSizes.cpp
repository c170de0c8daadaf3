// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The sizes and rows of a plan as values.
#include "lib/Transforms/PlanSizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

gate::RuntimeCallOp gatecc::createRuntimeCall(OpBuilder &builder, Location loc,
                                              StringRef callee,
                                              ValueRange arguments,
                                              ValueRange inits,
                                              ArrayRef<int64_t> nulls) {
  return gate::RuntimeCallOp::create(builder, loc, inits.getTypes(), Type(),
                                     callee, arguments, inits, nulls,
                                     /*frame=*/false, /*updates=*/false);
}

LogicalResult gatecc::checkPlans(Operation *root) {
  WalkResult result = root->walk([](Operation *op) {
    for (Value operand : op->getOperands())
      if (isa<gate::PlanType>(operand.getType()) &&
          !isa_and_nonnull<gate::RouteOp, gate::PartitionOp, gate::AssignOp>(
              operand.getDefiningOp())) {
        op->emitError("a plan that is not the result of 'gate.route', "
                      "'gate.partition' or 'gate.assign' is not supported yet");
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

SitePlace gatecc::findSite(Operation *op, FlatSymbolRefAttr site) {
  // Sites are numbered, and their groups laid out, in the order of the module.
  SitePlace place;
  for (auto other : op->getParentOfType<ModuleOp>().getOps<gate::SiteOp>()) {
    if (other.getSymName() == site.getValue()) {
      place.kind = other.getKind();
      break;
    }
    ++place.number;
    place.first += other.getNumCounts();
  }
  return place;
}

gate::PlanTensorsOp PlanSizes::tensors() {
  return gate::PlanTensorsOp::create(builder, loc, plan);
}

Value PlanSizes::weights() {
  auto assign = plan.getDefiningOp<gate::AssignOp>();
  if (assign ? !assign.getWeights() : !plan.getDefiningOp<gate::RouteOp>())
    return Value();
  return tensors().getWeights();
}

Value PlanSizes::rows() {
  return tensor::DimOp::create(builder, loc,
                               plan.getDefiningOp()->getOperand(0), 0);
}

Value PlanSizes::offset(int64_t group) {
  if (group == 0)
    return arith::ConstantIndexOp::create(builder, loc, 0);
  Value index = arith::ConstantIndexOp::create(builder, loc, group);
  Value offset = tensor::ExtractOp::create(builder, loc, offsets(), index);
  return arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                    offset);
}

Value PlanSizes::bounded(Value value) {
  int64_t choices = cast<gate::PlanType>(plan.getType()).getChoices();
  Value upper = rows();
  if (choices > 1)
    upper = arith::MulIOp::create(
        builder, loc, upper,
        arith::ConstantIndexOp::create(builder, loc, choices));
  return gate::BoundOp::create(builder, loc, value, upper);
}

Value PlanSizes::slots() {
  return bounded(offset(cast<gate::PlanType>(plan.getType()).getGroups()));
}

Value PlanSizes::rangeSize(int64_t first, int64_t last) {
  Value size = offset(last);
  if (first > 0)
    size = arith::SubIOp::create(builder, loc, size, offset(first));
  return bounded(size);
}

Value PlanSizes::groups() {
  // As many as there are groups that end at the slot or before it.
  int64_t count = cast<gate::PlanType>(plan.getType()).getGroups();
  Value ends = tensor::ExtractSliceOp::create(
      builder, loc, offsets(), ArrayRef<OpFoldResult>{builder.getIndexAttr(1)},
      ArrayRef<OpFoldResult>{builder.getIndexAttr(count)},
      ArrayRef<OpFoldResult>{builder.getIndexAttr(1)});
  Type i32 = builder.getI32Type();
  Value zero =
      arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(0));
  Value empty = tensor::EmptyOp::create(builder, loc,
                                        ArrayRef<OpFoldResult>{slots()}, i32);
  Value init = linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
  AffineMap identity = builder.getMultiDimIdentityMap(2);
  return linalg::GenericOp::create(
             builder, loc, init.getType(), ends, init,
             ArrayRef{identity.dropResult(0), identity.dropResult(1)},
             ArrayRef{utils::IteratorType::parallel,
                      utils::IteratorType::reduction},
             [&](OpBuilder &at, Location where, ValueRange x) {
               Value slot = arith::IndexCastOp::create(
                   at, where, i32, linalg::IndexOp::create(at, where, 0));
               Value isBehind = arith::CmpIOp::create(
                   at, where, arith::CmpIPredicate::sge, slot, x[0]);
               Value one = arith::ExtUIOp::create(at, where, i32, isBehind);
               linalg::YieldOp::create(
                   at, where,
                   arith::AddIOp::create(at, where, x[1], one).getResult());
             })
      .getResult(0);
}

Value PlanSizes::sourceOfGroup(Value begin, Value count) {
  SmallVector<OpFoldResult> starts{begin}, sizes{count},
      strides{builder.getIndexAttr(1)};
  return tensor::ExtractSliceOp::create(builder, loc, source(), starts, sizes,
                                        strides);
}

Value PlanSizes::rowBytes(Value rows) {
  auto type = cast<RankedTensorType>(rows.getType());
  int64_t bytes = (type.getElementTypeBitWidth() + 7) / 8;
  for (int64_t extent : type.getShape().drop_front())
    if (!ShapedType::isDynamic(extent))
      bytes *= extent;
  Value result = arith::ConstantIndexOp::create(builder, loc, bytes);
  for (int64_t i = 1; i < type.getRank(); ++i)
    if (type.isDynamicDim(i))
      result = arith::MulIOp::create(
          builder, loc, result, tensor::DimOp::create(builder, loc, rows, i));
  return result;
}

Value PlanSizes::gatherRows(Value rows, Value source, Value count) {
  auto type = cast<RankedTensorType>(rows.getType());
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, rows);
  sizes.front() = count;
  Value init =
      tensor::EmptyOp::create(builder, loc, sizes, type.getElementType());
  return createRuntimeCall(builder, loc, "gatecc_gather_rows",
                           {rows, rowBytes(rows), source, count}, init)
      .getTensors()[0];
}

Value PlanSizes::scatterRows(Value slots, Value source, Value count,
                             Value base) {
  auto call = createRuntimeCall(builder, loc, "gatecc_scatter_rows",
                                {slots, rowBytes(base), source, count}, base);
  call.setUpdates(true);
  return call.getTensors()[0];
}
