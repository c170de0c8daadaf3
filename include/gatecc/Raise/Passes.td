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

def TestPrintDemand : Pass<"test-print-demand", "::mlir::func::FuncOp"> {
  let summary = "Prints under which conditions each op is needed (for tests)";
}

#endif // GATECC_RAISE_PASSES
