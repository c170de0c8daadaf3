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
    "first": np.array([0]),
    "axes": np.array([1, 2]),
    "last": np.array([2]),
    "axis": np.array([1]),
    "trips": np.array(3),
    "yes": np.array(True),
    "size": np.float32(4),
    "scale": np.linspace(0.5, 2, D, dtype=np.float32),
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


def model(nodes, row=("S", D), gate=("B",)):
    graph = helper.make_graph(
        nodes,
        "skips",
        [
            helper.make_tensor_value_info("x", F32, ["B", *row]),
            helper.make_tensor_value_info("gate", F32, gate),
            helper.make_tensor_value_info("other", F32, gate),
        ],
        [helper.make_tensor_value_info("y", F32, ["B", *row])],
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
            # Rows that all see the number of the step, and of which something goes on
            # changing, do not come to rest.
            node("Cast", "i", "step", to=F32),
            node("Add", "f0 step", "f"),
            node("Where", "keep3 f h", "h2"),
            node("Add", "n one", "n2"),
            node("Identity", "c", "c2"),
        ],
        ["i", "c", "h", "n"],
        ["c2", "h2", "n2"],
    )
    turn = helper.make_node(
        "Loop", ["trips", "yes", "x", "gate"], ["y", "count"], name="loop", body=inner
    )
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


def choice():
    """Either of two layers."""
    return model([*layer("x", 0), *layer("x", 1), *bit(), node("Where", "keep3 f0 f1", "y")])


def exits():
    """Rows leave after the first layer, or the second, or go through the third."""
    return model(
        [
            *bit(),
            *bit("more", "other"),
            *layer("x", 0),
            *layer("f0", 1),
            *layer("f1", 2),
            node("Where", "more3 f2 f1", "h"),
            node("Where", "keep3 h f0", "y"),
        ]
    )


def number(name="g", bits="keep3"):
    return node("Cast", bits, name, to=F32)


def rectified():
    """x + relu(gate) * f(x)"""
    return model(
        [
            *layer("x", 0),
            node("Relu", "gate", "g1"),
            node("Unsqueeze", "g1 axes", "g3"),
            node("Mul", "f0 g3", "part"),
            node("Add", "x part", "y"),
        ]
    )


def straight_through():
    """A bit that has the gradient of a sigmoid in training: g + p - p."""
    return model(
        [
            *layer("x", 0),
            *bit(),
            number(),
            node("Sigmoid", "gate", "p1"),
            node("Unsqueeze", "p1 axes", "p"),
            node("Add", "g p", "both"),
            node("Sub", "both p", "weight"),
            node("Mul", "f0 weight", "part"),
            node("Add", "x part", "y"),
        ]
    )


def normed():
    """A layer behind a normalization, with a function that grows fast."""
    return model(
        [
            *bit(),
            number(),
            node("LayerNormalization", "x scale", "n"),
            node("MatMul", "n w0", "a0"),
            node("Gelu", "a0", "r0", approximate="tanh"),
            node("MatMul", "r0 u0", "f0"),
            node("Mul", "f0 g", "part"),
            node("Add", "x part", "y"),
        ]
    )


def attended():
    """The tokens of a row see each other."""
    return model(
        [
            *bit(),
            number(),
            node("Transpose", "x", "t", perm=[0, 2, 1]),
            node("MatMul", "x t", "scores"),
            node("Div", "scores size", "scaled"),
            node("Softmax", "scaled", "p", axis=-1),
            node("MatMul", "p x", "seen"),
            *layer("seen", 0),
            node("Mul", "f0 g", "part"),
            node("Add", "x part", "y"),
        ]
    )


def single():
    """Rows that are no blocks: x [B,D]."""
    return model(
        [
            *layer("x", 0),
            node("Greater", "gate zero", "keep"),
            node("Unsqueeze", "keep axis", "keep3"),
            number(),
            node("Mul", "g f0", "part"),
            node("Add", "x part", "y"),
        ],
        row=(D,),
    )


def both():
    """x + g * (f(x) + h * e(f(x))): rows run none, one or both."""
    return model(
        [
            *bit(),
            *bit("more", "other"),
            number(),
            number("h", "more3"),
            *layer("x", 0),
            *layer("f0", 1),
            node("Mul", "h f1", "second"),
            node("Add", "f0 second", "sum"),
            node("Mul", "g sum", "part"),
            node("Add", "x part", "y"),
        ]
    )


def token_bit(name="keep", gate="gate"):
    """One bit for each token."""
    return [node("Greater", f"{gate} zero", name), node("Unsqueeze", f"{name} last", f"{name}3")]


def tokens():
    return model(
        [*layer("x", 0), *token_bit(), node("Where", "keep3 f0 x", "y")], gate=("B", "S")
    )


def nested_tokens():
    return model(
        [
            *token_bit(),
            *token_bit("more", "other"),
            *layer("x", 0),
            *layer("f0", 1),
            node("Where", "more3 f1 f0", "h"),
            node("Where", "keep3 h x", "y"),
        ],
        gate=("B", "S"),
    )


def weighted_tokens():
    return model(
        [
            *token_bit(),
            number(),
            *layer("x", 0),
            node("Mul", "g f0", "part"),
            node("Add", "x part", "y"),
        ],
        gate=("B", "S"),
    )


TOKENS = (tokens, nested_tokens, weighted_tokens)
WHERE = [where, otherwise, residual, nested, mixed, branch, loop, choice, exits, tokens, nested_tokens]
WEIGHTED = [weighted, blended, rectified, straight_through, normed, attended, single, both, weighted_tokens]


def feeds(form=None):
    rng = np.random.default_rng(2)
    for b, s in ((1, 1), (1, 7), (2, 1), (9, 4)):
        n = (b, s) if form in TOKENS else b
        one = np.arange(np.prod(n)).reshape(n) == b - 1
        for gate in (rng.normal(size=n), np.ones(n), -np.ones(n), one):
            yield {
                "x": rng.normal(size=(b, D) if form is single else (b, s, D)).astype(np.float32),
                "gate": gate.astype(np.float32),
                "other": rng.normal(size=n).astype(np.float32),
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
    first = {"a1", "f1"} if form is exits else {"a0", "f0"}
    assert first <= set(report["sites"][0]["nodes"])
    assert [r["kind"] for r in report["refused"]] == (["halt"] if form is loop else [])
    for feed in feeds(form):
        got = library(feed)
        assert_same_bits(got, plain(feed))
        assert_close(got["y"], session.run(None, used(session, feed))[0])
        kept = int((feed["gate"] > 0).sum())
        (site, *_) = library.stats()["sites"]
        if form is branch and not kept:
            assert site["rows"] == 0
            continue
        times = 3 if form is loop else 1
        assert site["rows"] == times * feed["gate"].size
        run = sum(site["groups"][1:]) if site["kind"] == "exit" else site["groups"][0]
        assert run == times * (feed["gate"].size - kept if form is otherwise else kept)


def runs_of(site):
    return sum(site["groups"][1:]) if site["kind"] == "exit" else site["groups"][0]


def test_nested_counts(libraries):
    """A layer inside a skipped one runs on the rows that both conditions keep."""
    for form in (nested, exits, both, nested_tokens):
        library, *_ = libraries(form)
        for feed in feeds(form):
            library(feed)
            kept, more = feed["gate"] > 0, feed["other"] > 0
            stats = library.stats()["sites"]
            if len(stats) == 1:  # a chain of exits
                assert stats[0]["groups"] == [(~kept).sum(), (kept & ~more).sum(), (kept & more).sum()]
                continue
            outer, inner = stats
            assert runs_of(outer) == kept.sum() and outer["rows"] == kept.size
            assert runs_of(inner) == (kept & more).sum() and inner["rows"] == kept.sum()


def test_both_sides_are_work(libraries):
    library, *_ = libraries(choice)
    for feed in feeds():
        library(feed)
        kept = int((feed["gate"] > 0).sum())
        counts = sorted(runs_of(site) for site in library.stats()["sites"])
        assert counts == sorted([kept, len(feed["gate"]) - kept])


@pytest.mark.parametrize("form", WHERE, ids=lambda form: form.__name__)
def test_selected_edges(libraries, form):
    library, plain, *_ = libraries(form)
    for feed in feeds(form):
        feed["gate"][::2] = np.nan
        feed["x"].flat[::5] = np.inf
        assert_same_bits(library(feed), plain(feed))
    for shape in ((0, 3, D), (2, 0, D)):
        empty = {
            "x": np.zeros(shape, np.float32),
            "gate": np.ones(shape[: 2 if form in TOKENS else 1], np.float32),
            "other": np.ones(shape[: 2 if form in TOKENS else 1], np.float32),
        }
        assert_same_bits(library(empty), plain(empty))


@pytest.mark.parametrize("form", WEIGHTED, ids=lambda form: form.__name__)
def test_weighted(libraries, form):
    library, plain, session, report = libraries(form)
    for site in report["sites"]:
        assert site["basis"] == "row guard"
        assert "by row guard: a row of weight 0 is computed, too, if an input is NaN" in site["note"]
    assert {"a0", "f0"} <= set(report["sites"][0]["nodes"]) and report["refused"] == []
    for feed in feeds(form):
        got = library(feed)
        assert_same_bits(got, plain(feed))
        assert_close(got["y"], session.run(None, used(session, feed))[0])
        assert runs_of(library.stats()["sites"][0]) == int((feed["gate"] > 0).sum())


@pytest.mark.parametrize("form", WEIGHTED, ids=lambda form: form.__name__)
def test_weighted_rows_that_are_not_finite_or_too_large(libraries, form):
    """They get what the graph as it is written gives, and are counted among those that run."""
    library, plain, *_ = libraries(form)
    *_, clean = feeds(form)
    clean["gate"] = np.where(np.arange(9) < 4, 1, -1).astype(np.float32)
    if form in TOKENS:
        clean["gate"] = np.repeat(clean["gate"][:, None], clean["x"].shape[1], 1)
    each = clean["gate"].size // 9
    for value in (np.nan, np.inf, -np.inf, 3e38):
        feed = clean | {"x": clean["x"].copy()}
        feed["x"][2, ..., 0] = value  # runs
        feed["x"][7, ..., -1] = value  # does not
        got = library(feed)
        assert_same_bits(got, plain(feed))
        if form is not weighted:
            assert runs_of(library.stats()["sites"][0]) == 5 * each
        others = np.delete(np.arange(9), [2, 7])
        assert_same_bits({"y": got["y"][others]}, {"y": library(clean)["y"][others]})
        feed["x"][:] = value
        assert_same_bits(library(feed), plain(feed))
    feed = clean | {"gate": np.full_like(clean["gate"], np.nan)}
    assert_same_bits(library(feed), plain(feed))
    empty = {k: v[:0] for k, v in clean.items()}
    assert_same_bits(library(empty), plain(empty))


@pytest.mark.parametrize("form", WEIGHTED, ids=lambda form: form.__name__)
def test_weighted_assumed_finite(libraries, form):
    library, *_ = libraries(form)
    finite, _, _, report = libraries(form, assume_finite=True)
    for site in report["sites"]:
        assert site["basis"] == "--assume-finite"
    for feed in feeds(form):
        assert_same_bits(finite(feed), library(feed))
        assert finite.stats() == library.stats()


def weighed_by(nodes, function=(), row=("S", D)):
    """x + g * f(x) with a weight of its own, or another function behind f."""
    end = [node("Mul", f"g {'e0' if function else 'f0'}", "part"), node("Add", "x part", "y")]
    return model([*bit(), *layer("x", 0), *nodes, *function, *end], row)


def never_zero():
    return weighed_by([node("Sigmoid", "gate", "s"), node("Unsqueeze", "s axes", "g")])


def of_each_element():
    return weighed_by([node("Relu", "x", "g")])


def of_other_rows():
    """Each row sees the mean of all."""
    return weighed_by(
        [number(), node("ReduceMean", "f0 first", "m", keepdims=1)],
        [node("Sub", "f0 m", "e0")],
    )


def unbounded():
    return weighed_by([number()], [node("Log", "f0", "e0")])


def divided():
    return weighed_by([number()], [node("Div", "one f0", "e0")])


def infinite_weights():
    proto = weighed_by([number()])
    for tensor in proto.graph.initializer:
        if tensor.name == "u0":
            w = WEIGHTS["u0"].copy()
            w[3, 2] = np.inf
            tensor.CopyFrom(numpy_helper.from_array(w, "u0"))
    return proto


LEFT = {
    never_zero: None,
    of_each_element: None,
    of_other_rows: None,
    unbounded: "--assume-finite",
    divided: "--assume-finite",
    infinite_weights: "--assume-finite",
}


@pytest.mark.parametrize("form", LEFT, ids=lambda form: form.__name__)
def test_products_that_stay(libraries, form):
    library, plain, _, report = libraries(form)
    assert report["sites"] == [] and len(library.sites) == 0
    assert [r["flag"] for r in report["refused"]] == ([LEFT[form]] if LEFT[form] else [])
    for feed in feeds():
        assert_same_bits(library(feed), plain(feed))
        feed["x"].flat[::5] = np.inf
        feed["gate"][::2] = np.nan
        assert_same_bits(library(feed), plain(feed))


def test_rows_of_a_table(build, tmp_path):
    """What is looked up has the table's bounds: a proof needs no test."""
    proto = weighed_by([number()])
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", "S"]))
    table = numpy_helper.from_array(RNG.normal(size=(11, D)).astype(np.float32), "table")
    proto.graph.initializer.append(table)
    proto.graph.node.insert(0, node("Gather", "table ids", "x"))
    onnx.save(proto, tmp_path / "m.onnx")
    report = tmp_path / "r.json"
    with build.load(tmp_path / "m.onnx", report=report) as library:
        (site,) = json.loads(report.read_text())["sites"]
        assert site["note"].endswith("by proof: what a weight of 0 multiplies is finite")
        session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
        ids = np.arange(12).reshape(3, 4) % 11
        gate = np.float32([1, -1, 0])
        feed = {"ids": ids, "gate": gate, "other": gate}
        assert_close(library(feed)["y"], session.run(None, feed)[0])
        assert library.stats()["sites"][0]["groups"] == [1, 2]
