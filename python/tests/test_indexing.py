# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Operators that index by data, compiled: against their reference, with indices that are
# negative, out of range, or repeated; and sizes that only the run knows.
import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx.reference import ReferenceEvaluator

import gatecc
from compare import assert_close
from gatecc import reference
from gatecc.models.graph import Graph

I64 = np.iinfo(np.int64)
RNG = np.random.default_rng(7)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def one_node(build, op, inputs, outputs, weights=None, **attributes):
    """A network of one node. inputs, outputs: name -> (shape, dtype)."""
    graph = Graph(op)
    for name, (shape, dtype) in inputs.items():
        graph.input(name, shape, dtype)
    for name, array in (weights or {}).items():
        graph.weight(name, array)
    names = [*inputs, *(weights or {})]
    graph.node(op, attributes.pop("order", names), "n", list(outputs), **attributes)
    for name, (shape, dtype) in outputs.items():
        graph.output(name, shape, dtype)
    return build.graph(graph)


INDICES = np.array([[0], [4], [-1], [-5], [9], [I64.max], [I64.min], [2]], np.int64)


def test_gather_nd_of_rows(build):
    model = one_node(
        build,
        "GatherND",
        {"x": (["R", 3], T.FLOAT), "i": (["N", 1], T.INT64)},
        {"y": (["N", 3], T.FLOAT)},
    )
    with build.load(model) as lib:
        for rows in (5, 1, 0):
            x = floats(rows, 3)
            for n in (8, 1, 0):
                y = lib(x=x, i=INDICES[:n])["y"]
                np.testing.assert_array_equal(y, reference.gather_nd(x, INDICES[:n]))


@pytest.mark.parametrize("batch", [0, 1])
def test_gather_nd_in_batches(build, batch):
    shape = ["B", "S"] if batch else ["B", "S", 3]
    model = one_node(
        build,
        "GatherND",
        {"x": (["B", 4, 3], T.FLOAT), "i": (["B", "S", 1], T.INT64)},
        {"y": ([*shape, 3] if batch else [*shape[:2], 4, 3], T.FLOAT)},
        batch_dims=batch,
    )
    x, i = floats(2, 4, 3), RNG.integers(-6, 7, (2, 5, 1))
    with build.load(model) as lib:
        y = lib(x=x, i=i)["y"]
    np.testing.assert_array_equal(y, reference.gather_nd(x, i, batch))


@pytest.mark.parametrize("op", ["GatherND", "Gather"])
def test_weights_chosen_by_the_run(build, op):
    """As exporters gather the weights of each row's expert."""
    w = floats(6, 4, 5)
    graph = Graph("weights")
    graph.input("x", ["N", 5, 1])
    graph.input("i", ["N", 1] if op == "GatherND" else ["N"], T.INT64)
    graph.weight("w", w)
    graph.node(op, ["w", "i"], "g")
    graph.node("MatMul", ["g/out", "x"], "m", ["y"])
    graph.output("y", ["N", 4, 1])
    with build.load(build.graph(graph)) as lib:
        for n in (7, 1, 0):
            x, i = floats(n, 5, 1), RNG.integers(-6, 6, n)
            y = lib(x=x, i=i[:, None] if op == "GatherND" else i)["y"]
            assert_close(y, w[i].astype(np.float64) @ x)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_nd(build, reduction):
    model = one_node(
        build,
        "ScatterND",
        {"x": (["R", 3], T.FLOAT), "i": (["N", 1], T.INT64), "u": (["N", 3], T.FLOAT)},
        {"y": (["R", 3], T.FLOAT)},
        reduction=reduction,
    )
    with build.load(model) as lib:
        for rows in (5, 1, 0):
            for n in (8, 1, 0):
                x, u = floats(rows, 3), floats(n, 3)
                if n > 2:
                    u[2, 0] = x[-1:, 1:2] = np.nan
                before = x.copy()
                y = lib(x=x, i=INDICES[:n], u=u)["y"]
                wanted = reference.scatter_nd(x, INDICES[:n], u, reduction)
                np.testing.assert_array_equal(y, wanted)
                np.testing.assert_array_equal(x, before)


def test_scatter_nd_of_single_elements_and_bools(build):
    model = one_node(
        build,
        "ScatterND",
        {"x": (["R", 4], T.BOOL), "i": (["N", 2], T.INT64), "u": (["N"], T.BOOL)},
        {"y": (["R", 4], T.BOOL)},
    )
    x, u = np.zeros((3, 4), bool), np.ones(6, bool)
    i = np.array([[0, 0], [2, -1], [3, 0], [1, 4], [-3, 2], [-4, 0]])
    with build.load(model) as lib:
        y = lib(x=x, i=i, u=u)["y"]
    np.testing.assert_array_equal(y, reference.scatter_nd(x, i, u))
    assert y.sum() == 3


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1])
def test_scatter_elements(build, axis, reduction):
    model = one_node(
        build,
        "ScatterElements",
        {"x": (["R", 4], T.FLOAT), "i": (["N", 3], T.INT64), "u": (["N", 3], T.FLOAT)},
        {"y": (["R", 4], T.FLOAT)},
        axis=axis,
        reduction=reduction,
    )
    with build.load(model) as lib:
        for rows, n in ((5, 5), (5, 2), (1, 1), (0, 0), (2, 5)):
            x, i, u = floats(rows, 4), RNG.integers(-6, 6, (n, 3)), floats(n, 3)
            y = lib(x=x, i=i, u=u)["y"]
            wanted = reference.scatter_elements(x, i, u, axis, reduction)
            np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize("dtype", [T.INT64, T.INT32, T.DOUBLE])
def test_histogram(build, dtype):
    """The sum of repeated indices, in the types that routers count in."""
    kind = onnx.helper.tensor_dtype_to_np_dtype(dtype)
    model = one_node(
        build,
        "ScatterElements",
        {"i": (["N"], T.INT64), "u": (["N"], dtype)},
        {"y": ([8], dtype)},
        {"x": np.zeros(8, kind)},
        order=["x", "i", "u"],
        reduction="add",
    )
    i = RNG.integers(0, 8, 100)
    with build.load(model) as lib:
        y = lib(i=i, u=np.ones(100, kind))["y"]
    np.testing.assert_array_equal(y, np.bincount(i, minlength=8))


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cumsum(build, exclusive, reverse):
    model = one_node(
        build,
        "CumSum",
        {"x": (["B", "N", 3], T.FLOAT)},
        {"y": (["B", "N", 3], T.FLOAT)},
        {"axis": np.array(-2)},
        exclusive=exclusive,
        reverse=reverse,
    )
    with build.load(model) as lib:
        for shape in ((2, 7, 3), (1, 1, 3), (2, 0, 3), (0, 4, 3)):
            x = floats(*shape)
            y = lib(x=x)["y"]
            assert_close(y, reference.cumsum(x, 1, exclusive, reverse))


def rows_that_are_true(op):
    """Rows of x whose mask is true, halved; the others as they are."""
    graph = Graph("rows")
    graph.input("x", ["R", 3])
    graph.input("m", ["R"], T.BOOL)
    graph.weight("half", np.float32(0.5))
    graph.node("NonZero", ["m"], "nz")
    graph.node("Transpose", ["nz/out"], "t", perm=[1, 0])
    if op == "GatherND":
        graph.node("GatherND", ["x", "t/out"], "g")
    else:
        graph.node("Compress", ["x", "m"], "g", axis=0)
    graph.node("Mul", ["g/out", "half"], "h")
    graph.node("ScatterND", ["x", "t/out", "h/out"], "s", ["y"])
    graph.output("y", ["R", 3])
    return graph


@pytest.mark.parametrize("op", ["GatherND", "Compress"])
def test_rows_that_are_true(build, op):
    with build.load(build.graph(rows_that_are_true(op))) as lib:
        for mask in ([1, 0, 1, 1], [0, 0], [1], [0], [], [1] * 64):
            m = np.array(mask, bool)
            x = floats(len(m), 3)
            y = lib(x=x, m=m)["y"]
            np.testing.assert_array_equal(y, np.where(m[:, None], x / 2, x))


def test_nonzero_counts_nan_and_gives_places_in_order(build):
    graph = Graph("places")
    graph.input("x", ["R", 4])
    graph.weight("zeros", np.zeros((64, 4), np.int64))
    graph.weight("ones", np.ones(1, np.int64))
    graph.weight("axis", np.array([1]))
    graph.node("NonZero", ["x"], "nz")
    graph.node("Transpose", ["nz/out"], "t", perm=[1, 0])
    graph.node("Shape", ["nz/out"], "shape", start=1)
    graph.node("Expand", ["ones", "shape/out"], "u")
    graph.node("CumSum", ["u/out", "zero"], "order")
    graph.weight("zero", np.array(0))
    graph.node("ScatterND", ["zeros", "t/out", "order/out"], "s", ["y"])
    graph.output("y", [64, 4], T.INT64)
    x = RNG.integers(-1, 2, (9, 4)).astype(np.float32)
    x[0] = np.nan, -0.0, 0.0, 1.0
    wanted = np.zeros((64, 4), np.int64)
    places = reference.nonzero(x != 0)
    wanted[tuple(places)] = np.arange(1, places.shape[1] + 1)
    with build.load(build.graph(graph)) as lib:
        np.testing.assert_array_equal(lib(x=x)["y"], wanted)
        assert not lib(x=x[:0])["y"].any()


def split_and_join(axis_size):
    """Splits x at run-time sizes, scales the parts, and puts them together again."""
    graph = Graph("split")
    graph.input("x", ["R", 2])
    graph.input("sizes", [3], T.INT64)
    graph.node("Split", ["x", "sizes"], "split", ["a", "b", "c"], axis=0)
    for name, scale in zip("abc", (1, 10, 100), strict=True):
        graph.weight("by" + name, np.float32(scale))
        graph.node("Mul", [name, "by" + name], name + "m")
    graph.node("Concat", ["am/out", "bm/out", "cm/out"], "cat", axis=0)
    graph.node("Add", ["cat/out", "x"], "sum", ["y"])
    graph.output("y", ["R", 2])
    return graph


def test_split_at_sizes_of_the_run(build):
    with build.load(build.graph(split_and_join(6))) as lib:
        for sizes in ([1, 2, 3], [0, 0, 6], [6, 0, 0], [0, 0, 0]):
            x = floats(sum(sizes), 2)
            y = lib(x=x, sizes=np.array(sizes))["y"]
            assert_close(y, x * np.repeat([2.0, 11, 101], sizes)[:, None])
        x = floats(6, 2)
        for sizes in ([1, 2, 4], [1, 2, 2], [-1, 4, 3], [7, -1, 0], [I64.max, I64.max, 8]):
            with pytest.raises(gatecc.RunError, match=r"node 'split' \(Split\)"):
                lib(x=x, sizes=np.array(sizes))
        # The context goes on.
        assert_close(lib(x=x, sizes=np.array([6, 0, 0]))["y"], 2.0 * x)


def ranged():
    """Sums of x over [first, limit): rows read by a Range of run-time limits."""
    graph = Graph("range")
    graph.input("x", ["R", 2])
    for name in ("first", "limit", "step"):
        graph.input(name, [], T.INT64)
    graph.weight("axes", np.array([0]))
    graph.node("Range", ["first", "limit", "step"], "r")
    graph.node("Gather", ["x", "r/out"], "g", axis=0)
    graph.node("ReduceSum", ["g/out", "axes"], "s", ["y"], keepdims=0)
    graph.output("y", [2])
    return graph


def test_range_of_the_run(build):
    x = floats(9, 2)
    with build.load(build.graph(ranged())) as lib:
        for bounds in ((2, 7, 1), (7, 2, 1), (0, 0, 1), (8, -1, -3), (0, 9, 4), (1, 2, 50)):
            first, limit, step = (np.array(b) for b in bounds)
            y = lib(x=x, first=first, limit=limit, step=step)["y"]
            assert_close(y, x[np.arange(*bounds)].astype(np.float64).sum(0))
        with pytest.raises(gatecc.RunError, match="delta that is not 0"):
            lib(x=x, first=np.array(0), limit=np.array(3), step=np.array(0))


def test_more_memory_than_there_is(build):
    """A size without a bound comes from the growable region; too much is a status."""
    x = RNG.integers(-4, 5, (9, 2)).astype(np.float32)  # sums are exact
    with build.load(build.graph(ranged())) as lib:
        one = np.array(1)
        for limit in (I64.max, 2**50):
            with pytest.raises(gatecc.RunError, match="not enough memory"):
                lib(x=x, first=np.array(0), limit=np.array(limit), step=one)
        for rows in (3, 200_000, 5):  # grows, and serves small runs again
            y = lib(x=x, first=np.array(0), limit=np.array(rows), step=one)["y"]
            taken = x[np.minimum(np.arange(rows), 8)].astype(np.float64)
            np.testing.assert_array_equal(y, taken.sum(0))


def test_slices_of_the_run(build):
    graph = Graph("slice")
    graph.input("x", ["R", 3])
    graph.input("start", [1], T.INT64)
    graph.input("end", [1], T.INT64)
    graph.weight("axes", np.array([0]))
    graph.node("Slice", ["x", "start", "end", "axes"], "s")
    graph.node("ReduceSum", ["s/out", "axes"], "sum", ["y"], keepdims=0)
    graph.output("y", [3])
    with build.load(build.graph(graph)) as lib:
        for rows in (6, 1, 0):
            x = floats(rows, 3)
            for start in (0, 2, -3, -9, 9, I64.min, I64.max):
                for end in (0, 4, -1, I64.min, I64.max):
                    y = lib(x=x, start=np.array([start]), end=np.array([end]))["y"]
                    assert_close(y, x[start:end].astype(np.float64).sum(0))


def shaped(op):
    """x through a shape that is data: [n, 4] by Reshape, Expand or ConstantOfShape."""
    graph = Graph("shaped")
    graph.input("x", ["R", 4] if op == "Reshape" else [1, 4])
    graph.input("n", [1], T.INT64)
    graph.weight("four", np.array([4]))
    graph.weight("axes", np.array([0]))
    graph.node("Concat", ["n", "four"], "shape", axis=0)
    if op == "ConstantOfShape":
        graph.node(op, ["shape/out"], "filled")
        graph.node("Add", ["filled/out", "x"], "r")
    elif op == "Tile":
        graph.weight("one", np.array([1]))
        graph.node("Concat", ["n", "one"], "repeats", axis=0)
        graph.node(op, ["x", "repeats/out"], "r")
    else:
        graph.node(op, ["x", "shape/out"], "r")
    graph.node("ReduceSum", ["r/out", "axes"], "sum", ["y"], keepdims=0)
    graph.output("y", [4])
    return graph


@pytest.mark.parametrize("op", ["Reshape", "Expand", "ConstantOfShape", "Tile"])
def test_shapes_of_the_run(build, op):
    with build.load(build.graph(shaped(op))) as lib:
        for n in (3, 1, 0, 100):
            x = floats(n if op == "Reshape" else 1, 4)
            y = lib(x=x, n=np.array([n]))["y"]
            rows = 1 if op == "Reshape" else n
            assert_close(y, rows * x.astype(np.float64).sum(0))
        with pytest.raises(gatecc.RunError, match=f"\\({op}\\).*"):
            lib(x=floats(2 if op == "Reshape" else 1, 4), n=np.array([-2]))
        if op == "Reshape":
            with pytest.raises(gatecc.RunError, match=r"node 'r' \(Reshape\)"):
                lib(x=floats(2, 4), n=np.array([3]))


def test_sizes_that_must_agree(build):
    """Two counts of true elements meet in an Add: equal, or the run fails."""
    graph = Graph("agree")
    graph.input("x", ["R", 2])
    graph.weight("axes", np.array([0]))
    for name in "ab":
        graph.input(name, ["R"], T.BOOL)
        graph.node("Compress", ["x", name], "x" + name, axis=0)
    graph.node("Add", ["xa/out", "xb/out"], "sum")
    graph.node("ReduceSum", ["sum/out", "axes"], "r", ["y"], keepdims=0)
    graph.output("y", [2])
    x = floats(4, 2)
    a, b = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    with build.load(build.graph(graph)) as lib:
        assert_close(lib(x=x, a=a, b=b)["y"], (x[a] + x[b]).astype(np.float64).sum(0))
        with pytest.raises(gatecc.RunError, match=r"node 'sum' \(Add\).*2 and 3 are not"):
            lib(x=x, a=a, b=b | a)


def test_sizes_that_one_branch_checks(build):
    """What a branch has found to be equal need not be so outside of it."""

    def branch(op, *inputs):
        node = onnx.helper.make_node(op, inputs, ["taken"], name="in_branch")
        value = onnx.helper.make_tensor_value_info("taken", T.FLOAT, ["T", 4])
        return onnx.helper.make_graph([node], "branch", [], [value])

    graph = Graph("branches")
    graph.input("x", ["T", 4])
    graph.input("n", [1], T.INT64)
    graph.input("c", [], T.BOOL)
    zero = graph.weight("zero", np.array([0]))
    part = graph.node("Slice", ["x", zero, "n", zero], "part")
    shape = graph.node("Shape", ["x"], "shape")
    then, other = branch("Reshape", part, shape), branch("Identity", "x")
    graph.node("If", ["c"], "if", ["y"], then_branch=then, else_branch=other)
    rows = graph.node("Shape", ["x"], "rows", end=1)
    apart = graph.node("Concat", [rows, graph.weight("rest", np.array([2, -1]))], "apart", axis=0)
    pairs = graph.node("Reshape", [part, apart], "pairs")
    graph.node("ReduceSum", [pairs, graph.weight("last", np.array([2]))], "z", ["z"], keepdims=0)
    graph.output("y", ["T", 4])
    graph.output("z", ["T", 2])
    x = floats(2, 4)
    one = np.array([1], np.int64)
    with build.load(build.graph(graph)) as lib:
        for n, c, z in ((2, True, x), (2, False, x), (1, False, x[:1])):
            actual = lib(x=x, n=n * one, c=np.array(c))
            np.testing.assert_array_equal(actual["y"], x)
            np.testing.assert_allclose(actual["z"], z.reshape(2, 2, -1).sum(2), rtol=1e-6)
        with pytest.raises(gatecc.RunError, match="cannot reshape"):
            lib(x=x, n=one, c=np.array(True))


@pytest.mark.parametrize("largest", [0, 1])
def test_topk_of_a_whole_axis(build, largest):
    """k is the size of the axis: a stable sort."""
    graph = Graph("sort")
    graph.input("x", ["N"], T.INT64)
    graph.node("Shape", ["x"], "k")
    graph.node("TopK", ["x", "k/out"], "t", ["v", "i"], axis=0, largest=largest)
    graph.output("v", ["N"], T.INT64)
    graph.output("i", ["N"], T.INT64)
    with build.load(build.graph(graph)) as lib:
        for n in (0, 1, 2, 31, 33, 64, 5000):
            x = RNG.integers(0, 8, n)
            got = lib(x=x)
            order = np.argsort(-x if largest else x, kind="stable")
            np.testing.assert_array_equal(got["i"], order)
            np.testing.assert_array_equal(got["v"], x[order])


def test_topk_of_k_rows(build):
    graph = Graph("topk")
    graph.input("x", ["B", "N"])
    graph.input("k", [1], T.INT64)
    graph.weight("axes", np.array([1]))
    graph.node("TopK", ["x", "k"], "t", ["v", "i"])
    graph.node("ReduceSum", ["v", "axes"], "r", ["y"], keepdims=0)
    graph.output("y", ["B"])
    x = floats(3, 40)
    with build.load(build.graph(graph)) as lib:
        for k in (0, 1, 5, 40):
            y = lib(x=x, k=np.array([k]))["y"]
            best = -np.sort(-x, 1)[:, :k]
            assert_close(y, best.astype(np.float64).sum(1))
        for k in (-1, 41, I64.max):
            with pytest.raises(gatecc.RunError, match=r"node 't' \(TopK\)"):
                lib(x=x, k=np.array([k]))


@pytest.mark.parametrize("axis", [-1, 0])
def test_one_hot(build, axis):
    depth = np.array(5)
    model = one_node(
        build,
        "OneHot",
        {"i": (["N", 2], T.INT64)},
        {"y": (["N", 2, 5] if axis else [5, "N", 2], T.FLOAT)},
        {"depth": depth, "values": np.array([-1, 2], np.float32)},
        axis=axis,
    )
    i = np.array([[0, 4], [-1, -5], [5, -6], [2, I64.max]])
    with build.load(model) as lib:
        y = lib(i=i)["y"]
        assert lib(i=i[:0])["y"].size == 0
    wanted = ReferenceEvaluator(onnx.load(model)).run(None, {"i": i[:2]})[0]
    np.testing.assert_array_equal(np.take(y, [0, 1], axis=0 if axis else 1), wanted)
    assert (y == 2).sum() == 5


def test_tile(build):
    model = one_node(
        build,
        "Tile",
        {"x": (["B", 3, 1], T.FLOAT)},
        {"y": (["2*B", 3, 4], T.FLOAT)},
        {"repeats": np.array([2, 1, 4])},
    )
    with build.load(model) as lib:
        for rows in (3, 1, 0):
            x = floats(rows, 3, 1)
            np.testing.assert_array_equal(lib(x=x)["y"], np.tile(x, (2, 1, 4)))
