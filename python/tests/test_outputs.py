# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Networks with several outputs, each in its own buffer of the caller, whatever they share;
# outputs whose size each run decides.
import subprocess

import numpy as np
import onnxruntime
from onnx import TensorProto

import gatecc
from gatecc import abi
from gatecc.models.graph import Graph


def test_reductions_from_the_same_start(build):
    g = Graph("two")
    x = g.input("x", ["B", 8])
    axis = g.weight("axis", np.array([1], np.int64))
    square = g.node("Mul", [x, x], "square")
    for name, operand in (("a", x), ("b", square), ("c", x)):
        g.node("ReduceSum", [operand, axis], name, outputs=[name], keepdims=0)
        g.output(name, ["B"])
    x = np.random.default_rng(0).standard_normal((5, 8), np.float32)
    with build.load(build.graph(g)) as lib:
        y = lib(x=x)
    np.testing.assert_allclose(y["a"], x.sum(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y["b"], (x * x).sum(1), rtol=1e-5)
    np.testing.assert_array_equal(y["c"], y["a"])


def nonzero_graph():
    """Places [2, n] of what is positive, the values there [n], and how many there are."""
    g = Graph("nonzero")
    x = g.input("x", ["B", 4])
    zero = g.weight("zero", np.array(0, np.float32))
    mask = g.node("Greater", [x, zero], "mask")
    places = g.node("NonZero", [mask], "places", outputs=["places"])
    index = g.node("Transpose", [places], "index", perm=[1, 0])
    g.node("GatherND", [x, index], "values", outputs=["values"])
    g.node("Shape", ["values"], "count", outputs=["count"])
    g.output("places", [2, None], TensorProto.INT64)
    g.output("values", ["n"])
    g.output("count", [1], TensorProto.INT64)
    return g


def test_sizes_that_the_run_decides(build):
    model = build.graph(nonzero_graph())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    with build.load(model) as lib:
        assert [o.shape for o in lib.outputs] == [(2, "?"), ("?",), (1,)]
        # Larger, smaller and none at all, in one context.
        for rows in (3, 200, 1, 0, 50):
            for x in (
                rng.standard_normal((rows, 4), np.float32),
                np.zeros((rows, 4), np.float32),
                np.ones((rows, 4), np.float32),
            ):
                y = lib(x=x)
                for name, expected in zip(y, session.run(list(y), {"x": x})):
                    np.testing.assert_array_equal(y[name], expected)
        memory = lib.memory(B=8)
        assert memory["outputs"] == 8  # of the count alone


def test_results_outlive_the_next_run(build):
    with build.load(build.graph(nonzero_graph())) as lib:
        first = lib(x=np.eye(4, dtype=np.float32))
        lib(x=np.ones((100, 4), np.float32))
        np.testing.assert_array_equal(first["values"], np.ones(4, np.float32))
        np.testing.assert_array_equal(first["places"], [range(4), range(4)])


def test_a_buffer_for_a_size_that_is_not_known_is_refused(build):
    with build.load(build.graph(nonzero_graph())) as lib:
        for slot in lib._wanted.slots:
            if slot.name == "values":
                slot.set(np.empty(4, np.float32))
        wanted = lib._wanted.table
        x = np.ones((1, 4), np.float32)
        given, count = lib._given.fill({"x": x})
        status = lib._table.run(lib._context, given, count, wanted, len(lib.outputs))
        assert status == abi.INVALID_ARGUMENT
        assert b"the run decides its size" in lib._table.error_message(lib._context)
        np.testing.assert_array_equal(lib(x=x)["values"], np.ones(4, np.float32))


def test_sums_and_quotients_of_sizes(build):
    g = Graph("sizes")
    x = g.input("x", ["B", 3])
    y = g.input("y", ["C", 3])
    g.node("Concat", [x, y], "both", outputs=["both"], axis=0)
    g.output("both", ["B + C", 3])
    ints = {n: g.weight(n, np.array([v])) for n, v in (("start", 0), ("end", 2**40), ("axis", 0), ("step", 2))}
    g.node("Slice", [x, *ints.values()], "half", outputs=["half"])
    g.output("half", ["(B + 1) // 2", 3])
    model = build.graph(g)
    rng = np.random.default_rng(2)
    with build.load(model) as lib:
        for b, c in ((1, 1), (7, 2), (0, 5), (0, 0), (64, 33)):
            x = rng.standard_normal((b, 3), np.float32)
            y = rng.standard_normal((c, 3), np.float32)
            result = lib(x=x, y=y)
            np.testing.assert_array_equal(result["both"], np.concatenate([x, y]))
            np.testing.assert_array_equal(result["half"], x[::2])


def test_the_command_line_writes_them(build, tmp_path):
    library = build.path(build.graph(nonzero_graph()))
    np.save(tmp_path / "x.npy", np.eye(4, dtype=np.float32))
    compiler = gatecc.find_compiler()
    text = subprocess.run(
        [compiler, "inspect", library], capture_output=True, text=True, check=True
    ).stdout
    assert "output places: i64 [2, ?]" in text
    subprocess.run(
        [compiler, "run", library, "--input", f"x={tmp_path / 'x.npy'}"]
        + ["--output", f"places={tmp_path / 'y.npy'}"],
        check=True,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), [range(4), range(4)])
