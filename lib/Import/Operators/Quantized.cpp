// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// com.microsoft.QMoE and MatMulNBits: weights of 4 or 8 bits with a scale for
// each block of a column. They stay integers in their file; gate.dequantize
// says what they mean.
#include "lib/Import/Operators/Experts.h"

#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// Integers [E, N, bytes of K], scales [E, N, J], and zero points [E, N, bytes
/// of J] and a bias [E, N] or null.
struct QuantizedProjection {
  Value values, scales, zeros, bias;
};

/// How the integers of one operator are laid out.
struct IntegerFormat {
  int64_t bits, block; // block 0: one scale for each whole column

  int64_t bytes(int64_t count) const {
    return llvm::divideCeil(count * bits, 8);
  }
  /// Blocks are multiples of 8, so that packing need not cut bytes.
  int64_t blockOf(int64_t k) const {
    return block ? block : llvm::alignTo(k, 8);
  }
  int64_t blocks(int64_t k) const { return llvm::divideCeil(k, blockOf(k)); }
};
} // namespace

static bool isByte(Type type) { return type.isUnsignedInteger(8); }

static Extents extents(ArrayRef<int64_t> shape) {
  return Extents(shape.begin(), shape.end());
}

/// Checks a constant operand; `wanted` are the shapes that it may have.
static LogicalResult checkConstant(GraphBuilder &g, Value value,
                                   const Twine &name,
                                   ArrayRef<Extents> wanted) {
  if (!g.isConstant(value))
    return g.fail(name + " are not constant; gatecc needs weights when it "
                         "compiles");
  Extents shape = g.shapeOf(value);
  if (llvm::is_contained(wanted, shape))
    return success();
  return g.fail(name + " have the shape " + g.text(shape) + ", expected " +
                g.text(wanted.front()));
}

static LogicalResult checkTypes(GraphBuilder &g, Value values, Value scales,
                                Value zeros, const Twine &name) {
  if (!isByte(elementOf(values)))
    return g.fail(name + " are not of type uint8");
  if (!elementOf(scales).isF32())
    return g.fail("the scales of " + name +
                  " are not of type float; other types are not supported");
  if (zeros && !isByte(elementOf(zeros)))
    return g.fail("the zero points of " + name +
                  " are not of type uint8; other types are not supported");
  return success();
}

/// The bytes of a constant as they lie in its file, or an empty vector.
static std::vector<uint8_t> readBytes(GraphBuilder &g, Value value) {
  std::vector<uint8_t> bytes;
  if (DenseElementsAttr known = g.constantValue(value)) {
    auto elements = known.getValues<uint8_t>();
    bytes.assign(elements.begin(), elements.end());
    return bytes;
  }
  auto use = value.getDefiningOp<gate::WeightValueOp>();
  auto weight =
      use ? g.getModule().lookupSymbol<gate::WeightOp>(use.getWeightAttr())
          : gate::WeightOp();
  if (!weight || !weight.getFile())
    return bytes;
  int64_t count = 1;
  auto shape = cast<RankedTensorType>(value.getType()).getShape();
  for (int64_t dim = int64_t(shape.size()) - 1; dim >= 0; --dim) {
    if (shape[dim] != 1 && (*weight.getStrides())[dim] != count)
      return bytes; // a view that is not contiguous
    count *= shape[dim];
  }
  auto file = llvm::MemoryBuffer::getFileSlice(*weight.getFile(), count,
                                               weight.getOffset());
  if (file)
    bytes.assign((*file)->getBufferStart(), (*file)->getBufferEnd());
  return bytes;
}

/// The zero points of whole columns, [E, bytes of N], one to a byte: [E, N, 1].
/// They are packed across columns, which no view of bytes can express, so that
/// those of 4 bits are read now.
static FailureOr<Value> zerosOfColumns(GraphBuilder &g, Value zeros,
                                       int64_t experts, int64_t n,
                                       int64_t bits) {
  if (bits == 8)
    return g.reshapeConstant(zeros, {experts, n, 1});
  std::vector<uint8_t> packed = readBytes(g, zeros);
  int64_t stride = llvm::divideCeil(n, 2);
  if (int64_t(packed.size()) != experts * stride)
    return g.fail("the zero points cannot be read");
  std::vector<uint8_t> result(experts * n);
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t c = 0; c < n; ++c)
      result[e * n + c] = (packed[e * stride + c / 2] >> (c % 2 * 4)) & 15;
  auto type = RankedTensorType::get(
      {experts, n, 1},
      IntegerType::get(g.getContext(), 8, IntegerType::Unsigned));
  return g.denseConstant(g.getNodeName().str() + ".zeros",
                         DenseElementsAttr::get(type, ArrayRef(result)));
}

static FailureOr<QuantizedProjection>
readProjection(GraphBuilder &g, const OperatorCall &call, unsigned weightIndex,
               unsigned zeroIndex, StringRef name, int64_t experts, int64_t n,
               int64_t k, const IntegerFormat &format) {
  QuantizedProjection result;
  result.values = call.operand(weightIndex);
  result.scales = call.operand(weightIndex + 1);
  result.bias = call.operand(weightIndex + 2);
  result.zeros = call.operand(zeroIndex);
  if (!result.scales)
    return g.fail(name + " have no scales");
  if (k < 1)
    return g.fail(name + " have no rows");
  if (failed(checkTypes(g, result.values, result.scales, result.zeros, name)))
    return failure();
  int64_t blocks = format.blocks(k);
  Extents whole = extents({experts, n}), each = extents({experts, n, blocks});
  if (failed(checkConstant(g, result.values, name,
                           extents({experts, n, format.bytes(k)}))))
    return failure();
  SmallVector<Extents> scaleShapes{each};
  if (!format.block)
    scaleShapes.insert(scaleShapes.begin(), whole);
  if (failed(checkConstant(g, result.scales, "the scales of " + name,
                           scaleShapes)))
    return failure();
  result.scales = g.reshapeConstant(result.scales, {experts, n, blocks});
  if (result.zeros) {
    Extents shape = format.block ? extents({experts, n, format.bytes(blocks)})
                                 : extents({experts, format.bytes(n)});
    if (failed(checkConstant(g, result.zeros, "the zero points of " + name,
                             shape)))
      return failure();
    if (!format.block) {
      FailureOr<Value> zeros =
          zerosOfColumns(g, result.zeros, experts, n, format.bits);
      if (failed(zeros))
        return failure();
      result.zeros = *zeros;
    }
  }
  if (result.bias && (failed(readBias(g, result.bias, name, experts, n))))
    return failure();
  if (result.bias && !elementOf(result.bias).isF32())
    return g.fail("the bias of " + name +
                  " is not of type float; other types are not supported");
  return result;
}

/// The weights [.., K, N] that the integers stand for, for use in products.
static FailureOr<Value> dequantize(GraphBuilder &g,
                                   const QuantizedProjection &from, int64_t k,
                                   const IntegerFormat &format) {
  if (!from.values || !from.scales)
    return g.fail("internal: no view of the quantised weights");
  OpBuilder &b = g.getBuilder();
  SmallVector<int64_t> shape(
      cast<RankedTensorType>(from.values.getType()).getShape().drop_back());
  shape.insert(shape.end() - 1, k);
  Value result = gate::DequantizeOp::create(
      b, g.getLoc(), RankedTensorType::get(shape, b.getF32Type()),
      g.asWeight(from.values), g.asWeight(from.scales),
      from.zeros ? g.asWeight(from.zeros) : Value(), format.bits,
      format.blockOf(k));
  g.setParam(result);
  return result;
}

/// Some of the columns.
static FailureOr<Projection> part(GraphBuilder &g,
                                  const QuantizedProjection &whole,
                                  RowsOfFc1 which, int64_t k,
                                  const IntegerFormat &format) {
  auto take = [&](Value value) -> Value {
    if (!value)
      return {};
    auto shape = cast<RankedTensorType>(value.getType()).getShape();
    SmallVector<int64_t> offsets(shape.size(), 0), steps(shape.size(), 1);
    SmallVector<int64_t> sizes(shape);
    offsets[1] = which.first;
    sizes[1] = which.count;
    steps[1] = which.step;
    return g.sliceConstant(value, offsets, sizes, steps);
  };
  QuantizedProjection taken{take(whole.values), take(whole.scales),
                            take(whole.zeros), take(whole.bias)};
  FailureOr<Value> weights = dequantize(g, taken, k, format);
  if (failed(weights))
    return failure();
  return Projection{*weights, taken.bias ? g.asWeight(taken.bias) : Value()};
}

static LogicalResult checkFormat(GraphBuilder &g, StringRef bitsName,
                                 const IntegerFormat &format) {
  if (format.bits != 4 && format.bits != 8)
    return g.fail(bitsName + " is " + Twine(format.bits) +
                  "; gatecc supports 4 and 8");
  if (format.block && (format.block < 16 || format.block > (int64_t(1) << 30) ||
                       !llvm::isPowerOf2_64(uint64_t(format.block))))
    return g.fail("block_size is " + Twine(format.block) +
                  "; expected a power of two of at least 16");
  return success();
}

OperatorResults gatecc::lowerQMoE(GraphBuilder &g, const OperatorCall &call) {
  FailureOr<Experts> experts = readExperts(g, call, 8);
  if (failed(experts))
    return failure();
  IntegerFormat format{call.integer("expert_weight_bits", 4),
                       call.integer("block_size", 0)};
  if (failed(checkFormat(g, "expert_weight_bits", format)))
    return failure();
  if (call.string("quant_type", "int") != "int")
    return g.fail("quant_type '" + call.string("quant_type", "int") +
                  "' is not supported; gatecc supports int");
  if (call.integer("weights_prepacked", -1) > 0)
    return g.fail("weights_prepacked is not supported; gatecc reads the raw "
                  "layout [E, N, K / pack]");
  for (unsigned index = 15; index < call.operands.size(); ++index)
    if (call.operand(index))
      return g.fail("input " + Twine(index) +
                    " is not supported: scales of fp4 and fp8 formats");
  Extents first = g.shapeOf(call.operand(2));
  if (first.size() != 3 || !first[1].isConstant() ||
      (experts->fusion && first[1].getConstant() % 2))
    return g.fail("expects fc1_experts_weights [E, N, K / pack], got " +
                  g.text(first));
  experts->inner = first[1].getConstant() / (experts->fusion ? 2 : 1);
  int64_t e = experts->experts, h = experts->hidden, i = experts->inner;
  auto fc1 = readProjection(g, call, 2, 11, "fc1_experts_weights", e,
                            first[1].getConstant(), h, format);
  if (failed(fc1))
    return failure();
  auto fc2 =
      readProjection(g, call, 5, 12, "fc2_experts_weights", e, h, i, format);
  if (failed(fc2))
    return failure();
  SmallVector<FailureOr<Projection>> parts;
  for (RowsOfFc1 which : partsOfFc1(*experts))
    parts.push_back(part(g, *fc1, which, h, format));
  if (call.operand(8)) {
    auto fc3 =
        readProjection(g, call, 8, 13, "fc3_experts_weights", e, i, h, format);
    if (failed(fc3))
      return failure();
    parts.push_back(part(g, *fc3, {0, i, 1}, h, format));
  }
  parts.push_back(part(g, *fc2, {0, h, 1}, i, format));
  SmallVector<Projection> projections;
  for (const FailureOr<Projection> &each : parts) {
    if (failed(each))
      return failure();
    projections.push_back(*each);
  }
  Value mixing = call.operand(14);
  Extents logitShape = g.shapeOf(call.operand(1));
  if (mixing && elementOf(mixing) != elementOf(call.operand(1)))
    return g.fail("expects router_weights of the logits' element type");
  if (mixing && g.shapeOf(mixing) != logitShape)
    return g.fail("expects router_weights of the logits' shape " +
                  g.text(logitShape) + ", got " + g.text(g.shapeOf(mixing)));
  // As ONNX Runtime's CPU kernel runs it: without router_weights the chosen
  // weights sum to 1, whatever normalize_routing_weights says. It leaves out
  // routes of weight up to 1e-8, here those are left out that are <= 0.
  return buildExperts(
      g, *experts,
      mixing ? gate::ScoreKind::Identity : gate::ScoreKind::SoftmaxSelected,
      mixing && call.integer("normalize_routing_weights", 0) != 0,
      call.operand(1), mixing, projections);
}

OperatorResults gatecc::lowerMatMulNBits(GraphBuilder &g,
                                         const OperatorCall &call) {
  Value rows = call.operand(0), bias = call.operand(5);
  IntegerFormat format{call.integer("bits", 4), call.integer("block_size", 0)};
  int64_t k = call.integer("K", 0), n = call.integer("N", 0);
  constexpr int64_t most = int64_t(1) << 40;
  if (k < 1 || n < 1 || k > most || n > most)
    return g.fail("expects the attributes K and N, at least 1, got " +
                  Twine(k) + " and " + Twine(n));
  if (failed(checkFormat(g, "bits", format)))
    return failure();
  if (!format.block)
    return g.fail("expects the attribute block_size");
  if (call.operand(4))
    return g.fail("g_idx is not supported: columns in another order than that "
                  "of their scales");
  if (failed(checkFloat(g, rows)))
    return failure();
  Extents shape = g.shapeOf(rows);
  if (shape.empty() || shape.back() != Extent(k))
    return g.fail("expects rows with K = " + Twine(k) + " columns, got " +
                  g.text(shape));
  QuantizedProjection weights{call.operand(1), call.operand(2), call.operand(3),
                              bias};
  if (failed(checkTypes(g, weights.values, weights.scales, weights.zeros,
                        "the weights")))
    return failure();
  if (!elementOf(rows).isF32())
    return g.fail("expects rows of type float");
  int64_t blocks = format.blocks(k), blob = format.bytes(format.block);
  int64_t zeroBytes = format.bytes(blocks);
  if (failed(checkConstant(
          g, weights.values, "the weights",
          {extents({n, blocks, blob}), extents({n, blocks * blob})})) ||
      failed(checkConstant(g, weights.scales, "the scales",
                           {extents({n, blocks}), extents({n * blocks})})))
    return failure();
  if (weights.zeros && failed(checkConstant(g, weights.zeros, "the zero points",
                                            {extents({n, zeroBytes}),
                                             extents({n * zeroBytes})})))
    return failure();
  // Blocks are whole in the file: a view leaves out what lies beyond K.
  weights.values = g.reshapeConstant(weights.values, {n, blocks * blob});
  if (weights.values)
    weights.values =
        g.sliceConstant(weights.values, {0, 0}, {n, format.bytes(k)}, {1, 1});
  weights.scales = g.reshapeConstant(weights.scales, {n, blocks});
  if (weights.zeros)
    weights.zeros = g.reshapeConstant(weights.zeros, {n, zeroBytes});
  FailureOr<Value> weight = dequantize(g, weights, k, format);
  if (failed(weight))
    return failure();
  FailureOr<Value> product = g.contract(rows, *weight);
  if (failed(product) || !bias)
    return one(product);
  if (g.shapeOf(bias) != extents({n}) || !elementOf(bias).isF32())
    return g.fail("expects a bias of type float with N = " + Twine(n) +
                  " elements");
  return one(g.elementwise({*product, bias}, elementOf(*product),
                           [](OpBuilder &at, Location loc, ValueRange x) {
                             return Scalars(at, loc).add(x[0], x[1]);
                           }));
}
