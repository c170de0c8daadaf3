# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# `gatecc run` and `gatecc inspect` on the trained networks, as a script would use them.
import json
import subprocess

import numpy as np
import pytest

import gatecc
from conftest import MODELS

MOE = MODELS / "digits-moe.onnx"
EXIT = MODELS / "digits-exit.onnx"


def tool(*arguments, status=0):
    done = subprocess.run(
        [gatecc.find_compiler(), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.mark.parametrize("threads", [1, 3])
def test_run(build, network, digits, tmp_path, threads):
    x, _ = digits
    np.save(tmp_path / "x.npy", x)
    arguments = ["run", build.path(network), "--input", f"x={tmp_path / 'x.npy'}"]
    arguments += ["--output", f"logits={tmp_path / 'y.npy'}", "--threads", threads]
    arguments += ["--stats", tmp_path / "stats.json"]
    tool(*arguments)
    with build.load(network) as lib:
        expected = lib(x=x)["logits"]
        stats = lib.stats()
    result = np.load(tmp_path / "y.npy")
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)
    written = json.loads((tmp_path / "stats.json").read_text())
    assert [s | {"skipped": 0} for s in written["sites"]] == [
        s | {"skipped": 0} for s in stats["sites"]
    ]
    for a, b in zip(written["sites"], stats["sites"], strict=True):
        assert a["skipped"] == pytest.approx(b["skipped"], abs=1e-6)


def test_repeat_prints_one_line(build, digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:4])
    out = tool(
        "run", build.path(EXIT), "--input", f"x={tmp_path / 'x.npy'}", "--repeat", 5
    )
    (line,) = out.splitlines()
    times = json.loads(line)
    assert times["runs"] == 5
    assert 0 < times["min_ms"] <= times["median_ms"] <= times["max_ms"]


def test_run_refuses(build, digits, tmp_path):
    library = build.path(MOE)
    np.save(tmp_path / "f64.npy", digits[0].astype(np.float64))
    np.save(tmp_path / "thin.npy", digits[0][:, :60])
    np.save(tmp_path / "fortran.npy", np.asfortranarray(digits[0]))
    np.save(tmp_path / "big.npy", digits[0].astype(">f4"))
    np.save(tmp_path / "objects.npy", np.array([{}]))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "thin.npy").read_bytes()[:500])
    (tmp_path / "empty.npy").write_bytes(b"")
    for file in [*tmp_path.glob("*.npy"), tmp_path / "missing.npy"]:
        if file.name != "fortran.npy":
            text = tool("run", library, "--input", f"x={file}", status=1)
            assert file.name in text or "'x'" in text
    tool("run", library, "--input", f"z={tmp_path / 'thin.npy'}", status=1)
    tool("run", library, "--input", "x", status=2)
    tool("run", tmp_path / "empty.npy", "--input", "x=a.npy", status=1)
    tool("run", status=2)


@pytest.mark.parametrize("form", ["onnx", "json"])
def test_inspect(build, form):
    path = MODELS / f"digits-moe.{form}"
    library = build.path(path)
    text = json.loads(tool("inspect", library, "--json"))
    assert text["abi"] == 1
    assert text["inputs"] == [{"name": "x", "dtype": "f32", "shape": ["B", 64]}]
    assert text["outputs"] == [{"name": "logits", "dtype": "f32", "shape": ["B", 10]}]
    assert [(s["kind"], s["groups"]) for s in text["sites"]] == [("experts", 8)] * 2
    with build.load(path) as lib:
        assert text["weight_bytes"] == lib.weight_bytes
        assert text["source_hash"] == lib.source_hash
        assert [s["name"] for s in text["sites"]] == [s.name for s in lib.sites]
    assert "experts" in tool("inspect", library)
    small, large = (
        tool("inspect", library, "--json", "--bind", f"B={b}") for b in (1, 640)
    )
    assert small != large


def test_inspect_refuses(tmp_path):
    (tmp_path / "no.so").write_bytes(b"no library")
    assert "no.so" in tool("inspect", tmp_path / "no.so", status=1)


def test_help_version_and_usage():
    assert "--mcpu" in tool("--help")
    assert any(c.isdigit() for c in tool("--version"))
    assert "LayerNormalization" in tool("--list-ops")
    tool(status=2)
    tool("--no-such-option", status=2)
