// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Keeps the rows that a contraction reads from falling on the same cache sets.
//   before: %h = memref.alloc(%n) : memref<?x2048xf32>
//   after:  %p = memref.alloc(%n) : memref<?x2064xf32>
//           %h = memref.subview %p[0, 0] [%n, 2048] [1, 1]
// A block of rows is read once for each panel, a stretch of every row at a
// time. Where rows lie a multiple of a page apart, as with extents that are
// powers of two they do, the stretches share a part of the second-level cache's
// sets, and come from the third level for every panel: 5 to 10 % of a layer.
// Rows that others look at, too, are copied.
#include "dialects/Gate/IR/GateOps.h"
#include "gatecc/Lowering/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace gatecc {
#define GEN_PASS_DEF_PADROWS
#include "gatecc/Lowering/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using gate::PackedContractOp;

namespace {

/// Rows this far apart use half of the sets, or fewer.
constexpr int64_t kConflictBytes = 4096;
/// What is added: a line.
constexpr int64_t kPadBytes = 64;
/// Rows are copied for this many rows or more, which is several tiles, and for
/// this many panels, which makes the copy less than 2 % of the products.
constexpr int64_t kFewestRows = 32, kFewestPanels = 16;

MemRefType getPaddedType(MemRefType type) {
  SmallVector<int64_t> shape(type.getShape());
  shape.back() += kPadBytes * 8 / type.getElementTypeBitWidth();
  return MemRefType::get(shape, type.getElementType());
}

/// The part of a padded buffer that stands for one of `type`.
Value createView(OpBuilder &b, Location loc, Value padded, Value numRows,
                 MemRefType type) {
  SmallVector<OpFoldResult> zeros(2, b.getIndexAttr(0)),
      ones(2, b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes{getAsOpFoldResult(numRows),
                                  b.getIndexAttr(type.getDimSize(1))};
  return memref::SubViewOp::create(b, loc, padded, zeros, sizes, ones);
}

struct PadRowsPass : public gatecc::impl::PadRowsBase<PadRowsPass> {
  void runOnOperation() override {
    SmallVector<PackedContractOp> sites;
    getOperation()->walk([&](PackedContractOp op) { sites.push_back(op); });
    for (PackedContractOp site : sites)
      if (collide(site) && !padBuffer(site))
        copyRows(site);
  }

private:
  static bool collide(PackedContractOp site);
  static bool padBuffer(PackedContractOp site);
  static void copyRows(PackedContractOp site);
};

/// Whether the rows of a contraction fall on the same sets. Integers are short.
bool PadRowsPass::collide(PackedContractOp site) {
  auto type = dyn_cast<MemRefType>(site.getRows().getType());
  if (!type || !type.isDynamicDim(0) || type.isDynamicDim(1) ||
      site.getLayout().isInteger() || !type.getLayout().isIdentity())
    return false;
  return type.getDimSize(1) * type.getElementTypeBitWidth() / 8 %
             kConflictBytes ==
         0;
}

/// Gives a buffer that is used by index only another distance of rows.
bool PadRowsPass::padBuffer(PackedContractOp site) {
  auto alloc = site.getRows().getDefiningOp<memref::AllocOp>();
  if (!alloc || !llvm::all_of(alloc->getUsers(), [](Operation *user) {
        return isa<PackedContractOp, linalg::LinalgOp, memref::DimOp>(user);
      }))
    return false;
  OpBuilder b(alloc);
  Location loc = alloc.getLoc();
  Value padded = memref::AllocOp::create(b, loc, getPaddedType(alloc.getType()),
                                         alloc.getDynamicSizes(),
                                         alloc.getAlignmentAttr());
  Value view = createView(b, loc, padded, alloc.getDynamicSizes().front(),
                          alloc.getType());
  alloc->replaceAllUsesWith(ValueRange{view});
  alloc.erase();
  return true;
}

/// Copies the rows where there are enough of them.
void PadRowsPass::copyRows(PackedContractOp site) {
  if (cast<MemRefType>(site.getPacked().getType()).getDimSize(1) <
      kFewestPanels)
    return;
  OpBuilder b(site);
  Location loc = site.getLoc();
  Value rows = site.getRows();
  auto type = cast<MemRefType>(rows.getType());
  Value numRows = memref::DimOp::create(b, loc, rows, 0);
  Value fewest = arith::ConstantIndexOp::create(b, loc, kFewestRows);
  Value many =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, numRows, fewest);
  Value padded = memref::AllocOp::create(b, loc, getPaddedType(type), numRows);
  Value view = createView(b, loc, padded, numRows, type);
  auto common = MemRefType::get(
      type.getShape(), type.getElementType(),
      StridedLayoutAttr::get(b.getContext(), 0, {ShapedType::kDynamic, 1}));
  auto branch = scf::IfOp::create(
      b, loc, many,
      [&](OpBuilder &b, Location loc) {
        linalg::CopyOp::create(b, loc, rows, view);
        Value cast = memref::CastOp::create(b, loc, common, view);
        scf::YieldOp::create(b, loc, cast);
      },
      [&](OpBuilder &b, Location loc) {
        Value cast = memref::CastOp::create(b, loc, common, rows);
        scf::YieldOp::create(b, loc, cast);
      });
  site.getRowsMutable().assign(branch.getResult(0));
}

} // namespace
