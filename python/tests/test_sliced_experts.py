# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts whose slots are sorted and sliced by running sums of counts, and put back where
# they were: the rows that a shape computed in the run gives to columns again. Counts,
# sums and the way back vary as exporters vary them.
import json

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
from test_exports import D, E, K, Layer, assert_near, check_against_onnx_runtime


def scattered(net):
    return net.sorted_slots()[2]


def per_token(net):
    """A row of ones and zeros for each token, summed up."""
    size = net("Shape", "tokens", "x", end=1)
    shape = net("Concat", "hits_shape", size, net.weight("E1", np.array([E])), axis=0)
    zero = onnx.helper.make_tensor("v", onnx.TensorProto.INT64, [1], [0])
    zeros = net("ConstantOfShape", "no_hits", shape, value=zero)
    ones = net("Expand", "ones_of", net.weight("one1", np.array(1)), net("Shape", "cs", "chosen"))
    hits = net("ScatterElements", "hits", zeros, "chosen", ones, axis=1)
    return net("ReduceSum", "counted", hits, "axis0", keepdims=0)


def compared(net):
    each = net.weight("each", np.arange(E))
    column = net("Unsqueeze", "id_column", net.slot_ids, "axis1")
    hits = net("Cast", "hits", net("Equal", "is_hit", column, each), to=onnx.TensorProto.INT64)
    return net("ReduceSum", "counted", hits, "axis0", keepdims=0)


def one_hot(net):
    depth, values = net.weight("depth", np.array(E)), net.weight("values", np.array([0, 1]))
    hot = net("OneHot", "hot", net.slot_ids, depth, values)
    return net("ReduceSum", "counted", hot, "axis0", keepdims=0)


def chained(net, counts):
    """(start, end) [1] of each expert: the last end is the next start."""
    net.graph.node("Split", [counts], "cut", [f"n{e}" for e in range(E)], num_outputs=E)
    start, bounds = net.weight("begin", np.array([0])), []
    for e in range(E):
        end = net("Add", f"end{e}", start, f"n{e}")
        bounds.append((start, end))
        start = end
    return bounds


def summed(net, counts, exclusive):
    sums = net("CumSum", "sums", counts, "zero", exclusive=exclusive)
    other = net("Add" if exclusive else "Sub", "others", sums, counts)
    starts, ends = (sums, other) if exclusive else (other, sums)
    places = [net.weight(f"e{e}", np.array([e])) for e in range(E)]
    return [
        tuple(net("Gather", f"{b}{e}", t, places[e]) for b, t in (("s", starts), ("t", ends)))
        for e in range(E)
    ]


def scatter_nd(net, order, joined):
    """What index_put becomes: zeros of the rows' shape, and rows in the indices' shape."""
    zeros = net("ConstantOfShape", "nowhere", net("Shape", "joined_shape", joined))
    size = net("Shape", "order_size", order)
    tail = net("Slice", "tail", "joined_shape/out", "one1d", net.weight("end", np.array([2**62])))
    shape = net("Concat", "put_shape", size, tail, axis=0)
    rows = net("Reshape", "put", joined, shape)
    return net("ScatterND", "back", zeros, net("Unsqueeze", "orderv", order, "axis1"), rows)


def scatter_elements(net, order, joined):
    shape = net("Shape", "joined_shape", joined)
    zeros = net("ConstantOfShape", "nowhere", shape)
    column = net("Unsqueeze", "orderv", order, "axis1")
    wide = net("Concat", "wide", net("Shape", "os", order), net.weight("D", np.array([D])), axis=0)
    return net(
        "ScatterElements", "back", zeros, net("Expand", "places", column, wide), joined, axis=0
    )


def argsort_of_order(net, order, joined):
    size = net("Shape", "order_size", order)
    net.graph.node("TopK", [order, size], "again", ["os", "inverse"], axis=0, largest=0)
    return net("Gather", "back", joined, "inverse", axis=0)


def sliced(count=scattered, bounds=chained, restore=scatter_nd, experts=range(E), columns=-1):
    net = Layer()
    net.weight("one1d", np.array([1]))
    counts = count(net)
    if count is not scattered:
        net.sorted_slots()
    cuts = bounds(net, counts)
    done = [
        net.expert(e, net("Slice", f"part{e}", "sorted/out", *cuts[e], "axis0")) for e in experts
    ]
    joined = net("Concat", "joined", *done, axis=0)
    back = restore(net, "order", joined)
    tokens = net("Shape", "ks", "x", end=1)
    rest = net.weight("rest", np.array([columns]))
    shape = net("Concat", "apart_shape", tokens, "k", rest, axis=0)
    apart = net("Reshape", "apart", back, shape)
    by = net("Unsqueeze", "by", "best", net.weight("axis2", np.array([2])))
    return net.finish(net("ReduceSum", "sum", net("Mul", "w", apart, by), "axis1", keepdims=0))


FORMS = {
    "scattered-chained": lambda: sliced(),
    "per-token-chained": lambda: sliced(per_token),
    "compared-exclusive": lambda: sliced(compared, lambda n, c: summed(n, c, 1)),
    "one-hot-inclusive": lambda: sliced(one_hot, lambda n, c: summed(n, c, 0)),
    "per-token-scatter-elements": lambda: sliced(per_token, restore=scatter_elements),
    "compared-argsort": lambda: sliced(compared, restore=argsort_of_order),
}


@pytest.mark.parametrize("form", FORMS)
def test_sliced(build, tmp_path, form):
    model = build.graph(FORMS[form]())
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["name"], site["kind"], site["groups"]) == ("top", "experts", E)
    assert not any(op in text for op in ("gather_nd", "gate.scatter", "gate.check", "concat"))
    _, (groups,) = check_against_onnx_runtime(build, model, seed=7)
    assert sum(groups) == 64 * K


def stay_sorted(net, order, joined):
    """Slots meet the weights of others."""
    return joined


def some_columns(net, order, joined):
    """The other columns stay 0."""
    half = net.weight("half", np.array([D // 2]))
    narrow = net("Slice", "narrow", joined, "axis0", half, "axis1")
    zeros = net("ConstantOfShape", "nowhere", net("Shape", "joined_shape", joined))
    column = net("Unsqueeze", "orderv", order, "axis1")
    wide = net("Concat", "wide", net("Shape", "os", order), half, axis=0)
    places = net("Expand", "places", column, wide)
    return net("ScatterElements", "back", zeros, places, narrow, axis=0)


@pytest.mark.parametrize("restore", [stay_sorted, some_columns])
def test_no_way_back(build, tmp_path, restore):
    model = build.graph(sliced(restore=restore, columns=D))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    assert json.loads(report.read_text())["sites"] == []
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(8).standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])


def test_an_expert_that_is_left_out(build):
    """The parts are then not all slots; the run finds out if that expert is chosen."""
    model = build.graph(sliced(experts=[0, 1, 3]))
    x = np.random.default_rng(9).standard_normal((33, D)).astype(np.float32)
    with build.load(model) as lib, pytest.raises(gatecc.Error):
        lib(x=x)
