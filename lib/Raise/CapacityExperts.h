// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Experts with room for C rows each, to which products with masks bring rows of
// tokens, and take them back: what a pass has found, and what it makes of it.
#ifndef GATECC_LIB_RAISE_CAPACITYEXPERTS_H
#define GATECC_LIB_RAISE_CAPACITYEXPERTS_H

#include "CapacityMask.h"
#include "DenseExperts.h"

namespace gatecc::raise {

struct CapacityExperts {
  int64_t experts = 0;
  /// y[g, s, :] = sum over e, c of weights[g, s, e, c] * work[g, e, c, :]
  /// for tokens (g, s), of which those of a group g share the places.
  mlir::linalg::GenericOp combine;
  RowShape shape;        // of y; its tokens number those of all the rest
  unsigned workSide = 1; // the operand [G.., E * C, F] that is the work
  Lanes weights, work;
  /// What numbers the rows of an expert: some of the tokens' factors, and its
  /// places, if there is more than one.
  llvm::SmallVector<Axis> groups;
  std::optional<Axis> place;
  /// rows[g, e, c, :] = sum over s of mask[g, s, e, c] * tokens[g, s, :]
  mlir::linalg::GenericOp dispatch;
  unsigned dispatchRows = 0;       // its dimensions but the columns
  llvm::SmallVector<Axis> rowAxes; // their factors
  Lanes mask;
  mlir::Value tokens; // [T, D]
  /// Where the masks may differ from zero: one for each choice of a token.
  Cells cells;

  /// To experts, groups and places are what tokens are elsewhere: the factor of
  /// tokens that stands for a group or, after these, for the places.
  Axis rowAxis(unsigned factor) const;
  /// The group or the places that a factor stands for; null if none.
  const Axis *behindRowAxis(const Axis &axis) const;
  unsigned rowFactors() const { return groups.size() + (place ? 1 : 0); }
};

/// The work of experts whose rows may be numbered by nothing: one for each.
class CapacityBody : public DenseBody {
public:
  CapacityBody(GraphBuilder &graph, const CapacityExperts &found)
      // Nothing is spread over the rows of experts: they have another shape.
      : DenseBody(graph, found.experts, {found.shape.op, {}, 0}),
        hasNumbers(found.rowFactors() > 0) {}

protected:
  bool areRows(const Lanes &lanes) override {
    return hasNumbers ? DenseBody::areRows(lanes) : isWork(lanes);
  }
  bool areWeights(const Lanes &lanes) override;

private:
  bool hasNumbers;
};

/// Two neighbouring dimensions that have become one.
struct JoinedDims {
  mlir::Value tensor;
  int64_t first, second;
};
/// Those that are one dimension of a value, behind views.
std::optional<JoinedDims> findJoinedDims(mlir::Value value, int64_t dim);

/// A product that brings the work of experts with room for rows back to tokens,
/// but for what sends them there; nothing if it is none.
std::optional<CapacityExperts> matchCombine(mlir::linalg::GenericOp op);

/// Completes it by the product that made `rows`: the tokens [T, D] that were
/// sent to the places, made at the graph builder's place; null if it is none.
mlir::Value matchDispatch(GraphBuilder &graph, const Lanes &rows,
                          CapacityExperts &found);

/// Creates plan, apply and combine, and the test under which the masks are
/// multiplied with instead: [T, F], or null if a choice cannot be computed
/// without all of its mask. `factors` are tested for the limit of the mask.
mlir::Value emitMaskedCapacity(GraphBuilder &graph,
                               const CapacityExperts &found,
                               CapacityMask &masks, ExpertRegion &region,
                               mlir::Value slots, std::optional<double> limit,
                               llvm::ArrayRef<mlir::Value> factors,
                               mlir::FlatSymbolRefAttr site);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_CAPACITYEXPERTS_H
