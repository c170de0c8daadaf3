# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The two trained networks, compiled: decisions and values against the float64 reference,
# values against ONNX Runtime, what the library says about itself.
import json
import re

import numpy as np
import onnxruntime
import pytest

import gatecc
from compare import assert_close, assert_plans, assert_same_bits, exits_of, one_by_one
from conftest import MODELS, NETWORKS
from gatecc import reference

MOE = MODELS / "digits-moe.onnx"
EXIT = MODELS / "digits-exit.onnx"


def test_description(build, network):
    with build.load(network) as lib:
        assert [(t.name, t.dtype, t.shape) for t in lib.inputs] == [
            ("x", "f32", ("B", 64))
        ]
        assert [(t.name, t.dtype, t.shape) for t in lib.outputs] == [
            ("logits", "f32", ("B", 10))
        ]
        assert lib.name == network.stem
        assert lib.weight_bytes > 200_000
        assert lib.memory(B=64)["inputs"] == 64 * 64 * 4


def test_values_against_the_reference(build, network, digits):
    x, labels = digits
    run = reference.run_onnx(network, {"x": x})
    with build.load(network) as lib:
        logits = lib(x=x)["logits"]
    assert_close(logits, run.outputs["logits"])
    assert (logits.argmax(1) == labels).mean() >= 0.96


def test_values_against_onnx_runtime(build, network, digits):
    x, _ = digits
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    with build.load(network) as lib:
        assert_close(lib(x=x)["logits"], session.run(None, {"x": x})[0])


def test_experts_are_chosen_as_in_the_reference(build, digits):
    x, _ = digits
    run = reference.run_onnx(MOE, {"x": x})
    with build.load(MOE) as lib:
        lib(x=x)
        sites = lib.stats()["sites"]
        assert [s["kind"] for s in sites] == ["experts"] * 2
        assert [s["name"] for s in sites] == list(run.plans)
        for site, (plan, _) in zip(sites, run.plans.values(), strict=True):
            assert site["rows"] == len(x)
            assert site["groups"] == plan.counts.tolist()
            assert site["skipped"] == pytest.approx(1 - 2 / 8)
        assert assert_plans(lib, run, x).all()


def test_exits_are_taken_as_in_the_reference(build, digits):
    x, _ = digits
    leaves = exits_of(reference.run_onnx(EXIT, {"x": x}), 4)
    with build.load(EXIT) as lib:
        lib(x=x)
        (site,) = lib.stats()["sites"]
        assert site["kind"] == "exit" and site["rows"] == len(x)
        assert site["groups"] == np.bincount(leaves, minlength=4).tolist()
        share = (leaves + 1).mean() / 4  # stages are of nearly the same cost
        assert site["skipped"] == pytest.approx(1 - share, abs=0.02)
        _, (taken,) = one_by_one(lib, x)
    np.testing.assert_array_equal(taken.argmax(1), leaves)
    assert (taken.sum(1) == 1).all()


def test_no_samples(build, network):
    with build.load(network) as lib:
        result = lib(x=np.zeros((0, 64), np.float32))["logits"]
        assert result.shape == (0, 10)
        for site in lib.stats()["sites"]:
            assert site["rows"] == 0 and not any(site["groups"])
            assert site["skipped"] == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_json_form_gives_the_same_bits(build, name, digits):
    x, _ = digits
    with build.load(MODELS / f"{name}.onnx") as a, build.load(
        MODELS / f"{name}.json"
    ) as b:
        for rows in (x, x[:1], x[:17]):
            assert_same_bits(a(x=rows), b(x=rows))
            stats = [
                [(s["kind"], s["rows"], s["groups"]) for s in lib.stats()["sites"]]
                for lib in (a, b)
            ]
            assert stats[0] == stats[1]


@pytest.mark.parametrize("mcpu", ["x86-64-v2", "x86-64-v3", ["x86-64-v2", "native"]])
def test_cpu_levels(build, network, mcpu, digits):
    x, _ = digits
    run = reference.run_onnx(network, {"x": x})
    with build.load(network, mcpu=mcpu) as lib:
        wanted = [mcpu] if isinstance(mcpu, str) else mcpu
        assert len(lib.targets) == len(wanted)
        for name, target in zip(wanted, lib.targets):
            # "native" is resolved: the library says for which CPU it was made.
            assert target == name or (name == "native" and target)
        assert_close(lib(x=x)["logits"], run.outputs["logits"])


def test_avx512_code_runs_where_the_cpu_has_it_and_is_refused_elsewhere(build, digits):
    x, _ = digits
    with open("/proc/cpuinfo") as info:
        flags = re.search(r"^flags\s*:(.*)", info.read(), re.MULTILINE)[1].split()
    needed = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    if needed <= set(flags):
        with build.load(MOE, mcpu="x86-64-v4") as lib:
            run = reference.run_onnx(MOE, {"x": x})
            assert_close(lib(x=x)["logits"], run.outputs["logits"])
        return
    with pytest.raises(gatecc.RunError) as caught:
        build.load(MOE, mcpu="x86-64-v4")
    assert caught.value.status == gatecc.abi.UNSUPPORTED_CPU
    with build.load(MOE, mcpu="x86-64-v3,x86-64-v4") as lib:  # v3 is taken
        assert lib(x=x[:3])["logits"].shape == (3, 10)


def test_report(tmp_path, network, build):
    build.path(network)
    report = tmp_path / "report.json"
    gatecc.compile(network, tmp_path / "m.so", report=report)
    text = json.dumps(json.loads(report.read_text()))
    with build.load(network) as lib:
        for site in lib.sites:
            assert site.name in text and site.kind in text
    gatecc.compile(network, tmp_path / "m.so", report=tmp_path / "report.txt")
    assert lib.sites[0].name in (tmp_path / "report.txt").read_text()


def test_errors_have_the_compilers_text(tmp_path):
    with pytest.raises(gatecc.CompileError, match="missing.onnx") as caught:
        gatecc.compile(tmp_path / "missing.onnx", tmp_path / "m.so")
    assert caught.value.status == 1
    with pytest.raises(gatecc.CompileError) as caught:
        gatecc.compile(MOE, tmp_path / "m.so", mcpu="no-such-cpu")
    assert "no-such-cpu" in str(caught.value)
    with pytest.raises(gatecc.CompileError) as caught:
        gatecc.compile(MOE, tmp_path / "m.so", compile_to="no-such-level")
    assert caught.value.status == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("level", ["import", "gate", "schedule", "kernel", "llvm"])
def test_levels_as_text(network, level):
    text = gatecc.compile(network, compile_to=level)
    assert ("define " if level == "llvm" else "module") in text


def test_wrong_inputs(build, network):
    with build.load(network) as lib:
        good = np.zeros((2, 64), np.float32)
        for wrong in (good.astype(np.float64), good[:, :63], good[0]):
            with pytest.raises(gatecc.RunError, match="x"):
                lib(x=wrong)
        with pytest.raises(gatecc.RunError, match="nothing"):
            lib(x=good, nothing=good)
        with pytest.raises(gatecc.RunError, match="x"):
            lib({})
        assert lib(x=good)["logits"].shape == (2, 10)
