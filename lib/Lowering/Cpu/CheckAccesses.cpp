// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ends the process where the run leaves a buffer.
//   before: %x = vector.load %buffer[%i] : memref<?xf32>, vector<8xf32>
//   after:  scf.if (%i < 0 or %i + 8 > dim %buffer) { write, trap }
//           %x = vector.load ...
// Generated code has no bounds checks: every index is proven by how it was
// made, or checked where it comes from the input. This pass is how tests look
// for a proof that was wrong. No sanitizer sees such a mistake, because one
// buffer ends where another begins, in the arena and on the stack.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace gatecc {
#define GEN_PASS_DEF_CHECKACCESSES
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;

namespace {

/// A part of a buffer: in each dimension so many elements from an index on,
/// `step` apart.
struct Access {
  struct Range {
    OpFoldResult first, count, step;
  };
  Value buffer;
  SmallVector<Range> ranges;
  /// Which of the elements along the last dimension, or null for all.
  Value mask;
};

class CheckAccessesPass
    : public gatecc::impl::CheckAccessesBase<CheckAccessesPass> {
public:
  void runOnOperation() override;

private:
  std::optional<Access> getAccess(Operation *op);
  Value isOutside(ImplicitLocOpBuilder &b, const Access &access);
  void endProcess(ImplicitLocOpBuilder &b, Operation *op);

  unsigned numChecks = 0;
};

} // namespace

std::optional<Access> CheckAccessesPass::getAccess(Operation *op) {
  Builder b(&getContext());
  OpFoldResult one = b.getIndexAttr(1);
  auto access = [&](Value buffer, ValueRange indices, int64_t length,
                    Value mask = {}) {
    Access result{buffer, {}, mask};
    for (Value index : indices)
      result.ranges.push_back({index, one, one});
    if (!result.ranges.empty())
      result.ranges.back().count = b.getIndexAttr(length);
    return result;
  };
  if (auto load = dyn_cast<memref::LoadOp>(op))
    return access(load.getMemRef(), load.getIndices(), 1);
  if (auto store = dyn_cast<memref::StoreOp>(op))
    return access(store.getMemRef(), store.getIndices(), 1);
  if (auto load = dyn_cast<vector::LoadOp>(op))
    return access(load.getBase(), load.getIndices(),
                  load.getVectorType().getNumElements());
  if (auto store = dyn_cast<vector::StoreOp>(op))
    return access(store.getBase(), store.getIndices(),
                  store.getVectorType().getNumElements());
  if (auto load = dyn_cast<vector::MaskedLoadOp>(op))
    return access(load.getBase(), load.getIndices(),
                  load.getVectorType().getNumElements(), load.getMask());
  if (auto store = dyn_cast<vector::MaskedStoreOp>(op))
    return access(store.getBase(), store.getIndices(),
                  store.getVectorType().getNumElements(), store.getMask());
  if (auto view = dyn_cast<memref::SubViewOp>(op)) {
    Access result{view.getSource(), {}, {}};
    for (auto [first, count, step] :
         llvm::zip(view.getMixedOffsets(), view.getMixedSizes(),
                   view.getMixedStrides()))
      result.ranges.push_back({first, count, step});
    return result;
  }
  return std::nullopt;
}

Value CheckAccessesPass::isOutside(ImplicitLocOpBuilder &b,
                                   const Access &access) {
  using arith::CmpIPredicate;
  auto index = [&](OpFoldResult value) {
    return getValueOrCreateConstantIndexOp(b, b.getLoc(), value);
  };
  auto compare = [&](CmpIPredicate predicate, Value x, Value y) -> Value {
    return arith::CmpIOp::create(b, predicate, x, y);
  };
  auto isAny = [&](Value x, Value y) -> Value {
    return arith::OrIOp::create(b, x, y);
  };
  Value zero = index(b.getIndexAttr(0)), one = index(b.getIndexAttr(1));
  Value outside = arith::ConstantOp::create(b, b.getBoolAttr(false));
  Value isEmpty = outside;
  for (auto [axis, range] : llvm::enumerate(access.ranges)) {
    Value extent = memref::DimOp::create(b, access.buffer, axis);
    Value first = index(range.first), count = index(range.count);
    Value last = arith::AddIOp::create(
        b, first,
        arith::MulIOp::create(b, arith::SubIOp::create(b, count, one),
                              index(range.step)));
    outside = isAny(outside, compare(CmpIPredicate::slt, first, zero));
    isEmpty = isAny(isEmpty, compare(CmpIPredicate::sle, count, zero));
    bool isMasked = access.mask && axis + 1 == access.ranges.size();
    if (!isMasked) {
      outside = isAny(outside, compare(CmpIPredicate::sge, last, extent));
      continue;
    }
    // The number of an element is compared with the room that there is.
    auto type = VectorType::get(
        cast<VectorType>(access.mask.getType()).getShape(), b.getIndexType());
    SmallVector<int64_t> numbers =
        llvm::to_vector(llvm::seq<int64_t>(0, type.getNumElements()));
    Value lanes =
        arith::ConstantOp::create(b, DenseIntElementsAttr::get(type, numbers));
    Value room = vector::BroadcastOp::create(
        b, type, arith::SubIOp::create(b, extent, first));
    Value isBeyond = compare(CmpIPredicate::sge, lanes, room);
    outside =
        isAny(outside, vector::ReductionOp::create(
                           b, vector::CombiningKind::OR,
                           arith::AndIOp::create(b, access.mask, isBeyond)));
  }
  // A view of nothing may begin anywhere.
  Value isSome = arith::XOrIOp::create(
      b, isEmpty, arith::ConstantOp::create(b, b.getBoolAttr(true)));
  return arith::AndIOp::create(b, outside, isSome);
}

void CheckAccessesPass::endProcess(ImplicitLocOpBuilder &b, Operation *op) {
  ModuleOp module = getOperation();
  auto pointer = LLVM::LLVMPointerType::get(&getContext());
  // Of libc, libraries need little; this is a part of it.
  auto write = module.lookupSymbol<LLVM::LLVMFuncOp>("syscall");
  if (!write) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    write = LLVM::LLVMFuncOp::create(
        b, "syscall",
        LLVM::LLVMFunctionType::get(
            b.getI64Type(),
            {b.getI64Type(), b.getI64Type(), pointer, b.getI64Type()}));
  }
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << "gatecc: access outside of a buffer: " << op->getName() << " at "
         << op->getLoc() << '\n';
  std::string name = "access_outside_" + std::to_string(numChecks++);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    LLVM::GlobalOp::create(b,
                           LLVM::LLVMArrayType::get(b.getI8Type(), text.size()),
                           /*isConstant=*/true, LLVM::Linkage::Internal, name,
                           b.getStringAttr(text));
  }
  auto number = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, b.getI64Type(), value);
  };
  constexpr int64_t kWrite = 1, kStandardError = 2;
  LLVM::CallOp::create(b, write,
                       ValueRange{number(kWrite), number(kStandardError),
                                  LLVM::AddressOfOp::create(b, pointer, name),
                                  number(text.size())});
  LLVM::Trap::create(b);
}

void CheckAccessesPass::runOnOperation() {
  numChecks = 0;
  SmallVector<Operation *> ops;
  getOperation()->walk([&](Operation *op) { ops.push_back(op); });
  for (Operation *op : ops) {
    std::optional<Access> access = getAccess(op);
    if (!access)
      continue;
    ImplicitLocOpBuilder b(op->getLoc(), op);
    auto branch =
        scf::IfOp::create(b, isOutside(b, *access), /*withElseRegion=*/false);
    b.setInsertionPointToStart(branch.thenBlock());
    endProcess(b, op);
  }
}
