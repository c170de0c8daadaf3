// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Passes that find conditional work in plain graphs.
#ifndef GATECC_RAISE_PASSES
#define GATECC_RAISE_PASSES

include "mlir/Pass/PassBase.td"

def FormGroups : Pass<"form-groups", "::mlir::ModuleOp"> {
  let summary = "Turns work that only some rows need into groups of a partition";
  let description = [{
    Work whose result is needed under a condition per row only (see
    gatecc/Raise/Demand.h) moves into a `gate.apply` on the rows that need it;
    deeper conditions become partitions inside it. Each exit network and each
    skipped layer gets one `gate.site`. The module attribute `gatecc.report`
    lists every candidate, taken or refused, with the reason.
  }];
  let options = [Option<"minCost", "min-cost", "int64_t", "4096",
    "operations per row that are worth a plan when there is no product among them">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def FormExperts : Pass<"form-experts", "::mlir::ModuleOp"> {
  let summary = "Turns products with weights that ids choose into experts";
  let description = [{
    A product whose weights are gathered from a constant stack by an id for each
    slot is work of the group that the id names. Such work up to the sum over
    the choices of a row becomes `gate.assign`, `gate.apply` on the rows of
    tokens, and `gate.combine`: the stack is read in place, once for each group
    that has slots. The module attribute `gatecc.report` lists each decision,
    taken or refused, with the reason.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def FormSelections : Pass<"form-selections", "::mlir::ModuleOp"> {
  let summary = "Turns work on rows that an index selects into groups of a partition";
  let description = [{
    Rows are selected by `gate.nonzero` of a mask or by `gate.topk` of scores,
    gathered, worked on one by one, and scattered or added back to the rows that
    they came from. The mask, or the columns that were chosen, becomes the
    predicate of a `gate.partition`, the work a `gate.apply` on the rows of the
    tensors that were gathered from, and the scatter a `gate.merge`. Rows that
    are selected from selected rows become a partition inside. Indices are
    followed through views, casts, sorts, concatenations of coordinates, and
    gathers from other indices; that they do not repeat is proved by what
    enumerates them, and anything else stays as it is. The module attribute
    `gatecc.report` lists every candidate that holds a product, taken or
    refused, with the reason.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def FormWhileRows : Pass<"form-while-rows", "::mlir::ModuleOp"> {
  let summary = "Takes rows that a loop does not change any more out of it";
  let description = [{
    A loop is a candidate if it carries tensors with a row for each row of the
    batch, of which one is kept by a selection in rows that do not run. If each
    row of what it carries depends on the same row and on nothing that changes
    from iteration to iteration, a row that one iteration leaves as it was, bit
    for bit, is left so by all others. Such rows are taken out: the work of
    an iteration becomes a `gate.apply` on the rows that changed in the last
    one. The module attribute `gatecc.report` lists every candidate.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def TestPrintDemand : Pass<"test-print-demand", "::mlir::func::FuncOp"> {
  let summary = "Prints under which conditions each op is needed (for tests)";
}

#endif // GATECC_RAISE_PASSES
