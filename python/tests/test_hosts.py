# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The hosts of examples/ on the compiled networks: C, four threads with four contexts, and
# a host with its own pool. They are built beside the compiler.
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import gatecc
from conftest import MODELS, NETWORKS
from gatecc import reference


def run_host(name, *arguments):
    program = Path(gatecc.find_compiler()).with_name(name)
    assert program.exists(), f"{program} has not been built"
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_c_host_prints_the_statistics(build, digits, tmp_path):
    x, _ = digits
    model = MODELS / "digits-moe.onnx"
    data = tmp_path / "x.raw"
    data.write_bytes(np.ascontiguousarray(x).tobytes())
    text = run_host("gatecc_example_c", build.path(model), len(x), data)
    plans = reference.run_onnx(model, {"x": x}).plans
    printed = [
        [int(n) for n in groups.split()]
        for groups in re.findall(r"rows 360, groups ([0-9 ]+)", text)
    ]
    assert printed == [plan.counts.tolist() for plan, _ in plans.values()]


@pytest.mark.parametrize("host", ["gatecc_example_threads", "gatecc_example_host_pool"])
@pytest.mark.parametrize("network", NETWORKS)
def test_cpp_hosts(build, host, network):
    run_host(host, build.path(MODELS / f"{network}.onnx"), 200)
