# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Networks in f16 and bf16. A single operator is compared with ONNX Runtime's f32 result of
# the same numbers, rounded once; whole networks with the float64 reference, which rounds
# after each node; f16 also with ONNX Runtime's own f16.
import json
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import gatecc
from compare import TOLERANCE, assert_close, assert_same_bits, one_by_one
from gatecc import reference
from gatecc.models import exits, moe
from gatecc.models.graph import TYPES, Graph
from gatecc.reference.onnx_graph import widen

DTYPES = ["f16", "bf16"]
# The distance of neighbouring numbers, relative to the larger one, is at most this.
ULP = {"f16": 2.0**-10, "bf16": 2.0**-7}
RAISING = "form-experts,form-dense-experts,form-routes,form-groups"


def element(dtype):
    return helper.tensor_dtype_to_np_dtype(TYPES[dtype])


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(element(dtype))


def save(path, nodes, inputs, outputs, constants, dtype, opset=23):
    """`inputs`: {name: shape}, all of `dtype`."""
    kind = TYPES[dtype]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, kind, list(s)) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=11), path)


def in_f32(arrays):
    return {
        n: a.astype(np.float32) if a.dtype.kind not in "ib" else a
        for n, a in arrays.items()
    }


def check_operator(tmp_path, nodes, inputs, constants, dtype, runs, outputs=("y",)):
    """What one node computes is its f32 result, rounded once (or next to it, where the
    f32 results lie on both sides of the middle between two numbers)."""
    save(tmp_path / "m.onnx", nodes, inputs, outputs, constants, dtype)
    save(tmp_path / "wide.onnx", nodes, inputs, outputs, in_f32(constants), "f32")
    library = gatecc.load(gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so"), threads=2)
    session = onnxruntime.InferenceSession(
        tmp_path / "wide.onnx", providers=["CPUExecutionProvider"]
    )
    for run in runs:
        made = library(run)
        for name, want in zip(outputs, session.run(list(outputs), in_f32(run))):
            got = made[name]
            assert got.dtype == element(dtype) and got.shape == want.shape
            rounded = want.astype(element(dtype)).astype(np.float64)
            allowed = ULP[dtype] * np.abs(rounded) + 1e-5
            assert (np.abs(widen(got) - rounded) <= allowed).all()
            assert (widen(got) == rounded).mean() > 0.98


PRODUCTS = {
    "constant": ("MatMul", {"x": ("B", 40)}, {"w": (40, 33)}, {}),
    "stacked": ("MatMul", {"x": ("B", 3, 40)}, {"w": (40, 33)}, {}),
    "vector": ("MatMul", {"x": ("B", 40)}, {"w": (40,)}, {}),
    "batched": ("MatMul", {"x": ("B", 3, 8, 24), "w": ("B", 3, 24, 9)}, {}, {}),
    "batched-constant": ("MatMul", {"x": ("B", 3, 8, 24)}, {"w": (3, 24, 9)}, {}),
    "gemm": (
        "Gemm",
        {"x": ("B", 40)},
        {"w": (33, 40), "c": (33,)},
        {"transB": 1, "alpha": 0.37, "beta": 1.7},
    ),
    "gemm-bias": ("Gemm", {"x": ("B", 40)}, {"w": (40, 33), "c": (33,)}, {}),
    "einsum": ("Einsum", {"x": ("B", 3, 40)}, {"w": (40, 7)}, {"equation": "bik,kj->bij"}),
    "einsum-batched": (
        "Einsum",
        {"x": ("B", 2, 5, 16), "w": ("B", 2, 7, 16)},
        {},
        {"equation": "bhqd,bhkd->bhqk"},
    ),
    "einsum-sum": ("Einsum", {"x": ("B", 50, 6)}, {}, {"equation": "bij->bj"}),
    "conv": (
        "Conv",
        {"x": ("B", 4, 9, 8)},
        {"w": (8, 4, 3, 3), "c": (8,)},
        {"pads": [1, 1, 1, 1]},
    ),
    "conv-groups": ("Conv", {"x": ("B", 4, 9, 8)}, {"w": (8, 2, 3, 3)}, {"group": 2}),
    "conv-input": ("Conv", {"x": ("B", 4, 9), "w": (6, 4, 3)}, {}, {}),
    "conv-transposed": (
        "ConvTranspose",
        {"x": ("B", 4, 5, 6)},
        {"w": (4, 3, 3, 3), "c": (3,)},
        {"strides": [2, 2]},
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(tmp_path, name, dtype):
    op, inputs, shapes, attributes = PRODUCTS[name]
    rng = np.random.default_rng(len(name))
    constants = {n: normal(rng, dtype, *s) for n, s in shapes.items()}
    node = helper.make_node(op, [*inputs, *constants], ["y"], "n", **attributes)
    runs = [
        {n: normal(rng, dtype, *(b if e == "B" else e for e in s)) for n, s in inputs.items()}
        for b in (5, 1)
    ]
    check_operator(tmp_path, [node], inputs, constants, dtype, runs)


OPERATORS = {
    "softmax": ("Softmax", {}),
    "log-softmax": ("LogSoftmax", {}),
    "sum": ("ReduceSum", {}),
    "mean": ("ReduceMean", {}),
    "norm2": ("ReduceL2", {}),
    "exp": ("Exp", {}),
    "sqrt": ("Sqrt", {}),
    "tanh": ("Tanh", {}),
    "gelu": ("Gelu", {}),
    "sigmoid": ("Sigmoid", {}),
    "erf": ("Erf", {}),
    "hardswish": ("HardSwish", {}),
    "pool": ("AveragePool", {"kernel_shape": [3]}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators(tmp_path, name, dtype):
    op, attributes = OPERATORS[name]
    rng = np.random.default_rng(1)
    operands = ["x"] + ["axes"] * op.startswith("Reduce")
    constants = {"axes": np.array([-1])} if len(operands) > 1 else {}
    node = helper.make_node(op, operands, ["y"], "n", **attributes)
    runs = [{"x": abs(normal(rng, dtype, b, 3, 600))} for b in (3, 1)]
    check_operator(tmp_path, [node], {"x": ("B", 3, 600)}, constants, dtype, runs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_rounds_as_the_type(tmp_path, op, dtype):
    """All bits, subnormals and infinities among them."""
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 1 << 16, (2, 4000)).astype(np.uint16)
    a, b = (row.view(element(dtype)) for row in bits)
    node = helper.make_node(op, ["a", "b"], ["y"], "n")
    save(tmp_path / "m.onnx", [node], {"a": ("N",), "b": ("N",)}, ["y"], {}, dtype)
    library = gatecc.load(gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so"), threads=1)
    function = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[op]
    with np.errstate(all="ignore"):
        want = function(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    np.testing.assert_array_equal(widen(library(a=a, b=b)["y"]), widen(want))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_recurrent(tmp_path, op, dtype):
    steps, size, hidden = 4, 3, 5
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    rng = np.random.default_rng(3)
    constants = {
        "w": normal(rng, dtype, 2, gates * hidden, size),
        "r": normal(rng, dtype, 2, gates * hidden, hidden),
        "b": normal(rng, dtype, 2, 2 * gates * hidden),
    }
    node = helper.make_node(
        op, ["x", *constants], ["y", "h"], "n", hidden_size=hidden, direction="bidirectional"
    )
    inputs = {"x": (steps, "B", size)}
    runs = [{"x": normal(rng, dtype, steps, b, size)} for b in (3, 1)]
    check_operator(tmp_path, [node], inputs, constants, dtype, runs, ["y", "h"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_and_attention(tmp_path, dtype):
    rng = np.random.default_rng(4)
    constants = {n: normal(rng, dtype, 24) for n in ("s", "b")}
    node = helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"], "n")
    runs = [{"x": normal(rng, dtype, b, 24)} for b in (7, 1)]
    check_operator(tmp_path, [node], {"x": ("B", 24)}, constants, dtype, runs)
    heads = {n: ("B", 2, 5, 8) for n in "qkv"}
    node = helper.make_node("Attention", list("qkv"), ["y"], "n", is_causal=1)
    runs = [{n: normal(rng, dtype, b, 2, 5, 8) for n in "qkv"} for b in (3, 1)]
    check_operator(tmp_path, [node], heads, {}, dtype, runs)


# --- Instruction sets: those without conversions use functions of the library.


@pytest.mark.parametrize("dtype", DTYPES)
def test_baseline_cpu_gives_the_same_numbers(build, dtype):
    path = build.graph(moe.network(24, 20, 4, 2).in_type(dtype))
    x = moe.make_inputs(9, 24).astype(element(dtype))
    with build.load(path) as native, build.load(path, mcpu="x86-64") as baseline:
        assert_close(
            widen(baseline(x=x)["y"]), widen(native(x=x)["y"]), dtype
        )


def test_weights_keep_their_size(build):
    bytes_of = {}
    for dtype in ("f32", *DTYPES):
        path = build.graph(moe.network(64, 64, 4, 2).in_type(dtype))
        with build.load(path) as library:
            bytes_of[dtype] = library.weight_bytes
    for dtype in DTYPES:
        assert bytes_of[dtype] < 0.55 * bytes_of["f32"]


# --- Mixtures of experts

PLAIN = ["unrolled", "dense", "gathered", "grouped", "sliced", "batched"]


def clear_rows(scores, k, dtype):
    """Rows whose choice no other rounding of a score could change."""
    best = -np.sort(-scores, axis=-1)
    if k == best.shape[-1]:
        return np.ones(len(best), bool)
    return best[:, k - 1] - best[:, k] > 3 * ULP[dtype] * best[:, k - 1]


def counts(chosen, experts):
    return (chosen[:, :, None] == np.arange(experts)).sum(1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["contrib", *PLAIN])
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_experts(build, form, activation, dtype):
    experts, k = 5, 2
    path = build.graph(moe.network(24, 20, experts, k, activation, form).in_type(dtype))
    x = moe.make_inputs(40, 24, seed=1).astype(element(dtype))
    run = reference.run_onnx(path, {"x": x})
    if form == "contrib":
        ((plan, _),) = run.plans.values()
        chosen, scores = plan.ids(), np.exp(run.values["layer0/router/out"])
    else:
        chosen = run.values["layer0/experts/topk/experts"]
        scores = run.values["layer0/experts/scores/out"]
    clear = clear_rows(scores, k, dtype)
    assert clear.mean() > 0.7
    with build.load(path) as library:
        assert [site.kind for site in library.sites] == ["experts"]
        y = library(x=x)["y"]
        assert y.dtype == element(dtype)
        assert sum(library.stats()["sites"][0]["groups"]) == 40 * k
        alone, (groups,) = one_by_one(library, x)
        np.testing.assert_array_equal(groups[clear], counts(chosen, experts)[clear])
        assert_close(widen(y)[clear], run.outputs["y"][clear], dtype)
        # A row on its own has the bits that it has in a batch.
        assert_same_bits({"y": alone["y"].view(np.uint16)}, {"y": y.view(np.uint16)})
        for count in (0, 1, 7):
            some = library(x=x[:count])["y"]
            np.testing.assert_array_equal(some.view(np.uint16), y[:count].view(np.uint16))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["contrib", *PLAIN])
def test_all_rows_on_the_first_experts(build, form, dtype):
    """Equal scores are a tie, which the lower experts win."""
    graph = moe.network(24, 20, 5, 2, form=form, bare=True)
    graph.weights["layer0/router.weight"][:] = 0
    path = build.graph(graph.in_type(dtype))
    x = moe.make_inputs(9, 24).astype(element(dtype))
    with build.load(path) as library:
        y = library(x=x)["y"]
        assert library.stats()["sites"][0]["groups"] == [9, 9, 0, 0, 0]
    assert_close(widen(y), reference.run_onnx(path, {"x": x}).outputs["y"], dtype)


def router_of(column_of_expert, form, dtype):
    """A network of one input column for each expert's score."""
    experts = len(column_of_expert)
    graph = moe.network(8, 12, experts, 1, "relu", form, bare=True)
    router = graph.weights["layer0/router.weight"]
    router[:] = 0
    router[0] = column_of_expert
    return graph.in_type(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["contrib", "dense"])
def test_scores_that_rounding_makes_equal_are_a_tie(build, form, dtype):
    """1 + 3/4 ulp, 1 + 7/8 ulp and 1 + ulp, as sums of two products, are all 1 + ulp; four
    times as far from 1 the first is another number."""
    ulp = ULP[dtype]
    graph = router_of([1.0, 1.0, 1.0], form, dtype)
    router = graph.weights["layer0/router.weight"]
    router[1] = np.array([0.75, 0.875, 1.0]).astype(router.dtype)
    path = build.graph(graph)
    x = np.zeros((3, 8), element(dtype))
    x[:, 0] = 1
    x[:, 1] = [ulp, 4 * ulp, 0]
    with build.load(path) as library:
        _, (groups,) = one_by_one(library, x)
    assert groups.argmax(1).tolist() == [0, 1, 0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["contrib", *PLAIN])
def test_nan_stays_in_its_row(build, form, dtype):
    path = build.graph(moe.network(24, 20, 4, 2, "silu", form).in_type(dtype))
    x = moe.make_inputs(12, 24, seed=4).astype(element(dtype))
    bad = x.copy()
    bad[3], bad[5, 2], bad[8, 1] = np.nan, np.inf, -np.inf
    good = [row for row in range(12) if row not in (3, 5, 8)]
    with build.load(path) as library, build.load(path, disable=RAISING) as plain:
        want = library(x=x)["y"]
        made = library(x=bad)["y"]
        np.testing.assert_array_equal(made[good].view(np.uint16), want[good].view(np.uint16))
        assert np.isnan(widen(made[3])).all()
        assert_close(widen(made), widen(plain(x=bad)["y"]), dtype)


@pytest.mark.parametrize("form", ["contrib", *(f for f in PLAIN if f != "unrolled")])
def test_experts_as_onnx_runtime(build, form):
    """ONNX Runtime runs f16 in f32 between its casts; it adds up no f16 by ScatterND."""
    path = build.graph(moe.network(24, 20, 5, 2, "silu", form).in_type("f16"))
    x = moe.make_inputs(40, 24, seed=1).astype(np.float16)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": x})
    with build.load(path) as library:
        made = library(x=x)["y"]
    row_error = np.abs(widen(made) - widen(want)).max(1)
    # A choice that rounding has turned is another row.
    assert (row_error <= TOLERANCE["f16"] * (1 + np.abs(widen(want)).max(1))).mean() > 0.9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("experts", ["bf16", "int8", "int4"])
def test_experts_rounded_further(build, dtype, experts):
    path = build.graph(moe.network(64, 64, 4, 2).in_type(dtype))
    x = moe.make_inputs(20, 64).astype(element(dtype))
    run = reference.run_onnx(path, {"x": x}, experts=experts)
    ((plan, _),) = run.plans.values()
    clear = clear_rows(np.exp(run.values["layer0/router/out"]), 2, dtype)
    with build.load(path, experts=experts) as library:
        y = library(x=x)["y"]
    assert_close(widen(y)[clear], run.outputs["y"][clear], "bf16")


# --- Exits, and what gatecc verify says


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("style", exits.STYLES)
def test_exits(build, style, dtype):
    stages = 4
    path = build.graph(exits.network(24, stages, style).in_type(dtype))
    with build.load(path) as library:
        for rate in (0.0, 0.5, 1.0):
            x, planned = exits.make_inputs(60, 24, stages, rate)
            x = x.astype(element(dtype))
            run = reference.run_onnx(path, {"x": x})
            assert_close(widen(library(x=x)["logits"]), run.outputs["logits"], dtype)
            (site,) = library.stats()["sites"]
            assert site["kind"] == "exit"
            assert site["groups"] == np.bincount(planned, minlength=stages).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["unrolled", "batched"])
def test_verify(build, form, dtype):
    path = build.graph(moe.network(24, 20, 4, 2, "silu", form).in_type(dtype))
    done = subprocess.run(
        [gatecc.find_compiler(), "verify", path, "--random", "2", "--onnxruntime=no"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["gathered", "batched"])
def test_report_names_the_router(build, tmp_path, form):
    path = build.graph(moe.network(24, 20, 4, 2, "silu", form).in_type("f16"))
    gatecc.compile(path, tmp_path / "m.so", report=tmp_path / "r.json")
    (site,) = json.loads((tmp_path / "r.json").read_text())["sites"]
    assert "softmax" in site["router"]


def test_router_in_f32_of_a_model_in_f16(build):
    """As torch exports it: the scores are cast to f32, the weights back to f16."""
    rng = np.random.default_rng(6)
    experts, k, dim, hidden = 4, 2, 16, 12
    g = Graph("cast-router")
    g.input("x", ["T", dim], TensorProto.FLOAT16)

    def weight(name, *shape):
        return g.weight(name, (rng.standard_normal(shape) / 4).astype(np.float16))

    logits = g.node("MatMul", ["x", weight("router", dim, experts)], "logits")
    wide = g.node("Cast", [logits], "wide", to=TensorProto.FLOAT)
    scores = g.node("Softmax", [wide], "scores", axis=-1)
    values, ids = "topk/values", "topk/ids"
    g.node("TopK", [scores, g.weight("k", np.array([k]))], "topk", [values, ids])
    total = g.node("ReduceSum", [values, g.weight("last", np.array([-1]))], "total")
    share = g.node("Div", [values, total], "share")
    share = g.node("Cast", [share], "narrow", to=TensorProto.FLOAT16)
    flat = g.node("Reshape", [ids, g.weight("flat", np.array([-1]))], "flat")
    up = g.node("Gather", [weight("up", experts, dim, hidden), flat], "ups", axis=0)
    down = g.node("Gather", [weight("down", experts, hidden, dim), flat], "downs", axis=0)
    each = g.node("Unsqueeze", ["x", g.weight("one", np.array([1]))], "each")
    tokens = g.node("Shape", ["x"], "tokens", end=1)
    shape = [tokens, g.weight("sizes", np.array([k, dim]))]
    rows = g.node("Expand", [each, g.node("Concat", shape, "shape", axis=0)], "rows")
    rows = g.node("Reshape", [rows, g.weight("apart", np.array([-1, 1, dim]))], "slots")
    h = g.node("Relu", [g.node("MatMul", [rows, up], "up/out")], "relu")
    y = g.node("MatMul", [h, down], "down/out")
    y = g.node("Reshape", [y, g.weight("choices", np.array([-1, k, dim]))], "back")
    share = g.node("Unsqueeze", [share, "last"], "column")
    y = g.node("Mul", [y, share], "weighted")
    g.node("ReduceSum", [y, "one"], "sum", ["y"], keepdims=0)
    g.output("y", ["T", dim], TensorProto.FLOAT16)
    path = build.graph(g)
    x = normal(rng, "f16", 30, dim)
    run = reference.run_onnx(path, {"x": x})
    clear = clear_rows(run.values["scores/out"], k, "f16")
    with build.load(path) as library:
        assert [site.kind for site in library.sites] == ["experts"]
        assert_close(widen(library(x=x)["y"])[clear], run.outputs["y"][clear], "f16")
