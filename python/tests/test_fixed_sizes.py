# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Routed layers in files whose sizes are all numbers, and with what tools that fold constants
# make of them: zeros, ones and ranges as initializers, sums that begin with no zeros.
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from test_exports import FORMS, D, E, K, Layer, assert_near

import gatecc


def with_fixed_rows(path, rows):
    """The file with `rows` for T."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = rows
    onnx.save(model, path)
    return path


def sites_of(path, tmp_path):
    report = tmp_path / "report.json"
    gatecc.compile(path, compile_to="gate", report=report)
    return json.loads(report.read_text())["sites"]


def inputs(rows):
    """Rows with choices of their own, then all with the same."""
    x = np.random.default_rng(rows).standard_normal((rows, D)).astype(np.float32)
    return x, np.repeat(x[:1], rows, 0)


def check(build, path, rows):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with build.load(path) as lib:
        for x in inputs(rows):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])


# As many rows as choices and as experts, too: sizes that are equal mean nothing.
@pytest.mark.parametrize("rows", [K, E, 7, 40])
@pytest.mark.parametrize("form", FORMS)
def test_form(build, tmp_path, form, rows):
    path = with_fixed_rows(build.graph(FORMS[form]()), rows)
    (site,) = sites_of(path, tmp_path)
    assert (site["name"], site["kind"], site["groups"]) == ("top", "experts", E)
    assert site["router"] == "R1: softmax, the 2 best"
    check(build, path, rows)


@pytest.mark.parametrize("form", FORMS)
def test_no_rows(build, form):
    path = with_fixed_rows(build.graph(FORMS[form]()), 0)
    with build.load(path) as lib:
        assert lib(x=np.zeros((0, D), np.float32))["y"].shape == (0, D)


def back_by_inverse(numbers, rows):
    """Sorted slots, and back by the inverse of the sort; `numbers` are folded."""
    net = Layer()
    order, gathered, counts = net.sorted_slots()
    parts = [f"part{e}" for e in range(E)]
    net.graph.node("Split", [gathered, counts], "split", parts, axis=0)
    done = [net.expert(e, parts[e]) for e in range(E)]
    where = net("Unsqueeze", "orderv", order, "axis1")
    numbers = net.weight("numbers", numbers)
    empty = net.weight("empty", np.zeros(rows * K, np.int64))
    inverse = net("ScatterND", "inverse", empty, where, numbers)
    joined = net("Concat", "joined", *done, axis=0)
    back = net("GatherND", "back", joined, net("Unsqueeze", "inv", inverse, "axis1"))
    return net.finish(net.sum_of_slots(net("Mul", "weighed", back, net.slot_weights)))


def test_range_as_initializer(build, tmp_path):
    path = with_fixed_rows(build.graph(back_by_inverse(np.arange(14), 7)), 7)
    (site,) = sites_of(path, tmp_path)
    assert (site["kind"], site["groups"]) == ("experts", E)
    check(build, path, 7)


@pytest.mark.parametrize("numbers", [np.arange(14)[::-1], np.arange(14) // 2 * 2])
def test_other_numbers_are_no_range(build, tmp_path, numbers):
    path = with_fixed_rows(build.graph(back_by_inverse(numbers.copy(), 7)), 7)
    assert sites_of(path, tmp_path) == []
    check(build, path, 7)


def scattered(rows, zeros, first=None, reduction="none"):
    """Each expert's rows scattered into zeros, and these added up."""
    net = Layer()
    base = net.weight("base", np.full((rows, D), zeros, np.float32))
    flat = net("Reshape", "flat1", "best", "flat")
    result = None if first is None else net.weight("first", np.full((rows, D), first, np.float32))
    for e in range(E):
        mine = net("Equal", f"m{e}", "chosen", net.weight(f"e{e}", np.array(e)))
        places = net("NonZero", f"nz{e}", mine)  # [2,n]: token, choice
        ends = [f"t{e}", f"c{e}"]
        net.graph.node("Split", [places], f"sp{e}", ends, num_outputs=2, axis=0)
        token = net("Squeeze", f"token{e}", f"t{e}", "axis0")
        choice = net("Squeeze", f"choice{e}", f"c{e}", "axis0")
        out = net.expert(e, net("Gather", f"rows{e}", "x", token, axis=0))
        slot = net("Mul", f"tk{e}", token, net.weight(f"kk{e}", np.array(K)))
        slot = net("Add", f"slot{e}", slot, choice)
        by = net("Unsqueeze", f"by{e}", net("Gather", f"w{e}", flat, slot), "axis1")
        weighed = net("Mul", f"weighed{e}", out, by)
        where = net("Expand", f"wide{e}", net("Unsqueeze", f"wh{e}", token, "axis1"), net("Shape", f"size{e}", weighed))
        part = net("ScatterElements", f"part{e}", base, where, weighed, axis=0, reduction=reduction)
        result = part if result is None else net("Add", f"sum{e}", result, part)
    return net.finish(result)


# Of 7 rows zeros are a small constant, of 60 data of the file.
@pytest.mark.parametrize("rows", [7, 60])
# What the sum begins with is a tensor, which may become a number in the first addition.
@pytest.mark.parametrize("first", [None, 0.0, 0.25])
@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scattered_into_zeros(build, tmp_path, capfd, rows, first, reduction):
    graph = scattered(rows, 0.0, first, reduction)
    path = with_fixed_rows(build.graph(graph), rows)
    (site,) = sites_of(path, tmp_path)
    assert "no work for expert" not in capfd.readouterr().err
    assert (site["kind"], site["groups"]) == ("experts", E)
    assert "has no work" not in site["note"]
    check(build, path, rows)


def test_scattered_onto_numbers(build, tmp_path):
    """What each expert's rows are added to is a part of the sum."""
    path = with_fixed_rows(build.graph(scattered(7, 0.25, 0.0, "add")), 7)
    assert [site["kind"] for site in sites_of(path, tmp_path)] == ["experts"]
    check(build, path, 7)


@pytest.mark.parametrize("zeros, reduction", [(0.25, "none"), (0.0, "max")])
def test_scattered_otherwise(build, tmp_path, zeros, reduction):
    """In the place of other numbers, or with the larger of zero and the row."""
    path = with_fixed_rows(build.graph(scattered(7, zeros, 0.0, reduction)), 7)
    assert all(site["kind"] != "experts" for site in sites_of(path, tmp_path))
    check(build, path, 7)


def test_shape_from_what_was_checked(build, tmp_path):
    """[n, D] reshaped to [T, k, -1], n being the sum of the experts' slots."""
    net = Layer()
    order, gathered, counts = net.sorted_slots()
    joined = net.sliced_experts(gathered, counts)
    like = net("ConstantOfShape", "like", net("Shape", "joinedsize", joined))
    all_slots = net("Reshape", "all", joined, net.weight("nd", np.array([7 * K, D])))
    back = net("ScatterND", "back", like, net("Unsqueeze", "orderv", order, "axis1"), all_slots)
    apart = net("Reshape", "apart", back, net.weight("tk", np.array([7, K, -1])))
    column = net("Unsqueeze", "column", "best", net.weight("last", np.array([2])))
    total = net("ReduceSum", "total", net("Mul", "weighed", apart, column), "axis1", keepdims=0)
    path = with_fixed_rows(build.graph(net.finish(total)), 7)
    (site,) = sites_of(path, tmp_path)
    assert (site["kind"], site["groups"]) == ("experts", E)
    check(build, path, 7)


@pytest.mark.parametrize("rows", [None, 7])
def test_sum_that_begins_with_zeros(build, tmp_path, rows):
    """0 + w0 * f0(x) + w1 * f1(x) + ..., the weights by masks of the choices."""
    net = Layer()
    size = net("Shape", "xsize", "x")
    result = net("ConstantOfShape", "zeros", size)
    for e in range(E):
        hit = net("Equal", f"hit{e}", "chosen", net.weight(f"e{e}", np.array(e)))
        mask = net("Cast", f"mask{e}", hit, to=onnx.TensorProto.FLOAT)
        weight = net("ReduceSum", f"w{e}", net("Mul", f"wm{e}", "best", mask), "axis1", keepdims=1)
        result = net("Add", f"sum{e}", result, net("Mul", f"by{e}", net.expert(e, "x"), weight))
    path = build.graph(net.finish(result))
    if rows:
        with_fixed_rows(path, rows)
    (site,) = sites_of(path, tmp_path)
    assert (site["kind"], site["groups"], site["choices"]) == ("experts", E, K)
    check(build, path, rows or 7)


def test_uniform_weights(build):
    """Weights that repeat one number are weights as others are."""
    net = Layer()
    h = net("MatMul", "h", "x", net.weight("half", np.full((D, 300), 0.5, np.float32)))
    h = net("Add", "hb", h, net.weight("third", np.full(300, 0.25, np.float32)))
    o = net("MatMul", "o", net("Relu", "a", h), net.weight("ones", np.ones((300, D), np.float32)))
    path = build.graph(net.finish(o))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with build.load(path) as lib:
        for x in (*inputs(33), inputs(1)[0]):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
