# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts of which each row runs one, by the largest score: a loop over experts, in which
# rows may be written where those of a top-k are added, since no other expert has them;
# and rows sorted by their expert.
import json

import numpy as np
import pytest

import gatecc
from test_exports import D, E, Layer, check_against_onnx_runtime


class Single(Layer):
    """Adds ids [T] and scores [T] of the best expert."""

    def __init__(self, by_top_k=False):
        super().__init__()
        if by_top_k:
            one = self.weight("just_one", np.array([1]))
            self.graph.node("TopK", ["p/out", one], "one", ["most", "best_one"])
            self.ids = self("Squeeze", "ids1", "best_one", "axis1")
        else:
            self.ids = self("ArgMax", "one", "p/out", axis=1, keepdims=0)
        self("ReduceMax", "score", "p/out", "axis1", keepdims=0)
        self.weight("f0", np.float32(0))

    def zeros(self):
        return self("ConstantOfShape", "zeros", self("Shape", "xshape", "x"))

    def token(self, e):
        """[n]: the tokens that chose e."""
        self("Equal", f"hit{e}", self.ids, self.weight(f"e{e}", np.array(e)))
        self("Squeeze", f"token{e}", self("NonZero", f"nz{e}", f"hit{e}/out"), "axis0")
        return self("Unsqueeze", f"where{e}", f"token{e}/out", "axis1")

    def rows(self, e):
        return self("Gather", f"rows{e}", "x", f"token{e}/out", axis=0)

    def scaled(self, e, rows, weights):
        by = self("Gather", f"by{e}", weights, f"token{e}/out", axis=0)
        return self("Mul", f"scaled{e}", rows, self("Unsqueeze", f"byc{e}", by, "axis1"))

    def times_score(self, rows):
        return self("Mul", "weighed", rows, self("Unsqueeze", "scores", "score/out", "axis1"))


def looped(start, put, weigh=None, experts=range(E), by_top_k=False):
    net = Single(by_top_k)
    result = start(net)
    for e in experts:
        net.token(e)
        rows = net.expert(e, net.rows(e))
        result = put(net, e, result, weigh(net, e, rows) if weigh else rows)
    return net.finish(result)


def added(net, e, result, rows):
    return net("ScatterND", f"sum{e}", result, f"where{e}/out", rows, reduction="add")


def written(net, e, result, rows):
    return net("ScatterND", f"sum{e}", result, f"where{e}/out", rows)


def written_by_mask(net, e, result, rows):
    """y[mask] = rows, as exporters write it: all elements of the rows, one by one."""
    column = net("Unsqueeze", f"column{e}", f"hit{e}/out", "axis1")
    mask = net("Expand", f"mask{e}", column, net("Shape", f"size{e}", "x"))
    places = net("Transpose", f"places{e}", net("NonZero", f"all{e}", mask), perm=[1, 0])
    return net("ScatterND", f"sum{e}", result, places, net("Reshape", f"flat{e}", rows, "flat"))


def by_score(net, e, rows):
    return net.scaled(e, rows, "score/out")


def by_column(net, e, rows):
    """p[t, e]"""
    column = net("Gather", f"p{e}", "p/out", net.weight(f"c{e}", np.array(e)), axis=1)
    return net.scaled(e, rows, column)


def sort(net):
    """The order of the rows by their experts, and their counts."""
    size = net("Shape", "size1", net.ids)
    net.graph.node("TopK", [net.ids, size], "sort1", ["sorted_ids", "order1"], axis=0, largest=0)
    column = net("Unsqueeze", "onec", net.ids, "axis1")
    hits = net("Equal", "hits", column, net.weight("numbers", np.arange(E)))
    hits = net("Cast", "ihits", hits, to=7)
    return net("ReduceSum", "counts1", hits, "axis0", keepdims=0)


def split(net, counts):
    rows = net("Gather", "by_expert", "x", "order1", axis=0)
    parts = [f"part{e}" for e in range(E)]
    net.graph.node("Split", [rows, counts], "split", parts, axis=0)
    return parts


def sliced(net, counts):
    rows = net("Gather", "by_expert", "x", "order1", axis=0)
    return list(net.slices(rows, counts))


def put_back(net, rows):
    return net("ScatterND", "back", net.zeros(), net("Unsqueeze", "orderv", "order1", "axis1"), rows)


def added_back(net, rows):
    where = net("Unsqueeze", "orderv", "order1", "axis1")
    return net("ScatterND", "back", net.zeros(), where, rows, reduction="add")


def read_back(net, rows):
    size = net("Shape", "order_size", "order1")
    net.graph.node("TopK", ["order1", size], "again", ["os", "inverse"], axis=0, largest=0)
    return net("Gather", "back", rows, "inverse", axis=0)


def sorted_rows(cut, restore):
    net = Single()
    parts = [net.expert(e, part) for e, part in enumerate(cut(net, sort(net)))]
    return net.finish(net.times_score(restore(net, net("Concat", "joined", *parts, axis=0))))


def from_zeros(net):
    return net.zeros()


def from_tokens(net):
    return "x"


def run(build, model):
    """(what the sites counted, how many of 64 rows chose each expert)"""
    x, groups = check_against_onnx_runtime(build, model, seed=13)
    best = np.argmax(x @ Layer().graph.weights["router"], axis=1)
    return groups, np.bincount(best, minlength=E).tolist()


LOOPS = {
    "added": lambda: looped(from_zeros, added),
    "added-by-score": lambda: looped(from_zeros, added, by_score),
    "added-by-column": lambda: looped(from_zeros, added, by_column),
    "added-to-tokens": lambda: looped(from_tokens, added, by_score),
    "written": lambda: looped(from_zeros, written),
    "written-by-score": lambda: looped(from_zeros, written, by_score),
    "written-by-column": lambda: looped(from_zeros, written, by_column),
    "written-over-tokens": lambda: looped(from_tokens, written, by_score),
    "written-by-mask": lambda: looped(from_zeros, written_by_mask),
    "written-by-top-k": lambda: looped(from_zeros, written, by_score, by_top_k=True),
    "sorted-split-put": lambda: sorted_rows(split, put_back),
    "sorted-split-added": lambda: sorted_rows(split, added_back),
    "sorted-split-read": lambda: sorted_rows(split, read_back),
    "sorted-sliced-put": lambda: sorted_rows(sliced, put_back),
    "sorted-sliced-read": lambda: sorted_rows(sliced, read_back),
}


@pytest.mark.parametrize("form", LOOPS)
def test_single(build, tmp_path, form):
    model = build.graph(LOOPS[form]())
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["name"], site["kind"], site["groups"]) == ("one", "experts", E)
    assert not any(op in text for op in ("gate.scatter", "gate.partition"))
    groups, chosen = run(build, model)
    assert groups == [chosen]
    x = np.random.default_rng(14).standard_normal((9, D)).astype(np.float32)
    x[5] = np.nan
    with build.load(model) as lib:
        y = lib(x=x)["y"]
    assert np.isnan(y[5]).any() and np.isfinite(np.delete(y, 5, 0)).all()


def added_between():
    """What is added to all rows is overwritten in those that come after it."""

    def put(net, e, result, rows):
        if e == 2:
            result = net("Add", "between", result, "x")
        return written(net, e, result, rows)

    return looped(from_tokens, put, by_score)


def another_column():
    """The weight of an expert is the score of the next one."""

    def weigh(net, e, rows):
        column = net("Gather", f"p{e}", "p/out", net.weight(f"c{e}", np.array((e + 1) % E)), axis=1)
        return net.scaled(e, rows, column)

    return looped(from_zeros, added, weigh)


NEAR = {
    "all-but-one": lambda: looped(from_tokens, written, by_score, range(E - 1)),
    "added-between": added_between,
    "not-sorted-back": lambda: sorted_rows(split, lambda net, rows: rows),
}


@pytest.mark.parametrize("form", NEAR)
def test_rows_that_are_not_written_once(build, tmp_path, form):
    model = build.graph(NEAR[form]())
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    assert all(site["kind"] != "experts" for site in json.loads(report.read_text())["sites"])
    run(build, model)


def test_scores_of_others(build):
    """Raised or not, an expert's rows are weighed by another's score."""
    run(build, build.graph(another_column()))
