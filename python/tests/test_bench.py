# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The harness of bench/: files are made, columns and verdicts are right. No test here
# looks at a time.
import csv
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT))

from bench import (
    cells,
    check,
    goals,
    inputs,
    networks,
    processes,
    session,
)  # noqa: E402
from bench.peers import OURS, SYSTEMS  # noqa: E402
from gatecc import reference  # noqa: E402


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a --quick run with gatecc and ONNX Runtime."""
    folder = tmp_path_factory.mktemp("bench")
    names = (*OURS, "ort", "ort-contrib")
    command = [sys.executable, "-m", "bench", "--quick", "--out", folder / "out"]
    command += ["--cache", folder / "cache", "--systems", ",".join(names)]
    done = subprocess.run(
        command, cwd=ROOT, env=processes.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_quick_run_has_every_cell(quick):
    with open(quick / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tuple(session.COLUMNS)
    assert {row["suite"] for row in rows} == {"moe", "chain", "exit", "forms", "router"}
    seen = {(r["cell"], r["T"], r["routing"]) for r in rows if r["suite"] == "moe"}
    for cell in cells.QUICK:
        for tokens, routing in (
            (1, "random"),
            (1, "fixed"),
            (16, "skewed"),
            (16, "same"),
        ):
            assert (cell, str(tokens), routing) in seen
    forms = {r["cell"] for r in rows if r["suite"] == "forms"}
    assert forms == {f"tiny {number} {form}" for form, number in cells.FORMS.items()}


def test_quick_run_is_right_and_adds_up(quick):
    with open(quick / "results.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        status = row["status"]
        assert status == "ok" or status.startswith(
            ("unsupported", "not installed")
        ), row
        if row["precision"] == "f32":
            assert status == "ok", row
        if status == "ok":
            time, runs = float(row["time_ms"]), int(row["runs"])
            assert time > 0 and runs > 0
            assert float(row["error"]) <= check.TOLERANCE[row["precision"]]
        if row["fraction"]:
            fraction = float(row["limit_ms"]) / time
            assert float(row["fraction"]) == pytest.approx(fraction)


def test_quick_run_has_a_report_and_a_picture(quick):
    text = (quick / "report.md").read_text()
    for title in ("The machine's limits", "The systems", "Goals", "Compiling"):
        assert f"## {title}" in text
    tables = [line for line in text.splitlines() if line.startswith("|---")]
    assert len(tables) >= 6
    assert ElementTree.parse(quick / "results.svg").getroot().tag.endswith("svg")


def test_a_missing_or_unknown_system_is_told(tmp_path):
    command = [sys.executable, "-m", "bench", "--systems", "nobody"]
    done = subprocess.run(
        command, cwd=ROOT, env=processes.environment(), capture_output=True, text=True
    )
    assert done.returncode == 2 and "nobody is none of" in done.stderr
    process = processes.Process("gatecc", 1)
    try:
        with pytest.raises(processes.WorkerError, match="RunError"):
            process.ask("prepare", job={"file": str(tmp_path / "no.so"), "threads": 1})
    finally:
        process.close()


def test_a_dead_worker_is_an_error_and_no_hang():
    process = processes.Process("gatecc", 1)
    process.process.kill()
    process.process.wait()
    with pytest.raises(processes.WorkerError, match="ended"):
        process.ask("time", indices=[0])
    process.close()


@pytest.mark.parametrize("routing", cells.ROUTINGS[:3])
def test_inputs_are_routed_as_wanted(routing):
    layer = cells.LAYERS["tiny"]
    router = networks.moe_weights(layer)["router"]
    xs = inputs.make(layer, router, 512, routing, 4)
    counts = [inputs.plan_of(layer, router, x)[0].counts for x in xs]
    assert all(c.sum() == 512 * layer.top_k for c in counts)
    most = np.mean([c.max() for c in counts])
    if routing == "same":
        assert all(np.sort(c)[-2:].tolist() == [512, 512] for c in counts)
        assert len({tuple(c) for c in counts}) > 1
    elif routing == "skewed":
        assert most > 300
    else:
        assert most < 230


def test_expected_results_are_those_of_the_model(tmp_path):
    for name in cells.QUICK:
        layer = cells.LAYERS[name]
        x = np.random.default_rng(5).standard_normal((9, layer.dim), np.float32)
        ((expected, _),) = networks.moe_expected(layer, [x], "test", tmp_path)
        file = networks.moe_file(layer, "contrib", tmp_path)
        run = reference.run_onnx(file, {"x": x})
        np.testing.assert_allclose(expected, run.outputs["y"], atol=1e-12)
        one = networks.one_expert_file(layer, tmp_path)
        expected, _ = networks.one_expert_expected(layer, x)
        run = reference.run_onnx(one, {"x": x})
        np.testing.assert_allclose(expected, run.outputs["y"], atol=1e-12)


def test_wrong_results_are_seen():
    y = np.random.default_rng(0).standard_normal((4, 8))
    margins = np.array([1, 1, 1, 0.0])
    off = y.copy()
    off[3] = 0  # a close call
    assert check.verdict(check.row_error(off, y, margins, "f32"), "f32") is None
    off[0, 0] += 0.01
    assert "wrong" in check.verdict(check.row_error(off, y, margins, "f32"), "f32")
    off[0, 0] = np.nan
    assert "wrong" in check.verdict(check.row_error(off, y, margins, "int4"), "int4")


def test_goals_are_judged():
    def row(system, time, **values):
        row = dict.fromkeys((*session.COLUMNS, *session.UNWRITTEN)) | {
            "suite": "moe", "cell": "edge", "T": 64, "precision": "f32", "threads": 2,
            "routing": "random", "system": system, "status": "ok", "time_ms": time,
            "limit_ms": 1.0, "fraction": time and 1.0 / time, "binds": "compute",
            "balanced": False, "out_of_cache": False,
        }  # fmt: skip
        if time and system != "gatecc":
            row["ratio"] = time / 1.25
        return row | values

    rows = [row("gatecc", 1.25), row("ort", 2.5), row("torch", 5.0)]
    rows.append(row("openvino", None, status="wrong: relative error 1"))
    found = {(o.what, o.goal): o for o in goals.evaluate(rows, [])}
    assert found["f32, T >= 64", "median >= 0.90 of the limit"].met is False
    assert found["f32, T >= 64", "each >= 0.80 of the limit"].met is True
    assert found["f32, best peer", "geomean >= 1.4, T = 64, 128, 512"].met is True
    assert found["bf16, T >= 64", "each >= 0.75 of the limit"].met is None
    assert set(SYSTEMS) >= {row["system"] for row in rows}


def test_goals_of_forms_are_judged():
    def row(form, system, time, T=16, **values):
        row = dict.fromkeys((*session.COLUMNS, *session.UNWRITTEN)) | {
            "suite": "forms", "cell": form, "form": form, "T": T, "precision": "f32",
            "routing": "random", "system": system, "status": "ok", "time_ms": time,
            "limit_ms": 1.0, "fraction": 1.0 / time, "binds": "compute", "dense_share": 4.0,
        }  # fmt: skip
        if system != "gatecc":
            row["ratio"] = time / 2.0
        return row | values

    rows = []
    for form in ("grouped", "batched", "gathered"):
        rows += [row(form, "gatecc", 2.0), row(form, "gatecc-contrib", 1.98)]
    rows += [row("grouped", "ort", 2.9), row("batched", "ort", 6.6)]
    rows += [row("gathered", "ort", 50.0), row("gathered", "gatecc", 2.0, 128)]
    found = {(o.what, o.goal): o for o in goals.evaluate(rows, [])}
    assert found["forms of exports", "<= 1.03x the MoE operator"].met
    what = "forms F2 and F7, best peer"
    assert found[what, "each >= 0.97"].met
    assert found[what, "geomean >= 1.4"].met
    what = "form F1, largest T of the best peer"
    assert found[what, "each >= 20x where compute binds"].met
    goal = "each >= 0.85x what the limits differ by"
    assert found["form F5, best peer", goal].met is False


def test_limit_counts_bytes_and_products():
    layer = cells.LAYERS["mixs"]
    assert layer.flops(3) == 6 * 3 * 2 * 1024 * 3584
    one = 3 * 1024 * 3584
    small = 4 * 1024 * 8 + 4 * 8 + 8 * 1024
    assert layer.least_bytes(1, 2, "f32") == 2 * one * 4 + small
    assert layer.least_bytes(1, 2, "int4") == 2 * one * 0.625 + small
    switch = cells.LAYERS["switch"]
    assert switch.flops(5) == 4 * 5 * 768 * 3072
