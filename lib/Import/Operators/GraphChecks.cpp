// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// GraphBuilder, sizes that only the run knows: integers read from tensors, and
// checks that such sizes fit together, which end the run where they do not.
#include "gatecc/Import/GraphBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace gatecc;

std::optional<Extents> GraphBuilder::runTimeInts(Value value) {
  if (std::optional<Extents> now = knownInts(value))
    return now;
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || type.getRank() > 1 || !type.hasStaticShape() ||
      type.getNumElements() > maxKnownElements)
    return std::nullopt;
  Type element = type.getElementType();
  if (!element.isInteger(32) && !element.isInteger(64))
    return std::nullopt;
  Extents result;
  OpBuilder::InsertionGuard guard(builder);
  insertAfter(value);
  for (int64_t i = 0; i < type.getNumElements(); ++i) {
    SmallVector<Value> place;
    if (type.getRank() == 1)
      place.push_back(arith::ConstantIndexOp::create(builder, loc, i));
    Value read = tensor::ExtractOp::create(builder, loc, value, place);
    read =
        arith::IndexCastOp::create(builder, loc, builder.getIndexType(), read);
    result.push_back(opaqueSymbol("?" + std::to_string(symbols.size()), read,
                                  /*isInput=*/false, /*isSize=*/false));
  }
  return known[value] = result;
}

bool GraphBuilder::isDecidedInRun(const Extent &extent) const {
  return llvm::any_of(extent.getSymbols(),
                      [&](unsigned id) { return !symbols[id].isInput; });
}

void GraphBuilder::check(Value condition, const Twine &reason,
                         ArrayRef<Extent> values) {
  SmallVector<Value> operands;
  for (const Extent &value : values)
    operands.push_back(materialize(value));
  gate::CheckOp::create(builder, loc, condition,
                        builder.getStringAttr("node '" + nodeName + "' (" +
                                              nodeOp + "): " + reason),
                        operands);
}

Value GraphBuilder::compare(arith::CmpIPredicate predicate, const Extent &a,
                            const Extent &b) {
  Value left = materialize(a), right = materialize(b);
  return arith::CmpIOp::create(builder, loc, predicate, left, right);
}

/// Whether the same has been checked on all ways to where is built now.
bool GraphBuilder::isChecked(char kind, const Extent &a, const Extent &b) {
  for (Block *block = builder.getInsertionBlock(); block;
       block = block->getParentOp() ? block->getParentOp()->getBlock()
                                    : nullptr)
    if (checked.count({block, kind, a, b}))
      return true;
  checked.insert({builder.getInsertionBlock(), kind, a, b});
  return false;
}

Extent GraphBuilder::canonical(Extent extent, bool withConstants) const {
  auto replacementOf = [&](unsigned id) -> const Extent * {
    auto it = equals.find(id);
    if (it == equals.end())
      return nullptr;
    for (Block *block = builder.getInsertionBlock(); block;
         block = block->getParentOp() ? block->getParentOp()->getBlock()
                                      : nullptr)
      for (const auto &[place, equal] : it->second)
        if (place == block && (withConstants || !equal.isConstant()))
          return &equal;
    return nullptr;
  };
  // What stands for a symbol never leads back to it: it was canonical itself.
  for (bool changed = true; changed;) {
    changed = false;
    Extent next(extent.getCoefficient());
    for (unsigned id : extent.getSymbols()) {
      const Extent *equal = replacementOf(id);
      next *= equal ? *equal : Extent::symbol(id);
      changed |= equal != nullptr;
    }
    extent = next;
  }
  return extent;
}

/// Lets one side's symbol stand for the other from here on.
void GraphBuilder::knowEqual(const Extent &a, const Extent &b) {
  for (auto [symbol, other] : {std::pair(a, b), std::pair(b, a)}) {
    if (symbol.getSymbols().size() != 1 || !isDecidedInRun(symbol))
      continue;
    unsigned id = symbol.getSymbols().front();
    std::optional<Extent> equal =
        other.dividedBy(Extent(symbol.getCoefficient()));
    if (!equal || llvm::is_contained(equal->getSymbols(), id))
      continue;
    equals[id].push_back({builder.getInsertionBlock(), *equal});
    return;
  }
}

LogicalResult GraphBuilder::requireEqual(const Extent &left,
                                         const Extent &right,
                                         const Twine &reason) {
  Extent a = canonical(left), b = canonical(right);
  if (a == b)
    return success();
  if (!isDecidedInRun(a) && !isDecidedInRun(b))
    return fail(reason + ": " + text(a) + " and " + text(b) +
                " are not known to be equal; give equal dimensions the same "
                "name");
  if (!isChecked('=', a, b)) {
    // As soon as the sizes are there: where one is a constant, what leads to a
    // tensor of that size gets its extents from it, too (linalg's
    // canonicalization), and must stand below the check, like the tensor.
    OpBuilder::InsertionGuard guard(builder);
    insertInBlockAfter({materialize(a), materialize(b)});
    check(compare(arith::CmpIPredicate::eq, a, b),
          reason + ": {0} and {1} are not equal", {a, b});
  }
  knowEqual(a, b);
  return success();
}

LogicalResult GraphBuilder::requireAtMost(const Extent &a, const Extent &b,
                                          const Twine &reason) {
  if (a == b || minimum(a, b) == a)
    return success();
  if (!isDecidedInRun(a) && !isDecidedInRun(b))
    return fail(reason + ": " + text(a) + " is not known to be at most " +
                text(b));
  if (!isChecked('<', a, b))
    check(compare(arith::CmpIPredicate::sle, a, b),
          reason + ": {0} is more than {1}", {a, b});
  return success();
}

LogicalResult GraphBuilder::requireSize(const Extent &extent,
                                        const Twine &reason) {
  if (isSize(extent))
    return success();
  if (extent.isConstant() || extent.getCoefficient() < 0)
    return fail(reason + " is negative, " + text(extent));
  check(compare(arith::CmpIPredicate::sge, extent, Extent(0)),
        reason + " is negative, {0}", extent);
  // What is built from here on is built below the check.
  if (extent.getSymbols().size() == 1) {
    Symbol &symbol = symbols[extent.getSymbols().front()];
    if (symbol.value.getParentBlock() == builder.getInsertionBlock())
      symbol.isSize = true;
  }
  return success();
}

Extent GraphBuilder::bounded(const Extent &extent, const Extent &upper) {
  if (!isDecidedInRun(extent) || extent == upper)
    return extent;
  Extent result =
      derived('b', extent, upper, [&](OpBuilder &at, Value x, Value y) {
        return Value(gate::BoundOp::create(at, loc, x, y));
      });
  return result;
}

Extent GraphBuilder::choose(Value condition, const Extent &a, const Extent &b) {
  if (a == b)
    return a;
  Value left = materialize(a), right = materialize(b);
  Value chosen = arith::SelectOp::create(builder, loc, condition, left, right);
  return opaqueSymbol("?" + std::to_string(symbols.size()), chosen,
                      /*isInput=*/false, isSize(a) && isSize(b));
}

Extent GraphBuilder::fromEither(const Extent &index, const Extent &size) {
  if (isSize(index))
    return index;
  if (index.isConstant())
    return index.getConstant() < 0 ? add(size, index) : index;
  auto key = std::make_tuple('e', index, size);
  auto found = derivedSymbols.find(key);
  if (found != derivedSymbols.end())
    return found->second;
  Value i = materialize(index), n = materialize(size);
  OpBuilder::InsertionGuard guard(builder);
  insertAfter({i, n});
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  Value negative =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, i, zero);
  Value moved = arith::AddIOp::create(builder, loc, i, n);
  Value chosen = arith::SelectOp::create(builder, loc, negative, moved, i);
  return derivedSymbols[key] =
             opaqueSymbol("?" + std::to_string(symbols.size()), chosen,
                          /*isInput=*/false, /*isSize=*/false);
}

Extent GraphBuilder::quotient(const Extent &a, const Extent &b) {
  auto key = std::make_tuple('q', a, b);
  auto found = derivedSymbols.find(key);
  if (found != derivedSymbols.end())
    return found->second;
  Value x = materialize(a), y = materialize(b);
  OpBuilder::InsertionGuard guard(builder);
  insertAfter({x, y});
  Value one = arith::ConstantIndexOp::create(builder, loc, 1);
  Value divisor = arith::MaxSIOp::create(builder, loc, y, one);
  Value result = arith::DivSIOp::create(builder, loc, x, divisor);
  result = gate::BoundOp::create(builder, loc, result, x);
  return derivedSymbols[key] =
             opaqueSymbol("(" + text(a) + "/" + text(b) + ")", result,
                          /*isInput=*/false, isSize(a));
}

void GraphBuilder::knowSum(ArrayRef<Extent> parts, const Extent &total) {
  Extent sum(0);
  for (auto [index, part] : llvm::enumerate(parts)) {
    if (index + 1 < parts.size()) {
      sum = add(sum, part);
      continue;
    }
    Extent a = sum, b = part;
    if (b < a)
      std::swap(a, b);
    if (!a.isConstant(0))
      derivedSymbols.insert_or_assign({'+', a, b}, total);
  }
}
