# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts that choose their rows: each takes the tokens that score best for it, and its
# results are added up where they came from; against ONNX Runtime and against what
# --disable=form-capacity-experts makes of them.
import json

import numpy as np
import pytest

import gatecc
from test_capacity_experts import PASS, Capacity, assert_near_where_finite, experts, runtime
from test_dense_experts import D, E, assert_near, rows_of


class Choice(Capacity):
    """The `count` best tokens of each expert: which, and how good, [E,C]."""

    def __init__(self, count):
        super().__init__(1, count)
        turned = self("Transpose", "turnedp", self.scores, perm=[1, 0])
        if count is None:  # an even spread, twice
            size = self("Shape", "sizex", "x", end=1)
            more = self("Add", "plus", self("Mul", "twice", size, self.ints("two", [2])), self.ints("upto", [E - 1]))
            count = self("Min", "atmost", self("Div", "share", more, self.ints("E1", [E])), size)
        else:
            count = self.ints("count", [count])
        self.graph.node("TopK", [turned, count], "best_tokens", ["token_scores", "tokens"], axis=1)

    def bring(self, rows, columns=1):
        """[n,D] added to the rows of x that the tokens name."""
        nothing = self("Mul", "nothing", "x", self.real("zero", 0))
        to = self("Reshape", "to", "tokens", self.ints("n1", [-1, 1]))
        flat = self("Reshape", "flatrows", rows, self.ints("nd", [-1, D]))
        if columns == 1:
            return self("ScatterND", "sum", nothing, to, flat, reduction="add")
        wide = self("Expand", "wideto", to, self.ints("1_D", [1, D]))
        return self("ScatterElements", "sum", nothing, wide, flat, axis=0, reduction="add")


def weighed(net, rows):
    return net("Mul", "weighed", rows, net.add_axis("wc", "token_scores", 2))


def gathered(net):
    """[E,C,D] by one gather."""
    return net.bring(weighed(net, experts(net, net("Gather", "rows", "x", "tokens", axis=0))))


def flattened(net):
    """PyTorch's index_select, and scatter_add."""
    flat = net("Gather", "rowsf", "x", net("Reshape", "ids", "tokens", net.ints("n", [-1])), axis=0)
    rows = net("Reshape", "rows", flat, net.ints("ecd", [E, -1, D]))
    return net.bring(weighed(net, experts(net, rows)), columns=D)


def scaled_after(net):
    """The weights of a flat list of rows."""
    rows = experts(net, net("Gather", "rows", "x", "tokens", axis=0))
    flat = net("Reshape", "flat", rows, net.ints("nd", [-1, D]))
    weights = net("Reshape", "flatw", "token_scores", net.ints("n1", [-1, 1]))
    return net.bring(net("Mul", "weighed", flat, weights))


FORMS = {
    "gathered": (gathered, 3),
    "gathered-one": (gathered, 1),
    "gathered-computed": (gathered, None),
    "flattened": (flattened, 3),
    "scaled_after": (scaled_after, 2),
    "scaled_after-computed": (scaled_after, None),
}
MODELS = {}


def model_of(build, form):
    """Written once, so that its libraries are made once."""
    if form not in MODELS:
        make, count = FORMS[form]
        net = Choice(count)
        MODELS[form] = build.graph(net.finish(make(net)))
    return MODELS[form]


@pytest.mark.parametrize("form", FORMS)
def test_form(build, form):
    """As many rows as experts take, more, and equal ones; none, if they take none."""
    model = model_of(build, form)
    session = runtime(model)
    taken = FORMS[form][1]
    with build.load(model) as lib:
        for count in (max(taken or 1, 1), 7, 64):
            for x in (rows_of(count), np.repeat(rows_of(1, 9), count, 0)):
                assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
                each = min(-(-count * 2 // E), count) if taken is None else taken
                assert lib.stats()["sites"][0]["groups"] == [each] * E
        if taken is None:
            assert lib(x=x[:0])["y"].shape == (0, D)
        else:
            with pytest.raises(gatecc.RunError, match="at most the size of the axis"):
                lib(x=x[:0])


@pytest.mark.parametrize("form", FORMS)
def test_form_is_experts(build, tmp_path, form):
    model = model_of(build, form)
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["kind"], site["groups"], site["choices"]) == ("experts", E, 1)
    assert site["nodes"] == ["h", "o"] and "each expert chose its rows" in site["note"]
    x = rows_of(33, 5)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        assert_near(lib(x=x)["y"], plain(x=x)["y"])
        assert plain.stats()["sites"] == []
        for value in (np.nan, np.inf):  # of those that chose it alone
            x[4, 2] = value
            assert_near_where_finite(lib(x=x)["y"], plain(x=x)["y"])


# What looks like it, and is not.


def one_layer(net):
    """All have the same weights."""
    rows = net("Gather", "rows", "x", "tokens", axis=0)
    h = net("Relu", "r", net("MatMul", "h", rows, net.weight("w1", net.w1[0])))
    return net.bring(weighed(net, net("MatMul", "o", h, net.weight("w2", net.w2[0]))))


def rows_that_meet(net):
    """The rows of an expert are added up before its second product."""
    rows = net("Gather", "rows", "x", "tokens", axis=0)
    h = net("Relu", "r", net("MatMul", "h", rows, net.weight("w1", net.w1)))
    every = net("ReduceSum", "met", h, net.ints("axis1", [1]), keepdims=1)
    return net.bring(weighed(net, net("MatMul", "o", net("Add", "both", h, every), net.weight("w2", net.w2))))


def rows_of_all_tokens(net):
    """Places are numbered, but nothing has chosen them."""
    first = net("Slice", "first", "x", net.ints("from0", [0]), net.ints("to3", [3]), net.ints("axes0", [0]))
    rows = net("Expand", "rows", first, net.ints("E11", [E, 1, 1]))
    return net.bring(weighed(net, experts(net, rows)))


NEAR_MISSES = (one_layer, rows_that_meet, rows_of_all_tokens)


@pytest.mark.parametrize("make", NEAR_MISSES, ids=lambda make: make.__name__)
def test_near_misses(build, tmp_path, make):
    net = Choice(3)
    model = build.graph(net.finish(make(net)))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    found = json.loads(report.read_text())
    assert not any("each expert chose its rows" in site["note"] for site in found["sites"])
    session = runtime(model)
    with build.load(model) as lib:
        for x in (rows_of(3), rows_of(40)):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
