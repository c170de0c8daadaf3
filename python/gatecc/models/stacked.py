# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A mixture of experts as plain ONNX with the experts' weights in one stack, in the forms in
# which exporters write it: `gathered` (a copy of the weights for each slot), `grouped` (slots
# sorted by expert, rows cut by ranges), `sliced` (the same, with a Slice for each expert) and
# `batched` (every expert on every row in one batched product). A slot is a token and one of
# its k choices; N = T*k.
import numpy as np
from onnx import TensorProto, helper

from .forms import GELU, PlainExperts


class StackedExperts(PlainExperts):
    """first [E,D,H], with SwiGLU [E,D,2H] (gate, then up), and second [E,H,D]."""

    def __init__(self, g, name, weights, activation):
        super().__init__(g, name, weights, activation)
        self.count, self.hidden, self.dim = weights["down"].shape

    def first(self):
        parts = [self.weights[kind] for kind in ("gate", "up") if kind in self.weights]
        stack = np.concatenate(parts, -1) if len(parts) > 1 else parts[0]
        return self.g.weight(f"{self.name}/first", stack)

    def second(self):
        return self.g.weight(f"{self.name}/second", self.weights["down"])

    def activate(self, h, local="hidden"):
        """[...,H] or [...,2H] -> [...,H]"""
        if self.activation != "silu":
            more = {"approximate": GELU} if self.activation == "gelu" else {}
            return self.node(self.activation.capitalize(), [h], local, **more)
        halves = [f"{self.name}/{local}/{kind}" for kind in ("gate", "up")]
        self.node("Split", [h], f"{local}/split", halves, axis=-1, num_outputs=2)
        sigmoid = self.node("Sigmoid", [halves[0]], f"{local}/sigmoid")
        gate = self.node("Mul", [halves[0], sigmoid], f"{local}/silu")
        return self.node("Mul", [gate, halves[1]], local)

    def flat_slots(self, share, chosen):
        """(ids [N], weights [N,1])"""
        ids = self.node("Reshape", [chosen, self.ints(-1)], "ids")
        return ids, self.node("Reshape", [share, self.ints(-1, 1)], "slot_weights")

    def sum_choices(self, rows, top_k):
        """[N,D] in the order of the slots -> [T,D]"""
        apart = self.node("Reshape", [rows, self.ints(-1, top_k, self.dim)], "choices")
        return self.node("ReduceSum", [apart, self.ints(1)], "sum", keepdims=0)

    def sort(self, ids, top_k):
        """(order of the slots by expert [N], their tokens [N], slots of each expert [E])"""
        slots = self.node("Shape", [ids], "slots")
        names = [f"{self.name}/sort/{kind}" for kind in ("ids", "order")]
        self.node("TopK", [ids, slots], "sort", names, axis=0, largest=0)
        order = names[1]
        rest = self.node("Mod", [order, self.scalar(top_k)], "rest")
        whole = self.node("Sub", [order, rest], "whole")
        tokens = self.node("Div", [whole, self.scalar(top_k)], "tokens")
        one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
        ones = self.node("ConstantOfShape", [slots], "ones", value=one)
        zeros = self.g.weight(f"{self.name}.zeros", np.zeros(self.count, np.int64))
        counts = self.node(
            "ScatterElements", [zeros, ids, ones], "counts", axis=0, reduction="add"
        )
        return order, tokens, counts

    def unsort(self, order, rows):
        """Rows in sorted order -> in the order of the slots, by the inverse permutation."""
        size = self.node("Size", [order], "size")
        numbers = self.node("Range", [self.scalar(0), size, self.scalar(1)], "numbers")
        blank = self.node("Mul", [order, self.scalar(0)], "blank")
        where = self.node("Unsqueeze", [order, self.ints(-1)], "where")
        inverse = self.node("ScatterND", [blank, where, numbers], "inverse")
        return self.node("Gather", [rows, inverse], "unsorted", axis=0)


def gathered(g, x, logits, name, weights, top_k, activation):
    p = StackedExperts(g, name, weights, activation)
    share, chosen = p.choose(logits, top_k)
    ids, by = p.flat_slots(share, chosen)
    tokens = p.node("Shape", [x], "tokens", end=1)
    shape = p.node("Concat", [tokens, p.ints(top_k), p.ints(p.dim)], "shape", axis=0)
    each = p.node("Unsqueeze", [x, p.ints(1)], "each")
    rows = p.node("Expand", [each, shape], "rows")
    rows = p.node("Reshape", [rows, p.ints(-1, 1, p.dim)], "row_vectors")
    first = p.node("Gather", [p.first(), ids], "first_of_slots", axis=0)
    h = p.activate(p.node("MatMul", [rows, first], "up"))
    second = p.node("Gather", [p.second(), ids], "second_of_slots", axis=0)
    y = p.node("MatMul", [h, second], "down")
    y = p.node("Squeeze", [y, p.ints(1)], "results")
    return p.sum_choices(p.node("Mul", [y, by], "weighted"), top_k)


def grouped(g, x, logits, name, weights, top_k, activation):
    p = StackedExperts(g, name, weights, activation)
    share, chosen = p.choose(logits, top_k)
    ids, by = p.flat_slots(share, chosen)
    order, tokens, counts = p.sort(ids, top_k)
    rows = p.node("Gather", [x, tokens], "sorted_rows", axis=0)
    ends = p.node("CumSum", [counts, p.scalar(0)], "ends")
    ends = _parts(p, ends, "end")

    def product(rows, stack, local):
        done, begin = [], p.scalar(0)
        for e, matrix in enumerate(_parts(p, stack, f"{local}/weight")):
            matrix = p.node("Squeeze", [matrix, p.ints(0)], f"{local}{e}/matrix")
            end = p.node("Squeeze", [ends[e], p.ints(0)], f"{local}{e}/end")
            places = p.node("Range", [begin, end, p.scalar(1)], f"{local}{e}/places")
            part = p.node("Gather", [rows, places], f"{local}{e}/rows", axis=0)
            done.append(p.node("MatMul", [part, matrix], f"{local}{e}"))
            begin = end
        return p.node("Concat", done, local, axis=0)

    h = p.activate(product(rows, p.first(), "up"))
    y = product(h, p.second(), "down")
    by = p.node("Gather", [by, order], "sorted_weights", axis=0)
    y = p.unsort(order, p.node("Mul", [y, by], "weighted"))
    return p.sum_choices(y, top_k)


def sliced(g, x, logits, name, weights, top_k, activation):
    p = StackedExperts(g, name, weights, activation)
    share, chosen = p.choose(logits, top_k)
    ids, by = p.flat_slots(share, chosen)
    order, tokens, counts = p.sort(ids, top_k)
    rows = p.node("Gather", [x, tokens], "sorted_rows", axis=0)
    ends = p.node("CumSum", [counts, p.scalar(0)], "ends")
    starts = p.node("Sub", [ends, counts], "starts")
    done = []
    for e in range(p.count):
        bounds = [
            p.node("Gather", [of, p.ints(e)], f"expert{e}/{kind}")
            for kind, of in (("start", starts), ("end", ends))
        ]
        part = p.node("Slice", [rows, *bounds, p.ints(0)], f"expert{e}/rows")
        done.append(p.expert(part, e))
    y = p.unsort(order, p.node("Concat", done, "joined", axis=0))
    return p.sum_choices(p.node("Mul", [y, by], "weighted"), top_k)


def batched(g, x, logits, name, weights, top_k, activation):
    p = StackedExperts(g, name, weights, activation)
    share, chosen = p.choose(logits, top_k)
    like = p.node("Shape", [logits], "like")
    blank = p.node("ConstantOfShape", [like], "blank")  # f32
    scores = p.node("ScatterElements", [blank, chosen, share], "routing", axis=1)
    scores = p.node("Transpose", [scores], "routing_by_expert", perm=[1, 0])
    scores = p.node("Unsqueeze", [scores, p.ints(-1)], "routing_weights")  # [E,T,1]
    tokens = p.node("Shape", [x], "tokens", end=1)
    shape = p.node("Concat", [p.ints(p.count), tokens, p.ints(p.dim)], "shape", axis=0)
    rows = p.node("Expand", [x, shape], "rows")
    h = p.activate(p.node("MatMul", [rows, p.first()], "up"))
    y = p.node("MatMul", [h, p.second()], "down")
    y = p.node("Mul", [y, scores], "weighted")
    return p.node("ReduceSum", [y, p.ints(0)], "sum", keepdims=0)


def _parts(p, stacked, local):
    """The tensor cut along its first axis into pieces of one for each expert."""
    names = [f"{p.name}/{local}{e}" for e in range(p.count)]
    p.node("Split", [stacked], f"{local}/split", names, axis=0, num_outputs=p.count)
    return names
