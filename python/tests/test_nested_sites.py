# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A mixture of experts behind an early exit: the router sees the rows that stay, and no other.
import numpy as np
import onnx
import onnxruntime
import pytest
from compare import assert_close
from onnx import TensorProto, helper, numpy_helper

DIM, EXPERTS, HIDDEN, CLASSES = 32, 4, 16, 10


def experts_behind_an_exit(path, threshold):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    weights = {
        "h1": normal(DIM, CLASSES),
        "router": normal(DIM, EXPERTS),
        "f1": normal(EXPERTS, 2 * HIDDEN, DIM),
        "f2": normal(EXPERTS, DIM, HIDDEN),
        "h2": normal(DIM, CLASSES),
        "threshold": np.float32([threshold]),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "h1"], ["l1"], "l1"),
        helper.make_node("Softmax", ["l1"], ["p"], "p"),
        helper.make_node("ReduceMax", ["p", "axis"], ["best"], "best"),
        helper.make_node("GreaterOrEqual", ["best", "threshold"], ["sure"], "sure"),
        helper.make_node("MatMul", ["x", "router"], ["g"], "g"),
        helper.make_node(
            "MoE",
            ["x", "g", "f1", "", "f2"],
            ["m"],
            "moe",
            domain="com.microsoft",
            k=2,
            activation_type="swiglu",
            swiglu_fusion=1,
            normalize_routing_weights=1,
        ),
        helper.make_node("Add", ["x", "m"], ["s"], "s"),
        helper.make_node("MatMul", ["s", "h2"], ["l2"], "l2"),
        helper.make_node("Where", ["sure", "l1", "l2"], ["y"], "y"),
    ]
    graph = helper.make_graph(
        nodes,
        "experts-behind-an-exit",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", DIM])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


# All rows leave, about half do, none does.
@pytest.mark.parametrize("threshold", [0.0, 0.43, 2.0])
def test_experts_behind_an_exit(build, tmp_path, threshold):
    path = tmp_path / "m.onnx"
    experts_behind_an_exit(path, threshold)
    session = onnxruntime.InferenceSession(path)
    lib = build.load(path)
    for count in (1, 7, 300):
        x = np.random.default_rng(count).standard_normal((count, DIM), np.float32)
        (expected,) = session.run(None, {"x": x})
        assert_close(lib(x=x)["y"], expected)
        sites = {site["kind"]: site for site in lib.stats()["sites"]}
        left, stayed = sites["exit"]["groups"]
        assert left + stayed == count
        assert sites["experts"]["rows"] == stayed
        assert sum(sites["experts"]["groups"]) == 2 * stayed
        if count == 300:
            assert {0.0: stayed == 0, 0.43: 30 < stayed < 270, 2.0: left == 0}[threshold]
    assert lib(x=np.zeros((0, DIM), np.float32))["y"].shape == (0, CLASSES)
