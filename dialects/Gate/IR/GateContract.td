// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The product of rows and weights: dense, or grouped by a plan.
#ifndef GATECC_DIALECTS_GATE_IR_GATECONTRACT
#define GATECC_DIALECTS_GATE_IR_GATECONTRACT

include "dialects/Gate/IR/GateDialect.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Gate_ContractOp : Gate_Op<"contract", [AttrSizedOperandSegments, Pure, SingleBlock]> {
  let summary = "Multiplies rows with weights and finishes in an epilogue";
  let description = [{
    For every row r, every column n and every weight i

      acc_i[r, n] = sum over k = 0..K-1 of rows[r, k] * w_i[k, n]
      result[r, n] = epilogue(acc_0, acc_1, ..., extras at (r, n))

    With a `plan` the product is grouped: the weights are [G, K, N], the result
    has a row for each *slot* s of the groups, and w_i is the slice of the
    slot's group. `gathered` says how rows are read: if set, slot s reads row
    source[s] of `rows` [T, K]; if not, `rows` is [S, K] in slot order.
    Each of `extras` follows the axes that `extents` says: `scalar` [], `column`
    [N] ([G, N] with a plan), `row` [R], `full` [R, N].

    Accumulation is in f32 (f64 for f64), one fused multiply-add after the other
    in the order of k where the target has one; the epilogue rounds to a narrower
    result. *NaN, infinities*: propagate within a row. *Empty*: no rows give an
    empty result; K = 0 accumulates +0.

    Constraints: (C1) `rows` is a float tensor of rank 2, [R, K]. (C2) there is
    at least one weight, and all have the same type, [K, N], or [G, K, N] with a
    plan; elements are of the type of those of `rows`, or f16 or bf16 where those
    are f32. (C3) one `extents` entry and the shape it asks for, for each extra.
    (C4) the region's block takes one scalar of the accumulator type for each
    weight and one of its element type for each extra, has scalar arith and
    math ops only, and yields one scalar of the result's element type. (C5) the
    result is [R, N], or [S, N] with a plan.

    Example:
    ```mlir
    %h = gate.contract rows(%x : tensor<?x64xf32>) weights(%g, %u : tensor<64x32xf32>, tensor<64x32xf32>) extras() [] -> tensor<?x32xf32> {
    ^bb0(%a: f32, %b: f32):
      %m = arith.mulf %a, %b : f32
      gate.yield %m : f32
    }
    ```
    Paper: Tan et al. 2024, "ScatterMoE", arXiv:2403.08245 (gather inside the
    product). Reference: `gatecc.reference.contract`.
  }];
  let arguments = (ins AnyRankedTensor:$rows, Variadic<AnyRankedTensor>:$weights,
      Variadic<AnyType>:$extras, Optional<Gate_Plan>:$plan,
      ArrayAttr:$extents, UnitAttr:$gathered);
  let results = (outs AnyRankedTensor:$result);
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    `rows` `(` $rows `:` type($rows) `)` `weights` `(` $weights `:` type($weights) `)`
    `extras` `(` ($extras^ `:` type($extras))? `)` $extents
    (`plan` `(` $plan^ `:` type($plan) `)`)? (`gathered` $gathered^)?
    attr-dict-with-keyword `->` type($result) $epilogue
  }];
  let hasVerifier = 1;
  let builders = [
    // A product that is rounded to the result's type and nothing else.
    OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$rows, "::mlir::Value":$weight)>
  ];
  let extraClassDeclaration = [{
    /// Whether the result is the rounded sum of the products with one weight,
    /// for all rows.
    bool isPlainProduct();
    ExtentKind getExtent(unsigned extra) {
      return ::mlir::cast<ExtentKindAttr>(getExtents()[extra]).getValue();
    }
  }];
}

#endif // GATECC_DIALECTS_GATE_IR_GATECONTRACT
