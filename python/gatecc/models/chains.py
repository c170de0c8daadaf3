# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Generates long networks of small layers, one after another, to see how compiling grows
# with the number of nodes.
import numpy as np

from .graph import Graph


class Chain:
    """Nodes on rows [B,dim]; every weight is a constant of its own."""

    def __init__(self, kind, dim, seed):
        self.g = Graph(f"chain-{kind}")
        self.dim = dim
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return len(self.g.nodes)

    def node(self, op, *inputs, **attributes):
        name = f"{op.lower()}{len(self)}"
        return self.g.node(op, list(inputs), name, **attributes)

    def constant(self, name, value):
        """One for all nodes that name it."""
        if name not in self.g.weights:
            self.g.weight(name, np.array(value))
        return name

    def weight(self, *shape):
        scale = np.float32(1 / np.sqrt(self.dim))
        values = self.rng.standard_normal(shape, np.float32) * scale
        return self.g.weight(f"w{len(self.g.weights)}", values)


def elementwise(c, y):
    y = c.node("Tanh", y)
    return c.node("Add", y, c.weight(c.dim))


def matmul(c, y):
    return c.node("MatMul", y, c.weight(c.dim, c.dim))


def mixed(c, y):
    """Products, normalisations, moves and selections by row."""
    p = c.node("MatMul", y, c.weight(c.dim, c.dim))
    p = c.node("Softmax", p, axis=-1)
    p = c.node("Transpose", c.node("Transpose", p, perm=[1, 0]), perm=[1, 0])
    wide = c.node("Concat", y, p, axis=1)
    name = f"parts{len(c)}"
    sizes = c.constant("sizes", [c.dim, c.dim])
    halves = [f"{name}/a", f"{name}/b"]
    c.g.node("Split", [wide, sizes], name, halves, axis=1)
    best = c.node("ReduceMax", halves[1], c.constant("axes", [-1]), keepdims=1)
    sure = c.node("Greater", best, c.constant("half", np.float32(0.5)))
    return c.node("Where", sure, c.node("Relu", halves[0]), c.node("Add", *halves))


KINDS = {"elementwise": elementwise, "matmul": matmul, "mixed": mixed}


def network(kind, nodes, dim=16, seed=0):
    """A graph of about `nodes` nodes, input "x" and output "y", both f32 [B,dim]."""
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is none of {tuple(KINDS)}")
    if nodes < 1:
        raise ValueError(f"nodes is {nodes}; there must be at least 1")
    chain = Chain(kind, dim, seed)
    y = chain.g.input("x", ["B", dim])
    while len(chain) < nodes:
        y = KINDS[kind](chain, y)
    chain.g.rename_result("y")
    chain.g.output("y", ["B", dim])
    return chain.g
