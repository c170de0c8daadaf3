// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gives each weight that code reads its place in the weight section.
#include "gatecc/Target/Weights.h"

#include "dialects/Gate/IR/GateOps.h"
#include "lib/Target/Cpu/WeightPlaces.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace gatecc;

static constexpr uint64_t kAlignment = 64;
static constexpr uint64_t kMaxBytes = uint64_t(1) << 46;

FailureOr<uint64_t> gatecc::weightBytes(Operation *op, RankedTensorType type) {
  std::optional<unsigned> element = weightElementBytes(type.getElementType());
  if (!element)
    return op->emitError("a weight has the element type ")
           << type.getElementType() << ", which cannot be stored";
  uint64_t bytes = *element;
  for (int64_t extent : type.getShape())
    if (extent < 0 || __builtin_mul_overflow(bytes, uint64_t(extent), &bytes) ||
        bytes > kMaxBytes)
      return op->emitError("a weight of type ") << type << " is too large";
  return bytes;
}

std::optional<unsigned> gatecc::weightElementBytes(Type type) {
  if (!type.isIntOrFloat())
    return std::nullopt;
  unsigned bits = type.getIntOrFloatBitWidth();
  if (bits == 1)
    return 1;
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
    return std::nullopt;
  return bits / 8;
}

static RankedTensorType typeOf(Operation *op) {
  if (auto weight = dyn_cast<gate::WeightOp>(op))
    return cast<RankedTensorType>(weight.getType());
  return cast<RankedTensorType>(cast<gate::PackedWeightOp>(op).getType());
}

/// What a weight holds; equal keys hold equal bytes.
static Attribute keyOf(Operation *op, SymbolTable &symbols) {
  Builder builder(op->getContext());
  SmallVector<Attribute> key{TypeAttr::get(typeOf(op))};
  auto addNamed = [&](StringRef name) {
    SmallVector<Attribute> parts;
    if (auto list = op->getAttrOfType<ArrayAttr>(name))
      for (auto part : list.getAsRange<FlatSymbolRefAttr>())
        parts.push_back(keyOf(symbols.lookup(part.getValue()), symbols));
    key.push_back(builder.getArrayAttr(parts));
  };
  if (isa<gate::PackedWeightOp>(op)) {
    for (const char *name : {"lanes", "format", "block", "zeros", "asymmetric",
                             "bits", "source_block", "depth"}) {
      Attribute part = op->getAttr(name);
      key.push_back(part ? part : builder.getUnitAttr());
    }
    for (const char *name : {"sources", "scales", "zero_points"})
      addNamed(name);
  } else {
    for (const char *name : {"file", "offset", "strides", "value"}) {
      Attribute part = op->getAttr(name);
      key.push_back(part ? part : builder.getUnitAttr());
    }
    addNamed("stack");
  }
  return builder.getArrayAttr(key);
}

FailureOr<uint64_t> gatecc::layoutWeights(ArrayRef<ModuleOp> modules) {
  llvm::DenseMap<Attribute, uint64_t> places;
  uint64_t end = 0;
  for (ModuleOp module : modules) {
    SymbolTable symbols(module);
    llvm::DenseSet<Attribute> live;
    module.walk([&](Operation *op) {
      if (auto value = dyn_cast<gate::WeightValueOp>(op))
        live.insert(value.getWeightAttr().getAttr());
      else if (auto buffer = dyn_cast<gate::WeightBufferOp>(op))
        live.insert(buffer.getWeightAttr().getAttr());
    });
    for (Operation &op : module.getOps()) {
      if (!isa<gate::WeightOp, gate::PackedWeightOp>(op) ||
          !live.contains(SymbolTable::getSymbolName(&op)))
        continue;
      FailureOr<uint64_t> bytes = weightBytes(&op, typeOf(&op));
      if (failed(bytes))
        return failure();
      auto [place, isNew] = places.try_emplace(keyOf(&op, symbols), end);
      op.setAttr(kWeightOffset,
                 Builder(op.getContext()).getI64IntegerAttr(place->second));
      if (!isNew)
        continue;
      end = llvm::alignTo(end + *bytes, kAlignment);
      if (end > kMaxBytes)
        return op.emitError("the weights are too large together");
    }
  }
  return end;
}

FailureOr<SmallVector<PlacedWeight>>
gatecc::collectPlacedWeights(ArrayRef<ModuleOp> modules) {
  SmallVector<PlacedWeight> placed;
  llvm::DenseMap<uint64_t, unsigned> known;
  for (ModuleOp module : modules) {
    for (Operation &op : module.getOps()) {
      if (!isa<gate::WeightOp, gate::PackedWeightOp>(op))
        continue;
      auto offset = op.getAttrOfType<IntegerAttr>(kWeightOffset);
      if (!offset)
        continue;
      FailureOr<uint64_t> bytes = weightBytes(&op, typeOf(&op));
      if (failed(bytes))
        return failure();
      int64_t begin = offset.getInt();
      if (begin < 0 || begin % kAlignment || uint64_t(begin) > kMaxBytes)
        return op.emitError("has gate.offset = ")
               << begin << ", which is no multiple of " << kAlignment
               << " in the weight section";
      auto [it, isNew] = known.try_emplace(begin, placed.size());
      if (isNew || placed[it->second].bytes == 0) {
        it->second = placed.size();
        placed.push_back({&op, uint64_t(begin), *bytes});
      }
    }
  }
  return placed;
}

FailureOr<uint64_t> gatecc::placedBytes(ArrayRef<ModuleOp> modules) {
  FailureOr<SmallVector<PlacedWeight>> placed = collectPlacedWeights(modules);
  if (failed(placed))
    return failure();
  uint64_t end = 0;
  for (const PlacedWeight &weight : *placed)
    end =
        std::max(end, llvm::alignTo(weight.offset + weight.bytes, kAlignment));
  return end;
}
