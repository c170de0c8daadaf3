# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What the report says that rounding the experts costs, against the reference.
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import gatecc
from compare import ROUNDS_ROWS
from conftest import MODELS
from gatecc import reference
from gatecc.models import moe
from quantized_models import QMoE
from test_exports import FORMS
from test_nested_sites import experts_behind_an_exit

MODEL = MODELS / "digits-moe.onnx"
FORMATS = ("bf16", "int8", "int4")


def report(folder, model, **options):
    gatecc.compile(model, folder / "m.so", report=folder / "r.json", **options)
    assert {p.name for p in folder.iterdir() if p.suffix != ".onnx"} == {"m.so", "r.json"}
    return json.loads((folder / "r.json").read_text())["experts"]


def alone(path, node, model):
    """A network of one layer; rows and logits are its inputs."""
    graph = helper.make_graph(
        [node],
        "layer",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["T", size])
            for name, size in zip(node.input[:2], (64, 8))
        ],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, ["T", 64])],
        [t for t in model.graph.initializer if t.name in node.input],
    )
    onnx.save(helper.make_model(graph, opset_imports=model.opset_import), path)


def errors_of_reference(folder, x, experts):
    """The error and the worst row of each layer, by its name."""
    model = onnx.load(MODEL)
    exact = reference.run_onnx(MODEL, {"x": x})
    found = {}
    for node in model.graph.node:
        if node.op_type != "MoE":
            continue
        alone(folder / "layer.onnx", node, model)
        inputs = {name: exact.values[name] for name in node.input[:2]}
        run = reference.run_onnx(folder / "layer.onnx", inputs, experts, bf16_rows=ROUNDS_ROWS)
        y = exact.values[node.output[0]]
        off, norm = (np.linalg.norm(a, axis=1) for a in (run.values[node.output[0]] - y, y))
        found[node.name] = np.linalg.norm(off) / np.linalg.norm(norm), (off / norm).max()
    return found


@pytest.mark.parametrize("experts", FORMATS)
def test_errors_are_those_of_the_reference(tmp_path, digits, experts):
    x, _ = digits
    expected = errors_of_reference(tmp_path, x, experts)
    for model in (MODEL, MODEL.with_suffix(".json")):
        found = report(tmp_path, model, experts=experts, calibration=x)
        assert [layer["name"] for layer in found["layers"]] == list(expected)
        for layer in found["layers"]:
            error, worst = expected[layer["name"]]
            assert layer["rows"] == len(x) and layer["format"] == experts
            assert layer["block"] == (0 if experts == "bf16" else 32)
            assert layer["error"] == pytest.approx(error, rel=1e-3)
            assert layer["worst_row"] == pytest.approx(worst, rel=0.02)
            assert layer["f32_bytes"] == 8 * 3 * 64 * 32 * 4
            assert layer["weight_bytes"] < 0.51 * layer["f32_bytes"]
        (used,) = found["inputs"]
        assert (used["name"], used["dtype"], used["shape"]) == ("x", "f32", [360, 64])
        assert used["from"].endswith(".npy")


def test_generated_inputs(tmp_path):
    first = report(tmp_path, MODEL, experts="int8", block=64)
    assert first["inputs"] == [
        {"name": "x", "dtype": "f32", "shape": [64, 64]}
        | {"from": "generated (standard normal, seed 0)"}
    ]
    assert all(0 < layer["error"] < 0.02 for layer in first["layers"])
    # A block is no longer than the columns that it divides.
    assert {layer["block"] for layer in first["layers"]} <= {32, 64}
    assert first == report(tmp_path, MODEL, experts="int8", block=64)


def test_only_rows_that_stay_are_measured(tmp_path):
    x = np.random.default_rng(0).standard_normal((300, 32), np.float32)
    for threshold in (0.0, 0.43, 2.0):
        experts_behind_an_exit(tmp_path / "m.onnx", threshold)
        found = report(tmp_path, tmp_path / "m.onnx", experts="int8", calibration={"x": x})
        with gatecc.load(tmp_path / "m.so") as lib:
            lib(x=x)
            (site,) = [s for s in lib.stats()["sites"] if s["kind"] == "experts"]
        (layer,) = found["layers"]
        if threshold == 0.0:
            assert layer["not_measured"] == "no row has reached it"
        else:
            assert layer["rows"] == site["rows"] > 30
            assert 0.005 < layer["error"] < 0.03


@pytest.mark.parametrize("form", ["gathered-weights", "sorted-and-split", "nonzero-of-each-expert"])
def test_experts_that_were_found(tmp_path, form):
    """Layers of plain ONNX are measured as those of com.microsoft.MoE are."""
    FORMS[form]().save(tmp_path / "m.onnx")
    x = np.random.default_rng(1).standard_normal((50, 6), np.float32)
    (layer,) = report(tmp_path, tmp_path / "m.onnx", experts="int8", calibration=x)["layers"]
    gatecc.compile(tmp_path / "m.onnx", tmp_path / "exact.so")
    with gatecc.load(tmp_path / "m.so") as lib, gatecc.load(tmp_path / "exact.so") as exact:
        y = exact(x=x)["y"]
        off = lib(x=x)["y"] - y
    assert (layer["name"], layer["rows"], layer["format"]) == ("top", len(x), "int8")
    assert layer["f32_bytes"] == 4 * 2 * 5 * 6 * 4
    assert layer["error"] == pytest.approx(np.linalg.norm(off) / np.linalg.norm(y), rel=1e-3)
    assert layer["error"] > 1e-4


def test_not_measured(tmp_path):
    QMoE(32, 32, 4, 8, 16).graph().save(tmp_path / "m.onnx")
    found = report(tmp_path, tmp_path / "m.onnx", experts="int8")
    assert "as integers already" in found["layers"][0]["not_measured"]
    found = report(tmp_path, MODELS / "digits-exit.onnx", experts="int8")
    assert found["layers"] == []
    x = np.full((3, 64), np.nan, np.float32)
    found = report(tmp_path, MODEL, experts="int8", calibration=x)
    assert all("NaN" in layer["not_measured"] for layer in found["layers"])
    found = report(tmp_path, MODEL, experts="int8", calibration=x[:0])
    assert all("no row" in layer["not_measured"] for layer in found["layers"])


def test_no_report_without_rounding(tmp_path):
    gatecc.compile(MODEL, tmp_path / "m.so", report=tmp_path / "r.json")
    assert "experts" not in json.loads((tmp_path / "r.json").read_text())


def test_text_of_the_level_gate(tmp_path):
    moe.network(16, 24, 4, 2).save(tmp_path / "n.onnx")
    expected = report(tmp_path, tmp_path / "n.onnx", experts="bf16")
    (tmp_path / "r.json").unlink()
    (tmp_path / "m.so").unlink()
    gatecc.compile(tmp_path / "n.onnx", tmp_path / "gate.mlir", compile_to="gate")
    folder = tmp_path / "from-text"
    folder.mkdir()
    assert report(folder, tmp_path / "gate.mlir", experts="bf16") == expected


def test_bad_files(tmp_path, digits):
    x = digits[0]
    (tmp_path / "text.npy").write_text("no array")
    before = set(tmp_path.iterdir())
    for calibration, words in (
        (tmp_path / "gone.npy", "input 'x': .*gone.npy: cannot read it: No such file"),
        (tmp_path / "text.npy", "text.npy: it is not a .npy file"),
        (x.astype(np.float64), "'x': float64 given, float32"),
        (x[0], "'x'.*rank|'x'.*dimension"),
        (x[:, :63], "'x'.*63"),
        ({"y": x}, "no input 'y'; its inputs are x"),
    ):
        with pytest.raises(gatecc.CompileError, match=words) as caught:
            gatecc.compile(
                MODEL,
                tmp_path / "m.so",
                report=tmp_path / "r.json",
                experts="int8",
                calibration=calibration,
            )
        assert caught.value.status == 1 and "--calibration" in str(caught.value)
        assert set(tmp_path.iterdir()) == before
    with pytest.raises(gatecc.CompileError) as caught:
        gatecc.compile(MODEL, tmp_path / "m.so", calibration=x)
    assert caught.value.status == 2


def test_networks_with_several_inputs(tmp_path):
    model = QMoE(32, 32, 4, 8, 16)
    model.graph().save(tmp_path / "m.onnx")
    names = list(model.inputs(3))
    assert len(names) > 1
    with pytest.raises(gatecc.CompileError, match="NAME=FILE is expected") as caught:
        report(tmp_path, tmp_path / "m.onnx", experts="int8", calibration=np.zeros(3))
    assert all(name in str(caught.value) for name in names)
    # Those without a file have the rows of those with one.
    found = report(
        tmp_path,
        tmp_path / "m.onnx",
        experts="int8",
        calibration={names[0]: model.inputs(3)[names[0]]},
    )
    assert [used["shape"][0] for used in found["inputs"]] == [3] * len(names)
