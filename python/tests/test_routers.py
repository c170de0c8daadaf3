# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The routers of exported layers, in the spellings of several exporters: which form the
# report names, which become one op, and that they decide and weigh as they did before.
import json
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
from gatecc.models.graph import Graph
from test_exports import assert_near

D, H, E, K, G = 6, 5, 8, 2, 4


class Router:
    """Logits [T,E] of x [T,D]; to become ids and weights [T,K], then experts."""

    def __init__(self, spread=1.0):
        self.graph = Graph("router")
        self.rng = np.random.default_rng(21)
        self.count = 0
        self.graph.input("x", ["T", D])
        self.logits = self("MatMul", "x", self.normal(D, E) * np.float32(spread))
        self.last, self.k = np.array([-1]), np.array([K])

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def __call__(self, op, *inputs, outputs=1, **attributes):
        """A node; arrays among its inputs become weights."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                self.count += 1
                value = self.graph.weight(f"c{self.count}", np.asarray(value))
            names.append(value)
        self.count += 1
        name = "router" if op == "TopK" and outputs == "choice" else f"{op}{self.count}"
        results = [f"{name}.{i}" for i in range(2 if outputs == "choice" else outputs)]
        self.graph.node(op, names, name, results, **attributes)
        return results[0] if len(results) == 1 else results

    def topk(self, scores, **attributes):
        return self("TopK", scores, self.k, outputs="choice", axis=-1, **attributes)

    def normalized(self, weights, keep=1):
        total = self("ReduceSum", weights, self.last, keepdims=keep)
        if not keep:
            total = self("Unsqueeze", total, self.last)
        return self("Div", weights, total)

    def layer(self, ids, weights):
        w1, w2 = self.normal(E, H, D), self.normal(E, D, H)
        flat = self("Reshape", ids, self.last)
        x = self("Unsqueeze", "x", np.array([1]))
        shape = self("Concat", self("Shape", "x", end=1), self.k, np.array([D]), axis=0)
        rows = self("Reshape", self("Expand", x, shape), np.array([-1, D, 1]))
        h = self("Relu", self("MatMul", self("Gather", w1, flat), rows))
        o = self("Squeeze", self("MatMul", self("Gather", w2, flat), h), np.array([2]))
        o = self("Mul", o, self("Reshape", weights, np.array([-1, 1])))
        apart = self("Reshape", o, np.array([-1, K, D]))
        y = self("ReduceSum", apart, np.array([1]), keepdims=0)
        self.graph.node("Identity", [y], "end", ["y"])
        self.graph.output("y", ["T", D])
        return self.graph


def softmax(r, x, by_hand=False):
    if not by_hand:
        return r("Softmax", x, axis=-1)
    e = r("Exp", r("Sub", x, r("ReduceMax", x, r.last, keepdims=1)))
    return r.normalized(e)


def sigmoid(r, x, by_hand=False):
    if not by_hand:
        return r("Sigmoid", x)
    one = np.float32(1)
    return r("Div", one, r("Add", one, r("Exp", r("Neg", x))))


def r1(r, by_hand=False, normalize=True, read=False, cube=False):
    logits = r.logits
    if cube:  # [T,1,E], as of a batch of sequences
        logits = r("Unsqueeze", logits, np.array([1]))
    p = softmax(r, logits, by_hand)
    best, ids = r.topk(p)
    if read:
        best = r("GatherElements", p, ids, axis=-1)
    weights = r.normalized(best, keep=0 if by_hand else 1) if normalize else best
    return ids, weights


def r2(r, by_hand=False):
    best, ids = r.topk(r.logits)
    return ids, softmax(r, best, by_hand)


def r3(r, scores=sigmoid, total=None, scale=None, bias=True, normalize=True):
    s = scores(r, r.logits)
    c = r("Add", s, r.normal(E)) if bias else s
    weights = r("GatherElements", s, ids := r.topk(c)[1], axis=-1)
    if normalize:
        divisor = r("ReduceSum", weights, r.last, keepdims=1)
        weights = r("Div", weights, total(r, divisor) if total else divisor)
    return ids, r("Mul", weights, np.float32(scale)) if scale else weights


def sigmoid_of_chosen(r, read=False, total=None, scale=None):
    best, ids = r.topk(r.logits)
    if read:
        best = r("GatherElements", r.logits, ids, axis=-1)
    weights = r("Sigmoid", best)
    if total:
        weights = r("Div", weights, total(r, r("ReduceSum", weights, r.last, keepdims=1)))
    return ids, r("Mul", weights, np.float32(scale)) if scale else weights


def sigmoid_of_biased(r):
    """The choice is of other numbers than the sigmoid."""
    ids = r.topk(r("Add", r.logits, r.normal(E)))[1]
    return ids, r("Sigmoid", r("GatherElements", r.logits, ids, axis=-1))


def best_groups(r, scores, best):
    """1 where an element is of a chosen group."""
    size = r("Shape", scores)
    _, groups = r("TopK", best, np.array([2]), outputs=2, sorted=0)
    tokens = r("Shape", scores, end=1)
    shape = r("Concat", tokens, np.array([G]), axis=0)
    zeros = r("ConstantOfShape", shape)
    ones = r("Expand", np.float32(1), r("Shape", groups))
    hits = r("ScatterElements", zeros, groups, ones, axis=1)
    wide = r("Concat", tokens, np.array([G, E // G]), axis=0)
    return r("Reshape", r("Expand", r("Unsqueeze", hits, r.last), wide), size)


def grouped(r, scores):
    tokens = r("Shape", scores, end=1)
    return r("Reshape", scores, r("Concat", tokens, np.array([G, E // G]), axis=0))


def r4(r):
    s = r("Sigmoid", r.logits)
    c = r("Add", s, r.normal(E))
    two, _ = r("TopK", grouped(r, c), np.array([2]), outputs=2)
    mask = best_groups(r, c, r("ReduceSum", two, r.last, keepdims=0))
    mask = r("Not", r("Cast", mask, to=onnx.TensorProto.BOOL))
    c = r("Where", mask, np.float32(-np.inf), c)
    _, ids = r.topk(c, sorted=0)
    weights = r.normalized(r("GatherElements", s, ids, axis=-1))
    return ids, r("Mul", weights, np.float32(2.5))


def r5(r):
    p = r("Softmax", r.logits, axis=-1)
    mask = best_groups(r, p, r("ReduceMax", grouped(r, p), r.last, keepdims=0))
    mask = r("Not", r("Cast", mask, to=onnx.TensorProto.BOOL))
    best, ids = r.topk(r("Where", mask, np.float32(0), p))
    return ids, best


def r6(r):
    first = r("ArgMax", r.logits, axis=-1, keepdims=1)
    hot = r("Equal", first, np.arange(E))
    rest = r("Where", hot, np.float32(-np.inf), r.logits)
    second = r("ArgMax", rest, axis=-1, keepdims=1)
    weights = [
        r("GatherElements", softmax(r, s), i, axis=-1)
        for s, i in ((r.logits, first), (rest, second))
    ]
    return r("Concat", first, second, axis=1), r("Concat", *weights, axis=1)


def r7(r):
    ids, weights = r1(r)
    return ids, r("Mul", weights, r("Gather", r.normal(E), ids))


def squared(r):
    best, ids = r.topk(r.logits)
    return ids, r("Mul", best, best)


# What the report says, whether it becomes one op, the router.
ROUTERS = {
    "R1": ("R1: softmax, the 2 best, normalised", True, r1),
    "R1-by-hand": ("R1: softmax, the 2 best, normalised", True, partial(r1, by_hand=True)),
    "R1-gathered": ("R1: softmax, the 2 best, normalised", True, partial(r1, read=True)),
    "R1-as-it-is": ("R1: softmax, the 2 best", True, partial(r1, normalize=False)),
    "R1-cube": ("R1: softmax, the 2 best, normalised", True, partial(r1, cube=True)),
    "R2": ("R2: logits, the 2 best, softmax over them", True, r2),
    "R2-by-hand": ("R2: logits, the 2 best, softmax over them", True, partial(r2, by_hand=True)),
    "R3": ("R3: sigmoid, a bias for the choice, the 2 best, normalised", True, r3),
    "R3-scaled": (
        "R3: sigmoid, a bias for the choice, the 2 best, normalised, scaled",
        True,
        partial(r3, total=lambda r, t: r("Add", t, np.float32(1e-20)), scale=2.5),
    ),
    "R3-clipped": (
        "R3: softmax, a bias for the choice, the 2 best, normalised",
        True,
        partial(r3, scores=softmax, total=lambda r, t: r("Clip", t, np.float32(1e-12))),
    ),
    "R3-unbiased": ("R3: sigmoid, the 2 best, normalised", True, partial(r3, bias=False)),
    "R3-as-it-is": (
        "R3: sigmoid, a bias for the choice, the 2 best",
        True,
        partial(r3, normalize=False),
    ),
    "R3-chosen": ("R3: logits, the 2 best, sigmoid of them", True, sigmoid_of_chosen),
    "R3-chosen-gathered": (
        "R3: logits, the 2 best, sigmoid of them, scaled",
        True,
        partial(sigmoid_of_chosen, read=True, scale=2.5),
    ),
    "R3-chosen-normalised": (
        "R3: logits, the 2 best, sigmoid of them, normalised",
        True,
        partial(sigmoid_of_chosen, total=lambda r, t: t),
    ),
    "R3-chosen-clipped": (
        "R3: logits, the 2 best, sigmoid of them, normalised, scaled",
        True,
        partial(sigmoid_of_chosen, total=lambda r, t: r("Clip", t, np.float32(1e-12)), scale=0.5),
    ),
    "R3-chosen-biased": (
        "R3: logits, a bias for the choice, the 2 best, sigmoid of them",
        False,
        sigmoid_of_biased,
    ),
    "R4": (
        "R4: sigmoid, a bias for the choice, the best groups of experts, the 2 best, "
        "normalised, scaled",
        True,
        r4,
    ),
    "R5": ("R5: softmax, the best groups of experts, the 2 best", True, r5),
    "R6": ("R6: one choice after another, each by a maximum of its own", False, r6),
    "R7": ("R7: softmax, the 2 best, normalised, a scale for each expert", False, r7),
    "other": ("other: logits, the 2 best, weighed in another way", False, squared),
}


def network(name):
    router = Router()
    return router.layer(*ROUTERS[name][2](router))


@pytest.mark.parametrize("name", ROUTERS)
def test_form(build, tmp_path, name):
    model = build.graph(network(name))
    text, is_fused, _ = ROUTERS[name]
    report = tmp_path / "report.json"
    gate = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert site["router"] == text
    assert ("gate.route" in gate) == is_fused and ("gate.assign" in gate) == (not is_fused)
    apart = gatecc.compile(model, compile_to="gate", disable="form-routes")
    assert "gate.route" not in apart and "gate.assign" in apart


@pytest.mark.parametrize("name", ROUTERS)
def test_results(build, name):
    model = build.graph(network(name))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(22)
    with build.load(model) as lib, build.load(model, disable="form-routes") as apart:
        for rows in (1, 2, 7, 64):
            x = rng.standard_normal((rows, D)).astype(np.float32)
            if rows == 7:
                x[2:4] = 0  # all logits are the same
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
            # Where there is no margin, and where there are no numbers, too.
            if rows == 64:
                x[1] = np.nan
                x[2] *= 1e4
                x[3] *= -1e4
                x[4] = np.inf
                x[5, 0] = np.nan
            actual, expected = lib(x=x)["y"], apart(x=x)["y"]
            assert np.array_equal(np.isnan(actual), np.isnan(expected))
            ok = ~np.isnan(expected)
            np.testing.assert_allclose(actual[ok], expected[ok], rtol=1e-6, atol=1e-6)
            assert lib.stats()["sites"][0]["groups"] == apart.stats()["sites"][0]["groups"]
        assert lib(x=x[:0])["y"].shape == (0, D)


def test_weights_that_vanish(build):
    """All sigmoids of a row are 0: their sum divides them as the network says."""
    for total, expected in ((None, np.nan), (lambda r, t: r("Add", t, np.float32(1e-20)), 0)):
        router = Router(spread=0)
        router.logits = router("Add", router.logits, np.float32(-1000))
        model = build.graph(router.layer(*r3(router, total=total)))
        x = np.random.default_rng(23).standard_normal((5, D)).astype(np.float32)
        with build.load(model) as lib, build.load(model, disable="form-routes") as apart:
            for library in (lib, apart):
                np.testing.assert_array_equal(library(x=x)["y"], np.full((5, D), expected))


def test_choices_that_others_read(build):
    """A network that also returns its choices keeps its top-k."""
    router = Router()
    ids, weights = r1(router)
    graph = router.layer(ids, weights)
    graph.node("Identity", [ids], "ids", ["chosen"])
    graph.output("chosen", ["T", K], onnx.TensorProto.INT64)
    model = build.graph(graph)
    gate = gatecc.compile(model, compile_to="gate")
    assert "gate.assign" in gate and "gate.route" not in gate
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(24).standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        actual, expected = lib(x=x), session.run(None, {"x": x})
        assert_near(actual["y"], expected[0])
        assert np.array_equal(actual["chosen"], expected[1])
