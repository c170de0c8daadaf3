// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The `gate` dialect, its plan type and the base class of its ops.
#ifndef GATECC_DIALECTS_GATE_IR_GATEDIALECT
#define GATECC_DIALECTS_GATE_IR_GATEDIALECT

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributes.td"

def Gate_Dialect : Dialect {
  let name = "gate";
  let cppNamespace = "::gatecc::gate";
  let summary = "Networks that decide what to compute";
  let description = [{
    Every conditional computation is a partition of rows decided at run time,
    followed by dense work on each part. A *plan* (`!gate.plan`) is that
    partition. *Decisions* (`topk`, `route`, `partition`) make plans, *work*
    (`apply`) runs a region on the rows of a range of groups, and *merges*
    (`combine`, `merge`) bring slots back to rows. `contract` is the one
    product of rows and weights, dense or grouped.

    The schedule ops (`packed_contract`, `runtime_call`, `plan_tensors`,
    `bound`) are in destination style, on packed weights and on the tensors
    that make up a plan; the kernel ops (`tasks`, `launch` and the buffer ops)
    tie generated code to the run-time library.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

class Gate_Op<string mnemonic, list<Trait> traits = []>
    : Op<Gate_Dialect, mnemonic, traits>;

class Gate_Type<string name, string mnemonic_>
    : TypeDef<Gate_Dialect, name> {
  let mnemonic = mnemonic_;
}

def Gate_Plan : Gate_Type<"Plan", "plan"> {
  let summary = "A partition of rows into groups, decided at run time";
  let description = [{
    A plan over R source rows, each making `choices` choices among `groups`
    groups, has S <= R * choices slots. It stands for

      offsets[groups+1]   where each group's slots begin
      source[S]           the source row of each slot; slots are ordered by
                          group, then source row, then choice rank
      weight[S]           optional, one f32 for each slot
      inverse[R, choices] the slot of each (row, choice), -1 where dropped

    Indices are in range by construction, whatever the input.
    Example: `!gate.plan<groups = 8, choices = 2>`.
  }];
  let parameters = (ins "int64_t":$groups, "int64_t":$choices);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

// Where an operand of a contraction's epilogue varies.
def Gate_ExtentKind : I32EnumAttr<"ExtentKind", "which axes an epilogue operand follows", [
    I32EnumAttrCase<"Scalar", 0, "scalar">,
    I32EnumAttrCase<"Column", 1, "column">,
    I32EnumAttrCase<"Row", 2, "row">,
    I32EnumAttrCase<"Full", 3, "full">]> {
  let cppNamespace = "::gatecc::gate";
  let genSpecializedAttr = 0;
}
def Gate_ExtentKindAttr : EnumAttr<Gate_Dialect, Gate_ExtentKind, "extent"> {
  let assemblyFormat = "`<` $value `>`";
}

// How packed weights are stored.
def Gate_PanelFormat : I32EnumAttr<"PanelFormat", "how packed weights are stored", [
    I32EnumAttrCase<"Plain", 0, "plain">,
    I32EnumAttrCase<"Bf16", 1, "bf16">,
    I32EnumAttrCase<"Int8", 2, "int8">,
    I32EnumAttrCase<"Int4", 3, "int4">,
    I32EnumAttrCase<"Int8Quads", 4, "int8q">,
    I32EnumAttrCase<"Bf16Pairs", 5, "bf16p">,
    I32EnumAttrCase<"Bf16Tiles", 6, "bf16t">,
    I32EnumAttrCase<"F16", 7, "f16">]> {
  let cppNamespace = "::gatecc::gate";
  let genSpecializedAttr = 0;
}
def Gate_PanelFormatAttr : EnumAttr<Gate_Dialect, Gate_PanelFormat, "panel"> {
  let assemblyFormat = "`<` $value `>`";
}

def Gate_ScoreKind : I32EnumAttr<"ScoreKind", "how router logits become weights", [
    I32EnumAttrCase<"Softmax", 0, "softmax">,
    I32EnumAttrCase<"SoftmaxSelected", 1, "softmax_selected">,
    I32EnumAttrCase<"Sigmoid", 2, "sigmoid">,
    I32EnumAttrCase<"Identity", 3, "identity">]> {
  let cppNamespace = "::gatecc::gate";
  let genSpecializedAttr = 0;
}
def Gate_ScoreKindAttr : EnumAttr<Gate_Dialect, Gate_ScoreKind, "score"> {
  let assemblyFormat = "`<` $value `>`";
}

// What becomes of an element that an update meets.
def Gate_Reduction : I32EnumAttr<"Reduction", "how an update meets what is there", [
    I32EnumAttrCase<"None", 0, "none">,
    I32EnumAttrCase<"Add", 1, "add">,
    I32EnumAttrCase<"Mul", 2, "mul">,
    I32EnumAttrCase<"Max", 3, "max">,
    I32EnumAttrCase<"Min", 4, "min">]> {
  let cppNamespace = "::gatecc::gate";
  let genSpecializedAttr = 0;
}
def Gate_ReductionAttr : EnumAttr<Gate_Dialect, Gate_Reduction, "reduction"> {
  let assemblyFormat = "`<` $value `>`";
}

#endif // GATECC_DIALECTS_GATE_IR_GATEDIALECT
