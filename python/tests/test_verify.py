# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# `gatecc verify`: what it compares, what it says, and the status it ends with.
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

import gatecc
from conftest import MODELS
from gatecc.models.graph import Graph
from test_exports import D, FORMS

DIFFERENT = 4


def verify(*arguments, status=0, python=sys.executable):
    done = subprocess.run(
        [gatecc.find_compiler(), "verify", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "GATECC_PYTHON": str(python)},
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status in (0, DIFFERENT) else done.stderr


@pytest.fixture(scope="module")
def model(build):
    return build.graph(FORMS["nonzero-of-each-expert"]())


@pytest.fixture(scope="module")
def cases(model):
    """Two cases with inputs and outputs, by the keys of an archive."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    arrays = {}
    for i, rows in enumerate((5, 3)):
        x = np.random.default_rng(i).standard_normal((rows, D)).astype(np.float32)
        arrays[f"in{i}.x"], arrays[f"out{i}.y"] = x, session.run(None, {"x": x})[0]
    return arrays


def test_random_inputs(model):
    text = verify(model, "--random", 7, "--seed", 3)
    assert text.count("raised and unraised: the same") == 7
    # Rows 1, 2, 7, 64, none, and two of any number.
    for number, rows in enumerate((1, 2, 7, 64, 0)):
        assert f"random {number}: x f32 [{rows}, {D}]\n" in text
    assert f"ONNX Runtime {onnxruntime.__version__}\n" in text
    assert text.count("ONNX Runtime: the same") >= 6
    assert text.endswith(": 0 different, 0 after close calls\n")
    assert text == verify(model, "--random", 7, "--seed", 3)
    assert text != verify(model, "--random", 7, "--seed", 4)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_inputs_of_a_file(model, cases, tmp_path, write):
    write(tmp_path / "cases.npz", **cases)
    text = verify(model, "--inputs", tmp_path / "cases.npz")
    assert "case 0: x f32 [5, 6]" in text and "case 1: x f32 [3, 6]" in text
    assert text.count("the outputs of the file: the same") == 2
    write(tmp_path / "names.npz", x=cases["in0.x"], y=cases["out0.y"])
    text = verify(model, "--inputs", tmp_path / "names.npz")
    assert text.count("the outputs of the file: the same") == 1
    write(tmp_path / "input.npz", x=cases["in0.x"])
    assert "the file" not in verify(model, "--inputs", tmp_path / "input.npz")


def test_a_difference(model, cases, tmp_path):
    wrong = cases["out1.y"].copy()
    wrong[2, 4] += np.float32(0.5)
    np.savez(tmp_path / "wrong.npz", **{**cases, "out1.y": wrong})
    text = verify(model, "--inputs", tmp_path / "wrong.npz", status=DIFFERENT)
    (line,) = [line for line in text.splitlines() if "DIFFERENT" in line]
    assert "the outputs of the file" in line and "output 'y': 1 of 3 rows" in line
    assert line.endswith("at [2, 4]")
    assert "1 different" in text.splitlines()[-1]
    for bad in (wrong[:2], wrong.astype(np.float64), np.where(wrong > 0, wrong, np.nan)):
        np.savez(tmp_path / "wrong.npz", **{**cases, "out1.y": bad})
        verify(model, "--inputs", tmp_path / "wrong.npz", status=DIFFERENT)


def test_without_onnx_runtime(model, tmp_path):
    text = verify(model, "--random", 1, python=tmp_path / "no-python")
    assert "ONNX Runtime was not compared: " in text
    assert "raised and unraised: the same" in text
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -S \"$@\"\n")  # no packages
    script.chmod(0o755)
    text = verify(model, "--random", 1, python=script)
    assert "ONNX Runtime was not compared: No module named" in text
    options = model, "--random", 1, "--onnxruntime=yes"
    assert "No module named" in verify(*options, python=script, status=1)
    text = verify(model, "--random", 1, "--onnxruntime=no")
    assert "was not compared: --onnxruntime=no" in text


def test_onnx_runtime_refuses(tmp_path):
    """What it does not take is not compared, and said: here a file of the future."""
    model = onnx.load(MODELS / "digits-moe.onnx")
    model.ir_version = 99
    onnx.save(model, tmp_path / "m.onnx")
    text = verify(tmp_path / "m.onnx", "--random", 2)
    assert "ONNX Runtime was not compared: " in text and "99" in text
    assert text.count("raised and unraised: the same") == 2
    verify(tmp_path / "m.onnx", "--onnxruntime=yes", status=1)


@pytest.mark.parametrize("name", ["digits-moe.onnx", "digits-exit.onnx", "digits-moe.json"])
def test_trained_networks(name):
    text = verify(MODELS / name, "--random", 5)
    assert text.count("raised and unraised: the same") == 5
    if name.endswith(".json"):
        assert "was not compared: the model is no ONNX file" in text


def test_integers_index_their_table(build):
    """Token ids are drawn from the table's rows: any other would be refused."""
    g = Graph("tokens")
    g.input("ids", ["B", "S"], TensorProto.INT64)
    g.input("mask", ["B", "S"], TensorProto.BOOL)
    table = g.weight("table", np.arange(12, dtype=np.float32).reshape(3, 4))
    rows = g.node("Gather", [table, g.node("Cast", ["ids"], "narrow", to=TensorProto.INT32)], "g")
    bits = g.node("Cast", ["mask"], "bits", to=TensorProto.FLOAT)
    wide = g.node("Unsqueeze", [bits, g.weight("last", np.array([2]))], "wide")
    g.node("Mul", [rows, wide], "mul", ["y"])
    g.output("y", ["B", "S", 4])
    text = verify(build.graph(g), "--random", 8, "--onnxruntime=yes")
    assert "refuse" not in text and text.count("ONNX Runtime: the same") == 8
    assert "ids i64 [2, 7]; mask bool [2, 7]" in text


def test_refused_runs(build, tmp_path):
    """A shape that does not fit: both forms say so, and so does ONNX Runtime."""
    g = Graph("shapes")
    g.input("x", ["T", 4])
    g.input("shape", [2], TensorProto.INT64)
    rows = g.node("Reshape", ["x", "shape"], "reshape")
    g.node("ReduceSum", [rows], "sum", ["y"], keepdims=0)
    g.output("y", [])
    path = build.graph(g)
    x = np.ones((3, 4), np.float32)
    np.savez(tmp_path / "x.npz", **{"in0.x": x, "in0.shape": [2, 6], "in1.x": x, "in1.shape": [5, 2]})
    text = verify(path, "--inputs", tmp_path / "x.npz")
    assert text.count("raised and unraised: the same") == 1
    (line,) = [line for line in text.splitlines() if "both refuse: " in line]
    assert "node 'reshape' (Reshape)" in line
    assert "ONNX Runtime: not compared: " in text


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "it holds no arrays"),
        ({"z": np.zeros(3)}, "'z' is neither NAME nor"),
        ({"in0.z": np.zeros(3)}, "'in0.z' is neither NAME nor"),
        ({"in99999999999999999999.x": np.zeros(3)}, "is neither NAME nor"),
        ({"out0.y": np.zeros((2, D), np.float32)}, "case 0 has no array for the input 'x'"),
        ({"x": np.zeros((2, D), np.float32), "in0.x": np.zeros(2)}, "'in0.x' is there twice"),
        ({"x": np.zeros((2, D))}, "case 0: "),
        ({"x": np.zeros((2, D + 1), np.float32)}, "case 0: "),
        ({"x": np.array(["text"])}, "'x': the type '<U4' is not supported"),
        ({"x": np.zeros((2, D), ">f4")}, "big-endian"),
    ],
)
def test_wrong_arrays(model, tmp_path, arrays, words):
    np.savez(tmp_path / "bad.npz", **arrays)
    assert words in verify(model, "--inputs", tmp_path / "bad.npz", status=1)


def test_wrong_files(model, tmp_path):
    assert "missing.npz" in verify(model, "--inputs", tmp_path / "missing.npz", status=1)
    np.save(tmp_path / "array.npy", np.zeros(3))
    text = verify(model, "--inputs", tmp_path / "array.npy", status=1)
    assert "it is not a .npz file" in text
    verify(tmp_path / "missing.onnx", status=1)
    text = verify(tmp_path / "text.mlir", status=1)
    assert "verify needs a model" in text


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_archives(quick_model, cases, tmp_path, seed):
    """Cut and changed archives are refused or read, and nothing else."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "damaged.npz"
    (np.savez_compressed if seed % 2 else np.savez)(path, **cases)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    places = rng.integers(0, len(content), rng.integers(1, 5))
    content[places] = rng.integers(0, 256, len(places))
    if seed % 3 == 0:
        content = content[: rng.integers(0, len(content))]
    path.write_bytes(content.tobytes())
    done = subprocess.run(
        [gatecc.find_compiler(), "verify", quick_model, "--onnxruntime=no", "--inputs", path],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1, DIFFERENT), done.stderr


@pytest.fixture(scope="module")
def quick_model(build):
    """It compiles fast, and has the names that the archives have."""
    g = Graph("quick")
    g.input("x", ["T", D])
    g.node("Relu", ["x"], "relu", ["y"])
    g.output("y", ["T", D])
    return build.graph(g)


def test_usage(model, tmp_path):
    for options in (
        ["--random", "0"],
        ["--random", "many"],
        ["--seed", "-1"],
        ["--onnxruntime=maybe"],
        ["--inputs", "a.npz", "--random", "2"],
        ["--experts=int8"],
        ["-o", "x.so"],
    ):
        assert "gatecc: error" in verify(model, *options, status=2)
    assert "no model is given" in verify(status=2)


def test_nothing_is_left_behind(model, tmp_path):
    before = set(Path(tmp_path).iterdir())
    subprocess.run(
        [gatecc.find_compiler(), "verify", model, "--random", "1", "--onnxruntime=no"],
        check=True,
        capture_output=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
    )
    assert set(Path(tmp_path).iterdir()) == before
