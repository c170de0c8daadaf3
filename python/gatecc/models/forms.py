# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A mixture of experts as plain ONNX, in two of the forms that exporters write: `unrolled`
# (the rows of each expert are found with NonZero and added back with ScatterND) and
# `dense` (every expert on every row, times a routing weight that is mostly 0).
import numpy as np
from onnx import TensorProto

GELU = "tanh"  # as com.microsoft.MoE on the CPU


class PlainExperts:
    """Writes the nodes of one mixture under the prefix `name`."""

    def __init__(self, g, name, weights, activation):
        self.g = g
        self.name = name
        self.weights = weights
        self.activation = activation

    def node(self, op, inputs, local, outputs=None, **attributes):
        return self.g.node(op, inputs, f"{self.name}/{local}", outputs, **attributes)

    def ints(self, *values):
        name = f"{self.name}.ints_{'_'.join(map(str, values))}"
        if name not in self.g.weights:
            self.g.weight(name, np.array(values, np.int64))
        return name

    def scalar(self, value):
        name = f"{self.name}.scalar_{value}"
        if name not in self.g.weights:
            self.g.weight(name, np.array(value, np.int64))
        return name

    def choose(self, logits, top_k):
        """(weights, experts) [T,k]: softmax, the best, renormalised."""
        scores = self.node("Softmax", [logits], "scores", axis=-1)
        values, chosen = f"{self.name}/topk/values", f"{self.name}/topk/experts"
        self.node("TopK", [scores, self.ints(top_k)], "topk", [values, chosen])
        total = self.node("ReduceSum", [values, self.ints(-1)], "total", keepdims=1)
        return self.node("Div", [values, total], "weights"), chosen

    def expert(self, x, e):
        def product(rows, kind):
            weight = self.g.weight(
                f"{self.name}/expert{e}.{kind}", self.weights[kind][e]
            )
            return self.node("MatMul", [rows, weight], f"expert{e}/{kind}")

        h = product(x, "up")
        if self.activation == "silu":
            gate = product(x, "gate")
            sigmoid = self.node("Sigmoid", [gate], f"expert{e}/sigmoid")
            gate = self.node("Mul", [gate, sigmoid], f"expert{e}/silu")
            h = self.node("Mul", [gate, h], f"expert{e}/hidden")
        elif self.activation == "gelu":
            h = self.node("Gelu", [h], f"expert{e}/gelu", approximate=GELU)
        else:
            h = self.node("Relu", [h], f"expert{e}/relu")
        return product(h, "down")


def dense(g, x, logits, name, weights, top_k, activation):
    p = PlainExperts(g, name, weights, activation)
    share, chosen = p.choose(logits, top_k)
    result = None
    for e in range(len(weights["up"])):
        hit = p.node("Equal", [chosen, p.scalar(e)], f"expert{e}/hit")
        hit = p.node("Cast", [hit], f"expert{e}/one", to=TensorProto.FLOAT)
        hit = p.node("Mul", [hit, share], f"expert{e}/shares")
        weight = p.node("ReduceSum", [hit, p.ints(-1)], f"expert{e}/weight", keepdims=1)
        y = p.node("Mul", [p.expert(x, e), weight], f"expert{e}/weighted")
        result = y if result is None else p.node("Add", [result, y], f"expert{e}/sum")
    return result


def unrolled(g, x, logits, name, weights, top_k, activation):
    p = PlainExperts(g, name, weights, activation)
    share, chosen = p.choose(logits, top_k)
    experts = len(weights["up"])
    one_hot = p.node(
        "OneHot", [chosen, p.scalar(experts), p.ints(0, 1)], "one_hot", axis=-1
    )
    mask = p.node("Transpose", [one_hot], "mask", perm=[2, 1, 0])  # [E,k,T]
    shape = p.node("Shape", [x], "shape")
    result = p.node("ConstantOfShape", [shape], "zeros")  # f32
    for e in range(experts):
        hits = p.node("Gather", [mask, p.scalar(e)], f"expert{e}/hits")
        places = p.node("NonZero", [hits], f"expert{e}/places")  # [2,n]
        rank = p.node("Gather", [places, p.scalar(0)], f"expert{e}/rank")
        token = p.node("Gather", [places, p.scalar(1)], f"expert{e}/token")
        rows = p.node("Gather", [x, token], f"expert{e}/rows")
        y = p.expert(rows, e)
        token = p.node("Unsqueeze", [token, p.ints(-1)], f"expert{e}/tokens")
        rank = p.node("Unsqueeze", [rank, p.ints(-1)], f"expert{e}/ranks")
        index = p.node("Concat", [token, rank], f"expert{e}/index", axis=-1)
        weight = p.node("GatherND", [share, index], f"expert{e}/shares")
        weight = p.node("Unsqueeze", [weight, p.ints(-1)], f"expert{e}/weight")
        y = p.node("Mul", [y, weight], f"expert{e}/weighted")
        result = p.node(
            "ScatterND", [result, token, y], f"expert{e}/sum", reduction="add"
        )
    return result
