// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The `onnx` dialect: one generic op that carries any ONNX node.
#ifndef GATECC_DIALECTS_ONNX_IR_ONNXOPS
#define GATECC_DIALECTS_ONNX_IR_ONNXOPS

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Onnx_Dialect : Dialect {
  let name = "onnx";
  let cppNamespace = "::gatecc::onnx";
  let summary = "ONNX nodes as they stand in the file";
  let description = [{
    The import level: a 1:1 translation of an ONNX graph in which nothing is
    interpreted. There is one op for all nodes; the table of operators in
    lib/Import/Operators gives them their meaning when it lowers them to the
    gate level. Initializers are `gate.weight` or `arith.constant`.
  }];
  let useDefaultTypePrinterParser = 1;
}

def Onnx_Value : TypeDef<Onnx_Dialect, "Value"> {
  let mnemonic = "value";
  let summary = "A value whose type the file does not declare";
  let description = [{
    ONNX files need not say the types of intermediate values. The conversion
    to the gate level infers them all, declared or not.
  }];
}

def Onnx_AnyValue : AnyTypeOf<[AnyTensor, Onnx_Value]>;

def Onnx_NodeOp : Op<Onnx_Dialect, "node"> {
  let summary = "One ONNX node";
  let description = [{
    `op_type`, `domain` ("" is the standard one) and `version`, the version of
    the domain's operator set that the model imports, name the operator.
    `absent` lists the positions, in the node's list of inputs, of optional
    inputs that are left out before the last one given; `inputs` holds
    the others in order. Outputs without a name are unused results.

    The node's attributes are in `attrs`: INT is i64, FLOAT f32, STRING a
    string, INTS `array<i64>`, FLOATS `array<f32>`, STRINGS an array of strings,
    TENSOR a dense constant up to 1 KB and the symbol of a `gate.weight` above.
    GRAPH attributes are the regions, named in order by `body_names`; a region
    may use values from around it.

    Constraints: (C1) `absent` is strictly increasing, not negative and less
    than the number of inputs with the absent ones. (C2) one name in `body_names`
    for each region. (C3) each region ends in `onnx.yield`.

    Example:
    ```mlir
    %y = onnx.node "Clip"(%x, %max) {absent = array<i64: 1>, node_name = "c0",
        version = 21 : i64} : (tensor<?x4xf32>, tensor<f32>) -> !onnx.value
    ```
  }];
  let arguments = (ins Variadic<Onnx_AnyValue>:$inputs,
      StrAttr:$op_type, DefaultValuedAttr<StrAttr, "\"\"">:$domain, I64Attr:$version,
      DefaultValuedAttr<StrAttr, "\"\"">:$node_name,
      DefaultValuedAttr<DictionaryAttr, "{}">:$attrs,
      OptionalAttr<DenseI64ArrayAttr>:$absent,
      OptionalAttr<StrArrayAttr>:$body_names);
  let results = (outs Variadic<Onnx_AnyValue>:$outputs);
  let regions = (region VariadicRegion<SizedRegion<1>>:$bodies);
  let assemblyFormat = [{
    $op_type `(` $inputs `)` (`bodies` $bodies^)? attr-dict `:` functional-type($inputs, $outputs)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The number of inputs in the ONNX node's own list, absent ones included.
    unsigned getNumPositions();
    /// The value at a position of that list; null where it is absent.
    ::mlir::Value getInputAt(unsigned position);
    /// The attribute of that name; null where the node has none.
    ::mlir::Attribute getNodeAttr(::llvm::StringRef name) { return getAttrs().get(name); }
    /// The region that is the GRAPH attribute of that name; null where there is none.
    ::mlir::Region *getBody(::llvm::StringRef name);
  }];
}

def Onnx_YieldOp : Op<Onnx_Dialect, "yield", [Terminator, ReturnLike, HasParent<"NodeOp">, Pure]> {
  let summary = "Ends the body of an ONNX node with the body's outputs";
  let description = [{
    Example: `onnx.yield %a, %b : tensor<i1>, !onnx.value`.
  }];
  let arguments = (ins Variadic<Onnx_AnyValue>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

#endif // GATECC_DIALECTS_ONNX_IR_ONNXOPS
