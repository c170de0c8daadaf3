// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How the schedule ops of `gate` become ops on buffers: destination style, one
// buffer for each init; weights are read-only buffers of the library.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace gatecc;

namespace {

/// Replaces the tensors among `values` by their buffers.
LogicalResult toBuffers(SmallVectorImpl<Value> &values, RewriterBase &rewriter,
                        const BufferizationOptions &options,
                        const BufferizationState &state) {
  for (Value &value : values) {
    if (!isa<TensorType>(value.getType()))
      continue;
    FailureOr<Value> buffer = getBuffer(rewriter, value, options, state);
    if (failed(buffer))
      return failure();
    value = *buffer;
  }
  return success();
}

/// A contiguous copy of `buffer` where it is a strided view; else itself.
/// `rowsOnly` asks for contiguous rows, at any distance from each other.
Value makeContiguous(OpBuilder &builder, Location loc, Value buffer,
                     bool rowsOnly = false) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  if (!type || type.getRank() == 0 ||
      type.areTrailingDimsContiguous(rowsOnly ? 1 : type.getRank()))
    return buffer;
  SmallVector<Value> sizes;
  for (int64_t d = 0; d < type.getRank(); ++d)
    if (type.isDynamicDim(d))
      sizes.push_back(memref::DimOp::create(builder, loc, buffer, d));
  Value copy = memref::AllocOp::create(
      builder, loc, MemRefType::get(type.getShape(), type.getElementType()),
      sizes);
  memref::CopyOp::create(builder, loc, buffer, copy);
  return copy;
}

struct PackedContractModel
    : DstBufferizableOpInterfaceExternalModel<PackedContractModel,
                                              gate::PackedContractOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto contract = cast<gate::PackedContractOp>(op);
    SmallVector<Value> fixed{contract.getRows(), contract.getPacked(),
                             contract.getInit()};
    SmallVector<Value> optional, extras(contract.getExtras());
    if (contract.getOffsets())
      optional.push_back(contract.getOffsets());
    if (contract.getSource())
      optional.push_back(contract.getSource());
    if (contract.getRowScales())
      optional.push_back(contract.getRowScales());
    if (failed(toBuffers(fixed, rewriter, options, state)) ||
        failed(toBuffers(optional, rewriter, options, state)) ||
        failed(toBuffers(extras, rewriter, options, state)))
      return failure();
    Location loc = contract.getLoc();
    fixed[0] = makeContiguous(rewriter, loc, fixed[0], /*rowsOnly=*/true);
    fixed[1] = makeContiguous(rewriter, loc, fixed[1]);
    for (Value &buffer : optional)
      buffer = makeContiguous(rewriter, loc, buffer);
    for (Value &buffer : extras)
      buffer = makeContiguous(rewriter, loc, buffer, /*rowsOnly=*/true);
    auto *next = optional.begin();
    auto take = [&](Value old) { return old ? *next++ : Value(); };
    Value offsets = take(contract.getOffsets()),
          source = take(contract.getSource()),
          rowScales = take(contract.getRowScales());
    auto created = gate::PackedContractOp::create(
        rewriter, contract.getLoc(), Type(), fixed[0], fixed[1], offsets,
        source, rowScales, extras, fixed[2], contract.getExtents(),
        contract.getLanes(), contract.getFormat(), contract.getBlock(),
        contract.getZeros());
    created.getEpilogue().takeBody(contract.getEpilogue());
    replaceOpWithBufferizedValues(rewriter, op, fixed[2]);
    return success();
  }
};

struct RuntimeCallModel
    : DstBufferizableOpInterfaceExternalModel<RuntimeCallModel,
                                              gate::RuntimeCallOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    auto call = cast<gate::RuntimeCallOp>(op);
    return call.getUpdates() || !call.isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto call = cast<gate::RuntimeCallOp>(op);
    SmallVector<Value> arguments(call.getArguments()), inits(call.getInits());
    if (failed(toBuffers(arguments, rewriter, options, state)) ||
        failed(toBuffers(inits, rewriter, options, state)))
      return failure();
    // The library takes pointers. What it writes to a copy is copied back.
    for (Value &buffer : arguments)
      buffer = makeContiguous(rewriter, call.getLoc(), buffer);
    SmallVector<Value> destinations(inits);
    for (Value &buffer : inits)
      buffer = makeContiguous(rewriter, call.getLoc(), buffer);
    Type scalar = call.getScalar() ? call.getScalar().getType() : Type();
    auto created = gate::RuntimeCallOp::create(
        rewriter, call.getLoc(), TypeRange{}, scalar, call.getCallee(),
        arguments, inits, call.getNulls(), call.getFrame(), call.getUpdates());
    for (auto [copy, destination] : llvm::zip(inits, destinations))
      if (copy != destination)
        memref::CopyOp::create(rewriter, call.getLoc(), copy, destination);
    SmallVector<Value> results(destinations);
    if (scalar)
      results.push_back(created.getScalar());
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};

struct WeightValueModel
    : BufferizableOpInterface::ExternalModel<WeightValueModel,
                                             gate::WeightValueOp> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const AnalysisState &) const {
    return false;
  }
  bool bufferizesToMemoryWrite(Operation *, OpOperand &,
                               const AnalysisState &) const {
    return false;
  }
  AliasingValueList getAliasingValues(Operation *, OpOperand &,
                                      const AnalysisState &) const {
    return {};
  }
  bool isWritable(Operation *, Value, const AnalysisState &) const {
    return false;
  }

  FailureOr<BufferLikeType> getBufferType(Operation *op, Value value,
                                          const BufferizationOptions &,
                                          const BufferizationState &,
                                          SmallVector<Value> &) const {
    return cast<BufferLikeType>(getMemRefTypeWithStaticIdentityLayout(
        cast<TensorType>(value.getType())));
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &,
                          BufferizationState &) const {
    auto weight = cast<gate::WeightValueOp>(op);
    Value frame = op->getParentOfType<func::FuncOp>().getArgument(0);
    auto type = getMemRefTypeWithStaticIdentityLayout(
        cast<TensorType>(weight.getResult().getType()));
    replaceOpWithNewBufferizedOp<gate::WeightBufferOp>(
        rewriter, op, type, frame, weight.getWeightAttr());
    return success();
  }
};

} // namespace

void gatecc::registerBufferizableOpInterfaceModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, gate::GateDialect *) {
    gate::PackedContractOp::attachInterface<PackedContractModel>(*context);
    gate::RuntimeCallOp::attachInterface<RuntimeCallModel>(*context);
    gate::WeightValueOp::attachInterface<WeightValueModel>(*context);
  });
}
