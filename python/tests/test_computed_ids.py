# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts whose ids are not the best of a top-k: two searches, one after the other, joined
# (as phimoe chooses), tables and remainders of tokens' numbers, numbers that are clipped.
# All that is asked of them is a bound. In each form of dispatch, against ONNX Runtime.
import json

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
import test_exports
from test_exports import D, E, K, Layer, assert_near

FORMS = {name: test_exports.FORMS[name] for name in test_exports.FORMS if name != "gathered-weights-axis0"}


def search(net, name, scores):
    return net("ArgMax", name, scores, axis=-1, keepdims=1)


def two_searches(net):
    first = search(net, "first", "logits/out")
    shape = net("Shape", "first_size", first)
    lowest = onnx.helper.make_tensor("v", onnx.TensorProto.FLOAT, [1], [-np.inf])
    none = net("ConstantOfShape", "none_left", shape, value=lowest)
    rest = net("ScatterElements", "without", "logits/out", first, none, axis=1)
    return net("Concat", "chosen_ids", first, search(net, "second", rest), axis=-1)


def tokens_of(net):
    net.graph.input("tokens", ["T"], onnx.TensorProto.INT64)
    return net("Unsqueeze", "token_column", "tokens", "axis1")


def remainders(net):
    tokens = tokens_of(net)
    by = net.weight("E0", np.array(E))
    other = net("Add", "other", net("Mul", "seven", tokens, net.weight("times7", np.array(7))), net.weight("plus3", np.array(3)))
    return net("Concat", "chosen_ids", net("Mod", "first_of", tokens, by), net("Mod", "second_of", other, by), axis=-1)


def one_remainder(net):
    pairs = net("Add", "pairs", tokens_of(net), net.weight("c02", np.array([0, 3])))
    return net("Mod", "chosen_ids", pairs, net.weight("E0", np.array(E)))


def table(net, ids=E):
    rows = np.random.default_rng(2).integers(0, ids, (19, K))
    tokens_of(net)
    return net("Gather", "chosen_ids", net.weight("table", rows), "tokens", axis=0)


def short_table(net):
    """A table that names no more than the first experts."""
    return table(net, E - 1)


def clipped(net):
    pairs = net("Sub", "pairs", tokens_of(net), net.weight("c02", np.array([0, 2])))
    bounds = net.weight("least", np.array(0)), net.weight("most", np.array(E - 1))
    return net("Clip", "chosen_ids", pairs, *bounds)


CHOICES = {f.__name__: f for f in (two_searches, remainders, one_remainder, table, short_table, clipped)}


def graph_of(monkeypatch, form, choice):
    class Chosen(Layer):
        def __init__(self):
            super().__init__()
            topk = next(i for i, node in enumerate(self.graph.nodes) if node.op_type == "TopK")
            rest = self.graph.nodes[topk + 1 :]
            del self.graph.nodes[topk:]
            ids = CHOICES[choice](self)
            self.graph.node("Identity", [ids], "name", ["chosen"])
            self.graph.node("GatherElements", ["p/out", ids], "scores_of", ["best"], axis=1)
            self.graph.nodes.extend(rest)

    monkeypatch.setattr(test_exports, "Layer", Chosen)
    return FORMS[form]()


def feeds_of(choice, rows, seed=3):
    rng = np.random.default_rng(seed)
    feeds = {"x": rng.standard_normal((rows, D)).astype(np.float32)}
    if choice != "two_searches":
        feeds["tokens"] = rng.integers(0, 19, rows)
    return feeds


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("form", FORMS)
def test_form(build, tmp_path, monkeypatch, form, choice):
    model = build.graph(graph_of(monkeypatch, form, choice))
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert (site["kind"], site["groups"], site["choices"]) == ("experts", E, K)
    assert "gate.assign" in text and "gate.combine" in text and "gate.scatter_nd" not in text
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib:
        for rows in (1, 2, 7, 64):
            feeds = feeds_of(choice, rows)
            assert_near(lib(**feeds)["y"], session.run(None, feeds)[0])
            assert sum(lib.stats()["sites"][0]["groups"]) == rows * K
        for name in feeds:  # all to the same experts
            feeds[name] = np.repeat(feeds[name][:1], 9, 0)
        assert_near(lib(**feeds)["y"], session.run(None, feeds)[0])
        empty = {name: value[:0] for name, value in feeds.items()}
        assert lib(**empty)["y"].shape == (0, D)


def test_remainders_of_negative_numbers(build, monkeypatch):
    model = build.graph(graph_of(monkeypatch, "sorted-and-split", "remainders"))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feeds = feeds_of("remainders", 33)
    feeds["tokens"] -= 9
    with build.load(model) as lib:
        assert_near(lib(**feeds)["y"], session.run(None, feeds)[0])


def test_scores_that_tie_and_are_not_finite(build, monkeypatch):
    """A search takes the lower id, and NaN last."""
    model = build.graph(graph_of(monkeypatch, "sorted-and-split", "two_searches"))
    with build.load(model) as lib:
        lib(x=np.zeros((3, D), np.float32))
        assert lib.stats()["sites"][0]["groups"] == [3, 3, 0, 0]
        x = np.random.default_rng(1).standard_normal((9, D)).astype(np.float32)
        expected = lib(x=x)["y"]
        x[4] = np.nan
        y = lib(x=x)["y"]
        assert np.isnan(y[4]).all()
        np.testing.assert_array_equal(np.delete(y, 4, 0), np.delete(expected, 4, 0))


def test_ids_without_a_bound(build, monkeypatch):
    """One beyond the experts chooses none in a graph that asks for each of them."""
    model = build.graph(graph_of(monkeypatch, "nonzero-of-each-expert", "table"))
    graph = onnx.load(model)
    (rows,) = [t for t in graph.graph.initializer if t.name == "table"]
    numbers = onnx.numpy_helper.to_array(rows).copy()
    numbers[3, 1] = E + 2
    rows.CopyFrom(onnx.numpy_helper.from_array(numbers, "table"))
    # Scores are looked up by other ids, which are in range.
    (scores,) = [n for n in graph.graph.node if n.name == "scores_of"]
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array(E), "count"))
    at = list(graph.graph.node).index(scores)
    graph.graph.node.insert(at, onnx.helper.make_node("Mod", [scores.input[1], "count"], ["inside"], name="inside"))
    graph.graph.node[at + 1].input[1] = "inside"
    model = model.with_name("beyond.onnx")
    onnx.save(graph, model)
    feeds = feeds_of("table", 40)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib:
        assert_near(lib(**feeds)["y"], session.run(None, feeds)[0])
