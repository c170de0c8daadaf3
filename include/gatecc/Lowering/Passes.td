// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Passes from the schedule level to the LLVM dialect, for CPUs.
#ifndef GATECC_LOWERING_PASSES
#define GATECC_LOWERING_PASSES

include "mlir/Pass/PassBase.td"

def BuildEntry : Pass<"build-entry", "::mlir::ModuleOp"> {
  let summary = "Gives @main the interface that the run-time library calls";
  let description = [{
    `@main` on tensors becomes `@gatecc_run(%frame) -> i32`: inputs are the
    caller's buffers (`port`), sizes are `symbol`s, results are computed into
    the caller's output buffers.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::bufferization::BufferizationDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect"];
}

def PlaceConstants : Pass<"place-constants", "::mlir::ModuleOp"> {
  let summary = "Gives every constant tensor its place in memory";
  let description = [{
    Each `arith.constant` of a tensor becomes a read-only global of the module;
    equal ones share it.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect",
    "::mlir::memref::MemRefDialect"];
}

def PlanMemory : Pass<"plan-memory", "::mlir::ModuleOp"> {
  let summary = "Gives every buffer a place in the run's arena";
  let description = [{
    Each `memref.alloc` of `@gatecc_run` gets an upper bound of its size as a
    polynomial in the input dimensions; buffers whose lifetimes do not meet
    share a place. Emits `@gatecc_arena_bytes`, which evaluates the total.
    A buffer without a bound is taken from the growable region of the context.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::arith::ArithDialect",
    "::mlir::memref::MemRefDialect"];
}

def CarryInPlace : Pass<"carry-in-place", "::mlir::func::FuncOp"> {
  let summary = "Has loops keep each carried tensor in one buffer";
  let description = [{
    Each tensor that a loop's body yields is put into the buffer of the tensor
    that the body was given, so that a loop needs as much memory as one of its
    iterations. A value that may lie in the buffer of a carried tensor is
    copied before the first such buffer is overwritten.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect"];
}

def CheckCancellation : Pass<"check-cancellation", "::mlir::func::FuncOp"> {
  let summary = "Has every iteration look whether the run was cancelled";
  let dependentDialects = ["::gatecc::gate::GateDialect"];
}

def UnshareInits : Pass<"unshare-inits", "::mlir::func::FuncOp"> {
  let summary = "Gives every op in destination style a destination of its own";
  let description = [{
    Where several ops have the same destination, all but one get a copy: of an
    empty tensor or a fill another one, of any other tensor an `alloc_tensor`.
    The tensors that a loop begins with are destinations, too.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def PadRows : Pass<"pad-rows", "::mlir::func::FuncOp"> {
  let summary = "Sets rows apart that would share cache sets";
  let description = [{
    Rows of a contraction that lie a multiple of a page apart are moved a line
    further apart: in the buffer where contractions and linalg ops alone use it,
    else in a copy, which is made where there are many rows.
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::scf::SCFDialect"];
}

def UnshareSources : Pass<"unshare-sources", "::mlir::func::FuncOp"> {
  let summary = "Gives every reader of memory that nothing writes to a tensor of its own";
  let description = [{
    Inputs, weights and constants. Bufferization, which compares all uses of one
    tensor with each other, then takes no longer than in proportion to them.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect"];
}

def CutAliases : Pass<"cut-aliases", "::mlir::func::FuncOp"> {
  let summary = "Ends long chains of branches that may return what they were given";
  let description = [{
    Skipped layers: each is an `scf.if` that updates rows or returns them as they
    are, and all of these tensors may lie in one buffer. Each `limit` branches the
    result is copied, so that bufferization, which compares all uses of such a
    buffer with each other, takes no longer than in proportion to the layers.
  }];
  let options = [
    Option<"limit", "limit", "unsigned", /*default=*/"32", "Branches in a chain">
  ];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect"];
}

def LowerContract : Pass<"lower-contract", "::mlir::ModuleOp"> {
  let summary = "Emits the register tiles of packed contractions";
  let description = [{
    One function for each kind of contraction (element type, weights, epilogue,
    gather), called by every site that needs it with row blocks and ranges of
    panels as tasks. All row counts of a tile keep the same order over K.
    A function whose tiles are in the registers of AMX configures them.
  }];
  let options = [Option<"isa", "isa", "std::string", "\"avx2\"", "as in gatecc/Target/Tiles.h">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::memref::MemRefDialect", "::mlir::math::MathDialect",
    "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect"];
}

def LowerStructured : Pass<"lower-structured", "::mlir::func::FuncOp"> {
  let summary = "Turns linalg ops on buffers into vector loops and tasks";
  let description = [{
    Elementwise ops and row reductions become loops over the innermost axis in
    vectors with a scalar rest that computes the same bits; a reduction adds in
    eight lanes, then the lanes in order, then the rest. Products (batch...,
    row, sum, column) keep the sums of a tile of rows and columns in registers,
    and add in the order of the axis. Long outer loops become tasks.
  }];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect",
    "::mlir::affine::AffineDialect"];
}

def OutlineTasks : Pass<"outline-tasks", "::mlir::ModuleOp"> {
  let summary = "Makes the body of every tasks op a function";
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::func::FuncDialect"];
}

def CheckAccesses : Pass<"check-accesses", "::mlir::ModuleOp"> {
  let summary = "Ends the process where the run leaves a buffer";
  let description = [{
    Every load, store and view of a buffer is preceded by a test that its
    elements are inside. Where one is not, the op and its location go to standard error, and the process ends by a trap. This is
    for tests of the compiler: no index should ever be outside.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def SplitRun : Pass<"split-run", "::mlir::ModuleOp"> {
  let summary = "Divides a long @gatecc_run in functions";
  let description = [{
    A function of more ops than `ops` becomes calls of functions of about so
    many, which return what later ones need. Constants and the addresses of
    buffers in arena, inputs, outputs and weights are computed anew in each. So
    LLVM never sees a function as long as a network, whose optimization takes
    longer than in proportion, and the stack of a run has a bound.
  }];
  let options = [Option<"ops", "ops", "int64_t", "1000", "about how many ops a function has">];
  let dependentDialects = ["::gatecc::gate::GateDialect", "::mlir::func::FuncDialect"];
}

def ExpandMath : Pass<"expand-math", "::mlir::ModuleOp"> {
  let summary = "Replaces exp, tanh, erf and their like by one polynomial each";
  let description = [{
    The same arithmetic for vectors and scalars, so that a value does not
    depend on where in a row it stands. Without fused multiply-add in the
    target, products and sums are separate. Arithmetic on f16 and bf16 is done
    in f32 and rounded op by op, in integers for bf16.
  }];
  let options = [Option<"fma", "fma", "bool", "true", "the target has fused multiply-add">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
    "::mlir::vector::VectorDialect"];
}

def ConvertGateToLLVM : Pass<"convert-gate-to-llvm", "::mlir::ModuleOp"> {
  let summary = "Converts the kernel level to the LLVM dialect";
  let description = [{
    Ops that are one instruction become it where the target has it, and others
    with the same result where it has not.
  }];
  let options = [Option<"vnni", "vnni", "bool", "false",
    "whether the target has an instruction for dot_bytes">,
    Option<"bf16", "bf16", "bool", "false",
    "whether the target has an instruction for dot_bf16">,
    Option<"amx", "amx", "bool", "false",
    "whether the target has the tile registers of the amx_ ops">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

#endif // GATECC_LOWERING_PASSES
