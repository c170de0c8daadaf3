# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Networks with several outputs, each in its own buffer of the caller, whatever they share.
import numpy as np

from gatecc.models.graph import Graph


def test_reductions_from_the_same_start(build):
    g = Graph("two")
    x = g.input("x", ["B", 8])
    axis = g.weight("axis", np.array([1], np.int64))
    square = g.node("Mul", [x, x], "square")
    for name, operand in (("a", x), ("b", square), ("c", x)):
        g.node("ReduceSum", [operand, axis], name, outputs=[name], keepdims=0)
        g.output(name, ["B"])
    x = np.random.default_rng(0).standard_normal((5, 8), np.float32)
    with build.load(build.graph(g)) as lib:
        y = lib(x=x)
    np.testing.assert_allclose(y["a"], x.sum(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y["b"], (x * x).sum(1), rtol=1e-5)
    np.testing.assert_array_equal(y["c"], y["a"])
