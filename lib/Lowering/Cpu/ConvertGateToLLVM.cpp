// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Converts the kernel level to the LLVM dialect: gate's buffers become
// addresses in the frame, launches become calls of the task pool with a
// closure on the stack, runtime calls become calls.
// The layout of the frame is that of `gatecc_frame` in runtime/program.h.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"
#include "lib/Lowering/Cpu/DecidedOutput.h"
#include "lib/Lowering/Cpu/Instructions.h"

#include "mlir/Conversion/AffineToStandard/AffineToStandard.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MathToLibm/MathToLibm.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/FunctionCallUtils.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/Support/xxhash.h"

namespace gatecc {
#define GEN_PASS_DEF_CONVERTGATETOLLVM
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

/// Fields of gatecc_frame, in pointers from its start.
enum FrameField { Context, Weights, Arena, Symbols, Inputs, Outputs };

Value loadField(OpBuilder &b, Location loc, Value frame, int32_t field) {
  Type pointer = frame.getType();
  Value address = LLVM::GEPOp::create(b, loc, pointer, pointer, frame,
                                      ArrayRef<LLVM::GEPArg>{field});
  return LLVM::LoadOp::create(b, loc, pointer, address);
}

/// The frame is the first argument of the function that `op` is in.
Value getFrame(Operation *op) {
  if (auto function = op->getParentOfType<LLVM::LLVMFuncOp>())
    return function.getArgument(0);
  return op->getParentOfType<func::FuncOp>().getArgument(0);
}

/// The function of the run-time library, in the module of `user`. A table finds
/// it in a module of any size.
FailureOr<LLVM::LLVMFuncOp> declare(SymbolTableCollection &tables,
                                    OpBuilder &builder, Operation *user,
                                    StringRef name, ArrayRef<Type> arguments,
                                    Type result) {
  return LLVM::lookupOrCreateFn(builder, user->getParentOfType<ModuleOp>(),
                                name, arguments, result, /*isVarArg=*/false,
                                /*isReserved=*/false, &tables);
}

template <typename Op> struct BufferPattern : ConvertOpToLLVMPattern<Op> {
  using ConvertOpToLLVMPattern<Op>::ConvertOpToLLVMPattern;

  /// A descriptor of `type` at `address`, identity layout.
  Value describe(ConversionPatternRewriter &rewriter, Location loc,
                 MemRefType type, Value address,
                 ValueRange dynamicSizes) const {
    SmallVector<Value> sizes, strides;
    Value bytes;
    this->getMemRefDescriptorSizes(loc, type, dynamicSizes, rewriter, sizes,
                                   strides, bytes);
    return this->createMemRefDescriptor(loc, type, address, address, sizes,
                                        strides, rewriter);
  }
  Value advance(ConversionPatternRewriter &rewriter, Location loc, Value base,
                Value bytes) const {
    return LLVM::GEPOp::create(rewriter, loc, base.getType(),
                               rewriter.getI8Type(), base,
                               ArrayRef<LLVM::GEPArg>{bytes});
  }
};

struct SymbolPattern : BufferPattern<gate::SymbolOp> {
  using BufferPattern::BufferPattern;
  LogicalResult
  matchAndRewrite(gate::SymbolOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Value symbols =
        loadField(rewriter, op.getLoc(), adaptor.getFrame(), Symbols);
    Value address = LLVM::GEPOp::create(
        rewriter, op.getLoc(), symbols.getType(), getIndexType(), symbols,
        ArrayRef<LLVM::GEPArg>{int32_t(op.getIndex())});
    rewriter.replaceOpWithNewOp<LLVM::LoadOp>(op, getIndexType(), address);
    return success();
  }
};

struct PortPattern : BufferPattern<gate::PortOp> {
  using BufferPattern::BufferPattern;
  LogicalResult
  matchAndRewrite(gate::PortOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Value table = loadField(rewriter, op.getLoc(), adaptor.getFrame(),
                            op.getOutput() ? Outputs : Inputs);
    Value address =
        loadField(rewriter, op.getLoc(), table, int32_t(op.getIndex()));
    rewriter.replaceOp(op, describe(rewriter, op.getLoc(),
                                    cast<MemRefType>(op.getType()), address,
                                    adaptor.getSizes()));
    return success();
  }
};

struct WeightBufferPattern : BufferPattern<gate::WeightBufferOp> {
  WeightBufferPattern(const LLVMTypeConverter &converter,
                      SymbolTableCollection &tables)
      : BufferPattern(converter), tables(tables) {}
  LogicalResult
  matchAndRewrite(gate::WeightBufferOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Operation *weight = tables.lookupNearestSymbolFrom(op, op.getWeightAttr());
    auto offset = weight ? weight->getAttrOfType<IntegerAttr>("gate.offset")
                         : IntegerAttr();
    if (!offset)
      return op.emitError("weight ")
             << op.getWeightAttr() << " has no place in the library";
    Value base = loadField(rewriter, op.getLoc(), adaptor.getFrame(), Weights);
    Value bytes = createIndexAttrConstant(rewriter, op.getLoc(), getIndexType(),
                                          offset.getInt());
    rewriter.replaceOp(
        op, describe(rewriter, op.getLoc(), cast<MemRefType>(op.getType()),
                     advance(rewriter, op.getLoc(), base, bytes), {}));
    return success();
  }

private:
  SymbolTableCollection &tables;
};

struct ArenaPattern : BufferPattern<gate::ArenaOp> {
  using BufferPattern::BufferPattern;
  LogicalResult
  matchAndRewrite(gate::ArenaOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Value base = loadField(rewriter, op.getLoc(), adaptor.getFrame(), Arena);
    Value address = advance(rewriter, op.getLoc(), base, adaptor.getOffset());
    rewriter.replaceOp(op, describe(rewriter, op.getLoc(),
                                    cast<MemRefType>(op.getType()), address,
                                    adaptor.getSizes()));
    return success();
  }
};

struct AllocatePattern : BufferPattern<gate::AllocateOp> {
  AllocatePattern(const LLVMTypeConverter &converter,
                  SymbolTableCollection &tables)
      : BufferPattern(converter), tables(tables) {}
  LogicalResult
  matchAndRewrite(gate::AllocateOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    auto output = op->getAttrOfType<IntegerAttr>(kOutputOfAllocate);
    FailureOr<Value> address =
        output ? takeOutput(op, output.getInt(), adaptor, rewriter)
               : take(op, adaptor, rewriter);
    if (failed(address))
      return failure();
    rewriter.replaceOp(op, describe(rewriter, op.getLoc(),
                                    cast<MemRefType>(op.getType()), *address,
                                    adaptor.getSizes()));
    return success();
  }

private:
  FailureOr<Value> take(gate::AllocateOp op, OpAdaptor adaptor,
                        ConversionPatternRewriter &rewriter) const {
    Location loc = op.getLoc();
    auto type = cast<MemRefType>(op.getType());
    Type pointer = LLVM::LLVMPointerType::get(getContext());
    // Saturates: a size that does not fit is out of memory.
    int64_t fixed = std::max<int64_t>(1, type.getElementTypeBitWidth() / 8);
    for (int64_t extent : type.getShape())
      if (!ShapedType::isDynamic(extent))
        fixed *= extent;
    Value bytes = LLVM::ConstantOp::create(rewriter, loc, getIndexType(),
                                           rewriter.getIndexAttr(fixed));
    Value scale = LLVM::ConstantOp::create(rewriter, loc, rewriter.getI32Type(),
                                           rewriter.getI32IntegerAttr(0));
    for (Value size : adaptor.getSizes())
      bytes = LLVM::CallIntrinsicOp::create(
                  rewriter, loc, getIndexType(),
                  rewriter.getStringAttr("llvm.umul.fix.sat.i64"),
                  ValueRange{bytes, size, scale})
                  .getResult(0);
    FailureOr<LLVM::LLVMFuncOp> callee =
        declare(tables, rewriter, op, "gatecc_take",
                {pointer, rewriter.getI64Type()}, pointer);
    if (failed(callee))
      return failure();
    return LLVM::CallOp::create(rewriter, loc, *callee,
                                ValueRange{adaptor.getFrame(), bytes})
        .getResult();
  }

  /// The memory of an output, whose shape is on the stack for the call.
  FailureOr<Value> takeOutput(gate::AllocateOp op, int64_t output,
                              OpAdaptor adaptor,
                              ConversionPatternRewriter &rewriter) const {
    Location loc = op.getLoc();
    auto type = cast<MemRefType>(op.getType());
    Type pointer = LLVM::LLVMPointerType::get(getContext()),
         i64 = rewriter.getI64Type();
    auto number = [&](int64_t value) -> Value {
      return LLVM::ConstantOp::create(rewriter, loc, i64,
                                      rewriter.getI64IntegerAttr(value));
    };
    Value shape =
        LLVM::AllocaOp::create(rewriter, loc, pointer, i64,
                               number(std::max<int64_t>(type.getRank(), 1)));
    unsigned next = 0;
    for (auto [d, extent] : llvm::enumerate(type.getShape())) {
      Value address = LLVM::GEPOp::create(rewriter, loc, pointer, i64, shape,
                                          ArrayRef<LLVM::GEPArg>{int32_t(d)});
      Value size = ShapedType::isDynamic(extent) ? adaptor.getSizes()[next++]
                                                 : number(extent);
      LLVM::StoreOp::create(rewriter, loc, size, address);
    }
    FailureOr<LLVM::LLVMFuncOp> callee =
        declare(tables, rewriter, op, "gatecc_take_output",
                {pointer, i64, pointer}, pointer);
    if (failed(callee))
      return failure();
    return LLVM::CallOp::create(
               rewriter, loc, *callee,
               ValueRange{adaptor.getFrame(), number(output), shape})
        .getResult();
  }

  SymbolTableCollection &tables;
};

struct CheckPattern : ConvertOpToLLVMPattern<gate::CheckOp> {
  CheckPattern(const LLVMTypeConverter &converter,
               SymbolTableCollection &tables)
      : ConvertOpToLLVMPattern(converter), tables(tables) {}
  LogicalResult
  matchAndRewrite(gate::CheckOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto module = op->getParentOfType<ModuleOp>();
    Type pointer = LLVM::LLVMPointerType::get(getContext()),
         i64 = rewriter.getI64Type();
    FailureOr<LLVM::LLVMFuncOp> callee = declare(
        tables, rewriter, op, "gatecc_fail_check", {pointer, pointer, i64, i64},
        LLVM::LLVMVoidType::get(getContext()));
    if (failed(callee))
      return failure();
    // One global for each text.
    std::string text = op.getMessage().str() + '\0';
    std::string name =
        "gatecc_message_" + std::to_string(llvm::xxh3_64bits(text));
    SymbolTable &symbols = tables.getSymbolTable(module);
    if (!symbols.lookup(name)) {
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPointToStart(module.getBody());
      symbols.insert(LLVM::GlobalOp::create(
          rewriter, loc,
          LLVM::LLVMArrayType::get(rewriter.getI8Type(), text.size()),
          /*isConstant=*/true, LLVM::Linkage::Internal, name,
          rewriter.getStringAttr(text)));
    }
    Value frame = getFrame(op);
    Block *before = op->getBlock();
    Block *after = rewriter.splitBlock(before, std::next(op->getIterator()));
    Block *failed = rewriter.createBlock(after);
    SmallVector<Value> arguments{
        frame, LLVM::AddressOfOp::create(rewriter, loc, pointer, name)};
    llvm::append_range(arguments, adaptor.getValues());
    while (arguments.size() < 4)
      arguments.push_back(LLVM::ConstantOp::create(
          rewriter, loc, i64, rewriter.getI64IntegerAttr(0)));
    LLVM::CallOp::create(rewriter, loc, *callee, arguments);
    LLVM::BrOp::create(rewriter, loc, ValueRange{}, after);
    rewriter.setInsertionPointToEnd(before);
    LLVM::CondBrOp::create(rewriter, loc, adaptor.getCondition(), after,
                           failed);
    rewriter.eraseOp(op);
    return success();
  }

private:
  SymbolTableCollection &tables;
};

struct BoundPattern : ConvertOpToLLVMPattern<gate::BoundOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult
  matchAndRewrite(gate::BoundOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, adaptor.getValue());
    return success();
  }
};

struct RuntimeCallPattern : ConvertOpToLLVMPattern<gate::RuntimeCallOp> {
  RuntimeCallPattern(const LLVMTypeConverter &converter,
                     SymbolTableCollection &tables)
      : ConvertOpToLLVMPattern(converter), tables(tables) {}
  LogicalResult
  matchAndRewrite(gate::RuntimeCallOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Type pointer = LLVM::LLVMPointerType::get(getContext());
    SmallVector<Value> arguments;
    auto append = [&](Value original, Value converted) {
      while (llvm::is_contained(op.getNulls(), int64_t(arguments.size())))
        arguments.push_back(LLVM::ZeroOp::create(rewriter, loc, pointer));
      auto type = dyn_cast<MemRefType>(original.getType());
      if (!type) {
        arguments.push_back(converted);
        return;
      }
      MemRefDescriptor descriptor(converted);
      arguments.push_back(
          descriptor.bufferPtr(rewriter, loc, *getTypeConverter(), type));
    };
    for (auto [original, converted] :
         llvm::zip(op.getArguments(), adaptor.getArguments()))
      append(original, converted);
    for (auto [original, converted] :
         llvm::zip(op.getInits(), adaptor.getInits()))
      append(original, converted);
    while (llvm::is_contained(op.getNulls(), int64_t(arguments.size())))
      arguments.push_back(LLVM::ZeroOp::create(rewriter, loc, pointer));
    if (op.getFrame())
      arguments.insert(arguments.begin(), getFrame(op));
    SmallVector<Type> types(
        llvm::map_range(arguments, [](Value v) { return v.getType(); }));
    Type result = op.getScalar() ? Type(rewriter.getI64Type())
                                 : LLVM::LLVMVoidType::get(getContext());
    FailureOr<LLVM::LLVMFuncOp> callee =
        declare(tables, rewriter, op, op.getCallee(), types, result);
    if (failed(callee))
      return op.emitError("conflicting uses of ") << op.getCallee();
    auto call = LLVM::CallOp::create(rewriter, loc, *callee, arguments);
    rewriter.replaceOp(op, call.getResults());
    return success();
  }

private:
  SymbolTableCollection &tables;
};

/// What a closure holds of a buffer: its address and what its type leaves open.
SmallVector<Value> packBuffer(OpBuilder &b, Location loc, MemRefType type,
                              Value descriptor) {
  MemRefDescriptor buffer(descriptor);
  auto [strides, offset] = type.getStridesAndOffset();
  SmallVector<Value> fields{buffer.alignedPtr(b, loc)};
  if (ShapedType::isDynamic(offset))
    fields.push_back(buffer.offset(b, loc));
  for (int64_t d = 0; d < type.getRank(); ++d)
    if (type.isDynamicDim(d))
      fields.push_back(buffer.size(b, loc, d));
  for (int64_t d = 0; d < type.getRank(); ++d)
    if (!type.getLayout().isIdentity() && ShapedType::isDynamic(strides[d]))
      fields.push_back(buffer.stride(b, loc, d));
  return fields;
}

/// The arguments that stand for a buffer, from the fields that packBuffer has
/// made, which are taken off.
SmallVector<Value> unpackBuffer(OpBuilder &b, Location loc, MemRefType type,
                                ArrayRef<Value> &fields) {
  auto take = [&] {
    Value field = fields.front();
    fields = fields.drop_front();
    return field;
  };
  Type i64 = b.getI64Type();
  auto takeUnless = [&](int64_t known) -> Value {
    if (ShapedType::isDynamic(known))
      return take();
    return LLVM::ConstantOp::create(b, loc, i64, b.getI64IntegerAttr(known));
  };
  auto [strides, offset] = type.getStridesAndOffset();
  Value pointer = take(), begin = takeUnless(offset);
  SmallVector<Value> arguments{pointer, pointer, begin};
  SmallVector<Value> sizes, steps(type.getRank());
  for (int64_t size : type.getShape())
    sizes.push_back(takeUnless(size));
  for (int64_t d = type.getRank() - 1; d >= 0; --d)
    if (type.getLayout().isIdentity() && ShapedType::isDynamic(strides[d]))
      steps[d] = LLVM::MulOp::create(b, loc, steps[d + 1], sizes[d + 1]);
    else if (!ShapedType::isDynamic(strides[d]))
      steps[d] = takeUnless(strides[d]);
  for (Value &step : steps)
    if (!step)
      step = take();
  llvm::append_range(arguments, sizes);
  llvm::append_range(arguments, steps);
  return arguments;
}

struct LaunchPattern : ConvertOpToLLVMPattern<gate::LaunchOp> {
  LaunchPattern(const LLVMTypeConverter &converter,
                SymbolTableCollection &tables)
      : ConvertOpToLLVMPattern(converter), tables(tables) {}
  LogicalResult
  matchAndRewrite(gate::LaunchOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto module = op->getParentOfType<ModuleOp>();
    Type pointer = LLVM::LLVMPointerType::get(getContext());
    Type i64 = rewriter.getI64Type(),
         none = LLVM::LLVMVoidType::get(getContext());
    SmallVector<Value> values;
    for (auto [capture, value] :
         llvm::zip(op.getCaptures(), adaptor.getCaptures()))
      if (auto type = dyn_cast<MemRefType>(capture.getType()))
        llvm::append_range(values, packBuffer(rewriter, loc, type, value));
      else
        values.push_back(value);
    SmallVector<Type> types(
        llvm::map_range(values, [](Value v) { return v.getType(); }));
    auto closureType = LLVM::LLVMStructType::getLiteral(getContext(), types);

    std::string name = (op.getCallee() + "_entry").str();
    SymbolTable &symbols = tables.getSymbolTable(module);
    if (!symbols.lookup(name)) { // launched for the first time
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPointToEnd(module.getBody());
      auto entry = LLVM::LLVMFuncOp::create(
          rewriter, loc, name,
          LLVM::LLVMFunctionType::get(none, {pointer, i64}),
          LLVM::Linkage::Internal);
      symbols.insert(entry);
      Block *block = entry.addEntryBlock(rewriter);
      rewriter.setInsertionPointToStart(block);
      SmallVector<Value> loaded, arguments;
      for (auto [i, type] : llvm::enumerate(types)) {
        Value address = LLVM::GEPOp::create(
            rewriter, loc, pointer, closureType, block->getArgument(0),
            ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
        loaded.push_back(LLVM::LoadOp::create(rewriter, loc, type, address));
      }
      ArrayRef<Value> fields(loaded);
      for (Value capture : op.getCaptures())
        if (auto type = dyn_cast<MemRefType>(capture.getType())) {
          llvm::append_range(arguments,
                             unpackBuffer(rewriter, loc, type, fields));
        } else {
          arguments.push_back(fields.front());
          fields = fields.drop_front();
        }
      arguments.push_back(block->getArgument(1));
      LLVM::CallOp::create(rewriter, loc, TypeRange{}, op.getCallee(),
                           arguments);
      LLVM::ReturnOp::create(rewriter, loc, ValueRange{});
    }

    Value closure;
    {
      // In the entry block: a launch in a loop must not grow the stack.
      OpBuilder::InsertionGuard guard(rewriter);
      Operation *function = op->getParentOfType<LLVM::LLVMFuncOp>();
      if (!function)
        function = op->getParentOfType<func::FuncOp>();
      rewriter.setInsertionPointToStart(&function->getRegion(0).front());
      Value one = LLVM::ConstantOp::create(rewriter, loc, i64,
                                           rewriter.getI64IntegerAttr(1));
      closure =
          LLVM::AllocaOp::create(rewriter, loc, pointer, closureType, one);
    }
    // Closures of launches one after another share their place on the stack.
    LLVM::LifetimeStartOp::create(rewriter, loc, closure);
    for (auto [i, value] : llvm::enumerate(values)) {
      Value address =
          LLVM::GEPOp::create(rewriter, loc, pointer, closureType, closure,
                              ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
      LLVM::StoreOp::create(rewriter, loc, value, address);
    }
    Value entry = LLVM::AddressOfOp::create(rewriter, loc, pointer, name);
    FailureOr<LLVM::LLVMFuncOp> parallelFor =
        declare(tables, rewriter, op, "gatecc_parallel_for",
                {pointer, i64, pointer, pointer}, none);
    if (failed(parallelFor))
      return failure();
    LLVM::CallOp::create(
        rewriter, loc, *parallelFor,
        ValueRange{adaptor.getFrame(), adaptor.getCount(), entry, closure});
    LLVM::LifetimeEndOp::create(rewriter, loc, closure);
    rewriter.eraseOp(op);
    return success();
  }

private:
  SymbolTableCollection &tables;
};

/// Upstream's form of it (populateExpandStridedMetadataPatterns) derives the
/// extents from the source and allows one dynamic extent in a group.
struct ExpandShapePattern : OpRewritePattern<memref::ExpandShapeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(memref::ExpandShapeOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto source =
        memref::ExtractStridedMetadataOp::create(rewriter, loc, op.getSrc());
    SmallVector<OpFoldResult> sizes = op.getMixedOutputShape(), strides;
    SmallVector<OpFoldResult> sourceStrides =
        source.getConstifiedMixedStrides();
    AffineExpr a, b;
    bindSymbols(getContext(), a, b);
    // From the last extent of each group on, a step is that of what follows.
    strides.resize(sizes.size());
    for (auto [group, stride] :
         llvm::zip_equal(op.getReassociationIndices(), sourceStrides))
      for (int64_t dim : llvm::reverse(group)) {
        strides[dim] = stride;
        stride = affine::makeComposedFoldedAffineApply(rewriter, loc, a * b,
                                                       {stride, sizes[dim]});
      }
    // A source of rank 0 has no groups: its results are all of one element.
    for (OpFoldResult &stride : strides)
      if (!stride)
        stride = rewriter.getIndexAttr(1);
    rewriter.replaceOpWithNewOp<memref::ReinterpretCastOp>(
        op, op.getResultType(), source.getBaseBuffer(),
        source.getConstifiedMixedOffset(), sizes, strides);
    return success();
  }
};

struct ConvertGateToLLVMPass
    : public gatecc::impl::ConvertGateToLLVMBase<ConvertGateToLLVMPass> {
  using ConvertGateToLLVMBase::ConvertGateToLLVMBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<LLVM::LLVMDialect, cf::ControlFlowDialect,
                    affine::AffineDialect, arith::ArithDialect,
                    math::MathDialect, memref::MemRefDialect, scf::SCFDialect,
                    vector::VectorDialect>();
  }

  void runOnOperation() override {
    MLIRContext *context = &getContext();
    Instructions instructions{vnni, bf16, amx};
    {
      // Before upstream's patterns see what they take for their own.
      RewritePatternSet patterns(context);
      patterns.add<ExpandShapePattern>(context);
      if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
        return signalPassFailure();
    }
    {
      // What has no LLVM form of its own is first broken up on its own level.
      RewritePatternSet patterns(context);
      populateInstructionExpansions(patterns, instructions);
      memref::populateExpandStridedMetadataPatterns(patterns);
      populateAffineToStdConversionPatterns(patterns);
      arith::populateCeilFloorDivExpandOpsPatterns(patterns);
      vector::populateVectorMaskOpLoweringPatterns(patterns);
      vector::populateVectorMaskMaterializationPatterns(
          patterns,
          /*force32BitVectorIndices=*/true);
      vector::populateVectorBroadcastLoweringPatterns(patterns);
      if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
        return signalPassFailure();
    }
    LowerToLLVMOptions options(context);
    LLVMTypeConverter converter(context, options);
    RewritePatternSet patterns(context);
    patterns.add<SymbolPattern, PortPattern, ArenaPattern, BoundPattern>(
        converter);
    SymbolTableCollection tables;
    tables.getSymbolTable(getOperation());
    populateInstructionConversions(converter, patterns, tables, instructions);
    patterns.add<WeightBufferPattern, AllocatePattern, CheckPattern,
                 RuntimeCallPattern, LaunchPattern>(converter, tables);
    populateSCFToControlFlowConversionPatterns(patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    index::populateIndexToLLVMConversionPatterns(converter, patterns);
    // Instructions before calls: fma is one where the target has it. (The
    // approximation of log1p is inexact near 0.)
    populateMathToLLVMConversionPatterns(converter, patterns,
                                         /*approximateLog1p=*/false,
                                         /*benefit=*/2);
    populateMathToLibmConversionPatterns(patterns, /*benefit=*/1);
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns);
    populateFuncToLLVMConversionPatterns(converter, patterns);
    ub::populateUBToLLVMConversionPatterns(converter, patterns);
    LLVMConversionTarget target(*context);
    // Weights and sites stay: the library is written from them.
    target.addLegalOp<ModuleOp, gate::WeightOp, gate::PackedWeightOp,
                      gate::SiteOp>();
    if (failed(applyPartialConversion(getOperation(), target,
                                      std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
