# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Writes the model of docs/Architecture.md: a row whose first stage is sure enough leaves;
# the second stage is for the others. `small_model.py MODEL.onnx`
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def weight(name, seed):
    values = np.random.default_rng(seed).integers(-4, 5, (4, 4)).astype(np.float32)
    return numpy_helper.from_array(values / 4, name)


def node(op, inputs, output):
    return helper.make_node(op, inputs, [output], name=output)


shape = ["B", 4]
graph = helper.make_graph(
    [
        node("MatMul", ["x", "w1"], "p"),
        node("ReduceMax", ["p", "axis"], "best"),
        node("GreaterOrEqual", ["best", "threshold"], "sure"),
        node("MatMul", ["p", "w2"], "q"),
        node("Relu", ["q"], "r"),
        node("Where", ["sure", "p", "r"], "y"),
    ],
    "small",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    [
        weight("w1", 1),
        weight("w2", 2),
        numpy_helper.from_array(np.array([-1]), "axis"),
        numpy_helper.from_array(np.float32(0.5), "threshold"),
    ],
)
save(
    helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    ),
    sys.argv[1],
)
