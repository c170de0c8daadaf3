# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# If, Loop and Scan against ONNX Runtime: bodies with products, values from
# around them and inside each other, in every form that carries, collects or ends.
import threading
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.backend.test.case.node import collect_testcases

import gatecc

F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
RNG = np.random.default_rng(5)
D = 16
WEIGHTS = {
    "w": RNG.normal(size=(D, D)).astype(np.float32) / 4,
    "u": RNG.normal(size=(D, D)).astype(np.float32) / 4,
    "bias": RNG.normal(size=D).astype(np.float32),
    "zero": np.zeros((), np.int64),
    "one": np.ones((), np.int64),
    "yes": np.array(True),
    "half": np.array(0.5, np.float32),
    "axis": np.array([1]),
    "rows": np.array([0]),
}


def info(name, dtype=F32, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, **attributes):
    outputs = outputs.split() if isinstance(outputs, str) else outputs
    inputs = inputs.split() if isinstance(inputs, str) else inputs
    return helper.make_node(op, inputs, outputs, name=outputs[0], **attributes)


def body(nodes, inputs, outputs):
    """A graph attribute; inputs are names or value infos, outputs names."""
    untyped = helper.make_empty_tensor_value_info
    inputs = [untyped(i) if isinstance(i, str) else i for i in inputs]
    # ONNX Runtime wants outputs that are the body's own.
    inner = {i.name for i in inputs} | {o for n in nodes for o in n.output}
    names = [o if o in inner else f"own_{o}" for o in outputs]
    nodes = nodes + [node("Identity", [o], [n]) for o, n in zip(outputs, names) if o != n]
    return helper.make_graph(nodes, "body", inputs, [untyped(n) for n in names])


def model(nodes, inputs, outputs, opset=21, weights=WEIGHTS):
    used = {name for n in all_nodes(nodes) for name in n.input} | set(outputs)
    weights = [onnx.numpy_helper.from_array(w, k) for k, w in weights.items() if k in used]
    outputs = [helper.make_empty_tensor_value_info(o) for o in outputs]
    graph = helper.make_graph(nodes, "main", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def all_nodes(nodes):
    for n in nodes:
        yield n
        for attribute in n.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g.node)
                yield onnx.NodeProto(input=[o.name for o in attribute.g.output])


def oracle(proto):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.fixture
def check(tmp_path):
    """Compiles a model, and compares its outputs with the oracle's."""

    def compile_and_check(proto, *feeds, rtol=2e-5):
        path = tmp_path / "model.onnx"
        onnx.save(proto, path)
        gatecc.compile(path, tmp_path / "m.so")
        session = oracle(proto)
        with gatecc.load(tmp_path / "m.so", threads=2) as library:
            for feed in feeds:
                expected = session.run(None, feed)
                got = library(feed)
                for output, want in zip(proto.graph.output, expected, strict=True):
                    have = got[output.name]
                    # Without an iteration it does not know the rank.
                    empty = want.shape == (0,) and have.shape[0] == 0
                    assert have.shape == want.shape or empty, output.name
                    want = want.reshape(have.shape)
                    assert have.dtype == np.asarray(want).dtype, output.name
                    np.testing.assert_allclose(have, want, rtol=rtol, atol=1e-5)

    return compile_and_check


@pytest.fixture
def refusal(tmp_path):
    def compile_and_fail(proto):
        path = tmp_path / "model.onnx"
        onnx.save(proto, path)
        with pytest.raises(gatecc.CompileError) as caught:
            gatecc.compile(path, tmp_path / "m.so")
        assert caught.value.status == 1, str(caught.value)
        return str(caught.value)

    return compile_and_fail


def rows(count, seed=0, columns=D):
    return np.random.default_rng(seed).normal(size=(count, columns)).astype(np.float32)


X = info("x", F32, ["B", D])
FLAG = info("flag", BOOL, [])


def flags(**more):
    return [{"flag": np.array(f), **more} for f in (True, False)]


# --- If ------------------------------------------------------------------------------


def test_if_runs_one_branch(check):
    then = body([node("MatMul", "x w", "a"), node("Relu", "a", "t")], [], ["t"])
    other = body([node("Add", "x bias", "s"), node("MatMul", "s u", "e")], [], ["e"])
    m = model([node("If", "flag", "y", then_branch=then, else_branch=other)], [FLAG, X], ["y"])
    check(m, *flags(x=rows(3)), *flags(x=rows(0)), *flags(x=rows(100)))


def test_if_yields_values_from_around_it(check):
    nodes = [
        node("MatMul", "x w", "p"),
        node("If", "flag", "a b", then_branch=body([], [], ["p", "x"]),
             else_branch=body([], [], ["x", "bias2"])),
        node("Mul", "a half", "y"),
        node("Add", "a p", "z"),
    ]
    nodes.insert(1, node("Expand", "bias shape", "bias2"))
    nodes.insert(0, node("Shape", "x", "shape"))
    check(model(nodes, [FLAG, X], ["y", "z", "b", "p"]), *flags(x=rows(5)))


@pytest.mark.parametrize("shape", [[], [1], [1, 1]])
def test_if_takes_one_element_of_any_rank(check, shape):
    branches = dict(
        then_branch=body([node("Neg", "x", "t")], [], ["t"]),
        else_branch=body([node("Exp", "x", "e")], [], ["e"]),
    )
    m = model([node("If", "flag", "y", **branches)], [info("flag", BOOL, shape), X], ["y"])
    check(m, *[{"flag": np.full(shape, f), "x": rows(2)} for f in (True, False)])


def test_if_on_a_sum_of_the_batch(check):
    nodes = [
        node("ReduceSum", "x", "total", keepdims=0),
        node("Greater", "total half", "flag"),
        node("If", "flag", "y", then_branch=body([node("MatMul", "x w", "t")], [], ["t"]),
             else_branch=body([node("MatMul", "x u", "e")], [], ["e"])),
    ]
    check(model(nodes, [X], ["y"]), *[{"x": rows(4, seed)} for seed in range(6)])


def test_if_with_a_constant_condition_is_its_branch(check, tmp_path):
    # Also where the other branch's result has another rank.
    nodes = [
        node("If", "yes", "y", then_branch=body([node("MatMul", "x w", "t")], [], ["t"]),
             else_branch=body([node("ReduceSum", "x", "e", keepdims=0)], [], ["e"])),
    ]
    check(model(nodes, [X], ["y"]), {"x": rows(3)})
    assert "scf.if" not in gatecc.compile(tmp_path / "model.onnx", compile_to="gate")


def test_if_with_sizes_that_differ(check):
    # The result's rows are counted when a branch has run.
    nodes = [
        node("If", "flag", "r", then_branch=body([node("Concat", "x x", "t", axis=0)], [], ["t"]),
             else_branch=body([node("MatMul", "x u", "e")], [], ["e"])),
        node("MatMul", "r w", "p"),
        node("Relu", "p", "q"),
        node("ReduceSum", "q rows", "y", keepdims=0),
    ]
    check(model(nodes, [FLAG, X], ["y"]), *flags(x=rows(3)), *flags(x=rows(40)), *flags(x=rows(1)))


def test_ifs_in_ifs(check):
    inner = node("If", "other", "i",
                 then_branch=body([node("MatMul", "p u", "t2")], [], ["t2"]),
                 else_branch=body([node("Neg", "p", "e2")], [], ["e2"]))
    outer = node("If", "flag", "y",
                 then_branch=body([node("MatMul", "x w", "p"), inner], [], ["i"]),
                 else_branch=body([node("Identity", "x", "e")], [], ["e"]))
    m = model([outer], [FLAG, info("other", BOOL, []), X], ["y"])
    check(m, *[{**f, "other": np.array(o)} for f in flags(x=rows(7)) for o in (True, False)])


def nested(depth):
    """A file with `depth` Ifs inside each other, each with a product. Written without
    protobuf, which goes no deeper than 33."""

    def field(number, payload):
        size, length = len(payload), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        return bytes([number << 3 | 2, *length, size]) + payload

    def graph(level):
        if level == depth:
            inner = node("MatMul", "x w", f"r{depth}").SerializeToString()
        else:
            other = body([node("MatMul", "x u", f"e{level}")], [], [f"e{level}"])
            inner = node("If", "flag", f"r{level}", else_branch=other).SerializeToString()
            then = field(1, b"then_branch") + field(6, graph(level + 1)) + b"\xa0\x01\x05"
            inner += field(5, then)
        output = helper.make_empty_tensor_value_info(f"r{level}").SerializeToString()
        return field(1, inner) + field(12, output)

    shell = model([node("MatMul", "x w", "r0"), node("MatMul", "x u", "z")], [FLAG, X], ["r0"])
    del shell.graph.node[:]
    del shell.graph.output[:]
    return shell.SerializeToString() + field(7, graph(0))


def test_deep_nesting(tmp_path):
    (tmp_path / "deep.onnx").write_bytes(nested(45))
    gatecc.compile(tmp_path / "deep.onnx", tmp_path / "deep.so")
    x = rows(3)
    with gatecc.load(tmp_path / "deep.so") as library:
        for flag, w in ((True, "w"), (False, "u")):
            got = library({"x": x, "flag": np.array(flag)})["r0"]
            np.testing.assert_allclose(got, x @ WEIGHTS[w], rtol=1e-4, atol=1e-5)
    (tmp_path / "deeper.onnx").write_bytes(nested(200))
    with pytest.raises(gatecc.CompileError, match="nested (more than|too)"):
        gatecc.compile(tmp_path / "deeper.onnx", tmp_path / "deeper.so")


# --- Loop ----------------------------------------------------------------------------

IN = [info("i", I64, []), info("c", BOOL, [])]
TRIPS = info("trips", I64, [])


def step(*extra):
    """A recurrence with a product: h = tanh(h w + x)."""
    return [
        node("MatMul", "h w", "hw"),
        node("Add", "hw x", "sum"),
        node("Tanh", "sum", "next"),
        *extra,
    ]


@given(trips=st.integers(-2, 9), count=st.integers(0, 70))
def test_loop_with_a_trip_count(loops, trips, count):
    loops("count", {"trips": np.array(trips), "x": rows(count)})


@given(trips=st.integers(-1, 8), limit=st.floats(-1, 3, width=32), flag=st.booleans())
def test_loop_with_trip_count_and_condition(loops, trips, limit, flag):
    feed = {"trips": np.array(trips), "flag": np.array(flag), "x": rows(4)}
    loops("both", {**feed, "limit": np.array(limit, np.float32)})


@given(limit=st.floats(-1, 3, width=32), flag=st.booleans())
def test_loop_with_a_condition_only(loops, limit, flag):
    feed = {"flag": np.array(flag), "x": rows(4)}
    loops("condition", {**feed, "limit": np.array(limit, np.float32)})


def stop(limit="limit"):
    """The condition: the mean of |next| is below `limit`, which it is not for ever."""
    return [
        node("Abs", "next", "abs"),
        node("ReduceMean", "abs", "mean", keepdims=0),
        node("Cast", "i", "number", to=F32),
        node("Mul", "number half", "part"),
        node("Add", "mean part", "grown"),
        node("Less", ["grown", limit], "goes"),
    ]


LIMIT = info("limit", F32, [])
LOOPS = {
    "count": model(
        [node("Loop", ["trips", "", "x"], "y", body=body(step(), [*IN, "h"], ["c", "next"]))],
        [TRIPS, X], ["y"]),
    "both": model(
        [node("Loop", "trips flag x", "y",
              body=body(step(*stop()), [*IN, "h"], ["goes", "next"]))],
        [TRIPS, FLAG, X, LIMIT], ["y"]),
    "condition": model(
        [node("Loop", ["", "flag", "x"], "y",
              body=body(step(*stop()), [*IN, "h"], ["goes", "next"]))],
        [FLAG, X, LIMIT], ["y"]),
}


@pytest.fixture(scope="module")
def loops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loops")
    made, sessions = {}, {}

    def compare(name, feed):
        if name not in made:
            onnx.save(LOOPS[name], folder / f"{name}.onnx")
            gatecc.compile(folder / f"{name}.onnx", folder / f"{name}.so")
            made[name] = gatecc.load(folder / f"{name}.so", threads=2)
            sessions[name] = oracle(LOOPS[name])
        expected = sessions[name].run(None, feed)
        got = made[name](feed)
        for output, want in zip(LOOPS[name].graph.output, expected, strict=True):
            assert got[output.name].shape == want.shape
            np.testing.assert_allclose(got[output.name], want, rtol=1e-4, atol=1e-5)

    yield compare
    for library in made.values():
        library.close()


# --- Loop: what is carried and collected -----------------------------------------------


def loop(nodes, carried, outputs, inputs, results, graph_inputs, before=(), after=(), fetch=None):
    """A model with one Loop: `carried` are names in the body, `outputs` its outputs."""
    inner = body(nodes, [*IN, *carried.split()], outputs.split())
    made = [*before, node("Loop", inputs, results, body=inner), *after]
    return model(made, graph_inputs, (fetch or results).split())


def trips(*counts, **more):
    return [{"trips": np.array(n), **more} for n in counts]


def test_carried_values_change_places(check):
    # Neither is computed: both are copied before either is overwritten.
    m = loop([node("Identity", "a", "a2"), node("Identity", "b", "b2")], "a b", "c b2 a2",
             ["trips", "", "x", "z"], "y1 y2", [TRIPS, X, info("z", F32, ["B", D])])
    check(m, *trips(0, 1, 2, 5, x=rows(3), z=rows(3, 1)))


def test_carried_values_that_are_computed_from_each_other(check):
    # Fibonacci on matrices, and a third that follows two steps behind.
    nodes = [node("Add", "a b", "s"), node("Mul", "s half", "n"), node("Reshape", "b shape", "b2")]
    before = [node("Shape", "x", "shape")]
    m = loop(nodes, "a b p", "c b2 n a", ["trips", "", "x", "z", "x"], "y1 y2 y3",
             [TRIPS, X, info("z", F32, ["B", D])], before)
    check(m, *trips(0, 1, 2, 3, 7, x=rows(3), z=rows(3, 1)))


def test_the_initial_values_are_kept(check):
    m = loop(step(), "h", "c next", ["trips", "", "p"], "y", [TRIPS, X],
             [node("Neg", "x", "p")], [node("Add", "p y", "z")], "y z p")
    check(m, *trips(0, 1, 4, x=rows(3)))


def test_one_initial_value_for_two(check):
    nodes = [node("MatMul", "a w", "a2"), node("MatMul", "b u", "b2")]
    m = loop(nodes, "a b", "c a2 b2", ["trips", "", "p", "p"], "y1 y2", [TRIPS, X],
             [node("Neg", "x", "p")])
    check(m, *trips(0, 1, 4, x=rows(3)))


def test_a_carried_value_that_stays(check):
    m = loop(step(), "h k", "c next k", ["trips", "", "x", "x"], "y z", [TRIPS, X])
    check(m, *trips(0, 3, x=rows(3)))


def test_a_branch_decides_what_is_carried(check):
    # Odd iterations keep the state.
    nodes = [
        node("Mod", "i two", "odd"),
        node("Equal", "odd zero", "even"),
        node("If", "even", "next", then_branch=body(
            [node("MatMul", "h w", "hw"), node("Add", "hw x", "t")], [], ["t"]),
            else_branch=body([], [], ["h"])),
    ]
    before = [node("Add", "one one", "two")]
    check(loop(nodes, "h", "c next", ["trips", "", "x"], "y", [TRIPS, X], before),
          *trips(0, 1, 2, 3, 4, x=rows(3)))


def test_the_number_of_the_iteration(check):
    nodes = [
        node("Cast", "i", "number", to=F32),
        node("Add", "h number", "next"),
        node("Gather", "bias i", "element"),
        node("Mul", "x element", "scan"),
    ]
    m = loop(nodes, "h", "c next scan", ["trips", "", "x"], "y s", [TRIPS, X],
             after=[node("ReduceSum", "s rows", "z", keepdims=0)], fetch="y z")
    check(static_trips(m, 5), {"x": rows(3)})


def static_trips(proto, count):
    """The model with a constant for its trip count."""
    del proto.graph.input[0]
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(count), "trips"))
    return proto


@pytest.mark.parametrize("count", [0, 1, 6])
def test_scan_outputs(check, count):
    m = loop(step(node("ReduceMax", "next axis", "best", keepdims=0)), "h", "c next best sum",
             ["trips", "", "x"], "y s t", [TRIPS, X])
    check(static_trips(m, count), {"x": rows(3)}, {"x": rows(20)})


def test_scan_outputs_without_carried_values(check):
    m = loop([node("Gather", "bias i", "e"), node("Mul", "x e", "scan")], "", "c scan",
             ["trips", ""], "s", [TRIPS, X])
    check(static_trips(m, 4), {"x": rows(3)})


def test_as_many_iterations_as_a_dimension(check):
    nodes = [node("Gather", "x i", "row"), node("Add", "h row", "next")]
    before = [node("Shape", "x", "shape"), node("Gather", "shape zero", "trips"),
              node("Identity", "bias", "h0")]
    m = loop(nodes, "h", "c next next", ["trips", "", "h0"], "y s", [X], before)
    check(m, {"x": rows(4)}, {"x": rows(0)}, {"x": rows(33)})


def test_scan_outputs_of_a_loop_that_ends_early(check):
    m = loop(step(*stop("half")), "h", "goes next next", ["trips", "", "x"], "y s", [TRIPS, X],
             after=[node("ReduceSum", "s rows", "z", keepdims=0)], fetch="y z")
    check(static_trips(m, 9), *[{"x": rows(3, seed) / 4} for seed in range(4)])


def test_loops_in_loops_and_branches(check):
    inner = node("Loop", ["trips", "", "g"], "q",
                 body=body([node("MatMul", "k w", "kw"), node("Tanh", "kw", "k2")],
                           [info("i2", I64, []), info("c2", BOOL, []), "k"], ["c2", "k2"]))
    nodes = [
        node("Add", "h x", "g"),
        node("If", "flag", "next", then_branch=body([inner], [], ["q"]),
             else_branch=body([node("MatMul", "g u", "e")], [], ["e"])),
    ]
    m = loop(nodes, "h", "c next", ["trips", "", "x"], "y", [TRIPS, FLAG, X])
    check(m, *[f for flag in (True, False)
               for f in trips(0, 1, 3, x=rows(4), flag=np.array(flag))])


def test_a_loop_in_a_branch(check):
    inner = node("Loop", ["trips", "", "x"], "y1", body=body(step(), [*IN, "h"], ["c", "next"]))
    nodes = [node("If", "flag", "y", then_branch=body([inner], [], ["y1"]),
                  else_branch=body([], [], ["x"]))]
    m = model(nodes, [TRIPS, FLAG, X], ["y"])
    check(m, *[f for flag in (True, False)
               for f in trips(0, 1, 3, x=rows(4), flag=np.array(flag))])


def test_a_loop_of_integers(check):
    # 3 n + 1 until 1, with its length.
    nodes = [
        node("Mod", "n two", "odd"),
        node("Equal", "odd one", "is_odd"),
        node("Mul", "n three", "n3"),
        node("Add", "n3 one", "up"),
        node("Div", "n two", "down"),
        node("Where", "is_odd up down", "next"),
        node("Add", "count one", "count2"),
        node("Greater", "next one", "goes"),
    ]
    before = [node("Add", "one one", "two"), node("Add", "two one", "three"),
              node("Greater", "start one", "begin")]
    m = loop(nodes, "n count", "goes next count2", ["", "begin", "start", "zero"], "y count3",
             [info("start", I64, [])], before)
    check(m, *[{"start": np.array(n)} for n in (1, 2, 3, 7, 27, 97)])


# --- Scan ----------------------------------------------------------------------------


def scan(nodes, inputs, names, outputs, results, graph_inputs, **attributes):
    inner = body(nodes, names.split(), outputs.split())
    return model([node("Scan", inputs, results, body=inner, **attributes)], graph_inputs,
                 results.split())


RECURRENCE = [
    node("MatMul", "h w", "hw"),
    node("Add", "hw e", "sum"),
    node("Tanh", "sum", "next"),
    node("Neg", "next", "out"),
]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("back", [0, 1])
def test_scan_axes_and_directions(check, axis, back):
    shape = ["B", D]
    shape.insert(axis if axis >= 0 else 3 + axis, "T")
    m = scan(RECURRENCE, "x z", "h e", "next out sum", "y o s", [X, info("z", F32, shape)],
             num_scan_inputs=1, scan_input_axes=[axis], scan_input_directions=[back],
             scan_output_axes=[axis, 1], scan_output_directions=[1 - back, back])
    for count, length in ((3, 5), (1, 1), (2, 20)):
        z = np.random.default_rng(length).normal(size=(count, D, length)).astype(np.float32)
        check(m, {"x": rows(count), "z": np.ascontiguousarray(np.moveaxis(z, 2, axis))})


def test_scan_of_no_rows(check):
    inputs = [info("x", F32, [0, D]), info("z", F32, ["T", 0, D])]
    m = scan(RECURRENCE, "x z", "h e", "next out sum", "y o s", inputs, num_scan_inputs=1)
    check(m, *[{"x": rows(0), "z": np.zeros((n, 0, D), np.float32)} for n in (1, 5)])


def test_scan_of_two_inputs_without_state(check):
    m = scan([node("Mul", "a b", "p"), node("ReduceSum", "p", "s", keepdims=0)], "x z", "a b",
             "s p", "y o", [X, info("z", F32, ["B", D])], num_scan_inputs=2)
    check(m, {"x": rows(6), "z": rows(6, 2)})


def test_a_network_scanned_over_its_batch(check):
    # A body with an If, of rows that are vectors.
    nodes = [
        node("ReduceSum", "e", "total", keepdims=0),
        node("Greater", "total half", "flag"),
        node("If", "flag", "r", then_branch=body([node("MatMul", "e w", "t")], [], ["t"]),
             else_branch=body([node("MatMul", "e u", "f")], [], ["f"])),
        node("Add", "h r", "next"),
    ]
    m = scan(nodes, "bias x", "h e", "next r", "y o", [X], num_scan_inputs=1)
    check(m, {"x": rows(6)}, {"x": rows(1)})


# --- Routed layers inside bodies -------------------------------------------------------

E, H = 4, 24


def moe(x, out):
    """com.microsoft.MoE with its router."""
    return [
        node("MatMul", f"{x} router", f"{out}_logits"),
        node("MoE", f"{x} {out}_logits fc1 empty fc2", [out], domain="com.microsoft", k=2,
             activation_type="relu", normalize_routing_weights=1),
    ]


@pytest.fixture
def experts(monkeypatch):
    rng = np.random.default_rng(8)
    monkeypatch.setitem(WEIGHTS, "router", rng.normal(size=(D, E)).astype(np.float32))
    monkeypatch.setitem(WEIGHTS, "fc1", rng.normal(size=(E, H, D)).astype(np.float32) / 4)
    monkeypatch.setitem(WEIGHTS, "fc2", rng.normal(size=(E, D, H)).astype(np.float32) / 4)
    monkeypatch.setitem(WEIGHTS, "empty", np.zeros((E, H), np.float32))


def with_microsoft(proto):
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def test_experts_in_a_branch(check, experts):
    then = body([*moe("x", "t")], [], ["t"])
    other = body([node("MatMul", "x u", "e")], [], ["e"])
    m = model([node("If", "flag", "y", then_branch=then, else_branch=other)], [FLAG, X], ["y"])
    check(with_microsoft(m), *flags(x=rows(9)), *flags(x=rows(0)), *flags(x=rows(200)))


def test_experts_in_a_loop(check, experts, tmp_path):
    nodes = [*moe("h", "e"), node("Tanh", "e", "t"), node("Add", "t x", "next")]
    m = loop(nodes, "h", "c next", ["trips", "", "x"], "y", [TRIPS, X])
    check(with_microsoft(m), *trips(0, 1, 3, x=rows(9)))
    with gatecc.load(tmp_path / "m.so") as library:
        library({"x": rows(5), "trips": np.array(3)})
        (site,) = library.stats()["sites"]
        # All iterations together.
        assert site["rows"] == 15
        assert sum(site["groups"]) == 30


# --- What is refused -------------------------------------------------------------------


def test_shapes_that_change(refusal):
    grow = [node("Concat", "h h", "next", axis=0)]
    text = refusal(loop(grow, "h", "c next", ["trips", "", "x"], "y", [TRIPS, X]))
    assert "node 'y' (Loop): carried value 'h' has the shape [B, 16] at first and" in text
    assert "[2*B, 16] after the body" in text


def test_element_types_that_change(refusal):
    convert = [node("Cast", "h", "next", to=TensorProto.DOUBLE)]
    text = refusal(loop(convert, "h", "c next", ["trips", "", "x"], "y", [TRIPS, X]))
    assert "carried value 'h' is of f32 at first and f64 after the body" in text


@pytest.mark.parametrize(
    "then, other, reason",
    [
        (["x", "total"], ["x"], "has 1 outputs, but its branches make 2 and 1"),
        (["total"], ["x"], "output 0 has the shape [] in then_branch and [B, 16] in else_branch"),
        (["number"], ["x"], "output 0 is of i64 in then_branch and f32 in else_branch"),
        (["nothing"], ["x"], "'nothing' is no input, no initializer and made by no node"),
    ],
)
def test_branches_that_do_not_fit(refusal, then, other, reason):
    nodes = [
        node("ReduceSum", "x", "total", keepdims=0),
        node("Cast", "x", "number", to=I64),
        node("If", "flag", "y", then_branch=body([], [], then),
             else_branch=body([], [], other)),
    ]
    text = refusal(model(nodes, [FLAG, X], ["y"]))
    assert reason in text
    assert "node 'y' (If)" in text or "nothing" in reason


def test_conditions_of_several_elements(refusal):
    branches = dict(then_branch=body([], [], ["x"]), else_branch=body([], [], ["x"]))
    m = model([node("If", "flag", "y", **branches)], [info("flag", BOOL, ["B"]), X], ["y"])
    assert "the condition has the shape [B]; one element is expected" in refusal(m)
    m = model([node("If", "flag", "y", **branches)], [info("flag", F32, []), X], ["y"])
    assert "node 'y' (If): expects a condition of bool" in refusal(m)


def test_bodies_that_do_not_fit(refusal):
    def text(nodes, carried, outputs, results="y"):
        inputs = ["trips", "", "x"]
        return refusal(loop(nodes, carried, outputs, inputs, results, [TRIPS, X]))

    assert "its body has 4 inputs; 3 are expected" in text(step(), "h k", "c next")
    assert "its body has 1 outputs; 2 are expected" in text([], "h", "c")
    assert "its body has 3 outputs; 2 are expected" in text(step(), "h", "c next next")
    missing = loop(step(), "h", "c next", ["trips", "", "x"], "y", [TRIPS, X])
    del missing.graph.node[0].attribute[:]
    assert "node 'y' (Loop): has no graph 'body'" in refusal(missing)


def test_scan_attributes_that_do_not_fit(refusal):
    def text(graph_inputs=(), **attributes):
        z = info("z", F32, ["T", "B", D])
        return refusal(scan(RECURRENCE, "x z", "h e", "next out", "y o", [X, z], **attributes))

    assert "attribute 'num_scan_inputs' is 3; from 1 to 2 is expected" in text(num_scan_inputs=3)
    assert "attribute 'scan_input_axes' has 2 numbers; 1 are expected" in text(
        num_scan_inputs=1, scan_input_axes=[0, 1])
    assert "axis 3 is out of range" in text(num_scan_inputs=1, scan_input_axes=[3])
    assert "axis 4 is out of range for scan output 0" in text(
        num_scan_inputs=1, scan_output_axes=[4])


def test_unknown_numbers_of_scan_outputs(refusal):
    m = loop(step(*stop("half")), "h", "goes next next", ["", "", "x"], "y s", [X],
             after=[node("ReduceSum", "s rows", "z", keepdims=0)], fetch="z")
    assert "give the loop a trip count" in refusal(m)


def test_operators_that_are_not_there_in_bodies(refusal):
    nodes = [node("If", "flag", "y", then_branch=body([node("Det", "x", "t")], [], ["t"]),
                  else_branch=body([], [], ["x"]))]
    assert "node 't': Det" in refusal(model(nodes, [FLAG, X], ["y"]))


def test_operators_that_nothing_needs(tmp_path):
    then = body([node("Det", "x", "unused"), node("Neg", "x", "t")], [], ["t"])
    branches = dict(then_branch=then, else_branch=body([], [], ["x"]))
    onnx.save(model([node("If", "flag", "y", **branches)], [FLAG, X], ["y"]), tmp_path / "m.onnx")
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so")
    with gatecc.load(tmp_path / "m.so") as library:
        x = rows(3)
        assert np.array_equal(library({"flag": np.array(True), "x": x})["y"], -x)
        assert np.array_equal(library({"flag": np.array(False), "x": x})["y"], x)


# --- The node tests of the onnx package ------------------------------------------------

with warnings.catch_warnings(action="ignore"):
    collected = collect_testcases(None)
CASES = {
    case.name: case
    for case in collected
    if any(n.op_type in ("If", "Loop", "Scan") for n in case.model.graph.node)
}
TENSORS_ONLY = [
    name
    for name in CASES
    if name.startswith(("test_linear_attention", "test_scan9"))
    or name == "test_if"
]


@pytest.mark.parametrize("name", TENSORS_ONLY)
def test_node(name, tmp_path):
    proto = CASES[name].model
    for opset in proto.opset_import:
        # What these use has not changed since.
        opset.version = max(opset.version, 13)
    onnx.save(proto, tmp_path / "m.onnx")
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so")
    with gatecc.load(tmp_path / "m.so") as library:
        for inputs, outputs in CASES[name].data_sets:
            names = [i.name for i in proto.graph.input]
            got = library(dict(zip(names, map(np.asarray, inputs), strict=True)))
            for output, want in zip(proto.graph.output, outputs, strict=True):
                half = want.dtype == np.float16
                np.testing.assert_allclose(
                    got[output.name], want, rtol=1e-2 if half else 1e-4, atol=1e-6
                )
                assert got[output.name].shape == want.shape


@pytest.mark.parametrize("name", ["test_if_seq", "test_if_opt", "test_loop13_seq"])
def test_node_that_is_refused(name, refusal):
    assert "no tensor; " in refusal(CASES[name].model)


# --- Cancelling ------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loop_without_end_is_cancelled(tmp_path, threads):
    # It has no products: nothing that would be shared out in tasks.
    nodes = [node("Add", "h one", "next"), node("Less", "zero one", "goes")]
    onnx.save(loop(nodes, "h", "goes next", ["", "", "start"], "y", [info("start", I64, [])]),
              tmp_path / "m.onnx")
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so")
    with gatecc.load(tmp_path / "m.so", threads=threads) as library:
        timer = threading.Timer(0.3, library.cancel)
        timer.start()
        with pytest.raises(gatecc.RunError, match="cancelled"):
            library({"start": np.array(0)})
        timer.join()
