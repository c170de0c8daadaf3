// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How the schedule ops of `gate` become ops on buffers: destination style, one
// buffer for each init; weights are read-only buffers of the library.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
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
    if (failed(toBuffers(fixed, rewriter, options, state)) ||
        failed(toBuffers(optional, rewriter, options, state)) ||
        failed(toBuffers(extras, rewriter, options, state)))
      return failure();
    auto created = gate::PackedContractOp::create(
        rewriter, contract.getLoc(), Type(), fixed[0], fixed[1],
        contract.getOffsets() ? optional.front() : Value(),
        contract.getSource() ? optional.back() : Value(), extras, fixed[2],
        contract.getExtents(), contract.getLanes());
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
    Type scalar = call.getScalar() ? call.getScalar().getType() : Type();
    auto created = gate::RuntimeCallOp::create(
        rewriter, call.getLoc(), TypeRange{}, scalar, call.getCallee(),
        arguments, inits, call.getNulls(), call.getFrame(), call.getUpdates());
    SmallVector<Value> results(inits);
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
