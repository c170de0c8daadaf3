# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Rows that an index tensor selects: gathered, worked on, scattered back. Small models of
# each spelling against ONNX Runtime, and, bit for bit, against the library that was
# compiled without raising them.
import json

import numpy as np
import onnxruntime
import pytest
from compare import assert_close, assert_same_bits
from onnx import TensorProto

import gatecc
from gatecc.models.graph import Graph

D, H, C = 6, 10, 3
I64 = TensorProto.INT64


class Rows:
    """A graph on x [T,D] or [B,S,D], with `gate` [T] or [B,S] to select by."""

    def __init__(self, rank=2):
        self.graph = Graph("rows")
        self.rng = np.random.default_rng(3)
        self.dims = ["T"] if rank == 2 else ["B", "S"]
        self.graph.input("x", [*self.dims, D])
        self.graph.input("gate", self.dims)
        for name, value in {
            "zero": np.float32(0), "one": 1, "two": 2, "axis0": [0], "axis1": [1],
            "axis2": [2], "flat": [-1], "column": [-1, 1], "row_shape": [1, D],
            "token_shape": [1, 1, D], "head": [0, 0, D], "n0": 0,
        }.items():  # fmt: skip
            self.graph.weight(name, np.asarray(value))

    def __call__(self, op, name, *inputs, outputs=None, **attributes):
        return self.graph.node(op, list(inputs), name, outputs, **attributes)

    def weight(self, name, *shape):
        scale = 1 / np.sqrt(shape[0])
        return self.graph.weight(name, self.rng.normal(0, scale, shape).astype(np.float32))

    def mlp(self, x, name="f"):
        up = self("MatMul", name + "1", x, self.weight(name + "w1", D, H))
        return self("MatMul", name + "2", self("Relu", name + "r", up), self.weight(name + "w2", H, D))

    def keep(self):
        return self("Greater", "keep", "gate", "zero")

    def positions(self, mask, name="at"):
        """[n, rank]: index vectors, as index_put takes them."""
        return self("Transpose", name, self("NonZero", name + "/nonzero", mask), perm=[1, 0])

    def finish(self, result, dims=None):
        self("Identity", "end", result, outputs=["y"])
        self.graph.output("y", dims or [*self.dims, D])
        return self.graph


def vectors():
    g = Rows()
    at = g.positions(g.keep())
    rows = g.mlp(g("GatherND", "rows", "x", at))
    return g.finish(g("ScatterND", "put", "x", at, rows))


def added():
    """scatter_add with indices that are expanded to the rows."""
    g = Rows()
    at = g("Squeeze", "at", g("NonZero", "nonzero", g.keep()), "axis0")
    rows = g("Gather", "rows", "x", at)
    new = g("Sub", "delta", g("Add", "residual", rows, g.mlp(rows)), rows)
    wide = g("Unsqueeze", "wide", at, "axis1")
    shape = g("Concat", "shape", g("Shape", "count", at), g.graph.weight("d", np.array([D])), axis=0)
    index = g("Expand", "index", wide, shape)
    return g.finish(g("ScatterElements", "put", "x", index, new, axis=0, reduction="add"))


def compressed():
    g = Rows()
    keep = g.keep()
    size = g("Squeeze", "size", g("Shape", "shape", "x", start=0, end=1))
    ids = g("Compress", "ids", g("Range", "all", "n0", size, "one"), keep, axis=0)
    rows = g.mlp(g("Compress", "rows", "x", keep, axis=0))
    base = g("Mul", "base", "x", "x")
    return g.finish(g("ScatterND", "put", base, g("Unsqueeze", "at", ids, "axis1"), rows))


def wrapped():
    """Indices of 32 bits, of which negative ones would count from the end."""
    g = Rows()
    raw = g("Reshape", "flat_at", g("NonZero", "nonzero", g.keep()), "flat")
    at = g("Cast", "at32", raw, to=TensorProto.INT32)
    back = g("Cast", "back", at, to=I64)
    size = g("Squeeze", "size", g("Shape", "shape", "x", start=0, end=1))
    low = g("Less", "low", back, "n0")
    at = g("Where", "at", low, g("Add", "from_end", back, size), back)
    rows = g.mlp(g("Gather", "rows", "x", at))
    return g.finish(g("ScatterND", "put", "x", g("Reshape", "vector", at, "column"), rows))


def dropped():
    """The rows that are not kept, and zeros elsewhere."""
    g = Rows()
    at = g.positions(g("Not", "drop", g.keep()))
    rows = g.mlp(g("GatherND", "rows", "x", at))
    zeros = g("ConstantOfShape", "zeros", g("Shape", "shape", "x"))
    return g.finish(g("ScatterND", "put", zeros, at, rows))


def both():
    """Kept and dropped rows, each with work of their own."""
    g = Rows()
    keep = g.keep()
    kept, others = g.positions(keep), g.positions(g("Not", "drop", keep), "others")
    zeros = g("ConstantOfShape", "zeros", g("Shape", "shape", "x"))
    first = g.mlp(g("GatherND", "rows", "x", kept))
    second = g.mlp(g("GatherND", "rest", "x", others), "h")
    once = g("ScatterND", "put", zeros, kept, first)
    return g.finish(g("ScatterND", "put2", once, others, second))


def tokens():
    """x[mask] with a mask of batches and tokens."""
    g = Rows(3)
    at = g.positions(g.keep())
    rows = g.mlp(g("GatherND", "rows", "x", at))
    return g.finish(g("ScatterND", "put", "x", at, rows))


def split_tokens():
    """The same with coordinates that are taken apart and put together again."""
    g = Rows(3)
    found = g("NonZero", "nonzero", g.keep())
    g("Split", "split", found, outputs=["b", "s"], axis=0, num_outputs=2)
    columns = [g("Reshape", n + "c", n, "column") for n in "bs"]
    at = g("Concat", "at", *columns, axis=1)
    rows = g.mlp(g("GatherND", "rows", "x", at))
    return g.finish(g("ScatterND", "put", "x", at, rows, reduction="add"))


def half(g):
    size = g("Squeeze", "size", g("Shape", "shape", "gate", start=1, end=2))
    return g("Reshape", "k", g("Div", "halved", size, "two"), "flat")


def depths():
    """Mixture of depths: the best half of the tokens, in their order, weighted."""
    g = Rows(3)
    g("TopK", "top", "gate", half(g), outputs=["best", "chosen"], axis=1)
    count = g("Shape", "count", "chosen", start=1, end=2)
    g("TopK", "sort", "chosen", count, outputs=["at", "order"], axis=1, largest=0)
    weight = g("GatherElements", "weight", "best", "order", axis=1)
    wide = g("Unsqueeze", "wide", "at", "axis2")
    index = g("Expand", "index", wide, "token_shape")
    rows = g("GatherElements", "rows", "x", index, axis=1)
    new = g("Mul", "scaled", g.mlp(rows), g("Unsqueeze", "w", g("Sigmoid", "s", weight), "axis2"))
    return g.finish(g("ScatterElements", "put", "x", index, new, axis=1, reduction="add"))


def chosen():
    """k tokens of each batch, by coordinates: x[arange(B)[:, None], i]."""
    g = Rows(3)
    g("TopK", "top", "gate", g.graph.weight("k", np.array([2])), outputs=["best", "at"], axis=1)
    size = g("Squeeze", "size", g("Shape", "shape", "x", start=0, end=1))
    batch = g("Unsqueeze", "b1", g("Range", "batches", "n0", size, "one"), "axis1")
    batch = g("Expand", "b", batch, g("Shape", "grid", "at"))
    pair = [g("Unsqueeze", n + "u", v, "axis2") for n, v in (("b", batch), ("s", "at"))]
    at = g("Concat", "pairs", *pair, axis=2)
    rows = g.mlp(g("GatherND", "rows", "x", at))
    return g.finish(g("ScatterND", "put", "x", at, rows))


def batched():
    """The same by GatherND with a batch dimension."""
    g = Rows(3)
    g("TopK", "top", "gate", g.graph.weight("k", np.array([2])), outputs=["best", "at"], axis=1)
    rows = g.mlp(g("GatherND", "rows", "x", g("Unsqueeze", "vector", "at", "axis2"), batch_dims=1))
    index = g("Expand", "index", g("Unsqueeze", "wide", "at", "axis2"), "token_shape")
    return g.finish(g("ScatterElements", "put", "x", index, rows, axis=1))


FORMS = [vectors, added, compressed, wrapped, dropped, both, tokens, split_tokens, depths,
         chosen, batched]  # fmt: skip
BATCHED = (tokens, split_tokens, depths, chosen, batched)


def feeds(form):
    """Random rows, then each edge: none, all, one row, ties, no rows."""
    rng = np.random.default_rng(4)
    shapes = [(3, 8), (1, 5), (2, 2)] if form in BATCHED else [(9,), (1,), (64,)]
    for shape in shapes:
        x = rng.normal(size=(*shape, D)).astype(np.float32)
        for gate in (
            rng.normal(size=shape),
            np.full(shape, -1.0),
            np.ones(shape),
            np.arange(np.prod(shape)).reshape(shape) == 0,
            np.where(rng.random(shape) < 0.5, 0.0, 1.0),
        ):
            yield {"x": x, "gate": gate.astype(np.float32)}


@pytest.fixture(scope="module")
def libraries(build, tmp_path_factory):
    made = {}

    def of(form):
        if form not in made:
            path = build.graph(form())
            report = tmp_path_factory.mktemp("report") / "r.json"
            build.path(path, report=report)
            made[form] = (
                build.load(path, report=report),
                build.load(path, disable=["form-selections"]),
                onnxruntime.InferenceSession(path),
                json.loads(report.read_text()),
            )
        return made[form]

    return of


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_form(libraries, form):
    library, plain, session, _ = libraries(form)
    for feed in feeds(form):
        got = library(feed)
        assert_same_bits(got, plain(feed))
        assert_close(got["y"], session.run(None, feed)[0])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_values_that_are_not_numbers(libraries, form):
    library, plain, _, _ = libraries(form)
    for feed in feeds(form):
        feed["gate"].flat[::3] = np.nan
        feed["x"].flat[::7] = np.inf
        assert_same_bits(library(feed), plain(feed))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_no_rows(libraries, form):
    library, plain, _, _ = libraries(form)
    for shape in [(0, 4)] if form in BATCHED else [(0,)]:
        feed = {"x": np.zeros((*shape, D), np.float32), "gate": np.zeros(shape, np.float32)}
        assert_same_bits(library(feed), plain(feed))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_report_and_statistics(libraries, form):
    library, plain, _, report = libraries(form)
    assert len(plain.sites) == 0
    is_top = form in (depths, chosen, batched)
    nodes = [["f1", "f2"], ["h1", "h2"]] if form is both else [["f1", "f2"]]
    assert [site["nodes"] for site in report["sites"]] == nodes
    assert report["sites"][0]["name"] == ("top" if is_top else "drop" if form is dropped else "keep")
    for feed in feeds(form):
        library(feed)
        kept = feed["gate"] > 0
        rows, count = kept.size, kept.sum()
        if is_top:
            size = kept.shape[1]
            count = len(kept) * (size // 2 if form is depths else 2)
        if form is dropped:
            count = rows - count
        sites = library.stats()["sites"]
        for site, expected in zip(sites, [count, rows - count], strict=False):
            assert site["rows"] == rows
            run = site["groups"][0] if site["kind"] != "exit" else site["groups"][1]
            assert run == expected


class Stages(Rows):
    """Stages on x [B,S,D] that rows leave after, as gate [B,2] says, each with a head."""

    def __init__(self):
        super().__init__(3)
        self.graph.inputs.pop()
        self.graph.input("gate", ["B", 2])
        size = self("Squeeze", "size", self("Shape", "shape", "x", start=0, end=1))
        self.ids = self("Range", "all", "n0", size, "one")

    def stage(self, x, i):
        return self("Add", f"h{i}", x, self.mlp(x, f"f{i}"))

    def head(self, x, i):
        mean = self("ReduceMean", f"mean{i}", x, "axis1", keepdims=0)
        return self("MatMul", f"head{i}", mean, self.weight(f"head{i}w", D, C))

    def stays(self, gate, i):
        column = self("Gather", f"gate{i}", gate, self.graph.weight(f"n{i + 1}", np.array(i)), axis=1)
        return self("Greater", f"stay{i}", column, "zero")

    def take(self, value, at, name):
        return self("GatherND", name, value, at)

    def put(self, into, ids, rows, name):
        return self("ScatterND", name, into, self("Unsqueeze", name + "/at", ids, "axis1"), rows)


def survivors(g=None):
    """Rows that stay overwrite the results of all, then of those that stayed before."""
    g = g or Stages()
    h, ids, gate = g.stage("x", 0), g.ids, "gate"
    y = g.head(h, 0)
    for i in range(2):
        at = g.positions(g.stays(gate, i), f"at{i}")
        h, ids, gate = (g.take(v, at, f"{n}{i}") for v, n in ((h, "rows"), (ids, "ids"), (gate, "g")))
        h = g.stage(h, i + 1)
        y = g.put(y, ids, g.head(h, i + 1), f"put{i}")
    return g.finish(y, ["B", C])


def leavers():
    """Results are written when rows leave: the others go on."""
    g = Stages()
    h, ids, gate = g.stage("x", 0), g.ids, "gate"
    y = g("ConstantOfShape", "zeros", g("Concat", "zs", g("Shape", "bs", "x", start=0, end=1), g.graph.weight("c", np.array([C])), axis=0))
    for i in range(2):
        stays = g.stays(gate, i)
        leave = g.positions(g("Not", f"leave{i}", stays), f"left{i}")
        y = g.put(y, g.take(ids, leave, f"lids{i}"), g.head(g.take(h, leave, f"l{i}"), i), f"put{i}")
        at = g.positions(stays, f"at{i}")
        h, ids, gate = (g.take(v, at, f"{n}{i}") for v, n in ((h, "rows"), (ids, "ids"), (gate, "g")))
        h = g.stage(h, i + 1)
    return g.finish(g.put(y, ids, g.head(h, 2), "last"), ["B", C])


def highways():
    """All have a result, from their first token; those that leave write it."""
    g = Stages()
    h, ids, gate = g.stage("x", 0), g.ids, "gate"
    y = g("ConstantOfShape", "zeros", g("Concat", "zs", g("Shape", "bs", "x", start=0, end=1), g.graph.weight("c", np.array([C])), axis=0))
    for i in range(3):
        token = g("Gather", f"token{i}", h, "n0", axis=1)
        result = g("MatMul", f"head{i}", token, g.weight(f"head{i}w", D, C))
        if i == 2:
            return g.finish(g.put(y, ids, result, "last"), ["B", C])
        stays = g.stays(gate, i)
        leave = g.positions(g("Not", f"leave{i}", stays), f"left{i}")
        y = g.put(y, g.take(ids, leave, f"lids{i}"), g.take(result, leave, f"l{i}"), f"put{i}")
        at = g.positions(stays, f"at{i}")
        h, ids, gate = (g.take(v, at, f"{n}{i}") for v, n in ((h, "rows"), (ids, "ids"), (gate, "g")))
        h = g.stage(h, i + 1)


def copied():
    """As torch.index_copy is traced: elements, at an index that is repeated along a shape."""

    class Copies(Stages):
        def put(self, into, ids, rows, name):
            shape = self("ScatterElements", name + "/shape", self("Shape", name + "/all", into), "axis0", self("Shape", name + "/n", ids))
            at = self("Expand", name + "/at", self("Unsqueeze", name + "/column", ids, "axis1"), shape)
            return self("ScatterElements", name, into, at, rows, axis=0)

    return survivors(Copies())


EXITS = [survivors, leavers, highways, copied]


def exit_feeds():
    rng = np.random.default_rng(6)
    for b in (1, 2, 17):
        x = rng.normal(size=(b, 3, D)).astype(np.float32)
        for gate in (rng.normal(size=(b, 2)), np.ones((b, 2)), -np.ones((b, 2))):
            yield {"x": x, "gate": gate.astype(np.float32)}


@pytest.mark.parametrize("form", EXITS, ids=lambda form: form.__name__)
def test_exits(libraries, form):
    library, plain, session, report = libraries(form)
    chains = [s["name"] for s in report["sites"] if (s["kind"], s["groups"]) == ("exit", 3)]
    assert chains == ["stay0"]
    for feed in exit_feeds():
        got = library(feed)
        assert_same_bits(got, plain(feed))
        assert_close(got["y"], session.run(None, feed)[0])
        stays = feed["gate"] > 0
        reached = stays[:, 0], stays[:, 0] & stays[:, 1]
        (site,) = (s for s in library.stats()["sites"] if s["name"] == "stay0")
        assert site["rows"] == len(stays)
        assert site["groups"] == [
            np.sum(~reached[0]), np.sum(reached[0] & ~reached[1]), np.sum(reached[1]),
        ]  # fmt: skip
    feed = {"x": np.zeros((0, 3, D), np.float32), "gate": np.zeros((0, 2), np.float32)}
    assert library(feed)["y"].shape == (0, C)


def attention():
    """The selected tokens see each other."""
    g = Rows()
    at = g.positions(g.keep())
    rows = g("GatherND", "rows", "x", at)
    scores = g("MatMul", "scores", rows, g("Transpose", "turned", rows, perm=[1, 0]))
    seen = g("MatMul", "seen", g("Softmax", "p", scores, axis=-1), rows)
    return g.finish(g("ScatterND", "put", "x", at, g.mlp(seen)))


def repeated():
    """Rows that data names, perhaps twice: no selection."""
    g = Rows()
    best = g("ArgMax", "best", "x", axis=1, keepdims=0)
    at = g("Unsqueeze", "at", g("Sub", "first", best, best), "axis1")
    rows = g.mlp(g("GatherND", "rows", "x", at))
    return g.finish(g("ScatterND", "put", "x", at, rows, reduction="add"))


def half_of_them():
    """Coordinates of tokens without their batches repeat."""
    g = Rows(3)
    found = g("NonZero", "nonzero", g.keep())
    g("Split", "split", found, outputs=["b", "s"], axis=0, num_outputs=2)
    at = g("Reshape", "at", "b", "column")
    rows = g.mlp(g("GatherND", "rows", "x", at))
    return g.finish(g("ScatterND", "put", "x", at, rows, reduction="add"))


def elsewhere():
    """Rows are written where others were read."""
    g = Rows()
    keep = g.keep()
    at, others = g.positions(keep), g.positions(g("Not", "drop", keep), "others")
    k = g("Shape", "k", others, start=0, end=1)
    first = g("Slice", "first", at, "axis0", g("Min", "most", k, g("Shape", "n", at, start=0, end=1)), "axis0")
    put = g("Slice", "where", others, "axis0", "most/out", "axis0")
    rows = g.mlp(g("GatherND", "rows", "x", first))
    return g.finish(g("ScatterND", "put", "x", put, rows))


def needed_twice():
    """The work of the selected rows is a result, too."""
    g = Rows()
    at = g.positions(g.keep())
    rows = g.mlp(g("GatherND", "rows", "x", at))
    g("ReduceSum", "sum", rows, "axis0", outputs=["selected"], keepdims=0)
    g.graph.output("selected", [D])
    return g.finish(g("ScatterND", "put", "x", at, rows))


REFUSED = {
    attention: "does not keep the selected rows apart",
    repeated: None,
    half_of_them: None,
    elsewhere: None,
    needed_twice: "is also needed by",
}


@pytest.mark.parametrize("form", REFUSED, ids=lambda form: form.__name__)
def test_what_stays_as_it_is(libraries, form):
    library, plain, session, report = libraries(form)
    assert report["sites"] == [] and len(library.sites) == 0
    reason = REFUSED[form]
    if reason:
        (refused,) = report["refused"]
        assert refused["kind"] == "select" and reason in refused["reason"]
    for feed in feeds(tokens if form is half_of_them else vectors):
        expected = dict(zip((o.name for o in session.get_outputs()), session.run(None, feed), strict=True))
        got = library(feed)
        assert_same_bits(got, plain(feed))
        for name, value in expected.items():
            assert_close(got[name], value)


K, G = 2, 4


def routed(g, dims, token_first):
    """A mask for each of G experts, [rows, K] or [K, rows], and the weights [rows, K]."""
    mean = g("ReduceMean", "mean", "x", "axis1", keepdims=0) if len(dims) > 1 else "x"
    logits = g("MatMul", "logits", mean, g.weight("router", D, G))
    g("TopK", "top", logits, g.graph.weight("k", np.array([K])), outputs=["best", "chosen"])
    masks = []
    for e in range(G):
        number = g.graph.weight(f"number{e}", np.array(e))
        hit = g("Equal", f"hit{e}", "chosen", number)
        masks.append(hit if token_first else g("Transpose", f"hit{e}t", hit, perm=[1, 0]))
    return masks


def at_number(g, e, row, choice, times):
    """A weight of [rows, K], read where it is among all."""
    number = g("Add", f"number_of{e}", choice, g("Mul", f"first{e}", row, g.graph.weight(f"times{e}", np.array(times))))
    return g("Gather", f"w{e}", g("Reshape", f"flat{e}", "best", "column"), number)


def whole_sequences(token_first, times=None):
    """Experts on whole sequences that they were chosen for: attention in them."""
    g = Rows(3)
    g.graph.inputs.pop()  # the gate
    total = g("Mul", "nothing", "x", "zero")
    for e, mask in enumerate(routed(g, g.dims, token_first)):
        at = g("NonZero", f"nz{e}", mask)
        g("Split", f"split{e}", at, outputs=[f"a{e}", f"b{e}"], axis=0, num_outputs=2)
        row, choice = (f"a{e}", f"b{e}") if token_first else (f"b{e}", f"a{e}")
        row = g("Squeeze", f"row{e}", row, "axis0")
        if times:
            weight = at_number(g, e, row, g("Squeeze", f"choice{e}", choice, "axis0"), times)
        else:
            pair = [g("Reshape", f"{n}{e}", v, "column") for n, v in (("rc", row), ("cc", choice))]
            weight = g("GatherND", f"w{e}", "best", g("Concat", f"at{e}", *pair, axis=1))
        seq = g("Gather", f"rows{e}", "x", row)
        keys = g("Transpose", f"keys{e}", g("MatMul", f"k{e}", seq, g.weight(f"kw{e}", D, D)), perm=[0, 2, 1])
        mixed = g("MatMul", f"mixed{e}", g("Softmax", f"p{e}", g("MatMul", f"s{e}", seq, keys), axis=-1), seq)
        out = g("Mul", f"weighed{e}", g.mlp(mixed, f"f{e}"), g("Reshape", f"by{e}", weight, g.graph.weight(f"seq{e}", np.array([-1, 1, 1]))))
        total = g("ScatterND", f"sum{e}", total, g("Unsqueeze", f"put{e}", row, "axis1"), out, reduction="add")
    return g.finish(total)


def check_sequences(build, model):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib, build.load(model, disable="form-selections") as plain:
        for shape in ((1, 1), (5, 3), (16, 2)):
            x = np.random.default_rng(9).standard_normal((*shape, D)).astype(np.float32)
            for rows in (x, np.broadcast_to(x[:1], x.shape).copy()):
                y = lib(x=rows)["y"]
                assert_close(y, session.run(None, {"x": rows})[0])
                assert_close(y, plain(x=rows)["y"])
        assert lib(x=x[:0])["y"].shape == (0, 2, D)


@pytest.mark.parametrize("times", [None, K], ids=["at-pairs", "at-numbers"])
@pytest.mark.parametrize("token_first", [True, False])
def test_choices_of_whole_sequences(build, tmp_path, token_first, times):
    model = build.graph(whole_sequences(token_first, times))
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    sites = json.loads(report.read_text())["sites"]
    assert len(sites) == G and all(site["rows"] == "B" for site in sites)
    assert text.count("gate.merge") == G and "gate.scatter" not in text
    check_sequences(build, model)


@pytest.mark.parametrize("token_first", [True, False])
def test_a_partial_sum_may_be_an_output(build, token_first):
    """What the first two experts have added is an output, and what the others add to."""
    graph = whole_sequences(token_first)
    graph.output("sum1/out", ["B", "S", D])
    model = build.graph(graph)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with build.load(model) as lib:
        for rows in (1, 9):
            x = np.random.default_rng(9).standard_normal((rows, 2, D)).astype(np.float32)
            actual = lib(x=x)
            for name, expected in zip(("y", "sum1/out"), session.run(None, {"x": x})):
                assert_close(actual[name], expected)


def test_numbers_of_other_slots(build):
    """row + choice is the number of another row's weight."""
    model = build.graph(whole_sequences(True, 1))
    assert "gate.scatter" in gatecc.compile(model, compile_to="gate")
    check_sequences(build, model)


def written_for_choices():
    """[rows, K, D]: a row is read for each of its choices."""
    g = Rows()
    g.graph.inputs.pop()
    size = g("Shape", "size", "x", start=0, end=1)
    shape = g("Concat", "shape", size, g.graph.weight("kd", np.array([K, D])), axis=0)
    total = g("ConstantOfShape", "zeros", shape)
    for e, mask in enumerate(routed(g, g.dims, True)):
        at = g.positions(mask, f"at{e}")
        row = g("Gather", f"row{e}", at, "axis0", axis=1)
        total = g("ScatterND", f"put{e}", total, at, g.mlp(g("GatherND", f"rows{e}", "x", row), f"f{e}"))
    return g.finish(total, ["T", K, D])


def test_written_for_choices(build):
    model = build.graph(written_for_choices())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(9).standard_normal((9, D)).astype(np.float32)
    with build.load(model) as lib:
        assert_close(lib(x=x)["y"], session.run(None, {"x": x})[0])


def element_by_element(rank, cut, base="zeros"):
    """y[mask] = rows, as exporters write it: a mask of all elements and flat rows."""
    g = Rows(rank)
    keep = g.keep()
    rows = g.mlp(g("GatherND", "rows", "x", g.positions(keep)))
    size = g("Shape", "shape", "x")
    last = g.graph.weight("last", np.array([rank - 1]))
    wide = g("Expand", "wide", g("Unsqueeze", "narrow", keep, last), size)
    at = g.positions(wide, "elements")
    flat = g("Reshape", "flat_rows", rows, "flat")
    if cut:
        count = g("Shape", "count", at, start=0, end=1)
        flat = g("Slice", "cut", flat, "axis0", count, "axis0")
    zeros = g("ConstantOfShape", "zeros", size) if base == "zeros" else "x"
    return g.finish(g("ScatterND", "put", zeros, at, flat))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("rank", [2, 3])
def test_element_by_element(build, tmp_path, rank, cut):
    model = build.graph(element_by_element(rank, cut))
    report = tmp_path / "report.json"
    text = gatecc.compile(model, compile_to="gate", report=report)
    (site,) = json.loads(report.read_text())["sites"]
    assert site["groups"] == 2 and "gate.merge" in text and "gate.scatter" not in text
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(4)
    with build.load(model) as lib:
        for shape in ((1,), (9,), (64,)) if rank == 2 else ((1, 1), (3, 8)):
            x = rng.normal(size=(*shape, D)).astype(np.float32)
            for gate in (rng.normal(size=shape), np.full(shape, -1.0), np.ones(shape)):
                run = {"x": x, "gate": gate.astype(np.float32)}
                assert_close(lib(**run)["y"], session.run(None, run)[0])
