# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts that a graph runs on every row and weighs with zeros that no top-k has made: a
# ReLU, a threshold, a share of the probability; a table of ids; one decision for each
# sequence; and normalisations inside of experts. Against ONNX Runtime and against the same
# model with every expert run.
import json

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
from compare import assert_same_bits
from test_dense_experts import DISPATCHES, D, E, H, Layer, assert_near, batched, rows_of, scattered

PASS = "form-dense-experts"


def without_top_k():
    net = Layer(router="logits")
    net.graph.nodes.pop()
    return net


def rectified():
    net = without_top_k()
    return net, net("Relu", "r", net.logits)


def above_a_threshold():
    """p times a mask of numbers."""
    net = without_top_k()
    p = net("Sigmoid", "p", net.logits)
    keep = net("Greater", "keep", p, net.real("half", 0.5))
    return net, net("Mul", "r", p, net("Cast", "mask", keep, to=onnx.TensorProto.FLOAT))


def selected():
    net = without_top_k()
    p = net("Softmax", "p", net.logits, axis=-1)
    return net, net("Where", "r", net("Less", "low", p, net.real("limit", 0.2)), net.real("zero", 0), p)


def share_of_probability():
    """Experts in order of their probability until 0.6 are together."""
    net = Layer(k=E)
    sums = net("CumSum", "sums", "best", net.ints("last", -1), exclusive=1)
    keep = net("Cast", "mask", net("Less", "keep", sums, net.real("share", 0.6)), to=onnx.TensorProto.FLOAT)
    net.weights = net("Mul", "kept", "best", keep)
    return net, scattered(net)


MATRICES = [rectified, above_a_threshold, selected, share_of_probability]


def weights_of(matrix, x):
    """[T,E] in float64."""
    logits = x.astype(np.float64) @ Layer().gate
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    if matrix is rectified:
        return np.maximum(logits, 0)
    if matrix is above_a_threshold:
        return np.where(logits > 0, 1 / (1 + np.exp(-logits)), 0)
    if matrix is selected:
        return np.where(p < 0.2, 0, p)
    order = np.argsort(-p, axis=1, kind="stable")
    best = np.take_along_axis(p, order, 1)
    kept = np.where(np.cumsum(best, 1) - best < 0.6, best, 0)
    result = np.zeros_like(p)
    np.put_along_axis(result, order, kept, 1)
    return result


def site_of(model, tmp_path):
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["kind"], site["groups"]) == ("experts", E) and "gate.combine" in text
    return site


def runtime(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("dispatch", ["batched", "one_after_another", "weighted_hidden", "einsums"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_weights(build, tmp_path, matrix, dispatch):
    net, r = matrix()
    model = build.graph(net.finish(DISPATCHES[dispatch](net, r)))
    site = site_of(model, tmp_path)
    assert "runs the experts whose weight is not zero" in site["note"]
    session = runtime(model)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        for count in (1, 2, 7, 64):
            x = rows_of(count)
            y = lib(x=x)["y"]
            assert_near(y, session.run(None, {"x": x})[0])
            assert_near(y, plain(x=x)["y"])
        used = (weights_of(matrix, x) != 0).sum(0)
        assert 0 < used.sum() < 64 * E
        assert lib.stats()["sites"][0]["groups"] == used.tolist()
        assert lib(x=x[:0])["y"].shape == (0, D)
        for row in (0, 63):
            assert_same_bits(lib(x=x[row : row + 1]), {"y": y[row : row + 1]})
        # Rows that the guard stops run all experts, and touch no others.
        for value in (np.nan, np.inf, -1e30):
            bad = x[:12].copy()
            bad[4, 2] = bad[9, 0] = value
            others = np.delete(np.arange(12), [4, 9])
            made, expected = lib(x=bad)["y"], plain(x=bad)["y"]
            assert_same_bits({"y": made[others]}, {"y": y[:12][others]})
            np.testing.assert_array_equal(np.isnan(made), np.isnan(expected))


def test_no_weight_at_all(build):
    """A row whose weights are all zero is zero."""
    net, r = rectified()
    net.graph.weights["gate"][:] = -np.abs(net.graph.weights["gate"])
    model = build.graph(net.finish(batched(net, r)))
    with build.load(model) as lib:
        np.testing.assert_array_equal(lib(x=np.abs(rows_of(5)))["y"], 0)
        assert lib.stats()["sites"][0]["groups"] == [0] * E


def looked_up(values):
    """Hash routing: an expert for each token, by a table."""
    net = without_top_k()
    net.graph.nodes.clear()
    net.graph.input("token", ["T"], onnx.TensorProto.INT64)
    net.ids = net("Gather", "ids", net.weight("table", np.asarray(values)), "token")
    hit = net("Equal", "hit", net("Unsqueeze", "idu", net.ids, net.ints("one", [1])), net.ints("numbers", np.arange(E)))
    return net, net("Cast", "r", hit, to=onnx.TensorProto.FLOAT)


@pytest.mark.parametrize("dispatch", ["batched", "one_after_another"])
def test_a_table_of_ids(build, tmp_path, dispatch):
    """Ids beside the experts' numbers are nobody's."""
    table = np.arange(32) * 5 % 7 - 1
    net, r = looked_up(table)
    model = build.graph(net.finish(DISPATCHES[dispatch](net, r)))
    assert site_of(model, tmp_path)["choices"] == 1
    session = runtime(model)
    rng = np.random.default_rng(4)
    with build.load(model) as lib:
        for count in (1, 7, 64):
            run = {"x": rows_of(count), "token": rng.integers(0, 32, count)}
            assert_near(lib(**run)["y"], session.run(None, run)[0])
        ids = table[run["token"]]
        assert lib.stats()["sites"][0]["groups"] == [int((ids == e).sum()) for e in range(E)]


def sequence_layer(top):
    """x [B,S,D], routed by the mean of each sequence."""
    net = without_top_k()
    net.graph.nodes.clear()
    net.graph.inputs = []
    net.graph.input("x", ["B", "S", D])
    mean = net("ReduceMean", "mean", "x", net.ints("one", [1]), keepdims=0)
    net.logits = net("MatMul", "logits", mean, "gate")
    if top:
        net.graph.node("TopK", [net.logits, "k"], "top", ["best", "chosen"])
        net.weights = net("Softmax", "p", "best", axis=-1)
        net.ids = "chosen"
    return net


def added_up(net, r):
    """sum over e of r[b, e] * f_e(x[b])"""
    total = None
    for e in range(E):
        h = net("Relu", f"a{e}", net("MatMul", f"h{e}", "x", net.weight(f"w1.{e}", net.w1[e])))
        o = net("MatMul", f"o{e}", h, net.weight(f"w2.{e}", net.w2[e]))
        weight = net("Gather", f"r{e}", r, net.ints(f"number{e}", e), axis=1)
        by = net("Reshape", f"by{e}", weight, net.ints("column3", [-1, 1, 1]))
        term = net("Mul", f"term{e}", by, o)
        total = net("Add", f"sum{e}", total, term) if total else term
    return total


def stacked_sequences(net, r):
    """[B,1,S,D] times [E,D,H], weighed by [B,E,1,1]."""
    x = net("Unsqueeze", "xu", "x", net.ints("one", [1]))
    h = net("Relu", "a", net("MatMul", "h", x, net.weight("w1", net.w1)))
    o = net("MatMul", "o", h, net.weight("w2", net.w2))
    by = net("Reshape", "by", r, net.ints("column4", [-1, E, 1, 1]))
    return net("ReduceSum", "sum", net("Mul", "weighed", o, by), net.ints("one", [1]), keepdims=0)


@pytest.mark.parametrize("dispatch", [added_up, stacked_sequences])
@pytest.mark.parametrize("top", [True, False])
def test_one_decision_for_each_sequence(build, tmp_path, top, dispatch):
    net = sequence_layer(top)
    r = scattered(net) if top else net("Relu", "r", net.logits)
    y = dispatch(net, r)
    net.graph.node("Identity", [y], "end", ["y"])
    net.graph.output("y", ["B", "S", D])
    model = build.graph(net.graph)
    site = site_of(model, tmp_path)
    assert site["rows"] == "B*S"
    session = runtime(model)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        for shape in ((1, 1), (3, 5), (8, 1), (1, 9)):
            x = np.random.default_rng(8).standard_normal((*shape, D)).astype(np.float32)
            y = lib(x=x)["y"]
            assert_near(y, session.run(None, {"x": x})[0])
            if top:
                assert sum(lib.stats()["sites"][0]["groups"]) == 2 * shape[0] * shape[1]
        x[0, 3, 1] = np.nan
        np.testing.assert_array_equal(np.isnan(lib(x=x)["y"]), np.isnan(plain(x=x)["y"]))
        assert lib(x=x[:0])["y"].shape == (0, 9, D)


def normalised_experts(net, rows, e, activation):
    """Norm of the rows, product, norm of the hidden row, activation, product."""

    def norm(name, value, size):
        ones = net.weight(f"{name}.scale{e}", np.linspace(0.5, 1.5, size, dtype=np.float32) + e)
        shift = net.weight(f"{name}.shift{e}", np.linspace(-1, 1, size, dtype=np.float32) * e)
        return net("LayerNormalization", f"{name}{e}", value, ones, shift, axis=-1)

    h = net("MatMul", f"h{e}", norm("in", rows, D), net.weight(f"w1.{e}", net.w1[e]))
    a = net(activation, f"a{e}", norm("mid", h, H))
    return net("MatMul", f"o{e}", a, net.weight(f"w2.{e}", net.w2[e]))


def normalised_weighted():
    net = Layer()
    r = scattered(net)
    total = "x"
    for e in range(E):
        weight = net("Gather", f"r{e}", r, net.ints(f"number{e}", [e]), axis=1)
        total = net("Add", f"sum{e}", total, net("Mul", f"term{e}", weight, normalised_experts(net, "x", e, "Gelu")))
    return net.finish(total)


def normalised_selected():
    net = Layer()
    total = net("Mul", "nothing", "x", net.real("zero", 0))
    for e in range(E):
        hit = net("Equal", f"hit{e}", net.ids, net.ints(f"number{e}", e))
        at = net("Transpose", f"at{e}", net("NonZero", f"nz{e}", hit), perm=[1, 0])
        token = net("Gather", f"token{e}", at, net.ints("first", [0]), axis=1)
        rows = net("GatherND", f"rows{e}", "x", token)
        by = net("Unsqueeze", f"by{e}", net("GatherND", f"w{e}", net.weights, at), net.ints("one", [1]))
        weighed = net("Mul", f"weighed{e}", normalised_experts(net, rows, e, "Softmax"), by)
        total = net("ScatterND", f"sum{e}", total, token, weighed, reduction="add")
    return net.finish(total)


@pytest.mark.parametrize("make", [normalised_weighted, normalised_selected])
def test_normalisations_inside(build, tmp_path, make):
    model = build.graph(make())
    site_of(model, tmp_path)
    session = runtime(model)
    with build.load(model) as lib:
        for count in (1, 7, 64):
            x = rows_of(count)
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert lib(x=x[:0])["y"].shape == (0, D)
