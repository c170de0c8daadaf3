# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Experts that a graph runs on every row and weighs with zeros, in the forms in which
# people write them, against ONNX Runtime and against what --disable=form-dense-experts
# makes of them: which experts run, rows that are not finite or too large, weights that
# are zero or negative, and what is refused.
import json

import numpy as np
import onnx
import onnxruntime
import pytest

import gatecc
from compare import assert_same_bits
from gatecc.models.graph import Graph

D, H, E, K = 6, 5, 4, 2
RELATIVE = 1e-4  # of the largest output
PASS = "form-dense-experts"


def assert_near(actual, expected):
    assert actual.shape == expected.shape
    largest = np.abs(expected).max(initial=0)
    assert np.abs(actual - expected).max(initial=0) <= RELATIVE * (largest + 1e-6)


class Layer:
    """A graph on x [T,D] with a router: ids and weights [T,k]."""

    def __init__(self, k=K, router="softmax"):
        self.graph = Graph("layer")
        self.k = k
        rng = np.random.default_rng(11)
        self.w1 = rng.standard_normal((E, D, H)).astype(np.float32)
        self.w2 = rng.standard_normal((E, H, D)).astype(np.float32)
        self.b1 = rng.standard_normal((E, H)).astype(np.float32)
        self.b2 = rng.standard_normal((E, D)).astype(np.float32)
        self.gate = rng.standard_normal((D, E)).astype(np.float32)
        self.graph.input("x", ["T", D])
        self.logits = self("MatMul", "logits", "x", self.weight("gate", self.gate))
        scores = self.logits
        if router == "softmax":
            scores = self("Softmax", "p", scores, axis=-1)
        self.scores = scores
        self.graph.node("TopK", [scores, self.ints("k", [k])], "top", ["best", "chosen"])
        self.ids, self.weights = "chosen", "best"

    def __call__(self, op, name, *inputs, **attributes):
        return self.graph.node(op, list(inputs), name, **attributes)

    def weight(self, name, array):
        return name if name in self.graph.weights else self.graph.weight(name, array)

    def ints(self, name, values):
        return self.weight(name, np.array(values, dtype=np.int64))

    def real(self, name, value):
        return self.weight(name, np.float32(value))

    def finish(self, result):
        self.graph.node("Identity", [result], "end", ["y"])
        self.graph.output("y", ["T", D])
        return self.graph

    def relu(self, name, value):
        return self("Relu", name, value)


# Routing matrices [T,E].


def filled(net, value):
    size = net("Shape", "rshape", net.logits)
    return net("Expand", "rzeros", net.real("rvalue", value), size)


def scattered(net):
    return net("ScatterElements", "r", filled(net, 0), net.ids, net.weights, axis=1)


def one_hot(net):
    values = net.weight("values", np.array([0, 1], dtype=np.float32))
    hot = net("OneHot", "hot", net.ids, net.ints("E", E), values)  # [T,k,E]
    column = net("Unsqueeze", "wcol", net.weights, net.ints("two", [2]))
    return net("ReduceSum", "r", net("Mul", "whot", hot, column), net.ints("one", [1]), keepdims=0)


def compared(net):
    numbers = net.ints("numbers", np.arange(E))
    hit = net("Equal", "hit", net("Unsqueeze", "idcol", net.ids, net.ints("two", [2])), numbers)
    column = net("Unsqueeze", "wcol", net.weights, net.ints("two", [2]))
    each = net("Where", "each", hit, column, net.real("zero", 0))
    return net("ReduceSum", "r", each, net.ints("one", [1]), keepdims=0)


def thresholded(net):
    """Ties let more than k through: only the run can tell."""
    least = net("ReduceMin", "least", net.weights, net.ints("one", [1]), keepdims=1)
    keep = net("GreaterOrEqual", "keep", net.scores, least)
    return net("Where", "r", keep, net.scores, net.real("zero", 0))


def normalised(net):
    """0 / sum is zero unless the sum is."""
    each = net("Mul", "masked", net.scores, masked_ones(net))
    total = net("ReduceSum", "total", each, net.ints("one", [1]), keepdims=1)
    return net("Div", "r", each, total)


def masked_ones(net):
    ones = net("Mul", "ones", net("Mul", "none", net.weights, net.real("zero", 0)), net.real("z1", 0))
    ones = net("Add", "ones1", ones, net.real("onef", 1))
    return net("ScatterElements", "mask", filled(net, 0), net.ids, ones, axis=1)


def one_hot_of_scores(net):
    """Integers of each choice, added up, times all scores."""
    values = net.ints("values", [0, 1])
    hot = net("OneHot", "hot", net.ids, net.ints("E", E), values)  # [T,k,E]
    hits = net("ReduceSum", "hits", hot, net.ints("one", [1]), keepdims=0)
    real = net("Cast", "real", hits, to=onnx.TensorProto.FLOAT)
    return net("Mul", "r", net.scores, real)


def masked_scores(net):
    """Booleans that were scattered; Where keeps the scores of what they hold."""
    size = net("Shape", "idsize", net.ids)
    true = net("ConstantOfShape", "true", size, value=onnx.helper.make_tensor("v", onnx.TensorProto.BOOL, [1], [1]))
    all_size = net("Shape", "rshape", net.logits)
    false = net("ConstantOfShape", "false", all_size, value=onnx.helper.make_tensor("v", onnx.TensorProto.BOOL, [1], [0]))
    mask = net("ScatterElements", "mask", false, net.ids, true, axis=1)
    return net("Where", "r", net("Not", "unmasked", mask), net.real("zero", 0), net.scores)


def sigmoid_of_infinity(net):
    logits = net("ScatterElements", "rl", filled(net, -np.inf), net.ids, net.weights, axis=1)
    return net("Sigmoid", "r", logits)


MATRICES = {
    f.__name__: f
    for f in (
        scattered,
        one_hot,
        one_hot_of_scores,
        compared,
        masked_scores,
        thresholded,
        normalised,
        sigmoid_of_infinity,
    )
}

# Experts [T,D] from a routing matrix.


def stacks(net):
    return net.weight("w1", net.w1), net.weight("w2", net.w2)


def transposed(net, r):
    return net("Unsqueeze", "rcol", net("Transpose", "rt", r, perm=[1, 0]), net.ints("two", [2]))


def batched(net, r):
    """x tiled to [E,T,D]."""
    w1, w2 = stacks(net)
    x3 = net("Unsqueeze", "x3", "x", net.ints("zero0", [0]))
    xe = net("Tile", "xe", x3, net.ints("reps", [E, 1, 1]))
    a = net.relu("a", net("MatMul", "h", xe, w1))
    o = net("MatMul", "o", a, w2)
    weighed = net("Mul", "weighed", o, transposed(net, r))
    return net("ReduceSum", "sum", weighed, net.ints("zero0", [0]), keepdims=0)


def tiled_with_biases(net, r):
    """x tiled to [E*T,D] and cut, halves interleaved, clipped: gpt_oss as written."""
    w1 = net.weight("w1", np.concatenate([net.w1, net.w1[:, :, ::-1]], 2))
    b1 = net.weight("b1", np.concatenate([net.b1, net.b1], 1)[:, None, :])
    _, w2 = w1, net.weight("w2", net.w2)
    tiled = net("Tile", "tiled", "x", net.ints("reps2", [E, 1]))
    xe = net("Reshape", "xe", tiled, net.ints("etd", [E, -1, D]))
    h = net("Add", "hb", net("MatMul", "h", xe, w1), b1)
    last, step = net.ints("axis2", [2]), net.ints("step2", [2])
    end = net.ints("end", [2 * H])
    gate = net("Slice", "gatehalf", h, net.ints("from0", [0]), end, last, step)
    up = net("Slice", "uphalf", h, net.ints("from1", [1]), end, last, step)
    gate = net("Min", "clipped", gate, net.real("seven", 7))
    swish = net("Mul", "swish", gate, net("Sigmoid", "sg", net("Mul", "g17", gate, net.real("alpha", 1.702))))
    a = net("Mul", "a", net("Add", "up1", up, net.real("onef", 1)), swish)
    o = net("Add", "ob", net("MatMul", "o", a, w2), net.weight("b2", net.b2[:, None, :]))
    weighed = net("Mul", "weighed", o, transposed(net, r))
    return net("ReduceSum", "sum", weighed, net.ints("zero0", [0]), keepdims=0)


def rows_first(net, r):
    """[T,E,1,D] @ [E,D,H]."""
    w1, w2 = stacks(net)
    x4 = net("Unsqueeze", "x4", "x", net.ints("middle", [1, 2]))
    o = net("MatMul", "o", net.relu("a", net("MatMul", "h", x4, w1)), w2)
    o = net("Squeeze", "o3", o, net.ints("two", [2]))  # [T,E,D]
    weighed = net("Mul", "weighed", net("Unsqueeze", "r3", r, net.ints("two", [2])), o)
    return net("ReduceSum", "sum", weighed, net.ints("one", [1]), keepdims=0)


def einsums(net, r):
    w1, w2 = stacks(net)
    h = net("Einsum", "h", "x", w1, equation="td,edh->teh")
    o = net("Einsum", "o", net.relu("a", h), w2, equation="teh,ehd->ted")
    return net("Einsum", "sum", r, o, equation="te,ted->td")


def einsum_of_three(net, r):
    w1, w2 = stacks(net)
    h = net("Einsum", "h", "x", w1, equation="td,edh->eth")
    return net("Einsum", "sum", net.relu("a", h), w2, r, equation="eth,ehd,te->td")


def one_wide_product(net, r):
    """All experts' columns side by side, [D,E*H]."""
    wide = net.weight("wide", net.w1.transpose(1, 0, 2).reshape(D, E * H))
    h = net("Reshape", "h3", net("MatMul", "h", "x", wide), net.ints("teh", [-1, E, H]))
    a = net("Transpose", "a3", net.relu("a", h), perm=[1, 0, 2])
    o = net("MatMul", "o", a, net.weight("w2", net.w2))
    weighed = net("Mul", "weighed", o, transposed(net, r))
    return net("ReduceSum", "sum", weighed, net.ints("zero0", [0]), keepdims=0)


def expert(net, e, rows):
    h = net("Gemm", f"h{e}", rows, net.weight(f"w1.{e}", net.w1[e]), net.weight(f"b1.{e}", net.b1[e]))
    a = net("Gelu", f"a{e}", h)
    w2 = net.weight(f"w2.{e}", net.w2[e].T.copy())
    return net("Gemm", f"o{e}", a, w2, net.weight(f"b2.{e}", net.b2[e]), transB=1)


def column(net, r, e):
    axis = net.ints("one", [1])
    return net("Slice", f"r{e}", r, net.ints(f"at{e}", [e]), net.ints(f"to{e}", [e + 1]), axis)


def one_after_another(net, r):
    total = "x"
    for e in range(E):
        term = net("Mul", f"term{e}", column(net, r, e), expert(net, e, "x"))
        total = net("Add", f"sum{e}", total, term)
    return total


def one_after_another_by_ids(net, r):
    """Each expert's weight is found by comparing ids with its number."""
    total = net("Mul", "nothing", "x", net.real("zero", 0))
    for e in range(E):
        hit = net("Equal", f"hit{e}", net.ids, net.ints(f"number{e}", e))
        mine = net("Where", f"mine{e}", hit, net.weights, net.real("zero", 0))
        weight = net("ReduceSum", f"weight{e}", mine, net.ints("last", [-1]), keepdims=1)
        total = net("Add", f"sum{e}", total, net("Mul", f"term{e}", expert(net, e, "x"), weight))
    return total


def one_after_another_gathered(net, r):
    """Columns by Gather, joined by one Sum."""
    terms = []
    for e in range(E):
        mine = net("Gather", f"r{e}", r, net.ints(f"number{e}", e), axis=1)  # [T]
        weight = net("Unsqueeze", f"rc{e}", mine, net.ints("last", [-1]))
        terms.append(net("Mul", f"term{e}", weight, expert(net, e, "x")))
    return net("Sum", "sum", *terms)


def split_columns(net, r):
    """Columns by Split; weighted results joined, and added up."""
    columns = [f"r{e}" for e in range(E)]
    net.graph.node("Split", [r], "split", columns, num_outputs=E, axis=1)
    terms = [net("Mul", f"term{e}", expert(net, e, "x"), columns[e]) for e in range(E)]
    parts = [net("Unsqueeze", f"part{e}", term, net.ints("zero0", [0])) for e, term in enumerate(terms)]
    joined = net("Concat", "joined", *parts, axis=0)
    return net("ReduceSum", "sum", joined, net.ints("zero0", [0]), keepdims=0)


def product_of_rows(net, r):
    """[T,1,E] times [T,E,D]."""
    w1, w2 = stacks(net)
    h = net("Einsum", "h", "x", w1, equation="td,edh->teh")
    o = net("Einsum", "o", net.relu("a", h), w2, equation="...eh,ehd->...ed")
    row = net("Unsqueeze", "row", r, net.ints("one", [1]))
    return net("Squeeze", "sum", net("MatMul", "bmm", row, o), net.ints("one", [1]))


def cut_into_sequences(net, r):
    """Tiled rows, and results that are cut into [E,T,1,D] before the sum."""
    w1, w2 = stacks(net)
    tiled = net("Tile", "tiled", "x", net.ints("reps2", [E, 1]))
    xe = net("Reshape", "xe", tiled, net.ints("etd", [E, -1, D]))
    o = net("MatMul", "o", net.relu("a", net("MatMul", "h", xe, w1)), w2)
    o = net("Reshape", "o4", o, net.ints("ebsd", [E, -1, 1, D]))
    weight = net("Reshape", "r4", net("Transpose", "rt", r, perm=[1, 0]), net.ints("ebs", [E, -1, 1]))
    weighed = net("Mul", "weighed", o, net("Unsqueeze", "r5", weight, net.ints("last", [-1])))
    total = net("ReduceSum", "sum", weighed, net.ints("zero0", [0]), keepdims=0)
    return net("Reshape", "flat", total, net.ints("td", [-1, D]))


def stacked(net, r):
    """Results of all experts joined, then weighed."""
    parts = [
        net("Unsqueeze", f"part{e}", expert(net, e, "x"), net.ints("one", [1])) for e in range(E)
    ]
    joined = net("Concat", "joined", *parts, axis=1)  # [T,E,D]
    return net("Einsum", "sum", joined, r, equation="ted,te->td")


def weighted_input(net, r):
    """llama4: x times the weight goes in."""
    w1, w2 = stacks(net)
    tiled = net("Tile", "tiled", "x", net.ints("reps2", [E, 1]))
    flat = net("Reshape", "rflat", net("Transpose", "rt", r, perm=[1, 0]), net.ints("column", [-1, 1]))
    xe = net("Reshape", "xe", net("Mul", "xr", tiled, flat), net.ints("etd", [E, -1, D]))
    a = net("MatMul", "h", xe, w1)
    o = net("MatMul", "o", net("Mul", "a", a, net("Sigmoid", "sg", a)), w2)
    o = net("Reshape", "o3", o, net.ints("etd", [E, -1, D]))
    return net("ReduceSum", "sum", o, net.ints("zero0", [0]), keepdims=0)


def weighted_hidden(net, r):
    """The weight between the two products."""
    w1, w2 = stacks(net)
    x3 = net("Unsqueeze", "x3", "x", net.ints("zero0", [0]))
    a = net.relu("a", net("MatMul", "h", x3, w1))
    o = net("MatMul", "o", net("Mul", "ar", a, transposed(net, r)), w2)
    return net("ReduceSum", "sum", o, net.ints("zero0", [0]), keepdims=0)


DISPATCHES = {
    f.__name__: f
    for f in (
        batched,
        tiled_with_biases,
        rows_first,
        einsums,
        einsum_of_three,
        one_wide_product,
        one_after_another,
        one_after_another_by_ids,
        one_after_another_gathered,
        split_columns,
        product_of_rows,
        cut_into_sequences,
        stacked,
        weighted_input,
        weighted_hidden,
    )
}
FORMS = {f"{name}-scattered": (scattered, f) for name, f in DISPATCHES.items()}
FORMS |= {f"batched-{name}": (f, batched) for name, f in MATRICES.items() if name != "scattered"}
FORMS["one_after_another-one_hot"] = (one_hot, one_after_another)
FORMS["weighted_input-sigmoid_of_infinity"] = (sigmoid_of_infinity, weighted_input)


MODELS = {}


def model_of(build, form, k=K):
    """Where the model is: written once, so that its libraries are made once."""
    if (form, k) not in MODELS:
        matrix, dispatch = FORMS[form]
        net = Layer(k)
        MODELS[form, k] = build.graph(net.finish(dispatch(net, matrix(net))))
    return MODELS[form, k]



def sequences():
    """gpt_oss as optimum writes it: x [B,S,D], tiled, cut into [E,B,S,D] at the end."""
    net = Layer()
    net.graph.inputs = []
    net.graph.input("x3", ["B", "S", D])
    flat = onnx.helper.make_node("Reshape", ["x3", "td"], ["x"], name="flat")
    net.graph.nodes.insert(0, flat)
    net.ints("td", [-1, D])
    w1, w2 = stacks(net)
    r = scattered(net)
    tiled = net("Tile", "tiled", "x", net.ints("reps2", [E, 1]))
    xe = net("Reshape", "xe", tiled, net.ints("etd", [E, -1, D]))
    o = net("MatMul", "o", net.relu("a", net("MatMul", "h", xe, w1)), w2)
    size = net("Shape", "size", "x3")
    parts = [net("Slice", f"size{i}", size, net.ints(f"i{i}", [i]), net.ints(f"i{i + 1}", [i + 1])) for i in (0, 1, 2)]
    experts = net.ints("experts", [E])
    o = net("Reshape", "o4", o, net("Concat", "ebsd", experts, *parts, axis=0))
    cut = net("Concat", "ebs", experts, *parts[:2], axis=0)
    weight = net("Reshape", "r3", net("Transpose", "rt", r, perm=[1, 0]), cut)
    weighed = net("Mul", "weighed", o, net("Unsqueeze", "r4", weight, net.ints("last", [-1])))
    y = net("ReduceSum", "sum", weighed, net.ints("zero0", [0]), keepdims=0)
    net.graph.node("Identity", [y], "end", ["y"])
    net.graph.output("y", ["B", "S", D])
    return net.graph


def einsums_of_sequences():
    """The same with batches and positions in the equations."""
    net = Layer()
    net.graph.inputs = []
    net.graph.input("x3", ["B", "S", D])
    net.graph.nodes.clear()
    logits = net("MatMul", "logits3", "x3", "gate")
    net.graph.node("TopK", [logits, "k"], "top", ["best", "chosen"])
    size = net("Shape", "rshape", logits)
    zeros = net("Expand", "rzeros", net.real("rvalue", 0), size)
    r = net("ScatterElements", "r", zeros, "chosen", net("Softmax", "p", "best"), axis=2)
    w1, w2 = stacks(net)
    h = net("Einsum", "h", "x3", w1, equation="bsd,edh->bseh")
    o = net("Einsum", "o", net.relu("a", h), w2, equation="bseh,ehd->bsed")
    y = net("Einsum", "sum", o, r, equation="bsed,bse->bsd")
    net.graph.node("Identity", [y], "end", ["y"])
    net.graph.output("y", ["B", "S", D])
    return net.graph


def sequences_by_arg_max():
    """Switch: one expert for each position of x [B,S,D], the largest score its weight."""
    net = Layer()
    net.graph.inputs = []
    net.graph.input("x3", ["B", "S", D])
    net.graph.nodes.clear()
    scores = net("Softmax", "p3", net("MatMul", "logits3", "x3", "gate"))
    ids = net("ArgMax", "top", scores, axis=-1, keepdims=0)
    hot = net("OneHot", "hot", ids, net.ints("E", E), net.weight("values", np.array([0, 1], np.float32)))
    r = net("Mul", "r", hot, scores)
    w1, w2 = stacks(net)
    h = net("Einsum", "h", "x3", w1, equation="bsd,edh->bseh")
    o = net("Einsum", "o", net.relu("a", h), w2, equation="bseh,ehd->bsed")
    y = net("Einsum", "sum", o, r, equation="bsed,bse->bsd")
    net.graph.node("Identity", [y], "end", ["y"])
    net.graph.output("y", ["B", "S", D])
    return net.graph


@pytest.mark.parametrize("form", [sequences, einsums_of_sequences, sequences_by_arg_max])
def test_batches_of_sequences(build, tmp_path, form):
    model = build.graph(form())
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert site["note"].startswith("by row guard: ") and site["name"] == "top"
    session = runtime(model)
    with build.load(model) as lib:
        for shape in ((1, 7), (7, 1), (3, 4), (2, 0)):
            x = np.random.default_rng(8).standard_normal((*shape, D)).astype(np.float32)
            expected = session.run(None, {"x3": x})[0] if x.size else x
            assert_near(lib(x3=x)["y"], expected)


def rows_of(count, seed=3):
    return np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)


def runtime(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("form", FORMS)
def test_form(build, form):
    model = model_of(build, form)
    session = runtime(model)
    with build.load(model) as lib:
        for count in (1, 2, 7, 64):
            x = rows_of(count)
            assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert lib(x=x[:0])["y"].shape == (0, D)
        x = np.repeat(x[:1], 9, 0)  # all to the same experts
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])


@pytest.mark.parametrize("form", FORMS)
def test_form_is_experts(build, tmp_path, form):
    """What is found, what is counted, and that a row's result depends on no other."""
    model = model_of(build, form)
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    report = json.loads(report.read_text())
    (site,) = report["sites"]
    assert (site["name"], site["kind"], site["groups"]) == ("top", "experts", E)
    assert site["note"].startswith("by row guard: ") and len(site["nodes"]) >= 2
    assert "gate.combine" in text
    x = rows_of(33, 5)
    logits = x.astype(np.float64) @ Layer().gate
    best = np.argsort(-logits, axis=1, kind="stable")[:, :K]
    # Some would be skipped by their weights of zero, one expert after another.
    passes = [PASS, "select-weighted"]
    with build.load(model) as lib, build.load(model, disable=passes) as plain:
        y = lib(x=x)["y"]
        assert_near(y, plain(x=x)["y"])
        assert lib.stats()["sites"][0]["groups"] == np.bincount(best.ravel(), minlength=E).tolist()
        assert plain.stats()["sites"] == []
        for row in (0, 7, 32):
            assert_same_bits(lib(x=x[row : row + 1]), {"y": y[row : row + 1]})


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_are_not_finite_or_too_large(build, form):
    """They get what the graph as it is written gives, and do not touch others."""
    model = model_of(build, form)
    clean = rows_of(12, 6)
    others = np.delete(np.arange(12), [4, 9])
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        for value in (np.nan, np.inf, -np.inf, 3e38, -1e30):
            x = clean.copy()
            x[4, 2] = x[9, 0] = value
            y, expected = lib(x=x)["y"], plain(x=x)["y"]
            assert_same_bits({"y": y[others]}, {"y": lib(x=clean)["y"][others]})
            np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
            np.testing.assert_array_equal(y[np.isinf(y)], expected[np.isinf(expected)])
            finite = np.isfinite(expected)
            np.testing.assert_allclose(y[finite], expected[finite], rtol=1e-4, atol=1e-4)
            x[:] = value
            np.testing.assert_array_equal(np.isnan(lib(x=x)["y"]), np.isnan(plain(x=x)["y"]))


@pytest.mark.parametrize("form", ["batched", "one_after_another"])
def test_a_skipped_expert_that_overflows(build, form):
    """Zero times its infinity is NaN, though nothing that a row chose is infinite."""
    net = Layer()
    net.w1[3] *= np.float32(1e19)
    net.w2[3] *= np.float32(1e19)
    model = build.graph(net.finish(DISPATCHES[form](net, scattered(net))))
    x = rows_of(40)
    x = x[~(np.argsort(-(x @ net.gate), 1)[:, :K] == 3).any(1)] * np.float32(0.5)
    x[::2] *= np.float32(1e3)
    with (
        build.load(model) as lib,
        build.load(model, disable=PASS) as plain,
        build.load(model, assume_finite=True) as assumed,
    ):
        y = lib(x=x)["y"]
        assert np.isnan(y).any() and np.isfinite(y).any()
        np.testing.assert_array_equal(np.isnan(y), np.isnan(plain(x=x)["y"]))
        assert np.isfinite(assumed(x=x)["y"]).all()


def test_weights_may_be_zero_or_negative_and_scores_may_tie(build):
    net = Layer(router="logits")
    net.weights = net("Round", "rounded", "best")
    model = build.graph(net.finish(batched(net, scattered(net))))
    session = runtime(model)
    x = rows_of(64) / 2
    x[:8] = 0  # all logits equal
    with build.load(model) as lib:
        assert (np.round(np.sort(x @ net.gate, 1)[:, -K:]) == 0).any()
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        lib(x=np.zeros((3, D), np.float32))
        assert lib.stats()["sites"][0]["groups"] == [3, 3, 0, 0]


def test_more_weights_than_chosen(build):
    """Ties that a threshold lets through run all experts."""
    model = model_of(build, "batched-thresholded")
    x = rows_of(9)
    x[3] = 0
    with build.load(model) as lib, build.load(model, disable=PASS) as plain:
        assert_near(lib(x=x)["y"], plain(x=x)["y"])


def test_many_experts_one_after_another(build, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "E", 130)
    net = Layer()
    model = build.graph(net.finish(one_after_another_by_ids(net, None)))
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert site["groups"] == 130 and "beside" not in site["note"]


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize(
    "form", ["batched", "weighted_input", "one_after_another_by_ids", "cut_into_sequences"]
)
def test_number_of_rows_that_is_known(build, form, rows):
    net = Layer()
    graph = net.finish(DISPATCHES[form](net, scattered(net)))
    graph.inputs, graph.outputs = [], []
    graph.input("x", [rows, D])
    graph.output("y", [rows, D])
    model = build.graph(graph)
    x = rows_of(rows)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], runtime(model).run(None, {"x": x})[0])
        x[0, 0] = np.nan
        assert np.isnan(lib(x=x)["y"][0]).all()
        # One row's experts are skipped one by one, or all run.
        kinds = {site["kind"] for site in lib.stats()["sites"]}
        assert "experts" in kinds if rows > 1 else kinds <= {"skip"}


@pytest.mark.parametrize("matrix", MATRICES)
def test_report_says_what_is_tested(build, tmp_path, matrix):
    form = "batched-" + matrix
    report = tmp_path / "report.json"
    gatecc.compile(model_of(build, form), compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    tests_weights = "a weight that is not zero beside them" in site["note"]
    assert tests_weights == (matrix in ("one_hot", "one_hot_of_scores", "thresholded", "normalised"))
    assert "an input that is NaN or larger than" in site["note"]


@pytest.mark.parametrize("form", FORMS)
def test_assumed_finite(build, tmp_path, form):
    model = model_of(build, form)
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report, assume_finite=True)
    (site,) = json.loads(report.read_text())["sites"]
    if form == "batched-thresholded":
        assert "by row guard: " in site["note"] and "NaN" not in site["note"]
    else:
        assert "by --assume-finite: " in site["note"] and "gate.partition" not in text
    x = rows_of(20)
    with build.load(model) as lib, build.load(model, assume_finite=True) as assumed:
        assert_same_bits(assumed(x=x), lib(x=x))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("form", ["batched-scattered", "weighted_input-scattered", "one_after_another-one_hot"])
def test_other_numbers_of_choices(build, form, k):
    model = model_of(build, form, k)
    session = runtime(model)
    x = rows_of(17)
    with build.load(model) as lib:
        assert_near(lib(x=x)["y"], session.run(None, {"x": x})[0])
        assert sum(lib.stats()["sites"][0]["groups"]) == k * 17


def test_rows_of_a_table_are_finite(build, tmp_path):
    """Inputs that are looked up have the table's bounds: nothing is tested."""
    net = Layer()
    net.graph.inputs = []
    net.graph.input("tokens", ["T"], onnx.TensorProto.INT64)
    table = net.weight("table", rows_of(10))
    lookup = onnx.helper.make_node("Gather", [table, "tokens"], ["x"], name="embed")
    net.graph.nodes.insert(0, lookup)
    model = build.graph(net.finish(batched(net, scattered(net))))
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert site["note"].startswith("by proof: ") and "gate.partition" not in text
    tokens = np.array([0, 9, 3, 3, 5])
    with build.load(model) as lib:
        expected = runtime(model).run(None, {"tokens": tokens})[0]
        assert_near(lib(tokens=tokens)["y"], expected)


def refusal(build, tmp_path, graph):
    model = build.graph(graph)
    report = tmp_path / "report.json"
    gatecc.compile(model, compile_to="gate", report=report)
    report = json.loads(report.read_text())
    assert report["sites"] == []
    x = rows_of(8)
    with build.load(model) as lib:
        actual, expected = lib(x=x)["y"], runtime(model).run(None, {"x": x})[0]
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
        assert_near(np.nan_to_num(actual), np.nan_to_num(expected))
    (entry,) = [each for each in report["refused"] if each["kind"] == "experts"]
    return entry["reason"]


def test_soft_weights_are_refused(build, tmp_path):
    net = Layer()
    net.graph.nodes.pop()  # the top-k
    reason = refusal(build, tmp_path, net.finish(batched(net, net.scores)))
    assert "no top-k is behind the weights" in reason


def test_weights_that_are_not_finite_are_refused(build, tmp_path):
    net = Layer()
    net.w1[2, 1, 1] = np.inf
    reason = refusal(build, tmp_path, net.finish(batched(net, scattered(net))))
    assert "--assume-finite" in reason


def test_biases_behind_weighted_inputs_are_refused(build, tmp_path):
    net = Layer()
    r = scattered(net)
    total = net("Mul", "nothing", "x", net.real("zero", 0))
    for e in range(E):
        rows = net("Mul", f"in{e}", "x", column(net, r, e))
        total = net("Add", f"sum{e}", total, expert(net, e, rows))
    reason = refusal(build, tmp_path, net.finish(total))
    assert "its input is weighted" in reason
