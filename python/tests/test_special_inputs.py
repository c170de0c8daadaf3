# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# NaN and infinities, exact ties, an expert that gets every row, no or all rows at an exit:
# ordinary inputs with defined results, which leave other rows alone.
import numpy as np
import onnxruntime
import pytest

from compare import assert_close, assert_same_bits, chosen_groups, one_by_one
from gatecc import reference
from gatecc.models import blocks, exits, moe
from gatecc.models.graph import Graph

NAN, INF = np.float32(np.nan), np.float32(np.inf)
DIM, HIDDEN, EXPERTS, TOP_K = 24, 40, 6, 2


def routed(router, seed=0):
    """Rows straight into the router and the experts: no norm, so logits are planted."""
    weights = moe.random_block(
        np.random.default_rng(seed), DIM, HIDDEN, EXPERTS, "silu"
    )
    g = Graph("routed")
    x = g.input("x", ["B", DIM])
    logits = g.node("MatMul", [x, g.weight("router", router)], "route")
    inputs = [
        x,
        logits,
        g.weight("fc1", blocks.interleave(weights["gate"], weights["up"])),
        "",
        g.weight("fc2", weights["down"].transpose(0, 2, 1)),
    ]
    g.node(
        "MoE",
        inputs,
        "experts",
        ["y"],
        "com.microsoft",
        k=TOP_K,
        activation_type="swiglu",
        swiglu_fusion=1,
        normalize_routing_weights=1,
    )
    g.output("y", ["B", DIM])
    return g


def planted_router(columns):
    """Row 0 of the input times `columns` gives the logits."""
    router = np.zeros((DIM, EXPERTS), np.float32)
    router[0] = columns
    return router


def rows(count, seed=1):
    x = np.random.default_rng(seed).standard_normal((count, DIM), np.float32)
    x[:, 0] = 1
    return x


@pytest.mark.parametrize(
    ("logits", "chosen"),
    [
        ([0, 0, 0, 0, 0, 0], [0, 1]),
        ([0, 1, 0, 1, 0, 1], [1, 3]),
        ([0, 0, 2, 0, 0, 0], [0, 2]),
        ([-0.0, 0.0, -1, -1, -1, -1], [0, 1]),
        ([3, 3, 3, 3, 3, 9], [0, 5]),
    ],
)
def test_ties_take_the_lower_expert(build, logits, chosen):
    path = build.graph(routed(planted_router(logits)))
    x = rows(11)
    run = reference.run_onnx(path, {"x": x})
    with build.load(path) as lib:
        assert_close(lib(x=x)["y"], run.outputs["y"])
        (site,) = lib.stats()["sites"]
    expected = [len(x) if e in chosen else 0 for e in range(EXPERTS)]
    assert site["groups"] == expected


def test_ties_as_onnx_runtime_takes_them(build):
    path = build.graph(routed(planted_router([0] * EXPERTS)))
    x = rows(11)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with build.load(path, ties="ort-cpu") as lib:
        assert_close(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert lib.stats()["sites"][0]["groups"] == [0, 0, 0, 0, len(x), len(x)]


@pytest.mark.parametrize("count", [1, 5, 64, 333])
def test_one_expert_gets_every_row(build, count):
    path = build.graph(routed(planted_router([0, 1, 2, 50, 3, 40])))
    x = rows(count)
    run = reference.run_onnx(path, {"x": x})
    with build.load(path) as lib:
        assert_close(lib(x=x)["y"], run.outputs["y"])
        assert lib.stats()["sites"][0]["groups"] == [0, 0, 0, count, 0, count]


def test_routes_of_weight_zero_are_absent(build):
    path = build.graph(routed(planted_router([0, 0, 300, 0, 0, 0])))
    x = rows(9)
    with build.load(path) as lib:
        y = lib(x=x)["y"]
        (site,) = lib.stats()["sites"]
    # exp(-300) is 0 in f32, not in f64: the reference is the one expert alone.
    assert site["groups"] == [0, 0, len(x), 0, 0, 0]
    assert site["skipped"] == pytest.approx(1 - 1 / EXPERTS)
    assert_close(y, reference.run_onnx(path, {"x": x}).outputs["y"])


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_bad_numbers_stay_in_their_row(build, network, digits, value):
    x = digits[0][:40].copy()
    with build.load(network) as lib:
        clean = lib(x=x)
        x[7, 13] = value
        x[20] = value
        result = lib(x=x)
    run = reference.run_onnx(network, {"x": x})
    bad = [7, 20]
    assert_close(result["logits"][bad], run.outputs["logits"][bad])
    others = np.delete(np.arange(len(x)), bad)
    assert_same_bits(
        {"logits": result["logits"][others]}, {"logits": clean["logits"][others]}
    )


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_bad_router_logits(build, value):
    path = build.graph(routed(planted_router([1, 2, 3, 4, 5, 6])))
    x = rows(12)
    x[3, 0] = value
    x[5, 5] = value  # times a router weight of 0: every logit is NaN
    run = reference.run_onnx(path, {"x": x})
    with build.load(path) as lib:
        y, (groups,) = one_by_one(lib, x)
        assert_same_bits(lib(x=x), y)
    assert_close(y["y"], run.outputs["y"])
    plan, _ = run.plans["experts"]
    np.testing.assert_array_equal(groups, chosen_groups(plan))


@pytest.mark.parametrize("style", exits.STYLES)
@pytest.mark.parametrize("rate", [0.0, 1.0, [0, 1, 0], [1, 0, 0], [0.5, 0.5, 0.5]])
def test_none_all_and_some_leave(build, style, rate):
    stages, dim = 4, 24
    x, planned = exits.make_inputs(30, dim, stages, rate)
    x[planned > 1, -1] = NAN  # reaches later stages, and must not reach other rows
    path = _exit_network(build, dim, stages, style)
    run = reference.run_onnx(path, {"x": x})
    with build.load(path) as lib:
        result = lib(x=x)["logits"]
        (site,) = lib.stats()["sites"]
    assert_close(result, run.outputs["logits"])
    left = np.where(planned > 1, stages - 1, planned)  # NaN is never confident
    assert site["groups"] == np.bincount(left, minlength=stages).tolist()


_made = {}


def _exit_network(build, dim, stages, style):
    key = dim, stages, style
    if key not in _made:
        _made[key] = build.graph(exits.network(dim, stages, style))
    return _made[key]


def test_exact_ties_at_a_threshold(build):
    """A confidence that is exactly the threshold leaves: >= includes it."""
    g = Graph("threshold")
    x = g.input("x", ["B", 4])
    eye = g.weight("eye", np.eye(4, dtype=np.float32))
    axis = g.weight("axis", np.array([-1], np.int64))
    limit = g.weight("limit", np.array(0.5, np.float32))
    best = g.node("ReduceMax", [x, axis], "best", keepdims=1)
    confident = g.node("GreaterOrEqual", [best, limit], "confident")
    # Work that only samples below the threshold need.
    y = g.node("MatMul", [x, eye], "m0")
    for i in range(1, 4):
        y = g.node("Relu", [g.node("MatMul", [y, eye], f"m{i}")], f"r{i}")
    g.node("Where", [confident, x, y], "pick", ["y"])
    g.output("y", ["B", 4])
    data = np.array([[0.5, -1, 0, 0], [0.5, -1, 0, 0]], np.float32)
    data[1, 0] = np.nextafter(np.float32(0.5), np.float32(0))
    path = build.graph(g)
    with build.load(path) as lib:
        result = lib(x=data)["y"]
    np.testing.assert_array_equal(result[0], data[0])  # left
    np.testing.assert_array_equal(result[1], np.maximum(data[1], 0))  # went on
