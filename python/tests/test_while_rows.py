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
from test_control_flow import BOOL, D, F32, IN, TRIPS, X, body, info, model, node, oracle

NEEDS = info("needs", TensorProto.INT64, ["B"])
LIMIT = 12


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


@pytest.mark.parametrize(
    "extra, reason",
    [
        # What a row computes depends on the iteration.
        ([node("Cast", "i", "number", to=F32), node("Add", "new0 number", "new")], "share"),
        # A row reads the others.
        ([node("ReduceMean", "new0 rows", "m"), node("Add", "new0 m", "new")], "apart"),
    ],
)
def test_loops_whose_rows_are_not_on_their_own(tmp_path, extra, reason):
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
    assert reason in json.dumps(report)
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
