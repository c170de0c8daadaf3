# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Models of many nodes: what grows with them and what may not. Nothing here is timed; the
# benchmark's suite `compile` is.
import re
import threading

import numpy as np
import onnxruntime
import pytest
from onnx import helper

import gatecc
from gatecc.models import chains, moe
from gatecc.models.graph import Graph

DIM = 4
STACK = 128 * 1024  # what runtime.h says that a run uses at most


def chain(products):
    """products x (MatMul, Add, Tanh), each with a weight of its own."""
    g = Graph("chain")
    y = g.input("x", ["B", DIM])
    rng = np.random.default_rng(0)
    for i in range(products):
        w = rng.standard_normal((DIM, DIM), np.float32) / 2
        y = g.node("MatMul", [y, g.weight(f"w{i}", w)], f"matmul{i}")
        b = g.weight(f"b{i}", rng.standard_normal(DIM, np.float32))
        y = g.node("Tanh", [g.node("Add", [y, b], f"add{i}")], f"tanh{i}")
    g.rename_result("y")
    g.output("y", ["B", DIM])
    return g


def functions(text):
    """{name: lines} of the functions of a module's text."""
    parts = re.split(r"^  func\.func (?:private )?@(\w+)", text, flags=re.M)
    return {n: body.count("\n") for n, body in zip(parts[1::2], parts[2::2])}


def test_no_function_is_as_long_as_the_model(build):
    sizes = {}
    for products in (600, 1200):
        text = gatecc.compile(build.graph(chain(products)), compile_to="kernel")
        sizes[products] = functions(text)
    steps = [sum("step_" in name for name in s) for s in sizes.values()]
    assert 2 <= steps[0] < steps[1] <= 2 * steps[0]
    longest = [max(s.values()) for s in sizes.values()]
    assert longest[1] <= 1.2 * longest[0]
    # One kernel, whatever the number of its sites.
    kernels = [sum("contract_" in n or "task_" in n for n in s) for s in sizes.values()]
    assert kernels[0] == kernels[1]


@pytest.mark.parametrize("kind", chains.KINDS)
def test_many_nodes_match_onnx_runtime(build, kind):
    model = build.graph(chains.network(kind, 400))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib:
        for rows in (1, 2, 19):
            x = np.random.default_rng(rows).standard_normal((rows, 16), np.float32)
            want = session.run(None, {"x": x})[0]
            np.testing.assert_allclose(lib(x=x)["y"], want, rtol=1e-4, atol=1e-4)
        assert lib(x=x[:0])["y"].shape == (0, 16)


def test_many_inputs_and_outputs(build):
    rng = np.random.default_rng(0)
    model = build.graph(chains.ports(200))
    inputs = {f"x{i}": rng.standard_normal((3, 16), np.float32) for i in range(200)}
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib:
        made = lib(**inputs)
        names = [o.name for o in session.get_outputs()]
        assert list(made) == names
        for name, want in zip(names, session.run(names, inputs), strict=True):
            np.testing.assert_array_equal(made[name], want)


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_one_node_of_many_operands(build, op, dtype):
    """Operands of several shapes, added up from left to right, rounded at the end."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    g = Graph("operands")
    rng = np.random.default_rng(0)
    shapes = [(DIM,), (1, DIM), (3, 1), (), (3, DIM)]
    operands = [rng.standard_normal(shapes[i % 5]).astype(dtype) for i in range(150)]
    names = [g.weight(f"w{i}", w) for i, w in enumerate(operands)]
    g.node(op, [g.input("x", [3, 1], element), *names], "many", ["y"])
    g.output("y", [3, DIM], element)
    x = rng.standard_normal((3, 1)).astype(dtype)
    with build.load(build.graph(g)) as lib:
        made = lib(x=x)["y"]
    want = x.astype(np.float32)
    for w in operands:
        w = w.astype(np.float32)
        want = {"Max": np.maximum, "Min": np.minimum}.get(op, np.add)(want, w)
    if op == "Mean":
        want = want / np.float32(151)
    np.testing.assert_array_equal(made, want.astype(dtype))


def test_the_stack_of_a_run_has_a_bound(build):
    model = build.graph(chain(1200))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((3, DIM), np.float32)
    made = []
    with build.load(model, threads=1) as lib:
        before = threading.stack_size(STACK + 64 * 1024)  # Python needs some, too.
        try:
            thread = threading.Thread(target=lambda: made.append(lib(x=x)["y"]))
            thread.start()
            thread.join()
        finally:
            threading.stack_size(before)
    np.testing.assert_allclose(made[0], session.run(None, {"x": x})[0], atol=1e-5)


@pytest.mark.parametrize("form", ["grouped", "unrolled"])
def test_many_experts_are_one_site(build, tmp_path, form):
    """The routed part of a layer is as long with 16 experts as with 64."""
    lengths = []
    for experts in (16, 64):
        graph = moe.network(8, 6, experts, 2, form=form, layers=2)
        text = gatecc.compile(build.graph(graph), compile_to="gate")
        (body,) = re.findall(r"func\.func @main.*?\n  }", text, flags=re.S)
        lengths.append(body.count("\n"))
        assert body.count("gate.apply") == body.count("gate.combine") == 2
        assert not any(op in body for op in ("gate.gather", "gate.scatter", "gate.check"))
    assert lengths[0] == lengths[1]


def test_grouped_form_matches_onnx_runtime(build):
    graph = moe.network(8, 6, 5, 2, form="grouped", layers=2)
    model = build.graph(graph)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib, build.load(model, disable="form-experts") as plain:
        for rows in (1, 2, 7, 64):
            x = moe.make_inputs(rows, 8, seed=rows)
            want = session.run(None, {"x": x})[0]
            for made in (lib, plain):
                np.testing.assert_allclose(made(x=x)["y"], want, rtol=1e-4, atol=1e-5)
        assert lib(x=x[:0])["y"].shape == (0, 8)
