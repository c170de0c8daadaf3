# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Operators that the node tests of ONNX do not reach: those of ONNX Runtime, and sizes that
# are known in a run only. The oracle is ONNX Runtime.
import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from onnx import TensorProto, helper

import gatecc

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def save(path, nodes, inputs, outputs, constants=None, opset=21):
    """`inputs`: {name: (type, shape)}; `outputs`: names."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(v, n) for n, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, path)


def compare(tmp_path, runs, rtol=1e-4, atol=1e-5):
    """Runs the model on each dict of inputs; every output must be ONNX Runtime's."""
    model = tmp_path / "m.onnx"
    library = gatecc.load(gatecc.compile(model, tmp_path / "m.so"), threads=2)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    for inputs in runs:
        made = library(inputs)
        for name, want in zip(names, session.run(names, inputs)):
            assert made[name].dtype == want.dtype and made[name].shape == want.shape
            np.testing.assert_allclose(made[name], want, rtol, atol, err_msg=name)


@pytest.mark.parametrize("bias", [False, True])
def test_skip_simplified_layer_norm(tmp_path, bias):
    given = ["x", "skip", "gamma"] + ["bias"] * bias
    node = helper.make_node(
        "SkipSimplifiedLayerNormalization",
        given,
        ["y", "", "", "sum"],
        domain="com.microsoft",
        epsilon=1e-6,
    )
    constants = {"gamma": normal(48)} | ({"bias": normal(48)} if bias else {})
    rows = (TensorProto.FLOAT, ["B", "S", 48])
    save(tmp_path / "m.onnx", [node], {"x": rows, "skip": rows}, ["y", "sum"], constants)
    runs = [{n: normal(b, s, 48) for n in ("x", "skip")} for b, s in ((2, 3), (1, 1))]
    compare(tmp_path, runs)


@pytest.mark.parametrize("beta", [False, True])
def test_skip_layer_norm(tmp_path, beta):
    given = ["x", "skip", "gamma"] + ["beta"] * beta
    node = helper.make_node(
        "SkipLayerNormalization", given, ["y", "", "", "sum"], domain="com.microsoft"
    )
    constants = {"gamma": normal(48)} | ({"beta": normal(48)} if beta else {})
    rows = (TensorProto.FLOAT, ["B", "S", 48])
    save(tmp_path / "m.onnx", [node], {"x": rows, "skip": rows}, ["y", "sum"], constants)
    compare(tmp_path, [{n: normal(2, 5, 48) for n in ("x", "skip")}])


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("dim", [0, 8])
@pytest.mark.parametrize("form", ["flat", "heads", "first"])
def test_rotary_embedding(tmp_path, interleaved, dim, form):
    heads, size, most = 3, 16, 20
    node = helper.make_node(
        "RotaryEmbedding",
        ["x", "at", "cos", "sin"],
        ["y"],
        domain="com.microsoft",
        interleaved=interleaved,
        rotary_embedding_dim=dim,
        num_heads=heads if dim or form == "flat" else 0,
    )
    angle = RNG.uniform(0, 6, (most, (dim or size) // 2)).astype(np.float32)
    flat = form == "flat"
    x = ["B", "S", heads * size] if flat else ["B", heads, "S", size]
    places = [1] if form == "first" else ["B", "S"]
    inputs = {"x": (TensorProto.FLOAT, x), "at": (TensorProto.INT64, places)}
    constants = {"cos": np.cos(angle), "sin": np.sin(angle)}
    save(tmp_path / "m.onnx", [node], inputs, ["y"], constants)
    runs = []
    for batch, length in ((2, 5), (1, 1)):
        shape = (batch, length, heads * size) if flat else (batch, heads, length, size)
        at = [4] if form == "first" else RNG.integers(0, most, (batch, length))
        runs.append({"x": normal(*shape), "at": np.array(at, np.int64)})
    compare(tmp_path, runs)


@pytest.mark.parametrize(
    ("group", "attributes"),
    [
        (1, {"pads": [1, 1, 1, 1]}),
        (1, {"strides": [2, 3], "dilations": [2, 1]}),
        (1, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        (2, {"pads": [0, 2, 1, 0]}),
        (4, {"auto_pad": "SAME_UPPER"}),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_convolution(tmp_path, group, attributes, constant):
    weight, bias = normal(8, 4 // group, 3, 3), normal(8)
    node = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], group=group, name="conv", **attributes
    )
    inputs = {"x": (TensorProto.FLOAT, ["B", 4, 9, 8])}
    if not constant:
        inputs["w"] = (TensorProto.FLOAT, [8, 4 // group, 3, 3])
    constants = {"b": bias} | ({"w": weight} if constant else {})
    save(tmp_path / "m.onnx", [node], inputs, ["y"], constants)
    runs = [{"x": normal(b, 4, 9, 8)} for b in (3, 1)]
    for run in runs:
        if not constant:
            run["w"] = weight
    compare(tmp_path, runs)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    ],
)
def test_pooling(tmp_path, op, attributes):
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    save(tmp_path / "m.onnx", [node], {"x": (TensorProto.FLOAT, ["B", 3, 9, 7])}, ["y"])
    compare(tmp_path, [{"x": normal(b, 3, 9, 7)} for b in (2, 1)])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bij,bjk->bik", [("B", 3, 4), ("B", 4, 5)]),
        ("bhqd,bhkd->bhqk", [("B", 2, "S", 4), ("B", 2, "S", 4)]),
        ("...i,ij->...j", [("B", "S", 4), (4, 6)]),
        ("bid,de,bje->bij", [("B", 3, 4), (4, 5), ("B", 2, 5)]),
        ("bii->bi", [("B", 4, 4)]),
        ("bij->", [("B", 4, 3)]),
        ("i,j", [(4,), (3,)]),
        ("ba,b", [("B", 3), ("B",)]),
        ("abc,cb->ca", [(2, 3, 4), (4, 3)]),
    ],
)
def test_einsum(tmp_path, equation, shapes):
    names = [f"x{i}" for i in range(len(shapes))]
    node = helper.make_node("Einsum", names, ["y"], equation=equation)
    inputs = {n: (TensorProto.FLOAT, list(s)) for n, s in zip(names, shapes)}
    save(tmp_path / "m.onnx", [node], inputs, ["y"])
    sizes = [{"B": 3, "S": 5}, {"B": 1, "S": 1}]
    runs = [
        {n: normal(*(d.get(e, e) for e in s)) for n, s in zip(names, shapes)}
        for d in sizes
    ]
    compare(tmp_path, runs)


def test_einsum_of_sizes_that_only_a_run_knows(tmp_path):
    """What is summed over has as many elements in both factors, or there is an error."""
    nodes = [
        helper.make_node("Compress", ["x", "keep"], ["part"], "part", axis=1),
        helper.make_node("Einsum", ["part", "w"], ["y"], "y", equation="tc,cn->tn"),
    ]
    inputs = {
        "x": (TensorProto.FLOAT, ["T", 4]),
        "keep": (TensorProto.BOOL, [4]),
        "w": (TensorProto.FLOAT, [2, 3]),
    }
    save(tmp_path / "m.onnx", nodes, inputs, ["y"])
    feed = {"x": normal(5, 4), "keep": np.array([1, 0, 0, 1], bool), "w": normal(2, 3)}
    compare(tmp_path, [feed])
    with gatecc.load(tmp_path / "m.so") as library:
        with pytest.raises(gatecc.RunError, match="'y' .Einsum.: a label stands for two sizes"):
            library(feed | {"keep": np.ones(4, bool)})


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Greater"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64])
def test_integers(tmp_path, op, dtype):
    """Against NumPy, which wraps as ONNX does; ONNX Runtime lacks many of these types."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node(op, ["a", "b"], ["y"], "n")
    save(tmp_path / "m.onnx", [node], {n: (kind, ["N"]) for n in "ab"}, ["y"])
    lib = gatecc.load(gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so"), threads=1)
    info = np.iinfo(dtype)
    edge = np.array([info.min, info.max, 1, info.max // 2, 7], dtype)
    a, b = (m.ravel() for m in np.meshgrid(edge, edge))
    if op in ("Div", "Mod"):
        a, b = a[b != 0], b[b != 0]
    with np.errstate(all="ignore"):
        want = {
            "Add": np.add,
            "Sub": np.subtract,
            "Mul": np.multiply,
            "Div": lambda x, y: _truncated(x, y, dtype),
            "Mod": np.mod,
            "Max": np.maximum,
            "Min": np.minimum,
            "Greater": np.greater,
        }[op](a, b)
    np.testing.assert_array_equal(lib(a=a, b=b)["y"], want)


def _truncated(a, b, dtype):
    """Quotients rounded to zero, which Python's integers give exactly."""
    pairs = zip(a.tolist(), b.tolist())
    signed = [abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1) for x, y in pairs]
    return np.array(signed, object).astype(np.int64).astype(dtype)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_pad(tmp_path, mode):
    node = helper.make_node("Pad", ["x", "p", "v"], ["y"], mode=mode)
    pads = np.array([0, 2, 1, 0, 1, 3], np.int64)
    constants = {"p": pads, "v": np.array(2.5, np.float32)}
    x = (TensorProto.FLOAT, ["B", 4, 5])
    save(tmp_path / "m.onnx", [node], {"x": x}, ["y"], constants)
    compare(tmp_path, [{"x": normal(b, 4, 5)} for b in (2, 1)])


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("InstanceNormalization", {}),
        ("BatchNormalization", {"epsilon": 1e-3}),
    ],
)
def test_channel_norm(tmp_path, op, attributes):
    names = ["s", "b"] + ["m", "v"] * (op == "BatchNormalization")
    constants = {n: np.abs(normal(6)) for n in names}
    node = helper.make_node(op, ["x", *names], ["y"], **attributes)
    x = (TensorProto.FLOAT, ["B", 6, "T"])
    save(tmp_path / "m.onnx", [node], {"x": x}, ["y"], constants)
    compare(tmp_path, [{"x": normal(b, 6, t)} for b, t in ((3, 7), (1, 1))])


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
def test_recurrent(tmp_path, op, direction, lengths):
    steps, size, hidden = 4, 3, 5
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    count = 2 if direction == "bidirectional" else 1
    constants = {
        "w": normal(count, gates * hidden, size),
        "r": normal(count, gates * hidden, hidden),
        "b": normal(count, 2 * gates * hidden),
    }
    inputs = {"x": (TensorProto.FLOAT, [steps, "B", size])}
    if lengths:
        inputs["n"] = (TensorProto.INT32, ["B"])
    inputs["h"] = (TensorProto.FLOAT, [count, "B", hidden])
    outputs = ["y", "last"] + ["cell"] * (op == "LSTM")
    node = helper.make_node(
        op,
        ["x", "w", "r", "b", "n" if lengths else "", "h"],
        outputs,
        hidden_size=hidden,
        direction=direction,
        **({"linear_before_reset": 1} if op == "GRU" and lengths else {}),
    )
    save(tmp_path / "m.onnx", [node], inputs, outputs, constants)
    runs = []
    for batch in (3, 1):
        run = {"x": normal(steps, batch, size), "h": normal(count, batch, hidden)}
        if lengths:
            run["n"] = np.array([2, 4, 1][:batch], np.int32)
        runs.append(run)
    compare(tmp_path, runs)


# --- Axes, bounds and steps that only the run knows


def integers(*numbers):
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceLogSumExp"])
def test_reduction_along_any_axes(tmp_path, op, keep):
    node = helper.make_node(op, ["x", "axes"], ["y"], "n", keepdims=keep)
    inputs = {"x": (TensorProto.FLOAT, ["B", 3, 4]), "axes": (TensorProto.INT64, [2])}
    save(tmp_path / "m.onnx", [node], inputs, ["y"])
    x = normal(5, 3, 4)
    pairs = [(0, 1), (2, 0), (-1, 1), (-2, -1)]
    compare(tmp_path, [{"x": x, "axes": integers(*pair)} for pair in pairs])
    with gatecc.load(tmp_path / "m.so") as library:
        for bad in ((0, 3), (1, 1), (-4, 0), (2, 2**62)):
            with pytest.raises(gatecc.RunError, match="axes that differ") as caught:
                library(x=x, axes=integers(*bad))
            assert caught.value.status == gatecc.abi.RUNTIME


def test_squeeze_and_unsqueeze_at_any_axes(tmp_path):
    nodes = [
        helper.make_node("Squeeze", ["x", "drop"], ["flat"], "s"),
        helper.make_node("Unsqueeze", ["flat", "add"], ["y"], "u"),
    ]
    x = (TensorProto.FLOAT, [1, 3, 1, 4])
    inputs = {"x": x, "drop": (TensorProto.INT64, [1]), "add": (TensorProto.INT64, [2])}
    save(tmp_path / "m.onnx", nodes, inputs, ["y"])
    given = normal(1, 3, 1, 4)
    cases = [(0, (0, 1)), (2, (-1, 2)), (-2, (4, 0))]
    runs = [{"x": given, "drop": integers(d), "add": integers(*a)} for d, a in cases]
    compare(tmp_path, runs)
    with gatecc.load(tmp_path / "m.so") as library:
        with pytest.raises(gatecc.RunError, match="fit to the shape"):
            library(x=given, drop=integers(1), add=integers(0, 1))


def test_slice_by_any_numbers(tmp_path):
    node = helper.make_node("Slice", ["x", "from", "to", "axes", "steps"], ["y"], "n")
    two = (TensorProto.INT64, [2])
    inputs = {"x": (TensorProto.FLOAT, ["B", 6, 7])} | dict.fromkeys(
        ("from", "to", "axes", "steps"), two
    )
    save(tmp_path / "m.onnx", [node], inputs, ["y"])
    most = np.iinfo(np.int64).max
    cases = [
        ((1, 0), (5, 3), (1, 0), (1, 1)),
        ((-1, 0), (-most, 99), (-1, 1), (-2, 3)),
        ((4, 2), (1, 2), (2, 1), (-1, 1)),  # the second is empty
        ((0, 6), (most, -most), (1, 2), (most, -most)),
    ]
    x = normal(5, 6, 7)
    names = ("from", "to", "axes", "steps")
    runs = [{"x": x} | {n: integers(*v) for n, v in zip(names, case)} for case in cases]
    library = gatecc.load(gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so"), threads=1)
    for run in runs:  # against NumPy: ONNX Runtime's largest steps overflow
        index = [slice(None)] * 3
        for begin, end, axis, step in zip(*(run[n].tolist() for n in names)):
            size = x.shape[axis]
            end = None if step < 0 and end < -size else end
            index[axis] = slice(begin, end, step)
        np.testing.assert_array_equal(library(run)["y"], x[tuple(index)])
    with pytest.raises(gatecc.RunError, match="steps that are not 0"):
        library(runs[0] | {"steps": integers(1, 0)})
    with pytest.raises(gatecc.RunError, match="out of range"):
        library(runs[0] | {"axes": integers(1, 3)})


def test_pad_at_any_axes(tmp_path):
    node = helper.make_node("Pad", ["x", "pads", "", "axes"], ["y"], "n", mode="edge")
    inputs = {
        "x": (TensorProto.FLOAT, ["B", 3, 4]),
        "pads": (TensorProto.INT64, [2]),
        "axes": (TensorProto.INT64, [1]),
    }
    save(tmp_path / "m.onnx", [node], inputs, ["y"])
    runs = [
        {"x": normal(5, 3, 4), "pads": integers(2, 1), "axes": integers(axis)}
        for axis in (0, 1, -1)
    ]
    compare(tmp_path, runs)


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention_of_any_length(tmp_path, rule):
    """Against the onnx package's reference; one token after the other gives the same."""
    heads, groups, size, width = 4, 2, 3, 5
    gated, delta = "gated" in rule, "delta" in rule
    names = ["q", "k", "v", "s", "g" if gated else "", "b" if delta else ""]
    node = helper.make_node(
        "LinearAttention",
        names,
        ["y", "state"],
        "n",
        q_num_heads=heads,
        kv_num_heads=groups,
        update_rule=rule,
    )
    widths = {"q": heads * size, "k": groups * size, "v": groups * width}
    widths |= ({"g": groups * size} if gated else {}) | ({"b": groups} if delta else {})
    inputs = {n: (TensorProto.FLOAT, ["B", "T", w]) for n, w in widths.items()}
    inputs["s"] = (TensorProto.FLOAT, ["B", groups, size, width])
    save(tmp_path / "m.onnx", [node], inputs, ["y", "state"], opset=27)
    model = onnx.load(tmp_path / "m.onnx")
    evaluator = onnx.reference.ReferenceEvaluator(model)
    library = gatecc.load(gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so"), threads=1)
    for batch, length in ((2, 6), (1, 1), (3, 0)):
        run = {n: normal(batch, length, w) / 2 for n, w in widths.items()}
        run["s"] = normal(batch, groups, size, width)
        made = library(run)
        for name, want in zip(("y", "state"), evaluator.run(None, run)):
            np.testing.assert_allclose(made[name], want, 1e-4, 1e-5)
        state = run["s"]
        for token in range(length):
            one = {n: run[n][:, token : token + 1] for n in widths} | {"s": state}
            step = library(one)
            np.testing.assert_array_equal(step["y"][:, 0], made["y"][:, token])
            state = step["state"]
        np.testing.assert_array_equal(state, made["state"])


FUSED = "com.microsoft"  # what ONNX Runtime's optimizer writes


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    ("a", "b", "attributes"),
    [
        (("B", 3, 4), (4, 5), {}),
        (("B", 4, 3), ("B", 4, 5), {"transA": 1, "alpha": 0.25}),
        (("B", 2, 3, 4), (2, 5, 4), {"transB": 1}),
        ((3, "B", 4), ("B", 4, 5), {"transBatchA": 1}),
        ((4, 2, 3), (5, 2, 4), {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1}),
    ],
)
def test_fused_matmul(tmp_path, a, b, attributes, constant):
    node = helper.make_node("FusedMatMul", ["a", "b"], ["y"], domain=FUSED, **attributes)
    if constant and "B" in b:
        pytest.skip("a constant has a shape")
    sizes = [{"B": 2}] if attributes.get("transBatchA") else [{"B": 3}, {"B": 1}]
    weight = normal(*(sizes[0].get(n, n) for n in b))
    inputs = {"a": (TensorProto.FLOAT, list(a))}
    if not constant:
        inputs["b"] = (TensorProto.FLOAT, list(b))
    save(tmp_path / "m.onnx", [node], inputs, ["y"], {"b": weight} if constant else {})
    runs = [{"a": normal(*(d.get(n, n) for n in a))} for d in sizes]
    for run, d in zip(runs, sizes):
        if not constant:
            run["b"] = normal(*(d.get(n, n) for n in b))
    compare(tmp_path, runs)


@pytest.mark.parametrize(
    "attributes",
    [
        {"activation": "Relu", "transB": 1},
        {"activation": "LeakyRelu", "activation_alpha": 0.3, "alpha": 0.5},
        {"activation": "Tanh", "beta": 2.0},
    ],
)
def test_fused_gemm(tmp_path, attributes):
    weight = normal(5, 4) if attributes.get("transB") else normal(4, 5)
    node = helper.make_node("FusedGemm", ["x", "w", "c"], ["y"], domain=FUSED, **attributes)
    x = (TensorProto.FLOAT, ["B", 4])
    save(tmp_path / "m.onnx", [node], {"x": x}, ["y"], {"w": weight, "c": normal(5)})
    compare(tmp_path, [{"x": normal(b, 4)} for b in (3, 1)])


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [("Relu", []), ("LeakyRelu", [0.2]), ("HardSigmoid", [0.3, 0.4]), ("Clip", [-0.5, 0.75])],
)
@pytest.mark.parametrize("other", [False, True])
def test_fused_convolution(tmp_path, activation, parameters, other):
    given = ["x", "w", "b"] + ["z"] * other
    options = {"activation_params": parameters} if parameters else {}
    node = helper.make_node(
        "FusedConv", given, ["y"], domain=FUSED, pads=[1, 1, 1, 1], activation=activation, **options
    )
    inputs = {"x": (TensorProto.FLOAT, ["B", 4, 6, 5])}
    if other:
        inputs["z"] = (TensorProto.FLOAT, ["B", 8, 6, 5])
    constants = {"w": normal(8, 4, 3, 3), "b": normal(8)}
    save(tmp_path / "m.onnx", [node], inputs, ["y"], constants)
    runs = [{n: normal(b, *s[1:]) for n, (_, s) in inputs.items()} for b in (2, 1)]
    compare(tmp_path, runs)


def test_bias_gelu(tmp_path):
    node = helper.make_node("BiasGelu", ["x", "b"], ["y"], domain=FUSED)
    x = (TensorProto.FLOAT, ["B", 3, 8])
    save(tmp_path / "m.onnx", [node], {"x": x}, ["y"], {"b": normal(8)})
    compare(tmp_path, [{"x": normal(b, 3, 8)} for b in (2, 1)])


def test_an_unknown_fused_activation(tmp_path):
    node = helper.make_node("FusedGemm", ["x", "w"], ["y"], domain=FUSED, activation="Sinus")
    x = (TensorProto.FLOAT, ["B", 4])
    save(tmp_path / "m.onnx", [node], {"x": x}, ["y"], {"w": normal(4, 5)})
    with pytest.raises(gatecc.CompileError, match="does not support the activation 'Sinus'"):
        gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so")


@pytest.mark.parametrize("other", [TensorProto.DOUBLE, TensorProto.INT32])
@pytest.mark.parametrize(
    "op, operands, attributes",
    [
        ("LayerNormalization", [["B", 8], [8]], {}),
        ("LayerNormalization", [["B", 8], [8], [8]], {}),
        ("RMSNormalization", [["B", 8], [8]], {}),
        ("BatchNormalization", [["B", 8]] + [[8]] * 4, {}),
        ("GroupNormalization", [["B", 8, 3], [8], [8]], {"num_groups": 2}),
        ("InstanceNormalization", [["B", 8, 3], [8], [8]], {}),
        ("Conv", [["B", 4, 9], [5, 4, 3]], {}),
        ("Conv", [["B", 4, 9], [5, 4, 3], [5]], {}),
        ("ConvTranspose", [["B", 4, 9], [4, 5, 3], [5]], {}),
        (
            "LinearAttention",
            [["B", 2, "S", 4]] * 3,
            {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"},
        ),
    ],
)
def test_operands_of_two_types(tmp_path, op, operands, attributes, other):
    names = [f"x{i}" for i in range(len(operands))]
    kinds = [TensorProto.FLOAT] * (len(operands) - 1) + [other]
    inputs = dict(zip(names, zip(kinds, operands, strict=True), strict=True))
    made = helper.make_node(op, names, ["y"], "odd", **attributes)
    save(tmp_path / "m.onnx", [made], inputs, ["y"], opset=27 if "Linear" in op else 23)
    with pytest.raises(gatecc.CompileError, match=r"'odd'.*: expects") as caught:
        gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so")
    assert caught.value.status == 1
