# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Rewrites an ONNX network as gatecc's JSON form (docs/json-format.md): tensor ops keep
# their names, com.microsoft.MoE becomes gate.route, gate.apply and gate.combine.
# `python -m gatecc.models.to_json MODEL.onnx [-o MODEL.json]`
import argparse
import json
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

DTYPES = {
    np.dtype(np.float64): ("f64", "F64"),
    np.dtype(np.float32): ("f32", "F32"),
    np.dtype(np.float16): ("f16", "F16"),
    np.dtype(np.int64): ("i64", "I64"),
    np.dtype(np.int32): ("i32", "I32"),
    np.dtype(np.uint8): ("u8", "U8"),
    np.dtype(np.bool_): ("bool", "BOOL"),
}
INLINE_LIMIT = 8  # constants of at most so many elements stand in the JSON
LINE = 96  # characters; longer nodes are broken up
HEADER_ALIGNMENT = 64  # bytes, of the data in the safetensors file


class Unsupported(ValueError):
    pass


class Converter:
    def __init__(self, model):
        self.graph = model.graph
        self.constants = {
            t.name: numpy_helper.to_array(t) for t in model.graph.initializer
        }
        self.tensors = {}  # what the safetensors file will hold

    def document(self, weights_file):
        nodes = []
        for node in self.graph.node:
            if node.domain == "com.microsoft" and node.op_type == "MoE":
                nodes += self.experts(node)
            elif node.domain == "":
                nodes.append(self.plain(node))
            else:
                raise Unsupported(
                    f"node {node.name!r}: no JSON form of {node.domain}.{node.op_type}"
                )
        return {
            "gatecc": 1,
            "name": self.graph.name,
            "weights": weights_file,
            "inputs": [
                _input(v) for v in self.graph.input if v.name not in self.constants
            ],
            "outputs": [v.name for v in self.graph.output],
            "nodes": nodes,
        }

    def weight(self, name, array):
        self.tensors[name] = np.asarray(array, order="C")
        return "@" + name

    def operand(self, name):
        if name not in self.constants:
            return name
        array = self.constants[name]
        if array.size > INLINE_LIMIT or not np.isfinite(array).all():
            return self.weight(name, array)
        return _inline(array) or self.weight(name, array)

    def plain(self, node):
        result = {
            "op": node.op_type,
            "name": node.name,
            "inputs": [self.operand(i) for i in node.input],
            "outputs": list(node.output),
        }
        attributes = {a.name: _attribute(a) for a in node.attribute}
        return result | ({"attributes": attributes} if attributes else {})

    def experts(self, node):
        a = {x.name: _attribute(x) for x in node.attribute}
        inputs = list(node.input) + [""] * (8 - len(node.input))
        x, router, fc1, bias1, fc2, bias2, fc3, bias3 = inputs
        gated = a.get("activation_type", "relu") == "swiglu"
        expected = {"swiglu_fusion": 1, "activation_alpha": 1.0, "activation_beta": 0.0}
        if (gated and any(a.get(k) != v for k, v in expected.items())) or (
            "swiglu_limit" in a or fc3 or bias3
        ):
            raise Unsupported(f"node {node.name!r}: this form of SwiGLU")
        if a.get("use_sparse_mixer", 0):
            raise Unsupported(f"node {node.name!r}: use_sparse_mixer")
        name, y = node.name, node.output[0]
        plan, slots = f"{name}/plan", f"{name}/slots"
        params = {}

        def param(local, array):
            params[local] = self.weight(f"{name}/{local}", array)

        w1 = self.constants[fc1].transpose(0, 2, 1)  # [E, D, H or 2H]
        b1 = self.constants.get(bias1)
        if gated:
            param("gate", w1[:, :, 0::2])
            param("up", w1[:, :, 1::2])
            if b1 is not None:
                param("gate_bias", b1[:, 0::2])
                param("up_bias", b1[:, 1::2])
        else:
            param("up", w1)
            if b1 is not None:
                param("up_bias", b1)
        param("down", self.constants[fc2].transpose(0, 2, 1))
        if bias2:
            param("down_bias", self.constants[bias2])
        route = {
            "top_k": a.get("k", 1),
            "score": "softmax",
            "normalize": bool(a.get("normalize_routing_weights", 0)),
            "drop_nonpositive": True,
        }
        body = {
            "rows": "x",
            "params": params,
            "nodes": _expert_body(params, a.get("activation_type", "relu")),
            "result": "y",
        }
        return [
            {
                "op": "gate.route",
                "name": name,
                "inputs": [router],
                "outputs": [plan],
                "attributes": route,
            },
            {
                "op": "gate.apply",
                "name": f"{name}/apply",
                "inputs": [x, plan],
                "outputs": [slots],
                "body": body,
            },
            {
                "op": "gate.combine",
                "name": f"{name}/combine",
                "inputs": [slots, plan],
                "outputs": [y],
            },
        ]


def _expert_body(params, activation):
    """Nodes of one expert, in ONNX's order of operations for com.microsoft.MoE."""
    nodes = []

    def add(op, inputs, out, **attributes):
        node = {"op": op, "inputs": inputs, "outputs": [out]}
        nodes.append(node | ({"attributes": attributes} if attributes else {}))
        return out

    def linear(x, weight, out):
        bias = f"{weight}_bias"
        if bias not in params:
            return add("MatMul", [x, weight], out)
        product = add("MatMul", [x, weight], f"{out}0")
        return add("Add", [product, bias], out)

    if activation == "swiglu":
        g = linear("x", "gate", "g")
        u = linear("x", "up", "u")
        s = add("Sigmoid", [g], "s")
        a = add("Mul", [g, s], "a")
        h = add("Mul", [a, u], "h")
    elif activation == "relu":
        h = add("Relu", [linear("x", "up", "u")], "h")
    elif activation == "gelu":
        h = add("Gelu", [linear("x", "up", "u")], "h", approximate="tanh")
    else:
        raise Unsupported(f"activation {activation!r}")
    linear(h, "down", "y")
    return nodes


def _input(value):
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    shape = [d.dim_param if d.dim_param else d.dim_value for d in tensor.shape.dim]
    return {"name": value.name, "dtype": DTYPES[np.dtype(dtype)][0], "shape": shape}


def _attribute(attribute):
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return float(_shortest(value))
    return list(value) if not isinstance(value, (int, str)) else value


def _shortest(value):
    """The shortest decimal that reads back as the same f32."""
    return str(np.float32(value))


def _inline(array):
    """A constant as JSON, or None if JSON's numbers would not give it back exactly."""
    if array.dtype == np.float32:
        values = [float(_shortest(v)) for v in array.ravel()]
    elif array.dtype in (np.int64, np.int32, np.bool_, np.float64):
        values = array.ravel().tolist()
    else:
        return None
    back = np.array(values, array.dtype).reshape(array.shape)
    if back.tobytes() != array.tobytes():
        return None
    if array.ndim == 0 and array.dtype == np.float32:
        return {"value": values[0]}
    value = np.array(values, object).reshape(array.shape).tolist()
    return {"value": value, "dtype": DTYPES[array.dtype][0]}


def safetensors(tensors):
    """The bytes of a safetensors file."""
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": DTYPES[array.dtype][1],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % HEADER_ALIGNMENT)
    return b"".join(
        [struct.pack("<Q", len(text)), text, *(a.tobytes() for a in tensors.values())]
    )


def pretty(value, indent=0):
    """JSON with what fits on a line on one line."""
    line = json.dumps(value, ensure_ascii=False)
    whole_node = isinstance(value, dict) and "body" in value
    if (
        not isinstance(value, (dict, list))
        or not value
        or (indent + len(line) <= LINE and indent > 0 and not whole_node)
    ):
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [
            f"{inner}{json.dumps(k)}: {pretty(v, indent + 2)}" for k, v in value.items()
        ]
    else:
        parts = [inner + pretty(v, indent + 2) for v in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{' ' * indent}{closing}"


def convert(source, target):
    """Writes `target` and the safetensors file beside it."""
    source, target = Path(source), Path(target)
    weights = target.with_suffix(".safetensors")
    converter = Converter(onnx.load(source))
    document = converter.document(weights.name)
    weights.write_bytes(safetensors(converter.tensors))
    target.write_text(pretty(document) + "\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m gatecc.models.to_json",
        description="Rewrite an ONNX network as gatecc's JSON and safetensors.",
    )
    parser.add_argument("model")
    parser.add_argument("-o", "--output", help="default: beside the model")
    a = parser.parse_args(arguments)
    try:
        convert(a.model, a.output or Path(a.model).with_suffix(".json"))
    except (Unsupported, OSError) as error:
        print(f"to_json: {a.model}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
