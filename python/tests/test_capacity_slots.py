# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts with room for a number of rows each, which are rows of one buffer: rows are scattered
# to slots (expert * room + place) and gathered from there, as Tutel, DeepSpeed, fairseq, V-MoE
# and many others do, against ONNX Runtime, against NumPy (who gets a place) and against what
# --disable=form-capacity-experts makes of them; and slots that are something else.
import json

import numpy as np
import pytest

import gatecc
from test_capacity_experts import (
    INT64,
    PASS,
    C,
    Capacity,
    assert_near_where_finite,
    check_places,
    experts,
    runtime,
)
from test_dense_experts import D, E, assert_near, rows_of

# Where a choice goes: slots [T,k] and whether it finds room.


def places(net):
    hot = net.hits("hot", net.ids, "numbers", INT64)
    own = net("Sub", "own", net("Mul", "counted", net.positions(hot), hot), net.ints("u", 1))
    position = net.total("position", own, -1, "ReduceMax")
    fits = net("Less", "fits", position, net.places)
    return position, fits


def slots_of(net, position):
    return net("Add", "slot", net("Mul", "first", net.ids, net.places), position)


def dropped(net, to=None):
    """Choices without room go to the row after all places, or to row `to`."""
    position, fits = places(net)
    last = net("Mul", "last", net.places, net.ints("E", [E])) if to is None else net.ints("to", [to])
    return net("Where", "slots_", fits, slots_of(net, position), last)


def clipped(net):
    """They go to the last place, as zeros."""
    position, fits = places(net)
    most = net("Sub", "most", net.places, net.ints("u", 1))
    return slots_of(net, net("Min", "clip", position, most)), net.cast("keep", fits)


def zeros(net, extra=0, value=0.0):
    count = net("Mul", "all", net.places, net.ints("E", [E]))
    if extra:
        count = net("Add", "withmore", count, net.ints("extra", [extra]))
    size = net("Concat", "size", count, net.ints("D", [D]), axis=0)
    return net("Expand", "buffer", net.real("empty", value), size)


def flat(net, name, value, *columns):
    return net("Reshape", name, value, net.ints("_".join(["n", *map(str, columns)]), [-1, *columns]))


def repeated(net):
    """[T*k,D]: each row for each of its choices."""
    wide = net("Expand", "wide", net.add_axis("x3", "x", 1), net.ints("k3", [1, net.k, 1]))
    return flat(net, "repeated", wide, D)


def work(net, buffer, cut=False):
    """[E*C,D] -> [E*C,D]"""
    if cut:
        count = net("Mul", "count_", net.places, net.ints("E", [E]))
        buffer = net("Slice", "cut", buffer, net.ints("z_", [0]), count, net.ints("axes0", [0]))
    rows = net("Reshape", "rows", buffer, net.ints("ecd", [E, -1, D]))
    return flat(net, "done", experts(net, rows), D)


def modules(net, buffer):
    """An expert after the other: [E*C,D]"""
    parts = []
    rows = net("Reshape", "rows", buffer, net.ints("ecd", [E, C, D]))
    for e in range(E):
        own = net("Gather", f"own{e}", rows, net.ints(f"e{e}", e), axis=0)
        h = net("Relu", f"r{e}", net("MatMul", f"h{e}", own, net.weight(f"w1_{e}", net.w1[e])))
        parts.append(net("MatMul", f"o{e}", h, net.weight(f"w2_{e}", net.w2[e])))
    return parts


def weighed(net, rows, weights=None):
    """[T,k,D] -> [T,D]"""
    each = net("Mul", "weighed", rows, net.add_axis("wc", weights or net.weights, 2))
    return net.total("sum", each, 1)


# Forms.


def to_a_last_row(net, to=None):
    slots = dropped(net, to)
    buffer = net("ScatterND", "sent", zeros(net, 1), flat(net, "to_", slots, 1), repeated(net))
    padded = net("Concat", "padded", work(net, buffer, cut=True), net.weight("zero_row", np.zeros((1, D), np.float32)), axis=0)
    return weighed(net, net("Gather", "read", padded, slots, axis=0))


def to_row_minus_1(net):
    return to_a_last_row(net, -1)


def as_zeros(net):
    """Tutel: the weight of what found no room is zero."""
    slots, keep = clipped(net)
    rows = net("Mul", "masked", repeated(net), flat(net, "keepc", keep, 1))
    buffer = net("ScatterND", "sent", zeros(net), flat(net, "to", slots, 1), rows, reduction="add")
    back = net("Gather", "read", work(net, buffer), slots, axis=0)
    return weighed(net, back, net("Mul", "kept", net.weights, keep))


def by_elements(net):
    """PyTorch's scatter_add and gather."""
    slots, keep = clipped(net)
    rows = net("Mul", "masked", repeated(net), flat(net, "keepc", keep, 1))
    wide = net("Expand", "slotsw", flat(net, "slotsc", slots, 1), net.ints("1_D", [1, D]))
    buffer = net("ScatterElements", "sent", zeros(net), wide, rows, axis=0, reduction="add")
    back = net("GatherElements", "read", work(net, buffer), wide, axis=0)
    back = net("Mul", "readm", back, "keepc/out")
    return weighed(net, net("Reshape", "choices", back, net.ints("tkd", [-1, net.k, D])))


def one_after_another(net):
    """Rows of all first choices, then those of all second ones."""
    slots, keep = clipped(net)
    buffer, each = zeros(net), []
    for j in range(net.k):
        own = net("Gather", f"slot{j}", slots, net.ints(f"j{j}", j), axis=1)
        kept = net("Gather", f"keep{j}", keep, net.ints(f"j{j}", j), axis=1)
        rows = net("Mul", f"masked{j}", "x", net.add_axis(f"keepc{j}", kept, 1))
        buffer = net("ScatterND", f"sent{j}", buffer, net.add_axis(f"to{j}", own, 1), rows, reduction="add")
        each.append((own, kept))
    done, terms = work(net, buffer), []
    for j, (own, kept) in enumerate(each):
        weight = net("Mul", f"weight{j}", net("Gather", f"w{j}", net.weights, net.ints(f"j{j}", j), axis=1), kept)
        back = net("Gather", f"read{j}", done, own, axis=0)
        terms.append(net("Mul", f"term{j}", back, net.add_axis(f"weightc{j}", weight, 1)))
    return net("Sum", "sum", *terms)


def by_modules(net):
    slots = dropped(net)
    buffer = net("ScatterND", "sent", zeros(net, 1), flat(net, "to_", slots, 1), repeated(net))
    cut = net("Slice", "cut", buffer, net.ints("z_", [0]), net.ints("ec", [E * C]), net.ints("axes0", [0]))
    parts = modules(net, cut)
    padded = net("Concat", "padded", *parts, net.weight("zero_row", np.zeros((1, D), np.float32)), axis=0)
    return weighed(net, net("Gather", "read", padded, slots, axis=0))


FORMS = {
    "to_a_last_row": (to_a_last_row, 1, C),
    "to_a_last_row-of_2": (to_a_last_row, 2, C),
    "to_a_last_row-computed": (to_a_last_row, 2, None),
    "to_row_minus_1": (to_row_minus_1, 2, C),
    "as_zeros": (as_zeros, 1, C),
    "as_zeros-of_3": (as_zeros, 3, C),
    "as_zeros-computed": (as_zeros, 2, None),
    "by_elements": (by_elements, 2, C),
    "one_after_another": (one_after_another, 2, C),
    "by_modules": (by_modules, 2, C),
}
MODELS = {}


def model_of(build, form):
    """Written once, so that its libraries are made once."""
    if form not in MODELS:
        make, k, capacity = FORMS[form]
        net = Capacity(k, capacity)
        MODELS[form] = build.graph(net.finish(make(net)))
    return MODELS[form]


@pytest.mark.parametrize("form", FORMS)
def test_form(build, form):
    """Too many rows for all, for one, for none; one row, an odd number, none."""
    check_places(build, model_of(build, form), *FORMS[form][1:])


@pytest.mark.parametrize("form", FORMS)
def test_form_is_experts(build, tmp_path, form):
    model = model_of(build, form)
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["kind"], site["groups"], site["choices"]) == ("experts", E, FORMS[form][1])
    assert site["basis"] == "test of all rows" and "which depends on the batch" in site["note"]
    # Rows are scattered in a batch that fails the test only.
    main = text[: text.index("scf.if")]
    assert "gate.combine" in main and "gate.scatter_nd" not in main and "gate.gather_nd" not in main
    x = rows_of(33, 5)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        assert_near(lib(x=x)["y"], plain(x=x)["y"])
        assert plain.stats()["sites"] == []


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_not_finite_or_too_large(build, form):
    model = model_of(build, form)
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        for value in (np.nan, np.inf, -np.inf, 3e38, -1e30):
            x = rows_of(12, 6)
            x[4, 2] = value
            assert_near_where_finite(lib(x=x)["y"], plain(x=x)["y"])
        x[:] = np.nan
        np.testing.assert_array_equal(np.isnan(lib(x=x)["y"]), np.isnan(plain(x=x)["y"]))


# What looks like it, and is not.


def all_in_the_first_place(net):
    """Rows of one expert are added up."""
    first = net("Mul", "slots", net.ids, net.places)
    buffer = net("ScatterND", "sent", zeros(net), flat(net, "to", first, 1), repeated(net), reduction="add")
    return weighed(net, net("Gather", "read", work(net, buffer), first, axis=0))


def places_of_other_experts(net):
    slots, keep = clipped(net)
    rows = net("Mul", "masked", repeated(net), flat(net, "keepc", keep, 1))
    buffer = net("ScatterND", "sent", zeros(net), flat(net, "to", slots, 1), rows, reduction="add")
    next_one = net("Mod", "next", net("Add", "moved", slots, net.places), net.ints("ec", [E * C]))
    back = net("Gather", "read", work(net, buffer), next_one, axis=0)
    return weighed(net, back, net("Mul", "kept", net.weights, keep))


def halves(net):
    slots, keep = clipped(net)
    half = net("Mul", "half", keep, net.real("h", 0.5))
    rows = net("Mul", "masked", repeated(net), flat(net, "keepc", half, 1))
    buffer = net("ScatterND", "sent", zeros(net), flat(net, "to", slots, 1), rows, reduction="add")
    back = net("Gather", "read", work(net, buffer), slots, axis=0)
    return weighed(net, back, net("Mul", "kept", net.weights, keep))


def read_without_room(net):
    """What found no room reads what has taken its place."""
    slots, keep = clipped(net)
    rows = net("Mul", "masked", repeated(net), flat(net, "keepc", keep, 1))
    buffer = net("ScatterND", "sent", zeros(net), flat(net, "to", slots, 1), rows, reduction="add")
    return weighed(net, net("Gather", "read", work(net, buffer), slots, axis=0))


def a_last_row_that_is_not_zero(net):
    slots = dropped(net)
    buffer = net("ScatterND", "sent", zeros(net, 1), flat(net, "to_", slots, 1), repeated(net))
    padded = net("Concat", "padded", work(net, buffer, cut=True), net.weight("one_row", np.ones((1, D), np.float32)), axis=0)
    return weighed(net, net("Gather", "read", padded, slots, axis=0))


def a_buffer_that_is_not_zero(net):
    slots, _ = clipped(net)
    buffer = net("ScatterND", "sent", zeros(net, value=1.0), flat(net, "to", slots, 1), repeated(net), reduction="add")
    return weighed(net, net("Gather", "read", work(net, buffer), slots, axis=0))


def the_largest_of_a_place(net):
    slots, _ = clipped(net)
    buffer = net("ScatterND", "sent", zeros(net), flat(net, "to", slots, 1), repeated(net), reduction="max")
    return weighed(net, net("Gather", "read", work(net, buffer), slots, axis=0))


NEAR_MISSES = {
    # These are for the run to tell.
    all_in_the_first_place: True,
    places_of_other_experts: True,
    halves: True,
    read_without_room: True,
    a_last_row_that_is_not_zero: False,
    a_buffer_that_is_not_zero: False,
    the_largest_of_a_place: False,
}


@pytest.mark.parametrize("make", NEAR_MISSES, ids=lambda make: make.__name__)
def test_near_misses(build, tmp_path, make):
    net = Capacity()
    model = build.graph(net.finish(make(net)))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    assert len(json.loads(report.read_text())["sites"]) == NEAR_MISSES[make]
    session = runtime(model)
    with build.load(model) as lib:
        for x in (rows_of(2), rows_of(40), np.repeat(rows_of(1), 9, 0)):
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
