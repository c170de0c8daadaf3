// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The sizes and rows of a plan as values, for the passes that take plans apart.
#ifndef GATECC_LIB_TRANSFORMS_PLANSIZES_H
#define GATECC_LIB_TRANSFORMS_PLANSIZES_H

#include "dialects/Gate/IR/GateOps.h"

#include "mlir/IR/Builders.h"

namespace gatecc {

/// Creates, at the builder's insertion point, what is asked of a plan.
class PlanSizes {
public:
  PlanSizes(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value plan)
      : builder(builder), loc(loc), plan(plan) {}

  mlir::Value offsets() { return tensors().getOffsets(); }
  mlir::Value source() { return tensors().getSource(); }
  mlir::Value inverse() { return tensors().getInverse(); }
  /// The weights in row order; null for a plan that was not routed.
  mlir::Value weights();

  /// The number of source rows, R: the rows of the deciding op's operand.
  mlir::Value rows();
  /// offsets[group] as an index.
  mlir::Value offset(int64_t group);
  /// S, and the slots of the groups [first, last), each with its bound for
  /// memory planning.
  mlir::Value slots();
  mlir::Value rangeSize(int64_t first, int64_t last);

  /// The group of each slot, [S] of i32.
  mlir::Value groups();
  /// source[begin .. begin + count).
  mlir::Value sourceOfGroup(mlir::Value begin, mlir::Value count);
  /// [count, ...]: row source[i] of `rows` for each i.
  mlir::Value gatherRows(mlir::Value rows, mlir::Value source,
                         mlir::Value count);
  /// `base` with its row source[i] replaced by row i of `slots`.
  mlir::Value scatterRows(mlir::Value slots, mlir::Value source,
                          mlir::Value count, mlir::Value base);

private:
  gate::PlanTensorsOp tensors();
  mlir::Value bounded(mlir::Value value);
  mlir::Value rowBytes(mlir::Value rows);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Value plan;
};

/// Reports the first use in `root` of a plan that no op there decides, such as
/// an argument of a function: its rows are not known.
llvm::LogicalResult checkPlans(mlir::Operation *root);

/// Where the statistics count a site: its number, and that of its first group.
struct SitePlace {
  int64_t number = 0, first = 0;
  llvm::StringRef kind;
};
SitePlace findSite(mlir::Operation *op, mlir::FlatSymbolRefAttr site);

/// A call of the run-time library in destination style.
gate::RuntimeCallOp
createRuntimeCall(mlir::OpBuilder &builder, mlir::Location loc,
                  llvm::StringRef callee, mlir::ValueRange arguments,
                  mlir::ValueRange inits, llvm::ArrayRef<int64_t> nulls = {});

} // namespace gatecc

#endif // GATECC_LIB_TRANSFORMS_PLANSIZES_H
