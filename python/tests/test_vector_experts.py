# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts that are a vector down and a vector up (product keys, PEER): y[t] = sum over k of
# act(x[t] . down[e_k]) * w_k * up[e_k], the vectors read from tables by the ids of a
# top-k. Against ONNX Runtime; slots against NumPy.
import json

import numpy as np
import onnxruntime
import pytest

import gatecc
from gatecc.models.graph import Graph
from test_exports import assert_near
from test_gathered_experts import Nodes

D, KEYS, K = 24, 6, 3
E = KEYS * KEYS


class Net(Nodes):
    """Rows x [T, D], routed by the K best sums of two keys, once for each head."""

    def __init__(self, heads=1, width=D, scale=1.0):
        self.graph = Graph("net")
        self.heads = heads
        rng = np.random.default_rng(21)
        self.graph.input("x", ["T", width])
        draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
        self.keys = [draw(width, heads * KEYS) * np.float32(scale) for _ in range(2)]
        self.down, self.up = draw(E, width), draw(E, width)

    def route(self):
        """The weights and ids [T, K], or [T, heads, K]."""
        lead = [-1, self.heads] if self.heads > 1 else [-1]
        best, ids = [], []
        for side in range(2):
            scores = self("MatMul", f"s{side}", "x", self.weight(f"keys{side}", self.keys[side]))
            scores = self("Reshape", f"r{side}", scores, self.ints("by_head", *lead, KEYS))
            self("TopK", f"t{side}", scores, self.ints("k", K), outputs=[f"v{side}", f"i{side}"])
            axis = self.ints("last" if side == 0 else "before", -1 if side == 0 else -2)
            best.append(self("Unsqueeze", f"vu{side}", f"v{side}", axis))
            ids.append(self("Unsqueeze", f"iu{side}", f"i{side}", axis))
        flat = self.ints("pairs", *lead, K * K)
        scores = self("Reshape", "scores", self("Add", "sum", *best), flat)
        first = self("Mul", "row", ids[0], self.weight("n", np.array(KEYS, dtype=np.int64)))
        numbers = self("Reshape", "numbers", self("Add", "number", first, ids[1]), flat)
        self("TopK", "top", scores, self.ints("k", K), outputs=["best", "at"])
        return self("Softmax", "w", "best", axis=-1), self("GatherElements", "ids", numbers, "at", axis=-1)

    def vectors(self, name, ids):
        return self("Gather", f"{name}_of", self.weight(name, getattr(self, name)), ids)

    def einsums(self, w, ids, down, act="Relu", up=None):
        """The layer as two Einsums, the first of which is given; `up`: ids if they differ."""
        _, vectors, slots = down.replace("->", ",").split(",")
        h = self("Einsum", "h", "x", self.vectors("down", ids), equation=down)
        a = self("Mul", "aw", self(act, "a", h), w)
        rows = self.vectors("up", up or ids)
        return self.finish(self("Einsum", "weighed", a, rows, equation=f"{slots},{vectors}->td"))

    def finish(self, result, name="y"):
        self("Identity", "end", result, outputs=[name])
        self.graph.output(name, ["T", D])
        return self.graph


def products():
    """Doge: two products of matrices; the weights before the second."""
    net = Net()
    w, ids = net.route()
    column = net("Unsqueeze", "xc", "x", net.ints("last", -1))
    h = net("Squeeze", "h", net("MatMul", "dot", net.vectors("down", ids), column), net.ints("last", -1))
    a = net("Mul", "aw", net("Relu", "a", h), w)
    row = net("Unsqueeze", "row_a", a, net.ints("second", 1))
    y = net("MatMul", "weighed", row, net.vectors("up", ids))
    return net.finish(net("Squeeze", "y1", y, net.ints("second", 1)))


def einsums():
    net = Net()
    w, ids = net.route()
    return net.einsums(w, ids, "td,tkd->tk", act="Sigmoid")


def heads():
    """The choices of all heads are the choices of the row."""
    net = Net(heads=2)
    w, ids = net.route()
    return net.einsums(w, ids, "td,thkd->thk")


def sums():
    """Elementwise products, and sums of them."""
    net = Net()
    w, ids = net.route()
    x = net("Unsqueeze", "xu", "x", net.ints("second", 1))
    h = net("ReduceSum", "h", net("Mul", "dot", x, net.vectors("down", ids)), net.ints("last", -1), keepdims=1)
    o = net("Mul", "o", net("Relu", "a", h), net.vectors("up", ids))
    o = net("Mul", "weighed", o, net("Unsqueeze", "wu", w, net.ints("last", -1)))
    return net.finish(net("ReduceSum", "y1", o, net.ints("second", 1), keepdims=0))


def gated():
    """Two vectors in, a product of both, and weights that are no part of the region."""
    net = Net()
    net.gate = np.random.default_rng(5).standard_normal((E, D)).astype(np.float32)
    w, ids = net.route()
    column = net("Unsqueeze", "xc", "x", net.ints("last", -1))
    h, g = (
        net("Squeeze", f"h{n}", net("MatMul", f"dot{n}", net.vectors(n, ids), column), net.ints("last", -1))
        for n in ("down", "gate")
    )
    a = net("Unsqueeze", "au", net("Mul", "a", h, net("Sigmoid", "sg", g)), net.ints("last", -1))
    o = net("Mul", "o", a, net.vectors("up", ids))
    y = net("MatMul", "weighed", net("Unsqueeze", "wu", w, net.ints("second", 1)), o)
    return net.finish(net("Squeeze", "y1", y, net.ints("second", 1)))


FORMS = [products, einsums, heads, sums, gated]


def sites_of(model, tmp_path):
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    return text, json.loads(report.read_text())["sites"]


def chosen(net, x):
    """How many slots each expert has, by the contracts: the lower id wins ties."""
    counts = np.zeros(E, dtype=int)
    for head in range(net.heads):
        scores = [x @ keys[:, head * KEYS : (head + 1) * KEYS] for keys in net.keys]
        order = [np.argsort(-s, axis=1, kind="stable")[:, :K] for s in scores]
        best = [np.take_along_axis(s, o, axis=1) for s, o in zip(scores, order)]
        sums = (best[0][:, :, None] + best[1][:, None, :]).reshape(len(x), -1)
        numbers = (order[0][:, :, None] * KEYS + order[1][:, None, :]).reshape(len(x), -1)
        at = np.argsort(-sums, axis=1, kind="stable")[:, :K]
        np.add.at(counts, np.take_along_axis(numbers, at, axis=1), 1)
    return counts


@pytest.mark.parametrize("form", FORMS)
def test_form(build, tmp_path, form):
    graph = form()
    model = build.graph(graph)
    text, sites = sites_of(model, tmp_path)
    assert [(s["kind"], s["groups"], s["choices"]) for s in sites] == [("experts", E, K * (2 if form is heads else 1))]
    assert text.count("gate.assign") == text.count("gate.apply") == text.count("gate.combine") == 1
    # The tables are read in the region, and nothing is gathered from them beforehand.
    assert f"tensor<{E}x{D}xf32>, tensor<?x" not in text and f"{K}x{D}xf32" not in text
    net = Net(heads=2 if form is heads else 1)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(4)
    with build.load(model) as lib, build.load(model, disable=["form-experts"]) as plain:
        for rows in (1, 7, 64):
            x = rng.standard_normal((rows, D)).astype(np.float32)
            for case in (x, np.ascontiguousarray(np.broadcast_to(x[:1], x.shape))):
                y = lib(x=case)["y"]
                assert_near(y, session.run(None, {"x": case})[0])
                assert_near(y, plain(x=case)["y"])
                (site,) = lib.stats()["sites"]
                np.testing.assert_array_equal(site["groups"], chosen(net, case.astype(np.float64)))
                assert site["rows"] == rows
        assert lib(x=x[:0])["y"].shape == (0, D)
        assert sum(lib.stats()["sites"][0]["groups"]) == 0


@pytest.mark.parametrize("form", [products, heads])
def test_ties(build, form):
    """All keys are alike: every row takes the first experts."""
    graph = form()
    for side in range(2):
        graph.weights[f"keys{side}"][:] = 0.5
    model = build.graph(graph)
    x = np.random.default_rng(6).standard_normal((9, D)).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        groups = lib.stats()["sites"][0]["groups"]
        net = Net(heads=2 if form is heads else 1)
        assert groups[:K] == [9 * net.heads] * K and sum(groups[K:]) == 0


def test_nan(build):
    """A row with a NaN, or an infinity, spoils itself alone."""
    model = build.graph(products())
    x = np.random.default_rng(7).standard_normal((7, D)).astype(np.float32)
    with build.load(model) as lib:
        clean = lib(x=x)["y"]
        bad = x.copy()
        bad[2, 3], bad[5, 0] = np.nan, np.inf
        y = lib(x=bad)["y"]
    rest = [0, 1, 3, 4, 6]
    np.testing.assert_array_equal(y[rest], clean[rest])
    assert np.isnan(y[2]).all()


def values_alone():
    """A memory: vectors are added up, and no row is multiplied with one."""
    net = Net()
    w, ids = net.route()
    row = net("Unsqueeze", "row_w", w, net.ints("second", 1))
    y = net("MatMul", "weighed", row, net.vectors("up", ids))
    return net.finish(net("Squeeze", "y1", y, net.ints("second", 1)))


def other_ids():
    """The vectors up are those of other experts."""
    net = Net()
    w, ids = net.route()
    other = net("Sub", "other", net.weight("last_id", np.array(E - 1, dtype=np.int64)), ids)
    return net.einsums(w, ids, "td,tkd->tk", up=other)


def across_rows():
    """Each vector is multiplied with the sum of all rows."""
    net = Net()
    w, ids = net.route()
    return net.einsums(w, ids, "sd,tkd->tk")


@pytest.mark.parametrize("form", [values_alone, other_ids, across_rows])
def test_near_miss(build, tmp_path, form):
    model = build.graph(form())
    text, sites = sites_of(model, tmp_path)
    assert "gate.apply" not in text
    assert sites == []
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(8).standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
