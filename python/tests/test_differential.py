# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Each optimisation left out with --disable: the same decisions and values, and, where the
# optimisation is what finds the work to skip, nothing found.
import re

import numpy as np
import pytest

import gatecc
from compare import assert_close, assert_same_bits, exits_of
from conftest import MODELS
from gatecc import reference
from gatecc.models import exits, moe

NAMES = ["digits-moe", "digits-exit", "moe-gelu", "moe-pages", "exit-nested"]


@pytest.fixture(scope="module")
def passes(build):
    """The names that --disable takes, which its error message lists."""
    with pytest.raises(gatecc.CompileError) as caught:
        gatecc.compile(MODELS / "digits-moe.onnx", build.folder / "no", disable="?")
    assert caught.value.status == 2
    names = re.search(r"the passes are ([a-z0-9-]+(?:, [a-z0-9-]+)*)", str(caught.value))[1]
    return names.split(", ")


@pytest.fixture(scope="module")
def networks(build, digits):
    made = {n: (MODELS / f"{n}.onnx", digits[0]) for n in NAMES[:2]}
    graph = moe.network(36, 50, 7, 3, "gelu")
    made["moe-gelu"] = build.graph(graph), moe.make_inputs(60, 36)
    graph = moe.network(1024, 1024, 2, 1, "relu")  # rows a multiple of a page apart
    made["moe-pages"] = build.graph(graph), moe.make_inputs(70, 1024)
    graph = exits.network(37, 4, "nested", "gelu")
    rows, _ = exits.make_inputs(60, 37, 4, 0.4)
    made["exit-nested"] = build.graph(graph), rows
    return made


@pytest.mark.parametrize("name", NAMES)
def test_without_each_pass_and_without_all(build, networks, passes, name):
    path, x = networks[name]
    ((output, expected),) = reference.run_onnx(path, {"x": x}).outputs.items()
    for disabled in [*passes, ",".join(passes)]:
        with build.load(path, disable=disabled) as lib:
            result = lib(x=x)
            assert_close(result[output], expected)
            for row in range(0, len(x), 17):
                one = lib(x=x[row : row + 1])
                assert_same_bits(one, {output: result[output][row : row + 1]})
            assert lib(x=x[:0])[output].shape[0] == 0


def test_experts_are_skipped_whatever_is_disabled(build, passes, digits):
    x, _ = digits
    path = MODELS / "digits-moe.onnx"
    plans = reference.run_onnx(path, {"x": x}).plans
    for disabled in passes:
        with build.load(path, disable=disabled) as lib:
            lib(x=x)
            groups = [site["groups"] for site in lib.stats()["sites"]]
            assert groups == [plan.counts.tolist() for plan, _ in plans.values()]


def test_exits_are_found_by_form_groups(build, passes, digits):
    x, _ = digits
    path = MODELS / "digits-exit.onnx"
    leaves = exits_of(reference.run_onnx(path, {"x": x}), 4)
    assert "form-groups" in passes
    for disabled in passes:
        with build.load(path, disable=disabled) as lib:
            lib(x=x)
            groups = [site["groups"] for site in lib.stats()["sites"]]
            found = [] if disabled == "form-groups" else [np.bincount(leaves).tolist()]
            assert groups == found


def test_unknown_pass(tmp_path):
    with pytest.raises(gatecc.CompileError, match="no-such-pass") as caught:
        gatecc.compile(
            MODELS / "digits-moe.onnx", tmp_path / "m.so", disable="no-such-pass"
        )
    assert caught.value.status == 2
