# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Quantised weights, compiled: decisions exactly, then values against the reference, which
# has the same integers; the same bits in any batch and for any number of threads.
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gatecc
from compare import CLOSE_CALL, ROUNDS_ROWS, assert_same_bits, chosen_groups
from conftest import MODELS
from gatecc import reference
from gatecc.models import blocks, moe
from gatecc.models.graph import Graph
from gatecc.reference import quantized
from quantized_models import QMoE, gate_up_layouts, matmul

TIGHT = 1e-5  # of the row's norm: the order of all sums is fixed
CLOSE_ROUNDING = 1e-4  # of a step: nearer than that an element may go either way
ONE_STEP = 0.05  # what some such elements change, of the row's norm
FORMATS = ("bf16", "int8", "int4")


def assert_as_reference(actual, run, name="y", least=0.6):
    """Rows agree tightly unless an element was about to be rounded the other way.

    At least the share `least` are not; steps of bf16 are as small as the elements, so that
    more are.
    """
    expected = run.outputs[name]
    assert actual.shape == expected.shape
    finite = np.isfinite(expected).all(1)
    assert np.isnan(actual[~finite]).all()
    norm = np.linalg.norm(expected, axis=1)
    off = np.linalg.norm(actual - expected, axis=1)
    (roundings,) = run.roundings.values()
    clear = finite & (roundings > CLOSE_ROUNDING)
    assert (off[clear] <= TIGHT * norm[clear]).all(), (off / norm)[clear].max()
    assert (off[finite] <= ONE_STEP * norm[finite] + TIGHT).all()
    assert clear.sum() >= least * finite.sum()


def assert_decided_as(library, run):
    ((plan, margins),) = run.plans.values()
    (site,) = library.stats()["sites"]
    if (margins > CLOSE_CALL).all():
        assert site["groups"] == chosen_groups(plan).sum(0).tolist()


def check(build, graph, inputs):
    path = build.graph(graph)
    run = reference.run_onnx(path, inputs)
    with build.load(path) as lib:
        assert_as_reference(lib(inputs)["y"], run)
        if run.plans:
            assert_decided_as(lib, run)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_matmul(build, bits, zeros):
    for k, n, block in ((64, 16, 32), (100, 33, 16), (300, 7, 256), (1, 1, 16)):
        x = np.random.default_rng(1).standard_normal((9, k), np.float32)
        check(build, matmul(k, n, bits, block, zeros, True), {"x": x})


@pytest.mark.parametrize("bits", [4, 8])
def test_the_same_integers_with_other_zero_points_are_another_weight(build, bits):
    x = np.random.default_rng(1).standard_normal((9, 64), np.float32)
    graph = matmul(64, 16, bits, 32, True, False)
    first = next(n for n in graph.nodes if n.op_type == "MatMulNBits")
    zeros = graph.weights[first.input[3]] ^ np.uint8(0x11)
    inputs = [*first.input[:3], graph.weight("other.zeros", zeros)]
    attributes = {a.name: a.i for a in first.attribute}
    graph.node("MatMulNBits", inputs, "other", ["z"], "com.microsoft", **attributes)
    graph.output("z", ["B", 16])
    path = build.graph(graph)
    expected = reference.run_onnx(path, {"x": x}).outputs
    assert np.abs(expected["y"] - expected["z"]).max() > 0.01
    with build.load(path) as lib:
        actual = lib(x=x)
    for name in ("y", "z"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [16, 32, 64, 128, 0])
@pytest.mark.parametrize("bits", [4, 8])
def test_qmoe(build, bits, block):
    for zeros in (False, True):
        model = QMoE(48, 80, 6, bits, block, zeros=zeros, bias=zeros)
        check(build, model.graph(2), model.inputs(40))


@pytest.mark.parametrize("activation", ["swiglu", "relu", "gelu", "silu", "identity"])
def test_qmoe_activations(build, activation):
    attributes = {}
    if activation == "swiglu":
        attributes = {"activation_alpha": 1.702, "activation_beta": 1.0}
        attributes["swiglu_limit"] = 1.0
    model = QMoE(32, 64, 5, 4, 32, activation=activation, bias=True, zeros=True)
    check(build, model.graph(2, **attributes), model.inputs(30))
    if activation != "swiglu":  # gated by a third weight
        model = QMoE(32, 64, 5, 8, 32, activation=activation, third=True)
        check(build, model.graph(2), model.inputs(30))


@pytest.mark.parametrize("normalize", [0, 1])
def test_router_weights(build, normalize):
    model = QMoE(32, 48, 7, 8, 16)
    inputs = model.inputs(30, mixing=True)
    inputs["mixing"][3] = 0  # of sum 0: no expert at all
    inputs["mixing"][4] *= -1
    graph = model.graph(3, True, normalize_routing_weights=normalize)
    check(build, graph, inputs)


def test_layouts_of_gate_and_up_give_the_same_bits(build):
    results = []
    for model in gate_up_layouts():
        with build.load(build.graph(model.graph(2))) as lib:
            results.append(lib(model.inputs(10)))
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


def rows_and_experts(weights, top_k, activation="silu"):
    """com.microsoft.MoE without anything before it: rows and logits are inputs."""
    _, dim, _ = weights["up"].shape
    g = Graph("moe")
    names = g.input("x", ["B", dim]), g.input("logits", ["B", len(weights["up"])])
    blocks.contrib_experts(g, *names, "experts", weights, top_k, activation)
    g.rename_result("y")
    g.output("y", ["B", dim])
    return g


CPUS = ["x86-64", "x86-64-v2", "sandybridge", "x86-64-v3", "x86-64-v4"]


@pytest.mark.parametrize("mcpu", CPUS)
def test_each_kind_of_cpu(build, mcpu):
    model = QMoE(48, 80, 6, 4, 32, zeros=True, bias=True)
    path, inputs = build.graph(model.graph()), model.inputs(40)
    weights = moe.random_block(np.random.default_rng(3), 40, 50, 4, "silu")
    plain, rows = build.graph(rows_and_experts(weights, 2)), random_inputs(40, 40, 4)
    cases = [(path, inputs, {})]
    cases += [(plain, rows, {"experts": experts}) for experts in FORMATS]
    for model, arrays, options in cases:
        try:
            lib = build.load(model, mcpu=mcpu, **options)
        except gatecc.RunError:
            pytest.skip(f"this machine is no {mcpu}")
        with lib:
            run = reference.run_onnx(model, arrays, **options)
            assert_as_reference(lib(arrays)["y"], run)


# An instruction set, the op that stands for its products, and what that computes.
VNNI = "avx2+vnni", "gate.dot_bytes"
BF16 = {
    "bf16p": ("avx512+bf16", "gate.dot_bf16", quantized.contract_dot_bf16),
    "bf16t": ("avx512+amx", "gate.amx_dot_bf16", quantized.contract_amx_bf16),
}


def with_vnni(folder, model, **options):
    return with_tiles_of(*VNNI, folder, model, **options)


def with_tiles_of(isa, op, folder, model, experts="f32", block=32, zero_points=False):
    """A library with the panels and tiles of other CPUs, but this machine's instructions."""
    compiler = gatecc.find_compiler()
    gate_opt = Path(compiler).with_name("gate-opt")
    if not gate_opt.exists():
        pytest.skip("there is no gate-opt beside the compiler")
    gate, schedule, kernel = (folder / f"{level}.mlir" for level in ("gate", "schedule", "kernel"))
    subprocess.run([compiler, model, "--compile-to=gate", "-o", gate], check=True)
    options = f"=isa={isa} experts={experts} block={block}"
    options += f" zero-points={str(zero_points).lower()}"

    def lower(source, pipeline, target, level):
        subprocess.run([gate_opt, source, f"--{pipeline}{options}", "-o", target], check=True)
        text = target.read_text()
        before = re.search('gatecc.level = "[a-z]*"', text)[0]
        target.write_text(text.replace(before, f'gatecc.level = "{level}"', 1))

    lower(gate, "gate-to-schedule", schedule, "schedule")
    lower(schedule, "schedule-to-kernel", kernel, "kernel")
    assert op in kernel.read_text()
    # The driver describes the program while it goes to the level kernel.
    driven = folder / "driven.mlir"
    subprocess.run([compiler, schedule, "--compile-to=kernel", "-o", driven], check=True)
    (head,) = re.findall("^module .*", driven.read_text(), re.M)
    kernel.write_text(re.sub("^module .*", lambda _: head, kernel.read_text(), count=1, flags=re.M))
    library = folder / "m.so"
    gatecc.compile(kernel, library)
    return library


@pytest.mark.parametrize("block", [32, 128])
@pytest.mark.parametrize("experts", ["int8", "int4"])
def test_vnni_computes_the_same_bits_on_experts(build, tmp_path, experts, block):
    weights = moe.random_block(np.random.default_rng(3), 50, 70, 4, "silu")
    path, inputs = build.graph(rows_and_experts(weights, 2)), random_inputs(40, 50, 4)
    options = {"experts": experts, "block": block}
    with build.load(path, **options) as lib:
        expected = lib(inputs)
    with gatecc.load(with_vnni(tmp_path, path, **options)) as lib:
        assert_same_bits(lib(inputs), expected)
    assert_as_reference(expected["y"], reference.run_onnx(path, inputs, **options))


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_vnni_computes_the_same_bits_on_quantized_weights(build, tmp_path, bits, zeros):
    model = QMoE(40, 72, 5, bits, 16, zeros=zeros, bias=True)
    if zeros and bits == 8:  # the extremes of zero points and of weights
        values, _, points, _ = model.parts[0]
        points[:, ::3], points[:, 1::3] = 0, 255
        values[:, ::3], values[:, 1::3] = 255, 0
    path, inputs = build.graph(model.graph(2)), model.inputs(67)
    with build.load(path) as lib:
        expected = lib(inputs)
    with gatecc.load(with_vnni(tmp_path, path)) as lib:
        assert_same_bits(lib(inputs), expected)
    assert_as_reference(expected["y"], reference.run_onnx(path, inputs))


def random_inputs(batch, dim, experts, seed=1):
    rng = np.random.default_rng(seed)
    shapes = {"x": (batch, dim), "logits": (batch, experts)}
    return {n: rng.standard_normal(s, np.float32) for n, s in shapes.items()}


@pytest.mark.parametrize("size", [(64, 96, 6), (17, 131, 3), (600, 40, 2), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("name", BF16)
def test_bf16_tiles_compute_the_bits_of_the_instruction(build, tmp_path, name, size):
    dim, _, experts = size
    isa, op, contract = BF16[name]
    weights = moe.random_block(np.random.default_rng(3), *size, "relu")
    weights["up"][0] *= np.float32(1e-36)  # products of normal numbers that are not
    path = build.graph(rows_and_experts(weights, 1, "relu"))
    inputs = random_inputs(150, dim, experts)
    inputs["x"][::7] *= np.float32(1e-5)
    inputs["x"][::5] *= np.float32(3e-2)
    expected = np.empty_like(inputs["x"])
    for e in range(experts):
        rows = inputs["logits"].argmax(1) == e
        hidden = contract(inputs["x"][rows], weights["up"][e].T)
        expected[rows] = contract(np.maximum(hidden, 0), weights["down"][e].T)
    with gatecc.load(with_tiles_of(isa, op, tmp_path, path, experts="bf16")) as lib:
        assert_same_bits(lib(inputs), {"y": expected + np.float32(0)})  # no -0


@pytest.mark.parametrize("batch", [0, 1, 15, 16, 17, 33, 97, 200])
@pytest.mark.parametrize("name", BF16)
def test_bf16_tiles_for_each_number_of_rows(libraries, name, batch):
    path, _ = libraries[name]
    inputs = random_inputs(batch, 50, 5)
    inputs["logits"][: batch // 2] = [9, 8, 0, 0, 0]  # two experts have most of the rows
    model = libraries["bf16 model"]
    run = reference.run_onnx(model, inputs, "bf16", bf16_rows=True)
    with gatecc.load(path) as lib:
        assert_as_reference(lib(inputs)["y"], run, least=0.25)


def test_versions_for_other_cpus_change_nothing(build):
    weights = moe.random_block(np.random.default_rng(3), 50, 70, 4, "silu")
    path, inputs = build.graph(rows_and_experts(weights, 2)), random_inputs(40, 50, 4)
    with build.load(path, experts="bf16", mcpu="x86-64-v2") as lib:
        expected = lib(inputs)
    cpus = "x86-64-v2,cooperlake,sapphirerapids"
    with build.load(path, experts="bf16", mcpu=cpus) as lib:
        assert lib.targets == tuple(cpus.split(","))
        if not ROUNDS_ROWS:
            assert_same_bits(lib(inputs), expected)


SIZES = [(64, 96, 6), (40, 50, 4), (17, 131, 3)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("experts", FORMATS)
def test_experts_of_a_format(build, experts, size):
    weights = moe.random_block(np.random.default_rng(3), *size, "silu")
    path = build.graph(rows_and_experts(weights, 2))
    inputs = random_inputs(40, size[0], size[2])
    blocks = (32, 64, 128) if experts != "bf16" else (None,)
    for block in blocks:
        options = {"block": block} if block else {}
        run = reference.run_onnx(path, inputs, experts, **options, bf16_rows=ROUNDS_ROWS)
        with build.load(path, experts=experts, **options) as lib:
            least = 0.25 if ROUNDS_ROWS and experts == "bf16" else 0.6
            assert_as_reference(lib(inputs)["y"], run, least=least)
            assert_decided_as(lib, run)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("experts", ["int8", "int4"])
def test_zero_points(build, tmp_path, experts, size):
    """Weights that are all positive, or all negative."""
    weights = moe.random_block(np.random.default_rng(3), *size, "silu")
    for i, w in enumerate(weights.values()):
        w[...] = np.abs(w) if i % 2 else -np.abs(w)
    weights["down"][0, 0] = 0  # a block without a scale
    path = build.graph(rows_and_experts(weights, 2))
    inputs = random_inputs(40, size[0], size[2])
    exact = reference.run_onnx(path, inputs).outputs["y"]
    errors = []
    for zero_points in (False, True):
        options = {"experts": experts, "zero_points": zero_points}
        run = reference.run_onnx(path, inputs, **options)
        with build.load(path, **options) as lib:
            actual = lib(inputs)
        assert_as_reference(actual["y"], run)
        errors.append(np.linalg.norm(actual["y"] - exact))
    if experts == "int4":  # beside 8 bits, the rounding of rows is as large
        assert errors[1] < 0.8 * errors[0]
    with gatecc.load(with_vnni(tmp_path, path, **options)) as lib:
        assert_same_bits(lib(inputs), actual)


@pytest.mark.parametrize("experts", FORMATS)
def test_digits_stay_what_they_are(build, digits, experts):
    x, labels = digits
    path = MODELS / "digits-moe.onnx"
    with build.load(path) as lib:
        expected = lib(x=x)["logits"].argmax(1)
        groups = [s["groups"] for s in lib.stats()["sites"]]
    with build.load(path, experts=experts) as lib:
        actual = lib(x=x)["logits"].argmax(1)
        # Nothing before the first router is rounded.
        assert lib.stats()["sites"][0]["groups"] == groups[0]
    assert (actual == expected).mean() >= 0.98
    assert (actual == labels).mean() >= 0.95


@pytest.fixture(scope="module")
def libraries(build, tmp_path_factory):
    """Name -> (library's path, inputs)."""
    made = {}
    weights = moe.random_block(np.random.default_rng(3), 50, 70, 5, "silu")
    path = build.graph(rows_and_experts(weights, 2))
    for experts in FORMATS:
        made[experts] = build.path(path, experts=experts), random_inputs(67, 50, 5)
    made["bf16 model"] = path
    for name, (isa, op, _) in BF16.items():
        folder = tmp_path_factory.mktemp(name)
        library = with_tiles_of(isa, op, folder, path, experts="bf16")
        made[name] = library, random_inputs(67, 50, 5)
    for bits in (4, 8):
        model = QMoE(40, 72, 5, bits, 16, zeros=True, bias=True)
        made[f"qmoe{bits}"] = build.path(build.graph(model.graph())), model.inputs(67)
    path = build.path(build.graph(matmul(90, 50, 4, 32, True)))
    made["matmul"] = path, {"x": random_inputs(67, 90, 1)["x"]}
    return made


NAMES = [*FORMATS, *BF16, "qmoe4", "qmoe8", "matmul"]


def take(inputs, rows):
    return {name: array[rows] for name, array in inputs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_for_any_number_of_threads(libraries, name):
    path, inputs = libraries[name]
    results = []
    for threads in (1, 2, 3):
        with gatecc.load(path, threads=threads) as lib:
            results.append(lib(inputs))
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_bits_in_any_batch(libraries, name, seed):
    path, inputs = libraries[name]
    rng = np.random.default_rng(seed)
    order = rng.permutation(67)
    cuts = np.sort(rng.integers(0, 68, rng.integers(0, 8)))
    with gatecc.load(path, threads=2) as lib:
        whole = lib(inputs)
        for rows in [*np.split(order, cuts), order[:1], order[:0]]:
            assert_same_bits(lib(take(inputs, rows)), take(whole, rows))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite(libraries, name, bad):
    path, inputs = libraries[name]
    changed = {n: a.copy() for n, a in inputs.items()}
    changed["x"][[5, 66], [0, 33]] = bad
    rest = np.delete(np.arange(67), [5, 66])
    with gatecc.load(path) as lib:
        expected, actual = lib(inputs), lib(changed)
    assert np.isnan(actual["y"][[5, 66]]).all()
    assert_same_bits(take(actual, rest), take(expected, rest))


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_zeros_and_of_subnormals(libraries, name):
    path, inputs = libraries[name]
    changed = {n: a.copy() for n, a in inputs.items()}
    changed["x"][0] = 0
    changed["x"][1] *= np.float32(1e-40)
    with gatecc.load(path) as lib:
        y = lib(changed)["y"]
    assert np.isfinite(y).all()
    if "qmoe" not in name and name != "matmul":
        assert (y[0] == 0).all()


def test_unknown_formats_are_wrong_usage(tmp_path):
    model = MODELS / "digits-moe.onnx"
    for options in ({"experts": "fp8"}, {"experts": "int8", "block": 48}, {"block": 32}):
        with pytest.raises(gatecc.CompileError) as caught:
            gatecc.compile(model, tmp_path / "m.so", **options)
        assert caught.value.status == 2
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("fc0", (6, 160, 23), "fc1_experts_weights have the shape"),
        ("fc0.scales", (6, 160, 4), "the scales of fc1_experts_weights"),
        ("fc1.zeros", (6, 48, 3), "the zero points of fc2_experts_weights"),
        ("fc1.bias", (6, 47), "the bias of fc2_experts_weights"),
    ],
)
def test_wrong_shapes_are_refused(tmp_path, name, shape, reason):
    graph = QMoE(48, 80, 6, 4, 32, zeros=True, bias=True).graph()
    array = graph.weights[name]
    graph.weights[name] = np.resize(array, shape)
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(gatecc.CompileError, match=reason) as caught:
        gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so")
    assert caught.value.status == 1
    assert "m.onnx" in str(caught.value) and "'experts' (QMoE)" in str(caught.value)
    assert not (tmp_path / "m.so").exists()


@pytest.mark.parametrize("bits", [2, 3])
def test_wrong_bits_are_refused(tmp_path, bits):
    model = QMoE(48, 80, 6, 4, 32)
    model.bits = bits
    model.graph().save(tmp_path / "m.onnx")
    with pytest.raises(gatecc.CompileError, match="gatecc supports 4 and 8"):
        gatecc.compile(tmp_path / "m.onnx", tmp_path / "m.so")
