# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts with room for a number of rows of each group of tokens: masks [G,S,E,C], as GShard,
# t5x, Flax and Mesh TensorFlow have them, against ONNX Runtime, against NumPy (who gets a
# place) and against what --disable=form-capacity-experts makes of them; and masks that mix
# groups up.
import json

import numpy as np
import onnx
import pytest

import gatecc
from test_capacity_experts import PASS, C, Capacity, assert_near_where_finite, runtime
from test_dense_experts import D, E, H, Layer, assert_near

BOOL, INT64 = onnx.TensorProto.BOOL, onnx.TensorProto.INT64


class Groups(Capacity):
    """x [G,S,D]; `capacity` of None is that of the tokens of a group."""

    def __init__(self, k=2, capacity=C, groups="G"):
        super().__init__(k, capacity or C)
        self.sizes = [groups, "S", D]
        self.graph.inputs = []
        self.graph.input("x", self.sizes)
        if capacity is None:  # k/E of the tokens, rounded up
            count = self("Shape", "count", "x", start=1, end=2)
            more = self("Add", "more", self("Mul", "scaled", count, self.ints("by", [k])), self.ints("rest", [E - 1]))
            self.places = self("Div", "room", more, self.ints("parts", [E]))
            self.slots = self("Range", "slotsr", self.ints("z", 0), self("Squeeze", "n", self.places), self.ints("o", 1))
        self.capacity = capacity

    def each(self, name, value, j):
        """[G,S,k] -> [G,S]"""
        return self("Gather", f"{name}{j}", value, self.ints(f"j{j}", j), axis=2)

    def finish(self, result):
        self.graph.node("Identity", [result], "end", ["y"])
        self.graph.output("y", self.sizes)
        return self.graph


# Masks: of ones and of weights, [G,S,E,C] both.


def of_choices(net):
    """One after another: the second choices' places begin after all of the first ones'."""
    before, masks = None, []
    for j in range(net.k):
        hot = net.hits(f"hot{j}", net.each("id", net.ids, j), "numbers")
        at = net("Sub", f"at{j}", net("CumSum", f"sum{j}", hot, net.ints("axis_1", 1)), net.real("onef", 1))
        if before:
            at = net("Add", f"ats{j}", at, before)
        count = net.total(f"n{j}", hot, 1, keepdims=1)
        before = net("Add", f"before{j}", before, count) if before else count
        fits = net.cast(f"fits{j}", net("Less", f"lt{j}", at, net.cast(f"c{j}", net.places)))
        hot = net("Mul", f"kept{j}", hot, fits)
        own = net.cast(f"own{j}", net.total(f"ownf{j}", net("Mul", f"atkept{j}", at, hot), 2), INT64)
        place = net.hits(f"place{j}", own, net.slots)
        gates = net("Mul", f"gates{j}", net.add_axis(f"w3{j}", net.each("w", net.weights, j), 2), hot)
        masks.append(net("Mul", f"m{j}", net.add_axis(f"gates4{j}", gates, 3), net.add_axis(f"place4{j}", place, 2)))
    weighing = net("Sum", "weighing", *masks)
    return net.cast("mask", net.cast("sent", weighing, BOOL)), weighing


def of_one(net):
    """Mesh TensorFlow: one-hot places and factors of one token."""
    values = net.weight("values", np.array([0, 1], np.float32))
    hot = net("OneHot", "hot", net.each("id", net.ids, 0), net.ints("E", E), values)
    at = net("Mul", "at", net("CumSum", "sums", hot, net.ints("axis_1", 1), exclusive=1), hot)
    hot = net("Mul", "kept", hot, net.cast("fits", net("Less", "lt", at, net.cast("c", net.places))))
    place = net.cast("place", net.total("ats", net("Mul", "atkept", at, hot), 2), INT64)
    places = net("OneHot", "places", place, net.places, values)
    gates = net("Mul", "gates", net.add_axis("gate", net.each("w", net.weights, 0), 2), hot)
    weighing = net("Mul", "weighing", net.add_axis("g4", gates, 3), net.add_axis("p4", places, 2))
    return net.cast("mask", net("Greater", "any", weighing, net.real("zero", 0))), weighing


# Dispatch, experts, combine.


def experts(net, rows, dims=1):
    """Products with [E,D,H], whose rows are the last of several dimensions."""
    axes = list(range(1, 1 + dims))
    shift = lambda name, bias: net.weight(name, np.expand_dims(bias, axes))  # noqa: E731
    h = net("Add", "hb", net("MatMul", "h", rows, net.weight("w1", net.w1)), shift("b1", net.b1))
    a = net("Gelu", "a", h)
    return net("Add", "ob", net("MatMul", "o", a, net.weight("w2", net.w2)), shift("b2", net.b2))


def flat(net, mask, weighing):
    """t5x: experts on [E,G*C,D]"""
    rows = net("Einsum", "rows", mask, "x", equation="gsec,gsd->egcd")
    joined = net("Reshape", "joined", rows, net.ints("egc", [E, -1, D]))
    work = net("Reshape", "apart", experts(net, joined), net("Shape", "sizes", rows))
    return net("Einsum", "sum", weighing, work, equation="gsec,egcd->gsd")


def groups_first(net, mask, weighing):
    """Mesh TensorFlow: experts on [G,E,C,D]"""
    rows = net("Einsum", "rows", mask, "x", equation="gsec,gsd->gecd")
    return net("Einsum", "sum", weighing, experts(net, rows), equation="gsec,gecd->gsd")


def one_by_one(net, mask, weighing):
    """A module for each expert."""
    rows = net("Einsum", "rows", mask, "x", equation="gsec,gsd->egcd")
    parts = []
    for e in range(E):
        own = net("Gather", f"own{e}", rows, net.ints(f"e{e}", e), axis=0)
        h = net("Relu", f"r{e}", net("MatMul", f"h{e}", own, net.weight(f"w1_{e}", net.w1[e])))
        parts.append(net.add_axis(f"part{e}", net("MatMul", f"o{e}", h, net.weight(f"w2_{e}", net.w2[e])), 0))
    return net("Einsum", "sum", weighing, net("Concat", "work", *parts, axis=0), equation="gsec,egcd->gsd")


def products(net, mask, weighing):
    """Flax: by products of matrices, a batch of them."""
    joined = net("Reshape", "maskf", mask, net.ints("0_0_ec", [0, 0, E * C]))
    rows = net("MatMul", "rows", net("Transpose", "maskt", joined, perm=[0, 2, 1]), "x")
    work = experts(net, net("Reshape", "rows4", rows, net.ints("0_e_c", [0, E, C, D])))
    work = net("Reshape", "work", work, net.ints("0_ec", [0, E * C, D]))
    return net("MatMul", "sum", net("Reshape", "weighf", weighing, net.ints("0_0_ec", [0, 0, E * C])), work)


FORMS = {
    "flat": (of_choices, flat, 2, C, "G"),
    "flat-of_3": (of_choices, flat, 3, C, "G"),
    "flat-computed": (of_choices, flat, 2, None, "G"),
    "flat-one_group": (of_choices, flat, 2, C, 1),
    "groups_first": (of_one, groups_first, 1, C, "G"),
    "groups_first-computed": (of_one, groups_first, 1, None, "G"),
    "groups_first-of_2": (of_choices, groups_first, 2, C, 3),
    "one_by_one": (of_one, one_by_one, 1, C, "G"),
    "products": (of_choices, products, 2, C, "G"),
    "flat-one_place": (of_choices, flat, 2, 1, "G"),
    "groups_first-one_place": (of_one, groups_first, 1, 1, "G"),
}
MODELS = {}


def graph_of(form):
    masks, work, k, capacity, groups = FORMS[form]
    net = Groups(k, capacity, groups)
    return net.finish(work(net, *masks(net)))


def model_of(build, form):
    """Written once, so that its libraries are made once."""
    if form not in MODELS:
        MODELS[form] = build.graph(graph_of(form))
    return MODELS[form]


def rows_of(groups, count, seed=3):
    return np.random.default_rng(seed).standard_normal((groups, count, D)).astype(np.float32)


def filled_places(x, k, capacity):
    """How many rows each expert has of all groups together."""
    if capacity is None:
        capacity = -(-x.shape[1] * k // E)
    scores = x.astype(np.float64) @ Layer().gate
    best = np.argsort(-scores, axis=2, kind="stable")[:, :, :k]
    counts = [np.minimum(np.bincount(group.ravel(), minlength=E), capacity) for group in best]
    return np.sum(counts, axis=0).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_form(build, form):
    """Too many rows for all, for one, for none; groups of one row, odd ones, none."""
    model = model_of(build, form)
    session = runtime(model)
    k, capacity, known = FORMS[form][2:]
    with build.load(model) as lib:
        for groups in (1, 3, 8) if known == "G" else (known,):
            for count in (1, 2, 7, 33):
                for x in (rows_of(groups, count), np.tile(rows_of(1, 1, 9), (groups, count, 1))):
                    assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
                    assert lib.stats()["sites"][0]["groups"] == filled_places(x, k, capacity)
            assert lib(x=rows_of(groups, 0))["y"].shape == (groups, 0, D)
        if known == "G":
            assert lib(x=rows_of(0, 5))["y"].shape == (0, 5, D)


@pytest.mark.parametrize("form", FORMS)
def test_form_is_experts(build, tmp_path, form):
    model = model_of(build, form)
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["name"], site["kind"], site["groups"]) == ("top", "experts", E)
    assert site["choices"] == FORMS[form][2] and site["basis"] == "test of all rows"
    # The masks are multiplied with, and made, in a batch that fails the test only.
    main = text[: text.index("scf.if")]
    assert "gate.combine" in main and f"x{E}x{C}xf32" not in main and f"x{E}x?xf32" not in main
    x = rows_of(FORMS[form][4] if FORMS[form][4] != "G" else 3, 11, 5)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        assert_near(lib(x=x)["y"], plain(x=x)["y"])
        assert plain.stats()["sites"] == []


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_not_finite_or_too_large(build, form):
    """Zero times them is NaN, in all rows of their group: what the masks give is what there is."""
    model = model_of(build, form)
    groups = 3 if FORMS[form][4] == "G" else FORMS[form][4]
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        for value in (np.nan, np.inf, -1e30):
            x = rows_of(groups, 6, 6)
            x[-1, 4, 2] = value
            assert_near_where_finite(lib(x=x)["y"], plain(x=x)["y"])


def test_normed_experts(build, tmp_path):
    """A mean of each row is no weight of it."""
    net = Groups(1)
    mask, weighing = of_one(net)
    rows = net("Einsum", "rows", mask, "x", equation="gsec,gsd->egcd")
    rows = net("LayerNormalization", "norm", rows, net.weight("scale", np.linspace(0.5, 2, D, dtype=np.float32)), axis=-1)
    work = experts(net, net("Reshape", "joined", rows, net.ints("egc", [E, -1, D])))
    work = net("Reshape", "apart", work, net("Shape", "sizes", rows))
    model = build.graph(net.finish(net("Einsum", "sum", weighing, work, equation="gsec,egcd->gsd")))
    session = runtime(model)
    with build.load(model) as lib:
        for x in (rows_of(3, 7), np.tile(rows_of(1, 1, 9), (2, 9, 1))):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert len(lib.stats()["sites"]) == 1


# What looks like it, and is not.


def weights_of_other_groups(net, mask, weighing):
    last = net("Slice", "last", weighing, net.ints("m1", [-1]), net.ints("end", [2**60]), net.ints("axis0", [0]))
    others = net("Slice", "others", weighing, net.ints("at0", [0]), net.ints("m1", [-1]), net.ints("axis0", [0]))
    return flat(net, mask, net("Concat", "turned", last, others, axis=0))


def places_of_all_groups(net, mask, weighing):
    """Rows of several groups meet in one place, and are added up."""
    rows = net("Einsum", "rows", mask, "x", equation="gsec,gsd->ecd")
    return net("Einsum", "sum", weighing, experts(net, rows), equation="gsec,ecd->gsd")


def a_bias_of_the_group(net, mask, weighing):
    """Experts that have a bias for each group, too."""
    rows = net("Einsum", "rows", mask, "x", equation="gsec,gsd->egcd")
    numbers = net("Range", "numbers_g", net.ints("z", 0), net("Squeeze", "g", net("Shape", "shape_g", "x", end=1)), net.ints("o", 1))
    rows = net("Add", "shifted", rows, net.add_axis("numbers4", net.cast("numbersf", numbers), 1, 2))
    return net("Einsum", "sum", weighing, experts(net, rows, 2), equation="gsec,egcd->gsd")


NEAR_MISSES = {
    weights_of_other_groups: "is not known to hold one place",
    a_bias_of_the_group: None,
    places_of_all_groups: "cannot be computed without the others",
}


@pytest.mark.parametrize("work", NEAR_MISSES, ids=lambda work: work.__name__)
def test_near_misses(build, tmp_path, work):
    net = Groups()
    if work is a_bias_of_the_group:
        net.w1 = np.broadcast_to(net.w1[:, None], (E, 1, D, H))
        net.w2 = np.broadcast_to(net.w2[:, None], (E, 1, H, D))
    model = build.graph(net.finish(work(net, *of_choices(net))))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    found = json.loads(report.read_text())
    assert found["sites"] == []
    if NEAR_MISSES[work]:
        assert NEAR_MISSES[work] in found["refused"][0]["reason"]
    session = runtime(model)
    with build.load(model) as lib:
        for x in (rows_of(1, 3), rows_of(3, 9), np.tile(rows_of(1, 1), (2, 9, 1))):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
