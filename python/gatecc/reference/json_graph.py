# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs a network in gatecc's JSON form (docs/json-format.md) in float64.
import json
from pathlib import Path

import numpy as np

from . import decisions, work
from .onnx_graph import Run, standard, widen

DTYPES = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "i64": np.int64,
    "i32": np.int32,
    "i8": np.int8,
    "u8": np.uint8,
    "bool": np.bool_,
}


def read_safetensors(path):
    """Name -> array."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        dtype = DTYPES[entry["dtype"].lower()]
        tensors[name] = np.frombuffer(data[begin:end], dtype).reshape(entry["shape"])
    return tensors


def run_json(path, inputs):
    """Run the network in the file `path` on `inputs` (name -> array)."""
    path = Path(path)
    document = json.loads(path.read_text())
    weights = {}
    if "weights" in document:
        tensors = read_safetensors(path.parent / document["weights"])
        weights = {"@" + name: widen(t) for name, t in tensors.items()}
    run = Run({name: widen(value) for name, value in inputs.items()})
    with np.errstate(all="ignore"):
        _nodes(document["nodes"], run.values, weights, run)
    run.outputs = {name: run.values[name] for name in document["outputs"]}
    return run


def _operand(operand, values, weights):
    if operand == "":
        return None
    if isinstance(operand, str):
        return (weights if operand.startswith("@") else values)[operand]
    if not isinstance(operand, dict):
        operand = {"value": operand}
    return widen(np.array(operand["value"], DTYPES[operand.get("dtype", "f32")]))


def _nodes(nodes, values, weights, run):
    for node in nodes:
        inputs = [_operand(i, values, weights) for i in node["inputs"]]
        attributes = {
            name: float(np.float32(a)) if isinstance(a, float) else a
            for name, a in node.get("attributes", {}).items()
        }
        op = node["op"]
        if op == "gate.topk":
            results = decisions.topk(*inputs, **attributes)
        elif op == "gate.route":
            plan = decisions.route(*inputs, **attributes)
            margins = decisions.margin(inputs[0], attributes["top_k"])
            run.plans[node["name"]] = plan, margins
            results = (plan,)
        elif op == "gate.partition":
            results = (decisions.partition(*inputs, **attributes),)
        elif op == "gate.apply":
            results = (_apply(node["body"], inputs, attributes, weights, run),)
        elif op == "gate.combine":
            results = (work.combine(*inputs),)
        elif op == "gate.merge":
            results = (work.merge(*inputs, *attributes.get("groups", ())),)
        else:
            results = standard(op, inputs, attributes, len(node["outputs"]))
        values.update(zip(node["outputs"], results))


def _apply(body, inputs, attributes, weights, run):
    names = body.get("params", {})
    params = [_operand(p, {}, weights) for p in names.values()]

    def one_group(rows, *slices):
        local = dict(zip(names, slices)) | {body["rows"]: rows}
        _nodes(body["nodes"], local, weights, run)
        return local[body["result"]]

    rows, plan = inputs
    return work.apply(plan, [rows], params, one_group, *attributes.get("groups", ()))
