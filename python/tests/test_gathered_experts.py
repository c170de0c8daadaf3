# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts that an id for each row names and whose results stay apart: gathered weights
# without a sum over choices (one choice, einsum, sequences that share an id, weights as
# rows of a table, attention between two products), and results of all experts of which
# one is read. Against ONNX Runtime.
import json

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
from gatecc.models.graph import Graph
from test_exports import assert_near

D, H, E, K = 6, 5, 4, 2


class Nodes:
    """Adds nodes, and weights once for each name, to `self.graph`."""

    def __call__(self, op, name, *inputs, outputs=None, **attributes):
        return self.graph.node(op, list(inputs), name, outputs, **attributes)

    def weight(self, name, array):
        return name if name in self.graph.weights else self.graph.weight(name, array)

    def ints(self, name, *values):
        return self.weight(name, np.array(values, dtype=np.int64))


class Net(Nodes):
    """A graph on x [T,D] or [B,S,D]; ids and weights of the choices [.., k]."""

    def __init__(self, rank=2):
        self.graph = Graph("net")
        rng = np.random.default_rng(11)
        self.dims = ["T"] if rank == 2 else ["B", "S"]
        self.graph.input("x", [*self.dims, D])
        self.w1 = rng.standard_normal((E, D, H)).astype(np.float32)
        self.w2 = rng.standard_normal((E, H, D)).astype(np.float32)
        self.b1 = rng.standard_normal((E, H)).astype(np.float32)
        self.b2 = rng.standard_normal((E, D)).astype(np.float32)
        self.gate = rng.standard_normal((D, E)).astype(np.float32)

    def number(self, name, value):
        return self.weight(name, np.array(value, dtype=np.int64))

    def route(self, x="x", k=K):
        p = self("Softmax", "p", self("MatMul", "logits", x, self.weight("gate", self.gate)), axis=-1)
        self("TopK", "top", p, self.ints("k", k), outputs=["best", "chosen"])
        return "best", "chosen"

    def search(self, x="x"):
        logits = self("MatMul", "logits", x, self.weight("gate", self.gate))
        return self("ArgMax", "top", logits, axis=-1, keepdims=0)

    def stacked(self, name, ids):
        stack = getattr(self, name)
        own = self("Gather", f"{name}_of", self.weight(name, stack), ids)
        return own if stack.dtype == np.float32 else self("Cast", f"{name}_wide", own, to=1)

    def unsqueezed(self, name, value, axis):
        return self("Unsqueeze", name, value, self.ints(f"axis{axis}".replace("-", "m"), axis))

    def squeezed(self, name, value, axis):
        return self("Squeeze", name, value, self.ints(f"axis{axis}".replace("-", "m"), axis))

    def weighed(self, value, best="best"):
        """sum over k of value [.., k, D]"""
        column = self.unsqueezed("by", best, -1)
        return self("ReduceSum", "sum", self("Mul", "weighed", value, column), self.ints("axism2", -2), keepdims=0)

    def finish(self, result, dims=None):
        self("Identity", "end", result, outputs=["y"])
        self.graph.output("y", dims or [*self.dims, D])
        return self.graph

    def bmm(self, ids, x="x"):
        """One choice: x as [T,1,D] times the row's own matrices."""
        h = self("MatMul", "h", self.unsqueezed("x1", x, 1), self.stacked("w1", ids))
        h = self("Add", "hb", h, self.unsqueezed("b1u", self.stacked("b1", ids), 1))
        o = self("MatMul", "o", self("Relu", "a", h), self.stacked("w2", ids))
        o = self("Add", "ob", o, self.unsqueezed("b2u", self.stacked("b2", ids), 1))
        return self.squeezed("os", o, 1)

    def experts(self, axis):
        """The results of all experts side by side."""
        done = []
        for e in range(E):
            h = self("MatMul", f"h{e}", "x", self.weight(f"w1.{e}", self.w1[e]))
            o = self("MatMul", f"o{e}", self("Relu", f"a{e}", h), self.weight(f"w2.{e}", self.w2[e]))
            done.append(self.unsqueezed(f"u{e}", self("Add", f"ob{e}", o, self.weight(f"b2.{e}", self.b2[e])), axis))
        return self("Concat", "all", *done, axis=axis)

    def count(self, name, value, dim):
        """0, 1, ... as many as a dimension has."""
        size = self("Shape", f"{name}_size", value, start=dim, end=dim + 1)
        size = self.squeezed(f"{name}_n", size, 0)
        return self("Range", name, self.number("n0", 0), size, self.number("n1", 1))


def one_choice():
    net = Net()
    return net.finish(net.bmm(net.search()))


def narrow_weights():
    """Gathered in f16, multiplied in f32."""
    net = Net()
    net.w1, net.w2 = net.w1.astype(np.float16), net.w2.astype(np.float16)
    return net.finish(net.bmm(net.search()))


def one_weighed_choice():
    net = Net()
    _, ids = net.route(k=1)
    flat = net("Reshape", "ids", ids, net.ints("flat", -1))
    return net.finish(net("Mul", "y0", net.bmm(flat), "best"))


def a_choice_of_none():
    """One choice more than there are experts: it is the first expert's, with a weight of 0."""
    net = Net()
    net.gate = np.random.default_rng(4).standard_normal((D, E + 1)).astype(np.float32)
    best, ids = net.route(k=1)
    flat = net("Reshape", "flat_ids", ids, net.ints("flat", -1))
    is_none = net("Equal", "is_none", flat, net.number("none", E))
    chosen = net("Where", "ids", is_none, net.number("first", 0), flat)
    column = net("Reshape", "column", is_none, net.ints("column_shape", -1, 1))
    weight = net("Where", "weight", column, net.weight("nothing", np.float32(0)), best)
    return net.finish(net("Mul", "y0", net.bmm(chosen), weight))


def a_table_of_ids():
    """Hash routing: the id of a token is looked up."""
    net = Net()
    net.graph.input("token", ["T"], onnx.TensorProto.INT64)
    ids = net("Gather", "ids", net.number("table", np.arange(32) * 7 % E), "token")
    return net.finish(net.bmm(ids))


def einsum():
    net = Net()
    best, ids = net.route()
    h = net("Einsum", "h", "x", net.stacked("w1", ids), equation="td,tkdh->tkh")
    h = net("Relu", "a", net("Add", "hb", h, net.stacked("b1", ids)))
    o = net("Einsum", "o", h, net.stacked("w2", ids), equation="tkh,tkhd->tkd")
    o = net("Add", "ob", o, net.stacked("b2", ids))
    return net.finish(net("Einsum", "sum", best, o, equation="tk,tkd->td"))


def apart():
    """The results of the choices, not added up."""
    net = Net()
    _, ids = net.route()
    x = net.unsqueezed("xu", net.unsqueezed("x1", "x", 1), 1)
    h = net("Relu", "a", net("MatMul", "h", x, net.stacked("w1", ids)))
    o = net("MatMul", "o", h, net.stacked("w2", ids))
    return net.finish(net.squeezed("os", o, 2), ["T", K, D])


def rows_of_a_table():
    """Matrices as rows of an embedding."""
    net = Net()
    net.route()
    parts = []
    for name, shape in (("w1", [-1, K, D, H]), ("w2", [-1, K, H, D])):
        table = net.weight(name, getattr(net, name).reshape(E, -1))
        parts.append(net("Reshape", f"m{name}", net("Gather", f"g{name}", table, "chosen"), net.ints(f"s{name}", *shape)))
    x = net.unsqueezed("xu", net.unsqueezed("x1", "x", 1), 1)
    h = net("Relu", "a", net("MatMul", "h", x, parts[0]))
    return net.finish(net.weighed(net.squeezed("os", net("MatMul", "o", h, parts[1]), 2)))


def sequences():
    """One expert for each sequence."""
    net = Net(3)
    first = net("Gather", "first", "x", net.number("n0", 0), axis=1)
    ids = net.search(first)
    h = net("MatMul", "h", "x", net.stacked("w1", ids))
    h = net("Add", "hb", h, net.unsqueezed("b1u", net.stacked("b1", ids), 1))
    return net.finish(net("MatMul", "o", net("Relu", "a", h), net.stacked("w2", ids)))


def sequences_of_choices():
    net = Net(3)
    mean = net("ReduceMean", "mean", "x", net.ints("axis1", 1), keepdims=0)
    best, ids = net.route(mean)
    x = net.unsqueezed("xu", "x", 1)
    h = net("Relu", "a", net("MatMul", "h", x, net.stacked("w1", ids)))
    o = net("MatMul", "o", h, net.stacked("w2", ids))  # [B,k,S,D]
    by = net("Reshape", "by", best, net.ints("column", -1, K, 1, 1))
    return net.finish(net("ReduceSum", "sum", net("Mul", "weighed", o, by), "axis1", keepdims=0))


def attention():
    """Queries and outputs of the chosen experts; between them all rows meet."""
    net = Net(3)
    best, ids = net.route()
    x = net.unsqueezed("xu", net.unsqueezed("x1", "x", 2), 2)
    q = net.squeezed("q", net("MatMul", "h", x, net.stacked("w1", ids)), 3)  # [B,S,k,H]
    q = net("Transpose", "qt", q, perm=[0, 2, 1, 3])
    keys = net("MatMul", "keys", "x", net.weight("kw", net.w1[0].copy()))
    scores = net("MatMul", "scores", q, net("Transpose", "kt", net.unsqueezed("ku", keys, 1), perm=[0, 1, 3, 2]))
    mixed = net("MatMul", "mixed", net("Softmax", "probs", scores, axis=-1), "ku/out")
    mixed = net.unsqueezed("mu", net("Transpose", "mt", mixed, perm=[0, 2, 1, 3]), 3)
    o = net.squeezed("os", net("MatMul", "o", mixed, net.stacked("w2", ids)), 3)
    return net.finish(net.weighed(o))


WEIGHTS = {
    "narrow-weights": (narrow_weights, 1),  # and how many sites it has
    "one-choice": (one_choice, 1),
    "one-weighed-choice": (one_weighed_choice, 1),
    "a-choice-of-none": (a_choice_of_none, 1),
    "a-table-of-ids": (a_table_of_ids, 1),
    "einsum": (einsum, 1),
    "apart": (apart, 1),
    "rows-of-a-table": (rows_of_a_table, 1),
    "sequences": (sequences, 1),
    "sequences-of-choices": (sequences_of_choices, 1),
    "attention": (attention, 2),
}


def elements(transposed):
    """torch.gather of the chosen results."""
    net = Net()
    net.route()
    results = net.experts(1)
    index = net("Expand", "index", net.unsqueezed("cu", "chosen", 2), net.ints("wide", 1, 1, D))
    if transposed:
        results = net("Transpose", "rt", results, perm=[1, 0, 2])
        index = net("Transpose", "it", index, perm=[1, 0, 2])
    o = net("GatherElements", "pick", results, index, axis=0 if transposed else 1)
    return net.finish(net.weighed(net("Transpose", "ot", o, perm=[1, 0, 2]) if transposed else o))


def coordinates(first):
    """results[ids, arange] or results[arange, ids]."""
    net = Net()
    net.route()
    results = net.experts(0 if first else 1)
    row = net.unsqueezed("rowu", net.count("rows", "x", 0), 1)
    row = net("Expand", "row", row, net("Shape", "cs", "chosen"))
    pair = [net.unsqueezed(f"{v}c", n, 2) for v, n in (("i", "chosen"), ("r", row))]
    at = net("Concat", "at", *(pair if first else pair[::-1]), axis=2)
    return net.finish(net.weighed(net("GatherND", "pick", results, at)))


def best_result():
    net = Net()
    ids = net.search()
    results = net.experts(1)
    pair = [net.unsqueezed("rc", net.count("rows", "x", 0), 1), net.unsqueezed("ic", ids, 1)]
    return net.finish(net("GatherND", "pick", results, net("Concat", "at", *pair, axis=1)))


def batched_results():
    net = Net()
    net.route()
    at = net.unsqueezed("at", "chosen", 2)
    return net.finish(net.weighed(net("GatherND", "pick", net.experts(1), at, batch_dims=1)))


def flat_coordinates(first, step=None, ids=None):
    """results.flatten(0, 1)[ids * T + arange] or [arange * E + ids], as traced graphs index."""
    net = Net()
    net.route()
    results = net.experts(0 if first else 1)
    rows = net.unsqueezed("rowu", net.count("rows", "x", 0), 1)
    outer, inner = ("chosen", rows) if first else (rows, ids(net) if ids else "chosen")
    count = net("Gather", "count", net("Shape", "rs", results), net.number("one", 1), axis=0)
    step = net.number("step", step) if step else count
    at = net("Add", "at", inner, net("Mul", "start", outer, step))
    flat = net("Reshape", "flat", results, net.ints("matrix", -1, D))
    return net.finish(net.weighed(net("Gather", "pick", flat, at)))


def elements_of_sequences():
    """torch.gather on [B,S,E,D]; the ids were chosen for [B * S] rows."""
    net = Net(3)
    rows = net("Reshape", "rows", "x", net.ints("matrix", -1, D))
    best, chosen = net.route(rows)
    shape = net("Concat", "cs", net("Shape", "bs", "x", start=0, end=2), net.ints("k1", K, 1), axis=0)
    index = net("Expand", "index", net("Reshape", "ci", chosen, shape), net.ints("wide", 1, 1, 1, D))
    picked = net("GatherElements", "pick", net.experts(2), index, axis=2)
    weighed = net("Mul", "weighed", picked, net("Reshape", "bw", best, shape))
    return net.finish(net("ReduceSum", "sum", weighed, net.ints("axis2", 2), keepdims=0))


RESULTS = {
    "flat-ids-first": lambda: flat_coordinates(True),
    "flat-rows-first": lambda: flat_coordinates(False),
    "flat-rows-first-constant": lambda: flat_coordinates(False, E),
    "elements-of-sequences": elements_of_sequences,
    "elements": lambda: elements(False),
    "elements-transposed": lambda: elements(True),
    "ids-first": lambda: coordinates(True),
    "rows-first": lambda: coordinates(False),
    "best-result": best_result,
    "batched": batched_results,
}


def feeds(graph):
    rng = np.random.default_rng(3)
    shapes = [(1,), (7,), (64,)] if len(graph.inputs[0].type.tensor_type.shape.dim) == 2 else [(1, 1), (3, 5)]
    for shape in shapes:
        x = rng.standard_normal((*shape, D)).astype(np.float32)
        for rows in (x, np.ascontiguousarray(np.broadcast_to(x.reshape(-1, D)[0], x.shape))):
            yield {"x": rows} | ({"token": rng.integers(0, 32, shape)} if len(graph.inputs) > 1 else {})


def check(build, graph):
    model = build.graph(graph)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib:
        for run in feeds(graph):
            assert_near(lib(**run)["y"], session.run(None, run)[0])
        none = {name: array[:0] for name, array in run.items()}
        assert lib(**none)["y"].shape[0] == 0
        return model


def sites_of(model, tmp_path):
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    return text, json.loads(report.read_text())["sites"]


@pytest.mark.parametrize("form", WEIGHTS)
def test_gathered_weights(build, tmp_path, form):
    make, count = WEIGHTS[form]
    text, sites = sites_of(check(build, make()), tmp_path)
    assert [(site["kind"], site["groups"]) for site in sites] == [("experts", E)] * count
    assert "gate.combine" in text
    # No matrices are gathered any more.
    assert not any("gate.gather_nd" in line and f"{H}xf32" in line for line in text.splitlines())


@pytest.mark.parametrize("form", RESULTS)
def test_results(build, tmp_path, form):
    text, sites = sites_of(check(build, RESULTS[form]()), tmp_path)
    assert [(site["kind"], site["groups"]) for site in sites] == [("experts", E)]
    assert text.count("gate.contract") == 3  # router, up, down


def other_rows():
    """The results of the row that the id names."""
    net = Net()
    ids = net.search()
    results = net.experts(1)
    pair = [net.unsqueezed("ic", ids, 1), net.unsqueezed("jc", ids, 1)]
    return net.finish(net("GatherND", "pick", results, net("Concat", "at", *pair, axis=1)))


def before(net):
    """Ids from -1 on: that names the last expert's result for the row before."""
    return net("Sub", "before", "chosen", net.ints("one1", 1))


MISSES = {
    "other-rows": other_rows,
    "other-step": lambda: flat_coordinates(False, E - 1),
    "ids-of-a-neighbour": lambda: flat_coordinates(False, E, before),
}


@pytest.mark.parametrize("form", MISSES)
def test_near_miss(build, tmp_path, form):
    model = build.graph(MISSES[form]())
    _, sites = sites_of(model, tmp_path)
    assert sites == []
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(5).standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
