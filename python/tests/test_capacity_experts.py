# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts with room for a number of rows each: masks [T,E,C] from running sums send rows to
# their places and bring them back, and a row that finds no room gets nothing. Masks as
# GShard, Switch, Flax and scatters make them, against ONNX Runtime, against NumPy (who gets
# a place) and against what --disable=form-capacity-experts makes of them; and masks that
# are something else.
import json

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
from compare import assert_same_bits
from test_dense_experts import D, E, H, Layer, assert_near, rows_of

C = 3
PASS = "form-capacity-experts"
FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


class Capacity(Layer):
    """Adds biases to the experts, so that an empty place gives something, too."""

    def __init__(self, k=2, capacity=C):
        super().__init__(k)
        self.capacity = capacity
        self.ints("numbers", np.arange(E))
        if capacity is None:  # 5/4 of what an even spread needs, rounded up
            count = self("Shape", "count", "x", end=1)
            scaled = self("Mul", "scaled", count, self.ints("five", [5 * k]))
            more = self("Add", "more", scaled, self.ints("rest", [4 * E - 1]))
            self.places = self("Div", "places", more, self.ints("parts", [4 * E]))
            scalar = self("Squeeze", "room", self.places)
            self.slots = self("Range", "slots", self.ints("z", 0), scalar, self.ints("o", 1))
        else:
            self.places = self.ints("places", [capacity])
            self.slots = self.ints("slots", np.arange(capacity))

    def cast(self, name, value, to=FLOAT):
        return self("Cast", name, value, to=to)

    def add_axis(self, name, value, *axes):
        return self("Unsqueeze", name, value, self.ints("axes" + "_".join(map(str, axes)), list(axes)))

    def total(self, name, value, axis, op="ReduceSum", keepdims=0):
        return self(op, name, value, self.ints(f"axis{axis}", [axis]), keepdims=keepdims)

    def hits(self, name, values, numbers, to=FLOAT):
        """values [...] -> one-hot [..., n]."""
        column = self.add_axis(name + "_col", values, -1)
        return self.cast(name, self("Equal", name + "_eq", column, numbers), to)

    def choice(self, j):
        """Ids and weights [T] of one choice."""
        at, to, axis = self.ints(f"at{j}", [j]), self.ints(f"to{j}", [j + 1]), self.ints("one", [1])
        parts = (self("Slice", f"{n}{j}", v, at, to, axis) for n, v in (("id", self.ids), ("w", self.weights)))
        return [self("Squeeze", f"s{i}_{j}", part, axis) for i, part in enumerate(parts)]

    def positions(self, hot):
        """[T,k,E] of ones for choices -> [T,k,E] of running counts, first choices first."""
        turned = self("Transpose", "turned", hot, perm=[1, 0, 2])
        flat = self("Reshape", "flatten", turned, self.ints("te", [-1, E]))
        sums = self("CumSum", "sums", flat, self.ints("axis_0", 0))
        apart = self("Reshape", "apart", sums, self.ints("kte", [self.k, -1, E]))
        return self("Transpose", "back", apart, perm=[1, 0, 2])


# Masks: of ones and of weights, [T,E,C] both.


def for_each_choice(net, compare="Equal", shift=0):
    """As the export of a PyTorch layer: [T,k,E,C] added up over k."""
    hot = net.hits("hot", net.ids, "numbers", INT64)
    own = net("Sub", "own", net("Mul", "counted", net.positions(hot), hot), net.ints("u", 1))
    position = net.total("position", own, -1, "ReduceMax")
    fits = net("Less", "fits", position, net.places)
    column = net.add_axis("pcol", net("Clip", "clip", position, net.ints("z0", 0)), -1)
    place = net.cast("place", net(compare, "placed", column, net.slots))
    kept = net("Mul", "kept", net.cast("hotf", hot), net.add_axis("fitsc", net.cast("fitsf", fits), -1))
    each = net("Mul", "each", net.add_axis("kept4", kept, 3), net.add_axis("place4", place, 2))
    weighed = each
    if shift:  # the weights are for other places than the rows
        other = net.cast("other", net("Equal", "isother", net("Add", "next", column, net.ints("u", 1)), net.slots))
        weighed = net("Mul", "otherwise", net.add_axis("kept5", kept, 3), net.add_axis("other4", other, 2))
    weighed = net("Mul", "weighed4", weighed, net.add_axis("w4", net.weights, 2, 3))
    return net.total("mask", each, 1), net.total("weighing", weighed, 1)


def top_2(net):
    """GShard: the second choices' places begin after all of the first ones'."""
    before, masks = None, []
    for j in range(net.k):
        ids, weight = net.choice(j)
        hot = net.hits(f"hot{j}", ids, "numbers")
        at = net("Sub", f"loc{j}", net("CumSum", f"sum{j}", hot, net.ints("axis_0", 0)), net.real("onef", 1))
        if before:
            at = net("Add", f"locs{j}", at, before)
        count = net.total(f"n{j}", hot, 0, keepdims=1)
        before = net("Add", f"before{j}", before, count) if before else count
        fits = net.cast(f"fits{j}", net("Less", f"lt{j}", at, net.cast(f"c{j}", net.places)))
        hot = net("Mul", f"kept{j}", hot, fits)
        place = net.total(f"place{j}", net("Mul", f"atkept{j}", at, hot), 1)
        values = net.weight("values", np.array([0, 1], np.float32))
        places = net("OneHot", f"places{j}", net.cast(f"int{j}", place, INT64), net.places, values)
        gates = net("Mul", f"gates{j}", net.add_axis(f"wc{j}", weight, 1), hot)
        masks.append(net("Einsum", f"m{j}", gates, places, equation="te,tc->tec"))
    weighing = net("Add", "weighing", *masks) if len(masks) > 1 else masks[0]
    return net.cast("mask", net.cast("sent", weighing, BOOL)), weighing


def switch(net):
    """Mesh TensorFlow: exclusive sums of ones, and products of factors of one token."""
    ids, weight = net.choice(0)
    values = net.weight("values", np.array([0, 1], np.float32))
    hot = net("OneHot", "hot", ids, net.ints("E", E), values)
    at = net("Mul", "at", net("CumSum", "sums", hot, net.ints("axis_0", 0), exclusive=1), hot)
    hot = net("Mul", "kept", hot, net.cast("fits", net("Less", "lt", at, net.cast("c", net.places))))
    gate = net("Mul", "gate", weight, net.total("flat", hot, -1))
    place = net.cast("place", net.total("ats", net("Mul", "atkept", at, hot), 1), INT64)
    gates = net("Mul", "gates", net.add_axis("gatec", gate, 1), hot)
    weighing = net("Mul", "weighing", net.add_axis("g3", gates, 2), net.add_axis("p2", net.hits("hit", place, net.slots), 1))
    return net.cast("mask", net("Greater", "sent", weighing, net.real("zero", 0))), weighing


def priorities(net):
    """Flax: -1 where a token did not choose, and all scores as weights."""
    hot = net.hits("hot", net.ids, "numbers")
    priority = net("Sub", "priority", net("Mul", "counted", net.positions(hot), hot), net.real("onef", 1))
    each = net.hits("each", priority, net.cast("slotsf", net.slots))
    mask = net.total("mask", each, 1, "ReduceMax")
    return mask, net("Mul", "weighing", net.add_axis("s3", net.scores, 2), mask)


def scattered(net):
    """Rows of ones by ScatterElements, masked by Where."""
    ids, weight = net.choice(0)
    size = net("Shape", "size", net.logits)
    zeros = net("Expand", "zeros", net.real("zero", 0), size)
    column = net.add_axis("idc", ids, 1)
    ones = net("Expand", "ones", net.real("onef", 1), net("Shape", "ids_size", column))
    hot = net("ScatterElements", "hot", zeros, column, ones, axis=1)
    at = net("CumSum", "at", hot, net.ints("axis_0", 0), exclusive=1)
    place = net.cast("place", net.total("ats", net("Mul", "athot", at, hot), 1), INT64)
    is_place = net("Equal", "isplace", net.add_axis("placec", place, 1), net.slots)
    wide = net.add_axis("hot3", hot, 2)
    mask = net("Where", "mask", net.add_axis("isplace3", is_place, 1), wide, net.real("zero", 0))
    return mask, net("Mul", "weighing", mask, net.add_axis("w3", weight, 1, 2))


def first_rows(net):
    """Room for one row: [T,E], without a dimension of places."""
    ids, weight = net.choice(0)
    hot = net.hits("hot", ids, "numbers")
    fits = net.cast("fits", net("LessOrEqual", "le", net("CumSum", "sums", hot, net.ints("axis_0", 0)), net.real("onef", 1)))
    mask = net("Mul", "mask", hot, fits)
    return mask, net("Mul", "weighing", mask, net.add_axis("wcol", weight, 1))


# Dispatch, experts, combine.


def experts(net, rows):
    h = net("MatMul", "h", rows, net.weight("w1", net.w1))
    a = net("Gelu", "a", net("Add", "hb", h, net.weight("b1", net.b1[:, None, :])))
    o = net("MatMul", "o", a, net.weight("w2", net.w2))
    return net("Add", "ob", o, net.weight("b2", net.b2[:, None, :]))


def einsums(net, mask, weighing):
    rows = net("Einsum", "rows", mask, "x", equation="tec,td->ecd")
    return net("Einsum", "sum", weighing, experts(net, rows), equation="tec,ecd->td")


def products(net, mask, weighing):
    rows = net("MatMul", "rows", net("Transpose", "mt", mask, perm=[1, 2, 0]), "x")
    work = net("Reshape", "work", experts(net, rows), net.ints("rowsd", [-1, D]))
    flat = net("Reshape", "flatw", weighing, net.ints("flat", [-1, E * net.capacity]))
    return net("MatMul", "sum", flat, work)


def single_rows(net, mask, weighing):
    rows = net("MatMul", "rows", net("Transpose", "mt", mask, perm=[1, 0]), "x")
    work = net("Squeeze", "work", experts(net, net.add_axis("rows3", rows, 1)), net.ints("axis1", [1]))
    return net("MatMul", "sum", weighing, work)


FORMS = {
    "for_each_choice": (for_each_choice, einsums, 2, C),
    "for_each_choice-of_3": (for_each_choice, einsums, 3, C),
    "for_each_choice-products": (for_each_choice, products, 2, C),
    "for_each_choice-computed": (for_each_choice, einsums, 2, None),
    "top_2": (top_2, einsums, 2, C),
    "top_2-computed": (top_2, einsums, 2, None),
    "switch": (switch, einsums, 1, C),
    "switch-products": (switch, products, 1, C),
    "switch-computed": (switch, einsums, 1, None),
    "priorities": (priorities, einsums, 2, C),
    "scattered": (scattered, products, 1, C),
    "scattered-computed": (scattered, einsums, 1, None),
    "for_each_choice-one_place": (for_each_choice, einsums, 2, 1),
    "top_2-one_place": (top_2, einsums, 2, 1),
    "switch-one_place": (switch, products, 1, 1),
    "first_rows": (first_rows, single_rows, 1, 1),
}
MODELS = {}


def graph_of(form):
    masks, dispatch, k, capacity = FORMS[form]
    net = Capacity(k, capacity)
    return net.finish(dispatch(net, *masks(net)))


def model_of(build, form):
    """Written once, so that its libraries are made once."""
    if form not in MODELS:
        MODELS[form] = build.graph(graph_of(form))
    return MODELS[form]


def runtime(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def filled_places(x, k, capacity):
    """How many rows each expert has: all first choices come before the second ones."""
    if capacity is None:
        capacity = -(-len(x) * k * 5 // (4 * E))
    best = np.argsort(-(x.astype(np.float64) @ Layer().gate), axis=1, kind="stable")[:, :k]
    return np.minimum(np.bincount(best.ravel(), minlength=E), capacity).tolist()


def check_places(build, model, k, capacity):
    """Results, and how many rows each expert had, for batches of several sizes."""
    session = runtime(model)
    with build.load(model) as lib:
        for count in (1, 2, 7, 64):
            for x in (rows_of(count), np.repeat(rows_of(1, 9), count, 0)):
                assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
                assert lib.stats()["sites"][0]["groups"] == filled_places(x, k, capacity)
        assert lib(x=x[:0])["y"].shape == (0, D)


def assert_near_where_finite(y, expected):
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(y[finite], expected[finite], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_form(build, form):
    """Too many rows for all, for one, for none; one row, an odd number, none."""
    check_places(build, model_of(build, form), *FORMS[form][2:])


@pytest.mark.parametrize("form", FORMS)
def test_form_is_experts(build, tmp_path, form):
    model = model_of(build, form)
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["name"], site["kind"], site["groups"]) == ("top", "experts", E)
    assert site["nodes"] == ["h", "o"] and site["rows"] == "T" and site["choices"] == FORMS[form][2]
    assert site["basis"] == "test of all rows" and "which depends on the batch" in site["note"]
    # The masks are multiplied with, and made, in a batch that fails the test only.
    main = text[: text.index("scf.if")]
    assert "gate.combine" in main and f"x{E}x{C}xf32" not in main and f"x{E}x?xf32" not in main
    x = rows_of(33, 5)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        assert_near(lib(x=x)["y"], plain(x=x)["y"])
        assert plain.stats()["sites"] == []


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_not_finite_or_too_large(build, form):
    """Zero times them is NaN, in all rows: what the masks give is what there is."""
    model = model_of(build, form)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        for value in (np.nan, np.inf, -np.inf, 3e38, -1e30):
            x = rows_of(12, 6)
            x[4, 2] = value
            assert_near_where_finite(lib(x=x)["y"], plain(x=x)["y"])
        x[:] = np.nan
        np.testing.assert_array_equal(np.isnan(lib(x=x)["y"]), np.isnan(plain(x=x)["y"]))


@pytest.mark.parametrize("form", ["for_each_choice", "switch", "top_2-computed"])
def test_assumed_finite(build, tmp_path, form):
    model = model_of(build, form)
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report, assume_finite=True)
    (site,) = json.loads(report.read_text())["sites"]
    assert site["basis"] == "--assume-finite" and "NaN" not in site["note"]
    x = rows_of(20)
    with build.load(model) as lib, build.load(model, assume_finite=True) as assumed:
        assert_same_bits(assumed(x=x), lib(x=x))


def test_room_for_all(build):
    net = Capacity(2, 40)
    model = build.graph(net.finish(einsums(net, *for_each_choice(net))))
    session = runtime(model)
    x = np.repeat(rows_of(10), 4, 0)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert sum(lib.stats()["sites"][0]["groups"]) == 80


@pytest.mark.parametrize("rows", [2, 9])
def test_number_of_rows_that_is_known(build, rows):
    graph = graph_of("for_each_choice")
    graph.inputs, graph.outputs = [], []
    graph.input("x", [rows, D])
    graph.output("y", [rows, D])
    model = build.graph(graph)
    x = rows_of(rows)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], runtime(model).run(None, {"x": x})[0])
        assert len(lib.stats()["sites"]) == 1


@pytest.mark.parametrize("form", ["for_each_choice", "switch"])
def test_a_mask_may_be_used_by_others(build, form):
    """It is then made for all, and multiplied with for none."""
    graph = graph_of(form)
    graph.output("mask/out", ["T", E, C])
    model = build.graph(graph)
    session = runtime(model)
    with build.load(model) as lib:
        for x in (rows_of(9), np.repeat(rows_of(1), 9, 0)):
            actual, (y, mask) = lib(x=x), session.run(None, {"x": x})
            assert_near(actual["y"], y)
            np.testing.assert_array_equal(actual["mask/out"], mask)
        assert len(lib.stats()["sites"]) == 1


# What looks like it, and is not.


def several_places(net):
    """Rows of the mask are ones from a place on."""
    return for_each_choice(net, compare="LessOrEqual")


def halves(net):
    mask, weighing = for_each_choice(net)
    return net("Mul", "halved", mask, net.real("half", 0.5)), weighing


def all_in_the_first_place(net):
    """Rows of one expert are added up."""
    hot = net.total("hot", net.hits("hits", net.ids, "numbers"), 1)
    first = net("OneHot", "first", net.ints("z1", [0]), net.places, net.weight("values", np.array([0, 1], np.float32)))
    mask = net("Mul", "mask", net.add_axis("hot3", hot, 2), net.add_axis("first3", first, 0))
    return mask, net("Mul", "weighing", mask, net.add_axis("s3", net.scores, 2))


def same_place_twice(net):
    """Second choices do not know of the first ones."""
    masks = []
    for j in range(2):
        ids, weight = net.choice(j)
        hot = net.hits(f"hot{j}", ids, "numbers")
        at = net("Mul", f"at{j}", net("CumSum", f"sum{j}", hot, net.ints("axis_0", 0), exclusive=1), hot)
        place = net.hits(f"place{j}", net.cast(f"int{j}", net.total(f"s{j}", at, 1), INT64), net.slots)
        each = net("Mul", f"each{j}", net.add_axis(f"hot3{j}", hot, 2), net.add_axis(f"place2{j}", place, 1))
        masks.append((each, net("Mul", f"weighed{j}", each, net.add_axis(f"w3{j}", weight, 1, 2))))
    return [net("Add", f"both{i}", *pair) for i, pair in enumerate(zip(*masks))]


def weights_of_other_places(net):
    return for_each_choice(net, shift=1)


def weights_of_other_rows(net):
    mask, weighing = for_each_choice(net)
    return mask, net("Einsum", "others", weighing, net.weight("roll", np.roll(np.eye(E, dtype=np.float32), 1, 0)), equation="tec,ef->tfc")


def weights_without_zeros(net):
    mask, weighing = for_each_choice(net)
    return mask, net("Add", "more", weighing, net.real("tenth", 0.1))


NEAR_MISSES = {
    several_places: False,
    weights_of_other_rows: False,
    weights_without_zeros: False,
    # These are for the run to tell.
    halves: True,
    all_in_the_first_place: True,
    same_place_twice: True,
    weights_of_other_places: True,
}


@pytest.mark.parametrize("masks", NEAR_MISSES, ids=lambda masks: masks.__name__)
def test_near_misses(build, tmp_path, masks):
    net = Capacity()
    model = build.graph(net.finish(einsums(net, *masks(net))))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    found = json.loads(report.read_text())
    assert len(found["sites"]) == NEAR_MISSES[masks]
    if not NEAR_MISSES[masks]:
        (refused,) = found["refused"]
        assert refused["nodes"] == ["h", "o"] and "is not known to hold one place" in refused["reason"]
    session = runtime(model)
    with build.load(model) as lib:
        for x in (rows_of(2), rows_of(40), np.repeat(rows_of(1), 9, 0)):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])


@pytest.mark.parametrize("is_weighed", [True, False])
def test_room_for_one_row_that_is_not_kept(build, is_weighed):
    """Rows of one expert are added up; a row that is not sent reads what was."""
    net = Capacity(1, 1)
    ids, weight = net.choice(0)
    hot = net.hits("hot", ids, "numbers")
    every = net("Mul", "every", hot, net.add_axis("w2", weight, 1))
    fits = net.cast("fits", net("LessOrEqual", "le", net("CumSum", "sums", hot, net.ints("axis_0", 0)), net.real("onef", 1)))
    kept = net("Mul", "kept", hot, fits)
    mask, weighing = (hot, net("Mul", "some", every, fits)) if is_weighed else (kept, every)
    model = build.graph(net.finish(single_rows(net, mask, weighing)))
    session = runtime(model)
    with build.load(model) as lib:
        for x in (rows_of(2), rows_of(40), np.repeat(rows_of(1), 9, 0)):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert len(lib.stats()["sites"]) == 1


def test_work_beside_the_rows(build, tmp_path):
    """A bias of the place, not of the expert."""
    net = Capacity()
    mask, weighing = for_each_choice(net)
    rows = net("Einsum", "rows", mask, "x", equation="tec,td->ecd")
    rows = net("Add", "shifted", rows, net.weight("bias", np.arange(C, dtype=np.float32)[:, None]))
    model = build.graph(net.finish(net("Einsum", "sum", weighing, experts(net, rows), equation="tec,ecd->td")))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    assert json.loads(report.read_text())["sites"] == []
    with build.load(model) as lib:
        x = rows_of(9)
        assert_near(lib(x=x)["y"], runtime(model).run(None, {"x": x})[0])
