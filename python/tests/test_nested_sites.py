# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Sites inside of others: a mixture of experts behind an early exit, where the router sees
# the rows that stay and no other; experts in branches, loops and skipped layers.
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import test_dense_experts
from compare import assert_close
from onnx import TensorProto, helper, numpy_helper
from test_exports import D as WIDTH
from test_exports import FORMS, assert_near

from gatecc.models.graph import Graph

DIM, EXPERTS, HIDDEN, CLASSES = 32, 4, 16, 10


def experts_behind_an_exit(path, threshold):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    weights = {
        "h1": normal(DIM, CLASSES),
        "router": normal(DIM, EXPERTS),
        "f1": normal(EXPERTS, 2 * HIDDEN, DIM),
        "f2": normal(EXPERTS, DIM, HIDDEN),
        "h2": normal(DIM, CLASSES),
        "threshold": np.float32([threshold]),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "h1"], ["l1"], "l1"),
        helper.make_node("Softmax", ["l1"], ["p"], "p"),
        helper.make_node("ReduceMax", ["p", "axis"], ["best"], "best"),
        helper.make_node("GreaterOrEqual", ["best", "threshold"], ["sure"], "sure"),
        helper.make_node("MatMul", ["x", "router"], ["g"], "g"),
        helper.make_node(
            "MoE",
            ["x", "g", "f1", "", "f2"],
            ["m"],
            "moe",
            domain="com.microsoft",
            k=2,
            activation_type="swiglu",
            swiglu_fusion=1,
            normalize_routing_weights=1,
        ),
        helper.make_node("Add", ["x", "m"], ["s"], "s"),
        helper.make_node("MatMul", ["s", "h2"], ["l2"], "l2"),
        helper.make_node("Where", ["sure", "l1", "l2"], ["y"], "y"),
    ]
    graph = helper.make_graph(
        nodes,
        "experts-behind-an-exit",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", DIM])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


# All rows leave, about half do, none does.
@pytest.mark.parametrize("threshold", [0.0, 0.43, 2.0])
def test_experts_behind_an_exit(build, tmp_path, threshold):
    path = tmp_path / "m.onnx"
    experts_behind_an_exit(path, threshold)
    session = onnxruntime.InferenceSession(path)
    lib = build.load(path)
    for count in (1, 7, 300):
        x = np.random.default_rng(count).standard_normal((count, DIM), np.float32)
        (expected,) = session.run(None, {"x": x})
        assert_close(lib(x=x)["y"], expected)
        sites = {site["kind"]: site for site in lib.stats()["sites"]}
        left, stayed = sites["exit"]["groups"]
        assert left + stayed == count
        assert sites["experts"]["rows"] == stayed
        assert sum(sites["experts"]["groups"]) == 2 * stayed
        if count == 300:
            assert {0.0: stayed == 0, 0.43: 30 < stayed < 270, 2.0: left == 0}[threshold]
    assert lib(x=np.zeros((0, DIM), np.float32))["y"].shape == (0, CLASSES)


# Experts of every form in the body of an If, a Loop or a Scan, and in layers that rows skip.

TIMES = 3


def gathered():
    return FORMS["gathered-weights"]()


def unrolled():
    return FORMS["nonzero-of-each-expert"]()


def dense():
    net = test_dense_experts.Layer()
    return net.finish(test_dense_experts.batched(net, test_dense_experts.scattered(net)))


def dense_inside():
    net = test_dense_experts.Layer()
    r = test_dense_experts.scattered(net)
    return net.finish(test_dense_experts.weighted_input(net, r))


ROUTED = [gathered, unrolled, dense, dense_inside]


def info(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def untyped(names):
    return [helper.make_empty_tensor_value_info(name) for name in names]


def finish(layer, nodes, inputs, shape, weights=()):
    """A model of `nodes`, with the weights of a layer [T,D] -> [T,D]."""
    arrays = layer.weights | dict(weights)
    graph = helper.make_graph(
        nodes, "nested", inputs, [info("out", shape)],
        [numpy_helper.from_array(np.asarray(w), n) for n, w in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def in_branch(layer):
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["same"])], "else", [], untyped(["same"])
    )
    node = helper.make_node(
        "If",
        ["flag"],
        ["out"],
        "if",
        then_branch=helper.make_graph(layer.nodes, "then", [], untyped(["y"])),
        else_branch=other,
    )
    inputs = [info("x", ["T", WIDTH]), info("flag", [], TensorProto.BOOL)]
    return finish(layer, [node], inputs, ["T", WIDTH])


def in_loop(layer):
    """x = tanh(layer(x)), three times"""
    nodes = [
        *layer.nodes,
        helper.make_node("Tanh", ["y"], ["next"], "next"),
        helper.make_node("Identity", ["c"], ["on"], "on"),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [info("i", [], TensorProto.INT64), info("c", [], TensorProto.BOOL), *untyped(["x"])],
        untyped(["on", "next"]),
    )
    node = helper.make_node("Loop", ["trips", "", "x0"], ["out"], "loop", body=body)
    weights = {"trips": np.array(TIMES)}
    return finish(layer, [node], [info("x0", ["T", WIDTH])], ["T", WIDTH], weights)


def in_scan(layer):
    """The layer on each of [N,T,D]."""
    body = helper.make_graph(layer.nodes, "body", untyped(["x"]), untyped(["y"]))
    node = helper.make_node("Scan", ["x3"], ["out"], "scan", num_scan_inputs=1, body=body)
    return finish(layer, [node], [info("x3", ["N", "T", WIDTH])], ["N", "T", WIDTH])


def skipped(layer):
    """Rows [T,D] of which some skip the experts."""
    nodes = [
        helper.make_node("Greater", ["bits", "nothing"], ["keep"], "outer/keep"),
        helper.make_node("Unsqueeze", ["keep", "outer_last"], ["keep2"], "outer/keep2"),
        *layer.nodes,
        helper.make_node("Where", ["keep2", "y", "x"], ["out"], "where"),
    ]
    weights = {"nothing": np.float32(0), "outer_last": np.array([1])}
    inputs = [info("x", ["T", WIDTH]), info("bits", ["T"])]
    return finish(layer, nodes, inputs, ["T", WIDTH], weights)


def skipped_blocks(layer):
    """Blocks [B,S,D] of tokens of which some skip the experts."""
    nodes = [
        helper.make_node("Greater", ["bits", "nothing"], ["keep"], "outer/keep"),
        helper.make_node("Unsqueeze", ["keep", "outer_last2"], ["keep3"], "outer/keep3"),
        helper.make_node("Reshape", ["x3", "outer_rows"], ["x"], "outer/rows"),
        *layer.nodes,
        helper.make_node("Shape", ["x3"], ["blocks"], "blocks"),
        helper.make_node("Reshape", ["y", "blocks"], ["y3"], "y3"),
        helper.make_node("Where", ["keep3", "y3", "x3"], ["out"], "where"),
    ]
    weights = {
        "nothing": np.float32(0),
        "outer_last2": np.array([1, 2]),
        "outer_rows": np.array([-1, WIDTH]),
    }
    inputs = [info("x3", ["B", "S", WIDTH]), info("bits", ["B"])]
    return finish(layer, nodes, inputs, ["B", "S", WIDTH], weights)


PLACES = [in_branch, in_loop, in_scan, skipped, skipped_blocks]
# Experts that read their weights have a row for each slot, which rows do not skip yet.
CASES = [(f, p) for f in ROUTED for p in PLACES if f is not dense_inside or p not in PLACES[3:]]


def feeds_of(place):
    rng = np.random.default_rng(8)
    for rows in (1, 2, 9, 0):
        lead = {in_scan: (2, rows), skipped_blocks: (rows, 3)}.get(place, (rows,))
        x = rng.standard_normal((*lead, WIDTH)).astype(np.float32)
        name = {in_loop: "x0", in_scan: "x3", skipped_blocks: "x3"}.get(place, "x")
        feed = {name: x}
        if place is in_branch:
            for flag in (True, False):
                yield feed | {"flag": np.array(flag)}, rows if flag else 0
        elif place in (skipped, skipped_blocks):
            each = 3 if place is skipped_blocks else 1
            for gate in (rng.standard_normal(rows), np.ones(rows), -np.ones(rows)):
                yield feed | {"bits": gate.astype(np.float32)}, each * (gate > 0).sum()
        else:
            yield feed, rows * {in_loop: TIMES, in_scan: 2}[place]


@pytest.mark.parametrize("form, place", CASES, ids=lambda each: each.__name__)
def test_experts_in_a_body(build, tmp_path, form, place):
    path, report = tmp_path / "m.onnx", tmp_path / "r.json"
    onnx.save(place(form()), path)
    session = onnxruntime.InferenceSession(path)
    off = ["form-experts", "form-dense-experts", "form-skips", "form-groups"]
    with build.load(path, report=report) as lib, build.load(path, disable=off) as plain:
        sites = json.loads(report.read_text())["sites"]
        kinds = sorted(site["kind"] for site in sites)
        assert kinds == (["experts", "skip"] if place in (skipped, skipped_blocks) else ["experts"])
        for feed, rows in feeds_of(place):
            got = lib(feed)["out"]
            if got.size:
                assert_near(got, session.run(None, feed)[0])
            (site,) = (s for s in lib.stats()["sites"] if s["kind"] == "experts")
            each = 2 if form is dense_inside else 1  # slots of their own
            assert site["rows"] == each * rows and sum(site["groups"]) == 2 * rows
            # Rows that fail a guard run all experts, here as at top level.
            name = next(k for k in feed if k.startswith("x"))
            feed = feed | {name: feed[name].copy()}
            if feed[name].size:
                feed[name].reshape(-1)[1] = np.nan
                feed[name].reshape(-1)[-1] = 3e38
                got, expected = lib(feed)["out"], plain(feed)["out"]
                np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))


def test_guards_hold_little_memory(build):
    """All rows may fail a guard; their experts are run one after another."""
    bytes_of = {}
    for experts in (4, 64):
        g = Graph("many")
        rng = np.random.default_rng(1)

        def weight(name, *shape):
            return g.weight(name, rng.standard_normal(shape).astype(np.float32) / 4)

        g.input("x", ["T", WIDTH])
        logits = g.node("MatMul", ["x", weight("router", WIDTH, experts)], "logits")
        g.node("TopK", [logits, g.weight("k", np.array([2]))], "top", ["best", "ids"])
        zero = g.node("Mul", [logits, g.weight("zero", np.float32(0))], "zeros")
        r = g.node("ScatterElements", [zero, "ids", "best"], "r", axis=1)
        h = g.node("Einsum", ["x", weight("w1", experts, WIDTH, 256)], "h", equation="td,edh->teh")
        a = g.node("Relu", [h], "a")
        o = g.node("Einsum", [a, weight("w2", experts, 256, WIDTH)], "o", equation="teh,ehd->ted")
        g.node("Einsum", [r, o], "sum", ["y"], equation="te,ted->td")
        g.output("y", ["T", WIDTH])
        model = build.graph(g)
        session = onnxruntime.InferenceSession(model)
        with build.load(model) as lib:
            x = rng.standard_normal((256, WIDTH)).astype(np.float32)
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
            x[:, 0] = 1e38
            assert np.isfinite(x).all()
            y, expected = lib(x=x)["y"], session.run(None, {"x": x})[0]
            np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
            bytes_of[experts] = lib.memory(T=256)["arena"]
    assert bytes_of[64] < 2 * bytes_of[4]
