# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A loop over experts, unrolled: how each reads the rows that chose it, and how its results
# come back to their rows, vary as indexing in other frameworks is exported.
import json

import numpy as np
import pytest

import gatecc
from test_exports import D, E, K, Layer, check_against_onnx_runtime


def constant(net, name, value):
    return name if name in net.graph.weights else net.weight(name, np.array(value))


def by_gather(net, e):
    return net("Gather", f"rows{e}", "x", f"token{e}/out", axis=0)


def behind_one_transposed(net, e):
    """x[None, t] as GatherND, which reads along the first dimension."""
    wide = net("Unsqueeze", f"xu{e}", "x", "axis0")
    first = net("Transpose", f"xt{e}", wide, perm=[1, 0, 2])
    at = net("Unsqueeze", f"at{e}", f"token{e}/out", "axis1")
    read = net("Transpose", f"rt{e}", net("GatherND", f"read{e}", first, at), perm=[1, 0, 2])
    return net("Reshape", f"rows{e}", read, constant(net, "row", [-1, D]))


def behind_one(net, e):
    """The same as Gather along the second dimension."""
    wide = net("Unsqueeze", f"xu{e}", "x", "axis0")
    read = net("Gather", f"read{e}", wide, f"token{e}/out", axis=1)
    return net("Reshape", f"rows{e}", read, constant(net, "row", [-1, D]))


def normed(net, e):
    """Normalized with an expert's own statistics."""
    stats = np.random.default_rng(e).uniform(0.5, 2, (4, D)).astype(np.float32)
    vectors = [net.weight(f"{n}{e}", v) for n, v in zip(("scale", "bias", "mean", "variance"), stats)]
    return net("BatchNormalization", f"normed{e}", by_gather(net, e), *vectors)


READS = [by_gather, behind_one_transposed, behind_one, normed]


def zeros(net, e):
    return net("ConstantOfShape", f"zeros{e}", net("Shape", f"shape{e}", "x"))


def wide(net, e, columns=D):
    """The rows' places, for each of their columns."""
    size = net("Shape", f"count{e}", f"token{e}/out")
    shape = net("Concat", f"ws{e}", size, constant(net, "columns", [columns]), axis=0)
    return net("Expand", f"wide{e}", f"where{e}/out", shape)


def added(net, e, result, rows, reduction="add"):
    return net("ScatterND", f"sum{e}", result, f"where{e}/out", rows, reduction=reduction)


def put_on_zeros(net, e, result, rows, reduction="none"):
    put = net("ScatterND", f"put{e}", zeros(net, e), f"where{e}/out", rows, reduction=reduction)
    return net("Add", f"sum{e}", result, put)


def added_to_zeros(net, e, result, rows):
    put = net("ScatterND", f"put{e}", zeros(net, e), f"where{e}/out", rows, reduction="add")
    return net("Add", f"sum{e}", put, result)


def added_by_column(net, e, result, rows, reduction="add"):
    return net(
        "ScatterElements", f"sum{e}", result, wide(net, e), rows, axis=0, reduction=reduction
    )


def put_by_column(net, e, result, rows, reduction="none"):
    put = net(
        "ScatterElements", f"put{e}", zeros(net, e), wide(net, e), rows, axis=0, reduction=reduction
    )
    return net("Add", f"sum{e}", result, put)


def written_back(net, e, result, rows):
    old = net("GatherND", f"old{e}", result, f"where{e}/out")
    return net("ScatterND", f"sum{e}", result, f"where{e}/out", net("Add", f"new{e}", old, rows))


def written_back_by_column(net, e, result, rows):
    old = net("GatherND", f"old{e}", result, f"where{e}/out")
    new = net("Add", f"new{e}", old, rows)
    return net("ScatterElements", f"sum{e}", result, wide(net, e), new, axis=0)


PUTS = [added, put_on_zeros, added_to_zeros, added_by_column, put_by_column, written_back,
        written_back_by_column]  # fmt: skip


def looped(read=by_gather, put=added, join=None):
    net = Layer()
    result = net("Mul", "nothing", "x", constant(net, "f0", np.float32(0)))
    apart = []
    for e in range(E):
        hit = net("Equal", f"hit{e}", "chosen", net.weight(f"e{e}", np.array(e)))
        places = net("NonZero", f"nz{e}", hit)  # [2,n]: token, choice
        at = net("Transpose", f"pairs{e}", places, perm=[1, 0])
        token = net("Gather", f"tokenv{e}", places, "zero", axis=0)
        net("Identity", f"token{e}", token)
        net("Unsqueeze", f"where{e}", token, "axis1")
        by = net("Unsqueeze", f"by{e}", net("GatherND", f"w{e}", "best", at), "axis1")
        weighed = net("Mul", f"weighed{e}", net.expert(e, read(net, e)), by)
        if join:
            apart.append(put(net, e, zeros(net, e), weighed))
        else:
            result = put(net, e, result, weighed)
    return net.finish(join(net, apart) if join else result)


def put_alone(net, e, result, rows):
    return net("ScatterND", f"put{e}", result, f"where{e}/out", rows)


def in_pairs(net, parts):
    """((0 + 1) + (2 + 3)) + x"""
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [net("Add", f"pair{len(parts)}_{i}", *pair) for i, pair in enumerate(pairs)]
    return net("Add", "residual", parts[0], "x")


def in_a_sum(net, parts):
    return net("Sum", "all", *parts)


def stacked(net, parts):
    layers = [net("Unsqueeze", f"layer{i}", part, "axis0") for i, part in enumerate(parts)]
    return net("ReduceSum", "all", net("Concat", "layers", *layers, axis=0), "axis0", keepdims=0)


def stacked_inside(net, parts):
    layers = [net("Unsqueeze", f"layer{i}", part, "axis1") for i, part in enumerate(parts)]
    return net("ReduceSum", "all", net("Concat", "layers", *layers, axis=1), "axis1", keepdims=0)


JOINS = [in_pairs, in_a_sum, stacked, stacked_inside]


FORMS = [(read, added) for read in READS] + [(by_gather, put) for put in PUTS[1:]]
NAMES = [f"{read.__name__}-{put.__name__}" for read, put in FORMS]


def run(build, model):
    x, groups = check_against_onnx_runtime(build, model, seed=12)
    logits = x.astype(np.float64) @ Layer().graph.weights["router"]
    best = np.argsort(-logits, axis=1, kind="stable")[:, :K]
    return groups, np.bincount(best.ravel(), minlength=E).tolist()


def assert_experts(build, tmp_path, graph):
    model = build.graph(graph)
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["name"], site["kind"], site["groups"]) == ("top", "experts", E)
    assert "by proof" in site["note"]
    assert not any(op in text for op in ("gate.nonzero", "gather_nd", "gate.scatter", "transpose"))
    groups, chosen = run(build, model)
    assert groups == [chosen]


@pytest.mark.parametrize("read, put", FORMS, ids=NAMES)
def test_looped(build, tmp_path, read, put):
    assert_experts(build, tmp_path, looped(read, put))


@pytest.mark.parametrize("put", [added, put_alone])
@pytest.mark.parametrize("join", JOINS)
def test_joined(build, tmp_path, put, join):
    """Each expert has its own zeros, and a tree of sums joins them."""
    assert_experts(build, tmp_path, looped(put=put, join=join))


def largest_on_zeros(net, e, result, rows):
    return put_on_zeros(net, e, result, rows, reduction="max")


def product_by_column(net, e, result, rows):
    return put_by_column(net, e, result, rows, reduction="mul")


def largest_by_column(net, e, result, rows):
    return added_by_column(net, e, result, rows, reduction="max")


def put_on_tokens(net, e, result, rows):
    """Rows of others get tokens."""
    put = net("ScatterND", f"put{e}", "x", f"where{e}/out", rows)
    return net("Add", f"sum{e}", result, put)


def half_the_columns(net, e, result, rows):
    half = constant(net, "columns", [D // 2])
    narrow = net("Slice", f"narrow{e}", rows, "axis0", half, "axis1")
    places = wide(net, e, D // 2)
    return net(
        "ScatterElements", f"sum{e}", result, places, narrow, axis=0, reduction="add"
    )


def twice(net, parts):
    return net("Add", "doubled", in_pairs(net, parts), "pair4_1/out")


def one_alone(net, parts):
    """A sum of some is used for something else, too."""
    return net("Mul", "gated", in_pairs(net, parts), "pair4_0/out")


def largest(net, parts):
    return net("Max", "most", *parts)


@pytest.mark.parametrize("join", [twice, one_alone, largest])
def test_not_joined_once(build, tmp_path, join):
    model = build.graph(looped(put=put_alone, join=join))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    assert all(site["kind"] != "experts" for site in json.loads(report.read_text())["sites"])
    run(build, model)


@pytest.mark.parametrize(
    "put",
    [largest_on_zeros, product_by_column, largest_by_column, put_on_tokens, half_the_columns],
)
def test_not_a_sum(build, tmp_path, put):
    model = build.graph(looped(put=put))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    assert all(site["kind"] != "experts" for site in json.loads(report.read_text())["sites"])
    run(build, model)
