// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes a network compute its routed layers with and without rounding, and
// return what they differ by.
//   before: plan -> apply -> combine -> the network
//   after:  the same, and from a copy of the plan, whose weights are rounded,
//           -> apply -> combine -> sums of squares for each row -> outputs
// The sums of a layer behind an exit are merged into zeros for the rows that
// have left. Only numbers leave the network, not the layers' results.
#include "lib/Driver/Calibration.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace gatecc;
using gate::ApplyOp;

namespace {

/// Three vectors with an element for each row: |z - y|^2, |y|^2, and 1 where
/// the layer has run.
using RowSums = SmallVector<Value, 3>;

class LayerInstrumenter {
public:
  LayerInstrumenter(Operation *decision, unsigned number)
      : decision(decision), plan(decision->getResult(0)), number(number),
        b(decision->getContext()), loc(decision->getLoc()) {}
  LayerPrecision run();

private:
  /// Collects the ops between the plan and its combined results.
  bool collect();
  void collectWeights(gate::ContractOp contract);
  bool checkParents();
  void computeTwice();
  Value reduceRows(Value y, Value z);
  void leaveApply(ApplyOp apply);
  void returnSums();
  Value fill(ArrayRef<OpFoldResult> sizes, double value);
  /// Sums, or takes the largest, of the vector `values`.
  Value reduce(ValueRange values,
               function_ref<Value(OpBuilder &, Location, ValueRange)> body);
  bool refuse(const Twine &reason) {
    layer.reason = reason.str();
    return false;
  }

  Operation *decision; // a route or an assign
  Value plan;
  unsigned number;
  OpBuilder b;
  Location loc;
  LayerPrecision layer;
  SmallVector<Operation *> slice;
  SmallVector<Value> results;
  bool isQuantized = false;
  RowSums sums;
};

bool LayerInstrumenter::collect() {
  llvm::SmallPtrSet<Value, 16> inside = {plan};
  for (Operation *op = decision->getNextNode(); op; op = op->getNextNode()) {
    bool uses = false;
    op->walk([&](Operation *nested) {
      uses |= llvm::any_of(nested->getOperands(),
                           [&](Value v) { return inside.contains(v); });
    });
    if (!uses)
      continue;
    if (op->hasTrait<OpTrait::IsTerminator>())
      return refuse("its slots are used outside of the layer");
    slice.push_back(op);
    if (auto combine = dyn_cast<gate::CombineOp>(op);
        combine && combine.getPlan() == plan)
      results.push_back(combine.getResult());
    else if (isa<gate::MergeOp>(op))
      return refuse("its results are merged and not summed");
    else
      inside.insert(op->result_begin(), op->result_end());
    op->walk([&](gate::ContractOp contract) { collectWeights(contract); });
  }
  if (results.empty())
    return refuse("its results are not used");
  if (isQuantized)
    return refuse("the model holds its weights as integers already");
  if (layer.weights.empty())
    return refuse("it has no weights in f32");
  return true;
}

void LayerInstrumenter::collectWeights(gate::ContractOp contract) {
  for (Value weight : contract.getWeights()) {
    auto argument = dyn_cast<BlockArgument>(weight);
    auto apply = dyn_cast<ApplyOp>(contract->getParentOp());
    bool isParameter = argument && apply && apply.getPlan() == plan;
    // A product that all experts share is not one of the experts'.
    if (!isParameter && contract.getPlan() != plan)
      continue;
    if (isParameter)
      weight =
          apply.getParams()[argument.getArgNumber() - apply.getInputs().size()];
    auto type = cast<RankedTensorType>(weight.getType());
    if (weight.getDefiningOp<gate::DequantizeOp>()) {
      isQuantized = true;
      continue;
    }
    if (!type.getElementType().isF32())
      continue;
    Attribute key;
    if (auto value = weight.getDefiningOp<gate::WeightValueOp>())
      key = value.getWeightAttr();
    else if (!matchPattern(weight, m_Constant(&key)))
      continue;
    if (layer.weights.insert(key))
      layer.f32Bytes += uint64_t(type.getNumElements()) * 4;
  }
}

bool LayerInstrumenter::checkParents() {
  for (Operation *op = decision->getParentOp(); !isa<func::FuncOp>(op);
       op = op->getParentOp()) {
    auto apply = dyn_cast<ApplyOp>(op);
    if (!apply || apply.getBodies().size() != 1 || !apply.getParams().empty() ||
        apply.getRanges()[1] - apply.getRanges()[0] != 1 ||
        !apply.getPlan().getDefiningOp<gate::PartitionOp>())
      return refuse("it is inside of other experts or of a group with weights "
                    "of its own, out of which its result cannot be returned");
  }
  return true;
}

Value LayerInstrumenter::fill(ArrayRef<OpFoldResult> sizes, double value) {
  Value scalar = arith::ConstantOp::create(b, loc, b.getF64FloatAttr(value));
  Value empty = tensor::EmptyOp::create(b, loc, sizes, b.getF64Type());
  return linalg::FillOp::create(b, loc, scalar, empty).getResult(0);
}

/// |z - y|^2 (or |y|^2 without z) of each row, in f64.
Value LayerInstrumenter::reduceRows(Value y, Value z) {
  AffineMap all = b.getMultiDimIdentityMap(2),
            rows = AffineMap::get(2, 0, b.getAffineDimExpr(0));
  SmallVector<Value> inputs{y};
  SmallVector<AffineMap> maps{all};
  if (z) {
    inputs.push_back(z);
    maps.push_back(all);
  }
  maps.push_back(rows);
  Value init = fill(tensor::getMixedSize(b, loc, y, 0), 0);
  auto body = [&](OpBuilder &b, Location loc, ValueRange arguments) {
    Value x = arith::ExtFOp::create(b, loc, b.getF64Type(), arguments[0]);
    if (z)
      x = arith::SubFOp::create(
          b, loc, arith::ExtFOp::create(b, loc, b.getF64Type(), arguments[1]),
          x);
    x = arith::MulFOp::create(b, loc, x, x);
    x = arith::AddFOp::create(b, loc, arguments.back(), x);
    linalg::YieldOp::create(b, loc, x);
  };
  return linalg::GenericOp::create(
             b, loc, init.getType(), inputs, init, maps,
             {utils::IteratorType::parallel, utils::IteratorType::reduction},
             body)
      .getResult(0);
}

void LayerInstrumenter::computeTwice() {
  b.setInsertionPointAfter(slice.back());
  IRMapping mapping;
  Operation *rounded = b.clone(*decision, mapping);
  rounded->removeAttr("site"); // what it decides is counted once
  for (Operation *op : slice)
    b.clone(*op, mapping);
  decision->setAttr(gate::kExactExperts, b.getUnitAttr());
  for (Value y : results) {
    RowSums more = {reduceRows(y, mapping.lookup(y)), reduceRows(y, Value())};
    if (sums.empty()) {
      sums = more;
      sums.push_back(fill(tensor::getMixedSize(b, loc, y, 0), 1));
      continue;
    }
    for (unsigned i = 0; i < 2; ++i)
      sums[i] = arith::AddFOp::create(b, loc, sums[i], more[i]);
  }
}

/// Makes the sums results of the group that computes them; other rows have 0.
void LayerInstrumenter::leaveApply(ApplyOp apply) {
  auto dynamic = RankedTensorType::get({ShapedType::kDynamic}, b.getF64Type());
  Operation *yield = apply.getBodies().front().front().getTerminator();
  b.setInsertionPoint(yield);
  for (Value &sum : sums)
    if (sum.getType() != dynamic)
      sum = tensor::CastOp::create(b, loc, dynamic, sum);
  yield->insertOperands(yield->getNumOperands(), sums);

  b.setInsertionPoint(apply);
  Value selector =
      apply.getPlan().getDefiningOp<gate::PartitionOp>().getSelector();
  Value count = tensor::DimOp::create(b, apply.getLoc(), selector, 0);
  Value base = fill(OpFoldResult(count), 0);
  SmallVector<Type> types(apply.getResultTypes());
  types.append(sums.size(), dynamic);
  auto wider = ApplyOp::create(b, apply.getLoc(), types, apply.getPlan(),
                               apply.getInputs(), apply.getParams(),
                               apply.getRanges(), apply.getBodies().size());
  wider.getBodies().front().takeBody(apply.getBodies().front());
  unsigned old = apply.getNumResults();
  apply.replaceAllUsesWith(wider.getResults().take_front(old));
  for (auto [sum, slots] : llvm::zip(sums, wider.getResults().drop_front(old)))
    sum = gate::MergeOp::create(b, loc, dynamic, slots, apply.getPlan(),
                                apply.getRanges(), base);
  apply.erase();
}

Value LayerInstrumenter::reduce(
    ValueRange values,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  SmallVector<AffineMap> maps(values.size(), b.getMultiDimIdentityMap(1));
  maps.push_back(AffineMap::get(1, 0, b.getContext()));
  Value init = fill({}, 0);
  return linalg::GenericOp::create(
             b, loc, init.getType(), values, init, maps,
             utils::IteratorType::reduction,
             [&](OpBuilder &b, Location loc, ValueRange arguments) {
               linalg::YieldOp::create(b, loc, body(b, loc, arguments));
             })
      .getResult(0);
}

void LayerInstrumenter::returnSums() {
  auto function = sums[0].getParentRegion()->getParentOfType<func::FuncOp>();
  Operation *end = function.getBody().front().getTerminator();
  b.setInsertionPoint(end);
  SmallVector<Value> numbers;
  for (Value sum : sums)
    numbers.push_back(
        reduce(sum, [](OpBuilder &b, Location loc, ValueRange arguments) {
          return arith::AddFOp::create(b, loc, arguments[1], arguments[0])
              .getResult();
        }));
  // The largest quotient; rows that are 0 have none.
  numbers.push_back(reduce({sums[0], sums[1]}, [](OpBuilder &b, Location loc,
                                                  ValueRange arguments) {
    Value zero = arith::ConstantOp::create(b, loc, b.getF64FloatAttr(0));
    Value quotient = arith::DivFOp::create(b, loc, arguments[0], arguments[1]);
    auto greater = [&](Value left, Value right) {
      return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, left,
                                   right)
          .getResult();
    };
    Value isLarger = arith::AndIOp::create(b, loc, greater(arguments[1], zero),
                                           greater(quotient, arguments[2]));
    return arith::SelectOp::create(b, loc, isLarger, quotient, arguments[2])
        .getResult();
  }));
  for (Value &number : numbers)
    number = tensor::ExtractOp::create(b, loc, number, ValueRange());
  auto type = RankedTensorType::get({int64_t(numbers.size())}, b.getF64Type());
  Value output = tensor::FromElementsOp::create(b, loc, type, numbers);
  layer.output = "gatecc.layer" + std::to_string(number);
  (void)function.insertResult(
      end->getNumOperands(), type,
      b.getDictionaryAttr(
          {b.getNamedAttr("gate.name", b.getStringAttr(layer.output)),
           b.getNamedAttr("gate.dims",
                          b.getI64ArrayAttr({int64_t(numbers.size())}))}));
  end->insertOperands(end->getNumOperands(), output);
}

LayerPrecision LayerInstrumenter::run() {
  if (auto site = decision->getAttrOfType<FlatSymbolRefAttr>("site"))
    if (auto op =
            SymbolTable::lookupNearestSymbolFrom<gate::SiteOp>(decision, site))
      layer.name = op.getName().str();
  if (layer.name.empty())
    layer.name = "layer " + std::to_string(number);
  if (!collect() || !checkParents()) {
    decision->setAttr(gate::kExactExperts, b.getUnitAttr());
    return layer;
  }
  SmallVector<ApplyOp> parents;
  for (Operation *op = decision->getParentOp(); !isa<func::FuncOp>(op);
       op = op->getParentOp())
    parents.push_back(cast<ApplyOp>(op));
  computeTwice();
  for (ApplyOp apply : parents)
    leaveApply(apply);
  returnSums();
  return layer;
}

} // namespace

PrecisionReport gatecc::instrumentLayers(ModuleOp module) {
  PrecisionReport report;
  SmallVector<Operation *> decisions;
  module.walk([&](Operation *op) {
    if (isa<gate::RouteOp, gate::AssignOp>(op))
      decisions.push_back(op);
  });
  for (auto [number, decision] : llvm::enumerate(decisions))
    report.layers.push_back(LayerInstrumenter(decision, number).run());
  return report;
}

/// The precision of weights, however they lie in memory.
static StringRef precisionOf(gate::PanelFormat format) {
  switch (format) {
  case gate::PanelFormat::Plain:
    return "f32";
  case gate::PanelFormat::F16:
    return "f16";
  case gate::PanelFormat::Bf16:
  case gate::PanelFormat::Bf16Pairs:
  case gate::PanelFormat::Bf16Tiles:
    return "bf16";
  case gate::PanelFormat::Int8:
  case gate::PanelFormat::Int8Quads:
    return "int8";
  case gate::PanelFormat::Int4:
    return "int4";
  }
  llvm_unreachable("all formats are above");
}

void gatecc::countWeights(ModuleOp module, PrecisionReport &report) {
  SymbolTable symbols(module);
  auto isOf = [&](const LayerPrecision &layer, Attribute source) {
    auto symbol = cast<FlatSymbolRefAttr>(source);
    if (layer.weights.contains(symbol))
      return true;
    auto weight = symbols.lookup<gate::WeightOp>(symbol.getValue());
    return weight && weight.getValueAttr() &&
           layer.weights.contains(weight.getValueAttr());
  };
  for (auto packed : module.getOps<gate::PackedWeightOp>())
    for (LayerPrecision &layer : report.layers) {
      if (!llvm::any_of(packed.getSources(),
                        [&](Attribute source) { return isOf(layer, source); }))
        continue;
      auto type = cast<RankedTensorType>(packed.getType());
      layer.weightBytes +=
          uint64_t(type.getNumElements()) * (type.getElementTypeBitWidth() / 8);
      layer.block = packed.getBlock();
      layer.format = precisionOf(packed.getFormat()).str();
    }
}
