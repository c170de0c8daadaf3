# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Graphs that look like the dispatch of experts, and compute something else: one constant,
# attribute or operand of a form that is raised is another one. Whether such a graph is
# raised is open; what it computes is not.
import numpy as np
import pytest

from test_bad_indices import outcome
from test_export_sweeps import RAISING, assert_same
from test_exports import D, FORMS


def constant(name, change):
    def edit(graph):
        graph.weights[name] = np.asarray(change(graph.weights[name]))

    return edit


def attribute(node, name, value):
    def edit(graph):
        (found,) = [n for n in graph.nodes if n.name == node]
        (old,) = [a for a in found.attribute if a.name == name]
        if isinstance(value, bytes):
            old.s = value
        elif isinstance(value, list):
            old.ints[:] = value
        else:
            old.i = value

    return edit


def operand(node, position, value):
    def edit(graph):
        (found,) = [n for n in graph.nodes if n.name == node]
        found.input[position] = value

    return edit


def operator(node, name):
    def edit(graph):
        (found,) = [n for n in graph.nodes if n.name == node]
        found.op_type = name

    return edit


SORTED = {
    "sorted-downwards": attribute("sort", "largest", 1),
    "slots-of-more-choices": constant("kk", lambda k: k + 1),
    "slots-as-rows": operand("rowv", 0, "even/out"),
    "remainders-as-rows": operand("rowv", 0, "mod/out"),
    "counts-that-are-maxima": attribute("counts", "reduction", b"max"),
}
COMBINED = {
    # As many rows as an expert has columns: the rest is left out.
    "into-other-rows": operand("nothing", 0, "w2.3"),
    "rows-overwritten": attribute("out", "reduction", b"none"),
    "largest-of-the-rows": attribute("out", "reduction", b"max"),
    "added-to-the-tokens": operand("out", 0, "x"),
    "in-the-order-of-the-slots": operand("out", 1, "orderv/out"),
}
EDITS = {
    "gathered-weights": {
        "not-weighed": operand("sum", 0, "apart/out"),
        "weighed-twice": operand("o", 1, "h/out"),
        "a-sum-that-is-a-difference": operator("weighed", "Sub"),
        "without-a-softmax": operator("p", "Sigmoid"),
    },
    "sorted-and-ranged": SORTED | {
        "not-inverted": operand("invv", 0, "order"),
        "ranges-from-one-on": operand("range1", 2, "kk"),
        "part-of-another": operand("part2", 1, "range1/out"),
        "one-expert-first": operand("h1", 1, "w1.0"),
    },
    "sorted-and-split": SORTED | COMBINED | {
    },
    "sorted-and-sliced": SORTED | COMBINED | {
        "first-expert-twice": constant("slice1", lambda e: e - 1),
        "parts-in-another-order": operand("joined", 0, "o1/out"),
        "another-start": operand("part2", 1, "s1/out"),
    },
    "nonzero-of-each-expert": {
        "first-expert-twice": constant("e1", lambda e: e - 1),
        "weights-of-more-choices": constant("kk1", lambda k: k + 1),
        "weights-of-the-token": operand("w1", 1, "token1/out"),
        "rows-by-their-choice": operand("rows1", 1, "choice1/out"),
        "back-to-the-choice": operand("where1", 0, "choice1/out"),
        "rows-overwritten": attribute("sum1", "reduction", b"none"),
        "products-of-rows": attribute("sum2", "reduction", b"mul"),
        "added-to-the-tokens": operand("sum0", 0, "x"),
        "experts-in-a-chain": operand("rows1", 0, "sum0/out"),
        "choices-and-tokens-changed": attribute("mask", "perm", [2, 0, 1]),
        "another-sum": operand("sum2", 0, "sum0/out"),
        "minus-one-for-a-hit": constant("values", lambda v: [0, -1]),
        "one-for-a-miss": constant("values", lambda v: [1, 0]),
        "one-for-both": constant("values", lambda v: [1, 1]),
    },
}
CASES = [(form, edit) for form, edits in EDITS.items() for edit in edits]


@pytest.mark.parametrize("form, edit", CASES, ids=["-".join(c) for c in CASES])
def test_near_miss(build, form, edit):
    graph = FORMS[form]()
    EDITS[form][edit](graph)
    model = build.graph(graph)
    with build.load(model) as raised, build.load(model, disable=RAISING) as plain:
        for rows in (1, 2, 7, 30, 0):
            rng = np.random.default_rng(rows)
            x = rng.standard_normal((rows, D)).astype(np.float32)
            for data, what in ((x, "normal"), (np.repeat(x[:1], rows, 0), "same")):
                expected, actual = outcome(plain, x=data), outcome(raised, x=data)
                if isinstance(expected, str):
                    assert isinstance(actual, str), f"only unraised refuses: {expected}"
                    continue
                assert not isinstance(actual, str), f"only raised refuses: {actual}"
                assert_same(actual, expected, f"{what}, {rows} rows")
