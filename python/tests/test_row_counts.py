# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Products of every number of rows up to several tiles and blocks, with a depth of more
# than one stretch and a last panel that is not full.
import numpy as np
import pytest

from gatecc import reference
from gatecc.models import blocks, moe
from gatecc.models.graph import Graph

COUNTS = [*range(15), 47, *range(94, 100), *range(189, 195), *range(283, 290), 300]
DEPTH, WIDTH = 1031, 37


def product():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((DEPTH, WIDTH), np.float32)
    g = Graph("product")
    x = g.input("x", ["B", DEPTH])
    g.node("MatMul", [x, g.weight("w", weight)], "y")
    g.rename_result("y")
    g.output("y", ["B", WIDTH])
    return g, weight


@pytest.mark.parametrize("mcpu", ["x86-64-v2", "x86-64-v3", "native"])
def test_every_number_of_rows(build, mcpu):
    graph, weight = product()
    x = np.random.default_rng(1).standard_normal((max(COUNTS), DEPTH), np.float32)
    expected = x.astype(np.float64) @ weight
    with build.load(build.graph(graph), mcpu=mcpu) as lib:
        single = np.concatenate([lib(x=row[None])["y"] for row in x])
        np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-3)
        for count in COUNTS:
            many = lib(x=x[:count])["y"]
            np.testing.assert_array_equal(many, single[:count], err_msg=f"{count}")


@pytest.mark.parametrize("experts", ["f32", "bf16", "int8", "int4"])
def test_every_number_of_rows_of_an_expert(build, experts):
    rng = np.random.default_rng(3)
    weights = moe.random_block(rng, 600, 560, 2, "silu")
    g = Graph("experts")
    names = g.input("x", ["B", 600]), g.input("logits", ["B", 2])
    blocks.contrib_experts(g, *names, "experts", weights, 1, "silu")
    g.rename_result("y")
    g.output("y", ["B", 600])
    x = rng.standard_normal((max(COUNTS), 600), np.float32)
    logits = np.tile(np.array([1, 0], np.float32), (len(x), 1))
    with build.load(build.graph(g), experts=experts, check_accesses=True) as lib:
        rows = [lib(x=x[i : i + 1], logits=logits[:1])["y"] for i in range(len(x))]
        single = np.concatenate(rows)
        for count in COUNTS:
            many = lib(x=x[:count], logits=logits[:count])["y"]
            np.testing.assert_array_equal(many, single[:count], err_msg=f"{count}")


def test_rows_of_sequences_are_the_same_rows(build):
    """x [B, S, D] to a mixture of experts: rows come from two dimensions."""
    rng = np.random.default_rng(2)
    weights = moe.random_block(rng, 24, 40, 5, "silu")
    g = Graph("sequences")
    x = g.input("x", ["B", "S", 24])
    flat = g.node("Reshape", [x, g.weight("rows", np.array([-1, 24]))], "flat")
    logits = g.node("MatMul", [flat, g.weight("w", weights["router"])], "router")
    blocks.contrib_experts(g, x, logits, "experts", weights, 2, "silu")
    g.rename_result("y")
    g.output("y", ["B", "S", 24])
    x = rng.standard_normal((3, 7, 24), np.float32)
    with build.load(build.graph(g)) as lib:
        y = lib(x=x)["y"]
        for shape in ((21, 1), (1, 21), (7, 3), (0, 5), (5, 0)):
            some = x.reshape(-1, 24)[: shape[0] * shape[1]]
            actual = lib(x=some.reshape(*shape, 24))["y"]
            np.testing.assert_array_equal(
                actual, y.reshape(-1, 24)[: len(some)].reshape(*shape, 24)
            )
    (run,) = reference.run_onnx(build.graph(g), {"x": x}).outputs.values()
    np.testing.assert_allclose(y, run, rtol=1e-4, atol=1e-4)
