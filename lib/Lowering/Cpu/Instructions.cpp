// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The ops that are one instruction each: as that instruction, or as others with
// the same result, bit for bit. Tests run the code of CPUs that are not at hand
// in this second form.
#include "lib/Lowering/Cpu/Instructions.h"

#include "dialects/Gate/IR/GateOps.h"

#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace gatecc;

namespace {

/// x86 has an instruction for it on all its vectors.
Value addPairs(OpBuilder &builder, Location loc, Value a, Value b, Value sum) {
  int64_t bits = cast<VectorType>(sum.getType()).getDimSize(0) * 32;
  StringRef name = bits == 512   ? "llvm.x86.avx512.pmaddw.d.512"
                   : bits == 256 ? "llvm.x86.avx2.pmadd.wd"
                                 : "llvm.x86.sse2.pmadd.wd";
  Value products = LLVM::CallIntrinsicOp::create(builder, loc, sum.getType(),
                                                 builder.getStringAttr(name),
                                                 ValueRange{a, b})
                       .getResult(0);
  return LLVM::AddOp::create(builder, loc, products, sum);
}

struct DotPairsPattern : ConvertOpToLLVMPattern<gate::DotPairsOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult
  matchAndRewrite(gate::DotPairsOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    rewriter.replaceOp(op, addPairs(rewriter, op.getLoc(), adaptor.getA(),
                                    adaptor.getB(), adaptor.getAcc()));
    return success();
  }
};

struct DotBytesPattern : ConvertOpToLLVMPattern<gate::DotBytesOp> {
  DotBytesPattern(const LLVMTypeConverter &converter, bool vnni)
      : ConvertOpToLLVMPattern(converter), vnni(vnni) {}
  LogicalResult
  matchAndRewrite(gate::DotBytesOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value a = adaptor.getA(), b = adaptor.getB(), sum = adaptor.getAcc();
    int64_t lanes = cast<VectorType>(sum.getType()).getDimSize(0);
    if (vnni) {
      StringRef name = lanes == 16  ? "llvm.x86.avx512.vpdpbusd.512"
                       : lanes == 8 ? "llvm.x86.avx512.vpdpbusd.256"
                                    : "llvm.x86.avx512.vpdpbusd.128";
      rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(
          op, sum.getType(), rewriter.getStringAttr(name),
          ValueRange{sum, a, b});
      return success();
    }
    // The even bytes of pairs and the odd ones, as 16 bits.
    auto pairs = VectorType::get({2 * lanes}, rewriter.getI16Type());
    a = LLVM::BitcastOp::create(rewriter, loc, pairs, a);
    b = LLVM::BitcastOp::create(rewriter, loc, pairs, b);
    auto constant = [&](int16_t value) -> Value {
      return LLVM::ConstantOp::create(rewriter, loc, pairs,
                                      DenseElementsAttr::get(pairs, value));
    };
    Value eight = constant(8);
    Value evenB = LLVM::AShrOp::create(
        rewriter, loc, LLVM::ShlOp::create(rewriter, loc, b, eight), eight);
    Value oddB = LLVM::AShrOp::create(rewriter, loc, b, eight);
    Value evenA = LLVM::AndOp::create(rewriter, loc, a, constant(0xff));
    Value oddA = LLVM::LShrOp::create(rewriter, loc, a, eight);
    sum = addPairs(rewriter, loc, evenA, evenB, sum);
    rewriter.replaceOp(op, addPairs(rewriter, loc, oddA, oddB, sum));
    return success();
  }

private:
  bool vnni;
};

struct MultiplyBytesPattern : ConvertOpToLLVMPattern<gate::MultiplyBytesOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult
  matchAndRewrite(gate::MultiplyBytesOp op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Type sums = getTypeConverter()->convertType(op.getResult().getType());
    int64_t bits = cast<VectorType>(sums).getDimSize(0) * 16;
    StringRef name = bits == 512   ? "llvm.x86.avx512.pmaddubs.w.512"
                     : bits == 256 ? "llvm.x86.avx2.pmadd.ub.sw"
                                   : "llvm.x86.ssse3.pmadd.ub.sw.128";
    rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(
        op, sums, rewriter.getStringAttr(name),
        ValueRange{adaptor.getA(), adaptor.getB()});
    return success();
  }
};

struct DotBf16Pattern : ConvertOpToLLVMPattern<gate::DotBf16Op> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult
  matchAndRewrite(gate::DotBf16Op op, OpAdaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    int64_t lanes = op.getAcc().getType().getDimSize(0);
    std::string name =
        "llvm.x86.avx512bf16.dpbf16ps." + std::to_string(32 * lanes);
    rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(
        op, adaptor.getAcc().getType(), rewriter.getStringAttr(name),
        ValueRange{adaptor.getAcc(), adaptor.getA(), adaptor.getB()});
    return success();
  }
};

//===---------------- The tile registers of AMX ----------------===//

Value registerNumber(OpBuilder &b, Location loc, int64_t number) {
  return LLVM::ConstantOp::create(b, loc, b.getI8Type(),
                                  b.getI8IntegerAttr(number));
}

void callAmx(OpBuilder &b, Location loc, StringRef name, ValueRange arguments) {
  LLVM::CallIntrinsicOp::create(
      b, loc, b.getStringAttr(("llvm.x86." + name).str()), arguments);
}

struct AmxConfigurePattern : ConvertOpToLLVMPattern<gate::AmxConfigureOp> {
  AmxConfigurePattern(const LLVMTypeConverter &converter,
                      SymbolTableCollection &tables)
      : ConvertOpToLLVMPattern(converter), tables(tables) {}
  LogicalResult
  matchAndRewrite(gate::AmxConfigureOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    // Palette 1; from byte 16 on the bytes of the rows of each register, from
    // byte 48 on the numbers of its rows.
    std::string bytes(64, '\0');
    bytes[0] = 1;
    for (int i = 0; i < 8; ++i) {
      bytes[16 + 2 * i] = 64;
      bytes[48 + i] = 16;
    }
    StringRef name = "gatecc_amx_configuration";
    SymbolTable &symbols =
        tables.getSymbolTable(op->getParentOfType<ModuleOp>());
    if (!symbols.lookup(name)) {
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPointToStart(
          op->getParentOfType<ModuleOp>().getBody());
      symbols.insert(LLVM::GlobalOp::create(
          rewriter, loc,
          LLVM::LLVMArrayType::get(rewriter.getI8Type(), bytes.size()),
          /*isConstant=*/true, LLVM::Linkage::Internal, name,
          rewriter.getStringAttr(bytes), /*alignment=*/64));
    }
    Type pointer = LLVM::LLVMPointerType::get(getContext());
    callAmx(
        rewriter, loc, "ldtilecfg",
        LLVM::AddressOfOp::create(rewriter, loc, pointer, name).getResult());
    rewriter.eraseOp(op);
    return success();
  }

private:
  SymbolTableCollection &tables;
};

struct AmxReleasePattern : ConvertOpToLLVMPattern<gate::AmxReleaseOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult
  matchAndRewrite(gate::AmxReleaseOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    callAmx(rewriter, op.getLoc(), "tilerelease", {});
    rewriter.eraseOp(op);
    return success();
  }
};

struct AmxZeroPattern : ConvertOpToLLVMPattern<gate::AmxZeroOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult
  matchAndRewrite(gate::AmxZeroOp op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    callAmx(rewriter, op.getLoc(), "tilezero",
            registerNumber(rewriter, op.getLoc(), op.getNumber()));
    rewriter.eraseOp(op);
    return success();
  }
};

template <typename Op> struct AmxMovePattern : ConvertOpToLLVMPattern<Op> {
  AmxMovePattern(const LLVMTypeConverter &converter, StringRef name)
      : ConvertOpToLLVMPattern<Op>(converter), name(name) {}
  LogicalResult
  matchAndRewrite(Op op, typename Op::Adaptor adaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    MemRefType type = op.getBuffer().getType();
    Value address = this->getStridedElementPtr(
        rewriter, loc, type, adaptor.getBuffer(), adaptor.getIndices());
    Type index = adaptor.getStride().getType();
    Value bytes = LLVM::ConstantOp::create(
        rewriter, loc, index,
        rewriter.getIntegerAttr(index, type.getElementTypeBitWidth() / 8));
    Value stride =
        LLVM::MulOp::create(rewriter, loc, adaptor.getStride(), bytes);
    callAmx(rewriter, loc, name,
            {registerNumber(rewriter, loc, op.getNumber()), address, stride});
    rewriter.eraseOp(op);
    return success();
  }

private:
  StringRef name;
};

struct AmxDotBf16Pattern : ConvertOpToLLVMPattern<gate::AmxDotBf16Op> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;
  LogicalResult
  matchAndRewrite(gate::AmxDotBf16Op op, OpAdaptor,
                  ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    callAmx(rewriter, loc, "tdpbf16ps",
            {registerNumber(rewriter, loc, op.getAcc()),
             registerNumber(rewriter, loc, op.getA()),
             registerNumber(rewriter, loc, op.getB())});
    rewriter.eraseOp(op);
    return success();
  }
};

//===---------------- Without the instruction ----------------===//

Value splat(ImplicitLocOpBuilder &b, VectorType type, int32_t value) {
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, value));
}

VectorType wordsOf(ImplicitLocOpBuilder &b, Value x) {
  return VectorType::get(cast<VectorType>(x.getType()).getShape(),
                         b.getI32Type());
}

/// Subnormal numbers as zeros of their sign.
Value flush(ImplicitLocOpBuilder &b, Value x) {
  VectorType words = wordsOf(b, x);
  Value bits = arith::BitcastOp::create(b, words, x);
  Value exponent = arith::AndIOp::create(b, bits, splat(b, words, 0x7f800000));
  Value isSmall = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, exponent,
                                        splat(b, words, 0));
  Value sign = arith::AndIOp::create(b, bits, splat(b, words, INT32_MIN));
  return arith::BitcastOp::create(
      b, x.getType(), arith::SelectOp::create(b, isSmall, sign, bits));
}

/// The upper or the lower bf16 of each word, as numbers.
Value half(ImplicitLocOpBuilder &b, Value words, bool upper) {
  auto type = cast<VectorType>(words.getType());
  Value bits =
      upper
          ? arith::AndIOp::create(b, words, splat(b, type, ~0xffff)).getResult()
          : arith::ShLIOp::create(b, words, splat(b, type, 16)).getResult();
  return flush(b,
               arith::BitcastOp::create(
                   b, VectorType::get(type.getShape(), b.getF32Type()), bits));
}

Value addProduct(ImplicitLocOpBuilder &b, Value x, Value y, Value sum) {
  return flush(b, math::FmaOp::create(b, x, y, sum));
}

struct ExpandDotBf16 : OpRewritePattern<gate::DotBf16Op> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(gate::DotBf16Op op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    VectorType words = wordsOf(b, op.getAcc());
    Value x = vector::BitCastOp::create(b, words, op.getA());
    Value y = vector::BitCastOp::create(b, words, op.getB());
    Value sum = flush(b, op.getAcc());
    for (bool upper : {true, false})
      sum = addProduct(b, half(b, x, upper), half(b, y, upper), sum);
    rewriter.replaceOp(op, sum);
    return success();
  }
};

template <typename Op> struct EraseOp : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    rewriter.eraseOp(op);
    return success();
  }
};

/// Rows of the image of the registers, which are 16 words.
struct ImageRows {
  explicit ImageRows(ImplicitLocOpBuilder &b)
      : b(b), words(VectorType::get({16}, b.getI32Type())),
        numbers(VectorType::get({16}, b.getF32Type())) {}

  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  Value load(Value image, int64_t number, Value row) {
    return vector::LoadOp::create(b, words, image,
                                  ValueRange{index(number), row, index(0)});
  }
  void store(Value value, Value image, int64_t number, Value row) {
    vector::StoreOp::create(b, value, image,
                            ValueRange{index(number), row, index(0)});
  }
  /// Loops over 16 rows, or pairs of rows of K.
  scf::ForOp begin(ValueRange carried = {}) {
    auto loop = scf::ForOp::create(b, index(0), index(16), index(1), carried);
    b.setInsertionPointToStart(loop.getBody());
    return loop;
  }

  ImplicitLocOpBuilder &b;
  VectorType words, numbers;
};

struct ExpandAmxZero : OpRewritePattern<gate::AmxZeroOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(gate::AmxZeroOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    ImageRows rows(b);
    scf::ForOp loop = rows.begin();
    rows.store(splat(b, rows.words, 0), op.getImage(), op.getNumber(),
               loop.getInductionVar());
    rewriter.eraseOp(op);
    return success();
  }
};

template <typename Op> struct ExpandAmxMove : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    ImageRows rows(b);
    Value buffer = op.getBuffer();
    MemRefType type = op.getBuffer().getType();
    auto line = VectorType::get({512 / type.getElementTypeBitWidth()},
                                type.getElementType());
    SmallVector<Value> at(op.getIndices());
    Value row = rows.begin().getInductionVar();
    at.back() = arith::AddIOp::create(
        b, at.back(), arith::MulIOp::create(b, row, op.getStride()));
    if (std::is_same_v<Op, gate::AmxLoadOp>)
      rows.store(
          vector::BitCastOp::create(
              b, rows.words, vector::LoadOp::create(b, line, buffer, at)),
          op.getImage(), op.getNumber(), row);
    else
      vector::StoreOp::create(
          b,
          vector::BitCastOp::create(
              b, line, rows.load(op.getImage(), op.getNumber(), row)),
          buffer, at);
    rewriter.eraseOp(op);
    return success();
  }
};

struct ExpandAmxDotBf16 : OpRewritePattern<gate::AmxDotBf16Op> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(gate::AmxDotBf16Op op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    ImageRows rows(b);
    Value image = op.getImage();
    Value m = rows.begin().getInductionVar();
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(rows.numbers));
    scf::ForOp loop = rows.begin({zero, zero});
    Value k = loop.getInductionVar();
    Value word = memref::LoadOp::create(
        b, image, ValueRange{rows.index(op.getA()), m, k});
    Value x = vector::BroadcastOp::create(b, rows.words, word);
    Value y = rows.load(image, op.getB(), k);
    SmallVector<Value> sums;
    for (auto [upper, sum] : llvm::enumerate(loop.getRegionIterArgs()))
      sums.push_back(addProduct(b, half(b, x, upper), half(b, y, upper), sum));
    scf::YieldOp::create(b, sums);
    b.setInsertionPointAfter(loop);
    Value both = flush(
        b, arith::AddFOp::create(b, loop.getResult(0), loop.getResult(1)));
    Value before = arith::BitcastOp::create(b, rows.numbers,
                                            rows.load(image, op.getAcc(), m));
    Value sum = flush(b, arith::AddFOp::create(b, flush(b, before), both));
    rows.store(arith::BitcastOp::create(b, rows.words, sum), image, op.getAcc(),
               m);
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace

void gatecc::populateInstructionExpansions(RewritePatternSet &patterns,
                                           const Instructions &target) {
  MLIRContext *context = patterns.getContext();
  if (!target.bf16)
    patterns.add<ExpandDotBf16>(context);
  if (!target.amx)
    patterns.add<EraseOp<gate::AmxConfigureOp>, EraseOp<gate::AmxReleaseOp>,
                 ExpandAmxZero, ExpandAmxMove<gate::AmxLoadOp>,
                 ExpandAmxMove<gate::AmxStoreOp>, ExpandAmxDotBf16>(context);
}

void gatecc::populateInstructionConversions(const LLVMTypeConverter &converter,
                                            RewritePatternSet &patterns,
                                            SymbolTableCollection &tables,
                                            const Instructions &target) {
  patterns.add<DotBytesPattern>(converter, target.vnni);
  patterns.add<DotPairsPattern, MultiplyBytesPattern>(converter);
  if (target.bf16)
    patterns.add<DotBf16Pattern>(converter);
  if (!target.amx)
    return;
  patterns.add<AmxConfigurePattern>(converter, tables);
  patterns.add<AmxReleasePattern, AmxZeroPattern, AmxDotBf16Pattern>(converter);
  patterns.add<AmxMovePattern<gate::AmxLoadOp>>(converter, "tileloadd64");
  patterns.add<AmxMovePattern<gate::AmxStoreOp>>(converter, "tilestored64");
}
