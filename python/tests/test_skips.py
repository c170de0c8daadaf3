# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Layers that some rows of a batch skip, where a row is a block of tokens: x [B,S,D], one bit
# for each b. By Where, by a weight of 0 or 1, in branches and in loops; against ONNX Runtime
# and, bit for bit, against the library that skips nothing.
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from compare import assert_close, assert_same_bits
from onnx import TensorProto, helper, numpy_helper

D, H = 6, 10
F32 = TensorProto.FLOAT
RNG = np.random.default_rng(8)
WEIGHTS = {f"w{i}": RNG.normal(0, 0.4, (D, H)).astype(np.float32) for i in range(3)}
WEIGHTS |= {f"u{i}": RNG.normal(0, 0.4, (H, D)).astype(np.float32) for i in range(3)}
WEIGHTS |= {
    "zero": np.float32(0),
    "one": np.float32(1),
    "axes": np.array([1, 2]),
    "axis": np.array([1]),
    "trips": np.array(3),
    "yes": np.array(True),
    "size": np.float32(4),
}
ALL_OFF = ["form-skips", "form-groups", "form-selections", "form-while-rows", "select-weighted"]


def node(op, inputs, name, **attributes):
    return helper.make_node(op, inputs.split(), [name], name=name, **attributes)


def layer(x, i, name=None):
    """f_i(x) = relu(x w) u"""
    return [
        node("MatMul", f"{x} w{i}", f"a{i}"),
        node("Relu", f"a{i}", f"r{i}"),
        node("MatMul", f"r{i} u{i}", name or f"f{i}"),
    ]


def bit(name="keep", gate="gate"):
    return [node("Greater", f"{gate} zero", name), node("Unsqueeze", f"{name} axes", f"{name}3")]


def model(nodes):
    graph = helper.make_graph(
        nodes,
        "skips",
        [
            helper.make_tensor_value_info("x", F32, ["B", "S", D]),
            helper.make_tensor_value_info("gate", F32, ["B"]),
            helper.make_tensor_value_info("other", F32, ["B"]),
        ],
        [helper.make_tensor_value_info("y", F32, ["B", "S", D])],
        [numpy_helper.from_array(np.asarray(w), n) for n, w in WEIGHTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def body(nodes, inputs, outputs):
    types = {"i": TensorProto.INT64, "c": TensorProto.BOOL}

    def info(name):
        if name in types:
            return helper.make_tensor_value_info(name, types[name], [])
        return helper.make_empty_tensor_value_info(name)

    return helper.make_graph(nodes, "body", [info(i) for i in inputs], [info(o) for o in outputs])


def where():
    return model([*layer("x", 0), *bit(), node("Where", "keep3 f0 x", "y")])


def otherwise():
    """The rows where the condition does not hold; the others are 1."""
    return model([*layer("x", 0), *bit(), node("Where", "keep3 one f0", "y")])


def residual():
    return model(
        [*layer("x", 0), *bit(), node("Add", "x f0", "h"), node("Where", "keep3 h x", "y")]
    )


def nested():
    """Two layers, of which rows run none, one or both."""
    return model(
        [
            *bit(),
            *bit("more", "other"),
            *layer("x", 0),
            *layer("f0", 1),
            node("Where", "more3 f1 f0", "h"),
            node("Where", "keep3 h x", "y"),
        ]
    )


def mixed():
    """The tokens of a row see each other: they are in one block."""
    return model(
        [
            *bit(),
            node("Transpose", "x", "t", perm=[0, 2, 1]),
            node("MatMul", "x t", "scores"),
            node("Softmax", "scores", "p", axis=-1),
            node("MatMul", "p x", "seen"),
            *layer("seen", 0),
            node("Where", "keep3 f0 x", "y"),
        ]
    )


def any_row(then):
    """If any row is kept: `then`, which ends in `yes_y`; else x."""
    return [
        *bit(),
        node("Cast", "keep", "g", to=F32),
        node("Unsqueeze", "g axes", "g3"),
        node("ReduceSum", "g", "many", keepdims=0),
        node("Greater", "many zero", "any"),
        helper.make_node(
            "If",
            ["any"],
            ["y"],
            name="if",
            then_branch=body(then, [], ["yes_y"]),
            else_branch=body([node("Identity", "x", "no_y")], [], ["no_y"]),
        ),
    ]


def branch():
    return model(any_row([*layer("x", 0), node("Where", "keep3 f0 x", "yes_y")]))


def loop():
    inner = body(
        [
            *layer("h", 0),
            # Rows that all see the number of the step do not come to rest.
            node("Cast", "i", "step", to=F32),
            node("Add", "f0 step", "f"),
            node("Where", "keep3 f h", "h2"),
            node("Identity", "c", "c2"),
        ],
        ["i", "c", "h"],
        ["c2", "h2"],
    )
    turn = helper.make_node("Loop", ["trips", "yes", "x"], ["y"], name="loop", body=inner)
    return model([*bit(), turn])


def weighted():
    """x + g * (f(x) - x)"""
    return model(
        any_row(
            [
                *layer("x", 0),
                node("Sub", "f0 x", "delta"),
                node("Mul", "g3 delta", "part"),
                node("Add", "x part", "yes_y"),
            ]
        )
    )


def blended():
    """g * f(x) + (1 - g) * x"""
    return model(
        [
            *layer("x", 0),
            *bit(),
            node("Cast", "keep3", "g", to=F32),
            node("Mul", "f0 g", "part"),
            node("Sub", "one g", "rest"),
            node("Mul", "rest x", "kept"),
            node("Add", "part kept", "y"),
        ]
    )


WHERE = [where, otherwise, residual, nested, mixed, branch, loop]
WEIGHTED = [weighted, blended]


def feeds():
    rng = np.random.default_rng(2)
    for b, s in ((1, 1), (1, 7), (2, 1), (9, 4)):
        for gate in (rng.normal(size=b), np.ones(b), -np.ones(b), np.arange(b) == b - 1):
            yield {
                "x": rng.normal(size=(b, s, D)).astype(np.float32),
                "gate": gate.astype(np.float32),
                "other": rng.normal(size=b).astype(np.float32),
            }


@pytest.fixture(scope="module")
def libraries(build, tmp_path_factory):
    made = {}

    def of(form, **options):
        key = form, *options
        if key not in made:
            folder = tmp_path_factory.mktemp(form.__name__)
            proto = form()
            onnx.save(proto, folder / "m.onnx")
            report = folder / "r.json"
            made[key] = (
                build.load(folder / "m.onnx", report=report, **options),
                build.load(folder / "m.onnx", disable=ALL_OFF),
                onnxruntime.InferenceSession(proto.SerializeToString()),
                json.loads(report.read_text()),
            )
        return made[key]

    return of


def used(session, feed):
    names = {i.name for i in session.get_inputs()}
    return {k: v for k, v in feed.items() if k in names}


@pytest.mark.parametrize("form", WHERE, ids=lambda form: form.__name__)
def test_selected(libraries, form):
    library, plain, session, report = libraries(form)
    assert len(plain.sites) == 0
    assert {"a0", "f0"} <= set(report["sites"][0]["nodes"])
    for feed in feeds():
        got = library(feed)
        assert_same_bits(got, plain(feed))
        assert_close(got["y"], session.run(None, used(session, feed))[0])
        kept = int((feed["gate"] > 0).sum())
        (site, *_) = library.stats()["sites"]
        if form is branch and not kept:
            assert site["rows"] == 0
            continue
        times = 3 if form is loop else 1
        assert site["rows"] == times * len(feed["gate"])
        run = sum(site["groups"][1:]) if site["kind"] == "exit" else site["groups"][0]
        assert run == times * (len(feed["gate"]) - kept if form is otherwise else kept)


@pytest.mark.parametrize("form", WHERE, ids=lambda form: form.__name__)
def test_selected_edges(libraries, form):
    library, plain, *_ = libraries(form)
    for feed in feeds():
        feed["gate"][::2] = np.nan
        feed["x"].flat[::5] = np.inf
        assert_same_bits(library(feed), plain(feed))
    for shape in ((0, 3, D), (2, 0, D)):
        empty = {
            "x": np.zeros(shape, np.float32),
            "gate": np.ones(shape[0], np.float32),
            "other": np.ones(shape[0], np.float32),
        }
        assert_same_bits(library(empty), plain(empty))


@pytest.mark.parametrize("form", WEIGHTED, ids=lambda form: form.__name__)
def test_weighted(libraries, form):
    library, plain, session, report = libraries(form)
    assert report["sites"] == []
    assert any("--assume-finite" in r["reason"] for r in report["refused"])
    finite, _, _, report = libraries(form, assume_finite=True)
    (site,) = report["sites"]
    assert site["nodes"] == ["a0", "f0"] and "assuming that all values are finite" in site["note"]
    for feed in feeds():
        expected = session.run(None, used(session, feed))[0]
        assert_same_bits(library(feed), plain(feed))
        assert_close(finite(feed)["y"], expected)
        kept = int((feed["gate"] > 0).sum())
        (counts,) = finite.stats()["sites"]
        assert counts["groups"][0] == kept
    # Nothing is skipped that would have made a difference.
    feed["x"].flat[::5] = np.inf
    assert_same_bits(library(feed), plain(feed))
