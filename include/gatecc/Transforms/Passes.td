// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Passes from the gate level to the schedule level.
#ifndef GATECC_TRANSFORMS_PASSES
#define GATECC_TRANSFORMS_PASSES

include "mlir/Pass/PassBase.td"

def FuseElementwise : Pass<"fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "Merges elementwise ops with those that feed them";
  let description = [{
    MLIR's fusion of elementwise ops and reshapes, within one loop: work that
    stands before a loop stays there, and so does work on an operand that a
    reduction reads several times.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect"];
}

def FuseEpilogue : Pass<"fuse-epilogue", "::mlir::func::FuncOp"> {
  let summary = "Moves elementwise work into the contraction that feeds it";
  let description = [{
    An elementwise `linalg.generic` that is the only user of one or more
    contractions of the same rows becomes their common epilogue, so that bias,
    activation, gating and residual are applied to accumulators in registers.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect"];
}

def InlineApply : Pass<"inline-apply", "::mlir::func::FuncOp"> {
  let summary = "Turns apply into grouped contractions, or into work on gathered rows";
  let description = [{
    An `apply` over all groups with stacked parameters becomes its body on all
    slots at once, with grouped contractions that read rows through the plan.
    If the parameters are vectors, rows of tables, it becomes work on [rows,
    choices, ...] instead, which reads these rows where the ids say, and its
    `combine` a sum over choices: there is no plan any more.
    An `apply` on one group becomes an `scf.if` (is there any row?) around
    gather, body and the scatter of its `merge`s.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect", "::mlir::arith::ArithDialect"];
}

def WidenRows : Pass<"widen-rows", "::mlir::func::FuncOp"> {
  let summary = "Gives contractions rows of f32";
  let description = [{
    The rows of a `contract` on f16 or bf16 are widened, which is exact: in the
    epilogue or the `linalg.generic` that computes them where they are used for
    nothing else, or by an op of their own.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect"];
}

def PackWeights : Pass<"pack-weights", "::mlir::ModuleOp"> {
  let summary = "Gives contractions their weights in panels";
  let description = [{
    Every `contract` becomes a `packed_contract` on a `packed_weight` of the
    layout that the tile table has for the target. Plans become the tensors
    that they are made of.

    A contraction on a plan of `route` has its weights in the format that
    `experts` names: `int8` and `int4` with one scale, and, for `zero-points`, a
    zero point, for each `block` of successive k. Integers of 8 bits are packed as int8q for an instruction set
    with VNNI, as int8 for others. A `route` with the attribute `gatecc.exact`
    leaves its contractions as they are. Weights of bf16 are packed as they are,
    those of f16 where the instruction set widens f16; both are multiplied in f32.
  }];
  let options = [Option<"isa", "isa", "std::string", "\"avx2\"", "as in gatecc/Target/Tiles.h">,
    Option<"experts", "experts", "std::string", "\"f32\"", "f32, bf16, int8 or int4">,
    Option<"block", "block", "int64_t", "32", "how many k share a scale: 32, 64 or 128">,
    Option<"zeroPoints", "zero-points", "bool", "false", "integers are asymmetric">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::tensor::TensorDialect"];
}

def LowerPlans : Pass<"lower-plans", "::mlir::func::FuncOp"> {
  let summary = "Builds plans as tensors and merges with them";
  let description = [{
    `route`, `partition`, `combine` and `topk` become calls of the run-time
    library on tensors; statistics are recorded where a site is named.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::tensor::TensorDialect",
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect"];
}

def LowerIndexing : Pass<"lower-indexing", "::mlir::func::FuncOp"> {
  let summary = "Computes the places that gathers and scatters name";
  let description = [{
    `nonzero`, `gather_nd`, `scatter_nd`, `scatter_elements` and `cumsum` become
    calls of the run-time library on tensors; places are row-major numbers of
    slices, computed by `linalg.generic`, and -1 where an update is skipped.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::tensor::TensorDialect",
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect"];
}

def DropEmpty : Pass<"drop-empty", "::mlir::func::FuncOp"> {
  let summary = "Computes nothing that has no elements";
  let description = [{
    An op without side effects whose results all have a fixed extent of 0 becomes
    `tensor.empty`.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}

def VerifyLevel : Pass<"verify-level", "::mlir::ModuleOp"> {
  let summary = "Rejects what may not live at a level of the IR";
  let description = [{
    Runs at the end of each stage. The first op that the level does not allow is
    an error that names the op and the level.
  }];
  let options = [Option<"level", "level", "std::string", "\"gate\"",
    "import, gate, schedule, kernel or llvm">];
}

#endif // GATECC_TRANSFORMS_PASSES
