# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Routed layers in the forms in which exporters write them, compiled as they are: weights
# gathered for each slot; slots sorted and cut by ranges or by Split; NonZero for each
# expert. Small models of each form against ONNX Runtime; and the files of the folder that
# $GATECC_EXPORTS names, each with an .npz of inputs and outputs, if it is set.
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
from gatecc.models.graph import Graph

D, H, E, K = 6, 5, 4, 2
EXPORTS = os.environ.get("GATECC_EXPORTS")
RELATIVE = 1e-4  # of the largest output


def assert_near(actual, expected):
    assert actual.shape == expected.shape
    largest = np.abs(expected).max(initial=0)
    assert np.abs(actual - expected).max(initial=0) <= RELATIVE * (largest + 1e-6)


class Layer:
    """A graph with a router: ids [T*k] and weights [T*k,1] of the slots of x [T,D]."""

    def __init__(self):
        self.graph = Graph("layer")
        rng = np.random.default_rng(11)
        self.w1, self.w2 = rng.standard_normal((2, E, H, D)).astype(np.float32)
        self.w2 = self.w2.transpose(0, 2, 1).copy()  # [E,D,H]
        self.weight("router", rng.standard_normal((D, E)).astype(np.float32))
        self.weight("k", np.array([K]))
        self.weight("flat", np.array([-1]))
        self.weight("column", np.array([-1, 1]))
        self.weight("zero", np.array(0))
        self.weight("axis0", np.array([0]))
        self.weight("axis1", np.array([1]))
        self.graph.input("x", ["T", D])
        p = self("Softmax", "p", self("MatMul", "logits", "x", "router"), axis=-1)
        self.graph.node("TopK", [p, "k"], "top", ["best", "chosen"])
        self.slot_ids = self("Reshape", "ids", "chosen", "flat")
        self.slot_weights = self("Reshape", "weights", "best", "column")

    def __call__(self, op, name, *inputs, **attributes):
        return self.graph.node(op, list(inputs), name, **attributes)

    def weight(self, name, array):
        return self.graph.weight(name, array)

    def finish(self, result):
        self.graph.node("Identity", [result], "end", ["y"])
        self.graph.output("y", ["T", D])
        return self.graph

    def row_of_slot(self, slots):
        """slots / k, as an exporter computes it."""
        remainder = self("Mod", "mod", slots, self.weight("kk", np.array(K)))
        return self("Div", "row", self("Sub", "even", slots, remainder), "kk")

    def sum_of_slots(self, rows):
        """[T*k,D] in slot order -> [T,D]."""
        shape = self.weight("slots", np.array([-1, K, D]))
        apart = self("Reshape", "apart", rows, shape)
        return self("ReduceSum", "sum", apart, "axis1", keepdims=0)

    def sorted_slots(self):
        """(order, rows of x in that order, counts of the experts [E])."""
        size = self("Shape", "size", self.slot_ids)
        self.graph.node(
            "TopK", [self.slot_ids, size], "sort", ["s", "order"], axis=0, largest=0
        )
        row = self("Unsqueeze", "rowv", self.row_of_slot("order"), "axis1")
        ones = self(
            "ConstantOfShape",
            "ones",
            size,
            value=onnx.helper.make_tensor("v", onnx.TensorProto.INT64, [1], [1]),
        )
        zeros = self.weight("zeros", np.zeros(E, np.int64))
        counts = self(
            "ScatterElements", "counts", zeros, self.slot_ids, ones, reduction="add"
        )
        return "order", self("GatherND", "sorted", "x", row), counts

    def expert(self, e, rows):
        """Both products of expert e on rows."""
        h = self("MatMul", f"h{e}", rows, self.weight(f"w1.{e}", self.w1[e].T.copy()))
        a = self("Relu", f"a{e}", h)
        return self("MatMul", f"o{e}", a, self.weight(f"w2.{e}", self.w2[e].T.copy()))

    def slices(self, rows, counts):
        """The rows of each expert, of sorted ones."""
        ends = self("CumSum", "ends", counts, "zero")
        starts = self("Sub", "starts", ends, counts)
        for e in range(E):
            at = self.weight(f"slice{e}", np.array([e]))
            bounds = [self("Gather", f"{b}{e}", t, at) for b, t in (("s", starts), ("t", ends))]
            yield self("Slice", f"part{e}", rows, *bounds, "axis0")

    def sliced_experts(self, rows, counts):
        """The experts' results on sorted rows, each on a Slice of them."""
        done = [self.expert(e, part) for e, part in enumerate(self.slices(rows, counts))]
        return self("Concat", "joined", *done, axis=0)

    def combine_sorted(self, order, rows):
        """Weighs rows in sorted order, and adds them to a tensor of zeros."""
        where = self("Unsqueeze", "orderv", order, "axis1")
        by = self("GatherND", "by", self.slot_weights, where)
        weighed = self("Mul", "weighed", rows, by)
        like = self("Mul", "nothing", "x", self.weight("f0", np.float32(0)))
        return self("ScatterND", "out", like, "rowv/out", weighed, reduction="add")


def check_against_onnx_runtime(build, model, seed):
    """With form-experts and without, for 1 to 64 rows, and 7 that choose the same. Returns
    the 64 rows and what the sites counted for them."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    with build.load(model) as lib, build.load(model, disable="form-experts") as plain:
        for rows in (1, 2, 7, 64):
            x = rng.standard_normal((rows, D)).astype(np.float32)
            if rows == 7:
                x[:] = x[0]  # some experts get nothing
            expected = session.run(None, {"x": x})[0]
            assert_near(lib(x=x)["y"], expected)
            assert_near(plain(x=x)["y"], expected)
        groups = [site["groups"] for site in lib.stats()["sites"]]
        assert lib(x=x[:0])["y"].shape == (0, D)
    return x, groups


def gathered_weights(op, stored=np.float32):
    net = Layer()

    def own(name, stack):
        gathered = net(op, f"of.{name}", net.weight(name, stack.astype(stored)), ids)
        return gathered if stored == np.float32 else net("Cast", f"wide.{name}", gathered, to=1)

    ids = net.slot_ids
    if op == "GatherND":
        ids = net("Unsqueeze", "idv", ids, "axis1")
    x = net("Unsqueeze", "x1", "x", "axis1")
    size = net("Shape", "xs", "x", end=1)
    shape = net("Concat", "shape", size, "k", net.weight("d", np.array([D])), axis=0)
    rows = net("Reshape", "rows", net("Expand", "xk", x, shape), net.weight("r", np.array([-1, D, 1])))
    h = net("Relu", "a", net("MatMul", "h", own("w1", net.w1), rows))
    o = net("MatMul", "o", own("w2", net.w2), h)
    o = net("Squeeze", "oo", o, net.weight("last", np.array([2])))
    return net.finish(net.sum_of_slots(net("Mul", "weighed", o, net.slot_weights)))


def sorted_and_ranged():
    """Rows of each expert by Range(previous end, end), inverse permutation by ScatterND."""
    net = Layer()
    order, rows, counts = net.sorted_slots()
    ends = net("CumSum", "ends", counts, "zero")
    parts, before = [], "zero"
    net.graph.node("Split", [ends], "cut", [f"e{i}" for i in range(E)], num_outputs=E)
    one = net.weight("one", np.array(1))
    for e in range(E):
        end = net("Squeeze", f"end{e}", f"e{e}", "axis0")
        places = net("Range", f"range{e}", before, end, one)
        parts.append(net.expert(e, net("Gather", f"part{e}", rows, places, axis=0)))
        before = end
    joined = net("Concat", "joined", *parts, axis=0)
    size = net("Size", "n", net.slot_ids)
    numbers = net("Range", "numbers", "zero", size, one)
    empty = net("Mul", "none", order, "zero")
    where = net("Unsqueeze", "orderv", order, "axis1")
    inverse = net("ScatterND", "inverse", empty, where, numbers)
    back = net("GatherND", "back", joined, net("Unsqueeze", "invv", inverse, "axis1"))
    return net.finish(net.sum_of_slots(net("Mul", "weighed", back, net.slot_weights)))


def sorted_and_split():
    net = Layer()
    order, rows, counts = net.sorted_slots()
    parts = [f"part{e}" for e in range(E)]
    net.graph.node("Split", [rows, counts], "split", parts, axis=0)
    done = [net.expert(e, parts[e]) for e in range(E)]
    return net.finish(net.combine_sorted(order, net("Concat", "joined", *done, axis=0)))


def sorted_and_sliced():
    net = Layer()
    order, rows, counts = net.sorted_slots()
    return net.finish(net.combine_sorted(order, net.sliced_experts(rows, counts)))


def sorted_with_biases(in_order=True):
    """Both products of all experts, and after each the biases that ids choose."""
    net = Layer()
    ids = "s" if in_order else net.slot_ids
    order, rows, counts = net.sorted_slots()
    rng = np.random.default_rng(12)
    for local, weights in (("first", net.w1), ("second", net.w2)):
        parts = [f"{local}/part{e}" for e in range(E)]
        net.graph.node("Split", [rows, counts], f"{local}/split", parts, axis=0)
        matrices = [net.weight(f"{local}/w{e}", weights[e].T.copy()) for e in range(E)]
        done = [
            net("MatMul", f"{local}{e}", part, matrix)
            for e, (part, matrix) in enumerate(zip(parts, matrices))
        ]
        joined = net("Concat", f"{local}/joined", *done, axis=0)
        biases = rng.standard_normal((E, weights.shape[1])).astype(np.float32)
        chosen = net("Unsqueeze", f"{local}/ids", ids, "axis1")
        bias = net("GatherND", f"{local}/bias", net.weight(f"{local}/b", biases), chosen)
        rows = net("Add", f"{local}/biased", joined, bias)
        if local == "first":
            rows = net("Relu", "a", rows)
    return net.finish(net.combine_sorted(order, rows))


def nonzero_of_each_expert(experts=range(E)):
    net = Layer()
    result = net("Mul", "nothing", "x", net.weight("f0", np.float32(0)))
    values = net.weight("values", np.array([0, 1]))
    hot = net("OneHot", "hot", "chosen", net.weight("E", np.array(E)), values)
    mask = net("Transpose", "mask", hot, perm=[2, 1, 0])  # [E,k,T]
    flat = net("Reshape", "flat1", "best", "flat")
    for e in experts:
        mine = net("Gather", f"m{e}", mask, net.weight(f"e{e}", np.array(e)), axis=0)
        places = net("NonZero", f"nz{e}", mine)  # [2,n]: choice, token
        net.graph.node("Split", [places], f"sp{e}", [f"c{e}", f"t{e}"], num_outputs=2, axis=0)
        choice = net("Squeeze", f"choice{e}", f"c{e}", "axis0")
        token = net("Squeeze", f"token{e}", f"t{e}", "axis0")
        out = net.expert(e, net("Gather", f"rows{e}", "x", token, axis=0))
        kk = net.weight(f"kk{e}", np.array(K))
        slot = net("Add", f"slot{e}", net("Mul", f"tk{e}", token, kk), choice)
        by = net("Unsqueeze", f"by{e}", net("Gather", f"w{e}", flat, slot), "axis1")
        weighed = net("Mul", f"weighed{e}", out, by)
        where = net("Unsqueeze", f"where{e}", token, "axis1")
        result = net("ScatterND", f"sum{e}", result, where, weighed, reduction="add")
    return net.finish(result)


FORMS = {
    "gathered-weights": lambda: gathered_weights("GatherND"),
    "gathered-weights-axis0": lambda: gathered_weights("Gather"),
    "gathered-narrow-weights": lambda: gathered_weights("Gather", np.float16),
    "sorted-and-ranged": sorted_and_ranged,
    "sorted-and-split": sorted_and_split,
    "sorted-and-sliced": sorted_and_sliced,
    "sorted-with-biases": sorted_with_biases,
    "nonzero-of-each-expert": nonzero_of_each_expert,
}


@pytest.mark.parametrize("form", FORMS)
def test_form(build, form):
    model = build.graph(FORMS[form]())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(3)
    with build.load(model) as lib:
        for rows in (1, 2, 7, 64):
            x = rng.standard_normal((rows, D)).astype(np.float32)
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert lib(x=x[:0])["y"].shape == (0, D)


@pytest.mark.parametrize("form", FORMS)
def test_form_on_one_expert(build, form):
    """All rows choose the same experts: the others have none."""
    model = build.graph(FORMS[form]())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.repeat(np.random.default_rng(4).standard_normal((1, D)), 9, 0).astype(np.float32)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])


@pytest.mark.parametrize("form", FORMS)
def test_form_is_experts(build, tmp_path, form):
    """What is found, what is counted, and that it changes nothing but time."""
    model = build.graph(FORMS[form]())
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["name"], site["kind"], site["groups"]) == ("top", "experts", E)
    assert "by proof" in site["note"] and len(site["nodes"]) >= 2
    assert "gate.route" in text and "gate.combine" in text
    assert site["router"] == "R1: softmax, the 2 best"
    assert not any(op in text for op in ("gate.gather_nd", "gate.scatter", "gate.check"))
    x = np.random.default_rng(5).standard_normal((33, D)).astype(np.float32)
    logits = x.astype(np.float64) @ Layer().graph.weights["router"]
    best = np.argsort(-logits, axis=1, kind="stable")[:, :K]
    raising = "form-experts,form-selections"
    with build.load(model) as lib, build.load(model, disable=raising) as plain:
        assert_near(lib(x=x)["y"], plain(x=x)["y"])
        assert lib.stats()["sites"][0]["groups"] == np.bincount(best.ravel(), minlength=E).tolist()
        assert plain.stats()["sites"] == []
        x[7] = np.nan
        y = lib(x=x)["y"]
        assert np.isnan(y[7]).all() and np.isfinite(np.delete(y, 7, 0)).all()


def test_biases_of_other_slots_are_no_experts(build):
    """Chosen by ids that are not in the order of the rows."""
    model = build.graph(sorted_with_biases(in_order=False))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(6).standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert lib.stats()["sites"] == []


def test_two_layers_of_one_choice(build, tmp_path):
    """Layers that share a router: each is a site of its own."""
    net = Layer()
    rng = np.random.default_rng(13)
    size = net("Shape", "size", "x", end=1)
    shape = net("Concat", "shape", size, "k", net.weight("d", np.array([D])), axis=0)
    column = net.weight("c", np.array([-1, D, 1]))
    rows = "x"
    for layer in ("lower", "upper"):
        matrices = rng.standard_normal((E, D, D)).astype(np.float32)
        stack = net.weight(f"{layer}/w", matrices)
        apart = net("Unsqueeze", f"{layer}/apart", rows, "axis1")
        each = net("Reshape", f"{layer}/each", net("Expand", f"{layer}/x", apart, shape), column)
        chosen = net("Gather", f"{layer}/chosen", stack, net.slot_ids)
        made = net("MatMul", f"{layer}/made", chosen, each)
        flat = net("Squeeze", f"{layer}/flat", made, net.weight(f"{layer}/2", np.array([2])))
        by = net("Mul", f"{layer}/weighed", flat, net.slot_weights)
        slots = net.weight(f"{layer}/slots", np.array([-1, K, D]))
        slots = net("Reshape", f"{layer}/slotwise", by, slots)
        rows = net("ReduceSum", f"{layer}/sum", slots, "axis1", keepdims=0)
    model = build.graph(net.finish(rows))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    sites = json.loads(report.read_text())["sites"]
    assert [(site["name"], site["groups"]) for site in sites] == [("top", E), ("top#2", E)]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = rng.standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])


@pytest.mark.parametrize("experts", [[0, 2], [3]])
def test_missing_experts(build, tmp_path, experts):
    """A tracing exporter drops experts that its example did not choose."""
    model = build.graph(nonzero_of_each_expert(experts))
    report = tmp_path / "report.json"
    missing = ", ".join(str(e) for e in range(E) if e not in experts)
    command = [gatecc.find_compiler(), model, "--compile-to=gate", f"--report={report}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert f"warning: the model has no work for expert {missing} of {E}: rows" in done.stderr
    text = done.stdout
    (site,) = json.loads(report.read_text())["sites"]
    assert f"the model has no work for expert {missing}" in site["note"]
    assert site["router"] == "R1: softmax, the 2 best" and site["groups"] == E
    assert "gate.combine" in text and "gate.scatter" not in text
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(10)
    with build.load(model) as lib:
        for rows in (1, 2, 7, 64):
            x = rng.standard_normal((rows, D)).astype(np.float32)
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        groups = lib.stats()["sites"][0]["groups"]
        assert all((n > 0) == (e in experts) for e, n in enumerate(groups))
        assert lib(x=x[:0])["y"].shape == (0, D)


def test_a_partial_sum_may_be_an_output(build):
    graph = nonzero_of_each_expert()
    graph.output("sum1/out", ["T", D])
    model = build.graph(graph)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(6).standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        actual = lib(x=x)
        for name, expected in zip(("y", "sum1/out"), session.run(None, {"x": x})):
            assert_near(actual[name], expected)


def exported():
    return sorted(Path(EXPORTS).glob("*.npz")) if EXPORTS else []


@pytest.mark.skipif(not EXPORTS, reason="GATECC_EXPORTS names no folder")
@pytest.mark.parametrize("data", exported(), ids=lambda path: path.stem)
def test_exported_file(build, data):
    try:
        library = build.load(data.with_suffix(".onnx"))
    except gatecc.CompileError as error:
        if "operators that gatecc does not support" in str(error):
            pytest.skip("operators that gatecc does not support")
        raise
    cases = {}
    with np.load(data) as arrays:
        for key in arrays.files:
            kind, name = key.split(".", 1)
            side = "in" if kind.startswith("in") else "out"
            case = cases.setdefault(kind.removeprefix(side), {"in": {}, "out": {}})
            case[side][name] = arrays[key]
    with library as lib:
        for case in cases.values():
            actual = lib(**case["in"])
            for name, expected in case["out"].items():
                assert_near(actual[name], expected)
