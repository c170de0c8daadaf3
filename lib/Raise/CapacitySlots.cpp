// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Finds rows that are scattered to the places of experts and gathered again:
//   %b[%slot[n]] = %x[n]; %y[n] = %w[n] * f(%b)[%slot[n]]
// A slot is a number that names the expert and the place in it: what computes
// it is not looked at. Rows for which there is no room go to rows after the
// places, or count as zero.
#include "CapacitySlots.h"

#include "CapacityExperts.h"
#include "RowSelection.h"
#include "SlotIndex.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include <cfloat>

using namespace mlir;
using namespace gatecc;
using namespace gatecc::raise;

/// Of ops between a gather and its weights, and of scatters into one buffer.
static constexpr unsigned kMaxChain = 16, kMaxWrites = 16, kMaxBuffers = 64;
static constexpr int64_t kMaxChoices = 16;

static unsigned rowDimsOf(Value tensor) { return typeOf(tensor).getRank() - 1; }

/// Whether an op views rows in another shape, columns as they are.
static bool viewsRows(Operation *op) {
  SmallVector<ReassociationIndices> groups;
  if (auto collapse = dyn_cast_or_null<tensor::CollapseShapeOp>(op))
    groups = collapse.getReassociationIndices();
  else if (auto expand = dyn_cast_or_null<tensor::ExpandShapeOp>(op))
    groups = expand.getReassociationIndices();
  return groups.size() > 1 && groups.back().size() == 1;
}

namespace {
/// Rows [N.., D], each multiplied with a number.
struct ScaledRows {
  Value rows, numbers;
};
} // namespace

static std::optional<ScaledRows> matchScaledRows(Value value) {
  auto op = matchBinary<arith::MulFOp>(value);
  if (!op || typeOf(value).getRank() < 2)
    return std::nullopt;
  for (unsigned side : {0u, 1u}) {
    OpOperand *rows = op.getDpsInputOperand(side),
              *numbers = op.getDpsInputOperand(1 - side);
    if (op.getMatchingIndexingMap(rows).isIdentity() &&
        isOnePerRow(op, numbers, rowDimsOf(value)) &&
        typeOf(value).getShape().back() != 1)
      return ScaledRows{rows->get(), numbers->get()};
  }
  return std::nullopt;
}

//===-- Reads -------------------------------------------------------------===//

/// The experts whose rows are those of a value, or of values that are joined.
static bool findExperts(ArrayRef<Value> parts, CapacitySlots &found) {
  Axes places{Axis{Axis::Token, ShapedType::kDynamic, 0, kAllTokens}},
      columns{Axis{Axis::Column, typeOf(parts.front()).getDimSize(1)}};
  if (auto concat = parts.front().getDefiningOp<tensor::ConcatOp>();
      concat && parts.size() == 1 && concat.getDim() == 0)
    return findExperts(llvm::to_vector(concat.getInputs()), found);
  if (parts.size() > 1) {
    if (!llvm::all_equal(ValueRange(parts).getTypes()))
      return false;
    found.experts = parts.size();
    places.front().size = typeOf(parts.front()).getDimSize(0);
    places.front().tensor = parts.front();
    found.work = {llvm::to_vector(parts), {places, columns}};
  } else {
    std::optional<JoinedDims> joined = findJoinedDims(parts.front(), 0);
    if (!joined)
      return false;
    found.experts = typeOf(joined->tensor).getDimSize(joined->first);
    places.front().size = typeOf(joined->tensor).getDimSize(joined->second);
    places.front().tensor = joined->tensor;
    places.front().dim = joined->second;
    places.insert(places.begin(), Axis{Axis::Expert, found.experts});
    found.work = {{parts.front()}, {places, columns}};
  }
  return !ShapedType::isDynamic(found.experts) && found.experts > 1;
}

static std::optional<SlotRead> matchRead(Operation *op) {
  SlotRead found{op, {}, {}, {}, {}};
  if (auto gather = dyn_cast_or_null<gate::GatherNDOp>(op)) {
    std::optional<RowGather> rows = matchRowGather(gather);
    if (!rows)
      return std::nullopt;
    found.data = rows->data;
    found.indices = rows->indices;
  } else if (auto read = op ? matchElementRead(op) : std::nullopt) {
    auto wide = read->indices.getDefiningOp<linalg::GenericOp>();
    Value narrow = matchBroadcast(read->indices);
    if (read->axis != 0 || !narrow || typeOf(read->data).getRank() != 2 ||
        !isOnePerRow(wide, wide.getDpsInputOperand(0), 1) ||
        typeOf(read->data).getDimSize(1) !=
            typeOf(op->getResult(0)).getDimSize(1))
      return std::nullopt;
    found.data = read->data;
    found.indices = narrow;
  }
  if (!found.data || typeOf(found.data).getRank() != 2 ||
      !typeOf(found.data).getElementType().isF32() ||
      typeOf(found.data).isDynamicDim(1))
    return std::nullopt;
  return found;
}

/// The rows that an op multiplies with numbers; null if it does not.
static std::optional<ScaledRows> matchScaling(Operation *op) {
  return op && op->getNumResults() == 1 && isa<linalg::GenericOp>(op)
             ? matchScaledRows(op->getResult(0))
             : std::nullopt;
}

/// Follows what is read up to the last product with numbers of rows.
static void followRead(SlotRead &found) {
  Value value = found.result();
  SmallVector<Operation *> views;
  while (found.chain.size() + views.size() < kMaxChain && value.hasOneUse()) {
    Operation *user = *value.getUsers().begin();
    if (viewsRows(user)) {
      views.push_back(user);
    } else {
      std::optional<ScaledRows> scaled = matchScaling(user);
      if (!scaled || scaled->rows != value)
        return;
      found.weights.push_back(scaled->numbers);
      found.chain.append(views);
      found.chain.push_back(user);
      views.clear();
    }
    value = user->getResult(0);
  }
}

/// The read that a value is made of by such a chain.
static std::optional<SlotRead> readBehind(Value value) {
  for (unsigned step = 0; step < kMaxChain; ++step) {
    Operation *op = value.getDefiningOp();
    if (std::optional<SlotRead> found = matchRead(op)) {
      followRead(*found);
      return found;
    }
    std::optional<ScaledRows> scaled = matchScaling(op);
    if (!scaled && !viewsRows(op))
      return std::nullopt;
    value = scaled ? scaled->rows : op->getOperand(0);
  }
  return std::nullopt;
}

std::optional<CapacitySlots> raise::matchSlotReads(Operation *op, bool joins) {
  std::optional<SlotRead> read = matchRead(op);
  if (!read)
    return std::nullopt;
  CapacitySlots found;
  SmallVector<Value> parts{read->data};
  if (auto concat = read->data.getDefiningOp<tensor::ConcatOp>();
      concat && concat.getDim() == 0) {
    parts.assign(concat.getInputs().begin(), concat.getInputs().end());
    while (parts.size() > 1 && isZero(parts.back()) &&
           !typeOf(parts.back()).isDynamicDim(0))
      found.zeros.push_back(parts.pop_back_val());
  }
  if (!findExperts(parts, found))
    return std::nullopt;
  followRead(*read);
  found.reads.push_back(*read);
  if (!joins)
    return found;
  if (!read->result().hasOneUse())
    return std::nullopt;
  Operation *sum = *read->result().getUsers().begin();
  SmallVector<Value> terms;
  if (isa<linalg::GenericOp>(sum) && sum->getNumResults() == 1)
    terms = addendsOf(sum->getResult(0));
  if (terms.size() < 2 || terms.size() > size_t(kMaxChoices))
    return std::nullopt;
  found.reads.clear();
  for (Value term : terms) {
    std::optional<SlotRead> each = readBehind(term);
    if (!each || each->data != read->data || each->result() != term)
      return std::nullopt;
    found.reads.push_back(*each);
  }
  found.sum = sum;
  return found;
}

//===-- Writes ------------------------------------------------------------===//

static SlotWrite describeWrite(const RowScatter &scatter) {
  SlotWrite write{scatter.indices, scatter.updates, Value(),
                  scatter.reduction == gate::Reduction::Add};
  // A row that is zero leaves what is added up as it is.
  Value updates = scatter.updates;
  for (unsigned step = 0;
       step < kMaxChain && viewsRows(updates.getDefiningOp()); ++step)
    updates = updates.getDefiningOp()->getOperand(0);
  if (std::optional<ScaledRows> scaled =
          write.adds ? matchScaledRows(updates) : std::nullopt) {
    write.rows = scaled->rows;
    write.sent = scaled->numbers;
  }
  return write;
}

/// Whether two tensors of indices hold the same, row by row.
static bool areSameIndices(Value a, Value b) {
  return withoutReshapes(a) == withoutReshapes(b);
}

static bool haveSameRows(Value a, Value b) {
  auto rows = [](Value tensor) {
    return llvm::to_vector(llvm::seq<int64_t>(0, rowDimsOf(tensor)));
  };
  return haveSameExtent(a, rows(a), b, rows(b));
}

/// [T, D], if rows [T * k, D] have each of its rows k times.
static Value repeatedRows(GraphBuilder &graph, Value rows, int64_t times) {
  if (viewsRows(rows.getDefiningOp()))
    rows = rows.getDefiningOp()->getOperand(0);
  auto op = rows.getDefiningOp<linalg::GenericOp>();
  if (!matchBroadcast(rows) || typeOf(rows).getRank() != 3 ||
      typeOf(rows).getDimSize(1) != times)
    return {};
  OpOperand *source = op.getDpsInputOperand(0);
  SmallVector<unsigned> loops;
  for (AffineExpr expr : op.getMatchingIndexingMap(source).getResults())
    if (auto loop = dyn_cast<AffineDimExpr>(expr))
      loops.push_back(loop.getPosition());
  if (loops != ArrayRef<unsigned>{0, 2})
    return {};
  return asRows(graph, source->get(), rowDimsOf(source->get()));
}

/// The sum over the choices of each token, if it is all that the result is for.
static Operation *sumOfChoices(Value value) {
  if (!value.hasOneUse())
    return nullptr;
  Operation *user = *value.getUsers().begin();
  std::optional<SumMatch> sum = matchSum(user);
  bool isSum = sum && sum->axis == 1 && typeOf(value).getRank() == 3 &&
               typeOf(value).getDimSize(1) > 1 &&
               typeOf(value).getDimSize(1) <= kMaxChoices;
  return isSum ? user : nullptr;
}

Value raise::matchSlotWrites(GraphBuilder &graph, const Lanes &rows,
                             CapacitySlots &found) {
  if (rows.values.size() != 1)
    return {};
  Value sent = rows.front();
  if (found.sent)
    return found.sent == sent ? found.tokens : Value();
  if (typeOf(sent).getRank() != 2 || rows.dims[0].size() != 2 ||
      rows.dims[0][0].kind != Axis::Expert ||
      rows.dims[0][1].kind != Axis::Token || rows.dims[1].size() != 1 ||
      rows.dims[1][0].kind != Axis::Column || typeOf(sent).isDynamicDim(1))
    return {};
  Value buffer = sent;
  if (auto slice = sent.getDefiningOp<tensor::ExtractSliceOp>()) {
    buffer = slice.getSource();
    if (typeOf(buffer).getRank() != 2 || slice.getStaticOffset(0) != 0 ||
        slice.getStaticOffset(1) != 0 || slice.getStaticStride(0) != 1 ||
        slice.getStaticStride(1) != 1 ||
        !isWholeSize(slice.getMixedSizes()[1], buffer, 1))
      return {};
  }
  // Buffers that are added up are one, if no place is filled in two.
  SmallVector<SlotWrite> writes;
  SmallVector<Value> buffers{buffer};
  Value empty;
  for (unsigned step = 0; !buffers.empty(); ++step) {
    if (step == kMaxBuffers)
      return {};
    buffer = buffers.pop_back_val();
    if (isZero(buffer)) {
      empty = buffer;
      continue;
    }
    Operation *op = buffer.getDefiningOp();
    if (!op || writes.size() == kMaxWrites)
      return {};
    if (std::optional<RowScatter> scatter = matchRowScatter(op)) {
      if (scatter->reduction != gate::Reduction::None &&
          scatter->reduction != gate::Reduction::Add)
        return {};
      writes.push_back(describeWrite(*scatter));
      buffers.push_back(scatter->data);
      continue;
    }
    SmallVector<Value> addends = addendsOf(buffer);
    if (addends.empty() || addends.size() > kMaxWrites)
      return {};
    buffers.append(addends);
  }
  SmallVector<unsigned> own;
  for (const SlotRead &read : found.reads) {
    auto *it = llvm::find_if(writes, [&](const SlotWrite &write) {
      return areSameIndices(write.indices, read.indices);
    });
    if (writes.size() == 1 && haveSameRows(writes[0].indices, read.indices))
      it = writes.begin();
    if (it == writes.end() || llvm::is_contained(own, it - writes.begin()) ||
        (!own.empty() && it->rows != writes[own.front()].rows))
      return {};
    own.push_back(it - writes.begin());
  }
  Value written = writes[own.front()].rows, result = found.reads[0].result();
  Operation *sum = found.sum ? nullptr : sumOfChoices(result);
  int64_t choices = sum ? typeOf(result).getDimSize(1) : 1;
  Value tokens = sum ? repeatedRows(graph, written, choices) : Value();
  if (tokens) {
    found.sum = sum;
    found.choices = choices;
  } else {
    tokens = asRows(graph, written, rowDimsOf(written));
  }
  found.sent = sent;
  found.empty = empty;
  found.own = std::move(own);
  found.writes = std::move(writes);
  return found.tokens = tokens;
}

//===-- Emission ----------------------------------------------------------===//

namespace {
class SlotEmitter {
public:
  SlotEmitter(GraphBuilder &graph, const CapacitySlots &found)
      : graph(graph), b(graph.getBuilder()), loc(graph.getLoc()), found(found) {
  }

  Value run(ExpertRegion &region, Value slots, std::optional<double> limit,
            FlatSymbolRefAttr site);

private:
  bool findSizes();
  /// Numbers of rows as [n].
  Value flat(Value numbers);
  PlacedChoice choiceOf(const SlotWrite &write, const SlotRead *read);
  Value emitScattered(gate::ApplyOp apply);

  GraphBuilder &graph;
  OpBuilder &b;
  Location loc;
  const CapacitySlots &found;
  Value buffer, count, places, readable; // rows written to, E * C, C, read from
};
} // namespace

bool SlotEmitter::findSizes() {
  std::optional<OpFoldResult> rows = sizeMadeWith(found.empty, 0);
  if (!rows)
    return false;
  OpFoldResult all = *rows;
  if (auto slice = found.sent.getDefiningOp<tensor::ExtractSliceOp>())
    all = slice.getMixedSizes()[0];
  buffer = getValueOrCreateConstantIndexOp(b, loc, *rows);
  count = getValueOrCreateConstantIndexOp(b, loc, all);
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  places = arith::MaxUIOp::create(
      b, loc, one,
      arith::DivUIOp::create(
          b, loc, count,
          arith::ConstantIndexOp::create(b, loc, found.experts)));
  int64_t more = 0;
  for (Value zeros : found.zeros)
    more += typeOf(zeros).getDimSize(0);
  readable = arith::AddIOp::create(
      b, loc, count, arith::ConstantIndexOp::create(b, loc, more));
  return true;
}

Value SlotEmitter::flat(Value numbers) {
  ReassociationIndices all =
      llvm::to_vector<2>(llvm::seq<int64_t>(0, typeOf(numbers).getRank()));
  if (all.size() > 1)
    numbers = tensor::CollapseShapeOp::create(b, loc, numbers, ArrayRef{all});
  return withDynamicRows(graph, numbers);
}

PlacedChoice SlotEmitter::choiceOf(const SlotWrite &write,
                                   const SlotRead *read) {
  SmallVector<Value> inputs{flat(write.indices)};
  if (write.sent)
    inputs.push_back(flat(write.sent));
  if (read) {
    inputs.push_back(flat(read->indices));
    for (Value weight : read->weights)
      inputs.push_back(flat(weight));
  }
  Type i64 = b.getI64Type();
  Value rows = tensor::DimOp::create(b, loc, inputs.front(), 0);
  return emitChoice(
      graph, rows, inputs, [&](OpBuilder &at, Location where, ValueRange x) {
        auto both = [&](Value p, Value q) -> Value {
          return arith::AndIOp::create(at, where, p, q);
        };
        auto either = [&](Value p, Value q) -> Value {
          return arith::OrIOp::create(at, where, p, q);
        };
        Value yes = arith::ConstantOp::create(at, where, at.getBoolAttr(true));
        auto isNot = [&](Value p) -> Value {
          return arith::XOrIOp::create(at, where, p, yes);
        };
        Value zero =
            arith::ConstantOp::create(at, where, at.getF32FloatAttr(0));
        Value one = arith::ConstantOp::create(at, where, at.getF32FloatAttr(1));
        auto differs = [&](Value p, Value q) -> Value {
          return arith::CmpFOp::create(at, where, arith::CmpFPredicate::UNE, p,
                                       q);
        };
        auto isBelow = [&](Value index, Value size) -> Value {
          // As unsigned numbers, those below 0 are the largest.
          return arith::CmpIOp::create(at, where, arith::CmpIPredicate::ult,
                                       index, size);
        };
        auto indexOf = [&](Value number, Value size) -> Value {
          Value index =
              arith::IndexCastOp::create(at, where, at.getIndexType(), number);
          Value isNegative = arith::CmpIOp::create(
              at, where, arith::CmpIPredicate::slt, index,
              arith::ConstantIndexOp::create(at, where, 0));
          return arith::SelectOp::create(
              at, where, isNegative,
              arith::AddIOp::create(at, where, index, size), index);
        };
        unsigned next = 0;
        Value index = indexOf(x[next++], buffer);
        Value isPlace = isBelow(index, count);
        Value isOdd = isNot(isBelow(index, buffer)), isFilled = isPlace;
        if (write.sent) {
          Value sent = x[next++];
          isFilled = both(isPlace, differs(sent, zero));
          // What fills a place must be a whole row.
          isOdd = either(isOdd, both(isFilled, differs(sent, one)));
        }
        Value none =
            arith::ConstantOp::create(at, where, at.getI64IntegerAttr(-1));
        Value id = none, weight = zero;
        if (read) {
          Value from = indexOf(x[next++], readable);
          Value isRead = isBelow(from, count);
          weight = one;
          for (size_t i = 0; i < read->weights.size(); ++i)
            weight = i == 0
                         ? x[next++]
                         : arith::MulFOp::create(at, where, weight, x[next++])
                               .getResult();
          Value isWeighted = both(isRead, differs(weight, zero));
          // What is read must be the row's own place, or zeros that are
          // weighted with a number.
          Value isOwnPlace = both(
              isFilled, arith::CmpIOp::create(
                            at, where, arith::CmpIPredicate::eq, from, index));
          isOdd = either(isOdd, both(isWeighted, isNot(isOwnPlace)));
          isOdd = either(isOdd, isNot(isBelow(from, readable)));
          Value isFinite = arith::CmpFOp::create(
              at, where, arith::CmpFPredicate::OLE,
              math::AbsFOp::create(at, where, weight),
              arith::ConstantOp::create(at, where,
                                        at.getF32FloatAttr(FLT_MAX)));
          isOdd = either(isOdd, isNot(either(isRead, isFinite)));
          Value expert = arith::IndexCastOp::create(
              at, where, i64, arith::DivUIOp::create(at, where, index, places));
          id = arith::SelectOp::create(at, where, isWeighted, expert, none);
          weight = arith::SelectOp::create(at, where, isWeighted, weight, zero);
        }
        Value cell = arith::IndexCastOp::create(
            at, where, i64,
            arith::SelectOp::create(at, where, isFilled, index, count));
        linalg::YieldOp::create(at, where, ValueRange{id, weight, cell, isOdd});
      });
}

Value SlotEmitter::emitScattered(gate::ApplyOp apply) {
  Value work =
      emitAllPlaces(graph, apply, found.sent, count,
                    [&](OpBuilder &at, Location where, Value row) -> Value {
                      return arith::DivUIOp::create(at, where, row, places);
                    });
  if (!found.zeros.empty()) {
    SmallVector<Value> parts{work};
    llvm::append_range(parts, llvm::reverse(found.zeros));
    work = tensor::ConcatOp::create(b, loc, 0, parts);
  }
  Value data = found.reads.front().data;
  if (work.getType() != data.getType())
    work = tensor::CastOp::create(b, loc, data.getType(), work);
  IRMapping mapping;
  mapping.map(data, work);
  for (const SlotRead &each : found.reads) {
    b.clone(*each.read, mapping);
    for (Operation *op : each.chain)
      b.clone(*op, mapping);
  }
  if (found.sum)
    b.clone(*found.sum, mapping);
  Value result = mapping.lookup(found.root()->getResult(0));
  return asRows(graph, result, rowDimsOf(result));
}

Value SlotEmitter::run(ExpertRegion &region, Value slots,
                       std::optional<double> limit, FlatSymbolRefAttr site) {
  if (!findSizes())
    return {};
  CapacityPlan plan;
  plan.experts = found.experts;
  plan.tokens = withDynamicRows(graph, found.tokens);
  plan.count = count;
  llvm::SetVector<Value> rows;
  rows.insert(plan.tokens);
  SmallVector<Value> ids(found.reads.size()), weights(found.reads.size());
  for (auto [number, write] : llvm::enumerate(found.writes)) {
    auto *own = llvm::find(found.own, number);
    size_t read = own - found.own.begin();
    bool isRead = own != found.own.end();
    PlacedChoice each = choiceOf(write, isRead ? &found.reads[read] : nullptr);
    plan.choices.push_back(each);
    if (isRead) {
      ids[read] = each.ids;
      weights[read] = each.weights;
    } else {
      rows.insert(write.rows);
    }
  }
  auto asChoices = [&](ArrayRef<Value> numbers) -> Value {
    if (found.choices == 1)
      return asColumns(graph, numbers);
    Value tokens = tensor::DimOp::create(b, loc, plan.tokens, 0);
    auto type = RankedTensorType::get({ShapedType::kDynamic, found.choices},
                                      typeOf(numbers[0]).getElementType());
    return tensor::ExpandShapeOp::create(
        b, loc, type, numbers[0], ArrayRef{ReassociationIndices{0, 1}},
        SmallVector<OpFoldResult>{tokens, b.getIndexAttr(found.choices)});
  };
  plan.ids = asChoices(ids);
  plan.weights = asChoices(weights);
  SmallVector<std::pair<Value, double>> tested;
  if (limit)
    for (Value each : rows)
      tested.emplace_back(each, *limit);
  return emitCapacity(
      graph, plan, region, slots, tested, site,
      [&](gate::ApplyOp apply) { return emitScattered(apply); });
}

Value raise::emitSlots(GraphBuilder &graph, const CapacitySlots &found,
                       ExpertRegion &region, Value slots,
                       std::optional<double> limit, FlatSymbolRefAttr site) {
  return SlotEmitter(graph, found).run(region, slots, limit, site);
}
