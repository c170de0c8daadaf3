# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts that are convolutions, chosen for each sample of [B,C,H,W]. Windows and pooling
# read what is around an element of the same sample only, which keeps samples apart.
import json

import numpy as np
import onnxruntime
import pytest

import gatecc
from gatecc.models.graph import Graph
from test_exports import assert_near

C, M, S, E, K = 3, 6, 4, 4, 2


class Images:
    def __init__(self):
        self.graph = Graph("images")
        self.rng = np.random.default_rng(21)
        self.graph.input("x", ["B", C, S, S])
        mean = self("ReduceMean", "mean", "x", self.weight("hw", np.array([2, 3])), keepdims=0)
        self.router = self.rng.standard_normal((C, E)).astype(np.float32)
        self("Softmax", "p", self("MatMul", "logits", mean, self.weight("router", self.router)), axis=-1)

    def __call__(self, op, name, *inputs, **attributes):
        return self.graph.node(op, list(inputs), name, **attributes)

    def weight(self, name, array):
        return self.graph.weight(name, array)

    def conv(self, name, x, inputs, outputs, size=1, **attributes):
        kernel = self.rng.standard_normal((outputs, inputs, size, size)) / np.sqrt(inputs * size**2)
        w = self.weight(name + "w", kernel.astype(np.float32))
        b = self.weight(name + "b", self.rng.standard_normal(outputs).astype(np.float32))
        return self("Conv", name, x, w, b, **attributes)

    def expert(self, e, size=1, **attributes):
        h = self("Relu", f"r{e}", self.conv(f"a{e}", "x", C, M, size, **attributes))
        return self.conv(f"b{e}", h, M, C)

    def finish(self, result, size=S):
        self.graph.node("Identity", [result], "end", ["y"])
        self.graph.output("y", ["B", C, size, size])
        return self.graph


def constant(net, name, value):
    return name if name in net.graph.weights else net.weight(name, np.array(value))


def weighed(size=1, out=S, **attributes):
    """A sum over all experts, of weights that a top-k leaves."""
    net = Images()
    net.graph.node("TopK", ["p/out", net.weight("k", np.array([K]))], "top", ["best", "chosen"])
    zeros = net("Mul", "zeros", "p/out", net.weight("f0", np.float32(0)))
    gates = net("ScatterElements", "gates", zeros, "chosen", "best", axis=1)
    total = None
    for e in range(E):
        bounds = (net.weight(f"{n}{e}", np.array([i])) for n, i in (("from", e), ("to", e + 1)))
        column = net("Slice", f"g{e}", gates, *bounds, constant(net, "one", [1]))
        by = net("Reshape", f"gate{e}", column, constant(net, "sample", [-1, 1, 1, 1]))
        done = net("Mul", f"w{e}", by, net.expert(e, size, **attributes))
        total = net("Add", f"sum{e}", total, done) if total else done
    return net.finish(total, out)


def selected(size=1, out=S, **attributes):
    """The result of the best expert, of those of all."""
    net = Images()
    best = net("ArgMax", "best", "p/out", axis=1, keepdims=0)
    best = net("Reshape", "id", best, constant(net, "sample", [-1, 1, 1, 1]))
    result = net.expert(0, size, **attributes)
    for e in range(1, E):
        mine = net("Equal", f"is{e}", best, net.weight(f"e{e}", np.array(e)))
        result = net("Where", f"pick{e}", mine, net.expert(e, size, **attributes), result)
    return net.finish(result, out)


def gathered(size=1, out=S, **attributes):
    """The samples that chose an expert, gathered, worked on and added to the others' results."""
    net = Images()
    net.graph.node("TopK", ["p/out", net.weight("k", np.array([K]))], "top", ["best", "chosen"])
    total = net("Mul", "zeros", "x", net.weight("f0", np.float32(0)))
    for e in range(E):
        hit = net("Equal", f"is{e}", "chosen", net.weight(f"e{e}", np.array(e)))
        places = net("Transpose", f"places{e}", net("NonZero", f"hits{e}", hit), perm=[1, 0])
        bounds = constant(net, "zero", [0]), constant(net, "one", [1]), constant(net, "axis", [1])
        samples = net("Slice", f"samples{e}", places, *bounds)
        net("GatherND", f"x{e}", "x", samples)
        h = net("Relu", f"r{e}", net.conv(f"a{e}", f"x{e}/out", C, M, size, **attributes))
        spread = net("AveragePool", f"p{e}", h, kernel_shape=[3, 3], pads=[1] * 4)
        done = net.conv(f"b{e}", spread, M, C, 3, pads=[1] * 4)
        by = net("GatherND", f"gate{e}", "best", places)
        by = net("Reshape", f"by{e}", by, constant(net, "sample", [-1, 1, 1, 1]))
        done = net("Mul", f"w{e}", done, by)
        total = net("ScatterND", f"sum{e}", total, samples, done, reduction="add")
    return net.finish(total, out)


def skipped(size=1, out=S, **attributes):
    """Two blocks of two convolutions each that a sample may skip."""
    net = Images()
    x = "x"
    for e in range(2):
        column = net("Gather", f"score{e}", "logits/out", net.weight(f"e{e}", np.array([e])), axis=1)
        above = net("Greater", f"above{e}", column, constant(net, "f0", np.float32(0)))
        bit = net("Cast", f"bit{e}", above, to=1)
        by = net("Reshape", f"is{e}", bit, constant(net, "sample", [-1, 1, 1, 1]))
        h = net("Relu", f"r{e}", net.conv(f"a{e}", x, C, M, size, **attributes))
        x = net("Add", f"y{e}", x, net("Mul", f"w{e}", by, net.conv(f"b{e}", h, M, C, 3, pads=[1] * 4)))
    return net.finish(x, out)


def run(build, graph):
    """What the sites counted for 8 samples, and the scores of these."""
    model = build.graph(graph)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(22)
    raising = "form-dense-experts,select-weighted,form-groups,form-selections,form-skips"
    with build.load(model) as lib, build.load(model, disable=raising) as plain:
        for rows in (1, 3, 8):
            x = rng.standard_normal((rows, C, S, S)).astype(np.float32)
            if rows == 3:
                x[:] = x[0]
            expected = session.run(None, {"x": x})[0]
            assert_near(lib(x=x)["y"], expected)
            assert_near(plain(x=x)["y"], expected)
        sites = lib.stats()["sites"]
        assert lib(x=x[:0])["y"].shape[0] == 0
    return sites, x.mean((2, 3)) @ Images().router


def counted(sites, prefix):
    """How many samples each site with such a name has worked on, by its number."""
    return {int(s["name"][len(prefix)]): s["groups"][0] for s in sites if "#" not in s["name"]}


@pytest.mark.parametrize("size", [1, 3])
def test_weighed(build, tmp_path, size):
    graph = weighed(size, pads=[size // 2] * 4)
    report = tmp_path / "report.json"
    gatecc.compile(build.graph(graph), compile_to="gate", report=report)
    sites = json.loads(report.read_text())["sites"]
    # Both convolutions of an expert are skipped.
    assert [sorted(s["nodes"]) for s in sites] == [[f"a{e}", f"b{e}"] for e in range(E)]
    sites, scores = run(build, graph)
    chosen = np.bincount(np.argsort(-scores, axis=1)[:, :K].ravel(), minlength=E)
    assert counted(sites, "gate") == dict(enumerate(chosen))


WINDOWS = pytest.mark.parametrize("size", [1, 3])


@WINDOWS
def test_selected(build, size):
    sites, scores = run(build, selected(size, pads=[size // 2] * 4))
    chosen = np.bincount(np.argmax(scores, axis=1), minlength=E)
    assert counted(sites, "is") == {e: chosen[e] for e in range(1, E)}


@WINDOWS
def test_gathered(build, size):
    sites, scores = run(build, gathered(size, pads=[size // 2] * 4))
    chosen = np.bincount(np.argsort(-scores, axis=1)[:, :K].ravel(), minlength=E)
    assert [s["groups"][0] for s in sites] == list(chosen)


@WINDOWS
def test_skipped(build, size):
    sites, scores = run(build, skipped(size, pads=[size // 2] * 4))
    assert counted(sites, "is") == {e: np.sum(scores[:, e] > 0) for e in range(2)}


@pytest.mark.parametrize("form", [weighed, selected])
@pytest.mark.parametrize(
    "size, out, attributes",
    [
        (1, S + 2, {"pads": [1, 1, 1, 1]}),
        (1, S + 1, {"pads": [0, 0, 1, 1]}),
        (1, S // 2, {"strides": [2, 2]}),
    ],
    ids=["padded", "padded-at-the-end", "strided"],
)
def test_other_windows(build, form, size, out, attributes):
    run(build, form(size, out, **attributes))
