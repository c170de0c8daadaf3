# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Loops whose rows stop one by one: rows at rest are taken out of further iterations. The
# results are those of the loop that computes every row, bit for bit.
import json

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

import gatecc
import test_control_flow
from compare import assert_same_bits
from test_control_flow import BOOL, D, F32, IN, TRIPS, X, body, info, node, oracle

NEEDS = info("needs", TensorProto.INT64, ["B"])
LIMIT = 12
WEIGHTS = test_control_flow.WEIGHTS | {
    "table": np.random.default_rng(3).normal(size=(LIMIT, D)).astype(np.float32),
    "halt": np.random.default_rng(4).normal(size=(D, 1)).astype(np.float32) / 4,
    "most": np.float32(0.99),
    "onef": np.float32(1),
    "two": np.array(2),
}


def model(nodes, inputs, outputs):
    return test_control_flow.model(nodes, inputs, outputs, weights=WEIGHTS)


def halting(select=True, any_running=True, extra=(), before=(), more=()):
    """Each row b runs until its count n reaches needs[b]: h = tanh(h w + x), n += 1."""
    nodes = [
        node("Less", "n needs", "running"),
        node("Unsqueeze", "running axis", "mask"),
        node("MatMul", "h w", "hw"),
        node("Add", "hw x", "sum"),
        node("Tanh", "sum", "new"),
        *extra,
    ]
    if select:
        nodes.append(node("Where", "mask new h", "next"))
    else:  # a weight of 0 or 1
        nodes += [
            node("Cast", "mask", "weight", to=F32),
            node("Sub", "new h", "delta"),
            node("Mul", "weight delta", "part"),
            node("Add", "h part", "next"),
        ]
    nodes += [
        node("Add", "n one", "n1"),
        node("Where", "running n1 n", "next_n"),
        node("Less", "next_n needs", "still"),
        node("Cast", "still", "still_int", to=TensorProto.INT64),
        node("ReduceMax", "still_int rows", "some", keepdims=0),
        node("Cast", "some", "any", to=BOOL),
    ]
    start = [
        node("Sub", "needs needs", "n0"),
        *before,
    ]
    inner = body(nodes, [*IN, "n", "h"], ["any" if any_running else "c", "next_n", "next"])
    loop = node("Loop", ["trips", "", "n0", "x"], "count y", body=inner)
    return model([*start, loop], [NEEDS, X, *more], ["count", "y"])


def constant_trips(proto, count=LIMIT):
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(count), "trips"))
    return proto


CASES = {
    "select": constant_trips(halting()),
    "weight": constant_trips(halting(select=False, extra=[])),
    "counted": constant_trips(halting(any_running=False)),
}
# One state is kept by selection in each of them; that makes it a candidate.


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    made = {}

    def of(name):
        if name not in made:
            path = folder / f"{name}.onnx"
            onnx.save(CASES[name], path)
            report = folder / f"{name}.json"
            gatecc.compile(path, folder / f"{name}.so", report=report)
            gatecc.compile(path, folder / f"{name}-plain.so", disable=["form-while-rows"])
            made[name] = (
                gatecc.load(folder / f"{name}.so", threads=2),
                gatecc.load(folder / f"{name}-plain.so", threads=2),
                oracle(CASES[name]),
                json.loads(report.read_text()),
            )
        return made[name]

    yield of
    for library, plain, _, _ in made.values():
        library.close()
        plain.close()


def feed_of(needs, seed=0):
    x = np.random.default_rng(seed).normal(size=(len(needs), D)).astype(np.float32)
    return {"needs": np.array(needs, np.int64), "x": x}


@pytest.mark.parametrize("name", CASES)
def test_the_report_names_the_site(libraries, name):
    report = libraries(name)[3]
    (site,) = report["sites"]
    assert (site["name"], site["kind"]) == ("count", "halt")
    assert site["nodes"] == ["hw"]


@pytest.mark.parametrize("name", CASES)
@given(needs=st.lists(st.integers(-1, LIMIT + 2), max_size=40), seed=st.integers(0, 99))
def test_results_and_statistics(libraries, name, needs, seed):
    library, plain, session, _ = libraries(name)
    feed = feed_of(needs, seed)
    got, same = library(feed), plain(feed)
    for output in ("count", "y"):
        assert np.array_equal(got[output], same[output])
    if needs:  # ONNX Runtime has no maximum of no rows
        expected = session.run(None, feed)
        assert np.array_equal(got["count"], expected[0])
        np.testing.assert_allclose(got["y"], expected[1], rtol=1e-4, atol=1e-5)
    # The first iteration is run whatever the rows say; a row at rest is seen to be so
    # after one iteration that leaves it.
    steps = np.clip(needs, 0, LIMIT) if needs else np.zeros(0, int)
    total = LIMIT if name == "counted" else min(max([1, *steps]), LIMIT)
    done = np.minimum(steps + 1, total)
    (site,) = library.stats()["sites"]
    assert site["rows"] == len(needs)
    expected_groups = np.bincount(done, minlength=total + 1)[1:].tolist() if needs else []
    while expected_groups and expected_groups[-1] == 0:
        expected_groups.pop()
    assert site["groups"] == expected_groups
    if needs:
        most = len(expected_groups)
        assert site["skipped"] == pytest.approx(1 - done.sum() / (len(needs) * most))


def test_rows_that_are_not_finite_go_on(libraries):
    # 0 * NaN is NaN: the row changes, and comes to rest as NaN.
    library, plain, session, _ = libraries("weight")
    feed = feed_of([1, 5, 3, 7])
    feed["x"][1, 3] = np.nan
    feed["x"][2, 0] = np.inf
    got, same, expected = library(feed)["y"], plain(feed)["y"], session.run(None, feed)[1]
    assert np.array_equal(got, same, equal_nan=True)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_rows_of_several_tokens(tmp_path):
    """A state [B, S, D] goes through its products as [B * S, D]."""
    nodes = [
        node("Unsqueeze", "running axis", "mask1"),
        node("Unsqueeze", "mask1 axis2", "mask"),
        node("MatMul", "h w", "hw"),
        node("Add", "hw x", "sum"),
        node("Tanh", "sum", "new"),
        node("Where", "mask new h", "next"),
        node("Less", "n needs", "running"),
        node("Add", "n one", "n1"),
        node("Where", "running n1 n", "next_n"),
        node("Less", "next_n needs", "still"),
        node("Cast", "still", "still_int", to=TensorProto.INT64),
        node("ReduceMax", "still_int rows", "some", keepdims=0),
        node("Cast", "some", "any", to=BOOL),
    ]
    nodes.insert(0, nodes.pop(6))
    inner = body(nodes, [*IN, "n", "h"], ["any", "next_n", "next"])
    proto = model(
        [
            node("Add", "one axis", "axis2"),
            node("Sub", "needs needs", "n0"),
            node("Loop", ["trips", "", "n0", "x"], "count y", body=inner),
        ],
        [NEEDS, info("x", F32, ["B", "S", D])],
        ["y"],
    )
    onnx.save(constant_trips(proto), tmp_path / "m.onnx")
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so", report=tmp_path / "r.json")
    assert len(json.loads((tmp_path / "r.json").read_text())["sites"]) == 1
    session = oracle(proto)
    with gatecc.load(tmp_path / "m.so", threads=2) as library:
        for needs, tokens in (([3, 0, 5, 1], 7), ([1], 1), ([2, 9], 40)):
            x = np.random.default_rng(tokens).normal(size=(len(needs), tokens, D))
            feed = {"needs": np.array(needs), "x": x.astype(np.float32)}
            expected = session.run(None, feed)[0]
            np.testing.assert_allclose(library(feed)["y"], expected, rtol=1e-4, atol=1e-5)


# Work that depends on the iteration, with rows that a condition stops for good.


def looped(nodes, carried, ends="c", before=(), more=()):
    """carried: {name in the body: (begins as, goes on as)}; y is the first of them."""
    inner = body(nodes, [*IN, *carried], [ends, *(then for _, then in carried.values())])
    outputs = ["y", *(f"last_{name}" for name in list(carried)[1:])]
    starts = " ".join(begin for begin, _ in carried.values())
    loop = node("Loop", f"trips  {starts}".split(" "), outputs, body=inner)
    return constant_trips(model([*before, loop], [NEEDS, X, *more], outputs))


def timed(state="h"):
    """tanh(h w + x + t)"""
    return [
        node("Cast", "i", "t", to=F32),
        node("MatMul", f"{state} w", "hw"),
        node("Add", "hw x", "sum"),
        node("Add", "sum t", "timed"),
        node("Tanh", "timed", "new"),
    ]


def lengths():
    """A recurrence over sequences of different lengths."""
    return looped(
        [
            node("Less", "i needs", "running"),
            node("Unsqueeze", "running axis", "mask"),
            *timed(),
            node("Where", "mask new h", "next"),
        ],
        {"h": ("x", "next")},
    )


def turned():
    """The same with the condition the other way round."""
    return looped(
        [
            node("LessOrEqual", "needs i", "stopped"),
            node("Unsqueeze", "stopped axis", "mask"),
            *timed(),
            node("Where", "mask h new", "next"),
        ],
        {"h": ("x", "next")},
    )


def tables():
    """A row of a table for each step, as a timestep embedding; counts decide."""
    return looped(
        [
            node("Less", "n needs", "running"),
            node("Unsqueeze", "running axis", "mask"),
            node("Gather", "table i", "step"),
            node("Add", "h step", "in"),
            node("MatMul", "in w", "hw"),
            node("Add", "hw x", "sum"),
            node("Tanh", "sum", "new"),
            node("Where", "mask new h", "next"),
            node("Cast", "running", "ran", to=TensorProto.INT64),
            node("Add", "n ran", "next_n"),
            node("Less", "next_n needs", "still"),
            node("Cast", "still", "still_int", to=TensorProto.INT64),
            node("ReduceMax", "still_int rows", "some", keepdims=0),
            node("Cast", "some", "any", to=BOOL),
        ],
        {"h": ("x", "next"), "n": ("n0", "next_n")},
        ends="any",
        before=[node("Sub", "needs needs", "n0")],
    )


def graves():
    """Adaptive computation time: probabilities add up to 1 - eps, the rest is the last weight."""
    return looped(
        [
            node("Unsqueeze", "on axis", "mask"),
            *timed(),
            node("MatMul", "new halt", "logit"),
            node("Sigmoid", "logit", "p2"),
            node("Squeeze", "p2 axis", "p"),
            node("Add", "sum_p p", "reached"),
            node("Greater", "reached most", "full"),
            node("Sub", "onef sum_p", "rest"),
            node("Where", "full rest p", "weight"),
            node("Unsqueeze", "weight axis", "weight2"),
            node("Mul", "new weight2", "part"),
            node("Add", "out part", "out1"),
            node("Where", "mask out1 out", "next_out"),
            node("Where", "mask new h", "next"),
            node("Where", "on reached sum_p", "next_p"),
            node("Not", "full", "open"),
            node("And", "on open", "next_on"),
            node("Cast", "next_on", "on_int", to=TensorProto.INT64),
            node("ReduceMax", "on_int rows", "some", keepdims=0),
            node("Cast", "some", "any", to=BOOL),
        ],
        {
            "out": ("nothing", "next_out"),
            "h": ("x", "next"),
            "sum_p": ("p0", "next_p"),
            "on": ("on0", "next_on"),
        },
        ends="any",
        before=[
            node("Sub", "x x", "nothing"),
            node("ReduceSum", "nothing axis", "p0", keepdims=0),
            node("Equal", "needs needs", "on0"),
        ],
    )


TIMED = {f.__name__: f for f in (lengths, turned, tables, graves)}


@pytest.mark.parametrize("name", TIMED)
def test_work_that_depends_on_the_iteration(tmp_path, name):
    proto = TIMED[name]()
    onnx.save(proto, tmp_path / "m.onnx")
    off = ["form-while-rows", "form-groups", "form-skips", "select-weighted"]
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so", report=tmp_path / "r.json")
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "plain.so", disable=off)
    (site,) = json.loads((tmp_path / "r.json").read_text())["sites"]
    assert site["kind"] == "halt" and "hw" in site["nodes"]
    assert "stops keep all that they carry" in site["note"]
    session = oracle(proto)
    with gatecc.load(tmp_path / "m.so") as library, gatecc.load(tmp_path / "plain.so") as plain:
        rng = np.random.default_rng(1)
        for needs in ([3], [0, 5, 1, 12, 14, 2], [0, 0], [20] * 3, rng.integers(0, 13, 40)):
            feed = feed_of(needs, len(needs))
            got = library(feed)
            assert_same_bits(got, plain(feed))
            names = [o.name for o in session.get_outputs()]
            for output, expected in zip(names, session.run(None, feed), strict=True):
                np.testing.assert_allclose(got[output], expected, rtol=1e-4, atol=1e-5)
            (stats,) = library.stats()["sites"]
            assert stats["rows"] == len(needs)
            if name != "graves":
                steps = np.clip(needs, 0, LIMIT)
                groups = np.bincount(steps, minlength=LIMIT + 1)[1:].tolist()
                while groups and groups[-1] == 0:
                    groups.pop()
                assert stats["groups"] == groups
            feed["x"][::2, 1] = np.nan
            feed["x"][-1, 0] = np.inf
            assert_same_bits(library(feed), plain(feed))
        empty = feed_of([])
        assert_same_bits(library(empty), plain(empty))


def comes_back():
    """A condition that holds again later."""
    return looped(
        [
            node("Mod", "i two", "odd"),
            node("Less", "odd needs", "running"),
            node("Unsqueeze", "running axis", "mask"),
            *timed(),
            node("Where", "mask new h", "next"),
        ],
        {"h": ("x", "next")},
    )


def grows_in():
    """Rows begin late: a condition that becomes true stops nothing."""
    return looped(
        [
            node("Greater", "i needs", "running"),
            node("Unsqueeze", "running axis", "mask"),
            *timed(),
            node("Where", "mask new h", "next"),
        ],
        {"h": ("x", "next")},
    )


def goes_on_beside():
    """One of the states is not kept."""
    return looped(
        [
            node("Less", "i needs", "running"),
            node("Unsqueeze", "running axis", "mask"),
            *timed(),
            node("Where", "mask new h", "next"),
            node("Add", "n one", "next_n"),
        ],
        {"h": ("x", "next"), "n": ("needs", "next_n")},
    )


def waits():
    """Rows whose limit moves away."""
    return looped(
        [
            node("Add", "needs i", "limit"),
            node("Mul", "i two", "twice"),
            node("Less", "twice limit", "running"),
            node("Unsqueeze", "running axis", "mask"),
            *timed(),
            node("Where", "mask new h", "next"),
        ],
        {"h": ("x", "next")},
    )


NOT_STOPPED = {f.__name__: f for f in (comes_back, grows_in, goes_on_beside, waits)}


@pytest.mark.parametrize("name", NOT_STOPPED)
def test_rows_that_may_go_on_again(tmp_path, name):
    proto = NOT_STOPPED[name]()
    onnx.save(proto, tmp_path / "m.onnx")
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so", report=tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert "halt" not in {site["kind"] for site in report["sites"]}
    assert "no condition is known to keep a row" in json.dumps(report["refused"])
    session = oracle(proto)
    with gatecc.load(tmp_path / "m.so") as library:
        for needs in ([3], [0, 5, 1, 12, 14, 2], [0, 1, 2]):
            feed = feed_of(needs, 7)
            expected = session.run(None, feed)[0]
            np.testing.assert_allclose(library(feed)["y"], expected, rtol=1e-4, atol=1e-5)


def test_loops_whose_rows_are_not_on_their_own(tmp_path):
    """A row reads the others."""
    extra = [node("ReduceMean", "new0 rows", "m"), node("Add", "new0 m", "new")]
    proto = constant_trips(halting(extra=extra))
    loop = proto.graph.node[1]
    assert loop.op_type == "Loop"
    for inner in loop.attribute[0].g.node:
        if inner.name == "new" and inner.op_type == "Tanh":
            inner.name = inner.output[0] = "new0"
    onnx.save(proto, tmp_path / "m.onnx")
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so", report=tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    # At most the rows of one iteration are skipped.
    assert {site["kind"] for site in report["sites"]} <= {"skip"}
    assert "apart" in json.dumps(report)
    feed = feed_of([2, 5, 0])
    with gatecc.load(tmp_path / "m.so") as library:
        got = library(feed)["y"]
    np.testing.assert_allclose(got, oracle(proto).run(None, feed)[1], rtol=1e-4, atol=1e-5)


def test_an_ordinary_recurrence_is_left_alone(tmp_path):
    inner = body([node("MatMul", "h w", "hw"), node("Tanh", "hw", "next")], [*IN, "h"],
                 ["c", "next"])
    proto = model([node("Loop", ["trips", "", "x"], "y", body=inner)], [TRIPS, X], ["y"])
    onnx.save(proto, tmp_path / "m.onnx")
    assert "gate.partition" not in gatecc.compile(tmp_path / "m.onnx", compile_to="gate")
