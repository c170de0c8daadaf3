// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Schedule and kernel level ops: packed contractions, calls of the run-time
// library, tasks, and the buffers that generated code is given.
#ifndef GATECC_DIALECTS_GATE_IR_GATESCHEDULE
#define GATECC_DIALECTS_GATE_IR_GATESCHEDULE

include "dialects/Gate/IR/GateDialect.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/IR/SymbolInterfaces.td"

def Gate_Buffer : AnyTypeOf<[AnyRankedTensor, AnyMemRef]>;

class Gate_DpsOp<string mnemonic, list<Trait> traits = []>
    : Gate_Op<mnemonic, !listconcat(traits, [DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>])>;

def Gate_PackedContractOp : Gate_DpsOp<"packed_contract", [AttrSizedOperandSegments, SingleBlock]> {
  let summary = "A contraction on packed weights, in destination style";
  let description = [{
    `contract` after packing: `packed` holds the W weights as `packed_weight`
    lays them out in `format`. For the formats plain and bf16 `rows` are [R, K].
    For integer formats they are quantised: for each of the J blocks of `block`
    columns q[r, j, 0..block-1] (0 beyond K) and twice their sum, and
    `row_scales` [R, J]. For int8 all of them are i16; for int8q and int4 q are
    i8, and the sums are the i16 of two such elements each. Then

      acc = +0;  for j = 0..J-1, with the exact sum of integers:
      acc = fma(float(sum_k q[r, k] * (q_w[k, n] - zero[j, n])),
                row_scale[r, j] * scale[j, n], acc)

    (and rounded once more where the target has no fma).

    For bf16p and bf16t rows are rounded to bf16 like the weights, to nearest, ties
    to even. bf16p takes rows [R, 2 ceil(K/2)] and adds `dot_bf16` for each pair of
    rows of K. bf16t takes, in the order of slots, rows [S + 15, 32 J], where J is
    ceil(K/32) or the odd number after it, and adds `amx_dot_bf16` for each 32 rows
    of K; the last 15 rows and what is beyond 32 ceil(K/32) are read or not, and
    mean nothing. Both have 0 beyond K.

    `offsets` [G+1] gives the slots of each
    group (absent: one group of all rows of `init`); `source` [S] the row of
    `rows` that a slot reads (absent: slot s reads row s). Extras as in
    `contract`; a `column` extra is [G, N] where `offsets` is present.

    Constraints: (C1) `packed` has rank 4 and the type of `format` for rows of
    this width, or for this number of blocks. (C2) the last extent of `packed` is
    that of W weights of `lanes` columns, where W is the number of accumulators
    that the region takes. (C3) G is 1 without `offsets`. (C4) a result for a
    tensor `init`, none for a buffer. (C5) `row_scales` for the integer formats
    only. (C6) rows of bf16 for the formats bf16p and bf16t, of i8 or i16 for
    integers. (C7) no `source` with bf16t.

    Example: `%y = gate.packed_contract rows(%x : tensor<?x64xf32>) packed(%w : tensor<1x4x64x16xf32>) ...`.
  }];
  let arguments = (ins Gate_Buffer:$rows, Gate_Buffer:$packed, Optional<Gate_Buffer>:$offsets,
      Optional<Gate_Buffer>:$source, Optional<Gate_Buffer>:$row_scales,
      Variadic<AnyType>:$extras, Gate_Buffer:$init,
      ArrayAttr:$extents, I64Attr:$lanes,
      DefaultValuedAttr<Gate_PanelFormatAttr, "::gatecc::gate::PanelFormat::Plain">:$format,
      DefaultValuedAttr<I64Attr, "0">:$block, UnitAttr:$zeros);
  let results = (outs Optional<AnyRankedTensor>:$result);
  let regions = (region SizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    `rows` `(` $rows `:` type($rows) `)` `packed` `(` $packed `:` type($packed) `)`
    (`offsets` `(` $offsets^ `:` type($offsets) `)`)? (`source` `(` $source^ `:` type($source) `)`)?
    (`row_scales` `(` $row_scales^ `:` type($row_scales) `)`)?
    `extras` `(` ($extras^ `:` type($extras))? `)` $extents
    `outs` `(` $init `:` type($init) `)` `lanes` $lanes attr-dict-with-keyword (`->` type($result)^)? $epilogue
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    unsigned getNumWeights() {
      return getEpilogue().front().getNumArguments() - getExtras().size();
    }
    PanelLayout getLayout();
    ExtentKind getExtent(unsigned extra) {
      return ::mlir::cast<ExtentKindAttr>(getExtents()[extra]).getValue();
    }
  }];
}

defvar Gate_HalfAsManyF32 =
    "::mlir::VectorType::get({::mlir::cast<::mlir::VectorType>($_self).getDimSize(0) / 2}, "
    "::mlir::Float32Type::get($_self.getContext()))";

class Gate_SumsOf<string what, int count, string name> : TypesMatchWith<
    "there are " # what # " as many i32", "a", name,
    "::mlir::VectorType::get({::mlir::cast<::mlir::VectorType>($_self).getDimSize(0) / " # count # "}, "
    "::mlir::IntegerType::get($_self.getContext(), 32))">;

def Gate_DotPairsOp : Gate_Op<"dot_pairs", [Pure, AllTypesMatch<["a", "b"]>,
    Gate_SumsOf<"half", 2, "acc">, Gate_SumsOf<"half", 2, "result">]> {
  let summary = "Adds the products of pairs of integers";
  let description = [{
    result[i] = acc[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], modulo 2^32: the
    instruction `pmaddwd` and an addition.

    Constraints: (C1) `a` and `b` are vectors of 8, 16 or 32 elements i16, and the
    accumulators half as many i32.

    Example: `%s = gate.dot_pairs %a, %b, %acc : vector<16xi16>`.
  }];
  let arguments = (ins VectorOfLengthAndType<[8, 16, 32], [I16]>:$a,
      VectorOfLengthAndType<[8, 16, 32], [I16]>:$b, VectorOfLengthAndType<[4, 8, 16], [I32]>:$acc);
  let results = (outs VectorOfLengthAndType<[4, 8, 16], [I32]>:$result);
  let assemblyFormat = "$a `,` $b `,` $acc attr-dict `:` type($a)";
}

def Gate_MultiplyBytesOp : Gate_Op<"multiply_bytes", [Pure, AllTypesMatch<["a", "b"]>,
    TypesMatchWith<"there are half as many i16", "a", "result",
      "::mlir::VectorType::get({::mlir::cast<::mlir::VectorType>($_self).getDimSize(0) / 2}, "
      "::mlir::IntegerType::get($_self.getContext(), 16))">]> {
  let summary = "Sums of the products of pairs of bytes";
  let description = [{
    result[i] = a[2i] * b[2i] + a[2i + 1] * b[2i + 1], where bytes of `a` have no
    sign and those of `b` have one, kept within 16 bits: the instruction
    `pmaddubsw`.

    Constraints: (C1) `a` and `b` are vectors of 16, 32 or 64 elements i8, and the
    result half as many i16.

    Example: `%p = gate.multiply_bytes %a, %b : vector<32xi8>`.
  }];
  let arguments = (ins VectorOfLengthAndType<[16, 32, 64], [I8]>:$a,
      VectorOfLengthAndType<[16, 32, 64], [I8]>:$b);
  let results = (outs VectorOfLengthAndType<[8, 16, 32], [I16]>:$result);
  let assemblyFormat = "$a `,` $b attr-dict `:` type($a)";
}

def Gate_DotBytesOp : Gate_Op<"dot_bytes", [Pure, AllTypesMatch<["a", "b"]>,
    Gate_SumsOf<"a quarter", 4, "acc">, Gate_SumsOf<"a quarter", 4, "result">]> {
  let summary = "Adds the products of four bytes";
  let description = [{
    result[i] = acc[i] + sum over j = 0..3 of a[4i + j] * b[4i + j], modulo 2^32,
    where bytes of `a` have no sign and those of `b` have one: the instruction
    `vpdpbusd`. Without it, the sums of pairs of even and odd bytes, widened to 16
    bits, are the same.

    Constraints: (C1) `a` and `b` are vectors of 16, 32 or 64 elements i8, and the
    accumulators a quarter as many i32.

    Example: `%s = gate.dot_bytes %a, %b, %acc : vector<32xi8>`.
  }];
  let arguments = (ins VectorOfLengthAndType<[16, 32, 64], [I8]>:$a,
      VectorOfLengthAndType<[16, 32, 64], [I8]>:$b, VectorOfLengthAndType<[4, 8, 16], [I32]>:$acc);
  let results = (outs VectorOfLengthAndType<[4, 8, 16], [I32]>:$result);
  let assemblyFormat = "$a `,` $b `,` $acc attr-dict `:` type($a)";
}

def Gate_DotBf16Op : Gate_Op<"dot_bf16", [Pure, AllTypesMatch<["a", "b"]>,
    TypesMatchWith<"there are half as many f32", "a", "acc", Gate_HalfAsManyF32>,
    TypesMatchWith<"there are half as many f32", "a", "result", Gate_HalfAsManyF32>]> {
  let summary = "Adds the products of pairs of bf16";
  let description = [{
    result[i] = fma(a[2i], b[2i], fma(a[2i + 1], b[2i + 1], acc[i])), each rounded
    to nearest, ties to even, where subnormal operands and results are zeros of
    their sign: the instruction `vdpbf16ps` as its manual describes it. (Without
    it, a result that only its rounding makes the smallest normal number may be
    that number instead of zero.)

    Constraints: (C1) `a` and `b` are vectors of 8, 16 or 32 elements bf16, and the
    accumulators half as many f32.

    Example: `%s = gate.dot_bf16 %a, %b, %acc : vector<32xbf16>`.
  }];
  let arguments = (ins VectorOfLengthAndType<[8, 16, 32], [BF16]>:$a,
      VectorOfLengthAndType<[8, 16, 32], [BF16]>:$b, VectorOfLengthAndType<[4, 8, 16], [F32]>:$acc);
  let results = (outs VectorOfLengthAndType<[4, 8, 16], [F32]>:$result);
  let assemblyFormat = "$a `,` $b `,` $acc attr-dict `:` type($a)";
}

// The eight tile registers of AMX, all of 16 rows of 64 bytes. They are numbers
// and not SSA values: LLVM, which can allocate them, would configure them in
// every function that uses one, and tiles are called often.
def Gate_AmxImage : Type<CPred<"$_self == ::mlir::MemRefType::get({8, 16, 16}, "
      "::mlir::IntegerType::get($_self.getContext(), 32))">, "memref<8x16x16xi32>", "::mlir::MemRefType">,
    BuildableType<"::mlir::MemRefType::get({8, 16, 16}, $_builder.getI32Type())">;
def Gate_AmxNumber : ConfinedAttr<I64Attr, [IntMinValue<0>, IntMaxValue<7>]>;

def Gate_AmxConfigureOp : Gate_Op<"amx_configure"> {
  let summary = "Makes the tile registers of AMX ready, for this thread";
  let description = [{
    From here to `amx_release` a thread has eight registers of 16 rows of 64
    bytes, also in the functions that are called. They keep nothing from one
    function to another. All ops on them name an `image`, which holds the
    registers where the target has none.

    Constraints: (C1) the image is a memref<8x16x16xi32>.

    Example: `gate.amx_configure %image`.
  }];
  let arguments = (ins Gate_AmxImage:$image);
  let assemblyFormat = "$image attr-dict";
}

def Gate_AmxReleaseOp : Gate_Op<"amx_release"> {
  let summary = "Gives the tile registers of AMX back";
  let description = [{
    Ends what `amx_configure` began, so that the system need not save them.

    Constraints: (C1) the image is a memref<8x16x16xi32>.

    Example: `gate.amx_release %image`.
  }];
  let arguments = (ins Gate_AmxImage:$image);
  let assemblyFormat = "$image attr-dict";
}

def Gate_AmxZeroOp : Gate_Op<"amx_zero"> {
  let summary = "Clears a tile register of AMX";
  let description = [{
    All bits of the register become 0: the instruction `tilezero`.

    Constraints: (C1) the register is one of 0 to 7.

    Example: `gate.amx_zero %image[0]`.
  }];
  let arguments = (ins Gate_AmxImage:$image, Gate_AmxNumber:$number);
  let assemblyFormat = "$image `[` $number `]` attr-dict";
}

class Gate_AmxMove<string mnemonic> : Gate_Op<mnemonic> {
  let arguments = (ins Gate_AmxImage:$image, Gate_AmxNumber:$number,
      MemRefOf<[BF16, F32]>:$buffer, Variadic<Index>:$indices, Index:$stride);
  let assemblyFormat = [{
    $image `[` $number `]` `,` $buffer `[` $indices `]` `stride` $stride attr-dict `:` type($buffer)
  }];
  let hasVerifier = 1;
}

def Gate_AmxLoadOp : Gate_AmxMove<"amx_load"> {
  let summary = "Loads a tile register of AMX";
  let description = [{
    Row i of the register becomes the 64 bytes that begin i * `stride` elements
    after the element at `indices`: the instruction `tileloadd`.

    Constraints: (C1) the register is one of 0 to 7. (C2) an index for each
    dimension of the buffer, whose innermost elements are contiguous.

    Example: `gate.amx_load %image[4], %x[%r, %k] stride %s : memref<?x64xbf16>`.
  }];
}

def Gate_AmxStoreOp : Gate_AmxMove<"amx_store"> {
  let summary = "Stores a tile register of AMX";
  let description = [{
    The reverse of `amx_load`: the instruction `tilestored`.

    Constraints: (C1) the register is one of 0 to 7. (C2) an index for each
    dimension of the buffer, whose innermost elements are contiguous.

    Example: `gate.amx_store %image[0], %y[%r, %n] stride %s : memref<96x32xf32>`.
  }];
}

def Gate_AmxDotBf16Op : Gate_Op<"amx_dot_bf16"> {
  let summary = "Adds the products of two tile registers of bf16";
  let description = [{
    For row m and column n of `acc`, of f32, with the rows of `a` and the pairs of
    rows of K in `b`, where +0 is what both sums begin with:

      even = fma(a[m, 2k], b[k, 2n], even)              for k = 0..15 in this order
      odd = fma(a[m, 2k + 1], b[k, 2n + 1], odd)        likewise
      acc[m, n] = acc[m, n] + (even + odd)

    each rounded to nearest, ties to even, where subnormal operands and results
    are zeros of their sign: the instruction `tdpbf16ps`. No row depends on
    another one. (About rounding without the instruction see `dot_bf16`.)

    Constraints: (C1) the registers are three of 0 to 7 that differ.

    Example: `gate.amx_dot_bf16 %image[0], 4, 6`.
  }];
  let arguments = (ins Gate_AmxImage:$image, Gate_AmxNumber:$acc, Gate_AmxNumber:$a, Gate_AmxNumber:$b);
  let assemblyFormat = "$image `[` $acc `]` `,` $a `,` $b attr-dict";
  let hasVerifier = 1;
}

def Gate_RuntimeCallOp : Gate_DpsOp<"runtime_call", [AttrSizedOperandSegments, AttrSizedResultSegments]> {
  let summary = "Calls a function of the run-time library";
  let description = [{
    Calls `callee` with `arguments` and then `inits`, in this order; buffers
    are passed as pointers to their first element, index values as i64. A null
    pointer stands at each position of the argument list that `nulls` names; with
    `frame` the frame of the run comes before them all. `inits` are written, and
    read where `updates` is set. `scalar` is the function's i64 result, if it has one.

    Constraints: (C1) a result for each tensor init, none for buffers.
    (C2) buffers are contiguous from their first element.

    Example: `%o:2 = gate.runtime_call "gatecc_route_f32"(%l, %n : tensor<?x8xf32>, index) outs(%i, %w : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>`.
  }];
  let arguments = (ins StrAttr:$callee, Variadic<AnyType>:$arguments,
      Variadic<Gate_Buffer>:$inits, DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$nulls,
      UnitAttr:$frame, UnitAttr:$updates);
  let results = (outs Variadic<AnyRankedTensor>:$tensors, Optional<I64>:$scalar);
  let assemblyFormat = [{
    $callee `(` ($arguments^ `:` type($arguments))? `)` `outs` `(` ($inits^ `:` type($inits))? `)`
    attr-dict (`->` type($tensors)^)? (`scalar` type($scalar)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getInitsMutable(); }
  }];
}

def Gate_BoundOp : Gate_Op<"bound", [Pure, SameOperandsAndResultType]> {
  let summary = "A run-time size and an upper bound known before the run";
  let description = [{
    Is `value`. `upper` is a bound of it that depends on the sizes of the inputs
    only; memory is planned with it (slots <= rows * choices, live rows <=
    rows). A value above its bound is an error of gatecc.

    Constraints: (C1) both are index values.

    Example: `%s = gate.bound %n, %max`.
  }];
  let arguments = (ins Index:$value, Index:$upper);
  let results = (outs Index:$result);
  let assemblyFormat = "$value `,` $upper attr-dict";
}

def Gate_TasksOp : Gate_Op<"tasks", [SingleBlock, RecursiveMemoryEffects, NoTerminator]> {
  let summary = "Runs a body for each index, in any order, on the task pool";
  let description = [{
    Runs the body for i = 0..count-1. Bodies write disjoint memory, so the
    result does not depend on order or thread. Returns when all are done.

    Constraints: (C1) the block takes one index.

    Example: `gate.tasks %n { ^bb0(%i: index): memref.store %v, %m[%i] : memref<?xf32> }`.
  }];
  let arguments = (ins Index:$count);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$count attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

def Gate_PlanTensorsOp : Gate_Op<"plan_tensors", [Pure]> {
  let summary = "The tensors that make up a plan";
  let description = [{
    `offsets` [groups+1], `source` [R * choices] (the first S are used),
    `inverse` [R, choices] and `weights` [R, choices] (in row order; only for a
    plan made by `route`), as the plan type describes them.

    Constraints: (C1) the types above, i32 and f32.

    Example: `%o, %s, %i, %w = gate.plan_tensors %p : !gate.plan<groups = 8, choices = 2> -> tensor<9xi32>, tensor<?xi32>, tensor<?x2xi32>, tensor<?x2xf32>`.
  }];
  let arguments = (ins Gate_Plan:$plan);
  let results = (outs AnyRankedTensor:$offsets, AnyRankedTensor:$source,
                      AnyRankedTensor:$inverse, AnyRankedTensor:$weights);
  let assemblyFormat = "$plan attr-dict `:` type($plan) `->` type(results)";
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::mlir::Value":$plan)>];
}

def Gate_SymbolOp : Gate_Op<"symbol", [Pure]> {
  let summary = "The value of a symbolic dimension in this run";
  let description = [{
    The extent that `gate.dims` of @main names, as the inputs of this run have
    it; `index` counts the names in the order of their first use.

    Constraints: (C1) `index` is not negative.

    Example: `%b = gate.symbol %frame[0] : !llvm.ptr`.
  }];
  let arguments = (ins AnyType:$frame, I64Attr:$index);
  let results = (outs Index:$result);
  let assemblyFormat = "$frame `[` $index `]` attr-dict `:` type($frame)";
  let hasVerifier = 1;
}

def Gate_PortOp : Gate_Op<"port", [Pure]> {
  let summary = "The caller's buffer of an input or an output";
  let description = [{
    The buffer that the caller passed as input, or as output, number `index`;
    `sizes` are the dynamic extents.

    Constraints: (C1) one size for each dynamic extent, identity layout.

    Example: `%x = gate.port %frame output false 0[%b] : !llvm.ptr -> memref<?x64xf32>`.
  }];
  let arguments = (ins AnyType:$frame, BoolAttr:$output, I64Attr:$index, Variadic<Index>:$sizes);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$frame `output` $output $index `[` $sizes `]` attr-dict `:` type($frame) `->` type($result)";
  let hasVerifier = 1;
}

def Gate_WeightBufferOp : Gate_Op<"weight_buffer", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The address of a weight in the library";
  let description = [{
    The buffer of a `weight` or `packed_weight`, read-only, 64-byte aligned.

    Constraints: (C1) the symbol is a `gate.weight` or `gate.packed_weight` of
    the result's shape and element type.

    Example: `%w = gate.weight_buffer %frame @w : !llvm.ptr -> memref<64x64xf32>`.
  }];
  let arguments = (ins AnyType:$frame, FlatSymbolRefAttr:$weight);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$frame $weight attr-dict `:` type($frame) `->` type($result)";
}

def Gate_ArenaOp : Gate_Op<"arena", [Pure]> {
  let summary = "A piece of the run's memory";
  let description = [{
    `offset` bytes from the start of the arena; `sizes` are the dynamic extents.

    Constraints: (C1) one size for each dynamic extent, identity layout.

    Example: `%b = gate.arena %frame + %off[%n] : !llvm.ptr -> memref<?x64xf32>`.
  }];
  let arguments = (ins AnyType:$frame, Index:$offset, Variadic<Index>:$sizes);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$frame `+` $offset `[` $sizes `]` attr-dict `:` type($frame) `->` type($result)";
  let hasVerifier = 1;
}

def Gate_AllocateOp : Gate_Op<"allocate"> {
  let summary = "Memory for a value whose size has no bound before the run";
  let description = [{
    A new buffer in the growable region of the run's context, 64-byte aligned,
    until the run ends; `sizes` are the dynamic extents. The run ends with the
    status GATECC_OUT_OF_MEMORY if there is none.

    With the attribute `gate.output` = i it is memory for output i, whose size
    the run has decided: it lasts until the context's next run, and the caller
    is told its extents.

    Constraints: (C1) one size for each dynamic extent, identity layout.

    Example: `%b = gate.allocate %frame[%n] : !llvm.ptr -> memref<?x64xf32>`.
  }];
  let arguments = (ins AnyType:$frame, Variadic<Index>:$sizes);
  let results = (outs Res<AnyMemRef, "", [MemAlloc]>:$result);
  let assemblyFormat = "$frame `[` $sizes `]` attr-dict `:` type($frame) `->` type($result)";
  let hasVerifier = 1;
}

def Gate_LaunchOp : Gate_Op<"launch", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Tasks whose body is a function";
  let description = [{
    `tasks` after outlining: calls `callee`(captures..., i) for i = 0..count-1.

    Constraints: (C1) `callee` is a function that takes the captures and one
    index and returns nothing.

    Example: `gate.launch %frame @task_0 %n(%a, %b) : !llvm.ptr, memref<?xf32>, index`.
  }];
  let arguments = (ins AnyType:$frame, FlatSymbolRefAttr:$callee, Index:$count,
                       Variadic<AnyType>:$captures);
  let assemblyFormat = "$frame $callee $count `(` $captures `)` attr-dict `:` type($frame) (`,` type($captures)^)?";
}

#endif // GATECC_DIALECTS_GATE_IR_GATESCHEDULE
