// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Work on the rows of a plan, and the ops that bring slots back to rows.
#ifndef GATECC_DIALECTS_GATE_IR_GATEWORK
#define GATECC_DIALECTS_GATE_IR_GATEWORK

include "dialects/Gate/IR/GateDialect.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"

def Gate_YieldOp : Gate_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "Ends a region of apply or contract";
  let description = [{
    Yields the values of the region: slot tensors in `apply`, one scalar in
    `contract`.

    Constraints: (C1) the parent is `apply`, `contract` or `packed_contract`,
    which checks number and types.

    Example: `gate.yield %y : tensor<?x64xf32>`.
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let hasVerifier = 1;
}

def Gate_ApplyOp : Gate_Op<"apply", [AttrSizedOperandSegments, SingleBlock,
                                     RecursiveMemoryEffects]> {
  let summary = "Runs regions on the rows of ranges of groups";
  let description = [{
    Region i runs once for the rows of each group g in
    [ranges[2i], ranges[2i+1]). Its block takes, for each of `inputs` [T, ...],
    the rows of the group [n, ...] (n >= 0), and, for each of `params`
    [G_i, ...], the slice [...] of the group (indexed by g - ranges[2i]); values from
    above may be used as they are. It yields slot tensors [n, ...], which
    become the rows of that group in the results [S, ...], slots ordered as in
    the plan. `params` belong to the first region; the rows of groups that no
    region covers are undefined and must not be read (`merge` does not).

    *Ties, NaN*: none of its own. *Empty*: a group without rows may or may not
    run its region; regions have no side effects but the recording of
    statistics.

    Constraints: (C1) ranges are increasing, do not overlap and lie in
    [0, groups). (C2) one pair for each region. (C3) each region has one block
    with an argument for each input and, in the first region, for each
    param. (C4) arguments have the operands' element types; inputs keep
    all extents but the first, params drop the first, which equals the number
    of groups of the range. (C5) yields match the results but for the first
    extent.

    Example:
    ```mlir
    %y = gate.apply %p ranges [0, 8] ins(%x : tensor<?x64xf32>) params(%w : tensor<8x64x64xf32>) : !gate.plan<groups = 8, choices = 2> -> tensor<?x64xf32> {
    ^bb0(%rows: tensor<?x64xf32>, %we: tensor<64x64xf32>):
      %z = gate.contract rows(%rows) weights(%we) ...
      gate.yield %z : tensor<?x64xf32>
    }
    ```
    Paper: Gale et al. 2022, "MegaBlocks", arXiv:2211.15841 (grouped experts).
    Reference: `gatecc.reference.apply`.
  }];
  let arguments = (ins Gate_Plan:$plan, Variadic<AnyRankedTensor>:$inputs,
      Variadic<AnyRankedTensor>:$params, DenseI64ArrayAttr:$ranges);
  let results = (outs Variadic<AnyRankedTensor>:$outputs);
  let regions = (region VariadicRegion<SizedRegion<1>>:$bodies);
  let assemblyFormat = [{
    $plan `ranges` $ranges (`ins` `(` $inputs^ `:` type($inputs) `)`)?
    (`params` `(` $params^ `:` type($params) `)`)? attr-dict-with-keyword `:` type($plan) `->` type($outputs) $bodies
  }];
  let hasVerifier = 1;
}

def Gate_CombineOp : Gate_Op<"combine", [Pure]> {
  let summary = "Sums the slots of each row, weighted, in choice order";
  let description = [{
      result[t, :] = sum over j = 0..choices-1 of weight[t, j] * slots[inverse[t, j], :]

    in this order; a dropped choice adds nothing, a row whose choices are all
    dropped is +0. A plan without weights sums with 1.

    *Ties*: none. *NaN*: propagate from slots that the row chose, and from no
    others. *Empty*: T = 0 gives an empty result.

    Constraints: (C1) `slots` is a float tensor [S, N] of rank 2. (C2) the
    result is [T, N] with the same element type.

    Example: `%y = gate.combine %s, %p rows(%t) : tensor<?x64xf32>, !gate.plan<groups = 8, choices = 2> -> tensor<?x64xf32>`.
    Paper: Shazeer et al. 2017, arXiv:1701.06538, eq. 1.
    Reference: `gatecc.reference.combine`.
  }];
  let arguments = (ins AnyRankedTensor:$slots, Gate_Plan:$plan, Index:$rows);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$slots `,` $plan `rows` `(` $rows `)` attr-dict `:` type($slots) `,` type($plan) `->` type($result)";
  let hasVerifier = 1;
}

def Gate_MergeOp : Gate_Op<"merge", [Pure, AllTypesMatch<["base", "result"]>]> {
  let summary = "Takes each row from the group that had it, or from a base";
  let description = [{
      result[t] = group(t) in [first, last) ? slots[inverse[t]] : base[t]

    for a plan with one choice. *Ties, NaN*: rows are moved, never computed
    with, so nothing leaks from rows that were not selected. *Empty*: T = 0
    gives an empty result.

    Constraints: (C1) the plan has one choice. (C2) `slots` and `base` have the
    same rank, element type and extents but the first. (C3)
    0 <= first < last <= groups.

    Example: `%y = gate.merge %s, %p groups [0, 1] base(%b) : tensor<?x10xf32>, !gate.plan<groups = 2, choices = 1>, tensor<?x10xf32>`.
    Reference: `gatecc.reference.merge`.
  }];
  let arguments = (ins AnyRankedTensor:$slots, Gate_Plan:$plan, DenseI64ArrayAttr:$range,
                       AnyRankedTensor:$base);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$slots `,` $plan `groups` $range `base` `(` $base `)` attr-dict `:` type($slots) `,` type($plan) `,` type($base)";
  let hasVerifier = 1;
}

#endif // GATECC_DIALECTS_GATE_IR_GATEWORK
