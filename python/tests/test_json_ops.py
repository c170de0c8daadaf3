# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Networks written by hand in the JSON form: each op of `gate` by itself, against the
# float64 reference of the same file.
import json

import numpy as np
import pytest

import gatecc
from compare import CLOSE_CALL, assert_close
from gatecc import reference
from gatecc.models.to_json import safetensors

DIM, GROUPS = 12, 5
RNG = np.random.default_rng(5)
WEIGHTS = {
    "router": RNG.standard_normal((DIM, GROUPS), np.float32),
    "stacked": RNG.standard_normal((GROUPS, DIM, 7), np.float32),
    "stacked_bias": RNG.standard_normal((GROUPS, 7), np.float32),
    "square": RNG.standard_normal((DIM, DIM), np.float32),
    "two": RNG.standard_normal((2, DIM, DIM), np.float32),
}


def node(op, inputs, outputs, name=None, **more):
    outputs = [outputs] if isinstance(outputs, str) else outputs
    made = {"op": op, "name": name or outputs[0], "inputs": inputs, "outputs": outputs}
    return made | more


@pytest.fixture
def network(tmp_path, build):
    """Compiles nodes to a library; gives it and a function that runs the reference."""

    def make(nodes, outputs):
        document = {
            "gatecc": 1,
            "name": "by-hand",
            "weights": "w.safetensors",
            "inputs": [{"name": "x", "dtype": "f32", "shape": ["B", DIM]}],
            "outputs": outputs,
            "nodes": nodes,
        }
        (tmp_path / "w.safetensors").write_bytes(safetensors(WEIGHTS))
        path = tmp_path / "m.json"
        path.write_text(json.dumps(document, indent=1))
        gatecc.compile(path, tmp_path / "m.so")
        library = gatecc.load(tmp_path / "m.so", threads=2)
        return library, lambda x: reference.run_json(path, {"x": x})

    return make


def rows(count):
    return np.random.default_rng(count).standard_normal((count, DIM), np.float32)


BODY = {
    "rows": "r",
    "params": {"w": "@stacked", "b": "@stacked_bias"},
    "nodes": [
        {"op": "MatMul", "inputs": ["r", "w"], "outputs": ["m"]},
        {"op": "Add", "inputs": ["m", "b"], "outputs": ["a"]},
        {"op": "Tanh", "inputs": ["a"], "outputs": ["o"]},
    ],
    "result": "o",
}


def routed(attributes):
    """The nodes of a layer whose router has these attributes."""
    return [
        node("MatMul", ["x", "@router"], "logits"),
        node("gate.route", ["logits"], "plan", attributes=attributes),
        node("gate.apply", ["x", "plan"], "slots", body=BODY),
        node("gate.combine", ["slots", "plan"], "y"),
    ]


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    "score", ["softmax", "softmax_selected", "sigmoid", "identity"]
)
def test_route(network, score, normalize, drop):
    attributes = {"top_k": 3, "score": score, "normalize": normalize, "scale": 0.5}
    attributes["drop_nonpositive"] = drop
    library, run = network(routed(attributes), ["y"])
    x = rows(50)
    expected = run(x)
    plan, margins = expected.plans["plan"]
    smallest = np.abs(plan.weight).min(1)  # near 0, normalising and dropping are rough
    clear = (margins > CLOSE_CALL) & (smallest > 1e-2)
    if normalize and score == "identity":
        chosen, _ = reference.topk(expected.values["logits"], 3)
        clear &= np.abs(chosen.sum(1)) > 0.3  # divided by a sum near 0
    assert clear.sum() > 20
    result = library(x=x)["y"]
    assert_close(result[clear], expected.outputs["y"][clear])
    assert library(x=x[:0])["y"].shape == (0, 7)


@pytest.mark.parametrize("least", [None, 1.5])
@pytest.mark.parametrize("score", ["sigmoid", "identity"])
def test_route_divides_by_any_sum(network, score, least):
    attributes = {"top_k": 3, "score": score, "normalize": True, "scale": 2.0, "sum_offset": 0.25}
    if least:
        attributes["sum_min"] = least
    library, run = network(routed(attributes), ["y"])
    x = rows(50)
    expected = run(x)
    _, margins = expected.plans["plan"]
    chosen, _ = reference.topk(expected.values["logits"], 3)
    clear = (margins > CLOSE_CALL) & (np.abs(chosen.sum(1) + 0.25) > 0.3)
    assert clear.sum() > 20
    assert_close(library(x=x)["y"][clear], expected.outputs["y"][clear])


def test_plan_used_twice(network):
    library, run = network(
        [
            node("MatMul", ["x", "@router"], "logits"),
            node("gate.route", ["logits"], "plan", attributes={"top_k": 2}),
            node("gate.apply", ["x", "plan"], "slots", body=BODY),
            node("gate.combine", ["slots", "plan"], "y"),
            node("Relu", ["x"], "positive"),
            node("gate.apply", ["positive", "plan"], "slots2", body=BODY),
            node("gate.combine", ["slots2", "plan"], "z"),
        ],
        ["y", "z"],
    )
    x = rows(30)
    result, expected = library(x=x), run(x)
    for name in ("y", "z"):
        assert_close(result[name], expected.outputs[name])


@pytest.mark.parametrize("largest", [True, False])
def test_topk(network, largest):
    attributes = {"k": 4, "largest": largest}
    library, run = network(
        [node("gate.topk", ["x"], ["values", "indices"], attributes=attributes)],
        ["values", "indices"],
    )
    x = np.round(rows(40))  # many ties
    x[3, 2] = x[4] = np.nan
    x[5, 1], x[5, 7], x[6, 0] = np.inf, -np.inf, -0.0
    result, expected = library(x=x), run(x)
    np.testing.assert_array_equal(result["indices"], expected.outputs["indices"])
    np.testing.assert_array_equal(result["values"], expected.outputs["values"])


LIVE = [
    node("ReduceMax", ["x", {"value": [-1], "dtype": "i64"}], "best"),
    node("GreaterOrEqual", ["best", 1.5], "confident"),
]
ONE_GROUP = {
    "rows": "r",
    "params": {},
    "nodes": [{"op": "MatMul", "inputs": ["r", "@square"], "outputs": ["o"]}],
    "result": "o",
}


@pytest.mark.parametrize("group", [0, 1])
def test_partition_and_merge(network, group):
    groups = {"attributes": {"groups": [group, group + 1]}}
    library, run = network(
        [
            *LIVE,
            node("gate.partition", ["confident"], "plan"),
            node("gate.apply", ["x", "plan"], "slots", body=ONE_GROUP, **groups),
            node("gate.merge", ["slots", "plan", "x"], "y", **groups),
        ],
        ["y"],
    )
    x = rows(60)
    x[7] = np.nan  # a comparison with NaN is false: group 1
    x[8] = 9, *[0] * (DIM - 1)
    expected = run(x)
    assert_close(library(x=x)["y"], expected.outputs["y"])
    moved = np.all(expected.outputs["y"] == x, axis=1)
    assert 0 < moved.sum() < len(x)


def test_partition_with_work_in_both_groups(network):
    body = {
        "rows": "r",
        "params": {"w": "@two"},
        "nodes": [{"op": "MatMul", "inputs": ["r", "w"], "outputs": ["o"]}],
        "result": "o",
    }
    library, run = network(
        [
            *LIVE,
            node("gate.partition", ["confident"], "plan"),
            node("gate.apply", ["x", "plan"], "slots", body=body),
            node(
                "gate.merge", ["slots", "plan", "x"], "y", attributes={"groups": [0, 2]}
            ),
        ],
        ["y"],
    )
    for count in (0, 1, 33):
        x = rows(count)
        assert_close(library(x=x)["y"], run(x).outputs["y"])


def test_partition_by_number(network):
    """Ids outside the groups leave their rows to the base."""
    library, run = network(
        [
            node(
                "ArgMax", ["x"], "best", attributes={"axis": 1, "keepdims": 0}
            ),  # 0..11
            node("Cast", ["best"], "id", attributes={"to": 6}),
            node("gate.partition", ["id"], "plan", attributes={"groups": GROUPS}),
            node(
                "gate.apply",
                ["x", "plan"],
                "slots",
                body={**BODY, "result": "a", "nodes": BODY["nodes"][:2]},
            ),
            node("MatMul", ["x", "@square"], "wide"),
            node(
                "Slice",
                ["wide", *({"value": [v], "dtype": "i64"} for v in (0, 7, 1))],
                "base",
            ),
            node(
                "gate.merge",
                ["slots", "plan", "base"],
                "y",
                attributes={"groups": [0, GROUPS]},
            ),
        ],
        ["y"],
    )
    x = rows(80)
    assert_close(library(x=x)["y"], run(x).outputs["y"])
