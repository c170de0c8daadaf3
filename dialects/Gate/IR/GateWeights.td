// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights as views of files, and the sites whose decisions are counted.
#ifndef GATECC_DIALECTS_GATE_IR_GATEWEIGHTS
#define GATECC_DIALECTS_GATE_IR_GATEWEIGHTS

include "dialects/Gate/IR/GateDialect.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Gate_WeightOp : Gate_Op<"weight", [Symbol,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A constant tensor that stays in its file until the library is written";
  let description = [{
    Element i of the tensor is the element at byte
    `offset` + elementSize * sum_d i_d * strides_d of `file`, little-endian, so
    a slice or a transposition of a weight is another `weight` on the same bytes.
    A small tensor that comes from no file is held in `value`. Slice g along the
    first dimension of a `stack` is the weight that its entry g names: experts
    that a file holds one by one become the groups of one tensor.

    Constraints: (C1) the type is static. (C2) either `file` with one
    stride for each dimension, or `value` of the same type, or `stack`. (C3)
    `offset` and strides are not negative. (C4) `stack` has an entry for each
    element of the first dimension, and each is another `gate.weight`, no stack
    itself, of the type without it.

    Example: `gate.weight @w : tensor<8x64x32xf32> {file = "m.onnx", offset = 512 : i64, strides = array<i64: 4096, 1, 128>}`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type,
      OptionalAttr<StrAttr>:$file, DefaultValuedAttr<I64Attr, "0">:$offset,
      OptionalAttr<DenseI64ArrayAttr>:$strides, OptionalAttr<ElementsAttr>:$value,
      OptionalAttr<FlatSymbolRefArrayAttr>:$stack);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
}

def Gate_PackedWeightOp : Gate_Op<"packed_weight", [Symbol]> {
  let summary = "Weights in the panel layout that a contraction reads";
  let description = [{
    Packs W = |sources| weights [G, K, N] (or [K, N], G = 1) into panels of
    `lanes` columns of each, C = W * lanes columns in all. P = ceil(N / lanes);
    column c = i * lanes + l of panel p is column p * lanes + l of source i, and 0
    where that lies beyond N. Evaluated when the library is written. A panel is a
    sequence of units along K:

      format  type                          element
      plain   [G, P, K, C]                  (k, c) is w[k, c], in f32 or f64
      f16     the same                      (k, c) is w[k, c], which is f16
      bf16    [G, P, ceil(K/2), C * 2]      (u, 2c + j) is bf16(w[2u + j, c])
      bf16p   the same, for rows of bf16
      bf16t   [G, P, ceil(K/32), C * 32]    (u, 2C r + 2c + j) is bf16(w[32u + 2r + j, c])
      int8    [G, P, ceil(K/block), bytes]  integers: (2C (r / 2) + 2c + r % 2)
              is q[r, c], for row r of the block
      int8q   the same                      (4C (r / 4) + 4c + r % 4), a byte
              without a sign, is q[r, c] + 128
      int4    the same                      the nibbles of row 8a + r of column c
              are in the 4 bytes at 4 (aC + c): q[r, c] + 8 is the
              low half of byte r if r < 4, the high half of byte r - 4 if not

    Rows beyond K are 0. bf16 rounds to nearest, ties to even. After its
    integers, an integer block has, if `zeros` is set, two signed bytes for
    each column whose sum is minus the zero point of the stored integers, and
    then the scales, f32[C], so that w = scale * (stored integer - zero point).
    Without `zeros` the zero point is 0 for int8, 128 for int8q and 8 for int4.

    Weights that are quantised already come as `sources` of bytes in the layout
    of `dequantize`, with `scales`, `bits`, perhaps `zero_points`, and their own
    `source_block`, of which `block` is a divisor unless one holds all of K, and
    `depth`, K; they keep their integers. Others are quantised here, each block
    of a column by itself, in f32 arithmetic, roundings to nearest, ties to even:

      scale = max |w| / 127 (int4: / 7);  q = round(w / scale)
      asymmetric: scale = max(0, max w) / L - min(0, min w) / L, L = 255 (15);
        z = round(-min(0, min w) / scale);  q = clamp(round(w / scale), -z, L - z)

    and q is 0 where the scale is. A stored integer is q plus the zero point.

    bf16p is for `dot_bf16`, bf16t for the tile registers of `amx_dot_bf16`, which
    hold 16 pairs of rows of K by 16 columns. int8 is for multiplications of pairs
    of 16 bits (`dot_pairs`), int8q for those of four bytes (`dot_bytes`), of which
    one side has no sign.

    Constraints: (C1) every source is a `gate.weight` of one common type, and so
    are scales and zero points. (C2) the type is the one computed above. (C3) the
    integer formats have a `block`, a positive multiple of 8.
    (C4) `depth` and a `source_block` as above exactly where there are `scales`,
    and then the format is of integers. (C5) `asymmetric` weights have `zeros`
    and no `scales`. (C6) the format f16 is of sources of f16.

    Example: `gate.packed_weight @p : tensor<8x4x64x16xf32> {sources = [@g, @u], lanes = 8 : i64}`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type,
      ArrayAttr:$sources, I64Attr:$lanes,
      DefaultValuedAttr<Gate_PanelFormatAttr, "::gatecc::gate::PanelFormat::Plain">:$format,
      DefaultValuedAttr<I64Attr, "0">:$block, UnitAttr:$zeros, UnitAttr:$asymmetric,
      OptionalAttr<ArrayAttr>:$scales, OptionalAttr<ArrayAttr>:$zero_points,
      DefaultValuedAttr<I64Attr, "0">:$bits, DefaultValuedAttr<I64Attr, "0">:$source_block,
      DefaultValuedAttr<I64Attr, "0">:$depth);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// K: `depth` where the sources are bytes, else their own.
    int64_t getK();
    PanelLayout getLayout();
  }];
}

def Gate_WeightValueOp : Gate_Op<"weight_value", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The value of a weight";
  let description = [{
    Is the tensor that the symbol names.

    Constraints: (C1) the symbol is a `gate.weight` or `gate.packed_weight` of
    the result's type.

    Example: `%w = gate.weight_value @w : tensor<64x64xf32>`.
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

def Gate_DequantizeOp : Gate_Op<"dequantize", [Pure]> {
  let summary = "Weights that are held as integers with a scale for each block";
  let description = [{
    The layout is that of ONNX Runtime's MatMulNBits and QMoE: row n of `values`
    holds column n of the weight as unsigned integers q of `bits` bits along k,
    and each `block` of successive k has a scale s and a zero point z:

      w[g, k, n] = (q[g, n, k] - z[g, n, k / block]) * s[g, n, k / block]

    With 8 bits q[g, n, k] is values[g, n, k]; with 4 bits it is the low half of
    values[g, n, k / 2] where k is even and the high half where it is odd.
    `zeros` holds z along blocks in the same way; without it z = 2^(bits - 1).
    Rows hold ceil(K * bits / 8) bytes, those of `zeros` ceil(J * bits / 8), and
    an unused half of the last byte means nothing. A file whose rows are longer
    (MatMulNBits pads K to whole blocks) is viewed by a `weight` that leaves the
    padding out. The last block is short where `block` does not divide K; a
    scale for each whole column is `block` = K. All of it may come without G.

    A `contract` on the result computes with the integers. Blocks longer than
    128 are cut into blocks of 128 that share their s and z. Rows are quantised
    block by block, in f32 arithmetic: s_x = max |x_k| / 127 and q_x[k] =
    roundeven(x_k / s_x), at most 127 in size, or 0 where s_x = 0. Then, for each
    block j in order,

      acc = fma(sum over k in block j of q_x[k] * (q[n, k] - z[n, j]), s_x[j] * s[n, j], acc)

    with an exact sum of integers. *NaN*: a NaN or an infinity in a row makes all
    results of this row NaN. Nothing but a `contract` reads the result.

    Constraints: (C1) `bits` is 4 or 8 and `block` at least 1. (C2) the result is
    a static tensor of f32 [G, K, N] or [K, N] with K at least 1. (C3) `values`
    is ui8 [G, N, ceil(K * bits / 8)] or the same without G. (C4) `scales` is f32
    [G, N, J], J = ceil(K / block), or without G. (C5) `zeros` is
    ui8 [G, N, ceil(J * bits / 8)] or without G.

    Example:
    ```mlir
    %w = gate.dequantize %q, %s zeros(%z) {bits = 4 : i64, block = 32 : i64} : tensor<8x32x32xui8>, tensor<8x32x2xf32>, tensor<8x32x1xui8> -> tensor<8x64x32xf32>
    ```
    Reference: `gatecc.reference.dequantize` and `contract_quantized`.
  }];
  let arguments = (ins AnyRankedTensor:$values, AnyRankedTensor:$scales,
      Optional<AnyRankedTensor>:$zeros, I64Attr:$bits, I64Attr:$block);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $values `,` $scales (`zeros` `(` $zeros^ `)`)? attr-dict
    `:` type($values) `,` type($scales) (`,` type($zeros)^)? `->` type($result)
  }];
  let hasVerifier = 1;
}

def Gate_SiteOp : Gate_Op<"site", [Symbol]> {
  let summary = "A place where rows or experts are dispatched";
  let description = [{
    One routed layer, or one whole exit network, as it appears in reports and
    statistics. `cost` is the work of one row that ends in each group, `full_cost`
    that of a row for which nothing is skipped:

      skipped = 1 - sum_i groups[i] * cost[i] / (rows * full_cost);  0 without rows

    Constraints: (C1) `kind` is experts, exit, skip, select or halt. (C2)
    no cost is negative; there is none where groups are decided at run time.

    Example: `gate.site @s0 {name = "blk0.moe", kind = "experts", cost = array<f64: 1.0, 1.0>, full_cost = 2.0 : f64, nodes = ["blk0.moe"]}`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$name, StrAttr:$kind,
      DenseF64ArrayAttr:$cost, F64Attr:$full_cost, StrArrayAttr:$nodes,
      OptionalAttr<StrAttr>:$note);
  let assemblyFormat = "$sym_name attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// What statistics have room for where the run decides how many groups there
    /// are: GATECC_DYNAMIC_GROUPS of the run-time library.
    static constexpr int64_t kDynamicGroups = 256;
    int64_t getNumCounts() { return getCost().empty() ? kDynamicGroups : getCost().size(); }
  }];
}

#endif // GATECC_DIALECTS_GATE_IR_GATEWEIGHTS
