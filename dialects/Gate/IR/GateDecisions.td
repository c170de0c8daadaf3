// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ops that decide: top-k selection, routing, partition of rows.
#ifndef GATECC_DIALECTS_GATE_IR_GATEDECISIONS
#define GATECC_DIALECTS_GATE_IR_GATEDECISIONS

include "dialects/Gate/IR/GateDialect.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Gate_TopKOp : Gate_Op<"topk", [Pure]> {
  let summary = "Chooses the k best elements of every row";
  let description = [{
    For each row t of `input` [T, N] gives the `k` best elements, best first,
    and their columns:

      indices[t, :] = argtopk_n input[t, n];  values[t, j] = input[t, indices[t, j]]

    *Ties*: equal values keep the lower column first; -0 equals +0.
    *NaN*: ranks after every number, whether `largest` or not; NaNs among
    themselves by column. *Empty*: T = 0 or k = 0 gives empty results. A k that
    only the run knows is the operand `count`, which is in [0, N].

    Constraints: (C1) `input` has rank 2. (C2) either `k` or `count` is given, 0 <= k, and
    k <= N where N is static. (C3) both results are [T, k]; `values` has the element type of
    `input`, `indices` i64.

    Example:
    ```mlir
    %v, %i = gate.topk %x {k = 2 : i64, largest = true} : tensor<?x8xf32> -> tensor<?x2xf32>, tensor<?x2xi64>
    ```
    Source: ONNX TopK (opset 11 and later). Reference: `gatecc.reference.topk`.
  }];
  let arguments = (ins AnyRankedTensor:$input, Optional<Index>:$count, OptionalAttr<I64Attr>:$k, BoolAttr:$largest);
  let results = (outs AnyRankedTensor:$values, AnyRankedTensor:$indices);
  let assemblyFormat = "$input (`count` $count^)? attr-dict `:` type($input) `->` type($values) `,` type($indices)";
  let hasVerifier = 1;
}

def Gate_RouteOp : Gate_Op<"route", [Pure]> {
  let summary = "Routes every row to k groups by its logits";
  let description = [{
    Turns router logits l [T, G] into a plan with `choices` = k:

      softmax:           s = softmax(l[t, :]) over all groups; choose the k best
      softmax_selected:  choose the k best of l; s = softmax over the chosen
      sigmoid:           choose the k best of l; s = 1 / (1 + exp(-l)) of the chosen
      identity:          s = l; choose the k best
      weight[t, j] = scale * s[t, j] / (normalize ? sum_i s[t, i] : 1)

    With `mixing` [T, G] the logits only choose, and s is the chosen elements of
    `mixing` (a router whose bias is for the choice alone). A weight is 0 where it would be divided by a sum of 0.
    With `sum_offset`, s is divided by max(sum + `sum_offset`, `sum_min`) as it is, 0 / 0 included. With
    `drop_nonpositive` a choice whose weight is <= 0 is absent from the plan
    (com.microsoft.MoE does so). *Ties* go to the lower group, or, with
    `ties_high`, to the higher one (ONNX Runtime's CPU kernel). *NaN*: ranks
    after every number; a softmax over a row that holds NaN is NaN throughout,
    and `NaN <= 0` is false, so such a row keeps all its choices. *Empty*:
    T = 0 makes a plan without slots.

    Constraints: (C1) `logits` is a float tensor of rank 2. (C2) its second
    extent is the plan's `groups`. (C3) 1 <= choices <= groups.
    (C4) `mixing` has the type of `logits`, and `score` is then identity.
    (C5) `sum_offset` is for a score identity or sigmoid that is normalised, `sum_min` for a `sum_offset`.

    Example:
    ```mlir
    %p = gate.route %l {score = #gate.score<softmax>, normalize = true} : tensor<?x8xf32> -> !gate.plan<groups = 8, choices = 2>
    ```
    Paper: Shazeer et al. 2017, "Outrageously Large Neural Networks",
    arXiv:1701.06538, section 2.1. Reference: `gatecc.reference.route`.
  }];
  let arguments = (ins AnyRankedTensor:$logits, Optional<AnyRankedTensor>:$mixing,
      Gate_ScoreKindAttr:$score,
      DefaultValuedAttr<BoolAttr, "false">:$normalize,
      OptionalAttr<F32Attr>:$sum_offset, OptionalAttr<F32Attr>:$sum_min,
      DefaultValuedAttr<F32Attr, "1.0f">:$scale,
      DefaultValuedAttr<BoolAttr, "false">:$drop_nonpositive,
      DefaultValuedAttr<BoolAttr, "false">:$ties_high,
      OptionalAttr<FlatSymbolRefAttr>:$site);
  let results = (outs Gate_Plan:$plan);
  let assemblyFormat = [{
    $logits (`mixing` `(` $mixing^ `:` type($mixing) `)`)? attr-dict
    `:` type($logits) `->` type($plan)
  }];
  let hasVerifier = 1;
}

def Gate_PartitionOp : Gate_Op<"partition", [Pure]> {
  let summary = "Puts every row into exactly one group";
  let description = [{
    `selector` is a predicate (i1) or a group id (i32) for each row. A predicate
    makes two groups: group 0 holds the rows where it is true, group 1 the
    others. An id outside [0, groups) leaves its row out of the plan.

      group(t) = i1: selector[t] ? 0 : 1;   i32: selector[t]

    In a loop whose rows stop one by one, group 0 holds those that still run, and
    `step` is the number of the iteration, which the statistics of a site of
    kind halt count by.

    *Ties, NaN*: none; the comparison that made the predicate has decided.
    *Empty*: T = 0 makes a plan without slots.

    Constraints: (C1) `selector` has rank 1, or rank 2 with a second extent of
    1. (C2) its element type is i1 or i32. (C3) the plan's `choices` is 1, and
    its `groups` 2 for a predicate. (C4) `step` is for a predicate of a site.

    Example:
    ```mlir
    %p = gate.partition %live : tensor<?xi1> -> !gate.plan<groups = 2, choices = 1>
    ```
    Paper: Teerapittayanon et al. 2016, "BranchyNet", arXiv:1709.01686 (exits).
    Reference: `gatecc.reference.partition`.
  }];
  let arguments = (ins AnyRankedTensor:$selector, Optional<Index>:$step,
      OptionalAttr<FlatSymbolRefAttr>:$site,
      DefaultValuedAttr<I64Attr, "0">:$exit);
  let results = (outs Gate_Plan:$plan);
  let assemblyFormat = "$selector (`step` `(` $step^ `)`)? attr-dict `:` type($selector) `->` type($plan)";
  let hasVerifier = 1;
}

def Gate_AssignOp : Gate_Op<"assign", [Pure]> {
  let summary = "Sends every row to the groups that its ids name";
  let description = [{
    Makes a plan of choices that something else has made: choice j of row t goes
    to group ids[t, j] with weight weights[t, j], or 1 without `weights`. An id
    outside [0, groups) leaves its choice out of the plan. What networks compute
    their ids and weights with is their business; `route` is for those whose
    logits alone decide.

    *Ties, NaN*: none; weights are passed on as they are. *Empty*: T = 0 makes a
    plan without slots.

    Constraints: (C1) `ids` is [T, k] of i32 or i64, k the plan's `choices`.
    (C2) `weights` is [T, k] of f32.

    Example:
    ```mlir
    %p = gate.assign %ids weights(%w : tensor<?x2xf32>) : tensor<?x2xi64> -> !gate.plan<groups = 8, choices = 2>
    ```
    Paper: Shazeer et al. 2017, arXiv:1701.06538, section 2. Reference:
    `gatecc.reference.assign`.
  }];
  let arguments = (ins AnyRankedTensor:$ids, Optional<AnyRankedTensor>:$weights,
      OptionalAttr<FlatSymbolRefAttr>:$site);
  let results = (outs Gate_Plan:$plan);
  let assemblyFormat = [{
    $ids (`weights` `(` $weights^ `:` type($weights) `)`)? attr-dict
    `:` type($ids) `->` type($plan)
  }];
  let hasVerifier = 1;
}

#endif // GATECC_DIALECTS_GATE_IR_GATEDECISIONS
