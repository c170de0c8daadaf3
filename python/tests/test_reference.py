# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The float64 reference against plain definitions, and against ONNX Runtime.
import hypothesis.extra.numpy as arrays
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare import TOLERANCE, assert_close, exits_of
from conftest import MODELS, NETWORKS
from gatecc import reference
from gatecc.models import blocks, exits, moe
from gatecc.models.graph import Graph

NAN, INF = np.nan, np.inf
ids = arrays.arrays(
    np.int64,
    st.tuples(st.integers(0, 20), st.integers(1, 4)),
    elements=st.integers(-2, 7),
)
rough = st.sampled_from([-INF, -1.0, -0.0, 0.0, 0.5, 1.0, INF, NAN])


@given(ids, st.integers(1, 7))
def test_plan_is_a_stable_sort_of_the_choices(ids, groups):
    plan = reference.Plan.build(ids, groups)
    wanted = sorted(
        (group, row, rank)
        for row, choices in enumerate(ids.tolist())
        for rank, group in enumerate(choices)
        if 0 <= group < groups
    )
    assert plan.source.tolist() == [row for _, row, _ in wanted]
    assert plan.slots == len(wanted)
    for slot, (group, row, rank) in enumerate(wanted):
        assert plan.inverse[row, rank] == slot
        assert plan.offsets[group] <= slot < plan.offsets[group + 1]
    assert plan.offsets[0] == 0 and plan.offsets[-1] == plan.slots
    dropped = (ids < 0) | (ids >= groups)
    np.testing.assert_array_equal(plan.inverse == -1, dropped)
    np.testing.assert_array_equal(plan.ids(), np.where(dropped, -1, ids))


@given(
    arrays.arrays(
        np.float64, st.tuples(st.integers(0, 5), st.integers(1, 8)), elements=rough
    ),
    st.booleans(),
    st.data(),
)
def test_topk_order(x, largest, data):
    k = data.draw(st.integers(1, x.shape[1]))
    values, indices = reference.topk(x, k, largest)
    for row, chosen in zip(x, indices, strict=True):
        sign = -1 if largest else 1

        def rank(i, row=row, sign=sign):
            return (1, 0.0, i) if np.isnan(row[i]) else (0, sign * row[i], i)

        assert chosen.tolist() == sorted(range(len(row)), key=rank)[:k]
    np.testing.assert_array_equal(values, np.take_along_axis(x, indices, 1))


def test_topk_of_integers_does_not_overflow():
    low = np.iinfo(np.int64).min
    x = np.array([[low, 5, low, -1]])
    assert reference.topk(x, 4)[1].tolist() == [[1, 3, 0, 2]]
    assert reference.topk(x, 4, largest=False)[1].tolist() == [[0, 2, 3, 1]]


@pytest.mark.parametrize(
    "score", ["softmax", "softmax_selected", "sigmoid", "identity"]
)
def test_route_weights(score):
    logits = np.array([[0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]])
    plan = reference.route(logits, 2, score)
    assert plan.ids().tolist() == [[3, 2], [0, 1]]
    e = np.exp([3.0, 2.0])
    first = {
        "softmax": e / np.exp([0.0, 1.0, 2.0, 3.0]).sum(),
        "softmax_selected": e / e.sum(),
        "sigmoid": 1 / (1 + 1 / e),
        "identity": [3.0, 2.0],
    }[score]
    np.testing.assert_allclose(plan.weight[0], first)
    normalized = reference.route(logits, 2, score, normalize=True, scale=3.0)
    np.testing.assert_allclose(normalized.weight.sum(1), 3.0)


def test_route_divides_by_any_sum():
    scores, mixing = np.array([[0.0, 1.0, 2.0]] * 2), np.array([[9.0, 1.0, 3.0], [9.0, 0.0, 0.0]])
    plan = reference.route(scores, 2, "identity", True, mixing=mixing, sum_offset=4.0, scale=2.0)
    assert plan.weight.tolist() == [[0.75, 0.25], [0.0, 0.0]]
    plan = reference.route(scores, 2, "identity", True, mixing=mixing, sum_offset=0.0)
    assert plan.weight[0].tolist() == [0.75, 0.25] and np.isnan(plan.weight[1]).all()
    plan = reference.route(scores, 2, "identity", True, mixing=mixing, sum_offset=0.0, sum_min=8.0)
    assert plan.weight.tolist() == [[0.375, 0.125], [0.0, 0.0]]


def test_route_by_sigmoids_that_are_all_one():
    logits = np.array([[100.0, 300.0, 200.0]])
    plan = reference.route(logits, 2, "sigmoid", True, sum_offset=0.0, scale=2.0)
    assert plan.ids().tolist() == [[1, 2]] and plan.weight.tolist() == [[1.0, 1.0]]


def test_route_ties_and_drops():
    logits = np.zeros((1, 4))
    assert reference.route(logits, 2).ids().tolist() == [[0, 1]]
    assert reference.route(logits, 2, ties_high=True).ids().tolist() == [[3, 2]]
    far = np.array([[0.0, -2000.0, -2000.0]])  # exp underflows to 0 in f64 too
    plan = reference.route(far, 2, drop_nonpositive=True, normalize=True)
    assert plan.ids().tolist() == [[0, -1]]
    assert plan.weight[0, 0] == 1
    nan = reference.route(np.array([[1.0, NAN, 2.0]]), 2, drop_nonpositive=True)
    assert nan.ids().tolist() == [[0, 1]] and np.isnan(nan.weight).all()


def test_partition():
    plan = reference.partition(np.array([True, False, False, True]))
    assert plan.rows_of(0).tolist() == [0, 3] and plan.rows_of(1).tolist() == [1, 2]
    plan = reference.partition(np.array([2, 0, 9, 2], np.int32), 3)
    assert plan.counts.tolist() == [1, 0, 2]
    assert reference.partition(np.zeros((0, 1), bool)).slots == 0


def test_margin():
    assert reference.margin([[4.0, 2.0, 1.0]], 1).tolist() == [0.5]
    assert reference.margin([[4.0, 2.0]], 2).tolist() == [INF]
    assert reference.margin([[0.0, 0.0], [NAN, 1.0], [INF, 1.0]], 1).tolist() == [0] * 3


@given(ids, st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_apply_and_combine_are_the_weighted_sum_over_choices(ids, groups, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(ids), 3))
    w = rng.normal(size=(groups, 3, 2))
    weight = rng.normal(size=ids.shape)
    plan = reference.Plan.build(ids, groups, weight)
    slots = reference.apply(plan, [x], [w], lambda rows, we: rows @ we)
    expected = np.zeros((len(ids), 2))
    for t, choices in enumerate(ids):
        for j, g in enumerate(choices):
            if 0 <= g < groups:
                expected[t] += weight[t, j] * (x[t] @ w[g])
    np.testing.assert_allclose(reference.combine(slots, plan), expected, atol=1e-12)
    gathered = reference.contract(x, [w], plan=plan, gathered=True)
    np.testing.assert_allclose(gathered, slots, atol=1e-12)
    np.testing.assert_allclose(
        reference.contract(x[plan.source], [w], plan=plan), slots, atol=1e-12
    )


def test_contract_epilogue():
    x, w, v = np.eye(2), np.full((2, 3), 2.0), np.full((2, 3), 5.0)
    y = reference.contract(x, [w, v], lambda a, b, bias: a * b + bias, [np.arange(3)])
    np.testing.assert_array_equal(y, [[10, 11, 12]] * 2)


@given(arrays.arrays(np.bool_, st.integers(0, 20)))
def test_merge_takes_computed_rows_from_their_group_only(predicate):
    base = np.arange(len(predicate), dtype=float)[:, None]
    plan = reference.partition(predicate)
    slots = reference.apply(plan, [base], [], lambda rows: rows + 100, 0, 1)
    merged = reference.merge(slots, plan, base)
    np.testing.assert_array_equal(
        merged, np.where(predicate[:, None], base + 100, base)
    )


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", NETWORKS)
def test_trained_networks_against_onnx_runtime(name, digits):
    x, _ = digits
    path = MODELS / f"{name}.onnx"
    (expected,) = session(path).run(None, {"x": x})
    assert_close(expected, reference.run_onnx(path, {"x": x}).outputs["logits"])


@pytest.mark.parametrize("name", NETWORKS)
def test_json_form_is_the_same_network(name, digits):
    x, _ = digits
    a = reference.run_onnx(MODELS / f"{name}.onnx", {"x": x})
    b = reference.run_json(MODELS / f"{name}.json", {"x": x})
    np.testing.assert_allclose(a.outputs["logits"], b.outputs["logits"], atol=1e-12)
    assert a.plans.keys() == b.plans.keys()
    for node, (plan, _) in a.plans.items():
        np.testing.assert_array_equal(plan.ids(), b.plans[node][0].ids())


@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
def test_generated_experts_against_onnx_runtime(activation, tmp_path):
    path = tmp_path / "m.onnx"
    moe.network(20, 24, 5, 3, activation, layers=2).save(path)
    x = moe.make_inputs(40, 20)
    run = reference.run_onnx(path, {"x": x})
    clear = np.min([m for _, m in run.plans.values()], axis=0) > 1e-3
    (expected,) = session(path).run(None, {"x": x})
    assert clear.sum() > 30
    assert_close(expected[clear], run.outputs["y"][clear])


@pytest.mark.parametrize("form", ["gathered", "grouped", "sliced", "batched"])
@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
def test_stacked_forms_against_the_reference(form, activation, tmp_path):
    x = moe.make_inputs(40, 20)
    for name in ("contrib", form):
        path = tmp_path / f"{name}.onnx"
        moe.network(20, 24, 5, 3, activation, name).save(path)
    contrib = reference.run_onnx(tmp_path / "contrib.onnx", {"x": x})
    (actual,) = session(path).run(None, {"x": x})
    assert_close(actual, contrib.outputs["y"])


@pytest.mark.parametrize("form", ["unrolled", "dense"])
@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
def test_forms_of_experts_are_the_same_network(form, activation, tmp_path):
    x = moe.make_inputs(40, 20)
    for name in ("contrib", form):
        path = tmp_path / f"{name}.onnx"
        moe.network(20, 24, 5, 3, activation, name).save(path)
    contrib = reference.run_onnx(tmp_path / "contrib.onnx", {"x": x})
    plain = reference.run_onnx(path, {"x": x})
    np.testing.assert_allclose(plain.outputs["y"], contrib.outputs["y"], atol=1e-12)
    (expected,) = session(path).run(None, {"x": x})
    assert_close(expected, plain.outputs["y"])


def test_experts_with_biases_against_onnx_runtime(tmp_path):
    rng = np.random.default_rng(0)
    weights = moe.random_block(rng, 16, 12, 4, "silu")
    g = Graph("biased")
    x = g.input("x", ["B", 16])
    blocks.moe_block(g, x, "b", weights, 2)
    node = next(n for n in g.nodes if n.op_type == "MoE")
    node.input[3] = g.weight("fc1_bias", rng.standard_normal((4, 24), np.float32))
    node.input.append(g.weight("fc2_bias", rng.standard_normal((4, 16), np.float32)))
    g.rename_result("y")
    g.output("y", ["B", 16])
    g.save(tmp_path / "m.onnx")
    data = moe.make_inputs(30, 16)
    (expected,) = session(tmp_path / "m.onnx").run(None, {"x": data})
    run = reference.run_onnx(tmp_path / "m.onnx", {"x": data})
    assert_close(expected, run.outputs["y"])


UNARY = "Neg Abs Exp Tanh Relu Sigmoid Softplus Erf Floor Ceil Elu LeakyRelu Gelu Mish"


@pytest.mark.parametrize("op", UNARY.split())
def test_unary_operators_against_onnx_runtime(op, tmp_path):
    check_operator(op, [np.linspace(-4, 4, 33, dtype=np.float32)], tmp_path)


F = np.random.default_rng(1).standard_normal((3, 4, 6)).astype(np.float32)
I = np.array([[0, 2], [1, -1]], np.int64)


def i64(*values):
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("Softmax", [F], {"axis": 1}),
        ("LogSoftmax", [F], {"axis": -1}),
        ("LayerNormalization", [F, F[0, 0], F[0, 1]], {"axis": -1}),
        ("LayerNormalization", [F, F[0]], {"axis": 1, "epsilon": 0.1}),
        ("ReduceSum", [F, i64(0, 2)], {"keepdims": 0}),
        ("ReduceMax", [F, i64(-1)], {}),
        ("ReduceMean", [F], {}),
        ("ReduceMin", [F, i64(1)], {"keepdims": 0}),
        ("ReduceL2", [F, i64(1)], {}),
        ("ArgMax", [np.round(F)], {"axis": -1}),
        ("ArgMax", [np.round(F)], {"axis": 1, "select_last_index": 1, "keepdims": 0}),
        ("ArgMin", [np.round(F)], {"axis": 0}),
        ("TopK", [F, i64(3)], {"axis": 1, "largest": 0}),
        ("Reshape", [F, i64(0, -1)], {}),
        ("Flatten", [F], {"axis": 2}),
        ("Transpose", [F], {"perm": [2, 0, 1]}),
        ("Transpose", [F], {}),
        ("Unsqueeze", [F, i64(0, -1)], {}),
        ("Squeeze", [F[:, :1], i64(1)], {}),
        ("Concat", [F, F], {"axis": 1}),
        ("Split", [F], {"axis": 2, "num_outputs": 2}),
        ("Split", [F, i64(1, 5)], {"axis": 2}),
        ("Slice", [F, i64(1), i64(100), i64(2), i64(2)], {}),
        ("Slice", [F, i64(-1), i64(-100), i64(1), i64(-1)], {}),
        ("Gather", [F, I], {"axis": 1}),
        ("GatherElements", [F[0, :2, :2], I % 2], {"axis": 0}),
        ("Expand", [F[:, :1], i64(3, 4, 1)], {}),
        ("Tile", [F[0], i64(2, 1)], {}),
        ("Clip", [F, np.float32(-0.5), np.float32(0.5)], {}),
        ("Gemm", [F[0], F[1]], {"transB": 1, "alpha": 0.5}),
        ("Div", [i64(7, -7, 8), i64(2, 2, -3)], {}),
        ("Where", [F > 0, F, -F], {}),
        ("Cast", [F * 3], {"to": onnx.TensorProto.INT32}),
        ("Max", [F, np.float32(0), F[0]], {}),
    ],
)
def test_operators_against_onnx_runtime(op, inputs, attributes, tmp_path):
    check_operator(op, inputs, tmp_path, **attributes)


def check_operator(op, inputs, folder, **attributes):
    g = Graph(op)
    names = [g.weight(f"i{i}", np.asarray(a)) for i, a in enumerate(inputs)]
    outputs = {"TopK": ["y", "z"], "Split": ["y", "z"]}.get(op, ["y"])
    g.node(op, names, "n", outputs, **attributes)
    g.outputs = [onnx.ValueInfoProto(name=name) for name in outputs]
    g.save(folder / "op.onnx")
    expected = session(folder / "op.onnx").run(None, {})
    run = reference.run_onnx(folder / "op.onnx", {})
    for name, array in zip(outputs, expected, strict=True):
        assert_close(run.outputs[name], array)


def test_tolerances_are_of_known_dtypes():
    assert set(TOLERANCE) == {"f64", "f32", "f16", "bf16"}


def test_planned_exits_are_taken(tmp_path):
    exits.network(40, 5, "nested").save(tmp_path / "e.onnx")
    x, planned = exits.make_inputs(64, 40, 5, [0.5, 0.25, 0, 1])
    assert np.bincount(planned, minlength=5).tolist() == [32, 8, 0, 24, 0]
    run = reference.run_onnx(tmp_path / "e.onnx", {"x": x})
    np.testing.assert_array_equal(exits_of(run, 5), planned)
