# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Resize against the onnx package's evaluator: sizes that are symbols, constants that the
# node tests of ONNX give as data, bytes, and what cannot be resized. (ONNX Runtime counts
# corners that are aligned otherwise where a scale is no quotient of sizes.)
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import gatecc

FLOAT, BYTE = TensorProto.FLOAT, TensorProto.UINT8


def model(path, shape, scales=None, sizes=None, dtype=FLOAT, data=(), **attributes):
    """One Resize of x; what `data` names is an input instead of a constant."""
    given = {"scales": scales, "sizes": sizes}
    inputs = [helper.make_tensor_value_info("x", dtype, shape)]
    constants = []
    for name, value in given.items():
        if value is None:
            continue
        array = np.array(value, np.float32 if name == "scales" else np.int64)
        if name in data:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        else:
            constants.append(onnx.numpy_helper.from_array(array, name))
    names = ["x", "", "scales" if scales is not None else "", "sizes" if sizes is not None else ""]
    node = helper.make_node("Resize", names, ["y"], name="resize", **attributes)
    output = onnx.ValueInfoProto(name="y")
    graph = helper.make_graph([node], "g", inputs, [output], constants)
    opset = [helper.make_opsetid("", 19)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def compare(path, library, inputs, atol=1e-5):
    want = ReferenceEvaluator(str(path)).run(None, inputs)[0]
    made = library(inputs)["y"]
    assert made.dtype == want.dtype and made.shape == want.shape
    np.testing.assert_allclose(made.astype(np.float64), want, rtol=1e-4, atol=atol)


MODES = [
    dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    dict(mode="nearest"),
    dict(mode="linear"),
    dict(mode="linear", coordinate_transformation_mode="align_corners"),
    dict(mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    dict(mode="cubic", cubic_coeff_a=-0.5),
    dict(mode="cubic", exclude_outside=1),
]


@pytest.mark.parametrize("attributes", MODES, ids=lambda a: "-".join(map(str, a.values())))
@pytest.mark.parametrize("scale", [2.0, 1.5, 0.6])
def test_symbolic_sizes(tmp_path, attributes, scale):
    path = model(tmp_path / "m.onnx", ["N", 3, "H", "W"], [1, 1, scale, scale], **attributes)
    rng = np.random.default_rng(1)
    with gatecc.load(gatecc.compile(path, tmp_path / "m.so")) as library:
        whole = scale == 2.0
        wanted = ("N", 3, "2*H", "2*W") if whole else ("N", 3, "?", "?")
        assert library.outputs[0].shape == wanted
        for n, h, w in ((1, 5, 7), (2, 10, 4), (1, 2, 3)):
            compare(path, library, {"x": rng.standard_normal((n, 3, h, w), np.float32)})


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_scales_and_sizes_that_are_data(tmp_path, mode):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1, 2, 5, 6), np.float32)
    path = model(tmp_path / "a.onnx", [1, 2, "H", "W"], [1, 1, 1, 1], data=["scales"], mode=mode)
    with gatecc.load(gatecc.compile(path, tmp_path / "a.so")) as library:
        for scale in ([1, 1, 2, 3], [1, 1, 0.5, 1.3], [1, 1, 1, 1]):
            scales = np.array(scale, np.float32)
            compare(path, library, {"x": x, "scales": scales})
        for bad in (0.0, -1.0, np.nan):
            scales = np.array([1, 1, bad, 1], np.float32)
            with pytest.raises(gatecc.RunError, match="expects scales above 0"):
                library(x=x, scales=scales)
    path = model(tmp_path / "b.onnx", [1, 2, "H", "W"], None, [1, 2, 1, 1], data=["sizes"], mode=mode)
    with gatecc.load(gatecc.compile(path, tmp_path / "b.so")) as library:
        for size in ([1, 2, 10, 9], [1, 2, 3, 6], [1, 2, 1, 1]):
            compare(path, library, {"x": x, "sizes": np.array(size)})
        with pytest.raises(gatecc.RunError, match="without elements"):
            library(x=x[:, :, :0], sizes=np.array([1, 2, 4, 4]))
        with pytest.raises(gatecc.RunError, match="size"):
            library(x=x, sizes=np.array([1, 2, -4, 4]))
        assert library(x=x, sizes=np.array([1, 2, 0, 4]))["y"].shape == (1, 2, 0, 4)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_bytes(tmp_path, mode):
    path = model(tmp_path / "m.onnx", [1, 1, "H", "W"], [1, 1, 2, 2], dtype=BYTE, mode=mode)
    x = np.random.default_rng(3).integers(0, 256, (1, 1, 6, 5)).astype(np.uint8)
    with gatecc.load(gatecc.compile(path, tmp_path / "m.so")) as library:
        compare(path, library, {"x": x})


def test_cubic_bytes_do_not_overflow(tmp_path):
    path = model(tmp_path / "m.onnx", [1, 1, 4, 4], [1, 1, 3, 3], dtype=BYTE, mode="cubic")
    x = np.array([[0, 255, 255, 0]] * 4, np.uint8)[None, None]
    with gatecc.load(gatecc.compile(path, tmp_path / "m.so")) as library:
        y = library(x=x)["y"][0, 0, 5].astype(int)
    assert y.max() == 255 and y.min() == 0
    assert (y[4:8] > 200).all()


@pytest.mark.parametrize(
    "attributes, message",
    [
        (dict(mode="lanczos"), "does not support the mode 'lanczos'"),
        (dict(coordinate_transformation_mode="wild"), "coordinate_transformation_mode"),
        (dict(nearest_mode="middle"), "nearest_mode"),
        (dict(axes=[2, 2], scales=[1, 1]), "names axis 2 twice"),
        (dict(axes=[7, 2], scales=[1, 1]), "axis"),
        (dict(scales=[1, 1, 2]), "expects 4 numbers as scales"),
        (dict(scales=[1, 1, -2, 1]), "expects scales above 0"),
        (dict(coordinate_transformation_mode="tf_crop_and_resize"), "region of interest"),
        (dict(sizes=[1, 1, 2, 2]), "either scales or sizes"),
    ],
)
def test_refused(tmp_path, attributes, message):
    attributes = {"scales": [1, 1, 2, 2], **attributes}
    path = model(tmp_path / "m.onnx", [1, 1, 4, 4], **attributes)
    with pytest.raises(gatecc.CompileError, match=message):
        gatecc.compile(path, tmp_path / "m.so")
