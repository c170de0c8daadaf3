# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Each optimisation left out with --disable: the same decisions and values, and, where the
# optimisation is what skips work, nothing skipped.
import numpy as np
import pytest

import gatecc
from compare import assert_close, assert_same_bits
from conftest import MODELS
from gatecc import reference
from gatecc.models import exits, moe

# The passes that --disable takes, all of which are tested here one by one.
PASSES = ()


@pytest.fixture(scope="module")
def networks(build, digits):
    made = {n: (MODELS / f"{n}.onnx", digits[0]) for n in ("digits-moe", "digits-exit")}
    made["moe-gelu"] = (
        build.graph(moe.network(36, 50, 7, 3, "gelu")),
        moe.make_inputs(60, 36),
    )
    rows, _ = exits.make_inputs(60, 37, 4, 0.4)
    made["exit-nested"] = build.graph(exits.network(37, 4, "nested", "gelu")), rows
    return made


@pytest.mark.parametrize(
    "name", ["digits-moe", "digits-exit", "moe-gelu", "exit-nested"]
)
@pytest.mark.parametrize("disabled", [*PASSES, ",".join(PASSES)])
def test_without(build, networks, name, disabled):
    path, x = networks[name]
    expected = reference.run_onnx(path, {"x": x}).outputs
    with build.load(path, disable=disabled) as lib, build.load(path) as usual:
        ((output, reference_values),) = expected.items()
        result = lib(x=x)
        assert_close(result[output], reference_values)
        assert_close(result[output], usual(x=x)[output])
        for batch in (0, 1):
            assert lib(x=x[:batch])[output].shape[0] == batch
        for row in range(0, len(x), 17):
            one = lib(x=x[row : row + 1])
            assert_same_bits(one, {output: result[output][row : row + 1]})


def test_unknown_pass(tmp_path):
    with pytest.raises(gatecc.CompileError, match="no-such-pass") as caught:
        gatecc.compile(
            MODELS / "digits-moe.onnx", tmp_path / "m.so", disable="no-such-pass"
        )
    assert caught.value.status == 2


def test_nothing_is_skipped_without_demand(build, digits):
    x, _ = digits
    with build.load(MODELS / "digits-exit.onnx", disable="form-groups") as lib:
        lib(x=x)
        assert all(s["skipped"] == 0 for s in lib.stats()["sites"])
        assert np.isfinite(lib(x=x)["logits"]).all()
