# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Indices that only a run can know, and that are none: negative, beyond the end, repeated.
# The raised and the unraised form of a routed layer do the same with them, an error or a
# result, and nothing is read or written out of bounds.
import json
import subprocess

import numpy as np
import pytest
from onnx import TensorProto

import gatecc
from gatecc.models.graph import Graph
from test_exports import D, E, FORMS, K, assert_near

I64 = np.iinfo(np.int64)


def of_given_ids(form):
    """The form with ids and weights as inputs `chosen` and `best` [T,K]."""
    graph = FORMS[form]()
    graph.nodes = [n for n in graph.nodes if n.name not in ("logits", "p", "top")]
    del graph.weights["router"]
    graph.input("chosen", ["T", K], TensorProto.INT64)
    graph.input("best", ["T", K])
    return graph


def outcome(library, **feeds):
    """The result y, or the text of the refusal."""
    try:
        return library(**feeds)["y"]
    except gatecc.RunError as error:
        return str(error)


@pytest.fixture(scope="module", params=FORMS)
def both(build, request):
    """The libraries with and without raising."""
    model = build.graph(of_given_ids(request.param))
    with build.load(model) as raised, build.load(model, disable="form-experts") as plain:
        yield raised, plain


def feeds(ids):
    rng = np.random.default_rng(0)
    ids = np.asarray(ids, np.int64)
    x = rng.standard_normal((len(ids), D)).astype(np.float32)
    return {"x": x, "chosen": ids, "best": rng.uniform(0.5, 1, ids.shape).astype(np.float32)}


@pytest.mark.parametrize("seed", range(4))
def test_ids_in_range(both, seed):
    raised, plain = both
    rng = np.random.default_rng(seed)
    different = np.argsort(rng.standard_normal((9, E)), axis=1)[:, :K]
    repeated = rng.integers(0, E, (9, K))  # twice the same for one row
    given = feeds(repeated if seed % 2 else different)
    assert_near(raised(**given)["y"], plain(**given)["y"])


@pytest.mark.parametrize("bad", [-1, -E, E, -E - 1, 1000, I64.max, I64.min])
@pytest.mark.parametrize("place", [0, 4, 8])
def test_ids_that_are_none(both, bad, place):
    raised, plain = both
    ids = np.tile([0, 2], (9, 1))
    ids[place, 1] = bad
    given = feeds(ids)
    expected, actual = outcome(plain, **given), outcome(raised, **given)
    if isinstance(expected, str):
        assert isinstance(actual, str), f"only the unraised form refuses: {expected}"
    else:
        assert not isinstance(actual, str), f"only the raised form refuses: {actual}"
        assert_near(actual, expected)
    # The next run knows nothing of this one.
    given = feeds(np.tile([1, 3], (9, 1)))
    assert_near(raised(**given)["y"], plain(**given)["y"])


def test_all_ids_are_none(both):
    raised, plain = both
    given = feeds(np.full((5, K), E + 7))
    expected, actual = outcome(plain, **given), outcome(raised, **given)
    assert isinstance(expected, str) == isinstance(actual, str), (expected, actual)
    if not isinstance(expected, str):
        assert_near(actual, expected)


def scatter_of_constants(build, op, indices, **attributes):
    """What the compiler prints, and its report on the nodes that ONNX leaves open."""
    g = Graph(op)
    g.input("x", [3, 2])
    g.input("u", list(np.shape(indices)) if op == "ScatterElements" else [len(indices), 2])
    g.weight("i", np.array(indices))
    g.node(op, ["x", "i", "u"], "n", ["y"], **attributes)
    g.output("y", [3, 2])
    model = build.graph(g)
    report = model.with_suffix(".json")
    done = subprocess.run(
        [gatecc.find_compiler(), model, "--compile-to=gate", f"--report={report}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr, json.loads(report.read_text())["left_open"]


@pytest.mark.parametrize(
    ("op", "indices", "attributes", "repeats"),
    [
        ("ScatterND", [[0], [2], [1]], {}, False),
        ("ScatterND", [[0], [2], [-3]], {}, True),
        ("ScatterND", [[0], [2], [0]], {"reduction": "add"}, False),
        ("ScatterElements", [[0, 0], [1, 2]], {}, False),
        ("ScatterElements", [[0, 0], [1, -3]], {}, True),
        ("ScatterElements", [[0, 1], [1, 0], [0, 0]], {"axis": 1}, True),
        ("ScatterElements", [[0, 1], [1, 0], [0, -1]], {"axis": 1}, False),
    ],
)
def test_constant_indices_that_repeat(build, op, indices, attributes, repeats):
    text, left_open = scatter_of_constants(build, op, indices, **attributes)
    warning = "node 'n': warning: writes an element more than once without a reduction"
    assert (warning in text) == repeats
    expected = [] if "reduction" in attributes else ["n"]
    assert [entry["node"] for entry in left_open] == expected


@pytest.mark.parametrize("op", ["ScatterND", "ScatterElements"])
def test_repeated_indices_without_reduction(build, op):
    """ONNX leaves open who wins: here the last one, on any number of threads."""
    g = Graph(op)
    g.input("x", ["R", 4])
    width = 1 if op == "ScatterND" else 4
    g.input("i", ["N", width], TensorProto.INT64)
    g.input("u", ["N", 4])
    g.node(op, ["x", "i", "u"], "n", ["y"])
    g.output("y", ["R", 4])
    model = build.graph(g)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 4)).astype(np.float32)
    u = rng.standard_normal((4000, 4)).astype(np.float32)
    i = rng.integers(-50, 50, (4000, 1))
    expected = x.copy()
    for row, update in zip(i[:, 0], u):
        expected[row] = update
    i = np.ascontiguousarray(np.broadcast_to(i, (4000, width)))
    for threads in (1, 2, 4):
        with build.load(model, threads=threads) as lib:
            np.testing.assert_array_equal(lib(x=x, i=i, u=u)["y"], expected)


@pytest.mark.parametrize("index, extents", [(2, (3, 64)), (-3, (3, 7)), (0, (1, 2))])
def test_constant_index_that_may_not_exist(build, index, extents):
    """One element along a dimension of which only the run knows that it is long enough."""
    g = Graph("one_of_many")
    g.input("x", ["B", "S", 4])
    g.weight("i", np.array(index))
    g.node("Gather", ["x", "i"], "token", ["y"], axis=1)
    g.output("y", ["B", 4])
    with build.load(build.graph(g)) as lib:
        for size in extents:
            x = np.random.default_rng(size).standard_normal((5, size, 4)).astype(np.float32)
            np.testing.assert_array_equal(lib(x=x)["y"], x[:, index])
        short = np.zeros((5, extents[0] - 1, 4), np.float32)
        message = f"node 'token' .Gather.: index {index} is out of range for an axis of {extents[0] - 1}"
        with pytest.raises(gatecc.RunError, match=message):
            lib(x=short)
