// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Takes rows that have come to rest out of a loop.
//   before: while (...) { h' = where(running(h), f(h), h) }
//   after:  while (...) { p = partition(live) step(i)
//             h2, changed = apply p { where(running(h), f(h), h), h2 != h }
//             h' = merge h2 base(h);  live' = merge changed base(live) }
// A row is at rest when an iteration has left it as it was, bit for bit: its
// work is a function of the row and of nothing that changes, so that all
// further iterations leave it, too. That needs no proof of what masks and
// products by zero do (0 * NaN is NaN, and such a row goes on), and costs each
// row one iteration more than it runs for. Where the number of the iteration
// takes part, a bit that is proved to stop the row for good takes the place of
// the comparison (RowRest.h).
#include "GroupSites.h"
#include "RowCost.h"
#include "RowLoop.h"
#include "RowTensors.h"
#include "gatecc/Raise/Passes.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace gatecc {
#define GEN_PASS_DEF_FORMWHILEROWS
#include "gatecc/Raise/Passes.h.inc"
} // namespace gatecc

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// bits[r] or any_j (a[r, j] != b[r, j]), compared bit for bit.
static Value buildChanged(OpBuilder &b, Location loc, Value left, Value right,
                          Value bits) {
  auto type = cast<RankedTensorType>(left.getType());
  unsigned rank = type.getRank();
  AffineMap all = b.getMultiDimIdentityMap(rank);
  AffineMap row = AffineMap::get(rank, 0, b.getAffineDimExpr(0));
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::reduction);
  loops[0] = utils::IteratorType::parallel;
  return linalg::GenericOp::create(
             b, loc, bits.getType(), ValueRange{left, right}, bits,
             ArrayRef<AffineMap>{all, all, row}, loops,
             [&](OpBuilder &at, Location where, ValueRange x) {
               Value sides[] = {x[0], x[1]};
               if (auto element = dyn_cast<FloatType>(type.getElementType()))
                 for (Value &side : sides)
                   side = arith::BitcastOp::create(
                       at, where, at.getIntegerType(element.getWidth()), side);
               Value differs = arith::CmpIOp::create(
                   at, where, arith::CmpIPredicate::ne, sides[0], sides[1]);
               Value any = arith::OrIOp::create(at, where, x[2], differs);
               linalg::YieldOp::create(at, where, any);
             })
      .getResult(0);
}

/// live[r] and bits[r] != bit, for bits with one element for each row.
static Value buildRuns(OpBuilder &b, Location loc, Value live, Value bits,
                       bool bit) {
  auto type = cast<RankedTensorType>(bits.getType());
  if (type.getRank() > 1) {
    ReassociationIndices all(
        llvm::to_vector<2>(llvm::seq<int64_t>(0, type.getRank())));
    bits = tensor::CollapseShapeOp::create(b, loc, bits, ArrayRef{all});
  }
  Value other = arith::ConstantOp::create(b, loc, b.getBoolAttr(bit));
  Value init = tensor::EmptyOp::create(
      b, loc, tensor::getMixedSizes(b, loc, live), b.getI1Type());
  AffineMap map = b.getMultiDimIdentityMap(1);
  return linalg::GenericOp::create(
             b, loc, live.getType(), ValueRange{live, bits}, init,
             ArrayRef<AffineMap>{map, map, map}, utils::IteratorType::parallel,
             [&](OpBuilder &at, Location where, ValueRange x) {
               Value differs = arith::XOrIOp::create(at, where, x[1], other);
               Value runs = arith::AndIOp::create(at, where, x[0], differs);
               linalg::YieldOp::create(at, where, runs);
             })
      .getResult(0);
}

/// Gives a loop more to carry; the arguments are the last of its body's and
/// are what the body yields for themselves.
static Operation *addCarried(Operation *op, ValueRange added) {
  OpBuilder b(op);
  Location loc = op->getLoc();
  auto addArguments = [&](Block *block) {
    for (Value value : added)
      block->addArgument(value.getType(), loc);
    return block->getArguments().take_back(added.size());
  };
  Operation *result;
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    SmallVector<Value> inits(loop.getInitArgs());
    llvm::append_range(inits, added);
    auto created = scf::ForOp::create(
        b, loc, loop.getLowerBound(), loop.getUpperBound(), loop.getStep(),
        inits, [](OpBuilder &, Location, Value, ValueRange) {});
    created.getRegion().takeBody(loop.getRegion());
    Block *body = created.getBody();
    auto yielded = SmallVector<Value>(addArguments(body));
    body->getTerminator()->insertOperands(
        body->getTerminator()->getNumOperands(), yielded);
    result = created;
  } else {
    auto whileLoop = cast<scf::WhileOp>(op);
    SmallVector<Value> inits(whileLoop.getInits());
    llvm::append_range(inits, added);
    SmallVector<Type> types(whileLoop.getResultTypes());
    llvm::append_range(types, added.getTypes());
    auto created = scf::WhileOp::create(b, loc, types, inits);
    created.getBefore().takeBody(whileLoop.getBefore());
    created.getAfter().takeBody(whileLoop.getAfter());
    SmallVector<Value> before(addArguments(created.getBeforeBody()));
    created.getConditionOp().getArgsMutable().append(before);
    SmallVector<Value> after(addArguments(created.getAfterBody()));
    created.getYieldOp().getResultsMutable().append(after);
    result = created;
  }
  for (auto [from, to] : llvm::zip(op->getResults(), result->getResults()))
    from.replaceAllUsesWith(to);
  op->erase();
  return result;
}

namespace {
/// Rewrites the work of an iteration for the rows that are left.
class LiveRows {
public:
  LiveRows(const RowLoop &loop, OpBuilder &b, Location loc)
      : loop(loop), b(b), loc(loc) {}

  /// Fills the region of the apply.
  void build(Block &block, ArrayRef<Value> inputs) {
    b.setInsertionPointToEnd(&block);
    for (Value input : inputs)
      rows.map(input, block.addArgument(input.getType(), loc));
    count = tensor::DimOp::create(b, loc, block.getArgument(0), 0);
    for (Operation *op : loop.getWork())
      rewrite(op);
    SmallVector<Value> yields;
    for (const RowLoop::State &state : loop.getStates())
      yields.push_back(rows.lookup(loop.getYielded(state)));
    if (!loop.restsFirst())
      yields.push_back(buildGoesOn());
    gate::YieldOp::create(b, loc, yields);
  }

private:
  /// A bit for each row that further iterations may change.
  Value buildGoesOn() {
    if (std::optional<RowRest> rest = loop.getRest())
      return buildRuns(b, loc, filledWithBit(b, loc, OpFoldResult(count), true),
                       rows.lookup(rest->bits), rest->value);
    Value changed = filledWithBit(b, loc, OpFoldResult(count), false);
    for (const RowLoop::State &state : loop.getStates())
      changed = buildChanged(b, loc, rows.lookup(loop.getYielded(state)),
                             rows.lookup(state.argument), changed);
    return changed;
  }

  void rewrite(Operation *op) {
    SmallVector<RowUse> uses = *loop.usesOf(op);
    SmallVector<Value> operands;
    for (auto [operand, use] : llvm::zip(op->getOperands(), uses)) {
      if (use.kind == RowUse::Follows)
        operands.push_back(rows.contains(operand) ? rows.lookup(operand)
                                                  : remake(operand));
      else if (operand.getType().isIndex())
        operands.push_back(resize(operand));
      else
        operands.push_back(operand);
    }
    Operation *clone = b.clone(*op, rows);
    clone->setOperands(operands);
  }

  /// A uniform value for the rows that are left.
  Value remake(Value value) {
    Operation *def = value.getDefiningOp();
    if (auto fill = dyn_cast<linalg::FillOp>(def))
      return linalg::FillOp::create(b, def->getLoc(), fill.getInputs()[0],
                                    remake(fill.getDpsInits()[0]))
          .getResult(0);
    Operation *clone = b.clone(*def);
    clone->setOperand(0, resize(clone->getOperand(0)));
    return clone->getResult(0);
  }

  /// A size with the number of rows that are left in the place of all rows.
  Value resize(Value size) {
    if (size == loop.getRows())
      return count;
    if (!loop.dependsOnRows(size))
      return size;
    Value &resized = sizes[size];
    if (!resized) {
      SmallVector<Value> operands;
      for (Value operand : size.getDefiningOp()->getOperands())
        operands.push_back(resize(operand));
      Operation *clone = b.clone(*size.getDefiningOp());
      clone->setOperands(operands);
      return sizes[size] = clone->getResult(0);
    }
    return resized;
  }

  const RowLoop &loop;
  OpBuilder &b;
  Location loc;
  IRMapping rows;
  Value count;
  DenseMap<Value, Value> sizes;
};

/// Why rows may be taken out.
static std::string restText(const RowLoop &loop) {
  if (!loop.getRest())
    return "rows that an iteration leaves as they were are taken out of "
           "further ones";
  StringRef name = nodeName(loop.getRest()->bits);
  return "rows that " +
         (name.empty() ? "its condition" : "'" + name.str() + "'") +
         " stops keep all that they carry; they are taken out of further "
         "iterations";
}

struct FormWhileRows : gatecc::impl::FormWhileRowsBase<FormWhileRows> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<Operation *> loops;
    module.walk([&](Operation *op) {
      if (isa<scf::ForOp, scf::WhileOp>(op))
        loops.push_back(op);
    });
    if (loops.empty())
      return;
    SiteNamer namer(module);
    SmallVector<Attribute> report = readReport(module);
    for (Operation *op : loops) {
      RowLoop loop(op);
      if (!loop.isCandidate())
        continue;
      StringRef name = nodeName(op->getLoc());
      std::string reason = loop.analyze();
      Builder builder(&getContext());
      if (!reason.empty()) {
        report.push_back(reportEntry(&getContext(), name, "halt",
                                     builder.getStrArrayAttr(ArrayRef(name)),
                                     "refused", reason));
        continue;
      }
      std::string unique = namer.uniqueName(name.empty() ? "halt" : name);
      SmallVector<StringRef> nodes;
      for (Operation *inner : loop.getWork())
        if (StringRef node = nodeName(inner->getLoc());
            isProduct(inner) && !node.empty() &&
            !llvm::is_contained(nodes, node))
          nodes.push_back(node);
      ArrayAttr list = builder.getStrArrayAttr(nodes);
      form(op, loop, createSite(op, unique, list, namer));
      report.push_back(reportEntry(&getContext(), unique, "halt", list, "taken",
                                   restText(loop)));
    }
    writeReport(module, report);
  }

private:
  static gate::SiteOp createSite(Operation *op, StringRef name, ArrayAttr nodes,
                                 SiteNamer &namer) {
    OpBuilder b(op->getContext());
    auto site = gate::SiteOp::create(
        b, op->getLoc(), b.getStringAttr("site"), b.getStringAttr(name),
        b.getStringAttr("halt"), b.getDenseF64ArrayAttr({}),
        b.getF64FloatAttr(0), nodes, b.getStringAttr(""));
    namer.insert(site, op->getParentOfType<func::FuncOp>()->getIterator());
    return site;
  }

  static void form(Operation *op, const RowLoop &loop, gate::SiteOp site) {
    Location loc = op->getLoc();
    OpBuilder b(op);
    Value live = filledWithBit(b, loc, OpFoldResult(loop.getRows()), true);
    Value zero = arith::ConstantIndexOp::create(b, loc, 0);
    addCarried(op, {live, zero});
    Block *body = loop.getBody();
    Operation *terminator = body->getTerminator();
    live = body->getArguments().end()[-2];
    Value step = body->getArguments().end()[-1];

    b.setInsertionPoint(terminator);
    Value runs = live;
    if (loop.restsFirst())
      runs =
          buildRuns(b, loc, live, loop.getRest()->bits, loop.getRest()->value);
    auto plan = gate::PlanType::get(b.getContext(), 2, 1);
    auto partition = gate::PartitionOp::create(
        b, loc, plan, runs, step,
        FlatSymbolRefAttr::get(site.getSymNameAttr()));
    SmallVector<Value> inputs;
    SmallVector<Type> types;
    for (const RowLoop::State &state : loop.getStates()) {
      inputs.push_back(state.argument);
      types.push_back(loop.getYielded(state).getType());
    }
    llvm::append_range(inputs, loop.getCaptured());
    if (!loop.restsFirst())
      types.push_back(live.getType());
    auto apply = gate::ApplyOp::create(
        b, loc, types, partition.getPlan(), inputs, ValueRange(),
        b.getDenseI64ArrayAttr({0, 1}), /*bodiesCount=*/1);
    LiveRows(loop, b, loc).build(apply.getBodies()[0].emplaceBlock(), inputs);

    b.setInsertionPoint(terminator);
    auto merge = [&](unsigned result, Value base) -> Value {
      return gate::MergeOp::create(b, loc, base.getType(),
                                   apply.getResult(result), partition.getPlan(),
                                   b.getDenseI64ArrayAttr({0, 1}), base);
    };
    SmallVector<Value> merged;
    for (auto [index, state] : llvm::enumerate(loop.getStates()))
      merged.push_back(merge(index, state.argument));
    if (!loop.restsFirst())
      runs = merge(merged.size(), live);
    for (auto [state, value] : llvm::zip(loop.getStates(), merged)) {
      // What reads the new state reads that of all rows.
      Value old = loop.getYielded(state);
      if (old.getDefiningOp() && old.getDefiningOp()->getBlock() == body &&
          !llvm::is_contained(merged, old))
        old.replaceAllUsesWith(value);
    }
    for (auto [state, value] : llvm::zip(loop.getStates(), merged))
      terminator->setOperand(state.yield, value);
    unsigned last = terminator->getNumOperands();
    terminator->setOperand(last - 2, runs);
    Value one = arith::ConstantIndexOp::create(b, loc, 1);
    terminator->setOperand(last - 1, arith::AddIOp::create(b, loc, step, one));
    sortTopologically(body);
    for (Operation &inner : llvm::make_early_inc_range(llvm::reverse(*body)))
      if (isOpTriviallyDead(&inner))
        inner.erase();
  }
};
} // namespace
