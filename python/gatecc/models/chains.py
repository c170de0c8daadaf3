# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Generates networks of very many small nodes, to see how compiling grows with their
# number: long chains, and graphs in which one value has all the others as users.
import numpy as np
from onnx import TensorProto, helper

from .graph import Graph

NESTED = 24  # Ifs inside each other; Python's protobuf reads 100 messages


class Chain:
    """Nodes on rows [B,dim]; every weight is a constant of its own."""

    def __init__(self, kind, dim, seed):
        self.g = Graph(f"chain-{kind}")
        self.dim = dim
        self.rng = np.random.default_rng(seed)
        self.inner = 0  # nodes in bodies of nodes

    def __len__(self):
        return len(self.g.nodes) + self.inner

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

    def is_positive(self, y):
        """Whether the largest element of all rows is: one bool."""
        best = self.node("ReduceMax", y, keepdims=0)
        return self.node("Greater", best, self.constant("zero", np.float32(0)))


#
# Chains: each function adds a few nodes behind `y`, [B,dim], and returns the last of them.
#


def elementwise(c, y):
    y = c.node("Tanh", y)
    return c.node("Add", y, c.weight(c.dim))


def scalar(c, y):
    """Numbers of all rows, put back into them after a hundred nodes."""
    s = c.node("ReduceMean", y, keepdims=0)
    for _ in range(33):
        s = c.node("Sin", c.node("Mul", s, c.weight()))
        s = c.node("Add", s, c.weight())
    return c.node("Add", y, s)


def matmul(c, y):
    return c.node("MatMul", y, c.weight(c.dim, c.dim))


def move(c, y):
    """Ops that move elements and compute nothing."""
    wide = c.node("Concat", y, c.node("Neg", y), axis=1)
    axes, begin = c.constant("one", [1]), c.constant("begin", [c.dim // 2])
    y = c.node("Slice", wide, begin, c.constant("end", [c.dim // 2 + c.dim]), axes)
    y = c.node("Reshape", y, c.constant("split", [-1, 2, c.dim // 2]))
    y = c.node("Transpose", y, perm=[0, 2, 1])
    return c.node("Reshape", y, c.constant("joined", [-1, c.dim]))


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


def where(c, y):
    """Selections by element."""
    less = c.node("Less", y, c.weight(c.dim))
    return c.node("Where", less, c.node("Neg", y), y)


def skip(c, y):
    """Layers that some rows skip."""
    best = c.node("ReduceMax", y, c.constant("axes", [-1]), keepdims=1)
    sure = c.node("Greater", best, c.constant("half", np.float32(0.5)))
    p = c.node("Tanh", c.node("MatMul", y, c.weight(c.dim, c.dim)))
    return c.node("Where", sure, p, y)


def branch(c, y):
    """If after If."""
    return c.node(
        "If",
        c.is_positive(y),
        then_branch=_body(c, [("Tanh", y)]),
        else_branch=_body(c, [("Cos", y)]),
    )


def nested(c, y):
    """If in If: all but the innermost have another one as their then_branch."""
    condition = c.is_positive(y)
    other = helper.make_node("Cos", [y], ["cos"])
    then = _body(c, [("Tanh", y)])
    for _ in range(NESTED - 1):
        inner = helper.make_node(
            "If",
            [condition],
            [f"if{len(c)}"],
            then_branch=then,
            else_branch=_graph(c, [other]),
        )
        then = _graph(c, [inner])
    return c.node(
        "If", condition, then_branch=then, else_branch=_body(c, [("Cos", y)])
    )


def folded(c, y):
    """Arithmetic on constants alone."""
    w = c.weight(c.dim)
    for _ in range(98):
        w = c.node("Sub", c.weight(c.dim), w)
    return c.node("Add", y, w)


CHAINS = {
    "elementwise": elementwise,
    "scalar": scalar,
    "matmul": matmul,
    "move": move,
    "mixed": mixed,
    "where": where,
    "skip": skip,
    "branch": branch,
    "nested": nested,
    "folded": folded,
}


def _body(c, nodes):
    return _graph(c, [helper.make_node(op, [x], [f"{op}{len(c)}"]) for op, x in nodes])


def _graph(c, nodes):
    c.inner += len(nodes)
    last = nodes[-1].output[0]
    return helper.make_graph(
        nodes,
        f"body{len(c)}",
        [],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["B", c.dim])],
    )


#
# Wide graphs: each function makes a graph of about `nodes` nodes on `x`, [B,dim].
#


def users(c, x, nodes):
    """One value with as many users, whose results are added up by one node."""
    parts = [c.node("Mul", x, c.weight(c.dim)) for _ in range(max(nodes - 1, 1))]
    return c.node("Sum", *parts)


def join(c, x, nodes):
    """One node that joins the results of all others."""
    one = c.constant("one", [1])
    parts = []
    while len(c) < nodes - 3 or not parts:
        part = c.node("Mul", x, c.weight(c.dim))
        parts.append(c.node("Slice", part, c.constant("zero", [0]), one, one))
    total = c.node("ReduceSum", c.node("Concat", *parts, axis=1), one, keepdims=1)
    return c.node("Mul", x, total)


WIDE = {"users": users, "join": join}


def ports(nodes, dim=16, seed=0):
    """As many inputs and outputs, "x0" and "y0" on, as nodes."""
    chain = Chain("ports", dim, seed)
    for i in range(nodes):
        x = chain.g.input(f"x{i}", ["B", dim])
        chain.g.node("Add", [x, chain.weight(dim)], f"add{i}", [f"y{i}"])
        chain.g.output(f"y{i}", ["B", dim])
    return chain.g


KINDS = (*CHAINS, *WIDE)


def network(kind, nodes, dim=16, seed=0):
    """A graph of about `nodes` nodes, input "x" and output "y", both f32 [B,dim]."""
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is none of {KINDS}")
    if nodes < 1:
        raise ValueError(f"nodes is {nodes}; there must be at least 1")
    chain = Chain(kind, dim, seed)
    y = chain.g.input("x", ["B", dim])
    if kind in WIDE:
        WIDE[kind](chain, y, nodes)
    else:
        while len(chain) < nodes:
            y = CHAINS[kind](chain, y)
    chain.g.rename_result("y")
    chain.g.output("y", ["B", dim])
    return chain.g
