// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What a router is, read off the ids and weights that it gives to a plan.
#ifndef GATECC_LIB_RAISE_ROUTERFORM_H
#define GATECC_LIB_RAISE_ROUTERFORM_H

#include "SlotIndex.h"
#include "llvm/ADT/SetVector.h"

namespace gatecc::raise {

/// A router as `gate.route` says it: the k best of `scores` [T, G], each
/// weighed by its element of `mixing` (null: of `scores`).
struct FusedRouter {
  gate::TopKOp topk;
  mlir::Value mixing;
  bool softmaxOfChosen = false, sigmoidOfChosen = false;
  bool normalize = false;
  /// The sum that divides is that of the weights alone, and is never 0: one of
  /// them is at least 1 / G, or they are NaN.
  bool isSumPositive = false;
  mlir::FloatAttr scale, sumOffset, sumMin; // f32; null if there is none
  /// The ops that it takes the place of.
  llvm::SetVector<mlir::Operation *> ops;
};

struct RouterForm {
  /// "R1: softmax, the 2 best, normalised": the form (see the description of
  /// form-routes) and what it does.
  std::string text;
  /// Nothing where gate.route cannot say the same.
  std::optional<FusedRouter> fused;
};

/// Whether a top-k has a part in a mask or in ids.
bool isChosenByTopK(mlir::Value value);

/// `weights` is null where the graph weighs slots in another way.
RouterForm describeRouter(mlir::Value ids, mlir::Value weights);
RouterForm describeRouter(gate::RouteOp route);

} // namespace gatecc::raise

#endif // GATECC_LIB_RAISE_ROUTERFORM_H
