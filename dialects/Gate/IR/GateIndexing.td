// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Ops that index by data: positions of true elements, gathers and scatters of
// slices, running sums, and checks of sizes that only the run knows.
#ifndef GATECC_DIALECTS_GATE_IR_GATEINDEXING
#define GATECC_DIALECTS_GATE_IR_GATEINDEXING

include "dialects/Gate/IR/GateDialect.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Gate_NonZeroOp : Gate_Op<"nonzero", [Pure]> {
  let summary = "The positions of the true elements";
  let description = [{
    For `input` of rank R with n true elements, the positions p_0 < p_1 < ... of
    these in row-major order:

      result[d, j] = coordinate d of p_j,  result: [R, n]

    n is decided during the run and is at most the number of elements. *Ties,
    NaN*: none; the comparison that made `input` has decided. *Empty*: no true
    element gives [R, 0].

    Constraints: (C1) `input` is a tensor of i1 of rank 1 or more. (C2) the
    result is [R, ?] of i64.

    Example:
    ```mlir
    %p = gate.nonzero %mask : tensor<?x8xi1> -> tensor<2x?xi64>
    ```
    Source: ONNX NonZero. Reference: `gatecc.reference.nonzero`.
  }];
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Gate_GatherNDOp : Gate_Op<"gather_nd", [Pure]> {
  let summary = "Reads slices at positions that are data";
  let description = [{
    With b = `batch_dims` and i = `indices` [s_0, ..., s_{q-2}, m], each of the
    vectors of m integers names a slice of `data`:

      result[s_0, ..., s_{q-2}, :] =
          data[s_0, ..., s_{b-1}, i[s_0, ..., s_{q-2}, 0..m-1], :]

    An index in [-n, 0) counts from the end of its dimension of n; one out of
    range is clamped to the nearest element, so that no read is out of bounds.
    A slice of a dimension without elements reads as 0. *Ties, NaN*: none.
    *Empty*: no index vectors give an empty result.

    Constraints: (C1) 0 <= b < rank of `indices`, and b + m is at most the
    rank of `data`, with m static. (C2) `indices` are i32 or i64. (C3) the result has the extents of
    `indices` but the last, then those of `data` after b + m, and its element type.

    Example:
    ```mlir
    %w = gate.gather_nd %stack, %ids {batch_dims = 0 : i64} : tensor<8x48x32xf32>, tensor<?x1xi64> -> tensor<?x48x32xf32>
    ```
    Source: ONNX GatherND. Reference: `gatecc.reference.gather_nd`.
  }];
  let arguments = (ins AnyRankedTensor:$data, AnyRankedTensor:$indices, I64Attr:$batch_dims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$data `,` $indices attr-dict `:` type($data) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}

def Gate_ScatterNDOp : Gate_Op<"scatter_nd", [Pure]> {
  let summary = "Writes slices at positions that are data";
  let description = [{
    The result is `data` with updates applied one after another, in row-major
    order of the index vectors i = `indices` [s_0, ..., s_{q-2}, m]:

      result[i[s_0, ..., s_{q-2}, 0..m-1], :] =
          f(what is there, updates[s_0, ..., s_{q-2}, :])

    where f gives its second argument (`none`), the sum, the product, or the
    larger or smaller of both (NaN if either is). Where `reduction` is none and
    an index vector repeats, the last one counts; ONNX leaves this undefined.
    An index in [-n, 0) counts from the end; an update with an index out of
    range is skipped. *Ties, NaN*: +0 and -0 are equal for max and min, either may
    remain; a NaN stays. *Empty*: no updates give `data`.

    Constraints: (C1) m is static and at most the rank of `data`. (C2) `indices` are
    i32 or i64. (C3) `updates` has the extents of `indices` but the last, then
    those of `data` after m; the result has the type of `data`. (C4) with a
    reduction, elements are f32, f64, i32 or i64.

    Example:
    ```mlir
    %y = gate.scatter_nd %u at %i into %x {reduction = #gate.reduction<add>} : tensor<?x32xf32>, tensor<?x1xi64>, tensor<?x32xf32>
    ```
    Source: ONNX ScatterND. Reference: `gatecc.reference.scatter_nd`.
  }];
  let arguments = (ins AnyRankedTensor:$updates, AnyRankedTensor:$indices,
      AnyRankedTensor:$data, Gate_ReductionAttr:$reduction);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $updates `at` $indices `into` $data attr-dict `:` type($updates) `,` type($indices) `,` custom<SameType>(type($data), type($result))
  }];
  let hasVerifier = 1;
}

def Gate_ScatterElementsOp : Gate_Op<"scatter_elements", [Pure]> {
  let summary = "Writes elements at positions along one axis that are data";
  let description = [{
    The result is `data` with updates applied one after another, in row-major
    order of the positions p of `indices`:

      result[p with p[axis] = indices[p]] = f(what is there, updates[p])

    with f as in `scatter_nd`; where `reduction` is none and two updates meet,
    the last one counts. An index in [-n, 0) counts from the end; an update
    whose place is out of range is skipped. *Ties, NaN*: as in `scatter_nd`.
    *Empty*: no updates give `data`.

    Constraints: (C1) `data`, `indices` and `updates` have one rank, and `axis`
    is below it. (C2) `indices` are i32 or i64. (C3) `updates` has the shape of
    `indices` and the element type of `data`; the result has the type of
    `data`. (C4) with a reduction, elements are f32, f64, i32 or i64.

    Example:
    ```mlir
    %h = gate.scatter_elements %ones at %ids into %zeros {axis = 0 : i64, reduction = #gate.reduction<add>} : tensor<?xi64>, tensor<?xi64>, tensor<8xi64>
    ```
    Source: ONNX ScatterElements. Reference: `gatecc.reference.scatter_elements`.
  }];
  let arguments = (ins AnyRankedTensor:$updates, AnyRankedTensor:$indices,
      AnyRankedTensor:$data, I64Attr:$axis, Gate_ReductionAttr:$reduction);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $updates `at` $indices `into` $data attr-dict `:` type($updates) `,` type($indices) `,` custom<SameType>(type($data), type($result))
  }];
  let hasVerifier = 1;
}

def Gate_CumSumOp : Gate_Op<"cumsum", [Pure]> {
  let summary = "Running sums along an axis";
  let description = [{
    Along `axis`, from its first element on, or from the last if `reverse`:

      result[j] = input[0] + ... + input[j]        (exclusive: up to j - 1)

    added one after another; integers modulo 2^bits. *Ties*: none. *NaN*:
    stays in all later sums. *Empty*: an empty axis gives an empty result.

    Constraints: (C1) `axis` is below the rank. (C2) elements are f32, f64, i32
    or i64. (C3) the result has the type of `input`.

    Example:
    ```mlir
    %e = gate.cumsum %n {axis = 0 : i64, exclusive = false, reverse = false} : tensor<8xi64>
    ```
    Source: ONNX CumSum. Reference: `gatecc.reference.cumsum`.
  }];
  let arguments = (ins AnyRankedTensor:$input, I64Attr:$axis, BoolAttr:$exclusive, BoolAttr:$reverse);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` custom<SameType>(type($input), type($result))";
  let hasVerifier = 1;
}

def Gate_CheckOp : Gate_Op<"check"> {
  let summary = "Ends the run unless a condition holds";
  let description = [{
    If `condition` is false the run ends with the status GATECC_RUNTIME and
    `message`, in which {0} and {1} stand for the first two of `values`: sizes that come
    out of data and do not fit together. What is below the check may rely on
    the condition. *Ties, NaN*: none; `condition` has
    decided. *Empty*: a check without values has a message without numbers.

    Constraints: (C1) at most two values.

    Example:
    ```mlir
    gate.check %same, "node 'add' (Add): 'n' is {0}, but 'm' is {1}" (%n, %m)
    ```
    Source: the shape rules of ONNX operators.
  }];
  let arguments = (ins I1:$condition, StrAttr:$message, Variadic<Index>:$values);
  let assemblyFormat = "$condition `,` $message `(` $values `)` attr-dict";
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

#endif // GATECC_DIALECTS_GATE_IR_GATEINDEXING
