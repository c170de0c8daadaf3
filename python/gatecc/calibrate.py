# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What --experts costs: the error of each routed layer against f32.

Each com.microsoft.MoE node of a network is compiled on its own in the format and runs on
the rows and logits that reach it in f32, so that the error is that of this layer alone;
the errors of the whole network's outputs follow.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

try:
    import onnx
    from onnx import TensorProto, helper
except ModuleNotFoundError as error:
    sys.exit(f"gatecc.calibrate needs the package {error.name}")

from .compiler import compile
from .errors import CompileError, RunError
from .library import load

ROWS = 64  # of generated inputs, for each dimension that is not fixed


def relative(actual, expected):
    norm = np.linalg.norm(expected)
    return float(np.linalg.norm(actual - expected) / norm) if norm else 0.0


def worst_row(actual, expected):
    norms = np.linalg.norm(expected, axis=1)
    off = np.linalg.norm(actual - expected, axis=1)[norms > 0]
    return float((off / norms[norms > 0]).max(initial=0.0))


def generate(tensors, seed=0):
    """Random inputs for a library's tensors."""
    rng = np.random.default_rng(seed)
    made = {}
    for t in tensors:
        if t.dtype != "f32":
            raise ValueError(f"input {t.name!r} is of type {t.dtype}: give a file for it")
        shape = [ROWS if isinstance(extent, str) else extent for extent in t.shape]
        made[t.name] = rng.standard_normal(shape, np.float32)
    return made


def moe_nodes(model):
    return [
        node
        for node in model.graph.node
        if node.domain == "com.microsoft" and node.op_type == "MoE"
    ]


def _with_outputs(model, names):
    """The model, with more of its values as outputs."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    known = {v.name for v in [*model.graph.output, *model.graph.input]}
    for name in dict.fromkeys(names):
        if name not in known:
            result.graph.output.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            )
    return result


def _alone(model, node, dim, experts):
    """A model of one node; rows and logits are its inputs."""
    rows, logits, *weights = node.input
    initializers = {t.name: t for t in model.graph.initializer}
    missing = [w for w in weights if w and w not in initializers]
    if missing:
        raise ValueError(f"node {node.name!r}: {missing[0]!r} is no initializer")
    graph = helper.make_graph(
        [node],
        "layer",
        [
            helper.make_tensor_value_info(rows, TensorProto.FLOAT, ["T", dim]),
            helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["T", experts]),
        ],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, ["T", dim])],
        [initializers[w] for w in weights if w],
    )
    return helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def measure(model, inputs=None, *, experts, block=None, **options):
    """The errors of a network's layers and outputs in a format, as a dict.

    model: path of an ONNX network. inputs: name -> array, generated where it is None.
    Other options are those of `gatecc.compile`.
    """
    path = model
    model = onnx.load(path)
    layers = []
    rounding = {"experts": experts, "block": block}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)

        def run(proto, arrays, **precision):
            file = folder / "m.onnx"
            external = proto.ByteSize() > 2_000_000_000
            onnx.save(proto, file, save_as_external_data=external)
            library = compile(file, folder / "m.so", **options, **precision)
            with load(library, statistics=False) as lib:
                return lib(generate(lib.inputs) if arrays is None else arrays)

        if inputs is None:
            with load(compile(path, folder / "m.so", **options)) as lib:
                inputs = generate(lib.inputs)
        nodes = moe_nodes(model)
        names = [name for n in nodes for name in (*n.input[:2], n.output[0])]
        exact = inputs | run(_with_outputs(model, names), inputs)
        for node in nodes:
            rows, logits, y = (
                np.ascontiguousarray(exact[name]).reshape(-1, exact[name].shape[-1])
                for name in (*node.input[:2], node.output[0])
            )
            if rows.dtype != np.float32:
                raise ValueError(f"node {node.name!r} is of type {rows.dtype}")
            proto = _alone(model, node, rows.shape[1], logits.shape[1])
            # One value may be both, which an input cannot.
            arrays = {node.input[0]: rows, node.input[1]: logits}
            (rounded,) = run(proto, arrays, **rounding).values()
            layers.append(
                {
                    "name": node.name,
                    "rows": len(rows),
                    "error": relative(rounded, y),
                    "worst_row": worst_row(rounded, y),
                }
            )
        rounded = run(model, inputs, **rounding)
    outputs = [
        {"name": name, "error": relative(array, exact[name])}
        for name, array in rounded.items()
        if array.dtype.kind == "f"
    ]
    return {"experts": experts, "layers": layers, "outputs": outputs}


def _read(files):
    """The inputs that --calibration names; one file without a name is the only input."""
    if not files:
        return None
    if len(files) == 1 and "=" not in files[0]:
        return np.load(files[0])
    pairs = (text.rpartition("=") for text in files)
    return {name: np.load(file) for name, _, file in pairs}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m gatecc.calibrate",
        description="State the error of each routed layer against f32.",
    )
    parser.add_argument("model", help="an ONNX network")
    parser.add_argument("--experts", choices=("bf16", "int8", "int4"), required=True)
    parser.add_argument("--block", type=int, choices=(32, 64, 128))
    parser.add_argument(
        "--calibration",
        action="append",
        metavar="[NAME=]FILE.npy",
        help="inputs to run on; random ones without it",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    a = parser.parse_args(arguments)
    try:
        inputs = _read(a.calibration)
        if isinstance(inputs, np.ndarray):
            model = onnx.load(a.model, load_external_data=False).graph
            weights = {t.name for t in model.initializer}
            names = [v.name for v in model.input if v.name not in weights]
            if len(names) != 1:
                raise ValueError(f"--calibration NAME=FILE is needed for each of {names}")
            inputs = {names[0]: inputs}
        result = measure(a.model, inputs, experts=a.experts, block=a.block)
    except (ValueError, OSError, CompileError, RunError) as error:
        print(f"gatecc.calibrate: {error}", file=sys.stderr)
        return 1
    if a.json:
        print(json.dumps(result, indent=1))
        return 0
    for layer in result["layers"]:
        print(
            f"layer {layer['name']}: relative error {layer['error']:.2e}"
            f" (worst row {layer['worst_row']:.2e}) on {layer['rows']} rows"
        )
    for output in result["outputs"]:
        print(f"output {output['name']}: relative error {output['error']:.2e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
