# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The reference of quantised products: by hand, against plain float64, and against ONNX
# Runtime, whose kernels for 8-bit activations have the same integers.
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import MODELS
from gatecc import reference
from gatecc.models import __main__ as generator
from gatecc.models import moe
from gatecc.reference import quantized
from quantized_models import QMoE, gate_up_layouts, integers, matmul

EXACT = 4  # ONNX Runtime's accuracy_level for 8-bit activations


def relative(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def run_onnx_runtime(graph, path, inputs):
    graph.save(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)[0]


@given(bits=st.sampled_from([4, 8]), count=st.integers(1, 9), seed=st.integers(0, 99))
def test_unpack_undoes_pack(bits, count, seed):
    q = np.random.default_rng(seed).integers(0, 1 << bits, (3, 2, count))
    packed = quantized.pack(q, bits)
    assert packed.dtype == np.uint8 and packed.shape[-1] == -(-count * bits // 8)
    np.testing.assert_array_equal(quantized.unpack(packed, bits, count), q)


def test_dequantize_by_hand():
    # Row 0 of the values is column 0 of the weight; the low half comes first.
    values = np.array([[0x21, 0x03], [0xF0, 0x08]], np.uint8)
    scales = np.array([[1, 10], [2, 0.5]], np.float32)
    layout = {"bits": 4, "block": 2, "k": 3}
    w = reference.dequantize(values, scales, **layout)
    np.testing.assert_array_equal(w, [[-7, -16], [-6, 14], [-50, 0]])
    zeros = np.array([[0x31], [0x80]], np.uint8)
    w = reference.dequantize(values, scales, zeros, **layout)
    np.testing.assert_array_equal(w, [[0, 0], [1, 30], [0, 0]])


def test_rows_by_hand():
    x = np.float32([[127, -2.5, 1.5, 0, 0, 0, 254, 3], [np.nan, 1, 0, 0, 1, 2, 3, 4]])
    q, scales, margins = reference.quantize_rows(x, 3)
    np.testing.assert_array_equal(q[0], [[127, -2, 2], [0, 0, 0], [127, 2, 0]])
    np.testing.assert_array_equal(scales[0], [1, 0, 2])
    assert margins[0] == 0  # 2.5 is as near to 2 as to 3
    assert np.isnan(scales[1, 0]) and np.isfinite(scales[1, 1:]).all()


def test_weights_by_hand():
    w = np.float32([[7, -3.5, 0.5, 0, 0]])
    q, scales = reference.quantize_weights(w, 4, 3)
    np.testing.assert_array_equal(q, [[7, -4, 0, 0, 0]])
    np.testing.assert_array_equal(scales, [[1, 0]])


def test_weights_with_zero_points_by_hand():
    w = np.float32([[7.5, -7.5, 2.4, 0, 0, 0, 30, 15, 1]])
    q, scales = reference.quantize_weights(w, 4, 3, zero_points=True)
    # -7.5 to 7.5: 15 steps of 1, zero at step 8; 7.5 would be step 16.
    np.testing.assert_array_equal(q, [[7, -8, 2, 0, 0, 0, 15, 8, 0]])
    np.testing.assert_array_equal(scales, [[1, 0, 2]])


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_on_one_side_are_twice_as_exact_with_zero_points(bits):
    w = np.abs(np.random.default_rng(0).standard_normal((8, 256), np.float32))
    errors = []
    for zero_points in (False, True):
        q, scales = reference.quantize_weights(w, bits, 32, zero_points)
        errors.append(np.linalg.norm(q * np.repeat(scales, 32, -1) - w))
    assert errors[1] < 0.55 * errors[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_nan_and_leaves_others_alone(bad):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 40), np.float32)
    q, scales = reference.quantize_weights(rng.standard_normal((5, 40)), 8, 32)
    expected, _ = reference.contract_quantized(x, q, scales, 32)
    x[1, 7] = bad
    y, _ = reference.contract_quantized(x, q, scales, 32)
    assert np.isnan(y[1]).all()
    np.testing.assert_array_equal(y[[0, 2]], expected[[0, 2]])


@given(
    k=st.integers(1, 200),
    block=st.sampled_from([16, 32, 64, 128, 200]),
    bits=st.sampled_from([4, 8]),
    seed=st.integers(0, 1000),
)
def test_contraction_is_near_the_dequantized_one(k, block, bits, seed):
    rng = np.random.default_rng(seed)
    values, scales, zeros = integers(rng, (7, k), bits, block, zeros=True)
    layout = {"bits": bits, "block": block, "k": k}
    x = rng.standard_normal((4, k), np.float32)
    w = reference.dequantize(values, scales, zeros, **layout)
    q = quantized.centered(values, scales, zeros, **layout)
    y, _ = reference.contract_quantized(x, q, scales, block)
    # A row's element is off by at most half of its block's scale.
    bound = np.abs(x).max() / 254 * np.abs(w).sum(0) + 1e-5
    assert (np.abs(y - x @ w) <= bound).all()


def test_bf16_rounds_to_nearest_even():
    x = np.float32([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -3e38, 0])
    expected = np.float32([1, 1, 1 + 2**-6, 1 + 2**-7, -3e38, 0])
    rounded = quantized.round_bf16(x)
    np.testing.assert_array_equal(rounded[[0, 1, 2, 3, 5]], expected[[0, 1, 2, 3, 5]])
    assert (rounded.view(np.uint32) & 0xFFFF == 0).all()


def test_bf16_products_add_in_the_order_of_the_instructions():
    large, ones = np.float32(2**24), np.ones((1, 36), np.float32)
    x = np.zeros((1, 36), np.float32)
    x[0, :4] = x[0, 32:] = 1, large, -large, 0
    assert quantized.contract_dot_bf16(x, ones) == 0  # (2^24 + 1) is rounded
    assert quantized.contract_amx_bf16(x, ones) == 2  # even and odd ones, 32 by 32


@pytest.mark.parametrize("contract", [quantized.contract_dot_bf16, quantized.contract_amx_bf16])
def test_bf16_products_have_no_subnormal_numbers(contract):
    def product(x, w):
        return contract(np.float32([[2.0**x]]), np.float32([[2.0**w]]))[0, 0]

    assert product(-100, -26) == 2.0**-126
    assert product(-100, -27) == 0  # the product
    assert product(-127, 100) == 0  # the row
    assert product(100, -127) == 0  # the weight


def test_margins_of_rows_in_bf16():
    step, little = 2**-7, 2**-40  # f32 has nothing so close to 1
    x = np.array([[1, 1.5, -1], [0, 0, 0], [1, 1 + step / 2, 2**-20]], float)
    x = np.concatenate([x, x[2:] + little, [[2, -1 - step / 4 - little, 0]]])
    rounded, margins = quantized.round_rows(x)
    np.testing.assert_array_equal(rounded, quantized.round_bf16(x))
    np.testing.assert_allclose(margins, [0.5, 0.5, 0.5, 0, 0.125], atol=1e-9)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("block", [16, 32, 128, 256])
@pytest.mark.parametrize("bits", [4, 8])
def test_matmul_against_onnx_runtime(tmp_path, bits, block, zeros):
    for k in (64, 100, 300):
        x = np.random.default_rng(1).standard_normal((9, k), np.float32)
        for level in (EXACT, 0):
            graph = matmul(k, 24, bits, block, zeros, True, accuracy_level=level)
            expected = run_onnx_runtime(graph, tmp_path / "m.onnx", {"x": x})
            run = reference.run_onnx(tmp_path / "m.onnx", {"x": x})
            # Longer blocks of rows have several scales here, and one there.
            exact = level == EXACT and min(block, k) <= quantized.LONGEST
            assert relative(run.outputs["y"], expected) < (1e-6 if exact else 1e-2)


@pytest.mark.parametrize("mixing", [False, True])
@pytest.mark.parametrize(
    "activation", ["swiglu", "relu", "gelu", "silu", "identity"]
)
@pytest.mark.parametrize("bits", [4, 8])
def test_qmoe_against_onnx_runtime(tmp_path, bits, activation, mixing):
    attributes = {"accuracy_level": EXACT}
    if activation == "swiglu":
        attributes |= {"activation_alpha": 1.702, "activation_beta": 1.0}
        attributes["swiglu_limit"] = 1.0
    for block in (16, 32, 64, 0):
        for zeros in (False, True):
            model = QMoE(
                64, 128, 6, bits, block, activation=activation, zeros=zeros, bias=True
            )
            inputs = model.inputs(15, mixing)
            for normalize in (0, 1):
                attributes["normalize_routing_weights"] = normalize
                graph = model.graph(2, mixing, **attributes)
                expected = run_onnx_runtime(graph, tmp_path / "m.onnx", inputs)
                y = reference.run_onnx(tmp_path / "m.onnx", inputs).outputs["y"]
                # Rows stay f32 there where a scale is for a whole column. A hidden
                # element may be rounded the other way.
                assert relative(y, expected) < (1e-4 if block else 2e-2)


def test_layouts_of_gate_and_up_mean_the_same(tmp_path):
    results = []
    for model in gate_up_layouts():
        model.graph(2).save(tmp_path / "m.onnx")
        run = reference.run_onnx(tmp_path / "m.onnx", model.inputs(10))
        results.append(run.outputs["y"])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
@pytest.mark.parametrize(("bits", "limit"), [(8, 0.03), (4, 0.3)])
def test_generated_qmoe_is_near_the_contrib_form(tmp_path, activation, bits, limit):
    command = "moe --dim 64 --hidden 96 --experts 6 --top-k 2 --activation".split()
    command.append(activation)
    x = moe.make_inputs(20, 64)
    path = tmp_path / "m.onnx"
    assert generator.main([*command, "-o", str(path)]) == 0
    exact = reference.run_onnx(path, {"x": x}).outputs["y"] - x
    for block in (32, 0):
        options = f"--form qmoe --bits {bits} --block {block} -o {path}".split()
        assert generator.main([*command, *options]) == 0
        y = reference.run_onnx(path, {"x": x}).outputs["y"] - x
        assert 0 < relative(y, exact) < limit
        assert relative(y, run_path(path, x) - x) < 0.03
    if bits == 8:
        assert generator.main([*command, "--block", "-1", *options[:2], "-o", "no"]) == 1


def run_path(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_formats_of_the_compiler_are_near_f32(digits):
    x, labels = digits
    path = MODELS / "digits-moe.onnx"
    exact = reference.run_onnx(path, {"x": x}).outputs["logits"]
    for experts, agree in (("bf16", 0.99), ("int8", 0.99), ("int4", 0.98)):
        run = reference.run_onnx(path, {"x": x}, experts=experts)
        same = run.outputs["logits"].argmax(1) == exact.argmax(1)
        assert same.mean() >= agree
